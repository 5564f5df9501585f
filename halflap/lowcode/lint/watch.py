"""Watches values on their way through a flow: those that may be null, or differ at the next attempt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from halflap.errors import ExpressionError
from halflap.lowcode import kinds as doc
from halflap.lowcode.expressions.reads import paths_read
from halflap.lowcode.expressions.tree import Node
from halflap.lowcode.kinds.walk import every
from halflap.lowcode.lint import rules
from halflap.lowcode.lint.conditions import NONE, Fields, Holds, field_of, holds
from halflap.lowcode.lint.env import Names
from halflap.lowcode.lint.expressions import Read, Reads, leaves
from halflap.lowcode.lint.nulls import Facts, GivenName, Null, joined, nullable, takes_null
from halflap.lowcode.lint.reader import names_given, times_set
from halflap.lowcode.lint.rules import Findings
from halflap.lowcode.lint.scope import Schema
from halflap.lowcode.lint.shapes import InputShape
from halflap.lowcode.lint.templates import parts
from halflap.lowcode.source import Path
from halflap.lowcode.template import is_expression, parsed

BRANCH = "its step is in a branch that may not be taken"
TRIED = "its step is in a `try`, which may fail before it"
IGNORED = "its step may fail, and that is ignored"
_HARMLESS = (
    doc.LogStep, doc.SetStep, doc.ThrowStep, doc.IfStep, doc.SwitchStep, doc.ForStep, doc.TryStep
)  # fmt: skip
_CHANGES = (
    "is another at the next attempt, and so would be what is recorded, which fails as Nondeterminism; "
    "read it in `log` alone, have `retry` say how often a step is tried, and count in `state`"
)


class Watch:
    """The facts about a flow's values at the current place of a walk: `facts`."""

    def __init__(self, findings: Findings) -> None:
        self.facts = Facts()
        self._findings = findings
        self._changing: set[str] = set()
        self.trying = 0
        """The number of `try` steps that would catch a failure here."""

    # Where the walk goes ------------------------------------------------------------------------

    def filtered(self, value: Any) -> None:
        """Begin where a filter has let the event pass, whatever it asks for."""
        read = self.fields(value)
        self.facts = self.facts.where(Holds(asked=read, read=read), true=True)

    def condition(self, value: Any) -> Holds:
        """Return a condition's facts about what it reads."""
        tree = self._tree(value)
        return Holds() if tree is None else holds(tree)

    def chosen(self, value: Any) -> Holds:
        """Return the facts about a `switch`'s value, in its cases."""
        tree = self._tree(value)
        field, read = None if tree is None else field_of(tree), self.fields(value)
        if field is not None:
            return Holds(true=frozenset((field,)), read=read)
        return Holds(asked=read, read=read)

    def fields(self, value: Any) -> Fields:
        """The paths that a template reads."""
        found: Fields = NONE
        for each, _ in leaves(value):
            tree = self._tree(each)
            found |= NONE if tree is None else paths_read(tree)
        return found

    def under(self, value: Any, *branches: Sequence[doc.StepModel]) -> Fields:
        """Return what decides the results of branches: what is read, and what they name and set."""
        names = (name for each in branches for name in names_given(each, ()))
        return self.fields(value) | frozenset((name,) for name in names)

    def join(
        self, before: Facts, ways: Sequence[tuple[Facts, str]], under: Fields, why: str = BRANCH
    ) -> None:
        """Go on after branches: those that have not ended."""
        going = [facts for facts, ends in ways if not ends]
        every = len(going) == len(ways)
        self.facts = joined(before, going or [facts for facts, _ in ways], why, under, every=every)

    def enter(self, item: str, items: Any, where: Any, body: Sequence[doc.StepModel]) -> Facts:
        """Go into a loop; gives the facts for the first step after it, so far."""
        before = self.facts
        before.forget(*times_set(body))
        self.facts = before.where(self.condition(where), true=True)
        tree = self._tree(items)
        field = None if tree is None else field_of(tree)
        source = None if field is None else self.facts.given.get(field[0], GivenName(declared=True))
        self.facts.give(item, GivenName(declared=source is not None and source.declared))
        return before

    def leave(self, before: Facts, step: doc.ForStep) -> None:
        """Go on after a loop, whose body was gone through once or never."""
        body, self.facts = self.facts, before
        if step.parallel is not None:
            return
        under = self.under(step.items, step.do) | self.fields(step.where)
        again = {
            name: each
            for name, each in body.given.since(before.given).items()
            if name in before.given
        }
        body.given = before.given.inner(again)
        self.facts = joined(before, [before.unchanged(), body], BRANCH, under, every=True)

    def caught(self, before: Facts, step: doc.TryStep) -> Facts:
        """Return the facts where a `try` has failed, of what it may have done so far."""
        start = before.unchanged()
        start.forget(*times_set(step.attempt))
        under = self.under(None, step.attempt, step.catch)
        ways = [start.unchanged(), self.facts]
        made = joined(start, ways, TRIED, under, every=True, base=before)
        made.give(step.error, GivenName(declared=True))
        return made

    # What steps give ----------------------------------------------------------------------------

    def result(self, name: str, schema: Schema | None, why: str, *, declared: bool) -> None:
        """A step has given its result; `why` it may be null where its schema says that it may."""
        absent = why if schema is None or nullable(schema) else ""
        self.facts.give(name, GivenName(absent, declared))

    def assigned(self, name: str, value: Any, names: Names) -> None:
        """A variable was set."""
        tree = self._tree(value)
        why = "it is set to null" if value is None else ""
        if tree is not None and (found := self.facts.of(tree, names)) is not None:
            source = ".".join(found.field)
            why = f"it is set to what `{source}` gives, and there {found.why}"
        read = self.fields(value)
        self.facts.give(name, GivenName(why, rests=self.facts.closure(read)))
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
        names: Names,
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
            self._told(reads[leaf.path], names, said, required=leaf.required)

    def text(self, what: str, reads: Reads, names: Names) -> None:
        """Something has to be a text, or a number."""
        for read in reads.values():
            self._told(read, names, f"`{what}`", required=True)

    def _told(self, read: Read, names: Names, what: str, *, required: bool) -> None:
        found = self.facts.of(read.expression.tree, names)
        if found is None or self.trying or not (found.whole or required):
            return
        message = f"{what} {self._said(found, names)}"
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

    def counted(self, read: Read, names: Names) -> None:
        """Find `$count` of what may be null: null is one value, and nothing is none."""
        if "$count" not in read.expression.text:
            return
        for node, facts in _counts(read.expression.tree, self.facts):
            found = facts.of(node, names)
            if found is None or not found.whole:
                continue
            name, text = ".".join(found.field), read.expression.text
            said = f"$count(…) is 1 where {name} is null: {found.why}{self._line(found, names)}; "
            said += f"write $count($list({name})), which is 0 there"
            meant = text[: found.at] + f"$list({name})" + text[found.at + len(name) :]
            whole = text.startswith(name, found.at) and node.kind == "path"
            mend = self._findings.expression(read.path, meant if whole else None)
            self._findings.add(rules.NULL, read.path, said, at=found.at, mend=mend)

    def recorded(self, reads: Reads) -> None:
        """Note that what is read here decides what is recorded."""
        for read in reads.values():
            for name in read.expression.names():
                if self._changes(name.path):
                    said = f"{name} {_CHANGES}"
                    self._findings.add(rules.ATTEMPT, read.path, said, at=name.offset)

    def decides(self, reads: Reads, *branches: Sequence[doc.StepModel]) -> None:
        """Note that what is read here decides which steps are done; such as leave no record are
        left alone.
        """
        done = (each for steps in branches for _, each in every(steps))
        if not all(isinstance(each, _HARMLESS) for each in done):
            self.recorded(reads)

    def _changes(self, path: Sequence[str]) -> bool:
        if path and path[0] == "execution":
            return len(path) < 2 or path[1] in ("attempt", "*")
        return bool(path) and path[0] in self._changing

    # Reading ------------------------------------------------------------------------------------

    def _tree(self, value: Any) -> Node | None:
        if not is_expression(value):
            return None
        try:
            return parsed(value, self._findings.source).tree
        except ExpressionError:
            return None


def _counts(node: Node | None, facts: Facts) -> Iterator[tuple[Node, Facts]]:
    """Yield what is counted in an expression, with the facts there; what a path leads to is left out."""
    if node is None:
        return
    left, right, other = node.left, node.right, node.other
    if node.kind == "call" and left and (left.kind, left.value) == ("variable", "count"):
        yield from ((each, facts) for each in node.items[:1])
    elif node.kind == "apply" and right and (right.kind, right.value) == ("variable", "count"):
        yield from ((each, facts) for each in (left,) if each)
    beside = {"and": True, "or": False}.get(str(node.value)) if node.kind == "binary" else None
    guarded = left is not None and (beside is not None or node.kind == "condition")
    then = facts.where(holds(left), true=beside is not False) if left and guarded else facts
    yield from _counts(left, facts)
    yield from _counts(right, then)
    if other is not None:
        yield from _counts(
            other, facts.where(holds(left), true=False) if left and guarded else facts
        )
    for each in node.items[: 1 if node.kind == "path" else None]:
        yield from _counts(each, facts)
    for part in (part for pair in node.pairs for part in pair):
        yield from _counts(part, facts)
