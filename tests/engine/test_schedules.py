"""Each tick fires exactly once: over many schedulers, dying leaders, clocks that jump, summer time."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest

from halflap import Config, Context, Integration, schedule, singleton
from halflap.engine.journal import JournalEngine
from halflap.engine.scheduler import Scheduler, due, latest
from halflap.errors import StoreFull
from halflap.model import Instance, Micros, Start, Started, to_datetime, to_micros
from halflap.sdk import codec
from halflap.store.protocol import Filter
from halflap.store.store import Store
from halflap.store.vault import Vault
from tests.cases import for_each
from tests.cluster import emptied_url
from tests.polling import DEADLINE

KEYS = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
START = datetime(2026, 1, 1, 10, 0, 30, tzinfo=UTC)
Misfire = Literal["once", "all", "skip"]


class Clock:
    def __init__(self) -> None:
        self.now = to_micros(START)

    def __call__(self) -> Micros:
        return self.now

    def move(self, time: timedelta) -> None:
        self.now += round(time.total_seconds() * 1e6)

    def set(self, time: datetime) -> None:
        self.now = to_micros(time)


class Library:
    def __init__(self, trigger: Any, config: type[Config] = Config) -> None:
        self.found: Integration[Any] = Integration("scheduled", config=config)

        @self.found.flow(trigger=trigger)
        async def flow(ctx: Context[Config], tick: schedule.Tick) -> None:
            pass

    async def integration(self, version: str) -> Integration[Any]:
        return self.found


class Office:
    """A store that some processes have open, each with a scheduler."""

    def __init__(
        self,
        clock: Clock,
        stores: list[Store],
        trigger: Any,
        config: type[Config] = Config,
        answers: dict[str, Any] | None = None,
    ) -> None:
        self.clock = clock
        self.stores = stores
        self.library = Library(trigger, config)
        self.answers = answers or {}
        self.schedulers: list[Scheduler] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        await self.stores[0].catalogue.versions.publish("scheduled", "v1", b"")
        await self.add("Initech")
        for each in self.stores:
            self.begin(each)

    async def add(self, name: str) -> None:
        """Add a customer with an active instance."""
        catalogue = self.stores[0].catalogue
        customer = await catalogue.customers.add(name)
        made = await catalogue.instances.add(customer.id, "scheduled", "scheduled", "v1")
        await catalogue.instances.set_revision(made.id, self.answers, {})
        assert await catalogue.instances.move(made.id, ("configured",), "active")

    def begin(self, store: Store) -> None:
        engine = JournalEngine(store.journal, clock=self.clock)
        library: Any = self.library
        scheduler = Scheduler(store.catalogue, engine, library, self.clock, self.flow_of)
        self.schedulers.append(scheduler)
        self.tasks.append(asyncio.create_task(scheduler.run()))

    async def flow_of(self, integration: Any, flow: Any, instance: str, revision: int) -> Any:
        plain, _ = await self.stores[0].catalogue.instances.revision(instance, revision)
        return flow.resolved(integration.config.model_validate(plain))

    async def configure(self, answers: dict[str, Any]) -> None:
        """Give the instance another config."""
        made = await self.instance()
        await self.stores[0].catalogue.instances.set_revision(made.id, answers, {})

    async def instance(self) -> Instance:
        (found,) = await self.stores[0].catalogue.instances.list()
        return found

    async def leader(self) -> int:
        """Return the number of the leading scheduler, once one leads and has looked at what there is."""
        async with asyncio.timeout(DEADLINE):
            while True:
                for number, each in enumerate(self.schedulers):
                    each.nudge()
                    if each.leads and each.seen >= 0:
                        return number
                await asyncio.sleep(0.005)

    async def kill(self, number: int) -> None:
        """End a scheduler's process: its task, and the connection that says that it leads."""
        writer: Any = self.stores[number].catalogue._writer
        await writer._locks.close()
        self.tasks[number].cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.tasks[number]
        self.schedulers[number].leads = False

    async def deafen(self, number: int) -> None:
        """Keep notices of what other processes change from a process."""
        writer: Any = self.stores[number].catalogue._writer
        writer._watching.cancel()
        await asyncio.wait([writer._watching])

    async def settled(self, *, deaf: bool = False) -> None:
        """Wait until the leader, unless deaf, knows all changes, and has dealt with all due ticks."""
        for _ in range(2):  # it looks again once it has fired
            self.clock.now += 1
            async with asyncio.timeout(DEADLINE):
                while not await self._has_looked(deaf):  # noqa: ASYNC110
                    await asyncio.sleep(0.005)

    async def _has_looked(self, deaf: bool) -> bool:
        leader = self.schedulers[await self.leader()]
        leader.nudge()
        newest = 0 if deaf else max(each.catalogue.changed for each in self.stores)
        return leader.seen >= newest and leader._looked_at == to_datetime(self.clock.now)

    async def fired(self) -> Counter[datetime]:
        """Count the executions of each tick."""
        found: Counter[datetime] = Counter()
        before = None
        journal = self.stores[0].journal
        while True:
            page = await journal.executions(Filter(limit=200, before=before))
            for each in page:
                event = await journal.event(each.id)
                assert event is not None
                found[datetime.fromisoformat(codec.decode(event.body)["at"])] += 1
            if len(page) < 200:
                return found
            before = page[-1].id

    async def close(self) -> None:
        for each in self.schedulers:
            each.stop()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for each in self.stores:
            await each.close()


