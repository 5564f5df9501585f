"""The outline of a document for an editor: its config, its flows with their steps, its tests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from halflap.lowcode.assist.analysis import Analysis
from halflap.lowcode.assist.loose import lines_of
from halflap.lowcode.outline.nodes import FlowOutline, OutlineNode
from halflap.lowcode.source import Place, SourceText, mapping_of

SymbolKind = Literal["field", "flow", "step", "test"]


@dataclass(frozen=True, slots=True)
class Symbol:
    """A part of a document, from its place to the end of its last line (from 1)."""

    name: str
    kind: SymbolKind
    detail: str
    place: Place
    end: int = 0
    inner: tuple[Symbol, ...] = ()


def symbols(analysis: Analysis) -> list[Symbol]:
    """The parts of a document, each with those in it."""
    source = analysis.source
    data = mapping_of(source.data)
    found = [
        *_fields(source, data.get("config")),
        *map(_flow, analysis.outline().flows),
        *_tests(source, data.get("tests")),
    ]
    found.sort(key=lambda each: (each.place.line, each.place.column))
    return _ended(found, len(lines_of(analysis.text)))


def _ended(found: list[Symbol], last: int) -> list[Symbol]:
    """Each with where it ends: before the next one begins."""
    ended: list[Symbol] = []
    for at, each in enumerate(found):
        before = found[at + 1].place.line - 1 if at + 1 < len(found) else last
        end = max(each.place.line, before)
        ended.append(replace(each, end=end, inner=tuple(_ended(list(each.inner), end))))
    return ended


def _fields(source: SourceText, pages: Any) -> Iterator[Symbol]:
    for page, members in mapping_of(pages).items():
        for name, field in mapping_of(members).items():
            detail = mapping_of(field)
            told = detail.get("connection") or detail.get("type") or "text"
            yield Symbol(str(name), "field", str(told), source.key(("config", page, name)))


def _tests(source: SourceText, tests: Any) -> Iterator[Symbol]:
    for at, test in enumerate(cast("list[Any]", tests) if isinstance(tests, list) else ()):
        members = mapping_of(test)
        name, flow = members.get("name") or "test", members.get("flow") or ""
        yield Symbol(str(name), "test", str(flow), source.key(("tests", at)))


def _flow(flow: FlowOutline) -> Symbol:
    place = Place(flow.place.line, flow.place.column)
    return Symbol(flow.name or "flow", "flow", flow.trigger, place, inner=tuple(_steps(flow.steps)))


def _steps(nodes: Iterable[OutlineNode]) -> Iterator[Symbol]:
    for node in nodes:
        if node.kind not in ("unknown", "route"):
            said = node.text(node.kind)
            name = node.title or (f"{node.kind} {said}".strip() if len(said) < 60 else node.kind)
            inner = (each for block in node.blocks for each in _steps(block.nodes))
            place = Place(node.place.line, node.place.column)
            yield Symbol(name, "step", node.id or "", place, inner=tuple(inner))
