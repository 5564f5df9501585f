"""Scopes: whose rows are seen and written, on both kinds of store, whatever a query forgets."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from halflap.errors import NotFound, StoreError
from halflap.model import (
    CustomerLimits,
    Event,
    FlowKey,
    Instance,
    LogLine,
    Outcome,
    Paused,
    Record,
    Rejection,
    Retention,
    Start,
    StateWrite,
    Throttled,
    new_id,
)
from halflap.store.blobs.register import Note, Register
from halflap.store.catalogue.outcomes import ADD, SHORT
from halflap.store.job import JobTransaction
from halflap.store.protocol import Filter, Lease, Written
from halflap.store.scope import MADE, SEEN, WHOLE, CustomerScope
from halflap.store.shards import ListenerKey
from halflap.store.store import Store
from halflap.store.vault import Vault
from tests.cluster import emptied_url, kept_sessions

VAULT = Vault.from_text("k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
LEASE = 60_000_000
OF_THE_TEAM = {"versions", "targets"}


@dataclass
class Both:
    """A store with two customers, who have the same: `mine` of the one, `others` of the other."""

    store: Store
    mine: Instance
    others: Instance
    ended: dict[str, list[str]]


@pytest.fixture(params=["file", "postgresql"])
async def both(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Both]:
    place = tmp_path if request.param == "file" else emptied_url()
    with kept_sessions():
        store = await Store.open(place, vault=VAULT)
        try:
            await store.catalogue.versions.publish("sync", "f" * 64, b"bundle")
            await store.catalogue.versions.move_target("sync", "dev", "f" * 64, expect=None)
            await store.catalogue.connections.save(None, "app", "the team's", {}, {})
            ended: dict[str, list[str]] = {}
            mine, others = [await fill(store, name, ended) for name in ("Mine", "Others")]
            yield Both(store, mine, others, ended)
        finally:
            await store.close()


async def fill(store: Store, name: str, ended: dict[str, list[str]]) -> Instance:
    """Give a customer a row in every table."""
    catalogue, journal = store.catalogue, store.journal
    customer = await catalogue.customers.add(name, f"crm-{name}")
    connection = await catalogue.connections.save(customer.id, "app", "app", {}, {"key": "s"})
    instance = await catalogue.instances.add(customer.id, "sync", "sync", "f" * 64)
    await catalogue.instances.set_revision(instance.id, {"a": 1}, {"app": connection.id})
    endpoints = await catalogue.endpoints.ensure(instance.id, ["in"])
    await catalogue.subscriptions.put(instance.id, "in", "r1", "s", {}, "f" * 64)
    await catalogue.instances.note_tick(instance.id, "in", 1)
    catalogue.rejections.note(Rejection(endpoints["in"].id, 1, "why", 401, ()))
    catalogue.counters.count(instance.id, "in", "filtered")
    await catalogue.settled()
    await catalogue.tokens.make(customer.id, "manage", LEASE)
    await journal.rest(connection.id, Throttled(2**60, "429"))
    await journal.write_state([StateWrite(f"pairs:{instance.id}:p", "k", b"1")])
    await Register(store.database, store.clock).note(
        [Note(f"{customer.id}/{name}", "exe_none", "step", 1)]
    )
    flow = FlowKey(customer.id, instance.id, "sync", "in", "f" * 64, 1)
    ids = [new_id("exe", now=store.clock()) for _ in range(3)]
    starts = [
        Start(execution=id, flow=flow, event=Event("POST", "/", "", (), b"{}", 1), root=id)
        for id in ids
    ]
    accepted = await journal.accept(starts, claim=3, lease=LEASE)
    leases = [each.claim.lease for each in accepted if each.claim is not None]
    record = Record(
        seq=1,
        path="a#1",
        kind="action",
        name="a",
        title="a",
        status="succeeded",
        pure=False,
        tries=1,
        started_at=1,
        ended_at=2,
        inputs=b"{}",
        result=b"{}",
    )
    for lease in leases:
        await journal.commit(lease, [record], [LogLine(1, "info", "x", b"{}", "")])
    assert await end(store, leases[0], Outcome("succeeded", "", b"1", None)) is Written.DONE
    assert await end(store, leases[1], Outcome("failed", "why", None, None)) is Written.DONE
    await journal.signal(ids[2], "go", b"1")
    await journal.pause(Paused(instance.id, 1, "me", "why"))
    listener = ListenerKey(instance.id, customer.id, "in", "s1")
    await journal.shards.share(name, [listener], (), LEASE)
    await journal.set_limits(customer.id, CustomerLimits(backlog=5))
    await catalogue.retentions.put(customer.id, Retention(payload=7))
    counted = (SHORT, customer.id, 0, "sync", "in", "v1", "succeeded", "", 3, 1)
    await store.database.write(lambda c: c.execute(ADD, counted).rowcount)
    ended[customer.id] = ids
    return instance


async def end(store: Store, lease: Lease, outcome: Outcome) -> Written:
    return await store.journal.end(lease, [], [], outcome)


async def rows(jobs: Any, table: str) -> list[Any]:
    """All rows of a table, as a query has them that forgets whose they are."""
    return await jobs.read(lambda c: c.execute(f"SELECT * FROM {table}").fetchall())


async def test_a_query_that_forgets_whose_sees_the_scopes_rows_and_no_others(both: Both) -> None:
    database = both.store.database
    mine = database.within(CustomerScope(both.mine.customer))
    others = database.within(CustomerScope(both.others.customer))
    nobody = database.within(CustomerScope("cus_nobody"))
    there = {name for (name,) in await tables(both.store)}
    seen: dict[str, tuple[int, int, int]] = {}
    for table in set(SEEN) & there:
        everything = await rows(database, table)  # the control: the engine sees all
        assert len(await rows(database.within(WHOLE), table)) == len(everything)
        found = await rows(mine, table)
        seen[table] = (len(found), len(await rows(others, table)), len(everything))
        if table in OF_THE_TEAM:
            assert seen[table] == (1, 1, 1)
            continue
        of_nobody = len(await rows(nobody, table))  # the team's connection
        assert of_nobody == (1 if table == "connections" else 0), table
        assert seen[table][0] == seen[table][1], table
        assert sum(seen[table][:2]) - of_nobody == seen[table][2], table
        assert all(both.others.customer not in map(str, row) for row in found), table
        assert all(both.others.id not in map(str, row) for row in found), table
    # Attempts and orders come only where something failed, or has an order.
    empty = {table for table, (_, _, count) in seen.items() if not count}
    assert empty <= {"attempts", "orders"}


async def test_what_no_customer_has_to_do_with_shows_nothing(both: Both) -> None:
    mine = both.store.database.within(CustomerScope(both.mine.customer))
    for table in ("known", "tokens", "settings", "bulks"):
        try:
            assert await rows(mine, table) == []  # SQLite
        except StoreError as error:
            refused = error.__cause__
            assert type(refused).__name__ == "InsufficientPrivilege"
    assert len(await rows(both.store.database, "known")) == 6  # the control


async def tables(store: Store) -> list[Any]:
    sql = "SELECT name FROM sqlite_schema WHERE type = 'table'"
    if store.where.startswith("postgresql"):
        sql = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
    return await store.database.read(lambda c: c.execute(sql).fetchall())


async def test_what_is_out_of_scope_is_changed_by_nobody(both: Both) -> None:
    mine = both.store.database.within(CustomerScope(both.mine.customer))
    for table in (*MADE, "customers", "endpoints", "versions"):
        before = await rows(both.store.database, table)
        theirs = "customer" if table in (*MADE, "endpoints") else "id"
        column, value = (
            ("hash", "f" * 64) if table == "versions" else (theirs, both.others.customer)
        )

        def remove(c: JobTransaction, sql: str = f"DELETE FROM {table} WHERE {column} = ?") -> int:
            return c.execute(sql, (value,)).rowcount  # noqa: B023

        # SQLite refuses; PostgreSQL finds nothing to remove, or has not let it.
        with contextlib.suppress(NotFound, StoreError):
            assert await mine.write(remove) == 0
        assert await rows(both.store.database, table) == before


async def test_what_is_made_for_another_customer_is_refused(both: Both) -> None:
    jobs = both.store.database

    def give_away(c: JobTransaction) -> int:
        sql = "UPDATE connections SET customer = ? WHERE customer = ?"
        return c.execute(sql, (both.others.customer, both.mine.customer)).rowcount

    def unnamed(c: JobTransaction) -> int:
        sql = "UPDATE connections SET name = name || ? WHERE customer = ?"
        return c.execute(sql, ("!", both.mine.customer)).rowcount

    before = await rows(jobs, "connections")
    with pytest.raises(Exception, match=r"no such thing|row-level security"):
        await jobs.within(CustomerScope(both.mine.customer)).write(give_away)
    assert await rows(jobs, "connections") == before
    # The controls: its own may be changed, and in no scope all.
    assert await jobs.within(CustomerScope(both.mine.customer)).write(unnamed) == 1


async def test_a_row_cannot_be_of_another_customer_than_what_it_hangs_on(both: Both) -> None:
    inserts = {
        "endpoints": ("(id, instance, customer, flow, secret, made_at)", ("hk_1", "new", b"s", 1)),
        "revisions": ("(number, instance, customer, config, connections, made_at)", (9, "", "", 1)),
        "schedules": ("(flow, instance, customer, last_tick)", ("new", 1)),
        "subscriptions": (
            "(flow, instance, customer, remote_id, data, version, made_at)",
            ("new", "r", "", "f", 1),
        ),
    }
    for table, (columns, (first, *more)) in inserts.items():
        places = ", ".join("?" * (len(more) + 3))
        sql = f"INSERT INTO {table} {columns} VALUES ({places})"

        def insert(c: JobTransaction, whose: str) -> None:
            c.execute(sql, (first, both.mine.id, whose, *more))  # noqa: B023

        with pytest.raises(Exception, match=r"(?i)foreign key"):
            await both.store.database.write(lambda c: insert(c, both.others.customer))
        await both.store.database.write(lambda c: insert(c, both.mine.customer))


async def test_the_catalogue_in_a_scope_knows_of_no_other_customer(both: Both) -> None:
    view = both.store.within(CustomerScope(both.mine.customer))
    whole = both.store.within(WHOLE)
    assert [each.id for each in await view.catalogue.customers.list()] == [both.mine.customer]
    assert len(await whole.catalogue.customers.list()) == 2
    for id in (both.others.customer, "Others"):
        with pytest.raises(NotFound):
            await view.catalogue.customers.get(id)
    assert await view.catalogue.customers.by_external_id("crm-Others") is None
    with pytest.raises(NotFound):
        await view.catalogue.instances.set_revision(both.others.id, {}, {})
    made = await view.catalogue.connections.save(both.mine.customer, "app", "new", {}, {"k": "s"})
    assert await view.catalogue.connections.open_secrets(made.id) == {"k": "s"}
    changed = both.store.catalogue.changed
    await view.catalogue.connections.remove(made.id)
    assert both.store.catalogue.changed > changed  # caches hear of what is changed in a scope


async def test_the_journal_in_a_scope_knows_of_no_other_customer(both: Both) -> None:
    journal = both.store.within(CustomerScope(both.mine.customer)).journal
    mine, others = both.ended[both.mine.customer], both.ended[both.others.customer]
    assert {each.id for each in await journal.executions(Filter())} == set(mine)
    assert await journal.executions(Filter(customer=both.others.customer)) == []
    assert sum((await journal.count(Filter())).values()) == 3
    assert sum(each.count for each in await journal.tally(Filter())) == 3
    live = Filter(instance=both.mine.id, states=("queued", "running", "waiting"))
    assert [each.id for each in await journal.executions(live)] == [mine[2]]
    for own, foreign in zip(mine, others, strict=True):
        assert await journal.execution(own) is not None
        assert await journal.event(own) is not None
        assert len(await journal.steps(own)) == 1
        assert len(await journal.logs(own)) == 1
        assert await journal.execution(foreign) is None
        assert await journal.event(foreign) is None
        assert (await journal.steps(foreign), await journal.logs(foreign)) == ([], [])
    assert await journal.list_state(f"pairs:{both.mine.id}:p") == {"k": b"1"}
    assert await journal.list_state(f"pairs:{both.others.id}:p") == {}


async def test_a_scope_is_said_and_never_empty() -> None:
    with pytest.raises(ValueError, match="not empty"):
        CustomerScope("")
    with pytest.raises(TypeError):
        CustomerScope()  # type: ignore[call-arg]