@asynccontextmanager
async def office(
    kind: str, trigger: Any, at: datetime = START, **config: Any
) -> AsyncIterator[Office]:
    clock = Clock()
    clock.set(at)
    if kind == "postgresql":
        url, vault = emptied_url(), Vault.from_text(KEYS)
        stores = [await Store.open(url, clock=clock, vault=vault) for _ in range(3)]
    else:
        stores = [await Store.memory(clock=clock)]
    made = Office(clock, stores, trigger, **config)
    try:
        await made.open()
        await made.leader()
        yield made
    finally:
        await made.close()


BOTH = pytest.mark.parametrize("kind", ["memory", "postgresql"])


@pytest.mark.parametrize(
    ("misfire", "expected"),
    [
        ("once", ["12:00"]),
        ("all", ["10:15", "10:30", "10:45", "11:00", "11:15", "11:30", "11:45", "12:00"]),
        ("skip", []),
    ],
)
async def test_missed_ticks_fire_as_the_trigger_says(misfire: Misfire, expected: list[str]) -> None:
    async with office("memory", schedule.every(minutes=15, misfire=misfire)) as made:
        made.clock.move(timedelta(hours=2, minutes=5))
        await made.settled()
        assert times(await made.fired()) == expected
        made.clock.move(timedelta(minutes=10))
        await made.settled()
        assert times(await made.fired()) == [*expected, "12:15"]


async def test_a_tick_that_is_a_moment_late_was_not_missed() -> None:
    async with office("memory", schedule.every(minutes=15, misfire="skip")) as made:
        made.clock.move(timedelta(minutes=15, seconds=20))
        await made.settled()
        assert times(await made.fired()) == ["10:15"]


async def test_ticks_of_others_do_not_wait_for_a_customer_that_is_being_erased() -> None:
    async with office("memory", schedule.every(minutes=15)) as made:
        for name in ("Globex", "Hooli"):  # whichever is fired first, one is behind it
            await made.add(name)
        await made.settled()
        erased = next(
            c for c in await made.stores[0].catalogue.customers.list() if c.name == "Globex"
        )
        await made.stores[0].journal.shut(erased.id)
        made.clock.move(timedelta(minutes=20))
        await made.settled()
        assert list((await made.fired()).values()) == [2]


@BOTH
async def test_more_than_are_fired_at_once_are_all_fired(kind: str) -> None:
    async with office(kind, schedule.every(minutes=1, misfire="all")) as made:
        made.clock.move(timedelta(hours=4))
        async with asyncio.timeout(DEADLINE):
            while len(await made.fired()) < 240:
                await made.settled()
        assert set((await made.fired()).values()) == {1}


