"""Moving a store from its file to PostgreSQL: all of it, in one transaction, or nothing.

The file is taken out of service before anything is copied (`halflap.db.moving`) and keeps a name
under which no server opens it (`halflap.db.moved`): a store that is served in two places would do
everything twice. A move that was ended anywhere is gone on with by moving again.

Tables of the same name are copied row by row, whatever their columns are; a column that PostgreSQL
lacks is an error. Executions go where they live there: what has not ended to the live tables, the
rest into `letters`, or into `history`, in the slots that they would be in.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import anyio.to_thread
import msgspec
import psycopg

from halflap.errors import ConfigError, InDoubt, StoreError
from halflap.model import LIVE, LogLine
from halflap.store import canary, reading
from halflap.store._file import Lock
from halflap.store.once import sync_names
from halflap.store.postgres import ordering, rows
from halflap.store.postgres.connecting import connect_blocking
from halflap.store.postgres.explain import explain, where
from halflap.store.postgres.guard import copyable, forced
from halflap.store.postgres.partitions import ATTACH, CREATE, NAMES
from halflap.store.postgres.slots import BARE, OF_A_DAY, SlotPartition
from halflap.store.retention import DAY
from halflap.store.store import FILE, MOVED, MOVING, Store
from halflap.store.vault import Vault

Progress = Callable[[int, int], object]
"""Told of executions that were copied, and of how many there are."""

AT_ONCE = 1_000
WITH_EXECUTIONS = ("executions", "events", "steps", "logs", "attempts")
OWN_WAY = frozenset({*WITH_EXECUTIONS, "orders"})
"""Tables that are not copied as they are."""
LEFT_OUT = frozenset({"migrations", "sqlite_sequence"})
NOT_KEPT = frozenset({"number", "lane", "dismissed", "removed"})
"""Columns of the executions that are not copied: PostgreSQL names its rows by their ids, generates the
lane, and has other tables for the dismissed and partitions for the removed.
"""
SLOT = f"ended_at / {DAY} * {OF_A_DAY} + removed * {BARE}"
SLOTS = f"""
SELECT DISTINCT {SLOT} FROM executions
WHERE ended_at IS NOT NULL AND (state <> 'failed' OR dismissed)
"""
MARK = "moved_from"
COLUMNS = """
SELECT column_name, data_type, is_identity = 'YES' FROM information_schema.columns
WHERE table_schema = current_schema() AND table_name = %s ORDER BY ordinal_position
"""


@dataclass(frozen=True, slots=True)
class Moved:
    """The result of a move: the number of rows of each table. `again` says that an earlier move had
    done it.
    """

    where: str
    file: Path
    rows: dict[str, int]
    again: bool = False


async def move(directory: Path, url: str, vault: Vault | None, progress: Progress) -> Moved:
    """Move the store of a directory to an empty database; no server may have it open.

    Without a `vault`, the keys are those of the directory's `halflap.key`. Raises `StoreLocked`
    while a server runs on the directory, `StoreError` where either store cannot be opened or the
    database has another store; then the file is as it was.
    """
    moving, moved = directory / MOVING, directory / MOVED
    if not (directory / FILE).exists() and not moving.exists():
        told = f"it was moved already, and is kept as {moved.name}" if moved.exists() else "none"
        raise StoreError(f"{directory}: there is no store to move ({told}).")
    if not moving.exists():
        vault = await _settle(directory, vault)
    vault = vault or Vault.from_file(directory / "halflap.key")
    target = await Store.open(url, vault=vault)  # makes the tables, and compares the keys
    await target.close()
    return await anyio.to_thread.run_sync(_move, directory, url, progress)


async def _settle(directory: Path, vault: Vault | None) -> Vault:
    """Leave nothing running in the file, and everything in it rather than in its log."""
    store = await Store.open(directory, vault=vault)
    try:
        await store.journal.void()
    finally:
        await store.close()
    return store.vault


def _move(directory: Path, url: str, progress: Progress) -> Moved:
    file, moving, moved = (directory / each for each in (FILE, MOVING, MOVED))
    lock = Lock(file)
    try:
        if not moving.exists():
            log = file.with_name(f"{FILE}-wal")
            if log.exists() and log.stat().st_size:
                raise StoreError(f"{log}: another process writes to this store; stop it first.")
            _rename(file, moving)
        try:
            found = _copy(moving, moved, url, progress)
        except InDoubt:
            raise  # it may be there: the file must not be served again before that is known
        except BaseException:
            _rename(moving, file)
            raise
        _rename(moving, moved)
        return found
    finally:
        lock.release()


def _rename(old: Path, new: Path) -> None:
    old.rename(new)
    sync_names(new.parent)


def _copy(path: Path, moved: Path, url: str, progress: Progress) -> Moved:
    source = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    try:
        source.execute("PRAGMA query_only = ON")
        identity = _identity(source)
        with connect_blocking(url) as target:
            target.autocommit = False
            target.execute("LOCK TABLE settings, customers, versions, executions IN EXCLUSIVE MODE")
            if _is_moved(target, identity):
                return Moved(where(url), moved, {}, again=True)
            _refuse_unless_empty(target, url)
            with copyable(target):
                copied = dict(_Copying(source, target, progress).tables())
            target.execute("INSERT INTO settings VALUES (%s, %s)", (MARK, identity))
            _commit(target, url)
        return Moved(where(url), moved, copied)
    except psycopg.Error as error:
        raise explain(error, where(url)) from error
    except sqlite3.Error as error:
        raise StoreError(f"{path}: it cannot be read ({error}); nothing was moved.") from error
    finally:
        source.close()


def _commit(target: psycopg.Connection[Any], url: str) -> None:
    try:
        target.commit()
    except psycopg.OperationalError as error:
        raise InDoubt(
            f"{where(url)}: the connection was lost as all was being committed ({error}); "
            "run `halflap store move` again: it finds out."
        ) from error


def _identity(source: sqlite3.Connection) -> str:
    """Return the identity of a file's content: its canary, and the last of its executions."""
    last = source.execute("SELECT count(*), max(id) FROM executions").fetchone()
    return hashlib.sha256(repr((canary.find(source), last)).encode()).hexdigest()


