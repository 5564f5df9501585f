"""Curves: what came, how it ended, how long it took; and what waits."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from halflap.api.operations.stats import Durations, curves_of
from halflap.api.stats import step_of
from halflap.errors import ConfigError
from halflap.model import TOOK
from halflap.store.catalogue.outcomes import LATE, LONG, MINUTE, SHORT

DAY_SECONDS = 86_400


async def ran(world: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two customers' instances: one failed once, both succeeded, one waits."""
    await world.publish()
    one = await world.instance(await world.customer("One"), "one")
    two = await world.instance(await world.customer("Two"), "two")
    world.shop.broken = True
    await world.ended(await world.send(one, {"id": "o1", "amount": 1}))
    world.shop.broken = False
    for instance, count in ((one, 1), (two, 3)):
        for n in range(count):
            await world.ended(await world.send(instance, {"id": f"o{n}", "amount": 1}))
    await world.state(await world.send(two, {}, "waiting"), "waiting")
    return one, two


async def counts(world: Any, **query: Any) -> dict[str, int]:
    """The counts of each curve, which are those of its points."""
    answer = await world.api("GET", "/api/stats", **query)
    assert answer.status == 200, answer.body
    for each in answer.json["series"]:
        assert each["count"] == sum(point["count"] for point in each["points"])
        assert each["p50_ms"] <= each["p95_ms"]
    return {each["label"]: each["count"] for each in answer.json["series"]}


async def test_what_came_and_how_it_ended_is_counted_by_anything(either: Any) -> None:
    one, _ = await ran(either)

    async def all_of_it() -> None:
        assert await counts(either) == {"accepted": 6, "succeeded": 4, "failed": 1}
        assert await counts(either, by="customer") == {"Two": 3, "One": 2}
        assert await counts(either, by="integration") == {"orders": 5}
        assert await counts(either, by="flow") == {"orders/incoming": 5}
        assert await counts(either, by="version") == {"orders, version 1": 5}
        assert await counts(either, by="flow", state="accepted") == {
            "orders/incoming": 5,
            "orders/waiting": 1,
        }
        [(cause, count)] = (await counts(either, by="cause")).items()
        assert (cause.startswith("UpstreamError at shop.create_order (422)"), count) == (True, 1)
        assert await counts(either, customer="One") == {"accepted": 2, "succeeded": 1, "failed": 1}
        assert await counts(either, by="customer", state="failed") == {"One": 1}
        assert await counts(either, integration="none") == {}
        assert await counts(either, step="1h", by="customer") == {"Two": 3, "One": 2}

    await all_of_it()
    outcomes, journal = either.host.store.catalogue.outcomes, either.host.store.journal
    now = either.host.store.clock()
    assert not await outcomes.roll_up(journal, now)  # the minute is not over, nor late
    later = now + LATE + 2 * MINUTE
    rolled = 0
    while any(await asyncio.gather(*[outcomes.roll_up(journal, later) for _ in range(3)])):
        rolled += 1
    assert 1 <= rolled <= 3
    await all_of_it()
    stats = await either.api.get("/api/stats")
    assert (stats["backlog"], stats["step_seconds"]) == (1, 300)
    assert stats["oldest_waiting_at"] > stats["since"]
    for which, live in (
        ({"integration": "orders"}, 1),
        ({"integration": "none"}, 0),
        ({"flow": "waiting"}, 1),
        ({"flow": "incoming"}, 0),
    ):
        found = await either.api.get("/api/stats", **which)
        oldest = stats["oldest_waiting_at"] if live else None
        assert (found["backlog"], found["oldest_waiting_at"]) == (live, oldest), which

    disabled = await either.api("POST", "/api/instances/one/disable", wait=30)
    assert disabled.status == 200, disabled.body
    erased = await either.api("POST", "/api/customers/One/erasure", {"by": "Ada"})
    assert (erased.status, erased.json["left"]) == (200, 0), erased.body
    assert await counts(either, by="customer") == {"Two": 3}
    assert (await counts(either))["accepted"] == 6  # of whom is not known any more
    assert one["customer"] not in (await either.api("GET", "/api/stats")).body.decode()


async def test_a_period_that_cannot_be_drawn_is_refused(world: Any) -> None:
    for wrong in (
        {"step": "7m"},
        {"step": "1s"},
        {"step": "soon"},
        {"since": "2026-01-01T00:00:00Z", "step": "5m"},
        {"since": "2020-01-01T00:00:00Z", "until": "2020-01-03T00:00:00Z", "step": "5m"},
        {"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"},
    ):
        refused = await world.api("GET", "/api/stats", **wrong)
        assert (refused.status, set(refused.json["fields"])) == (422, {"step"}), wrong
    assert (await world.api("GET", "/api/stats", by="weather")).status == 422


def test_a_step_suits_its_period() -> None:
    periods = {1: SHORT, DAY_SECONDS: SHORT, 2 * DAY_SECONDS: LONG, 30 * DAY_SECONDS: 24 * LONG}
    for seconds, step in periods.items():
        assert step_of(None, seconds * 1_000_000) == step
    assert step_of("15m", 1) == 3 * SHORT
    with pytest.raises(ConfigError):
        step_of("4m", 1)


def test_a_quantile_is_within_the_places_of_what_it_is_of() -> None:
    assert Durations({}).quantile(0.5) is None
    places = {4: 50, 10: 45, 20: 5}
    found = Durations(places)
    assert TOOK[3] <= (found.quantile(0.5) or 0) <= TOOK[4]
    assert TOOK[9] <= (found.quantile(0.95) or 0) <= TOOK[10]
    assert TOOK[19] < (found.quantile(0.96) or 0) <= TOOK[20]
    assert Durations({len(TOOK): 1}).quantile(0.5) == TOOK[-1]
    [curve] = curves_of({(5, "k", 1): 2, (5, "k", 2): 1, (1, "k", 1): 4})
    assert (list(curve.points), curve.whole.places) == ([1, 5], {1: 6, 2: 1})
