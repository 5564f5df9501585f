import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from halflap.errors import InDoubt, StoreError, StoreFull, StoreLocked
from halflap.store.sqlite import SqliteDatabase
from tests.polling import DEADLINE

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    database = await SqliteDatabase.open(tmp_path / "halflap.db")
    await database.write(create)
    yield database
    await database.close()


def create(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, body BLOB UNIQUE)")


def insert(number: int, body: bytes | None = None) -> Callable[[sqlite3.Connection], int]:
    def job(connection: sqlite3.Connection) -> int:
        sql = "INSERT INTO rows VALUES (?, ?) RETURNING id"
        return connection.execute(sql, (number, body)).fetchone()[0]

    return job


def ids(connection: sqlite3.Connection) -> list[int]:
    return [row[0] for row in connection.execute("SELECT id FROM rows ORDER BY id")]


class Gate:
    """Holds the writer inside a job, so that what is posted meanwhile gathers into one batch."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._entered, self._opened = threading.Event(), threading.Event()
        self._future = database.post(self._hold)

    def _hold(self, connection: sqlite3.Connection) -> None:
        self._entered.set()
        assert self._opened.wait(DEADLINE)

    async def __aenter__(self) -> None:
        assert await asyncio.to_thread(self._entered.wait, DEADLINE)

    async def __aexit__(self, *exception: object) -> None:
        self._opened.set()
        await self._future


# -- shared commits ---------------------------------------------------------------------------


async def test_jobs_that_gather_share_a_commit_and_each_gets_its_result(database: SqliteDatabase):
    before = database.stats.commits
    async with Gate(database):
        futures = [database.post(insert(number)) for number in range(1200)]
    assert await asyncio.gather(*futures) == list(range(1200))
    assert database.stats.commits - before == 1 + 3
    assert database.stats.largest_batch == 500
    assert database.stats.jobs == 1 + 1 + 1200
    assert await database.read(ids) == list(range(1200))


async def test_jobs_run_in_the_order_they_were_posted(database: SqliteDatabase):
    order: list[int] = []
    async with Gate(database):
        futures = [database.post(lambda _, n=n: order.append(n)) for n in range(700)]
    await asyncio.gather(*futures)
    assert order == list(range(700))


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt("mine"), StopIteration(3)])
async def test_a_job_that_raises_gets_its_own_error_and_none_of_its_rows(
    database: SqliteDatabase, error: BaseException
):
    def bad(connection: sqlite3.Connection) -> None:
        insert(1)(connection)
        raise error

    async with Gate(database):
        wrong, right = database.post(bad), database.post(insert(2))
    await asyncio.wait([wrong, right])
    raised = wrong.exception()
    assert raised is error or (
        isinstance(error, StopIteration) and "StopIteration(3)" in str(raised)
    )
    assert right.result() == 2
    assert await database.read(ids) == [2]


async def test_a_deferred_constraint_broken_at_commit_hurts_only_its_job(database: SqliteDatabase):
    await database.write(
        lambda connection: connection.execute(
            "CREATE TABLE parts (row REFERENCES rows (id) DEFERRABLE INITIALLY DEFERRED)"
        ).fetchall()
    )
    async with Gate(database):
        orphan = database.post(lambda c: c.execute("INSERT INTO parts VALUES (9)").fetchall())
        right = database.post(insert(1))
    with pytest.raises(sqlite3.IntegrityError):
        await orphan
    assert await right == 1
    assert database.failed is None


async def test_a_cancelled_caller_does_not_break_the_batch(database: SqliteDatabase):
    async with Gate(database):
        first, second, third = (database.post(insert(number)) for number in range(3))
        second.cancel()
    assert await asyncio.gather(first, third) == [0, 2]
    assert set(await database.read(ids)) >= {0, 2}


async def test_a_job_that_commits_by_itself_puts_the_store_in_doubt(database: SqliteDatabase):
    reported: list[BaseException] = []
    database.on_failure = reported.append
    async with Gate(database):
        culprit = database.post(lambda connection: connection.execute("COMMIT").fetchall())
        other = database.post(insert(1))
    for future in (culprit, other, database.post(insert(2))):
        with pytest.raises(InDoubt, match="a job ended its transaction"):
            await future
    assert reported == [database.failed]


async def test_a_job_alone_runs_outside_a_transaction_between_two_batches(database: SqliteDatabase):
    async with Gate(database):
        before = database.post(insert(1))
        alone = asyncio.ensure_future(
            database.alone(lambda connection: (connection.in_transaction, ids(connection)))
        )
        await asyncio.sleep(0)
        after = database.post(insert(2))
    assert await alone == (False, [1])
    assert (await before, await after) == (1, 2)
    await database.alone(lambda connection: connection.execute("VACUUM").fetchall())


async def test_another_program_that_writes_is_waited_for(database: SqliteDatabase):
    other = sqlite3.connect(database.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    future = database.post(insert(1))
    await database.read(ids)
    other.execute("COMMIT")
    other.close()
    assert await future == 1


# -- reading ----------------------------------------------------------------------------------


async def test_a_reader_sees_only_what_is_committed(database: SqliteDatabase):
    inserted, go_on = threading.Event(), threading.Event()

    def slow(connection: sqlite3.Connection) -> None:
        insert(1)(connection)
        inserted.set()
        assert go_on.wait(DEADLINE)

    future = database.post(slow)
    assert await asyncio.to_thread(inserted.wait, DEADLINE)
    assert await database.read(ids) == []
    go_on.set()
    await future
    assert await database.read(ids) == [1]


async def test_a_read_sees_one_moment(database: SqliteDatabase):
    started, go_on = threading.Event(), threading.Event()

    def twice(connection: sqlite3.Connection) -> tuple[list[int], list[int]]:
        first = ids(connection)
        started.set()
        assert go_on.wait(DEADLINE)
        return first, ids(connection)

    reading = asyncio.ensure_future(database.read(twice))
    assert await asyncio.to_thread(started.wait, DEADLINE)
    await database.write(insert(1))
    go_on.set()
    assert await reading == ([], [])
    assert await database.read(ids) == [1]


async def test_a_reader_cannot_write(database: SqliteDatabase):
    with pytest.raises(StoreError, match="instead of read"):
        await database.read(insert(1))
    assert await database.read(ids) == []


async def test_a_store_in_memory_reads_what_it_wrote():
    database = SqliteDatabase.in_memory(clock=lambda: 7)
    await database.write(create)
    await database.write(insert(3))
    assert await database.read(ids) == [3]
    assert database.clock() == 7
    await database.close()


async def test_a_store_in_memory_starts_no_thread_and_shares_commits():
    before = set(threading.enumerate())
    database = SqliteDatabase.in_memory()
    await database.write(create)
    futures = [database.post(insert(number)) for number in (1, 2, 2, 3)]
    results = await asyncio.gather(*futures, return_exceptions=True)
    assert [isinstance(each, Exception) for each in results] == [False, False, True, False]
    commits = database.stats.commits
    await asyncio.gather(*[database.write(insert(number)) for number in range(10, 20)])
    assert (database.stats.commits - commits, database.stats.largest_batch) == (1, 10)
    assert set(threading.enumerate()) <= before
    posted = database.post(insert(20))
    await database.close()
    assert posted.done()
    with pytest.raises(StoreError, match="the store is closed"):
        await database.read(ids)
    await database.close()


async def test_a_store_in_memory_is_a_copy_of_its_template():
    template = sqlite3.connect(":memory:", isolation_level=None)
    create(template)
    copies = [SqliteDatabase.in_memory(template=template) for _ in range(2)]
    await copies[0].write(insert(1))
    assert [await each.read(ids) for each in copies] == [[1], []]
    for each in copies:
        await each.close()


# -- opening and closing ----------------------------------------------------------------------


async def test_closing_commits_what_was_posted_and_leaves_one_file(database: SqliteDatabase):
    futures = [database.post(insert(number)) for number in range(600)]
    await database.close()
    assert [future.result() for future in futures] == list(range(600))
    names = {path.name for path in database.path.parent.iterdir()}
    assert names == {"halflap.db", "halflap.lock"}
    for use in (database.write, database.read):
        with pytest.raises(StoreError, match="the store is closed"):
            await use(ids)
    await database.close()
    again = await SqliteDatabase.open(database.path)
    assert await again.read(ids) == list(range(600))
    await again.close()


async def test_the_store_is_opened_for_safety(database: SqliteDatabase):
    def pragma(name: str) -> Callable[[sqlite3.Connection], object]:
        return lambda connection: connection.execute(f"PRAGMA {name}").fetchone()[0]

    wanted = {"synchronous": 2, "foreign_keys": 1, "cell_size_check": 1, "mmap_size": 0}
    assert {name: await database.alone(pragma(name)) for name in wanted} == wanted
    assert await database.read(pragma("journal_mode")) == "wal"
    assert await database.read(pragma("query_only")) == 1
    assert stat.S_IMODE(database.path.stat().st_mode) == 0o600


async def test_a_missing_directory_is_named(tmp_path: Path):
    with pytest.raises(StoreError, match=r"nowhere.*name a directory that exists"):
        await SqliteDatabase.open(tmp_path / "nowhere" / "halflap.db")


async def test_a_file_that_is_no_store_is_named_and_left_alone(tmp_path: Path):
    path = tmp_path / "halflap.db"
    path.write_bytes(b"not a database, but somebody's only copy of something" * 100)
    before = path.read_bytes()
    with pytest.raises(StoreError, match=rf"{path}: .*restore the file from a backup.*\.recover"):
        await SqliteDatabase.open(path)
    assert path.read_bytes() == before


async def test_a_corrupt_page_is_an_error_that_says_what_to_do(tmp_path: Path):
    path = tmp_path / "halflap.db"
    database = await SqliteDatabase.open(path)
    await database.write(create)
    await asyncio.gather(*(database.write(insert(n, b"%5d" % n * 100)) for n in range(100)))
    await database.close()
    with path.open("r+b") as file:
        file.seek(2 * 4096)
        file.write(b"\xff" * (path.stat().st_size - 2 * 4096))
    database = await SqliteDatabase.open(path)
    for use in (database.read, database.write):
        with pytest.raises(StoreError, match=rf"{path}: .*restore the file from a backup"):
            await use(lambda c: c.execute("SELECT count(body) FROM rows").fetchall())
    await database.close()


async def test_an_open_store_is_locked_within_its_process_too(database: SqliteDatabase):
    with pytest.raises(StoreLocked, match=f"process {os.getpid()} has this store open"):
        await SqliteDatabase.open(database.path)
    link = database.path.with_name("link.db")
    link.symlink_to(database.path)
    with pytest.raises(StoreLocked):
        await SqliteDatabase.open(link)


# -- other processes --------------------------------------------------------------------------

HEAD = """
import asyncio, os, sqlite3, sys
from pathlib import Path
from halflap.errors import InDoubt, StoreError
from halflap.store.sqlite import SqliteDatabase

