"""Runs of drafts: a flow with an event, whose effects are pinned, recorded or made up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Request, Response
from pydantic import StringConstraints

from halflap.api.asking import Ops, check_payload, execution_of, needs, router_of
from halflap.api.draft_view import FlowName
from halflap.api.executions import whole_execution
from halflap.api.lint import unless_gone
from halflap.api.operations import Operations
from halflap.api.operations.draft_runs import Tell
from halflap.api.operations.drafts import OpenedDraft, StaleEdit
from halflap.api.problem import documented
from halflap.api.view import Input, Json, JsonObject, Text
from halflap.errors import ConfigError
from halflap.lowcode.document import Method
from halflap.lowcode.source import Path

router = router_of("/api/drafts", "drafts", 404, 409)

NodeKey = Annotated[str, StringConstraints(pattern=r"^n\d{1,9}$")]
run_events = {
    200: {
        "description": "Server-Sent Events: `row` for each run of a step as it ends or begins to wait "
        "(path, item, execution, state, inputs, gave, error, took_ms, source, stale), then one `end` "
        "(state, reason, result, failure, where, path, logs, cut).",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}


class RequestDraft(Input):
    """The parts of a request beside its body."""

    method: Method = "POST"
    path: Text = ""
    query: Text = ""
    headers: dict[str, str] = {}


class DraftRun(Input):
    """A run of a flow of a draft: with an event, with an execution's, or else with a made-up one."""

    flow: FlowName
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
    """By the key of a step, what it answers; `{"$error": text, "status": 404}` fails."""


class RunEvents(Response):
    """Server-Sent Events of a run, which ends as the client leaves."""

    media_type = "text/event-stream"

    def __init__(self, run: Callable[[Tell], Awaitable[None]]) -> None:
        super().__init__(headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._run = run

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def tell(kind: str, text: str) -> None:
            body = f"event: {kind}\ndata: {text}\n\n".encode()
            await send({"type": "http.response.body", "body": body, "more_body": True})

        async def run() -> None:
            await self._run(tell)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await unless_gone(receive, run())


@router.post("/{draft}/test", response_class=Response, responses={**run_events, **documented(403)})
@needs("publish", audited="look")
async def run_draft(request: Request, draft: str, wanted: DraftRun, operations: Ops) -> RunEvents:
    """Run a flow of a draft, and tell what each step gave as it happens; nothing is called or kept.

    An action answers its pin, else what it answered in the `execution`, else a sample of what it
    returns: `source` says which. Pure actions and code run. Time passes by itself.
    """
    opened = await operations.drafts.get(draft)
    if wanted.revision is not None and wanted.revision != opened.stored.revision:
        raise StaleEdit(opened.stored.revision, None)
    given = await asked_of(operations, opened) | {
        "flow": wanted.flow,
        "config": wanted.config,
        "signals": wanted.signals,
        "pins": pins_of(opened, wanted.pins),
    }
    if "event" in wanted.model_fields_set:
        given["event"] = wanted.event
        given["request"] = wanted.request and wanted.request.model_dump()
    if wanted.execution is not None:
        given["recorded"] = await recorded(request, operations, opened, wanted.execution)
    caller = operations.principal.id
    return RunEvents(lambda tell: operations.draft_runs.run("run", given, caller, tell))


async def asked_of(operations: Operations, opened: OpenedDraft) -> dict[str, Any]:
    """Return a draft as a process that runs it is given it, once it can be read."""
    stored, state = opened.stored, opened.state
    if state.unreadable is not None:
        raise state.unreadable
    files, _ = await operations.drafts.files(stored)
    has_modules = any(path.endswith(".py") for path in files)
    others = {path: data.decode("latin-1") for path, data in files.items() if path != stored.file}
    return {
        "file": stored.file,
        "text": stored.content,
        "files": others if has_modules else {},
    }


def pins_of(opened: OpenedDraft, pins: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what steps answer, by their addresses."""
    paths: dict[str, Path] = {f"n{key}": path for path, key in opened.state.keys.items()}
    gone = [key for key in pins if key not in paths]
    if gone:
        raise ConfigError(
            f"the draft has no step {gone[0]}; pin another, or leave it out",
            fields={f"pins.{gone[0]}": "is no step"},
        )
    return [{"path": paths[key], "value": value, "stale": False} for key, value in pins.items()]


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
