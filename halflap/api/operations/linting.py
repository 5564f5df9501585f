"""Lint of a document that somebody is writing: read, and neither kept nor run."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import anyio
import anyio.to_thread

from halflap.api.operations.versions import Versions
from halflap.errors import DefinitionError
from halflap.lowcode.lint import Shapes, lint_text, read_components
from halflap.sdk import registry
from halflap.sdk.lint import Finding

AT_ONCE = 2
"""How many documents are linted side by side; others wait, so that flows keep their share."""


@dataclass(slots=True)
class Linting:
    """Lints documents beside installed components, and those of a published version's own."""

    versions: Versions
    turns: anyio.CapacityLimiter

    async def lint(
        self, content: bytes, file: str, beside: tuple[str, str] | None = None
    ) -> list[Finding]:
        """What is wrong with a document, in order of place.

        `beside` is an integration and a version of it: its own components are known by their text,
        which is not run.
        """
        files: dict[str, str] = {}
        if beside is not None:
            version = await self.versions.get(*beside)
            _, files = await self.versions.files(version.hash)
        return await anyio.to_thread.run_sync(_lint, content, file, files, limiter=self.turns)


def _lint(content: bytes, file: str, files: dict[str, str]) -> list[Finding]:
    # All of them, whatever the document names: what it says imports nothing.
    for name in registry.names():
        with suppress(DefinitionError):
            registry.component(name)
    return lint_text(content, file, Shapes(own=read_components(files)))
