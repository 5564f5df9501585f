"""Executions: what ran, what came in, what each step did; signalled, cancelled, replayed, dismissed."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal, cast, get_args

from fastapi import Body, Depends, Header, Query, Request, Response

from halflap.api import payload
from halflap.api.asking import (
    LARGEST_NUMBER,
    LARGEST_PAGE,
    OneExecution,
    Ops,
    PageSize,
    ReadableExecution,
    Whose,
    check_payload,
    chosen,
    execution_of,
    for_customers,
    json_of,
    needs,
    router_of,
    visible,
)
from halflap.api.draft_view import plain_path
from halflap.api.execution_view import (
    Cancellation,
    CauseView,
    ChildView,
    ExecutionFrame,
    ExecutionOutline,
    ExecutionOverview,
    ExecutionPage,
    ExecutionSummary,
    ExecutionTrace,
    ExecutionView,
    LastEvent,
    LogView,
    ReplayDraft,
    Replayed,
    StepFailure,
    StepPage,
    StepRowView,
)
from halflap.api.operations import Operations
from halflap.api.operations.executions import ExecutionDetail
from halflap.api.operations.replay import LeftOut, ReplayRequest, SaidDone
from halflap.api.part import RANGED, streamed
from halflap.api.principal import HiddenPayloads
from halflap.api.problem import PayloadsHidden
from halflap.api.recorded import (
    cause_views,
    edit_of,
    event_head,
    log_view,
    moment,
    order_view,
    related_view,
    seen_view,
    step_excerpt,
    step_view,
    summaries,
    waiting_since,
)
from halflap.api.view import Json, NumberedPage, pause_view
from halflap.errors import NotFound
from halflap.model import SYSTEM, Execution, ExecutionState
from halflap.sdk import codec
from halflap.store.protocol import Filter
from halflap.store.rules.cause import PUBLIC_MARK

STATES = get_args(ExecutionState)

router = router_of("/api", "executions")


async def narrowed(
    operations: Ops,
    customer: Whose = None,
    instance: str | None = None,
    flow: str | None = None,
    integration: str | None = None,
    version: Annotated[
        str | None,
        Query(description="A version's hash; of an `integration`, its number or target."),
    ] = None,
    trigger: Annotated[
        str | None,
        Query(
            description="A trigger's name, or its component's, as flows have it in the newest version."
        ),
    ] = None,
    cause: Annotated[
        str | None, Query(description="The mark of what it failed of, or its first half.")
    ] = None,
    status: Annotated[
        int | None, Query(ge=100, le=599, description="The HTTP status of the call it failed of.")
    ] = None,
    failure_kind: Annotated[
        str | None, Query(description="The class of the error it failed of.")
    ] = None,
    component: Annotated[
        str | None, Query(description="The component whose action it failed of.")
    ] = None,
    since: Annotated[
        str | None,
        Query(
            description="Accepted at this time or later; where only executions that have ended can "
            "match (by state, reason, dead letters, what they failed of): ended then or later, newest "
            "first."
        ),
    ] = None,
    until: Annotated[
        str | None, Query(description="Accepted, or ended (see since), before this time.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Filter:
    """Return the filter that lists of executions and of causes have in common."""
    owner, within = await whose(operations, customer, instance)
    return Filter(
        # The scope says so already; PostgreSQL would take it that both are true of few rows.
        customer=None if operations.customer is not None else owner,
        instance=within,
        flow=flow,
        integration=integration,
        version=await version_of(operations, integration, version),
        flows=None
        if trigger is None
        else tuple(await operations.versions.triggered(trigger, integration)),
        cause=cause,
        status=status,
        failure_kind=failure_kind,
        component=component,
        since=moment("since", since),
        until=moment("until", until),
        limit=limit,
    )


Narrowed = Annotated[Filter, Depends(narrowed)]


@router.get("/executions")
@for_customers
@needs("read")
async def list_executions(
    operations: Ops,
    which: Narrowed,
    state: Annotated[str, Query(description="One state, or several by commas.")] = "",
    key: Annotated[str | None, Query(description="The record's id.")] = None,
    reason: Annotated[str | None, Query(description="What its reason contains.")] = None,
    q: Annotated[
        str | None, Query(description="Its id, or the record's: a reference that is known whole.")
    ] = None,
    parent: Annotated[str | None, Query(description="The execution that started it.")] = None,
    replay_of: Annotated[str | None, Query(description="The execution that it replays.")] = None,
    lineage: Annotated[
        str | None,
        Query(description="An execution: what it replays, itself, and its replays."),
    ] = None,
    bulk: Annotated[str | None, Query(description="The bulk whose replay it is.")] = None,
    min_ms: Annotated[
        int | None, Query(ge=0, le=10**12, description="Its attempts ran for so long, or longer.")
    ] = None,
    before: Annotated[str | None, Query(description="The `next` of the page before.")] = None,
    dead_letters: Annotated[bool, Query(description="Failed, and not dismissed.")] = False,
    total: Annotated[bool, Query(description="Count them, too.")] = False,
) -> ExecutionPage:
    """Executions, newest first."""
    ids = None
    if lineage is not None:
        of = await operations.executions.find(lineage)
        ids = tuple(each.id for each in await operations.executions.lineage(of))
    which = replace(
        which,
        states=states(state),
        key=key,
        reason=reason,
        reference=q,
        parent=parent,
        replay_of=replay_of,
        ids=ids,
        bulk=bulk,
        min_ran=None if min_ms is None else min_ms * 1_000,
        dead_letters=dead_letters,
    )
    which = await searchable(operations, which)
    found, next = await operations.executions.list(which, before)
    count = await operations.executions.count(which) if total else None
    listed = await summaries(operations, found)
    return ExecutionPage(items=listed, next=next, total=count)


@router.get("/executions/causes")
@for_customers
@needs("read")
async def list_causes(
    operations: Ops,
    which: Narrowed,
    dismissed: Annotated[bool, Query(description="Those, too, that are no dead letters.")] = False,
) -> list[CauseView]:
    """Failed executions by what they failed of, the most first."""
    which = replace(which, states=("failed",) if dismissed else (), dead_letters=not dismissed)
    which = await searchable(operations, which)
    return await cause_views(operations, await operations.journal.causes(which))


async def searchable(operations: Operations, which: Filter) -> Filter:
    """Return a filter that finds by values, as a reason has them, only where who asks may see them.

    Raise `PayloadsHidden` where that is nowhere.
    """
    hidden = await operations.hidden_payloads()
    is_marked = which.cause is not None and len(which.cause) != PUBLIC_MARK
    if hidden == HiddenPayloads() or not (which.reason or which.payload or is_marked):
        return which
    if hidden.all or which.customer in hidden:
        raise PayloadsHidden
    return replace(which, hidden=tuple(sorted(hidden.private)))


async def version_of(
    operations: Operations, integration: str | None, version: str | None
) -> str | None:
    """Return the hash of a version that is named by it, or of an integration by number or target."""
    if version is None or integration is None:
        return version
    return (await operations.versions.get(integration, version)).hash


@router.get("/executions/{execution}")
@for_customers
@needs("read", audited="look")
async def get_execution(found: OneExecution, operations: Ops) -> ExecutionView:
    """An execution in full: its event, its steps, its attempts; `last` is the newest."""
    whole = await whole_execution(found, operations)
    return await visible(operations, whole, found.flow.customer)


async def whole_execution(found: Execution, operations: Operations) -> ExecutionView:
    """Return an execution in full, for who may see its payload."""
    detail = await operations.executions.detail(found)
    return ExecutionView.of(
        await frame_of(found, detail, operations),
        event=None if detail.event is None else seen_view(detail.event),
        steps=[step_view(each, detail.notes) for each in detail.steps],
        result=payload.shown(found.result),
    )


@router.get("/executions/{execution}/overview")
@for_customers
@needs("read", audited="look")
async def get_execution_overview(found: OneExecution, operations: Ops) -> ExecutionOverview:
    """An execution without its steps and its event's body: a short answer, however much it did."""
    detail = await operations.executions.detail(found, values=False)
    view = ExecutionOverview.of(
        await frame_of(found, detail, operations),
        event=None if detail.event is None else event_head(detail.event),
        step_count=len(detail.steps),
        result=payload.excerpt(found.result),
    )
    return await visible(operations, view, found.flow.customer)


