"""Log lines, refused requests and schedules: what happened beside executions, and what comes."""

from __future__ import annotations

from typing import Annotated, get_args

from fastapi import Query, Request

from halflap.api import payload
from halflap.api.asking import (
    LARGEST_PAGE,
    USUAL_PAGE,
    After,
    Before,
    Ops,
    PageSize,
    Whose,
    chosen,
    for_customers,
    needs,
    router_of,
)
from halflap.api.execution_view import LoggedPage, LoggedView
from halflap.api.executions import Narrowed, searchable, whose
from halflap.api.operations import Operations
from halflap.api.operations.activity import Tick
from halflap.api.principal import CUSTOMERS, HiddenPayloads
from halflap.api.recorded import log_view
from halflap.api.view import ListPage, RejectionView, ScheduleView
from halflap.errors import ConfigError, NotFound
from halflap.model import SYSTEM, LogLevel
from halflap.store.catalogue.notes import RejectionFilter

router = router_of("/api", "activity")

MOST_SOUGHT = 1_000
"""The most refused requests that are read for a page of those whose shown reason has a text."""
HIDDEN = "its flow or its config is wrong; you may not see how"

Integration = Annotated[str | None, Query(description="Only of this integration.")]
Contained = Annotated[
    str | None, Query(max_length=200, description="A text that it contains, in any case.")
]


@router.get("/logs")
@for_customers
@needs("read", audited="look")
async def list_logs(
    request: Request,
    operations: Ops,
    which: Narrowed,
    q: Contained = None,
    level: Annotated[str, Query(description="One level, or several by commas.")] = "",
    before: Before = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> LoggedPage:
    """Return lines that authors' code logged, of the newest executions first.

    Of one execution the first 1,000 lines are looked at; all of them are at the execution.
    """
    levels, text = chosen(level, get_args(LogLevel), "level"), (q or "").lower()
    which = await searchable(operations, which)
    hidden = await operations.hidden_payloads()
    lines, next = await operations.activity.logs(which, levels, text, before, limit, hidden)
    names = await operations.catalogue.customers.names(e.execution.flow.customer for e in lines)
    views = [
        LoggedView.of(
            log_view(each.number, each.line),
            each.execution.flow,
            execution=each.execution.id,
            customer_name=names.get(each.execution.flow.customer),
        )
        for each in lines
    ]
    shown = [each.without_payload() if each.customer in hidden else each for each in views]
    request.scope[CUSTOMERS] = {each.customer for each in shown}
    return LoggedPage(items=shown, next=next)


@router.get("/rejections")
@for_customers
@needs("read")
async def list_rejections(
    operations: Ops,
    endpoint: str | None = None,
    instance: str | None = None,
    customer: Whose = None,
    integration: Integration = None,
    status: Annotated[int | None, Query(ge=100, le=599)] = None,
    q: Contained = None,
    before: Before = None,
    limit: PageSize = USUAL_PAGE,
) -> ListPage[RejectionView]:
    """Return requests that were refused before they were accepted, newest first.

    Of each endpoint the last 100 are kept. Where payloads are hidden, `q` is compared with what is
    shown, and a page may have fewer, even none, while there are more.
    """
    owner, within = await whose(operations, customer, instance)
    if endpoint is not None and await operations.catalogue.endpoints.find(endpoint) is None:
        raise NotFound(f"there is no endpoint {endpoint!r}; see: halflap instances show")
    catalogue, hidden = operations.catalogue, await operations.hidden_payloads()
    # Where something is hidden, the store is not asked for it: the next page would tell what it found.
    asked = q if hidden == HiddenPayloads() else None
    which = RejectionFilter(endpoint, within, owner, integration, status, asked)
    size = limit if asked == q else MOST_SOUGHT
    found = await catalogue.rejections.list(which, number(before), size)
    customers = await catalogue.customers.names(each.customer or "" for each in found)
    instances = await catalogue.instances.names(each.instance or "" for each in found)
    views = [
        RejectionView.of(
            each.rejection,
            each,
            id=str(each.number),
            customer_name=customers.get(each.customer or ""),
            instance_name=instances.get(each.instance or ""),
            headers=payload.headers(each.rejection.headers),
        )
        for each in found
    ]
    # At a shared endpoint it may be of any customer.
    shown = [
        each.without_payload() if (each.customer or SYSTEM) in hidden else each for each in views
    ]
    if q is not None and asked is None:
        shown = [each for each in shown if q.lower() in each.reason.lower()]
    next = str(found[-1].number) if len(found) == size else None
    if len(shown) > limit:
        next = shown[limit - 1].id
    return ListPage(items=shown[:limit], next=next)


def number(before: str | None) -> int | None:
    """Return the number that the `next` of a page is; another text is a `ConfigError`."""
    if before is None:
        return None
    if not before.isdecimal() or len(before) > 18:
        raise ConfigError(f"{before!r} is no `next` of a page", fields={"before": "is none"})
    return int(before)


@router.get("/schedules")
@for_customers
@needs("read")
async def list_schedules(
    operations: Ops,
    customer: Whose = None,
    instance: str | None = None,
    integration: Integration = None,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = USUAL_PAGE,
) -> ListPage[ScheduleView]:
    """Return the flows that schedules start, with the last and the next time of each, by instance."""
    owner, within = await whose(operations, customer, instance)
    ticks, next = await operations.activity.schedules(owner, within, integration, after, limit)
    return ListPage(items=await schedule_views(operations, ticks), next=next)


async def schedule_views(operations: Operations, ticks: list[Tick]) -> list[ScheduleView]:
    """Scheduled flows as they are shown."""
    names = await operations.catalogue.customers.names(each.instance.customer for each in ticks)
    hidden = await operations.hidden_payloads()
    return [
        ScheduleView.of(
            each,
            each.instance,
            id=f"{each.instance.id}.{each.flow}",
            customer_name=names.get(each.instance.customer),
            instance=each.instance.id,
            instance_name=each.instance.name,
            last_at=each.last,
            next_at=each.next,
            problem=HIDDEN if each.problem and each.instance.customer in hidden else each.problem,
        )
        for each in ticks
    ]
