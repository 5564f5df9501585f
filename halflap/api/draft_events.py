"""Events for drafts: samples of a flow's, and the next real one of a customer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from itertools import islice
from time import monotonic
from typing import Annotated, Any, Literal, cast

from fastapi import Query, Request, Response

from halflap.api.asking import Ops, Whose, needs, router_of
from halflap.api.auditing import audit_look
from halflap.api.door import ADMITTED
from halflap.api.draft_runs import run_events, run_stream
from halflap.api.draft_view import FlowName
from halflap.api.drafts import OneDraft
from halflap.api.executions import whose
from halflap.api.operations import Operations
from halflap.api.operations.draft_runs import Tell
from halflap.api.operations.drafts import OpenedDraft
from halflap.api.operations.following import KeepAlive, Notice, Which
from halflap.api.payload import body as shown_body
from halflap.api.principal import CUSTOMERS, OBJECTS
from halflap.api.problem import documented
from halflap.api.stream import EventStream, check_streams
from halflap.api.view import Time, View, rfc3339
from halflap.errors import BlobLost, ConfigError, NotFound, Removed
from halflap.lowcode.source import mapping_of
from halflap.model import DEVELOPMENT, Change, Execution
from halflap.sdk import codec
from halflap.store.catalogue.instances import InstanceFilter
from halflap.store.protocol import Filter

MOST_SHOWN = 4 * 1024
"""The most bytes of an event's body that are shown: a run takes all of it, by its execution."""
MOST_EVENTS = 20
"""The most executions whose events are listed."""
LISTEN_SECONDS = 600.0

router = router_of("/api/drafts", "drafts")
listened = {
    200: {
        **run_events[200],
        "description": "Server-Sent Events: `waiting` every 15 seconds, then the `event` (an "
        "EventSample), or an `end` after ten minutes without one.",
    }
}


class EventSample(View):
    """An event that a flow of a draft can be run with."""

    source: Literal["made_up", "test", "execution"]
    title: str
    body: str
    """The body that the trigger reads, as JSON where it is made up; of a large one the beginning."""
    encoding: Literal["utf-8", "base64"]
    cut: bool
    execution: str | None
    """The execution whose event it is: `execution` of a run."""
    customer: str | None
    development: bool
    """It came to the development instance."""
    at: Time | None


class EventSamples(View):
    """Events of a flow: a made-up one, those of the draft's tests, then the latest real ones."""

    items: list[EventSample]
    payload_hidden: bool
    """True if real ones are left out, as you may not see payloads."""


@router.get("/{draft}/samples")
@needs("publish", audited="look")
async def list_samples(
    request: Request, opened: OneDraft, operations: Ops, flow: FlowName, customer: Whose = None
) -> EventSamples:
    """Events that a flow of a draft can be run with, of all customers, or of one.

    Real ones are those of the development instance first.
    """
    found = [await made_up(operations, opened, flow), *tested(opened, flow)]
    owner, _ = await whose(operations, customer, None)
    which = Filter(
        customer=owner,
        integration=opened.stored.integration,
        flow=flow,
        of_events=True,
        limit=MOST_EVENTS,
    )
    hidden = await operations.hidden_payloads()
    executions: dict[str, Execution] = {}
    if not hidden.all:
        own = [replace(which, customer=DEVELOPMENT)] if owner is None else []
        for each in (*own, which):
            executions |= {e.id: e for e in await operations.journal.executions(each)}
    for each in islice(executions.values(), MOST_EVENTS):
        if each.flow.customer not in hidden and (one := await real(operations, each)) is not None:
            found.append(one)
    shown = [each.execution for each in found if each.execution is not None]
    request.scope[CUSTOMERS] = {executions[each].flow.customer for each in shown}
    request.scope[OBJECTS] = {
        "customer": owner,
        **{f"execution {at}": each for at, each in enumerate(shown, start=1)},
    }
    return EventSamples(items=found, payload_hidden=hidden.all)


