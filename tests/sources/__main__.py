"""`python -m tests.sources`, a part of `make demo`: a message from each kind of source arrives, once.

Starts the peers (`peers.py`), one server, and one instance of `examples/sources.py`, which has a flow for
each source. Each source is sent a message by its vendor's own client; then each is sent twenty more,
during which the server is killed. Exit code 0 where all arrived, and none twice.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import click

from halflap.cli.client import Client
from halflap.cli.demo.stage import Checks, DemoServer, eventually
from halflap.engine.bundle import pack
from halflap.errors import HalflapError
from halflap_sandbox.hubspot import CLIENT_ID, CLIENT_SECRET
from tests.dovecot import free_port
from tests.sources.peers import CUSTOMER, MAIL_DOMAIN, Peers, Source, product
from tests.world import EXAMPLES

MORE = 20
"""The number of messages of each source around the kill."""
PAUSE = 0.05
PATIENCE = 60.0
"""Seconds within which all has to arrive."""


class Arrivals:
    """The activities at Acme: by text, when it was first there, and how often it is there now."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self.first: dict[str, float] = {}
        self.counts: Counter[str] = Counter()

    async def watch(self) -> None:
        """Look for ever."""
        while True:
            await self.look()
            await asyncio.sleep(0.01)

    async def look(self) -> None:
        """Look once."""
        found = await self._peers.acme.records("/v1/activities", self._peers.acme_key)
        self.counts = Counter(each["title"] for each in found)
        now = time.time()
        for each in self.counts:
            self.first.setdefault(each, now)

    async def has(self, texts: Sequence[str]) -> bool:
        """Wait until texts are there; return whether they are."""

        async def are_there() -> bool:
            return all(each in self.counts for each in texts)

        return await eventually(are_there, within=PATIENCE, every=0.01)


async def activate(api: Client, peers: Peers) -> Any:
    """Publish the example, connect it to all peers, and activate it for one customer."""
    app = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "signing_secret": CLIENT_SECRET}
    redirects = {"callback": "https://product.example/back", "origins": [peers.hubspot.url]}
    stored = await api.request("PUT", "/api/oauth-apps/hubspot", {**app, **redirects})
    await peers.hubspot.call("POST", "/sandbox/app", json={"url": stored["url"]})
    declared = {"types": [each.declaration() for each in product]}
    await api.request("PUT", "/api/event-types", declared)
    bundle = pack(EXAMPLES, "sources:integration")
    await api.request("POST", "/api/versions", data=bundle.to_bytes(), target="production")
    shop = {"name": "Shop", "external_id": CUSTOMER}
    customer = (await api.request("POST", "/api/customers", shop))["id"]
    ids: dict[str, str] = {}
    for name, values in peers.connections.items():
        body = {"customer": customer, "integration": "sources", "field": name, "name": name}
        made = await api.request(
            "POST", "/api/connections", {**body, "values": values, "test": False}
        )
        ids[name] = made["id"]
    await peers.install_app(api, ids["hubspot"])
    body = {"customer": customer, "integration": "sources", "config": peers.config}
    instance = await api.request("POST", "/api/instances", {**body, "connections": ids})
    return await api.request("POST", f"/api/instances/{instance['id']}/activate", wait=60)


