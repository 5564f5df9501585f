"""The store of a server: one directory with the file of everything, and the key of its secrets."""

from __future__ import annotations

import base64
import secrets
import sqlite3
from collections.abc import Callable
from pathlib import Path

import anyio.to_thread

from halflap.errors import StoreError
from halflap.model import Clock, wall_clock
from halflap.store import canary
from halflap.store.catalogue import Catalogue
from halflap.store.journal import SqliteJournal
from halflap.store.migrate import migrate
from halflap.store.once import make_folder
from halflap.store.schema import MIGRATIONS
from halflap.store.sqlite import Database
from halflap.store.vault import KEY_SIZE, Vault

FILE = "halflap.db"
KEY = "halflap.key"


class Store:
    """An open store: its catalogue, its journal, its vault."""

    def __init__(self, database: Database, vault: Vault, clock: Clock) -> None:
        """Use `Store.open` or `Store.memory`."""
        self.database = database
        self.vault = vault
        self.clock = clock
        self.catalogue = Catalogue(database, vault, clock)
        self.journal = SqliteJournal(database, clock)

    @classmethod
    async def open(
        cls,
        directory: Path,
        *,
        clock: Clock = wall_clock,
        synchronous: str = "FULL",
        vault: Vault | None = None,
    ) -> Store:
        """Open the store in a directory, made (for its owner only) where it is missing.

        Takes the lock on it, and brings an older schema up to this code's. Without a `vault`, the
        master key is the file `halflap.key` there, made with the store. Raises `StoreLocked` while
        another process has it open, and `StoreError` where the key of an existing store is missing,
        or is another than its secrets are sealed with.
        """
        if vault is None:
            vault = await anyio.to_thread.run_sync(_prepare, directory)
        else:
            await anyio.to_thread.run_sync(_make, directory)
        database = await Database.open(directory / FILE, clock=clock, synchronous=synchronous)
        return await cls._migrated(database, vault, clock)

    @classmethod
    async def memory(cls, *, clock: Clock = wall_clock, vault: Vault | None = None) -> Store:
        """A store that ends with its process, for tests."""
        database = await Database.open(Path(":memory:"), clock=clock)
        return await cls._migrated(database, vault or _fresh_vault(), clock)

    @classmethod
    async def _migrated(cls, database: Database, vault: Vault, clock: Clock) -> Store:
        def prepare(connection: sqlite3.Connection) -> None:
            migrate(connection, MIGRATIONS, clock=clock)
            canary.keep(connection, vault)

        try:
            await database.alone(prepare)
        except BaseException:
            await database.close()
            raise
        return cls(database, vault, clock)

    @property
    def on_failure(self) -> Callable[[BaseException], object] | None:
        """Called once a commit failed with an unknown outcome: the process has to start again."""
        return self.database.on_failure

    @on_failure.setter
    def on_failure(self, call: Callable[[BaseException], object] | None) -> None:
        self.database.on_failure = call

    async def close(self) -> None:
        """Write what is queued and noted, and let go of the lock."""
        await self.catalogue.settled()
        await self.database.close()


def _prepare(directory: Path) -> Vault:
    _make(directory)
    key = directory / KEY
    # The key is made before the file, so a file without its key has lost it. A new one in its
    # place would open none of its secrets, and hide that until the first of them is needed.
    if (directory / FILE).exists() and not key.exists():
        raise StoreError(
            f"{key}: the key of this store's secrets is missing; put its copy back. If there is "
            f"none, move {FILE} away and start anew: its secrets cannot be read without the key."
        )
    return Vault.from_file(key)


def _make(directory: Path) -> None:
    try:
        make_folder(directory)
    except OSError as error:
        raise StoreError(
            f"{directory}: the store's directory cannot be made ({error.strerror}); "
            "name one that this user may write."
        ) from error


def _fresh_vault() -> Vault:
    key = base64.b64encode(secrets.token_bytes(KEY_SIZE)).decode()
    return Vault.from_text(f"memory:{key}")
