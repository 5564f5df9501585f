"""Composite: several requests in one, where a later one may name what an earlier one gave."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, cast
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.routing import Route as Path

from halflap_sandbox.salesforce import collection, query, rest
from halflap_sandbox.salesforce.call import Call, Handler, Refused, Route, answer, dump, parse
from halflap_sandbox.salesforce.model import Json
from halflap_sandbox.salesforce.records import transaction

MOST = 25
_NAME = re.compile(r"[A-Za-z0-9]\w*", re.ASCII)
_UNTOLD = frozenset({"content-length", "content-type"})
_REFERENCE = re.compile(r"@\{(\w+)\.([\w.\[\]]+)\}")


class _Failed(Exception):
    """One of the requests that stand or fall together was refused."""


async def composite(call: Call) -> Response:
    """Answer several requests, one after the other."""
    body = call.json_object()
    asked = body.get("compositeRequest")
    if not isinstance(asked, list) or not 1 <= len(cast("list[Any]", asked)) <= MOST:
        message = f"A composite request has 1 to {MOST} requests."
        raise Refused(400, "INVALID_INPUT", message)
    _check_names(cast("list[Json]", asked))
    all_or_none = body.get("allOrNone") is True
    results: list[Json] = []
    together = transaction(call.org, call.user) if all_or_none else nullcontext()
    try:
        with together as saving:
            for each in cast("list[Json]", asked):
                results.append(await _one(replace(call, saving=saving), each, results))
                if all_or_none and _failed(results[-1]):
                    raise _Failed
    except _Failed:
        failed = results[-1]
        results = [
            failed if each["referenceId"] == failed["referenceId"] else _halted(each)
            for each in cast("list[Json]", asked)
        ]
    return answer({"compositeResponse": results})


def _check_names(asked: Sequence[Json]) -> None:
    names = [str(each.get("referenceId", "")) for each in asked]
    for name in names:
        if not _NAME.fullmatch(name):
            said = "must start with a letter or a number, and it can contain only letters, numbers"
            message = f"Provided referenceId ('{name}') {said} and underscores ('_')."
            raise Refused(400, "JSON_PARSER_ERROR", message)
        if names.count(name) > 1:
            message = f"Duplicate referenceId found: {name}"
            raise Refused(400, "INVALID_INPUT", message)


def _halted(asked: Json) -> Json:
    said = "The transaction was rolled back since another operation in the same transaction failed."
    return {
        "body": [{"errorCode": "PROCESSING_HALTED", "message": said}],
        "httpHeaders": {},
        "httpStatusCode": 400,
        "referenceId": asked["referenceId"],
    }


async def _one(call: Call, asked: Json, before: Sequence[Json]) -> Json:
    try:
        url = _filled(str(asked.get("url", "")), before)
        given = _filled(asked.get("body"), before)
        response = await _answered(call, str(asked.get("method", "GET")).upper(), url, given)
    except Refused as refused:
        response = refused.response()
    headers = {
        name.title(): value
        for name, value in response.headers.items()
        if name.lower() not in _UNTOLD
    }
    return {
        "body": parse(bytes(response.body)) if response.body else None,
        "httpHeaders": headers,
        "httpStatusCode": response.status_code,
        "referenceId": asked["referenceId"],
    }


async def _answered(call: Call, method: str, url: str, body: Any) -> Response:
    path, _, query_string = url.partition("?")
    scope = {
        **call.request.scope,
        "method": method,
        "path": unquote(path),
        "root_path": "",
        "query_string": query_string.encode(),
    }
    scope.pop("path_params", None)
    for route, handler in _PATHS:
        match, found = route.matches(scope)
        if match is Match.FULL:
            sub = replace(
                call,
                request=Request({**scope, **found}),
                body=b"" if body is None else dump(body).encode(),
            )
            return await handler(sub)
    raise Refused(404, "NOT_FOUND", "The requested resource does not exist")


def _filled(value: Any, before: Sequence[Json]) -> Any:
    """Put what earlier requests gave in the place of references such as `@{account.id}`."""
    match value:
        case str():
            whole = _REFERENCE.fullmatch(value)
            if whole:
                return _looked_up(whole, before)
            return _REFERENCE.sub(lambda found: str(_looked_up(found, before)), value)
        case dict():
            pairs = cast(Json, value).items()
            return {name: _filled(each, before) for name, each in pairs}
        case list():
            return [_filled(each, before) for each in cast("list[Any]", value)]
        case _:
            return value


def _looked_up(found: re.Match[str], before: Sequence[Json]) -> Any:
    name, path = found[1], found[2]
    result = next((each for each in before if each["referenceId"] == name), None)
    if result is not None and _failed(result):
        message = f"Invoked by a failed request: {name}"
        raise Refused(400, "PROCESSING_HALTED", message)
    value: Any = None if result is None else result["body"]
    for step in re.findall(r"\w+", path):
        match value:
            case Mapping():
                value = cast("Mapping[str, Any]", value).get(step)
            case list() if step.isdigit():
                items = cast("list[Any]", value)
                value = items[int(step)] if int(step) < len(items) else None
            case _:
                value = None
    if value is None:
        message = f"Invalid reference specified. No value for {name}.{path} found in {name}."
        raise Refused(400, "PROCESSING_HALTED", message)
    return value


def _failed(result: Json) -> bool:
    return result["httpStatusCode"] >= 300


_PATHS: tuple[tuple[Path, Handler], ...] = tuple(
    (Path(path, handler, methods=[method]), handler)
    for method, path, handler in (*query.ROUTES, *collection.ROUTES, *rest.ROUTES)
)
ROUTES: tuple[Route, ...] = (("POST", "/services/data/v{version}/composite", composite),)
