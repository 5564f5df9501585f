"""Says the statements of a flow as steps."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from datetime import timedelta
from itertools import zip_longest
from typing import Any

from halflap.lowcode.convert.to_yaml.branches import Branches
from halflap.lowcode.convert.to_yaml.coded import Called
from halflap.lowcode.convert.to_yaml.made import Made
from halflap.lowcode.convert.to_yaml.refusal import Refused
from halflap.lowcode.convert.to_yaml.shapes import begins, nulls
from halflap.lowcode.convert.to_yaml.types import CLOSED, NULL, TEXT, Kind, constant_text
from halflap.lowcode.duration import written
from halflap.lowcode.outline.calls import argument
from halflap.lowcode.outline.flow import is_nothing

LINKS_LAST = timedelta(days=7)
"""How long links can be used where nothing is said."""


class FlowSteps(Branches):
    """Says statements of every kind."""

    def flow(self, body: list[ast.stmt]) -> list[Made]:
        """The steps of a flow's function."""
        if isinstance(body[-1], ast.Return) and is_nothing(body[-1].value):
            body = body[:-1]
        self.null, self.mixed = nulls(body), self.mixed_in(body)
        steps = self.block(body)
        for node, name, loops in self.absent:
            if any(said == name and at in loops for (_, at), said in self.called_so.items()):
                with self.refusals.collected():
                    raise self.unseen(node, name)
        return steps

    def block(self, body: Sequence[ast.stmt]) -> list[Made]:
        """The steps of statements; what is refused is noted, and the next one is looked at."""
        steps: list[Made] = []
        passed = False
        for each, following in zip_longest(body, body[1:]):
            if passed:  # it was said together with the one before
                passed = False
                continue
            comments = self.remarks.before(each)
            with self.refusals.collected():
                passed = (listed := self.listed(each, following)) is not None
                made = self.statement(each) if listed is None else listed
                if made:
                    made[0].comments = [*comments, *made[0].comments]
                    comments = []
                steps += made
            self.remarks.keep(comments)
        return steps

    def statement(self, node: ast.stmt) -> list[Made]:
        match node:
            case ast.Expr(value=ast.Constant()) | ast.Pass():
                return []
            case ast.Expr(value=value):
                return self._alone(node, value)
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                return self._assigned(node, name, value, None)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                kind = self.types.declared(node.annotation, self.integration.module)
                return self._assigned(node, name, value, kind)
            case ast.AugAssign(target=ast.Name(id=name) as target, op=op, value=value):
                read = ast.copy_location(ast.Name(target.id, ast.Load()), target)
                made = ast.copy_location(ast.BinOp(read, op, value), node)
                return self._set(node, name, made, None)
            case ast.If():
                return self.branch(node)
            case ast.For():
                return self.loop(node)
            case ast.Match():
                return self.switch(node)
            case ast.Try():
                return self.attempt(node)
            case ast.Return(value=value):
                return self.returned(node, value)
            case ast.Raise(exc=error):
                return [self.raised(node, error)]
            case ast.Break():
                return self.leave(node)
            case ast.AsyncFunctionDef():
                self.functions[node.name] = node
                return []
            case ast.Continue():
                raise Refused(
                    node,
                    "`continue` stands in the first `if` of a loop; else write what follows in else",
                )
            case _:
                raise Refused(node, f"YAML has no step for {type(node).__name__.lower()}")

    # Results and variables ----------------------------------------------------------------------

    def _alone(self, node: ast.stmt, value: ast.expr) -> list[Made]:
        if isinstance(value, ast.Await):
            if self.is_gather(value.value):
                return self.gathered(value.value, None)
            return [Made(self.called_in(value).data)]
        if isinstance(value, ast.Attribute) and isinstance(value.value, ast.Await):
            return self._alone(node, value.value)  # (await ctx.start(…)).id
        if (links := self._links(value)) is not None:
            return [Made(links)]
        if isinstance(value, ast.Call):
            match self.path_of_context(value.func):
                case ("log", "debug" | "info" | "warning" | "error" as level):
                    return [self._log(value, level)]
                case _:
                    pass
        if self.evaluates([value]):  # it may fail
            return [Made({"set": {self.fresh("unread"): self.template(value)}})]
        raise Refused(node, "this has no effect in YAML; await a step, or give the value a name")

    def _assigned(
        self, node: ast.stmt, name: str, value: ast.expr, declared: Kind | None
    ) -> list[Made]:
        try:
            if isinstance(value, ast.Await):
                return self._result(node, name, value, declared)
            match value:
                case ast.Attribute(value=ast.Await() as started, attr="id"):
                    return self._result(node, name, started, TEXT)  # (await ctx.start(…)).id
                case _:
                    pass
            if self.connection(value) is not None or self.is_called(value):
                self.drop(name)
                self.aliases[name] = value
                return []
            if (links := self._links(value)) is not None:
                return self.give(node, name, Called(links, CLOSED))
            given = self.variables.keys() | self.maybe
            if begins(node) and name in self.null - given:
                self.bind(node, name, NULL, "step")
                return []
            return self._set(node, name, value, declared)
        except Refused:
            self.broken.add(name)
            self.variables.pop(name, None)
            raise

    def _result(
        self, node: ast.stmt, name: str, value: ast.Await, declared: Kind | None
    ) -> list[Made]:
        if self.is_gather(value.value):
            return self.gathered(value.value, name)
        called = self.called_in(value)
        if called.kind is None:
            raise Refused(node, "this gives nothing; await it without a name")
        if declared is not None and called.kind.base in ("json", "closed"):
            called.kind = declared
        if "wait" in called.data and "call" in called.data and declared is not TEXT:
            raise Refused(node, "in YAML this gives the id: (await ctx.start(…)).id")
        return self.give(node, name, called)

    def give(self, node: ast.AST, name: str, called: Called) -> list[Made]:
        """A step whose result has a name, and what more it takes to give it that."""
        mixed = name in self.mixed
        bound = self.bind(node, name, called.kind or CLOSED, "set" if mixed else "step")
        said = self.fresh(bound.name) if mixed else bound.name
        data = {key: called.data[key] for key in ("title",) if key in called.data}
        made = Made({"id": said, **data, **{k: v for k, v in called.data.items() if k not in data}})
        if not mixed:
            self.given.append((said, made))
            return [made]
        return [made, Made({"set": {bound.name: f"={said}"}})]

    def _set(self, node: ast.stmt, name: str, value: ast.expr, declared: Kind | None) -> list[Made]:
        data = self.template(value)
        kind = self._kind_of(value)
        if declared is not None and kind.base in ("json", "closed", "null", "list"):
            kind = declared
        return [Made({"set": {self.bind(node, name, kind, "set").name: data}})]

    def _kind_of(self, value: ast.expr) -> Kind:
        match value:
            case ast.Dict():
                return Kind("object")
            case ast.List(elts=items):
                kinds = [self._kind_of(each) for each in items]
                alike = bool(kinds) and all(each == kinds[0] for each in kinds)
                return Kind("list", of=kinds[0] if alike else CLOSED)
            case _:
                return self.term(value).shown.kind

    def _links(self, node: ast.expr) -> dict[str, Any] | None:
        """`{choice: ctx.signal_url("name", choice, …) for choice in (…)}`."""
        match node:
            case ast.DictComp(
                key=ast.Name(id=key),
                value=ast.Call(func=function) as call,
                generators=[ast.comprehension(target=ast.Name(id=item), iter=choices, ifs=[])],
            ) if key == item and self.path_of_context(function) == ("signal_url",):
                pass
            case _:
                return None
        given = argument(call, 1, "choice")
        name = constant_text(call.args[0]) if call.args else None
        if name is None or not (isinstance(given, ast.Name) and given.id == item):
            raise Refused(
                call, "write ctx.signal_url(“name”, choice, text=…), the name written out"
            )
        data: dict[str, Any] = {"links": name, "choices": [str(e) for e in self.constant(choices)]}
        for each, say in (("text", self.text), ("within", self.constant)):
            value = argument(call, 9, each)
            if value is not None:
                data[each] = say(value)
        if data.get("within") == written(LINKS_LAST):
            del data["within"]
        return data

    def _log(self, call: ast.Call, level: str) -> Made:
        message = argument(call, 0, "message")
        if message is None:
            raise Refused(call, "a message is missing")
        data: dict[str, Any] = {"log": self.text(message)}
        if level != "info":
            data["level"] = level
        fields: dict[str, Any] = {}
        for each in call.keywords:
            if each.arg is not None:
                fields[each.arg] = self.template(each.value)
            elif isinstance(each.value, ast.Dict):
                fields |= self.template(each.value)
            else:
                raise Refused(each.value, "the fields of a line are written out in YAML")
        if fields:
            data["fields"] = fields
        return Made(data)
