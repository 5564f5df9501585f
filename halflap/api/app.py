"""The management API as an ASGI app: JSON for the CLI, the console and the embed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request

import halflap
from halflap.api import (
    bulks,
    components,
    connections,
    customers,
    executions,
    instances,
    integrations,
    lint,
    oauth_apps,
    pauses,
    problem,
    processes,
    recordings,
    search,
    sources,
    stats,
    stream,
    tokens,
)
from halflap.api.door import SCOPE, Door
from halflap.api.operations import Operations
from halflap.api.view import Health, Problem, StoreLocation
from halflap.model import Token
from halflap.store.pulse import Pulse
from halflap.store.scope import WHOLE

ROUTERS = (
    components,
    customers,
    integrations,
    lint,
    connections,
    oauth_apps,
    sources,
    instances,
    executions,
    recordings,
    search,
    stats,
    bulks,
    pauses,
    stream,
    processes,
    tokens,
)


def create_app(
    operations: Operations, token: str, prove: Callable[[str], str], pulse: Pulse
) -> FastAPI:
    """The API over these operations; every route but `/api/health` wants a token.

    `token` is the team's; those of customers are in the store. `prove` answers a challenge by which a
    command knows its own server before it sends a token. What waits for a store that has no `pulse` is
    answered 503.
    """
    app = FastAPI(
        title="Halflap",
        version=halflap.__version__,
        description="Customers, integrations, connections, instances and executions.",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    if not token:
        raise ValueError("the API needs a token")
    app.state.operations = operations
    began = time.monotonic()

    async def health(
        request: Request, challenge: Annotated[str, Query(max_length=64)] = ""
    ) -> Health:
        """That the server is there; needs no token, and tells more to whoever shows the team's."""
        known = Health(status="ok", version=halflap.__version__, proof=prove(challenge))
        if request.scope.get(SCOPE) == WHOLE:
            known.store = StoreLocation(path=operations.store.where)
            known.running = operations.engine.running
            known.uptime_seconds = round(time.monotonic() - began, 3)
        return known

    app.get("/api/health", tags=["health"])(health)
    app.head("/api/health", include_in_schema=False)(health)

    for each in ROUTERS:
        app.routes.extend(each.router.routes)
    problem.install(app)

    async def known(secret: str) -> Token | None:
        return await operations.catalogue.tokens.known(secret)

    app.add_middleware(Door, token=token, known=known, pulse=pulse)
    describe(app)
    return app


def describe(app: FastAPI) -> None:
    """Complete the OpenAPI document: the problem's shape, and how to show the token."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = made()
            parts = schema.setdefault("components", {})
            template = "#/components/schemas/{model}"
            shape = Problem.model_json_schema(ref_template=template)
            definitions: dict[str, Any] = shape.pop("$defs", {})
            parts.setdefault("schemas", {}).update(definitions, Problem=shape)
            parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            for path, methods in schema["paths"].items():
                for operation in methods.values():
                    operation["security"] = [] if path == "/api/health" else [{"token": []}]
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi
