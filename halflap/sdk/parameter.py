"""Write inputs of an operation as its document says: into the query, a form, headers, JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from enum import Enum
from typing import Any, cast
from uuid import UUID

from pydantic import BaseModel

from halflap.sdk import codec
from halflap.sdk.fit import without_unset
from halflap.sdk.openapi import FORM, MULTIPART, ApiInput, ApiOperation, Node
from halflap.sdk.outgoing import text_of
from halflap.sdk.schema import UNSET, File

SEPARATORS = {"form": ",", "simple": ",", "spaceDelimited": " ", "pipeDelimited": "|"}


def plain(value: Any, schema: Node) -> Any:
    """Return a value as JSON has it: a time as text, or as seconds where the schema has those."""
    match value:
        case datetime() if schema.get("format") == "unix-time" or schema.get("type") == "integer":
            return int(value.timestamp())
        case datetime() | date():
            return value.isoformat()
        case UUID():
            return str(value)
        case Enum():
            return value.value
        case BaseModel():
            return plain(value.model_dump(by_alias=True, exclude_unset=True), schema)
        case dict():
            fields: Node = schema.get("properties") or {}
            members = cast("dict[str, Any]", value).items()
            return {name: plain(each, fields.get(name) or {}) for name, each in members}
        case list() | tuple() | set():
            items: Node = schema.get("items") or {}
            return [plain(each, items) for each in cast("list[Any]", value)]
        case _:
            return value


def takes_null(schema: Node) -> bool:
    """Return whether a schema takes null, which is sent then, and not left out."""
    options = cast("list[Node]", schema.get("anyOf") or [])
    return schema.get("type") == "null" or any(map(takes_null, options))


def written(operation: ApiOperation, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a connection's request; what is `UNSET` or null is left out.

    Null is sent as such where the document takes it.
    """
    values: dict[str, Any] = {}
    params: list[tuple[str, str]] = []
    headers: dict[str, str] = {}
    body: list[tuple[ApiInput, Any]] = []
    for each in operation.inputs:
        value = inputs.get(each.name, UNSET)
        if value is UNSET or (value is None and not takes_null(each.schema)):
            continue
        value = plain(value, each.schema)
        if each.place == "path":
            values[each.name] = joined(each, value)
        elif each.place == "header":
            headers[each.key] = joined(each, value)
        elif each.place == "query":
            params += pairs_of(each, value)
        else:
            body.append((each, value))
    made: dict[str, Any] = {"values": values or None, "params": grouped(params) or None}
    if body or (operation.media and not operation.whole):
        made |= _body(operation, body, headers)
    return made | {"headers": headers or None}


def _body(
    operation: ApiOperation, given: list[tuple[ApiInput, Any]], headers: dict[str, str]
) -> dict[str, Any]:
    media = operation.media or ""
    if operation.whole:
        if not given:
            return {}
        value = given[0][1]
        if isinstance(value, File):
            headers["Content-Type"] = value.content_type if media.endswith("/*") else media
            return {"body": value.data}
    if media in (FORM, MULTIPART):
        if operation.whole:
            members = cast("dict[str, Any]", given[0][1]).items()
            return {"form": grouped([(name, text_of(each, name)) for name, each in members])}
        files = {each.key: value for each, value in given if isinstance(value, File)}
        texts = [
            pair for each, value in given if each.key not in files for pair in pairs_of(each, value)
        ]
        if media == FORM:
            return {"form": grouped(texts)}
        return {"form": grouped(texts), "files": files}
    if media != "application/json" and "*" not in media:
        headers["Content-Type"] = media
    if operation.whole:
        return {"json": without_unset(given[0][1])}
    fields: dict[str, Any] = {}
    for each, value in given:
        fields |= value if each.key == "*" else {each.key: value}
    return {"json": without_unset(fields)}


def joined(each: ApiInput, value: Any) -> str:
    """Return a value of a path or a header as one text."""
    if isinstance(value, dict):
        between = "=" if each.explode else ","
        members = cast("dict[str, Any]", value).items()
        return ",".join(f"{name}{between}{text_of(one, each.name)}" for name, one in members)
    if isinstance(value, list):
        return ",".join(text_of(one, each.name) for one in cast("list[Any]", value))
    return text_of(value, each.name)


def pairs_of(each: ApiInput, value: Any) -> list[tuple[str, str]]:
    """Return a value as the pairs of a query or a form."""
    if each.is_json:
        return [(each.key, codec.encode(value).decode())]
    if each.style == "deepObject":
        return [*bracketed(each.key, value)]
    if isinstance(value, dict):
        members = [(k, v) for k, v in cast("dict[str, Any]", value).items() if v is not None]
        if each.explode:
            return [(name, text_of(one, each.name)) for name, one in members]
        value = [part for member in members for part in member]
    if isinstance(value, list):
        texts = [
            codec.encode(one).decode() if isinstance(one, dict | list) else text_of(one, each.name)
            for one in cast("list[Any]", value)
        ]
        if each.explode:
            return [(each.key, one) for one in texts]
        return [(each.key, SEPARATORS[each.style].join(texts))]
    return [(each.key, "" if value is None else text_of(value, each.name))]


def bracketed(key: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield a value's leaves as `address[city]` and `items[0][price]`."""
    if isinstance(value, dict):
        for name, each in cast("dict[str, Any]", value).items():
            yield from bracketed(f"{key}[{name}]", each)
    elif isinstance(value, list):
        for number, each in enumerate(cast("list[Any]", value)):
            yield from bracketed(f"{key}[{number}]", each)
    elif value is not None and value is not UNSET:
        yield key, text_of(value, key)


def grouped(pairs: list[tuple[str, str]]) -> dict[str, list[str]]:
    """Return pairs by name, in their order."""
    found: dict[str, list[str]] = {}
    for name, text in pairs:
        found.setdefault(name, []).append(text)
    return found
