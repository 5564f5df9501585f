"""HTTP: call any API that has no component of its own yet."""

from __future__ import annotations

import base64
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import SecretStr, StrictBool, WithJsonSchema

from halflap import Component, Connection, Model, Payload, UpstreamError


class Http(Connection):
    """An API: its address, and how it knows us."""

    base_url: str
    """Where the API is: https://api.example.com/v1"""

    token: SecretStr | None = None
    """Sent as `Authorization: Bearer …`."""

    username: str | None = None
    password: SecretStr | None = None
    """Sent with the username as HTTP basic authentication."""

    header: str | None = None
    """The name of a header that carries a key."""

    key: SecretStr | None = None
    """The key that the header carries."""

    idempotency_key_header: str | None = None
    """The header by which the API knows a repeated request, where it does: `Idempotency-Key`.
    Without one, a POST or PATCH that may have been carried out is not sent again."""

    probe: str | None = None
    """A path that answers 2xx where the connection works; asked before the connection is saved.
    Without one, the connection is not tested."""

    def headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token.get_secret_value()}"
        elif self.username is not None:
            password = self.password.get_secret_value() if self.password else ""
            both = base64.b64encode(f"{self.username}:{password}".encode()).decode()
            headers["Authorization"] = f"Basic {both}"
        if self.header is not None and self.key is not None:
            headers[self.header] = self.key.get_secret_value()
        return headers

    def honoured_header(self) -> str | None:
        return self.idempotency_key_header

    async def test(self) -> None:
        if self.probe is None:
            raise NotImplementedError
        await self.get(self.probe)


class Answer(Model):
    """An API's answer."""

    status: int
    headers: dict[str, str]
    body: Any


Values = dict[str, str | int]
"""Data for the places of a path: `/customers/{id}` takes `{"id": …}`, as one encoded segment."""

Params = dict[str, str | StrictBool | Annotated[Decimal, WithJsonSchema({"type": "number"})]]
"""Parameters of the query; a number or a boolean is sent as JSON writes it: `10`, `true`."""

Path = Annotated[str, WithJsonSchema({"type": "string", "format": "url-path"})]
"""A path below the `base_url`; data goes into places of it: `/customers/{id}`."""

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]

component = Component("http", title="HTTP", connection=Http)


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
