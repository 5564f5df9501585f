"""Says branches as steps: `if`, `match`, and `try`."""

from __future__ import annotations

import ast
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from halflap.lowcode.convert.to_yaml.coded import TITLE
from halflap.lowcode.convert.to_yaml.ends import Ends
from halflap.lowcode.convert.to_yaml.made import Made
from halflap.lowcode.convert.to_yaml.refusal import Refused
from halflap.lowcode.convert.to_yaml.shapes import ends, without_name
from halflap.lowcode.convert.to_yaml.types import CLOSED, Kind
from halflap.lowcode.convert.to_yaml.variables import State

_TOLD_APART = ("text", "integer", "boolean", "null")
IGNORED = " failed, and is ignored: "
CAUGHT = "except (*FAILURES, ExpressionError) as error:, which is what `catch` catches"


class Branches(Ends):
    """Says branches."""

    @abstractmethod
    def statement(self, node: ast.stmt) -> list[Made]:
        """The steps of one statement."""

    def branch(self, node: ast.If) -> list[Made]:
        data = self._titled(node, node.test)
        first, node.test = self._awaited(node.test)
        data["if"] = self.condition(node.test)
        before, ways = self.state(), list[State]()
        for key, body in (("then", node.body), ("else", node.orelse)):
            self.restore(before)
            self.learn(node.test, holds=key == "then")
            data[key] = self.block(body)
            if not ends(body):
                ways.append(self.state())
        self.restore(before)
        if not data["else"]:
            del data["else"]
        elif not data["then"] and self.asked(node.test) != "truth":
            data["then"] = data.pop("else")
            data["if"] = self.condition(ast.copy_location(ast.UnaryOp(ast.Not(), node.test), node))
        self.meet(ways)
        return [*first, Made(data)] if data["then"] or "else" in data else first

    def _awaited(self, test: ast.expr) -> tuple[list[Made], ast.expr]:
        """A step whose result a condition asks for first, and the condition of that."""
        match test:
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                first, asked = self._awaited(operand)
                return first, ast.copy_location(ast.UnaryOp(ast.Not(), asked), test)
            case ast.Compare(left=ast.Await() as left, ops=ops, comparators=others):
                first, asked = self._awaited(left)
                return first, ast.copy_location(ast.Compare(asked, ops, others), test)
            case ast.Await(value=value):
                name = self.fresh("found")
                made = self.give(test, name, self.called(value))
                return made, ast.copy_location(ast.Name(name, ast.Load()), test)
            case _:
                return [], test

    def _titled(self, node: ast.AST, head: ast.AST) -> dict[str, Any]:
        title = self.remarks.title(node, head)
        return {} if title is None else {"title": title}

    def switch(self, node: ast.Match) -> list[Made]:
        data = self._titled(node, node.subject)
        scalar = self.asked(node.subject) == "scalar"
        value = self.term(node.subject)
        data["switch"] = self.said(value if scalar else value.shown)
        data["cases"] = cases = dict[Any, Any]()
        before, ways = self.state(), list[State]()
        for each in node.cases:
            self.restore(before)
            steps = self.block(each.body)
            if not ends(each.body):
                ways.append(self.state())
            if isinstance(each.pattern, ast.MatchAs) and each.pattern.pattern is None:
                if each.guard is not None or each.pattern.name is not None:
                    raise Refused(each.pattern, "write case _:, without if")
                data["default"] = steps
                continue
            if not scalar and value.kind.base not in _TOLD_APART:
                raise Refused(node.subject, "what cases are told by is a text, or expr.scalar(…)")
            for found in self._pattern(each, value.kind):
                cases.setdefault(found, steps)
        if "default" not in data:
            ways.append(before)
        self.meet(ways)
        return [Made(data)]

    def _pattern(self, case: ast.match_case, kind: Kind) -> list[Any]:
        patterns = (
            case.pattern.patterns if isinstance(case.pattern, ast.MatchOr) else [case.pattern]
        )
        found: list[Any] = []
        for each in patterns:
            match each:
                case ast.MatchValue(value=ast.Constant(value=str(text))):
                    found.append(text)
                case ast.MatchValue(value=ast.Constant(value=int() as number)) if number not in (
                    0,
                    1,
                ) or kind.base in ("integer", "text"):
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

    def attempt(self, node: ast.Try) -> list[Made]:
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
            case "FAILURES" if (self.told(handler) or "").endswith(IGNORED):
                return self._continued(node, handler, None, "on_failure", "ignore")
            case "FAILURES" if not self.evaluates(node.body):  # nothing else fails here
                return self._catch(node, handler)
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
        cleared = {n for e in rest for n in self._cleared(e)}
        if len(rest) > 1 or len(cleared) != len(rest):
            hint = "write name = None here, and ask afterwards whether it is None"
            raise Refused(handler, hint if verb is not None else f"write {CAUGHT}")
        made = [step for each in node.body for step in self.statement(each)]
        given = made[0].data if made else {}
        name = _target(node.body[-1])
        if len(made) != 1 and not (len(made) == 2 and "set" in made[1].data):
            raise Refused(handler, f"write {CAUGHT}")
        if (verb is not None and verb not in given) or cleared - {name}:
            raise Refused(handler, f"write {CAUGHT}")
        if verb is None and self.told(handler) != self._called_so(given) + IGNORED:
            raise Refused(
                handler, "YAML logs: “… failed, and is ignored: …”, with the step's title"
            )
        given[key] = value
        if name in self.variables:
            there = self.variables[name]
            self.bind(node, name, there.kind.nullable(), there.how)
        return made

    def _called_so(self, data: dict[str, Any]) -> str:
        """What a step is called where it fails."""
        if "action" in data:
            owner, _, short = data["action"].partition(".")
            found = self.integration.meanings.named(owner, short)
            return data.get("title") or ("" if found is None else found.title)
        if "code" in data:
            return data.get("title") or TITLE
        return f"the flow {data.get('call')}"

    def _cleared(self, node: ast.stmt) -> list[str]:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=None)):
                return [name]
            case _:
                return []

    def _catch(self, node: ast.Try, handler: ast.ExceptHandler) -> list[Made]:
        data = self._titled(node, node.body[0])
        before, since = self.state(), len(self.given_kinds)
        data["try"] = self.block(node.body)
        after = self.state()
        self.restore(before)
        self.maybe |= (after.variables.keys() | after.maybe) - before.variables.keys()
        self.widen(since)
        name, body = without_name(handler)
        if name in self.variables or name in self.maybe:
            name, body = handler.name, handler.body
        said = self._error(handler, name)
        data["catch"] = self.block(body)
        if said != "error" and (said in self.reads or "error" in self.spoken):
            data["error"] = said
        if name is not None:
            self.drop(name)
        ways = [after] if not ends(node.body) else []
        self.meet([*ways, *([] if ends(body) else [self.state()])])
        return [Made(data)]

    def _error(self, handler: ast.ExceptHandler, name: str | None) -> str:
        """What YAML calls the error that was caught."""
        if name is None:
            return "error" if "error" not in self.spoken else self.fresh("failure")
        there = self.variables.get(name)
        if there is not None and there.depth < self.depth:
            raise Refused(handler, f"{name} has a value already; give the error another name")
        if there is not None and there.how == "error" and name not in self.mixed:
            return self.bind(handler, name, CLOSED, "error").name
        called = None if there is None and name not in self.mixed else self.fresh(name)
        return self.bind(handler, name, CLOSED, "error", called).name

    def evaluates(self, body: Sequence[ast.AST]) -> bool:
        """Whether `expr` is called somewhere in it, which may fail."""
        calls = (each for node in body for each in ast.walk(node) if isinstance(each, ast.Call))
        return any(self.meaning(each.func).startswith("halflap.expr") for each in calls)


def _target(node: ast.stmt) -> str:
    """The name that a statement gives something."""
    match node:
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name
        case _:
            return ""
