"""What people do with executions: look, cancel, replay, dismiss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from halflap.api.operations import finding
from halflap.api.operations.config import Configs
from halflap.api.operations.needs import Engine, Library
from halflap.api.operations.order import because
from halflap.errors import ConfigError, Conflict, NotFound, Removed
from halflap.model import (
    ENDED,
    PARTS,
    SEALED_HEADERS,
    SYSTEM,
    Clock,
    Event,
    Execution,
    FlowKey,
    Instance,
    LogLine,
    Part,
    Record,
    Replay,
    Start,
    new_id,
)
from halflap.sdk import codec
from halflap.sdk.context import LONGEST_NAME
from halflap.sdk.integration import Integration
from halflap.store.blobs.viewing import Content, Seen, Viewing
from halflap.store.catalogue import Catalogue
from halflap.store.protocol import Attempt, Filter, Journal

LAST = "last"
PAGE = 50
MOST_CHILDREN = 100
SAME, CURRENT = "same", "current"
MOST_RELATED = 200
"""How many executions of a lineage are shown."""


@dataclass(frozen=True, slots=True)
class ExecutionDetail:
    """An execution with all that the journal has of it."""

    execution: Execution
    event: Seen | None
    steps: Sequence[Record]
    attempts: Sequence[Attempt]
    lineage: Sequence[Execution]
    """What it runs again, itself, and what runs it again."""
    children: Sequence[Execution]
    """The newest of those that it started."""
    waits_for: str | None
    """The execution whose turn it is in its order, where it has none itself."""
    waits_because: str
    removed: Mapping[Part, str]
    """The parts that were kept for a while, with what became of each."""


@dataclass(frozen=True, slots=True)
class Edit:
    """What is different about an event: its body, headers by name (None removes one)."""

    body: bytes | None = None
    headers: Mapping[str, str | None] = field(default_factory=dict[str, "str | None"])


@dataclass(frozen=True, slots=True)
class Again:
    """How an execution is to be run again.

    `start`: all of it, or from the step that failed; None: from that where one did. `version`:
    `same`, `current` (None) or another one's name.
    """

    start: Literal["start", "failed"] | None = None
    version: str | None = None
    edit: Edit | None = None
    bulk: str | None = None


@dataclass(slots=True)
class Executions:
    """Shows executions, ends them early, and runs them again."""

    catalogue: Catalogue
    journal: Journal
    engine: Engine
    library: Library
    configs: Configs
    clock: Clock

    @property
    def viewing(self) -> Viewing:
        """The journal as people look at it: large payloads are not loaded."""
        return Viewing(self.journal)

    async def find(self, named: str) -> Execution:
        """An execution by its id; `last` is the newest that an event started."""
        if named == LAST:
            return await self.last(None, None)
        found = await self.viewing.execution(named)
        if found is None:
            raise NotFound(
                f"no execution has the id {named!r}: it was never accepted, or was pruned since; "
                "see: halflap executions list"
            )
        return found

    async def last(self, instance: str | None, flow: str | None) -> Execution:
        """The newest execution of an event; deployments are ours, and do not count."""
        before = None
        while True:
            which = Filter(instance=instance, flow=flow, before=before, limit=PAGE)
            found = await self.journal.executions(which)
            for each in found:
                if not each.flow.flow.startswith(SYSTEM):
                    return each
            if len(found) < PAGE:
                raise NotFound("no event has arrived there yet; send one to the flow's URL")
            before = found[-1].id

    async def list(self, which: Filter) -> tuple[list[Execution], str | None]:
        """A page of executions, newest first, and the `before` of the next one."""
        found = await self.journal.executions(replace(which, limit=which.limit + 1))
        more = len(found) > which.limit
        page = found[: which.limit]
        return page, page[-1].id if more else None

    async def detail(self, execution: Execution) -> ExecutionDetail:
        """An execution with its event, its steps, its attempts and its replays."""
        ahead = None if execution.order is None else await self.journal.waits_for(execution.id)
        return ExecutionDetail(
            execution,
            await self.viewing.event(execution.id),
            await self.viewing.steps(execution.id),
            await self.journal.attempts(execution.id),
            await self.lineage(execution),
            await self._children(execution),
            ahead,
            "" if ahead is None else because(execution, await self.journal.execution(ahead)),
            await self.removed(execution),
        )

    async def removed(self, execution: Execution) -> dict[Part, str]:
        """Which parts of an execution are removed, with what became of each."""
        kept = await self.journal.kept(execution.id)
        return {} if kept is None else {p: kept.said(p) for p in PARTS if p in kept.removed}

    async def event(self, execution: Execution) -> Event:
        """An execution's event; `Removed` where it is no longer kept."""
        event = await self.journal.event(execution.id)
        if event is None:
            raise await self._gone(execution, "event")
        return event

    async def seen(self, execution: Execution) -> Seen:
        """An execution's event to be shown; `Removed` where it is no longer kept."""
        event = await self.viewing.event(execution.id)
        if event is None:
            raise await self._gone(execution, "event")
        return event

    async def _gone(self, execution: Execution, part: Part, then: str = "") -> Removed:
        said = (await self.removed(execution)).get(part, "is no longer kept")
        return Removed(f"the {part} of {execution.id} {said}{then}")

    async def logs(self, execution: Execution, after: int) -> list[tuple[int, LogLine]]:
        """What the author's code logged, after a line."""
        return await self.viewing.logs(execution.id, after)

    async def content(
        self, execution: Execution, part: Literal["body", "result", "inputs"], step: str | None
    ) -> Content:
        """A payload of an execution, whole, to be read in parts; `Removed` where it is no more."""
        try:
            return await self.viewing.content(execution.id, part, step)
        except NotFound:
            of: Part | None = "event" if part == "body" else "steps" if step else None
            if of is not None and of in await self.removed(execution):
                raise await self._gone(execution, of) from None
            raise

    async def cancel(
        self, execution: Execution, reason: str, grace: float | None = None
    ) -> Execution:
        """Cancel: at once where it is queued or waiting, at its next step where it runs.

        One that goes on running is cut after `grace` seconds.
        """
        if not await self.engine.cancel(execution.id, reason, grace):
            now = await self.find(execution.id)
            raise Conflict(f"{now.id} has ended already: it {verb(now)}", key=now.id)
        return await self.find(execution.id)

    async def signal(
        self, execution: Execution, name: str, payload: object, once: str | None
    ) -> Execution:
        """Send a signal with a payload of JSON; one that comes before it is asked for is kept."""
        if not name or len(name) > LONGEST_NAME or name.startswith(SYSTEM):
            raise ConfigError(
                f"a signal's name has 1 to {LONGEST_NAME} characters, and not $ as its first",
                fields={"name": "is no signal's name"},
            )
        sent = await self.engine.signal(execution.id, name, codec.encode(payload), once)
        now = await self.find(execution.id)
        if sent == "over":
            raise Conflict(f"{now.id} has ended already: it {verb(now)}", key=now.id)
        return now

    async def dismiss(self, execution: Execution) -> None:
        """Take a failed execution off the dead letters."""
        if not await self.engine.dismiss(execution.id):
            now = await self.find(execution.id)
            raise Conflict(
                f"{now.id} {verb(now)}; only one that failed can be dismissed", key=now.id
            )

    async def replay(self, execution: Execution, again: Again) -> str:
        """Run an execution again, and return the new one's id.

        Whole, or with an edited event, it has a new root, so new idempotency keys. From the failed
        step, the steps that succeeded are copied, and the root stays.
        """
        id = new_id("exe", now=self.clock())
        await self.engine.start([await self.start_of(execution, again, id)])
        return id

    async def start_of(
        self,
        execution: Execution,
        again: Again,
        id: str,
        known: dict[FlowKey, FlowKey] | None = None,
    ) -> Start:
        """What runs an execution again; `known` keeps what was found out for others of its flow."""
        if execution.state not in ENDED:
            raise Conflict(
                f"{execution.id} {verb(execution)}; wait until it has ended, or cancel it",
                key=execution.id,
            )
        if again.start == "failed" and execution.state not in ("failed", "cancelled"):
            raise Conflict(
                f"{execution.id} {verb(execution)}, so no step of it failed; replay it from the start",
                key=execution.id,
            )
        flow = None if known is None else known.get(execution.flow)
        if flow is None:
            flow = await self._again(execution, again.version)
            if known is not None:
                known[execution.flow] = flow
        event = await self._replayed(execution)
        copied: tuple[Record, ...] = ()
        if again.start == "failed" or (again.start is None and execution.state == "failed"):
            if "steps" in await self.removed(execution):
                # Without them, each effect would be repeated: that has to be asked for.
                raise await self._gone(execution, "steps", "; replay it from the start")
            steps = await self.journal.steps(execution.id)
            copied = tuple(each for each in steps if each.status == "succeeded")
        from_failed = again.start == "failed" or any(e.kind != "trigger" for e in copied)
        return Start(
            execution=id,
            flow=flow,
            event=event if again.edit is None else edited(event, again.edit),
            root=execution.root if from_failed and again.edit is None else id,
            key=execution.key,
            replay_of=execution.id,
            copied=copied if from_failed else (),
            order=execution.order,
            replay=Replay(
                start="failed" if from_failed else "start",
                version=again.version or CURRENT,
                edited=again.edit is not None,
                bulk=again.bulk,
            ),
        )

    async def _again(self, execution: Execution, version: str | None) -> FlowKey:
        """The flow that runs an execution again."""
        if not execution.flow.is_shared:
            return await self._flow(execution, await self._instance(execution), version)
        key, shared = execution.flow, self.catalogue.shared
        if version == SAME:
            return key
        if version not in (None, CURRENT):
            assert version is not None
            hash = (await finding.version(self.catalogue, key.integration, version)).hash
        else:
            endpoint = (await shared.of_integration(key.integration)).get(key.flow)
            current = None if endpoint is None else await shared.version(endpoint)
            hash = key.version if current is None else current.hash
        await self._check_flow(key, hash)
        return replace(key, version=hash)

    async def _replayed(self, execution: Execution) -> Event:
        """The event to run again; `Removed`, with what to do, where it is no longer kept."""
        try:
            return await self.event(execution)
        except Removed as error:
            raise Removed(
                f"{error.message}, so {execution.id} cannot be replayed; have its sender send it again"
            ) from error

    async def _children(self, execution: Execution) -> list[Execution]:
        if execution.attempt == 0:
            return []
        return await self.journal.executions(Filter(parent=execution.id, limit=MOST_CHILDREN))

    async def lineage(self, execution: Execution) -> list[Execution]:
        """What an execution runs again, itself, and what runs it again: in the order of acceptance."""
        found = {execution.id: execution}
        above = execution
        while above.replay_of is not None and len(found) < MOST_RELATED:
            before = await self.viewing.execution(above.replay_of)
            if before is None:  # it was pruned
                break
            found[before.id] = above = before
        below = [execution.id]
        while below and len(found) < MOST_RELATED:
            which = Filter(replay_of=below.pop(0), limit=MOST_RELATED)
            for each in reversed(await self.journal.executions(which)):
                found[each.id] = each
                below.append(each.id)
        return sorted(found.values(), key=lambda each: each.id)

    async def _instance(self, execution: Execution) -> Instance:
        if execution.flow.flow.startswith(SYSTEM):
            raise Conflict(
                f"{execution.id} is a deployment of its instance; activate, redeploy or disable that "
                "again instead",
                key=execution.id,
            )
        try:
            instance = await self.catalogue.instances.get(execution.flow.instance)
        except NotFound as error:
            raise NotFound(
                f"the instance of {execution.id} was removed, and its config with it; the execution "
                "cannot be replayed"
            ) from error
        if instance.state in ("configured", "disabling", "disabled"):
            raise Conflict(
                f"{instance.name} is {instance.state}; activate it, then replay", key=instance.id
            )
        return instance

    async def _flow(self, execution: Execution, instance: Instance, version: str | None) -> FlowKey:
        hash, revision = instance.version, instance.revision
        if version == SAME:
            hash, revision = execution.flow.version, execution.flow.revision
        elif version not in (None, CURRENT):
            assert version is not None
            hash = (await finding.version(self.catalogue, instance.integration, version)).hash
        definition = await self._check_flow(execution.flow, hash)
        config, connections = await self.catalogue.instances.revision(instance.id, revision)
        await self.configs.check(definition, instance.customer, config, connections)
        return replace(execution.flow, version=hash, revision=revision)

    async def _check_flow(self, key: FlowKey, hash: str) -> Integration[Any]:
        """A version that has the flow of an execution."""
        definition = await self.library.integration(hash)
        if key.flow not in definition.flows:
            raise ConfigError(
                f"version {hash[:12]} of {key.integration} has no flow {key.flow!r}; "
                f"name a version that has it, such as {key.version[:12]}",
                fields={"version": "does not have the flow"},
            )
        return definition


def edited(event: Event, edit: Edit) -> Event:
    """An event with another body, or other headers; those that are kept sealed stay as they are."""
    changed = {name.lower(): (name, value) for name, value in edit.headers.items()}
    sealed = sorted(changed.keys() & SEALED_HEADERS)
    if sealed:
        raise ConfigError(
            f"the header {sealed[0]} is a secret, and cannot be edited",
            fields={"event.headers": f"must not name {sealed[0]}"},
        )
    body = event.body if edit.body is None else edit.body
    large = event.large if edit.body is None else None
    if large is None and any(name.lower() == "content-length" for name, _ in event.headers):
        changed.setdefault("content-length", ("content-length", str(len(body))))
    headers = [each for each in event.headers if each[0].lower() not in changed]
    headers += [(name, value) for name, value in changed.values() if value is not None]
    return replace(event, body=body, headers=tuple(headers), large=large)


def verb(execution: Execution) -> str:
    """How an execution is, as a verb: `is running`, `failed`, `was cancelled`."""
    match execution.state:
        case "succeeded" | "failed":
            return execution.state
        case "cancelled" | "ignored":
            return f"was {execution.state}"
        case _:
            return f"is {execution.state}"
