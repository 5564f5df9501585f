"""Writes a pre-process flow's routes as an ordinary function."""

from __future__ import annotations

from halflap.lowcode.convert.context import WrittenModule
from halflap.lowcode.convert.layout import (
    Piece,
    call,
    call_with,
    flat,
    joined,
    lines,
    text,
)
from halflap.lowcode.convert.values import PythonScope, display, text_of, truth, value
from halflap.lowcode.document import PreprocessPart, RoutePart
from halflap.lowcode.source import Path


def routes(
    module: WrittenModule, scope: PythonScope, part: PreprocessPart, path: Path
) -> tuple[list[str], str]:
    """Return the body of the function, and the type of what it returns."""
    route, uses = module.names.use("Route"), module.names.use
    made: list[str] = []
    ended = False
    if part.all:
        made.append(f"    routes: list[{route}] = []")
    for at, each in enumerate(part.routes):
        place = (*path, "routes", at)
        made += [f"    # {line}" for line in module.remarks.of(place)]
        condition: Piece | None = None
        if each.when is not None:
            condition = truth(scope, each.when, (*place, "when"))
        if part.all and each.ignore is not None:
            condition = "not routes" if condition is None else _also(condition, "not routes")
        indent = 4
        if condition is not None:
            made += lines(joined("if ", condition), 4, ":")
            indent = 8
        if each.ignore is not None:
            ignored = call(uses("Ignore"), text_of(scope, each.ignore, (*place, "ignore")))
            made += lines(joined("return ", ignored), indent)
        elif part.all:
            made += lines(call("routes.append", _route(module, scope, each, place)), indent)
        else:
            made += lines(joined("return ", _route(module, scope, each, place)), indent)
        if condition is None and not part.all:
            ended = True
            break
    ignores = any(each.ignore is not None for each in part.routes)
    if part.all:
        made.append("    return routes")
        return made, f"list[{route}]" + (f" | {uses('Ignore')}" if ignores else "")
    if not ended:
        made.append("    return None")
    kinds = [route] if any(each.flow for each in part.routes) else []
    kinds += [uses("Ignore")] if ignores else []
    return made, " | ".join([*kinds, *([] if ended else ["None"])])


def _also(condition: Piece, other: str) -> Piece:
    whole = joined("(", condition, ")") if " or " in flat(condition) else condition
    return joined(whole, f" and {other}")


def _route(module: WrittenModule, scope: PythonScope, route: RoutePart, path: Path) -> Piece:
    args: list[Piece] = [module.names.flow(route.flow or "")]
    if route.event is not None:
        args.append(value(scope, route.event, (*path, "event")))
    named: list[tuple[str, Piece]] = []
    for how in ("customer", "instance"):
        given = getattr(route, how)
        if given is not None:
            named.append((how, text_of(scope, given, (*path, how))))
    for field, given in route.config.items():
        shown = text_of(scope, given, (*path, "config", field))
        named.append(("config", display([(text(field), shown)])))
    return call_with(module.names.use("Route"), args, named)
