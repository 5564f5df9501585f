"""The view of a step of a running flow: the flow's context, and the names in scope."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection, Iterable
from decimal import Decimal
from typing import Any, cast

from pydantic import BaseModel, SecretStr

from halflap.errors import FAILURES, Thrown, UpstreamError
from halflap.lowcode.template import ExpressionHost
from halflap.sdk import codec
from halflap.sdk.connection import Connection
from halflap.sdk.context import Context
from halflap.sdk.request import Request, as_record
from halflap.sdk.schema import UNSET, Config

ORIGIN = re.compile(r"\bhttps?://[^/\s\"'<>(),;]+(?=(?P<path>/?))")
"""Scheme and host of a URL."""
STEP_NAME = re.compile(r"^.*/|#\d+$")
"""A step's path but for its name: `gather[a1]/http.post#2`."""


class Stopped(Exception):
    """The flow ends here, with what it returns."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


class LoopLeft(Exception):
    """The loop ends here."""


class Frame:
    """The names of one run of a list of steps; a loop's body has one of its own for each item.

    at: the item's place in its list. given: the result of the step that ran last, for an observer.
    """

    __slots__ = ("at", "ctx", "given", "host", "names", "parent")

    def __init__(
        self,
        ctx: Context[Any],
        names: dict[str, Any],
        host: ExpressionHost,
        parent: Frame | None = None,
        at: int | None = None,
    ) -> None:
        self.at = at
        self.given: Any = UNSET
        self.ctx = ctx
        self.names = names
        self.host = host
        self.parent = parent

    def inner(self, own: Iterable[str], at: int) -> Frame:
        """A frame for one item of a loop; what its steps will name is null so far."""
        return Frame(self.ctx, {**self.names, **dict.fromkeys(own)}, self.host, self, at)

    @property
    def item(self) -> tuple[int, ...]:
        """The places of the items of the loops around here, the outermost first."""
        found: list[int] = []
        frame: Frame | None = self
        while frame is not None:
            found += [] if frame.at is None else [frame.at]
            frame = frame.parent
        return tuple(reversed(found))

    def give(self, id: str | None, result: Any) -> None:
        """Keep a step's result under its id, where it has one."""
        self.given = result
        if id is not None:
            self.names[id] = result

    async def attempt(self, id: str | None, what: str, do: Awaitable[Any], failure: str) -> None:
        """Keep the result of what may fail; null where it fails for good and that is ignored."""
        result: Any = None
        try:
            result = await do
        except FAILURES as error:
            if failure != "ignore":
                raise
            self.ctx.log.warning(f"{what} failed, and is ignored: {error}")
        self.give(id, result)

    def assign(self, name: str, value: Any, outward: int) -> None:
        """Set a variable that belongs as many loops out of here."""
        self.names[name] = value
        frame: Frame = self
        for _ in range(outward):
            assert frame.parent is not None
            frame = frame.parent
            frame.names[name] = value


def plain(value: Any) -> Any:
    """A value as expressions see it: as JSON, by the app's own names; secrets stay closed."""
    if value is None or isinstance(value, str | int | SecretStr):
        return value
    if isinstance(value, Decimal) and value.is_finite():
        return value
    if isinstance(value, Request):
        return as_record(value)
    if isinstance(value, BaseModel):
        return {name: plain(each) for name, each in _members(value) if each is not UNSET}
    if isinstance(value, dict):
        members = cast("dict[Any, Any]", value)
        return {str(name): plain(each) for name, each in members.items() if each is not UNSET}
    if isinstance(value, list | tuple):
        return [plain(each) for each in cast("list[Any]", value)]
    return codec.decode(codec.encode(value))


def _members(value: BaseModel) -> Iterable[tuple[str, Any]]:
    fields = type(value).model_fields
    if isinstance(value, Config):
        return [
            (name, each)
            for name in fields
            if not isinstance(each := getattr(value, name), Connection)
        ]
    return value.model_dump(mode="python", by_alias=True).items()


def _path_of(found: re.Match[str]) -> str:
    return "" if found["path"] else "/"


def error_of(error: Exception) -> dict[str, Any]:
    """An error as `catch` sees it: `message`, `kind`, `step`, and the app's `status`.

    The step is called as it is written, in a loop too, where its path has its branch and a count. The
    message names the path of a request, and not the host: a flow may answer with it, and where an
    app is reached within a network is nothing for a customer.
    """
    cause = error.__cause__ if isinstance(error.__cause__, UpstreamError) else None
    return {
        "message": ORIGIN.sub(_path_of, getattr(error, "message", str(error))),
        "kind": "thrown" if isinstance(error, Thrown) else type(error).__name__,
        "step": STEP_NAME.sub("", getattr(error, "step", "")) or None,
        "status": getattr(error, "status", None) or getattr(cause, "status", None),
    }


def scope_of(used: set[str], flows: Collection[str], own: Iterable[str]) -> Callable[..., Any]:
    """Makes the names that a flow's expressions read, and no others."""
    empty = dict.fromkeys(own)

    def names(ctx: Context[Any], event: Any) -> dict[str, Any]:
        found: dict[str, Any] = {**empty, "event": plain(event)}
        if "config" in used:
            found["config"] = plain(ctx.config)
        if "urls" in used:
            found["urls"] = dict(ctx.flow_urls)
        if "secrets" in used:
            found["secrets"] = {name: ctx.secret(name) for name in flows if name in ctx.flow_urls}
        if "customer" in used:
            found["customer"] = {
                "id": ctx.customer.id,
                "name": ctx.customer.name,
                "external_id": ctx.customer.external_id,
            }
        if "instance" in used:
            found["instance"] = {"id": ctx.instance.id, "name": ctx.instance.name}
        if "execution" in used:
            found["execution"] = {"id": ctx.execution, "attempt": ctx.attempt}
        return found

    return names


SCOPE = ("event", "config", "urls", "secrets", "customer", "instance", "execution")
"""The names that every flow has."""
