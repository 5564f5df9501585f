"""Hostile bodies over real connections: a right value, a visible failure or a refusal; never a 500."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Note
from tests.faults import checker
from tests.faults.bodies import PATH, WIRE, Case, bomb, cases
from tests.faults.process import ServerProcess, server_on
from tests.faults.senders import Line
from tests.faults.sink import Sink
from tests.polling import until

MEMORY = 130 << 20
"""Bytes that the whole table may add to the server's memory, at its highest."""


async def test_hostile_bodies_end_in_a_value_a_visible_failure_or_a_refusal(
    tmp_path: Path, sink: Sink, note: Note
):
    store, all_cases = tmp_path / "store", cases()
    async with server_on(store, sink.url) as server:
        now, _ = server.memory()
        taken: dict[str, Case] = {}
        for case in all_cases:
            line = Line(server.urls[case.flow])
            await line.connect()
            answer = await line.post(case.body, case.headers)
            line.close()
            assert answer is not None, case.name
            assert answer.status == case.status, case.name
            if case.status == 200:
                taken[answer.execution] = case
        flows = sorted({case.flow for case in all_cases})
        await until(lambda: not any(checker.live(store, flow) for flow in flows))
        rows = {id: row for flow in flows for id, row in checker.executions(store, flow).items()}
        assert rows.keys() == taken.keys()
        for id, case in taken.items():
            check(rows[id], case)
        await unharmed(server, sink)
        _, most = server.memory()
        assert most - now < MEMORY
        note("hostile bodies", faults=len(all_cases), memory_mb=(most - now) >> 20)


def check(row: checker.Row, case: Case) -> None:
    """An execution ended as its case says, and read no file."""
    assert "root:" not in row.result + row.failure, case.name
    if case.kind:
        assert row.state == "failed", (case.name, row.result[:200])
        assert json.loads(row.failure)["kind"] == case.kind, (case.name, row.failure)
    else:
        assert row.state == "succeeded", (case.name, row.failure)
        assert all(each in row.result for each in case.says), (case.name, row.result[:200])


async def test_requests_that_are_no_http_are_refused_and_hurt_nobody(
    tmp_path: Path, sink: Sink, note: Note
):
    async with server_on(tmp_path / "store", sink.url) as server:
        url = server.urls["anything"]
        for name, request in WIRE:
            line = Line(url)
            await line.connect()
            answer = await line.raw(request(url[url.index("/hooks") :]))
            line.close()
            assert answer is not None, name
            assert 400 <= answer.status < 500, name
        await unharmed(server, sink)
        assert checker.executions(server.directory, "anything") == {}
        note("no HTTP", faults=len(WIRE))


async def test_a_control_that_trusts_bodies_is_noticed(tmp_path: Path, sink: Sink, note: Note):
    store = tmp_path / "store"
    cases = [
        Case("a path to a file", "naive_bodies", json.dumps(PATH).encode(), ("filepath",)),
        Case("100 MB in 100 KB", "naive_bodies", bomb(100 << 20), ("length",)),
    ]
    async with server_on(store, sink.url) as server:
        now, _ = server.memory()
        line = Line(server.urls["naive_bodies"])
        await line.connect()
        answers = [await line.post(case.body) for case in cases]
        line.close()
        await until(lambda: checker.live(store, "naive_bodies") == 0)
        rows = checker.executions(store, "naive_bodies")
        assert answers[0] is not None
        with pytest.raises(AssertionError, match="a path to a file"):
            check(rows[answers[0].execution], cases[0])
        _, most = server.memory()
        assert most - now > MEMORY
        note("hostile bodies, control", faults=2, memory_mb=(most - now) >> 20)


async def unharmed(server: ServerProcess, sink: Sink) -> None:
    """The same process still takes an event, and delivers it."""
    line = Line(server.urls["numbered"])
    await line.connect()
    answer = await line.post(b'{"n": 7}')
    line.close()
    assert answer is not None
    assert answer.status == 200
    await until(lambda: 7 in sink.deliveries)
    assert server.process.returncode is None
