from __future__ import annotations

from collections.abc import Generator

import pytest

from halflap.lowcode.code import CodeRunner, Pool


@pytest.fixture(scope="session")
def pool() -> Generator[Pool]:
    """Workers for all tests that do not look at them."""
    pool = Pool()
    yield pool
    pool.close()


@pytest.fixture
async def runner(pool: Pool) -> CodeRunner:
    return CodeRunner(pool, workers=4)


@pytest.fixture
def own() -> Generator[Pool]:
    """Workers for one test, which looks at them."""
    pool = Pool()
    yield pool
    pool.close()