@BOTH
async def test_a_clock_that_jumps_ahead_and_back_fires_no_tick_twice_and_none_never(
    kind: str,
) -> None:
    async with office(kind, schedule.every(hours=1)) as made:
        for _ in range(3):
            made.clock.move(timedelta(hours=1))
            await made.settled()
        made.clock.move(-timedelta(hours=1))
        await made.settled()
        for _ in range(2):
            made.clock.move(timedelta(hours=1))
            await made.settled()
        assert times(await made.fired()) == ["11:00", "12:00", "13:00", "14:00"]
        made.clock.move(timedelta(days=2))
        await made.settled()
        assert times(await made.fired())[4:] == ["14:00"]
        made.clock.move(-timedelta(days=2))
        await made.settled()
        for _ in range(48):
            made.clock.move(timedelta(hours=1))
            await made.settled()
        fired = await made.fired()
        assert set(fired.values()) == {1}
        assert len(fired) == 4 + 48


async def test_leaders_that_die_one_after_another_lose_and_double_no_tick() -> None:
    async with office("postgresql", schedule.every(minutes=1, misfire="all")) as made:
        for turn in range(12):
            made.clock.move(timedelta(minutes=1))
            if turn % 2:
                await made.settled()
            number = await made.leader()
            await made.kill(number)
            made.begin(made.stores[number])
            made.schedulers[number], made.tasks[number] = made.schedulers.pop(), made.tasks.pop()
        await made.settled()
        fired = await made.fired()
        assert len(fired) == 12
        assert set(fired.values()) == {1}


async def test_one_that_lost_the_lead_without_knowing_doubles_no_tick() -> None:
    async with office("postgresql", schedule.every(minutes=1)) as made:
        first = await made.leader()
        writer: Any = made.stores[first].catalogue._writer
        other: Any = made.stores[1 - first if first < 2 else 0].catalogue._writer
        pid = writer._locks.info.backend_pid
        await other.database.write(lambda c: c.execute(f"SELECT pg_terminate_backend({pid})"))
        for _ in range(5):
            made.clock.move(timedelta(minutes=1))
            await made.settled()
        assert times(await made.fired()) == ["10:01", "10:02", "10:03", "10:04", "10:05"]


@pytest.mark.parametrize(
    ("begins", "expression", "expected"),
    [
        # In Berlin, 2026-03-29 has no 02:30, and 2026-10-25 has two of them.
        (datetime(2026, 3, 28, 12, tzinfo=UTC), "30 2 * * *", ["01:00", "00:30"]),
        (datetime(2026, 10, 24, 12, tzinfo=UTC), "30 2 * * *", ["00:30", "01:30"]),
        (
            datetime(2026, 10, 24, 23, 45, tzinfo=UTC),
            "30 * * * *",
            ["00:30", "01:30", "02:30"],
        ),
    ],
    ids=["spring", "autumn", "autumn, every hour"],
)
async def test_changes_of_the_clocks_fire_each_tick_once(
    begins: datetime, expression: str, expected: list[str]
) -> None:
    trigger = schedule.cron(expression, tz="Europe/Berlin")
    async with office("memory", trigger, begins) as made:
        for _ in range(400):
            if len(await made.fired()) == len(expected):
                break
            made.clock.move(timedelta(minutes=15))
            await made.settled()
        fired = await made.fired()
        assert times(fired) == expected
        assert set(fired.values()) == {1}


class Hours(Config):
    """A customer's own hour, and its time zone."""

    cron: str
    zone: str = "UTC"
    label: str = ""


DAILY = {"config": Hours, "answers": {"cron": "0 6 * * *"}}


