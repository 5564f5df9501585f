"""Looks at a PostgreSQL server before a store trusts it, and says what to mend."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import psycopg

from halflap.errors import StoreError
from halflap.model import Retention
from halflap.store import canary
from halflap.store.postgres import guard
from halflap.store.postgres.connecting import connect_blocking
from halflap.store.postgres.database import CONNECTIONS, ENCODING, MAKE_ENCODED, OLDEST
from halflap.store.postgres.explain import explain, where
from halflap.store.postgres.jobs import JobLink
from halflap.store.postgres.partitions import AHEAD
from halflap.store.postgres.upgrading import standing
from halflap.store.retention import decode
from halflap.store.vault import Vault

OF_A_PROCESS = CONNECTIONS + 2
"""The most connections that a process opens: one hears hints, one has the names that it holds."""
SKEW_SECONDS, MUCH_SKEW_SECONDS = 1.0, 60.0
PROBES = 9
SLOW_SECONDS = 0.05

SETTINGS = """
SELECT current_setting('server_encoding'), current_setting('fsync'),
    current_setting('full_page_writes'), current_setting('synchronous_commit'),
    current_schema(), to_regclass('settings') IS NOT NULL,
    current_schema() IS NOT NULL AND has_schema_privilege(current_schema(), 'CREATE')
"""
ROOM = """
SELECT least(
        current_setting('max_connections')::int
            - current_setting('superuser_reserved_connections')::int
            - coalesce(current_setting('reserved_connections', true)::int, 0)
            - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
        (SELECT datconnlimit - (SELECT count(*) FROM pg_stat_activity WHERE datid = d.oid)
            FROM pg_database d WHERE datname = current_database() AND datconnlimit >= 0),
        (SELECT rolconnlimit - (SELECT count(*) FROM pg_stat_activity WHERE usesysid = r.oid)
            FROM pg_roles r WHERE rolname = current_user AND rolconnlimit >= 0)
    ), current_setting('max_connections')
"""
BESIDE = AHEAD + 2
"""Of how many days there are tables beside those for which they are kept: past and to come."""
LOCKS = """
SELECT current_setting('max_locks_per_transaction')::bigint,
    current_setting('max_connections')::bigint
        + current_setting('max_prepared_transactions')::bigint,
    (SELECT 1 + count(*) FROM pg_index WHERE indrelid = to_regclass('history'))
