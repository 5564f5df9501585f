"""Runs of drafts: a flow with an event, whose effects are pinned, recorded, made up, or real."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Literal

from fastapi import Path as PathParameter
from fastapi import Request, Response
from pydantic import Field, StringConstraints
from starlette.requests import ClientDisconnect

from halflap.api.asking import Ops, check_payload, execution_of, needs, router_of
from halflap.api.draft_view import FlowName, plain_path
from halflap.api.drafts import OneDraft
from halflap.api.executions import whole_execution
from halflap.api.masking import without_links
from halflap.api.operations import Operations
from halflap.api.operations.draft_runs import Tell
from halflap.api.operations.drafts import OpenedDraft, StaleEdit
from halflap.api.operations.people import MissingRight
from halflap.api.principal import ACT, AUDIT, OBJECTS
from halflap.api.problem import PayloadsHidden
from halflap.api.stream import Admitted, EventStream, unless_gone
from halflap.api.view import CustomerValue, Input, Json, JsonObject, Text, Time, View
from halflap.errors import ConfigError, NotFound
from halflap.lowcode.document import Method
from halflap.lowcode.outline.nodes import Path as DraftPath
from halflap.lowcode.rows import AnswerSource, RowState
from halflap.lowcode.source import Path, mapping_of, value_at
from halflap.model import StoredPin
from halflap.sdk import codec

router = router_of("/api/drafts", "drafts")

NodeKey = Annotated[str, StringConstraints(pattern=r"^n\d{1,9}$")]
PinnedNode = Annotated[str, PathParameter(pattern=r"^n\d{1,9}$")]
run_events: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-Sent Events: `row` for each run of a step as it ends or begins to wait "
        "(path, item, execution, state, inputs, gave, error, took_ms, source, stale), then one `end` "
        "(state, reason, result, failure, where, path, logs, cut, config).",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}


class RequestDraft(Input):
    """The parts of a request beside its body."""

    method: Method = "POST"
    path: Annotated[Text, CustomerValue()] = ""
    query: Annotated[Text, CustomerValue()] = ""
    headers: dict[str, str] = {}


class RunDraft(Input):
    """The event of a run of a draft, and what its steps answer."""

    revision: int | None = None
    """The revision that it is for; where the draft has another by now, 409."""
    event: Json = None
    """The body of the request, as the trigger reads it. Left out, it is made up by its schema."""
    request: RequestDraft | None = None
    """The other parts of the request of `event`."""
    execution: Text | None = None
    """An execution whose event comes again, and whose steps answer as they did."""
    config: JsonObject = {}
    """Values of the config; those of the execution's instance, or made-up ones, otherwise."""
    signals: JsonObject = {}
    """The signals that are sent while it waits, by name."""
    pins: dict[NodeKey, Json] = {}
    """By the key of a step, what it answers, beside the draft's pins; `{"$error": text, "status": 404}`
    fails.
    """
    unpinned: list[NodeKey] = []
    """The steps whose pins of the draft are not to be used."""
    effects: Literal["stubbed", "real"] = "stubbed"
    """`real`: actions without a pin are called, with the config and the connections of the development
    instance. It takes the rights `configure` and `payloads`, too.
    """


class DraftRun(RunDraft):
    """A run of a flow of a draft: with an event, with an execution's, or else with a made-up one."""

    flow: FlowName


class DraftStepRun(RunDraft):
    """A run of one step of a draft, by its key."""

    node: NodeKey
    scope: JsonObject = {}
    """The values of names that it sees, such as earlier results; what is left out is made up."""
    item: list[Annotated[int, Field(ge=0)]] | None = None
    """The places of the items of the loops around it; the first ones, otherwise."""


class PinDraft(Input):
    """A value that a step answers in runs of the draft."""

    value: Json


