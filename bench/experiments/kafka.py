"""Read a topic of Kafka with servers that are killed: what is lost or doubled, and records a second.

    python -m bench.experiments.kafka [--records 100000] [--each 10000] [--kills 5] [--idle 20]

A broker (Tansu, in memory) gets so many records on four partitions. A bare consumer reads them, decodes
their JSON and does nothing else; another one stores each in SQLite, with its offsets in the same
transaction, and waits for the disk, as whoever wants to lose nothing has to. Then a server runs a flow
for each 1,000 of them at most, to the end of all executions; then again, while it is killed (SIGKILL)
and started anew so many times. Then `each` records of another topic run a flow each; last, so many
listeners read topics in which nothing comes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog
from confluent_kafka import Consumer, TopicPartition

from bench.process import rss_mib
from halflap import kafka
from halflap.engine.bundle import pack
from halflap.gateway.server import run_loop
from halflap.sdk.connection import egress
from halflap.sdk.egress import Egress, Policy
from halflap.server.host import Host
from halflap.testing.listeners import AcceptedLog, ListenerRun
from tests.brokers import KafkaBroker, broker
from tests.faults import checker
from tests.faults.process import ServerProcess
from tests.faults.server import active, main, parser
from tests.plainlog import plain_logs
from tests.polling import until

INTEGRATIONS = Path(__file__).parents[1] / "integrations"
PARTITIONS = 4
AT_ONCE = 1_000
IDLE_SECONDS = 10.0
SECONDS = 3_600.0
"""Seconds until a measurement is given up."""


def fill(at: KafkaBroker, topic: str, count: int) -> None:
    """Publish numbers."""
    at.make_topic(topic, PARTITIONS)
    for place in range(PARTITIONS):
        at.put(topic, [b'{"n": %d}' % n for n in range(place, count, PARTITIONS)], partition=place)


def bare(at: KafkaBroker, count: int, store: Path | None = None) -> float:
    """Read all records as a consumer that does nothing with them, or stores them; return the seconds."""
    consumer = Consumer(at.client(**{"group.id": "bare", "enable.auto.commit": False}))
    consumer.assign([TopicPartition("numbers", place, 0) for place in range(PARTITIONS)])
    database = sqlite3.connect(":memory:" if store is None else store, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("CREATE TABLE records (partition, offset, value)")
    database.execute("CREATE TABLE cursors (partition PRIMARY KEY, offset)")
    began, left = time.monotonic(), count
    while left:
        found = consumer.consume(min(AT_ONCE, left), 1.0)
        for each in found:
            json.loads(each.value())
        left -= len(found)
        if store is not None:
            rows = [(each.partition(), each.offset(), each.value()) for each in found]
            database.execute("BEGIN")
            database.executemany("INSERT INTO records VALUES (?, ?, ?)", rows)
            moved = {row[0]: row[1] for row in rows}
            database.executemany("INSERT OR REPLACE INTO cursors VALUES (?, ?)", moved.items())
            database.execute("COMMIT")
    seconds = time.monotonic() - began
    consumer.close()
    database.close()
    return seconds


def read_so_far(folder: Path, flow: str) -> int:
    """Return how many records of a topic are accepted, by the cursors."""
    sql = "SELECT cursor FROM listener_shards WHERE flow = ? AND cursor IS NOT NULL"
    rows = checker._read(folder, lambda c: c.execute(sql, (flow,)).fetchall())
    return sum(int(row[0].partition("@")[0]) for row in rows)


async def run(
    folder: Path, at: KafkaBroker, name: str, count: int, kills: int
) -> tuple[float, Counter[int]]:
    """Read a topic to its end; return the seconds since its first record, and the numbers."""
    flow, script = f"read_{name}", Path(__file__)
    server = ServerProcess(folder, at.servers, "--integration", name, script=script)
    await server.start()
    try:
        await until(lambda: read_so_far(folder, flow) > 0, SECONDS)
        began = time.monotonic()
        for number in range(1, kills + 1):
            wanted = count * number // (kills + 1)
            await until(lambda wanted=wanted: read_so_far(folder, flow) >= wanted, SECONDS)
            await server.kill()
            await server.start()
        await until(lambda: read_so_far(folder, flow) >= count, SECONDS)
        await until(lambda: not checker.live(folder, flow), SECONDS)
        seconds = time.monotonic() - began
        await server.stop()
    finally:
        await server.clean_up()
    numbers = Counter[int]()
    for row in checker.executions(folder, flow).values():
        found = json.loads(row.result)
        numbers.update([found] if isinstance(found, int) else found)
    return seconds, numbers


def told(what: str, count: int, seconds: float, numbers: Counter[int] | None = None) -> None:
    """Print a line of the table."""
    line = f"{what}: {count:,} records in {seconds:.1f} s, {count / seconds:,.0f}/s"
    if numbers is not None:
        lost = count - len(numbers)
        doubled = numbers.total() - len(numbers)
        line += f"; {lost} lost, {doubled} doubled"
    print(line, flush=True)


async def measure_idle(at: KafkaBroker, count: int) -> str:
    """Return what listeners cost, each with a client of its own, while nothing comes."""
    client = egress.set(Egress(Policy(("127.0.0.1",))))
    cluster = kafka.Kafka(servers=at.servers, encryption="none", auth=kafka.NoSignIn())
    for number in range(count + 1):
        await asyncio.to_thread(at.make_topic, f"idle{number}")

    def opened(number: int) -> tuple[ListenerRun, asyncio.Task[None]]:
        trigger = kafka.records(topic=f"idle{number}", start="earliest", group=f"idle{number}")
        run = ListenerRun(trigger, cluster, AcceptedLog())
        return run, asyncio.create_task(run.go_on())

    def used() -> tuple[int, float]:
        return len(os.listdir("/proc/self/task")), rss_mib(os.getpid())

    first = opened(count)
    await asyncio.sleep(IDLE_SECONDS)
    threads, memory = used()
    runs = [opened(number) for number in range(count)]
    await asyncio.sleep(2 * IDLE_SECONDS)
    more, now = used()
    cpu = time.process_time()
    await asyncio.sleep(IDLE_SECONDS)
    share = (time.process_time() - cpu) / IDLE_SECONDS / (count + 1)
    for run, task in (first, *runs):
        task.cancel()
        await run.end()
    egress.reset(client)
    return (
        f"{count} idle listeners, each: {(more - threads) / count:.0f} threads, "
        f"{(now - memory) / count:.1f} MiB, {share:.2%} of a core"
    )


async def measure(options: argparse.Namespace) -> None:
    """Measure, and print."""
    count, each = options.records, options.each
    with tempfile.TemporaryDirectory() as folder, broker("tansu", Path(folder) / "broker") as at:
        place = Path(folder)
        await asyncio.to_thread(fill, at, "numbers", count)
        await asyncio.to_thread(fill, at, "few", each)
        told("a bare consumer", count, await asyncio.to_thread(bare, at, count))
        seconds = await asyncio.to_thread(bare, at, count, place / "bare.sqlite")
        told("one that stores each record in SQLite", count, seconds)
        told("many at once", count, *await run(place / "many", at, "many", count, 0))
        found = await run(place / "killed", at, "many", count, options.kills)
        told(f"many at once, {options.kills} kills", count, *found)
        told("one at a time", each, *await run(place / "each", at, "each", each, 0))
        print(await measure_idle(at, options.idle))


def prepares(name: str) -> Callable[[Host, str], Awaitable[dict[str, str]]]:
    """Return what makes an instance of an integration, where there is none."""

    async def prepare(host: Host, source: str) -> dict[str, str]:
        catalogue = host.store.catalogue
        known = await catalogue.instances.list()
        if known:
            return await active(host, await host.deployer.settled(known[0].id))
        bundle = pack(INTEGRATIONS, f"reading:{name}")
        await catalogue.versions.publish(name, bundle.hash, bundle.to_bytes(), "measured")
        customer = await catalogue.customers.add("Initech")
        fields = {"servers": source, "encryption": "none", "auth": {"kind": "none"}}
        saved = await catalogue.connections.save(customer.id, "kafka", "cluster", fields, {})
        made = await catalogue.instances.add(customer.id, name, name, bundle.hash)
        await catalogue.instances.set_revision(made.id, {}, {"cluster": saved.id})
        return await active(host, made)

    return prepare


if __name__ == "__main__":
    if "--sink" in sys.argv:  # a server, which the measurement starts
        plain_logs(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
        given = parser()
        given.add_argument("--integration", required=True)
        served = given.parse_args()
        raise SystemExit(run_loop(main(served, prepares(served.integration))))
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--records", type=int, default=100_000)
    arguments.add_argument("--each", type=int, default=10_000)
    arguments.add_argument("--kills", type=int, default=5)
    arguments.add_argument("--idle", type=int, default=20)
    asyncio.run(measure(arguments.parse_args()))
