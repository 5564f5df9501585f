"""Writes that are cancelled or lose their connection, and a close that comes to its end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote, urlsplit

import psycopg
import pytest
from structlog.testing import capture_logs

from halflap.engine.lifeline import Lifeline
from halflap.errors import StoreError
from halflap.model import Event, FlowKey, Start
from halflap.store.postgres import database as module
from halflap.store.postgres.connecting import Connection, connect
from halflap.store.postgres.database import PostgresDatabase
from halflap.store.postgres.doubt import FORGOTTEN
from halflap.store.postgres.pruning import PRUNE_WRITERS
from halflap.store.postgres.recording import LOCK
from halflap.store.retention import DAY
from halflap.store.store import Store
from halflap.store.vault import Vault
from tests.cluster import fresh_url, is_silent
from tests.faults.cluster import Wire, cluster
from tests.many import KEYS
from tests.polling import DEADLINE, until

FLOW = FlowKey("cus_1", "ins_1", "sync", "in", "f" * 64, 1)
VAULT = Vault.from_text(KEYS)


@pytest.fixture
async def wire() -> AsyncIterator[tuple[Wire, str, str]]:
    """A way to a database that may hold its answers: the wire, the URL past it and that through it."""
    async with cluster() as database:
        wire = Wire(database.port)
        await wire.listen()
        yield wire, database.url, database.url.replace(str(database.port), str(wire.port))
        await wire.close()


async def test_a_database_that_cannot_hold_every_text_is_refused_before_it_is_written_to() -> None:
    url = fresh_url()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE DATABASE ascii ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        )
        ascii_url = urlsplit(url)._replace(path="/ascii").geturl()
        with pytest.raises(StoreError, match=r"SQL_ASCII.*createdb --encoding UTF8"):
            await Store.open(ascii_url, vault=VAULT)
        with psycopg.connect(ascii_url) as made:
            tables = made.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
            assert tables.fetchone() == (0,)
        connection.execute("DROP DATABASE ascii")


async def test_what_is_live_is_read_along_its_index_however_empty_the_table_was() -> None:
    url = fresh_url()
    await (await Store.open(url, vault=VAULT)).close()
    prepared = f"PREPARE locked (text[]) AS {LOCK.replace('%s', '$1')}".encode()
    planned = "EXPLAIN EXECUTE locked ('{exe_1}')"

    async def prepare(connection: Connection) -> None:
        """Have a session make its plan anew, once."""
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        await connection.execute("DEALLOCATE ALL")
        await connection.execute(prepared, prepare=False)

    async def plan(connection: Connection) -> list[Any]:
        await prepare(connection)
        return await (await connection.execute(planned, prepare=False)).fetchall()

    database = await PostgresDatabase.open(url, connections=1)
    written = await database.write(plan, pipelined=False)
    await database.run(prepare)
    sought = await database.seek(planned)
    read = await database.run(plan)  # where the planner chooses: of all that is dead by then
    await database.close()
    for found, is_along in ((written, True), (sought, True), (read, False)):
        told = "\n".join(line for (line,) in found)
        assert ("executions_pkey" in told) == is_along, told
        assert ("Seq Scan" in told) != is_along, told


async def test_what_is_large_is_compressed_by_lz4_where_the_server_knows_it() -> None:
    url = fresh_url()

    async def method(settings: str) -> Any:
        """Return how a session compresses whose `pg_settings` is that of the schema `settings`."""
        path = quote(f"-csearch_path={settings},pg_catalog,public")
        async with await connect(f"{url}{'&' if '?' in url else '?'}options={path}") as connection:
            cursor = await connection.execute("SHOW default_toast_compression")
            return (await cursor.fetchone() or [""])[0]

    with psycopg.connect(url, autocommit=True) as connection:
        for name, methods in (("without", "{pglz}"), ("knows", "{pglz,lz4}")):
            connection.execute(f"CREATE SCHEMA {name}")
            connection.execute(
                f"CREATE VIEW {name}.pg_settings AS SELECT 'default_toast_compression' AS name,"
                f" '{methods}'::text[] AS enumvals"
            )
        shown = connection.execute(
            "SELECT 'lz4' = ANY(enumvals) FROM pg_settings WHERE name = 'default_toast_compression'"
        ).fetchone()
    assert await method("without") == "pglz"
    assert await method("public") == ("lz4" if shown == (True,) else "pglz")
    if shown == (True,):
        assert await method("knows") == "lz4"
    else:
        with pytest.raises(psycopg.Error, match="lz4"):
            await method("knows")


async def is_written(url: str) -> bool:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        row = await (await connection.execute("SELECT count(*) FROM marks")).fetchone()
        return row is not None and row[0] > 0


async def commits(url: str) -> int:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        row = await (await connection.execute("SELECT sum(number)::int FROM writers")).fetchone()
        return (row and row[0]) or 0


async def test_a_write_that_is_cancelled_as_it_is_committed_ends_as_cancelled(
    wire: tuple[Wire, str, str],
) -> None:
    way, url, slow = wire
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("CREATE TABLE marks (n int)")
    await (await Store.open(url, vault=VAULT)).close()
    database = await PostgresDatabase.open(slow)

    async def job(connection: Connection) -> None:
        await connection.execute("INSERT INTO marks VALUES (1)")

    for _ in range(2):  # the place of the first is used again: it knows how often it wrote
        way.hold(b"COMMIT")
        writing = asyncio.create_task(database.write(job))
        await until(lambda: is_written(url))
        assert not writing.done()
        writing.cancel()
        way.let_go()
        with pytest.raises(asyncio.CancelledError):
            await writing
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute("DELETE FROM marks")
    assert database.stats.commits == 2
    assert database.stats.doubts == 2
    await database.close()


async def test_a_connection_that_wrote_nothing_for_a_week_writes_when_it_is_needed() -> None:
    url, now = fresh_url(), [0]
    await (await Store.open(url, vault=VAULT)).close()
    database = await PostgresDatabase.open(url, clock=lambda: now[0])
    failures = list[BaseException]()
    database.on_failure = failures.append

    async def write_at_once(count: int) -> None:
        together = asyncio.Barrier(count)

        async def job(connection: Connection) -> None:
            await together.wait()

        await asyncio.gather(*(database.write(job) for _ in range(count)))

    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as other:
        await write_at_once(2)
        for _ in range(8):
            now[0] += DAY
            await write_at_once(1)
            await other.execute(PRUNE_WRITERS, (now[0] - FORGOTTEN,))
        await write_at_once(2)
        assert failures == []
        await other.execute("DELETE FROM writers")  # what is written at all times is not pruned
        with pytest.raises(StoreError, match="put back to an earlier state"):
            await write_at_once(1)
    assert [each for each in failures if "Start again" in str(each)] == failures != []
    await database.close()


async def test_a_role_whose_commit_is_under_way_ends_when_it_is_cancelled(
    wire: tuple[Wire, str, str],
) -> None:
    way, url, slow = wire
    store = await Store.open(slow, vault=VAULT)
    start = Start("exe_1", FLOW, Event("POST", "/", "", (), b"{}", 1), "exe_1")
    await store.journal.accept([start], claim=1, lease=0)  # it has lapsed, so is written
    before = await commits(url)
    way.hold(b"COMMIT")
    lifeline = Lifeline(store.journal, {}, lambda: None, lambda *_: None, lease=3)
    role = asyncio.create_task(lifeline.run())

    async def is_committed() -> bool:
        return await commits(url) > before

    await until(is_committed)
    role.cancel()
    way.let_go()
    async with asyncio.timeout(DEADLINE):
        await asyncio.wait([role])
    assert role.cancelled()
    await store.close()


async def test_a_closed_store_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    store = await Store.open(fresh_url(), vault=VAULT)
    fresh = set(threading.enumerate()) - before
    started = [each for each in fresh if each.name.startswith("halflap-store")]
    assert started
    await store.close()

    async def ended() -> bool:
        return not any(each.is_alive() for each in started)

    await until(ended)


async def test_a_transaction_that_the_database_ended_for_idling_is_run_again() -> None:
    url = fresh_url()
    await (await Store.open(url, vault=VAULT)).close()
    database = await PostgresDatabase.open(url)
    tries = 0

    async def job(connection: Connection) -> int:
        nonlocal tries
        tries += 1
        if tries == 1:
            await connection.execute("SET LOCAL idle_in_transaction_session_timeout = '20ms'")
            await until(lambda: not is_silent(connection))  # as a process that stands still
        await connection.execute("SELECT 1")
        return tries

    assert await database.write(job, pipelined=False) == 2
    await database.close()


async def test_a_server_that_takes_no_writes_is_a_store_that_failed() -> None:
    url = fresh_url()
    await (await Store.open(url, vault=VAULT)).close()
    database = await PostgresDatabase.open(url, connections=1)
    await database.run(lambda c: c.execute("SET default_transaction_read_only = on"))
    with pytest.raises(StoreError, match=r"read-only.*name the primary"):
        await database.write(lambda c: c.execute("SELECT 1"))
    await database.close()
    with pytest.raises(StoreError, match=r"read-only.*name the primary"):
        await connect(f"{url}{quote(' -cdefault_transaction_read_only=on')}")


@pytest.mark.usefixtures("unfiltered_logs")
@pytest.mark.parametrize("patience", [0.3, 3600.0], ids=["bounded", "control"])
async def test_a_close_does_not_wait_for_ever_for_what_is_under_way(
    monkeypatch: pytest.MonkeyPatch, patience: float
) -> None:
    monkeypatch.setattr(module, "CLOSE_SECONDS", patience)
    database = await PostgresDatabase.open(fresh_url())
    begun = asyncio.Event()

    async def job(connection: Connection) -> None:
        begun.set()
        await connection.execute("SELECT pg_sleep(25)")

    running = asyncio.create_task(database.run(job))
    await begun.wait()
    closing = asyncio.create_task(database.close())
    with capture_logs() as lines:
        ended, _ = await asyncio.wait([closing], timeout=20 if patience < 1 else 3)
    assert bool(ended) is (patience < 1)
    closing.cancel()
    await asyncio.wait([closing, running])
    assert running.exception() is not None
    assert [each["event"] for each in lines] == (
        ["the store is closed with work under way"] if ended else []
    )


async def test_a_connection_that_is_made_as_the_store_closes_is_closed_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CLOSE_SECONDS", 0.05)
    database = await PostgresDatabase.open(fresh_url())
    await database._discard(database._seats[-1])
    begun, go_on, made = asyncio.Event(), asyncio.Event(), list[Connection]()

    async def slowly(url: str) -> Connection:
        begun.set()
        await go_on.wait()
        made.append(await connect(url))
        return made[0]

    monkeypatch.setattr(module, "connect", slowly)
    running = asyncio.create_task(database.run(lambda c: c.execute("SELECT 1")))
    await begun.wait()
    await database.close()
    go_on.set()
    with pytest.raises(StoreError, match="is closed"):
        await running
    assert made[0].closed