async def frame_of(
    found: Execution, detail: ExecutionDetail, operations: Operations
) -> ExecutionFrame:
    """An execution as it is shown, without its event, steps and result."""
    [summary] = await summaries(operations, [found])
    hidden = await operations.hidden_payloads()
    return ExecutionFrame.of(
        summary,
        detail,
        found,
        found.flow,
        replays=[e.id for e in reversed(detail.lineage) if e.replay_of == found.id],
        lineage=[related_view(each, hidden) for each in detail.lineage],
        children=[ChildView.of(each.flow, each) for each in detail.children],
        waiting_since=waiting_since(detail.steps),
        order=order_view(found.order),
        waiting=detail.wait,
        paused=[pause_view(each) for each in await operations.pauses.holding(found)],
    )


@router.get("/executions/{execution}/steps")
@for_customers
@needs("read", audited="look")
async def list_steps(
    found: OneExecution,
    operations: Ops,
    after: Annotated[
        int | None,
        Query(ge=-LARGEST_NUMBER, le=LARGEST_NUMBER, description="The `next` of the page before."),
    ] = None,
    limit: PageSize = 200,
    values: Annotated[
        Literal["none", "short"],
        Query(description="`short`: the beginnings of inputs and results, as text."),
    ] = "short",
) -> StepPage:
    """Steps of an execution, a page at a time, in the order of the journal.

    Each value whole: `/inputs` and `/result`.
    """
    steps, next, notes = await operations.executions.steps(found, after, limit)
    some = [step_excerpt(each, notes, values=values == "short") for each in steps]
    return await visible(operations, StepPage(items=some, next=next), found.flow.customer)


