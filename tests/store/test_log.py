"""The log of a store's file: laid out ahead, moved beside the writer, kept where that fails."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from halflap.store import _log
from halflap.store.sqlite import SqliteDatabase
from tests.polling import DEADLINE
from tests.zygote import PYTHON

ROOT = Path(__file__).parents[2]


def create(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, body BLOB)")


async def write(database: SqliteDatabase, count: int, *, at_once: int = 50) -> None:
    def insert(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO rows (body) VALUES (zeroblob(1000))")

    for _ in range(0, count, at_once):
        await asyncio.gather(*(database.post(insert) for _ in range(at_once)))


def log_of(database: SqliteDatabase) -> Path:
    return database.path.with_name("halflap.db-wal")


def rows_in(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT count(*) FROM rows").fetchone()[0]
    finally:
        connection.close()


def copied(database: SqliteDatabase, to: Path, names: Sequence[str]) -> Path:
    """A copy of the file, with or without its log, as a crash would leave it."""
    to.mkdir()
    for name in names:
        shutil.copy(database.path.with_name(name), to / name)
    return to / "halflap.db"


async def test_the_log_is_laid_out_once_and_what_is_in_it_survives_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(_log, "LENGTH", 2 << 20)
    monkeypatch.setattr(_log, "ROOM", 0)
    database = await SqliteDatabase.open(tmp_path / "halflap.db")
    await database.write(create)
    await write(database, 50)
    assert log_of(database).stat().st_size < len(_log.PIECE)
    await write(database, 150, at_once=10)
    laid_out = log_of(database).stat().st_size
    assert 2 << 20 <= laid_out < (2 << 20) + len(_log.PIECE)
    await write(database, 200, at_once=10)
    assert log_of(database).stat().st_size == laid_out
    crashed = copied(database, tmp_path / "crashed", ("halflap.db", "halflap.db-wal"))
    assert rows_in(crashed) == 400
    await database.close()
    assert not log_of(database).exists()
    assert rows_in(database.path) == 400


async def test_a_disk_with_little_room_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(_log, "ROOM", 1 << 62)
    database = await SqliteDatabase.open(tmp_path / "halflap.db")
    await database.write(create)
    await write(database, 300, at_once=100)
    assert log_of(database).stat().st_size < 2 << 20
    await database.close()


async def test_another_thread_moves_the_log_and_it_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(_log, "LENGTH", 0)
    database = await SqliteDatabase.open(tmp_path / "halflap.db")
    await database.write(create)
    await write(database, _log.FIRST)
    deadline = time.monotonic() + DEADLINE
    while database.path.stat().st_size < 1_000 * _log.FIRST:  # nobody writes meanwhile
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    longest = 0
    while (length := log_of(database).stat().st_size) > longest:
        assert time.monotonic() < deadline
        longest = length
        await write(database, 50)
    written = database.stats.jobs - 1
    await database.alone(lambda c: c.execute("VACUUM").fetchall())
    await database.close()
    assert rows_in(database.path) == written


FAILING = """
import asyncio, errno, shutil, sqlite3, sys
from pathlib import Path
from halflap.errors import InDoubt
from halflap.store import _log
from halflap.store.sqlite import SqliteDatabase
from tests.store.test_log import create, write

async def main(folder):
    database = await SqliteDatabase.open(folder / "halflap.db")
    await database.write(create)
    await database.alone(lambda c: c.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
    shutil.copy(folder / "halflap.db", folder / "before")

    def fail(file):
        raise OSError(errno.EIO, "the disk failed")

    if "fails" in sys.argv:
        _log._to_disk = fail
    # SQLite syncs by itself what is the whole log; with a reader in it, only a part can be moved.
    await write(database, 500)
    reader = sqlite3.connect(folder / "halflap.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM rows").fetchone()
    told = 500
    try:
        while told < 3 * _log.FIRST:
            await write(database, 50)
            told += 50
            print(told, flush=True)
    except InDoubt:
        print("in doubt", flush=True)
    reader.close()
    await database.close()

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.parametrize("fails", [True, False], ids=["fails", "control"])
def test_a_log_whose_move_did_not_reach_the_disk_outlives_the_process(tmp_path: Path, fails: bool):
    done = subprocess.run(
        [PYTHON, "-c", FAILING, str(tmp_path), *(["fails"] if fails else [])],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *told, last = done.stdout.splitlines()
    assert (last == "in doubt") == fails
    # What was copied into the file is lost, as that disk may lose it.
    shutil.copy(tmp_path / "before", tmp_path / "halflap.db")
    assert (tmp_path / "halflap.db-wal").exists() == fails
    found = rows_in(tmp_path / "halflap.db")
    assert (found >= int(told[-1])) == fails
