"""Runners for the flows of these tests: in memory, and on PostgreSQL where that could differ."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.engine.flows import Runner, runner_on


@pytest.fixture
async def runner(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Runner]:
    """A runner in memory; `ON_BOTH_STORES` has it on PostgreSQL too."""
    async with runner_on(getattr(request, "param", "memory"), tmp_path) as runner:
        yield runner
