"""Compare two outlines: the flows and steps that were added, removed, changed and moved.

A step has no id of its own, so steps are matched by what they have in common: first all that they say,
then their name, their title, and last their place. A step is `moved` if it is in another block, or
comes in another order than most of those beside it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from halflap.lowcode.outline.nodes import FlowOutline, Outline, OutlineNode, Path
from halflap.lowcode.outline.text import line_of, short, shown

Change = Literal["added", "removed", "changed", "moved"]


@dataclass(frozen=True, slots=True)
class ValueChange:
    """A field of a step, a flow or a trigger that differs, each in one line; empty if not there."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class StepChange:
    """A step that was added, removed or moved, or says something else (and may be `moved`, too)."""

    change: Change
    kind: str
    title: str
    path: Path
    """Its address in the outline of the newer version; of one that was removed, of the older."""
    former_path: Path | None
    moved: bool
    values: Sequence[ValueChange]


@dataclass(frozen=True, slots=True)
class FlowChange:
    """A flow that differs: what of it and its trigger, and which steps."""

    change: Literal["added", "removed", "changed"]
    name: str
    title: str
    values: Sequence[ValueChange]
    steps: Sequence[StepChange]


@dataclass(eq=False, slots=True)
class _Placed:
    """A node, the block that it is in, and its match in the other outline."""

    node: OutlineNode
    parent: _Placed | None
    block: Path
    at: int
    match: _Placed | None = None
    blocks: dict[Path, list[_Placed]] = field(default_factory=dict[Path, "list[_Placed]"])


def compare_outlines(before: Outline, after: Outline) -> list[FlowChange]:
    """Return the flows that differ, in the order of the newer version; those that are gone last."""
    old = {each.name: each for each in before.flows}
    new = {each.name: each for each in after.flows}
    found: list[FlowChange] = []
    for name, flow in new.items():
        if (former := old.get(name)) is None:
            found.append(FlowChange("added", name, flow.title, (), ()))
            continue
        values = [*_values_of_flow(former, flow)]
        if (steps := compare_steps(former.steps, flow.steps)) or values:
            found.append(FlowChange("changed", name, flow.title, values, steps))
    gone = [(name, each.title) for name, each in old.items() if name not in new]
    return found + [FlowChange("removed", name, title, (), ()) for name, title in gone]


def compare_steps(before: Sequence[OutlineNode], after: Sequence[OutlineNode]) -> list[StepChange]:
    """Return the steps that differ, in the order of the newer flow; those that are gone last."""
    old, new = [*_placed(before)], [*_placed(after)]
    _match(old, new)
    moved = _moved(new)
    found: list[StepChange] = []
    for each in new:
        if each.match is None:
            found.append(_step("added", each))
            continue
        values = [*_differing(_said(each.match.node), _said(each.node))]
        if values or each in moved:
            change: Change = "changed" if values else "moved"
            path = each.match.node.path
            found.append(_step(change, each, path, each in moved, values))
    return found + [_step("removed", each) for each in old if each.match is None]


def _step(
    change: Change,
    each: _Placed,
    former: Path | None = None,
    moved: bool = False,
    values: Sequence[ValueChange] = (),
) -> StepChange:
    node = each.node
    title = node.title or short(line_of(node))
    return StepChange(change, node.kind, title, node.path, former, moved, values)


def _placed(
    nodes: Sequence[OutlineNode], parent: _Placed | None = None, block: Path = ()
) -> Iterator[_Placed]:
    for at, node in enumerate(nodes):
        each = _Placed(node, parent, block, at)
        yield each
        for part in node.blocks:
            within = part.path[len(node.path) :]
            yield from _placed(part.nodes, each, within)


def _match(old: Sequence[_Placed], new: Sequence[_Placed]) -> None:
    """Match nodes by ever less that they have in common; of equals, those of the same address first."""
    for key in KEYS:
        _match_by(key, old, new)
    while any(_match_by(key, old, new) for key in BY_PLACE):
        pass  # a node whose parent was matched just now may be matched by its place


