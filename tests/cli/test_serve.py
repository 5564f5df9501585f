"""`halflap serve` as one types it: which store it takes, and what it prints."""

import asyncio
import base64
import json
import os
import subprocess
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from click.testing import CliRunner

from halflap.cli import main
from halflap.store.store import Store
from halflap.store.vault import Vault
from tests.cases import for_each
from tests.commands import first_line, logging_server, run
from tests.polling import DEADLINE
from tests.zygote import PYTHON


@pytest.fixture
def below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that a command runs in: it lies in a project that has a store."""
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / ".halflap").mkdir()
    folder = tmp_path / "server"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in [each for each in os.environ if each.startswith("HALFLAP_")]:
        monkeypatch.delenv(name)
    return folder


@for_each("role", ["serve", "gateway", "worker"])
def test_the_store_of_a_parent_folder_has_to_be_named(below: Path, role: str) -> None:
    # `main` is run as a whole, so that an error is told as it is to people.
    answer = CliRunner().invoke(main, [role], prog_name="halflap")
    assert answer.exit_code == 1
    assert f"--dir {below.parent / '.halflap'}" in answer.stderr
    assert list(below.iterdir()) == []
    assert list((below.parent / ".halflap").iterdir()) == []


async def test_a_log_in_json_is_json_from_the_start_to_the_stop(tmp_path: Path) -> None:
    async with logging_server(tmp_path) as process:
        started = json.loads(await first_line(process.stderr))
        assert started["event"] == "started"
        assert started["url"].startswith("http://127.0.0.1:")
        process.terminate()
        async with asyncio.timeout(DEADLINE):
            out, errors = await process.communicate()
    assert out == b""
    assert [json.loads(line)["event"] for line in errors.splitlines()] == ["stopping", "stopped"]


@pytest.mark.parametrize("given", [{}, {"HALFLAP_TOKEN": "the-token"}], ids=["made", "given"])
async def test_people_are_told_where_the_token_is(tmp_path: Path, given: dict[str, str]) -> None:
    async with logging_server(tmp_path, "--log", "text", **given) as process:
        await first_line(process.stdout)
        place = "HALFLAP_TOKEN" if given else str(tmp_path / "store" / "token")
        assert (await first_line(process.stdout)).rstrip().endswith(f"the API's token in {place}")


@pytest.mark.parametrize("limit", ["-Sn", "-n"], ids=["soft", "hard"])
async def test_connections_without_a_file_are_refused(tmp_path: Path, limit: str) -> None:
    few = tmp_path / "python"
    few.write_text(f'#!/bin/sh\nulimit {limit} 200 && exec {PYTHON} "$@"\n')
    few.chmod(0o755)
    async with logging_server(tmp_path, python=str(few)) as process, AsyncExitStack() as stack:
        line = json.loads(await first_line(process.stderr))
        if limit == "-n":
            assert (line["files"], line["connections"]) == (200, 136)
            line = json.loads(await first_line(process.stderr))
        port = int(line["url"].rpartition(":")[2])
        for _ in range(150):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            stack.callback(writer.close)
        if limit == "-Sn":
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        assert ("503" if limit == "-n" else "200") in await first_line(reader)


def test_what_a_library_logs_is_a_line_of_json_too(tmp_path: Path) -> None:
    code = r"""
import logging
from halflap.cli.serve import configure_log
from halflap.server.settings import Settings

configure_log(Settings(log="json"))
try:
    raise ValueError("in two\nlines")
except ValueError:
    logging.getLogger("psycopg").warning("it was %s", "lost", exc_info=True)
"""
    ended = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=True)
    (line,) = ended.stderr.splitlines()
    found = json.loads(line)
    assert (found["event"], found["level"]) == ("it was lost", "warning")
    assert "ValueError: in two" in found["exception"]


async def test_a_master_key_is_taken_out_once_all_is_under_another(tmp_path: Path) -> None:
    old, new = (f"{name}:{base64.b64encode(os.urandom(32)).decode()}" for name in ("k1", "k2"))
    where = ("--dir", "store")
    code, _, errors = await run(tmp_path, "store", "rewrap", *where, HALFLAP_KEYS=new)
    assert (code, "has no store" in errors) == (1, True)
    store = await Store.open(tmp_path / "store", vault=Vault.from_text(old))
    made = await store.catalogue.connections.save(None, "acme", "Acme", {}, {"key": "s3cret"})
    await store.close()
    both = f"{new},{old}"
    code, out, _ = await run(tmp_path, "store", "rewrap", *where, "--json", HALFLAP_KEYS=both)
    assert (code, json.loads(out)) == (0, {"rewrapped": 1, "key": "k2"})
    store = await Store.open(tmp_path / "store", vault=Vault.from_text(new))
    assert await store.catalogue.connections.open_secrets(made.id) == {"key": "s3cret"}
    await store.close()
