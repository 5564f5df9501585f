"""Decide how an execution is run again: one rule for one and for many, for the API and the CLI.

A replay keeps the root, and so the idempotency keys, wherever an effect may have happened. Only a
replay from the start of what surely has no effect in doubt, or one with an edited event, has a new
root. The decision is a pure function of what was read; the operations beside it read and apply.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from halflap.model import (
    EARLIER,
    ENDED,
    ENDED_BADLY,
    Event,
    Execution,
    ExecutionState,
    Micros,
    RanBefore,
    Record,
    Replay,
    is_earlier,
    position_in_chain,
    scope_time,
    timeless,
)
from halflap.store.rules.replaying import (
    CUT_SHORT,
    FIRST,
    child_of,
    copied_steps,
    earlier_tries,
    is_effect,
    open_tries,
    repeated,
    taken_over,
)

CURRENT = "current"
LEFT_TO_PARENT = "its parent is replayed too, and runs it again"


UNKNOWN_EDITOR = "somebody"
"""The editor of an event that was edited before editors were recorded."""


@dataclass(frozen=True, slots=True)
class EventEdit:
    """A change of an event: its body, headers by name (None removes one), by whom."""

    body: bytes | None = None
    headers: Mapping[str, str | None] = field(default_factory=dict[str, "str | None"])
    by: str = ""


@dataclass(frozen=True, slots=True)
class SaidDone:
    """A statement that a step in doubt was done at the app: its result as JSON, by whom.

    `step` is its path; None: the only one in doubt.
    """

    result: bytes
    by: str = ""
    step: str | None = None


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """A request to replay an execution.

    `start`: all of it, or from the step that failed; None: from that where one failed. `version`:
    `same`, `current` (None) or another one's name.
    """

    start: Literal["start", "failed"] | None = None
    version: str | None = None
    edit: EventEdit | None = None
    bulk: str | None = None
    repeat: bool = False
    """Do again what may have been done, also where another version does it elsewhere."""
    again: bool = False
    """Also what failed, and was replayed since; and where newer events of its order have run."""
    latest: bool = False
    """Nothing that was replayed since, whatever became of that: its latest replay stands for it."""
    done: SaidDone | None = None
    """Go on behind the step in doubt, which a person found done."""


@dataclass(frozen=True, slots=True)
class ChildBefore:
    """A child that did not end well; `ids` are those by which what started it knows it.

    `in_doubt`: the replay of its own, or of what it started, that may have carried out a step.
    """

    ids: frozenset[str]
    ran: RanBefore
    in_doubt: str = ""


@dataclass(frozen=True, slots=True)
class ReplayMaterial:
    """The data of an execution from which its replay is decided.

    `event` is None where the payload was removed. `descendants` are the executions that it
    started, and those that these started; `children` are those that did not end well at first, by
    their roots, with those that its originals started. Of its replays, `live` has not ended,
    `mended_by` succeeded, `failed_again` is the latest one that did not succeed, where it came to an
    effect, `replayed_by` the latest one. `moot_by` is a replay of what started it, which was told that
    its call is done. `was_cut`: an attempt of it was, by a crash or a stop.
    """

    event: Event | None
    steps: Sequence[Record]
    descendants: Sequence[Execution] = ()
    children: Mapping[str, ChildBefore] = field(default_factory=dict[str, ChildBefore])
    live: Execution | None = None
    mended_by: str | None = None
    failed_again: str | None = None
    replayed_by: str | None = None
    moot_by: str | None = None
    was_cut: bool = False


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """A decided replay: its root (None: a new one) and its copies."""

    start: Literal["start", "failed"]
    root: str | None
    copied: tuple[Record, ...]
    how: Replay
    doubts: tuple[str, ...] = ()
    """The steps that may have been carried out, though they failed."""
    reruns: frozenset[str] = frozenset()
    """The executions that it starts again, as children of its own."""
    stops_at: Record | None = None
    """A step in doubt that it tries again, and of which it fails on the same version."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Why an execution is not run again; `removed`: because its payload is no longer stored."""

    why: str
    removed: bool = False


def editor_of(execution: Execution, request: ReplayRequest) -> str:
    """Return who edited the event of a replay, or of what it runs again; empty where it is as it came."""
    if request.edit is not None:
        return request.edit.by
    before = execution.replay
    if before is None or not before.has_edited_event:
        return ""
    return before.edited_by or UNKNOWN_EDITOR


