"""`run`: an author's flow on the real engine, over a store in memory and a clock that a test moves."""

from __future__ import annotations

import asyncio
import copy
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel

from halflap.engine.clock import MADE_AT, ManualClock
from halflap.engine.executor import Executor
from halflap.engine.journal import JournalEngine
from halflap.engine.protocol import Ended, Turn, Verdict
from halflap.engine.turn import JournalTurn
from halflap.errors import DefinitionError, FilterFailed
from halflap.model import (
    SYSTEM,
    FlowKey,
    LogLine,
    Micros,
    Outcome,
    Record,
    Start,
    new_id,
    to_datetime,
    to_micros,
)
from halflap.sdk import codec
from halflap.sdk.context import CustomerInfo, InstanceInfo
from halflap.sdk.declared import FILTERED, apply_filter, as_event, marked
from halflap.sdk.integration import Flow, Integration
from halflap.sdk.pairs import Pairs
from halflap.sdk.request import Headers, Request
from halflap.sdk.schema import Config
from halflap.sdk.trigger import BoundTrigger, Ignore
from halflap.store.history import outcome_of
from halflap.store.journal import SqliteJournal
from halflap.store.protocol import Filter
from halflap.store.store import memory_file
from halflap.testing import large
from halflap.testing.fake import Fake
from halflap.testing.fixture import Fixture, Recorded, compare, load_fixture
from halflap.testing.instance import (
    CUSTOMER,
    INSTANCE,
    SHARED,
    Held,
    TestInstance,
    held,
    integration_of,
    keep,
    pairs_in,
    scopes_of,
    state_in,
)
from halflap.testing.result import Called, Result, Step, calls_in, logged
from halflap.testing.stub import Stubs, in_turn

MOST_LINKS = 1_000
"""The number of executions after which a flow that continues is ended, as one without an end."""


class GivenTrigger(BoundTrigger[Any]):
    """A trigger that was passed by: it has the typed event already, or that it is ignored."""

    def __init__(self, bound: BoundTrigger[Any], event: Any) -> None:
        self.__dict__.update(bound.__dict__)
        self._event = event

    async def parse(self, request: Request) -> Any:
        """The event, afresh for every attempt."""
        return copy.deepcopy(self._event)


