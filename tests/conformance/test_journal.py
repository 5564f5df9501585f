"""The promises of every journal, on each store: SQLite (a file, or memory) and PostgreSQL."""

import asyncio
import json
from dataclasses import fields, replace
from typing import Any, cast

import pytest

from halflap.errors import Conflict, NotFound, Rejected
from halflap.model import (
    MISSING,
    Dedupe,
    Event,
    Failure,
    FlowKey,
    LogLine,
    Micros,
    Order,
    Outcome,
    Paused,
    Record,
    Replay,
    Signal,
    Start,
    StateWrite,
    VersionPin,
    new_id,
)
from halflap.store.history import outcome_at_end
from halflap.store.protocol import (
    Cancelling,
    Claim,
    Filter,
    Journal,
    Pinning,
    Release,
    Written,
)
from halflap.store.rules.cause import cause_mark
from tests.cases import for_each
from tests.journals import ON_EVERY_STORE, StandingClock, cancel_one

SECOND: Micros = 1_000_000
LEASE: Micros = 30 * SECOND
DONE = Outcome("succeeded", result=b"null")


def flow(customer: str = "cus_a", instance: str = "", name: str = "orders") -> FlowKey:
    return FlowKey(customer, instance or f"ins_of_{customer}", "shop", name, "v1", 3)


NOWHERE: Any = FlowKey("cus_1", "ins_1", cast(Any, None), "orders", "v1", 1)
"""A key that no store may keep: the integration is required."""


def start(of: FlowKey | None = None, **changes: Any) -> Start:
    event = Event(
        method="POST",
        path="/orders/1",
        query="a=1&a=2",
        headers=(("content-type", "application/json"), ("x-twice", "1"), ("x-twice", "2")),
        body=b'{"id": 1}',
        received_at=12,
        url="https://hooks.example/hooks/hk_1/orders/1?a=1&a=2",
    )
    execution = new_id("exe")
    return replace(Start(execution, of or flow(), event, root=execution), **changes)


def record(path: str = "acme.save#1", status: Any = "succeeded", **changes: Any) -> Record:
    made = Record(
        seq=1,
        path=path,
        kind="action",
        name="acme.save",
        title="Save",
        status=status,
        started_at=10,
        ended_at=20,
        inputs=b'{"a":1}',
        result=b'"ok"',
    )
    return replace(made, **changes)


async def accepted(journal: Journal, *starts: Start) -> None:
    await journal.accept(starts, claim=0, lease=LEASE)


async def running(journal: Journal, begun: Start | None = None) -> Claim:
    """An execution that was just accepted and claimed at once."""
    (answer,) = await journal.accept([begun or start()], claim=1, lease=LEASE)
    assert answer.claim is not None
    return answer.claim


async def claim_one(journal: Journal, *, probation: bool = False) -> Claim:
    (claim,) = await journal.claim(1, LEASE, probation=probation)
    return claim


async def state(journal: Journal, execution: str) -> str:
    found = await journal.execution(execution)
    assert found is not None
    return found.state


# -- accept -----------------------------------------------------------------------------------


@ON_EVERY_STORE
async def test_what_is_accepted_is_kept_as_it_came(journal: Journal, clock: StandingClock):
    begun = start(key="order-1", replay_of="exe_before")
    (answer,) = await journal.accept([begun], claim=0, lease=LEASE)
    assert (answer.execution, answer.duplicate_of, answer.claim) == (begun.execution, None, None)
    found = await journal.execution(begun.execution)
    assert found is not None
    assert found.flow == begun.flow
    assert (found.state, found.attempt, found.key) == ("queued", 0, "order-1")
    assert (found.root, found.replay_of) == (begun.execution, "exe_before")
    assert (found.accepted_at, found.due_at, found.started_at) == (clock.now, clock.now, None)
    assert await journal.event(begun.execution) == begun.event


async def test_what_is_not_wanted_any_more_is_not_accepted(journal: Journal):
    left, stays = start(), start()
    answers = await asyncio.gather(
        journal.accept([left], claim=1, lease=LEASE, is_wanted=lambda: False),
        journal.accept([stays], claim=1, lease=LEASE),
    )
    assert [len(each) for each in answers] == [0, 1]
    assert await journal.execution(left.execution) is None
    assert [each.id for each in await journal.executions(Filter())] == [stays.execution]


async def test_accepting_an_id_twice_starts_it_once(journal: Journal):
    begun = start(dedupe=Dedupe("d-1"))
    at_once = await asyncio.gather(
        *(journal.accept([begun], claim=1, lease=LEASE) for _ in range(5))
    )
    answers = [*at_once, await journal.accept([begun], claim=1, lease=LEASE)]
    assert {(a.execution, a.duplicate_of) for (a,) in answers} == {(begun.execution, None)}
    (claim,) = [a.claim for (a,) in answers if a.claim is not None]
    assert await journal.end(claim.lease, [], [], DONE) is Written.DONE
    await accepted(journal, begun)
    found = await journal.execution(begun.execution)
    assert found is not None
    assert (found.state, found.duplicates) == ("succeeded", 0)


@ON_EVERY_STORE
async def test_a_claim_at_once_has_all_that_a_later_one_has(journal: Journal, clock: StandingClock):
    copied = (record("a#1", seq=0), record("b#1", seq=1))
    begun = start(
        copied=copied,
        replay_of="exe_x",
        root="exe_x",
        key="k",
        order=Order("order:ins_a:orders", "k", when_busy="replace"),
        parent="exe_p",
        bound=False,
        replay=Replay(version="same", at=7),
        chain="exe_c",
        link=3,
    )
    for each in fields(Start):  # none that is kept is left out here
        if each.name not in ("dedupe", "continues", "decided"):
            assert getattr(begun, each.name) != each.default
    at_once = await running(journal, begun)
    assert at_once.start == begun
    assert at_once.history == copied
    assert at_once.lease.until == clock.now + LEASE
    assert (at_once.attempt, at_once.accepted_at) == (1, clock.now)
    await journal.release(at_once.lease, [], [], Release("drained", clock.now))
    later = await claim_one(journal)
    assert later.start == replace(begun, copied=())
    assert later.history == copied
    assert later.attempt == 2
    assert later.lease.fence > at_once.lease.fence


@ON_EVERY_STORE
async def test_a_hundred_duplicates_at_once_are_one_execution(journal: Journal):
    starts = [start(dedupe=Dedupe("delivery-1")) for _ in range(100)]
    answers = await asyncio.gather(
        *(journal.accept([each], claim=1, lease=LEASE) for each in starts)
    )
    firsts = [answer.execution for (answer,) in answers if answer.duplicate_of is None]
    assert len(firsts) == 1
    assert {a.duplicate_of for (a,) in answers if a.execution != firsts[0]} == {firsts[0]}
    assert sum(answer.claim is not None for (answer,) in answers) == 1
    (found,) = await journal.executions(Filter(limit=200))
    assert (found.id, found.duplicates) == (firsts[0], 99)


async def test_a_dedupe_key_holds_within_its_flow_only(journal: Journal):
    starts = [
        start(flow("cus_a"), dedupe=Dedupe("d")),
        start(flow("cus_b"), dedupe=Dedupe("d")),
        start(flow("cus_a", name="returns"), dedupe=Dedupe("d")),
        start(flow("cus_a"), dedupe=Dedupe("D")),
        start(flow("cus_a")),
        start(flow("cus_a")),
    ]
    answers = await journal.accept(starts, claim=0, lease=LEASE)
    assert [each.duplicate_of for each in answers] == [None] * 6


