"""Writes the steps of a flow as statements of Python."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from halflap.lowcode import steps as doc
from halflap.lowcode.convert.to_python.kind import CLOSED, JSON, NULL, Kind
from halflap.lowcode.convert.to_python.layout import (
    Group,
    Piece,
    call,
    call_with,
    joined,
    lines,
    text,
)
from halflap.lowcode.convert.to_python.loops import Loops
from halflap.lowcode.convert.to_python.say import literal
from halflap.lowcode.convert.to_python.scope import Variable
from halflap.lowcode.convert.to_python.writer import Block, Recent, merged, titled
from halflap.lowcode.expressions.tree import Node
from halflap.lowcode.source import Path
from halflap.lowcode.template import expression_at, is_expression


class FlowWriter(Loops):
    """Writes steps of every kind."""

    def block(self, steps: Iterable[doc.Step], path: Path, indent: int) -> Block:
        """Write a list of steps; what follows one that ends is never reached."""
        made = Block()
        for at, each in enumerate(steps):
            place = (*path, at)
            remarks = [*self.module.remarks.of(place), *_noted(each)]
            made.lines += self.remark(remarks, indent)
            before, self.recent = self.recent, None
            written = _WRITTEN[type(each)](self, each, place, indent)
            made.lines = self._returned(made.lines, before, written.lines, indent)
            if written.ends:
                made.ends = True
                break
        if not any(line.strip() and not line.strip().startswith("#") for line in made.lines):
            made.lines.append(" " * indent + "pass")
        return made

    def _returned(
        self, before: list[str], recent: Recent | None, made: list[str], indent: int
    ) -> list[str]:
        """Lines with the next ones; what a variable is given only to be returned is returned."""
        if recent is None or made != [f"{' ' * indent}return {recent.name}"]:
            return [*before, *made]
        stands_here = recent.lines[0][indent:] == recent.lines[0].lstrip()
        if before[-len(recent.lines) :] != recent.lines or not stands_here:
            return [*before, *made]
        return [*before[: -len(recent.lines)], *lines(joined("return ", recent.piece), indent)]

    # Branches ---------------------------------------------------------------------------------

    def branch(self, step: doc.IfStep, path: Path, indent: int, word: str = "if") -> Block:
        """`if`."""
        condition, _ = self.truth(step.condition, (*path, "if"))
        made = self.headed(f"{word} ", condition, step.title, indent)
        null, other = self._told_apart(step.condition, (*path, "if"))
        before = self.state
        self.state = before.copy()
        self.state.sure |= other
        then, then_state = self.block(step.then, (*path, "then"), indent + 4), self.state
        self.state = before.copy()
        self.state.sure |= null
        made += then.lines
        otherwise = Block()
        if step.otherwise:
            otherwise = self._else(step.otherwise, path, indent, after=then.ends)
            made += otherwise.lines
        ends = then.ends and otherwise.ends
        self.state = merged(before, [(then, then_state), (otherwise, self.state)])
        return Block(made, ends)

    def _else(self, steps: list[doc.AnyStep], path: Path, indent: int, *, after: bool) -> Block:
        """What is done otherwise; on a level with the `if` where nothing goes on after that."""
        if after:
            return self.block(steps, (*path, "else"), indent)
        only = steps[0] if len(steps) == 1 else None
        if isinstance(only, doc.IfStep) and not only.note:
            return self.branch(only, (*path, "else", 0), indent, "elif")
        block = self.block(steps, (*path, "else"), indent + 4)
        return Block([" " * indent + "else:", *block.lines], block.ends)

    def _told_apart(self, value: Any, path: Path) -> tuple[set[Variable], set[Variable]]:
        """Of a comparison with null, what is not null where it fails, and where it holds."""
        if not is_expression(value):
            return set(), set()
        tree = expression_at(value, self.module.source, path).expression.tree
        sides = [each for each in (tree.left, tree.right) if each is not None]
        if tree.kind != "binary" or tree.value not in ("=", "!=") or len(sides) != 2:
            return set(), set()
        names = [name for each in sides if (name := _bare_name(each)) is not None]
        nulls = [each for each in sides if each.kind == "literal" and each.value is None]
        if len(names) != 1 or len(nulls) != 1:
            return set(), set()
        variable = self.frame.find(names[0])
        found = {variable} if variable is not None else set[Variable]()
        return (found, set()) if tree.value == "=" else (set(), found)

    def switch(self, step: doc.SwitchStep, path: Path, indent: int) -> Block:
        """`switch`."""
        pad = " " * (indent + 4)
        value, kind = self.scalar(step.switch, (*path, "switch"))
        made = self.headed("match ", value, step.title, indent)
        before, ways = self.state, list[tuple[Block, Any]]()
        open_kind = kind.base not in ("text", "integer")
        for case, steps in step.cases.items():
            found = literal(case, self)
            assert found is not None
            self.state = before.copy()
            block = self.block(steps, (*path, "cases", case), indent + 8)
            ways.append((block, self.state))
            pattern = found.text
            if open_kind and type(case) is int and case in (0, 1):
                pattern = f"{case} as found if found is not {bool(case)}"
            made += [f"{pad}case {pattern}:", *block.lines]
        self.state = before.copy()
        if step.default:
            block = self.block(step.default, (*path, "default"), indent + 8)
            made += [f"{pad}case _:", *block.lines]
        else:
            block = Block()
            if not step.cases:
                made += [f"{pad}case _:", f"{pad}    pass"]
        ways.append((block, self.state))
        self.state = merged(before, ways)
        return Block(made, all(each.ends for each, _ in ways))

    def attempt(self, step: doc.TryStep, path: Path, indent: int) -> Block:
        """`try`."""
        pad, before = " " * indent, self.state
        self.state = before.copy()
        self.tries += 1
        body = self.block(step.attempt, (*path, "try"), indent + 4)
        self.tries -= 1
        after = self.state
        self.state = before.copy()
        self.state.sure &= after.sure
        error = self.frame.find(step.error)
        assert error is not None
        error.give(CLOSED.known())
        self.state.given.add(error)
        self.caught.add(error)
        catch = self.block(step.catch, (*path, "catch"), indent + 4)
        self.caught.discard(error)
        late = self.learned.late is None or error.key in self.learned.late
        caught = "" if not self.is_read(error) else " as failure" if late else f" as {error.name}"
        every = f"(*{self.uses('FAILURES')}, {self.uses('ExpressionError')})"
        made = [*self.remark([step.title] if step.title else [], indent), f"{pad}try:"]
        made += [*body.lines, f"{pad}except {every}{caught}:"]
        if caught and late:
            made.append(f"{pad}    {error.name} = failure")
        made += catch.lines
        self.state = merged(before, [(body, after), (catch, self.state)])
        return Block(made, body.ends and catch.ends)

    # Variables, state, waiting ----------------------------------------------------------------

    def assign(self, step: doc.SetStep, path: Path, indent: int) -> Block:
        """`set`."""
        made: list[str] = self.remark([step.title] if step.title else [], indent)
        for name, value in step.set.items():
            piece, kind = self.value(value, (*path, "set", name))
            made += self.assigned(name, piece, kind, indent)
        return Block(made)

    def sleep(self, step: doc.SleepStep, path: Path, indent: int) -> Block:
        """`sleep`."""
        time = self._time(step.sleep, (*path, "sleep"))
        return self._said(step, lines(joined("await ", call("ctx.sleep", time)), indent), indent)

    def _time(self, value: Any, path: Path) -> Piece:
        from halflap.lowcode.duration import duration

        if not is_expression(value):
            try:
                return self.span(duration(value))
            except ValueError:
                pass
        return self.time(value, path)

    def wait(self, step: doc.WaitStep, path: Path, indent: int) -> Block:
        """`wait`."""
        named: list[tuple[str, Piece]] = []
        if step.timeout is not None:
            named.append(("timeout", self.span(step.timeout)))
        called = joined("await ", call_with("ctx.wait_for", [text(step.wait)], named))
        if step.on_timeout == "fail":
            return self._said(step, self.assigned(step.id, called, JSON, indent), indent)
        pad = " " * indent
        made = [f"{pad}try:", *self.assigned(step.id, called, JSON, indent + 4)]
        made.append(f"{pad}except {self.uses('TimedOut')}:")
        variable = None if step.id is None else self.frame.find(step.id)
        if variable is not None and self.is_read(variable):
            made.append(f"{pad}    {variable.name} = None")
        else:
            made.append(f"{pad}    pass")
        return self._said(step, made, indent)

    def links(self, step: doc.LinksStep, path: Path, indent: int) -> Block:
        """`links`."""
        shown = self.text(step.text, (*path, "text"))
        choices = Group(
            "(", tuple(map(text, step.choices)), ",)" if len(step.choices) == 1 else ")"
        )
        url = call(
            "ctx.signal_url",
            text(step.links),
            "choice",
            joined("text=", shown),
            f"within={self.span(step.within)}",
        )
        made = Group(
            "{", (joined("choice: ", url), joined("for choice in ", choices)), "}", "clauses"
        )
        return self._said(step, self.assigned(step.id, made, CLOSED.known(), indent), indent)

    def kept(self, step: doc.StateStep, path: Path, indent: int) -> Block:
        """`state`."""
        state = "ctx.state" if step.scope == "flow" else f"ctx.state.{step.scope}"
        key = self.text(step.key, (*path, "key"))
        if step.state == "get":
            args: list[Piece] = [key]
            if step.default is not None:
                args.append(self.plain(step.default, (*path, "default")))
            called = joined("await ", call(f"{state}.get", *args))
            return self._said(step, self.assigned(step.id, called, JSON, indent), indent)
        if step.state == "delete":
            made = lines(joined("await ", call(f"{state}.delete", key)), indent)
            return self._said(step, made + self._after(step, "None", NULL, indent), indent)
        value, kind = self.stored(step.value, (*path, "value")), CLOSED
        made: list[str] = []
        variable = None if step.id is None else self.frame.find(step.id)
        if variable is not None and self.is_read(variable):
            kept = self.names.free("value", self.frame.taken())
            made += lines(joined(f"{kept} = ", value), indent)
            value = kept
        named: list[tuple[str, Piece]] = []
        if "expect" in step.model_fields_set:
            named.append(("expect", self.stored(step.expect, (*path, "expect"))))
        made += lines(joined("await ", call_with(f"{state}.put", [key, value], named)), indent)
        return self._said(step, made + self._after(step, value, kind, indent), indent)

    def _after(self, step: doc.Result, value: Piece, kind: Kind, indent: int) -> list[str]:
        variable = None if step.id is None else self.frame.find(step.id)
        if variable is None or not self.is_read(variable):
            return []
        return self.assigned(step.id, value, kind, indent)

    def paired(self, step: Any, path: Path, indent: int) -> Block:
        """`paired`, `pair` and `unpair`."""
        return self._said(step, self.pairing(step, path, indent).lines, indent)

    def called(self, step: doc.CallStep, path: Path, indent: int) -> Block:
        """`call`."""
        return self._said(step, self.call(step, path, indent).lines, indent)

    def log(self, step: doc.LogStep, path: Path, indent: int) -> Block:
        """`log`."""
        fields = [
            (name, self.plain(each, (*path, "fields", name))) for name, each in step.fields.items()
        ]
        message = self.text(step.log, (*path, "log"))
        made = lines(call_with(f"ctx.log.{step.level}", [message], fields), indent)
        return self._said(step, made, indent)

    # Ends -------------------------------------------------------------------------------------

    def leave(self, step: doc.BreakStep, path: Path, indent: int) -> Block:
        """`break`."""
        return Block(titled([" " * indent + "break"], step.title, indent), ends=True)

    def stop(self, step: doc.StopStep, path: Path, indent: int) -> Block:
        """`stop`."""
        value: Piece = "None"
        given, place = step.stop, (*path, "stop")
        if not isinstance(given, bool):
            if given.ignore is not None:
                self.returns.add("ignore")
                value = call(self.uses("Ignore"), self.text(given.ignore, (*place, "ignore")))
            elif given.reply is not None:
                self.returns.add("value")
                value = self._reply(given.reply, (*place, "reply"))
            elif given.answer is not None:
                self.returns.add("value")
                value = self.plain_or_model(given.answer, (*place, "answer"))
        bare = value == "None" and not self.learned.returns
        made = [" " * indent + "return"] if bare else lines(joined("return ", value), indent)
        return self._said(step, made, indent, ends=True)

    def plain_or_model(self, value: Any, path: Path) -> Piece:
        """What a flow returns: a model is written by its app's own names."""
        return self.value(value, path)[0]

    def _reply(self, reply: doc.ReplyPart, path: Path) -> Piece:
        status = reply.status
        known = isinstance(status, int) and not isinstance(status, bool) and 200 <= status <= 599
        shown: Piece = str(status) if known else self._asked(status, (*path, "status"), "status")
        headers = tuple(
            joined(f"{text(name)}: ", self.text(each, (*path, "headers", name)))
            for name, each in reply.headers.items()
        )
        args: list[Piece] = [shown]
        if reply.has_body:
            args.append(self.value(reply.body, (*path, "body"))[0])
        named: list[tuple[str, Piece]] = []
        if headers:
            named.append(("headers", Group("{", headers, "}", "display")))
        return call_with(self.uses("Reply"), args, named)

    def throw(self, step: doc.ThrowStep, path: Path, indent: int) -> Block:
        """`throw`."""
        message = self.text(step.throw, (*path, "throw"))
        named = [] if step.title is None else [("step", text(step.title))]
        thrown = call_with(self.uses("Thrown"), [message], named)
        return Block(lines(joined("raise ", thrown), indent), ends=True)

    def code(self, step: doc.CodeStep, path: Path, indent: int) -> Block:
        """`code`."""
        from halflap.lowcode.convert.to_python.code import written_code

        return written_code(self, step, path, indent)

    def _said(self, step: doc.Step, made: list[str], indent: int, *, ends: bool = False) -> Block:
        """Lines with the step's title before them."""
        return Block([*self.remark([step.title] if step.title else [], indent), *made], ends)


