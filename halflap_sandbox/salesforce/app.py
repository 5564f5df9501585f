"""The app, put together: routes, what every request goes through, and the server it runs in."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from halflap_sandbox.faults import Exceeded, FaultBoard, Injected
from halflap_sandbox.salesforce import (
    automation,
    backstage,
    bulk,
    bulk_query,
    collection,
    composite,
    identity,
    login,
    metadata,
    oauth,
    pubsub,
    query,
    rest,
    tooling,
)
from halflap_sandbox.salesforce.call import Call, Handler, Refused, unauthorized
from halflap_sandbox.salesforce.entities import new_org
from halflap_sandbox.salesforce.model import Org, Session, World
from halflap_sandbox.salesforce.sender import Sender
from halflap_sandbox.salesforce.settings import Settings
from halflap_sandbox.server import Cut, Endpoint, page, read_body, suffer

LARGEST_BODY = 150 * 1024 * 1024
OLDEST, NEWEST = 20, 66

_SOAP_SESSION = re.compile(rb"<(?:\w+:)?sessionId[^>]*>\s*([^<\s]+)\s*<")
_DATA_PATH = re.compile(r"/services/data/v([^/]*)")
_DATA = (bulk, bulk_query, query, collection, composite, tooling, rest)
_OTHERS = (oauth, identity, metadata, login)


def create_app(
    settings: Settings | None = None,
    *,
    orgs: Sequence[str] = (),
    certificate: Path | None = None,
    private_key: Path | None = None,
) -> Starlette:
    """Make a Salesforce of its own, with orgs of these names to begin with.

    A certificate is for the Pub/Sub API, which has a port of its own.
    """
    settings = settings or Settings()
    world, faults = World(clock=settings.clock), FaultBoard("org", "drop_notification_rate")
    sender = Sender(settings, faults, world)
    for name in orgs:
        automation.install(new_org(world, name), sender)

    front = Front(world, faults, settings)
    routes = [
        Route(path, front.data(handler), methods=[method])
        for part in _DATA
        for method, path, handler in part.ROUTES
    ]
    routes += [
        Route(path, front.other(handler), methods=[method])
        for part in (*(each.ROUTES for each in _OTHERS), rest.OPEN_ROUTES)
        for method, path, handler in part
    ]
    routes += [
        Route(path, front.backstage(handler), methods=[method])
        for method, path, handler in backstage.ROUTES
    ]
    routes.append(Route("/", page("Salesforce", "org", backstage.PAGE), methods=["GET"]))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        events: Any = None
        if settings.pubsub_port is not None:
            events, port = await pubsub.start(world, faults, settings, certificate, private_key)
            scheme, host = ("https", "localhost") if certificate else ("http", "127.0.0.1")
            app.state.pubsub_url = f"{scheme}://{host}:{port}"
        yield
        if events is not None:
            await events.stop(None)
        await bulk.close(world)
        await sender.close()

    app = Starlette(
        routes=routes,
        lifespan=lifespan,
        exception_handlers={HTTPException: _plain_error, Refused: _refused},
    )
    app.state.sender, app.state.world, app.state.pubsub_url = sender, world, None
    return app


class Front:
    """The stages of a request: session → limit → faults → handler → perhaps no answer."""

    def __init__(self, world: World, faults: FaultBoard, settings: Settings) -> None:
        self._world = world
        self._faults = faults
        self._settings = settings

    def data(self, handler: Handler) -> Endpoint:
        """Make the route of a handler of the REST API, which needs a session."""

        async def answer_request(request: Request) -> Response:
            call = await self._call(request)
            if call.session is None:
                # The body is read first: a connection closed in the midst of it has no answer.
                raise unauthorized()
            org = call.org
            try:
                _check_version(request)
                _count(org)
                response = await self._answer(call, handler, org)
            except Refused as refused:
                response = refused.response()
            used = f"api-usage={org.api_requests}/{org.daily_api_requests}"
            response.headers["Sforce-Limit-Info"] = used
            return response

        return answer_request

    def other(self, handler: Handler) -> Endpoint:
        """Make the route of a handler that sees for itself who asks: OAuth, SOAP."""

        async def answer_request(request: Request) -> Response:
            call = await self._call(request)
            return await self._answer(call, handler, self._org(call))

        return answer_request

    def backstage(self, handler: Handler) -> Endpoint:
        """Make the route of a handler of the backstage, which has no faults."""

        async def answer_request(request: Request) -> Response:
            return await handler(await self._call(request))

        return answer_request

    async def _call(self, request: Request) -> Call:
        body = await read_body(request, LARGEST_BODY)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        session: Session | None = None
        if scheme.lower() in ("bearer", "oauth"):
            session = self._world.session(token.strip())
        return Call(request, body, self._world, self._settings, session)

    async def _answer(self, call: Call, handler: Handler, org: Org | None) -> Response:
        plan = self._faults.of(org.id if org else "")
        try:
            if cut := await suffer(call.request, plan, self._settings.clock()):
                return cut
        except Injected as injected:
            code = "SERVER_UNAVAILABLE" if injected.status >= 500 else "FUNCTIONALITY_NOT_ENABLED"
            raise Refused(injected.status, code, str(injected)) from injected
        except Exceeded as exceeded:
            headers = {"Retry-After": str(exceeded.retry_after)}
            message = "ConcurrentRequests Limit exceeded."
            raise Refused(403, "REQUEST_LIMIT_EXCEEDED", message, headers=headers) from exceeded
        if call.request.method == "GET":
            return await handler(call)
        try:
            response = await handler(call)
        except Refused as refused:
            response = refused.response()
        return Cut() if plan.loses_answer() else response

    def _org(self, call: Call) -> Org | None:
        if call.session is not None:
            return call.session.org
        if found := _SOAP_SESSION.search(call.body):
            session = self._world.session(found[1].decode(errors="replace"))
            return session.org if session else None
        return oauth.party(call)


def _check_version(request: Request) -> None:
    found = _DATA_PATH.match(request.url.path)
    number = found[1].removesuffix(".0") if found else ""
    if not (number.isascii() and number.isdigit() and OLDEST <= int(number[:4]) <= NEWEST):
        raise Refused(404, "NOT_FOUND", "The requested resource does not exist")


def _count(org: Org) -> None:
    if org.api_requests >= org.daily_api_requests:
        raise Refused(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
    org.api_requests += 1


async def _plain_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {
        404: "NOT_FOUND",
        405: "METHOD_NOT_ALLOWED",
        413: "REQUEST_TOO_LARGE",
    }.get(error.status_code, "UNKNOWN_EXCEPTION")
    message = "The requested resource does not exist" if code == "NOT_FOUND" else error.detail
    return Refused(error.status_code, code, message, headers=error.headers).response()


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return error.response()
