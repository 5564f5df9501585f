"""Says items side by side as steps: `ctx.gather` over a function of the flow."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any

from halflap.lowcode.convert.to_yaml.coded import Called
from halflap.lowcode.convert.to_yaml.loops import Loops
from halflap.lowcode.convert.to_yaml.made import Made
from halflap.lowcode.convert.to_yaml.refusal import Refused
from halflap.lowcode.convert.to_yaml.shapes import (
    FAILED,
    Function,
    is_failure,
    item_in,
    nulls,
    stored,
)
from halflap.lowcode.convert.to_yaml.types import JSON, Kind
from halflap.lowcode.outline.calls import argument
from halflap.lowcode.outline.flow import is_nothing


@dataclass
class SideBySide(Loops):
    """Says `ctx.gather`."""

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
        function = self._function(do)
        where, lists = None, items
        match items:
            case ast.ListComp(
                elt=ast.Name(id=one),
                generators=[ast.comprehension(target=ast.Name(id=two), iter=inner, ifs=[test])],
            ) if one == two:
                where, lists = (one, test), inner
            case _:
                pass
        before, shown, kind = self.items_of(lists)
        limit, key = argument(node, 9, "limit"), argument(node, 9, "key")
        title = self.remarks.title(do if isinstance(do, ast.Lambda) else node, node)
        if isinstance(do, ast.Name) and title is None:
            title = self.remarks.title(self.functions[do.id], self.functions[do.id].args)
        head = {"in": shown, "parallel": 10 if limit is None else self.constant(limit)}
        state, since = self.state(), len(self.given_kinds)
        apart, mixed = self.apart, self.mixed
        self.apart, self.mixed = self.depth + 1, self.mixed_in(function.inner)
        try:
            data = self._at_once(do, function, kind, title, head, where, key, name is not None)
        finally:
            self.apart, self.mixed = apart, mixed
            self.restore(state)
            del self.given_kinds[since:]
        if name is None:
            return [*before, Made(data)]
        return [*before, *self.give(node, name, Called(data, Kind("list", of=JSON)))]

    def _at_once(
        self,
        do: ast.expr,
        function: Function,
        kind: Kind,
        title: str | None,
        head: dict[str, Any],
        where: tuple[str, ast.expr] | None,
        key: ast.expr | None,
        collects: bool,
    ) -> dict[str, Any]:
        for name in stored(function.inner):  # which are names of the function
            for each in (self.variables, self.aliases):
                if name not in function.captured:
                    each.pop(name, None)
        with self.looping(nulls(function.inner)):
            first = [
                made
                for each in function.captured
                if each in self.variables
                for made in self.changing(self.variables[each], each, function.inner)
            ]
            called = self.called_here(function.item, item_in(function.told, title))
            item = self.bind(do, function.item, kind, "item", called)
            data = self.headed(do, function.told, title, called)
            data |= {"for": called, "in": head["in"]}
            if where is not None:
                with self.standing_for(where[0], item):
                    data["where"] = self.condition(where[1])
            data["parallel"] = head["parallel"]
            if function.told is not None:
                data["on_failure"] = "continue"
            if key is not None:
                if not isinstance(key, ast.Lambda) or not key.args.args:
                    raise Refused(key, "write key=lambda item: …, which gives a text")
                with self.standing_for(key.args.args[0].arg, item):
                    data["key"] = self.text(key.body)
            if where is not None and where[0] == function.item:
                self.learn(where[1], holds=True)
            first += self.changing(item, function.item, function.inner)
            data["do"] = [*first, *self.block(function.inner)]
            if collects and function.result is not None:
                data["collect"] = self._collected(function.result, data["do"])
        return data

    def _collected(self, result: ast.expr, steps: list[Made]) -> Any:
        """What each item gives."""
        if isinstance(result, ast.Await):
            name = self.fresh("result")
            steps += self.give(result, name, self.called(result.value))
            self.reads.add(name)
            return f"={name}"
        return self.template(result)

    def _function(self, do: ast.expr) -> Function:
        """What is done with each item."""
        if isinstance(do, ast.Lambda) and len(do.args.args) == 1:
            made = ast.copy_location(ast.Await(do.body), do.body)
            return Function([], result=made, item=do.args.args[0].arg)
        function = self.functions.get(do.id) if isinstance(do, ast.Name) else None
        if function is None or not function.args.args:
            raise Refused(
                do, "write a function of one item, async def do(item):, in the flow before it"
            )
        others = zip(function.args.args[1:], function.args.defaults, strict=False)
        captured: list[str] = []
        for parameter, given in others:  # variables of loops around, as they are at this item
            if not (isinstance(given, ast.Name) and given.id == parameter.arg):
                raise Refused(given, "a function for ctx.gather takes one item")
            captured.append(given.id)
        made = Function(list(function.body), item=function.args.args[0].arg, captured=captured)
        match made.inner:
            case [*first, ast.Try(body=inner, handlers=[handler], orelse=[], finalbody=[])] if (
                all(isinstance(each, ast.Assign) for each in first)
                and len(handler.body) == 2
                and isinstance(handler.body[1], ast.Return)
                and is_failure(handler.body[1].value, handler.name)
                and (said := self.told(handler) or "").endswith(FAILED)
            ):
                made.inner, made.told = [*first, *inner], said
            case _:
                pass
        match made.inner[-1]:
            case ast.Return(value=value):
                made.inner.pop()
                made.result = None if is_nothing(value) else value
            case _:
                pass
        return made
