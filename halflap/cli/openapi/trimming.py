"""Trim a vendor's OpenAPI document to some of its operations, its schemas cut by depth.

One reference leads to a schema, and that to others, to most of the document in the end: five of
Stripe's operations reach 485 of its 775 schemas. So each schema is kept as deep as it is used: of what
lies deeper only its type is left, marked `x-cut` with its name.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from halflap.sdk.openapi import (
    BOUNDS,
    ApiDocument,
    Node,
    UnsupportedSpecification,
    escaped,
    first_sentence,
    media_rank,
)

KEPT = (*("type", "format", "enum", "const", "nullable", "required", "readOnly", "writeOnly"),)
"""The words of a schema that are kept besides its parts."""
OF_INPUTS = (
    *(
        "default",
        "pattern",
        "deprecated",
    ),
    *BOUNDS,
)
"""The words of an input's schema that are kept as well, with its description."""
LEAF_BYTES = 2_000
"""The size up to which a schema that refers to no other is kept however deep it lies."""
EXPANDABLE = "x-expansionResources"
"""Stripe's mark of a field that is an id, and an object where that was asked for."""
OPTIONS = ("anyOf", "oneOf", "allOf")


@dataclass(frozen=True, slots=True)
class Depths:
    """The number of references down to which schemas are kept: of answers, and of bodies."""

    answer: int = 2
    body: int = 4


Variant = tuple[str, int, bool]
"""A schema as it is kept: its reference, how deep, and whether it is of an answer."""


class Trimming:
    """Trims one document."""

    def __init__(self, document: ApiDocument, depths: Depths = Depths()) -> None:
        self._document, self._depths = document, depths
        self._in_answer = False
        self._heights: dict[str, float] = {}
        self._made: dict[Variant, dict[str, Any]] = {}
        self._names: dict[Variant, str] = {}

    def trimmed(self, ids: Iterable[str], origin: Mapping[str, Any]) -> dict[str, Any]:
        """Return a document with these operations; `origin` says where the whole one is from."""
        paths: dict[str, dict[str, Any]] = {}
        for id in ids:
            path, method = self._document.places[id]
            paths.setdefault(path, {})[method] = self._operation(id)
        info = self._document.data.get("info", {})
        kept = {name: info[name] for name in ("title", "version", "license") if name in info}
        made = {
            "openapi": self._document.data["openapi"],
            "info": kept,
            "x-origin": dict(origin),
            "servers": self._document.data.get("servers", []),
            "paths": paths,
        }
        schemas = {self._names[each]: schema for each, schema in self._made.items()}
        return made | {"components": {"schemas": dict(sorted(schemas.items()))}}

    def _operation(self, id: str) -> dict[str, Any]:
        node, at = self._document.node(id)
        path, _ = self._document.places[id]
        made: dict[str, Any] = {}
        for name in ("operationId", "deprecated"):
            if node.get(name):
                made[name] = node[name]
        if text := node.get("summary") or node.get("description"):
            made["summary"] = first_sentence(text)
        shared = self._document.data["paths"][path].get("parameters", [])
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for each in [*shared, *node.get("parameters", [])]:
            one, where = self._document.followed(each, f"{at}/parameters")
            found[one.get("in", ""), one.get("name", "")] = self._parameter(one, where)
        if found:
            made["parameters"] = list(found.values())
        if "requestBody" in node:
            body, where = self._document.followed(node["requestBody"], f"{at}/requestBody")
            made["requestBody"] = self._content(body, where, self._depths.body)
            if body.get("required"):
                made["requestBody"]["required"] = True
        made["responses"] = self._responses(node, at)
        return made

    def _responses(self, node: Node, at: str) -> dict[str, Any]:
        responses: dict[str, Any] = node.get("responses", {})
        good = sorted(code for code in responses if str(code).startswith("2")) or ["default"]
        for code in good:
            if code in responses:
                answer, where = self._document.followed(responses[code], f"{at}/responses/{code}")
                self._in_answer = True
                kept = self._content(answer, where, self._depths.answer)
                self._in_answer = False
                return {code: {"description": first_sentence(answer.get("description", ""))} | kept}
        return {"200": {"description": ""}}

    def _parameter(self, one: Node, where: str) -> dict[str, Any]:
        names = ("name", "in", "required", "style", "explode", "deprecated")
        made = {name: one[name] for name in names if name in one}
        if one.get("description"):
            made["description"] = first_sentence(one["description"])
        if "schema" in one:
            made["schema"] = self.schema(one["schema"], self._depths.body, where)
        elif "content" in one:
            made |= self._content(one, where, self._depths.body)
        return made

    def _content(self, node: Node, where: str, depth: int) -> dict[str, Any]:
        content: dict[str, Any] = node.get("content") or {}
        if not content:
            return {}
        media = min(content, key=media_rank)
        made: dict[str, Any] = {}
        if "schema" in content[media]:
            at = f"{where}/content/{escaped(media)}"
            made["schema"] = self.schema(content[media]["schema"], depth, at)
        if content[media].get("encoding"):
            made["encoding"] = content[media]["encoding"]
        return {"content": {media: made}}

    # Schemas ----------------------------------------------------------------------------------

    def schema(self, node: Any, depth: int, at: str) -> Any:
        """Return a schema whose references are followed `depth` deep."""
        if not isinstance(node, Mapping):
            return node
        known = cast(Node, node)
        if isinstance(reference := known.get("$ref"), str):
            beside = {k: known[k] for k in ("nullable", "title") if k in known}
            if known.get("description") and not self._in_answer:
                beside["description"] = first_sentence(known["description"])
            return self._reference(reference, depth, at) | beside
        made = {name: known[name] for name in KEPT if name in known}
        if not self._in_answer:
            made |= {name: known[name] for name in OF_INPUTS if name in known}
            if isinstance(known.get("description"), str) and known["description"]:
                made["description"] = first_sentence(known["description"])
        if isinstance(known.get("example"), str | int) and len(str(known["example"])) <= 60:
            made["example"] = known["example"]
        for name in OPTIONS:
            options: list[Any] = known.get(name) or []
            if EXPANDABLE in known:
                options = [each for each in options if "$ref" not in each] or options
            if options:
                made[name] = [
                    self.schema(each, depth + is_base(name, each), f"{at}/{name}")
                    for each in options
                ]
        if isinstance(known.get("properties"), Mapping):
            made["properties"] = {
                name: self.schema(each, depth, f"{at}/properties/{escaped(name)}")
                for name, each in cast("dict[str, Any]", known["properties"]).items()
            }
        for name in ("items", "additionalProperties"):
            if name in known:
                made[name] = self.schema(known[name], depth, f"{at}/{name}")
        return made

    def _reference(self, reference: str, depth: int, at: str) -> dict[str, Any]:
        height = self._height(reference, at)
        target, _ = self._document.followed({"$ref": reference}, at)
        if depth <= 0 and (height > 0 or len(json.dumps(target)) > LEAF_BYTES):
            kind = target.get("type") or ("object" if "properties" in target else None)
            name = reference.rpartition("/")[2]
            return ({"type": kind} if isinstance(kind, str) else {}) | {"x-cut": name}
        key = reference, int(min(max(depth - 1, 0), height)), self._in_answer
        if key not in self._names:
            self._names[key] = self._name(reference)
            self._made[key] = {}
            self._made[key] = self.schema(target, key[1], reference)
        return {"$ref": f"#/components/schemas/{escaped(self._names[key])}"}

    def _name(self, reference: str) -> str:
        name = reference.rpartition("/")[2].replace("~1", "/").replace("~0", "~")
        taken, number = set(self._names.values()), 2
        made = name
        while made in taken:
            made, number = f"{name}.{number}", number + 1
        return made

    def _height(self, reference: str, at: str) -> float:
        """Return how many references deep a schema goes; infinite for one that leads to a circle."""
        if reference in self._heights:
            return self._heights[reference]
        below, todo = dict[str, set[str]](), [reference]
        while todo:
            each = todo.pop()
            if each not in below and each not in self._heights:
                target, _ = self._document.followed({"$ref": each}, at)
                below[each] = set(references(target))
                todo += below[each]
        while True:
            done = [each for each, refs in below.items() if refs <= self._heights.keys()]
            if not done:
                break
            for each in done:
                found = [self._heights[one] + 1 for one in below.pop(each)]
                self._heights[each] = max(found, default=0)
        self._heights |= dict.fromkeys(below, math.inf)
        return self._heights[reference]


