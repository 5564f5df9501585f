"""Texts from outside in the log for people: a line stays one, and drives no terminal."""

from __future__ import annotations

from pathlib import Path

import pytest
import structlog

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
