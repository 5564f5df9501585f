"""Migrations on PostgreSQL beside others: a lock in the way holds up the migration, and nobody else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from halflap.errors import StoreError
from halflap.store.migrate import Migration
from halflap.store.postgres import migrate as module
from halflap.store.postgres.connecting import connect_blocking
from halflap.store.postgres.migrate import migrate
from tests.cluster import fresh_url
from tests.polling import DEADLINE

FIRST = Migration(1, "first", "CREATE TABLE things (id bigint);")
SECOND = Migration(2, "second", "ALTER TABLE things ADD COLUMN name text;")
BOTH = [FIRST, Migration(2, "second", SECOND.before, "ALTER TABLE things DROP COLUMN id;")]
Connection = psycopg.Connection[Any]


@pytest.fixture
def url() -> str:
    url = fresh_url()
    with connect_blocking(url) as connection:
        migrate(connection, [FIRST], clock=lambda: 1)
    return url


@pytest.fixture
def holder(url: str) -> Iterator[Connection]:
    """Somebody who looked at the table, and has not ended the transaction."""
    with psycopg.connect(url, application_name="a report") as connection:
        connection.execute("SELECT * FROM things")
        yield connection


def bring_up(url: str) -> Any:
    with connect_blocking(url) as connection:
        return migrate(connection, [FIRST, SECOND], clock=lambda: 2)


def longest(url: str, within: float) -> float:
    """Return the longest wait of the readers that come one after another for so many seconds."""
    most, end = 0.0, time.monotonic() + within
    with connect_blocking(url) as connection:
        connection.execute("SET statement_timeout = '4s'")
        while (began := time.monotonic()) < end:
            try:
                connection.execute("SELECT id FROM things")
            except psycopg.errors.QueryCanceled:
                return 4.0
            most = max(most, time.monotonic() - began)
    return most


async def held_up(url: str, holder: Connection) -> float:
    """Migrate beside a lock that is held for three seconds; how long a reader waited at most."""
    migrating = asyncio.create_task(asyncio.to_thread(bring_up, url))
    waited = await asyncio.to_thread(longest, url, 3.0)
    assert not migrating.done()
    holder.rollback()
    assert await asyncio.wait_for(migrating, DEADLINE) == [(2, "before"), (2, "after")]
    return waited


async def test_nobody_waits_long_behind_a_migration_that_waits(
    url: str, holder: Connection
) -> None:
    assert await held_up(url, holder) < 2.5


async def test_without_a_bound_everybody_waits_behind_it(
    url: str, holder: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAIT", "SET LOCAL lock_timeout = 0")
    assert await held_up(url, holder) == 4.0


def test_what_stays_in_the_way_is_named_and_nothing_is_applied(
    url: str, holder: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.0)
    pid = holder.info.backend_pid
    with pytest.raises(StoreError, match=rf"2 \(second\), before: .*process {pid} .*a report"):
        bring_up(url)
    holder.rollback()
    assert bring_up(url) == [(2, "before"), (2, "after")]


def test_old_code_runs_beside_a_newer_before_and_not_after_a_newer_after(url: str) -> None:
    with connect_blocking(url) as connection:
        with pytest.raises(StoreError, match=r"2 \(second\): its 'before' has not been applied"):
            migrate(connection, BOTH, phase="after", clock=lambda: 2)
        assert migrate(connection, BOTH, phase="before", clock=lambda: 2) == [(2, "before")]
        assert migrate(connection, [FIRST], clock=lambda: 2) == []
        connection.execute("SELECT id, name FROM things")
        assert migrate(connection, BOTH, phase="after", clock=lambda: 2) == [(2, "after")]
        with pytest.raises(
            StoreError, match=r"migration 2 \(second\).*install Halflap .* or later"
        ):
            migrate(connection, [FIRST], clock=lambda: 2)
