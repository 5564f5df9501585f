"""A short measurement of this installation: one workload, ten seconds, a load generator in Python.

It needs nothing but the wheel. Its load generator takes as much CPU as the server, so that its
figure is a lower bound; `make bench` in a clone has the native one, and more workloads.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from halflap.cli.load import Deliveries, LoadClient, serve_destination
from halflap.engine.bundle import Bundle, seal
from halflap.errors import HalflapError
from halflap.gateway.server import run_loop
from halflap.server.host import Host
from halflap.server.settings import Settings

CONNECTIONS = 32
FORWARD = '''\
"""W2: an event comes in, a branch on its kind, fields are mapped, one POST goes out."""

from halflap import Config, Context, Integration, Model, http, step, webhook


class Settings(Config):
    destination: http.Http


class Order(Model):
    id: str
    event: str
    customer: dict[str, str]
    total: int
    note: str


integration = Integration("bench-forward", config=Settings, title="W2: branch, map, one POST")


@step(pure=True)
async def to_booking(id: str, customer: str, total: int) -> dict[str, str | int]:
    return {"id": id, "who": customer, "cents": total * 100}


@integration.flow(trigger=webhook.request())
async def orders(ctx: Context[Settings], order: Order) -> None:
    """Book an order, or take its booking back."""
    match order.event:
        case "order.created":
            path = "/bookings"
        case "order.cancelled":
            path = "/cancellations"
        case _:
            return
    booking = await to_booking(order.id, order.customer["name"], order.total)
    await http.post(ctx.config.destination, path, json=booking)
'''


async def activate(
    host: Host, bundle: Bundle, destination: str, customer_name: str = "Initech"
) -> str:
    """Publish a bundle, activate it for one customer, and return the URL of its flow."""
    catalogue = host.store.catalogue
    found = await host.library.read(bundle)
    await catalogue.versions.publish(found.name, bundle.hash, bundle.to_bytes(), "benchmark")
    integration = await host.library.integration(bundle.hash)
    customer = await catalogue.customers.add(customer_name)
    connections: Mapping[str, str] = {}
    if integration.connections():
        saved = await catalogue.connections.save(
            customer.id, "http", "destination", {"base_url": destination}, {}
        )
        connections = dict.fromkeys(integration.connections(), saved.id)
    instance = await catalogue.instances.add(
        customer.id, integration.name, integration.name, bundle.hash
    )
    await catalogue.instances.set_revision(instance.id, {}, dict(connections))
    await host.deployer.activate(instance.id)
    settled = await host.deployer.settled(instance.id)
    if settled.state != "active":
        raise HalflapError(f"the benchmark's instance is {settled.state}: {settled.error}")
    urls = await host.resolver.urls(instance.id)
    return next(iter(urls.values()))


def order(number: int, run: str = "quick") -> bytes:
    """An event of W2: 1 KB of JSON with an id of its own."""
    head = (
        f'{{"id":"{run}-{number:08}","event":"order.created","customer":{{"name":"Initech"}},'
        '"total":4200,"note":"'
    ).encode()
    return head + b"x" * (1022 - len(head)) + b'"}'


@dataclass(frozen=True, slots=True)
class Figures:
    """Measured figures. Times are of the whole measurement, until the last flow had ended."""

    workload: str
    seconds: float
    acknowledged: int
    delivered: int
    lost: int
    doubled: int
    acks_per_s: float
    flows_per_s: float
    ack_p50_ms: float
    ack_p99_ms: float
    cpu_ms_per_flow: float
    directory: str


async def load(url: str, destination: Deliveries, seconds: float) -> dict[str, Any]:
    """Keep `CONNECTIONS` requests under way; return what was acknowledged, once all arrived."""
    client = LoadClient(url)
    times: list[float] = []
    acknowledged: list[int] = []
    number = 0
    began = time.monotonic()

    async def sender() -> None:
        nonlocal number
        while time.monotonic() < began + seconds:
            number += 1
            mine, sent = number, time.monotonic()
            status, _ = await client.post(order(mine))
            times.append(time.monotonic() - sent)
            if 200 <= status < 300:
                acknowledged.append(mine)

    await asyncio.gather(*(sender() for _ in range(CONNECTIONS)))
    loaded = time.monotonic() - began
    due = {b"quick-%08d" % each for each in acknowledged}
    patience = time.monotonic() + 60
    while not due <= destination.ids.keys() and time.monotonic() < patience:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    await client.close()
    times.sort()
    last = max((seen[2] for seen in destination.ids.values()), default=0) / 1e9
    return {
        "acknowledged": len(acknowledged),
        "delivered": len(destination.ids),
        "lost": len(due - destination.ids.keys()),
        "doubled": sum(seen[0] - 1 for seen in destination.ids.values()),
        "acks_per_s": round(len(acknowledged) / loaded, 1),
        "flows_per_s": round(len(destination.ids) / max(last - began, 1e-9), 1),
        "ack_p50_ms": round(times[len(times) // 2] * 1e3, 2),
        "ack_p99_ms": round(times[len(times) * 99 // 100] * 1e3, 2),
    }


async def measure(seconds: float = 10.0, directory: Path | None = None) -> Figures:
    """Run W2 against a server in this process, with the load in another."""
    with tempfile.TemporaryDirectory(prefix="halflap-bench-", dir=directory) as made:
        settings = Settings(dir=Path(made), port=0, egress_allow=("127.0.0.1",))
        host = await Host.open(settings)
        async with host.served(grace=5.0):
            found = await _loaded(host, seconds)
        return Figures("W2", seconds, directory=str(Path(made).parent), **found)


async def _loaded(host: Host, seconds: float) -> dict[str, Any]:
    other = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "halflap.cli.bench",
        str(seconds),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**20,
    )
    assert other.stdin is not None
    assert other.stdout is not None
    try:
        destination = (await other.stdout.readline()).decode().strip()
        bundle = seal("forward:integration", {"forward.py": FORWARD.encode()})
        url = await activate(host, bundle, destination)
        before = time.process_time()
        other.stdin.write(f"{url}\n".encode())
        answer = await other.stdout.readline()
        if not answer:
            raise HalflapError("the load generator ended early; its error is above")
        found: dict[str, Any] = json.loads(answer)
        used = (time.process_time() - before) * 1e3
        return {**found, "cpu_ms_per_flow": round(used / max(found["delivered"], 1), 3)}
    finally:
        with contextlib.suppress(ProcessLookupError):
            other.kill()
        await other.wait()


async def _other(seconds: float) -> None:
    deliveries = Deliveries()
    port = await serve_destination(deliveries)
    print(f"http://127.0.0.1:{port}", flush=True)
    url = await asyncio.to_thread(sys.stdin.readline)
    print(json.dumps(await load(url.strip(), deliveries, seconds)), flush=True)


@click.command("bench")
@click.option("--seconds", default=10.0, show_default=True, help="How long load is put on.")
@click.option(
    "--dir",
    "directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Where the store is made: a directory on the disk to measure.",
)
@click.option("--json", "as_json", is_flag=True, help="One line of JSON.")
def command(seconds: float, directory: Path | None, as_json: bool) -> None:
    """Measure this installation: webhook → branch → map → one POST, every step on disk."""
    if not as_json:
        click.echo(
            f"W2 for {seconds:g} s: 1 KB webhook → branch → map → one POST, "
            f"{CONNECTIONS} connections, fsync on.\n"
            "The load generator is Python and shares the machine: read the figures as a lower "
            "bound. `make bench` in a clone uses a native one."
        )
    figures = asdict(run_loop(measure(seconds, directory)))
    if as_json:
        click.echo(json.dumps(figures))
        return
    for name, value in figures.items():
        click.echo(f"  {name.replace('_', ' '):<18}{value}")


if __name__ == "__main__":
    run_loop(_other(float(sys.argv[1])))