@dataclass(frozen=True, slots=True)
class Run:
    """Runs flows in a test: `result = await run(warehouse.stock, {...}, stubs={...})`.

    What runs is what runs in production: the same engine, journal, retries and validation, on a
    store in memory; time is a clock that the test moves, and actions are stubbed or faked.
    """

    async def __call__(
        self,
        flow: Flow[Any, Any, Any],
        event: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        config: Config | Mapping[str, Any] | None = None,
        stubs: Mapping[Any, Any] | None = None,
        fake: Fake | None = None,
        fail: Mapping[Any, list[Exception]] | None = None,
        fail_once: Mapping[Any, Exception] | None = None,
        state: Mapping[str, Any] | None = None,
        shared: Mapping[str, Mapping[str, Any]] | None = None,
        paired: Mapping[Pairs, Sequence[Mapping[str, str]]] | None = None,
        current: Mapping[str, Mapping[str, Any] | None] | None = None,
        customer: CustomerInfo | str | None = None,
        instance: InstanceInfo | str | None = None,
        now: datetime | None = None,
        urls: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        signals: Mapping[str, Any] | None = None,
        integration: Integration[Any] | None = None,
    ) -> Result:
        """Run a flow to its end; what fails is in the result, and raised by `raise_for_failure`.

        event: what the app sends (a dict, text or bytes, read by the trigger as a JSON request with
            `headers`), a `Request`, or the typed event itself, which no trigger reads then. What the
            flow's filter does not want is ignored, and what `keep=` leaves out is not seen.
        config: the customer's answers; connections that are left out are made up.
        stubs: by action, its answer: a value, a list of one answer per call, an exception, or a
            function of the action's inputs. `@step`s and pure actions run unless stubbed. A sibling
            flow that is called runs too, unless it is stubbed: `{ship: Parcel(…)}`.
        fake: the apps; actions that are not stubbed run against it.
        fail: by action, errors that are raised first. fail_once: one such error.
        state: what `ctx.state` holds. shared: what is shared, `{"instance": {…}, "integration": {…}}`.
        customer, instance: for whom it runs, or their names. urls, secrets: of flows, by name.
        signals: what is sent while it waits, by name: `{"approved": {"by": "Ada"}}`; several of one
            name with `in_turn`. Where none is, time passes up to the wait's `timeout`.
        paired: the records that belong together: `{accounts: [{"salesforce": "001", "acme": "a1"}]}`.
        current: records as they are at the app, by name (`acme/account/a1`), None where one is gone;
            others are taken as the event tells them.
        """
        integration = integration or integration_of(flow)
        clock = ManualClock(MADE_AT if now is None else to_micros(now))
        failures = {key: list(errors) for key, errors in (fail or {}).items()}
        for key, error in (fail_once or {}).items():
            failures.setdefault(key, []).append(error)
        work = Stubs(stubs or {}, failures, networked=fake is not None)
        answers = None if flow.is_shared else config or {}
        made = TestInstance(
            integration,
            answers,
            customer,
            urls or {},
            fake,
            current or {},
            instance=instance,
            secrets=secrets or {},
        )
        flow = flow.resolved(made.config)
        request = event
        if not isinstance(event, Request):
            request = request_with(flow, event, headers or {}, clock)
        start = start_of(flow, integration, request, root=None)
        scopes = scopes_of(flow, integration)
        kept = held(scopes, state or {}, shared or {}, paired or {}, made.seal)
        taken, start = judged(flow, event, request, start)
        return await execute(taken, start, made, work, kept, clock, payloads(signals or {}))

    async def fixture(
        self,
        path: Path | str,
        flow: Flow[Any, Any, Any] | None = None,
        *,
        config: Config | Mapping[str, Any] | None = None,
    ) -> Result:
        """Run a recorded execution again with its recorded results, and assert that it goes the same way.

        The flow is found by the fixture's names among the integrations that are imported, unless it
        is given. An `AssertionError` shows the first step, or the outcome, that differs.
        """
        fixture = load_fixture(path)
        flow = flow or imported(fixture)
        integration = integration_of(flow)
        clock = ManualClock(fixture.now or MADE_AT)
        work = Recorded(fixture, clock)
        instance = TestInstance(
            integration, {**fixture.config, **dict(config or {})}, None, {}, None, fixture.records
        )
        flow = flow.resolved(instance.config)
        start = start_of(flow, integration, fixture.request(), root=fixture.root)
        scopes, pairs = scopes_of(flow, integration), fixture.pairs_of(integration)
        kept = held(scopes, fixture.state, fixture.shared, pairs, instance.seal)
        result = await execute(flow, start, instance, work, kept, clock, fixture.sent(), alone=True)
        compare(fixture, result)
        return result


