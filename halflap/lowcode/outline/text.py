"""An outline as text, for people: a line for each node, with the line of its source before it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from halflap.lowcode.outline import nodes
from halflap.lowcode.outline.nodes import FlowOutline, Node, Outline

LONGEST = 100
"""How much of a source's text is shown."""

Line = tuple[int, int, str]
"""The line of the source (0 for none), how deep it stands, and what it says."""


def as_text(outline: Outline) -> str:
    """The outline of an integration."""
    parts = [f"{outline.name}: {outline.title} ({outline.file})"]
    for flow in outline.flows:
        parts += ["", _heading(flow)]
        lines = list(_lines(flow.steps, 0, flow.place.file))
        width = max((len(str(line)) for line, _, _ in lines), default=0)
        parts += [f"{line or '':>{width + 2}}  {'  ' * depth}{said}" for line, depth, said in lines]
    for each in outline.unknown:
        parts += ["", f"{each.place.file}:{each.place.line}: may add flows: {short(each.text)}"]
    return "\n".join(parts)


def _heading(flow: FlowOutline) -> str:
    kind = "shared pre-process flow" if flow.shared else "pre-process flow"
    what = f"{kind} " if flow.preprocess else ""
    at = f"{flow.place.file}:{flow.place.line}"
    return f"{what}{flow.name} on {flow.trigger}: {flow.title} ({at})"


def _lines(found: Sequence[Node], depth: int, file: str) -> Iterator[Line]:
    for node in found:
        yield node.place.line, depth, _said(node, file)
        yield from _within(node, depth, file)


def _within(node: Node, depth: int, file: str) -> Iterator[Line]:
    match node:
        case nodes.IfNode():
            yield from _lines(node.then, depth + 1, file)
            if node.otherwise:
                yield 0, depth, "else"
                yield from _lines(node.otherwise, depth + 1, file)
        case nodes.SwitchNode():
            for case in node.cases:
                yield case.place.line, depth, _titled(f"case {short(case.value)}", case.title)
                yield from _lines(case.steps, depth + 1, file)
            if node.default:
                yield 0, depth, "default"
                yield from _lines(node.default, depth + 1, file)
        case nodes.TryNode():
            yield from _lines(node.steps, depth + 1, file)
            for catch in node.catches:
                yield catch.place.line, depth, _titled(f"catch {short(catch.error)}", catch.title)
                yield from _lines(catch.steps, depth + 1, file)
            for word, steps in (("else", node.otherwise), ("in any case", node.always)):
                if steps:
                    yield 0, depth, word
                    yield from _lines(steps, depth + 1, file)
        case nodes.ForNode() | nodes.WhileNode() | nodes.CodeNode():
            yield from _lines(node.steps, depth + 1, file)
        case nodes.GroupNode():
            inside = node.steps[0].place.file if node.steps else file
            yield from _lines(node.steps, depth + 1, inside)
        case _:
            pass


def _said(node: Node, file: str) -> str:
    said = _what(node)
    id = getattr(node, "id", None)
    said = said if id is None else f"{id} = {said}"
    if isinstance(node, nodes.ActionNode | nodes.CodeNode):
        return said
    if isinstance(node, nodes.GroupNode) and node.steps and node.steps[0].place.file != file:
        said += f" in {node.steps[0].place.file}"
    return _titled(said, node.title)


def _what(node: Node) -> str:
    match node:
        case nodes.ActionNode():
            more = f", retry {node.retry}" if node.retry else ""
            return f"{node.action}: {node.title}{more}{_ignoring(node.ignores)}"
        case nodes.CodeNode():
            name = "" if node.name == "code" else f" {node.name}"
            return f"code{name}: {node.title}{_ignoring(node.ignores)}"
        case nodes.CallNode():
            return f"{'call' if node.waits else 'start'} {node.flow}{_ignoring(node.ignores)}"
        case nodes.ResultNode():
            return f"wait for {node.flow}"
        case nodes.SleepNode():
            return f"sleep {short(node.time)}"
        case nodes.WaitNode():
            return f"wait {short(node.signal)}" + (f" for {node.timeout}" if node.timeout else "")
        case nodes.LinksNode():
            return f"links {short(node.signal)}: {', '.join(node.choices)}"
        case nodes.StateNode():
            scope = "" if node.scope == "flow" else f" of the {node.scope}"
            return f"state {node.verb} {short(node.key)}{scope}"
        case nodes.PairsNode():
            return f"{node.verb} {node.pairs}"
        case nodes.SetNode():
            return f"set {', '.join(node.names)}"
        case nodes.LogNode():
            return f"log {node.level}: {short(node.text)}"
        case nodes.RouteNode():
            when = f" if {short(node.condition)}" if node.condition else ""
            return f"route to {node.flow}{f', {node.whose}' if node.whose else ''}{when}"
        case nodes.UnknownNode():
            return f"unknown: {short(node.text)}"
        case _:
            return _way(node)


def _way(node: Node) -> str:
    match node:
        case nodes.IfNode():
            return f"if {short(node.condition)}"
        case nodes.SwitchNode():
            return f"switch {short(node.value)}"
        case nodes.ForNode():
            where = f" where {short(node.where)}" if node.where else ""
            at_once = f", {node.limit} at once" if node.parallel else ""
            goes_on = ", going on after failures" if node.goes_on else ""
            return f"for {node.item} in {short(node.items)}{where}{at_once}{goes_on}"
        case nodes.WhileNode():
            return f"while {short(node.condition)}"
        case nodes.TryNode():
            return "try"
        case nodes.GroupNode():
            return f"{node.function}()" + (" …" if node.folded else "")
        case nodes.StopNode():
            how = {"end": "stop", "dead_letter": "dead letter"}.get(node.how, node.how)
            return how if node.text is None else f"{how} {short(node.text)}"
        case nodes.ThrowNode():
            return f"throw {short(node.text.removeprefix('raise '))}"
        case nodes.LeaveNode():
            return node.kind
        case _:
            raise AssertionError(node.kind)


def _ignoring(ignores: bool) -> str:
    return ", failure ignored" if ignores else ""


def _titled(said: str, title: str | None) -> str:
    return said if title is None else f"{said} · {title}"


def short(text: str) -> str:
    """A text on one line, and not too long."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