def decide_replay(
    execution: Execution, material: ReplayMaterial, request: ReplayRequest
) -> ReplayPlan | LeftOut:
    """Return how an execution is run again, or why it is not."""
    if execution.state not in ENDED:
        return LeftOut(f"it {verb_of(execution)}; wait until it has ended, or cancel it")
    if material.live is not None:
        return LeftOut(
            f"{material.live.id} replays it already, and {verb_of(material.live)}; wait until that "
            "has ended, or cancel it"
        )
    if request.latest and material.replayed_by is not None:
        return LeftOut(f"{material.replayed_by} replayed it since, and stands for it")
    if execution.state == "failed" and material.mended_by is not None and not request.again:
        return LeftOut(
            f"{material.mended_by} replays it, and succeeded; to run it once more all the same, say "
            "`again: true`"
        )
    if execution.state in ENDED_BADLY and material.moot_by is not None and not request.again:
        return LeftOut(
            f"{material.moot_by}, which called it, was told that it is done; to run it all the same, say "
            "`again: true`"
        )
    if execution.state in ENDED_BADLY and material.failed_again and not request.again:
        return LeftOut(
            f"{material.failed_again} replayed it, and did not succeed; replay that one, which knows "
            "what was done since, or say `again: true`"
        )
    start = request.start or ("failed" if execution.state == "failed" or request.done else "start")
    if start == "failed" and execution.state not in ENDED_BADLY:
        return LeftOut(
            f"it {verb_of(execution)}, so no step of it failed; replay it from the start"
        )
    if material.event is None:
        return LeftOut("it cannot be replayed; have its sender send it again", removed=True)
    doubts = doubts_of(execution, material)
    if doubts and request.edit is not None and not request.repeat:
        return LeftOut(
            f"{doubts[0]} may have been carried out, and with an edited event it would be done again "
            "under another idempotency key: look at the app first; then replay it with the event as "
            "it came, or say `repeat: true` to do it again"
        )
    keeps_root = request.edit is None and (start == "failed" or bool(doubts))
    tries = earlier_tries(material.steps, was_cut=material.was_cut) if keeps_root else ()
    said = dict(execution.replay.done) if execution.replay and keeps_root else {}
    ended_well = [e.ids for e in material.children.values() if e.ran.digest and start == "failed"]
    mended = frozenset[str]().union(*ended_well)  # their results are taken
    if request.done is not None:
        meant = [each for each in tries if called(each) not in mended]
        if request.done.step is None and start == "failed":
            copied = copied_steps(material.steps, execution.failure, tries)
            meant = open_tries(meant, copied) or said_done(meant)
        found = step_in_doubt(meant, request.done.step)
        if isinstance(found, LeftOut):
            return found
        done = replace(found, status="succeeded", result=request.done.result, failure=None)
        tries = tuple(done if each is found else each for each in tries)
        said[found.path.removeprefix(EARLIER)] = request.done.by
    done_before = copied_steps(material.steps, execution.failure, tries)
    copied = done_before if start == "failed" else ()
    if request.repeat:
        stands = {EARLIER + each.path for each in copied}
        tries = tuple(each if each.path in stands else repeated(each) for each in tries)
    still_open = open_tries(tries, copied)
    for each in still_open:
        child = called(each)
        if child and child not in mended and each.failure and each.failure.in_doubt:
            called_before = [e for e in material.children.values() if child in e.ids]
            last = [e.ran.execution for e in called_before if not e.ran.digest]  # of its chain
            failed = next(filter(None, last), child)
            return LeftOut(
                f"it would run {failed} again, of which a step may have been carried out: "
                "look at the app first; then say what its call would have returned, where it was done "
                "(`done: RESULT`), or `repeat: true` to do it again"
            )
    settled = mended | {e.path for e in copied}
    settled |= {e.path.removeprefix(EARLIER) for e in tries if called(e) in mended}
    copied = taken_over(copied, tries)
    at: Micros = 0
    if keeps_root or copied:
        at = scope_time(execution.root, execution.replay, material.event, execution.accepted_at)
    own = [e for e in material.descendants if e.parent == execution.id]
    kept = started_by(copied)
    for each in material.children.values() if request.repeat else ():
        if each.in_doubt and each.ids.isdisjoint(kept):
            return LeftOut(
                f"{each.in_doubt} replayed what it started and may have carried out a step, which "
                "would be repeated, too: say of that one whether it was done (`done: RESULT`) or not "
                "(`repeat: true`), then replay this one, which takes its result"
            )
    children = children_again(material.children, kept, takes_mended=start == "failed")
    chain, link = position_in_chain(execution)
    return ReplayPlan(
        start,
        execution.root if keeps_root else None,
        copied,
        Replay(
            start=start,
            version=request.version or CURRENT,
            edited=request.edit is not None,
            edited_by=editor_of(execution, request),
            bulk=request.bulk,
            at=at,
            roots=inherited_roots(execution, material.descendants) if keeps_root else {},
            children=children,
            before="" if keeps_root or not children else execution.root,
            done=said,
            repeat=request.repeat,
            event_at=execution.event_at,
            chain=chain,
            link=link,
        ),
        tuple(each for each in doubts if each not in settled),
        frozenset(e.id for e in own if (e.chain or e.id) not in kept) | reruns_of(children),
        stopping_step(execution, material, open_tries(tries, done_before))
        if request.done is None
        else None,
    )


