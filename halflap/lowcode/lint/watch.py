"""Watches values on their way through a flow: those that may be null, or differ at the next attempt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from halflap.errors import ExpressionError
from halflap.lowcode import kinds as doc
from halflap.lowcode.expressions import tree
from halflap.lowcode.expressions.reads import paths_read
from halflap.lowcode.kinds.walk import every
from halflap.lowcode.lint import rules
from halflap.lowcode.lint.conditions import NONE, Field, Fields, Holds, holds
from halflap.lowcode.lint.expressions import Read, Reads, leaves
from halflap.lowcode.lint.rules import Findings
from halflap.lowcode.lint.scope import Names, Schema, ScopedName, takes_null
from halflap.lowcode.lint.shapes import InputShape
from halflap.lowcode.lint.state import FlowState, Null
from halflap.lowcode.lint.templates import parts
from halflap.lowcode.source import Path
from halflap.lowcode.template import is_expression, parsed

_HARMLESS = (
    doc.LogStep, doc.SetStep, doc.ThrowStep, doc.IfStep, doc.SwitchStep, doc.ForStep, doc.TryStep
)  # fmt: skip
_CHANGES = (
    "is another at the next attempt, and so would be what is recorded, which fails as Nondeterminism; "
    "read it in `log` alone, have `retry` say how often a step is tried, and count in `state`"
)


class Watch:
    """Finds what values do at places of a flow's walk, by the state there."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._changing: set[str] = set()

    def condition(self, value: Any) -> Holds:
        """Return a condition's facts about what it reads."""
        node = self._tree(value)
        return Holds() if node is None else holds(node)

    def chosen(self, value: Any) -> Holds:
        """Return the facts about a `switch`'s value, in its cases."""
        field, read = self.field(value), self.fields(value)
        if field is not None:
            return Holds(true=frozenset((field,)), read=read)
        return Holds(asked=read, read=read)

    def field(self, value: Any) -> Field | None:
        """Return the path that a value is, where it is nothing but names."""
        node = self._tree(value)
        return None if node is None else tree.field_of(node)

    def fields(self, value: Any) -> Fields:
        """The paths that a template reads."""
        found: Fields = NONE
        for each, _ in leaves(value):
            node = self._tree(each)
            found |= NONE if node is None else paths_read(node)
        return found

    def assigned(
        self, name: str, value: Any, path: Path, schema: Schema | None, state: FlowState
    ) -> None:
        """Give a variable its value."""
        node = self._tree(value)
        why = "it is set to null" if value is None else ""
        if node is not None and (found := state.null_of(node)) is not None:
            source = ".".join(found.field)
            why = f"it is set to what `{source}` gives, and there {found.why}"
        read = self.fields(value)
        rests = state.closure(read)
        state.give(name, ScopedName(path, schema, True, why, declared=False, rests=rests))
        if any(map(self._changes, read)):
            self._changing.add(name)

    # What takes values --------------------------------------------------------------------------

    def input(
        self,
        called: str,
        input: InputShape,
        value: Any,
        path: Path,
        reads: Reads,
        state: FlowState,
    ) -> None:
        """An input is given a template, of which these are the expressions."""
        wanted = input.schema()
        if wanted is None or not reads:
            return
        for leaf in parts(value, path, wanted, required=input.required):
            if leaf.path not in reads or takes_null(leaf.wanted):
                continue
            if leaf.path == path and input.takes(None):
                continue
            inside = ".".join([input.name, *map(str, leaf.path[len(path) :])])
            said = f"{called}: the input {inside}"
            self._told(reads[leaf.path], state, said, required=leaf.required)

    def text(self, what: str, reads: Reads, state: FlowState) -> None:
        """Something has to be a text, or a number."""
        for read in reads.values():
            self._told(read, state, f"`{what}`", required=True)

    def _told(self, read: Read, state: FlowState, what: str, *, required: bool) -> None:
        found = state.null_of(read.expression.tree)
        if found is None or state.tried or not (found.whole or required):
            return
        message = f"{what} {self._said(found, state.names)}"
        self._findings.add(rules.NULL, read.path, message, at=found.at)

    def _said(self, found: Null, names: Names) -> str:
        name, where = ".".join(found.field), self._line(found, names)
        gives = "may be null" if found.whole else "may be null, which leaves nothing to give"
        return (
            f"takes no null, and {name} {gives}: {found.why}{where}; "
            f"put the step under `if: ={name} != null`, or give something else where it is null"
        )

    def _line(self, found: Null, names: Names) -> str:
        known = names.get(found.field[0])
        if known is None or known.path is None:
            return ""
        return f" (line {self._findings.source.key(known.path).line})"

    def counted(self, read: Read, state: FlowState) -> None:
        """Find `$count` of what may be null: null is one value, and nothing is none."""
        if "$count" not in read.expression.text:
            return
        for node, there in _counts(read.expression.tree, state):
            found = there.null_of(node)
            if found is None or not found.whole:
                continue
            name, text = ".".join(found.field), read.expression.text
            said = f"$count(…) is 1 where {name} is null: {found.why}{self._line(found, state.names)}; "
            said += f"write $count($list({name})), which is 0 there"
            meant = text[: found.at] + f"$list({name})" + text[found.at + len(name) :]
            whole = text.startswith(name, found.at) and isinstance(node, tree.Path)
            mend = self._findings.expression(read.path, meant if whole else None)
            self._findings.add(rules.NULL, read.path, said, at=found.at, mend=mend)

    def recorded(self, reads: Reads, *branches: Sequence[doc.StepModel]) -> None:
        """Note that what is read here decides what is recorded; with branches: which steps are done,
        of which such as leave no record are left alone.
        """
        for read in reads.values():
            for name in read.expression.names():
                if self._changes(name.path) and (not branches or _leaves_record(branches)):
                    said = f"{name} {_CHANGES}"
                    self._findings.add(rules.ATTEMPT, read.path, said, at=name.offset)

    def _changes(self, path: Sequence[str]) -> bool:
        if path and path[0] == "execution":
            return len(path) < 2 or path[1] in ("attempt", "*")
        return bool(path) and path[0] in self._changing

    # Reading ------------------------------------------------------------------------------------

    def _tree(self, value: Any) -> tree.Node | None:
        if not is_expression(value):
            return None
        try:
            return parsed(value, self._findings.source).tree
        except ExpressionError:
            return None


def _leaves_record(branches: Iterable[Sequence[doc.StepModel]]) -> bool:
    done = (each for steps in branches for _, each in every(steps))
    return not all(isinstance(each, _HARMLESS) for each in done)


def _counts(node: tree.Node, state: FlowState) -> Iterator[tuple[tree.Node, FlowState]]:
    """Yield what is counted in an expression, with the state there; what a path leads to is left out."""
    parts = [(each, state) for each in node.operands()]
    match node:
        case (
            tree.FunctionCall(function=tree.Variable(name="count"), arguments=[given, *_])
            | tree.Chain(value=given, function=tree.Variable(name="count"))
        ):
            yield given, state
        case tree.Binary(operator="and" | "or", left=left, right=right):
            parts = [(left, state)]
            parts.append((right, state.where(holds(left), true=node.operator == "and")))
        case tree.Condition():
            told = holds(node.condition)
            parts = [(each, state.where(told, true=true)) for each, true in node.branches]
            parts.insert(0, (node.condition, state))
        case tree.Path():
            del parts[1:]
        case _:
            pass
    for part, there in parts:
        yield from _counts(part, there)
