"""Operations on integrations and their versions."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from halflap.api.operations import finding
from halflap.api.operations.comparing import VersionComparison, compare_files
from halflap.api.operations.draft_runs import DraftRuns
from halflap.api.operations.kinds import Kinds
from halflap.engine.bundle import Bundle
from halflap.engine.library import Library
from halflap.errors import ConfigError, HalflapError
from halflap.model import Version
from halflap.sdk.integration import Integration
from halflap.store.catalogue import Catalogue
from halflap.store.catalogue.versions import ANY, OvertakenVersion

if TYPE_CHECKING:
    from halflap.lowcode.outline import Outline
    from halflap.sdk.lint import Finding

Bundled = tuple[str, dict[str, bytes]]
"""The entry of a version, and its files by path."""
TARGET = re.compile(r"[a-z][a-z0-9_-]{0,39}")


@dataclass(slots=True)
class VersionOperations:
    """Publishes versions, and shows what is in them."""

    catalogue: Catalogue
    library: Library
    kinds: Kinds
    runs: DraftRuns
    caller: str
    """The principal that is acted for (its id)."""

    async def publish(
        self,
        bundle: bytes,
        *,
        target: str | None,
        expect: str | None,
        note: str,
        overwrite: bool,
        by: str = "",
        follows: str | None = ANY,
        show: Callable[[Sequence[Finding]], None] | None = None,
    ) -> Version:
        """Publish a bundle that loads here, in a process with limits, and point a target at it.

        `expect` is the hash that the publisher last saw there: where the target has moved on it is
        `OvertakenVersion`, with the difference, and nothing is published, unless `overwrite`. So it is
        where there is a newer version than `follows`, the newest that they know of. `show` gets what lint
        found, also where it is refused for that.
        """
        if target is not None and not TARGET.fullmatch(target):
            raise ConfigError(
                f"{target!r} cannot name a target; use up to 40 lower-case letters, digits, - and _",
                fields={"target": "is no name of a target"},
            )
        hash = (await anyio.to_thread.run_sync(Bundle.from_bytes, bundle)).hash
        described = await self.runs.describe_version(bundle, self.caller, show)
        versions, name = self.catalogue.versions, described.name
        now = await versions.target(name, target) if target is not None else None
        if now is not None and now.hash not in (hash, expect) and not overwrite:
            newest = await versions.latest(name)
            if newest is not None and follows not in (ANY, newest.hash):
                raise OvertakenVersion(newest)
            raise await self._overtaken(now, target, bundle)
        components = described.components.encode()
        version = await versions.publish(name, hash, bundle, note, components, by, follows=follows)
        await self.catalogue.shared.ensure(name, described.shared)
        while target is not None:
            expected = now.hash if now is not None else None
            if await versions.move_target(name, target, hash, expect=expected):
                break
            now = await versions.target(name, target)
            if now is not None and now.hash != hash and not overwrite:
                raise await self._overtaken(now, target, bundle)
        return version

    async def _overtaken(self, now: Version, target: str | None, data: bytes) -> OvertakenVersion:
        error = OvertakenVersion(now, target)
        _, before = await self.library.files(now.hash)
        after = dict(Bundle.from_bytes(data).files)
        changes, _ = await anyio.to_thread.run_sync(compare_files, before, after)
        error.lines = "\n".join(each.text or f"{each.path}: {each.left_out}" for each in changes)
        return error

    async def triggered(self, trigger: str, integration: str | None) -> list[tuple[str, str]]:
        """Return the flows, with their integrations, that have a trigger in their newest version.

        `trigger` is its name, as `webhook.request`, or its component's.
        """
        found: list[tuple[str, str]] = []
        for name, versions in (await self.catalogue.versions.by_integration()).items():
            if integration not in (None, name):
                continue
            loaded, _ = await self.load(versions[0].hash)
            for flow, each in loaded.flows.items() if loaded else ():
                if trigger in (each.trigger.name, each.trigger.name.partition(".")[0]):
                    found.append((name, flow))
        return found

    async def get(self, integration: str, version: str) -> Version:
        """A version by number, hash or target."""
        return await finding.version(self.catalogue, integration, version)

    async def load(self, hash: str) -> tuple[Integration[Any] | None, str | None]:
        """The integration of a version, or why it does not load here."""
        return await self.kinds.load(hash)

    async def files(self, hash: str) -> tuple[str, dict[str, str]]:
        """A version's entry, and its files as text."""
        entry, files = await self.library.files(hash)
        return entry, {path: content.decode(errors="replace") for path, content in files.items()}

    async def components(self, hash: str) -> bytes:
        """Return the descriptions of a version's own components, as `read_shapes` reads them.

        They are stored as it is published; of what 0.1.0 published, they are made by loading it in a
        process with limits.
        """
        stored = await self.catalogue.versions.components(hash)
        if stored is None:
            bundle = await self.catalogue.versions.bundle(hash)
            stored = await self.runs.describe_published(bundle, self.caller)
        return stored

    async def outline(self, hash: str) -> Outline:
        """The outline of a version, read from its files."""
        from halflap.lowcode.outline import outline

        entry, files = await self.files(hash)
        return await anyio.to_thread.run_sync(outline, files, entry)

    async def compare(self, before: Version, after: Version) -> VersionComparison:
        """Return how two versions differ, but for their configs; nothing of them is run."""
        old = await self.library.files(before.hash)
        new = await self.library.files(after.hash)
        return await anyio.to_thread.run_sync(_compare, old, new)


def _compare(before: Bundled, after: Bundled) -> VersionComparison:
    from halflap.lowcode.outline import compare_outlines, outline

    files, left_out = compare_files(before[1], after[1])
    try:
        one, other = (
            outline({path: text.decode(errors="replace") for path, text in files.items()}, entry)
            for entry, files in (before, after)
        )
    except HalflapError:
        return VersionComparison(files, None, left_out)
    return VersionComparison(files, compare_outlines(one, other), left_out)
