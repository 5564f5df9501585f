"""A process is killed between a change and the answer to it: the audit log tells of the change."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from halflap.server.host import Host
from halflap.server.settings import Settings
from halflap.store.catalogue.customers import CustomerFilter
from tests.api.conftest import KEYS, TOKEN, Client
from tests.cluster import fresh_url
from tests.zygote import PYTHON

# It dies as it is about to complete the entry, which is where the whole of it was once written.
CHILD = """
import asyncio, json, os, signal, sys
from halflap.server.host import Host
from halflap.store import sqlite
from halflap.store.catalogue.audit import AuditLog
from halflap.store.postgres import database
from tests.api.conftest import Client
from tests.faults.test_audit_kill import settings

folder, url, order, method, path, body = sys.argv[1:]

async def die(log, entry):
    os.kill(os.getpid(), signal.SIGKILL)

async def main():
    host = await Host.open(settings(folder, url), probation=False)
    AuditLog.add = die
    if order == "afterwards":
        sqlite.open_acts = database.open_acts = lambda: []
    await Client(host)(method, path, json.loads(body))

asyncio.run(main())
"""
ROOT = Path(__file__).parents[2]
CHANGES = [
    ("POST", "/api/customers", '{"name": "Initech"}', "add_customer"),
    ("PUT", "/api/customers/Initech/limits", '{"concurrency": 3}', "limit_customer"),
    ("POST", "/api/customers/Initech/pause", '{"reason": "quiet"}', "pause_customer"),
    ("POST", "/api/users", '{"email": "ada@example.com"}', "add_user"),
]


def settings(folder: str | Path, url: str) -> Settings:
    return Settings(dir=Path(folder), store=url, keys=KEYS if url else "", token=TOKEN)


def dies(folder: Path, url: str, order: str, *request: str) -> None:
    words = [PYTHON, "-c", CHILD, str(folder), url, order, *request]
    done = subprocess.run(words, cwd=ROOT, stderr=subprocess.PIPE)
    assert done.returncode == -9, done.stderr.decode()


async def seen(folder: Path, url: str) -> tuple[list[Any], Any, Any]:
    """The entries of the audit log, and what there is of the changes."""
    host = await Host.open(settings(folder, url), probation=False)
    try:
        api = Client(host)
        entries = (await api("GET", "/api/audit")).json["items"]
        customers = await host.store.catalogue.customers.list(CustomerFilter())
        users = (await api("GET", "/api/users")).json["items"]
        if not customers:
            return entries, None, users
        paused = (await api("GET", "/api/pauses")).json
        limits = await host.store.journal.limits(customers[0].id)
        return entries, (customers[0].id, limits.concurrency, bool(paused)), users
    finally:
        await host.stop(0)


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
async def test_what_was_changed_is_in_the_log_though_nobody_was_answered(
    tmp_path: Path, store: str
) -> None:
    folder, url = tmp_path / "store", "" if store == "sqlite" else fresh_url()
    for method, path, body, _ in CHANGES:
        dies(folder, url, "with the change", method, path, body)
    entries, customer, users = await seen(folder, url)
    assert customer is not None
    assert customer[1:] == (3, True)
    assert [each["email"] for each in users] == ["ada@example.com"]
    assert [each["operation"] for each in entries][::-1] == [each[3] for each in CHANGES]
    assert {(each["status"], each["actor"]) for each in entries} == {(0, "root")}
    assert [each["objects"] for each in entries[1:3]] == [{"customer": customer[0]}] * 2
    assert entries[2]["changes"] == {"concurrency": 3}


async def test_control_written_afterwards_an_entry_is_lost(tmp_path: Path) -> None:
    folder, url = tmp_path / "store", ""
    for method, path, body, _ in CHANGES[:2]:
        dies(folder, url, "afterwards", method, path, body)
    entries, customer, _ = await seen(folder, url)
    assert customer is not None
    assert customer[1] == 3
    assert entries == []
