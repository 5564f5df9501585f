import os
import re
import sys
from pathlib import Path

import pytest

from halflap.cli.tunnel import PROGRAMS, Program, installed, tunnel
from halflap.errors import ConfigError, UpstreamError

CLOUDFLARED, NGROK = PROGRAMS


def program(tmp_path: Path, source: str, url: re.Pattern[str]) -> Program:
    """A program that stands for one that makes tunnels."""
    path = tmp_path / "program.py"
    path.write_text(source)
    return Program(sys.executable, (str(path), "ADDRESS"), url)


@pytest.mark.parametrize(
    ("says", "like"),
    [
        ("INF |  https://shy-cat-7.trycloudflare.com  |", CLOUDFLARED),
        ('t=1 msg="started tunnel" addr=x url=https://shy-cat-7.trycloudflare.com', NGROK),
    ],
)
async def test_the_url_is_read_and_the_process_ended_with_the_block(tmp_path, says, like):
    source = (
        "import os, pathlib, sys, time\n"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\n"
        f"print('starting', sys.argv[1]); print({says!r}, flush=True)\n"
        "while True: print('x' * 1000, flush=True); time.sleep(0.001)\n"
    )
    async with tunnel("http://127.0.0.1:1", program(tmp_path, source, like.url)) as url:
        assert url == "https://shy-cat-7.trycloudflare.com"
        os.kill(pid := int((tmp_path / "pid").read_text()), 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_program_that_ends_without_a_url_is_told_with_its_last_words(tmp_path):
    source = "print('no account; run: login')\n"
    with pytest.raises(UpstreamError, match="no account; run: login"):
        async with tunnel("http://127.0.0.1:1", program(tmp_path, source, NGROK.url)):
            pass


def test_where_none_is_installed_the_other_way_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="--public-url"):
        installed()


def test_each_program_is_given_the_address():
    assert CLOUDFLARED.command("http://a") == [
        *("cloudflared", "tunnel", "--no-autoupdate", "--url", "http://a")
    ]
    assert NGROK.command("http://a")[:3] == ["ngrok", "http", "http://a"]
