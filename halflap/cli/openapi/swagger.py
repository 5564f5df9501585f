"""Convert a Swagger 2.0 document to OpenAPI 3.0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from halflap.sdk.openapi import FORM, METHODS, MULTIPART

Json = dict[str, Any]

PLACES = {
    "#/definitions/": "#/components/schemas/",
    "#/parameters/": "#/components/parameters/",
    "#/responses/": "#/components/responses/",
}
STYLES = {"csv": ("form", False), "multi": ("form", True), "ssv": ("spaceDelimited", False)} | {
    "pipes": ("pipeDelimited", False)
}
OF_PARAMETER = ("name", "in", "required", "description", "deprecated")
JSON = "application/json"


def converted(document: Mapping[str, Any]) -> Json:
    """Return a document of Swagger 2.0 as one of OpenAPI 3.0."""
    data = cast(Json, moved(document))
    schemes: list[str] = data.get("schemes") or ["https"]
    host = data.get("host")
    made: Json = {"openapi": "3.0.3", "info": data.get("info", {})}
    if host:
        made["servers"] = [{"url": f"{schemes[-1]}://{host}{data.get('basePath', '')}"}]
    takes, gives = data.get("consumes") or [JSON], data.get("produces") or [JSON]
    made["paths"] = {path: _path(each, data, takes, gives) for path, each in data["paths"].items()}
    made["components"] = {
        "schemas": data.get("definitions", {}),
        "parameters": {
            name: _parameter(each)
            for name, each in data.get("parameters", {}).items()
            if each.get("in") not in ("body", "formData")
        },
        "responses": {n: _response(each, gives) for n, each in data.get("responses", {}).items()},
        "securitySchemes": {
            name: _sign_in(each) for name, each in data.get("securityDefinitions", {}).items()
        },
    }
    return made


FLOWS = {"accessCode": "authorizationCode", "application": "clientCredentials"}


def _sign_in(scheme: Json) -> Json:
    """Return a way to sign in as OpenAPI 3 has it."""
    if scheme.get("type") == "basic":
        return {"type": "http", "scheme": "basic"}
    if scheme.get("type") != "oauth2":
        return scheme
    flow = str(scheme.get("flow"))
    kept = {n: scheme[n] for n in ("authorizationUrl", "tokenUrl", "scopes") if n in scheme}
    return {"type": "oauth2", "flows": {FLOWS.get(flow, flow): kept}}


def moved(node: Any) -> Any:
    """Return a document whose references name the places that they have in OpenAPI 3."""
    if isinstance(node, list):
        return [moved(each) for each in cast("list[Any]", node)]
    if not isinstance(node, Mapping):
        return node
    made = {name: moved(each) for name, each in cast(Json, node).items()}
    reference = made.get("$ref")
    for old, new in PLACES.items() if isinstance(reference, str) else ():
        made["$ref"] = made["$ref"].replace(old, new)
    if made.get("type") == "file":
        made |= {"type": "string", "format": "binary"}
    if made.get("x-nullable"):
        made["nullable"] = True
    return made


def _path(path: Json, data: Json, takes: list[str], gives: list[str]) -> Json:
    made: Json = {}
    shared = path.get("parameters", [])
    for method in METHODS:
        if method in path:
            made[method] = _operation(path[method], shared, data, takes, gives)
    return made


def _operation(
    node: Json, shared: list[Json], data: Json, takes: list[str], gives: list[str]
) -> Json:
    kept = ("operationId", "summary", "description", "deprecated", "tags", "security")
    made: Json = {name: node[name] for name in kept if name in node}
    takes, gives = node.get("consumes") or takes, node.get("produces") or gives
    fields: Json = {}
    needed: list[str] = []
    has_files = False
    for each in [*shared, *node.get("parameters", [])]:
        name = str(each.get("$ref", "")).rpartition("/")[2]
        one = data.get("parameters", {}).get(name, each) if name else each
        if one.get("in") == "body":
            content = {media: {"schema": one.get("schema", {})} for media in takes}
            made["requestBody"] = {"required": bool(one.get("required")), "content": content}
        elif one.get("in") == "formData":
            fields[one["name"]] = _schema(one)
            needed += [one["name"]] if one.get("required") else []
            has_files |= one.get("format") == "binary"
        else:
            made.setdefault("parameters", []).append(_parameter(one))
    if fields:
        media = MULTIPART if has_files or takes == [MULTIPART] else FORM
        schema = {"type": "object", "properties": fields, "required": needed}
        made["requestBody"] = {"required": bool(needed), "content": {media: {"schema": schema}}}
    made["responses"] = {
        code: _response(each, gives) for code, each in node.get("responses", {}).items()
    }
    return made


def _parameter(one: Json) -> Json:
    made: Json = {name: one[name] for name in OF_PARAMETER if name in one}
    made["schema"] = _schema(one)
    if (layout := one.get("collectionFormat")) in STYLES and one.get("in") == "query":
        made["style"], made["explode"] = STYLES[layout]
    elif one.get("type") == "array" and one.get("in") == "query":
        made["explode"] = False
    return made


def _schema(one: Json) -> Json:
    left_out = {*OF_PARAMETER, "collectionFormat"} - {"description"}
    return {name: each for name, each in one.items() if name not in left_out}


def _response(one: Json, gives: list[str]) -> Json:
    if "$ref" in one:
        return one
    made: Json = {"description": one.get("description", "")}
    if "schema" in one:
        made["content"] = {media: {"schema": one["schema"]} for media in gives}
    return made
