"""A component: a reusable connector. Its actions, its triggers, its connection."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, overload

from halflap.errors import DefinitionError
from halflap.sdk.action import Action, ActionDecorator, Retry
from halflap.sdk.connection import Connection
from halflap.sdk.pairs import Reads, Writes
from halflap.sdk.request import Request
from halflap.sdk.signature import Verifier
from halflap.sdk.trigger import Answer, Declaration, Pick, Reply, Trigger, TriggerDecorator

if TYPE_CHECKING:
    from halflap.sdk.specification import Operation, Specification

P = ParamSpec("P")
R = TypeVar("R")


class Component:
    """A reusable connector, found by the entry point `halflap.components` under its name."""

    def __init__(
        self,
        name: str,
        *,
        title: str | None = None,
        description: str = "",
        connection: type[Connection] | None = None,
    ) -> None:
        if not name.replace("_", "").isalnum() or not name[0].isalpha() or not name.islower():
            raise DefinitionError(
                f"a component's name is lower-case letters, digits and underscores, not {name!r}"
            )
        self.name = name
        self.title = title or name.replace("_", " ").capitalize()
        self.description = description
        self.connection = connection
        if connection is not None:
            connection._component = name
        self.actions: dict[str, Action[..., Any]] = {}
        self._specified: set[str] = set()
        self.triggers: dict[str, Trigger[..., Any]] = {}

    @overload
    def action(self, function: Callable[P, Awaitable[R]], /) -> Action[P, R]: ...
    @overload
    def action(self, function: Callable[P, R], /) -> Action[P, R]: ...
    @overload
    def action(
        self,
        *,
        title: str | None = None,
        pure: bool = False,
        retry: Retry = Retry(),
        timeout: timedelta | None = None,
        example: Any = None,
        writes: Writes | None = None,
        repeatable: bool = False,
        lookup: Callable[..., Awaitable[Any]] | None = None,
        batch: int | None = None,
    ) -> ActionDecorator: ...
    def action(
        self,
        function: Callable[..., Any] | None = None,
        *,
        title: str | None = None,
        pure: bool = False,
        retry: Retry = Retry(),
        timeout: timedelta | None = None,
        example: Any = None,
        writes: Writes | None = None,
        repeatable: bool = False,
        lookup: Callable[..., Awaitable[Any]] | None = None,
        batch: int | None = None,
    ) -> Any:
        """Make an action of a function: async, or a plain `def`, which runs in a thread.

        pure: it is a function of its inputs alone, so its record waits for no commit.
        retry: how often it is tried again where the app failed. timeout: of one try.
        example: an example result, for docs and designers. writes: the record and fields it writes.
        repeatable: what it does twice is as if done once, so it is tried again in doubt, too.
        lookup: finds what an earlier try made, by inputs of the same names; None where it made nothing.
        batch: it takes `ids` and returns their `Records`, and is asked for so many at a time.
        """

        def decorate(function: Callable[..., Any]) -> Action[..., Any]:
            action: Action[..., Any] = Action(
                function,
                component=self.name,
                connection_type=self.connection,
                title=title,
                pure=pure,
                retry=retry,
                timeout=timeout,
                example=example,
                writes=writes,
                repeatable=repeatable,
                lookup=lookup,
                batch=batch,
            )
            if action.short_name in self._specified:
                self._specified.remove(action.short_name)
                del self.actions[action.short_name]  # what is written by hand stands
            self._claim(action.short_name, action.where)
            self.actions[action.short_name] = action
            return action

        return decorate if function is None else decorate(function)

    def operations(
        self, specification: Specification, operations: Mapping[str, Operation]
    ) -> dict[str, Action[..., Any]]:
        """Make an action of each operation of a specification, by the action's name; return all of them.

        An action of the same name that is written by hand, before or after, stands instead.
        """
        from halflap.sdk.specification import SpecifiedAction

        assert self.connection is not None, "operations are called through a connection"
        module = sys._getframe(1).f_globals.get("__name__", "")
        for name, operation in operations.items():
            specification.declared.append(operation)
            if name not in self.actions:
                self._specified.add(name)
                self.actions[name] = SpecifiedAction(
                    specification, name, operation, self.name, self.connection, module
                )
        return {name: self.actions[name] for name in operations}

    def trigger(
        self,
        *,
        title: str | None = None,
        example: Any = None,
        verify: Verifier | None = None,
        secret: str = "endpoint",  # noqa: S107
        handshake: Callable[[Request], Reply | None] | None = None,
        dedupe: Pick | None = None,
        dedupe_for: timedelta = timedelta(days=7),
        key: Pick | None = None,
        split: Callable[[Request], Sequence[Any]] | None = None,
        answer: Answer = Reply(),
        methods: tuple[str, ...] = ("POST",),
        decompress: bool = False,
        body_limit: int | None = None,
        ticks: Callable[[datetime], datetime | None] | None = None,
        lifecycle: Literal["deploy", "teardown"] | None = None,
        reads: Reads | None = None,
        app_endpoint: bool = False,
        app_events: tuple[str, ...] | None = None,
    ) -> TriggerDecorator:
        """Make a trigger of a function that reads a `Request` (see `Declaration` for the rest).

        example: a request's body as a `File`, with its content type: `halflap dev` and the console show
        how to send it.
        """
        declaration = Declaration(
            verify=verify,
            secret=secret,
            handshake=handshake,
            dedupe=dedupe,
            dedupe_for=dedupe_for,
            key=key,
            split=split,
            answer=answer,
            methods=tuple(each.upper() for each in methods),
            decompress=decompress,
            body_limit=body_limit,
            ticks=ticks,
            lifecycle=lifecycle,
            reads=reads,
            app_endpoint=app_endpoint,
            app_events=app_events,
        )

        def decorate(function: Callable[..., Any]) -> Trigger[..., Any]:
            trigger: Trigger[..., Any] = Trigger(
                function,
                component=self.name,
                connection_type=self.connection,
                declaration=declaration,
                title=title,
                example=example,
            )
            self._claim(trigger.short_name, trigger.where)
            self.triggers[trigger.short_name] = trigger
            return trigger

        return decorate

    def _claim(self, name: str, where: str) -> None:
        if name in self.actions or name in self.triggers:
            raise DefinitionError(f"{self.name}.{name} is defined twice", where=where)

    def __repr__(self) -> str:
        return f"<component {self.name}>"
