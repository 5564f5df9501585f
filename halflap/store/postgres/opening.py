"""Opening a store on PostgreSQL."""

from __future__ import annotations

import contextlib
from typing import Any

import psycopg

from halflap.model import Clock
from halflap.store import canary
from halflap.store.catalogue import Catalogue
from halflap.store.identity import Identity
from halflap.store.job import JobTransaction
from halflap.store.postgres.changes import SharedWriter
from halflap.store.postgres.connecting import alone
from halflap.store.postgres.database import PostgresDatabase
from halflap.store.postgres.jobs import PostgresJobs
from halflap.store.postgres.journal import PostgresJournal
from halflap.store.postgres.migrate import migrate
from halflap.store.postgres.presence import Presence, enter
from halflap.store.postgres.schema import MIGRATIONS
from halflap.store.store import Store
from halflap.store.vault import Vault


async def opened(
    url: str, vault: Vault, own_clock: Clock | None, identity: Identity | None = None
) -> Store:
    """Connect to the database at a URL, bring its schema up to this code's, and check the keys.

    Other processes may have it open, and may run older code: of a migration, only what is `before`
    is applied here, and what is `after` once none of them is left.
    """
    async with contextlib.AsyncExitStack() as undo:
        database = await PostgresDatabase.open(url, clock=own_clock)
        jobs = PostgresJobs(database)
        undo.push_async_callback(jobs.close)
        clock = database.clock

        def prepare(connection: psycopg.Connection[Any]) -> None:
            migrate(connection, MIGRATIONS, phase="before", clock=clock)

        def come(connection: psycopg.Connection[Any]) -> Identity:
            return enter(connection, identity or Identity(), MIGRATIONS, clock)

        def keep(connection: JobTransaction) -> None:
            # Of two that make a store at once, the second has to find the first one's canary.
            connection.execute("SELECT number FROM changes FOR UPDATE")
            canary.keep(connection, vault)

        await alone(url, prepare)
        await jobs.write(keep)
        presence = Presence(database, await alone(url, come), len(MIGRATIONS), clock)
        presence.begin()
        undo.push_async_callback(presence.close)
        journal = PostgresJournal(database, worker=presence.identity.worker)
        writer = await SharedWriter.open(jobs, url, journal.hints)
        undo.push_async_callback(writer.close)
        catalogue = Catalogue(writer, vault, clock)
        undo.pop_all()
        return Store(
            jobs,
            catalogue,
            journal,
            vault,
            clock,
            others=presence,
            hints=journal.hints,
            identity=presence.identity,
        )
