from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from halflap.lowcode.code import CodeRunner


@pytest.fixture
async def runner() -> AsyncGenerator[CodeRunner]:
    async with CodeRunner(workers=2) as runner:
        yield runner
