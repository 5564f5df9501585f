"""The outline of a document for an editor: its config, its flows with their steps, its tests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from halflap.lowcode.assist.analysis import Analysis
from halflap.lowcode.assist.loose import lines_of
from halflap.lowcode.kinds import kind_of
from halflap.lowcode.kinds.raw import blocks_in
from halflap.lowcode.source import Path, Place, mapping_of

SymbolKind = Literal["field", "flow", "step", "test"]


@dataclass(frozen=True, slots=True)
class Symbol:
    """A part of a document, from its place to the end of its last line (from 1)."""

    name: str
    kind: SymbolKind
    detail: str
    place: Place
    end: int
    inner: tuple[Symbol, ...] = ()


def symbols(analysis: Analysis) -> list[Symbol]:
    """The parts of a document, each with those in it."""
    data = analysis.source.data
    if not isinstance(data, dict):
        return []
    members = cast("dict[str, Any]", data)
    found = [
        *_Outline(analysis).fields(members.get("config")),
        *_Outline(analysis).flows("preprocess", members.get("preprocess")),
        *_Outline(analysis).flows("flows", members.get("flows")),
        *_Outline(analysis).tests(members.get("tests")),
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


class _Outline:
    def __init__(self, analysis: Analysis) -> None:
        self._source = analysis.source

    def _symbol(
        self,
        name: Any,
        kind: SymbolKind,
        detail: Any,
        path: Path,
        inner: Iterator[Symbol] | None = None,
    ) -> Symbol:
        place = self._source.key(path)
        shown = str(name or kind)
        told = "" if detail is None else str(detail)
        return Symbol(shown, kind, told, place, place.line, tuple(inner or ()))

    def fields(self, pages: Any) -> Iterator[Symbol]:
        for page, members in mapping_of(pages).items():
            for name, field in mapping_of(members).items():
                detail = mapping_of(field)
                told = detail.get("connection") or detail.get("type") or "text"
                yield self._symbol(name, "field", told, ("config", page, name))

    def flows(self, key: str, flows: Any) -> Iterator[Symbol]:
        for name, flow in mapping_of(flows).items():
            members = mapping_of(flow)
            path: Path = (key, name)
            inner = self.steps(members.get("steps"), (*path, "steps"))
            yield self._symbol(name, "flow", members.get("trigger"), path, inner)

    def steps(self, steps: Any, path: Path) -> Iterator[Symbol]:
        for at, step in enumerate(cast("list[Any]", steps) if isinstance(steps, list) else ()):
            kind = kind_of(step)
            if kind is None:
                continue
            members = mapping_of(step)
            said = members[kind] if isinstance(members[kind], str) else ""
            place: Path = (*path, at)
            name = members.get("title") or (f"{kind} {said}".strip() if len(said) < 60 else kind)
            inner = (
                one for at, each in blocks_in(members) for one in self.steps(each, (*place, *at))
            )
            yield self._symbol(name, "step", members.get("id"), place, inner)

    def tests(self, tests: Any) -> Iterator[Symbol]:
        for at, test in enumerate(cast("list[Any]", tests) if isinstance(tests, list) else ()):
            members = mapping_of(test)
            yield self._symbol(members.get("name"), "test", members.get("flow"), ("tests", at))
