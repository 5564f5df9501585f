"""A world from a seed: its processes, its senders, its operators, and all that goes wrong."""

from __future__ import annotations

import asyncio
import gc
import json
import random
from base64 import b64encode
from collections import Counter
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass, replace
from typing import Any

from pydantic import SecretStr

from halflap.engine.executor import Executor, Work
from halflap.engine.journal import JournalEngine, Room
from halflap.engine.protocol import Change, Turn, Verdict
from halflap.errors import HalflapError, StoreError
from halflap.gateway.app import Gateway
from halflap.gateway.route import Route
from halflap.model import FlowKey, Micros, Order, Start, Started, new_id
from halflap.sdk.context import CustomerInfo, InstanceInfo
from halflap.sdk.schema import Config
from halflap.store.journal import SqliteJournal
from tests.simulation.app import APP, TURN, App
from tests.simulation.database import Disk, InlineDatabase, Troubles, empty_store
from tests.simulation.flows import expected, shop
from tests.simulation.loop import Loop, Process, Standstill, in_context
from tests.simulation.plan import Delivery, Plan, plan_of
from tests.simulation.shared import Server, SharedDatabase, SharedJournal
from tests.simulation.trace import Trace, Violation
from tests.simulation.truth import Truth, Watched, short

BEGINS: Micros = 1_767_225_600_000_000
LONGEST = 900.0
"""How long everything may take to come to its end, once nothing goes wrong any more."""
INSTANCE = "ins_1"


class WatchedSqlite(Watched, SqliteJournal):
    """The journal in SQLite, watched."""


class WatchedShared(Watched, SharedJournal):
    """The journal as in PostgreSQL, watched."""


