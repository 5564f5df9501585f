"""A call of an action: its inputs, filled and fitted to the types that it declares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from halflap.errors import ExpressionError
from halflap.lowcode.decimals import Read
from halflap.lowcode.frame import Frame
from halflap.lowcode.template import Fill
from halflap.sdk.action import Action
from halflap.sdk.schema import UNSET, InputField


def connection_of(
    action: str, given: str | None, fitting: Sequence[str] | None
) -> tuple[str | None, str]:
    """Return the connection that an action uses, or what is wrong; of one that takes none, nothing
    is `fitting`.
    """
    owner, several = action.partition(".")[0], ", ".join(fitting or ())
    none = f"the config has none: add `{owner}: {{connection: {owner}}}` to it"
    if fitting is None:
        return None, f"{action} takes no connection; leave it out" if given is not None else ""
    if given is not None:
        known = f"; there are: {several}" if fitting else f", and {none}"
        return given, "" if given in fitting else f"{given} is no connection of {owner}{known}"
    if not fitting:
        return None, f"{action} needs a connection of {owner}, and {none}"
    wrong = f"{action} needs one of the config's connections; `connection:` is one of {several}"
    return fitting[0], "" if len(fitting) == 1 else wrong


@dataclass(frozen=True, slots=True)
class Filled:
    """An input of the call: what fills it, and what it has to fit."""

    input: InputField
    fill: Fill
    where: str


@dataclass(frozen=True, slots=True)
class Callee:
    """An action that code calls, with the config's connection for it."""

    action: Action[..., Any]
    connection: str | None

    def arguments(
        self, config: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The arguments by name; `TypeError` where they do not fit."""
        shape = self.action.shape
        names = [each.name for each in shape.inputs]
        if len(args) > len(names):
            raise TypeError(f"{self.action.name} takes {len(names)} inputs, not {len(args)}")
        found = dict(zip(names, args, strict=False))
        if doubled := found.keys() & kwargs.keys():
            raise TypeError(f"{self.action.name} is given {', '.join(sorted(doubled))} twice")
        found.update(kwargs)
        if shape.connection is not None and self.connection is not None:
            found[shape.connection] = getattr(config, self.connection)
        return self.action.bind((), found)


@dataclass(frozen=True, slots=True)
class CompiledCall:
    """An action with what fills its inputs, compiled once. `reads` reads what it answers."""

    action: Action[..., Any]
    inputs: tuple[Filled, ...]
    connection: str | None
    title: str
    where: str
    reads: Read | None

    async def answer(self, frame: Frame) -> Any:
        """Return the action's answer, as JSON."""
        found = await self.action(**self.arguments(frame))
        return found if self.reads is None else self.reads(found)

    def arguments(self, frame: Frame) -> dict[str, Any]:
        """The arguments by name; `ExpressionError` names the input that does not fit."""
        found: dict[str, Any] = {}
        if self.connection is not None and self.action.shape.connection is not None:
            found[self.action.shape.connection] = getattr(frame.ctx.config, self.connection)
        values = [each.fill(frame.names, frame.host) for each in self.inputs]
        for each, value in zip(self.inputs, values, strict=True):
            if value is UNSET and not each.input.required:
                continue
            try:
                given = None if value is UNSET else value
                found[each.input.name] = self.action.fit(each.input, given)
            except ExpressionError as error:
                raise error.at(each.where) from error.__cause__
        return found
