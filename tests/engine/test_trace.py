"""Traces: which step of its document made each record of an execution, with nothing recorded for it."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from halflap import lowcode
from halflap.engine.clock import ManualClock
from halflap.engine.past import Past
from halflap.engine.shadow import trace
from halflap.lowcode import Components
from halflap.lowcode.observer import Mark, Tracer, current
from halflap.lowcode.outline import FlowOutline, outline_document, within
from halflap.lowcode.outline.executed import Executed, Trace, executed, recorded_as, records_as
from halflap.model import Record
from halflap.testing.instance import TestInstance, held, scopes_of
from halflap.testing.runner import execute, judged, payloads, request_with, start_of
from halflap.testing.stub import Stubs
from tests.cases import sampled
from tests.lowcode.convert.generated import drawn, events
from tests.lowcode.convert.test_equal import stubs
from tests.lowcode.documents import HEAD, own


class Ran:
    """A flow of a document that was run, and its trace; `truth` is what the run itself came to."""

    def __init__(self, text: str, flow: str = "main") -> None:
        self.source = lowcode.read(text, "traced.yaml")
        self.integration = lowcode.build(self.source, Components(own), Tracer())
        self.flow = self.integration.flows[flow]
        outlines = outline_document(
            self.source, lambda _, name: name.replace("_", " ").capitalize()
        ).flows
        self.outline = next(each for each in outlines if each.name == flow)
        self.truth: dict[str, Any] = {}
        self.records: list[Record] = []

    async def run(
        self, event: Any, seed: int, signals: Any = None, cut: int | None = None
    ) -> Trace:
        """Run it, then trace it; with `cut`, as if so many of its records were there yet."""
        recall = Past.recall

        def recalled(past: Past, scope: Any, path: str, inputs: bytes | None = None) -> Any:
            self.truth[path] = current.get()
            return recall(past, scope, path, inputs)

        clock = ManualClock()
        request = request_with(self.flow, event, {}, clock)
        start = start_of(self.flow, self.integration, request, root=None)
        instance = TestInstance(self.integration, {}, None, {}, None)
        pairs: Any = {
            each: [{"acme": "a", "second": "Won"}] for each in self.integration.paired.values()
        }
        kept = held(scopes_of(self.flow, self.integration), {"a": 1}, {}, pairs, instance.seal)
        work = Stubs(stubs(seed), {}, networked=False)
        flow, start = judged(self.flow, event, request, start)
        accepted_at = clock()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Past, "recall", recalled)
            ran = await execute(flow, start, instance, work, kept, clock, payloads(signals or {}))
        self.records = list(ran.records)[:cut]
        tracer = Tracer()
        made = lowcode.build(self.source, Components(own), tracer)
        traced, _ = judged(made.flows[self.flow.name], event, request, start)
        resolved = await instance.resolve(traced, lambda called: called)(start.flow)
        return await trace(start, accepted_at, self.records, resolved, tracer)


def own_records(records: list[Record]) -> list[Record]:
    """Return the records of a flow's steps, without those of what comes before it."""
    return [each for each in records if each.kind not in ("trigger", "check")]


def lies(ran: Ran, done: Executed) -> list[str]:
    """Return where a trace differs from the run: records of no node or several, or of another one."""
    nodes = {each.path: each for each in within(ran.outline.steps)}
    found = {path: each.path for each in done.nodes for path in each.steps}
    wrong = [path for each in done.nodes for path in each.steps if found[path] != each.path]
    for each in own_records(ran.records):
        node = nodes.get(found.get(each.path, ()))
        if node is None:
            wrong.append(f"{each.path}: no node")
        elif ran.truth[each.path] != node.path and not ran.outline.preprocess:
            wrong.append(f"{each.path}: {node.path}, which was {ran.truth[each.path]}")
        else:
            inner = [node, *(one for block in node.blocks for one in block.nodes)]
            if node.kind != "action" and recorded_as(each) not in map(records_as, inner):
                wrong.append(f"{each.path}: made by a {node.kind}")
    return wrong


async def traced(seed: int) -> tuple[int, list[str]]:
    """A generated document's flows, run by chance: how much they recorded, and what is wrong."""
    chance = Random(seed)
    made = drawn(chance, coded=seed % 4 == 0)
    count, wrong = 0, list[str]()
    for flow in (*made.flows, "main"):
        ran = Ran(made.text, flow)
        signals = {"decision": {"choice": "yes", "id": 1}} if chance.random() < 0.5 else None
        found = await ran.run(events(chance, made.typed and flow == "main"), seed, signals)
        done = executed(ran.outline, ran.records, found)
        count += len(own_records(ran.records))
        wrong += [f"{seed} {flow}: {each}" for each in lies(ran, done)]
    return count, wrong


@sampled(6, 60)
def test_every_step_that_a_document_recorded_is_one_nodes(seeds: range) -> None:
    with asyncio.Runner() as runner:
        found = [runner.run(traced(seed)) for seed in seeds]
    assert sum(count for count, _ in found) > 2 * len(seeds)
    assert [each for _, wrong in found for each in wrong] == []


def test_a_tracer_that_forgets_to_note_its_step_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def run(mark: Mark, frame: Any) -> None:
        if mark.path[-1] != 1:  # each second step
            current.set(mark.path)

    monkeypatch.setattr(Mark, "run", run)
    with asyncio.Runner() as runner:
        assert any(runner.run(traced(seed))[1] for seed in range(20))


STEPS = """\
      - if: =event.n = 1
        then: [{id: one, action: acme.list_stock}]
        else: [{action: acme.list_stock}]
      - for: each
        in: =event.items
        where: =each > 1
        parallel: 2
        do:
          - {action: acme.add_stock, with: {item: a, quantity: =each}}
      - {wait: go}
      - {log: done}
"""
AT = ("flows", "main", "steps")


async def test_the_branch_that_was_taken_and_the_items_of_a_loop_are_counted() -> None:
    ran = Ran(HEAD + STEPS)
    found = await ran.run({"n": 2, "items": [1, 2, 3]}, 3, {"go": 1})
    done = {each.path: each for each in executed(ran.outline, ran.records, found).nodes}
    assert (*AT, 0, "then", 0) not in done
    assert done[(*AT, 0, "else", 0)].times == 1
    added = done[(*AT, 1, "do", 0)]
    assert (added.times, len(added.steps), added.attempts) == (2, 2, 2)
    assert done[(*AT, 3)].times == 1
    assert (found.at, found.stopped) == (None, "")


async def test_an_execution_that_goes_on_stands_at_its_step() -> None:
    ran = Ran(HEAD + STEPS)
    found = await ran.run({"n": 1, "items": []}, 3, {"go": 1}, cut=2)
    assert [each.name for each in ran.records[1:]] == ["acme.list_stock"]
    assert found.at == (*AT, 2)
    done = executed(ran.outline, ran.records, found).nodes
    assert [each.path for each in done if each.steps] == [
        ("flows", "main", "trigger"),
        (*AT, 0, "then", 0),
    ]


async def test_a_flow_in_python_is_laid_over_by_what_only_one_node_can_have_made() -> None:
    ran = Ran(HEAD + STEPS)
    await ran.run({"n": 1, "items": [2]}, 3, {"go": 1})
    assert isinstance(ran.outline, FlowOutline)
    done = executed(ran.outline, ran.records, None)
    placed = {each.path for each in done.nodes}
    assert placed == {("flows", "main", "trigger"), (*AT, 1, "do", 0), (*AT, 2)}
    assert [each.partition("#")[0] for each in done.unplaced] == ["acme.list_stock"]
