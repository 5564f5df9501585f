"""The management API as an ASGI app: JSON for the CLI, the console and the embed."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request

import halflap
from halflap.api import (
    activity,
    app_events,
    audit,
    bulks,
    component_sets,
    components,
    connections,
    customers,
    development,
    draft_events,
    draft_runs,
    draft_tests,
    drafts,
    executions,
    forms,
    instances,
    integrations,
    lint,
    oauth_apps,
    pauses,
    people,
    problem,
    processes,
    receivers,
    recordings,
    search,
    stats,
    stream,
    tokens,
)
from halflap.api.door import OPEN, SCOPE, SESSION, Door
from halflap.api.operations import Operations
from halflap.api.view import Health, Problem, StoreLocation
from halflap.store.pulse import Pulse
from halflap.store.scope import WHOLE

ROUTERS = (
    components,
    customers,
    app_events,
    receivers,
    integrations,
    forms,
    development,
    component_sets,
    draft_events,
    draft_runs,
    draft_tests,
    drafts,
    lint,
    connections,
    oauth_apps,
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
    people,
    audit,
    activity,
)

SECURITY: list[dict[str, list[str]]] = [{"token": []}, {"session": []}]
"""The ways to show who sends a request."""


def create_app(
    operations: Operations,
    token: str,
    prove: Callable[[str], str],
    pulse: Pulse,
    origin: str = "",
) -> FastAPI:
    """The API over these operations; every route but `/api/health` and sign-in wants a principal.

    `token` is the team's; all others are in the store. `origin` is where browsers reach the server,
    where that is another than the host that they name. `prove` answers a challenge by which a
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
    app.state.origin = origin
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

    usual = problem.documented()
    described = app.get(
        "/api/health",
        tags=["health"],
        operation_id="health",
        responses={each: usual[each] for each in (422, 500)},
    )
    described(health)
    app.head("/api/health", include_in_schema=False)(health)

    for each in ROUTERS:
        app.routes.extend(each.router.routes)
    problem.install(app)

    app.add_middleware(Door, token=token, people=operations.people, origin=origin, pulse=pulse)
    describe(app)
    return app


PAGES = re.compile(r"(?:List|Counted|Numbered)Page[_[](\w+?)(?:View|Summary|Row)?[_\]]")
"""The names that Pydantic gives to pages; OpenAPI has them by their items, as `TokenPage`."""


def describe(app: FastAPI) -> None:
    """Complete the OpenAPI document: the names of pages, the problem, and how to show the token."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema: dict[str, Any] = json.loads(PAGES.sub(r"\1Page", json.dumps(made())))
            parts = schema.setdefault("components", {})
            template = "#/components/schemas/{model}"
            shape = Problem.model_json_schema(ref_template=template)
            definitions: dict[str, Any] = shape.pop("$defs", {})
            parts.setdefault("schemas", {}).update(definitions, Problem=shape)
            cookie = {"type": "apiKey", "in": "cookie", "name": SESSION}
            bearer = {"type": "http", "scheme": "bearer"}
            parts["securitySchemes"] = {"token": bearer, "session": cookie}
            for path, methods in schema["paths"].items():
                for method, operation in methods.items():
                    operation["security"] = [] if (path, method.upper()) in OPEN else SECURITY
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi
