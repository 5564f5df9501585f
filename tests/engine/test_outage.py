"""An app that is away for hours, or refuses a third of all calls, costs no dead letter."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import structlog
from multidict import CIMultiDict, CIMultiDictProxy

from halflap import Connection, Retry, UpstreamError
from halflap.engine import doing
from halflap.engine import parking as parked
from halflap.engine.circuit import Circuit
from halflap.engine.clock import ManualClock
from halflap.engine.gate import AccountGate
from halflap.engine.parking import Parking
from halflap.engine.throttle import LocalKeeper, Throttle, Throttles
from halflap.errors import DefinitionError, EgressRefused, Unauthorized
from halflap.model import ConnectionLimits, Micros, StoredConnection, Throttled
from halflap.sdk import codec
from halflap.sdk.connection import Link
from halflap.sdk.egress import Egress, Response
from halflap.sdk.gate import Away, Blocked, Judgement
from tests.engine.flows import Runner, runner_on
from tests.polling import until

SECOND: Micros = 1_000_000
HOUR: Micros = 3_600 * SECOND


class Crm(Connection):
    """An app that knows repeated requests."""

    base_url: str = "https://crm.example"
    idempotency_header = "Idempotency-Key"


class Keyless(Crm):
    """The same app, as one that knows no repeated requests."""

    idempotency_header = None


@dataclass
class App(Egress):
    """The app itself: `refuses` decides by the time whether it answers 503, or `hangs`.

    It always refuses things named `refused`, and asks to be called 3 seconds later.
    """

    clock: ManualClock
    refuses: Callable[[Micros], bool]
    began: Micros = 0
    hangs: bool = False
    refused: str = ""
    calls: int = 0
    done: list[str] = field(default_factory=list[str])

    async def request(self, method: str, url: str, **more: Any) -> Response:
        """Answer 503, or do what is asked."""
        self.calls += 1
        name = more["json"]["name"]
        status = 503 if name == self.refused or self.refuses(self.clock() - self.began) else 200
        if status == 503 and self.hangs:
            raise UpstreamError("no answer", in_doubt=True)
        if status == 200:
            self.done.append(name)
        told = {"Retry-After": "3"} if name == self.refused else {}
        headers = CIMultiDictProxy(CIMultiDict[str](told))
        return Response(status, headers, b"{}", url, method)


@dataclass
class Account:
    """The stored connection, which nothing is wrong with."""

    stored: StoredConnection

    async def get(self, connection: str) -> StoredConnection:
        """Return the connection."""
        return self.stored

    @asynccontextmanager
    async def refreshing(self, connection: str) -> AsyncIterator[None]:
        """Hold the lock that all workers share."""
        yield


async def fine() -> Judgement:
    return "fail"


@dataclass
class Shop:
    """An engine whose flow calls the app through a gate, and the role that lets go what is parked."""

    runner: Runner
    app: App
    parking: Parking
    deliver: Any
    throttles: Throttles

    async def events(self, count: int, every: float, *, once: bool = False) -> list[str]:
        """Accept events, one after the other."""
        found: list[str] = []
        for number in range(count):
            event = codec.encode({"name": str(number), "once": once})
            found.append(await self.runner.start(self.deliver, event))
            await self.let_pass(every)
        return found

    async def let_pass(self, seconds: float, step: float = 5) -> None:
        """Let time pass, by what is due, and by so many seconds at most."""
        until = self.runner.clock() + round(seconds * SECOND)
        while True:
            self.parking.nudge()
            await asyncio.sleep(0.001)
            due = await self.runner.engine.idle()
            now = self.runner.clock()
            if now >= until:
                return
            next = min(
                until, now + round(step * SECOND), due if due is not None and due > now else until
            )
            self.runner.clock.advance((next - now) / SECOND)

    async def ended(self, executions: list[str], within: Micros, step: float = 5) -> Counter[str]:
        """Let time pass until all have ended; returns how many ended in which state."""
        until = self.runner.clock() + within
        while True:
            states = {each.execution: each.state for each in self.runner.changes}
            found = Counter(states[each] for each in executions)
            if found.keys() <= {"succeeded", "failed"} or self.runner.clock() >= until:
                return found
            await self.let_pass(60, step)


@asynccontextmanager
async def shop(
    folder: Path, refuses: Callable[[Micros], bool], retry: Retry | None = None
) -> AsyncIterator[Shop]:
    async with runner_on("memory", folder) as runner:
        app = App(runner.clock, refuses, runner.clock())
        stored = StoredConnection(
            "con_1", "cus_1", "app", "crm", {}, frozenset(), 1, "working", runner.clock()
        )
        throttles = Throttles(runner.engine.journal, runner.clock, chance=random.Random(1))
        crm, keyless = Crm(), Keyless()
        gate = AccountGate(stored, throttles.of("con_1"), fine)
        crm._link = keyless._link = Link("crm", "con_1", egress=app, gate=gate)

        @runner.app.component.action(**({"retry": retry} if retry else {}))
        async def send(name: str) -> None:
            """Send something to the CRM."""
            await crm.post("/things", json={"name": name})

        @runner.app.component.action
        async def send_once(name: str) -> None:
            """Send something that must not be sent twice."""
            await keyless.post("/things", json={"name": name})

        async def deliver(ctx: Any, event: Any) -> None:
            await (send_once if event["once"] else send)(event["name"])

        parking = Parking(runner.engine.journal, Account(stored), runner.engine)
        task = asyncio.create_task(parking.run())
        try:
            yield Shop(runner, app, parking, runner.app.flow(deliver), throttles)
        finally:
            parking.stop()
            with suppress(asyncio.CancelledError):
                await task


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Watch what was let go at the pace of a clock that is moved by hand."""
    monkeypatch.setattr(parked, "LOOK_SECONDS", 0.001)


