"""`action`: calls an action of a component."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from datetime import timedelta
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, model_validator

from halflap.errors import DefinitionError
from halflap.lowcode.call import CompiledCall, Filled
from halflap.lowcode.decimals import decimals_of
from halflap.lowcode.frame import Frame
from halflap.lowcode.kinds.role import Asks, Refers
from halflap.lowcode.kinds.run import Do
from halflap.lowcode.kinds.step import (
    FlowCompiler,
    OnFailure,
    Part,
    PythonScope,
    ResultStepModel,
    Template,
)
from halflap.lowcode.python import call, text
from halflap.lowcode.source import Path
from halflap.lowcode.template import template
from halflap.sdk.action import Action, Retry
from halflap.sdk.duration import Duration


class RetryRule(Part):
    """The tries of a failed step: `retry: {attempts: 3, first: 2s}`; otherwise as the action says."""

    attempts: int = Field(10, ge=1, le=100)
    """All tries, the first one too."""
    first: Duration = timedelta(seconds=1)
    """The wait after the first failure; it doubles each time."""
    longest: Duration = timedelta(minutes=10)
    """The longest wait."""
    on: tuple[int, ...] = ()
    """Statuses of the app at which it is tried again as well: `on: [423]`."""
    not_on: tuple[int, ...] = ()
    """Statuses of the app at which it fails at once: `not_on: [503]`."""

    @model_validator(mode="after")
    def _fits(self) -> RetryRule:
        self.over(Retry())
        return self

    def over(self, own: Retry) -> Retry:
        """Return an action's own rule with what this one says in place of it."""
        return replace(own, **{name: getattr(self, name) for name in self.model_fields_set})


class AnswersPart(Part):
    """The type of what an action gives, where it declares none: `answers: {sample: {id: a1}}`."""

    declared: dict[str, Any] | None = Field(None, alias="schema")
    """Its JSON Schema."""
    sample: Any = None
    """An example of it."""


def _positive(timeout: timedelta) -> timedelta:
    if not timeout:
        raise ValueError("a time-out is longer than nothing; write 20s")
    return timeout


class ActionStep(ResultStepModel):
    """Call an action of a component."""

    kind: ClassVar[str] = "action"

    action: Annotated[str, Refers("action")]
    """The action, as `component.action`."""
    inputs: Annotated[dict[str, Template], Asks()] = Field(
        default_factory=dict[str, Any], alias="with"
    )
    """The action's inputs; an expression begins with =."""
    connection: Annotated[str | None, Refers("connection")] = None
    """The config's connection to use, where there are several of the component."""
    retry: RetryRule | Annotated[int, Field(ge=1, le=100)] | None = None
    """The tries of a failed step: `retry: 3`, or `retry: {attempts: 3, first: 2s, on: [423]}`."""
    timeout: Annotated[Duration, AfterValidator(_positive)] | None = None
    """The time-out of one try, such as `20s`; by default as the action says."""
    answers: AnswersPart | None = None
    """The type of its result, for lint and editors: a `schema`, or a `sample`."""
    on_failure: OnFailure = "fail"
    """`ignore`: where it fails for good, its result is null, and the flow goes on."""

    def known_as(self, compiler: FlowCompiler) -> str:
        return self.title or compiler.components.action(self.action).title

    def compile(self, compiler: FlowCompiler, path: Path) -> Do:
        try:
            action = compiler.components.action(self.action)
        except DefinitionError as error:
            raise compiler.refused(error.message, (*path, "action")) from error
        retry = retry_of(self.retry, action.retry)
        made = action.untyped() if self.title is None else action.untyped().titled(self.title)
        made = made if retry is None else made.retried(retry)
        made = made if self.timeout is None else made.within(self.timeout)
        call = CompiledCall(
            made,
            tuple(self._filled(compiler, action, path)),
            compiler.connection(action, self.connection, path),
            made.title,
            compiler.source.at(path),
            decimals_of(action.shape.output),
        )

        async def run(frame: Frame) -> None:
            await frame.attempt(self.id, made.title, call.answer(frame), self.on_failure)

        return run

    def _filled(
        self, compiler: FlowCompiler, action: Action[..., Any], path: Path
    ) -> Iterable[Filled]:
        given = self.inputs
        known = action.shape.by_name
        for name in given:
            if name not in known:
                has = ", ".join(known) or "none"
                raise compiler.refused(
                    f"{action.name} has no input {name!r}; its inputs: {has}", (*path, "with", name)
                )
        for name, each in known.items():
            place = (*path, "with", name)
            if name in given:
                fill = template(given[name], compiler.source, place, compiler.used)
                yield Filled(each, fill, compiler.source.at(place))
            elif each.required:
                raise compiler.refused(f"{action.name} needs the input {name!r}", path)

    def python(self, at: PythonScope) -> list[str]:
        action = at.module.components.action(self.action)
        function, made = at.module.member(action), list[str]()
        options = "" if self.title is None else f".titled({text(self.title)})"
        if (retry := retry_of(self.retry, action.retry)) is not None:
            options += f".retried({_python_retry(retry, at)})"
        if self.timeout is not None:
            options += f".within({at.constant(self.timeout)})"
        if options:
            name = at.free(action.short_name)
            made, function = [f"{name} = {function}{options}"], name
        given = {
            each.name: at.argument(each, self.inputs[each.name], "with", each.name)
            for each in action.shape.inputs
            if each.name in self.inputs
        }
        if not all(fits for _, fits in given.values()):
            function += ".fitted()"
        args: list[str] = []
        if (wanted := action.shape.connection_type) is not None:
            connections = at.module.connections.items()
            fitting = (each for each, kind in connections if issubclass(kind, wanted))
            args = [f"ctx.config.{self.connection or next(fitting)}"]
        called = call(function, args, ((name, value) for name, (value, _) in given.items()))
        what = self.title or action.title
        return made + at.attempted(self.id, f"await {called}", what, self.on_failure)


def retry_of(rule: RetryRule | int | None, own: Retry) -> Retry | None:
    """Return the rule that a step gives, on top of the action's own."""
    if rule is None:
        return None
    return replace(own, attempts=rule) if isinstance(rule, int) else rule.over(own)


def _python_retry(retry: Retry, at: PythonScope) -> str:
    given = {
        each.name: at.constant(value)
        for each in fields(Retry)
        if (value := getattr(retry, each.name)) != each.default
    }
    attempts = given.pop("attempts", None)
    return call(at.use("Retry"), [] if attempts is None else [attempts], given.items())
