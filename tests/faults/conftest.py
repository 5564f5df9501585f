from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest

from tests.cluster import fresh_url
from tests.faults.clock import WallClock
from tests.faults.sink import Sink, serving_sink


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with serving_sink() as sink:
        yield sink


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def store(request: pytest.FixtureRequest) -> Store:
    """A store on either, whose database stays up: what fails is the server on it."""
    if request.param == "SQLite":
        return Store("", "")
    return Store(fresh_url(), ", PostgreSQL")


SOAKED_ON_POSTGRESQL = pytest.mark.parametrize(
    "store", ["SQLite", pytest.param("PostgreSQL", marks=pytest.mark.soak)], indirect=True
)
"""For what gateways and workers of their own prove on PostgreSQL in each commit (`test_many`)."""


@dataclass(frozen=True, slots=True)
class Store:
    """Where a run's store is: a URL, or nothing for a file; and what its figures are called by."""

    url: str
    name: str


@pytest.fixture
def clock() -> Iterator[WallClock]:
    """The clock of a store, to be set while processes run."""
    clock = WallClock()
    yield clock
    clock.close()


def needs(there: object, what: str) -> None:
    """Skip where the machine lacks what a fault takes; on CI that is a failure."""
    if there:
        return
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(f"{what}; on CI this test must run")
    pytest.skip(what)
