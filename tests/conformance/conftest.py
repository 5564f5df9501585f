"""The journals that every conformance test of the store runs on, and their clock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from halflap.model import Clock
from halflap.store.protocol import Journal
from tests.journals import StandingClock, opened


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


@pytest.fixture(params=["memory", "postgresql"])
async def journal(
    request: pytest.FixtureRequest, tmp_path: Path, clock: Clock
) -> AsyncIterator[Journal]:
    """A journal of each dialect of SQL; `ON_EVERY_STORE` has those that stand on something else."""
    async with opened(request.param, tmp_path, clock) as journal:
        yield journal
