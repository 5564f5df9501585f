"""Children: executions that a step of another one starts, each once, whatever crashes.

A child's id derives from its parent's id, the step's path and its time; its root from its parent's
root and the step's path alone. So a parent that is replayed with its root starts children with the
same idempotency keys, whenever that is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from typing import Any

from halflap.errors import DefinitionError, FilterFailed
from halflap.model import (
    CALL,
    SYSTEM,
    Event,
    Execution,
    FlowKey,
    Micros,
    RanBefore,
    Record,
    Replay,
    Start,
    made_at,
    new_id,
    position_in_chain,
    scope_time,
    timeless,
)
from halflap.sdk.declared import apply_filter, kept, marked
from halflap.sdk.dedupe import dedupe_of, digest_of, digest_of_body
from halflap.sdk.integration import Flow
from halflap.sdk.request import Request, as_request
from halflap.store.rules.replaying import (
    copied_steps,
    earlier_tries,
    has_only_copies,
    open_tries,
    repeated,
    taken_over,
)

PARENT, DEPTH = "halflap-parent", "halflap-depth"
TEARDOWN = "$teardown"
CONTINUE = "continue"
LATEST: Micros = 2**62
MOST_DEEP = 20
"""The depth to which executions may start the next: a flow that calls itself ends here."""


def child_of(
    parent: Start, path: str, at: Micros, flow: Flow[Any, Any, Any], event: bytes, *, bound: bool
) -> Start:
    """Return the start of the child that the step at `path` asks for; `at` is the step's time.

    A deploy flow starts siblings, which are held until it has ended and outlast it.
    """
    if parent.flow.flow == TEARDOWN:
        raise DefinitionError("a teardown flow can start no other: the instance is disabled")
    bound = bound and not is_lifecycle(parent.flow)
    made = call_event(parent, event, at, flow.name)
    return _child(
        parent, path, at, replace(parent.flow, flow=flow.name), flow, made, as_request(made), bound
    )


def is_lifecycle(flow: FlowKey) -> bool:
    """Return whether a flow is one of an instance's life, while which its other flows are held."""
    return flow.flow.startswith(SYSTEM)


def call_event(parent: Start, event: bytes, at: Micros, flow: str) -> Event:
    """A typed event, made by the flow that starts another."""
    depth = depth_of(parent.event) + 1
    if depth > MOST_DEEP:
        raise DefinitionError(
            f"{flow} would be started by {MOST_DEEP} executions, each by the next: is there an end "
            "to it?"
        )
    headers = (
        ("content-type", "application/json"),
        (PARENT, parent.execution),
        (DEPTH, str(depth)),
    )
    return Event(CALL, "", "", headers, event, at)


def routed(
    parent: Start, path: str, at: Micros, key: FlowKey, flow: Flow[Any, Any, Any], event: Event
) -> Start | None:
    """The start of what the route at `path` leads to; None where the flow's filter wants nothing.

    A request that is handed on as it came is taken as its own URL would take it.
    """
    request = as_request(event)
    taken = event if event.method == CALL else admitted(flow, event, request)
    if taken is None:
        return None
    return _child(parent, path, at, key, flow, taken, request, False)


def admitted(flow: Flow[Any, Any, Any], event: Event, request: Request) -> Event | None:
    """Return an event as a flow's URL would keep it; None where the flow's filter wants nothing."""
    failed: FilterFailed | None = None
    try:
        if not apply_filter(flow, request):
            return None
    except FilterFailed as error:
        failed = error
    if flow.keep is not None:
        event = replace(event, body=kept(request, flow.keep))
    return marked(event, flow, failed)


def caught_up(
    by: str, at: Micros, key: FlowKey, flow: Flow[Any, Any, Any], event: Event
) -> Start | None:
    """Return the start of an event that was missed; None where the flow's filter wants nothing.

    It is an event like those that arrive. Its id follows from its identity and from the execution
    that asks, which began at `at`: asking the app twice starts it once.
    """
    request = as_request(event)
    taken = admitted(flow, event, request)
    if taken is None:
        return None
    dedupe = dedupe_of(flow.trigger.declaration, request, request)
    named = dedupe.key if dedupe is not None else digest_of(request)
    id = derived(by, f"{flow.name}/{named}", at)
    record = said(flow.trigger.declaration.key, request)
    order = flow.order_of(key.instance, record, said, request)
    return Start(id, key, taken, root=id, dedupe=dedupe, key=record, order=order)


def _child(
    parent: Start,
    path: str,
    at: Micros,
    target: FlowKey,
    flow: Flow[Any, Any, Any],
    event: Event,
    request: Request,
    bound: bool,
) -> Start:
    replay_of, how = rerun(parent, path)
    if replay_of is not None:  # the id of a replay is a later one
        at = max(at, made_at(parent.execution, LATEST))
    key = said(flow.trigger.declaration.key, request)
    if key is None and event.method == CALL and flow.pairs is not None:
        key = said(partial(record_id, flow), request)
    return Start(
        execution=derived(parent.execution, path, at),
        flow=target,
        event=event,
        root=child_root(parent, path),
        key=key,
        order=flow.order_of(target.instance, key, said, request),
        parent=parent.execution,
        bound=bound,
        replay_of=replay_of,
        replay=how,
    )


