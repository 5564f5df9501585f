"""The events of your own product: their types, and publishing them for a customer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import Header, Query

from halflap.api.asking import OneCustomer, Ops, for_customers, needs, router_of
from halflap.api.event_view import (
    AppEventDraft,
    AppEventsDraft,
    EventTypesDraft,
    EventTypeView,
    Key,
    ListeningReceiverView,
    PublishedEvent,
    PublishedEvents,
)
from halflap.api.operations import Operations
from halflap.api.operations.app_events import ListeningFlow, listeners_of
from halflap.api.operations.event_document import openapi_of
from halflap.api.operations.receivers import is_enabled
from halflap.api.problem import documented
from halflap.api.receivers import noted
from halflap.api.view import JsonObject, ListPage, View
from halflap.model import EventType
from halflap.store.catalogue.notes import PRODUCT

router = router_of("/api", "events")


class ListenersView(View):
    """The listeners of a type: flows, and the oldest receivers of how many there are."""

    flows: list[ListeningFlow]
    receivers: list[ListeningReceiverView]
    receiver_count: int


RepeatKey = Annotated[
    Key | None,
    Header(
        alias="Idempotency-Key",
        description="In place of `idempotency_key`, as any client sends it.",
    ),
]


@router.get("/event-types")
@needs("read")
async def list_event_types(operations: Ops) -> ListPage[EventTypeView]:
    """The types of your product's events, each in its newest version, by name."""
    found = await operations.catalogue.event_types.list()
    return ListPage(items=await type_views(operations, found), next=None)


@router.put("/event-types")
@needs("events")
async def declare_event_types(draft: EventTypesDraft, operations: Ops) -> ListPage[EventTypeView]:
    """Declare types, all or none; one that is declared already may be declared again.

    A version's schema may get optional properties and other descriptions. A change that breaks who
    publishes or who listens is refused (409), unless it is declared as another `version`.
    """
    found = await operations.app_events.declare(draft.types)
    return ListPage(items=await type_views(operations, found), next=None)


@router.get("/event-types/openapi.json")
@for_customers
@needs("read")
async def get_webhooks_document(operations: Ops) -> JsonObject:
    """Return the OpenAPI 3.1 document of the webhooks that receivers are sent."""
    found = await operations.app_events.catalogue.event_types.list()
    return openapi_of(found)


@router.get("/event-types/{event_type}")
@needs("read")
async def get_event_type(
    event_type: str,
    operations: Ops,
    version: Annotated[int | None, Query(ge=1, le=10**9)] = None,
) -> EventTypeView:
    """Return a type of your product's events, in its newest version or another."""
    found = await operations.catalogue.event_types.get(event_type, version)
    return (await type_views(operations, [found]))[0]


@router.get("/event-types/{event_type}/listeners")
@needs("read")
async def list_event_listeners(event_type: str, operations: Ops) -> ListenersView:
    """Return the listeners of a type: flows of versions in use, and the receivers of customers."""
    catalogue = operations.catalogue
    await catalogue.event_types.get(event_type)
    found = await listeners_of(event_type, catalogue, operations.library)
    owners = {each.customer for each, _ in found.receivers}
    names = await catalogue.customers.names(owners)
    healths = await operations.receivers.healths_of([each.id for each, _ in found.receivers])
    return ListenersView(
        flows=[*found.flows],
        receivers=[
            ListeningReceiverView.of(
                each,
                customer_name=names.get(each.customer, ""),
                types=list(types),
                enabled=is_enabled(health := healths[each.id]),
                failing_since=noted(health.get("failing")),
            )
            for each, types in found.receivers
        ],
        receiver_count=found.receiver_count,
    )


@router.delete("/event-types/{event_type}", status_code=204)
@needs("events")
async def remove_event_type(event_type: str, operations: Ops) -> None:
    """Remove a type with all its versions: such events are refused from now on."""
    await operations.catalogue.event_types.remove(event_type)


@router.post("/customers/{customer}/events", status_code=202, responses=documented(429))
@needs("events", audited="no")
async def publish_event(
    found: OneCustomer, draft: AppEventDraft, operations: Ops, key: RepeatKey = None
) -> PublishedEvent:
    """Publish an event for a customer: durable once answered.

    It starts each flow of the customer's instances whose trigger takes its type. With an idempotency
    key it may be sent again: a flow that had it is not started again.
    """
    if key is not None and draft.idempotency_key is None:
        draft.idempotency_key = key
    [published] = await operations.app_events.publish(found.id, [draft])
    return PublishedEvent.of(published)


@router.post("/customers/{customer}/events/batch", status_code=202, responses=documented(429))
@needs("events", audited="no")
async def publish_events(
    found: OneCustomer, draft: AppEventsDraft, operations: Ops
) -> PublishedEvents:
    """Publish up to 100 events for a customer, in their order: all in one transaction, or none."""
    published = await operations.app_events.publish(found.id, draft.events)
    return PublishedEvents(events=[PublishedEvent.of(each) for each in published])


async def type_views(operations: Operations, types: Sequence[EventType]) -> list[EventTypeView]:
    """Return types as they are shown, each with how many of its events were published."""
    counts = await operations.store.catalogue.counters.of(PRODUCT)
    return [
        EventTypeView.of(
            each,
            schema=each.schema,
            published=counts.get(each.name, {}).get("published", 0),
            published_at=counts.get(each.name, {}).get("published_at"),
        )
        for each in types
    ]
