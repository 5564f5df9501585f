"""Lists are read in a bounded number of statements, and in pages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest

from halflap.cli.client import NEXT, ApiAnswer, Client
from halflap.model import Event, FlowKey, Start, new_id
from halflap.store import sqlite
from halflap.store.postgres import jobs

MOST = 12
"""Statements that a list may need, its token's and its customer's look-up included."""


ours: ContextVar[list[str] | None] = ContextVar("ours", default=None)


class Counting:
    """A connection that counts the statements that are run on it."""

    def __init__(self, connection: Any, counted: list[str]) -> None:
        self._connection = connection
        self._counted = counted

    def execute(self, sql: str, *values: Any) -> Any:
        self._counted.append(sql)
        return self._connection.execute(sql, *values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


@contextmanager
def counted() -> Generator[list[str]]:
    """The statements that this task reads meanwhile, on either store."""
    statements: list[str] = []
    ours.set(statements)

    def counting(read: Callable[..., Any]) -> Callable[..., Any]:
        async def run(self: Any, job: Any) -> Any:
            if ours.get() is not statements:  # the engine looks for work, too
                return await read(self, job)
            return await read(self, lambda connection: job(Counting(connection, statements)))

        return run

    with pytest.MonkeyPatch.context() as patched:
        for owner in (sqlite.SqliteDatabase, sqlite.ScopedFile, jobs.PostgresJobs):
            patched.setattr(owner, "read", counting(owner.read))
        yield statements


async def grow(world: Any, first: int, last: int) -> None:
    """Make customers of these numbers, each with a connection and an instance that ran once."""
    catalogue = world.host.store.catalogue
    (version,) = await catalogue.versions.list("orders")

    async def one(n: int) -> Start:
        customer = await catalogue.customers.add(f"Customer {n:03}")
        await catalogue.connections.save(customer.id, "shop", f"shop {n}", {"base_url": "x"}, {})
        made = await catalogue.instances.add(customer.id, "orders", f"i{n}", version.hash)
        key = FlowKey(customer.id, made.id, "orders", "waiting", "nowhere", 0)  # so it never runs
        event = Event("POST", "", "", (), b"{}", world.host.clock())
        execution = new_id("exe")
        return Start(execution, key, event, execution)

    starts = await asyncio.gather(*map(one, range(first, last)))
    await world.host.store.journal.accept(starts, claim=0, lease=30_000_000)


LISTS: dict[str, dict[str, int]] = {
    "customers": {},
    "connections": {},
    "instances": {},
    "executions": {"limit": 200},
    "integrations": {},
    "tokens": {},
    "pauses": {},
    "bulks": {},
    "processes": {},
}


async def test_a_list_of_60_takes_as_many_statements_as_one_of_3(either: Any) -> None:
    await either.publish(either.bundle())
    await grow(either, 0, 3)
    taken: list[dict[str, int]] = []
    for more in (0, 57):
        await grow(either, 3, 3 + more)
        seen: dict[str, int] = {}
        for path, query in LISTS.items():
            await either.api("GET", f"/api/{path}", **query)  # what is loaded once, is loaded
            with counted() as statements:
                answer = await either.api("GET", f"/api/{path}", **query)
            assert answer.status == 200, path
            if path in ("customers", "connections", "instances"):
                assert len(answer.json) == 3 + more
            seen[path] = len(statements)
            assert len(statements) <= MOST, (path, statements)
        assert seen["executions"] > 0  # they are counted
        taken.append(seen)
    assert taken[0] == taken[1]


@pytest.mark.parametrize("path", ["customers", "connections", "instances"])
async def test_a_list_comes_in_pages_that_are_whole_together(either: Any, path: str) -> None:
    await either.publish(either.bundle())
    await grow(either, 0, 7)
    whole = (await either.api("GET", f"/api/{path}")).json
    found: list[Any] = []
    after: dict[str, str] = {}
    for expected in (3, 3, 1):
        page = await either.api("GET", f"/api/{path}", limit=3, **after)
        assert len(page.json) == expected
        found += page.json
        after = {"after": unquote(page.headers.get(NEXT, ""))}
    assert after == {"after": ""}
    assert found == whole


async def test_commands_read_lists_whole(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.publish(world.bundle())
    await grow(world, 0, 5)

    class Paging:
        """A line to the API that asks for pages of two."""

        async def call(
            self, method: str, path: str, query: str, body: bytes, kind: str, patience: float
        ) -> ApiAnswer:
            answer = await world.api(method, path, **dict(parse_qsl(query)), limit=2)
            return ApiAnswer(
                answer.status, "application/json", answer.body, answer.headers.get(NEXT)
            )

    api = Client(Paging())  # pyright: ignore[reportArgumentType]
    names = [each["name"] for each in await api.get("/api/customers")]
    assert names == [f"Customer {n:03}" for n in range(5)]
