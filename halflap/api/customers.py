"""Your product's customers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import Query, Response

from halflap.api.asking import (
    EDITED,
    USUAL_PAGE,
    After,
    OneCustomer,
    Ops,
    PageSize,
    Search,
    Total,
    Wait,
    exact,
    for_customers,
    needs,
    router_of,
)
from halflap.api.operations import Operations
from halflap.api.operations.people import MissingRight
from halflap.api.view import (
    CountedPage,
    CustomerChange,
    CustomerDetail,
    CustomerDraft,
    CustomerView,
    ErasureDraft,
    ErasureView,
    LimitsView,
    RetentionView,
    pause_view,
)
from halflap.errors import ConfigError
from halflap.model import Customer, CustomerLimits, InstanceState, Paused, Retention
from halflap.store.catalogue.customers import ChangedCustomer, CustomerFilter

MOST_COUNTED = 1_000_000

router = router_of("/api/customers", "customers")


@router.get("")
@needs("read")
async def list_customers(
    operations: Ops,
    external_id: Annotated[
        str | None, Query(description="Only the one that has this id in your own product.")
    ] = None,
    q: Search = None,
    private: bool | None = None,
    after: After = None,
    limit: PageSize = USUAL_PAGE,
    total: Total = False,
) -> CountedPage[CustomerView]:
    """Customers, by name."""
    paused = {each.what: each for each in await operations.engine.journal.paused()}
    customers = operations.catalogue.customers
    which = CustomerFilter(q=q, private=private, external_id=external_id)
    found = await customers.list(which, after=after, limit=limit)
    states = await operations.catalogue.instances.states(each.id for each in found)
    return CountedPage(
        items=[customer_view(each, states[each.id], paused.get(each.id)) for each in found],
        next=found[-1].name if len(found) == limit else None,
        total=await customers.number(which) if total else None,
    )


@router.post("", status_code=201)
@needs("configure")
async def add_customer(draft: CustomerDraft, operations: Ops) -> CustomerView:
    """Add a customer."""
    added = await operations.catalogue.customers.add(draft.name, draft.external_id)
    return customer_view(added, {})


@router.get("/{customer}")
@for_customers
@needs("read")
async def get_customer(found: OneCustomer, operations: Ops) -> CustomerDetail:
    """A customer, by id or name, with its limits and what it has running and queued."""
    return await detailed(operations, found.id)


@router.patch("/{customer}")
@needs("configure")
async def change_customer(
    found: OneCustomer, change: CustomerChange, operations: Ops
) -> CustomerDetail:
    """Change a customer: what is left out stays, null takes the external id away.

    Showing what is private takes the right `private_payloads`, or `admin`.
    """
    shows = found.private and change.private is False
    if shows and not operations.principal.rights & {"private_payloads", "admin"}:
        raise MissingRight(
            "This needs the right 'private_payloads' or 'admin', which you do not have."
        )
    if change.private and found.development:
        raise ConfigError(
            "the development customer has no data of others, and whoever edits drafts works with it; "
            "make a customer of its own for what is private",
            fields={"private": "cannot be said of the development customer"},
        )
    changed = ChangedCustomer()
    if change.name is not None:
        changed["name"] = change.name
    if change.private is not None:
        changed["private"] = change.private
    if "external_id" in change.model_fields_set:
        changed["external_id"] = change.external_id
    await operations.catalogue.customers.change(found.id, **changed)
    return await detailed(operations, found.id)


@router.put("/{customer}/limits")
@needs("configure")
async def limit_customer(found: OneCustomer, limits: LimitsView, operations: Ops) -> CustomerDetail:
    """Give a customer limits of its own, in place of those that it had."""
    await operations.limit(found.id, CustomerLimits(**limits.model_dump()))
    return await detailed(operations, found.id)


@router.put("/{customer}/retention")
@needs("admin")
async def retain_customer(
    found: OneCustomer, retention: RetentionView, operations: Ops
) -> CustomerDetail:
    """Say for how long what ends of a customer is kept, in place of what it said before."""
    await operations.retentions.put(found.id, Retention(**retention.model_dump()))
    return await detailed(operations, found.id)


@router.get("/{customer}/erasure")
@needs("admin")
async def plan_erasure(found: OneCustomer, operations: Ops) -> ErasureView:
    """Return what erasing a customer would remove, and what has to be done before."""
    return ErasureView.of(await operations.erasure.plan(found.id))


@router.post("/{customer}/erasure", response_model=ErasureView)
@needs("admin")
async def erase_customer(
    found: OneCustomer, draft: ErasureDraft, operations: Ops, wait: Wait = 600
) -> Response:
    """Erase a customer: all of it, for good. Cut off, ask again: it goes on from there.

    Where that takes longer than `wait`, the answer is 202, and `left` says how much there is still:
    ask again.
    """
    done = await operations.erasure.erase(found.id, operations.acting(draft.by), wait)
    return exact(ErasureView.of(done), 202 if done.left else 200)


@router.delete("/{customer}", status_code=204)
@needs("configure")
async def remove_customer(found: OneCustomer, operations: Ops) -> None:
    """Remove a customer that has no instances and no connections."""
    await operations.deployer.remove_customer(found.id)


def customer_view(
    customer: Customer, instances: Mapping[InstanceState, int], paused: Paused | None = None
) -> CustomerView:
    """A customer as it is shown."""
    shown = None if paused is None else pause_view(paused)
    return CustomerView.of(customer, instances=dict(instances), paused=shown)


async def detailed(operations: Operations, id: str) -> CustomerDetail:
    """A customer, by its id, with its limits and its load."""
    tag = await operations.catalogue.tag("customer", id)
    customer = await operations.catalogue.customers.get(id)
    journal = operations.journal
    paused = {each.what: each for each in await operations.engine.journal.paused()}
    load = await journal.load(customer.id, MOST_COUNTED)
    states = await operations.catalogue.instances.states([customer.id])
    return CustomerDetail.of(
        customer_view(customer, states[customer.id], paused.get(customer.id)),
        limits=await journal.limits(customer.id),
        default_limits=journal.default_limits,
        retention=await operations.retentions.get(customer.id),
        default_retention=operations.retentions.default,
        running=load.running,
        queued=load.queued,
    ).with_tag(tag)


EDITED["customer"] = detailed
