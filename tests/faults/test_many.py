"""Gateways and workers on one PostgreSQL store, killed and replaced under load."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import psycopg
import pytest

from halflap.engine.probation import CHILDREN, MOST_TOGETHER
from halflap.sdk import codec
from tests.conftest import Note
from tests.faults import checker
from tests.faults.process import ROOT
from tests.faults.senders import Line
from tests.faults.sink import Sink
from tests.faults.verdict import SEED
from tests.many import PROJECT, Many, Proc, many
from tests.polling import until

PLAIN = PROJECT.replace('await http.get(ctx.config.sink, "/deploying")', "pass")
QUIET = PLAIN.partition("@integration.flow(trigger=schedule")[0]
FAULTY = str(ROOT / "tests" / "faulty.py")
SENDERS = 4
TICKS = 6
LEASE = {"HALFLAP_LEASE_SECONDS": "3", "HALFLAP_ROOM": "16"}


class Balancer:
    """Senders behind a load balancer: each request goes to a gateway that is not being stopped."""

    def __init__(self, world: Many, gateways: list[Proc]) -> None:
        self.world = world
        self.open = list(gateways)
        self.acknowledged: set[int] = set()
        self.refused: Counter[int] = Counter()
        self.cut: Counter[bool] = Counter()
        """Requests without an answer, by whether their gateway was being stopped or killed."""
        self._next = 0

    async def _send(self) -> None:
        lines: dict[int, Line] = {}
        try:
            while True:
                gateway = random.choice(self.open)
                if gateway.pid not in lines:  # a process that was replaced has other connections
                    lines[gateway.pid] = Line(self.world.hook(gateway, "numbered"))
                await self._send_one(gateway, lines[gateway.pid])
                await asyncio.sleep(0.06)
        finally:
            for each in lines.values():
                each.close()

    async def _send_one(self, gateway: Proc, line: Line) -> None:
        try:
            await line.connect(0.5)
        except TimeoutError:
            return  # nobody listens there: nothing was sent
        self._next += 1
        number = self._next
        answer = await line.post(b'{"n": %d}' % number)
        if answer is None:
            self.cut[gateway not in self.open] += 1
        elif 200 <= answer.status < 300:
            self.acknowledged.add(number)
        else:
            self.refused[answer.status] += 1

    @asynccontextmanager
    async def sending(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self._send()) for _ in range(SENDERS)]
        try:
            yield
            for each in tasks:
                if each.done():
                    each.result()
        finally:
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def more(self, count: int) -> None:
        """Wait until so many more are acknowledged."""
        enough = len(self.acknowledged) + count
        await until(lambda: len(self.acknowledged) >= enough)


@pytest.fixture
async def world(tmp_path: Path, sink: Sink) -> AsyncIterator[Many]:
    async with many(tmp_path, sink.url) as world:
        await world.publish(QUIET)
        yield world


async def ended(world: Many, within: float = 90.0) -> Counter[str]:
    """Count the executions by how they ended, once all have."""
    async with await psycopg.AsyncConnection.connect(
        world.store_url, autocommit=True
    ) as connection:

        async def none_left() -> bool:
            row = await (await connection.execute("SELECT count(*) FROM executions")).fetchone()
            return row == (0,)

        await until(none_left, within)
        found = await connection.execute(
            "SELECT state, count(*) FROM (SELECT state FROM history UNION ALL SELECT state"
            " FROM letters) AS x GROUP BY state"
        )
        return Counter(dict(await found.fetchall()))


async def replaced(balancer: Balancer, gateways: list[Proc], workers: list[Proc]) -> None:
    """Stop each in good order, and start it again, while requests go to the others."""
    for each in (*gateways, *workers):
        if each in gateways:
            balancer.open.remove(each)
        assert await each.stop() == 0, each.said()
        await balancer.more(10)
        await each.start()
        if each in gateways:
            balancer.open.append(each)
        await balancer.more(15)


async def killed(balancer: Balancer, gateways: list[Proc], workers: list[Proc], kills: int) -> None:
    """Kill one after another at random moments, and start it again."""
    chance = random.Random(SEED)
    print(f"seed {SEED}")
    for number in range(kills):
        await balancer.more(15)
        await asyncio.sleep(chance.uniform(0, 0.5))
        one = chance.choice(gateways if number % 2 else workers)
        if one in gateways:
            balancer.open.remove(one)
        await one.kill()
        await one.start()
        if one in gateways:
            balancer.open.append(one)
    await balancer.more(15)


async def test_what_a_gateway_acknowledged_survives_whatever_ends_gateways_and_workers(
    world: Many, sink: Sink, note: Note
) -> None:
    """Of their replacement nobody notices anything; kill -9 cuts requests, and repeats some."""
    gateways = [await world.run("gateway") for _ in range(2)]
    workers = [await world.run("worker", **LEASE) for _ in range(2)]
    await world.activate(gateways[0])
    balancer = Balancer(world, gateways)
    async with balancer.sending():
        await balancer.more(15)
        await replaced(balancer, gateways, workers)
        assert balancer.cut == Counter()
        acknowledged, kills = len(balancer.acknowledged), 2
        await killed(balancer, gateways, workers, kills)
    states = await ended(world)
    lost = balancer.acknowledged - sink.arrived
    assert not lost
    assert not balancer.refused
    assert states.keys() == {"succeeded"}
    assert sink.keys_changed == 0
    assert sink.duplicates <= kills * (16 + CHILDREN * MOST_TOGETHER)
    note("rolling restart", faults=4, acknowledged=acknowledged, lost=0)
    note(
        "kill -9, many processes",
        faults=kills,
        acknowledged=len(balancer.acknowledged) - acknowledged,
        lost=len(lost),
        repeated=sink.duplicates,
        seed=SEED,
    )


async def test_a_control_whose_gateways_acknowledge_first_loses(
    world: Many, sink: Sink, note: Note
) -> None:
    gateways = [await world.run("gateway", before=(FAULTY, "early")) for _ in range(2)]
    await world.run("worker", **LEASE)
    await world.activate(gateways[0])
    balancer = Balancer(world, gateways)
    async with await psycopg.AsyncConnection.connect(world.store_url) as connection:
        async with balancer.sending():
            await balancer.more(20)
            await connection.execute("LOCK TABLE executions IN SHARE MODE")
            await balancer.more(20)
            for each in gateways:
                await each.kill()
        await connection.rollback()
    await ended(world)
    lost = balancer.acknowledged - sink.arrived
    assert lost
    note("kill -9, many processes, control", faults=2, lost=len(lost))


async def test_a_worker_that_is_started_again_gets_its_own_back_at_once(
    world: Many, sink: Sink
) -> None:
    gateway = await world.run("gateway")
    worker = await world.run("worker", "mine", PAUSE="1", HALFLAP_LEASE_SECONDS="3000")
    await world.activate(gateway)
    worker.environment = world.environment(PAUSE="600", HALFLAP_LEASE_SECONDS="3000")
    await worker.stop()
    await worker.start()
    execution = await world.send(gateway, "slow", 1)
    await until(lambda: sum(sink.deliveries.get(1, Counter()).values()) == 1)
    await worker.kill()
    other = await world.run("worker", "other", PAUSE="0", HALFLAP_LEASE_SECONDS="3000")
    assert (await world.execution(gateway, execution))["state"] == "running"
    await other.stop()
    worker.environment = world.environment(PAUSE="0", HALFLAP_LEASE_SECONDS="3000")
    await worker.start()
    found = await world.ended(gateway, execution, 60)
    assert (found["state"], found["attempt"]) == ("succeeded", 2)


async def test_what_ends_its_process_is_found_by_two_workers_and_set_aside(
    world: Many, sink: Sink
) -> None:
    gateway = await world.run("gateway")
    workers = [await world.run("worker", PAUSE="1", **LEASE) for _ in range(2)]
    await world.activate(gateway)
    others = [await world.send(gateway, "slow", n) for n in range(4)]
    poison = await world.send(gateway, "poison", 99)
    others += [await world.send(gateway, "slow", n) for n in range(4, 8)]

    async def one_died() -> bool:
        return not all(each.runs for each in workers)

    await until(one_died)
    for each in workers:
        if not each.runs:
            await each.start()
    found = await world.ended(gateway, poison, 120)
    assert found["state"] == "failed"
    assert "set aside" in found["reason"]
    for each in others:
        assert (await world.ended(gateway, each, 60))["state"] == "succeeded"
    assert all(each.runs for each in workers)


async def ticks_under_kills(folder: Path, sink: Sink, kills: int, *faults: str) -> Counter[int]:
    """Kill one of the workers after another, and see how often each second has ticked."""
    async with many(folder, sink.url) as world:
        await world.publish(PLAIN)
        gateway = await world.run("gateway")
        before = (FAULTY, ",".join(faults)) if faults else ()
        workers = [await world.run("worker", before=before, **LEASE) for _ in range(2)]
        await world.activate(gateway)
        chance = random.Random(SEED)
        for _ in range(kills):
            one = chance.choice(workers)
            await asyncio.sleep(chance.uniform(0.2, 1.5))
            await one.kill()
            await one.start()

        url = world.store_url
        await until(lambda: len(checker.executions(url, "ticking")) >= TICKS)
        for each in workers:
            await each.stop()
        return await fired(world)


async def test_schedules_tick_once_a_second_though_workers_are_killed(
    tmp_path: Path, sink: Sink, note: Note
) -> None:
    ticks = await ticks_under_kills(tmp_path, sink, 2)
    times = sorted(ticks)
    note("ticks, kill -9", faults=2, executions=ticks.total(), repeated=ticks.total() - len(ticks))
    assert set(ticks.values()) == {1}
    assert len(times) >= TICKS
    assert times == list(range(times[0], times[-1] + 1))


async def test_a_control_whose_workers_all_lead_and_know_no_keys_ticks_more_than_once(
    tmp_path: Path, sink: Sink, note: Note
) -> None:
    ticks = await ticks_under_kills(tmp_path, sink, 1, "leading", "keyless")
    doubled = ticks.total() - len(ticks)
    note("ticks, kill -9, control", faults=1, executions=ticks.total(), repeated=doubled)
    assert doubled > 0


async def fired(world: Many) -> Counter[int]:
    """Count the executions of each second."""
    async with world.store() as store:
        ids = await store.database.read(
            lambda c: c.execute(
                "SELECT id FROM (SELECT id, flow FROM history UNION ALL SELECT id, flow FROM"
                " executions) AS x WHERE flow = 'ticking'"
            ).fetchall()
        )
        found: Counter[int] = Counter()
        for (id,) in ids:
            event = await store.journal.event(id)
            assert event is not None
            at = codec.decode(event.body)["at"]
            found[int(datetime.fromisoformat(at).timestamp())] += 1
        return found
