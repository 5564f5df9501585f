"""Real processes on one store: gateways, workers, servers, each to be killed.

Many of them on PostgreSQL, or one server on a file.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from halflap.engine.bundle import pack
from halflap.store.store import Store
from halflap.store.vault import Vault
from tests.cluster import fresh_url
from tests.faults.process import ROOT
from tests.polling import DEADLINE, until
from tests.zygote import PYTHON

KEYS = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
TOKEN = "the-token-of-these-tests"
PROJECT = '''
import asyncio
import os
from datetime import timedelta

from halflap import (
    Config, Context, Deployment, Integration, Model, http, instance, schedule, step, webhook,
)


class Settings(Config):
    sink: http.Http


class Numbered(Model):
    n: int


integration = Integration("many", config=Settings)


@step
async def pause(seconds: float) -> int:
    """Take a while; tells in which process."""
    await asyncio.sleep(seconds)
    return os.getpid()


@integration.flow(trigger=instance.deploy)
async def deploy(ctx: Context[Settings], _: Deployment) -> None:
    """Deploying takes as long as somebody wants it to."""
    await http.get(ctx.config.sink, "/deploying")


@integration.flow(trigger=webhook.request(answer="result", within=timedelta(seconds=20)))
async def ask(ctx: Context[Settings], event: Numbered) -> dict[str, int]:
    """Answer with what the flow returns."""
    return {"n": event.n, "pid": await pause(0)}


@integration.flow(trigger=webhook.request())
async def numbered(ctx: Context[Settings], event: Numbered) -> None:
    """Hand an event on: one POST."""
    await http.post(ctx.config.sink, "/", json={"n": event.n})


@integration.flow(trigger=webhook.request())
async def slow(ctx: Context[Settings], event: Numbered) -> int:
    """Take a while, then hand the event on."""
    await http.post(ctx.config.sink, "/begun", json={"n": event.n})
    pid = await pause(float(os.environ.get("PAUSE", "0")))  # halflap: ignore[HF003]
    await http.post(ctx.config.sink, "/", json={"n": event.n})
    return pid


@integration.flow(trigger=webhook.request())
async def poison(ctx: Context[Settings], event: Numbered) -> None:
    """End the process that runs it."""
    await http.post(ctx.config.sink, "/begun", json={"n": event.n})
    os._exit(9)


@integration.flow(trigger=schedule.every(seconds=1, misfire="all"))
async def ticking(ctx: Context[Settings], tick: schedule.Tick) -> None:
    """Tick."""
'''


class Proc:
    """One process of Halflap, unsupervised, so that a signal meets it and no parent."""

    def __init__(
        self, role: str, folder: Path, environment: Mapping[str, str], before: tuple[str, ...]
    ) -> None:
        self.role = role
        self.folder = folder
        self.log = folder.with_suffix(".log")
        self.environment = environment
        self.before = before
        self.told: dict[str, Any] = {}
        self._process: asyncio.subprocess.Process | None = None

    @property
    def process(self) -> asyncio.subprocess.Process:
        assert self._process is not None
        return self._process

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def url(self) -> str:
        return self.told["url"]

    async def start(self) -> None:
        """Start it, and return once it says that it runs; a restart keeps its port."""
        port = self.url.rpartition(":")[2] if "url" in self.told else "0"
        listens = () if self.role == "worker" else ("--port", port)
        with self.log.open("ab") as errors:
            self._process = await asyncio.create_subprocess_exec(
                *(PYTHON, *(self.before or ("-m", "halflap")), self.role),
                *("--dir", str(self.folder), "--json", "--no-supervisor", *listens),
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                cwd=self.folder.parent,
                env=self.environment,
            )
        assert self._process.stdout is not None
        async with asyncio.timeout(DEADLINE):
            line = await self._process.stdout.readline()
        assert line, self.said()[-3000:]
        self.told = json.loads(line)

    def said(self) -> str:
        return self.log.read_text()

    async def end(self, number: signal.Signals) -> int:
        """Send a signal and wait until it is gone."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        async with asyncio.timeout(DEADLINE):
            return await self.process.wait()

    async def kill(self) -> None:
        await self.end(signal.SIGKILL)

    async def stop(self) -> int:
        return await self.end(signal.SIGTERM)


