"""Says loops as steps: one after another, and side by side."""

from __future__ import annotations

import ast
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from halflap.lowcode.convert.to_yaml.calls import Called, Calls
from halflap.lowcode.convert.to_yaml.made import Made
from halflap.lowcode.convert.to_yaml.refusal import Refusals, Refused
from halflap.lowcode.convert.to_yaml.remarks import Remarks
from halflap.lowcode.convert.to_yaml.terms import name_of
from halflap.lowcode.convert.to_yaml.types import CLOSED, JSON, Kind
from halflap.lowcode.outline.calls import argument


@dataclass
class Loops(Calls):
    """Says loops."""

    remarks: Remarks = field(kw_only=True)
    refusals: Refusals = field(kw_only=True)
    results: set[str] = field(kw_only=True)
    """Names that a step's result is given anywhere in the flow."""
    sets: set[str] = field(default_factory=set[str])
    functions: dict[str, ast.AsyncFunctionDef] = field(
        default_factory=dict[str, ast.AsyncFunctionDef]
    )
    given: list[tuple[str, Made]] = field(default_factory=list[tuple[str, Made]])
    """The steps with results, of which those that nobody reads lose their id at the end."""
    depth: int = 0
    apart: int = 0
    """The depth of the innermost loop whose items go side by side."""
    fresh_names: set[str] = field(default_factory=set[str])

    @abstractmethod
    def block(self, body: Sequence[ast.stmt]) -> list[Made]:
        """The steps of statements."""

    @abstractmethod
    def give(self, node: ast.AST, name: str, called: Called) -> Made:
        """A step whose result has a name."""

    def fresh(self, name: str) -> str:
        """A name that nothing else has."""
        taken = {*self.variables, *self.maybe, *self.results, *self.sets, *self.fresh_names}
        made, number = name, 2
        while made in taken or made == self.event:
            made, number = f"{name}_{number}", number + 1
        self.fresh_names.add(made)
        return made

    def called_in(self, value: ast.Await) -> Called:
        """The step that stands behind `await`."""
        if isinstance(value.value, ast.IfExp):
            raise Refused(value, "write this as if and else")
        return self.called(value.value)

    # One after another ----------------------------------------------------------------------------

    def listed(self, node: ast.stmt, following: ast.stmt | None) -> list[Made] | None:
        """`found = []`, and a loop that appends something for each item; None for all else."""
        match node, following:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=ast.List(elts=[])),
                ast.For(),
            ) if (made := self._appends(following, name)) is not None:
                loop, result, goes_on = made
                self.sets.discard(name)
                return self.loop(loop, (name, result, goes_on))
            case _:
                return None

    def _appends(self, loop: ast.For, name: str) -> tuple[ast.For, ast.expr, bool] | None:
        """A loop without what appends at its end, that, and whether others go on after a failure."""
        body, guards = list(loop.body), list[ast.stmt]()
        if (
            len(body) > 1
            and isinstance(body[0], ast.If)
            and isinstance(body[0].body[0], ast.Continue)
        ):
            guards.append(body.pop(0))
        around: ast.If | None = None
        if len(body) == 1 and isinstance(body[0], ast.If) and not body[0].orelse:
            around, body = body[0], list(body[0].body)
        goes_on = False
        match body:
            case [ast.Try(body=inner, handlers=[handler], orelse=[], finalbody=[])] if (
                len(handler.body) == 2
                and (self.told(handler) or "").endswith(": an item failed: ")
                and _appended(handler.body[1], name) is not None
            ):
                body, goes_on = list(inner), True
            case _:
                pass
        result = _appended(body[-1], name) if body else None
        reads = [n for each in body[:-1] for n in ast.walk(each) if isinstance(n, ast.Name)]
        if result is None or any(each.id == name for each in reads):
            return None
        body = body[:-1] or [ast.copy_location(ast.Pass(), loop)]
        if around is not None:
            body = [ast.copy_location(ast.If(around.test, body, []), around)]
        made = ast.For(loop.target, loop.iter, [*guards, *body], loop.orelse)
        return ast.copy_location(made, loop), result, goes_on

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

    def _passed_by(self, body: list[ast.stmt], title: str) -> bool:
        """Whether a loop goes on with its other items where one fails; its body is what is tried."""
        match body:
            case [ast.Try(body=inner, handlers=[handler], orelse=[], finalbody=[])] if (
                len(handler.body) == 1 and self.told(handler) == f"{title}: an item failed: "
            ):
                body[:] = inner
                return True
            case _:
                return False

    def loop(self, node: ast.For, collects: tuple[str, ast.expr, bool] | None = None) -> list[Made]:
        """`for`; `collects` is the list's name, what each item adds, and whether failures are passed."""
        if node.orelse:
            raise Refused(
                node, "`else` of a loop has no YAML; set a variable, and ask it afterwards"
            )
        if not isinstance(node.target, ast.Name):
            raise Refused(node.target, "a loop in YAML has one name; take the parts from it")
        name = node.target.id
        if name in self.variables or name in self.maybe:
            raise Refused(node.target, f"{name} has a value already; give the item another name")
        before, items, kind = self._items(node.iter)
        title = self.remarks.title(node, node.iter)
        data: dict[str, Any] = {} if title is None else {"title": title}
        data |= {"for": node.target.id, "in": items}
        state = self.state()
        self.depth += 1
        self.forget()
        self.bind(node.target, node.target.id, kind, "item", self.depth)
        body = list(node.body)
        where = self._where(body)
        if where is not None:
            data["where"] = self.condition(where)
            self.learn(where, holds=True)
        if self._passed_by(body, title or f"for {name}"):
            data["on_failure"] = "continue"
        data["do"] = self.block(body)
        collect = None if collects is None else self.template(collects[1])
        self.depth -= 1
        self._left(state)
        if collects is None:
            return [*before, Made(data)] if data["do"] else before
        made = self.give(node, collects[0], Called(data, Kind("list", of=JSON)))
        made.data |= {"on_failure": "continue"} if collects[2] else {}
        made.data["collect"] = collect
        return [*before, made]

    def _items(self, node: ast.expr) -> tuple[list[Made], Any, Kind]:
        if isinstance(node, ast.Await):  # the list has no name in Python
            called = self.called(node.value)
            kind = called.kind or CLOSED
            if kind.base != "list" or kind.null:
                raise Refused(node, "this is not known to be a list")
            name = self.fresh(called.data.get("action", "x.items").partition(".")[2])
            name = name.removeprefix("list_").removeprefix("get_") or name
            made = self.give(node, name, called)
            self.reads.add(name)
            return [made], f"={name_of(name)}", kind.of
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

    def _where(self, body: list[ast.stmt]) -> ast.expr | None:
        """The condition of a loop's items; what says it is taken out of the body."""
        match body:
            case [ast.If(test=test, body=[ast.Continue()], orelse=[]) as first, *rest] if rest:
                if self.remarks.title(first, first.test) is None:
                    del body[0]
                    return ast.copy_location(ast.UnaryOp(ast.Not(), test), test)
            case [ast.If(test=test, body=inner, orelse=[]) as first]:
                if self.remarks.title(first, first.test) is None:
                    body[:] = inner
                    return test
            case _:
                pass
        return None

    def _left(self, state: Any) -> None:
        """After a loop: what was given in it is its items'; what was set before may have changed."""
        inside = self.variables
        self.restore(state)
        self.maybe |= inside.keys() - self.variables.keys()
        self.forget()
        for name, each in self.variables.items():
            if name in inside and inside[name].kind != each.kind and each.how == "set":
                each.kind = Kind("closed", null=True)

    def leave(self, node: ast.Break) -> list[Made]:
        """`break`."""
        if self.apart == self.depth:
            raise Refused(node, "items side by side cannot leave their loop")
        return [Made({"break": True})]

    # Side by side -----------------------------------------------------------------------------------

    def is_gather(self, node: ast.expr) -> bool:
        """Whether this is `ctx.gather(…)`."""
        return isinstance(node, ast.Call) and self.path_of_context(node.func) == ("gather",)

    def gathered(self, node: ast.expr, name: str | None) -> list[Made]:
        """`name = await ctx.gather(items, do, key=…, limit=…)`."""
        assert isinstance(node, ast.Call)
        items, do = argument(node, 0, "items"), argument(node, 1, "do")
        if items is None or do is None or len(node.args) > 2:
            raise Refused(node, "write ctx.gather(items, do, key=…, limit=…)")
        for each in node.keywords:
            if each.arg not in ("items", "do", "key", "limit"):
                raise Refused(each.value, f"YAML has no {each.arg}= of ctx.gather")
        item, body, result, told = self._function(do)
        where: ast.expr | None = None
        match items:
            case ast.ListComp(
                elt=ast.Name(id=one),
                generators=[ast.comprehension(target=ast.Name(id=two), iter=inner, ifs=[test])],
            ) if one == two:
                where, items = _renamed(test, one, item), inner
            case _:
                pass
        before, shown, kind = self._items(items)
        limit = argument(node, 9, "limit")
        data: dict[str, Any] = {"for": item, "in": shown}
        title = self.remarks.title(do if isinstance(do, ast.Lambda) else node, node)
        if isinstance(do, ast.Name) and title is None:
            title = self.remarks.title(self.functions[do.id], self.functions[do.id].args)
        if title is not None:
            data = {"title": title, **data}
        state, apart = self.state(), self.apart
        self.depth += 1
        self.apart = self.depth
        self.forget()
        self.bind(node, item, kind, "item", self.depth)
        if where is not None:
            data["where"] = self.condition(where)
        data["parallel"] = 10 if limit is None else self.constant(limit)
        if told is not None:
            if told != f"{title or f'for {item}'}: an item failed: ":
                raise Refused(do, "YAML logs: “…: an item failed: …”, with the loop's title")
            data["on_failure"] = "continue"
        key = argument(node, 9, "key")
        if key is not None:
            data["key"] = self._key_of(key, item)
        data["do"] = self.block(body)
        collect = None if result is None else self._collected(result, data["do"])
        self.depth, self.apart = self.depth - 1, apart
        self._left(state)
        if name is None:
            return [*before, Made(data)]
        made = self.give(node, name, Called(data, Kind("list", of=JSON)))
        if collect is not None:
            made.data["collect"] = collect
        return [*before, made]

    def _collected(self, result: ast.expr, steps: list[Made]) -> Any:
        """What each item gives."""
        if isinstance(result, ast.Await):
            name = self.fresh("result")
            steps.append(self.give(result, name, self.called(result.value)))
            return f"={name}"
        return self.template(result)

    def _function(self, do: ast.expr) -> tuple[str, list[ast.stmt], ast.expr | None, str | None]:
        """What is done with each item: its name, the statements, what it gives at its end, and what is
        logged where it fails and the others go on."""
        if isinstance(do, ast.Lambda) and len(do.args.args) == 1:
            made = ast.copy_location(ast.Await(do.body), do.body)
            return do.args.args[0].arg, [], made, None
        function = self.functions.get(do.id) if isinstance(do, ast.Name) else None
        if function is None or not function.args.args:
            raise Refused(
                do, "write a function of one item, async def do(item):, in the flow before it"
            )
        others = zip(function.args.args[1:], function.args.defaults, strict=False)
        for parameter, given in others:  # variables of loops around, as they are at this item
            if not (isinstance(given, ast.Name) and given.id == parameter.arg):
                raise Refused(given, "a function for ctx.gather takes one item")
        body, result, told = list(function.body), None, None
        match body:
            case [ast.Try(body=inner, handlers=[handler], orelse=[], finalbody=[])] if len(
                handler.body
            ) == 2 and _is_error(handler.body[1], handler.name):
                body, told = list(inner), self.told(handler)
            case _:
                pass
        match body[-1]:
            case ast.Return(value=value):
                body.pop()
                result = None if isinstance(value, ast.Constant) and value.value is None else value
            case _:
                pass
        return function.args.args[0].arg, body, result, told

    def _key_of(self, node: ast.expr, item: str) -> Any:
        if not isinstance(node, ast.Lambda) or not node.args.args:
            raise Refused(node, "write key=lambda item: …, which gives a text")
        return self.text(_renamed(node.body, node.args.args[0].arg, item))


def _appended(node: ast.stmt, name: str) -> ast.expr | None:
    """What a statement appends to a list."""
    match node:
        case ast.Expr(
            value=ast.Call(
                func=ast.Attribute(value=ast.Name(id=owner), attr="append"), args=[value]
            )
        ) if owner == name:
            return value
        case _:
            return None


def _is_error(node: ast.stmt, name: str | None) -> bool:
    """Whether a statement returns an item's failure as YAML has it."""
    return ast.unparse(node) in (
        f"return expr('{{\"error\": {name}}}', {name}={name})",
        f"return expr('{{error: {name}}}', {name}={name})",
    )


def _renamed(node: ast.expr, old: str, new: str) -> ast.expr:
    """The same with a name in the place of another."""
    for each in ast.walk(node):
        if isinstance(each, ast.Name) and each.id == old:
            each.id = new
    return node
