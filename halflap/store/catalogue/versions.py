"""Versions: published bundles, and the targets that name one of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from halflap.errors import ConfigError, Conflict, NotFound
from halflap.model import Version
from halflap.store.catalogue.table import CatalogueTable
from halflap.store.catalogue.writer import Refused, one
from halflap.store.job import JobTransaction

SELECT = "SELECT hash, integration, number, published_at, note, published_by FROM versions"
NEWEST = "WHERE integration = ? ORDER BY number DESC LIMIT 1"
ANY = "*"
"""Stands for whichever version is the newest."""


class OvertakenVersion(Conflict):
    """A newer version was published meanwhile; look at the difference, then publish on top of that."""

    def __init__(self, newest: Version, target: str | None = None) -> None:
        """`target` has it, where that is what was to be pointed at another one."""
        where = "was published meanwhile" if target is None else f"is what {target} has"
        super().__init__(
            f"version {newest.number} ({newest.hash[:12]}) of {newest.integration} {where}, and not what "
            "you began from; look at the difference, then publish on top of that one: `expect` its hash"
        )
        self.newest = newest
        self.lines = ""
        """The difference to what was to be published, where that is known."""


class Versions(CatalogueTable[Version]):
    """Publishes versions, finds them, and moves targets to them."""

    _select = SELECT

    @staticmethod
    def _read(row: Any) -> Version:
        return Version(*row)

    async def publish(
        self,
        integration: str,
        hash: str,
        bundle: bytes,
        note: str = "",
        components: bytes | None = None,
        by: str = "",
        *,
        follows: str | None = ANY,
    ) -> Version:
        """Store a bundle as the integration's next version; the same hash again is the same one.

        components: the descriptions of its own components, for lint and for forms; by: who publishes.
        follows: the hash of the newest version so far, None for none; raises `OvertakenVersion` where
        that is another one.
        """
        now = self._clock()

        def job(connection: JobTransaction) -> Version | Refused:
            known = one(connection, f"{SELECT} WHERE hash = ?", hash)
            if known is not None:
                if known[1] != integration:
                    return ConfigError(
                        f"version {hash[:12]} is one of {known[1]!r}, not of {integration!r}; "
                        "publish it under its own integration"
                    )
                return Version(*known)
            newest = one(connection, f"{SELECT} {NEWEST}", integration)
            if follows not in (ANY, newest and newest[0]):
                return OvertakenVersion(Version(*newest))
            number = 1 if newest is None else newest[2] + 1
            connection.execute(
                "INSERT INTO versions"
                " (hash, integration, number, bundle, note, published_at, components, published_by)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (hash, integration, number, bundle, note, now, components, by),
            )
            return Version(hash, integration, number, now, note, by)

        return await self._writer.change(job)

    async def get(self, hash: str) -> Version:
        """The version of a hash; raises `NotFound`."""
        return await self._get(missing(hash), "WHERE hash = ?", hash)

    async def bundle(self, hash: str) -> bytes:
        """A version's bundle, as it was published; raises `NotFound`."""
        return await self._part("bundle", hash)

    async def components(self, hash: str) -> bytes | None:
        """Return the descriptions of a version's own components; `None` where none were stored."""
        return await self._part("components", hash)

    async def latest(self, integration: str) -> Version | None:
        """The newest version of an integration; None where none was published."""
        return await self._find(NEWEST, integration)

    async def list(
        self, integration: str, *, before: int | None = None, limit: int | None = None
    ) -> Sequence[Version]:
        """Return versions of an integration, newest first: all, or so many before a number."""
        wanted = {"integration = ?": integration, "number < ?": before}
        return await self._page(wanted, "number DESC", limit)

    async def in_target(self, target: str, after: str | None, limit: int) -> Sequence[Version]:
        """Return the versions in a target by integration: so many of those after a name."""
        there = "WHERE hash IN (SELECT version FROM targets WHERE target = ?)"
        rest = f"{there} AND integration > ? ORDER BY integration LIMIT {limit:d}"
        return await self._all(rest, target, after or "")

    async def by_integration(
        self, after: str | None = None, limit: int | None = None, *, only: str | None = None
    ) -> dict[str, list[Version]]:
        """Return versions, newest first, by the names of their integrations in order.

        Of all integrations, of so many of those after a name, or of `only` one.
        """
        found: dict[str, list[Version]] = {}
        some = "SELECT DISTINCT integration FROM versions WHERE integration > ? ORDER BY 1"
        most = "" if limit is None else f"LIMIT {limit:d}"
        where, value = (f"IN ({some} {most})", after or "") if only is None else ("= ?", only)
        rest = f"WHERE integration {where} ORDER BY integration, number DESC"
        for version in await self._all(rest, value):
            found.setdefault(version.integration, []).append(version)
        return found

    async def all_targets(self) -> dict[str, dict[str, str]]:
        """Return the hash of the version in each target, by integration."""
        found: dict[str, dict[str, str]] = {}
        for integration, target, version in await self._writer.rows(
            "SELECT integration, target, version FROM targets ORDER BY integration, target"
        ):
            found.setdefault(integration, {})[target] = version
        return found

    async def numbers(self, hashes: Iterable[str]) -> dict[str, int]:
        """Return the numbers of those of these versions that are there."""
        return dict(
            await self._writer.among("SELECT hash, number FROM versions WHERE hash IN", hashes)
        )

    async def labels(self, hashes: Iterable[str]) -> dict[str, str]:
        """Return what people read of those of these versions that are there: `orders, version 3`."""
        label = "integration || ', version ' || number"
        return dict(
            await self._writer.among(f"SELECT hash, {label} FROM versions WHERE hash IN", hashes)
        )

    async def integrations(self) -> Sequence[str]:
        """The names of all integrations of which a version was published."""
        rows = await self._writer.rows("SELECT DISTINCT integration FROM versions ORDER BY 1")
        return [row[0] for row in rows]

    async def target(self, integration: str, target: str) -> Version | None:
        """The version that an integration has in a target (`production`); None before the first."""
        rest = "WHERE hash = (SELECT version FROM targets WHERE integration = ? AND target = ?)"
        return await self._find(rest, integration, target)

    async def targets(self, integration: str) -> dict[str, Version]:
        """The version that an integration has in each of its targets."""
        rows = await self._writer.rows(
            "SELECT target, hash, versions.integration, number, published_at, note, published_by"
            " FROM targets"
            " JOIN versions ON hash = version WHERE targets.integration = ? ORDER BY target",
            (integration,),
        )
        return {row[0]: Version(*row[1:]) for row in rows}

    async def drop_target(self, integration: str, target: str) -> None:
        """Have a target name no version of an integration any more."""
        sql = "DELETE FROM targets WHERE integration = ? AND target = ?"
        await self._writer.change_by(sql, integration, target)

    async def move_target(
        self, integration: str, target: str, hash: str, *, expect: str | None
    ) -> bool:
        """Move a target to a version, if it still is at `expect` (None: not there yet).

        False where it is at another one: somebody deployed in between, so look at it first.
        """
        now = self._clock()

        def job(connection: JobTransaction) -> bool | Refused:
            found = one(connection, "SELECT integration FROM versions WHERE hash = ?", hash)
            if found is None:
                return missing(hash)
            if found[0] != integration:
                return ConfigError(
                    f"version {hash[:12]} is one of {found[0]!r}, not of {integration!r}; "
                    "deploy a version of the same integration"
                )
            row = one(
                connection,
                "SELECT version FROM targets WHERE integration = ? AND target = ?",
                integration,
                target,
            )
            if (None if row is None else row[0]) != expect:
                return False
            connection.execute(
                "INSERT INTO targets VALUES (?, ?, ?, ?) ON CONFLICT (integration, target)"
                " DO UPDATE SET version = excluded.version, moved_at = excluded.moved_at",
                (integration, target, hash, now),
            )
            return True

        return await self._writer.change(job)

    async def _part(self, column: str, hash: str) -> Any:
        sql = f"SELECT {column} FROM versions WHERE hash = ?"
        row = await self._writer.row(sql, hash)
        if row is None:
            raise missing(hash)
        return row[0]


def missing(hash: str) -> NotFound:
    """Says that a version is not there."""
    return NotFound(f"no version {hash[:12]!r} was published here; deploy it first: halflap deploy")
