"""Receivers: customers' own endpoints, which are sent your product's events as signed webhooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, get_args
from urllib.parse import urlsplit

from fastapi import Depends, HTTPException, Query, Request
from pydantic import SecretStr

from halflap.api.asking import (
    USUAL_PAGE,
    After,
    OneCustomer,
    Ops,
    PageSize,
    chosen,
    for_customers,
    last_id,
    needs,
    router_of,
)
from halflap.api.bulks import announced, bulk_view
from halflap.api.event_view import (
    Disabling,
    Moment,
    PublishedEvent,
    ReceiverChange,
    ReceiverDraft,
    ReceiverMade,
    ReceiverView,
    Recovery,
    RecoveryPlan,
    SampleEvent,
    SecretRotation,
)
from halflap.api.execution_view import BulkView
from halflap.api.operations import Operations
from halflap.api.operations.receivers import ReceiverState, is_enabled
from halflap.api.principal import OBJECTS, HiddenPayloads
from halflap.api.view import ListPage, rfc3339
from halflap.model import ReceiverTrouble, to_micros

router = router_of("/api", "receivers")


async def receiver_of(request: Request, receiver: str, operations: Ops) -> ReceiverState:
    """The receiver that a route's path names, by id."""
    found = await operations.receivers.get(receiver)
    request.scope[OBJECTS] = objects_of(found)
    return found


def objects_of(found: ReceiverState) -> dict[str, str]:
    """Return the ids by which the audit log names a receiver."""
    return {"instance": found.instance.id, "customer": found.instance.customer}


def bulk_of(request: Request, found: ReceiverState, operations: Operations) -> str:
    """Return the id of a bulk to be begun for a receiver, which the audit log names beside it."""
    id = announced(request, operations)
    request.scope[OBJECTS] |= objects_of(found)
    return id


OneReceiver = Annotated[ReceiverState, Depends(receiver_of)]


@router.get("/receivers")
@for_customers
@needs("read")
async def list_receivers(
    operations: Ops,
    customer: str | None = None,
    trouble: Annotated[
        str,
        Query(
            description="Only those in it: `disabled`, `failing` (with those that were disabled for "
            "that), or both by a comma."
        ),
    ] = "",
    after: After = None,
    limit: PageSize = USUAL_PAGE,
) -> ListPage[ReceiverView]:
    """Receivers, of a customer or of all, oldest first."""
    troubles = chosen(trouble, get_args(ReceiverTrouble), "trouble")
    owner = customer and (await operations.catalogue.customers.get(customer)).id
    found = await operations.receivers.list(owner or None, troubles, after=after, limit=limit)
    names, hidden = await names_of(operations, found), await operations.hidden_payloads()
    next = last_id([each.instance for each in found], limit)
    return ListPage(items=[receiver_view(each, names, hidden) for each in found], next=next)


@router.post("/customers/{customer}/receivers", status_code=201)
@for_customers
@needs("configure")
async def add_receiver(found: OneCustomer, draft: ReceiverDraft, operations: Ops) -> ReceiverMade:
    """Add a receiver of a customer; the answer has its secret, this once."""
    made, secret = await operations.receivers.add(
        found.id, draft.url, draft.types, plain(draft.headers), draft.name
    )
    return ReceiverMade(**(await view_of(operations, made)).model_dump(), secret=secret)


@router.get("/receivers/{receiver}")
@for_customers
@needs("read")
async def get_receiver(found: OneReceiver, operations: Ops) -> ReceiverView:
    """Return a receiver."""
    return await view_of(operations, found)


@router.patch("/receivers/{receiver}")
@for_customers
@needs("configure")
async def change_receiver(
    found: OneReceiver, change: ReceiverChange, operations: Ops
) -> ReceiverView:
    """Change a receiver: what is left out stays."""
    changed = await operations.receivers.change(
        found,
        address=change.url,
        types=change.types,
        headers=None if change.headers is None else plain(change.headers),
        name=change.name,
    )
    return await view_of(operations, changed)


@router.delete("/receivers/{receiver}", status_code=204)
@for_customers
@needs("configure")
async def remove_receiver(found: OneReceiver, request: Request, operations: Ops) -> None:
    """Remove a receiver: what waits to be delivered is cancelled, what was delivered can be looked at."""
    await operations.receivers.remove(bulk_of(request, found, operations), found)