class PinView(View):
    """A pin of a draft."""

    node: str
    path: DraftPath | None
    """The step's address; null where the draft has it no more."""
    value: Json
    stale: bool
    """True if the step was edited since."""
    label: str
    """The name of who pinned it."""
    at: Time


class RanValue(View):
    """A value of a run, as JSON; the beginning of a large one."""

    text: str
    size: int
    cut: bool


class RanFailure(View):
    """An error of a run."""

    kind: str
    message: str


class RanStep(View):
    """A run of a step of a draft."""

    path: DraftPath
    item: list[int]
    execution: int
    """Of a flow that was called another number than 0."""
    state: RowState
    inputs: RanValue | None
    gave: RanValue | None
    error: RanFailure | None
    took_ms: float
    source: AnswerSource | None
    """Where an action's answer came from; null of a step that is none."""
    stale: bool
    """True if the answer is of an earlier text of the step, or was recorded for other inputs."""


class RanLog(View):
    """A line that a run logged."""

    level: str
    message: str


class RanEvent(View):
    """The event of an execution of a run."""

    flow: str
    execution: int
    event: RanValue | None
    """As its steps see it; null where it cannot be shown."""


class RunEnd(View):
    """The end of a run."""

    state: Literal["succeeded", "failed", "ignored", "cancelled", "waiting", "refused"]
    """`refused`: it could not be run, or not to its end."""
    reason: str
    result: str | None
    """As JSON in a text."""
    failure: RanFailure | None
    where: str
    path: DraftPath | None
    """The step of whose failure it failed."""
    logs: list[RanLog]
    cut: bool
    """True if there were more rows than are told."""
    events: list[RanEvent]
    """The events that the flow, and those that it called, began with."""
    config: str | None
    """The values of the config that it had and that are no defaults, as JSON in a text."""


class RanAlone(View):
    """A run of one step: the step and those within it, as they ended, and how all of it did."""

    rows: list[RanStep]
    end: RunEnd


def run_stream(
    run: Callable[[Tell], Awaitable[None]], admitted: Admitted | None = None
) -> EventStream:
    """Return the Server-Sent Events of what tells them by their kind.

    A run is not cut off where its client may come in no more: what it calls would be half done.
    """

    async def told(write: Callable[[str], Awaitable[None]]) -> None:
        await run(lambda kind, text: write(f"event: {kind}\ndata: {text}"))

    return EventStream(told, admitted)


@router.post("/{draft}/test", response_class=Response, responses=run_events)
@needs("publish", audited="look")
async def run_draft(request: Request, draft: str, wanted: DraftRun, operations: Ops) -> EventStream:
    """Run a flow of a draft, and tell what each step gave as it happens; nothing is called or kept.

    An action answers its pin, else what it answered in the `execution`, else a sample of what it
    returns: `source` says which. Pure actions and code run. Time passes by itself. With `effects: real`
    an action without a pin is called, once: with the connections of the development instance.
    """
    check_effects(operations, wanted)
    opened = await opened_at(operations, draft, wanted.revision)
    given = await given_of(request, operations, opened, wanted)
    given |= {
        "flow": wanted.flow,
        **await effects_of(request, operations, opened, wanted, wanted.flow),
    }
    caller = operations.principal.id

    async def run(tell: Tell) -> None:
        try:
            await operations.draft_runs.run("run", given, caller, tell)
        except TimeoutError as error:  # what is left is not read
            raise ClientDisconnect from error

    return run_stream(run)


@router.post("/{draft}/steps/run")
@needs("publish", audited="look")
async def run_step(request: Request, draft: str, wanted: DraftStepRun, operations: Ops) -> RanAlone:
    """Run one step of a draft, with what it sees: given, else made up. Nothing is called or kept.

    With `effects: real` it is called with the connections of the development instance.
    """
    check_effects(operations, wanted)
    opened = await opened_at(operations, draft, wanted.revision)
    given = await given_of(request, operations, opened, wanted)
    path = path_of(opened, wanted.node)
    given |= {"flow": path[1], "only": path, "scope": wanted.scope, "item": wanted.item}
    given |= await effects_of(request, operations, opened, wanted, str(path[1]))
    told = await all_of(request, operations, "run", given)
    *rows, (_, end) = told
    steps = [RanStep.model_validate(found) for _, found in rows]
    return RanAlone(rows=steps, end=RunEnd.model_validate(end))


