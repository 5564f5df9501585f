"""The versions that this process has loaded, side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio.to_thread

from halflap.engine.bundle import Bundle
from halflap.engine.integration import components_of, load_integration, own_action
from halflap.engine.loader import load
from halflap.engine.lock import unsatisfied
from halflap.errors import NotFound
from halflap.sdk.action import Action
from halflap.sdk.compatibility import as_published
from halflap.sdk.integration import Integration

if TYPE_CHECKING:
    from halflap.lowcode.observer import Tracer


T = TypeVar("T")

WARNINGS: dict[str, list[str]] = {}
"""Texts of what a new version would be refused for, by the hash of the one that has it.

A process reads the modules of a version once, and so finds it once.
"""


class Library:
    """Loads each published version once, under a private name of its own, as it was taken then."""

    def __init__(self, bundle: Callable[[str], Awaitable[bytes]], cache: Path) -> None:
        """`bundle` reads the bundle of a version; `NotFound` where there is none."""
        self._bundle = bundle
        self._cache = cache
        self._loaded: dict[str, Integration[Any]] = {}
        self._loading = asyncio.Lock()

    async def integration(self, version: str) -> Integration[Any]:
        """The integration of a version; `NotFound` where this environment lacks what it needs."""
        known = self._loaded.get(version)
        if known is not None:
            return known
        async with self._loading:
            if version in self._loaded:
                return self._loaded[version]
            bundle = Bundle.from_bytes(await self._bundle(version))
            found = await self.read(bundle)
            self._loaded[version] = found
            return found

    async def action(self, version: str, name: str) -> Action[..., Any]:
        """Return an action by its dotted name: of a version's own components, or an installed one."""
        bundle = Bundle.from_bytes(await self._bundle(version))

        def find() -> Action[..., Any]:
            loaded = load(bundle, self._cache)
            return own_action(loaded, name) or components_of(bundle, loaded).action(name)

        async with self._loading:
            return await self._as_published(bundle, find)

    async def traced(self, version: str, tracer: Tracer) -> Integration[Any] | None:
        """Return the integration of a version whose steps are traced; `None` where it is Python."""
        bundle = Bundle.from_bytes(await self._bundle(version))
        if bundle.document is None:
            return None
        async with self._loading:
            return await self._as_published(
                bundle, partial(load_integration, bundle, self._cache, tracer)
            )

    async def files(self, version: str) -> tuple[str, dict[str, bytes]]:
        """A version's entry, and its files by path; none of it is run."""
        data = await self._bundle(version)
        bundle = await anyio.to_thread.run_sync(Bundle.from_bytes, data)
        return bundle.entry, dict(bundle.files)

    async def read(self, bundle: Bundle) -> Integration[Any]:
        """Load a bundle's integration; what it needs has to be installed."""
        lacking = unsatisfied(bundle.lock)
        if lacking:
            raise NotFound(f"version {bundle.hash[:12]} does not run here: {'; '.join(lacking)}")
        return await self._as_published(bundle, partial(load_integration, bundle, self._cache))

    async def _as_published(self, bundle: Bundle, read: Callable[[], T]) -> T:
        with as_published() as found:
            made = await anyio.to_thread.run_sync(read)
        if found:
            WARNINGS[bundle.hash] = list(dict.fromkeys([*WARNINGS.get(bundle.hash, []), *found]))
        return made