def _noted(step: doc.Step) -> list[str]:
    return [] if step.note is None else step.note.strip().splitlines()


def _bare_name(node: Node) -> str | None:
    """The name, where a path is nothing else."""
    if (
        node.kind != "path"
        or len(node.items) != 1
        or node.keep_one
        or node.predicates
        or node.group
    ):
        return None
    only = node.items[0]
    bare = only.kind == "name" and not (only.predicates or only.stages or only.keep or only.tuples)
    return str(only.value) if bare else None


_WRITTEN: dict[type[doc.Step], Callable[[FlowWriter, Any, Path, int], Block]] = {
    doc.ActionStep: FlowWriter.action,
    doc.IfStep: FlowWriter.branch,
    doc.SwitchStep: FlowWriter.switch,
    doc.ForStep: FlowWriter.loop,
    doc.TryStep: FlowWriter.attempt,
    doc.SetStep: FlowWriter.assign,
    doc.CodeStep: FlowWriter.code,
    doc.CallStep: FlowWriter.called,
    doc.SleepStep: FlowWriter.sleep,
    doc.WaitStep: FlowWriter.wait,
    doc.LinksStep: FlowWriter.links,
    doc.StateStep: FlowWriter.kept,
    doc.PairedStep: FlowWriter.paired,
    doc.PairStep: FlowWriter.paired,
    doc.UnpairStep: FlowWriter.paired,
    doc.LogStep: FlowWriter.log,
    doc.BreakStep: FlowWriter.leave,
    doc.StopStep: FlowWriter.stop,
    doc.ThrowStep: FlowWriter.throw,
}
