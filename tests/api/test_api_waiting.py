"""The reasons for which an execution does not run yet: each kind, and which comes first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from halflap.api.operations.waiting import WaitFacts, decide_wait
from halflap.model import (
    Execution,
    Failure,
    FlowKey,
    Instance,
    Micros,
    Paused,
    Record,
    StoredConnection,
    Throttled,
)
from halflap.store.protocol import Attempt
from tests.cases import for_each

SECOND: Micros = 1_000_000
NOW: Micros = 1_000 * SECOND
KEY = FlowKey("cus_1", "ins_1", "shop", "orders", "v1", 1)
GONE = Failure("UpstreamError", "the app answered 503", status=503)


def execution(**more: Any) -> Execution:
    given: dict[str, Any] = {
        "id": "exe_1",
        "flow": KEY,
        "state": "queued",
        "attempt": 1,
        "root": "exe_1",
        "replay_of": None,
        "key": None,
        "accepted_at": NOW - 100 * SECOND,
        "started_at": NOW - 90 * SECOND,
        "ended_at": None,
        "due_at": NOW + 60 * SECOND,
        "reason": "",
        "failure": None,
        "result": None,
    }
    return Execution(**{**given, **more})


def attempt(how: str, failure: Failure | None = None) -> Attempt:
    return Attempt(1, NOW - 90 * SECOND, NOW - 80 * SECOND, how, failure)


def pending(kind: Any, **more: Any) -> Record:
    given: dict[str, Any] = {"result": str(NOW + 60 * SECOND).encode(), "tries": 1, **more}
    began, tried = NOW - 85 * SECOND, NOW - 80 * SECOND
    return Record(1, f"{kind}#1", kind, kind, "A step", "retrying", began, tried, **given)


CONNECTION = StoredConnection(
    "con_1", "cus_1", "shop", "till", {}, (), 1, "unauthorized", 0
)  # fmt: skip
INSTANCE = Instance("ins_1", "cus_1", "shop", "stock", "v1", 1, "upgrading", None, 0, NOW - SECOND)
AWAY = Throttled(NOW + 5 * SECOND, "it answered 503", away=True, since=NOW - 70 * SECOND)
PARKED = {"state": "waiting", "waiting_for": "connection:con_1"}
STEP = pending("action", tries=3)
CASES: list[tuple[dict[str, Any], WaitFacts, dict[str, Any]]] = [
    ({"state": "running"}, WaitFacts(), {}),
    ({"state": "failed"}, WaitFacts(), {}),
    (
        {"held": 4},
        WaitFacts(
            paused=[
                Paused("cus_1", NOW - 4 * SECOND, "Bob"),
                Paused("ins_1", NOW - 5 * SECOND, "Ada", "a move"),
            ]
        ),
        {
            "reason": "pause",
            "message": "paused by Bob; and paused by Ada: a move",
            "since": NOW - 5 * SECOND,
        },
    ),
    (
        {"held": 1},
        WaitFacts(instance=INSTANCE),
        {"reason": "gate", "message": "its instance stock is upgrading", "since": NOW - SECOND},
    ),
    (
        {"held": 2},
        WaitFacts(ahead="exe_0", because="the same record; it came first"),
        {"reason": "order", "execution": "exe_0", "since": NOW - 100 * SECOND},
    ),
    (
        PARKED,
        WaitFacts((), [attempt("park")], connection=CONNECTION),
        {"reason": "connection", "connection": "con_1", "since": NOW - 80 * SECOND, "until": None},
    ),
    (
        PARKED,
        WaitFacts((), [attempt("park")], connection=CONNECTION, throttled=AWAY),
        {
            "reason": "connection",
            "message": "the app of till is away: it answered 503",
            "since": NOW - 70 * SECOND,
            "until": NOW + 5 * SECOND,
        },
    ),
    (
        PARKED,
        WaitFacts((), [attempt("park")], throttled=Throttled(NOW + 5 * SECOND, "it answered 503")),
        {
            "reason": "connection",
            "message": "the app of con_1 is not called now: it answered 503",
            "until": NOW + 5 * SECOND,
        },
    ),
    (
        {"waiting_for": "till is not called now: …"},
        WaitFacts((STEP,), [attempt("later", Failure("Blocked", "till"))]),
        {"reason": "limit", "message": "till is not called now: …", "until": NOW + 60 * SECOND},
    ),
    (
        {},
        WaitFacts((STEP,), [attempt("retry", GONE)]),
        {"reason": "back-off", "number": 4, "message": GONE.message, "until": NOW + 60 * SECOND},
    ),
    (
        {"attempt": 2},
        WaitFacts((), [attempt("later", Failure("RetryLater", "not yet"))]),
        {"reason": "back-off", "number": 3, "message": "not yet"},
    ),
    (
        {"state": "waiting", "waiting_for": "the signal paid"},
        WaitFacts((pending("signal"),), [attempt("signal")]),
        {"reason": "signal", "message": "the signal paid", "since": NOW - 85 * SECOND},
    ),
    (
        {"state": "waiting", "waiting_for": "the execution exe_7", "due_at": None},
        WaitFacts((pending("call", result=b'"exe_7"'),), [attempt("signal")]),
        {"reason": "execution", "execution": "exe_7", "until": None},
    ),
    (
        {"state": "waiting"},
        WaitFacts((pending("sleep"),), [attempt("sleep")]),
        {"reason": "sleep", "until": NOW + 60 * SECOND, "since": NOW - 85 * SECOND},
    ),
    (
        {"waiting_for": "till is not called now: …"},
        WaitFacts(None),
        {"reason": "limit", "message": "till is not called now: …", "until": NOW + 60 * SECOND},
    ),
    ({}, WaitFacts(None), {"reason": "back-off", "message": "its next try", "number": None}),
    (
        {"state": "waiting", "waiting_for": "the signal paid"},
        WaitFacts(None),
        {"reason": "signal", "message": "the signal paid"},
    ),
    (
        {"state": "waiting", "waiting_for": "the execution exe_7", "due_at": None},
        WaitFacts(None),
        {"reason": "execution", "message": "the execution exe_7", "until": None},
    ),
    ({"state": "waiting"}, WaitFacts(None), {"reason": "sleep", "until": NOW + 60 * SECOND}),
    (
        {"held": 2},
        WaitFacts(None, ahead="", because="it came first"),
        {"reason": "order", "message": "it came first", "execution": None},
    ),
    ({"due_at": NOW - SECOND}, WaitFacts(), {"reason": "turn", "since": NOW - SECOND}),
    (
        {"due_at": NOW - SECOND},
        WaitFacts(limit="its customer's limit: 5 run at once"),
        {"reason": "limit", "message": "its customer's limit: 5 run at once"},
    ),
]


@for_each(("given", "facts", "expected"), CASES)
def test_each_kind_of_waiting_is_told(
    given: dict[str, Any], facts: WaitFacts, expected: dict[str, Any]
) -> None:
    wait = decide_wait(execution(**given), facts, NOW)
    if not expected:
        assert wait is None
        return
    assert wait is not None
    assert {name: getattr(wait, name) for name in expected} == expected


def test_a_pause_comes_before_all_else_and_an_order_before_a_connection() -> None:
    paused = Paused("ins_1", NOW)
    facts = WaitFacts(paused=[paused], instance=INSTANCE, ahead="exe_0", connection=CONNECTION)
    held = execution(held=7, **PARKED)
    seen: list[str] = []
    for less in ({}, {"paused": ()}):
        facts = replace(facts, **less)
        wait = decide_wait(held, facts, NOW)
        assert wait is not None
        seen.append(wait.reason)
    wait = decide_wait(replace(held, held=2), facts, NOW)
    assert wait is not None
    assert [*seen, wait.reason] == ["pause", "gate", "order"]


async def waiting_of(world: Any, execution: str) -> dict[str, Any]:
    """Return what an execution waits for; a list says the same of it."""
    shown = (await world.api.get(f"/api/executions/{execution}"))["waiting"]
    listed = await world.api.items("/api/executions")
    [found] = [each["waiting"] for each in listed if each["id"] == execution]
    if shown is not None and shown["reason"] not in ("sleep", "back-off"):  # these are in its steps
        assert found["message"] == shown["message"]
    assert (found and found["reason"]) == (shown and shown["reason"])
    return shown


async def test_the_api_tells_what_is_waited_for(world: Any) -> None:
    await world.publish()
    instance = await world.instance()
    asleep = await world.send(instance, {}, flow="waiting")
    await world.state(asleep, "waiting")
    sleep = await waiting_of(world, asleep)
    assert (sleep["reason"], sleep["execution"]) == ("sleep", None)
    assert sleep["since"] < sleep["until"]

    await world.api("POST", f"/api/instances/{instance['id']}/pause", {"reason": "a move"})
    held = await world.send(instance, {"id": "1", "amount": 1})
    pause = await waiting_of(world, held)
    assert pause["reason"] == "pause"
    assert pause["message"].endswith(": a move")
    await world.api("POST", f"/api/instances/{instance['id']}/resume")
    assert (await world.ended(held))["waiting"] is None

    world.shop.keys.clear()
    parked = await world.send(instance, {"id": "2", "amount": 2})
    await world.state(parked, "waiting")
    connection = await waiting_of(world, parked)
    assert connection["reason"] == "connection"
    assert connection["connection"].startswith("con_")
    assert "refused the credentials" in connection["message"]
    # Its app is away, and it says when it is tried again.
    id, now = connection["connection"], world.host.store.clock()
    away = Throttled(now + 60 * SECOND, "it answered 503", away=True, since=now - 30 * SECOND)
    await world.host.store.journal.rest(id, away)
    wait = await waiting_of(world, parked)
    assert wait["reason"] == "connection"
    assert "is away: it answered 503" in wait["message"]
    assert wait["since"] < wait["until"]
    shown = await world.api.get(f"/api/connections/{id}")
    assert (shown["away"], shown["rests_until"]) == (True, wait["until"])
