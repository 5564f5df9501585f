"""A process that prunes until it is killed, or nothing is left to remove.

--apart makes the control: it removes executions and what is left of them in two transactions.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from halflap.model import Micros, Retention
from halflap.store.job import JobTransaction
from halflap.store.retention import RetentionRules
from halflap.store.store import Store
from halflap.store.vault import Vault

KEYS = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
RULES = RetentionRules(Retention(20, 5), {"ins_own": Retention(execution=3)})
AT_ONCE = 3
APART_SECONDS = 600.0
"""It is killed meanwhile."""


async def opened(place: str, now: Micros) -> Store:
    """The store in a directory, or at a URL, at a time."""
    where = place if "://" in place else Path(place)
    return await Store.open(where, clock=lambda: now, vault=Vault.from_text(KEYS))


async def prune_apart(store: Store, before: Micros) -> bool:
    """Remove old executions; then, later, what is left of them.

    In PostgreSQL, that is one row: there, an event goes, and its steps' values would later.
    """
    ended = (before,)

    def remove(connection: JobTransaction) -> list[tuple[int]]:
        if store.hints is not None:
            connection.execute("UPDATE history SET body = NULL WHERE ended_at >= ?", ended)
            return []
        found = connection.execute(
            f"SELECT number FROM executions WHERE ended_at < ? LIMIT {AT_ONCE}", ended
        )
        gone = [(row[0],) for row in found.fetchall()]
        connection.executemany("DELETE FROM executions WHERE number = ?", gone)
        return gone

    gone = await store.database.write(remove)
    print("between", flush=True)
    await asyncio.sleep(APART_SECONDS)

    def tidy(connection: JobTransaction) -> None:
        for table in ("events", "steps", "logs"):
            connection.executemany(f"DELETE FROM {table} WHERE execution = ?", gone)

    await store.database.write(tidy)
    return bool(gone)


async def main(place: str, now: Micros, apart: bool) -> None:
    """Say that it begins, prune, and say that it is done."""
    store = await opened(place, now)
    print("begins", flush=True)
    more = True
    while more:
        if apart:
            more = await prune_apart(store, now - 25 * 86_400_000_000)
        else:
            more = await store.journal.prune(RULES, AT_ONCE)
    print("done", flush=True)
    await store.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("place")
    parser.add_argument("now", type=int)
    parser.add_argument("--apart", action="store_true")
    given = parser.parse_args()
    asyncio.run(main(given.place, given.now, given.apart))
