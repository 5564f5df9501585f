"""Bodies that are larger than memory: in through the gateway, out to an app, never held."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from halflap import StandardWebhooks
from halflap.server.host import Host
from halflap.server.settings import Settings
from tests import served
from tests.loopback import on_loopback
from tests.polling import DEADLINE, until
from tests.served import TOKEN, Served
from tests.world import publish
from tests.zygote import PYTHON

MB = 1024 * 1024
CHUNK = bytes(range(256)) * 256
PROJECT = '''
from halflap import Config, Context, Integration, Request, http, webhook


class Settings(Config):
    sink: http.Http


integration = Integration("relay", config=Settings)


@integration.flow(trigger=webhook.raw(signature="standard", dedupe="header:webhook-id"))
async def relay(ctx: Context[Settings], event: Request) -> int:
    """Sends what arrives on, as it is read."""
    assert event.payload is not None
    await http.request(ctx.config.sink, "PUT", "/files/1", payload=event.payload)
    return event.size


@integration.flow(trigger=webhook.raw())
async def count(ctx: Context[Settings], event: Request) -> int:
    """Reads what arrives."""
    return sum([len(chunk) async for chunk in event.stream()])


@integration.flow(trigger=webhook.request())
async def whole(ctx: Context[Settings], event: dict) -> None:
    """Wants all of it at once."""
'''


@dataclass
class Sink:
    """An app that takes files as they come, and remembers their digests."""

    url: str = ""
    got: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])

    async def put(self, request: web.Request) -> web.Response:
        digest, size = hashlib.sha256(), 0
        async for chunk in request.content.iter_chunked(64 * 1024):
            digest.update(chunk)
            size += len(chunk)
        assert request.content_length == size
        self.got.append((size, digest.hexdigest()))
        return web.json_response({})


@dataclass
class World:
    """A server in a process of its own, and the hooks of its flows."""

    server: Served
    folder: Path
    hooks: dict[str, str]
    secret: str
    sink: Sink

    async def send(self, flow: str, size: int, *, id: str = "", wrong: bool = False) -> Any:
        """Send a body in chunks; its execution, or the answer's status."""
        headers: dict[str, str] = {}
        if id:
            # The body is signed whole here; the server never has it whole.
            body = b"".join(chunks_of(size))
            headers = StandardWebhooks().sign(body, self.secret, datetime.now(UTC), id=id)
            del body
        if wrong:
            size += 1
        url = f"http://127.0.0.1:{self.server.ports[-1]}{self.hooks[flow]}"
        sent = stream(size)
        async with self.server.http.post(url, data=sent, headers=headers) as answer:
            return answer.headers.get("halflap-execution") or answer.status

    def files(self) -> list[Path]:
        return [each for each in (self.folder / "blobs").rglob("*") if each.is_file()]

    def peak(self) -> int:
        """The most memory that the server had so far, in bytes."""
        status = Path(f"/proc/{self.server.process.pid}/status").read_text()
        line = next(each for each in status.splitlines() if each.startswith("VmHWM"))
        return int(line.split()[1]) * 1024

    def forget_peak(self) -> None:
        """Begin to measure anew."""
        Path(f"/proc/{self.server.process.pid}/clear_refs").write_text("5")