@BOTH
async def test_a_schedule_of_the_config_moves_when_the_config_changes(kind: str) -> None:
    trigger = schedule.cron(Hours.cron, tz=Hours.zone)
    async with office(kind, trigger, datetime(2026, 1, 1, 5, tzinfo=UTC), **DAILY) as made:
        made.clock.move(timedelta(hours=5))
        await made.settled()
        assert times(await made.fired()) == ["06:00"]
        # At 10:00 the customer wants 09:00 instead: today's is not caught up with.
        await made.configure({"cron": "0 9 * * *"})
        made.clock.move(timedelta(minutes=1))
        await made.settled()
        assert times(await made.fired()) == ["06:00"]
        # A change of what the schedule does not read moves nothing.
        made.clock.set(datetime(2026, 1, 2, 8, 59, tzinfo=UTC))
        await made.settled()
        await made.configure({"cron": "0 9 * * *", "label": "x"})
        made.clock.move(timedelta(minutes=2))
        await made.settled()
        assert times(await made.fired()) == ["06:00", "09:00"]
        await made.configure({"cron": "0 9 * * *", "zone": "America/New_York"})
        made.clock.set(datetime(2026, 1, 2, 15, tzinfo=UTC))
        await made.settled()
        assert times(await made.fired()) == ["06:00", "09:00", "14:00"]


async def test_a_leader_that_comes_after_a_change_fires_no_tick_that_was_never_due() -> None:
    trigger = schedule.cron(Hours.cron, tz=Hours.zone)
    begins = datetime(2026, 1, 1, 5, tzinfo=UTC)
    async with office("postgresql", trigger, begins, **DAILY) as made:
        made.clock.move(timedelta(hours=2))
        await made.settled()
        for number in range(3):
            made.schedulers[number].stop()
        await asyncio.gather(*made.tasks)
        made.clock.set(datetime(2026, 1, 1, 10, tzinfo=UTC))
        await made.configure({"cron": "0 9 * * *"})
        made.clock.move(timedelta(hours=1))
        await made.configure({"cron": "0 9 * * *", "label": "x"})
        made.schedulers, made.tasks = [], []
        made.begin(made.stores[0])
        await made.settled()
        assert times(await made.fired()) == ["06:00"]
        made.clock.set(datetime(2026, 1, 2, 9, 1, tzinfo=UTC))
        await made.settled()
        assert times(await made.fired()) == ["06:00", "09:00"]


@for_each(
    ("hour", "change", "expected"),
    [
        (5, "disabled", []),
        (5, "activated", []),
        (5, "configured", []),
        (6, "configured", ["06:00"]),
    ],
)
async def test_a_leader_that_has_not_heard_of_a_change_fires_what_was_due_before_it(
    hour: int, change: str, expected: list[str]
) -> None:
    trigger = schedule.cron(Hours.cron, tz=Hours.zone)
    async with office("postgresql", trigger, datetime(2026, 1, 1, 5, tzinfo=UTC), **DAILY) as made:
        leader = await made.leader()
        await made.deafen(leader)
        instances = made.stores[leader - 1].catalogue.instances
        instance = await made.instance()
        made.clock.set(datetime(2026, 1, 1, hour, 30, tzinfo=UTC))
        if change == "configured":
            await instances.set_revision(instance.id, {"cron": "0 9 * * *"}, {})
        else:
            await instances.move(instance.id, ("active",), "disabled")
        made.clock.set(datetime(2026, 1, 1, 6, 40, tzinfo=UTC))
        if change == "activated":
            await instances.move(instance.id, ("disabled",), "active", deployment="exe_2")
        await made.settled(deaf=True)
        assert times(await made.fired()) == expected


async def test_a_filter_of_a_schedule_decides_which_ticks_fire() -> None:
    async with office("memory", schedule.every(hours=1)) as made:
        made.library.found.flows["flow"].filter = lambda request: "T12:" in request.json()["at"]
        for _ in range(3):
            made.clock.move(timedelta(hours=1))
            await made.settled()
        assert times(await made.fired()) == ["12:00"]


@BOTH
async def test_what_a_disabled_instance_did_not_fire_was_not_missed(kind: str) -> None:
    async with office(kind, schedule.every(hours=1)) as made:
        instances = made.stores[0].catalogue.instances
        instance = await made.instance()
        assert await instances.move(instance.id, ("active",), "disabled")
        assert await instances.last_tick(instance.id, "flow") is None
        made.clock.move(timedelta(hours=5))
        assert await instances.move(instance.id, ("disabled",), "active", deployment="exe_2")
        made.clock.move(timedelta(minutes=1))
        await until_marked(made, instance)
        await made.settled()
        assert times(await made.fired()) == []


