"""The demo's stage: the sandbox apps, a GitHub stand-in, a receiver, and a server to kill."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from halflap.cli.demo.org import Salesforce
from halflap.errors import HalflapError
from halflap.sdk import codec
from halflap.server.address import ServerAddress
from halflap_sandbox import acme, salesforce

HOST = "127.0.0.1"


class Acme:
    """The sandbox app, in this process: it outlives the server."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self._http = http

    async def workspace(self, name: str) -> tuple[str, str]:
        """A new workspace: its id and its API key."""
        made = await self.call("POST", "/sandbox/workspaces", json={"name": name})
        return made["id"], made["api_key"]

    async def call(self, method: str, path: str, key: str = "", **more: Any) -> Any:
        """Call Acme's API as its user would."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        async with self._http.request(method, self.url + path, headers=headers, **more) as answer:
            body = await answer.read()
            if answer.status >= 400:
                raise HalflapError(f"Acme: {method} {path}: {answer.status} {body[:200]!r}")
            return codec.decode(body) if body else None

    async def hooks(self, key: str) -> list[str]:
        """The URLs that a workspace's webhooks call."""
        return sorted(each["url"] for each in await self.call("GET", "/v1/webhooks", key))

    async def pending(self, workspace: str) -> int:
        """Return the number of webhooks that it has yet to deliver."""
        page = await self.call("GET", f"/sandbox/overview?workspace={workspace}")
        return sum(each["pending"] for each in page["shown"]["webhooks"])

    async def written(self, workspace: str) -> list[Any]:
        """The records that it was asked to write with an idempotency key, as people never do."""
        effects = await self.call("GET", f"/sandbox/effects?workspace={workspace}")
        return [each for each in effects if each["key"] and "/webhooks" not in each["path"]]

    async def everything(self, path: str, key: str) -> list[Any]:
        """All pages of a list."""
        found: list[Any] = []
        page = 1
        while True:
            part = await self.call("GET", f"{path}?page={page}&per_page=500", key)
            found += part
            if len(part) < 500:
                return found
            page += 1


class GitHub:
    """A stand-in for GitHub: keeps a repository's hooks, and sends them signed payloads."""

    def __init__(self) -> None:
        self.hooks: dict[int, dict[str, Any]] = {}
        self.app = web.Application()
        self.app.router.add_get("/repos/{owner}/{repo}/hooks", self._list)
        self.app.router.add_post("/repos/{owner}/{repo}/hooks", self._create)
        self.app.router.add_delete("/repos/{owner}/{repo}/hooks/{id}", self._delete)
        self.app.router.add_get("/repos/{owner}/{repo}", self._repository)

    async def _repository(self, request: web.Request) -> web.Response:
        return web.json_response({"full_name": "{owner}/{repo}".format(**request.match_info)})

    async def _list(self, request: web.Request) -> web.Response:
        repo = request.match_info["repo"]
        return web.json_response([each for each in self.hooks.values() if each["repo"] == repo])

    async def _create(self, request: web.Request) -> web.Response:
        hook = await request.json()
        id = len(self.hooks) + 1
        self.hooks[id] = {**hook, "id": id, "repo": request.match_info["repo"]}
        return web.json_response(self.hooks[id], status=201)

    async def _delete(self, request: web.Request) -> web.Response:
        gone = self.hooks.pop(int(request.match_info["id"]), None)
        return web.Response(status=204 if gone else 404)


@dataclass
class Receiver:
    """Any HTTP API: it keeps what it is sent, and when."""

    received: list[tuple[float, str, Any]] = field(default_factory=list[tuple[float, str, Any]])

    async def take(self, request: web.Request) -> web.Response:
        """Keep a request."""
        body = await request.read()
        self.received.append(
            (time.perf_counter(), request.path, codec.decode(body) if body else None)
        )
        return web.json_response({"ok": True})