def _match_by(
    key: Callable[[_Placed], Hashable], old: Sequence[_Placed], new: Sequence[_Placed]
) -> bool:
    """Match the nodes that have the same key; return whether there were any."""
    free: dict[Hashable, list[_Placed]] = {}
    for each in reversed(old):
        if each.match is None:
            free.setdefault(key(each), []).append(each)
    found = False
    for each in new:
        if each.match is None and (wanted := key(each)) is not None and free.get(wanted):
            each.match = free[wanted].pop()
            each.match.match = each
            found = True
    return found


KEYS: Sequence[Callable[[_Placed], Hashable]] = [
    lambda each: (*_content(each.node), each.node.path),
    lambda each: _content(each.node),
    lambda each: (each.node.kind, each.node.id) if each.node.id else None,
    lambda each: (each.node.kind, each.node.title) if each.node.title else None,
]
BY_PLACE: Sequence[Callable[[_Placed], Hashable]] = [
    lambda each: (*_place(each), each.node.kind, repr(each.node.fields.get(each.node.kind))),
    lambda each: (*_place(each), each.node.kind),
]


def _place(each: _Placed) -> tuple[Hashable, ...]:
    """Return the block that a node is in: that of its parent's match, so that both sides agree."""
    parent = each.parent
    if parent is None:
        return (None, each.block)
    pair = sorted((id(parent), id(parent.match))) if parent.match is not None else [id(parent)]
    return (tuple(pair), each.block)


def _content(node: OutlineNode) -> tuple[Hashable, ...]:
    return (node.kind, node.title, node.id, repr(node.fields))


def _moved(new: Sequence[_Placed]) -> set[_Placed]:
    """Return the nodes that are in another block than before, or in another order within it."""
    moved: set[_Placed] = set()
    beside: dict[tuple[int, Path], list[_Placed]] = {}
    for each in new:
        if each.match is None:
            continue
        was, now = each.match.parent, each.parent
        is_beside = now is None if was is None else was.match is now
        if is_beside and each.block == each.match.block:
            beside.setdefault((id(now), each.block), []).append(each)
        else:
            moved.add(each)
    for some in beside.values():
        former = [each.match.at for each in some if each.match is not None]
        stay = _longest_rising(former)
        moved |= {each for at, each in enumerate(some) if at not in stay}
    return moved


def _longest_rising(numbers: Sequence[int]) -> set[int]:
    """Return the places of a longest rising subsequence."""
    ends: list[int] = []
    places: list[int] = []
    before: list[int | None] = []
    for place, number in enumerate(numbers):
        at = bisect_left(ends, number)
        before.append(places[at - 1] if at else None)
        ends[at : at + 1], places[at : at + 1] = [number], [place]
    found: set[int] = set()
    last = places[-1] if places else None
    while last is not None:
        found.add(last)
        last = before[last]
    return found


def _said(node: OutlineNode) -> dict[str, Any]:
    named = {"title": node.title, "id": node.id, "kind": node.kind}
    return {**node.fields, **{name: each for name, each in named.items() if each is not None}}


def _values_of_flow(before: FlowOutline, after: FlowOutline) -> Iterator[ValueChange]:
    def said(flow: FlowOutline) -> dict[str, Any]:
        named = {
            "title": flow.title, "description": flow.description, "trigger": flow.trigger,
            "preprocess": flow.preprocess, "shared": flow.shared,
        }  # fmt: skip
        return {**flow.fields, **named}

    return _differing(said(before), said(after))


def _differing(before: dict[str, Any], after: dict[str, Any]) -> Iterator[ValueChange]:
    for name in {**before, **after}:
        if before.get(name) != after.get(name):
            yield ValueChange(name, _text(before.get(name)), _text(after.get(name)))


def _text(value: Any) -> str:
    return "" if value is None else short(shown(value))