async def until_marked(made: Office, instance: Instance) -> None:
    async with asyncio.timeout(DEADLINE):
        while await made.stores[0].catalogue.instances.last_tick(instance.id, "flow") is None:
            for each in made.schedulers:
                each.nudge()
            await asyncio.sleep(0.01)


async def test_a_tick_of_a_singleton_is_ignored_while_the_last_one_runs() -> None:
    async with office("memory", schedule.every(minutes=1)) as made:
        made.library.found.flows["flow"].order = singleton()
        for _ in range(3):
            made.clock.move(timedelta(minutes=1))
            await made.settled()
        *later, first = await made.stores[0].journal.executions(Filter())
    assert (first.state, len(later)) == ("queued", 2)
    reason = f"singleton: {first.id} is still running"
    assert {(each.state, each.reason) for each in later} == {("ignored", reason)}


async def test_an_engine_that_refuses_a_tick_gets_it_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start, refusals = JournalEngine.start, [StoreFull(), StoreFull()]

    async def full(engine: JournalEngine, starts: Sequence[Start]) -> list[Started]:
        if refusals:
            raise refusals.pop()
        return await start(engine, starts)

    monkeypatch.setattr(JournalEngine, "start", full)
    async with office("memory", schedule.every(minutes=1)) as made:
        made.clock.move(timedelta(minutes=1))
        async with asyncio.timeout(DEADLINE):
            while not await made.fired():
                made.schedulers[0].nudge()
                await asyncio.sleep(0.005)
        assert (times(await made.fired()), refusals) == (["10:01"], [])


async def test_a_server_looks_at_once_when_the_catalogue_changes() -> None:
    async with office("memory", schedule.every(minutes=1)) as made:
        catalogue, scheduler = made.stores[0].catalogue, made.schedulers[0]
        catalogue.on_change(scheduler.nudge)
        await made.configure({})
        async with asyncio.timeout(DEADLINE):
            while scheduler.seen != catalogue.changed:  # noqa: ASYNC110
                await asyncio.sleep(0.005)


async def test_one_that_is_stopped_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("halflap.engine.scheduler.CHECK_SECONDS", 3_600.0)
    async with office("memory", schedule.every(minutes=1)) as made:
        made.begin(made.stores[0])  # one that does not lead
        await asyncio.sleep(0)
        async with asyncio.timeout(DEADLINE):
            for scheduler, task in zip(made.schedulers, made.tasks, strict=True):
                scheduler.stop()
                await task


def test_the_latest_tick_is_found_however_long_ago_it_was() -> None:
    yearly = schedule.cron("0 6 1 1 *").declaration.ticks
    assert yearly is not None
    now = datetime(2026, 11, 26, tzinfo=UTC)
    assert latest(yearly, datetime(2024, 1, 1, tzinfo=UTC), now) == datetime(
        2026, 1, 1, 6, tzinfo=UTC
    )
    assert latest(yearly, datetime(2026, 2, 1, tzinfo=UTC), now) is None
    minutes = Counted(schedule.every(seconds=1).declaration.ticks)
    assert latest(minutes, datetime(2020, 1, 1, tzinfo=UTC), now) == now
    assert minutes.count < 4_000


def test_all_is_bounded_by_a_week() -> None:
    ticks = schedule.every(hours=1).declaration.ticks
    assert ticks is not None
    now = datetime(2026, 11, 26, tzinfo=UTC)
    found = due(ticks, now - timedelta(days=30), now, "all", 1_000)
    assert len(found) == 7 * 24
    assert found[-1] == now


def times(fired: Counter[datetime]) -> list[str]:
    return [f"{each:%H:%M}" for each in sorted(fired.elements())]


class Counted:
    """Ticks that count how often they are asked for."""

    def __init__(self, ticks: Any) -> None:
        self.count = 0
        self._ticks = ticks

    def __call__(self, time: datetime) -> datetime | None:
        self.count += 1
        return self._ticks(time)
