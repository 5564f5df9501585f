"""Views of the journal's records: executions, events, steps, attempts, logs."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from halflap.api import payload
from halflap.api.execution_view import (
    CauseInstance,
    CauseView,
    EventDraft,
    EventHead,
    EventView,
    ExecutionSummary,
    LogView,
    OrderView,
    RelatedView,
    StepExcerpt,
    StepView,
)
from halflap.api.operations import Operations
from halflap.api.operations.executions import NO_NOTES, StepNotes
from halflap.api.operations.replay import UNKNOWN_EDITOR, EventEdit
from halflap.api.principal import HiddenPayloads
from halflap.api.view import Json, VersionName, rfc3339
from halflap.engine.twoway import without_values
from halflap.errors import ConfigError
from halflap.model import (
    MISSING,
    CauseGroup,
    Event,
    Execution,
    LogLine,
    Micros,
    Order,
    Outcome,
    Record,
    to_micros,
)
from halflap.sdk import codec
from halflap.sdk.order import rule_name
from halflap.store.blobs.viewing import EventExcerpt
from halflap.store.protocol import Filter
from halflap.store.reading import MOST_INSTANCES
from halflap.store.rules.cause import PUBLIC_MARK, cause_text, public_cause


async def summaries(
    operations: Operations, executions: Sequence[Execution]
) -> list[ExecutionSummary]:
    """Executions in short, with the names of what is still there."""
    catalogue = operations.catalogue
    flows = [each.flow for each in executions]
    own = [each for each in flows if not each.is_shared]
    customers = await catalogue.customers.names(each.customer for each in own)
    instances = await catalogue.instances.names(each.instance for each in own)
    numbers = await catalogue.versions.numbers(each.version for each in flows)
    waits = await operations.executions.waits(executions)
    hidden = await operations.hidden_payloads()
    return [
        ExecutionSummary.of(
            each.flow,
            each,
            customer_name=(
                f"{each.flow.integration} (all customers)"
                if each.flow.is_shared
                else customers.get(each.flow.customer)
            ),
            instance_name=(
                "shared endpoint" if each.flow.is_shared else instances.get(each.flow.instance)
            ),
            version=VersionName(hash=each.flow.version, number=numbers.get(each.flow.version)),
            took_ms=(times := times_of(each))[0],
            waited_ms=times[1],
            waiting=waits.get(each.id),
            edited_by=editor(each),
            payload_hidden=each.flow.customer in hidden,
            **(
                {"reason": public_reason(each), "cause": each.cause and public_mark(each.cause)}
                if each.flow.customer in hidden
                else {}
            ),
        )
        for each in executions
    ]


def editor(execution: Execution) -> str | None:
    """Return who edited an execution's event; None where it is as it came."""
    how = execution.replay
    return how.edited_by or UNKNOWN_EDITOR if how is not None and how.has_edited_event else None


def public_reason(execution: Execution | Outcome) -> str:
    """Return the reason of an outcome without a customer's values: of a failure, its public cause."""
    if execution.failure is not None:
        return public_cause(execution.failure)
    return without_values(execution.reason) if execution.state in ("ignored", "cancelled") else ""


def public_mark(mark: str) -> str:
    """Return the public mark of a cause by its mark."""
    return mark[:PUBLIC_MARK]


async def hidden_examples(operations: Operations, groups: Sequence[CauseGroup]) -> Collection[str]:
    """Return the examples of groups (by id) whose payloads are hidden from who asks."""
    hidden = await operations.hidden_payloads()
    examples = tuple(each.example for each in groups)
    if hidden.all or hidden == HiddenPayloads():
        return examples if hidden.all else ()
    found = await operations.journal.executions(Filter(ids=examples, limit=len(examples)))
    return {each.id for each in found if each.flow.customer in hidden}


