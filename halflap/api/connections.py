"""Connections: accounts of apps, tested before they are saved; their secrets never come back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import Query

from halflap.api.asking import (
    EDITED,
    USUAL_PAGE,
    After,
    OneConnection,
    Ops,
    PageSize,
    Search,
    Total,
    Whose,
    for_customers,
    last_id,
    needs,
    router_of,
)
from halflap.api.operations import Operations
from halflap.api.operations.connections import needs_sign_in
from halflap.api.operations.waiting import PROBED
from halflap.api.view import (
    AuthorizationDraft,
    AuthorizationView,
    Authorized,
    ConnectionChange,
    ConnectionDetail,
    ConnectionDraft,
    ConnectionLimitsView,
    ConnectionUse,
    ConnectionView,
    CountedPage,
)
from halflap.model import CauseGroup, ConnectionLimits, Micros, StoredConnection, Throttled
from halflap.store.catalogue.connections import ConnectionFilter
from halflap.store.catalogue.connections import Status as ConnectionStatus
from halflap.store.protocol import Filter

HOUR: Micros = 3_600_000_000
MOST_CAUSES = 200
MOST_USES = 20

router = router_of("/api/connections", "connections", 502)


@router.get("")
@for_customers
@needs("read")
async def list_connections(
    operations: Ops,
    customer: Whose = None,
    component: str | None = None,
    status: Annotated[
        ConnectionStatus | Literal["away"] | None,
        Query(description="`away`: those whose app does not answer."),
    ] = None,
    q: Search = None,
    after: After = None,
    limit: PageSize = USUAL_PAGE,
    total: Total = False,
) -> CountedPage[ConnectionView]:
    """Connections, oldest first; with a customer, those that it may use: its own and the team's."""
    connections = operations.catalogue.connections
    resting, now = await operations.journal.resting(PROBED), operations.store.clock()
    away = tuple(id for id, each in resting.items() if traffic_of(each, now)["away"])
    which = ConnectionFilter(
        owners=await operations.connections.owners(customer),
        component=component,
        status=None if status == "away" else status,
        q=q,
        ids=away if status == "away" else None,
    )
    found = await connections.page(which, after=after, limit=limit)
    return CountedPage(
        items=await connection_views(found, operations, resting),
        next=last_id(found, limit),
        total=await connections.number(which) if total else None,
    )


@router.post("", status_code=201)
@for_customers
@needs("configure")
async def make_connection(draft: ConnectionDraft, operations: Ops) -> ConnectionView:
    """Validate a connection, test it at the app, then save it."""
    version = draft.version
    if draft.integration is not None:
        version = await operations.offers.for_connection(draft.integration, version)
    component, kind = await operations.connections.kinds.wanted(
        draft.component, draft.integration, draft.field, version
    )
    made = await operations.connections.make(
        draft.name, component, kind, draft.values, customer=draft.customer, test=draft.test
    )
    return await shown(operations, made.id)


@router.post("/authorized")
@for_customers
@needs("configure")
async def end_authorization(answer: Authorized, operations: Ops) -> ConnectionView:
    """End a sign-in with what the browser brought back: its code for tokens."""
    signed_in = await operations.connections.authorized(answer.state, answer.code)
    return await shown(operations, signed_in.id)


@router.get("/{connection}")
@for_customers
@needs("read")
async def get_connection(stored: OneConnection, operations: Ops) -> ConnectionDetail:
    """A connection, by id or name, with its limits and what waits for it."""
    return await detailed(operations, stored.id)


@router.put("/{connection}/limits")
@needs("configure")
async def limit_connection(
    stored: OneConnection, limits: ConnectionLimitsView, operations: Ops
) -> ConnectionDetail:
    """Give a connection limits of its own, in the place of those that its type declares."""
    connections = operations.catalogue.connections
    await connections.limit(stored.id, ConnectionLimits(**limits.model_dump()))
    return await detailed(operations, stored.id)


