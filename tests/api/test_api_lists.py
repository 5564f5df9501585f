"""Lists are read in a bounded number of statements, and in pages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from urllib.parse import parse_qsl

import pytest

from halflap.cli.client import ApiAnswer, Client
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
    version, *_ = await catalogue.versions.list("orders")

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


LISTS: dict[str, dict[str, Any]] = {
    "customers": {"limit": 200, "q": "o", "total": True},
    "connections": {"limit": 200, "q": "o", "total": True},
    "instances": {"limit": 200, "q": "o", "state": "configured", "total": True},
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
                assert len(answer.json["items"]) == 3 + more
            seen[path] = len(statements)
            assert len(statements) <= MOST, (path, statements)
        assert seen["executions"] > 0  # they are counted
        taken.append(seen)
    assert taken[0] == taken[1]


async def test_lists_come_in_pages_that_are_whole_together(either: Any) -> None:
    versions, bundle = either.host.store.catalogue.versions, either.bundle().to_bytes()
    for n, name in enumerate(["orders"] * 7 + [f"other-{letter}" for letter in "abcdef"]):
        await versions.publish(name, f"{n:064}", bundle)
        await versions.move_target(name, "offered", f"{n:064}", expect=None)
    await grow(either, 0, 7)
    made = {
        "tokens": lambda n: {"customer": f"Customer {n:03}"},
        "users": lambda n: {"email": f"{n}@example.com"},
        "keys": lambda n: {"name": f"key {n}", "rights": ["read"]},
        "bulks": lambda n: {"do": "dismiss", "where": {"flow": f"flow{n}"}},
    }
    for path, draft in made.items():
        for n in range(7):
            answer = await either.api("POST", f"/api/{path}", draft(n))
            assert answer.status == 201, answer.body
    by_after = ("customers", "connections", "instances", "integrations", "offers")
    lists = {
        **dict.fromkeys((*by_after, "tokens", "users", "keys"), "after"),
        **dict.fromkeys(("bulks", "integrations/orders/versions"), "before"),
    }
    for path, by in lists.items():
        whole = await either.api.get(f"/api/{path}")
        assert whole["next"] is None
        found: list[Any] = []
        place: dict[str, Any] = {}
        for expected in (3, 3, 1):
            page = await either.api.get(f"/api/{path}", limit=3, **place)
            assert len(page["items"]) == expected, path
            found += page["items"]
            place = {by: page["next"]}
        assert place == {by: None}, path
        assert found == whole["items"], path


async def test_lists_are_filtered_and_counted(either: Any) -> None:
    version = await either.publish()
    await grow(either, 0, 3)
    catalogue = either.host.store.catalogue
    ada = await catalogue.customers.add("Ada & 100% Sons", "CRM_4711")
    await catalogue.customers.change(ada.id, private=True)
    team = await catalogue.connections.save(None, "cloud", "Shared", {}, {}, status="working")
    own = await catalogue.connections.save(ada.id, "shop", "Main", {}, {})
    made = await catalogue.instances.add(ada.id, "orders", "Wholesale", version)
    await catalogue.instances.move(made.id, ["configured"], "failed", error="it broke")

    async def listed(path: str, **query: Any) -> list[str]:
        page = await either.api.get(f"/api/{path}", total=True, **query)
        assert page["total"] == len(page["items"])
        return [each["id"] for each in page["items"]]

    for q in ("ada", "100%", "crm_4", ada.id, "DA & 1"):
        assert await listed("customers", q=q) == [ada.id], q
    for q, number in {"100_": 0, "crm%": 0, "": 4, "x" * 200: 0}.items():
        assert len(await listed("customers", q=q)) == number, q
    assert await listed("customers", private=True) == [ada.id]
    assert len(await listed("customers", private=False)) == 3
    for query in ({"q": "whole"}, {"q": "4711"}, {"q": made.id}, {"state": "active,failed"}):
        assert await listed("instances", **query) == [made.id], query
    assert await listed("instances", customer=ada.id, version=version) == [made.id]
    assert len(await listed("instances", integration="orders", version="1")) == 4
    assert await listed("instances", version="0" * 64) == []
    assert await listed("instances", integration="others") == []
    refused = await either.api("GET", "/api/instances", state="asleep")
    assert (refused.status, refused.kind) == (422, "ConfigError")
    assert list(refused.json["fields"]) == ["state"]
    assert await listed("connections", q="sons") == [own.id]
    assert await listed("connections", component="cloud") == [team.id]
    assert await listed("connections", status="working") == [team.id]
    both = await listed("connections", customer=ada.id)
    assert sorted(both) == sorted([team.id, own.id])  # made in one millisecond, in either order
    assert await listed("connections", customer=ada.id, status="untested") == [own.id]
    token = await either.token(ada.id)
    for path, expected in (("connections", own.id), ("instances", made.id)):
        page = await either.api.get(f"/api/{path}", total=True, token=token)
        assert ([each["id"] for each in page["items"]], page["total"]) == ([expected], 1), path
        page = await either.api.get(f"/api/{path}", q="customer", token=token)
        assert page["items"] == [], path


async def test_commands_read_lists_whole(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.publish(world.bundle())
    await grow(world, 0, 5)

    class Paging:
        """A line to the API that asks for pages of two."""

        async def call(
            self, method: str, path: str, query: str, body: bytes, kind: str, patience: float
        ) -> ApiAnswer:
            answer = await world.api(method, path, **{**dict(parse_qsl(query)), "limit": 2})
            return ApiAnswer(answer.status, "application/json", answer.body)

    api = Client(Paging())  # pyright: ignore[reportArgumentType]
    names = [each["name"] for each in await api.list(dict[str, Any], "customers")]
    assert names == [f"Customer {n:03}" for n in range(5)]