@dataclass(eq=False)
class Host:
    """What runs in a process."""

    process: Process
    kind: str
    engine: JournalEngine | None = None
    gateway: Gateway | None = None
    ahead: Micros = 0


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a seed."""

    seed: int
    hash: str
    calls: int
    seconds: float
    violation: Violation | None
    counts: Counter[str]
    lines: tuple[str, ...]


def simulate(seed: int) -> Report:
    """Run a seed."""
    gc.disable()
    world = World(plan_of(seed))
    try:
        return world.run()
    finally:
        world.loop.close()
        gc.enable()


class World:
    """Everything there is, in one loop."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.loop = Loop(random.Random(f"loop {plan.seed}"), fifo=plan.fifo)
        self.chance = random.Random(f"world {plan.seed}")
        self.trace = Trace(self.loop.time, self._stop)
        self.note = self.trace.note
        self.troubles = Troubles(plan.refuse, plan.doubt, slowest=plan.slowest, count=self._count)
        self.connection = empty_store()
        self.ahead: Micros = 0
        self.truth = Truth(self.trace)
        self.app = App(
            self.truth,
            random.Random(f"app {plan.seed}"),
            self.trace,
            self.troubles,
            slow=plan.app_slow,
            fails=plan.app_fails,
            strict=plan.jumps == 0,
        )
        store_chance = random.Random(f"store {plan.seed}")
        self.server = Server(self.connection, self._clock, self.troubles, store_chance)
        self.disk = Disk(self.connection, self.troubles, store_chance)
        self.hosts: list[Host] = []
        self.crashes_left, self.stalls_left = plan.crashes, plan.stalls
        self.calm = False
        self.acknowledged: list[Delivery] = []

    # Running ------------------------------------------------------------------------------------

    def run(self) -> Report:
        """Run to the end, and say what became of it."""
        violation: Violation | None = None
        try:
            self.loop.run(self._main())
        except Violation as broken:
            violation = broken
        except Standstill as stuck:
            violation = Violation("nothing is stuck", str(stuck))
        for each in self.loop.complaints:
            violation = violation or Violation("no error goes unseen", each)
        self.note("world", f"{self.loop.calls} calls, {violation}")
        return Report(
            self.plan.seed,
            self.trace.hash(),
            self.loop.calls,
            self.loop.time(),
            violation,
            self.trace.counts,
            tuple(self.trace.lines),
        )

    def _stop(self, violation: Violation) -> None:
        self.loop.broken = self.loop.broken or violation

    def _count(self, what: str) -> None:
        self.trace.counts[what] += 1

    async def _main(self) -> None:
        APP.set(self.app)
        self.context = copy_context()
        plan = self.plan
        kinds = ["worker"] * plan.workers + ["gateway"] * plan.gateways
        for kind in kinds:
            self._boot(kind)
        tasks = [asyncio.create_task(self._send(each, 0.0)) for each in plan.deliveries]
        tasks += [
            asyncio.create_task(self._send(each, wait))
            for each in plan.deliveries
            for wait in each.again
        ]
        tasks += [asyncio.create_task(self._cancel_one()) for _ in range(plan.cancels)]
        tasks += [asyncio.create_task(self._hold()) for _ in range(plan.holds)]
        tasks += [asyncio.create_task(self._jump()) for _ in range(plan.jumps)]
        tasks += [asyncio.create_task(self._drain()) for _ in range(plan.drains)]
        tasks += [asyncio.create_task(self._outage()) for _ in range(plan.outages)]
        await asyncio.gather(*tasks)
        await self._all_ended(within=60.0)
        self._be_calm()
        if plan.holds:  # what a process was asked to hold before it stalled, it holds by now
            await asyncio.sleep(100.0)
            await self._by_any(lambda engine: engine.release(INSTANCE))
        await self._replay_failed()
        if not await self._all_ended(within=LONGEST + 600.0 * self.plan.jumps):
            stuck = [n for n, e in self.truth.executions.items() if e.outcome is None]
            raise Violation("nothing is stuck", f"{stuck[:3]} did not end")
        self._verify()

    async def _all_ended(self, within: float) -> bool:
        end = self.loop.time() + within
        while any(each.outcome is None for each in self.truth.executions.values()):
            if self.loop.time() > end:
                return False
            await asyncio.sleep(1.0)
        return True

    def _be_calm(self) -> None:
        self.calm = self.troubles.calm = True
        self.note("world", "calm")
        for each in self.hosts:
            each.process.dies_at = each.process.stalls_at = 0

    # Time ---------------------------------------------------------------------------------------

    def _clock(self) -> Micros:
        return BEGINS + int(self.loop.time() * 1e6) + self.ahead

    async def _jump(self) -> None:
        await asyncio.sleep(30 * self.chance.random())
        by = self.chance.choice([-600, -40, 40, 600])
        self.note("world", f"the clock jumps by {by} s", "clock jumps")
        self.ahead += by * 1_000_000

    # Processes ----------------------------------------------------------------------------------

    def _boot(self, kind: str) -> None:
        process = Process(f"{kind[0]}{len(self.hosts)}")
        if self.plan.store == "postgresql":
            process.wall_ahead = self.chance.choice([-100.0, 0.0])
        host = Host(process, kind, ahead=self.chance.randint(-2_000, 2_000))
        process.on_death = lambda _: self._died(host)
        process.on_stall = lambda _: self.note(process.name, "stalls", "stalls")
        if not self.calm and self.chance.random() < 0.7:
            life = 1 + int(self.chance.expovariate(1 / self.plan.mean_life))
            if self.crashes_left > 0:
                process.dies_at = life
            if self.stalls_left > 0:
                process.stalls_at = 1 + int(self.chance.random() * life)
                process.stall = self.chance.choice([1.0, 35.0, 90.0])
                self.stalls_left -= 1
        self.hosts.append(host)
        self.note(process.name, "begins")
        context = in_context(process)
        living = self.loop.create_task(self._live(host), context=context)
        living.add_done_callback(lambda done: self._ended(host, done), context=self.context)

    def _ended(self, host: Host, done: asyncio.Task[None]) -> None:
        if done.exception() is not None:
            how = f"{host.process.name}: {done.exception()!r}"
            self.trace.broken(Violation("a process ends only where it has to", how))

    def _died(self, host: Host) -> None:
        self.note(host.process.name, "is dead", "crashes")
        self.server.listeners.pop(host.process.name, None)
        self.crashes_left -= 1
        wait = self.chance.choice([0.01, 1.0, 40.0]) * self.chance.random()
        self.loop.call_later(wait, lambda: self._boot(host.kind), context=self.context)

    async def _live(self, host: Host) -> None:
        """A process from its start to its end, as halflap/cli/host.py puts it together."""
        process, plan = host.process, self.plan
        clock: Callable[[], Micros]
        if plan.store == "sqlite":
            clock = self._clock
            database = InlineDatabase(self.disk, clock, self.troubles)
            journal: Any = WatchedSqlite(database, clock)
        else:
            clock = lambda: self._clock() + host.ahead  # noqa: E731
            database = SharedDatabase(self.server, clock)
            journal = WatchedShared(database, worker=process.name)
        journal.truth, journal.worker = self.truth, process.name
        database.on_failure = lambda error: self._fail(process, error)
        poll = None if plan.store == "sqlite" else 5.0
        engine = JournalEngine(
            journal, clock=clock, room=Room(plan.room), poll=poll, monotonic=self.loop.time
        )
        engine.follow(lambda change: self._told(process, change))
        try:
            await journal.void()
        except StoreError as error:
            self._fail(process, error)
            return
        if plan.store == "postgresql":
            context = in_context(process)
            journal.follow(
                lambda: self.loop.call_later(
                    0.01 * self.server.chance.random(), engine.nudge, context=context
                )
            )
        host.engine = engine
        bits = random.Random(f"{process.name} {plan.seed}")
        intake = Ordering(engine)
        if plan.gateways == 0 or host.kind == "gateway":
            host.gateway = Gateway(
                self._find,
                intake,
                clock,
                reject=lambda _: None,
                count=lambda *_: None,
                chance=lambda: bits.getrandbits(74),
            )
        if host.kind == "worker":
            executor = Executor(work_of, random.Random(f"retry {process.name} {plan.seed}"))

            async def handle(turn: Turn) -> Verdict:
                TURN.set(turn)
                return await executor(turn)

            try:
                await engine.run(handle)
            except StoreError as error:
                self._fail(process, error)

    def _fail(self, process: Process, error: BaseException) -> None:
        self.note(process.name, f"gives up: {type(error).__name__}")
        self.loop.kill(process)

    async def _drain(self) -> None:
        """Stop a worker in good order, as for a rolling restart."""
        await asyncio.sleep(20 * self.chance.random())
        host = self._any(lambda each: each.kind == "worker" and each.engine is not None)
        if host is None or host.engine is None:
            return
        self.note(host.process.name, "is asked to stop")
        host.gateway = None
        stopping = self.loop.create_task(
            host.engine.stop(self.chance.choice([0.0, 2.0, 10.0])), context=in_context(host.process)
        )
        ended: asyncio.Future[None] = self.loop.create_future()
        stopping.add_done_callback(lambda _: ended.done() or ended.set_result(None))
        try:
            async with asyncio.timeout(120):
                await ended
        except TimeoutError:
            if host.process.alive:
                raise Violation("a process stops when it is asked to", host.process.name) from None
        self.loop.kill(host.process)

    async def _outage(self) -> None:
        await asyncio.sleep(20 * self.chance.random())
        self.server.down_until = self.loop.time() + self.chance.choice([2.0, 10.0, 40.0, 100.0])
        self.note("world", f"the database is down until {self.server.down_until:.1f}")

    def _any(self, suits: Callable[[Host], bool]) -> Host | None:
        found = [each for each in self.hosts if each.process.alive and suits(each)]
        return self.chance.choice(found) if found else None

    def _told(self, process: Process, change: Change) -> None:
        known = self.truth.executions.get(change.execution)
        if known is None:
            self.trace.broken(Violation("nobody is told before it is kept", str(change)))
        elif change.outcome is not None and (
            known.outcome is None or known.outcome.state != change.outcome.state
        ):
            self.trace.broken(Violation("nobody is told before it is kept", change.execution))

    # Senders ------------------------------------------------------------------------------------

    async def _find(self, endpoint: str) -> Route | None:
        flow = shop.flows.get(endpoint)
        return None if flow is None else Route(endpoint, "", key_of(endpoint), flow, (), hide)

    async def _send(self, delivery: Delivery, wait: float) -> None:
        """Send until it is acknowledged, as a sender would, who knows nothing of processes."""
        chance = self.chance
        await asyncio.sleep(delivery.at + wait)
        for _ in range(40):
            host = self._any(lambda each: each.gateway is not None)
            if host is not None and await self._request(host, delivery):
                self.acknowledged.append(delivery)
                return
            await asyncio.sleep(chance.choice([0.1, 2.0, 10.0]) * chance.random())

    async def _request(self, host: Host, delivery: Delivery) -> bool:
        answered: asyncio.Future[tuple[int, dict[bytes, bytes], bytes]] = self.loop.create_future()
        head: dict[str, Any] = {}
        scope = {
            "type": "http",
            "method": "POST",
            "path": f"/hooks/{delivery.flow}",
            "query_string": b"",
            "headers": [(b"x-delivery", delivery.id.encode())],
        }

        async def receive() -> Any:
            return {"type": "http.request", "body": delivery.data}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                head.update(message)
                return
            headers = dict(head["headers"])
            self._acknowledges(host, head["status"], headers)
            answer = (head["status"], headers, message["body"])
            self.loop.call_later(
                0.01 * self.chance.random(),
                lambda: answered.done() or answered.set_result(answer),
                context=in_context(None),
            )

        assert host.gateway is not None
        self.loop.create_task(host.gateway(scope, receive, send), context=in_context(host.process))
        try:
            async with asyncio.timeout(20):
                status, headers, body = await answered
        except TimeoutError:
            return False
        self.note("sender", f"{delivery.id} {status}")
        if delivery.flow == "asked" and status == 200 and b'"outcome"' not in body:
            self._compare(delivery, body)
        return status < 300 or b"halflap-execution" in headers

    def _compare(self, delivery: Delivery, body: bytes) -> None:
        if json.loads(body) != expected("asked", delivery.data):
            raise Violation("a flow's answer is its own", f"{delivery.id}: {body!r}")

    def _acknowledges(self, host: Host, status: int, headers: dict[bytes, bytes]) -> None:
        ids = headers.get(b"halflap-execution", b"").decode()
        for each in ids.split(",") if ids and status < 300 else ():
            if each not in self.truth.executions:
                self.trace.broken(Violation("nothing is acknowledged before its commit", each))

    # Operators ----------------------------------------------------------------------------------

    async def _cancel_one(self) -> None:
        await asyncio.sleep(30 * self.chance.random())
        names = list(self.truth.executions)
        host = self._any(lambda each: each.engine is not None)
        if names and host is not None:
            name = self.chance.choice(names)
            await self._ask(host, lambda engine: engine.cancel(name, "not wanted"))

    async def _hold(self) -> None:
        await asyncio.sleep(10 * self.chance.random())
        host = self._any(lambda each: each.engine is not None)
        if host is not None and host.engine is not None:
            self.note(host.process.name, "holds the instance")
            await self._ask(host, lambda engine: engine.hold(INSTANCE))
        await asyncio.sleep(20 * self.chance.random())
        await self._by_any(lambda engine: engine.release(INSTANCE))
        self.note("world", "the instance is released")

    async def _by_any(self, do: Callable[[JournalEngine], Any]) -> None:
        """Have any process do something, until one has."""
        while True:
            host = self._any(lambda each: each.engine is not None)
            if host is not None and await self._ask(host, do):
                return
            await asyncio.sleep(1.0)

    async def _replay_failed(self) -> None:
        """Replay what failed with another event, and the steps that it did."""
        for name, known in list(self.truth.executions.items()):
            if known.outcome is None or known.start.flow.flow != "hopeless":
                continue
            if known.outcome.state != "failed":
                continue
            event = json.loads(known.start.event.body)
            edited = {"id": self.chance.choice([event["id"], f"{event['id']}-again"]), "how": "?"}
            records = sorted(known.records.values(), key=lambda each: each.seq)
            id = new_id("exe", now=self._clock(), chance=self.chance.getrandbits(74))
            start = Start(
                id,
                known.start.flow,
                replace(known.start.event, body=json.dumps(edited).encode()),
                root=id,
                replay_of=name,
                copied=tuple(each for each in records if each.status == "succeeded"),
            )
            await self._by_any(lambda engine, start=start: engine.start([start]))

    async def _ask(self, host: Host, do: Callable[[JournalEngine], Any]) -> bool:
        """Have a process do something; false where it died, or could not."""
        engine, answered = host.engine, self.loop.create_future()
        assert engine is not None

        async def asked() -> None:
            try:
                await do(engine)
            except HalflapError:
                answered.done() or answered.set_result(False)
            else:
                answered.done() or answered.set_result(True)

        self.loop.create_task(asked(), context=in_context(host.process))
        try:
            async with asyncio.timeout(60):
                return await answered
        except TimeoutError:
            return False

    # The end ------------------------------------------------------------------------------------

    def _verify(self) -> None:
        """What must be so once all is done."""
        rows = {
            row[0]: row[1:]
            for row in self.connection.execute("SELECT id, state, result FROM executions")
        }
        if rows.keys() != self.truth.executions.keys():
            raise Violation(
                "nothing accepted is lost", f"{rows.keys() ^ self.truth.executions.keys()}"
            )
        for name, known in self.truth.executions.items():
            outcome = known.outcome
            assert outcome is not None
            if (outcome.state, outcome.result) != rows[name]:
                raise Violation("one outcome each", f"{name}: {outcome.state}, stored {rows[name]}")
            wanted = expected(known.start.flow.flow, known.start.event.body)
            match outcome.state:
                case "succeeded":
                    assert outcome.result is not None
                    found = json.loads(outcome.result)
                    found = found["$reply"]["body"] if isinstance(found, dict) else found
                    if found != wanted:
                        raise Violation("each comes to what it should", f"{name}: {found}")
                case "cancelled" if known.cancelled:
                    pass
                case "failed" if wanted is None and outcome.failure is not None:
                    if outcome.failure.kind not in ("UpstreamError", "StepFailed"):
                        raise Violation("each comes to what it should", f"{name}: {outcome}")
                case _:
                    raise Violation("each comes to what it should", f"{name}: {outcome}")
        self._verify_deliveries()
        self._verify_state()

    def _verify_deliveries(self) -> None:
        for delivery in self.plan.deliveries:
            for event in delivery.events:
                ids = [
                    name
                    for name, known in self.truth.executions.items()
                    if known.start.flow.flow == delivery.flow
                    and known.start.replay_of is None
                    and json.loads(known.start.event.body) == event
                ]
                if delivery in self.acknowledged and not ids:
                    raise Violation("nothing accepted is lost", f"{delivery.id} {event}")
                if len(ids) > 1:
                    raise Violation("a delivery is one execution", f"{delivery.id}: {ids}")

    def _verify_state(self) -> None:
        sql = "SELECT value FROM state WHERE scope = ? AND key = 'list'"
        row = self.connection.execute(sql, (f"flow:{INSTANCE}:counter",)).fetchone()
        listed: list[str] = json.loads(row[0]) if row else []
        wrote = [
            json.loads(known.start.event.body)["id"]
            for known in self.truth.executions.values()
            if known.start.flow.flow == "counter"
            and any(
                each.path.startswith("state.put") and each.result == b"true"
                for each in known.records.values()
            )
        ]
        if sorted(listed) != sorted(wrote):
            raise Violation("state is written once, with its step", f"{listed} by {wrote}")


