"""A store that 0.1.0 wrote opens: its retention has two parts, and its data is pruned by them.

`written_by_0_1_0.json` has the rows of a store of each kind, as that code had written and pruned it:
executions of five instances that ended 35, 16, 10, 6 and 2 days ago, whose retentions were set for
events, steps, logs and large payloads; a dead letter, a dismissed one, one that waits and one queued.
"""

from __future__ import annotations

import base64
import json
import sqlite3
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from halflap.model import Outcome, Retention
from halflap.store import migrate as files
from halflap.store import schema
from halflap.store.catalogue.retentions import Retentions
from halflap.store.postgres import migrate as databases
from halflap.store.postgres import schema as postgres_schema
from halflap.store.postgres.guard import forced
from halflap.store.postgres.upgrading import advance
from halflap.store.protocol import Filter
from halflap.store.store import FILE, Store
from halflap.store.vault import Vault
from tests.cluster import fresh_url
from tests.conformance.test_retention import ALL, BARE, there

KEYS = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
WRITTEN = json.loads(Path(__file__).with_suffix("").with_name("written_by_0_1_0.json").read_text())
NOW: int = WRITTEN["now"]
APPLIED = {
    "sqlite": [
        "e6eb4788b41b27cc93e7037cf016efb2989372c9a3421f005e80f0a71521fad0",
        "6d763be4609a1ce722e528e495547c1521f78e3d28c2140605d2fd178f40b649",
    ],
    "postgresql": [
        "55542d9b4f09aeb2811932f99e7e2eb938c123bc9b95cdde72690a2f98e3f43c",
        "01886fcc86b43a6cf095e0b7b2a07b4c1506ff5fcf3342560add1301b56d3a6e",
    ],
}
"""The checksums of migrations that stores have: a change of the schema is a further one."""
SET = {
    "cus_2": Retention(execution=60, payload=20),
    "ins_parts": Retention(payload=7),
    "ins_decl/integration": Retention(execution=10, payload=5),
}
LEFT = {
    **{f"ins_plain {days}": ALL for days in (16, 10, 6, 2)},
    **{f"ins_blobs {days}": ALL for days in (16, 10, 6, 2)},
    **{f"ins_long {days}": ALL for days in (16, 10, 6, 2)},
    **{f"ins_parts {days}": ALL for days in (6, 2)},
    **{f"{name} 35": set[str]() for name in ("ins_plain", "ins_parts", "ins_decl", "ins_blobs")},
    "ins_long 35": {"row", "steps"},  # its logs had gone
    "ins_parts 16": {"row", "logs"},
    "ins_parts 10": BARE,
    "dismissed": {"row", "logs"},
    "ins_decl 16": set[str](),
    "ins_decl 10": BARE,
    "ins_decl 6": BARE,
    "ins_decl 2": ALL,
    "letter": ALL,
    "waiting": {"row", "event", "steps", "values", "logs"},
    "queued": {"row", "event"},
}
LEFT["waiting"] = {*LEFT["waiting"]}


def value(each: Any) -> Any:
    return base64.b64decode(each["$b"]) if isinstance(each, dict) else each


def written_file(folder: Path) -> Path:
    folder.mkdir()
    connection = sqlite3.connect(folder / FILE)
    files.migrate(connection, schema.MIGRATIONS[:1], clock=lambda: 1)
    for table, found in WRITTEN["sqlite"]["tables"].items():
        marks = ", ".join("?" * len(found["columns"]))
        columns = ", ".join(found["columns"])
        connection.executemany(
            f"INSERT OR REPLACE INTO {table} ({columns}) VALUES ({marks})",
            [[value(each) for each in row] for row in found["rows"]],
        )
    connection.commit()
    connection.close()
    return folder


def written_database() -> str:
    url = fresh_url()
    with psycopg.connect(url, autocommit=True) as connection:
        databases.migrate(connection, postgres_schema.MIGRATIONS[:1], clock=lambda: 1)
        for leaf in WRITTEN["postgresql"]["leaves"]:
            parent, slot, *kind = leaf.split("_")
            if slot == "other":
                continue
            values = (
                f"FROM ({slot}, {kind[0]}) TO ({slot}, {int(kind[0]) + 1})"
                if kind
                else f"IN ({slot})"
            )
            connection.execute(
                f"CREATE TABLE {leaf} (LIKE {parent} INCLUDING ALL); {forced(leaf)}"
                f"ALTER TABLE {parent} ATTACH PARTITION {leaf} FOR VALUES {values}".encode()
            )
        for table, found in WRITTEN["postgresql"]["tables"].items():
            if table in ("changes", "migrations"):
                continue
            columns = [sql.Identifier(each) for each in found["columns"]]
            insert = sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE VALUES ({})").format(
                sql.Identifier(table),
                sql.SQL(", ").join(columns),
                sql.SQL(", ").join([sql.Placeholder()] * len(columns)),
            )
            for row in found["rows"]:
                connection.execute(insert, [value(each) for each in row])
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def written(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path | str]:
    kind: str = request.param
    return kind, written_file(tmp_path / "store") if kind == "sqlite" else written_database()