def continuation(
    former: Start, flow: FlowKey, event: bytes, at: Micros, now: Micros, event_at: Micros
) -> Start:
    """Return the start of what follows an execution that ends: the next of its chain.

    `at` is when the former one came to that, by its own time. The root derives from the former one's,
    so that replays of the former one lead to the same idempotency keys, and other ones than its own.
    `event_at` is when the first one's event was accepted: what came since may be newer.
    """
    chain, link = position_in_chain(former)
    headers = [("content-type", "application/json"), (DEPTH, str(depth_of(former.event)))]
    if former.parent is not None:
        headers.append((PARENT, former.parent))
    return Start(
        execution=derived(former.execution, CONTINUE, now),
        flow=flow,
        event=Event(CALL, "", "", tuple(headers), event, at),
        root=derived(former.root, CONTINUE, 0),
        key=former.key,
        order=former.order,
        parent=former.parent,
        bound=former.bound,
        replay=replace(inherited(former, CONTINUE) or Replay(), event_at=event_at),
        continues=former.execution,
        chain=chain,
        link=link + 1,
    )


def follows(start: Start, former: Start) -> bool:
    """Return whether a start is the next one of an execution's chain, and of nothing else."""
    pinned = replace(start.flow, version=former.flow.version, revision=former.flow.revision)
    event_at = 0 if start.replay is None else start.replay.event_at
    right = continuation(former, start.flow, b"", 0, 0, event_at)
    same = replace(right, execution=start.execution, event=start.event)
    return pinned == former.flow and same == start


def record_id(flow: Flow[Any, Any, Any], request: Request) -> Any:
    """Return the id of the record in a typed event, which has the order of its live events."""
    reads = flow.trigger.declaration.reads
    return None if reads is None else request.json().get(reads.record)


def child_root(parent: Start, path: str) -> str:
    """Return the root of the child of a step; version 0.1.0 put the step's time into it."""
    root = derived(parent.root, path, 0)
    return root if parent.replay is None else parent.replay.roots.get(root, root)


def is_child(child: str, execution: str, path: str) -> bool:
    """Return whether a step of an execution started a child, and not the execution it replays."""
    return timeless(child) == derived(execution, path, 0)


def inherited(parent: Start, path: str) -> Replay | None:
    """Return what children of a replay, and those that continue it, know of what it runs again.

    That is, the roots that theirs had in version 0.1.0, and which children did not end well.
    """
    how = parent.replay
    if how is None or not (how.roots or how.children):
        return None
    before = how.before and derived(how.before, path, 0)
    return Replay(
        version=how.version,
        roots=how.roots,
        children=how.children,
        before=before,
        repeat=how.repeat,
    )


def rerun(parent: Start, path: str) -> tuple[str | None, Replay | None]:
    """Return which execution the child of a replay's step runs again (None: none), and how."""
    how = inherited(parent, path)
    if how is None:
        return None, None
    ran = _ran_before(parent, path)
    if ran is None or ran.digest:
        return None, Replay(roots=how.roots) if how.roots else None
    return ran.execution or None, replace(how, children=ran.children, event_at=ran.event_at)


def goes_on(start: Start, by: Start) -> str | None:
    """Return the execution that a child of a replay goes on from: its keys and its event are the same."""
    if by.replay is None or by.replay.before:
        return None
    ran = by.replay.children.get(start.root)
    if ran is None or ran.digest or ran.asked != digest_of_body(start.event.body):
        return None
    return ran.execution or None


def handed_down(
    start: Start,
    by: Start,
    before: Execution,
    event: Event,
    steps: Sequence[Record],
    *,
    was_cut: bool,
) -> Start:
    """Return the child of a replay with what the execution that it goes on from has done.

    That may be a later one of its chain, whose event and keys it has then. `was_cut`: an attempt of it.
    """
    assert start.replay is not None
    assert by.replay is not None
    how = start.replay
    tries = earlier_tries(steps, was_cut=was_cut)
    copied = copied_steps(steps, before.failure, tries) if by.replay.start == "failed" else ()
    in_doubt = bool(open_tries(tries, copied))
    if how.repeat:
        tries = tuple(map(repeated, tries))
    moves = start.flow.version != before.flow.version
    if before.replay is not None and has_only_copies(steps):  # it was refused, so it moved nothing
        moves |= before.replay.strict
    return replace(
        start,
        root=before.root,
        event=replace(start.event, body=event.body, received_at=event.received_at),
        copied=taken_over(copied, tries),
        replay=replace(
            how,
            start=by.replay.start,
            at=scope_time(before.root, before.replay, event, before.accepted_at),
            strict=moves and in_doubt and not how.repeat,
            done={} if before.replay is None else before.replay.done,
        ),
    )


def stand_in(parent: Start, path: str, event: bytes) -> str | None:
    """Return the execution that stands for a replay's child: one that mended it by itself."""
    ran = _ran_before(parent, path)
    is_same = ran is not None and ran.digest == digest_of_body(event)
    return ran.execution if ran is not None and is_same else None


def _ran_before(parent: Start, path: str) -> RanBefore | None:
    how = parent.replay
    if how is None or not how.children:
        return None
    root = derived(how.before, path, 0) if how.before else child_root(parent, path)
    return how.children.get(root)


def derived(execution: str, path: str, at: Micros) -> str:
    """Return an id that derives from another one: the same for the same step at the same time."""
    digest = blake2b(f"{execution}\0{path}".encode("utf-8", "surrogatepass"), digest_size=10)
    return new_id("exe", now=at, chance=int.from_bytes(digest.digest(), "big") >> 6)


def depth_of(event: Event) -> int:
    """Return the number of executions that led to the one with this event, each by starting the
    next.
    """
    if event.method != CALL:
        return 0
    return int(next((value for name, value in event.headers if name == DEPTH), "0"))


def said(pick: Callable[[Request], Any] | None, request: Request) -> str | None:
    """Return a declared function's reading of the event, which may not be of the shape that its app
    sends.
    """
    try:
        found = None if pick is None else pick(request)
    except Exception:
        return None
    return None if found is None else str(found)


Siblings = Mapping[str, Flow[Any, Any, Any]]