def _is_moved(target: psycopg.Connection[Any], identity: str) -> bool:
    row = target.execute("SELECT value FROM settings WHERE name = %s", (MARK,)).fetchone()
    return row is not None and row[0] == identity


def _refuse_unless_empty(target: psycopg.Connection[Any], url: str) -> None:
    for table in ("customers", "versions", "connections", "executions", "letters", "history"):
        found = target.execute(f"TABLE {table} LIMIT 1".encode()).fetchone()
        if found is not None:
            raise StoreError(
                f"{where(url)}: there is a store already (its {table} are not empty); "
                "name an empty database, or another schema (?options=-csearch_path%3Dname)."
            )


class _Copying:
    """Copies one store into the other."""

    def __init__(
        self, source: sqlite3.Connection, target: psycopg.Connection[Any], progress: Progress
    ) -> None:
        self._source = source
        self._target = target
        self._progress = progress

    def tables(self) -> Iterator[tuple[str, int]]:
        """Copy every table; yields each with how many rows it had, which is compared."""
        for table in self._in_order():
            if table not in OWN_WAY:
                yield table, self._alike(table)
        self._make_slots()
        yield "executions", self._executions()
        yield "orders", self._orders()

    def _in_order(self) -> list[str]:
        """The file's tables, each behind those that it refers to."""
        found = self._source.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        names = [name for (name,) in found.fetchall() if name not in LEFT_OUT]
        sorter: TopologicalSorter[str] = TopologicalSorter()
        for name in names:
            keys = self._source.execute(f"PRAGMA foreign_key_list({name})").fetchall()
            sorter.add(name, *(each[2] for each in keys))
        return list(sorter.static_order())

    def _alike(self, table: str) -> int:
        columns = self._columns_of(table)
        names = list(columns)
        skip = " WHERE name <> 'canary'" if table == "settings" else ""
        found = self._source.execute(f"SELECT {', '.join(names)} FROM {table}{skip}")
        count = self._put(table, columns, (dict(zip(names, row, strict=True)) for row in found))
        self._compare(table, count, f"SELECT count(*) FROM {table}{skip}")
        return count

    def _make_slots(self) -> None:
        found = self._target.execute(NAMES.encode()).fetchall()
        there = {name for (name,) in found}
        for (slot,) in self._source.execute(SLOTS).fetchall():
            if (leaf := SlotPartition(slot)).name not in there:
                made = CREATE.format(leaf=leaf) + forced(leaf.name)
                self._target.execute(made.encode())
                self._target.execute(ATTACH.format(leaf=leaf).encode())

    def _executions(self) -> int:
        (total,) = self._source.execute("SELECT count(*) FROM executions").fetchone()
        cursor = self._source.execute("SELECT * FROM executions ORDER BY id")
        names = [each[0] for each in cursor.description]
        into = ("executions", "letters", "history")
        kept = {table: set(self._kinds(table)) - NOT_KEPT for table in into}
        _refuse_lacking("executions", set(names) - NOT_KEPT - set().union(*kept.values()))
        counts: dict[str, int] = dict.fromkeys(WITH_EXECUTIONS, 0)
        while chunk := cursor.fetchmany(AT_ONCE):
            some = [dict(zip(names, row, strict=True)) for row in chunk]
            for each in some:
                each["root"] = each["root"] or each["id"]
            self._chunk(some, counts, kept)
            self._progress(counts["executions"], total)
        for table, count in counts.items():
            self._compare(table, count, f"SELECT count(*) FROM {table}")
        return total

    def _chunk(
        self, some: list[dict[str, Any]], counts: dict[str, int], kept: Mapping[str, set[str]]
    ) -> None:
        numbers = [each["number"] for each in some]
        events = {row[0]: row for row in self._of("*", "events", numbers)}
        steps = _by_execution(self._of("*", "steps", numbers))
        logs = _by_execution(self._of("execution, *", "logs", numbers))
        attempts = _by_execution(self._of("*", "attempts", [each["id"] for each in some]))
        for table, found in (("steps", steps), ("logs", logs), ("attempts", attempts)):
            counts[table] += sum(len(each) for each in found.values())
        counts["events"] += len(events)
        counts["executions"] += len(some)
        into: dict[str, list[dict[str, Any]]] = {}
        for row in some:
            id, number = row["id"], row["number"]
            place = _place(row)
            left = (
                events.get(number),
                [rows.step(reading.record(each)) for each in steps.get(number, ())],
                [(each[1], rows.line(_line(each))) for each in logs.get(number, ())],
                [each[1:] for each in attempts.get(id, ())],
            )
            of_table = {name: value for name, value in row.items() if name in kept[place]}
            if place == "executions":
                into.setdefault(place, []).append(of_table)
                _add_live(into, id, *left)
            else:
                slot = row["ended_at"] // DAY * OF_A_DAY + row["removed"] * BARE
                whole = {**of_table, **_ended(*left)}
                into.setdefault(place, []).append(
                    {"slot": slot, **whole} if place == "history" else whole
                )
        for table, put in into.items():
            if put:
                self._put(table, self._columns_of(table, put[0]), put)

    def _orders(self) -> int:
        found = self._source.execute("SELECT * FROM orders ORDER BY place")
        names = [each[0] for each in found.description]
        put = [dict(zip(names, row, strict=True)) for row in found]
        for each in put:
            scope, key = msgspec.json.decode(each["name"])
            each["name"] = ordering.spelt(scope.encode(), key.encode())
        self._put("orders", self._columns_of("orders"), put)
        return len(put)

    def _of(self, what: str, table: str, executions: Sequence[str | int]) -> list[Any]:
        marks = ", ".join("?" * len(executions))
        sql = f"SELECT {what} FROM {table} WHERE execution IN ({marks}) ORDER BY rowid"
        if table == "attempts":
            sql = sql.replace("ORDER BY rowid", "ORDER BY execution, number")
        return self._source.execute(sql, executions).fetchall()

    def _columns_of(self, table: str, row: Iterable[str] | None = None) -> dict[str, str]:
        """The columns to fill, with their types; raises where PostgreSQL lacks one of the file's."""
        there = self._kinds(table)
        if row is None:
            row = [each[1] for each in self._source.execute(f"PRAGMA table_info({table})")]
        _refuse_lacking(table, set(row) - set(there))
        return {name: there[name] for name in row}

    def _kinds(self, table: str) -> dict[str, str]:
        """The types of a table's columns in PostgreSQL."""
        return {name: kind for name, kind, _ in self._target.execute(COLUMNS, (table,)).fetchall()}

    def _put(self, table: str, columns: dict[str, str], given: Iterable[dict[str, Any]]) -> int:
        count = 0
        makers = [(name, _MAKERS.get(kind, _as_it_is)) for name, kind in columns.items()]
        names = ", ".join(columns)
        with self._target.cursor().copy(f"COPY {table} ({names}) FROM STDIN".encode()) as copy:
            for row in given:
                copy.write_row([None if row[n] is None else make(row[n]) for n, make in makers])
                count += 1
        for name, _, identity in self._target.execute(COLUMNS, (table,)).fetchall():
            if identity and count:
                last = f"(SELECT max({name}) FROM {table})"
                self._target.execute(
                    f"SELECT setval(pg_get_serial_sequence(%s, %s), {last})".encode(), (table, name)
                )
        return count

    def _compare(self, table: str, count: int, sql: str) -> None:
        (there,) = self._source.execute(sql).fetchone()
        if there != count:
            raise StoreError(
                f"{table}: {there} rows are in the file, and {count} were copied; nothing was moved."
                " Check the file: sqlite3 halflap.db 'PRAGMA integrity_check'."
            )


