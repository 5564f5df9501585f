"""A vendor's document as the sandbox reads it: operations by method and path, schemas, strict checks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import unquote

Json = dict[str, Any]
Node = Mapping[str, Any]

TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}
METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True, slots=True)
class Call:
    """An operation: its pattern of paths, and what the document says of it."""

    method: str
    path: str
    node: Node
    pattern: re.Pattern[str]

    @property
    def is_item(self) -> bool:
        """True if its path ends with the id of one thing."""
        return self.path.removesuffix(".json").endswith("}")


class VendorDocument:
    """One document, or several of one vendor."""

    def __init__(self, *documents: Node) -> None:
        self._schemas: Json = {}
        self.calls: list[Call] = []
        self.is_lenient = False
        for document in documents:
            self._schemas |= document.get("components", {}).get("schemas", {})
            for path, methods in document["paths"].items():
                parts = re.split(r"\{([^}]*)\}", path)
                pattern = "".join(
                    f"(?P<p{n}>[^/]+?)" if n % 2 else re.escape(each)
                    for n, each in enumerate(parts)
                )
                for method in METHODS:
                    if method in methods:
                        made = re.compile(pattern)
                        self.calls.append(Call(method.upper(), path, methods[method], made))
        self.calls.sort(key=lambda each: each.path.count("{"))

    def find(self, method: str, path: str) -> tuple[Call, dict[str, str]] | None:
        """Return the call that a request is, and the values in its path."""
        for each in self.calls:
            found = each.pattern.fullmatch(path) if each.method == method else None
            if found is not None:
                names = re.findall(r"\{([^}]*)\}", each.path)
                return each, dict(zip(names, map(unquote, found.groups()), strict=True))
        return None

    def has_path(self, path: str) -> bool:
        """Return whether some method has a path."""
        return any(each.pattern.fullmatch(path) for each in self.calls)

    def followed(self, schema: Node) -> Node:
        """Return a schema, with what its reference names."""
        while "$ref" in schema:
            beside = {name: each for name, each in schema.items() if name != "$ref"}
            name = str(schema["$ref"]).rpartition("/")[2].replace("~1", "/").replace("~0", "~")
            schema = {**self._schemas[name], **beside}
        if "allOf" in schema:
            whole: Json = {name: each for name, each in schema.items() if name != "allOf"}
            for part in map(self.followed, schema["allOf"]):
                fields = {**part.get("properties", {}), **whole.get("properties", {})}
                needed = [*whole.get("required", []), *part.get("required", [])]
                whole = {**part, **whole}
                if fields:
                    whole |= {"properties": fields, "type": "object"}
                if needed:
                    whole["required"] = needed
            return whole
        return schema

    def answer(self, call: Call) -> tuple[int, Node | None, str]:
        """Return the status of a success, the schema of its body, and the name of that."""
        code = min(code for code in call.node["responses"] if code.startswith("2"))
        content = call.node["responses"][code].get("content", {})
        schema: Node | None = next((each.get("schema", {}) for each in content.values()), None)
        name = str((schema or {}).get("$ref", "")).rpartition("/")[2]
        return int(code), schema, re.sub(r"\.\d+$", "", name)

    def body(self, call: Call) -> tuple[str, Node] | None:
        """Return the type and the schema of a request's body; None where it has none."""
        content: Json = call.node.get("requestBody", {}).get("content", {})
        for media, each in content.items():
            return media, self.followed(each.get("schema", {}))
        return None

    # Checks -----------------------------------------------------------------------------------

    def wrong(self, value: Any, schema: Node, at: str) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with a value, each with its place."""
        schema = self.followed(schema)
        if value is None and (schema.get("nullable") or not schema):
            return
        options: list[Node] = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
        if options:
            found = [list(self.wrong(value, each, at)) for each in options]
            if all(found):
                yield min(found, key=lambda each: -len(each[0][0]))[0]
            return
        kinds = kinds_of(schema)
        if kinds and not any(self._is(value, each) for each in kinds):
            yield at, f"is not {' or '.join(kinds)}"
            return
        known = (
            self.is_lenient and isinstance(value, str) and value.lower() in schema.get("enum", ())
        )
        if "enum" in schema and value not in schema["enum"] and not known:
            yield at, f"is none of {', '.join(map(str, schema['enum'][:20]))}"
        yield from self._bounds(value, schema, at)
        if (many := as_list(value)) is not None and "items" in schema:
            for number, each in enumerate(many):
                yield from self.wrong(each, schema["items"], f"{at}[{number}]")
        if (members := as_object(value)) is not None:
            yield from self._members(members, schema, at)

    def _bounds(self, value: Any, schema: Node, at: str) -> Iterator[tuple[str, str]]:
        if isinstance(value, str):
            if len(value) > schema.get("maxLength", len(value)):
                yield at, f"has more than {schema['maxLength']} characters"
            if len(value) < schema.get("minLength", 0):
                yield at, f"has less than {schema['minLength']} characters"
        elif isinstance(value, int | float) and not isinstance(value, bool):
            low, high = schema.get("minimum", value), schema.get("maximum", value)
            if not low <= value <= high:
                yield at, "is out of bounds"

    def _members(self, value: Json, schema: Node, at: str) -> Iterator[tuple[str, str]]:
        fields: Json = schema.get("properties", {})
        others: Any = schema.get("additionalProperties", True)
        for name in schema.get("required", ()):
            if name not in value:
                yield joined(at, name), "is missing"
        for name, each in value.items():
            if name in fields:
                yield from self.wrong(each, fields[name], joined(at, name))
            elif others is False and (fields or "properties" in schema):
                yield joined(at, name), "is unknown"
            elif (known := as_object(others)) is not None:
                yield from self.wrong(each, known, joined(at, name))

    def _is(self, value: Any, kind: str) -> bool:
        if isinstance(value, bool):
            return kind == "boolean"
        if kind == "string" and self.is_lenient and isinstance(value, int):
            return True
        return isinstance(value, TYPES.get(kind, (object,)))

    def typed(self, value: Any, schema: Node) -> Any:
        """Return a value of a query or a form, which is text, as its schema types it."""
        schema = self.followed(schema)
        options: list[Node] = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
        if options:
            for each in options:
                made = self.typed(value, each)
                if not list(self.wrong(made, each, "")):
                    return made
            return value
        kind = next(iter(kinds_of(schema)), "")
        given, many = as_object(value), as_list(value)
        if kind == "array":
            if given is not None and all(key.isdigit() for key in given):
                many = [given[key] for key in sorted(given, key=int)]
            many = [value] if isinstance(value, str) else many
            if many is not None:
                return [self.typed(each, schema.get("items", {})) for each in many]
        if given is not None:
            fields: Json = schema.get("properties", {})
            other = as_object(schema.get("additionalProperties")) or {}
            return {name: self.typed(each, fields.get(name, other)) for name, each in given.items()}
        if isinstance(value, str) and kind == "integer" and re.fullmatch(r"-?\d+", value):
            return int(value)
        if isinstance(value, str) and kind == "number" and re.fullmatch(r"-?\d+(\.\d+)?", value):
            return float(value)
        if isinstance(value, str) and kind == "boolean" and value in ("true", "false"):
            return value == "true"
        return value

    # Answers ----------------------------------------------------------------------------------

    def synthesised(self, schema: Node, now: int, depth: int = 0) -> Any:
        """Return a value that a schema allows: null where it may be, else empty, else an example."""
        schema = self.followed(schema)
        if schema.get("nullable"):
            return None
        options: list[Node] = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
        if options:
            return self.synthesised(options[0], now, depth)
        if "enum" in schema:
            return schema["enum"][0]
        kind = next(iter(kinds_of(schema)), "")
        if kind == "object" or "properties" in schema:
            needed = schema.get("required", ())
            return {
                name: self.synthesised(each, now, depth + 1)
                for name, each in schema.get("properties", {}).items()
                if name in needed or depth == 0
            }
        made: Json = {"array": [], "integer": 0, "number": 0, "boolean": False, "string": ""}
        if kind == "integer" and schema.get("format") == "unix-time":
            return now
        return made.get(kind)


def as_object(value: Any) -> Json | None:
    """Return a value that is an object, as one; None for another."""
    return cast(Json, value) if isinstance(value, dict) else None


def as_list(value: Any) -> list[Any] | None:
    """Return a value that is a list, as one; None for another."""
    return cast("list[Any]", value) if isinstance(value, list) else None


def kinds_of(schema: Node) -> list[str]:
    """Return the types that a schema names."""
    found: Any = schema.get("type")
    return [found] if isinstance(found, str) else as_list(found) or []


def joined(at: str, name: str) -> str:
    """Return the place of a member."""
    return f"{at}[{name}]" if at else name


def nested(pairs: list[tuple[str, str]]) -> Json:
    """Return pairs of a query or a form as they nest by brackets; one that repeats is a list."""
    made: Json = {}
    for key, value in pairs:
        first, *rest = re.findall(r"[^\[\]]+", key) or [key]
        here, name = made, first
        for part in rest:
            inner = as_object(here.setdefault(name, {}))
            here, name = {} if inner is None else inner, part
        if name in here and as_object(here[name]) is None:
            before = as_list(here[name])
            here[name] = [*([here[name]] if before is None else before), value]
        else:
            here[name] = value
    return made