"""
NOW = "SELECT extract(epoch FROM clock_timestamp())::float8"
# A record in the log, and nothing else: its commit waits for the disk as any other does.
PROBE = "SELECT pg_logical_emit_message(true, 'halflap', 'doctor')"


@dataclass(frozen=True, slots=True)
class ExaminedItem:
    """One thing that was looked at: how it is, and what mends it."""

    name: str
    state: Literal["ok", "warn", "fail"]
    said: str
    mend: str = ""


def examine(
    url: str,
    vault: Vault | None,
    *,
    kept: Retention = Retention(30),  # noqa: B008
) -> list[ExaminedItem]:
    """Look at the server at a URL, and at the store there if there is one; changes nothing.

    kept: for how long what has ended is kept where nobody says otherwise.
    """
    place = "the database"
    try:
        place = where(url)
        connection = connect_blocking(url)
    except StoreError as error:
        return [ExaminedItem("store", "fail", error.message, "mend HALFLAP_STORE")]
    except psycopg.Error as error:
        told = str(explain(error, place))
        return [ExaminedItem("store", "fail", told, "start it, or mend HALFLAP_STORE")]
    with connection:
        try:
            return list(_findings(connection, place, vault, kept))
        except psycopg.Error as error:
            return [ExaminedItem("store", "fail", str(explain(error, place)), "look at its log")]


def hosts(url: str) -> set[str]:
    """The hosts whose processes have the store at a URL open; none where there is no store."""
    try:
        with connect_blocking(url) as connection:
            return {each.host for each in standing(connection).processes}
    except (psycopg.Error, StoreError):  # `examine` says what is wrong
        return set()


def _findings(
    connection: psycopg.Connection[Any],
    place: str,
    vault: Vault | None,
    kept: Retention,
) -> Iterator[ExaminedItem]:
    row = connection.execute(SETTINGS).fetchone()
    assert row is not None
    encoding, fsync, whole, commit, schema, made, may_make = row
    yield _store(connection, place, made=made, may_make=may_make, schema=schema)
    if encoding != ENCODING:
        why = f"{encoding}, which cannot hold every text"
        yield ExaminedItem("encoding", "fail", why, MAKE_ENCODED)
    yield _disk(fsync, whole, commit)
    yield _commit(connection)
    yield _pooler(connection)
    yield _clock(connection)
    yield _room(connection)
    if made:
        yield _key(connection, vault)
        yield _guard(connection)
        yield _locks(connection, kept)
        yield from _processes(connection)


def _processes(connection: psycopg.Connection[Any]) -> Iterator[ExaminedItem]:
    """Check which processes have the store open, and whether all of them run the same code."""
    found = standing(connection)
    for each in found.processes:
        said = f"{each.role} {each.pid} on {each.host}, Halflap {each.version}"
        yield ExaminedItem("process", "ok", said)
    if found.old:
        mend = "replace them, then: halflap store migrate --finish"
        yield ExaminedItem("migration", "warn", f"{len(found.old)} processes run older code", mend)
    elif found.begun:
        names = ", ".join(str(each) for each in found.begun)
        yield ExaminedItem("migration", "warn", f"{names}: begun", "halflap store migrate --finish")


def _store(
    connection: psycopg.Connection[Any],
    place: str,
    *,
    made: bool,
    may_make: bool,
    schema: str | None,
) -> ExaminedItem:
    version = connection.info.server_version
    said = f"{place}, PostgreSQL {version // 10_000}.{version % 10_000}"
    if version < OLDEST:
        return ExaminedItem("store", "fail", said, f"Halflap needs PostgreSQL {OLDEST // 10_000}")
    if not made and not may_make:
        mend = f"GRANT CREATE ON SCHEMA {schema or 'public'} TO {connection.info.user}"
        return ExaminedItem("store", "fail", f"{said}: this user may make no tables there", mend)
    return ExaminedItem(
        "store", "ok", said if made else f"{said}; none yet, halflap serve makes it"
    )


def _disk(fsync: str, whole: str, commit: str) -> ExaminedItem:
    """Check whether what is acknowledged survives a power cut."""
    if fsync != "on" or whole != "on":
        off = "fsync" if fsync != "on" else "full_page_writes"
        mend = f"set {off} = on and reload: without it a power cut may ruin the whole database"
        return ExaminedItem("durability", "fail", f"{off} is off", mend)
    if commit == "off":
        mend = "set synchronous_commit = on; Halflap does so for itself, other programs may not"
        return ExaminedItem("durability", "warn", "synchronous_commit is off", mend)
    return ExaminedItem("durability", "ok", f"fsync is on, synchronous_commit is {commit}")


def _commit(connection: psycopg.Connection[Any]) -> ExaminedItem:
    """Measure a commit, on the way there and back too."""
    times: list[float] = []
    for _ in range(PROBES):
        began = time.perf_counter()
        connection.execute(PROBE)
        times.append(time.perf_counter() - began)
    seconds = statistics.median(times)
    said = f"{seconds * 1e3:.2f} ms until a commit is answered"
    if seconds > SLOW_SECONDS:
        return ExaminedItem(
            "commit", "warn", said, "a faster disk, or a shorter way, makes all faster"
        )
    return ExaminedItem("commit", "ok", said)


def _pooler(connection: psycopg.Connection[Any]) -> ExaminedItem:
    """Check that the session that answers is the one that was announced."""
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    if row is not None and row[0] != connection.info.backend_pid:
        mend = (
            "name the server itself in HALFLAP_STORE, or have the pooler keep sessions "
            "(pool_mode = session): hints and locks are lost where it shares them"
        )
        return ExaminedItem("pooler", "warn", "a connection pooler is in between", mend)
    return ExaminedItem("pooler", "ok", "none in between")


def _clock(connection: psycopg.Connection[Any]) -> ExaminedItem:
    """Measure how far the clocks are apart, by the sample that took least."""
    samples: list[tuple[float, float]] = []
    for _ in range(3):
        began, sent = time.perf_counter(), time.time()
        row = connection.execute(NOW).fetchone()
        took = time.perf_counter() - began
        samples.append((took, (row[0] if row else sent) - sent - took / 2))
    _, skew = min(samples)
    if abs(skew) <= SKEW_SECONDS:
        return ExaminedItem("clock", "ok", f"{abs(skew) * 1e3:.0f} ms from the database's")
    ahead = "behind" if skew > 0 else "ahead of"
    said = f"this host is {abs(skew):.0f} s {ahead} the database"
    mend = "set both clocks (NTP): Halflap goes by the database's, tokens and other apps do not"
    return ExaminedItem("clock", "warn" if abs(skew) < MUCH_SKEW_SECONDS else "fail", said, mend)


def _room(connection: psycopg.Connection[Any]) -> ExaminedItem:
    """Check how many processes may still connect."""
    row = connection.execute(ROOM).fetchone()
    assert row is not None
    # This look has one of them itself.
    left, most = row[0] + 1, row[1]
    said = f"{left} of {most} are free; a process of Halflap opens up to {OF_A_PROCESS}"
    if left < 2 * OF_A_PROCESS:
        mend = "raise max_connections (or the limit of this user or database) and restart it"
        return ExaminedItem("connections", "fail" if left < OF_A_PROCESS else "warn", said, mend)
    return ExaminedItem("connections", "ok", said)


def _locks(connection: psycopg.Connection[Any], kept: Retention) -> ExaminedItem:
    """Check that there is room for the locks on the history's tables, once all its days are there."""
    row = connection.execute(LOCKS).fetchone()
    assert row is not None
    each, slots, of_a_day = row
    levels = [decode(text) for (text,) in connection.execute("SELECT kept FROM retentions")]
    days = max(level.over(kept).execution or 0 for level in (kept, *levels))
    history = of_a_day * (days + BESIDE)
    processes = max(len(standing(connection).processes), 1)
    wanted = max(history, history * CONNECTIONS * processes // 2)
    said = f"who looks at the history holds up to {history:,} locks; max_locks_per_transaction is {each}"
    if wanted <= each * slots:
        return ExaminedItem("locks", "ok", said)
    enough = -(-wanted // slots // 64) * 64
    mend = f"set max_locks_per_transaction to {enough} and restart it, or keep things for less long"
    return ExaminedItem("locks", "warn", said, mend)


def _guard(connection: psycopg.Connection[Any]) -> ExaminedItem:
    """Check that the API sees all that is in scope, and nothing else."""
    name, user = "row security", connection.info.user
    role = guard.role(connection)
    if role is None or not role.may_take:
        said = f"the role {guard.ROLE} is missing, or {user} may not take it"
        return ExaminedItem(
            name, "fail", said, "run: halflap store migrate (it says what it needs)"
        )
    if role.passes:
        said = f"{guard.ROLE} is a superuser or has BYPASSRLS, so a query may show everybody's rows"
        return ExaminedItem(name, "fail", said, f"ALTER ROLE {guard.ROLE} NOSUPERUSER NOBYPASSRLS")
    if off := guard.unguarded(connection):
        mend = "; ".join(
            f"ALTER TABLE {t} {how} ROW LEVEL SECURITY"
            for t, how in ((off[0], "ENABLE"), (off[0], "FORCE"))
        )
        return ExaminedItem(
            name, "fail", f"off, not forced or without a policy: {', '.join(off)}", mend
        )
    if none := guard.hidden(connection):
        said = f"{user} does not see the rows of {', '.join(none)}"
        mend = f"CREATE POLICY engine ON {none[0]} TO {user} USING (true) WITH CHECK (true)"
        return ExaminedItem(name, "fail", said, mend)
    if out := guard.unseen(connection):
        said = f"the API may not read {', '.join(out)}"
        return ExaminedItem(name, "fail", said, f"GRANT SELECT ON {', '.join(out)} TO {guard.ROLE}")
    if role.logs_in:
        said = f"{guard.ROLE} may log in, which nothing of Halflap does"
        return ExaminedItem(name, "warn", said, f"ALTER ROLE {guard.ROLE} NOLOGIN")
    return ExaminedItem(name, "ok", f"on; the API reads as {guard.ROLE}")


def _key(connection: psycopg.Connection[Any], vault: Vault | None) -> ExaminedItem:
    """Check that the keys are those of this store."""
    if vault is None:
        mend = "set HALFLAP_KEYS to the keys of this store"
        return ExaminedItem("key", "fail", "HALFLAP_KEYS is not set", mend)
    try:
        canary.check(JobLink(connection), vault)
    except StoreError as error:
        mend = "the server does not start with another store's key"
        return ExaminedItem("key", "fail", error.message, mend)
    return ExaminedItem("key", "ok", "from HALFLAP_KEYS")