def doubts_of(execution: Execution, material: ReplayMaterial) -> tuple[str, ...]:
    """Return the steps that may have been carried out, though they are not known to have succeeded."""
    if execution.attempt == 0:
        return ()
    tries = earlier_tries(material.steps, was_cut=material.was_cut)
    doubts = [e.path.removeprefix(EARLIER) for e in tries if e.status == "retrying"]
    doubts += [e.id for e in material.descendants if e.state not in ("succeeded", "ignored")]
    if ended_within_a_step(execution):
        doubts.append("the step that it was in")
    return tuple(doubts)


def ended_within_a_step(execution: Execution) -> bool:
    """Return whether an execution may have been ended while a step of it was under way."""
    if execution.state == "failed":
        return execution.failure is None or execution.failure.kind in CUT_SHORT
    return execution.state == "cancelled"


def stopping_step(
    execution: Execution, material: ReplayMaterial, tries: Sequence[Record]
) -> Record | None:
    """Return a step in doubt that a replay tries again; None where it may not come to one.

    A flow that compares does that anew.
    """
    if execution.failure is None or any(each.kind == "check" for each in material.steps):
        return None
    doubts = [e for e in tries if e.status == "retrying" and e.failure and e.failure.in_doubt]
    return next((e for e in doubts if e.kind != "call"), None)


def step_in_doubt(tries: Sequence[Record], named: str | None) -> Record | LeftOut:
    """Return the try of the step in doubt that a person found done: the named one, or the only one."""
    doubts = [e for e in tries if e.status == "retrying"] or said_done(tries)
    unsafe = [each for each in doubts if each.failure is not None and each.failure.in_doubt]
    meant = doubts if named is not None else unsafe or doubts
    found = [each for each in meant if named in (None, each.path.removeprefix(EARLIER))]
    if len(found) == 1:
        return found[0]
    paths = ", ".join(each.path.removeprefix(EARLIER) for each in meant)
    if found:
        said = "several of its steps are in doubt; say which was done (`step: PATH`)"
        return LeftOut(f"{said}: {paths}")
    if paths:
        return LeftOut(f"it has no step {named} in doubt; in doubt: {paths}")
    return LeftOut("no step of its own is in doubt, so none can be said to be done")


def said_done(tries: Sequence[Record]) -> list[Record]:
    """Return the tries of steps that a person found done, and that no replay has come by since."""
    return [e for e in tries if e.status == "succeeded" and not e.path.startswith(FIRST)]


def has_tried_more(steps: Sequence[Record], before: Sequence[Record]) -> bool:
    """Return whether a replay came to an effect that what it replays had not completed."""
    done = {each.path for each in before if each.status == "succeeded"}
    return any(is_effect(e) for e in steps if e.path not in done and e.seq >= 0)


def called(record: Record) -> str:
    """Return the id of the child whose failure a step passes on; empty where it is none's."""
    return record.failure.where if record.kind == "call" and record.failure else ""


def started_by(copied: Collection[Record]) -> set[str]:
    """Return the children that copied steps stand for, and that are not started again."""
    started = {child_of(e) for e in copied if e.kind == "start" and e.status == "succeeded"}
    return started | {called(e) for e in copied if e.status == "failed" and not is_earlier(e)}


def children_again(
    children: Mapping[str, ChildBefore], kept: Collection[str], *, takes_mended: bool
) -> dict[str, RanBefore]:
    """Return what became of the children that a replay starts again, by their roots.

    Where it `takes_mended`, the result of one that a replay of its own mended is taken instead.
    """
    return {
        root: each.ran
        for root, each in children.items()
        if each.ids.isdisjoint(kept) and (takes_mended or not each.ran.digest)
    }


def reruns_of(children: Mapping[str, RanBefore]) -> frozenset[str]:
    """Return the executions that children of a replay run again, however deep."""
    found = {each.execution for each in children.values() if not each.digest}
    return frozenset(found - {""}).union(*(reruns_of(e.children) for e in children.values()))


def inherited_roots(execution: Execution, descendants: Sequence[Execution]) -> dict[str, str]:
    """Return the roots of descendants that hold the time of a step, as version 0.1.0 made them."""
    roots = {} if execution.replay is None else dict(execution.replay.roots)
    for each in descendants:
        if each.root != timeless(each.root):
            roots[timeless(each.root)] = each.root
    return roots


def verb_of(execution: Execution) -> str:
    """Return how an execution is, as a verb: `is running`, `failed`, `was cancelled`."""
    state: ExecutionState = execution.state
    match state:
        case "succeeded" | "failed":
            return state
        case "cancelled" | "ignored":
            return f"was {state}"
        case _:
            return f"is {state}"