@router.get("/executions/{execution}/outline")
@needs("read")
async def get_execution_outline(found: OneExecution, operations: Ops) -> ExecutionOutline:
    """The outline of an execution's flow, and how the execution went through it: what ran, how often.

    A flow in YAML is run once more for it, against its records alone: nothing is called or written.
    """
    flow, done, trace = await operations.tracing.outline(found)
    return ExecutionOutline.of(
        found,
        execution=found.id,
        flow=flow,
        nodes=done.nodes,
        followed=bool(trace.runs) and (trace.at is not None or not trace.stopped),
        at=trace.at,
        stopped=trace.stopped or None,
        unplaced=done.unplaced,
    )


@router.get("/executions/{execution}/trace")
@needs("read", audited="look")
async def get_execution_trace(
    found: OneExecution,
    operations: Ops,
    after: Annotated[
        int, Query(ge=0, le=LARGEST_NUMBER, description="The `next` of the page before.")
    ] = 0,
    limit: PageSize = LARGEST_PAGE,
) -> ExecutionTrace:
    """Return what each step of an execution's document gave, in a loop once an item.

    The flow is run once more for it, against its records alone: nothing is called or written.
    """
    traced = await operations.tracing.rows(found)
    took, page = traced.took(), traced.rows[after : after + limit]
    view = ExecutionTrace.of(
        found,
        execution=found.id,
        flow=found.flow.flow,
        document=traced.file,
        stopped=traced.stopped or None,
        items=[
            StepRowView.of(
                row,
                path=plain_path(row.path),
                item=[*row.item],
                gave=payload.excerpt(row.gave),
                error=row.failure and StepFailure(kind=row.failure[0], message=row.failure[1]),
                took_ms=took[row] / 1_000 if row in took else None,
            )
            for row in page
        ],
        next=str(after + limit) if after + limit < len(traced.rows) else None,
    )
    return await visible(operations, view, found.flow.customer)


@router.get("/executions/{execution}/body", response_class=Response, responses=RANGED)
@for_customers
@needs("payloads")
async def get_event_body(
    found: ReadableExecution, operations: Ops, range: Annotated[str | None, Header()] = None
) -> Response:
    """The body of an execution's event as it came, whole, as bytes; or a `Range` of them."""
    return await content_of(operations, found, "body", None, range)


@router.get("/executions/{execution}/result", response_class=Response, responses=RANGED)
@for_customers
@needs("payloads")
async def get_result(
    found: ReadableExecution,
    operations: Ops,
    step: Annotated[str | None, Query(description="A step's path; left out, the flow's.")] = None,
    range: Annotated[str | None, Header()] = None,
) -> Response:
    """Return a step's or the flow's result, as it is stored (secrets are sealed), or a `Range` of
    it.
    """
    return await content_of(operations, found, "result", step, range)


@router.get("/executions/{execution}/inputs", response_class=Response, responses=RANGED)
@for_customers
@needs("payloads")
async def get_inputs(
    found: ReadableExecution,
    operations: Ops,
    step: Annotated[str, Query(description="The step's path.")],
    range: Annotated[str | None, Header()] = None,
) -> Response:
    """Return a step's inputs, as they are stored (secrets are sealed), or a `Range` of them."""
    return await content_of(operations, found, "inputs", step, range)


async def content_of(
    operations: Operations,
    found: Execution,
    part: Literal["body", "result", "inputs"],
    step: str | None,
    range: str | None,
) -> Response:
    """Return a payload as it is stored, or a range of it."""
    content = await operations.executions.content(found, part, step)
    return await streamed(content, range, mask="secrets" not in operations.principal.rights)