def check_effects(operations: Operations, wanted: RunDraft) -> None:
    """Raise where somebody may not act with the connections of a development instance.

    That shows what apps answer, and runs what is not published yet with secrets: who may do it may
    upgrade the instance to the draft, too.
    """
    rights = operations.principal.rights
    if wanted.effects == "real" and "configure" not in rights:
        raise MissingRight("This needs the right 'configure', which you do not have.")
    if wanted.effects == "real" and "payloads" not in rights:
        raise PayloadsHidden


async def effects_of(
    request: Request, operations: Operations, opened: OpenedDraft, wanted: RunDraft, flow: str
) -> dict[str, Any]:
    """Return what a run with real effects is given beside, and have it audited as an act."""
    if wanted.effects == "stubbed":
        return {}
    instance, development = await operations.development.given(opened, flow)
    objects = {"customer": instance.customer, "instance": instance.id, "flow": flow}
    request.scope[OBJECTS] = {**objects, **request.scope.get(OBJECTS, {})}
    request.scope[ACT] = "draft.run_real"
    await request.scope[AUDIT].add_before()  # whether or not the client waits for an answer
    return {"development": development}


async def all_of(
    request: Request, operations: Operations, kind: str, given: Mapping[str, Any]
) -> list[tuple[str, Any]]:
    """Return all that a run tells, its end as the last; it ends as the client leaves."""
    told: list[tuple[str, Any]] = []

    async def tell(kind: str, text: str) -> None:
        told.append((kind, codec.decode(text.encode())))

    caller = operations.principal.id
    await unless_gone(request.receive, operations.draft_runs.run(kind, given, caller, tell))
    if not told or told[-1][0] != "end":
        raise ClientDisconnect
    return told


@router.get("/{draft}/pins")
@needs("read", "payloads")
async def list_pins(opened: OneDraft, operations: Ops) -> list[PinView]:
    """Pins of a draft, which all who edit it share."""
    return [pin_view(opened, each) for each in await operations.pins.list(opened.stored.id)]


@router.put("/{draft}/pins/{node}")
@needs("publish")
async def pin_step(opened: OneDraft, node: PinnedNode, pin: PinDraft, operations: Ops) -> PinView:
    """Pin what a step answers in runs of the draft, for all who edit it."""
    digest = digest_of(opened, path_of(opened, node))
    text, by = codec.encode(pin.value).decode(), operations.principal.label
    stored = await operations.pins.put(opened.stored.id, int(node[1:]), digest, text, by)
    return pin_view(opened, stored)


@router.delete("/{draft}/pins/{node}", status_code=204)
@needs("publish")
async def unpin_step(draft: str, node: PinnedNode, operations: Ops) -> None:
    """Remove a pin."""
    await operations.drafts.drafts.head(draft)
    if not await operations.pins.remove(draft, int(node[1:])):
        raise NotFound(f"the step {node} is not pinned")


async def opened_at(operations: Operations, draft: str, revision: int | None) -> OpenedDraft:
    """Return a draft; raises `StaleEdit` where it has another revision than the one that is asked for."""
    opened = await operations.drafts.get(draft)
    if revision not in (None, opened.stored.revision):
        raise StaleEdit(opened.stored.revision, None)
    return opened


