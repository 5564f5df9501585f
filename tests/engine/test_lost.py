"""An execution whose event is lost from the blob store fails, and nothing else does."""

import asyncio
from pathlib import Path

from halflap.engine.journal import JournalEngine
from halflap.engine.protocol import Ended, Turn, Verdict
from halflap.model import Event, FlowKey, Outcome, Start, new_id
from halflap.store.store import Store
from tests.polling import DEADLINE


def start(body: bytes) -> Start:
    id = new_id("exe")
    event = Event("POST", "", "", (), body, 12)
    return Start(id, FlowKey("cus_a", "ins_a", "shop", "orders", "v1", 1), event, id)


async def test_a_lost_event_fails_its_execution_and_the_engine_goes_on(tmp_path: Path):
    store = await Store.open(tmp_path)
    hurt, fine = start(b"x" * 100_000), start(b"{}")
    await store.journal.accept([hurt, fine], claim=0, lease=1)
    [file] = [each for each in (tmp_path / "blobs").rglob("*") if each.is_file()]
    file.unlink()
    handed: list[str] = []

    async def handler(turn: Turn) -> Verdict:
        handed.append(turn.start.execution)
        return Ended(Outcome("succeeded"))

    engine = JournalEngine(store.journal, clock=store.clock)
    running = asyncio.create_task(engine.run(handler))

    lost = await engine.outcome(hurt.execution, DEADLINE)
    other = await engine.outcome(fine.execution, DEADLINE)

    await engine.stop(1)
    await running
    assert lost is not None
    assert other is not None
    assert (lost.state, other.state, handed) == ("failed", "succeeded", [fine.execution])
    assert lost.failure is not None
    assert lost.failure.kind == "BlobLost"
    assert f"the event of {hurt.execution} is not in the blob store" in lost.reason
    await store.close()
