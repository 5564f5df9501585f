"""Render an outline as text, for people: a line for each node, with the line of its source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from halflap.lowcode.outline.nodes import FlowOutline, NodeBlock, Outline, OutlineNode, Path
from halflap.sdk import codec

LONGEST = 60
"""The most characters of a field that are shown."""

Line = tuple[Path, int, int, str]
"""The address of a node or a block, the line of the source (0 for none), its depth, and its text."""


def as_text(outline: Outline) -> str:
    """Render the outline of an integration."""
    parts = [f"{outline.name}: {outline.title} ({outline.file})"]
    for flow in outline.flows:
        parts += ["", *flow_lines(flow)]
    for each in outline.unknown:
        parts += ["", f"{each.place.file}:{each.place.line}: may add flows: {short(each.text)}"]
    return "\n".join(parts)


def flow_lines(flow: FlowOutline, notes: Mapping[Path, str] | None = None) -> list[str]:
    """Render a flow, a line for each node; `notes` stand in front of them, by their address."""
    lines = list(_lines(flow.steps, 0, flow.place.file))
    width = max((len(str(line)) for _, line, _, _ in lines), default=0) + 2
    apart = 0 if notes is None else max(map(len, notes.values()), default=0)
    return [
        _heading(flow),
        *(
            f"{(notes or {}).get(path, ''):>{apart}}{line or '':>{width}}  {'  ' * depth}{text}"
            for path, line, depth, text in lines
        ),
    ]


def _heading(flow: FlowOutline) -> str:
    kind = "shared pre-process flow" if flow.shared else "pre-process flow"
    what = f"{kind} " if flow.preprocess else ""
    at = f"{flow.place.file}:{flow.place.line}"
    return f"{what}{flow.name} on {flow.trigger}: {flow.title} ({at})"


def _lines(nodes: Sequence[OutlineNode], depth: int, file: str) -> Iterator[Line]:
    for node in nodes:
        first = next((each for block in node.blocks for each in block.nodes), node)
        elsewhere = first.place.file if node.kind == "group" else file
        moved = "" if elsewhere == file else f" in {elsewhere}"
        yield node.path, node.place.line, depth, _titled(line_of(node) + moved, node.title)
        for at, each in enumerate(node.blocks):
            heading = _block_heading(node, each)
            if heading and (at or each.path[len(node.path) + 1 :]) and (each.nodes or each.place):
                line = 0 if each.place is None else each.place.line
                yield each.path, line, depth, _titled(heading, each.title)
            yield from _lines(each.nodes, depth + 1, elsewhere)


def _block_heading(node: OutlineNode, block: NodeBlock) -> str:
    name, *value = block.path[len(node.path) :]
    return " ".join([str(name).removesuffix("s"), *(short(shown(each)) for each in value)])


def line_of(node: OutlineNode) -> str:
    """Render a node on one line: its name, its kind, and its fields as the document writes them."""
    own = node.fields.get(node.kind)
    words = [node.kind] if own is None or own is True else [node.kind, short(shown(own))]
    words += [f"{key} {short(shown(e))}" for key, e in node.fields.items() if key != node.kind]
    return " ".join(words if node.id is None else [node.id, "=", *words])


def shown(value: Any) -> str:
    """Render a value: a text as it is, lists and mappings in brackets and braces, all else as JSON."""
    match value:
        case str():
            return value
        case dict():
            members = cast("dict[Any, Any]", value).items()
            return f"{{{', '.join(f'{shown(name)}: {shown(each)}' for name, each in members)}}}"
        case list():
            return f"[{', '.join(map(shown, cast('list[Any]', value)))}]"
        case _:
            return codec.encode(value).decode()


def _titled(text: str, title: str | None) -> str:
    return text if title is None else f"{text} · {title}"


def short(text: str) -> str:
    """Cut a text to one line that is not too long."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