async def opened(place: Path | str) -> Store:
    store = await Store.open(place, clock=lambda: NOW, vault=Vault.from_text(KEYS))
    store.catalogue.retentions.default = Retention(30)
    return store


async def pruned(store: Store) -> None:
    retentions: Retentions = store.catalogue.retentions
    for _ in range(200):
        if not await store.journal.prune(await retentions.rules(), 7):
            return
    raise AssertionError("there is always more to prune")


async def test_migrations_that_stores_have_are_what_they_were() -> None:
    for kind, known in (
        ("sqlite", schema.MIGRATIONS),
        ("postgresql", postgres_schema.MIGRATIONS),
    ):
        found = [each.checksum("before") for each in known]
        assert found[: len(APPLIED[kind])] == APPLIED[kind], kind


async def test_it_opens_and_is_pruned_by_its_retention(written: tuple[str, Path | str]) -> None:
    kind, place = written
    ids: dict[str, str] = WRITTEN[kind]["executions"]
    store = await opened(place)
    recent = ids["ins_parts 2"]
    if kind == "postgresql":
        end_as_older_servers_do(str(place), recent)
        assert await there(store.journal, recent) == {"row"}
    assert (await store.catalogue.retentions.rules()).levels == SET
    for name, was in WRITTEN[kind]["there"].items():
        found = await there(store.journal, ids[name])
        if kind == "postgresql" and ids[name] == recent:
            continue
        if "event" in was and "logs" in was:
            assert found & set(was) == set(was), name
        elif not was:
            assert found == set(), name
    await pruned(store)
    for name, left in LEFT.items():
        assert await there(store.journal, ids[name]) == left, name
    bare = await store.journal.execution(ids["ins_parts 10"])
    assert bare is not None
    assert bare.payload_removed
    (claim,) = await store.journal.claim(5, 60_000_000)
    assert claim.start.execution == ids["queued"]
    assert await store.journal.signal(ids["waiting"], "go", b"1") == "sent"
    (again,) = await store.journal.claim(5, 60_000_000)
    assert again.start.execution == ids["waiting"]
    await store.journal.end(again.lease, [], [], Outcome("succeeded"))
    if kind == "postgresql":
        end_as_older_servers_do(str(place), recent)
        await store.close()
        advance(str(place), finish=True)
        store = await opened(place)
        assert await there(store.journal, recent) == ALL
        await pruned(store)
    await store.close()


def end_as_older_servers_do(url: str, execution: str) -> None:
    """Have an execution ended as a server of 0.1.0 does that runs beside ours."""
    empty = "UPDATE history SET head = NULL, body = NULL, steps = NULL, logs = NULL WHERE id = %s"
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(
            "SELECT slot, head, body, steps, logs FROM history WHERE id = %s", (execution,)
        ).fetchone()
        assert row is not None
        slot, head, *parts = row
        connection.execute(empty, (execution,))
        for kind, data in enumerate(parts, 1):
            values = (slot, execution, kind, data, head if kind == 1 else None)
            connection.execute("INSERT INTO parts VALUES (%s, %s, %s, %s, %s)", values)


async def test_each_execution_still_has_what_was_its_own(tmp_path: Path) -> None:
    folder = written_file(tmp_path / "store")
    with sqlite3.connect(folder / FILE) as connection:
        connection.execute("UPDATE executions SET removed = 0")
        for each in (
            "UPDATE events SET body = CAST(execution AS BLOB)",
            "UPDATE steps SET inputs = CAST(execution || path AS BLOB)",
            "UPDATE logs SET message = execution",
        ):
            assert connection.execute(each).rowcount >= 20
        parts = {
            table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("events", "steps", "logs")
        }
        connection.execute("UPDATE steps SET execution = 'exe_gone' WHERE rowid = 1")
    connection.close()
    store = await opened(folder)
    found = dict.fromkeys(parts, 0)
    for each in await store.journal.executions(Filter(limit=100)):
        event = await store.journal.event(each.id)
        steps = await store.journal.steps(each.id)
        lines = [line.message for _, line in await store.journal.logs(each.id)]
        assert event is None or event.body == each.id.encode()
        assert [step.inputs for step in steps] == [f"{each.id}{s.path}".encode() for s in steps]
        assert set(lines) <= {each.id}
        for table, some in (("events", event and [event]), ("steps", steps), ("logs", lines)):
            found[table] += len(some or ())
    assert found == {**parts, "steps": parts["steps"] - 1}
    await store.close()