@router.post("/receivers/{receiver}/secret")
@for_customers
@needs("configure")
async def rotate_receiver_secret(
    found: OneReceiver, operations: Ops, draft: SecretRotation | None = None
) -> ReceiverMade:
    """Give a receiver another secret; for a while messages are signed with both.

    It takes the right `secrets`, or a token of the receiver's own customer.
    """
    principal = operations.principal
    if principal.kind != "customer" and "secrets" not in principal.rights:
        raise HTTPException(403, "This needs the right 'secrets', which you do not have.")
    overlap = (draft or SecretRotation()).overlap_seconds * 1_000_000
    secret, changed = await operations.receivers.rotate(found, overlap)
    view = await view_of(operations, changed)
    return ReceiverMade(**view.model_dump(), secret=secret)


@router.post("/receivers/{receiver}/disable")
@for_customers
@needs("configure")
async def disable_receiver(
    found: OneReceiver, operations: Ops, draft: Disabling | None = None
) -> ReceiverView:
    """Send nothing until it is enabled; events meanwhile are kept, to be delivered by `recover`."""
    reason = (draft.reason if draft else "") or f"by {operations.acting('hand')}"
    return await view_of(operations, await operations.receivers.disable(found, reason))


@router.post("/receivers/{receiver}/enable")
@for_customers
@needs("configure")
async def enable_receiver(found: OneReceiver, operations: Ops) -> ReceiverView:
    """Send to a receiver again; what it did not take is delivered by `recover`."""
    return await view_of(operations, await operations.receivers.enable(found))


@router.post("/receivers/{receiver}/test", status_code=202)
@for_customers
@needs("operate")
async def send_test_event(
    found: OneReceiver, operations: Ops, draft: SampleEvent | None = None
) -> PublishedEvent:
    """Send a test event to this receiver alone: the declared example of a type."""
    draft = draft or SampleEvent()
    return PublishedEvent.of(
        await operations.app_events.test(found.instance.customer, found.instance.id, draft.type)
    )


@router.get("/receivers/{receiver}/recovery")
@for_customers
@needs("read")
async def plan_receiver_recovery(
    found: OneReceiver, operations: Ops, since: Moment | None = None
) -> RecoveryPlan:
    """Return what `recover` would send, since a time or of all, and what waits for its next try."""
    at = 0 if since is None else to_micros(since)
    plan, waiting, due = await operations.receivers.plan_recovery(found, at)
    return RecoveryPlan(
        missed=plan.total,
        sent=plan.total - plan.skipped,
        is_exact=plan.examined == plan.total,
        waiting=waiting,
        next_try_at=None if due is None else rfc3339(due),
    )


@router.post("/receivers/{receiver}/recover")
@for_customers
@needs("operate")
async def recover_receiver(
    found: OneReceiver, draft: Recovery, request: Request, operations: Ops
) -> BulkView:
    """Deliver again, in the background, each event since a time that the receiver did not take.

    Not what was delivered since, or is on its way; while another recovery goes on, it is refused (409).
    """
    id = bulk_of(request, found, operations)
    bulk = await operations.receivers.recover(id, found, to_micros(draft.since))
    return bulk_view(bulk)


async def names_of(operations: Operations, found: Sequence[ReceiverState]) -> Mapping[str, str]:
    """Return the names of receivers' customers, by id."""
    return await operations.catalogue.customers.names({each.instance.customer for each in found})


async def view_of(operations: Operations, found: ReceiverState) -> ReceiverView:
    """Return a receiver as it is shown."""
    names, hidden = await names_of(operations, [found]), await operations.hidden_payloads()
    return receiver_view(found, names, hidden)


def receiver_view(
    found: ReceiverState, names: Mapping[str, str], hidden: HiddenPayloads
) -> ReceiverView:
    """Return a receiver as it is shown, with its customer's name among these.

    Where that customer's payloads are hidden, of the URL its host alone.
    """
    instance, health = found.instance, found.health
    until = found.former_until
    return ReceiverView.of(
        instance,
        customer_name=names.get(instance.customer, ""),
        url=host_of(found.address) if instance.customer in hidden else found.address,
        types=list(found.types),
        header_names=list(found.header_names),
        enabled=is_enabled(health),
        disabled_at=noted(health.get("disabled")),
        disabled_because=health.get("reason", ""),
        failing_since=noted(health.get("failing")),
        former_until=None if until is None else to_micros(until),
    )


def host_of(address: str) -> str:
    """Return the scheme, the host and the port of a URL."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def noted(text: Any) -> int | None:
    """Return a time that a delivery noted, as the API has it."""
    return None if text is None else to_micros(datetime.fromisoformat(text))


def plain(headers: Mapping[str, SecretStr]) -> dict[str, str]:
    """Return headers in the clear."""
    return {name: each.get_secret_value() for name, each in headers.items()}
