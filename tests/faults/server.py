"""The server of the fault runs: a whole one, in a process of its own that may be killed.

Its first line on stdout is JSON: the port, and the URL of each flow. On its first start in a
directory it publishes the integration of `project/` and activates it for one customer. The flags
make the controls: servers that break a promise, whose loss a fault run has to notice.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import structlog

from halflap.engine.bundle import pack
from halflap.errors import HalflapError
from halflap.gateway.server import run_loop
from halflap.model import Instance, Start, Started
from halflap.server.host import Host
from halflap.server.settings import Settings
from halflap.store.identity import named
from halflap.store.once import make_folder
from halflap.store.store import Store
from halflap.store.vault import Vault
from tests.plainlog import plain_logs

PROJECT = Path(__file__).parent / "project"
KEYS = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
Prepare = Callable[[Host, str], Awaitable[dict[str, str]]]
"""Makes what is to be served where there is nothing yet; the URL of each flow."""
DOUBT = 75
"""The exit code after a COMMIT whose outcome is unknown: start me again."""


class EarlyIntake:
    """The control's intake: it says that events are accepted, then accepts them."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._under_way: set[asyncio.Task[Any]] = set()

    async def start(self, starts: Sequence[Start]) -> list[Started]:
        task = asyncio.create_task(self._engine.start(starts))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return [Started(each.execution) for each in starts]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


async def urls(host: Host, sink: str) -> dict[str, str]:
    """The URL of each flow; makes customer, connection and instance where there are none."""
    catalogue = host.store.catalogue
    known = await catalogue.instances.list()
    if known:
        instance = known[0]
    else:
        bundle = pack(PROJECT, "relay:integration")
        await catalogue.versions.publish("relay", bundle.hash, bundle.to_bytes(), "fault runs")
        customer = await catalogue.customers.add("Initech")
        saved = await catalogue.connections.save(
            customer.id, "http", "sink", {"base_url": sink}, {}
        )
        instance = await catalogue.instances.add(customer.id, "relay", "relay", bundle.hash)
        await catalogue.instances.set_revision(instance.id, {}, {"sink": saved.id})
    return await active(host, instance)


async def active(host: Host, instance: Instance) -> dict[str, str]:
    """The URL of each flow of an instance, which is activated where it is not active."""
    if instance.state != "active":
        await host.deployer.activate(instance.id)
        instance = await host.deployer.settled(instance.id)
        if instance.state != "active":
            raise HalflapError(f"the instance is {instance.state}: {instance.error}")
    return dict(await host.resolver.urls(instance.id))


async def main(options: argparse.Namespace, prepare: Prepare = urls) -> int:
    """Serve until SIGTERM; returns the exit code."""
    settings = Settings(
        dir=options.directory,
        port=options.port,
        egress_allow=("127.0.0.1",),
        room=options.room,
        lease_seconds=options.lease,
        drain_seconds=5.0,
        store=options.store,
        keys=KEYS if options.store else "",
        mail_port=options.mail_port,
        mail_domain="in.example",
    )
    make_folder(settings.dir)
    identity = named("serve", settings.dir)  # so that a restart gets its own back at once
    if options.store:
        store = await Store.open(options.store, vault=Vault.from_text(KEYS), identity=identity)
    else:
        synchronous, over = options.synchronous, 1 << 30  # the checker reads rows, not blobs
        store = await Store.open(
            settings.dir, synchronous=synchronous, over=over, identity=identity
        )
    host = Host(settings, store, probation=not options.trusting)
    if options.ack_early:
        broken: Any = host.gateway
        broken._engine = EarlyIntake(host.engine)
    loop = asyncio.get_running_loop()
    bound: asyncio.Future[int] = loop.create_future()
    stopping = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    serving = asyncio.create_task(host.serve(ready=bound.set_result))
    stop = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait([bound, serving], return_when=asyncio.FIRST_COMPLETED)
        if not serving.done():
            told = {"port": bound.result(), "urls": await prepare(host, options.sink)}
            print(json.dumps(told), flush=True)
            await asyncio.wait([serving, stop], return_when=asyncio.FIRST_COMPLETED)
        if not serving.done():
            await host.stop()
        await serving
    except Exception:
        if host.store.database.failed is None:
            raise
        return DOUBT
    finally:
        stop.cancel()
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the process' arguments."""
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--store", default="", help="the URL of a PostgreSQL database")
    parser.add_argument("--sink", default="http://127.0.0.1:9")
    parser.add_argument("--room", type=int, default=32)
    parser.add_argument("--lease", type=float, default=30.0)
    parser.add_argument("--synchronous", choices=["FULL", "NORMAL", "OFF"], default="FULL")
    parser.add_argument("--mail-port", type=int, default=0)
    parser.add_argument("--ack-early", action="store_true")
    parser.add_argument("--trusting", action="store_true", help="run suspects in the server")
    return parser


if __name__ == "__main__":
    plain_logs(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    raise SystemExit(run_loop(main(parser().parse_args())))
