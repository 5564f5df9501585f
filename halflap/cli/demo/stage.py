"""The demo's stage: the sandbox apps, a GitHub stand-in, and a server that can be killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from halflap.cli.client import Client, HttpLine, read_token
from halflap.errors import HalflapError
from halflap.sdk import codec
from halflap.server.address import ServerAddress
from halflap_sandbox import acme, salesforce

HOST = "127.0.0.1"
DATA = "/services/data/v63.0"


class SandboxApp:
    """A sandbox app at a URL. It runs in the demo's process, so it outlives the server."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self._http = http
        self._tokens: dict[str, str] = {}

    async def call(self, method: str, path: str, token: str = "", **more: Any) -> Any:
        """Call the app's API as its user would; return its JSON."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self._http.request(method, self.url + path, headers=headers, **more) as answer:
            body = await answer.read()
            if answer.status >= 400:
                raise HalflapError(f"{method} {self.url}{path}: {answer.status} {body[:200]!r}")
            return codec.decode(body) if body else None


class Acme(SandboxApp):
    """The sandbox Acme: its API, and its record of deliveries and effects."""

    async def records(self, path: str, key: str) -> list[Any]:
        """Return all pages of a list."""
        found: list[Any] = []
        for page in range(1, 1_000):
            part = await self.call("GET", f"{path}?page={page}&per_page=500", key)
            found += part
            if len(part) < 500:
                break
        return found

    async def hooks(self, key: str) -> list[str]:
        """Return the URLs that a workspace's webhooks call."""
        return sorted(each["url"] for each in await self.call("GET", "/v1/webhooks", key))

    async def pending(self, workspace: str) -> int:
        """Return the number of webhooks that it has yet to deliver."""
        page = await self.call("GET", f"/sandbox/overview?workspace={workspace}")
        return sum(each["pending"] for each in page["shown"]["webhooks"])

    async def written(self, workspace: str) -> list[Any]:
        """Return the writes with an idempotency key, which people's have not."""
        effects = await self.call("GET", f"/sandbox/effects?workspace={workspace}")
        return [each for each in effects if each["key"] and "/webhooks" not in each["path"]]


class SandboxSalesforce(SandboxApp):
    """The sandbox Salesforce: its API, people's edits, and its record of deliveries."""

    async def edit(self, org: Any, object: str, id: str | None = None, **values: Any) -> str:
        """Create a record, or change one, as a person does; return its id."""
        edit = {"action": "update" if id else "create", "object": object, "values": values}
        body = {**edit, "id": id} if id else edit
        return (await self.call("POST", f"/sandbox/orgs/{org['id']}/records", json=body))["Id"]

    async def record(self, org: Any, object: str, id: str) -> Any:
        """Return a record, as Salesforce's API gives it."""
        return await self._get(org, f"{DATA}/sobjects/{object}/{id}")

    async def query(self, org: Any, soql: str) -> list[Any]:
        """Return the records of a query, as Salesforce's API gives them."""
        return (await self._get(org, f"{DATA}/query", q=soql))["records"]

    async def _get(self, org: Any, path: str, **params: str) -> Any:
        if org["id"] not in self._tokens:
            form = {name: org[name] for name in ("client_id", "client_secret")}
            form["grant_type"] = "client_credentials"
            token = await self.call("POST", "/services/oauth2/token", data=form)
            self._tokens[org["id"]] = token["access_token"]
        return await self.call("GET", path, self._tokens[org["id"]], params=params)

    async def look(self, org: Any, part: str) -> Any:
        """Return a part of the sandbox's own record: `effects`, `deliveries` or `pending`."""
        return await self.call("GET", f"/sandbox/{part}", params={"org": org["id"]})

    async def automation(self, org: Any) -> tuple[int, int]:
        """Return the number of outbound messages of an org, and of flows."""
        counts = (await self.look(org, "overview"))["shown"]["counts"]
        return counts["messages"], counts["flows"]


class GitHub:
    """A stand-in for GitHub: it stores a repository's hooks."""

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
        id = len(self.hooks) + 1
        self.hooks[id] = {**await request.json(), "id": id, "repo": request.match_info["repo"]}
        return web.json_response(self.hooks[id], status=201)

    async def _delete(self, request: web.Request) -> web.Response:
        gone = self.hooks.pop(int(request.match_info["id"]), None)
        return web.Response(status=204 if gone else 404)


class DemoServer:
    """`halflap serve` as a process of its own, so that it can be killed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory / "server.log"
        self.url = ""
        self._port = 0
        self._process: asyncio.subprocess.Process | None = None

    @property
    def store(self) -> Path:
        """The directory of its store."""
        return self.directory / "store"

    @property
    def pid(self) -> int:
        """The id of its process."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start it and wait until it answers; on the same port again after the first time."""
        theirs = {
            name: text for name, text in os.environ.items() if not name.startswith("HALFLAP_")
        }
        ours = {
            "HALFLAP_DIR": str(self.store),
            "HALFLAP_PORT": str(self._port),
            "HALFLAP_EGRESS_ALLOW": HOST,
        }
        command = [sys.executable, "-m", "halflap", "serve", "--no-supervisor"]
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command, env=theirs | ours, stdout=log, stderr=log, cwd=self.directory
            )
        async with asyncio.timeout(30):
            while not await self._answers():
                if (code := self._process.returncode) is not None:
                    raise HalflapError(f"the server ended with {code}; its log: {self.log}")
                await asyncio.sleep(0.02)

    async def _answers(self) -> bool:
        with contextlib.suppress(OSError, ValueError, KeyError, HalflapError):
            where = ServerAddress.read(self.store)
            if where is not None and where.pid == self.pid:
                self.url, self._port = where.url, int(where.url.rsplit(":", 1)[1])
                line = HttpLine.opened(self.url, "")
                try:
                    return bool(await line.health())
                finally:
                    await line.close()
        return False

    async def kill(self) -> int:
        """End it by kill -9; return the id that its process had."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        await self._process.wait()
        return self.pid

    async def stop(self) -> None:
        """Stop it as an operator would."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), 30)
        except TimeoutError:
            self._process.kill()


@dataclass
class Stage:
    """The apps and the server that the demo plays on."""

    salesforce: SandboxSalesforce
    acme: Acme
    github: GitHub
    github_url: str
    server: DemoServer
    http: aiohttp.ClientSession
    api: Client


@asynccontextmanager
async def set_stage(directory: Path) -> AsyncGenerator[Stage]:
    """Start the apps and the server, and stop them afterwards."""
    server, github = DemoServer(directory), GitHub()
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
        running(salesforce.serve) as salesforce_url,
        running(acme.serve) as acme_url,
        served(github.app) as github_url,
    ):
        try:
            await server.start()
            line = HttpLine.opened(server.url, read_token(server.store))
            try:
                apps = SandboxSalesforce(salesforce_url, http), Acme(acme_url, http)
                yield Stage(*apps, github, github_url, server, http, Client(line))
            finally:
                await line.close()
        finally:
            await server.stop()


@asynccontextmanager
async def running(serve: Callable[..., Coroutine[Any, Any, None]]) -> AsyncGenerator[str]:
    """Run a sandbox app in this process; give its URL."""
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
    """Serve a small app on loopback; give its URL."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    try:
        yield f"http://{HOST}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
