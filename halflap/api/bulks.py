"""Bulks: many executions replayed, cancelled or dismissed, many instances upgraded, with progress."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query, Response
from pydantic import Field

from halflap.api.asking import Ops, exact, router_of
from halflap.api.execution_view import ExecutionSummary
from halflap.api.executions import states, whose
from halflap.api.operations import Operations
from halflap.api.operations.bulks import Plan
from halflap.api.operations.replay import ReplayRequest
from halflap.api.operations.upgrades import Stages
from halflap.api.recorded import moment, summaries
from halflap.api.view import Input, JsonObject, Text, Time, View
from halflap.model import Bulk, BulkState, BulkVerb, ExecutionVerb
from halflap.store.protocol import Filter

router = router_of("/api/bulks", "bulks", 404, 409)


class Where(Input):
    """A filter of executions; what is left out does not matter. Deployments are never meant."""

    state: str = ""
    """One state, or several by commas. `failed` alone: those not dismissed, nor replayed yet."""
    customer: Text | None = None
    instance: Text | None = None
    flow: Text | None = None
    key: Text | None = None
    reason: Text | None = None
    """A text that its reason contains."""
    cause: Text | None = None
    """The mark of what it failed of."""
    status: Annotated[int | None, Field(ge=100, le=599)] = None
    """The HTTP status of the call that it failed of."""
    since: str | None = None
    until: str | None = None


class BulkDraft(Input):
    """A bulk to be begun: what is done, with which executions; `dry_run` only says with how many."""

    do: ExecutionVerb = "replay"
    where: Where = Field(default_factory=Where)
    dry_run: bool = False
    rate: Annotated[float | None, Field(gt=0, le=100_000)] = None
    """The most executions a second."""
    from_: Annotated[Literal["start", "failed"] | None, Field(alias="from")] = None
    """Of a replay: all of it, or from the step that failed; left out: from that where one did."""
    version: Text | None = None
    """Of a replay: `same`, `current`, or another version."""
    repeat: bool = False
    """Of a replay: do again what may have been done, also where another version does it elsewhere."""
    reason: Text = "cancelled by hand"
    """Of a cancellation."""
    grace: Annotated[float | None, Field(ge=0, le=86_400)] = None
    """Of a cancellation: how many seconds what runs may go on."""


class GroupView(View):
    """The number of selected executions that are alike."""

    customer: str
    instance: str
    instance_name: str | None
    integration: str
    flow: str
    version: str
    state: str
    reason: str
    count: int


class LeftOutView(View):
    """The number of executions that would be left out for one reason, and the first of them."""

    why: str
    count: int
    execution: str


class PlanView(View):
    """A plan of a bulk: the largest groups, and a few of the executions."""

    do: ExecutionVerb
    total: int
    groups: list[GroupView]
    samples: list[ExecutionSummary]
    examined: int
    """The number of executions, from the oldest on, for which a replay was decided one by one."""
    left_out: list[LeftOutView]
    """The ones of these that would not be replayed, by the reason."""


class RefusalView(View):
    """Why it could not be done with an execution or an instance, by its id."""

    id: str
    why: str


class BulkView(View):
    """A bulk over executions or instances, and its progress."""

    id: str
    do: BulkVerb
    state: BulkState
    total: int
    done: int
    refused: int
    refusals: list[RefusalView]
    """Of the first of those that were refused."""
    stages: list[int]
    """Of an upgrade: after how many each stage ends."""
    reason: str
    wanted: JsonObject
    made_at: Time
    ended_at: Time | None


@router.post(
    "",
    status_code=201,
    response_model=BulkView,
    responses={200: {"model": PlanView, "description": "What it would do, with `dry_run`"}},
)
async def begin_bulk(draft: BulkDraft, operations: Ops) -> Response:
    """Replay, cancel or dismiss executions by a filter: in the background, each once."""
    where = await filter_of(operations, draft.where)
    if draft.dry_run:
        request = ReplayRequest(draft.from_, draft.version, repeat=draft.repeat)
        plan = await operations.bulks.plan(draft.do, where, request)
        return exact(await plan_view(operations, plan))
    options: dict[str, Any] = {"rate": draft.rate}
    if draft.do == "replay":
        options |= {"from": draft.from_, "version": draft.version, "repeat": draft.repeat}
    if draft.do == "cancel":
        options |= {"reason": draft.reason, "grace": draft.grace}
    return exact(bulk_view(await operations.bulks.begin(draft.do, where, options)), 201)


@router.get("")
async def list_bulks(
    operations: Ops, limit: Annotated[int, Query(ge=1, le=200)] = 50
) -> list[BulkView]:
    """List the bulks, newest first."""
    return [bulk_view(each) for each in await operations.catalogue.bulks.list(limit)]


@router.get("/{bulk}")
async def get_bulk(bulk: str, operations: Ops) -> BulkView:
    """Return a bulk, with its progress."""
    return bulk_view(await operations.catalogue.bulks.get(bulk))


@router.post("/{bulk}/cancel")
async def cancel_bulk(bulk: str, operations: Ops) -> BulkView:
    """End it early; what it has done stays done."""
    return bulk_view(await operations.bulks.cancel(bulk))


@router.post("/{bulk}/back", status_code=201)
async def undo_bulk(bulk: str, operations: Ops) -> BulkView:
    """Move the instances of an upgrade back to the version and config that each had before it."""
    return bulk_view(await operations.bulks.go_back(bulk))


async def filter_of(operations: Operations, where: Where) -> Filter:
    """Return the filter of the selected executions, by ids."""
    owner, within = await whose(operations, where.customer, where.instance)
    return Filter(
        customer=owner,
        instance=within,
        flow=where.flow,
        states=states(where.state),
        key=where.key,
        reason=where.reason,
        cause=where.cause,
        status=where.status,
        since=moment("where.since", where.since),
        until=moment("where.until", where.until),
    )


async def plan_view(operations: Operations, plan: Plan) -> PlanView:
    """A plan as it is shown."""
    names = await operations.catalogue.instances.names(each.instance for each in plan.groups)
    return PlanView.of(
        plan,
        do=plan.verb,
        groups=[GroupView.of(each, instance_name=names.get(each.instance)) for each in plan.groups],
        samples=await summaries(operations, plan.samples),
    )


def bulk_view(bulk: Bulk) -> BulkView:
    """A bulk as it is shown."""
    stages = Stages.wanted(bulk).ends if bulk.verb == "upgrade" else ()
    return BulkView.of(bulk, do=bulk.verb, stages=stages)
