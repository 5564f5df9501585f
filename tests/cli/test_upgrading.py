"""A store of 0.1.0 is looked at before the upgrade: which of its versions 0.2.0 refuses, and why."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Any

import psycopg
import pytest
import structlog
from click.testing import CliRunner

from halflap.cli import main
from halflap.engine.bundle import Bundle, _hash
from tests.store.test_written_by_0_1_0 import KEYS, written_database, written_file

LOADS = """
from halflap import Component, Config, Connection, Context, Integration, Writes, webhook

class Settings(Config):
    pass

integration = Integration("orders", config=Settings)

@integration.flow(trigger=webhook.request(dedupe="header:X-Id"))
async def placed(ctx: Context[Settings], event: dict) -> None:
    pass
"""
REFUSED = (
    LOADS
    + """
class Shop(Connection):
    pass

shop = Component("shop", connection=Shop)

@shop.action(writes=Writes(record="id", fields=("name",)))
async def rename(shop: Shop, id: str, name: str) -> None:
    'Rename a customer.'
"""
)
FORMER = LOADS.replace("header:X-Id", "header:X Id")
ENTRY = "orders:integration"


def published(number: int, text: str, lock: str = "0.1.0") -> tuple[Any, ...]:
    files, needs = (("orders.py", text.encode()),), (("halflap", lock),)
    bundle = Bundle(_hash(ENTRY, files, needs), ENTRY, files, needs)
    return bundle.hash, "orders", number, bundle.to_bytes(), "", number


def rows_of(refused: str) -> list[tuple[str, tuple[Any, ...]]]:
    """Return rows of the catalogue: an instance on a version that is refused, the newest one loads."""
    used = published(1, refused)
    return [
        *(("versions", each) for each in (used, published(2, REFUSED + "\n"), published(3, LOADS))),
        ("customers", ("cus_1", "Initech", None, 1)),
        (
            "instances",
            ("ins_1", "cus_1", "orders", "orders", used[0], 1, "active", None, None, 1, 1),
        ),
    ]


def written(kind: str, folder: Path, refused: str) -> dict[str, str]:
    """Make a store as 0.1.0 had written it, and return the settings to open it."""
    if kind == "sqlite":
        file = sqlite3.connect(written_file(folder) / "halflap.db")
        for table, row in rows_of(refused):
            file.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
        file.commit()
        file.close()
        return {"HALFLAP_KEYS": KEYS}
    url = written_database()
    with psycopg.connect(url, autocommit=True) as database:
        for table, row in rows_of(refused):
            marks = ", ".join(["%s"] * len(row))
            database.execute(f"INSERT INTO {table} VALUES ({marks})".encode(), row)
    return {"HALFLAP_KEYS": KEYS, "HALFLAP_STORE": url}


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_doctor_says_which_versions_of_a_store_of_0_1_0_are_refused(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    log = structlog.get_config()

    async def versions(name: str, refused: str) -> tuple[str, str]:
        folder = tmp_path / name
        settings = written(kind, folder, refused)
        environment = {"HALFLAP_SERVER": "http://127.0.0.1:9", "HALFLAP_PORT": "0", **settings}
        run = CliRunner(env=environment).invoke
        done = await asyncio.to_thread(run, main, ["doctor", "--dir", str(folder), "--json"])
        structlog.configure(**log)
        checks = {each["name"]: each for each in json.loads(done.stdout)["checks"]}
        return checks["versions"]["state"], checks["versions"]["said"]

    state, said = await versions("store", REFUSED)
    assert state == "fail", said
    assert said.startswith("orders version 1 (1 instance): orders.py:18: ")
    assert "Writes.__init__() missing 1 required positional argument: 'kind'" in said
    assert "version 2" not in said  # neither in use nor the newest
    assert await versions("former", FORMER) == (
        "warn",
        "orders version 1 (1 instance): orders.py:9: 'X Id' is not the name of a header; write X-Id",
    )
    control = await versions("control", LOADS + "\n\n")
    assert control == ("ok", "2 deployed or with instances, and loadable")