@router.get("/executions/{execution}/logs")
@for_customers
@needs("read", audited="look")
async def get_logs(
    found: OneExecution,
    operations: Ops,
    after: Annotated[int, Query(ge=0, le=LARGEST_NUMBER)] = 0,
    limit: PageSize = LARGEST_PAGE,
) -> NumberedPage[LogView]:
    """Return the log lines of the author's code; `after` is the id of the last line seen."""
    lines = await operations.executions.logs(found, after, limit)
    views = [log_view(id, line) for id, line in lines]
    page = NumberedPage(items=views, next=lines[-1][0] if len(lines) == limit else None)
    return await visible(operations, page, found.flow.customer)


@router.post("/executions/{execution}/cancel")
@for_customers
@needs("operate")
async def cancel_execution(
    found: OneExecution, operations: Ops, draft: Cancellation | None = None
) -> ExecutionSummary:
    """Cancel: at once where it is queued or waiting, at its next step where it runs.

    One that goes on running is cut after its grace; once asked for, no other outcome stands.
    """
    draft = draft or Cancellation()
    now = await operations.executions.cancel(found, draft.reason, draft.grace)
    [summary] = await summaries(operations, [now])
    return summary


@router.post("/executions/{execution}/signals/{name}")
@for_customers
@needs("operate")
async def send_signal(
    found: OneExecution,
    name: str,
    operations: Ops,
    payload: Annotated[Json, Body()] = None,
    idempotency_key: Annotated[
        str | None, Header(max_length=200, description="Of two that bear the same one, one counts.")
    ] = None,
) -> ExecutionSummary:
    """Send a signal, for which the flow waits with `ctx.wait_for`; the body is its payload, as JSON."""
    if isinstance(payload, bytes):  # of another content type, as curl's -d has it
        payload = await json_of(payload)
    once = None if idempotency_key is None else f"key:{idempotency_key}"
    now = await operations.executions.signal(found, name, payload, once)
    [summary] = await summaries(operations, [now])
    return summary


@router.post("/executions/{execution}/replay", status_code=201)
@for_customers
@needs("operate")
async def replay_execution(
    found: OneExecution, operations: Ops, draft: ReplayDraft | None = None
) -> Replayed:
    """Run it again: whole or from the failed step; on this version or another; with its event edited."""
    draft = draft or ReplayDraft()
    edit = None if draft.event is None else edit_of(draft.event, operations.principal.label)
    said = draft.done
    request = ReplayRequest(
        draft.from_,
        draft.version,
        edit,
        repeat=draft.repeat,
        again=draft.again,
        done=said and SaidDone(codec.encode(said.result), operations.acting(said.by), said.step),
    )
    start = await operations.executions.replay(found, request)
    how = "start" if start.replay is None else start.replay.start
    check = await operations.executions.overwrites(found, start.flow, again=True)
    at = found.event_at if not isinstance(check, LeftOut) and check.overwrites else None
    moved = await operations.executions.has_moved(found, start.replay, start.flow)
    return Replayed.of(start, from_=how, overwrites=at, changed=moved)


@router.post("/executions/{execution}/dismiss", status_code=204)
@for_customers
@needs("operate")
async def dismiss_execution(found: OneExecution, operations: Ops) -> None:
    """Take a failed execution off the dead letters."""
    await operations.executions.dismiss(found)


@router.get("/events/last")
@for_customers
@needs("payloads")
async def get_last_event(
    request: Request,
    operations: Ops,
    instance: str | None = None,
    flow: str | None = None,
    customer: Whose = None,
) -> LastEvent:
    """The newest event that arrived, with its execution."""
    _, within = await whose(operations, customer, instance)
    execution = await execution_of(
        request, (await operations.executions.last(within, flow)).id, operations
    )
    await check_payload(operations, execution.flow.customer)
    event = await operations.executions.seen(execution)
    return LastEvent.of(seen_view(event), execution.flow, execution=execution.id)


async def whose(
    operations: Operations, customer: str | None, instance: str | None
) -> tuple[str | None, str | None]:
    """The ids of a customer and an instance; an id of one that was removed stands for itself.

    Who acts for a customer means that one, and knows of no other, removed or not.
    """
    owner = operations.customer
    if customer is not None:
        try:
            owner = (await operations.catalogue.customers.get(customer)).id
        except NotFound:
            if operations.customer is not None or not customer.startswith(("cus_", SYSTEM)):
                raise
            owner = customer
    if instance is None:
        return owner, None
    try:
        return owner, (await operations.instances.find(instance, customer)).id
    except NotFound:
        if operations.customer is not None or not instance.startswith(("ins_", SYSTEM)):
            raise
        return owner, instance


def states(text: str) -> tuple[ExecutionState, ...]:
    """Return the states that a text names by commas."""
    return cast(tuple[ExecutionState, ...], chosen(text, STATES))
