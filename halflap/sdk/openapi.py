"""Read an OpenAPI document: its operations, with their inputs and answers as plain JSON Schema.

Schemas come out without references, in the few words that forms, pickers and checks understand:
`type`, `anyOf`, `enum`, `properties`, `required`, `items`, `additionalProperties`, and what describes.
A reference that leads back to itself is cut there. What cannot be followed is `UnsupportedSpecification`.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, cast

from halflap.errors import DefinitionError

Node = Mapping[str, Any]
Place = Literal["path", "query", "header", "body"]

METHODS = ("get", "head", "post", "put", "patch", "delete", "options")
VERSION = re.compile(r"3\.[01](\.|$)")
DEEPEST = 12
"""The depth to which references are followed in one schema."""
DEEPEST_NESTING = 60
"""The depth to which a schema nests; what lies deeper may be anything."""
MOST_NODES = 20_000
"""The number of nodes that one schema has at most; what comes after is cut."""
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
QUERY_STYLES = ("form", "spaceDelimited", "pipeDelimited", "deepObject")
OURS = frozenset({"accept", "content-type", "authorization"})
"""Headers that the specification of OpenAPI says are no parameters."""
DESCRIBES = ("title", "description", "format", "example", "default", "enum", "pattern")
BOUNDS = (
    *("minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    *("minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties", "multipleOf"),
)


class UnsupportedSpecification(DefinitionError):
    """A document has at a place (`where`) what cannot be used, and cannot be left out."""


@dataclass(frozen=True, slots=True)
class ApiInput:
    """An input of an operation: `name` is ours, `key` the document's, `place` where it is sent.

    style, explode: how lists and objects are written outside of JSON. is_json: as one text of JSON.
    """

    name: str
    key: str
    place: Place
    required: bool
    schema: Node
    style: str = "form"
    explode: bool = True
    is_json: bool = False

    @property
    def is_file(self) -> bool:
        """True for the content of a file."""
        return self.schema.get("format") == "binary"


@dataclass(frozen=True, slots=True)
class ApiOperation:
    """An operation of a document. `media` is of its body; `whole` is True if one input is all of that.

    answer: the schema of the body of a success; None where there is none. is_file: the answer is one.
    alternatives: the fields of the body of which some are needed, as a schema's `x-alternatives`.
    """

    id: str
    method: str
    path: str
    summary: str
    inputs: tuple[ApiInput, ...]
    media: str | None
    whole: bool
    answer: Node | None
    is_file: bool
    alternatives: Node | None = None


@dataclass(slots=True)
class _Inlining:
    """The references that are open, and how many nodes there may still be."""

    open: list[str] = field(default_factory=list[str])
    left: int = MOST_NODES
    depth: int = 0


class ApiDocument:
    """An OpenAPI document of version 3.0 or 3.1; `name` is what errors call it."""

    def __init__(self, data: Node, name: str = "openapi.json") -> None:
        version = str(data.get("openapi", data.get("swagger", "")))
        if "swagger" in data:
            raise UnsupportedSpecification(
                f"{name} is Swagger {version}; `halflap new component NAME --openapi` converts it"
            )
        if not VERSION.match(version):
            raise UnsupportedSpecification(
                f"{name} is OpenAPI {version or 'of no version'}; 3.0 and 3.1 are read"
            )
        self.data, self.name = data, name

    @cached_property
    def places(self) -> dict[str, tuple[str, str]]:
        """By operation id, and by `METHOD /path`: the path and the method."""
        found: dict[str, tuple[str, str]] = {}
        paths: dict[str, Any] = self.data.get("paths") or {}
        for path, each in paths.items():
            methods = cast("dict[str, Any]", each) if isinstance(each, dict) else dict[str, Any]()
            for method in METHODS:
                if method in methods:
                    found[f"{method.upper()} {path}"] = path, method
                    if id := methods[method].get("operationId"):
                        found.setdefault(id, (path, method))
        return found

    def ids(self) -> list[str]:
        """Return the id of each operation, `METHOD /path` for one without, in the document's order."""
        by_place: dict[tuple[str, str], str] = {}
        for id, place in self.places.items():
            if place not in by_place or not id.partition(" ")[2]:
                by_place[place] = id
        return list(by_place.values())

    def node(self, id: str) -> tuple[Node, str]:
        """Return an operation as it is written, and where; `DefinitionError` where there is none."""
        if id not in self.places:
            from difflib import get_close_matches

            close = get_close_matches(id, self.places, 3, 0.5)
            hint = f"; there are {', '.join(close)}" if close else ""
            raise DefinitionError(f"{self.name} has no operation {id!r}{hint}")
        path, method = self.places[id]
        return self.data["paths"][path][method], f"#/paths/{escaped(path)}/{method}"

    def summary(self, id: str) -> str:
        """Return an operation's first sentence; none of its schemas is read for that."""
        node, _ = self.node(id)
        return ended(first_sentence(node.get("summary") or node.get("description") or ""))

    def operation(self, id: str, names: Mapping[str, str] | None = None) -> ApiOperation:
        """Return an operation; `names` gives inputs other names, by the document's.

        Raises `UnsupportedSpecification` for what it cannot be called with, or answers.
        """
        node, at = self.node(id)
        path, method = self.places[id]
        inputs = [*self._parameters(path, node, at)]
        media, whole, body, alternatives = self._body(node, at)
        answer, is_file = self._answer(node, at)
        return ApiOperation(
            id,
            method.upper(),
            path,
            self.summary(id),
            tuple(_named([*inputs, *body], names or {})),
            media,
            whole,
            answer,
            is_file,
            alternatives,
        )

    # Parameters and bodies --------------------------------------------------------------------

    def _parameters(self, path: str, node: Node, at: str) -> Iterator[ApiInput]:
        found: dict[tuple[str, str], tuple[Node, str]] = {}
        shared = self.data["paths"][path].get("parameters", [])
        for where, many in ((f"{at}/../parameters", shared), (at, node.get("parameters", []))):
            for each in many:
                one, place = self.followed(each, where)
                found[one.get("in", ""), one.get("name", "")] = one, place
        for (place, name), (one, where) in found.items():
            where = f"{where} ({name})"
            if place == "header" and name.lower() in OURS:
                continue
            if place == "cookie" and not one.get("required"):
                continue
            if place not in ("path", "query", "header"):
                raise UnsupportedSpecification(
                    f"a parameter in {place or 'no place'} is not sent", where=where
                )
            yield self._parameter(cast(Place, place), name, one, where)

    def _parameter(self, place: Place, name: str, one: Node, where: str) -> ApiInput:
        content = one.get("content")
        schema = (
            next(iter(content.values())).get("schema", {}) if content else one.get("schema", {})
        )
        default = "form" if place == "query" else "simple"
        style = one.get("style", default)
        if style not in (QUERY_STYLES if place == "query" else ("simple",)):
            raise UnsupportedSpecification(
                f"the style {style} of a parameter in {place} is not written", where=where
            )
        described = self.schema(schema, where)
        if one.get("description") and not described.get("description"):
            described = {**described, "description": first_sentence(one["description"])}
        return ApiInput(
            name,
            name,
            place,
            bool(one.get("required")) or place == "path",
            described,
            style,
            bool(one.get("explode", style == "form")),
            bool(content),
        )

    def _body(self, node: Node, at: str) -> tuple[str | None, bool, list[ApiInput], Node | None]:
        nothing = None, False, list[ApiInput](), None
        if "requestBody" not in node:
            return nothing
        body, where = self.followed(node["requestBody"], f"{at}/requestBody")
        content: dict[str, Any] = body.get("content") or {}
        if not content:
            return nothing
        media = min(content, key=media_rank)
        where = f"{where}/content/{escaped(media)}"
        required = bool(body.get("required"))
        if media_rank(media) == UNREAD:
            if required:
                raise UnsupportedSpecification(f"a body of {media} is not written", where=where)
            return nothing
        schema = self.schema(content[media].get("schema") or {}, where)
        if media_rank(media) == OPAQUE:
            blob = {"format": "binary", "description": f"A file of {media}."}
            return media, True, [ApiInput("file", "", "body", required, blob)], None
        schema = _with_options(schema)
        fields: dict[str, Any] | None = schema.get("properties")
        if schema.get("type") != "object" or not (fields or media in (FORM, MULTIPART)):
            return media, True, [ApiInput("body", "", "body", required, schema)], None
        encoding: dict[str, Any] = content[media].get("encoding") or {}
        needs = schema.get("required", ())  # an optional body with such fields is rarely meant so
        made = [
            _field(key, key in needs, each, encoding.get(key) or {})
            for key, each in (fields or {}).items()
            if not each.get("readOnly")
        ]
        others: Any = schema.get("additionalProperties")
        if isinstance(others, dict) and media not in (FORM, MULTIPART):
            about = "Fields that the document does not name."
            kind: Node = {"type": "object", "additionalProperties": others, "description": about}
            made.append(ApiInput("other_fields", "*", "body", False, kind))
        return media, False, made, schema.get("x-alternatives")

    def _answer(self, node: Node, at: str) -> tuple[Node | None, bool]:
        responses: dict[str, Any] = node.get("responses", {})
        good = [code for code in responses if str(code).startswith("2")]
        for code in [*sorted(good), *(["default"] if not good and "default" in responses else [])]:
            response, where = self.followed(responses[code], f"{at}/responses/{code}")
            content: dict[str, Any] = response.get("content") or {}
            if not content:
                continue
            media = min(content, key=media_rank)
            where = f"{where}/content/{escaped(media)}"
            if media_rank(media) == JSON:
                return self.schema(content[media].get("schema") or {}, where), False
            if media.startswith(("text/", "application/xml")) or "xml" in media:
                return {"type": "string"}, False
            return {"type": "object", "format": "file"}, True
        return None, False

    # Schemas ----------------------------------------------------------------------------------

    def followed(self, node: Any, at: str) -> tuple[Node, str]:
        """Follow a reference to what it names in this document, through others."""
        for _ in range(DEEPEST):
            if not isinstance(node, Mapping):
                raise UnsupportedSpecification(f"{self.name} has no object there", where=at)
            known = cast(Node, node)
            if not isinstance(reference := known.get("$ref"), str):
                return known, at
            node, at = self._target(reference, at), reference
        raise UnsupportedSpecification("a reference leads to itself", where=at)

    def _target(self, reference: str, at: str) -> Any:
        if not reference.startswith("#/"):
            raise UnsupportedSpecification(
                f"the reference {reference!r} leads out of {self.name}, and only what is in the document "
                "is read; bundle it into one file first",
                where=at,
            )
        found: Any = self.data
        for part in reference[2:].split("/"):
            part = (
                part.replace("~1", "/").replace("~0", "~").replace("%7B", "{").replace("%7D", "}")
            )
            if isinstance(found, list) and part.isdigit() and int(part) < len(cast(Any, found)):
                found = cast(Any, found[int(part)])
            elif isinstance(found, Mapping) and part in found:
                found = cast(Any, found[part])
            else:
                raise UnsupportedSpecification(
                    f"the reference {reference!r} names nothing that {self.name} has", where=at
                )
        return found

    def schema(self, node: Any, at: str, most: int = MOST_NODES) -> dict[str, Any]:
        """Return a schema without references, in plain words, of `most` nodes."""
        return self._inline(node, at, _Inlining(left=most))

    def _inline(self, node: Any, at: str, state: _Inlining) -> dict[str, Any]:
        state.left -= 1
        is_object = isinstance(node, Mapping)
        if not is_object or state.left <= 0 or state.depth >= DEEPEST_NESTING:
            return {}
        state.depth += 1
        try:
            return self._inlined(cast(Node, node), at, state)
        finally:
            state.depth -= 1

    def _inlined(self, known: Node, at: str, state: _Inlining) -> dict[str, Any]:
        reference = known.get("$ref")
        if not isinstance(reference, str):
            return self._plain(known, at, state)
        beside = {name: known[name] for name in DESCRIBES if name in known and name != "enum"}
        if known.get("nullable"):
            beside["nullable"] = True
        if reference in state.open or len(state.open) >= DEEPEST:
            target, _ = self.followed(known, at)
            kind = target.get("type", "object" if "properties" in target else None)
            made = {"type": kind} if isinstance(kind, str) else {}
            return _described({**made, **beside})
        state.open.append(reference)
        try:
            made = self._inline(self._target(reference, at), reference, state)
        finally:
            state.open.pop()
        if made.get("type") == "object":
            made["x-name"] = re.sub(r"\.\d+$", "", reference.rpartition("/")[2])
        return _described({**made, **beside}) if beside else made

    def _plain(self, node: Node, at: str, state: _Inlining) -> dict[str, Any]:
        made: dict[str, Any] = {name: node[name] for name in (*DESCRIBES, *BOUNDS) if name in node}
        if isinstance(made.get("description"), str):
            made["description"] = first_sentence(made["description"])
        for name in ("readOnly", "writeOnly", "nullable", "x-cut"):
            if node.get(name):
                made[name] = node[name]
        if "const" in node:
            made["enum"] = [node["const"]]
        if isinstance(node.get("allOf"), list):
            made = self._merged(made, node, at, state)
        options: list[Any] = node.get("anyOf") or node.get("oneOf") or []
        if options and all(map(_is_need, options)):
            ways = [each["required"] for each in options]
            made["x-alternatives"] = {"of": ways, "exactly": not node.get("anyOf")}
        elif options:
            found = [self._inline(each, f"{at}/anyOf/{n}", state) for n, each in enumerate(options)]
            made = found[0] | made if len(found) == 1 else {**made, "anyOf": found}
        kinds: Any = node.get("type")
        if isinstance(kinds, list):
            several = [each for each in cast("list[str]", kinds) if each != "null"]
            if len(several) < len(cast("list[str]", kinds)):
                made["nullable"] = True
            kinds = several[0] if len(several) == 1 else None
            if len(several) > 1:
                made["anyOf"] = [self._plain({**node, "type": each}, at, state) for each in several]
                return _described(made)
        if kinds is None and "properties" in node:
            kinds = "object"
        if kinds is None and "items" in node:
            kinds = "array"
        if isinstance(kinds, str):
            made["type"] = kinds
        if isinstance(node.get("properties"), Mapping):
            fields = {
                name: self._inline(each, f"{at}/properties/{escaped(name)}", state)
                for name, each in cast("dict[str, Any]", node["properties"]).items()
            }
            before: dict[str, Any] = made.get("properties") or {}
            made["properties"] = before | fields
        if isinstance(node.get("required"), list):
            made["required"] = [*dict.fromkeys([*made.get("required", []), *node["required"]])]
        if "items" in node:
            made["items"] = self._inline(node["items"], f"{at}/items", state)
        if isinstance(node.get("additionalProperties"), Mapping):
            others = node["additionalProperties"]
            made["additionalProperties"] = self._inline(others, f"{at}/additionalProperties", state)
        elif node.get("additionalProperties") is False:
            made["additionalProperties"] = False
        return _described(made)

    def _merged(
        self, made: dict[str, Any], node: Node, at: str, state: _Inlining
    ) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        needed: list[str] = []
        for number, each in enumerate(node["allOf"]):
            part = self._inline(each, f"{at}/allOf/{number}", state)
            part.pop("x-name", None)
            fields |= part.pop("properties", {})
            needed += part.pop("required", [])
            if part.get("additionalProperties") is False:
                del part["additionalProperties"]  # of each part alone it would refuse the others'
            made = {**part, **made}
        if fields:
            made = {**made, "type": "object", "properties": fields}
        if needed:
            made["required"] = needed
        return made


