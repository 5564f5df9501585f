"""Texts from outside in the log for people: a line stays one, and drives no terminal."""

from __future__ import annotations

from pathlib import Path

import pytest
import structlog

from halflap.cli.control import log_errors
from halflap.cli.serve import configure_log
from halflap.server.settings import Settings


def test_no_text_from_outside_forges_a_line_or_drives_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = structlog.get_config()
    configure_log(Settings(dir=tmp_path))
    try:
        log = structlog.get_logger()
        log.warning("failed", reason="\x1b[2Jevil\x07", other="a b\n2026-11-30 [info] forged")
        try:
            raise ValueError("\x1b]0;owned\x07\n2026-11-30 [info] forged, too \u202e")
        except ValueError:
            log.exception("raised")
    finally:
        structlog.configure(**before)
    written = capsys.readouterr().err
    assert {"\x1b", "\x07", "\u202e"}.isdisjoint(written)
    assert r"\x1b[2Jevil\x07" in written
    starts = [each.split()[-1][0] for each in written.splitlines() if each[0].isdigit()]
    assert len(starts) == 2  # each line of ours, and no other
    assert "\n  ValueError: \\x1b]0;owned" in written


def test_the_error_of_a_command_shows_no_variables(capsys: pytest.CaptureFixture[str]) -> None:
    before = structlog.get_config()
    log_errors()
    try:
        token = "t0p-" + "secret"
        try:
            raise ValueError("broken")
        except ValueError:
            structlog.get_logger().exception("the API failed", about="a\nforged line")
        structlog.get_logger().warning("unseen", token=token)
    finally:
        structlog.configure(**before)
    said = capsys.readouterr()
    assert said.out == ""
    assert "ValueError: broken" in said.err
    assert "t0p-secret" not in said.err
    assert "forged line" in said.err.splitlines()[0]
    assert "unseen" not in said.err
