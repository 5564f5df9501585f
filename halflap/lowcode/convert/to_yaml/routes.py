"""Says a pre-process flow as routes: the first whose condition holds, or all that do."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from halflap.lowcode.convert.to_yaml.flow import FlowSteps
from halflap.lowcode.convert.to_yaml.made import Made
from halflap.lowcode.convert.to_yaml.refusal import Refused
from halflap.lowcode.convert.to_yaml.shapes import appended, ends, is_empty
from halflap.lowcode.outline.calls import argument
from halflap.lowcode.outline.flow import is_nothing

SHAPE = (
    "a pre-process flow in YAML returns a Route or an Ignore where a condition holds: "
    "if …: return Route(flow)"
)
PLACES = ("flow", "event", "customer", "config", "instance")


class Routes:
    """Says the function of one pre-process flow."""

    def __init__(self, speaker: FlowSteps) -> None:
        self._speaker = speaker
        self._made: list[Made] = []
        self._name: str | None = None
        """The variable that holds all routes, where all that hold are taken."""

    def said(self, body: Sequence[ast.stmt]) -> tuple[bool, list[Made]]:
        """Whether all routes are taken that hold, and the routes."""
        match body:
            case [
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value),
                *rest,
                ast.Return(value=ast.Name(id=other)),
            ] if name == other and is_empty(value):
                self._name = name
                self._every(rest)
            case [ast.Return(value=ast.List(elts=items))]:
                self._name = ""
                self._made = [Made(self._route(each)) for each in items]
            case _:
                self._first(body, [])
        return self._name is not None, self._made

    # All that hold --------------------------------------------------------------------------------

    def _every(self, body: Sequence[ast.stmt]) -> None:
        for each in body:
            comments = self._speaker.remarks.before(each)
            match each:
                case ast.If(test=test, body=[only], orelse=[]):
                    route = self._taken(only, test)
                case _:
                    route = self._taken(each, None)
            self._made.append(Made(route, comments))

    def _taken(self, node: ast.stmt, test: ast.expr | None) -> dict[str, Any]:
        if isinstance(node, ast.Return):  # where there are no others
            rest = None if test is None else self._without_others(test)
            if test is None or rest is test:
                raise Refused(node, f"write if not {self._name}: return Ignore(…)")
            return self._when(rest) | self._ignored(node)
        found = appended(node, self._name or "")
        if found is None:
            raise Refused(node, f"write if …: {self._name}.append(Route(flow))")
        return self._when(test) | self._route(found)

    def _without_others(self, test: ast.expr) -> ast.expr | None:
        """A condition without `not routes`; itself where it does not ask that."""
        match test:
            case ast.UnaryOp(op=ast.Not(), operand=ast.Name(id=name)) if name == self._name:
                return None
            case ast.BoolOp(op=ast.And(), values=[*others, last]) if (
                self._without_others(last) is None
            ):
                one = others[0] if len(others) == 1 else ast.BoolOp(ast.And(), others)
                return ast.copy_location(one, test)
            case _:
                return test

    # The first that holds -------------------------------------------------------------------------

    def _first(self, body: Sequence[ast.stmt], asked: list[ast.expr]) -> bool:
        """Say the routes of statements where these conditions hold: whether there is one in any case."""
        for at, each in enumerate(body):
            self._speaker.remarks.keep(self._speaker.remarks.before(each))
            match each:
                case ast.Return(value=value) if is_nothing(value):
                    return False
                case ast.Return():
                    self._add(each, asked)
                    return True
                case ast.If(test=test, body=then, orelse=other):
                    return self._told_apart([(test, then)], other, body[at + 1 :], asked)
                case ast.Match(subject=subject, cases=cases):
                    found = [(_case(subject, each), each.body) for each in cases]
                    others = [e for test, body in found if test is None for e in body]
                    ways = [(test, e) for test, e in found if test is not None]
                    return self._told_apart(ways, others, body[at + 1 :], asked)
                case ast.Pass() | ast.Expr(value=ast.Constant()):
                    pass
                case _:
                    raise Refused(each, SHAPE)
        return False

    def _told_apart(
        self,
        ways: Sequence[tuple[ast.expr, Sequence[ast.stmt]]],
        otherwise: Sequence[ast.stmt],
        rest: Sequence[ast.stmt],
        asked: list[ast.expr],
    ) -> bool:
        """Say the routes of branches; what a branch leaves without a route is asked for no more."""
        every = True
        for test, body in ways:
            whole = body if ends(body) else [*body, *rest]
            if not self._first(whole, [*asked, test]):
                every, asked = False, [*asked, _not(test)]
        whole = otherwise if ends(otherwise) else [*otherwise, *rest]
        return self._first(whole, asked) and every

    def _add(self, node: ast.Return, asked: list[ast.expr]) -> None:
        speaker = self._speaker
        with speaker.refusals.collected(), speaker.narrowing():
            made = self._when(_all(asked) if asked else None)
            for each in asked:
                speaker.learn(each, holds=True)
            self._made.append(Made(made | self._returned(node), speaker.remarks.kept()))

    # Routes ---------------------------------------------------------------------------------------

    def _when(self, test: ast.expr | None) -> dict[str, Any]:
        return {} if test is None else {"when": self._speaker.condition(test)}

    def _returned(self, node: ast.Return) -> dict[str, Any]:
        value = node.value
        if isinstance(value, ast.Call) and self._speaker.meaning(value.func) == "halflap.Ignore":
            return self._ignored(node)
        assert value is not None
        return self._route(value)

    def _ignored(self, node: ast.Return) -> dict[str, Any]:
        reason = argument(node.value, 0, "reason") if isinstance(node.value, ast.Call) else None
        if reason is None:
            raise Refused(node, SHAPE)
        return {"ignore": self._speaker.text(reason)}

    def _route(self, node: ast.expr) -> dict[str, Any]:
        meaning = self._speaker.meaning(node.func) if isinstance(node, ast.Call) else ""
        if meaning == "halflap.DeadLetter":
            raise Refused(
                node,
                "what no route takes is a dead letter in YAML, with its own reason: return None",
            )
        if not isinstance(node, ast.Call) or meaning != "halflap.Route":
            raise Refused(node, SHAPE)
        given = dict(zip(PLACES, node.args[:2], strict=False))
        given |= {each.arg: each.value for each in node.keywords if each.arg is not None}
        made: dict[str, Any] = {"flow": self._speaker.flow_of(node)}
        if "event" in given:
            made["event"] = self._speaker.template(given["event"])
        for how in ("customer", "instance"):
            if how in given:
                made[how] = self._speaker.text(given[how])
        match given.get("config"):
            case None:
                pass
            case ast.Dict(keys=[ast.Constant(value=str(field))], values=[value]):
                made["config"] = {field: self._speaker.text(value)}
            case other:
                raise Refused(other, "write config={“field”: value}, with one field")
        return made


def _case(subject: ast.expr, case: ast.match_case) -> ast.expr | None:
    """What a case asks; None where it takes all that is left."""
    patterns = case.pattern.patterns if isinstance(case.pattern, ast.MatchOr) else [case.pattern]
    texts: list[ast.expr] = []
    for each in patterns:
        match each:
            case ast.MatchValue(value=ast.Constant(value=str()) as text):
                texts.append(text)
            case ast.MatchAs(pattern=None, name=None):
                return None
            case _:
                raise Refused(each, "a case of a pre-process flow is a text, or _")
    if case.guard is not None:
        raise Refused(case.guard, "write this as an if within the case")
    asked = [
        ast.copy_location(ast.Compare(subject, [ast.Eq()], [each]), case.pattern) for each in texts
    ]
    return (
        asked[0] if len(asked) == 1 else ast.copy_location(ast.BoolOp(ast.Or(), [*asked]), subject)
    )


def _not(test: ast.expr) -> ast.expr:
    return ast.copy_location(ast.UnaryOp(ast.Not(), test), test)


def _all(tests: list[ast.expr]) -> ast.expr:
    if len(tests) == 1:
        return tests[0]
    return ast.copy_location(ast.BoolOp(ast.And(), tests), tests[0])
