"""Read a topic of Kafka with processes that are killed: what is lost or doubled, and records a second.

    python -m bench.experiments.kafka [--records 100000] [--each 10000] [--times 3] [--kills 5]
        [--broker-kills 2] [--idle 20]

A broker (Tansu, in memory) gets so many records on four partitions. So many times in turn, a bare
consumer reads them, decodes their JSON and does nothing else; another one stores each in SQLite, with
its offsets in the same transaction, and waits for the disk, as whoever wants to lose nothing has to;
and a server runs a flow for each 500 of them at most, to the end of all executions. The medians are
compared. Then `each` records of another topic run a flow each, beside the store by itself that accepts
as many executions and runs none.

Last, all records are read while the server is killed (SIGKILL) and started anew so many times, each
time waiting for the group to let the dead member's partitions go; then once more from a broker that
keeps what it has (noida-db, which never lets a dead member's partitions go), while server and broker
are killed, by a member that keeps its partitions (`static`). So many listeners read topics
in which nothing comes. It ends with a verdict, and with the exit code 1 where a record was lost or
doubled.
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
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import structlog
from confluent_kafka import Consumer, TopicPartition

from bench.process import cpu_ms, processes, pss_mib, rss_mib
from halflap import kafka
from halflap.components.kafka import member
from halflap.engine.bundle import pack
from halflap.gateway.server import run_loop
from halflap.model import Event, FlowKey, Start, new_id
from halflap.sdk.connection import egress
from halflap.sdk.egress import Egress, Policy
from halflap.server.host import Host
from halflap.server.settings import Settings
from halflap.store.store import Store
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
SHOWN_SECONDS = 10.0
DURABLE_SECONDS = 3.0
"""Seconds after which noida-db has on disk what it acknowledged."""
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


@dataclass
class Reading:
    """A topic that a server has read: the seconds since its first commit, and the numbers."""

    counted: int
    """The records that came after the first commit."""
    accepted: float
    ended: float
    numbers: Counter[int]


async def run(
    folder: Path, at: KafkaBroker, name: str, count: int, kills: int = 0, broker_kills: int = 0
) -> Reading:
    """Read a topic to its end, while the server and the broker are killed now and then."""
    flow, script = f"read_{name}", Path(__file__)
    flags = ("--integration", name, "--room", str(Settings().room))
    server = ServerProcess(folder, at.servers, *flags, script=script)
    await server.start()
    shown = asyncio.create_task(show_progress(folder, flow, count))
    try:
        await until(lambda: read_so_far(folder, flow) > 0, SECONDS)
        began, first = time.monotonic(), read_so_far(folder, flow)
        deaths = spread(kills, broker_kills)
        for number, dies in enumerate(deaths, 1):
            wanted = count * number // (len(deaths) + 1)
            await until(lambda wanted=wanted: read_so_far(folder, flow) >= wanted, SECONDS)
            if dies == "server":
                await server.kill()
                await server.start()
            else:
                await asyncio.to_thread(at.end)
                await asyncio.to_thread(at.start)
        await until(lambda: read_so_far(folder, flow) >= count, SECONDS)
        accepted = time.monotonic() - began
        await until(lambda: not checker.live(folder, flow), SECONDS)
        ended = time.monotonic() - began
        await server.stop()
    finally:
        shown.cancel()
        await server.clean_up()
    numbers = Counter[int]()
    for row in checker.executions(folder, flow).values():
        found = json.loads(row.result)
        numbers.update([found] if isinstance(found, int) else found)
    return Reading(count - first, accepted, ended, numbers)


def spread(kills: int, broker_kills: int) -> list[str]:
    """Return who is killed when: the broker's kills are spread between the server's."""
    places = [(n / (kills + 1), "server") for n in range(1, kills + 1)]
    places += [(n / (broker_kills + 1), "the broker") for n in range(1, broker_kills + 1)]
    return [who for _, who in sorted(places)]


async def show_progress(folder: Path, flow: str, count: int) -> None:
    """Tell how far it is, every few seconds."""
    while True:
        await asyncio.sleep(SHOWN_SECONDS)
        print(
            f"    {read_so_far(folder, flow):,} of {count:,} accepted", file=sys.stderr, flush=True
        )


class Verdict:
    """The lines of the table, and the records that were lost or doubled in all of them."""

    def __init__(self) -> None:
        self.lost = self.doubled = 0

    def rate(self, what: str, count: int, seconds: Sequence[float], more: str = "") -> None:
        """Print a line: the median rate, and each where there are many."""
        rates = [count / each for each in seconds]
        all_of_them = f" ({', '.join(f'{each:,.0f}' for each in rates)})" if len(rates) > 1 else ""
        print(f"{what}: {median(rates):,.0f}/s{all_of_them}{more}", flush=True)

    def read(self, what: str, count: int, found: Reading) -> None:
        """Print a line of what a server has read, and note what is wrong in it."""
        lost = count - len(found.numbers)
        doubled = found.numbers.total() - len(found.numbers)
        self.lost, self.doubled = self.lost + lost, self.doubled + doubled
        more = f"; {count:,} records, {lost} lost, {doubled} doubled"
        accepted = found.counted / found.accepted
        self.rate(f"{what}, to the end of all executions", found.counted, [found.ended], more)
        print(f"{what}, until all were accepted: {accepted:,.0f}/s", flush=True)


async def measure_store(folder: Path, count: int) -> float:
    """Accept so many executions in transactions of 1,000, and run none; return the seconds."""
    store = await Store.open(folder, over=1 << 30)
    flow = FlowKey("cus_1", "ins_1", "each", "read_each", "v1", 1)
    headers = (("kafka-topic", "few"), ("kafka-partition", "0"), ("kafka-offset", "1"))
    event = Event("MESSAGE", "", "", headers, b'{"n": 1}', 1)
    starts = [Start(id := new_id("exe"), flow, event, root=id) for _ in range(count)]
    began = time.monotonic()
    for at in range(0, count, AT_ONCE):
        await store.journal.accept(starts[at : at + AT_ONCE], claim=0, lease=0)
    seconds = time.monotonic() - began
    await store.close()
    return seconds


async def measure_idle(at: KafkaBroker, count: int) -> str:
    """Return what listeners cost, each with a process of its own, while nothing comes."""
    client = egress.set(Egress(Policy(("127.0.0.1",))))
    cluster = kafka.Kafka(servers=at.servers, encryption="none", auth=kafka.NoSignIn())
    for number in range(count + 1):
        await asyncio.to_thread(at.make_topic, f"idle{number}")

    def opened(number: int) -> tuple[ListenerRun, asyncio.Task[None]]:
        trigger = kafka.records(topic=f"idle{number}", start="earliest", group=f"idle{number}")
        run = ListenerRun(trigger, cluster, AcceptedLog())
        return run, asyncio.create_task(run.go_on())

    first = opened(count)
    await asyncio.sleep(IDLE_SECONDS)
    before = rss_mib(os.getpid())
    runs = [opened(number) for number in range(count)]
    await asyncio.sleep(2 * IDLE_SECONDS)
    server = (rss_mib(os.getpid()) - before) / count
    reading = processes(parent=member.nursery.pid)
    threads = sum(len(os.listdir(f"/proc/{each}/task")) for each in reading) / len(reading)
    memory = sum(map(pss_mib, reading)) / len(reading)
    cpu = time.process_time() + sum(map(cpu_ms, reading)) / 1_000
    await asyncio.sleep(IDLE_SECONDS)
    cpu = time.process_time() + sum(map(cpu_ms, reading)) / 1_000 - cpu
    for run, task in (first, *runs):
        task.cancel()
        await run.end()
    egress.reset(client)
    return (
        f"{count} idle listeners, each: a process of {threads:.0f} threads and {memory:.1f} MiB, "
        f"{server:.1f} MiB in the server, {cpu / IDLE_SECONDS / len(reading):.2%} of a core"
    )


async def measure(options: argparse.Namespace) -> int:
    """Measure, and print; return the exit code."""
    count, each = options.records, options.each
    verdict = Verdict()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        with broker("tansu", place / "broker") as at:
            await asyncio.to_thread(fill, at, "numbers", count)
            await asyncio.to_thread(fill, at, "few", each)
            await compare(place, at, count, options.times, verdict)
            seconds = await measure_store(place / "store", each)
            verdict.rate(
                "the store by itself, which accepts executions and runs none", each, [seconds]
            )
            verdict.read(
                "a flow for each record", each, await run(place / "each", at, "each", each)
            )
            if options.kills:
                found = await run(place / "killed", at, "many", count, options.kills)
                verdict.read(f"the server killed {options.kills} times", count, found)
            if options.idle:
                print(await measure_idle(at, options.idle), flush=True)
        with broker("noida", place / "kept") as at:
            await asyncio.to_thread(fill, at, "numbers", count)
            await asyncio.sleep(DURABLE_SECONDS)
            kills = options.kills, options.broker_kills
            found = await run(place / "static", at, "static", count, *kills)
            what = f"a static member killed {kills[0]} times, and the broker {kills[1]} times"
            verdict.read(what, count, found)
    print(f"verdict: {verdict.lost} lost, {verdict.doubled} doubled", flush=True)
    return int(verdict.lost + verdict.doubled > 0)


async def compare(place: Path, at: KafkaBroker, count: int, times: int, verdict: Verdict) -> None:
    """Read a topic with a bare consumer, with one that stores, and with a server, in turn."""
    nothing, stored = list[float](), list[float]()
    found: list[Reading] = []
    for number in range(times):
        nothing.append(await asyncio.to_thread(bare, at, count))
        file = place / f"bare{number}.sqlite"
        stored.append(await asyncio.to_thread(bare, at, count, file))
        found.append(await run(place / f"many{number}", at, "many", count))
    verdict.rate("a bare consumer that stores nothing", count, nothing)
    verdict.rate("a consumer that stores each record in SQLite", count, stored)
    for each in found:
        verdict.read("a flow for each 500 at most", count, each)
    rate = median(each.counted / each.ended for each in found)
    of = [rate * median(each) / count for each in (nothing, stored)]
    print(
        f"medians: {of[0]:.2f} of the bare consumer, {of[1]:.2f} of the one that stores", flush=True
    )


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
    arguments.add_argument("--times", type=int, default=3)
    arguments.add_argument("--kills", type=int, default=5)
    arguments.add_argument("--broker-kills", type=int, default=2)
    arguments.add_argument("--idle", type=int, default=20)
    raise SystemExit(asyncio.run(measure(arguments.parse_args())))