async def cause_views(operations: Operations, groups: Sequence[CauseGroup]) -> list[CauseView]:
    """Return failed executions by their causes as they are shown; by public ones where hidden."""
    groups = public_groups(groups, await hidden_examples(operations, groups))
    instances = await operations.catalogue.instances.some(
        i for each in groups for i in each.instances
    )
    customers = await operations.catalogue.customers.names(e.customer for e in instances.values())
    names = {id: (each.name, customers.get(each.customer)) for id, each in instances.items()}
    return [_cause_view(each, names) for each in groups]


def public_groups(groups: Sequence[CauseGroup], hidden: Collection[str]) -> Sequence[CauseGroup]:
    """Return groups, joined by their public causes where the payload of the example is hidden."""
    found: dict[str, CauseGroup] = {}
    for each in groups:
        group = each
        if each.example in hidden and each.failure is not None:
            cause = public_cause(each.failure)
            group = replace(
                each,
                cause=public_mark(each.cause),
                failure=replace(each.failure, cause=cause, message=""),
            )
        other = found.get(group.cause)
        found[group.cause] = group if other is None else _joined(group, other)
    return sorted(found.values(), key=lambda each: -each.count)


def _joined(one: CauseGroup, other: CauseGroup) -> CauseGroup:
    instances = sorted({*one.instances, *other.instances})
    return replace(
        max(one, other, key=lambda each: each.last_at),
        count=one.count + other.count,
        first_at=min(one.first_at, other.first_at),
        flows=tuple(sorted({*one.flows, *other.flows})),
        instances=tuple(instances[:MOST_INSTANCES]),
        instance_count=max(one.instance_count, other.instance_count, len(instances)),
        customer_count=max(one.customer_count, other.customer_count),
    )


def _cause_view(group: CauseGroup, names: Mapping[str, tuple[str | None, str | None]]) -> CauseView:
    text = "recorded by Halflap 0.1.0, which noted no causes"
    return CauseView.of(
        group,
        text=cause_text(group.failure) if group.cause and group.failure else text,
        message=group.failure.message if group.failure else "",
        instances=[
            CauseInstance(id=each, name=name, customer_name=customer)
            for each in group.instances
            for name, customer in [names.get(each, (None, None))]
        ],
    )


def related_view(execution: Execution, hidden: HiddenPayloads) -> RelatedView:
    """An execution of a lineage as it is shown."""
    how = execution.replay if execution.replay_of is not None else None
    return RelatedView.of(
        execution,
        reason=public_reason(execution) if execution.flow.customer in hidden else execution.reason,
        version=execution.flow.version,
        from_=how and how.start,
        on=how and how.version,
        edited=how is not None and how.edited,
        edited_by=editor(execution),
        done={} if how is None else how.done,
        bulk=how and how.bulk,
    )


def edit_of(draft: EventDraft, by: str) -> EventEdit:
    """Return a change of an event by somebody, as bytes."""
    body = None if draft.body is None else draft.body.encode()
    if body is not None and draft.encoding == "base64":
        try:
            body = base64.b64decode(body, validate=True)
        except ValueError as error:
            raise ConfigError(
                "the event's body is no base64", fields={"event.body": "is no base64"}
            ) from error
    return EventEdit(body, draft.headers, by)


