"""One running sandbox Salesforce for all tests of a module about its metadata."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.sandbox.metadata_calls import Caller, Salesforce, running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def salesforce() -> AsyncIterator[Salesforce]:
    async with running() as salesforce:
        yield salesforce


@pytest.fixture
def caller(salesforce: Salesforce) -> Caller:
    return salesforce.sign_in()
