"""Curves of what came, how it ended and how long it took; and what waits now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import Query

from halflap.api.asking import Ops, Whose, for_customers, needs, router_of
from halflap.api.executions import whose
from halflap.api.operations import Operations
from halflap.api.operations.executions import MOST_COUNTED
from halflap.api.operations.stats import Curve, join_curves
from halflap.api.recorded import moment, public_mark
from halflap.api.view import StatsPoint, StatsSeries, StatsView, rfc3339
from halflap.errors import ConfigError
from halflap.model import LIVE, Micros
from halflap.sdk.duration import duration
from halflap.store.catalogue.outcomes import KEPT, LONG, SHORT, SeriesKey, SeriesQuery
from halflap.store.protocol import Filter
from halflap.store.retention import DAY
from halflap.store.rules.cause import cause_text, public_cause

router = router_of("/api/stats", "executions")

MOST_POINTS = 1_000


@router.get("")
@for_customers
@needs("read")
async def get_stats(
    operations: Ops,
    by: Annotated[SeriesKey, Query(description="What a curve is of.")] = "state",
    since: Annotated[
        str | None, Query(description="A time; a day ago, where it is left out.")
    ] = None,
    until: Annotated[str | None, Query(description="A time; now, where it is left out.")] = None,
    step: Annotated[
        str | None,
        Query(
            description="The time between two points, a multiple of 5m; beyond 2 days ago, of 1h. Left "
            "out: what suits the period."
        ),
    ] = None,
    customer: Whose = None,
    integration: str | None = None,
    flow: str | None = None,
    state: Annotated[
        str | None, Query(description="Only those that ended so, or `accepted`: those that came.")
    ] = None,
) -> StatsView:
    """Counts over time, of the 20 keys that have most, with how long their attempts ran.

    By state, `accepted` counts what came. What ended is counted within two minutes at the latest, for 400
    days, whatever the retention of executions is.
    """
    owner, _ = await whose(operations, customer, None)
    now = operations.store.clock()
    end = moment("until", until) or now + 1
    begin = moment("since", since) or end - DAY
    every = step_of(step, end - begin)
    begin -= begin % every
    if begin >= end or (end - begin) // every > MOST_POINTS:
        raise ConfigError(
            f"a curve has 1 to {MOST_POINTS:,} points; ask for another period, or step",
            fields={
                "step": "is too short for the period" if begin < end else "ends before it begins"
            },
        )
    if every % LONG and begin < now - KEPT[SHORT]:
        raise ConfigError(
            "points of less than an hour are there for the last 2 days only",
            fields={"step": "is no multiple of 1h"},
        )
    which = SeriesQuery(by, begin, end, every, owner, integration, flow, state)
    curves = await operations.stats.curves(which)
    if integration is None and flow is None:
        backlog, oldest = await operations.journal.backlog(owner, MOST_COUNTED)
    else:
        live = Filter(
            customer=None if operations.customer is not None else owner,
            integration=integration,
            flow=flow,
            states=LIVE,
            after="",
            limit=1,
        )
        backlog = sum((await operations.journal.count(live)).values())
        oldest = next(
            (each.accepted_at for each in await operations.journal.executions(live)), None
        )
    labels: dict[str, str] = {}
    if by == "cause":
        curves, labels = await of_causes(operations, curves)
    elif by == "customer":
        labels = await operations.catalogue.customers.names(each.key for each in curves)
    elif by == "version":
        labels = await operations.catalogue.versions.labels([each.key for each in curves])
    return StatsView(
        since=rfc3339(begin),
        step_seconds=every // 1_000_000,
        series=[series_view(each, labels.get(each.key, each.key)) for each in curves],
        backlog=backlog,
        oldest_waiting_at=None if oldest is None else rfc3339(oldest),
    )


def step_of(text: str | None, period: Micros) -> Micros:
    """Return a step as microseconds; `ConfigError` where it is no multiple of five minutes."""
    if text is None:
        return SHORT if period <= DAY else LONG if period <= 14 * DAY else DAY
    try:
        step = round(duration(text).total_seconds() * 1e6)
    except (ValueError, OverflowError):
        step = 0
    if step <= 0 or step % SHORT:
        raise ConfigError(f"{text!r} is no multiple of 5m", fields={"step": "is no multiple of 5m"})
    return step


async def of_causes(
    operations: Operations, curves: Sequence[Curve]
) -> tuple[Sequence[Curve], dict[str, str]]:
    """Return the curves of causes with their texts, by key; joined by public causes where hidden."""
    hidden = await operations.hidden_payloads()
    keys, labels = dict[str, str](), dict[str, str]()
    for curve in curves:
        page = await operations.journal.page(Filter(cause=curve.key, limit=1))
        [found] = page.executions or [None]
        is_hidden = hidden.all if found is None else found.flow.customer in hidden
        key = keys[curve.key] = public_mark(curve.key) if is_hidden else curve.key
        if found is not None and found.failure is not None:
            labels[key] = (public_cause if is_hidden else cause_text)(found.failure)
    return join_curves(curves, keys), labels


def series_view(curve: Curve, label: str) -> StatsSeries:
    """A curve as it is shown."""
    return StatsSeries(
        key=curve.key,
        label=label,
        count=curve.whole.count,
        p50_ms=milliseconds(curve.whole.quantile(0.5)),
        p95_ms=milliseconds(curve.whole.quantile(0.95)),
        points=[
            StatsPoint(
                at=rfc3339(at),
                count=each.count,
                p50_ms=milliseconds(each.quantile(0.5)),
                p95_ms=milliseconds(each.quantile(0.95)),
            )
            for at, each in curve.points.items()
        ],
    )


def milliseconds(time: Micros | None) -> float | None:
    """Return a time as milliseconds."""
    return None if time is None else time / 1_000