class Ordering:
    """An intake that puts the events of the flow `ordered` in an order by their key."""

    def __init__(self, engine: JournalEngine) -> None:
        self._engine = engine

    async def start(self, starts: list[Start]) -> list[Started]:
        return await self._engine.start([ordered(each) for each in starts])

    async def outcome(self, execution: str, within: float) -> Any:
        return await self._engine.outcome(execution, within)


def ordered(start: Start) -> Start:
    """The start in its order."""
    if start.flow.flow != "ordered":
        return start
    return replace(start, order=Order("orders", json.loads(start.event.body)["key"]))


def key_of(flow: str) -> FlowKey:
    """A flow of the one instance there is."""
    return FlowKey("cus_1", INSTANCE, "shop", flow, "v1", 1)


async def work_of(key: FlowKey) -> Work:
    """The work of a flow."""
    return Work(
        flow=shop.flows[key.flow],
        config=Config(),
        customer=CustomerInfo(key.customer, "Ada"),
        instance=InstanceInfo(key.instance, "Ada's"),
        urls={},
        secret=SecretStr,
        seal=hide,
        unseal=hide,
    )


def hide(text: str) -> str:
    """Seals nothing that is worth it."""
    return b64encode(text.encode()).decode()


__all__ = ["Report", "World", "short", "simulate"]
