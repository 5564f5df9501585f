"""Read a flow's uses of `ctx`, as nodes of its outline."""

from __future__ import annotations

import ast
from typing import get_args

from halflap.lowcode.outline.calls import (
    FunctionScope,
    OutlineCall,
    argument,
    flow_name,
    inputs_of,
    text_of,
)
from halflap.lowcode.outline.nodes import OutlineNode, Span, made
from halflap.model import LogLevel
from halflap.sdk.purity import AWAITED_OF_CONTEXT, AWAITED_OF_STATE
from halflap.sdk.survey import Survey

LEVELS = frozenset(get_args(LogLevel))


def awaited(path: tuple[str, ...]) -> bool:
    """Return whether what `ctx` has here is a step."""
    if path[:1] == ("state",):
        return path[-1] in AWAITED_OF_STATE
    return len(path) == 1 and path[0] in AWAITED_OF_CONTEXT


def of_context(
    called: OutlineCall, path: tuple[str, ...], place: Span, survey: Survey
) -> OutlineNode | None:
    """The node of a call of what `ctx` has; None where it is no step (`ctx.now()`)."""
    call, scope, id = called.node, called.scope, called.id
    first = argument(call, 0, "key" if path[0] == "state" else "time")
    shown = "" if first is None else text_of(first)

    def second(name: str) -> str | None:
        given = argument(call, 1, name)
        return None if given is None else ast.unparse(given)

    match path:
        case ("sleep",):
            return made("sleep", place, {"sleep": shown})
        case ("wait_for",):
            return made("wait", place, {"wait": shown, "timeout": second("timeout")}, id=id)
        case ("start" | "call" as verb,):
            flow = sibling(call, survey, scope)
            wait = None if verb == "call" else False
            return made(
                "call", place, {"call": flow, "event": second("event"), "wait": wait}, id=id
            )
        case ("continue_with",):
            event = argument(call, 0, "event")
            given = None if event is None else ast.unparse(event)
            return made("continue_with", place, {"continue_with": given})
        case ("signal_url",):
            choice = argument(call, 1, "choice")
            choices = [] if choice is None else [text_of(choice)]
            return made("links", place, {"links": shown, "choices": choices}, id=id)
        case ("paired" | "pair" | "unpair" as verb,):
            fields = {verb: _pairs(first, survey, scope), "with": inputs_of(_rest(call), ())}
            return made(verb, place, fields, id=id)
        case ("state", *within, verb) if verb in AWAITED_OF_STATE:
            names = {"get": "default", "put": "value", "update": "change"}
            given = {names[verb]: second(names[verb])} if verb in names else {}
            scope_of = within[0] if within else None
            return made(
                "state", place, {"state": verb, "key": shown, **given, "scope": scope_of}, id=id
            )
        case ("log", level) if level in LEVELS:
            return made("log", place, {"log": shown, "level": level})
        case _:
            return None


def sibling(call: ast.Call, survey: Survey, scope: FunctionScope) -> str:
    """The flow that a call names first."""
    first = argument(call, 0, "flow")
    match first:
        case None:
            return ""
        case ast.Constant(value=str(name)):
            return name
        case _:
            name = survey.canonical(scope.meaning(first))
            if name is None:
                return ast.unparse(first)
            within, _, function = name.rpartition(".")
            owner = survey.split(name)[0] if within else scope.module
            flows = () if owner is None else owner.flows
            return next((flow_name(each) for each in flows if each.name == function), function)


def _rest(call: ast.Call) -> ast.Call:
    """The call without what it is given first."""
    return ast.Call(call.func, call.args[1:], call.keywords)


def _pairs(node: ast.expr | None, survey: Survey, scope: FunctionScope) -> str:
    """The name of pairs: what `integration.pairs("…")` was given, or the variable's."""
    if node is None:
        return ""
    module, rest = survey.split(survey.canonical(scope.meaning(node)))
    for each in () if module is None else module.tree.body:
        match each:
            case ast.Assign(
                targets=[ast.Name(id=name)],
                value=ast.Call(args=[ast.Constant(value=str(pairs)), *_]),
            ) if name == rest:
                return pairs
            case _:
                pass
    return ast.unparse(node)