def _is_need(option: Any) -> bool:
    """Return whether an option only says which fields are needed."""
    known = cast(Node, option) if isinstance(option, Mapping) else dict[str, Any]()
    is_need = known.keys() <= {"required", "title", "description", "type"}
    return is_need and bool(known.get("required"))


def _with_options(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a body with the fields of its options, where it has others beside them."""
    fields: dict[str, Any] = schema.get("properties") or {}
    options: list[Node] = schema.get("anyOf") or []
    if not fields or not options or not all(each.get("properties") for each in options):
        return schema
    more: dict[str, list[Any]] = {}
    for each in options:
        for name, one in each["properties"].items():
            if name not in fields and one not in more.setdefault(name, []):
                more[name].append(one)
    made = {name: each[0] if len(each) == 1 else {"anyOf": each} for name, each in more.items()}
    needed: list[str] = schema.get("required") or []
    ways = [[name for name in each.get("required", ()) if name not in needed] for each in options]
    whole = {**schema, "properties": {**fields, **made}}
    del whole["anyOf"]
    return whole | ({"x-alternatives": {"of": ways, "exactly": False}} if all(ways) else {})


JSON, OPAQUE, UNREAD = 0, 3, 9


def media_rank(media: str) -> int:
    """Order the types of a body by how well they are read; JSON is the best."""
    kind = media.partition(";")[0].strip().lower()
    if kind.endswith(("/json", "+json", "/*")) or kind.startswith("application/json"):
        return JSON
    if kind == FORM:
        return 1
    if kind == MULTIPART:
        return 2
    if kind.startswith(("image/", "audio/", "video/")) or kind in (
        "application/octet-stream",
        "application/pdf",
        "application/zip",
        "text/plain",
        "text/csv",
    ):
        return OPAQUE
    return UNREAD


def _field(key: str, required: bool, schema: Node, encoding: Node) -> ApiInput:
    style = encoding.get("style", "form")
    kind = str(encoding.get("contentType", ""))
    is_json = "json" in kind or (style == "form" and "style" not in encoding and _is_object(schema))
    return ApiInput(
        key, key, "body", required, schema, style, bool(encoding.get("explode", True)), is_json
    )


def _is_object(schema: Node) -> bool:
    return schema.get("type") == "object"


def _named(inputs: list[ApiInput], names: Mapping[str, str]) -> Iterator[ApiInput]:
    """Give each input a name of its own that Python takes."""
    from dataclasses import replace

    taken: set[str] = set()
    for each in inputs:
        name = names.get(each.key) or snake(each.name)
        while name in taken:
            name = f"{name}_in_{each.place}"
        taken.add(name)
        yield replace(each, name=name)


def snake(name: str) -> str:
    """Return a name as Python has it: `StatusCallback` → `status_callback`, `from` → `from_`."""
    worded = name.replace("<", " before ").replace(">", " after ")
    worded = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", worded)
    made = re.sub(r"[^A-Za-z0-9]+", "_", worded).strip("_").lower() or "value"
    made = f"n{made}" if made[0].isdigit() else made
    return f"{made}_" if keyword.iskeyword(made) else made


def _described(made: dict[str, Any]) -> dict[str, Any]:
    """Return a schema whose `nullable` is one of `anyOf`, and whose default is told in words."""
    default = made.pop("default", None)
    if default is not None and not isinstance(default, dict | list):
        shown = str(default).lower() if isinstance(default, bool) else default
        words = f"{made.get('description', '')} By default: {shown}."
        made["description"] = words.strip()
    if not made.pop("nullable", False):
        return made
    if None in made.get("enum", ()):
        made["enum"] = [each for each in made["enum"] if each is not None]
    about = {name: made.pop(name) for name in ("title", "description", "readOnly") if name in made}
    options = made.pop("anyOf", None) or ([made] if made else [])
    return {"anyOf": [*options, {"type": "null"}], **about} if options else about


def escaped(name: str) -> str:
    """Return a name as it stands in a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def ended(sentence: str) -> str:
    """Return a sentence with its full stop."""
    return f"{sentence}." if sentence and sentence[-1] not in ".!?…" else sentence


def first_sentence(text: str, most: int = 200) -> str:
    """Return the first sentence of a description, without markup."""
    plain = re.sub(r"<[^>]*>", "", text)
    plain = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", plain)
    plain = " ".join(re.sub(r"[*`_]{1,2}(\S[^*`]*?)[*`_]{1,2}(?=\W|$)", r"\1", plain).split())
    found = re.match(r".*?[.!?](?=\s+[A-Z]|$)", plain)
    sentence = found[0] if found else plain
    return sentence if len(sentence) <= most else sentence[: most - 1].rsplit(" ", 1)[0] + "…"