async def execute(
    flow: Flow[Any, Any, Any],
    start: Start,
    instance: TestInstance,
    work: Stubs,
    kept: Held,
    clock: ManualClock,
    signals: Sequence[tuple[str, bytes, Micros]] = (),
    *,
    alone: bool = False,
) -> Result:
    """Run one execution on a store of its own, whose state holds what is `kept` already.

    signals: what is sent while it waits, oldest first, and when. alone: where it continues with
    another event, that is not run; else the result is that of the whole chain.
    """
    resolve = instance.resolve(flow, work.flow)
    await resolve(start.flow)  # a server waits until a config fits; a test is told
    database = memory_file(clock)
    journal = SqliteJournal(database, clock)
    engine = JournalEngine(journal, clock=clock)
    await keep(journal, kept)
    chance = random.Random(0)  # noqa: S311 (repeatable on purpose)
    executor = Executor(resolve, chance, work.perform, reader=large.kept)

    continued: set[str] = set()

    async def handle(turn: Turn) -> Verdict:
        if start.event.large is not None and isinstance(turn, JournalTurn):
            give_large(turn, start)
        if alone and turn.start.chain is not None:
            return Ended(Outcome("ignored", "another test's"))
        if turn.start.chain is not None:
            continued.add(turn.start.execution)
            if len(continued) >= MOST_LINKS:
                return Ended(Outcome("cancelled", "it continues without an end"))
        return await executor(turn)

    # A large body is the test's own, and not stored.
    await engine.start([replace(start, event=replace(start.event, large=None))])
    later = [each for each in signals if each[2] > clock()]
    for name, payload, at in signals:
        if at <= clock():  # before the flow begins
            await engine.signal(start.execution, name, payload)
    running = asyncio.create_task(engine.run(handle))
    try:
        for name, payload, at in later:
            await advance_to(engine, clock, at)
            await engine.signal(start.execution, name, payload)
        outcome = await finish(engine, clock, start.execution)
    finally:
        await engine.stop(0)
        await running
    for mistake in (*work.mistakes, *instance.mistakes):
        raise mistake
    if len(continued) >= MOST_LINKS:
        raise DefinitionError(
            f"the flow {flow.name} has continued {MOST_LINKS:,} times without an end, and a test stops "
            "there; continue under a condition that fails at last, or give the test fewer pages"
        )
    first = await journal.execution(start.execution)
    assert first is not None
    links = [first]
    if alone:
        outcome = outcome_of(first.id, first)
    elif first.chain is not None:
        links = (await journal.executions(Filter(chain=first.chain, limit=MOST_LINKS)))[::-1]
    records: list[Record] = []
    steps: list[Step] = []
    calls: list[Called] = []
    lines: list[LogLine] = []
    for link in links:
        found = await journal.steps(link.id)
        own = [step_of(e, work, link.root) for e in found if e.kind in ("action", "step")]
        calls += calls_in(found, {each.path: each.inputs for each in own})
        steps += own
        records += found
        lines += [each for _, each in await journal.logs(link.id)]
    scopes = scopes_of(flow, instance.integration)
    result = Result(
        execution=start.execution,
        outcome=outcome,
        state=links[-1].state,
        attempts=sum(each.attempt for each in links),
        steps=steps,
        calls=calls,
        records=records,
        logs=[logged(each) for each in lines],
        stored=await state_in(journal, scopes["flow"]),
        shared={each: await state_in(journal, scopes[each]) for each in SHARED},
        paired=await pairs_in(journal, instance.integration),
        runs={
            name: work.times(name)
            for name in {each.action.name for tries in work.done.values() for each in tries}
        },
        unused=work.unused,
    )
    await database.close()
    return result


async def finish(engine: JournalEngine, clock: ManualClock, execution: str) -> Outcome | None:
    """Run an execution to its end, letting time pass wherever nothing else can happen.

    None where it waits for what time does not bring, such as a signal.
    """
    while True:
        due = await engine.idle()
        if (found := await engine.outcome(execution, 0)) is not None:
            return found
        if due is None or due <= clock():
            return None
        clock.advance((due - clock()) / 1e6)


async def advance_to(engine: JournalEngine, clock: ManualClock, at: Micros) -> None:
    """Let time pass up to a moment, with all that becomes due meanwhile."""
    while clock() < at:
        due = await engine.idle()
        clock.advance((min(at, max(due or at, clock() + 1)) - clock()) / 1e6)


def give_large(turn: JournalTurn, start: Start) -> None:
    """Give a turn the large body that its execution was started with."""
    if turn.start.execution == start.execution:
        turn.start = replace(turn.start, event=start.event)


def start_of(
    flow: Flow[Any, Any, Any], integration: Integration[Any], request: Request, *, root: str | None
) -> Start:
    """The start of an execution for a request, with no more of its body than the flow keeps."""
    execution, lifecycle = new_id("exe"), flow.trigger.declaration.lifecycle
    # As in production, where the author's flow is a part of ours: what ours may not, it may not.
    name = flow.name if lifecycle is None else f"{SYSTEM}{lifecycle}"
    return Start(
        execution=execution,
        flow=FlowKey(CUSTOMER.id, INSTANCE, integration.name, name, "test", 1),
        event=as_event(request, flow, to_micros(request.received_at)),
        root=root or execution,
    )


