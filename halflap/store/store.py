"""The store of a server: a directory with the file of everything, or a PostgreSQL database."""

from __future__ import annotations

import functools
import secrets
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anyio.to_thread

from halflap.errors import StoreError
from halflap.model import Clock, Process, wall_clock
from halflap.store import blobs, canary
from halflap.store.blobs.payloads import WHOLE, Payloads
from halflap.store.blobs.register import Register
from halflap.store.catalogue import Catalogue
from halflap.store.catalogue.writer import CatalogueWriter
from halflap.store.identity import Identity
from halflap.store.job import Database, Way
from halflap.store.journal import SqliteJournal
from halflap.store.migrate import code_version, migrate
from halflap.store.once import make_folder
from halflap.store.protocol import Hints, Journal
from halflap.store.schema import MIGRATIONS
from halflap.store.scope import CustomerScope
from halflap.store.sqlite import SqliteDatabase as File
from halflap.store.vault import KEY_SIZE, Vault

if TYPE_CHECKING:
    from halflap.store.postgres.presence import Presence

FILE = "halflap.db"
KEY = "halflap.key"
MOVING, MOVED = f"{FILE}.moving", f"{FILE}.moved"
"""The names of the file while it is moved to PostgreSQL, and from then on."""
BLOBS = "blobs"
BLOB_BYTES = 64 * 1024
SCHEMES = ("postgresql://", "postgres://")


@dataclass(frozen=True, slots=True)
class StoreView:
    """A store as it is seen in a scope."""

    scope: CustomerScope
    catalogue: Catalogue
    journal: Journal


class Store:
    """An open store: its catalogue, its journal, its vault."""

    def __init__(
        self,
        database: Database,
        catalogue: Catalogue,
        journal: Journal,
        vault: Vault,
        clock: Clock,
        others: Presence | None = None,
        hints: Hints | None = None,
        identity: Identity | None = None,
    ) -> None:
        """Use `Store.open` or `Store.memory`."""
        self.database = database
        self._others = others
        self._ways: Sequence[Way] = (database,) if others is None else (others, database)
        self.catalogue = catalogue
        self.journal = journal
        self.vault = vault
        self.clock = clock
        self.hints = hints
        """Hints between the processes that have this store open; None where one has it alone."""
        self._identity = identity or Identity()
        self._opened_at = clock()

    @classmethod
    async def open(
        cls,
        place: Path | str,
        *,
        clock: Clock | None = None,
        synchronous: str = "FULL",
        vault: Vault | None = None,
        large: str = "",
        over: int = BLOB_BYTES,
        identity: Identity | None = None,
        whole: int = WHOLE,
    ) -> Store:
        """Open the store in a directory, or at a URL such as `postgresql://user@host/database`.

        Brings an older schema up to this code's. Raises `StoreError` where the store cannot be
        opened, or its secrets are sealed with other keys than the vault's.

        A directory is made (for its owner only) where it is missing, and locked: `StoreLocked`
        while another process has it open. Without a `vault`, the master key is the file
        `halflap.key` there, made with the store; without it, an existing store is not opened.

        A database is open to any number of processes at once, which share their keys: it needs a
        `vault`. Without a `clock`, its time is that of the database.

        `identity` is what this process says of itself to others.

        Payloads of more than `over` bytes are kept at `large`, a directory or a URL such as
        `s3://bucket/prefix`. Where it is not given: in `blobs` in the store's directory; in a
        database, in their rows, as all processes have to find them. Bodies of more than `whole`
        bytes are never held in memory.
        """
        if isinstance(place, str) and place.startswith(SCHEMES):
            store = await cls._at_url(place, clock, vault, identity)
        else:
            store = await cls._in(Path(place), clock, synchronous, vault, identity)
            large = large or str(Path(place) / BLOBS)
        try:
            if large:
                store.put_large(blobs.at(large), over, whole)
        except BaseException:
            await store.close()
            raise
        return store

    @classmethod
    async def _in(
        cls,
        directory: Path,
        clock: Clock | None,
        synchronous: str,
        vault: Vault | None,
        identity: Identity | None,
    ) -> Store:
        refuse_moved(directory)
        if vault is None:
            vault = await anyio.to_thread.run_sync(_prepare, directory)
        else:
            await anyio.to_thread.run_sync(make_directory, directory)
        clock = clock or wall_clock
        file = await File.open(directory / FILE, clock=clock, synchronous=synchronous)
        return await cls._in_file(file, vault, clock, identity)

    @classmethod
    async def memory(cls, *, clock: Clock = wall_clock) -> Store:
        """A store that ends with its process, for tests."""
        vault = Vault({"memory": secrets.token_bytes(KEY_SIZE)}, "memory")
        return await cls._in_file(memory_file(clock), vault, clock)

    @classmethod
    async def _in_file(
        cls, file: File, vault: Vault, clock: Clock, identity: Identity | None = None
    ) -> Store:
        def prepare(connection: sqlite3.Connection) -> None:
            migrate(connection, MIGRATIONS, clock=clock)
            canary.keep(connection, vault)

        try:
            await file.alone(prepare)
        except BaseException:
            await file.close()
            raise
        catalogue = Catalogue(CatalogueWriter(file), vault, clock)
        journal = SqliteJournal(file, clock)
        return cls(file, catalogue, journal, vault, clock, identity=identity)

    @staticmethod
    async def _at_url(
        url: str, clock: Clock | None, vault: Vault | None, identity: Identity | None
    ) -> Store:
        if vault is None:
            raise StoreError(
                "a store on PostgreSQL needs its master keys in HALFLAP_KEYS, the same in every "
                "process that opens it; for a new store, make one with: "
                'echo "k1:$(head -c 32 /dev/urandom | base64)"'
            )
        try:
            from halflap.store.postgres.opening import opened
        except ImportError as error:
            raise StoreError(
                f"a store on PostgreSQL needs psycopg ({error}); "
                "install it with: pip install 'halflap[postgresql]'"
            ) from error
        return await opened(url, vault, clock, identity)

    def within(self, scope: CustomerScope) -> StoreView:
        """This store for whoever is in a scope: what is out of it is not there."""
        return StoreView(scope, self.catalogue.within(scope), self.journal.within(scope))

    @property
    def worker(self) -> str:
        """The name that the claims of this process bear."""
        return self._identity.worker

    async def processes(self) -> Sequence[Process]:
        """The processes that have this store open: this one, where it is in a file."""
        if self._others is not None:
            return await self._others.list()
        me, now = self._identity, self.clock()
        known = len(MIGRATIONS)
        about = (me.host, me.pid, code_version(), known, self._opened_at, now)
        return [Process(me.id, me.role, me.worker, *about)]

    def put_large(self, place: blobs.BlobStore, over: int, whole: int) -> None:
        """Keep payloads of more than `over` bytes in a blob store from now on."""
        register = Register(self.database, self.clock)
        self.journal.payloads = Payloads(place, register, self.clock, over=over, whole=whole)

    @property
    def payloads(self) -> Payloads:
        """The payloads of the journal."""
        return self.journal.payloads

    @property
    def large(self) -> Payloads | None:
        """The store of payloads that are too large for memory; None where there is no blob store."""
        return self.payloads if self.payloads.is_apart else None

    @property
    def where(self) -> str:
        """The store's directory, or its URL without the password."""
        return self.database.where

    @property
    def commits(self) -> int:
        """The number of transactions that this process has committed since it opened the store."""
        return self.database.stats.commits

    @property
    def on_failure(self) -> Callable[[BaseException], object] | None:
        """Called once a commit failed with an unknown outcome: the process has to start again."""
        return self.database.on_failure

    @on_failure.setter
    def on_failure(self, call: Callable[[BaseException], object] | None) -> None:
        for each in self._ways:
            each.on_failure = call

    async def close(self) -> None:
        """Write what is queued and noted, and let go of the lock, or of all connections."""
        await self.catalogue.close()
        for each in self._ways:
            await each.close()
        await self.payloads.blobs.close()


