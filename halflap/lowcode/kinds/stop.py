"""`stop`: ends the flow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, cast

from pydantic import BeforeValidator, Field

from halflap.lowcode.frame import Frame, Stopped
from halflap.lowcode.kinds.role import Asks
from halflap.lowcode.kinds.run import Asked, Do
from halflap.lowcode.kinds.step import Part, Status, StepModel, Template
from halflap.lowcode.python import call, display, text
from halflap.lowcode.source import Path
from halflap.lowcode.template import is_expression
from halflap.sdk.duration import refused
from halflap.sdk.trigger import Ignore, Reply

if TYPE_CHECKING:
    from halflap.lowcode.compile import FlowCompiler
    from halflap.lowcode.convert.flow import PythonSpot


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

    def python(self, at: PythonSpot) -> str:
        """Return the `Reply` in Python."""
        scope = at.scope.at("stop", "reply")
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
            return DoStop(None, None, None)
        given, place = self.stop, (*path, "stop")
        if len(given.model_fields_set) > 1:
            raise compiler.refused("`stop` takes one of `answer`, `reply` and `ignore`", place)
        reply = given.reply
        return DoStop(
            compiler.maybe(given.answer, place, "answer"),
            compiler.maybe(given.ignore, place, "ignore"),
            None
            if reply is None
            else (
                compiler.asked(reply.status, place, "reply", "status"),
                compiler.asked(reply.body, place, "reply", "body") if reply.has_body else None,
                compiler.named(reply.headers, place, "reply", "headers"),
            ),
        )

    def python(self, at: PythonSpot) -> list[str]:
        given, scope = self.stop, at.scope.at("stop")
        if isinstance(given, StopPart) and given.ignore is not None:
            return [f"return {at.use('Ignore')}({scope.text(given.ignore, 'ignore')})"]
        if isinstance(given, StopPart) and given.reply is not None:
            return [f"return {given.reply.python(at)}"]
        if isinstance(given, StopPart) and given.answer is not None:
            return [f"return {scope.value(given.answer, 'answer')}"]
        return ["return None" if at.flow.answers else "return"]


@dataclass(frozen=True, slots=True)
class DoStop:
    """`stop`."""

    answer: Asked | None
    ignore: Asked | None
    reply: tuple[Asked, Asked | None, tuple[tuple[str, Asked], ...]] | None

    async def run(self, frame: Frame) -> None:
        if self.ignore is not None:
            raise Stopped(Ignore(self.ignore.text(frame)))
        if self.reply is not None:
            status, body, headers = self.reply
            code = status.status(frame)
            named = {name: each.text(frame) for name, each in headers}
            raise Stopped(Reply(code, b"" if body is None else body.value(frame), named))
        raise Stopped(None if self.answer is None else self.answer.value(frame))