class SourcesDemo:
    """The demo: its two acts."""

    def __init__(
        self, server: DemoServer, peers: Peers, arrivals: Arrivals, sources: list[Source]
    ) -> None:
        self.server, self.peers, self.arrivals = server, peers, arrivals
        self.all = sources
        self.sources = [each for each in sources if not each.left_out]
        self.checks = Checks()

    async def run(self) -> int:
        """Play both acts; return the exit code."""
        await self.one_each()
        await self.around_a_kill()
        return self.checks.close("sources")

    async def one_each(self) -> None:
        """Send a message by each source, and tell when it was sent and when it arrived."""
        self.checks.act(f"A message from each of {len(self.all)} kinds of source")

        async def one(source: Source) -> tuple[float, float]:
            text = f"hello-from-{source.flow}"
            began = time.time()
            await source.send(text)
            await self.arrivals.has([text])
            return began, self.arrivals.first.get(text, 0.0)

        took = dict(zip(self.sources, await asyncio.gather(*map(one, self.sources)), strict=True))
        for each in self.all:
            if each.left_out:
                click.echo(f"  – {each.kind:<20} left out: {each.left_out}")
                continue
            sent, there = took[each]
            ms = f"{(there - sent) * 1000:,.0f} ms" if there else "never"
            seen = f"sent {clock(sent)}", f"arrived {clock(there) if there else ms}", ms
            claim = f"{each.kind:<20} {each.by:<27}"
            self.checks.check(bool(there), claim, *seen, timed=False)

    async def around_a_kill(self) -> None:
        """Send more by each, and kill the server meanwhile."""
        self.checks.act(f"kill -9 while each sends {MORE} more")
        up = asyncio.Event()
        texts = {e: [f"{e.flow}-{number}" for number in range(MORE)] for e in self.sources}
        everything = [each for some in texts.values() for each in some]
        held = [text for e in self.sources if not e.repeats for text in texts[e][: MORE // 2]]

        async def send(source: Source) -> None:
            for number, text in enumerate(texts[source]):
                if not source.repeats and number == MORE // 2:
                    await up.wait()
                await source.send(text)
                await asyncio.sleep(PAUSE)

        async def are_some_there() -> bool:
            return sum(each in self.arrivals.counts for each in everything) >= len(everything) // 5

        async with asyncio.TaskGroup() as sending:
            for each in self.sources:
                sending.create_task(send(each))
            await eventually(are_some_there)
            await self.arrivals.has(held)
            refused = self.peers.refused
            pid = await self.server.kill()
            await self.arrivals.look()
            arrived = sum(each in self.arrivals.counts for each in everything)
            claim = f"killed, pid {pid}"
            part = f"{arrived} of {len(everything)} have arrived"
            self.checks.check(0 < arrived < len(everything), claim, part, timed=False)

            async def is_refused() -> bool:
                return self.peers.refused > refused

            await eventually(is_refused)
            await (await self.server.start()).close()
            up.set()
            self.checks.check(True, f"started again, pid {self.server.pid}")
        await self.arrivals.has(everything)
        await self.arrivals.look()
        report(self.checks, texts, self.arrivals.counts)


def report(checks: Checks, texts: Mapping[Source, Sequence[str]], counts: Counter[str]) -> None:
    """Check that all texts are there once; name the sources of those that are not."""
    lost = doubled = 0
    for source, some in texts.items():
        missing = [each for each in some if counts[each] == 0]
        twice = [each for each in some if counts[each] > 1]
        if missing or twice:
            claim = f"{source.kind}: {len(missing)} lost, {len(twice)} doubled"
            checks.check(False, claim, *(missing + twice)[:5], timed=False)
        lost, doubled = lost + len(missing), doubled + len(twice)
    claim = f"all {sum(map(len, texts.values()))} arrived, each once"
    checks.check(not lost and not doubled, claim, f"{lost} lost  {doubled} doubled")


def clock(at: float) -> str:
    """Write a time of day, to the millisecond."""
    return datetime.fromtimestamp(at).astimezone().isoformat(timespec="milliseconds")[11:23]


@contextlib.asynccontextmanager
async def set_stage(folder: Path, *, installs: bool) -> AsyncGenerator[SourcesDemo]:
    """Start peers and server, and activate the example."""
    async with contextlib.AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        peers = Peers(http, stack, free_port())
        mail = {"MAIL_PORT": str(peers.mail_port), "MAIL_DOMAIN": MAIL_DOMAIN}
        server = DemoServer(folder, **mail)
        stack.push_async_callback(server.stop)
        _, line = await asyncio.gather(peers.start(folder, installs=installs), server.start())
        stack.push_async_callback(line.close)
        api = Client(line)
        instance = await activate(api, peers)
        if instance["state"] != "active":
            raise HalflapError(f"the example is {instance['state']}: {instance['error']}")
        if "topic" not in peers.missing:
            await peers.confirmed()
        secrets = await api.request("GET", f"/api/instances/{instance['id']}/secrets")
        key = await api.request("POST", "/api/keys", {"name": "product", "rights": ["events"]})
        sources = peers.sources(server.url, key["key"], instance["urls"], secrets)
        arrivals = Arrivals(peers)
        watching = asyncio.create_task(arrivals.watch())
        stack.callback(watching.cancel)
        yield SourcesDemo(server, peers, arrivals, sources)


async def main() -> int:
    """Run the demo; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.sources", description=__doc__)
    parser.add_argument("--offline", action="store_true", help="install nothing that is missing")
    installs = not parser.parse_args().offline
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # who is killed hangs up
    folder = Path(tempfile.mkdtemp(prefix="halflap-sources-"))
    code = 1
    try:
        async with set_stage(folder, installs=installs) as demo:
            code = await demo.run()
    except* (HalflapError, TimeoutError) as errors:
        for each in errors.exceptions:
            click.echo(f"the demo could not go on: {each!r}", err=True)
    finally:
        if code == 0:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            click.echo(f"kept for a look: {folder}", err=True)
    return code


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
