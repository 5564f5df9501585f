"""A COMMIT is not answered because the server ends: what was lost is done again, and nothing twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest

from halflap.store.job import JobTransaction
from halflap.store.postgres.database import PostgresDatabase
from halflap.store.postgres.jobs import PostgresJobs
from halflap.store.postgres.migrate import migrate
from halflap.store.postgres.schema import MIGRATIONS
from tests.faults.cluster import Cluster, cluster

NUMBER = "SELECT pg_current_xact_id()::text"
STATUS = "SELECT pg_xact_status(%s::xid8)"
ADD = "INSERT INTO settings (name, value) VALUES (?, ?)"


@pytest.fixture
async def database() -> AsyncIterator[Cluster]:
    async with cluster() as running:
        with psycopg.connect(running.url, autocommit=True) as connection:
            migrate(connection, MIGRATIONS, clock=lambda: 1)
            connection.execute("CHECKPOINT")
        yield running


def go_on(url: str) -> None:
    """Have others commit some transactions."""
    with psycopg.connect(url, autocommit=True) as connection:
        for number in range(20):
            connection.execute("INSERT INTO settings VALUES (%s, '')", (f"other {number}",))


async def restart(database: Cluster) -> None:
    await database.stop()
    await database.start()
    await asyncio.to_thread(go_on, database.url)


async def test_a_server_gives_the_number_of_a_lost_transaction_to_another_one(
    database: Cluster,
) -> None:
    """The reason why `pg_xact_status` is not asked: it calls committed what was lost."""
    lost = psycopg.connect(database.url)
    lost.execute("INSERT INTO settings VALUES ('lost', '')")
    number = lost.execute(NUMBER).fetchone()
    assert number is not None
    await restart(database)
    with psycopg.connect(database.url, autocommit=True) as connection:
        assert connection.execute(STATUS, number).fetchone() == ("committed",)
        there = connection.execute("SELECT FROM settings WHERE name = 'lost'").fetchone()
    assert there is None
    lost.close()


async def test_a_job_whose_commit_was_lost_with_the_server_is_done_again(
    database: Cluster,
) -> None:
    jobs = PostgresJobs(await PostgresDatabase.open(database.url))
    loop, runs = asyncio.get_running_loop(), 0

    def job(connection: JobTransaction) -> int:
        nonlocal runs
        runs += 1
        connection.execute(ADD, ("mine", str(runs)))
        if runs == 1:  # and the COMMIT finds nothing to answer it
            asyncio.run_coroutine_threadsafe(restart(database), loop).result(60)
        return runs

    assert await jobs.write(job) == 2
    find = "SELECT value FROM settings WHERE name = 'mine'"
    assert await jobs.read(lambda c: c.execute(find).fetchall()) == [("2",)]
    await jobs.close()


async def test_a_job_whose_commit_was_carried_out_unanswered_is_not_done_again(
    database: Cluster,
) -> None:
    jobs, runs = PostgresJobs(await PostgresDatabase.open(database.url)), 0

    def job(connection: JobTransaction) -> int:
        nonlocal runs
        runs += 1
        connection.execute(ADD, ("mine", str(runs)))
        connection.execute("COMMIT")
        with psycopg.connect(database.url, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND query = 'COMMIT'"
            )
        return runs

    assert await jobs.write(job) == 1
    find = "SELECT value FROM settings WHERE name = 'mine'"
    assert await jobs.read(lambda c: c.execute(find).fetchall()) == [("1",)]
    await jobs.close()
