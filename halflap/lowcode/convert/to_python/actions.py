"""Writes calls: of actions, and of other flows."""

from __future__ import annotations

from typing import Any

from halflap.lowcode import steps as doc
from halflap.lowcode.call import retry_of
from halflap.lowcode.convert.to_python.kind import JSON, NULL, TEXT, Kind, kind_of
from halflap.lowcode.convert.to_python.layout import (
    WIDTH,
    Piece,
    call,
    call_with,
    flat,
    joined,
    lines,
    text,
)
from halflap.lowcode.convert.to_python.writer import Block, Writer
from halflap.lowcode.source import Path
from halflap.sdk.action import Action, Retry


class Actions(Writer):
    """Writes steps that call something."""

    def action(self, step: doc.ActionStep, path: Path, indent: int) -> Block:
        """`action`."""
        action = self.module.components.action(step.action)
        made = self.module.member(action)
        if step.title is not None:
            made += f".titled({text(step.title)})"
        retry = retry_of(step.retry, action.retry)
        function: Piece = made
        if retry is not None:
            function = joined(made, call(".retried", self._retry(retry)))
        given = self._inputs(action, step, path)
        before, variable = self._shortened(function, action, step, indent)
        if not all(fits for _, _, fits in given):
            variable = joined(variable, ".fitted()")
        args = [] if action.shape.connection is None else [self._connection(action, step)]
        called = call_with(variable, args, [(name, piece) for name, piece, _ in given])
        kind = kind_of(action.shape.output) if action.shape.output is not Any else JSON
        ignored = (step.title or action.title) if step.on_failure == "ignore" else None
        made = self.attempted(joined("await ", called), kind, step.id, ignored, indent)
        return Block([*before, *made.lines])

    def _shortened(
        self, function: Piece, action: Action[..., Any], step: doc.ActionStep, indent: int
    ) -> tuple[list[str], Piece]:
        """What is called; by a variable where it is too long to be called in one line."""
        variable = self.frame.find(step.id) if step.id is not None else None
        given = f"{variable.name} = await " if variable is not None else "await "
        deep = indent + 4 * (step.on_failure == "ignore")
        if deep + len(given + flat(function) + ".fitted()(") <= WIDTH:
            return [], function
        name = self.names.free(action.short_name, self.frame.taken())
        return lines(joined(f"{name} = ", function), indent), name

    def _inputs(
        self, action: Action[..., Any], step: doc.ActionStep, path: Path
    ) -> list[tuple[str, Piece, bool]]:
        return [
            (each.name, *self.given(each, step.inputs[each.name], (*path, "with", each.name)))
            for each in action.shape.inputs
            if each.name in step.inputs
        ]

    def _connection(self, action: Action[..., Any], step: doc.ActionStep) -> str:
        return self.connection(action, step.connection)

    def connection(self, action: Action[..., Any], name: str | None) -> str:
        """The config's connection for an action."""
        wanted = action.shape.connection_type
        assert wanted is not None
        fitting = [
            each for each, kind in self.module.connections.items() if issubclass(kind, wanted)
        ]
        return f"ctx.config.{name or fitting[0]}"

    def _retry(self, retry: Retry) -> Piece:
        usual = Retry()
        given = [] if retry.attempts == usual.attempts else [str(retry.attempts)]
        named: list[tuple[str, Piece]] = []
        for name in ("first", "longest"):
            if getattr(retry, name) != getattr(usual, name):
                named.append((name, self.span(getattr(retry, name))))
        if retry.jitter != usual.jitter:
            named.append(("jitter", str(retry.jitter)))
        return call_with(self.uses("Retry"), given, named)

    def attempted(
        self, called: Piece, kind: Kind, id: str | None, ignored: str | None, indent: int
    ) -> Block:
        """A call; `ignored` is what is told of one whose failure is passed by."""
        if ignored is None:
            return Block(self.assigned(id, called, kind, indent))
        pad = " " * indent
        made = [f"{pad}try:", *self.assigned(id, called, kind, indent + 4)]
        made.append(f"{pad}except {self.uses('FAILURES')} as failure:")
        told = f"{ignored} failed, and is ignored: "
        shown = text(told.replace("{", "{{").replace("}", "}}"))
        quote = shown[0]
        made += lines(call("ctx.log.warning", f"f{shown[:-1]}{{failure}}{quote}"), indent + 4)
        variable = None if id is None else self.frame.find(id)
        if variable is not None and self.is_read(variable):
            made += lines(f"{variable.name} = None", indent + 4)
        if variable is not None:
            variable.give(NULL)
        return Block(made)

    def call(self, step: doc.CallStep, path: Path, indent: int) -> Block:
        """`call`."""
        event = self.plain(step.event, (*path, "event"))
        function = "ctx.call" if step.wait else "ctx.start"
        called = joined("await ", call(function, self.names.flow(step.call), event))
        if not step.wait:
            called = joined("(", called, ").id")
        ignored = f"the flow {step.call}" if step.on_failure == "ignore" else None
        return self.attempted(called, JSON if step.wait else TEXT, step.id, ignored, indent)

    def pairing(
        self, step: doc.PairedStep | doc.PairStep | doc.UnpairStep, path: Path, indent: int
    ) -> Block:
        """`paired`, `pair` and `unpair`."""
        verb = str(doc.kind_of(step))
        pairs = self.module.pairs[getattr(step, verb)]
        named = [(side, self.text(v, (*path, "with", side))) for side, v in step.ids.items()]
        called = joined("await ", call_with(f"ctx.{verb}", [pairs], named))
        id = step.id if isinstance(step, doc.PairedStep) else None
        return Block(self.assigned(id, called, TEXT.nullable(), indent))