async def given_of(
    request: Request, operations: Operations, opened: OpenedDraft, wanted: RunDraft
) -> dict[str, Any]:
    """Return what a process that runs a draft is given.

    The draft's pins are used for who may see payloads.
    """
    pins: dict[Path, dict[str, Any]] = {}
    if "payloads" in operations.principal.rights:
        for each in await operations.pins.list(opened.stored.id):
            pin = pin_view(opened, each)
            if pin.path is not None and pin.node not in wanted.unpinned:
                kept = pin.model_dump(include={"path", "value", "stale"})
                pins[pin.path] = kept if shows_links(operations) else without_links(kept)
    for node, value in wanted.pins.items():
        path = path_of(opened, node)
        pins[path] = {"path": path, "value": value, "stale": False}
    given = await asked_of(operations, opened) | {
        "config": wanted.config,
        "signals": wanted.signals,
        "pins": list(pins.values()),
    }
    if "event" in wanted.model_fields_set:
        given["event"] = wanted.event
        given["request"] = wanted.request and wanted.request.model_dump()
    if wanted.execution is not None:
        found = await recorded(request, operations, opened, wanted.execution)
        given["recorded"] = found if shows_links(operations) else without_links(found)
    return given


def shows_links(operations: Operations) -> bool:
    """Return whether who asks may see links that approve, which a run could take apart and show."""
    return "secrets" in operations.principal.rights


def path_of(opened: OpenedDraft, node: str) -> Path:
    """Return the address of a step by its key; raises `ConfigError`."""
    found = next((path for path, key in opened.state.keys.items() if f"n{key}" == node), None)
    if found is None:
        raise ConfigError(f"the draft has no step {node}", fields={"node": "is no step"})
    return found


def digest_of(opened: OpenedDraft, path: Path) -> str:
    """Return the digest of a step's text, but for what people read of it."""
    step = mapping_of(value_at(opened.state.source.data, path))
    told = repr({name: each for name, each in step.items() if name not in ("title", "note")})
    return hashlib.blake2b(told.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def pin_view(opened: OpenedDraft, pin: StoredPin) -> PinView:
    """Return a pin as it is shown."""
    found = (path for path, key in opened.state.keys.items() if key == pin.node)
    path = next(found, None)
    return PinView.of(
        pin,
        node=f"n{pin.node}",
        path=path and plain_path(path),
        value=codec.decode(pin.content.encode()),
        stale=path is None or digest_of(opened, path) != pin.digest,
    )


async def asked_of(operations: Operations, opened: OpenedDraft) -> dict[str, Any]:
    """Return a draft as a process that runs it is given it, once it can be read."""
    stored, state = opened.stored, opened.state
    if state.unreadable is not None:
        raise state.unreadable
    files, _ = await operations.drafts.files(stored)
    others = {path: data.decode("latin-1") for path, data in files.items() if path != stored.file}
    return {
        "file": stored.file,
        "text": stored.content,
        "files": others,
        "declared": (await operations.drafts.declared(stored)).decode(),
    }


async def recorded(
    request: Request, operations: Operations, opened: OpenedDraft, execution: str
) -> dict[str, Any]:
    """Return an execution of the draft's integration with what it recorded, for who may see that."""
    found = await execution_of(request, execution, operations)
    flow, integration = found.flow, opened.stored.integration
    if flow.integration != integration:
        raise ConfigError(
            f"{found.id} is of {flow.integration}, and the draft is one of {integration}",
            fields={"execution": f"is none of {integration}"},
        )
    await check_payload(operations, flow.customer)
    detail = await whole_execution(found, operations)
    made: dict[str, Any] = {"detail": detail.model_dump(by_alias=True)}
    if flow.is_shared:
        return made
    catalogue = operations.catalogue
    customer = await catalogue.customers.get(flow.customer)
    instance = await catalogue.instances.get(flow.instance)
    config, _ = await catalogue.instances.revision(flow.instance, flow.revision)
    who = ("id", "name", "external_id")
    return {
        **made,
        "config": dict(config),
        "customer": {name: getattr(customer, name) for name in who},
        "instance": {"id": instance.id, "name": instance.name},
    }
