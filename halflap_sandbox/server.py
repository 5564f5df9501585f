"""The server that a sandbox runs in, and what every sandbox's requests go through.

It can lose an answer as a network does: the connection is cut where an answer was to come.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import socket
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from halflap_sandbox.answer import Refused, parse
from halflap_sandbox.faults import FaultBoard, FaultPlan

Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]
CUT = "sandbox.cut"
LARGEST_BODY = 4 * 1024 * 1024


class Cut(Response):
    """No answer: the connection is closed without one.

    `run()` gives the app the means to (the extension `sandbox.cut`); under another server the
    answer breaks off before its body instead.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        cut = scope.get("extensions", {}).get(CUT)
        if cut is None:
            headers = [(b"content-length", b"1")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            return
        cut()
        while (await receive())["type"] != "http.disconnect":
            pass


class CuttableProtocol(HttpToolsProtocol):
    """HTTP that hands the app a way to cut the connection without an answer."""

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self.scope["extensions"] = {CUT: self.transport.abort}  # type: ignore[typeddict-item]


def application(
    routes: Sequence[BaseRoute],
    faults: FaultBoard,
    close: Callable[[], Coroutine[Any, Any, None]] | None = None,
) -> Starlette:
    """Put a sandbox together: its routes, its faults, how it refuses, and what is closed as it ends."""

    async def set_faults(request: Request) -> Response:
        faults.set(parse(request, await read_body(request), faults.shape))
        return JSONResponse(faults.json())

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        yield
        if close is not None:
            await close()

    async def refuse(_: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        return error.answer.response()

    return Starlette(
        routes=[Route("/sandbox/faults", set_faults, methods=["POST"]), *routes],
        lifespan=lifespan,
        exception_handlers={Refused: refuse},
    )


async def read_body(request: Request, largest: int = LARGEST_BODY) -> bytes:
    """Read a request's body; HTTPException 413 where it has more than `largest` bytes."""
    if request.method == "GET":
        return b""
    body = b""
    async for chunk in request.stream():
        body = body + chunk if body else chunk
        if len(body) > largest:
            raise HTTPException(413, f"A body has at most {largest:,} bytes.")
    return body


async def suffer(request: Request, plan: FaultPlan, now: float) -> Cut | None:
    """Have a request suffer the faults that come before its work.

    It may be late; it may hang and get no answer (Cut). Raises Exceeded and Injected.
    """
    plan.limit(now)
    if plan.hang:
        await _gone(request, plan.hang)
        return Cut()
    if latency := plan.latency():
        await asyncio.sleep(latency)
    plan.fail()
    return None


async def _gone(request: Request, seconds: float) -> None:
    """Wait until the client has gone, `seconds` at most."""

    async def disconnected() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    await asyncio.wait([waiting := asyncio.ensure_future(disconnected())], timeout=seconds)
    waiting.cancel()


def page(app: str, part: str, script: Path) -> Endpoint:
    """Make the route of a sandbox's page, which may run and load only what is written in it.

    Its script says what it shows of a part, which is what a customer has here; the rest is shared.
    """
    shared = Path(__file__).parent
    html = (shared / "page.html").read_text(encoding="utf-8")
    html = html.replace("{app}", app).replace("{part}", part).replace("{Part}", part.capitalize())
    parts = {"/* page.css */": shared / "page.css", "// page.js": shared / "page.js"}
    for mark, path in {**parts, "// app.js": script}.items():
        html = html.replace(mark, path.read_text(encoding="utf-8").rstrip("\n"))

    def hashes(tag: str) -> str:
        inline = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digests = [base64.b64encode(hashlib.sha256(each.encode()).digest()) for each in inline]
        return " ".join(f"'sha256-{digest.decode()}'" for digest in digests)

    headers = {
        "Content-Security-Policy": (
            f"default-src 'none'; script-src {hashes('script')}; style-src {hashes('style')}; "
            "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'"
        ),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }

    async def show(_: Request) -> Response:
        return Response(html, media_type="text/html", headers=headers)

    return show


async def run(
    app: Starlette,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    ready: Callable[[int], None] | None = None,
    certificate: Path | None = None,
    private_key: Path | None = None,
) -> None:
    """Run an app until cancelled; `ready` gets the port once it listens.

    Port 0 takes a free one. A certificate (PEM, with its chain) makes it https; its private key may
    be in the same file. Raises OSError where the address is taken or not this machine's, or where a
    file cannot be read; and what the app raises as it ends.
    """
    listener = _listen(host, port)
    taken = listener.getsockname()[1]
    life = _Life(app)
    try:
        config = uvicorn.Config(
            life,
            http=CuttableProtocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
            ssl_certfile=certificate,
            ssl_keyfile=private_key,
        )
        config.load()
        server = _Server(config, lambda: ready(taken) if ready else None)
        serving = asyncio.create_task(server.serve([listener]), name="sandbox")
        try:
            await asyncio.shield(serving)
        except asyncio.CancelledError:
            server.should_exit = True
            await serving
            if life.error is None:
                raise
        if life.error is not None:
            raise life.error
    finally:
        listener.close()


@asynccontextmanager
async def serving(
    app: Starlette, certificate: Path | None = None, private_key: Path | None = None
) -> AsyncGenerator[str]:
    """Run an app on this machine, at a free port, for as long as it is entered; gives its URL.

    Raises what the app raises as it ends, but not in the place of the block's own error.
    """
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(
        run(app, ready=ready.set_result, certificate=certificate, private_key=private_key)
    )
    try:
        await asyncio.wait([running, ready], return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            await running
        host = "https://localhost" if certificate else "http://127.0.0.1"
        yield f"{host}:{await ready}"
    finally:
        running.cancel()
        await asyncio.wait([running])
    if not running.cancelled():
        await running


class _Life:
    """An app, and the error that it raised as it ended, which uvicorn only logs."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.error: Exception | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except Exception as error:
            if scope["type"] == "lifespan":
                self.error = error
            raise


class _Server(uvicorn.Server):
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