def chunks_of(size: int) -> list[bytes]:
    return [CHUNK] * (size // len(CHUNK)) + [CHUNK[: size % len(CHUNK)]]


async def stream(size: int) -> AsyncIterator[bytes]:
    for each in chunks_of(size):
        yield each


@asynccontextmanager
async def world(folder: Path, **settings: Any) -> AsyncIterator[World]:
    sink = Sink()
    app = web.Application(client_max_size=0)
    app.router.add_put("/files/1", sink.put)
    async with on_loopback(app) as sink.url:
        (folder / "project").mkdir()
        (folder / "project" / "relay.py").write_text(PROJECT)
        host = await Host.open(Settings(dir=folder / "store"))
        catalogue = host.store.catalogue
        version = await publish(host, folder / "project", "relay:integration")
        customer = await catalogue.customers.add("Initech")
        connection = await catalogue.connections.save(
            customer.id, "http", "sink", {"base_url": sink.url}, {}
        )
        instance = await catalogue.instances.add(customer.id, "relay", "relay", version.hash)
        await catalogue.instances.set_revision(instance.id, {}, {"sink": connection.id})
        await catalogue.instances.move(instance.id, ["configured"], "active")
        endpoints = await catalogue.endpoints.ensure(instance.id, ["relay", "count", "whole"])
        await catalogue.endpoints.open_all(instance.id)
        secret = await catalogue.endpoints.secret(endpoints["relay"].id)
        await host.store.close()
        given = {"dir": str(folder / "store"), "port": 0, "drain_seconds": 5.0, **settings}
        process = await asyncio.create_subprocess_exec(
            PYTHON, served.__file__, json.dumps(given), stdout=asyncio.subprocess.PIPE
        )
        async with aiohttp.ClientSession() as http:
            server = Served(process, http)
            reading = asyncio.create_task(served._read(process.stdout, server))
            await server.started(1)
            hooks = {name: f"/hooks/{each.id}" for name, each in endpoints.items()}
            try:
                yield World(server, folder / "store", hooks, secret, sink)
            finally:
                process.terminate()
                async with asyncio.timeout(DEADLINE):
                    await process.wait()
                await reading


@pytest.mark.parametrize("held", [False, True], ids=["streamed", "control: held in memory"])
async def test_64_mb_pass_through_in_bounded_memory(tmp_path: Path, held: bool):
    limits = {"body_bytes": 200 * MB, "stream_bytes": (200 if held else 8) * MB}
    async with world(tmp_path, **limits) as it:
        await it.server.ended(await it.send("count", 9 * MB))
        it.forget_peak()
        before = it.peak()

        if held:  # it is in memory by then
            await it.send("count", 64 * MB)
        else:
            ended = await it.server.ended(await it.send("relay", 64 * MB, id="msg_1"))
            assert ended["state"] == "succeeded", ended["failure"]
            assert ended["result"] == 64 * MB

        grown = it.peak() - before
        assert (grown > 64 * MB) if held else (grown < 40 * MB), f"{grown / MB:.0f} MB"
    if not held:
        whole = hashlib.sha256(b"".join(chunks_of(64 * MB))).hexdigest()
        assert it.sink.got == [(64 * MB, whole)]


async def test_what_is_not_accepted_leaves_nothing(tmp_path: Path):
    async with world(tmp_path, body_bytes=20 * MB, stream_bytes=1 * MB) as it:
        first = await it.send("relay", 2 * MB, id="msg_1")
        assert (await it.server.ended(first))["state"] == "succeeded"
        assert len(it.files()) == 1

        assert await it.send("relay", 2 * MB, id="msg_2", wrong=True) == 401
        assert await it.send("relay", 2 * MB) == 401
        assert await it.send("relay", 21 * MB, id="msg_3") == 413
        assert await it.send("relay", 2 * MB, id="msg_1") == first
        _, writer = await asyncio.open_connection("127.0.0.1", it.server.ports[-1])
        head = f"POST {it.hooks['count']} HTTP/1.1\r\nHost: x\r\nContent-Length: {9 * MB}\r\n\r\n"
        writer.write(head.encode() + b"x" * 3 * MB)
        await writer.drain()

        async def under_way() -> bool:
            return len(it.files()) == 2

        await until(under_way)
        writer.close()

        async def gone() -> bool:
            return len(it.files()) == 1

        await until(gone)
        assert len(await it.server.get("/executions?limit=50") or []) > 0
        found = (await it.server.get("/executions"))["items"]
        assert [each["id"] for each in found] == [first]


async def test_a_flow_reads_it_in_pieces_and_the_api_streams_it(tmp_path: Path):
    async with world(tmp_path, body_bytes=20 * MB, stream_bytes=1 * MB) as it:
        id = await it.send("count", 5 * MB + 3)

        ended = await it.server.ended(id)

        assert (ended["state"], ended["result"]) == ("succeeded", 5 * MB + 3)
        assert ended["event"]["size"] == 5 * MB + 3
        headers = {"Authorization": f"Bearer {TOKEN}", "Range": f"bytes={5 * MB}-"}
        url = f"http://127.0.0.1:{it.server.ports[-1]}/api/executions/{id}/body"
        async with it.server.http.get(url, headers=headers) as answer:
            assert (answer.status, await answer.read()) == (206, CHUNK[:3])
        again = await it.server.ended(await replay(it, id))
        assert (again["state"], again["result"]) == ("succeeded", 5 * MB + 3)
        assert len(it.files()) == 2


async def replay(it: World, id: str) -> str:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    url = f"http://127.0.0.1:{it.server.ports[-1]}/api/executions/{id}/replay"
    async with it.server.http.post(url, headers=headers) as answer:
        return (await answer.json())["execution"]


async def test_what_wants_it_whole_fails_and_says_what_to_do(tmp_path: Path):
    async with world(tmp_path, body_bytes=20 * MB, stream_bytes=1 * MB) as it:
        ended = await it.server.ended(await it.send("whole", 2 * MB))

        assert ended["state"] == "failed"
        assert ended["failure"]["kind"] == "InvalidEvent"
        assert "webhook.raw" in ended["failure"]["message"]
