"""Shared parts of the routes: their operations, exact JSON in and out, the ways to name things."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Sequence
from typing import Annotated, Any, TypeVar
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from halflap.api.door import ACCESS, SCOPE
from halflap.api.operations import Operations
from halflap.api.problem import documented
from halflap.errors import InvalidEvent
from halflap.model import Customer, Execution, Instance, StoredConnection
from halflap.sdk import codec
from halflap.sdk.decoding import decode_json

LARGEST_NUMBER = 2**63 - 1

LARGEST_JSON = 32 * 1024 * 1024
"""The most bytes of a request's JSON; bundles and recordings have limits of their own."""


class ExactRequest(Request):
    """A request whose JSON keeps every digit: fractions are `Decimal`."""

    async def json(self) -> Any:
        try:
            return await decode_json(await body_of(self, LARGEST_JSON))
        except codec.NotJson as error:
            raise json.JSONDecodeError(str(error), "", 0) from error


class ExactRoute(APIRoute):
    """A route that reads its body exactly."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def exactly(request: Request) -> Response:
            return await handle(ExactRequest(request.scope, request.receive))

        return exactly


def exact(view: BaseModel | Sequence[BaseModel], status: int = 200) -> Response:
    """A view as JSON that keeps every digit."""
    plain = (
        view.model_dump(by_alias=True)
        if isinstance(view, BaseModel)
        else [each.model_dump(by_alias=True) for each in view]
    )
    return Response(codec.encode(plain), status, media_type="application/json")


async def json_of(body: bytes) -> Any:
    """Return what a body of any content type is as JSON; raise `InvalidEvent` where it is none."""
    try:
        return await decode_json(body)
    except codec.NotJson as error:
        raise InvalidEvent(
            f"The body is not JSON: {error}; send it as application/json."
        ) from error


async def body_of(request: Request, largest: int) -> bytes:
    """The request's body; one that is larger is refused before it is read whole."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > largest:
            raise HTTPException(413)
        parts.append(part)
    return b"".join(parts)


Route = TypeVar("Route", bound=Callable[..., Any])
_for_customers: set[Callable[..., Any]] = set()
_showing_secrets: set[Callable[..., Any]] = set()


def for_customers(route: Route) -> Route:
    """Let customers' tokens call a route too; what it does is held to what is in their scope."""
    _for_customers.add(route)
    return route


def is_for_customers(route: Callable[..., Any]) -> bool:
    """Return whether customers' tokens may call a route; unless it says so, they may not."""
    return route in _for_customers


def shows_secrets(route: Route) -> Route:
    """Mark a route that shows secrets, for tokens with that right alone."""
    _showing_secrets.add(route)
    return route


def admitted(request: Request) -> None:
    """Refuse what a customer's token may not do, before anything is looked at."""
    if request.scope[SCOPE].customer is not None and not is_for_customers(
        request.scope["route"].endpoint
    ):
        raise HTTPException(403, "This is for the team's token; yours acts for one customer.")
    if request.scope["route"].endpoint in _showing_secrets and request.scope[ACCESS] != "secrets":
        raise HTTPException(
            403, "This token may not see secrets; one that may is minted with access `secrets`."
        )
    if request.scope[ACCESS] == "read" and request.method not in ("GET", "HEAD"):
        raise HTTPException(403, "This token may only look; what changes something needs another.")


def router_of(prefix: str, tag: str, *problems: int) -> APIRouter:
    """The router of a noun; `problems` are the statuses that its routes may answer with.

    It has all that its routes share, so that an app takes them as they are. What an app adds as it
    includes a router has every route made anew, on the first request.
    """
    return APIRouter(
        prefix=prefix,
        tags=[tag],
        route_class=ExactRoute,
        responses=documented(*problems),
        dependencies=[Depends(admitted)],
        # A client that does not say what its body is means JSON; there are no cookies to steal.
        strict_content_type=False,
    )


def operations_of(request: Request) -> Operations:
    """The operations of whoever asks: what is not in its scope is not there."""
    return request.app.state.operations.within(request.scope[SCOPE])


Ops = Annotated[Operations, Depends(operations_of)]
Whose = Annotated[
    str | None,
    Query(description="The customer, by id or name, where a name alone is not enough."),
]


async def instance_of(instance: str, operations: Ops, customer: Whose = None) -> Instance:
    """The instance that a route's path names, by id or name."""
    return await operations.instances.find(instance, customer)


async def connection_of(
    connection: str, operations: Ops, customer: Whose = None
) -> StoredConnection:
    """The connection that a route's path names, by id or name."""
    return await operations.connections.find(connection, customer)


async def customer_of(customer: str, operations: Ops) -> Customer:
    """The customer that a route's path names, by id or name."""
    return await operations.catalogue.customers.get(customer)


async def execution_of(execution: str, operations: Ops) -> Execution:
    """The execution that a route's path names, by id; `last` is the newest."""
    return await operations.executions.find(execution)


OneInstance = Annotated[Instance, Depends(instance_of)]
OneConnection = Annotated[StoredConnection, Depends(connection_of)]
OneCustomer = Annotated[Customer, Depends(customer_of)]
OneExecution = Annotated[Execution, Depends(execution_of)]
LARGEST_PAGE = 1_000
NEXT = "halflap-next"
After = Annotated[
    str | None, Query(description="The `Halflap-Next` of the page before: what comes after it.")
]
PageSize = Annotated[int, Query(ge=1, le=LARGEST_PAGE, description="How many of them at most.")]


def paged(response: Response, last: str | None) -> None:
    """Say in a header by what the next page is asked for; None where this was the last."""
    if last is not None:
        response.headers[NEXT] = quote(last)


Wait = Annotated[
    float,
    Query(ge=0, le=600, description="Seconds to wait until it is settled."),
]
