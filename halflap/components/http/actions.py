"""Actions of HTTP: send requests, and read the answers."""

from __future__ import annotations

from typing import Any

from halflap import Model, Payload, UpstreamError
from halflap.components.http.connection import Http, Method, Params, Path, Values, component


class Answer(Model):
    """An API's answer."""

    status: int
    headers: dict[str, str]
    body: Any


@component.action
async def request(
    api: Http,
    method: Method,
    path: Path,
    params: Params | None = None,
    headers: dict[str, str] | None = None,
    json: Any = None,
    body: str | None = None,
    payload: Payload | None = None,
    fail: bool = True,
    values: Values | None = None,
) -> Answer:
    """Send a request and return the whole answer.

    `params` are texts, numbers or booleans. `values` fills the places of the path: `/customers/{id}`
    takes `{"id": …}`, each value as one encoded segment. A `payload` (`event.payload` of a large
    request) is sent as it is read. With `fail=False`, an answer of 400 or more is a result too.
    """
    content: dict[str, Any] = {}
    if payload is not None:
        content = {"body": payload}
    elif body is not None:
        content = {"body": body.encode()}
    elif json is not None:
        content = {"json": json}
    response = await api.request(
        method, path, values=values, params=params, headers=headers, check=fail, **content
    )
    try:
        parsed: Any = response.json() if response.body else None
    except UpstreamError:
        parsed = response.text
    return Answer(status=response.status, headers=dict(response.headers), body=parsed)


@component.action
async def get(
    api: Http, path: Path, params: Params | None = None, values: Values | None = None
) -> Any:
    """Read from an API: GET, as the parsed body."""
    return await api.get(path, values=values, params=params)


@component.action
async def post(
    api: Http,
    path: Path,
    json: Any = None,
    headers: dict[str, str] | None = None,
    values: Values | None = None,
) -> Any:
    """Send JSON to an API: POST, as the parsed answer."""
    return await api.post(path, values=values, json=json, headers=headers)


@component.action
async def put(api: Http, path: Path, json: Any = None, values: Values | None = None) -> Any:
    """Replace at an API: PUT, as the parsed answer."""
    return await api.put(path, values=values, json=json)


@component.action
async def patch(api: Http, path: Path, json: Any = None, values: Values | None = None) -> Any:
    """Change at an API: PATCH, as the parsed answer."""
    return await api.patch(path, values=values, json=json)


@component.action
async def delete(api: Http, path: Path, values: Values | None = None) -> Any:
    """Remove at an API: DELETE, as the parsed answer."""
    return await api.delete(path, values=values)


@component.action
async def pages(
    api: Http,
    path: Path,
    params: Params | None = None,
    items: str | None = None,
    most: int = 100,
    values: Values | None = None,
) -> list[Any]:
    """Read a list that comes in pages, at most `most` of them; `items` names the list's field."""
    return [
        each async for each in api.pages(path, values=values, params=params, items=items, most=most)
    ]
