"""The management API as an ASGI app: JSON for the CLI, the console and the embed."""

from __future__ import annotations

import time
from typing import Any

from fastapi import FastAPI

import halflap
from halflap.api import (
    components,
    connections,
    customers,
    executions,
    follow,
    instances,
    integrations,
    lint,
    pauses,
    problem,
    processes,
    recordings,
    replays,
    tokens,
)
from halflap.api.door import Door
from halflap.api.operations import Operations
from halflap.api.view import Health, Place, Problem
from halflap.model import Token

ROUTERS = (
    components,
    customers,
    integrations,
    lint,
    connections,
    instances,
    executions,
    recordings,
    replays,
    pauses,
    follow,
    processes,
    tokens,
)


def create_app(operations: Operations, token: str) -> FastAPI:
    """The API over these operations; every route but `/api/health` wants a token.

    `token` is the team's; those of customers are in the store.
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

    @app.get("/api/health", tags=["health"])
    async def health() -> Health:
        """That the server is there, and which store it has open; needs no token."""
        return Health(
            status="ok",
            version=halflap.__version__,
            store=Place(path=operations.store.where),
            running=operations.engine.running,
            uptime_seconds=round(time.monotonic() - began, 3),
        )

    for each in ROUTERS:
        app.routes.extend(each.router.routes)
    problem.install(app)

    async def known(secret: str) -> Token | None:
        return await operations.catalogue.tokens.known(secret)

    app.add_middleware(Door, token=token, known=known)
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
