"""Says the statements of a flow as steps."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from halflap.lowcode.convert.to_yaml.calls import Called
from halflap.lowcode.convert.to_yaml.ends import Ends
from halflap.lowcode.convert.to_yaml.made import Made
from halflap.lowcode.convert.to_yaml.refusal import Refused
from halflap.lowcode.convert.to_yaml.types import CLOSED, NULL, TEXT, Kind, constant_text
from halflap.lowcode.outline.calls import argument
from halflap.lowcode.outline.flow import is_nothing, leaves

CAUGHT = "except (*FAILURES, ExpressionError) as error:, which is what `catch` catches"


class FlowSteps(Ends):
    """Says statements of every kind."""

    def flow(self, body: list[ast.stmt]) -> list[Made]:
        """The steps of a flow's function."""
        if isinstance(body[-1], ast.Return) and is_nothing(body[-1].value):
            body = body[:-1]
        return self.block(body)

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
                made = self._statement(each) if listed is None else listed
                if made:
                    made[0].comments = [*comments, *made[0].comments]
                    comments = []
                steps += made
            self.remarks.keep(comments)
        return steps

    def _statement(self, node: ast.stmt) -> list[Made]:
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
                return self._branch(node)
            case ast.For():
                return self.loop(node)
            case ast.Match():
                return self._switch(node)
            case ast.Try():
                return self._try(node)
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
        if self.asked(value) is not None:  # it may fail
            return [Made({"set": {self.fresh("unread"): self.template(value)}})]
        if isinstance(value, ast.Call):
            match self.path_of_context(value.func):
                case ("log", "debug" | "info" | "warning" | "error" as level):
                    return [self._log(value, level)]
                case _:
                    pass
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
            if self.connection(value) is not None or self.is_action(value):
                self.aliases[name] = value
                self.variables.pop(name, None)
                return []
            if (links := self._links(value)) is not None:
                return [self.give(node, name, Called(links, CLOSED))]
            if name in self.results and isinstance(value, ast.Constant) and value.value is None:
                self.bind(node, name, NULL, "step", self.depth)  # as it is where no step ran
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
        return [self.give(node, name, called)]

    def give(self, node: ast.AST, name: str, called: Called) -> Made:
        """A step whose result has a name."""
        there = self.variables.get(name)
        if name in self.sets:
            raise Refused(node, f"{name} is a variable elsewhere; give this result another name")
        if there is not None and there.kind.base != "null":
            raise Refused(node, f"{name} has a value already; give this result another name")
        if there is not None and there.depth != self.depth:
            raise Refused(node, f"{name} stands before the loop; give this result another name")
        data = {key: called.data[key] for key in ("title",) if key in called.data}
        made = Made({"id": name, **data, **{k: v for k, v in called.data.items() if k not in data}})
        self.bind(node, name, called.kind or CLOSED, "step", self.depth)
        self.given.append((name, made))
        return made

    def _set(self, node: ast.stmt, name: str, value: ast.expr, declared: Kind | None) -> list[Made]:
        if name in self.results:
            raise Refused(node, f"{name} is a step's result elsewhere; give this another name")
        there = self.variables.get(name)
        if there is not None and there.how != "set":
            raise Refused(node, f"{name} is not a variable in YAML; give this another name")
        data = self.template(value)
        kind = self._kind_of(value)
        if declared is not None and kind.base in ("json", "closed", "null", "list"):
            kind = declared
        if there is not None and (there.kind.base, there.kind.of) != (kind.base, kind.of):
            kind = Kind("closed", null=True)
        if there is not None and self.depth > there.depth and there.depth < self.apart:
            raise Refused(node, "items side by side have no variable of outside; name it otherwise")
        depth = self.depth if there is None else there.depth
        self.bind(node, name, kind, "set", depth)
        return [Made({"set": {name: data}})]

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
        return data

    def _log(self, call: ast.Call, level: str) -> Made:
        message = argument(call, 0, "message")
        if message is None:
            raise Refused(call, "a message is missing")
        data: dict[str, Any] = {"log": self.text(message)}
        if level != "info":
            data["level"] = level
        fields = {e.arg: self.template(e.value) for e in call.keywords if e.arg is not None}
        if fields:
            data["fields"] = fields
        return Made(data)

    # Branches -----------------------------------------------------------------------------------

    def _branch(self, node: ast.If) -> list[Made]:
        data = self._titled(node, node.test)
        data["if"] = self.condition(node.test)
        before = self.state()
        self.learn(node.test, holds=True)
        data["then"] = self.block(node.body)
        ways = [] if leaves(node.body) else [self.state()]
        self.restore(before)
        self.learn(node.test, holds=False)
        otherwise = self.block(node.orelse)
        if otherwise:
            data["else"] = otherwise
        ways += [] if leaves(node.orelse) else [self.state()]
        self.meet(ways)
        if not data["then"] and not otherwise:
            return []
        return [Made(data)]

    def _titled(self, node: ast.AST, head: ast.AST) -> dict[str, Any]:
        title = self.remarks.title(node, head)
        return {} if title is None else {"title": title}

    def _switch(self, node: ast.Match) -> list[Made]:
        data = self._titled(node, node.subject)
        scalar = self.asked(node.subject) == "scalar"
        value = self.term(node.subject)
        data["switch"] = self.said(value if scalar else value.shown)
        data["cases"] = cases = dict[Any, Any]()
        before, ways = self.state(), list[Any]()
        for each in node.cases:
            self.restore(before)
            steps = self.block(each.body)
            if not leaves(each.body):
                ways.append(self.state())
            if isinstance(each.pattern, ast.MatchAs) and each.pattern.pattern is None:
                if each.guard is not None or each.pattern.name is not None:
                    raise Refused(each.pattern, "write case _:, without if")
                data["default"] = steps
                continue
            for found in self._pattern(each, scalar or value.kind.base == "text", value.kind):
                cases[found] = steps
        if "default" not in data:
            ways.append(before)
        self.meet(ways)
        return [Made(data)]

    def _pattern(self, case: ast.match_case, open_kind: bool, kind: Kind) -> list[Any]:
        patterns = (
            case.pattern.patterns if isinstance(case.pattern, ast.MatchOr) else [case.pattern]
        )
        found: list[Any] = []
        for each in patterns:
            match each:
                case ast.MatchValue(value=ast.Constant(value=str(text))) if open_kind:
                    found.append(text)
                case ast.MatchValue(value=ast.Constant(value=int() as number)) if (
                    number not in (0, 1) or kind.base == "integer"
                ):
                    found.append(number)
                case ast.MatchAs(
                    pattern=ast.MatchValue(value=ast.Constant(value=int() as number)), name=name
                ) if case.guard is not None and ast.unparse(case.guard) == (
                    f"{name} is not {bool(number)}"
                ):
                    found.append(number)
                    continue
                case ast.MatchSingleton(value=bool() as value):
                    found.append(value)
                case _:
                    raise Refused(each, "a case is a text, a whole number, True or False")
            if case.guard is not None:
                raise Refused(case.guard, "write this as an if within the case")
        return found

    def _try(self, node: ast.Try) -> list[Made]:
        if node.orelse or node.finalbody:
            raise Refused(
                node, "`else` and `finally` have no YAML; write what follows after the try"
            )
        if len(node.handlers) != 1:
            raise Refused(node, f"write one except: {CAUGHT}")
        (handler,) = node.handlers
        match self._caught(handler):
            case "TimedOut":
                return self._continued(node, handler, "wait", "on_timeout", "continue")
            case "FAILURES" if self.told(handler) is not None:
                return self._continued(node, handler, None, "on_failure", "ignore")
            case "all":
                return self._catch(node, handler)
            case _:
                raise Refused(handler, f"write {CAUGHT}")

    def _caught(self, handler: ast.ExceptHandler) -> str:
        match handler.type:
            case ast.Tuple(elts=[ast.Starred(value=first), second]) if (
                self.meaning(first),
                self.meaning(second),
            ) == ("halflap.FAILURES", "halflap.ExpressionError"):
                return "all"
            case ast.Name() | ast.Attribute() as named:
                return self.meaning(named).removeprefix("halflap.")
            case _:
                return ""

    def _continued(
        self, node: ast.Try, handler: ast.ExceptHandler, verb: str | None, key: str, value: str
    ) -> list[Made]:
        """A step that the flow goes on without."""
        rest = [e for e in handler.body if not isinstance(e, ast.Pass)][verb is None :]
        names = {n for e in rest for n in self._cleared(e)}
        if len(node.body) != 1 or len(rest) > 1 or len(names) != len(rest):
            raise Refused(handler, f"write {CAUGHT}")
        made = self._statement(node.body[0])
        given = made[-1].data if made else {}
        if not made or (verb is not None and verb not in given) or names - {given.get("id")}:
            raise Refused(handler, f"write {CAUGHT}")
        if (
            verb is None
            and self.told(handler) != f"{self._called_so(given)} failed, and is ignored: "
        ):
            raise Refused(
                handler, "YAML logs: “… failed, and is ignored: …”, with the step's title"
            )
        given[key] = value
        if (id := given.get("id")) is not None:
            self.variables[id].kind = self.variables[id].kind.nullable()
        return made

    def _called_so(self, data: dict[str, Any]) -> str:
        """What a step is called where it fails."""
        if "action" in data:
            owner, _, short = data["action"].partition(".")
            found = self.integration.meanings.named(owner, short)
            return data.get("title") or ("" if found is None else found.title)
        return f"the flow {data.get('call')}"

    def _cleared(self, node: ast.stmt) -> list[str]:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=None)):
                return [name]
            case _:
                return []

    def _catch(self, node: ast.Try, handler: ast.ExceptHandler) -> list[Made]:
        data = self._titled(node, node)
        before = self.state()
        data["try"] = self.block(node.body)
        after = self.state()
        self.restore(before)
        self.forget()
        self.maybe |= after[0].keys() - before[0].keys()
        body, name = list(handler.body), handler.name
        match body[0]:
            case ast.Assign(targets=[ast.Name(id=other)], value=ast.Name(id=given)) if (
                given == name
            ):
                name, body = other, body[1:]
            case _:
                pass
        if name is not None and name in self.variables:
            raise Refused(handler, f"{name} has a value already; give the error another name")
        if name is not None:
            self.variables[name] = self.bind(handler, name, CLOSED, "error", self.depth)
        data["catch"] = self.block(body)
        if name is not None and name in self.reads and name != "error":
            data["error"] = name
        self.variables.pop(name or "", None)
        ways = [each for each, gone in ((after, leaves(node.body)),) if not gone]
        self.meet([*ways, *([] if leaves(body) else [self.state()])])
        return [Made(data)]
