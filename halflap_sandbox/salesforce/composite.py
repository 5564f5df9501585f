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
from halflap_sandbox.salesforce.model import Entity, Json
from halflap_sandbox.salesforce.records import Transaction, entity, transaction

MOST = 25
MOST_OF_A_TREE = 200
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


async def batch(call: Call) -> Response:
    """Answer several requests that know nothing of each other; each stands alone."""
    body = call.json_object()
    given = body.get("batchRequests")
    if not isinstance(given, list) or not 1 <= len(cast("list[Any]", given)) <= MOST:
        raise Refused(400, "INVALID_INPUT", f"A batch has 1 to {MOST} requests.")
    results: list[Json] = []
    for each in cast("list[Json]", given):
        if body.get("haltOnError") is True and any(r["statusCode"] >= 400 for r in results):
            error = {
                "errorCode": "BATCH_PROCESSING_HALTED",
                "message": "An earlier request failed.",
            }
            results.append({"statusCode": 412, "result": [error]})
            continue
        url = (
            f"/services/data/{str(each.get('url', '')).removeprefix('/services/data/').lstrip('/')}"
        )
        method = str(each.get("method", "GET")).upper()
        try:
            response = await _answered(call, method, url, each.get("richInput"))
        except Refused as refused:
            response = refused.response()
        result = parse(bytes(response.body)) if response.body else None
        results.append({"statusCode": response.status_code, "result": result})
    return answer({"hasErrors": any(r["statusCode"] >= 400 for r in results), "results": results})


async def tree(call: Call) -> Response:
    """Save records with their children, all or none."""
    given = call.json_object().get("records")
    if not isinstance(given, list) or not given:
        raise Refused(400, "INVALID_INPUT", "A tree has a list of records.")
    saved: list[Json] = []
    try:
        with transaction(call.org, call.user) as saving:
            of = entity(call.org, call.path["object"])
            for each in cast("list[Json]", given):
                _save_tree(call, saving, of, each, {}, saved)
    except _TreeRefused as error:
        refused = error.refused
        told = {
            "statusCode": refused.code,
            "message": refused.message,
            "fields": list(refused.fields or ()),
        }
        result = {"referenceId": error.reference, "errors": [told]}
        return answer({"hasErrors": True, "results": [result]}, 400)
    return answer({"hasErrors": False, "results": saved}, 201)


class _TreeRefused(Exception):
    """One record of a tree was refused."""

    def __init__(self, reference: str, refused: Refused) -> None:
        super().__init__(reference)
        self.reference = reference
        self.refused = refused


def _save_tree(
    call: Call, saving: Transaction, of: Entity, given: Json, parent: Json, saved: list[Json]
) -> None:
    reference = str(given.get("attributes", {}).get("referenceId", ""))
    relationships = query.tables(call.org)[of.name].children
    branches = {name: each for name, each in given.items() if name in relationships}
    values = {name: each for name, each in given.items() if name not in branches}
    try:
        if not _NAME.fullmatch(reference) or any(r["referenceId"] == reference for r in saved):
            message = f"A record needs a referenceId of its own, not {reference!r}."
            raise Refused(400, "INVALID_INPUT", message)
        if len(saved) == MOST_OF_A_TREE:
            raise Refused(400, "LIMIT_EXCEEDED", f"A tree has at most {MOST_OF_A_TREE} records.")
        id = saving.create(of, {**values, **parent})
    except Refused as refused:
        raise _TreeRefused(reference, refused) from refused
    saved.append({"referenceId": reference, "id": id})
    for name, branch in branches.items():
        table, field = relationships[name]
        for each in cast("list[Json]", cast(Json, branch).get("records", [])):
            _save_tree(call, saving, entity(call.org, table), each, {field: id}, saved)


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
_COMPOSITE = "/services/data/v{version}/composite"
ROUTES: tuple[Route, ...] = (
    ("POST", _COMPOSITE, composite),
    ("POST", f"{_COMPOSITE}/batch", batch),
    ("POST", f"{_COMPOSITE}/tree/{{object}}", tree),
)