def memory_file(clock: Clock) -> File:
    """Open a file in memory that has the tables of a store: a copy, which takes under 1 ms."""
    return File.in_memory(clock=clock, template=template())


@functools.cache
def template() -> sqlite3.Connection:
    """Return a store in memory that has the tables and no row, to be copied; made once."""
    made = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    migrate(made, MIGRATIONS, clock=lambda: 0)
    return made


def _prepare(directory: Path) -> Vault:
    make_directory(directory)
    key = directory / KEY
    # The key is made before the file, so a file without its key has lost it. A new one in its
    # place would open none of its secrets, and hide that until the first of them is needed.
    if (directory / FILE).exists() and not key.exists():
        raise StoreError(
            f"{key}: the key of this store's secrets is missing; put its copy back. If there is "
            f"none, move {FILE} away and start anew: its secrets cannot be read without the key."
        )
    return Vault.from_file(key)


def refuse_moved(directory: Path) -> None:
    """Raise `StoreError` where the directory's store was moved to PostgreSQL, or is about to be.

    A new one in its place would take events that nobody looks for.
    """
    if (directory / FILE).exists():
        return
    if (directory / MOVING).exists():
        raise StoreError(
            f"{directory}: this store is being moved to PostgreSQL; run `halflap store move` again "
            "to go on with it."
        )
    if (directory / MOVED).exists():
        raise StoreError(
            f"{directory}: this store was moved to PostgreSQL; name that in HALFLAP_STORE. (To go "
            f"back to what it was then, rename {MOVED} to {FILE}.)"
        )


def make_directory(directory: Path) -> None:
    """Make a store's directory; `StoreError` where that cannot be."""
    try:
        make_folder(directory)
    except OSError as error:
        raise StoreError(
            f"{directory}: the store's directory cannot be made ({error.strerror}); "
            "name one that this user may write."
        ) from error
