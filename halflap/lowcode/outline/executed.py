"""Lay what an execution recorded over the outline of its flow: of each node, how often and how."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from halflap.lowcode.outline.nodes import FlowOutline, OutlineNode, OutlinePart, Path, within
from halflap.model import Micros, Record

NodeState = Literal["succeeded", "failed", "retrying", "waiting"]
WAITS = frozenset({"sleep", "signal", "call"})
"""Kinds of records that wait where others are tried again."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Where in a document an execution's records stand, and how often each of its parts ran.

    ended: of each loop that goes on behind items that fail, how many ended, and how many of them failed.
    routes: of a pre-process flow, those that held, in order. at: the address of the step that it came
    to last, where it has not ended. stopped: why it could not be followed to its end. failed: the address
    of the step whose failure ended it, which may have recorded nothing.
    """

    places: Mapping[str, Path] = field(default_factory=dict[str, Path])
    runs: Mapping[Path, int] = field(default_factory=dict[Path, int])
    ended: Mapping[Path, tuple[int, int]] = field(default_factory=dict[Path, tuple[int, int]])
    routes: Sequence[Path] = ()
    at: Path | None = None
    stopped: str = ""
    failed: Path = ()


class NodeRun(OutlinePart):
    """A node, or a block of one, as an execution went through it."""

    path: Path
    times: int | None = None
    """The number of times that it was reached: a loop's step once an item. Null if not known."""
    items: int | None = None
    """Of a loop that goes on behind items that fail: the number that have ended."""
    failed_items: int | None = None
    """The number of these that failed."""
    state: NodeState | None = None
    """The state of its last step, or that its failure ended the execution; else null."""
    attempts: int = 0
    """The number of tries of its steps, all together."""
    started_at: Micros | None = None
    ended_at: Micros | None = None
    steps: list[str] = []
    """The paths of its records in the journal."""


@dataclass(frozen=True, slots=True)
class Executed:
    """The nodes that an execution came to, in the order of the text; `unplaced` are records of none."""

    nodes: Sequence[NodeRun]
    unplaced: Sequence[str]


def executed(flow: FlowOutline, records: Iterable[Record], trace: Trace | None) -> Executed:
    """Lay records over a flow; without a trace (of Python), by what only one node can have recorded."""
    nodes = list(within(flow.steps))
    known = matched(nodes) if trace is None else dict[str, Path]()
    paths = {flow.path, (*flow.path, "trigger"), *(each.path for each in nodes)}
    leading = {each.path for each in nodes if "flow" in each.fields}
    routes = iter([] if trace is None else [each for each in trace.routes if each in leading])
    by_node: dict[Path, list[Record]] = {}
    unplaced: list[str] = []
    for each in sorted(records, key=lambda each: each.seq):
        if each.kind in ("trigger", "check"):
            place: Path | None = (*flow.path, "trigger")
        elif trace is None:
            place = known.get(recorded_as(each))
        elif flow.preprocess:  # its flows are started after all of its routes were read
            place = next(routes, None)
        else:
            place = trace.places.get(each.path)
        if place in paths:
            by_node.setdefault(place, []).append(each)
        else:
            unplaced.append(each.path)
    trace = trace or Trace()
    runs, items, failed = trace.runs, trace.ended, trace.failed
    blocks = (block.path for node in nodes for block in node.blocks)
    ordered = [(*flow.path, "trigger"), *(each.path for each in nodes), *blocks]
    return Executed(
        [
            _run(path, runs.get(path), items.get(path), by_node.get(path, ()), fails=path == failed)
            for path in ordered
            if path in by_node or runs.get(path)
        ],
        unplaced,
    )


def _run(
    path: Path,
    times: int | None,
    items: tuple[int, int] | None,
    records: Sequence[Record],
    *,
    fails: bool,
) -> NodeRun:
    state = state_of(records[-1]) if records else None
    return NodeRun(
        path=path,
        times=times,
        items=items and items[0],
        failed_items=items and items[1],
        state="failed" if fails else state,
        attempts=sum(each.tries for each in records),
        started_at=min((each.started_at for each in records), default=None),
        ended_at=max((each.ended_at for each in records), default=None),
        steps=[each.path for each in records],
    )


def state_of(record: Record) -> NodeState:
    """Return the state of a step: one that waits for a time, a signal or a flow is not tried again."""
    waits = record.status == "retrying" and record.kind in WAITS
    return "waiting" if waits else record.status


def recorded_as(record: Record) -> str:
    """Return what a record shares with the nodes that may have made it."""
    match record.kind:
        case "action" | "step":
            return f"{record.kind} {record.name}: {record.title}"
        case "start" | "call" | "signal":
            return f"{record.kind} {record.name}"
        case kind:
            return kind


def records_as(node: OutlineNode) -> str | None:
    """Return the same of a node, as far as its text says; `None` of one that records nothing."""
    text = node.text
    match node.kind:
        case "action":
            return f"action {text('action')}: {node.title}"
        case "code":
            name = text("code") if text("code").isidentifier() else "code"
            return f"step {name}: {node.title}"
        case "call":
            return f"{'start' if node.fields.get('wait') is False else 'call'} {text('call')}"
        case "route":
            return f"start {text('flow')}"
        case "result":
            return f"call {text('result')}"
        case "wait":
            return f"signal {text('wait')}"
        case "state" | "sleep":
            return node.kind
        case "paired" | "pair" | "unpair":
            return "pair"
        case _:
            return None


def matched(nodes: Iterable[OutlineNode]) -> Mapping[str, Path]:
    """Return the address of the only node that can have made a record, by what they share."""
    found: dict[str, Path | None] = {}
    for shared, path in _recording(nodes):
        found[shared] = None if shared in found else path
    return {shared: path for shared, path in found.items() if path is not None}


def _recording(nodes: Iterable[OutlineNode]) -> Iterator[tuple[str, Path]]:
    for each in nodes:
        if (shared := records_as(each)) is not None:
            yield shared, each.path
