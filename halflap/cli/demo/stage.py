"""The demo's stage: the sandbox apps, a server that can be killed, and checks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import click

from halflap.cli.client import Client, HttpLine, local
from halflap.errors import HalflapError
from halflap.sdk import codec
from halflap.server.settings import Settings
from halflap_sandbox import acme, github, salesforce, serving, slack, zendesk
from halflap_sandbox.github.model import World

HOST = "127.0.0.1"
DATA = "/services/data/v63.0"
REPOSITORIES = ("initech", "globex")
"""The owners of repositories `hello` at GitHub: the customers."""
PATIENT = slack.Settings(waits=(0.5,) * 60)
"""Slack tries again soon where the server has no WebSocket yet."""


class Checks:
    """Counts what held and what did not, and says so as it goes."""

    def __init__(self) -> None:
        self.passed = 0
        self.total = 0
        self._began = time.perf_counter()

    def act(self, title: str) -> None:
        """Begin an act."""
        click.echo(f"\n{click.style(title, bold=True)}")
        self._began = time.perf_counter()

    def check(self, holds: bool, claim: str, *seen: object, timed: bool = True) -> None:
        """Check a claim; `seen` are ids and figures to show beside it.

        Where `timed`, so is the time since the check before.
        """
        now = time.perf_counter()
        took, self._began = (now - self._began) * 1000, now
        self.total += 1
        self.passed += bool(holds)
        mark = click.style("✓", fg="green") if holds else click.style("✗", fg="red", bold=True)
        details = "  ".join(map(str, (*seen, f"{took:,.0f} ms") if timed else seen))
        click.echo(f"  {mark} {claim}  {click.style(details, dim=True)}".rstrip())

    def close(self, name: str = "demo") -> int:
        """Print the last line, and return the exit code."""
        click.echo(f"\n{name}: {self.passed} of {self.total} checks passed")
        return 0 if self.passed == self.total else 1


async def eventually(
    look: Callable[[], Awaitable[object]], *, within: float = 30.0, every: float = 0.02
) -> bool:
    """Look again and again until it holds, for at most `within` seconds."""
    end = time.perf_counter() + within
    while time.perf_counter() < end:
        if await look():
            return True
        await asyncio.sleep(every)
    return bool(await look())


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
        while len(found) % 500 == 0:
            page = len(found) // 500 + 1
            part = await self.call("GET", f"{path}?page={page}&per_page=500", key)
            if not part:
                break
            found += part
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

    async def get(self, org: Any, path: str, **params: str) -> Any:
        """Return what Salesforce's API answers to one of its users."""
        if org["id"] not in self._tokens:
            form = {name: org[name] for name in ("client_id", "client_secret")}
            form["grant_type"] = "client_credentials"
            token = await self.call("POST", "/services/oauth2/token", data=form)
            self._tokens[org["id"]] = token["access_token"]
        return await self.call("GET", DATA + path, self._tokens[org["id"]], params=params)

    async def query(self, org: Any, soql: str) -> list[Any]:
        """Return the records of a query."""
        return (await self.get(org, "/query", q=soql))["records"]

    async def look(self, org: Any, part: str) -> Any:
        """Return a part of the sandbox's own record: `effects`, `deliveries` or `pending`."""
        return await self.call("GET", f"/sandbox/{part}", params={"org": org["id"]})


class DemoServer:
    """`halflap serve` as a process of its own, so that it can be killed."""

    def __init__(self, directory: Path, **settings: str) -> None:
        """`settings` are further ones of its environment, without `HALFLAP_`."""
        self.directory = directory
        self.settings = settings
        self.store = directory / "store"
        self.log = directory / "server.log"
        self.url = ""
        self.process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """The id of its process."""
        assert self.process is not None
        return self.process.pid

    async def start(self) -> HttpLine:
        """Start it and wait until it answers; on the same port again after the first time."""
        port = self.url.rpartition(":")[2] or "0"
        ours = {"DIR": str(self.store), "PORT": port, "EGRESS_ALLOW": HOST, **self.settings}
        environment = {name: text for name, text in os.environ.items() if "HALFLAP_" not in name}
        environment |= {f"HALFLAP_{name}": text for name, text in ours.items()}
        command = [sys.executable, "-m", "halflap", "serve", "--no-supervisor"]
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *command, env=environment, stdout=log, stderr=log, cwd=self.directory
            )
        async with asyncio.timeout(30):
            while (line := await local(Settings(dir=self.store))) is None:
                if (code := self.process.returncode) is not None:
                    raise HalflapError(f"the server ended with {code}; its log: {self.log}")
                await asyncio.sleep(0.02)
        self.url = line.where
        return line

    async def kill(self) -> int:
        """End it by kill -9; return the id that its process had."""
        assert self.process is not None
        self.process.kill()
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
            await self.kill()


@dataclass
class Stage:
    """The apps and the server that the demo plays on."""

    salesforce: SandboxSalesforce
    acme: Acme
    github: World
    github_url: str
    zendesk: SandboxApp
    slack: SandboxApp
    server: DemoServer
    http: aiohttp.ClientSession
    api: Client


@asynccontextmanager
async def set_stage(directory: Path) -> AsyncGenerator[Stage]:
    """Start the apps and the server, and stop them afterwards."""
    server, at_github = DemoServer(directory), github.create_app(accounts=REPOSITORIES)
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
        serving(salesforce.create_app()) as salesforce_url,
        serving(acme.create_app()) as acme_url,
        serving(at_github) as github_url,
        serving(zendesk.create_app()) as zendesk_url,
        serving(slack.create_app(PATIENT)) as slack_url,
        contextlib.AsyncExitStack() as stack,
    ):
        stack.push_async_callback(server.stop)
        line = await server.start()
        stack.push_async_callback(line.close)
        apps = SandboxSalesforce(salesforce_url, http), Acme(acme_url, http)
        more = SandboxApp(zendesk_url, http), SandboxApp(slack_url, http)
        world = at_github.state.world
        yield Stage(*apps, world, github_url, *more, server, http, Client(line))
