"""A small world for tests: the sandbox app, and hosts on one store that may die at any write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from halflap.engine.bundle import pack
from halflap.errors import InDoubt
from halflap.model import Customer, Instance, Version
from halflap.server.host import Host
from halflap.server.settings import Settings
from halflap.store.store import Store
from halflap_sandbox import acme, serving
from tests.journals import new_store
from tests.loopback import free_port
from tests.polling import DEADLINE

EXAMPLES = Path(__file__).parent.parent / "examples"


class AcmeApp:
    """The sandbox app on loopback, and a look behind its counter."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self.http = http

    async def workspace(self, name: str) -> str:
        """A new workspace; returns its API key."""
        return (await self.post("/sandbox/workspaces", {"name": name}))["api_key"]

    async def get(self, path: str, key: str) -> Any:
        headers = {"Authorization": f"Bearer {key}"}
        async with self.http.get(self.url + path, headers=headers) as response:
            return await response.json()

    async def post(self, path: str, body: Any, key: str = "") -> Any:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        async with self.http.post(self.url + path, json=body, headers=headers) as response:
            return await response.json()

    async def patch(self, path: str, body: Any, key: str) -> Any:
        headers = {"Authorization": f"Bearer {key}"}
        async with self.http.patch(self.url + path, json=body, headers=headers) as response:
            return await response.json()

    async def hooks(self, key: str) -> list[tuple[str, str]]:
        """The webhooks of a workspace, as (event, URL), sorted."""
        found = await self.get("/v1/webhooks", key)
        return sorted((each["event"], each["url"]) for each in found)


@asynccontextmanager
async def acme_app() -> AsyncIterator[AcmeApp]:
    """Run the sandbox app."""
    async with serving(acme.create_app()) as url, aiohttp.ClientSession() as http:
        yield AcmeApp(url, http)


class Mortal:
    """Lets a store's process die at its n-th write: before the write, or after it."""

    def __init__(self, store: Store, at: int, *, after: bool) -> None:
        self.left = at
        self.dead = asyncio.Event()
        self._post: Callable[..., asyncio.Future[Any]] = store.database.post
        self._after = after
        self._unanswered: list[asyncio.Future[Any]] = []
        self.buried = False
        store.database.post = self.post  # type: ignore[method-assign]

    def post(self, job: Any) -> asyncio.Future[Any]:
        never: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.buried:
            never.set_exception(InDoubt())
            return never
        self._unanswered.append(never)
        if self.dead.is_set():
            return never
        self.left -= 1
        if self.left != 0:
            return self._post(job)
        if not self._after:
            self.dead.set()
            return never
        written = self._post(job)
        written.add_done_callback(lambda _: self.dead.set())
        return never

    def bury(self) -> None:
        """Let go of what still waits for the dead process, so that it can be swept away."""
        self.buried = True
        for each in self._unanswered:
            if not each.done():
                each.set_exception(InDoubt())
                each.add_done_callback(lambda done: done.exception())


@asynccontextmanager
async def host_on(
    directory: Path, *, port: int = 0, dies_at: int = 0, after: bool = False
) -> AsyncIterator[tuple[Host, Mortal | None]]:
    """A serving host; with `dies_at`, its process dies at that write and is swept away."""
    if not directory.exists():
        await new_store(directory)
    port = port or free_port()  # the same after a restart, which no other may have taken meanwhile
    settings = Settings(dir=directory, port=port, egress_allow=("127.0.0.1",), drain_seconds=2.0)
    host = await Host.open(settings, probation=False)  # a child for every death would take minutes
    mortal = Mortal(host.store, dies_at, after=after) if dies_at else None
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(host.serve(ready=lambda port: ready.set_result(port)))
    dying = asyncio.create_task(mortal.dead.wait() if mortal else asyncio.Event().wait())
    try:
        await asyncio.wait([ready, serving, dying], return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            await serving
        yield host, mortal
    finally:
        dying.cancel()
        if mortal is not None:
            mortal.bury()
            await sweep_away(host, serving)
        else:
            await host.stop(1.0)
            await asyncio.wait_for(serving, DEADLINE)


async def sweep_away(host: Host, serving: asyncio.Task[Any]) -> None:
    """Remove what is left of a process that died, but for its files."""
    await host.deployer.stop()
    current = asyncio.current_task()
    mine = [serving, *host.crew.tasks]
    mine += [each.task for each in host.engine._running.values()]
    for task in mine:
        if task is not current:
            task.cancel()
    await asyncio.gather(*mine, return_exceptions=True)
    await host._server.stop(0)
    await host.egress.close()
    await host.store.database.close()


async def publish(host: Host, folder: Path, entry: str) -> Version:
    """Publish a project's integration."""
    bundle = pack(folder, entry)
    integration = await host.library.read(bundle)
    return await host.store.catalogue.versions.publish(
        integration.name, bundle.hash, bundle.to_bytes()
    )


async def configured(
    host: Host, customer: Customer, version: Version, app: AcmeApp, key: str, **config: Any
) -> Instance:
    """An instance that has its Acme connection and is not active yet."""
    catalogue = host.store.catalogue
    name = version.integration
    connection = await catalogue.connections.save(
        customer.id, "acme", f"acme-{name}", {"base_url": f"{app.url}/v1"}, {"api_key": key}
    )
    instance = await catalogue.instances.add(customer.id, name, name, version.hash)
    await catalogue.instances.set_revision(instance.id, config, {"acme": connection.id})
    return await catalogue.instances.get(instance.id)
