"""Says loops as steps."""

from __future__ import annotations

import ast
from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any, TypeVar

from halflap.lowcode.convert.to_yaml.calls import Calls
from halflap.lowcode.convert.to_yaml.coded import Called
from halflap.lowcode.convert.to_yaml.made import Made
from halflap.lowcode.convert.to_yaml.refusal import Refusals, Refused
from halflap.lowcode.convert.to_yaml.remarks import Remarks
from halflap.lowcode.convert.to_yaml.shapes import (
    FAILED,
    Body,
    appended,
    begins,
    ends,
    is_empty,
    is_failure,
    is_result,
    item_in,
    nulls,
    outside_loops,
    stored,
    taken_apart,
    without_continue,
    without_name,
)
from halflap.lowcode.convert.to_yaml.terms import name_of
from halflap.lowcode.convert.to_yaml.types import CLOSED, JSON, Kind
from halflap.lowcode.convert.to_yaml.variables import Variable, joined
from halflap.lowcode.outline.flow import is_nothing

T = TypeVar("T")
MOST_PASSES = 4


@dataclass
class Loops(Calls):
    """Says loops."""

    remarks: Remarks = field(kw_only=True)
    refusals: Refusals = field(kw_only=True)
    functions: dict[str, ast.AsyncFunctionDef] = field(
        default_factory=dict[str, ast.AsyncFunctionDef]
    )
    given: list[tuple[str, Made]] = field(default_factory=list[tuple[str, Made]])
    """The steps with results, of which those that nobody reads lose their id at the end."""
    apart: int = 0
    """The depth of the innermost loop whose items go side by side."""
    trying: bool = False
    """Whether what is said is only to find out what variables may be."""

    @abstractmethod
    def block(self, body: Sequence[ast.stmt]) -> list[Made]:
        """The steps of statements."""

    @abstractmethod
    def give(self, node: ast.AST, name: str, called: Called) -> list[Made]:
        """A step whose result has a name, and what more it takes to give it that."""

    def called_in(self, value: ast.Await) -> Called:
        """The step that stands behind `await`."""
        if isinstance(value.value, ast.IfExp):
            raise Refused(value, "write this as if and else")
        return self.called(value.value)

    # Variables --------------------------------------------------------------------------------

    def mixed_in(self, body: Sequence[ast.stmt]) -> set[str]:
        """The names that are given more than a step's result once, wherever these statements go."""
        found: set[str] = set()
        self._follow(body, {}, found)
        return found

    def _follow(
        self, body: Sequence[ast.stmt], before: dict[str, bool], mixed: set[str]
    ) -> dict[str, bool]:
        """The names that have a value after statements, and whether it is more than None.

        What is given more than a step's result once is added to `mixed`.
        """
        seen = dict(before)
        for each, following in zip_longest(body, body[1:]):
            match each:
                case (
                    ast.Assign(targets=[ast.Name(id=name)], value=value)
                    | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
                ):
                    if begins(each) and not seen.get(name):
                        seen[name] = False
                        continue
                    if seen.get(name) or not self._is_result(name, value, following):
                        mixed.add(name)
                    seen[name] = True
                case ast.AugAssign(target=ast.Name(id=name)):
                    mixed.add(name)
                case ast.For(body=inner):
                    mixed |= seen.keys() & stored(inner).keys()
                    self._follow(inner, seen, mixed)
                case ast.If(body=then, orelse=other):
                    _merge(seen, *(self._follow(e, seen, mixed) for e in (then, other)))
                case ast.Match(cases=cases):
                    _merge(seen, *(self._follow(e.body, seen, mixed) for e in cases))
                case ast.Try(body=tried, handlers=handlers):
                    after = self._follow(tried, seen, mixed)
                    ways = [self._follow(without_name(e)[1], seen, mixed) for e in handlers]
                    for name in (name for name, given in after.items() if given):
                        if not seen.get(name) and any(way.get(name) for way in ways):
                            mixed.add(name)
                    _merge(seen, after, *ways)
                case _:
                    pass
        return seen

    def _is_result(self, name: str, value: ast.expr, following: ast.stmt | None) -> bool:
        if isinstance(following, ast.For) and is_empty(value):
            return self._appends(following, name) is not None
        return is_result(value)

    # One after another ----------------------------------------------------------------------------

    def listed(self, node: ast.stmt, following: ast.stmt | None) -> list[Made] | None:
        """`found = []`, and a loop that appends something for each item; None for all else."""
        match node, following:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=ast.List(elts=[])),
                ast.For(),
            ) if (made := self._appends(following, name)) is not None:
                return self.loop(following, name, made)
            case _:
                return None

    def _appends(self, loop: ast.For, name: str) -> Body | None:
        """The body of a loop that ends by appending something for each item that it takes."""
        body = taken_apart(loop.body)
        match body.inner:
            case [ast.Try(body=inner, handlers=[handler], orelse=[], finalbody=[])] if (
                len(handler.body) == 2
                and (told := self.told(handler) or "").endswith(FAILED)
                and is_failure(appended(handler.body[1], name), handler.name)
            ):
                body.inner, body.told = list(inner), told
            case _:
                pass
        if body.told is not None and ends(body.inner):
            body.result = ast.Constant(None)
        else:
            body.result = appended(body.inner[-1], name) if body.inner else None
            del body.inner[-1:]
        others = [*body.begins, *body.inner, *([] if body.where is None else [body.where])]
        reads = [n for each in others for n in ast.walk(each) if isinstance(n, ast.Name)]
        goes_on = any(isinstance(each, ast.Continue) for each in outside_loops(body.inner))
        if body.result is None or goes_on or any(each.id == name for each in reads):
            return None
        return body

    def told(self, handler: ast.ExceptHandler) -> str | None:
        """What a handler begins by logging of a failure; None where it does otherwise."""
        if self.meaning(handler.type or ast.Constant(None)) != "halflap.FAILURES":
            return None
        match handler.body[0]:
            case ast.Expr(value=ast.Call(func=function, args=[ast.JoinedStr(values=[
                ast.Constant(value=str(told)), ast.FormattedValue(value=ast.Name(id=name))
            ])])):  # fmt: skip
                warns = self.path_of_context(function) == ("log", "warning")
                return told if warns and name == handler.name else None
            case _:
                return None

    def loop(
        self, node: ast.For, collects: str | None = None, body: Body | None = None
    ) -> list[Made]:
        """`for`; `collects` is the name of the list that its items make."""
        if node.orelse:
            raise Refused(
                node, "`else` of a loop has no YAML; set a variable, and ask it afterwards"
            )
        if not isinstance(node.target, ast.Name):
            raise Refused(node.target, "a loop in YAML has one name; take the parts from it")
        name = node.target.id
        there = self.variables.get(name)
        if there is not None and there.depth < self.depth:
            raise Refused(node.target, f"{name} has a value already; give the item another name")
        before, items, kind = self.items_of(node.iter)
        title = self.remarks.title(node, node.iter)
        parts = body or self._parts(node.body)
        state, since = self.state(), len(self.given_kinds)
        data = self._repeated(
            node.body, lambda: self._in_turn(node.target, parts, kind, title, items)
        )
        inside = self.variables.keys() | self.maybe
        self.restore(state)
        self.maybe |= inside - self.variables.keys()
        self.drop(name)
        self.widen(since)
        if collects is None:
            return [*before, Made(data)] if data["do"] else before
        return [
            *before,
            *self.give(node, collects, Called(data, Kind("list", of=JSON))),
        ]

    def _in_turn(
        self, target: ast.expr, body: Body, kind: Kind, title: str | None, items: Any
    ) -> dict[str, Any]:
        assert isinstance(target, ast.Name)
        with self.looping(nulls(body.begins + body.inner)):
            called = self.called_here(target.id, item_in(body.told, title))
            item = self.bind(target, target.id, kind, "item", called)
            data = self.headed(target, body.told, title, called)
            data |= {"for": called, "in": items}
            first = self.changing(item, target.id, body.begins + body.inner)
            begun = {*stored(body.begins), *([target.id] if first else [])}
            first += self.block(body.begins)
            if first and body.result is not None and body.where is not None:
                read = {each.id for each in ast.walk(body.where) if isinstance(each, ast.Name)}
                if read & begun:
                    raise Refused(body.where, "ask this before the loop's variables are set")
            if first and body.where is not None and body.result is None:
                inside = ast.If(body.where, body.inner, [])
                body = replace(body, where=None, inner=[ast.copy_location(inside, body.where)])
            if body.where is not None:
                data["where"] = self.condition(body.where)
                self.learn(body.where, holds=True)
            if body.told is not None:
                data["on_failure"] = "continue"
            data["do"] = [*first, *self.block(body.inner)]
            if body.result is not None and not is_nothing(body.result):
                data["collect"] = self.template(body.result)
        return data

    def changing(self, item: Variable, name: str, body: Sequence[ast.stmt]) -> list[Made]:
        """What makes a variable of an item, or of one of outside, that is given something else."""
        if name not in stored(body):
            return []
        self.reads.add(item.name)
        called = self.fresh(item.name)
        self.bind(body[0], name, item.kind, "set", called)
        self.called_so["", self.loops[-1]] = item.name
        self.called_so[name, self.loops[-1]] = called
        return [Made({"set": {called: f"={name_of(item.name)}"}})]

    def headed(
        self, node: ast.AST, told: str | None, title: str | None, item: str
    ) -> dict[str, Any]:
        """A loop's title, by which it logs that an item failed."""
        if told is not None:
            said = told.removesuffix(FAILED)
            if title is None and said != f"for {item}":
                title = said
            elif title is not None and title != said:
                raise Refused(node, "YAML logs: “…: an item failed: …”, with the loop's title")
        return {} if title is None else {"title": title}

    def _repeated(self, body: Sequence[ast.stmt], say: Callable[[], T]) -> T:
        """Say a loop's body, by what its variables may be from one item to the next."""
        names = [each for each in stored(body) if each in self.variables]
        self.unlearn(*names)
        for left in reversed(range(MOST_PASSES)) if names and not self.trying else ():
            before = {each: self.variables[each].kind for each in names}
            for name, kind in self._tried(say):
                if name in before:
                    there = self.variables[name]
                    there.kind = joined(there.kind, kind if left else CLOSED)
            if before == {each: self.variables[each].kind for each in names}:
                break
        return say()

    def _tried(self, say: Callable[[], Any]) -> list[tuple[str, Kind]]:
        """What variables are given where something is said; all else is as before."""
        state, since, given = self.state(), len(self.given_kinds), len(self.given)
        kept = set(self.broken), set(self.reads), set(self.taken)
        called, functions = dict(self.called_so), dict(self.functions)
        found = len(self.refusals.found)
        self.variables = {name: replace(each) for name, each in self.variables.items()}
        self.trying = True
        try:
            with self.remarks.again(), suppress(Refused):
                say()
            return self.given_kinds[since:]
        finally:
            self.trying = False
            self.restore(state)
            del self.given_kinds[since:], self.given[given:], self.refusals.found[found:]
            self.broken, self.reads, self.taken = kept
            self.called_so, self.functions = called, functions

    def items_of(self, node: ast.expr) -> tuple[list[Made], Any, Kind]:
        if isinstance(node, ast.Await):  # the list has no name in Python
            called = self.called(node.value)
            kind = called.kind or CLOSED
            if kind.base != "list" or kind.null:
                raise Refused(node, "this is not known to be a list")
            name = self.fresh(called.data.get("action", "x.items").partition(".")[2])
            name = name.removeprefix("list_").removeprefix("get_") or name
            made = self.give(node, name, called)
            self.reads.add(name)
            return made, f"={name_of(name)}", kind.of
        items = self.items(node)
        if self.asked(node) == "items":
            return [], items, JSON
        match node:
            case ast.BoolOp(values=[first, *_]):
                kind = self.term(first).kind
            case ast.List() | ast.Tuple():
                kind = self.term(ast.List(node.elts, ast.Load())).kind
            case _:
                kind = self.term(node).kind
        return [], items, kind.of or JSON

    def _parts(self, statements: list[ast.stmt]) -> Body:
        """The body of a loop that makes no list."""
        body = taken_apart(without_continue(statements))
        if body.where is not None and self.remarks.title(body.where) is not None:
            inside = ast.If(body.where, body.inner, [])  # which has a title
            body = replace(body, where=None, inner=[ast.copy_location(inside, body.where)])
        match body.inner:
            case [ast.Try(body=inner, handlers=[handler], orelse=[], finalbody=[])] if len(
                handler.body
            ) == 1 and (told := self.told(handler) or "").endswith(FAILED):
                body.inner, body.told = list(inner), told
            case _:
                pass
        return body

    def leave(self, node: ast.Break) -> list[Made]:
        """`break`."""
        if self.apart == self.depth:
            raise Refused(node, "items side by side cannot leave their loop")
        return [Made({"break": True})]


def _merge(seen: dict[str, bool], *ways: dict[str, bool]) -> None:
    """Add what has a value after branches."""
    for way in ways:
        for name, given in way.items():
            seen[name] = given or seen.get(name, False)