def moment(field: str, text: str | None) -> Micros | None:
    """A time of the API; `ConfigError` where it is none, or says no time zone."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is not None:
            return to_micros(at.astimezone(UTC))
    except (ValueError, OverflowError):
        pass
    raise ConfigError(
        f"{text!r} is no time with its zone, such as 2026-01-31T14:00:00Z",
        fields={field: "is no time with its zone"},
    )


def times_of(execution: Execution) -> tuple[float | None, float | None]:
    """Return for how long an execution ran and waited, in milliseconds; None where not known yet.

    Of what 0.1.0 ran only the beginning and the end are known: it counts as having run in between.
    """
    ran, ended, started = execution.ran, execution.ended_at, execution.started_at
    if ran is None and ended is not None:
        ran = 0 if started is None else ended - started
    if ran is None:
        return None, None
    waited = None if ended is None else max(ended - execution.accepted_at - ran, 0) / 1_000
    return ran / 1_000, waited


def event_head(seen: EventExcerpt) -> EventHead:
    """An event as it is shown without its body."""
    return EventHead.of(seen.event, headers=payload.headers(seen.event.headers), size=seen.size)


def event_view(event: Event, size: int | None = None, lost: str | None = None) -> EventView:
    """An event as it is shown; `size` is that of its body where not all of it is here."""
    size = len(event.body) if size is None else size
    body, encoding, note = payload.body(event.body, size=size)
    return EventView.of(
        event,
        headers=payload.headers(event.headers),
        size=size,
        body=body,
        encoding="utf-8" if encoding == "utf-8" else "base64",
        note=lost or note,
    )


def seen_view(seen: EventExcerpt) -> EventView:
    """An event as it is shown, with as much of its body as was read."""
    return event_view(seen.event, seen.size, seen.lost)


def step_view(step: Record, notes: StepNotes = NO_NOTES) -> StepView:
    """A step as it is shown."""
    return StepView.of(
        step,
        inputs=payload.shown(step.inputs),
        result=step_result(step),
        **_beside(step, notes),
    )


def step_excerpt(step: Record, notes: StepNotes, *, values: bool) -> StepExcerpt:
    """A step with the beginnings of its values, or without `values`."""
    as_stored = step.status != "retrying" and step.kind != "sleep" and step.result != MISSING
    result = step.result if as_stored else codec.encode(step_result(step))
    return StepExcerpt.of(
        step,
        inputs=payload.excerpt(step.inputs) if values else None,
        result=payload.excerpt(result) if values and result != b"null" else None,
        **_beside(step, notes),
    )


def _beside(step: Record, notes: StepNotes) -> dict[str, Any]:
    """Return what is shown of a step beside its record."""
    replay = notes.replay
    return {
        "duration_ms": (step.ended_at - step.started_at) / 1_000,
        "due_at": due_at(step),
        "copied_from": notes.replay_of if step.seq < 0 else None,
        "caught": step.path in notes.caught,
        "cut_attempt": notes.resumed.get(step.path),
        "said_by": replay.done.get(step.path) if replay and step.status == "succeeded" else None,
    }


def due_at(step: Record) -> Micros | None:
    """Return when a step is tried again; None where that waits for something that has no time."""
    at = int(step.result) if is_due(step) and step.result else 0
    return at if at > step.ended_at else None


def is_due(step: Record) -> bool:
    """Return whether a step waits for its next try: its stored result is then the time of it."""
    return step.status == "retrying" and step.kind not in ("sleep", "signal", "call")


def until(step: Record) -> Json:
    """Return the stored result of a step that waits: until when at most, or for which child."""
    if step.kind == "call":
        return {"execution": payload.shown(step.result)}
    return {"until": rfc3339(int(step.result))} if step.result else None


def waiting_since(steps: Sequence[Record]) -> str | None:
    """When the first of the steps that wait began to."""
    waits = [each.started_at for each in steps if each.status == "retrying" and not is_due(each)]
    return rfc3339(min(waits)) if waits else None


def step_result(step: Record) -> Json:
    """A step's result for people: a sleep's end as a time, state that was not there as null."""
    if step.kind == "sleep" or (step.status == "retrying" and not is_due(step)):
        return until(step)
    return None if step.result == MISSING or is_due(step) else payload.shown(step.result)


def order_view(order: Order | None) -> OrderView | None:
    """An order as it is shown."""
    return None if order is None else OrderView(rule=rule_name(order), key=order.key)


def log_view(id: int, line: LogLine) -> LogView:
    """A log line as it is shown."""
    return LogView.of(line, id=id, fields=payload.shown(line.fields) or {})
