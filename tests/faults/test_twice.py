"""The same delivery many times at once: one execution, and everybody is told which."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.conftest import Note
from tests.faults import checker
from tests.faults.conftest import Store
from tests.faults.process import server_on
from tests.faults.senders import Answer, Line
from tests.faults.sink import Sink
from tests.polling import until

TIMES = 100


async def post_at_once(url: str) -> list[Answer]:
    """Send one delivery on many connections at the same moment."""
    lines = [Line(url) for _ in range(TIMES)]
    await asyncio.gather(*(line.connect() for line in lines))
    headers = {"x-delivery-id": "d-1"}
    answers = await asyncio.gather(*(line.post(b'{"n": 1}', headers) for line in lines))
    for line in lines:
        line.close()
    return [answer for answer in answers if answer is not None]


async def test_a_delivery_that_comes_a_hundred_times_at_once_is_one_execution(
    tmp_path: Path, store: Store, sink: Sink, note: Note
):
    async with server_on(tmp_path / "store", sink.url, store=store.url) as server:
        place = server.place
        answers = await post_at_once(server.urls["once"])
        assert [answer.status for answer in answers] == [200] * TIMES
        assert len({answer.execution for answer in answers}) == 1
        await server.kill()
        await server.start()
        again = await post_at_once(server.urls["once"])
        assert {answer.execution for answer in again} == {answers[0].execution}
        await until(lambda: checker.live(place, "once") == 0)
        assert [*checker.executions(place, "once")] == [answers[0].execution]
        assert sink.keys_changed == 0

        # The control: a flow that names no delivery id takes each of them.
        control = await post_at_once(server.urls["numbered"])
        assert len({answer.execution for answer in control}) == TIMES
        await until(lambda: checker.live(place) == 0)
        assert len(checker.executions(place)) == TIMES
        note(f"same delivery{store.name}", faults=2 * TIMES, executions=1)
        note(f"same delivery{store.name}, control", faults=TIMES, executions=TIMES)
