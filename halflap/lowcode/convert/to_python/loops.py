"""Writes loops: one item after another, or several side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pydantic import BaseModel

from halflap.lowcode import steps as doc
from halflap.lowcode.convert.to_python.actions import Actions
from halflap.lowcode.convert.to_python.kind import CLOSED, JSON, Kind, field_of
from halflap.lowcode.convert.to_python.layout import (
    Group,
    Piece,
    call,
    call_with,
    joined,
    lines,
    text,
)
from halflap.lowcode.convert.to_python.scope import Frame, Variable, within
from halflap.lowcode.convert.to_python.writer import Block, titled
from halflap.lowcode.source import Path


class Loops(Actions):
    """Writes `for`."""

    def block(self, steps: Iterable[doc.Step], path: Path, indent: int) -> Block:
        """Write a list of steps."""
        raise NotImplementedError

    def loop(self, step: doc.ForStep, path: Path, indent: int) -> Block:
        """`for`."""
        items, kind = self.items(step.items, (*path, "in"))
        if step.parallel is not None and not _keyed_alike(kind):
            items, kind = self.evaluated(str(step.items), (*path, "in"), "items"), JSON
        before, outer = self.state.copy(), self.frame
        frame = self.opened(
            (*path, "do"),
            self.scoping.own[path],
            self.scoping.copied[path],
            apart=step.parallel is not None,
        )
        item = self.variable(frame, step.item, "")
        item.give(kind)
        self.state.given.add(item)
        for name in self._given_inside(step):
            found = outer.find(name)
            if found is not None:
                self.state.sure.discard(found)
        written = self._in_turn if step.parallel is None else self._at_once
        made = written(step, path, frame, outer, item, items, indent)
        self.frame = outer
        sure = {each for each in before.sure if each.name and self._still(each, step, outer)}
        self.state = before
        self.state.sure = sure
        if step.id is not None and (variable := outer.find(step.id)) is not None:
            variable.give(Kind("list", of=CLOSED))
            self.state.given.add(variable)
        return made

    def _still(self, variable: Variable, step: doc.ForStep, outer: Frame) -> bool:
        return all(outer.find(name) is not variable for name in self._given_inside(step))

    def _given_inside(self, step: doc.ForStep) -> list[str]:
        """Outer variables that the loop's body sets."""
        if step.parallel is not None:
            return []
        found: list[str] = []
        for each in _every(step.do):
            if isinstance(each, doc.SetStep):
                found += each.set
        return found

    # One after another ------------------------------------------------------------------------

    def _in_turn(
        self,
        step: doc.ForStep,
        path: Path,
        frame: Frame,
        outer: Frame,
        item: Variable,
        items: Piece,
        indent: int,
    ) -> Block:
        result = None if step.id is None else outer.find(step.id)
        if result is not None and not self.is_read(result):
            result = None
        listed = "" if result is None else result.name
        if result is not None and (self.tries or self._reads_itself(step, result)):
            listed = self.names.free(f"{step.id}_items", [*frame.taken(), *outer.taken()])
        self.loops += 1
        inside = indent + 4
        where: list[str] = []
        if step.where is not None:
            condition, _ = self.truth(step.where, (*path, "where"))
            where = lines(joined("if ", condition), inside, ":")
            inside += 4
        body = self._one(
            step, path, inside, lambda value: call(f"{listed}.append", value), bool(listed)
        )
        self.loops -= 1
        pad = " " * indent
        made = [f"{pad}{listed} = []"] if listed else []
        loop = lines(joined(f"for {item.name} in ", items), indent, ":")
        made += titled(loop, step.title, indent)
        made += self.beginnings(frame, indent + 4)
        made += [*where, *body]
        if result is not None and listed != result.name:
            made.append(f"{pad}{result.name} = {listed}")
        return Block(made)

    def _reads_itself(self, step: doc.ForStep, result: Variable) -> bool:
        told = repr(step)
        return f"{step.id}" in told.replace(f"id='{step.id}'", "", 1)

    def _one(
        self,
        step: doc.ForStep,
        path: Path,
        indent: int,
        keep: Callable[[Piece], Piece],
        kept: bool,
    ) -> list[str]:
        """What is done with one item, and what is kept of it."""
        pad = " " * indent
        goes_on = step.on_failure == "continue"
        inner = indent + 4 if goes_on else indent
        self.tries += goes_on
        body = self.block(step.do, (*path, "do"), inner)
        self.tries -= goes_on
        made = body.lines
        if kept and not body.ends:
            value: Piece = "None"
            if step.collect is not None:
                value = self.value(step.collect, (*path, "collect"))[0]
            done = [] if made == [" " * inner + "pass"] else made
            made = [*done, *lines(keep(value), inner)]
        if not goes_on:
            return made
        made = [f"{pad}try:", *made, f"{pad}except {self.uses('FAILURES')} as failure:"]
        told = f"{step.title or f'for {step.item}'}: an item failed: "
        shown = text(told.replace("{", "{{").replace("}", "}}"))
        made += lines(call("ctx.log.warning", f"f{shown[:-1]}{{failure}}{shown[0]}"), indent + 4)
        if kept:
            error = call(self.uses("expr"), text('{"error": failure}'), "failure=failure")
            made += lines(keep(error), indent + 4)
        return made

    # Side by side -----------------------------------------------------------------------------

    def _at_once(
        self,
        step: doc.ForStep,
        path: Path,
        frame: Frame,
        outer: Frame,
        item: Variable,
        items: Piece,
        indent: int,
    ) -> Block:
        inside = indent + 4
        self.aside = frame
        where = None if step.where is None else self.truth(step.where, (*path, "where"))[0]
        key = None if step.key is None else self.text(step.key, (*path, "key"))
        self.aside = None
        around = self._around(frame)
        read = {each for each in around if each.read}
        for each in around:
            each.read = False
        tries, loops, sure = self.tries, self.loops, self.state.sure
        self.tries, self.loops, self.state.sure = 0, 0, set()
        gives = step.collect is not None or step.on_failure == "continue"
        body = self._one(step, path, inside, lambda value: joined("return ", value), gives)
        self.tries, self.loops, self.state.sure = tries, loops, sure
        bound = [f"{each.name}={each.name}" for each in around if each.read]
        for each in read:
            each.read = True
        function = self.names.free(f"do_{step.item}", [*frame.taken(), *outer.taken()])
        json = self.uses("Json")
        given = ", ".join([f"{item.name}: {json}", *bound])
        result = json if gives else "None"
        head = f"{' ' * indent}async def {function}({given}) -> {result}:"
        made = titled([head], step.title, indent) + self.beginnings(frame, inside) + body
        if where is not None:
            clauses = (item.name, joined(f"for {item.name} in ", items), joined("if ", where))
            items = Group("[", clauses, "]", "clauses")
        named: list[tuple[str, Piece]] = []
        if key is not None:
            named.append(("key", joined(f"lambda {item.name}: ", key)))
        named.append(("limit", str(step.parallel or 1)))
        gathered = joined("await ", call_with("ctx.gather", [items, function], named))
        kind = Kind("list", of=CLOSED)
        return Block(["", *made, "", *self.assigned(step.id, gathered, kind, indent, outer)])

    def _around(self, frame: Frame) -> list[Variable]:
        """The variables of the loops around, which a function in a loop takes as they are now."""
        found: list[Variable] = []
        parent = frame.parent
        while parent is not None and parent.parent is not None and not parent.apart:
            found += parent.variables.values()
            parent = parent.parent
        return found


def _every(steps: Iterable[doc.Step]) -> Iterable[doc.Step]:
    for each in within(steps):
        yield each
        if isinstance(each, doc.ForStep) and each.parallel is None:
            yield from _every(each.do)


def _keyed_alike(kind: Kind) -> bool:
    """Whether items of a kind are told apart in Python as they are in JSON: by their `id`."""
    if kind.base != "model":
        return True
    model: type[BaseModel] = kind.of
    field = field_of(model, "id")
    return ("id" in model.model_fields) == (field is not None) and (
        field is None or field[0] == "id"
    )
