"""Bulks: many executions replayed, cancelled or dismissed, many instances upgraded, with progress."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, get_args

from fastapi import Query, Request, Response

from halflap.api.asking import (
    USUAL_PAGE,
    Before,
    Ops,
    PageSize,
    chosen,
    exact,
    last_id,
    needs,
    router_of,
)
from halflap.api.connections import traffic_of
from halflap.api.execution_view import BulkDraft, BulkView, GroupView, PlanView, UnmendedView, Where
from halflap.api.executions import searchable, states, whose
from halflap.api.operations import Operations
from halflap.api.operations.bulks import BulkPlan
from halflap.api.operations.connections import needs_sign_in
from halflap.api.operations.people import MissingRight
from halflap.api.operations.replay import ReplayRequest
from halflap.api.operations.upgrades import Stages
from halflap.api.principal import OBJECTS
from halflap.api.recorded import moment, public_mark, summaries
from halflap.api.stats import milliseconds
from halflap.api.view import (
    CanaryView,
    ListPage,
    NamedInstance,
    RolloutView,
    VersionFigures,
    VersionName,
    rfc3339,
)
from halflap.errors import Conflict
from halflap.model import Bulk, BulkState, BulkVerb, Instance, Throttled
from halflap.sdk import codec
from halflap.store.protocol import Filter

router = router_of("/api/bulks", "bulks")


@router.post(
    "",
    status_code=201,
    response_model=BulkView,
    responses={200: {"model": PlanView, "description": "What it would do, with `dry_run`"}},
)
@needs("operate")
async def begin_bulk(draft: BulkDraft, request: Request, operations: Ops) -> Response:
    """Replay, cancel or dismiss executions by a filter: in the background, each once."""
    where = await filter_of(operations, draft.where)
    if draft.dry_run:
        how = ReplayRequest(draft.from_, draft.version, repeat=draft.repeat, again=draft.again)
        plan = await operations.bulks.plan(draft.do, where, how)
        return exact(await plan_view(operations, plan))
    options: dict[str, Any] = {"rate": draft.rate}
    if draft.do == "replay":
        options |= {"from": draft.from_, "version": draft.version}
        options |= {"repeat": draft.repeat, "again": draft.again}
    if draft.do == "cancel":
        options |= {"reason": draft.reason, "grace": draft.grace}
    id = announced(request, operations)
    return exact(bulk_view(await operations.bulks.begin(id, draft.do, where, options)), 201)


@router.get("")
@needs("read")
async def list_bulks(
    operations: Ops,
    before: Before = None,
    limit: PageSize = USUAL_PAGE,
    upgrades_of: Annotated[
        str | None, Query(description="Only upgrades of the instances of an integration.")
    ] = None,
    do: Annotated[str, Query(description="What is done, one or several by commas.")] = "",
    state: Annotated[str, Query(description="One state, or several by commas.")] = "",
    started: Annotated[
        bool, Query(description="Count what became of replays, too, as of one bulk.")
    ] = False,
) -> ListPage[BulkView]:
    """List the bulks, newest first."""
    verbs, states = chosen(do, get_args(BulkVerb), "do"), chosen(state, get_args(BulkState))
    found = await operations.catalogue.bulks.list(before, limit, upgrades_of, verbs, states)
    views = [await with_started(operations, e) if started else bulk_view(e) for e in found]
    return ListPage(items=views, next=last_id(found, limit))


@router.get("/{bulk}")
@needs("read")
async def get_bulk(bulk: str, operations: Ops) -> BulkView:
    """Return a bulk, with its progress, and what became of what it started."""
    return await with_started(operations, await operations.catalogue.bulks.get(bulk))


async def with_started(operations: Operations, bulk: Bulk) -> BulkView:
    """A bulk as it is shown, with what became of the replays that it started, once it has stopped."""
    replays = bulk.verb == "replay" and bulk.state != "running"
    started = dict(await operations.bulks.started(bulk)) if replays else {}
    return bulk_view(bulk).model_copy(update={"started": started})


@router.get("/{bulk}/rollout")
@needs("read")
async def get_rollout(bulk: str, operations: Ops) -> RolloutView:
    """Return the figures of an upgrade since it began: of its version, and of the others beside it."""
    found = await operations.catalogue.bulks.get(bulk)
    if found.verb != "upgrade":
        raise Conflict(f"{bulk} is no upgrade", key=bulk)
    figures = await operations.bulks.figures(found)
    hashes = {each.version for each in figures.versions} | {e.version for e in figures.canary}
    numbers = await operations.catalogue.versions.numbers(hashes)
    names = await named(operations, figures.canary)
    refused = {each.id: each.why for each in found.refusals}
    return RolloutView(
        since=rfc3339(figures.since),
        versions=[
            VersionFigures.of(
                each,
                version=VersionName(hash=each.version, number=numbers.get(each.version)),
                p50_ms=milliseconds(each.took.quantile(0.5)),
                p95_ms=milliseconds(each.took.quantile(0.95)),
            )
            for each in figures.versions
        ],
        canary=[
            CanaryView.of(names[each.id], moved=each.moved_by == bulk, why=refused.get(each.id))
            for each in figures.canary
        ],
    )


@router.post("/{bulk}/pause")
@needs("operate")
async def pause_bulk(bulk: str, operations: Ops) -> BulkView:
    """Let it stand still, behind what it is doing now, until it is resumed."""
    by = operations.acting("hand")
    return bulk_view(await operations.bulks.pause(bulk, f"paused by {by}"))


@router.post("/{bulk}/resume")
@needs("operate")
async def resume_bulk(bulk: str, operations: Ops) -> BulkView:
    """Let it go on; an upgrade needs the right `configure`, as to begin one does."""
    found = await operations.catalogue.bulks.get(bulk)
    if found.verb == "upgrade" and "configure" not in operations.principal.rights:
        raise MissingRight("to go on with an upgrade needs the right 'configure', which you lack")
    return bulk_view(await operations.bulks.resume(bulk))


@router.post("/{bulk}/cancel")
@needs("operate")
async def cancel_bulk(bulk: str, operations: Ops) -> BulkView:
    """End it early; what it has done stays done."""
    return bulk_view(await operations.bulks.cancel(bulk))


@router.post("/{bulk}/back", status_code=201)
@needs("configure")
async def undo_bulk(bulk: str, request: Request, operations: Ops) -> BulkView:
    """Move the instances of an upgrade back to the version and config that each had before it."""
    id = announced(request, operations)
    return bulk_view(await operations.bulks.go_back(bulk, id))


def announced(request: Request, operations: Operations) -> str:
    """Return the id of a bulk to be begun, which the entry of its request names from the beginning.

    So each customer that the bulk comes to is added to that entry, however soon it does.
    """
    made = operations.bulks.make_id()
    request.scope[OBJECTS] = {"made": made}
    return made


async def filter_of(operations: Operations, where: Where) -> Filter:
    """Return the filter of the selected executions, by ids."""
    owner, within = await whose(operations, where.customer, where.instance)
    which = Filter(
        **where.model_dump(exclude={"customer", "instance", "state", "since", "until"}),
        customer=owner,
        instance=within,
        states=states(where.state),
        since=moment("where.since", where.since),
        until=moment("where.until", where.until),
    )
    return await searchable(operations, which)


async def plan_view(operations: Operations, plan: BulkPlan) -> PlanView:
    """A plan as it is shown."""
    names = await operations.catalogue.instances.names(each.instance for each in plan.groups)
    customers = await operations.catalogue.customers.names(each.customer for each in plan.groups)
    hidden = await operations.hidden_payloads()
    return PlanView.of(
        plan,
        do=plan.verb,
        groups=[
            GroupView.of(
                each,
                customer_name=customers.get(each.customer),
                instance_name=names.get(each.instance),
                **(
                    {"reason": "", "cause": public_mark(each.cause)}
                    if each.customer in hidden
                    else {}
                ),
            )
            for each in plan.groups
        ],
        samples=await summaries(operations, plan.samples),
        unmended=await unmended(operations, plan) if plan.verb == "replay" else [],
    )


async def unmended(operations: Operations, plan: BulkPlan) -> list[UnmendedView]:
    """Return the connections of the instances that are meant which do not work now."""
    catalogue, journal, now = operations.catalogue, operations.journal, operations.store.clock()
    instances = await catalogue.instances.some(each.instance for each in plan.groups)
    used: dict[str, set[str]] = {}
    for each in instances.values():
        _, links = await catalogue.instances.revision(each.id, each.revision)
        for connection in links.values():
            used.setdefault(connection, set()).add(each.id)
    stored = await catalogue.connections.some(used)
    names = await catalogue.customers.names(each.customer or "" for each in stored.values())
    resting, parked = await journal.resting(), await journal.parked()
    found: list[UnmendedView] = []
    for id, each in stored.items():
        traffic = traffic_of(resting.get(id, Throttled()), now)
        if needs_sign_in(each):
            why = "not_signed_in"
        elif each.status == "unauthorized":
            why = "unauthorized"
        elif traffic["away"]:
            why = "away"
        else:
            continue
        ends = [e.ended_at for e in plan.samples if e.flow.instance in used[id] and e.ended_at]
        found.append(
            UnmendedView(
                connection=id,
                name=each.name,
                customer_name=names.get(each.customer or ""),
                why=why,
                since=None if why != "away" else rfc3339(traffic["away_since"]),
                parked=parked.get(id, 0),
                failed_at=rfc3339(max(ends)) if ends else None,
            )
        )
    return found


async def named(operations: Operations, instances: Sequence[Instance]) -> dict[str, NamedInstance]:
    """Return instances by their ids, with their names and their customers'."""
    customers = await operations.catalogue.customers.names(each.customer for each in instances)
    numbers = await operations.catalogue.versions.numbers(each.version for each in instances)
    return {
        each.id: NamedInstance.of(
            each,
            customer_name=customers.get(each.customer, each.customer),
            version=VersionName(hash=each.version, number=numbers.get(each.version)),
        )
        for each in instances
    }


def bulk_view(bulk: Bulk) -> BulkView:
    """A bulk as it is shown."""
    stages = Stages.wanted(bulk).ends if bulk.verb == "upgrade" else ()
    # Values for customers' configs are shown where configs are; here, which fields they are for.
    values = bulk.wanted.get("config")
    names = {} if values is None else {"config": [*codec.decode(values)]}
    wanted = {**bulk.wanted, **names}
    return BulkView.of(bulk, do=bulk.verb, stages=stages, wanted=wanted)
