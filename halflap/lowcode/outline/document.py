"""The outline of a YAML integration, of the document's values, which may be unfinished."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from halflap.lowcode.code import Code, CodeError, components_of
from halflap.lowcode.kinds import kind_of
from halflap.lowcode.kinds.code import code_place
from halflap.lowcode.kinds.raw import fields_in
from halflap.lowcode.kinds.role import Block
from halflap.lowcode.outline.known import titled
from halflap.lowcode.outline.nodes import FlowOutline, NodeBlock, Outline, OutlineNode, Span
from halflap.lowcode.source import Path, SourceText, mapping_of

Titles = Callable[[str, str], str]
"""Returns the title of a component's action."""


def outline_document(
    source: SourceText, titles: Titles, keys: Mapping[Path, int] | None = None
) -> Outline:
    """Return the outline of a document that was read, exactly or as far as it can be.

    `keys` are those of a draft's steps, by their addresses.
    """
    return _Document(source, titles, keys or {}).outline()


class _Document:
    def __init__(self, source: SourceText, titles: Titles, keys: Mapping[Path, int]) -> None:
        self._source = source
        self._titles = titles
        self._keys = keys
        self._ends = _ends(source)

    def outline(self) -> Outline:
        members = mapping_of(self._source.data)
        name = _text(members.get("name"))
        return Outline(
            name=name,
            title=_text(members.get("title")) or name.replace("-", " ").capitalize(),
            description=_text(members.get("description")),
            language="yaml",
            file=self._source.file,
            flows=[*self._flows(members, "flows"), *self._flows(members, "preprocess")],
        )

    def _flows(self, document: Mapping[Any, Any], part: str) -> Iterator[FlowOutline]:
        routes = part == "preprocess"
        key = "routes" if routes else "steps"
        for name, flow in mapping_of(document.get(part)).items():
            path: Path = (part, _named_key(name))
            members = dict(mapping_of(flow))
            steps = members.pop(key, None)
            yield FlowOutline(
                path=path,
                place=self._at(path, key=True),
                name=str(name),
                title=_take(members, "title") or titled(str(name)),
                description=_take(members, "description"),
                trigger=_take(members, "trigger"),
                preprocess=routes,
                shared=members.get("shared") is True,
                fields=_named(members),
                steps=self._nodes(steps, (*path, key), "route" if routes else None),
            )

    def _nodes(self, steps: Any, path: Path, kind: str | None = None) -> list[OutlineNode]:
        """The nodes of a list of steps; `kind` is that of what is no step."""
        items = cast("list[Any]", steps) if isinstance(steps, list) else []
        return [
            self._node(each, (*path, at), kind or kind_of(each)) for at, each in enumerate(items)
        ]

    def _node(self, step: Any, path: Path, kind: str | None) -> OutlineNode:
        place = self._at(path)
        if kind is None:
            fields = _named(mapping_of(step)) or {"unknown": step}
            return OutlineNode(
                path=path, key=self._key(path), place=place, kind="unknown", fields=fields
            )
        members = dict(mapping_of(step))
        blocks = [] if kind == "route" else list(self._blocks(members, path))
        title, id = _take(members, "title"), _take(members, "id")
        if kind == "code":
            blocks.append(NodeBlock(path=(*path, "code"), nodes=list(self._called(members, path))))
        return OutlineNode(
            path=path,
            key=self._key(path),
            place=place,
            kind=kind,
            title=title or self._title(kind, members),
            id=id or None,
            fields=_named(members),
            blocks=blocks,
        )

    def _blocks(self, members: dict[Any, Any], path: Path) -> Iterator[NodeBlock]:
        """Take the blocks out of a step; what can be none is left in it."""
        for key, field in fields_in(dict(members)).items():
            value: Any = members.get(key)
            if field.role(Block) is None or not isinstance(
                value, dict if field.many else list | None
            ):
                continue
            members.pop(key, None)
            lists: dict[Path, Any] = (
                {(key, _named_key(case)): each for case, each in mapping_of(value).items()}
                if field.many
                else {(key,): value}
            )
            for inner, steps in lists.items():
                at = (*path, *inner)
                written = at in self._source.values
                yield NodeBlock(
                    path=at,
                    place=self._at(at, key=True) if written else None,
                    nodes=self._nodes(steps, at),
                )

    def _title(self, kind: str, members: Mapping[Any, Any]) -> str | None:
        """The title of a step that gives none, where its record has one."""
        if kind == "action":
            owner, _, short = _text(members.get("action")).partition(".")
            return self._titles(owner, short)
        return "Code" if kind == "code" else None

    def _called(self, step: Mapping[Any, Any], path: Path) -> Iterator[OutlineNode]:
        """The actions that code awaits, each a step of its own, in the order of the text."""
        text, inputs = _text(step.get("code")), [*map(str, mapping_of(step.get("with")))]
        try:
            at = code_place(self._source, (*path, "code"))
            uses = Code.parse(text, inputs, components_of(text, inputs), at).uses
        except CodeError:
            return  # lint says what is wrong with it
        for at, each in enumerate(uses):
            yield OutlineNode(
                path=(*path, "code", at),
                key=None if (key := self._key(path)) is None else f"{key}.{at}",
                place=Span(
                    file=self._source.file, line=each.line, column=each.column, end_line=each.line
                ),
                kind="action",
                title=self._titles(*each.name.split(".", 1)),
                fields={"action": each.name},
            )

    def _key(self, path: Path) -> str | None:
        found = self._keys.get(path)
        return None if found is None else f"n{found}"

    def _at(self, path: Path, *, key: bool = False) -> Span:
        start = self._source.key(path) if key else self._source.place(path)
        return Span(
            file=self._source.file,
            line=start.line,
            column=start.column,
            end_line=max(start.line, self._ends.get(path, 0)),
        )


def _named_key(key: Any) -> str | int:
    """Return the key of a member as an address has it; one that is no name is none of a document's."""
    return key if isinstance(key, str | int) else str(key)


def _take(members: dict[Any, Any], key: str) -> str:
    """Take a text out of a mapping; what is none is left in it."""
    return members.pop(key) if isinstance(members.get(key), str) else ""


def _named(members: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(key): each for key, each in members.items()}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _ends(source: SourceText) -> dict[Path, int]:
    """Return the last line of each value, by its path."""
    ends: dict[Path, int] = {}
    for path, place in source.values.items():
        line = source.ends.get(path, place.line)
        for length in range(len(path), 0, -1):
            if ends.get(path[:length], 0) >= line:
                break
            ends[path[:length]] = line
    return ends
