"""Recordings of real executions: events with the records of their steps, for shadow runs elsewhere.

Secrets stay here: credentials among headers and sealed values are `•••`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import msgspec
from fastapi import Query, Request

from halflap.api import payload
from halflap.api.asking import Ops, Whose, needs, router_of
from halflap.api.executions import whose
from halflap.api.operations import Operations
from halflap.api.operations.executions import removed as gone
from halflap.api.principal import CUSTOMERS
from halflap.api.recorded import moment
from halflap.api.view import JsonObject, ListPage, View
from halflap.errors import BlobLost, NotFound, Removed
from halflap.model import Execution, is_earlier, scope_time
from halflap.sdk import codec
from halflap.store.protocol import Filter

router = router_of("/api", "recordings")

UNREPEATABLE = frozenset({"ProcessEnded", "Timeout"})
"""Failures that say nothing of what a flow does with an event."""
LOOKED_AT = 500
"""The most executions that are read for a page."""


class RecordingView(View):
    """An execution that ended: what came, what each step did, what it ran with; bytes in base64."""

    execution: str
    integration: str
    flow: str
    version: str
    root: str
    key: str | None
    state: str
    reason: str
    failure: JsonObject | None
    result: str | None
    accepted_at: int
    """Microseconds since 1970-01-01 UTC."""
    event: JsonObject
    steps: list[JsonObject]
    customer: JsonObject
    instance: JsonObject
    config: JsonObject
    urls: dict[str, str]


class RecordingPage(ListPage[RecordingView]):
    """Recordings, newest first; `next` is the `before` of the next page.

    `removed`: how many executions were passed over because their payload is not stored any more.
    """

    removed: int


@router.get("/recordings")
@needs("publish", "payloads")
async def list_recordings(
    request: Request,
    operations: Ops,
    integration: str,
    customer: Whose = None,
    instance: str | None = None,
    flow: str | None = None,
    since: Annotated[str | None, Query(description="Accepted at this time or later.")] = None,
    before: Annotated[str | None, Query(description="The `next` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
) -> RecordingPage:
    """The last executions of an integration that ended by themselves, with all that they recorded."""
    owner, within = await whose(operations, customer, instance)
    which = Filter(
        customer=owner,
        instance=within,
        flow=flow,
        states=("succeeded", "failed", "ignored"),
        since=moment("since", since),
        before=before,
        of_events=True,
        limit=LOOKED_AT,
    )
    looked_at = await operations.journal.executions(which)
    found: list[RecordingView] = []
    shown: set[str] = set()
    request.scope[CUSTOMERS] = shown
    hidden = await operations.hidden_payloads()
    removed = 0
    last: str | None = None
    for each in looked_at:
        last = each.id
        if each.flow.integration == integration and each.flow.customer not in hidden:
            try:
                recorded = await recording(operations, each)
            except (Removed, BlobLost):
                removed += 1
            else:
                if recorded is not None:
                    found.append(recorded)
                    shown.add(each.flow.customer)
        if len(found) == limit:
            break
    else:
        last = last if len(looked_at) == LOOKED_AT else None
    return RecordingPage(items=found, next=last, removed=removed)


async def recording(operations: Operations, execution: Execution) -> RecordingView | None:
    """Return an execution with its records; `None` where it is no example.

    Raises `Removed` or `BlobLost` where its payload is not stored any more.
    """
    store, flow = operations.store, execution.flow
    if execution.failure is not None and execution.failure.kind in UNREPEATABLE:
        return None
    if execution.payload_removed:
        raise gone(execution)
    try:
        instance = await store.catalogue.instances.get(flow.instance)
        customer = await store.catalogue.customers.get(flow.customer)
        config, _ = await store.catalogue.instances.revision(flow.instance, flow.revision)
        event = await store.journal.event(execution.id)
        steps = [e for e in await store.journal.steps(execution.id) if not is_earlier(e)]
        whole = await store.journal.execution(execution.id)
    except Removed:
        raise
    except NotFound:
        return None
    if event is None or event.large is not None or whole is None:
        return None
    headers = payload.headers(event.headers)
    return RecordingView.of(
        flow,
        execution,
        execution=execution.id,
        failure=msgspec.to_builtins(execution.failure),
        result=msgspec.to_builtins(whole.result),
        accepted_at=scope_time(execution.root, execution.replay, event, execution.accepted_at),
        event=msgspec.to_builtins(replace(event, headers=tuple(headers))),
        steps=[
            msgspec.to_builtins(replace(e, inputs=bare(e.inputs), result=bare(e.result)))
            for e in steps
        ],
        customer={"id": customer.id, "name": customer.name, "external_id": customer.external_id},
        instance={"id": instance.id, "name": instance.name},
        config=dict(config),
        urls=await operations.resolver.urls(flow.instance),
    )


def bare(data: bytes | None) -> bytes | None:
    """Encoded data whose sealed secrets are hidden."""
    if data is None or b'"$secret"' not in data:
        return data
    try:
        return codec.encode(payload.hidden(codec.decode(data), sealed=True))
    except codec.NotJson:
        return data
