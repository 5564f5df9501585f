from __future__ import annotations

from collections.abc import AsyncGenerator, Generator

import pytest

from halflap.lowcode.code import CodeRunner, Pool


@pytest.fixture(scope="session")
def pool() -> Generator[Pool]:
    """Workers for all tests that do not look at them."""
    pool = Pool()
    yield pool
    pool.close()


@pytest.fixture
async def runner(pool: Pool) -> AsyncGenerator[CodeRunner]:
    async with CodeRunner(workers=4, pool=pool) as runner:
        yield runner