@router.get("/{draft}/listen", response_class=Response, responses={**listened, **documented(429)})
@needs("publish", "payloads")
async def listen(
    request: Request,
    opened: OneDraft,
    operations: Ops,
    flow: FlowName,
    customer: Annotated[str, Query(description="Whose next event is wanted, by id or name.")],
) -> EventStream:
    """Wait for the next event of a flow that a customer gets; it is copied, and runs as ever."""
    owner = (await operations.catalogue.customers.get(customer)).id
    integration = opened.stored.integration
    request.scope[OBJECTS] = {"customer": owner}
    if owner in await operations.hidden_payloads():
        raise ConfigError(
            "the payloads of this customer are hidden from you", fields={"customer": "is private"}
        )
    own = InstanceFilter(customer=owner, integration=integration)
    versions = {each.version for each in await operations.catalogue.instances.list(own)}
    loaded = [(await operations.versions.load(each))[0] for each in versions]
    if not any(each is not None and flow in each.flows for each in loaded):
        raise NotFound(f"this customer has no instance of {integration} with a flow {flow!r}")
    check_streams(operations)
    following = operations.following
    which = Which(customer=owner, integration=integration, flow=flow)
    admitted: Any = request.scope.get(ADMITTED)

    async def look(execution: str) -> None:
        await audit_look(operations.catalogue.audit, request.scope, execution=execution)

    async def run(tell: Tell) -> None:
        with following.counted(operations.principal.id):
            async with aclosing(following.notices(which)) as notices:
                await first_of(operations, notices, tell, admitted, look)

    return run_stream(run, admitted)


async def first_of(
    operations: Operations,
    notices: AsyncGenerator[Notice | KeepAlive],
    tell: Tell,
    admitted: Any,
    look: Callable[[str], Awaitable[None]],
) -> None:
    """Tell of the first event that is accepted from now on; `look` notes first whose it is."""
    began, until = operations.store.clock(), monotonic() + LISTEN_SECONDS
    async for each in notices:
        if isinstance(each, Notice) and isinstance(each.about, Change):
            found = await operations.journal.execution(each.about.execution)
            fresh = found is not None and found.accepted_at >= began and found.replay_of is None
            sample = await real(operations, cast("Execution", found)) if fresh else None
            if sample is not None:
                if sample.customer in await operations.hidden_payloads():
                    break
                if admitted is not None and not await admitted():
                    return
                await look(each.about.execution)
                await tell("event", codec.encode(sample.model_dump()).decode())
                return
        elif each is KeepAlive.HEARTBEAT and monotonic() < until:
            await tell("waiting", "{}")
        elif each is not KeepAlive.HEARTBEAT or monotonic() >= until:
            break
    await tell("end", codec.encode({"reason": "no event came"}).decode())


async def made_up(operations: Operations, opened: OpenedDraft, flow: str) -> EventSample:
    """Return an event of a flow that is made up by its schema."""
    found = await operations.drafts.ask(opened, "scope", path=["flows", flow, "steps", 0])
    text = next((each["sample"] for each in found if each["name"] == "event"), "null")
    return written("made_up", "Made up", text)


def tested(opened: OpenedDraft, flow: str) -> list[EventSample]:
    """Return the events of the tests of a flow."""
    tests = mapping_of(opened.state.source.data).get("tests")
    held = [
        mapping_of(each) for each in cast("Sequence[Any]", tests if isinstance(tests, list) else ())
    ]
    found: list[EventSample] = []
    for each in held:
        if each.get("flow") == flow and "event" in each:
            with suppress(TypeError, ValueError):
                text = codec.encode(each["event"]).decode()
                found.append(written("test", str(each.get("name", "")), text))
    return found[:MOST_EVENTS]


def written(source: Literal["made_up", "test"], title: str, text: str) -> EventSample:
    """Return an event that no execution had."""
    return EventSample(
        source=source,
        title=title,
        body=text,
        encoding="utf-8",
        cut=False,
        execution=None,
        customer=None,
        development=False,
        at=None,
    )


async def real(operations: Operations, execution: Execution) -> EventSample | None:
    """Return the event of an execution; None where it is not stored any more."""
    try:
        event = await operations.journal.event(execution.id)
    except (Removed, BlobLost, NotFound):
        return None
    if event is None or event.large is not None or execution.payload_removed:
        return None
    body, encoding, cut = shown_body(event.body, MOST_SHOWN)
    return EventSample(
        source="execution",
        title=execution.key or "",
        body=body,
        encoding="utf-8" if encoding == "utf-8" else "base64",
        cut=cut is not None,
        execution=execution.id,
        customer=None if execution.flow.is_shared else execution.flow.customer,
        development=execution.flow.customer == DEVELOPMENT,
        at=rfc3339(execution.accepted_at),
    )