def _refuse_lacking(table: str, lacking: set[str]) -> None:
    if lacking:
        raise StoreError(
            f"{table}: PostgreSQL's table has no {', '.join(sorted(lacking))}; nothing was moved. "
            "This is a fault of this version of Halflap: please report it."
        )


def _place(row: Mapping[str, Any]) -> str:
    """Return the table in which an execution lives."""
    if row["state"] in LIVE:
        return "executions"
    return "letters" if row["state"] == "failed" and not row["dismissed"] else "history"


def _add_live(
    into: dict[str, list[dict[str, Any]]],
    id: str,
    event: Any,
    steps: list[rows.StepRow],
    lines: list[tuple[int, bytes]],
    attempts: list[Any],
) -> None:
    names = ("number", "started_at", "ended_at", "how", "failure")
    left: dict[str, list[dict[str, Any]]] = {
        "events": [_event(event)],
        "steps": [asdict(each) for each in steps],
        "logs": [{"number": number, "data": data} for number, data in lines],
        "attempts": [dict(zip(names, each, strict=True)) for each in attempts],
    }
    for table, some in left.items():
        into.setdefault(table, []).extend({"execution": id, **each} for each in some)


def _ended(
    event: Any,
    steps: list[rows.StepRow],
    lines: list[tuple[int, bytes]],
    attempts: list[Any],
) -> dict[str, Any]:
    """Return what is left of an execution beside its own columns."""
    missing: dict[str, Any] = {"received_at": 0, "part": 0, "head": None, "body": None}
    return {
        **(missing if event is None else _event(event)),
        "steps": rows.pack_steps(steps),
        "logs": rows.pack_lines(lines),
        "attempts": rows.pack_attempts(attempts),
    }


def _event(row: Any) -> dict[str, Any]:
    event = reading.event(row)
    return {
        "received_at": event.received_at,
        "part": event.part,
        "head": rows.head(event),
        "body": event.body,
    }


def _line(row: Any) -> LogLine:
    _, _, _, at, level, message, fields, step = row
    return LogLine(at, level, message, fields, step)


def _by_execution(found: Iterable[Any]) -> dict[str | int, list[Any]]:
    some: dict[str | int, list[Any]] = {}
    for row in found:
        some.setdefault(row[0], []).append(row)
    return some


def _as_it_is(value: Any) -> Any:
    if isinstance(value, str) and "\0" in value:
        raise ConfigError(
            f"a text has a NUL character in it, {value[:40]!r}, and PostgreSQL keeps none; "
            "nothing was moved: change it in the file's store first"
        )
    return value


def _as_bytes(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else value


_MAKERS: dict[str, Callable[[Any], Any]] = {"bytea": _as_bytes, "boolean": bool}
