"""Writes a pre-process flow's routes as an ordinary function."""

from __future__ import annotations

from halflap.lowcode.convert.to_python.context import Module
from halflap.lowcode.convert.to_python.layout import (
    Group,
    Piece,
    call,
    call_with,
    joined,
    lines,
    text,
)
from halflap.lowcode.convert.to_python.speaker import Speaker
from halflap.lowcode.document import PreprocessPart, RoutePart
from halflap.lowcode.source import Path


def routes(
    module: Module, speaker: Speaker, part: PreprocessPart, path: Path
) -> tuple[list[str], str]:
    """The body of the function, and the type of what it returns."""
    route, uses = module.names.use("Route"), module.names.use
    made: list[str] = []
    ended = False
    if part.all:
        made.append(f"    routes: list[{route}] = []")
    for at, each in enumerate(part.routes):
        place = (*path, "routes", at)
        made += [f"    # {said}" for said in module.remarks.of(place)]
        condition: Piece | None = None
        if each.when is not None:
            condition, _ = speaker.truth(each.when, (*place, "when"))
        if part.all and each.ignore is not None:
            condition = "not routes" if condition is None else joined(condition, " and not routes")
        indent = 4
        if condition is not None:
            made += lines(joined("if ", condition), 4, ":")
            indent = 8
        if each.ignore is not None:
            ignored = call(uses("Ignore"), speaker.text(each.ignore, (*place, "ignore")))
            made += lines(joined("return ", ignored), indent)
        elif part.all:
            made += lines(call("routes.append", _route(module, speaker, each, place)), indent)
        else:
            made += lines(joined("return ", _route(module, speaker, each, place)), indent)
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


def _route(module: Module, speaker: Speaker, route: RoutePart, path: Path) -> Piece:
    args: list[Piece] = [module.names.flow(route.flow or "")]
    if route.event is not None:
        args.append(speaker.plain(route.event, (*path, "event")))
    named: list[tuple[str, Piece]] = []
    for how in ("customer", "instance"):
        value = getattr(route, how)
        if value is not None:
            named.append((how, speaker.text(value, (*path, how))))
    for field, value in route.config.items():
        shown = joined(f"{text(field)}: ", speaker.text(value, (*path, "config", field)))
        named.append(("config", Group("{", (shown,), "}", "display")))
    return call_with(module.names.use("Route"), args, named)