@router.patch("/{connection}")
@for_customers
@needs("configure")
async def change_connection(
    stored: OneConnection, change: ConnectionChange, operations: Ops
) -> ConnectionView:
    """Change a connection: what is left out stays, null clears; tested before it is saved."""
    changed = await operations.connections.change(
        stored, change.name, change.values, test=change.test
    )
    return await shown(operations, changed.id)


@router.delete("/{connection}", status_code=204)
@for_customers
@needs("configure")
async def remove_connection(stored: OneConnection, operations: Ops) -> None:
    """Remove a connection that no instance uses."""
    await operations.catalogue.connections.remove(stored.id)


@router.post("/{connection}/test")
@for_customers
@needs("operate")
async def try_connection(stored: OneConnection, operations: Ops) -> ConnectionView:
    """Test a connection at the app."""
    tested = await operations.connections.test(stored)
    return await shown(operations, tested.id)


@router.post("/{connection}/authorize")
@for_customers
@needs("configure")
async def begin_authorization(
    stored: OneConnection, draft: AuthorizationDraft, operations: Ops
) -> AuthorizationView:
    """Begin a sign-in at the app: where to send the browser."""
    begun = await operations.connections.authorize(stored, draft.redirect_uri)
    return AuthorizationView.of(begun)


async def shown(operations: Operations, id: str) -> ConnectionView:
    """A connection, by its id."""
    tag = await operations.catalogue.tag("connection", id)
    stored = await operations.catalogue.connections.get(id)
    traffic = {id: await operations.journal.throttled(id)}
    [view] = await connection_views([stored], operations, traffic)
    return view.with_tag(tag)


async def connection_views(
    some: Sequence[StoredConnection], operations: Operations, traffic: Mapping[str, Throttled]
) -> list[ConnectionView]:
    """Connections as they are shown, by their traffic: of their secrets only the names."""
    now, hidden = operations.store.clock(), await operations.hidden_payloads()
    owners = {each.customer for each in some if each.customer is not None}
    names = await operations.catalogue.customers.names(owners)
    users = await operations.catalogue.instances.users(some)
    views = [
        ConnectionView.of(
            each,
            **traffic_of(traffic.get(each.id, Throttled()), now),
            secrets=each.secret_names,
            needs_sign_in=needs_sign_in(each),
            customer_name=None if each.customer is None else names.get(each.customer),
            used_by=[ConnectionUse.of(user) for user in users[each.id][:MOST_USES]],
            uses=len(users[each.id]),
        )
        for each in some
    ]
    return [each.without_payload() if each.customer in hidden else each for each in views]


def traffic_of(traffic: Throttled, now: Micros) -> dict[str, Any]:
    """Return what is known of a connection's traffic, as its view has it."""
    is_away = traffic.away and traffic.until > now - PROBED
    return {
        "away": is_away,
        "away_since": traffic.since if is_away else None,
        "rests_until": traffic.until if traffic.until > now else None,
        "rests_because": traffic.reason if traffic.until > now or is_away else "",
    }


async def detailed(operations: Operations, id: str) -> ConnectionDetail:
    """A connection, by its id, with its limits, and what waits for it."""
    tag = await operations.catalogue.tag("connection", id)
    stored = await operations.catalogue.connections.get(id)
    journal, now = operations.journal, operations.store.clock()
    traffic = await journal.throttled(stored.id)
    recent = Filter(
        customer=stored.customer, states=("failed",), since=now - HOUR, limit=MOST_CAUSES
    )
    [view] = await connection_views([stored], operations, {stored.id: traffic})
    return ConnectionDetail.of(
        view,
        limits=stored.limits,
        parked=(await journal.parked()).get(stored.id, 0),
        quota=traffic.quota,
        failed=failed_calls(
            await journal.causes(recent),
            await operations.connections.kinds.component_of(stored),
        ),
    ).with_tag(tag)


EDITED["connection"] = detailed


def failed_calls(causes: Iterable[CauseGroup], component: str) -> dict[str, int]:
    """Return how many executions failed of calls to a component's app, by HTTP status."""
    counts: Counter[str] = Counter()
    for each in causes:
        failure = each.failure
        if failure is not None and failure.status and f" at {component}." in failure.cause:
            counts[str(failure.status)] += each.count
    return dict(counts.most_common())
