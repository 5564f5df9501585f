"""Row-level security: that it is on, that it bites, that no connection keeps a scope."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from bench.cluster import find_programs
from halflap.errors import StoreError
from halflap.model import Event, FlowKey, Outcome, Start, new_id
from halflap.store.postgres.database import PostgresDatabase
from halflap.store.postgres.examination import examine
from halflap.store.postgres.guard import NOBODYS, OURS, SETTING, unguarded
from halflap.store.postgres.history import PLACES
from halflap.store.postgres.jobs import PostgresJobs
from halflap.store.postgres.partitions import DAY, Partitions
from halflap.store.postgres.slots import SlotPartition, first_slot
from halflap.store.scope import SEEN, CustomerScope
from halflap.store.store import Store
from halflap.store.vault import Vault
from tests.cluster import ordinary_url, server, started, url_of_user
from tests.polling import DEADLINE

VAULT = Vault.from_text("k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
WHO = (
    f"SELECT current_user::text, coalesce(current_setting('{SETTING}', true), ''), pg_backend_pid()"
)
COUNT = "SELECT count(*) FROM customers"


@pytest.fixture(scope="module")
def url() -> str:
    """A store for the tests that leave it as it is."""
    return asyncio.run(filled())


async def filled() -> str:
    """A store of two customers, each with an execution that succeeded and one that waits to run."""
    url = ordinary_url()
    store = await Store.open(url, vault=VAULT)
    for name in ("Mine", "Others"):
        customer = (await store.catalogue.customers.add(name)).id
        flow = FlowKey(customer, f"ins_of_{name}", "sync", "in", "f" * 64, 1)
        ids = [new_id("exe", now=store.clock()) for _ in range(2)]
        event = Event("POST", "/", "", (), b"{}", 1)
        starts = [Start(execution=id, flow=flow, event=event, root=id) for id in ids]
        accepted = await store.journal.accept(starts, claim=1, lease=60_000_000)
        [lease] = [each.claim.lease for each in accepted if each.claim is not None]
        await store.journal.end(lease, [], [], Outcome("succeeded", "", None, None))
    await store.close()
    return url


@contextmanager
def altered(do: str, undo: str) -> Iterator[None]:
    """The cluster otherwise for a while, as a superuser may have it."""
    with psycopg.connect(server(), autocommit=True) as connection:
        connection.execute(do.encode())
        try:
            yield
        finally:
            connection.execute(undo.encode())


def look(url: str, sql: str) -> list[Any]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(sql.encode()).fetchall()


def change(url: str, sql: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.encode())


async def customers(url: str) -> tuple[str, str]:
    """The ids of the two."""
    (mine,), (others,) = look(url, "SELECT id FROM customers ORDER BY name")
    return mine, others


async def test_every_table_with_rows_of_customers_is_guarded() -> None:
    url = await filled()
    with psycopg.connect(url, autocommit=True) as connection:
        assert unguarded(connection) == []
        # The control: a table that comes without a policy, or with too little, is noticed.
        connection.execute("CREATE TABLE things (customer text)")
        assert unguarded(connection) == ["things"]
        connection.execute("ALTER TABLE things ENABLE ROW LEVEL SECURITY")
        assert unguarded(connection) == ["things"]
        connection.execute("ALTER TABLE things FORCE ROW LEVEL SECURITY")
        assert unguarded(connection) == ["things"]
        connection.execute("CREATE POLICY sees ON things USING (false)")
        assert unguarded(connection) == []
        named = {
            row[0]
            for row in connection.execute(
                "SELECT table_name FROM information_schema.columns"
                " WHERE table_schema = current_schema() AND column_name = 'customer'"
            )
        }
    assert not named & set(NOBODYS)
    assert len(named) > 10


async def test_days_of_the_history_that_are_made_later_are_guarded(url: str) -> None:
    database = await PostgresDatabase.open(url)
    day = database.clock() // DAY + 400
    await Partitions(database).make(day * DAY)
    await database.close()
    with psycopg.connect(url, autocommit=True) as connection:
        assert unguarded(connection) == []
        leaf = SlotPartition(first_slot(day * DAY))
        made = connection.execute("SELECT to_regclass(%s)::text", (leaf.name,)).fetchone()
        assert made == (leaf.name,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(
                f"BEGIN; SET LOCAL ROLE halflap_api; SELECT * FROM {leaf.name}".encode()
            )
        connection.execute("ROLLBACK")


async def test_in_no_scope_there_are_no_rows(url: str) -> None:
    with psycopg.connect(url) as connection:
        everything = {t: connection.execute(f"SELECT FROM {t}".encode()).rowcount for t in SEEN}
        connection.execute("SET LOCAL ROLE halflap_api")
        for nothing in (None, "", "*", "cus_", "%"):  # and there is no name for all
            if nothing is not None:
                connection.execute("SELECT set_config(%s, %s, true)", (SETTING, nothing))
            for table in SEEN:
                assert connection.execute(f"SELECT FROM {table}".encode()).rowcount == 0, table
    assert everything["history"] == everything["executions"] == everything["customers"] == 2


async def test_what_the_api_has_no_use_for_it_has_no_right_to(url: str) -> None:
    for table in (*OURS, "settings", "known", "history_other"):
        with (
            psycopg.connect(url) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(f"SET LOCAL ROLE halflap_api; SELECT FROM {table}".encode())


async def test_a_customers_lists_are_found_by_their_indexes() -> None:
    url = await filled()
    mine, _ = await customers(url)
    fill = """
        INSERT INTO history (id, customer, instance, integration, flow, version, revision, state,
            attempt, root, accepted_at, ended_at, reason, received_at, part, head, body, steps,
            logs, attempts, slot)
        SELECT 'exe_' || n, CASE n % 50 WHEN 0 THEN %s ELSE 'cus_' || n % 50 END, 'ins_' || n % 50,
            '', '', '', 1, 'succeeded', 1, '', n, n, '', n, 0, '', '', '', '', '', 0
        FROM generate_series(1, 100000) AS n
    """
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(fill.replace("% 50", "%% 50"), (mine,))
        connection.execute("ANALYZE history")
    database = await PostgresDatabase.open(url)
    try:
        for where, index in (("true", "customer_a"), ("instance = 'ins_0'", "instance_a")):
            sql = f"EXPLAIN SELECT {PLACES['history']} FROM history WHERE {where}"
            sql = f"{sql} ORDER BY accepted_at DESC, id DESC LIMIT 50"
            plan = "\n".join(
                row[0] for row in await database.within(CustomerScope(mine)).fetch(sql)
            )
            assert re.search(rf"Index Scan Backward using history_other_\w*{index}", plan), plan
            assert "on history_other" in plan
            assert "Seq Scan on history_other" not in plan, plan
            assert "-> Sort " not in re.sub(" +", " ", plan), plan
    finally:
        await database.close()


async def test_a_connection_that_goes_back_keeps_no_scope(url: str) -> None:
    mine, _ = await customers(url)
    database = await PostgresDatabase.open(url, connections=1)
    try:
        [before] = await database.fetch(WHO)
        scoped = database.within(CustomerScope(mine))
        assert [row[:2] for row in await scoped.fetch(WHO)] == [("halflap_api", mine)]
        assert await database.fetch(WHO) == [before]

        with pytest.raises(psycopg.Error):  # it fails midway
            await scoped.fetch("SELECT 1 / (count(*) - 1) FROM customers")
        assert await database.fetch(WHO) == [before]  # on the same connection

        async def fails(connection: Any) -> None:
            await connection.execute("SELECT count(*) FROM customers")
            raise RuntimeError("midway")

        with pytest.raises(RuntimeError):
            await scoped.write(fails)
        assert await database.fetch(WHO) == [before]

        under_way = asyncio.create_task(scoped.fetch("SELECT pg_sleep(600)"))
        running = (
            "SELECT FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)'"
            " AND query NOT LIKE '%pg_stat_activity%' AND state = 'active'"
        )
        async with asyncio.timeout(DEADLINE):
            while not look(url, running):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        under_way.cancel()
        with pytest.raises(asyncio.CancelledError):
            await under_way
        [after] = await database.fetch(WHO)
        assert after[:2] == before[:2]
        assert await database.fetch(COUNT) == [(2,)]
    finally:
        await database.close()


async def test_a_thread_that_reads_keeps_no_scope(url: str) -> None:
    mine, _ = await customers(url)
    jobs = PostgresJobs(await PostgresDatabase.open(url))
    scoped = jobs.within(CustomerScope(mine))

    def who(connection: Any) -> Any:
        return connection.execute(WHO).fetchone()[:2]

    def fails(connection: Any) -> None:
        assert who(connection) == ("halflap_api", mine)
        raise RuntimeError("midway")

    def breaks(connection: Any) -> None:
        connection.execute("SELECT nonsense")

    try:
        before = await jobs.read(who)
        assert await scoped.read(who) == await scoped.write(who) == ("halflap_api", mine)
        for run in (scoped.read, scoped.write):
            with pytest.raises(RuntimeError):
                await run(fails)
            with pytest.raises(psycopg.Error):
                await run(breaks)
        for _ in range(4):  # whichever of the connections that read it is
            assert await jobs.read(who) == await jobs.write(who) == before
    finally:
        await jobs.close()


async def test_the_role_is_made_by_whoever_may_else_it_is_said_what_to_run() -> None:
    server = started()  # where nobody has made the role yet
    with pytest.raises(StoreError, match="CREATE ROLE halflap_api NOLOGIN") as refused:
        await Store.open(url_of_user(server), vault=VAULT)
    makes, grants, _ = refused.value.message.partition("run, once: ")[2].split(";")
    with psycopg.connect(server, autocommit=True) as connection:
        # What is said is what helps.
        user = re.findall(r"u\d+_\d+", grants)[0]
        connection.execute(makes.encode())
        connection.execute(grants.encode())
        connection.execute(f"REVOKE halflap_api FROM {user}; DROP ROLE halflap_api".encode())
    url = url_of_user(server, rights="CREATEROLE")
    store = await Store.open(url, vault=VAULT)
    await store.close()
    assert finding(url) == ""
    with pytest.raises(StoreError, match=r"GRANT halflap_api TO .* WITH INHERIT FALSE") as refused:
        await Store.open(url_of_user(server), vault=VAULT)
    assert "CREATE ROLE" not in refused.value.message


async def test_a_role_that_sees_everything_is_refused(url: str) -> None:
    with altered("ALTER ROLE halflap_api BYPASSRLS", "ALTER ROLE halflap_api NOBYPASSRLS"):
        with pytest.raises(StoreError, match="NOSUPERUSER NOBYPASSRLS"):
            await Store.open(url, vault=VAULT)
        assert "BYPASSRLS" in finding(url)
    assert finding(url) == ""


def finding(url: str) -> str:
    """Return the doctor's finding about the guard; nothing where it is well."""
    [found] = [each for each in examine(url, VAULT) if each.name == "row security"]
    return "" if found.state == "ok" else f"{found.state}: {found.said}; {found.mend}"