def references(node: Any) -> Iterable[str]:
    """Yield the references in a schema."""
    if isinstance(node, Mapping):
        known = cast(Node, node)
        if isinstance(known.get("$ref"), str):
            yield known["$ref"]
        for name, each in known.items():
            if name not in ("example", "enum", "default", EXPANDABLE):
                yield from references(each)
    elif isinstance(node, list):
        for each in cast("list[Any]", node):
            yield from references(each)


def as_text(document: Mapping[str, Any]) -> str:
    """Return a document as JSON with a line for each operation and each schema, to compare well."""

    def line(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    def block(values: Mapping[str, Any], indent: str, deep: int) -> str:
        rows = [
            f"{indent} {line(name)}: "
            + (block(each, f"{indent} ", deep - 1) if deep and each else line(each))
            for name, each in values.items()
        ]
        return "{\n" + ",\n".join(rows) + f"\n{indent}}}" if rows else "{}"

    deep = {"paths": 1, "components": 1}
    rows = [
        f" {line(name)}: " + (block(each, " ", deep[name]) if name in deep else line(each))
        for name, each in document.items()
    ]
    return "{\n" + ",\n".join(rows) + "\n}\n"


class _Read(ApiDocument):
    """A document whose schemas are followed for what cannot be read, each once, and not put together."""

    def __init__(self, document: ApiDocument) -> None:
        super().__init__(document.data, document.name)
        self._followed: set[str] = set()

    def schema(self, node: Any, at: str, most: int = 200) -> dict[str, Any]:
        todo = [(each, at) for each in references(node)]
        while todo:
            reference, where = todo.pop()
            if reference not in self._followed:
                target, _ = self.followed({"$ref": reference}, where)
                self._followed.add(reference)
                todo += [(each, reference) for each in references(target)]
        return super().schema(node, at, most)


def refused(document: ApiDocument, ids: Iterable[str]) -> dict[str, str]:
    """Return the operations that cannot be actions, and why, with the place."""
    found: dict[str, str] = {}
    read = _Read(document)
    for id in ids:
        try:
            read.operation(id)
        except UnsupportedSpecification as error:
            found[id] = str(error)
    return found


def is_base(name: str, option: Any) -> bool:
    """Return whether an option is what a schema extends, whose fields are the schema's own."""
    return name == "allOf" and isinstance(option, Mapping) and "$ref" in option
