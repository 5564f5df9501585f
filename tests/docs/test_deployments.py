"""The unit and the containers of the page on scaling are real: their commands start, run and stop."""

from __future__ import annotations

import asyncio
import configparser
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from halflap.server.settings import Settings
from tests.cluster import fresh_url
from tests.commands import start
from tests.docs.test_docs import blocks

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "scaling.md"
KEYS = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
INSTALLED = "/opt/halflap/bin/halflap"
STATE = "/var/lib"
SAID = 60.0


def the_block(language: str) -> str:
    (found,) = blocks(PAGE, language)
    return found.text


def unit() -> configparser.ConfigParser:
    """The systemd unit of the page."""
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(the_block("ini"))
    return parser


def services() -> dict[str, Any]:
    """The services of the page's compose file."""
    return yaml.safe_load(the_block("yaml"))["services"]


def exported(store: str) -> dict[str, str]:
    """The settings that the page exports in every process, with values that are real here."""
    named = re.findall(r"(HALFLAP_\w+)=", " ".join(each.text for each in blocks(PAGE, "console")))
    real = {
        "HALFLAP_STORE": store,
        "HALFLAP_KEYS": KEYS,
        "HALFLAP_TOKEN": "a-token",
        "HALFLAP_PUBLIC_URL": "https://hooks.example.com",
    }
    assert set(named) == set(real)
    return real


async def starts_and_stops(folder: Path, command: list[str], within: float) -> str:
    """Start a command of the page as it stands, but on loopback; its log until SIGTERM ended it."""
    line = [each.replace("0.0.0.0", "127.0.0.1") for each in command]
    process = await start(folder, *line[1:], HALFLAP_PORT="0", **exported(fresh_url()))
    assert process.stderr is not None
    async with asyncio.timeout(SAID):
        said = await process.stderr.readline()
    if b'"started"' not in said:
        pytest.fail((said + (await process.communicate())[1]).decode())
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(within):
        _, rest = await process.communicate()
    assert process.returncode == 0
    return (said + rest).decode()


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


async def test_the_unit_starts_a_worker_and_gives_it_time_to_end(tmp_path: Path) -> None:
    service = unit()["Service"]
    command = shlex.split(service["ExecStart"])
    assert command[0] == INSTALLED
    assert service["EnvironmentFile"].startswith("/")
    state = f"{STATE}/{service['StateDirectory']}"
    assert command[command.index("--dir") + 1] == state, "DynamicUser= may write nowhere else"
    stop = seconds(service["TimeoutStopSec"])
    assert stop > Settings().drain_seconds
    made = tmp_path / "state"
    here = [each.replace("%i", "1").replace(STATE, str(made)) for each in command]
    assert "worker" in await starts_and_stops(tmp_path, here, stop)
    assert (made / "halflap" / "1" / "worker").exists()


def complaints(folder: Path, text: str) -> list[str]:
    """Return the complaints of systemd about a unit."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd here")
    (named,) = re.findall(r"`(halflap-worker@)\.service`", PAGE.read_text("utf-8"))
    (folder / f"{named}.service").write_text(text.replace(INSTALLED, sys.executable))
    found = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", f"{folder}/{named}1.service"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    return [each for each in found.stderr.splitlines() if named in each]


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    assert complaints(tmp_path, the_block("ini")) == []
    wrong = the_block("ini").replace("TimeoutStopSec", "TimeoutStop")
    assert any("TimeoutStop" in each for each in complaints(tmp_path, wrong))


@pytest.mark.parametrize("name", ["gateway", "worker"])
async def test_a_container_starts_and_is_given_time_to_end(tmp_path: Path, name: str) -> None:
    service = services()[name]
    told = {"image", "command", "env_file", "restart", "stop_grace_period", "deploy"}
    assert service.keys() == told
    assert service["restart"] == "unless-stopped"  # a first start before the database is up ends
    stop = seconds(service["stop_grace_period"])
    assert stop > Settings().drain_seconds
    command = shlex.split(service["command"])
    assert command[:2] == ["halflap", name]
    assert name in await starts_and_stops(tmp_path, command, stop)