HARMS = [
    (
        "REVOKE SELECT ON executions FROM halflap_api",
        "executions.*GRANT SELECT",
        "GRANT SELECT ON executions TO halflap_api",
    ),
    (
        "ALTER TABLE executions DISABLE ROW LEVEL SECURITY",
        "executions",
        "ALTER TABLE executions ENABLE ROW LEVEL SECURITY",
    ),
    (
        "ALTER TABLE steps NO FORCE ROW LEVEL SECURITY",
        "steps",
        "ALTER TABLE steps FORCE ROW LEVEL SECURITY",
    ),
    ("CREATE TABLE things (customer text)", "things", "DROP TABLE things"),
    ("DROP POLICY engine ON history", "history", ""),
]


async def test_the_doctor_finds_a_guard_that_is_down() -> None:
    url = await filled()
    for harm, named, mend in HARMS:
        assert finding(url) == ""
        change(url, harm)
        assert re.match(f"fail: .*{named}", finding(url)), finding(url)
        change(url, mend)


async def test_the_doctor_finds_a_role_that_may_log_in(url: str) -> None:
    with altered("ALTER ROLE halflap_api LOGIN", "ALTER ROLE halflap_api NOLOGIN"):
        assert finding(url).startswith("warn: ")


def test_a_dump_by_halflaps_user_has_every_row_or_fails(url: str) -> None:
    schema = conninfo_to_dict(url)["options"].rpartition("=")[2]  # pyright: ignore[reportOptionalMemberAccess]
    command = [find_programs() / "pg_dump", "--dbname", url, "--schema", schema]
    whole = subprocess.run(
        [*command, "--enable-row-security"], capture_output=True, text=True, check=True
    )
    assert {"Mine", "Others"} <= set(whole.stdout.split())
    assert len(set(re.findall(r"exe_\w+", whole.stdout))) == 4
    part = subprocess.run(command, capture_output=True, text=True)
    assert part.returncode != 0
    assert "row-level security" in part.stderr