async def test_an_outage_of_two_hours_costs_no_event_and_few_calls(tmp_path: Path) -> None:
    async with shop(tmp_path, lambda at: at < 2 * HOUR) as found:
        executions = await found.events(60, every=60)  # an hour of them, then one more of nothing
        assert not found.app.done
        assert await found.ended(executions, within=3 * HOUR, step=20) == {"succeeded": 60}
        assert sorted(found.app.done, key=int) == [str(each) for each in range(60)]
        assert found.app.calls < 60 + 200


async def test_control_without_a_circuit_an_outage_leaves_dead_letters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Circuit, "failed", lambda self, reason: None)
    async with shop(tmp_path, lambda at: at < 2 * HOUR) as found:
        executions = await found.events(20, every=60)
        states = await found.ended(executions, within=3 * HOUR, step=20)
        assert states["failed"] >= 10


async def test_an_hour_in_which_a_third_is_refused_costs_no_event(tmp_path: Path) -> None:
    chance = random.Random(7)
    async with shop(tmp_path, lambda at: chance.random() < 0.3) as found:
        executions = await found.events(100, every=36)
        assert await found.ended(executions, within=3 * HOUR, step=20) == {"succeeded": 100}


async def test_what_waits_for_an_app_that_is_away_spends_no_tries_and_says_so(
    tmp_path: Path,
) -> None:
    async with shop(tmp_path, lambda at: at < HOUR) as found:
        executions = await found.events(8, every=5)
        await found.let_pass(600)

        async def all_wait() -> bool:  # one of them may be the probe of this moment
            waiting = [await found.runner.execution(each) for each in executions]
            states = {(each.state, each.waiting_for) for each in waiting}
            return states == {("waiting", "connection:con_1")}

        await until(all_wait)
        (rest,) = (await found.runner.engine.journal.resting()).values()
        assert rest.away
        assert rest.reason.startswith("it answered 503")
        await found.ended(executions, within=2 * HOUR, step=20)
        tries = [
            each.tries
            for execution in executions[4:]
            for each in await found.runner.history(execution)
            if each.kind == "action"
        ]
        assert max(tries) < 5


async def hours_of_silence(folder: Path) -> int:
    """Return how many dead letters an app leaves that takes requests and does not answer."""
    async with shop(folder, lambda at: at < 2 * HOUR) as found:
        found.app.hangs = True
        opening = await found.events(5, every=3)  # they open the circuit
        waiting = await found.events(20, every=6, once=True)
        waiting += await found.events(1, every=6)
        for each in opening:
            await found.runner.engine.cancel(each, "no longer wanted")
        states = await found.ended(waiting, within=4 * HOUR, step=20)
        return states.get("failed", 0)


async def test_the_probe_of_an_app_that_does_not_answer_is_one_that_may_be_repeated(
    tmp_path: Path,
) -> None:
    assert await hours_of_silence(tmp_path) == 0


async def test_control_the_oldest_as_the_probe_becomes_a_dead_letter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doing, "ONCE", "")
    assert await hours_of_silence(tmp_path) > 5


async def test_one_customers_failing_request_does_not_hold_anothers_steps(tmp_path: Path) -> None:
    async with shop(tmp_path, lambda at: False) as found:
        found.app.refused = "evil"

        async def events(customer: str, count: int) -> list[str]:
            body = codec.encode({"name": customer, "once": True})
            of = {"customer": f"cus_{customer}", "instance": f"ins_{customer}"}
            start = found.runner.start
            return [await start(found.deliver, body, **of) for _ in range(count)]

        await events("evil", 8)
        await found.let_pass(30, step=1)  # the circuit opens
        assert (await found.runner.engine.journal.throttled("con_1")).away
        others = await events("vic", 4)
        assert await found.ended(others, within=10 * 60 * SECOND, step=1) == {"succeeded": 4}