@ON_EVERY_STORE
async def test_a_customers_key_has_one_events_contents_until_it_is_erased(journal: Journal):
    def published(contents: str, customer: str = "cus_a", name: str = "orders") -> Start:
        return start(flow(customer, name=name), dedupe=Dedupe("k", contents=contents))

    await journal.accept([published("x")], claim=0, lease=LEASE)
    again, later = published("x"), published("x", name="returns")
    answers = await journal.accept([again, later], claim=0, lease=LEASE)
    assert [each.duplicate_of is None for each in answers] == [False, True]
    await journal.accept([published("y", "cus_b")], claim=0, lease=LEASE)
    for others in ([published("y", name="new")], [start(), published("y", name="new")]):
        with pytest.raises(Conflict):
            await journal.accept(others, claim=0, lease=LEASE)
        assert await journal.execution(others[0].execution) is None
    assert await journal.erase("cus_a", 10) == 1
    await journal.accept([published("y", name="new")], claim=0, lease=LEASE)


@ON_EVERY_STORE
async def test_a_split_request_is_accepted_whole_or_not_at_all(journal: Journal):
    good, bad = start(dedupe=Dedupe("d")), start(of=NOWHERE)
    with pytest.raises(Exception, match=r"(?i)not[ -]null"):
        await journal.accept([good, bad], claim=0, lease=LEASE)
    assert await journal.execution(good.execution) is None
    (answer,) = await journal.accept([start(dedupe=Dedupe("d"))], claim=0, lease=LEASE)
    assert answer.duplicate_of is None


@ON_EVERY_STORE
async def test_one_that_cannot_be_kept_hurts_no_other(journal: Journal):
    starts = [start() for _ in range(20)]
    starts[7] = start(of=NOWHERE)
    results = await asyncio.gather(
        *(journal.accept([each], claim=0, lease=LEASE) for each in starts), return_exceptions=True
    )
    assert [isinstance(each, Exception) for each in results] == [n == 7 for n in range(20)]
    assert len(await journal.executions(Filter())) == 19


@ON_EVERY_STORE
async def test_bodies_and_texts_survive_byte_for_byte(journal: Journal):
    event = Event(
        method="PUT",
        path="/ü/\x00/☃",
        query="q=%00\x00",
        headers=(("x-latin", "\x00caf\xe9\xff"), ("", ""), ("x-emoji", "🦉")),
        body=bytes(range(256)) * 300 + b"\xff\xfe\x00",
        received_at=1,
        part=7,
    )
    begun = start(event=event, key="k\x00ey")
    await accepted(journal, begun)
    assert await journal.event(begun.execution) == event
    assert (await claim_one(journal)).start == begun
    await accepted(journal, start(key="k"))
    assert [e.id for e in await journal.executions(Filter(key="k\x00ey"))] == [begun.execution]


async def test_text_that_utf8_cannot_hold_is_refused_before_the_transaction(journal: Journal):
    events: list[dict[str, Any]] = [
        {field: "/\udcff"} for field in ("path", "query", "url", "method")
    ]
    events.append({"headers": (("x", "\udcff"),)})
    bad = [start(event=replace(start().event, **each)) for each in events]
    for each in (start(key="\ud800"), *bad):
        with pytest.raises(Rejected, match="UTF-8") as caught:
            await accepted(journal, start(), each)
        assert caught.value.status == 400
        assert await journal.executions(Filter()) == []


# -- claim ------------------------------------------------------------------------------------


@ON_EVERY_STORE
async def test_many_claimers_at_once_never_get_the_same(journal: Journal):
    await accepted(journal, *(start() for _ in range(60)))
    claims = await asyncio.gather(*(journal.claim(7, LEASE) for _ in range(12)))
    got = [each.start.execution for some in claims for each in some]
    assert len(got) == len(set(got)) == 60


async def test_the_oldest_of_a_customer_goes_first(journal: Journal, clock: StandingClock):
    starts = [start() for _ in range(4)]
    for each in starts:
        await accepted(journal, each)
        clock.move(1)
    got = [(await claim_one(journal)).start.execution for _ in starts]
    assert got == [each.execution for each in starts]


async def test_flows_of_ours_pass_where_an_instance_is_held(journal: Journal):
    deploy = flow(name="$deploy")
    waiting = start(deploy)
    await accepted(journal, waiting)
    await journal.hold(deploy.instance)
    assert (await claim_one(journal)).start.execution == waiting.execution
    await running(journal, start(deploy))
    await accepted(journal, start(flow(name="deploy")))
    assert await journal.claim(10, LEASE) == []