class Many:
    """Processes on one store, with the integration `many` and an instance of it.

    place: the URL of a PostgreSQL database; or a directory of `folder`, whose name is that of the one
    server that has the store in it.
    """

    def __init__(
        self, folder: Path, sink: str, http: aiohttp.ClientSession, place: Path | str
    ) -> None:
        self.folder = folder
        self.sink = sink
        self.http = http
        self.place = place
        self.processes: list[Proc] = []
        self.instance = ""
        self.endpoints: dict[str, str] = {}

    def environment(self, **more: str) -> dict[str, str]:
        given = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
        given |= {"HALFLAP_KEYS": KEYS, "HALFLAP_TOKEN": TOKEN}
        if isinstance(self.place, str):
            given["HALFLAP_STORE"] = self.place
        given |= {"HALFLAP_EGRESS_ALLOW": "127.0.0.1", "HALFLAP_DRAIN_SECONDS": "5"}
        return given | {"HALFLAP_PUBLIC_URL": "http://hooks.example.com"} | more

    @property
    def store_url(self) -> str:
        """The URL of the store, where it is on PostgreSQL."""
        assert isinstance(self.place, str)
        return self.place

    async def run(
        self, role: str, name: str = "", before: tuple[str, ...] = (), **more: str
    ) -> Proc:
        """Start a process of a role, with a directory of its own."""
        name = name or f"{role}{len(self.processes)}"
        proc = Proc(role, self.folder / name, self.environment(**more), before)
        self.processes.append(proc)
        await proc.start()
        return proc

    @asynccontextmanager
    async def store(self) -> AsyncIterator[Store]:
        """The store, as one more process has it."""
        store = await Store.open(self.place, vault=Vault.from_text(KEYS))
        try:
            yield store
        finally:
            await store.close()

    async def publish(self, project: str = PROJECT, name: str = "many") -> None:
        """Publish the integration, and configure an instance."""
        source = self.folder / "project"
        source.mkdir(exist_ok=True)
        (source / f"{name}.py").write_text(project)
        bundle = pack(source, f"{name}:integration")
        async with self.store() as store:
            catalogue = store.catalogue
            await catalogue.versions.publish(name, bundle.hash, bundle.to_bytes())
            customer = await catalogue.customers.add("Initech")
            saved = await catalogue.connections.save(
                customer.id, "http", "sink", {"base_url": self.sink}, {}
            )
            made = await catalogue.instances.add(customer.id, name, name, bundle.hash)
            links = {"sink": saved.id} if "sink" in project else {}
            await catalogue.instances.set_revision(made.id, {}, links)
            self.instance = made.id

    async def call(self, at: Proc, method: str, path: str, json: Any = None) -> Any:
        """Ask the API of a process."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with self.http.request(method, at.url + path, json=json, headers=headers) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json()

    async def activate(self, at: Proc, wait: int = 30) -> Any:
        """Activate the instance by the API of a process."""
        path = f"/api/instances/{self.instance}/activate?wait={wait}"
        found = await self.call(at, "POST", path)
        self.endpoints = {
            flow: url.rpartition("/")[2] for flow, url in found.get("urls", {}).items()
        }
        return found

    def hook(self, at: Proc, flow: str) -> str:
        """The URL of a flow at one gateway."""
        return f"{at.url}/hooks/{self.endpoints[flow]}"

    async def send(self, at: Proc, flow: str, n: int) -> str:
        """Send an event to a gateway; returns its execution."""
        async with self.http.post(self.hook(at, flow), json={"n": n}) as answer:
            assert answer.status < 300, await answer.text()
            return answer.headers["halflap-execution"]

    async def execution(self, at: Proc, execution: str) -> Any:
        return await self.call(at, "GET", f"/api/executions/{execution}")

    async def ended(self, at: Proc, execution: str, seconds: float = DEADLINE) -> Any:
        """An execution, once it has an outcome."""

        async def look() -> Any:
            found = await self.execution(at, execution)
            return found if found["state"] not in ("queued", "running", "waiting") else None

        return await until(look, seconds)


@asynccontextmanager
async def many(folder: Path, sink: str, place: Path | str = "") -> AsyncIterator[Many]:
    """A store, and processes on it that end with the block; on the tests' PostgreSQL by default."""
    async with aiohttp.ClientSession() as http:
        world = Many(folder, sink, http, place or fresh_url())
        try:
            yield world
        finally:
            for each in world.processes:
                if each.runs:
                    await each.end(signal.SIGKILL)