PATH = Path(sys.argv[1])
TABLE = "CREATE TABLE IF NOT EXISTS rows (id INTEGER PRIMARY KEY)"

def tell(word):
    os.write(1, f"{word}\\n".encode())
"""

HOLDER = (
    HEAD
    + """
async def main():
    database = await SqliteDatabase.open(PATH)
    tell("open")
    os.read(0, 1)

asyncio.run(main())
"""
)

UNCLOSED = (
    HEAD
    + """
async def main():
    database = await SqliteDatabase.open(PATH)
    for _ in range(200):
        database.post(lambda c: c.execute(TABLE).fetchall())

asyncio.run(main())
"""
)


def start(script: str, *arguments: object, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*before, sys.executable, "-c", script, *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill(process: subprocess.Popen[str]) -> str:
    process.kill()
    rest, _ = process.communicate(timeout=DEADLINE)
    return rest


async def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path: Path):
    path = tmp_path / "halflap.db"
    holder = start(HOLDER, path)
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(StoreLocked, match=f"{path}: process {holder.pid} has this store open"):
            await SqliteDatabase.open(path)
    finally:
        kill(holder)
    database = await SqliteDatabase.open(path)
    assert (tmp_path / "halflap.lock").read_text() == str(os.getpid())
    await database.close()


def test_a_loop_that_ended_without_closing_the_store_disturbs_nobody(tmp_path: Path):
    process = start(UNCLOSED, tmp_path / "halflap.db")
    assert process.communicate(timeout=DEADLINE) == ("", "")
    assert process.returncode == 0


# -- a full disk ------------------------------------------------------------------------------


async def fill(database: SqliteDatabase, size: int, count: int) -> tuple[set[int], set[int]]:
    """Write `count` rows of `size` bytes at once: the ids that were stored, and those refused."""
    async with Gate(database):
        futures = [database.post(insert(n, n.to_bytes(4) * (size // 4))) for n in range(count)]
    results = await asyncio.gather(*futures, return_exceptions=True)
    full = {number for number, result in enumerate(results) if isinstance(result, StoreFull)}
    written = {result for result in results if isinstance(result, int)}
    assert written | full == set(range(count)), results
    return written, full


async def test_a_full_store_refuses_what_does_not_fit_and_recovers(database: SqliteDatabase):
    await database.alone(lambda c: c.execute("PRAGMA max_page_count = 60").fetchall())
    written, full = await fill(database, 20_000, 30)
    assert written
    assert full
    assert set(await database.read(ids)) == written
    with pytest.raises(StoreFull, match="no room left"):
        await database.write(insert(100, b"x" * 20_000))
    assert database.failed is None
    await database.alone(lambda c: c.execute("PRAGMA max_page_count = 4294967294").fetchall())
    assert await database.write(insert(100, b"x" * 20_000)) == 100


async def test_a_small_row_still_fits_where_a_large_one_does_not(database: SqliteDatabase):
    await database.alone(lambda c: c.execute("PRAGMA max_page_count = 20").fetchall())
    async with Gate(database):
        large, small = database.post(insert(1, bytes(200_000))), database.post(insert(2, b"x"))
    with pytest.raises(StoreFull):
        await large
    assert await small == 2