def request_with(
    flow: Flow[Any, Any, Any], event: Any, headers: Mapping[str, str], clock: ManualClock
) -> Request:
    """The request that brings an event; for a schedule's flow a tick, for a deploy flow its reason."""
    declared = flow.trigger.declaration
    if (event is None or event == {}) and declared.ticks is not None:
        event = {"at": to_datetime(clock()).isoformat()}
    if event is None and declared.lifecycle is not None:
        reason = "activate" if declared.lifecycle == "deploy" else "disable"
        event = {"instance": INSTANCE, "version": "test", "reason": reason}
    return make_request(event, headers=headers, received_at=to_datetime(clock()))


def make_request(
    body: Any = None,
    *,
    headers: Mapping[str, str] | None = None,
    method: str = "POST",
    path: str = "",
    query: str = "",
    received_at: datetime | None = None,
) -> Request:
    """A request as an app sends it; a body that is neither text nor bytes is sent as JSON."""
    given = dict(headers or {})
    if not any(name.lower() == "content-type" for name in given):
        given["Content-Type"] = "application/json"
    return Request(
        method=method,
        path=path,
        query=query,
        headers=Headers(given.items()),
        body=as_bytes(body),
        url=f"https://halflap.example/hooks/test{path}{'?' if query else ''}{query}",
        received_at=received_at or to_datetime(MADE_AT),
    )


def as_bytes(body: Any) -> bytes:
    """A body as it travels."""
    match body:
        case None:
            return b""
        case bytes():
            return body
        case str():
            return body.encode()
        case _:
            return codec.encode(body)


def judged(
    flow: Flow[Any, Any, Any], event: Any, request: Request, start: Start
) -> tuple[Flow[Any, Any, Any], Start]:
    """Return the flow and the start of its execution, as the flow's filter decides.

    The trigger reads nothing where the event is typed, or the filter does not take it; the event is
    marked where the filter raises.
    """
    found: Any = event
    if not isinstance(event, BaseModel):
        try:
            if apply_filter(flow, request):
                return flow, start
        except FilterFailed as error:
            return flow, replace(start, event=marked(start.event, flow, error))
        found = Ignore(FILTERED)
    typed = copy.copy(flow)
    typed.trigger = GivenTrigger(flow.trigger, found)
    return typed, start


def payloads(signals: Mapping[str, Any]) -> list[tuple[str, bytes, Micros]]:
    """Signals as they are sent: name and payload, in order, all at once."""
    return [
        (name, codec.encode(each), 0)
        for name, value in signals.items()
        for each in (value.answers if isinstance(value, in_turn) else [value])
    ]


def step_of(record: Record, work: Stubs, root: str) -> Step:
    """A record as a test compares it."""
    tries = work.done.get((root, record.path))
    if tries:
        inputs, definition, key = tries[-1].inputs, tries[-1].action, tries[-1].key
    else:  # its inputs did not fit, so it was never run
        inputs = dict(codec.decode(record.inputs or b"{}"))
        inputs.pop("$connection", None)
        definition, key = None, ""
    return Step(
        record.name,
        tuple(sorted(inputs.items())),
        path=record.path,
        title=record.title,
        status=record.status,
        tries=record.tries,
        key=key,
        result=None if record.result is None else codec.decode(record.result),
        failure=record.failure,
        definition=definition,
    )


def imported(fixture: Fixture) -> Flow[Any, Any, Any]:
    """The flow of a fixture, among the integrations that the test has imported."""
    for module in list(sys.modules.values()):
        for value in list(getattr(module, "__dict__", {}).values()):
            if isinstance(value, Integration) and value.name == fixture.integration:
                found = cast("Integration[Any]", value).flows.get(fixture.flow)
                if found is not None:
                    return found
    raise DefinitionError(
        f"no integration {fixture.integration!r} with a flow {fixture.flow!r} is imported; import "
        "its module in the test, or give the flow: run.fixture(path, module.flow)"
    )
