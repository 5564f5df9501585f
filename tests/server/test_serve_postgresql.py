"""`halflap serve` on PostgreSQL: all in one process, or in several beside each other."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from halflap.cli.client import Client
from halflap.engine.bundle import pack
from halflap.errors import ConfigError
from halflap.model import Instance
from halflap.server.host import Host
from halflap.server.settings import Settings
from halflap.store.store import Store
from tests.cluster import fresh_url
from tests.served import until

ROOT = Path(__file__).parents[2]
KEYS = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
GREETING = """
from halflap import Config, Context, Integration, Model, webhook


class Order(Model):
    id: str


integration = Integration("greeting", config=Config)


@integration.flow(trigger=webhook.request())
async def greet(ctx: Context[Config], order: Order) -> str:
    return f"Hello, {order.id}"
"""


@pytest.fixture
def url() -> str:
    return fresh_url()


def environment(url: str) -> dict[str, str]:
    paths = [str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    given = {"PYTHONPATH": os.pathsep.join(paths), "PATH": os.environ["PATH"]}
    return given | {"HALFLAP_STORE": url, "HALFLAP_KEYS": KEYS}


async def serve(folder: Path, environment: dict[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "halflap", "serve", "--dir", str(folder), "--port", "0", "--json"),
        cwd=folder,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_a_server_starts_serves_and_stops(tmp_path: Path, url: str) -> None:
    process = await serve(tmp_path, environment(url))
    assert process.stdout is not None
    async with asyncio.timeout(60):
        line = await process.stdout.readline()
    if not line:
        pytest.fail((await process.communicate())[1].decode())
    told = json.loads(line)
    assert told["store"].startswith("postgresql://")
    settings = Settings(dir=tmp_path, store=url, keys=KEYS)
    async with Client.connect(settings) as api:
        assert api.runs
        await api.post("/api/customers", {"name": "Ada"})
    process.terminate()
    async with asyncio.timeout(30):
        _, said = await process.communicate()
    assert process.returncode == 0, said.decode()
    assert b"error" not in said, said.decode()
    assert not (tmp_path / "halflap.db").exists()
    async with Client.connect(settings) as api:
        assert not api.runs
        assert [each["name"] for each in await api.get("/api/customers")] == ["Ada"]


async def test_a_server_without_keys_says_how_to_make_one(tmp_path: Path, url: str) -> None:
    process = await serve(tmp_path, environment(url) | {"HALFLAP_KEYS": ""})
    async with asyncio.timeout(60):
        _, said = await process.communicate()
    assert process.returncode == 1
    assert b"HALFLAP_KEYS" in said


@asynccontextmanager
async def host_on(settings: Settings) -> AsyncIterator[Host]:
    host = await Host.open(settings, probation=False)
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(host.serve(ready=ready.set_result))
    try:
        await asyncio.wait([ready, serving], return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            await serving
        yield host
    finally:
        await host.stop(1.0)
        await serving


async def activated(host: Host, folder: Path) -> Instance:
    (folder / "greeting.py").write_text(GREETING)
    bundle = pack(folder, "greeting:integration")
    catalogue = host.store.catalogue
    await catalogue.versions.publish("greeting", bundle.hash, bundle.to_bytes())
    customer = await catalogue.customers.add("Ada")
    made = await catalogue.instances.add(customer.id, "greeting", "greeting", bundle.hash)
    await host.deployer.activate(made.id)
    return await host.deployer.settled(made.id)


async def test_what_one_process_activates_another_one_takes_events_for(
    tmp_path: Path, url: str
) -> None:
    (tmp_path / "project").mkdir()
    settings = Settings(dir=tmp_path / "one", store=url, keys=KEYS, port=0, drain_seconds=1.0)
    async with (
        host_on(settings) as one,
        host_on(replace(settings, dir=tmp_path / "two")) as two,
        aiohttp.ClientSession() as http,
    ):
        instance = await activated(one, tmp_path / "project")
        assert instance.state == "active", instance.error
        (endpoint,) = (await two.store.catalogue.endpoints.of_instance(instance.id)).values()

        async def send() -> Any:
            sent = http.post(f"http://127.0.0.1:{two.port}/hooks/{endpoint.id}", json={"id": "o-1"})
            async with sent as answer:
                return answer.headers.get("halflap-execution")

        execution = await until(send, 20)

        async def outcome() -> Any:
            return await one.store.journal.outcome(execution)

        ended = await until(outcome, 20)
        assert (ended.state, ended.result) == ("succeeded", b'"Hello, o-1"')
        await one.deployer.disable(instance.id)
        await one.deployer.settled(instance.id)

        async def closed() -> bool:
            return await send() is None

        assert await until(closed, 20)


def test_the_url_of_a_store_is_checked_and_not_shown() -> None:
    with pytest.raises(ConfigError, match="HALFLAP_STORE: it is the URL") as caught:
        Settings.read({"HALFLAP_STORE": "mysql://ada:s3cret@db/shop"})
    assert "s3cret" not in str(caught.value)
    read = Settings.read({"HALFLAP_STORE": "postgres://db/shop"})
    assert read.place == "postgres://db/shop"
    assert Settings().place == Settings().dir


async def test_a_store_is_moved_and_served_from_there(tmp_path: Path, url: str) -> None:
    store = await Store.open(tmp_path)
    await store.catalogue.customers.add("Ada")
    await store.close()

    async def halflap(*command: str, **more: str) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "halflap", *command, "--dir", str(tmp_path)),
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **more},
            stdout=PIPE,
            stderr=PIPE,
        )
        out, errors = await process.communicate()
        return process.returncode or 0, out.decode(), errors.decode()

    code, said, errors = await halflap("store", "move", "--to", url)
    assert code == 0, errors
    assert ": customers 1" in said
    assert "HALFLAP_STORE=" in said
    assert "HALFLAP_KEYS=" in said
    code, _, errors = await halflap("customers", "list")
    assert code == 1
    assert "this store was moved to PostgreSQL; name that in HALFLAP_STORE" in " ".join(
        errors.split()
    )
    keys = (tmp_path / "halflap.key").read_text()
    code, said, errors = await halflap("customers", "list", HALFLAP_STORE=url, HALFLAP_KEYS=keys)
    assert (code, "Ada" in said) == (0, True), errors
    code, _, errors = await halflap("store", "move")
    assert code == 1
    assert "say where the store is to be moved" in " ".join(errors.split())