@pytest.fixture
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold and let go fifty in a transaction, where it would be thousands."""
    monkeypatch.setattr("halflap.store.gates.HELD_AT_ONCE", 50)
    monkeypatch.setattr("halflap.store.postgres.gates.HELD_AT_ONCE", 50)


@pytest.mark.usefixtures("few_at_once")
async def test_holding_many_holds_every_one(journal: Journal):
    starts = [start(flow("cus_a", "ins_big")) for _ in range(151)]
    await accepted(journal, *starts)
    await journal.hold("ins_big")
    assert await journal.claim(10, LEASE) == []
    await journal.release_instance("ins_big")
    assert len(await journal.claim(1_000, LEASE)) == 151


async def test_what_has_not_begun_is_released_on_the_version_of_then(journal: Journal):
    here = replace(flow("cus_a", "ins_moving"), version="old", revision=1)
    failed = await running(journal, start(here))
    await journal.end(failed.lease, [], [], Outcome("failed", "no"))
    begun = await running(journal, start(here))
    before = start(here)
    await accepted(journal, before)
    parent = before.execution
    queued, gone = start(here), start(replace(here, flow="gone"))
    replayed, awaited = start(here, replay_of=failed.start.execution), start(here, parent=parent)
    started = start(here, parent=parent, bound=False)
    await journal.hold("ins_moving")
    await accepted(journal, queued, gone, replayed, awaited, started)
    await journal.release(begun.lease, [], [], Release("retry", 0))

    pinning = Pinning(VersionPin("new", 2), (here.flow,))
    await journal.release_instance("ins_moving", pinning)

    claims = await journal.claim(20, LEASE)
    pinned = {each.start.execution: each.start.flow for each in claims}
    new = replace(here, version="new", revision=2)
    assert {pinned[parent], pinned[queued.execution], pinned[started.execution]} == {new}
    for each in (begun.start, replayed, awaited, gone):
        assert pinned[each.execution] == each.flow
    listed = await journal.executions(Filter(instance="ins_moving", limit=20))
    assert {each.id: each.flow for each in listed if each.id in pinned} == pinned


# -- replays, and many at once ---------------------------------------------------------------


async def test_how_an_execution_is_a_replay_is_kept_live_and_ended(journal: Journal):
    first = await running(journal)
    await journal.end(first.lease, [], [], Outcome("failed", "no"))
    of = first.start.execution
    for how in (Replay(), Replay("failed", "same", True, "blk_1")):
        new = await running(journal, start(replay_of=of, replay=how))
        assert new.start.replay == how
        await journal.void()
        again = await claim_one(journal, probation=True)
        assert again.start.replay == how
        for _ in range(2):
            found = await journal.execution(new.start.execution)
            assert found is not None
            assert (found.replay_of, found.replay) == (of, how)
            await journal.end(again.lease, [], [], DONE)
    plain = await journal.execution(of)
    assert plain is not None
    assert plain.replay is None


async def test_the_oldest_come_first_after_one_and_times_are_those_of_acceptance(
    journal: Journal, clock: StandingClock
):
    claims: list[Claim] = []
    times: list[Micros] = []
    for number, state in enumerate(("failed", "succeeded", "queued", "failed")):
        clock.move(SECOND)
        claims.append(await running(journal, start(execution=f"exe_{number}", root="exe_0")))
        times.append(clock.now)
        if state != "queued":
            outcome = Outcome(state, "why")
            await journal.end(claims[-1].lease, [], [], outcome)
    ids = [each.start.execution for each in claims]

    async def found(**more: Any) -> list[str]:
        return [each.id for each in await journal.executions(Filter(**more))]

    assert await found(after="") == ids
    assert await found(after=ids[0], before=ids[3]) == ids[1:3]
    assert await found(after=ids[1], limit=1) == [ids[2]]
    assert await found(since=times[1], until=times[3]) == [ids[2], ids[1]]
    assert await found(after="", dead_letters=True) == [ids[0], ids[3]]
    assert await journal.count(Filter(since=times[3])) == {"failed": 1}


async def test_those_alike_are_counted_together_and_deployments_left_out(journal: Journal):
    ends = (("failed", "no 2"), ("failed", "no 1"), ("failed", "gone"), ("ignored", "c"))
    for state, reason in ends:
        claim = await running(journal)
        failure = Failure("A", reason)
        outcome = Outcome(state, reason, failure=failure)  # pyright: ignore[reportArgumentType]
        await journal.end(claim.lease, [], [], outcome)
    await running(journal, start(flow(name="$deploy")))
    await running(journal)
    which = Filter(of_events=True)
    assert await journal.count(which) == {"failed": 3, "ignored": 1, "running": 1}
    tally = await journal.tally(which)
    assert (tally[0].state, tally[0].reason, tally[0].count) == ("failed", "no 1", 2)
    assert tally[0].cause == cause_mark(Failure("A", "no 7"))
    assert sorted((e.state, e.reason, e.count) for e in tally[1:]) == [
        ("failed", "gone", 1),
        ("ignored", "c", 1),
        ("running", "", 1),
    ]
    assert {(e.customer, e.flow, e.version) for e in tally} == {("cus_a", "orders", "v1")}
    assert len(await journal.tally(Filter(limit=2))) == 2
    assert sum(e.count for e in await journal.tally(Filter())) == 6
    [only] = await journal.tally(Filter(dead_letters=True, reason="gone"))
    assert (only.reason, only.count) == ("gone", 1)


# -- erasing ----------------------------------------------------------------------------------


@ON_EVERY_STORE
async def test_nothing_is_accepted_for_a_customer_that_is_shut_and_nothing_begins(journal: Journal):
    waiting = start()
    await journal.accept([waiting], claim=0, lease=LEASE)

    await journal.shut("cus_a")

    with pytest.raises(NotFound):
        await journal.accept([start(flow("cus_b")), start()], claim=9, lease=LEASE)
    assert await journal.claim(9, LEASE) == []
    takes_down = start(flow(name="$deploy"))
    for each in (start(flow("cus_b")), takes_down):
        [taken] = await journal.accept([each], claim=9, lease=LEASE)
        assert taken.claim is not None
    assert await journal.count(Filter()) == {"queued": 1, "running": 2}


# -- pauses -----------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["cus_a", "ins_1", "ins_1/orders"])
async def test_what_is_paused_waits_until_it_is_resumed(journal: Journal, what: str):
    ours = flow("cus_a", "ins_1")
    others = [flow("cus_b", "ins_2")]
    if what != "cus_a":
        others.append(flow("cus_a", "ins_3"))
    if what == "ins_1/orders":
        others.append(flow("cus_a", "ins_1", "refunds"))
    before, *free = (start(each) for each in (ours, *others))
    await accepted(journal, before, *free)
    told = Paused(what, 12, "anna", "the app is down \ud800")
    assert await journal.pause(told)
    assert not await journal.pause(replace(told, by="ben"))
    assert await journal.paused() == [replace(told, reason="the app is down \\ud800")]
    during = start(ours)
    (answer,) = await journal.accept([during], claim=5, lease=LEASE)
    assert answer.claim is None
    got = await journal.claim(10, LEASE)
    assert {each.start.execution for each in got} == {each.execution for each in free}
    assert await journal.next_due() is None
    assert await journal.resume(what)
    assert not await journal.resume(what)
    assert await journal.paused() == []
    got = await journal.claim(10, LEASE)
    assert {each.start.execution for each in got} == {before.execution, during.execution}


async def test_what_is_paused_can_be_cancelled_and_flows_of_ours_pass(journal: Journal):
    await journal.pause(Paused("cus_a", 1))
    deploy, waiting = start(flow(name="$deploy")), start()
    await accepted(journal, deploy, waiting)
    assert (await claim_one(journal)).start.execution == deploy.execution
    assert await cancel_one(journal, waiting.execution, "stop") == "ended"


@pytest.mark.usefixtures("few_at_once")
async def test_pausing_many_pauses_every_one(journal: Journal):
    starts = [start(flow("cus_a", f"ins_{each % 3}")) for each in range(154)]
    await accepted(journal, *starts)
    await journal.pause(Paused("cus_a", 1))
    assert await journal.claim(10, LEASE) == []
    await journal.resume("cus_a")
    assert len(await journal.claim(1_000, LEASE)) == 154


# -- leases and fences ------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["lapse", "void", "blame", "released", "claimed again", "ended"])
async def test_a_lost_fence_writes_nothing(journal: Journal, clock: StandingClock, how: str):
    claim = await running(journal)
    execution, lease = claim.start.execution, claim.lease
    match how:
        case "lapse":
            clock.move(LEASE + 1)
            assert await journal.lapse() == 1
        case "void":
            assert await journal.void() == 1
        case "blame":
            await journal.blame([execution], alone=False)
        case "released":
            await journal.release(lease, [], [], Release("sleep", clock.now + SECOND))
        case "claimed again":
            await journal.release(lease, [], [], Release("later", clock.now))
            await claim_one(journal)
        case _:
            await journal.end(lease, [], [], DONE)
    before = (
        await journal.execution(execution),
        await journal.attempts(execution),
        await journal.next_due(),
    )
    line, write = LogLine(1, "info", "x"), StateWrite("flow:a:b", "k", b"1")
    assert await journal.commit(lease, [record()], [line], [write]) is Written.FENCED
    assert await journal.end(lease, [record()], [line], DONE) is Written.FENCED
    release = Release("retry", 0)
    assert await journal.release(lease, [record()], [line], release) is Written.FENCED
    assert await journal.renew([lease], LEASE) == []
    assert await journal.steps(execution) == []
    assert await journal.logs(execution) == []
    assert await journal.read_state("flow:a:b", "k") is None
    after = (
        await journal.execution(execution),
        await journal.attempts(execution),
        await journal.next_due(),
    )
    assert after == before


@ON_EVERY_STORE
async def test_a_lost_fence_in_a_shared_commit_disturbs_no_other(journal: Journal):
    claims = [await running(journal) for _ in range(30)]
    await journal.blame([claims[3].start.execution, claims[20].start.execution], alone=False)
    written = await asyncio.gather(
        *(
            journal.end(each.lease, [record()], [], DONE)
            if number % 2
            else journal.commit(each.lease, [record()], [], [])
            for number, each in enumerate(claims)
        )
    )
    lost = {3, 20}
    assert [each is Written.FENCED for each in written] == [n in lost for n in range(30)]
    for number, each in enumerate(claims):
        assert len(await journal.steps(each.start.execution)) == (number not in lost)


# -- records ----------------------------------------------------------------------------------


@ON_EVERY_STORE
async def test_records_come_back_as_they_were_written(journal: Journal):
    claim = await running(journal)
    failure = Failure("UpstreamError", "no \x00 wäy", "flow.py:3", 503, "trace\n…")
    records = [
        record("b#1", seq=1, result=b'{"n":' + b"9" * 5_000 + b"}", pure=True, kind="step"),
        record("gather-1[ü/☃]/a#2", "failed", seq=2, failure=failure, result=None, tries=7),
        record("a#1", seq=0, inputs=b"\x00\xff", result=b"", kind="trigger"),
    ]
    assert await journal.commit(claim.lease, records, [], []) is Written.DONE
    assert await journal.steps(claim.start.execution) == sorted(records, key=lambda r: r.seq)
    await journal.void()
    again = await claim_one(journal, probation=True)
    assert list(again.history) == await journal.steps(claim.start.execution)


@ON_EVERY_STORE
async def test_log_lines_keep_their_order_and_can_be_followed(journal: Journal):
    claim, other = await running(journal), await running(journal)
    lines = [
        LogLine(5, "info", "one", b'{"a":1}', "acme.save#1"),
        LogLine(4, "error", "two \x00 ☃", b"\xff"),
        LogLine(6, "debug", "three"),
    ]
    await journal.commit(claim.lease, [], lines[:1], [])
    await journal.commit(other.lease, [], [LogLine(1, "info", "other")], [])
    await journal.end(claim.lease, [], lines[1:], DONE)
    found = await journal.logs(claim.start.execution)
    assert [line for _, line in found] == lines
    assert [line for _, line in await journal.logs(claim.start.execution, found[0][0])] == lines[1:]


@ON_EVERY_STORE
@for_each("ended", [False, True])
async def test_steps_and_log_lines_come_in_pages(journal: Journal, ended: bool):
    copied = [record(f"copied#{n}", seq=n - 4) for n in range(4)]
    claim = await running(journal, start(copied=tuple(copied)))
    id = claim.start.execution
    own = [record(f"own#{9 - n}", seq=n) for n in range(9)]
    failed = record("own#failed", "failed", seq=9, failure=Failure("E", "no"), result=b"1")
    waits = record("own#waits", "retrying", seq=10, result=b"12")
    lines = [LogLine(n, "info", str(n)) for n in range(7)]
    await journal.commit(claim.lease, [*own, failed, waits], lines, [])
    if ended:
        await journal.end(claim.lease, [], [], DONE)

    whole = await journal.steps(id)
    after, pages = None, list[list[Record]]()
    while page := await journal.steps(id, after=after, limit=5):
        pages.append(page)
        after = page[-1].seq
    assert [len(each) for each in pages] == [5, 5, 5]
    assert [each for page in pages for each in page] == whole == [*copied, *own, failed, waits]
    without = [replace(each, inputs=None, result=None) for each in whole[:-1]]
    assert await journal.step_heads(id) == [*without, replace(waits, inputs=None)]

    first = await journal.logs(id, limit=4)
    rest = await journal.logs(id, first[-1][0], 4)
    assert [line for _, line in (*first, *rest)] == lines
    assert (len(first), len(rest)) == (4, 3)


async def test_text_that_utf8_cannot_hold_is_escaped_where_people_read_it(journal: Journal):
    claim = await running(journal)
    failure = Failure("X", "bad \ud800", "f.py", None, "\udfff")
    line = LogLine(1, "info", "lone \udc80 ☃")
    failed = record(status="failed", title="t\ud800", failure=failure)
    await journal.commit(claim.lease, [failed], [line], [])
    ended = await journal.end(claim.lease, [], [], Outcome("failed", "\ud800", failure=failure))
    assert ended is Written.DONE
    found = await journal.execution(claim.start.execution)
    assert found is not None
    assert found.failure is not None
    assert (found.reason, found.failure.message) == ("\\ud800", "bad \\ud800")
    ((_, kept),) = await journal.logs(claim.start.execution)
    assert kept.message == "lone \\udc80 ☃"


# -- state ------------------------------------------------------------------------------------


async def test_state_is_written_by_compare_and_set(journal: Journal):
    claim = await running(journal)
    scope = "instance:ins_1"

    async def write(value: bytes | None, expect: bytes | None) -> Written:
        return await journal.commit(
            claim.lease, [], [], [StateWrite(scope, "cursor", value, expect)]
        )

    async def read() -> bytes | None:
        return await journal.read_state(scope, "cursor")

    assert await write(b"1", b"0") is Written.CONFLICT
    assert await read() is None
    assert await write(b"1", MISSING) is Written.DONE
    assert await write(b"2", MISSING) is Written.CONFLICT
    assert await write(b"2", b"2") is Written.CONFLICT
    assert await read() == b"1"
    assert await write(b"2", b"1") is Written.DONE
    assert await write(b"\x00\xff", None) is Written.DONE
    assert await read() == b"\x00\xff"
    assert await write(None, b"2") is Written.CONFLICT
    assert await write(None, b"\x00\xff") is Written.DONE
    assert await read() is None
    assert await write(None, MISSING) is Written.DONE
    assert await journal.read_state("instance:ins_2", "cursor") is None


async def test_a_commit_whose_compare_and_set_fails_writes_nothing(journal: Journal):
    claim = await running(journal)
    write = StateWrite("flow:i:f", "k", b"1", b"0")
    line = LogLine(1, "info", "x")
    assert await journal.commit(claim.lease, [record()], [line], [write]) is Written.CONFLICT
    assert await journal.steps(claim.start.execution) == []
    assert await journal.logs(claim.start.execution) == []


@ON_EVERY_STORE
async def test_of_many_compare_and_sets_at_once_one_wins(journal: Journal):
    claims = [await running(journal) for _ in range(20)]
    write = StateWrite("flow:i:f", "k", b"1", MISSING)
    written = await asyncio.gather(
        *(journal.commit(each.lease, [record()], [], [write]) for each in claims)
    )
    assert written.count(Written.DONE) == 1
    assert written.count(Written.CONFLICT) == 19


async def test_of_several_writes_all_are_made_or_none(journal: Journal):
    claim = await running(journal)
    a, b = StateWrite("s", "a", b"1"), StateWrite("s", "b", b"2", MISSING)
    assert await journal.commit(claim.lease, [record()], [], [a, b]) is Written.DONE
    assert await journal.list_state("s") == {"a": b"1", "b": b"2"}
    again = StateWrite("s", "a", b"9")
    late = record("late#1")
    assert await journal.commit(claim.lease, [late], [], [again, b]) is Written.CONFLICT
    assert await journal.commit(claim.lease, [late], [], [b, again]) is Written.CONFLICT
    assert await journal.list_state("s") == {"a": b"1", "b": b"2"}
    assert await journal.steps(claim.start.execution) == [record()]


async def test_a_scope_is_listed_with_all_its_keys_and_no_others(journal: Journal):
    claim = await running(journal)
    writes = [
        StateWrite("echo:i:acme", key, value) for key, value in (("1", b"a"), ("\u2603", b"\xff"))
    ]
    other = StateWrite("echo:i", "1", b"other")
    await journal.commit(claim.lease, [], [], [*writes, other])
    assert await journal.list_state("echo:i:acme") == {"1": b"a", "\u2603": b"\xff"}
    assert await journal.list_state("echo:") == {}


async def test_a_key_is_read_in_several_scopes_at_once(journal: Journal):
    writes = [StateWrite(scope, "k", scope.encode()) for scope in ("a", "b", "\u2603")]
    await journal.write_state([*writes, StateWrite("a", "other", b"no"), StateWrite("c", "x", b"")])
    found = await journal.read_states(["\u2603", "a", "c", "d"], "k")
    assert found == {"a": b"a", "\u2603": "\u2603".encode()}
    assert await journal.read_states([], "k") == {}


async def test_a_scope_is_listed_a_page_at_a_time_in_the_order_of_its_keys(journal: Journal):
    keys = ["", "a/", "a/1", "a/10", "a/2", "a/\u2603", "a/\U0001f4a5", "a0", "b/1"]
    writes = [StateWrite("s", key, key.encode()) for key in reversed(keys)]
    await journal.write_state([*writes, StateWrite("t", "a/3", b"other")])

    async def listed(**bounds: Any) -> list[str]:
        found = await journal.list_state("s", **bounds)
        assert all(value == key.encode() for key, value in found.items())
        return list(found)

    assert await listed() == keys
    assert await listed(limit=0) == []
    assert await listed(after="a/", before="a0") == keys[2:7]
    pages: list[str] = ["a/"]
    while page := await listed(after=pages[-1], before="a0", limit=2):
        assert len(page) <= 2
        pages += page
    assert pages == keys[1:7]
    assert await listed(after="b/1") == []


async def test_state_is_written_by_hand_whole_or_not_at_all(journal: Journal):
    both = [StateWrite("s", "a", b"1", MISSING), StateWrite("s", "b", b"1", MISSING)]
    assert await journal.write_state(both) is Written.DONE
    change = [StateWrite("s", "a", None), StateWrite("s", "b", None, b"0")]
    assert await journal.write_state(change) is Written.CONFLICT
    assert await journal.list_state("s") == {"a": b"1", "b": b"1"}
    assert await journal.write_state([replace(each, expect=b"1") for each in change]) is (
        Written.DONE
    )
    assert await journal.list_state("s") == {}


async def test_instances_that_note_something_as_their_health_are_found(journal: Journal):
    failing, none = b'{"failing":"2026-01-01"}', b"{}"
    writes = [StateWrite(f"instance:i{n}", "health", failing if n == 3 else none) for n in range(9)]
    writes += [StateWrite("flow:i1:a", "health", failing), StateWrite("instance:i1", "a", failing)]
    await journal.write_state(writes)
    assert await journal.healths() == {"instance:i3": failing}


async def test_state_is_cleared_by_scope_a_little_at_a_time(journal: Journal):
    gone = ["records:i1", "pairs:i1:", "pairs:i1:a", "pairs:i1:\U0001f4a5"]
    kept = ["records:i11", "records:i1:x", "pairs:i1", "pairs:i1;", "pairs:i10:a", "pairs:i0:a"]
    writes = [StateWrite(scope, key, b"1") for scope in (*gone, *kept) for key in "xyz"]
    await journal.write_state(writes)
    scopes = ("records:i1", "pairs:i1:")
    removed: list[int] = []
    while not removed or removed[-1] == 5:
        removed.append(await journal.clear_state(scopes, 5))
    assert removed == [5, 5, 2]
    assert await journal.clear_state(scopes, 5) == 0
    for scope in gone:
        assert await journal.list_state(scope) == {}
    for scope in kept:
        assert len(await journal.list_state(scope)) == 3


async def test_a_merge_puts_members_over_those_that_are_stored(journal: Journal):
    claim = await running(journal)
    for stored, patch, merged in (
        (None, b'{"a":1}', b'{"a":1}'),
        (b'{"a":1,"b":2}', b'{"b":3,"c":4}', b'{"a":1,"b":3,"c":4}'),
        (b'{"a":1,"b":2}', b'{"a":null,"z":null}', b'{"b":2}'),
        (b'{"a":1}', b'{"a":null}', b"{}"),
        (b'{"a":{"x":1,"y":2}}', b'{"a":{"y":null}}', b'{"a":{"y":null}}'),
        (
            b'{"a":1.10,"n":12345678901234567890123}',
            b'{"b":2.00}',
            b'{"a":1.10,"n":12345678901234567890123,"b":2.00}',
        ),
        (b"[1]", b'{"a":1}', b'{"a":1}'),
        (b"\x00\xff", b'{"a":1}', b'{"a":1}'),
    ):
        writes = [StateWrite("s", "k", stored), StateWrite("s", "k", patch, merge=True)]
        assert await journal.commit(claim.lease, [], [], writes) is Written.DONE
        assert await journal.read_state("s", "k") == merged


@ON_EVERY_STORE
async def test_merges_at_once_lose_nothing(journal: Journal):
    claims = [await running(journal) for _ in range(20)]
    await asyncio.gather(
        *(
            journal.commit(
                each.lease, [], [], [StateWrite("s", "k", b'{"m%d":1}' % number, merge=True)]
            )
            for number, each in enumerate(claims)
        )
    )
    found = await journal.read_state("s", "k")
    assert found is not None
    assert sorted(json.loads(found)) == sorted(f"m{number}" for number in range(20))


async def test_what_cannot_be_merged_is_refused(journal: Journal):
    claim = await running(journal)
    with pytest.raises(ValueError, match="no JSON object"):
        await journal.commit(claim.lease, [], [], [StateWrite("s", "k", b"[1]", merge=True)])
    for more in ({"expect": MISSING}, {"orders": True}, {"value": None}):
        values: dict[str, Any] = {"value": b"{}", **more}
        with pytest.raises(ValueError, match="merges"):
            StateWrite("s", "k", merge=True, **values)
    assert await journal.list_state("s") == {}


async def test_the_writes_of_an_end_are_made_with_its_outcome(journal: Journal):
    claim = await running(journal)
    writes = [StateWrite("s", "a", b"1"), StateWrite("s", "b", b'{"c":1}', merge=True)]
    fenced = replace(claim.lease, fence=7)
    assert await journal.end(fenced, [record()], [], DONE, writes) is Written.FENCED
    refused = [*writes, StateWrite("s", "c", b"1", b"0")]
    assert await journal.end(claim.lease, [record()], [], DONE, refused) is Written.CONFLICT
    assert await journal.list_state("s") == {}
    assert await journal.steps(claim.start.execution) == []
    assert await state(journal, claim.start.execution) == "running"
    assert await journal.end(claim.lease, [record()], [], DONE, writes) is Written.DONE
    assert await state(journal, claim.start.execution) == "succeeded"
    assert await journal.list_state("s") == {"a": b"1", "b": b'{"c":1}'}
    assert await journal.end(claim.lease, [], [], DONE, [StateWrite("s", "a", b"2")]) is (
        Written.FENCED
    )
    assert await journal.read_state("s", "a") == b"1"


# -- order ------------------------------------------------------------------------------------


def ordered(key: str = "1", of: FlowKey | None = None, **changes: Any) -> Start:
    return start(of, order=Order("pairs", key), **changes)


async def claimed(journal: Journal, room: int = 10) -> list[str]:
    """Claim all that may be claimed now, on probation or not, and return the executions."""
    claims = await journal.claim(room, LEASE)
    claims += await journal.claim(room, LEASE, probation=True)
    return [each.start.execution for each in claims]


@ON_EVERY_STORE
async def test_only_what_is_of_some_places_is_claimed(journal: Journal):
    own, deploy = start(flow(instance="ins_a")), start(flow(instance="ins_a", name="$deploy"))
    other = start(flow(instance="ins_b", name="$deploy"))
    await accepted(journal, own, deploy, other)
    for only, wanted in (
        (set[tuple[str, str]](), []),
        ({("$", "ins_a")}, [deploy]),
        ({(own.flow.customer, "ins_a"), ("$", "ins_c")}, [own]),
    ):
        claims = await journal.claim(10, LEASE, only=only)
        assert [each.start.execution for each in claims] == [each.execution for each in wanted]
    assert await claimed(journal) == [other.execution]


async def test_what_is_held_and_ordered_needs_both_to_let_go(journal: Journal):
    held, free = flow("cus_a", "ins_held"), flow("cus_a", "ins_free")
    head, behind, third = ordered(of=free), ordered(of=held), ordered(of=held)
    claim = await running(journal, head)
    await accepted(journal, behind)
    await journal.hold("ins_held")
    await accepted(journal, third)
    await journal.release_instance("ins_held")
    assert await claimed(journal) == []
    await journal.hold("ins_held")
    await journal.end(claim.lease, [], [], DONE)
    assert await claimed(journal) == []
    await journal.release_instance("ins_held")
    assert await claimed(journal) == [behind.execution]


async def test_a_duplicate_takes_no_place_in_an_order(journal: Journal):
    head, same = ordered(dedupe=Dedupe("d")), ordered(dedupe=Dedupe("d"))
    claim = await running(journal, head)
    await accepted(journal, same, head)
    behind = ordered()
    await accepted(journal, behind, behind)
    await journal.end(claim.lease, [], [], DONE)
    assert await claimed(journal) == [behind.execution]


async def test_an_execution_keeps_the_order_that_it_was_started_in(journal: Journal):
    head, behind = ordered("1"), ordered("1")
    claim = await running(journal, head)
    await accepted(journal, behind)
    assert (claim.start.order, claim.lease.ordered) == (Order("pairs", "1"), True)
    assert await journal.renew([claim.lease], LEASE) == [claim.lease]
    await journal.end(claim.lease, [], [], DONE)
    again = await claim_one(journal)
    assert (again.start.order, again.lease.ordered) == (Order("pairs", "1"), True)
    for execution, order in (
        (head.execution, Order("pairs", "1")),
        ((await running(journal)).start.execution, None),
    ):
        found = await journal.execution(execution)
        assert found is not None
        assert found.order == order


async def link(
    journal: Journal, claim: Claim, key: str, name: bytes | None, **changes: Any
) -> Written:
    write = StateWrite("pairs", key, name, orders=True)
    return await journal.commit(claim.lease, [], [], [replace(write, **changes)])


async def test_one_that_is_behind_names_the_one_whose_turn_it_is(
    journal: Journal, clock: StandingClock
):
    starts = [ordered(), ordered(), ordered(), ordered("2")]
    head, second = starts[:2]
    claim = await running(journal, head)
    await accepted(journal, *starts[1:])

    async def waits() -> list[str | None]:
        return [await journal.waits_for(each.execution) for each in starts]

    assert await waits() == [None, head.execution, head.execution, None]
    await journal.release(claim.lease, [], [], Release("sleep", clock.now))
    assert await waits() == [None, head.execution, head.execution, None]
    claims = await journal.claim(10, LEASE)
    [claim] = [each for each in claims if each.start.execution == head.execution]
    await journal.end(claim.lease, [], [], DONE)
    assert await waits() == [None, None, second.execution, None]
    assert await journal.waits_for("exe_nobody") is None


async def test_where_orders_are_put_together_all_wait_for_the_one_that_runs(journal: Journal):
    first, ahead, last = ordered("a"), ordered("b"), ordered("a")
    await accepted(journal, first)
    claim = await running(journal, ahead)
    await accepted(journal, last)
    writer = await running(journal)
    await link(journal, writer, "a", b"b")
    assert await journal.waits_for(first.execution) == ahead.execution
    assert await journal.waits_for(last.execution) == ahead.execution
    assert await journal.waits_for(ahead.execution) is None
    await journal.end(claim.lease, [], [], DONE)
    assert await journal.waits_for(first.execution) is None
    assert await journal.waits_for(last.execution) == first.execution


@pytest.mark.parametrize("how", ["end", "release", "lapse"])
async def test_two_that_run_when_their_orders_are_put_together_run_on_and_no_third(
    journal: Journal, clock: StandingClock, how: str
):
    b1, a1, b2 = ordered("b"), ordered("a"), ordered("b")
    head, moved = await running(journal, b1), await running(journal, a1)
    await accepted(journal, b2)
    assert await link(journal, moved, "a", b"b") is Written.DONE
    assert await journal.commit(moved.lease, [record()], []) is Written.DONE
    await journal.release(head.lease, [], [], Release("retry", clock.now))
    assert await claimed(journal) == []  # `moved` is ahead of it, and still runs
    match how:
        case "end":
            await journal.end(moved.lease, [], [], DONE)
        case "release":
            await journal.release(moved.lease, [], [], Release("retry", clock.now))
        case _:
            clock.move(LEASE + 1)
            await journal.lapse()
    head = await claim_one(journal)
    assert head.start.execution == b1.execution
    assert await claimed(journal) == []
    await journal.end(head.lease, [], [], DONE)
    if how != "end":
        assert await claimed(journal) == [a1.execution]
        await cancel_one(journal, a1.execution, "stop")
        await journal.blame([a1.execution], alone=False)
        await cancel_one(journal, a1.execution, "stop")
    assert await claimed(journal) == [b2.execution]


async def test_a_head_that_waits_does_not_run_beside_one_that_was_put_behind_it(
    journal: Journal, clock: StandingClock
):
    b1, a1 = ordered("b"), ordered("a")
    head = await running(journal, b1)
    await journal.release(head.lease, [], [], Release("sleep", clock.now + 1))
    moved = await running(journal, a1)
    await link(journal, moved, "a", b"b")
    clock.move(2)
    assert await claimed(journal) == []
    await journal.end(moved.lease, [], [], DONE, [StateWrite("pairs", "b", b"c", orders=True)])
    assert await claimed(journal) == [b1.execution]


async def test_one_that_is_ahead_stays_so_through_a_second_putting_together(
    journal: Journal, clock: StandingClock
):
    c1, b1, a1 = ordered("c"), ordered("b"), ordered("a")
    claims = [await running(journal, each) for each in (c1, b1, a1)]
    await link(journal, claims[2], "a", b"b")
    await link(journal, claims[2], "b", b"c")
    assert await claimed(journal) == []
    await journal.release(claims[0].lease, [], [], Release("retry", clock.now))
    await journal.end(claims[2].lease, [], [], DONE)
    assert await claimed(journal) == []  # the second one runs, and is ahead of the first
    await journal.end(claims[1].lease, [], [], DONE)
    assert await claimed(journal) == [c1.execution]


# -- end, release -----------------------------------------------------------------------------


@ON_EVERY_STORE
@for_each("ended", ["succeeded", "failed", "cancelled", "ignored"])
async def test_an_end_keeps_its_records_and_its_outcome(
    journal: Journal, clock: StandingClock, ended: Any
):
    claim = await running(journal)
    execution = claim.start.execution
    assert await outcome_at_end(journal, execution) is None
    failure = Failure("ValueError", "no") if ended == "failed" else None
    outcome = Outcome(ended, "why", b'{"n":' + b"1" * 400 + b"}", failure)
    clock.move(7)
    line = LogLine(1, "info", "bye")
    assert await journal.end(claim.lease, [record()], [line], outcome) is Written.DONE
    found = await journal.execution(execution)
    assert found is not None
    assert (found.state, found.ended_at, found.due_at) == (ended, clock.now, None)
    assert await outcome_at_end(journal, execution) == outcome
    assert await journal.steps(execution) == [record()]
    assert len(await journal.logs(execution)) == 1
    assert await journal.live(claim.start.flow.instance) == 0
    assert await journal.claim(10, LEASE) == []


async def test_an_end_whose_record_cannot_be_kept_does_not_end(journal: Journal):
    claim, other = await running(journal), await running(journal)
    bad = record(seq=None)
    results = await asyncio.gather(
        journal.end(other.lease, [record()], [], DONE),
        journal.end(claim.lease, [record("good#1"), bad], [], DONE),
        return_exceptions=True,
    )
    assert results[0] is Written.DONE
    assert isinstance(results[1], Exception)
    assert await state(journal, claim.start.execution) == "running"
    assert await journal.steps(claim.start.execution) == []
    assert await journal.end(claim.lease, [record()], [], DONE) is Written.DONE


@ON_EVERY_STORE
async def test_a_release_says_how_and_until_when(journal: Journal, clock: StandingClock):
    for how, then in (
        ("retry", "queued"),
        ("later", "queued"),
        ("drained", "queued"),
        ("sleep", "waiting"),
        ("signal", "waiting"),
    ):
        claimed_at = clock.now
        claim = await running(journal)
        clock.move(3)
        failure = Failure("UpstreamError", "503", status=503)
        release = Release(how, clock.now + SECOND, "the signal go", failure)
        assert await journal.release(claim.lease, [record()], [], release) is Written.DONE
        found = await journal.execution(claim.start.execution)
        assert found is not None
        assert (found.state, found.due_at) == (then, clock.now + SECOND)
        assert found.waiting_for == "the signal go"
        (attempt,) = await journal.attempts(claim.start.execution)
        assert (attempt.number, attempt.how, attempt.failure) == (1, how, failure)
        assert (attempt.started_at, attempt.ended_at) == (claimed_at, clock.now)
        clock.move(SECOND)
        again = await claim_one(journal)
        assert list(again.history) == [record()]
        clock.move(2)
        await journal.release(again.lease, [], [], Release("drained", clock.now))
        attempts = await journal.attempts(claim.start.execution)
        assert [(each.number, each.started_at) for each in attempts][1] == (2, clock.now - 2)
        await journal.end((await claim_one(journal)).lease, [], [], DONE)


# -- cancel -----------------------------------------------------------------------------------


async def test_many_are_cancelled_in_one_transaction(journal: Journal):
    order = Order("order:ins_a:orders", "k")
    head, second, third = (start(order=order, key="k") for _ in range(3))
    parent, free = start(), start(dedupe=Dedupe("once", 60 * SECOND))
    await accepted(journal, parent)
    waits = await claim_one(journal)
    await journal.release(waits.lease, [], [], Release("signal", None, heard=0))
    runs = await running(journal)
    child = start(parent=parent.execution, root="exe_r")
    await accepted(journal, head, second, third, free, child)
    over = start()
    await accepted(journal, over)
    await cancel_one(journal, over.execution, "before")
    names = [each.execution for each in (head, second, free, child, over, runs.start)]
    assert await journal.cancel_many([*names, "exe_none"], "stop", 77) == {
        **dict.fromkeys(names[:4], "ended"),
        over.execution: "over",
        runs.start.execution: "asked",
    }
    assert await journal.cancelled(names) == {runs.start.execution: Cancelling("stop", 77)}
    for each in names[:4]:
        assert await outcome_at_end(journal, each) == Outcome("cancelled", "stop")
    due = {each.start.execution for each in await journal.claim(10, LEASE)}
    assert due == {third.execution, parent.execution}, "the next of the order, and who is told"
    again = replace(free, execution=new_id("exe"), root="exe_again")
    (answer,) = await journal.accept([again], claim=0, lease=LEASE)
    assert answer.duplicate_of is None, "an event that nothing was done about may come again"
    assert await journal.cancel_many([], "stop") == {}


async def test_pages_that_overlap_cancel_each_once(journal: Journal):
    """A page locks in one order, whatever the order of its ids."""
    orders = [Order("order:ins_a:orders", str(number)) for number in range(10)]
    parents = [start(order=each, key=each.key) for each in orders]
    children = [start(parent=each.execution, root=each.root) for each in parents]
    await accepted(journal, *parents, *children)
    ids = [each.execution for each in (*parents, *children)]
    both = await asyncio.gather(
        journal.cancel_many(ids, "one"), journal.cancel_many(ids[::-1], "other")
    )
    for each in ids:
        assert sorted(done[each] for done in both) == ["ended", "over"]


async def test_an_execution_that_is_not_there_is_said_to_be_missing(journal: Journal):
    for call in (
        journal.signal("exe_no", "go", b""),
        outcome_at_end(journal, "exe_no"),
    ):
        with pytest.raises(NotFound, match="exe_no"):
            await call
    assert await journal.cancel_many(["exe_no"], "x") == {}
    assert await journal.execution("exe_no") is None
    assert await journal.event("exe_no") is None
    assert await journal.steps("exe_no") == []
    assert await journal.dismiss("exe_no") is False


# -- signals ----------------------------------------------------------------------------------


async def test_signals_are_kept_in_order_until_they_are_asked_for(journal: Journal):
    claim, other = await running(journal), await running(journal)
    execution = claim.start.execution
    sent = [("go", b"1"), ("stop", b"x"), ("go", b"\x00\xff"), ("go", b"1")]
    for name, payload in sent:
        assert await journal.signal(execution, name, payload) == "sent"
    assert await journal.signals(execution) == [Signal(*each) for each in sent]
    assert await journal.signals(other.start.execution) == []


async def test_a_signal_that_came_first_wakes_at_once(journal: Journal, clock: StandingClock):
    claim = await running(journal)
    execution = claim.start.execution
    await journal.signal(execution, "go", b"1")
    await journal.release(claim.lease, [], [], Release("signal", None, heard=0))
    again = await claim_one(journal)
    await journal.release(again.lease, [], [], Release("signal", None, heard=1))
    assert await journal.claim(1, LEASE) == []  # the one that came was heard of
    await journal.signal(execution, "go", b"2")
    assert (await claim_one(journal)).start.execution == execution


async def test_a_signal_wakes_whatever_hears_of_it_before_its_time(
    journal: Journal, clock: StandingClock
):
    late = clock.now + 60 * SECOND
    for how in ("retry", "later", "sleep", "signal"):
        claim = await running(journal)
        await journal.release(claim.lease, [], [], Release(how, late, heard=0))
        await journal.signal(claim.start.execution, "go", b"1")
        assert (await claim_one(journal)).start.execution == claim.start.execution


async def test_a_signal_may_have_any_name(journal: Journal):
    names = ("a:b", "100%", "a_b", "sig\x00", "\u2603")
    claim = await running(journal)
    for name in names:
        assert await journal.signal(claim.start.execution, name, b"", once=name) == "sent"
        assert await journal.signal(claim.start.execution, name, b"", once=name) == "known"
    assert await journal.signals(claim.start.execution) == [Signal(each, b"") for each in names]


async def test_an_answer_that_counts_once_wakes_once(journal: Journal, clock: StandingClock):
    claim = await running(journal)
    execution = claim.start.execution
    assert await journal.signal(execution, "go", b"1", once="a") == "sent"
    await journal.release(claim.lease, [], [], Release("signal", None, heard=1))
    assert await journal.signal(execution, "stop", b"2", once="a") == "known"
    assert await journal.claim(1, LEASE) == []
    assert await journal.signals(execution) == [Signal("go", b"1")]
    assert await journal.signal(execution, "go", b"3") == "sent"
    assert (await claim_one(journal)).start.execution == execution


async def test_a_signal_to_one_that_has_ended_is_not_kept(journal: Journal, clock: StandingClock):
    claim, failed = await running(journal), await running(journal)
    await journal.end(claim.lease, [], [], DONE)
    await journal.end(failed.lease, [], [], Outcome("failed", "no"))
    for each in (claim, failed):
        assert await journal.signal(each.start.execution, "go", b"") == "over"
        assert await journal.signals(each.start.execution) == []


async def test_a_signal_does_not_wake_a_sleeper(journal: Journal, clock: StandingClock):
    claim = await running(journal)
    await journal.release(claim.lease, [], [], Release("sleep", clock.now + SECOND))
    await journal.signal(claim.start.execution, "go", b"")
    assert await journal.next_due() == clock.now + SECOND


# -- what support sees ------------------------------------------------------------------------


async def test_a_dead_letter_is_one_until_it_is_dismissed(journal: Journal):
    claim = await running(journal)
    assert await journal.dismiss(claim.start.execution) is False
    await journal.end(claim.lease, [], [], Outcome("failed", "no"))
    assert len(await journal.executions(Filter(dead_letters=True))) == 1
    assert await journal.dismiss(claim.start.execution) is True
    assert await journal.executions(Filter(dead_letters=True)) == []
    assert await state(journal, claim.start.execution) == "failed"


async def test_a_dead_letter_is_one_until_it_is_replayed(journal: Journal):
    claim = await running(journal)
    await journal.end(claim.lease, [], [], Outcome("failed", "no"))
    await accepted(journal, again := start(replay_of=claim.start.execution))
    assert await journal.executions(Filter(dead_letters=True)) == []
    assert await state(journal, claim.start.execution) == "failed"
    replayed = await claim_one(journal)
    await journal.end(replayed.lease, [], [], Outcome("failed", "still no"))
    letters = await journal.executions(Filter(dead_letters=True))
    assert [each.id for each in letters] == [again.execution]


async def test_every_time_is_the_clocks(journal: Journal, clock: StandingClock):
    begun = clock.now
    claim = await running(journal)
    clock.move(SECOND)
    await journal.release(claim.lease, [], [], Release("drained", clock.now))
    clock.move(SECOND)
    again = await claim_one(journal)
    clock.move(SECOND)
    await journal.end(again.lease, [], [], DONE)
    found = await journal.execution(claim.start.execution)
    assert found is not None
    assert (found.accepted_at, found.started_at, found.ended_at) == (begun, begun, clock.now)
    assert again.lease.until == begun + 2 * SECOND + LEASE


@ON_EVERY_STORE
async def test_an_instances_executions_are_erased_and_nobody_elses(journal: Journal):
    mine = flow("cus_a", "ins_1")
    ended = await running(journal, start(mine, dedupe=Dedupe("d")))
    await journal.end(ended.lease, [record()], [LogLine(1, "info", "x")], DONE)
    letter = await running(journal, start(mine))
    await journal.end(letter.lease, [], [], Outcome("failed", "boom"))
    waits = await running(journal, start(mine, order=Order("o", "k")))
    await journal.release(waits.lease, [record()], [], Release("signal", None, "signal:go:0"))
    other = await running(journal, start(flow("cus_b")))
    await journal.end(other.lease, [record()], [], DONE)
    assert await journal.instances_of("cus_a") == ["ins_1"]
    erased = 0
    while some := await journal.erase("ins_1", 2):
        erased += some
    assert erased == 4  # three executions and a dedupe key
    assert await journal.instances_of("cus_a") == []
    for each in (ended, letter, waits):
        id = each.start.execution
        assert await journal.execution(id) is None
        assert await journal.event(id) is None
        assert await journal.steps(id) == []
        assert await journal.logs(id) == []
    (again,) = await journal.accept([start(mine, dedupe=Dedupe("d"))], claim=0, lease=LEASE)
    assert again.duplicate_of is None
    assert len(await journal.steps(other.start.execution)) == 1


# -- causes and times -------------------------------------------------------------------------


async def test_failures_are_grouped_by_their_causes_and_found_by_mark_and_status(
    journal: Journal, clock: StandingClock
):
    ids: list[str] = []
    ends: list[Micros] = []
    for number, (kind, message, status) in enumerate(
        (
            ("UpstreamError", "answered 503 for order 1", 503),
            ("UpstreamError", "answered 503 for order 2", 503),
            ("ValueError", "no name", None),
            ("UpstreamError", "answered 503 for order 3", 503),
        )
    ):
        clock.move(SECOND)
        customer = "cus_b" if number == 3 else "cus_a"
        key = flow(customer, name="orders" if number else "returns")
        claim = await running(journal, start(key, execution=new_id("exe", now=clock.now)))
        clock.move(SECOND)
        failure = Failure(kind, message, status=status)
        await journal.end(claim.lease, [], [], Outcome("failed", message, failure=failure))
        ids.append(claim.start.execution)
        ends.append(clock.now)
    claim = await running(journal)
    ignored = Outcome("ignored", "x", failure=Failure("UpstreamError", "answered 503", status=503))
    await journal.end(claim.lease, [], [], ignored)

    first, second = await journal.causes(Filter(dead_letters=True))
    assert (first.count, second.count) == (3, 1)
    assert (first.first_at, first.last_at, first.example) == (ends[0], ends[3], ids[3])
    assert first.flows == ("orders", "returns")
    assert (first.instances, first.instance_count) == (("ins_of_cus_a", "ins_of_cus_b"), 2)
    assert (first.customer_count, second.customer_count) == (2, 1)
    assert first.failure is not None
    assert first.failure.message == "answered 503 for order 3"

    async def listed(**by: Any) -> list[int]:
        return [ids.index(each.id) for each in await journal.executions(Filter(**by))]

    assert await listed(cause=first.cause) == [3, 1, 0]
    assert await listed(status=503, customer="cus_a") == [1, 0]
    assert await listed(status=404) == await listed(cause="0" * 12) == []
    assert await journal.count(Filter(cause=second.cause)) == {"failed": 1}
    assert [each.count for each in await journal.causes(Filter(customer="cus_b"))] == [1]
    assert [each.count for each in await journal.causes(Filter(limit=1))] == [3]
    found = await journal.execution(ids[0])
    assert found is not None
    assert found.cause == first.cause

    await journal.dismiss(ids[3])
    assert [each.count for each in await journal.causes(Filter(dead_letters=True))] == [2, 1]
    assert [each.count for each in await journal.causes(Filter(states=("failed",)))] == [3, 1]
    assert await listed(cause=first.cause, dead_letters=True) == [1, 0]

    # One that was dismissed is not the first of those that are open; outside of a period, one is.
    await journal.dismiss(ids[0])
    [left, _] = await journal.causes(Filter(dead_letters=True))
    assert (left.count, left.first_at) == (1, ends[1])
    [late, _] = await journal.causes(Filter(states=("failed",), since=ends[1]))
    assert (late.count, late.first_at) == (2, ends[0])

    # The first of a cause is known after it was replayed, and has failed again.
    again = replace(start(flow("cus_a"), execution=new_id("exe", now=clock.now)), replay_of=ids[1])
    claim = await running(journal, again)
    clock.move(SECOND)
    failure = Failure("UpstreamError", "answered 503 for order 1", status=503)
    await journal.end(claim.lease, [], [], Outcome("failed", "x", failure=failure))
    [left] = [e for e in await journal.causes(Filter(dead_letters=True)) if e.cause == first.cause]
    assert (left.count, left.first_at, left.last_at) == (1, ends[1], clock.now)


async def test_how_long_it_ran_leaves_out_all_waiting(journal: Journal, clock: StandingClock):
    claim = await running(journal)
    id = claim.start.execution

    async def ran() -> Micros | None:
        found = await journal.execution(id)
        assert found is not None
        return found.ran

    clock.move(2 * SECOND)
    assert not await ran()
    await journal.release(claim.lease, [], [], Release("sleep", clock.now + 90 * SECOND))
    assert await ran() == 2 * SECOND
    clock.move(90 * SECOND)
    claim = await claim_one(journal)
    clock.move(3 * SECOND)
    await journal.end(claim.lease, [], [], DONE)
    assert await ran() == 5 * SECOND

    other = await running(journal)
    clock.move(SECOND)
    await journal.release(other.lease, [], [], Release("sleep", clock.now + 90 * SECOND))
    clock.move(SECOND)
    await cancel_one(journal, other.start.execution, "no")
    found = await journal.execution(other.start.execution)
    assert found is not None
    assert found.ran == SECOND