async def test_an_app_that_is_away_for_more_than_a_day_ends_in_a_dead_letter(
    tmp_path: Path,
) -> None:
    async with shop(tmp_path, lambda at: True) as found:
        executions = await found.events(1, every=1)
        await found.let_pass(23 * 3_600, step=600)
        assert (await found.runner.execution(executions[0])).state == "waiting"
        assert await found.ended(executions, within=3 * HOUR, step=300) == {"failed": 1}


async def test_a_test_that_passes_ends_the_wait_at_once(tmp_path: Path) -> None:
    async with shop(tmp_path, lambda at: at < HOUR) as found:
        executions = await found.events(5, every=5)
        journal, left = found.runner.engine.journal, 0
        while left < 40 * SECOND:  # a probe has failed just now, so the next one is due later
            await found.let_pass(1)
            rest = await journal.throttled("con_1")
            left = rest.until - found.runner.clock()
        found.app.refuses = lambda at: False
        assert not found.app.done
        await found.throttles.answered("con_1")
        for _ in range(40):
            await found.let_pass(0.05)
        assert await found.ended(executions, within=SECOND) == {"succeeded": 5}
        assert rest.until > found.runner.clock()
        assert await journal.throttled("con_1") == Throttled()


@pytest.mark.usefixtures("unfiltered_logs")
async def test_that_an_app_is_back_is_logged_once_and_no_failed_probe_is(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as logs:
        async with shop(tmp_path, lambda at: at < HOUR) as found:
            executions = await found.events(5, every=5)
            assert await found.ended(executions, within=2 * HOUR, step=20) == {"succeeded": 5}

            async def told() -> list[Any]:
                return [each for each in logs if "works again" in each["event"]]

            await until(told)
    [only] = await told()
    assert only["count"] == 5


async def test_a_worker_learns_that_another_one_found_the_app_back(tmp_path: Path) -> None:
    async with shop(tmp_path, lambda at: False) as found:
        journal, now = found.runner.engine.journal, found.runner.clock()
        circuit = found.throttles.of("con_1").circuit
        await journal.rest("con_1", Throttled(now + HOUR, "it answered 503", away=True, since=now))
        await found.throttles.look()
        with pytest.raises(Away):
            circuit.enter()
        await journal.close_circuit("con_1")
        await found.throttles.look()
        circuit.enter()


@pytest.mark.parametrize(("gap", "opens"), [(1, False), (3, True)])
def test_five_failures_in_a_row_open_it_once_ten_seconds_have_passed(gap: int, opens: bool) -> None:
    clock, noted = ManualClock(), list[str]()
    circuit = Circuit(
        "connection:x", lambda: "x", clock, lambda until, why, since: noted.append(why)
    )
    for _ in range(5):
        circuit.enter()
        circuit.failed("it answered 503")
        clock.advance(gap)
    assert bool(noted) is opens


def test_one_probe_at_a_time_tries_an_open_circuit_and_a_success_closes_it() -> None:
    clock = ManualClock()
    circuit = Circuit("connection:x", lambda: "x", clock, lambda until, why, since: None)
    for _ in range(5):
        circuit.failed("no connection")
        clock.advance(3)
    clock.advance(60)
    circuit.enter()
    with pytest.raises(Away, match="x is away: no connection; it is tried again at"):
        circuit.enter()
    circuit.succeeded()
    circuit.enter()
    assert circuit.away(UpstreamError(status=503)) is None


def answer(status: int) -> Response:
    return Response(status, CIMultiDictProxy(CIMultiDict[str]()), b"", "https://crm.example/")


@pytest.mark.parametrize("status", [400, 429, 500])
async def test_a_probe_that_the_app_answers_closes_the_circuit(status: int) -> None:
    throttle = away()
    await throttle.enter()
    throttle.heard(answer(status))
    assert not throttle.circuit.is_open


@pytest.mark.parametrize(
    "error", [DefinitionError("no header"), EgressRefused("another host"), Unauthorized()]
)
async def test_a_probe_that_was_not_sent_lets_the_next_one_go(
    error: DefinitionError | UpstreamError,
) -> None:
    throttle = away()
    await throttle.enter()
    throttle.leave()
    throttle.failed(error)
    assert throttle.circuit.is_open
    await throttle.enter()


async def test_a_probe_that_waits_for_its_turn_lets_the_next_one_go() -> None:
    throttle = away()
    throttle.limits = ConnectionLimits(rate=1.0, burst=1)
    throttle._asking = 100
    with pytest.raises(Blocked):
        await throttle.enter()
    throttle._asking = 0
    await throttle.enter()


def away() -> Throttle:
    """Return a throttle whose circuit is open, at the time of its next probe."""
    clock = ManualClock()
    throttle = Throttles(LocalKeeper(clock), clock).of("con_1")
    for _ in range(5):
        throttle.heard(answer(503))
        clock.advance(3)
    clock.advance(60)
    assert throttle.circuit.is_open
    return throttle
