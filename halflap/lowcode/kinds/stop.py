"""`stop`: ends the flow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import BeforeValidator, Field

from halflap.lowcode.frame import Frame, Stopped
from halflap.lowcode.kinds.role import Asks
from halflap.lowcode.kinds.run import Do
from halflap.lowcode.kinds.step import FlowCompiler, Part, PythonScope, Status, StepModel, Template
from halflap.lowcode.python import call, display, text
from halflap.lowcode.source import Path
from halflap.lowcode.template import is_expression
from halflap.sdk.duration import refused
from halflap.sdk.trigger import Ignore, Reply


class ReplyPart(Part):
    """An HTTP answer, for a flow whose trigger answers with the flow's result."""

    status: Annotated[Status, Asks("status")] = 200
    """The HTTP status, 200 to 599."""
    body: Annotated[Template, Asks(json=True)] = None
    """The body: a text as it is, anything else as JSON; nothing, where it is left out."""
    headers: Annotated[dict[str, Template], Asks("text")] = Field(default_factory=dict[str, Any])
    """HTTP headers, by name."""

    @property
    def has_body(self) -> bool:
        """True if it has a body, be it null."""
        return "body" in self.model_fields_set

    def compile(self, compiler: FlowCompiler, path: Path) -> Callable[[Frame], Reply]:
        """Return what makes the `Reply`."""
        status = compiler.asked(self.status, path, "status")
        body = compiler.asked(self.body, path, "body") if self.has_body else None
        headers = compiler.named(self.headers, path, "headers")

        def reply(frame: Frame) -> Reply:
            code = status.status(frame)
            named = {name: each.text(frame) for name, each in headers}
            return Reply(code, b"" if body is None else body.value(frame), named)

        return reply

    def python(self, at: PythonScope) -> str:
        """Return the `Reply` in Python."""
        scope = at.at("stop", "reply")
        args = [scope.status(self.status, "status")]
        if self.has_body:
            args.append(scope.value(self.body, "body"))
        headers = [(text(k), scope.text(v, "headers", k)) for k, v in self.headers.items()]
        return call(at.use("Reply"), args, [("headers", display(headers))] if headers else [])


class StopPart(Part):
    """The end of the flow: with an answer, or ignoring its event."""

    answer: Annotated[Template, Asks(json=True)] = None
    """The flow's result: what its caller, or a synchronous request, gets."""
    reply: ReplyPart | None = None
    """The HTTP answer, with status and headers."""
    ignore: Annotated[Template, Asks("text")] = None
    """Why the event is ignored."""


def _stop(value: Any) -> Any:
    if isinstance(value, Mapping) or value is True:
        return cast("Any", value)
    if is_expression(value):
        meant = f"{{answer: {value}}}"
    else:
        meant = "true"
    raise refused(f"`stop` ends the flow, and says how: write stop: {meant}", meant, raw=True)


class StopStep(StepModel):
    """End the flow."""

    kind: ClassVar[str] = "stop"
    ends: ClassVar[str] = "ends the flow"

    stop: Annotated[StopPart | Literal[True], BeforeValidator(_stop)]
    """`true`, or how it ends: `answer`, `reply` or `ignore`."""

    def misplaced(self, loops: Sequence[bool]) -> str:
        said = (
            "`stop` cannot end the flow while other items run beside this one; leave out `parallel`, or "
            "stop after the loop"
        )
        return said if any(loops) else ""

    def compile(self, compiler: FlowCompiler, path: Path) -> Do:
        if isinstance(self.stop, bool):
            return stopping(lambda frame: None)
        given, place = self.stop, (*path, "stop")
        if len(given.model_fields_set) > 1:
            raise compiler.refused("`stop` takes one of `answer`, `reply` and `ignore`", place)
        if given.ignore is not None:
            why = compiler.asked(given.ignore, place, "ignore")
            return stopping(lambda frame: Ignore(why.text(frame)))
        if given.reply is not None:
            return stopping(given.reply.compile(compiler, (*place, "reply")))
        return stopping(compiler.asked(given.answer, place, "answer").value)

    def python(self, at: PythonScope) -> list[str]:
        given, scope = self.stop, at.at("stop")
        if isinstance(given, StopPart) and given.ignore is not None:
            return [f"return {at.use('Ignore')}({scope.text(given.ignore, 'ignore')})"]
        if isinstance(given, StopPart) and given.reply is not None:
            return [f"return {given.reply.python(at)}"]
        if isinstance(given, StopPart) and given.answer is not None:
            return [f"return {scope.value(given.answer, 'answer')}"]
        return ["return None" if at.flow.answers else "return"]


def stopping(give: Callable[[Frame], Any]) -> Do:
    """Return what ends the flow with a result."""

    async def run(frame: Frame) -> None:
        raise Stopped(give(frame))

    return run