class ServerProcess:
    """`halflap serve` as a process of its own, so that it can be killed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.process: asyncio.subprocess.Process | None = None
        self.port = 0
        self.url = ""
        self.log = directory / "server.log"

    async def start(self) -> None:
        """Start it and wait until it answers; on the same port again after the first time."""
        environment = {
            **{
                name: value for name, value in os.environ.items() if not name.startswith("HALFLAP_")
            },
            "HALFLAP_DIR": str(self.directory / "store"),
            "HALFLAP_PORT": str(self.port),
            "HALFLAP_EGRESS_ALLOW": HOST,
        }
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "halflap",
                "serve",
                "--no-supervisor",
                env=environment,
                stdout=log,
                stderr=log,
                cwd=self.directory,
            )
        async with asyncio.timeout(30):
            while not await self._answers():
                if self.process.returncode is not None:
                    raise HalflapError(
                        f"the server ended with {self.process.returncode}; its log: {self.log}"
                    )
                await asyncio.sleep(0.02)

    async def _answers(self) -> bool:
        assert self.process is not None
        with contextlib.suppress(OSError, ValueError, KeyError, aiohttp.ClientError):
            where = ServerAddress.read(self.directory / "store")
            if where is None or where.pid != self.process.pid:
                return False
            self.url = where.url
            self.port = int(self.url.rsplit(":", 1)[1])
            async with (
                aiohttp.ClientSession() as http,
                http.get(f"{self.url}/api/health") as answer,
            ):
                return answer.status == 200
        return False

    @property
    def pid(self) -> int:
        """Its process."""
        assert self.process is not None
        return self.process.pid

    async def kill(self) -> int:
        """kill -9."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()
        return self.pid

    async def stop(self) -> None:
        """Stop it as an operator would."""
        if self.process is None or self.process.returncode is not None:
            return
        self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), 30)
        except TimeoutError:
            self.process.kill()


class Api:
    """The server's management API."""

    def __init__(self, server: ServerProcess, http: aiohttp.ClientSession) -> None:
        self._server = server
        self._http = http

    async def call(
        self, method: str, path: str, body: Any = None, *, raw: bytes | None = None
    ) -> Any:
        """Call it; a refusal is an error that says what it said."""
        token = (self._server.directory / "store" / "token").read_text().strip()
        data = raw if raw is not None else None if body is None else codec.encode(body)
        kind = "application/octet-stream" if raw is not None else "application/json"
        headers = {"Authorization": f"Bearer {token}", "Content-Type": kind}
        url = f"{self._server.url}/api{path}"
        async with self._http.request(method, url, data=data, headers=headers) as answer:
            content = await answer.read()
            if answer.status >= 400:
                problem = codec.decode(content)
                raise HalflapError(problem.get("detail") or problem["title"])
            return codec.decode(content) if content else None


@dataclass
class Stage:
    """Everything that the demo plays on."""

    salesforce: Salesforce
    acme: Acme
    github: GitHub
    github_url: str
    receiver: Receiver
    receiver_url: str
    server: ServerProcess
    api: Api
    http: aiohttp.ClientSession


@asynccontextmanager
async def stage(directory: Path) -> AsyncGenerator[Stage]:
    """Set the stage, and clear it away."""
    server = ServerProcess(directory)
    github, receiver = GitHub(), Receiver()
    sink = web.Application()
    sink.router.add_route("*", "/{path:.*}", receiver.take)
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        aiohttp.ClientSession(connector=connector) as http,
        running(salesforce.serve) as salesforce_url,
        running(acme.serve) as acme_url,
        served(github.app) as github_url,
        served(sink) as receiver_url,
    ):
        try:
            yield Stage(
                Salesforce(salesforce_url, http),
                Acme(acme_url, http),
                github,
                github_url,
                receiver,
                receiver_url,
                server,
                Api(server, http),
                http,
            )
        finally:
            await server.stop()


@asynccontextmanager
async def running(serve: Callable[..., Coroutine[Any, Any, None]]) -> AsyncGenerator[str]:
    """Run a sandbox app, in this process: it outlives the server."""
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    app = asyncio.create_task(serve(HOST, 0, ready=ready.set_result))
    try:
        yield f"http://{HOST}:{await ready}"
    finally:
        app.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await app


@asynccontextmanager
async def served(app: web.Application) -> AsyncGenerator[str]:
    """Serve a small app on loopback."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, HOST, 0)
    await site.start()
    try:
        yield f"http://{HOST}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
