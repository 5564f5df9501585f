"""`halflap doctor` names what is wrong with keys and settings."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from halflap.cli import main
from halflap.store.identity import Identity
from halflap.store.store import Store
from halflap.store.vault import Vault
from tests.cluster import fresh_url
from tests.commands import first_line, logging_server

KEYS = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


@pytest.fixture(name="checks")
def checks_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that gives doctor's findings about a directory, with these settings."""
    monkeypatch.chdir(tmp_path)

    def checks(**settings: str) -> dict[str, tuple[str, str]]:
        environment = {"HALFLAP_DIR": str(tmp_path / "store"), "HALFLAP_PORT": "0", **settings}
        done = CliRunner(env=environment).invoke(main, ["doctor", "--json"])
        said = json.loads(done.stdout)
        assert done.exit_code == (0 if said["ok"] else 1)
        return {each["name"]: (each["state"], each["said"]) for each in said["checks"]}

    return checks


async def test_the_key_of_another_store_is_shown(checks: Any, tmp_path: Path) -> None:
    await (await Store.open(tmp_path / "store")).close()
    assert (await asyncio.to_thread(checks))["key"][0] == "ok"
    state, said = (await asyncio.to_thread(checks, HALFLAP_KEYS=f"theirs:{'A' * 43}="))["key"]
    assert state == "fail"
    assert "not among those given: 'theirs'" in said


def test_a_setting_out_of_its_range_is_shown(checks: Any) -> None:
    state, said = checks(HALFLAP_PORT="99999")["settings"]
    assert state == "fail"
    assert "HALFLAP_PORT=99999: it is a whole number from 0 to 65535" in said


async def test_blobs_in_a_directory_are_named_where_other_hosts_have_the_store_open(
    checks: Any, tmp_path: Path
) -> None:
    given = {"HALFLAP_STORE": fresh_url(), "HALFLAP_KEYS": KEYS}
    blobs = {"HALFLAP_BLOBS": str(tmp_path / "blobs")}
    vault = Vault.from_text(KEYS)
    here = await Store.open(given["HALFLAP_STORE"], vault=vault)
    assert (await asyncio.to_thread(checks, **given, **blobs))["blobs"][0] == "ok"
    there = Identity("worker", host="elsewhere.internal")
    other = await Store.open(given["HALFLAP_STORE"], vault=vault, identity=there)
    try:
        state, said = (await asyncio.to_thread(checks, **given, **blobs))["blobs"]
        assert state == "warn"
        assert str(tmp_path / "blobs") in said
        assert "elsewhere.internal" in said
        for place in ({"HALFLAP_BLOBS": "s3://bucket/halflap"}, {}):
            assert (await asyncio.to_thread(checks, **given, **place))["blobs"][0] == "ok"
    finally:
        await other.close()
        await here.close()


def test_a_store_of_many_processes_without_a_public_url_is_shown(checks: Any) -> None:
    given = {"HALFLAP_STORE": fresh_url(), "HALFLAP_KEYS": KEYS}
    assert checks()["public url"][0] == "ok"
    state, said = checks(**given)["public url"]
    assert state == "warn"
    assert "gateways and workers do not start" in said
    public = {"HALFLAP_PUBLIC_URL": "https://hooks.example.com"}
    assert checks(**given, **public)["public url"][0] == "ok"


async def test_the_public_url_of_the_server_that_runs_is_looked_at(
    checks: Any, tmp_path: Path
) -> None:
    url = "http://127.0.0.1:9/in"
    async with logging_server(tmp_path, "--public-url", url) as process:
        await first_line(process.stderr)
        state, said = (await asyncio.to_thread(checks))["public url"]
        assert (state, url in said) == ("warn", True)


async def test_a_token_that_can_be_guessed_is_shown(checks: Any, tmp_path: Path) -> None:
    await (await Store.open(tmp_path / "store")).close()
    database = {"HALFLAP_STORE": fresh_url(), "HALFLAP_KEYS": KEYS}
    for place in ({}, database):
        short = await asyncio.to_thread(checks, HALFLAP_TOKEN="letmein", **place)
        assert short["token"] == ("warn", "from HALFLAP_TOKEN, of 7 characters: it can be guessed")
        long = await asyncio.to_thread(checks, HALFLAP_TOKEN="x" * 43, **place)
        assert long["token"] == ("ok", "from HALFLAP_TOKEN")
