"""The versions that this process has loaded, side by side."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from halflap.engine.bundle import Bundle
from halflap.engine.integration import (
    check_findings,
    components_of,
    describe,
    find_in_document,
    find_in_sources,
    load_integration,
    own_action,
)
from halflap.engine.loader import load
from halflap.engine.lock import unsatisfied
from halflap.errors import DefinitionError, NotFound
from halflap.sdk.action import Action
from halflap.sdk.integration import Integration

if TYPE_CHECKING:
    from halflap.lowcode.observer import Tracer
    from halflap.sdk.lint import Finding


class Library:
    """Loads each published version once, under a private name of its own."""

    def __init__(self, bundle: Callable[[str], Awaitable[bytes]], cache: Path) -> None:
        """`bundle` reads the bundle of a version; `NotFound` where there is none."""
        self._bundle = bundle
        self._cache = cache
        self._loaded: dict[str, Integration[Any]] = {}
        self._linted: tuple[str, list[Finding]] | None = None
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
            return await anyio.to_thread.run_sync(find)

    async def check(self, data: bytes) -> tuple[str, Integration[Any]]:
        """The hash and the integration of a bundle that is to be published: one that loads here.

        Raises `DefinitionError` where it is damaged, does not load, needs what is not installed, or
        has what lint calls an error. What was published is not linted again.
        """
        bundle = await anyio.to_thread.run_sync(Bundle.from_bytes, data)
        async with self._loading:
            found = self._loaded.get(bundle.hash)
            if found is None:
                try:
                    found = await self.read(bundle, lints=True)
                except NotFound as error:
                    raise DefinitionError(
                        f"{error.message}; install that where the server runs, then deploy again"
                    ) from error
                self._loaded[bundle.hash] = found
            return bundle.hash, found

    async def findings(self, bundle: Bundle) -> list[Finding]:
        """Return what lint finds in a bundle that is to be published, in its document too.

        A document's components are loaded for it. Where they do not load, publishing says why.
        """
        async with self._loading:
            return await self._lint(bundle)

    async def _lint(self, bundle: Bundle) -> list[Finding]:
        """Lint a bundle once, though it is shown first and published then."""
        if self._linted is None or self._linted[0] != bundle.hash:
            found = await anyio.to_thread.run_sync(find_in_sources, bundle)
            with contextlib.suppress(DefinitionError):
                found += await anyio.to_thread.run_sync(find_in_document, bundle, self._cache)
            self._linted = bundle.hash, found
        return self._linted[1]

    async def traced(self, version: str, tracer: Tracer) -> Integration[Any] | None:
        """Return the integration of a version whose steps are traced; `None` where it is Python."""
        bundle = Bundle.from_bytes(await self._bundle(version))
        if bundle.document is None:
            return None
        async with self._loading:
            return await anyio.to_thread.run_sync(load_integration, bundle, self._cache, tracer)

    async def components(self, data: bytes) -> bytes:
        """Describe a bundle's own components, which are loaded; none where it does not run here."""
        bundle = await anyio.to_thread.run_sync(Bundle.from_bytes, data)
        async with self._loading:
            with contextlib.suppress(DefinitionError):
                if not unsatisfied(bundle.lock):
                    return await anyio.to_thread.run_sync(describe, bundle, self._cache)
        from halflap.lowcode.lint.shapes import dump_shapes

        return dump_shapes({})

    async def files(self, version: str) -> tuple[str, dict[str, bytes]]:
        """A version's entry, and its files by path; none of it is run."""
        data = await self._bundle(version)
        bundle = await anyio.to_thread.run_sync(Bundle.from_bytes, data)
        return bundle.entry, dict(bundle.files)

    async def read(self, bundle: Bundle, *, lints: bool = False) -> Integration[Any]:
        """Load a bundle's integration; what it needs has to be installed."""
        lacking = unsatisfied(bundle.lock)
        if lacking:
            raise NotFound(f"version {bundle.hash[:12]} does not run here: {'; '.join(lacking)}")
        if lints:
            check_findings(bundle, await self._lint(bundle))
        return await anyio.to_thread.run_sync(load_integration, bundle, self._cache)
