"""`halflap serve` on PostgreSQL: all in one process, or in several beside each other."""

from __future__ import annotations

import asyncio
import json
import sys
from functools import partial
from pathlib import Path

import pytest

from halflap.api.view import CustomerView
from halflap.cli.client import Client
from halflap.errors import ConfigError
from halflap.server.settings import Settings
from halflap.store.store import Store
from tests.cluster import fresh_url
from tests.commands import run, serve
from tests.polling import DEADLINE

ROOT = Path(__file__).parents[2]
KEYS = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


@pytest.fixture
def url() -> str:
    return fresh_url()


async def test_a_server_starts_serves_and_stops(tmp_path: Path, url: str) -> None:
    process = await serve(tmp_path, python=sys.executable, HALFLAP_STORE=url, HALFLAP_KEYS=KEYS)
    assert process.stdout is not None
    async with asyncio.timeout(DEADLINE):
        line = await process.stdout.readline()
    if not line:
        pytest.fail((await process.communicate())[1].decode())
    told = json.loads(line)
    assert told["store"].startswith("postgresql://")
    settings = Settings(dir=tmp_path, store=url, keys=KEYS)
    async with Client.connect(settings) as api:
        assert api.runs
        await api.request("POST", "/api/customers", {"name": "Ada"})
    process.terminate()
    async with asyncio.timeout(DEADLINE):
        _, said = await process.communicate()
    assert process.returncode == 0, said.decode()
    assert b"error" not in said, said.decode()
    assert not (tmp_path / "halflap.db").exists()
    async with Client.connect(settings) as api:
        assert not api.runs
        assert [each.name for each in await api.list(CustomerView, "customers")] == ["Ada"]


async def test_a_server_without_keys_says_how_to_make_one(tmp_path: Path, url: str) -> None:
    process = await serve(tmp_path, HALFLAP_STORE=url, HALFLAP_KEYS="")
    async with asyncio.timeout(DEADLINE):
        _, said = await process.communicate()
    assert process.returncode == 1
    assert b"HALFLAP_KEYS" in said


def test_the_url_of_a_store_is_checked_and_not_shown() -> None:
    with pytest.raises(ConfigError, match="HALFLAP_STORE: it is the URL") as caught:
        Settings.read({"HALFLAP_STORE": "mysql://ada:s3cret@db/shop"})
    assert "s3cret" not in str(caught.value)
    read = Settings.read({"HALFLAP_STORE": "postgres://db/shop"})
    assert read.place == "postgres://db/shop"
    assert Settings().place == Settings().dir


async def test_a_store_is_moved_and_served_from_there(tmp_path: Path, url: str) -> None:
    store = await Store.open(tmp_path)
    await store.catalogue.customers.add("Ada")
    await store.close()

    (tmp_path / "blobs").mkdir()

    halflap = partial(run, tmp_path, HALFLAP_DIR=".")
    code, said, errors = await halflap("store", "move", "--to", url)
    assert code == 0, errors
    assert ": customers 1" in said
    assert f"HALFLAP_BLOBS={tmp_path / 'blobs'}, " in said
    assert "HALFLAP_STORE=" in said
    assert "HALFLAP_KEYS=" in said
    code, _, errors = await halflap("customers", "list")
    assert code == 1
    assert "this store was moved to PostgreSQL; name that in HALFLAP_STORE" in " ".join(
        errors.split()
    )
    keys = (tmp_path / "halflap.key").read_text()
    code, said, errors = await halflap("customers", "list", HALFLAP_STORE=url, HALFLAP_KEYS=keys)
    assert (code, "Ada" in said) == (0, True), errors
    code, _, errors = await halflap("store", "move")
    assert code == 1
    assert "say where the store is to be moved" in " ".join(errors.split())
