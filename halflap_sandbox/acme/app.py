"""The app, put together: routes, what every request goes through, and the server it runs in."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from halflap_sandbox.acme.api import ROUTES, Call, Handler
from halflap_sandbox.acme.backstage import Backstage
from halflap_sandbox.acme.model import Workspace, World
from halflap_sandbox.acme.settings import Settings
from halflap_sandbox.acme.webhooks import Deliverer
from halflap_sandbox.answer import Answer, Refused
from halflap_sandbox.faults import Exceeded, FaultBoard, FaultPlan, Injected
from halflap_sandbox.server import Cut, Endpoint, page, read_body, suffer

PAGE = Path(__file__).parent / "page.js"


def create_app(
    settings: Settings | None = None, *, workspaces: Mapping[str, str] | None = None
) -> Starlette:
    """Make an Acme of its own, with these workspaces (name → API key) to begin with."""
    settings = settings or Settings()
    world, faults = World(clock=settings.clock, kept=settings.kept), FaultBoard("workspace")
    deliverer = Deliverer(settings, faults)
    for name, api_key in (workspaces or {}).items():
        if world.create(name, api_key=api_key) is None:
            raise ValueError(f"workspace {name!r}: another one has its API key; give it another")

    front = Front(world, faults, deliverer, settings)
    back = Backstage(world, faults, deliverer)
    routes = [
        Route(f"/v1{path}", front.endpoint(handler), methods=[method])
        for method, path, handler in ROUTES
    ]
    routes += [
        Route(f"/sandbox{path}", _backstage(handler), methods=[method])
        for method, path, handler in (
            ("GET", "/account", back.account),
            ("GET", "/workspaces", back.list_workspaces),
            ("POST", "/workspaces", back.create_workspace),
            ("PATCH", "/workspaces/{id}", back.update_workspace),
            ("DELETE", "/workspaces/{id}", back.delete_workspace),
            ("GET", "/effects", back.effects),
            ("GET", "/deliveries", back.deliveries),
            ("GET", "/faults", back.list_faults),
            ("POST", "/faults", back.set_faults),
            ("DELETE", "/faults", back.clear_faults),
            ("GET", "/overview", back.overview),
        )
    ]
    routes.append(Route("/", page("Acme", "workspace", PAGE), methods=["GET"]))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        yield
        await deliverer.close()

    app = Starlette(
        routes=routes,
        lifespan=lifespan,
        exception_handlers={
            HTTPException: _plain_error,
            Refused: _refused,
            Injected: _injected,
            Exceeded: _exceeded,
        },
    )
    app.state.deliverer, app.state.world = deliverer, world
    return app


class Front:
    """The stages of a request to `/v1`: authenticate → faults → idempotency → handler."""

    def __init__(
        self, world: World, faults: FaultBoard, deliverer: Deliverer, settings: Settings
    ) -> None:
        self._world = world
        self._faults = faults
        self._deliverer = deliverer
        self._settings = settings

    def endpoint(self, handler: Handler) -> Endpoint:
        """Make the route of a handler."""

        async def answer_request(request: Request) -> Response:
            workspace = self._authenticate(request)
            body = await read_body(request)
            call = Call(request, workspace, body, self._world.now(), self._deliverer)
            plan = self._faults.of(workspace.id)
            if request.method == "GET":
                cut = await suffer(request, plan, self._settings.clock())
                return cut or handler(call).response()
            return await self._change(call, plan, handler)

        return answer_request

    async def _change(self, call: Call, plan: FaultPlan, handler: Handler) -> Response:
        method, path, key = (
            call.request.method,
            call.request.url.path,
            _idempotency_key(call.request),
        )
        effects = call.workspace.effects
        effect = effects.asked(key, method, path)
        if cut := await suffer(call.request, plan, self._settings.clock()):
            return cut
        done = effects.apply(effect, method, path, call.body, lambda: handler(call))
        return Cut() if plan.loses_answer() else done.response()

    def _authenticate(self, request: Request) -> Workspace:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        found = self._world.by_key(key.strip()) if scheme.lower() == "bearer" else None
        if found is None:
            message = "Send Authorization: Bearer <API key>, with the key of a workspace."
            raise Refused(401, "unauthorized", message, headers={"WWW-Authenticate": "Bearer"})
        return found


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not 1 <= len(key) <= 255:
        fields = {"Idempotency-Key": "has 1 to 255 characters"}
        raise Refused(422, "invalid", "The Idempotency-Key is wrong.", fields=fields)
    return key


def _backstage(handler: Callable[[Request, bytes], Answer]) -> Endpoint:
    async def answer_request(request: Request) -> Response:
        return handler(request, await read_body(request)).response()

    return answer_request


async def _plain_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}.get(
        error.status_code, "error"
    )
    return Refused(error.status_code, code, error.detail, headers=error.headers).answer.response()


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return error.answer.response()


async def _injected(_: Request, error: Exception) -> Response:
    assert isinstance(error, Injected)
    return Refused(error.status, "injected", str(error)).answer.response()


async def _exceeded(_: Request, error: Exception) -> Response:
    assert isinstance(error, Exceeded)
    headers = {"Retry-After": str(error.retry_after)}
    return Refused(429, "rate_limited", str(error), headers=headers).answer.response()
