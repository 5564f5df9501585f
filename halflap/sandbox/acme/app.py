"""The app, put together: routes, what every request goes through, and the server it runs in."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import socket
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from halflap.sandbox.acme.api import ROUTES, Call, Handler
from halflap.sandbox.acme.backstage import Backstage
from halflap.sandbox.acme.call import Answer, Cut, Refused
from halflap.sandbox.acme.faults import FaultBoard, FaultPlan
from halflap.sandbox.acme.model import Workspace, World
from halflap.sandbox.acme.settings import Settings
from halflap.sandbox.acme.webhooks import Deliverer

Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]
LARGEST_BODY = 4 * 1024 * 1024
PAGE = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")


def create_app(
    settings: Settings | None = None, *, workspaces: Mapping[str, str] | None = None
) -> Starlette:
    """Make an Acme of its own, with these workspaces (name → API key) to begin with."""
    settings = settings or Settings()
    world, faults = World(clock=settings.clock, kept=settings.kept), FaultBoard()
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
    routes.append(Route("/", _page, methods=["GET"]))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        yield
        await deliverer.close()

    return Starlette(
        routes=routes,
        lifespan=lifespan,
        exception_handlers={HTTPException: _plain_error, Refused: _refused},
    )


class Front:
    """What a request to `/v1` goes through: authenticate → faults → idempotency → handler."""

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
            body = await _body(request)
            call = Call(request, workspace, body, self._world.now(), self._deliverer)
            plan = self._faults.of(workspace.id)
            if request.method == "GET":
                cut = await self._delay(request, plan)
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
        if cut := await self._delay(call.request, plan):
            return cut
        done = effects.apply(effect, method, path, call.body, lambda: handler(call))
        return Cut() if plan.loses_answer() else done.response()

    async def _delay(self, request: Request, plan: FaultPlan) -> Cut | None:
        plan.limit(self._settings.clock())
        if plan.hang:
            await _gone(request, plan.hang)
            return Cut()
        if latency := plan.latency():
            await asyncio.sleep(latency)
        plan.fail()
        return None

    def _authenticate(self, request: Request) -> Workspace:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        found = self._world.by_key(key.strip()) if scheme.lower() == "bearer" else None
        if found is None:
            message = "Send Authorization: Bearer <API key>, with the key of a workspace."
            raise Refused(401, "unauthorized", message, headers={"WWW-Authenticate": "Bearer"})
        return found


async def _body(request: Request) -> bytes:
    if request.method == "GET":
        return b""
    body = b""
    async for chunk in request.stream():
        body = body + chunk if body else chunk
        if len(body) > LARGEST_BODY:
            raise Refused(413, "too_large", f"A body has at most {LARGEST_BODY:,} bytes.")
    return body


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not 1 <= len(key) <= 255:
        fields = {"Idempotency-Key": "has 1 to 255 characters"}
        raise Refused(422, "invalid", "The Idempotency-Key is wrong.", fields=fields)
    return key


async def _gone(request: Request, seconds: float) -> None:
    """Wait until the client has gone, `seconds` at most."""

    async def disconnected() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    await asyncio.wait([waiting := asyncio.ensure_future(disconnected())], timeout=seconds)
    waiting.cancel()


def _backstage(handler: Callable[[Request, bytes], Answer]) -> Endpoint:
    async def answer_request(request: Request) -> Response:
        return handler(request, await _body(request)).response()

    return answer_request


def _hashes(tag: str) -> str:
    inline = re.findall(rf"<{tag}>(.*?)</{tag}>", PAGE, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(each.encode()).digest()) for each in inline]
    return " ".join(f"'sha256-{digest.decode()}'" for digest in digests)


PAGE_HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; script-src {_hashes('script')}; style-src {_hashes('style')}; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


async def _page(_: Request) -> Response:
    return Response(PAGE, media_type="text/html", headers=PAGE_HEADERS)


async def _plain_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "error")
    return Refused(error.status_code, code, error.detail, headers=error.headers).answer.response()


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return error.answer.response()


class CuttableProtocol(HttpToolsProtocol):
    """HTTP that hands the app a way to cut the connection without an answer."""

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self.scope["extensions"] = {"acme.cut": self.transport.abort}  # type: ignore[typeddict-item]


class Server(uvicorn.Server):
    """Uvicorn that leaves the signals to the program and says when it listens."""

    def __init__(self, config: uvicorn.Config, listens: Callable[[], None]) -> None:
        super().__init__(config)
        self._listens = listens

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Capture none."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen."""
        await super().startup(sockets)
        self._listens()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle off only where the protocol is named; with it an answer takes 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except OSError:
        listener.close()
        raise
    return listener


async def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    ready: Callable[[int], None] | None = None,
    settings: Settings | None = None,
    workspaces: Mapping[str, str] | None = None,
) -> None:
    """Run an Acme until cancelled; `ready` gets the port once it listens.

    Port 0 takes a free one. Raises OSError where the address is taken or not this machine's.
    """
    listener = _listen(host, port)
    taken = listener.getsockname()[1]
    config = uvicorn.Config(
        create_app(settings, workspaces=workspaces),
        http=CuttableProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    server = Server(config, lambda: ready(taken) if ready else None)
    serving = asyncio.create_task(server.serve([listener]), name="acme")
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True
        await serving
        raise
    finally:
        listener.close()
