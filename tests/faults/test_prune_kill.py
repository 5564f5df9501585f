"""A pruner is killed at any moment: no part outlives its row, and none goes before its time."""

from __future__ import annotations

import asyncio
import random
import signal
from pathlib import Path

import pytest

from halflap.model import Event, FlowKey, LogLine, Micros, Outcome, Record, Start, new_id
from halflap.store.job import JobTransaction
from halflap.store.protocol import Claim
from halflap.store.retention import DAY
from halflap.store.store import Store
from halflap.store.vault import Vault
from tests.cluster import fresh_url
from tests.faults.pruning import KEYS, opened
from tests.polling import DEADLINE
from tests.zygote import PYTHON

NOW: Micros = 20_700 * DAY + DAY // 2
LEASE = 600_000_000
ALL = {"row", "event", "steps", "values", "logs", "fields"}
PAYLOAD = {"event", "values", "fields"}
DONE = Outcome("succeeded")
COUNT = 12
MOST_KILLS = 7

# What is filled in: when it ended, in which instance, and what has to be left at last.
OLD, AGED, OWNED, FRESH = (30, "ins_1"), (8, "ins_1"), (8, "ins_own"), (2, "ins_1")
LEFT = {OLD: set[str](), AGED: ALL - PAYLOAD, OWNED: set[str](), FRESH: ALL}
MAY_GO = {OLD: ALL, AGED: PAYLOAD, OWNED: ALL, FRESH: set[str]()}


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "store") if request.param == "sqlite" else fresh_url()


async def begun(store: Store, instance: str, at: Micros) -> Claim:
    id = new_id("exe", now=at)
    flow = FlowKey("cus_1", instance, "shop", "orders", "v1", 1)
    start = Start(id, flow, Event("POST", "/", "", (), b"{}", at), id)
    (accepted,) = await store.journal.accept([start], claim=1, lease=LEASE)
    assert accepted.claim is not None
    return accepted.claim


async def fill(place: str) -> dict[str, set[str]]:
    """Executions of all kinds; by id, what of each may be removed."""
    may_go: dict[str, set[str]] = {}
    clock = [NOW]
    where = place if "://" in place else Path(place)
    store = await Store.open(where, clock=lambda: clock[0], vault=Vault.from_text(KEYS))
    step = Record(1, "s1", "action", "do", "", "succeeded", 1, 2, b"1", b"2")
    for kind, gone in MAY_GO.items():
        days, instance = kind
        clock[0] = NOW - days * DAY
        for _ in range(COUNT):
            claim = await begun(store, instance, clock[0])
            await store.journal.end(claim.lease, [step], [LogLine(1, "info", "x", b"{}")], DONE)
            may_go[claim.start.execution] = gone
    clock[0] = NOW - 40 * DAY
    letter, live = [await begun(store, "ins_own", clock[0]) for _ in range(2)]
    lines = [LogLine(1, "info", "x", b"{}")]
    await store.journal.end(letter.lease, [step], lines, Outcome("failed", "boom"))
    await store.journal.commit(live.lease, [step], lines)
    may_go |= {letter.start.execution: set(), live.start.execution: set()}
    await store.close()
    return may_go


async def there(store: Store, execution: str) -> set[str]:
    journal = store.journal
    steps, lines = await journal.steps(execution), await journal.logs(execution)
    found = {
        "row": await journal.execution(execution),
        "event": await journal.event(execution),
        "steps": steps,
        "values": [each for each in steps if each.inputs and each.result],
        "logs": lines,
        "fields": [line for _, line in lines if line.fields],
    }
    return {part for part, what in found.items() if what}


async def faults(place: str, may_go: dict[str, set[str]], *, at_last: bool) -> list[str]:
    """Return what is wrong in a store that a pruner was at."""
    store = await opened(place, NOW)
    wrong: list[str] = []
    for execution, gone in may_go.items():
        found = await there(store, execution)
        if found and "row" not in found:
            wrong.append(f"{execution} has {found} and no row")
        if found & PAYLOAD and not found >= PAYLOAD:
            wrong.append(f"{execution} has only {found} of its payload")
        if missing := ALL - found - gone:
            wrong.append(f"{execution} lost {missing}")
        if at_last and found & gone:
            wrong.append(f"{execution} still has {found & gone}")
    rows = "SELECT number FROM executions"
    tables = ("events", "steps", "logs")
    if store.hints is not None:
        rows = "SELECT id FROM executions UNION SELECT id FROM letters"
        tables = (*tables, "attempts")

    def orphans(connection: JobTransaction) -> int:
        count = "SELECT count(*) FROM {} WHERE execution NOT IN ({})"
        found = [connection.execute(count.format(each, rows)).fetchone() for each in tables]
        return sum(row[0] for row in found)

    if count := await store.database.read(orphans):
        wrong.append(f"{count} parts have no row")
    await store.close()
    return wrong


async def killed(place: str, after: float | None, *flags: str) -> bool:
    """Let a pruner run, for so long after it began; returns whether it was done."""
    process = await asyncio.create_subprocess_exec(
        PYTHON, "-m", "tests.faults.pruning", place, str(NOW), *flags,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(DEADLINE):
        assert await process.stdout.readline() == b"begins\n"
        try:
            async with asyncio.timeout(after):
                return await process.stdout.readline() == b"done\n"
        except TimeoutError:
            return False
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
            await process.wait()


async def test_a_pruner_that_is_killed_leaves_nothing_half_done(place: str) -> None:
    may_go = await fill(place)
    chance = random.Random(4711)
    for _ in range(MOST_KILLS):
        done = await killed(place, chance.uniform(0.0, 0.02))
        assert await faults(place, may_go, at_last=False) == []
        if done:
            break
    else:
        assert await killed(place, None)
    assert await faults(place, may_go, at_last=True) == []


async def test_one_that_removes_in_two_transactions_is_found_out(place: str) -> None:
    may_go = await fill(place)
    assert not await killed(place, None, "--apart")  # as soon as it is between the two
    assert await faults(place, may_go, at_last=False) != []
