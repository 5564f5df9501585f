"""The name of a process: that of the one before in its directory, and nothing that stops its start."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from halflap.model import new_id
from halflap.store.identity import FILE, MOST_BEFORE, MOST_BYTES, named, settle


def test_two_processes_of_a_directory_have_two_names(tmp_path: Path) -> None:
    first, second = named("serve", tmp_path), named("serve", tmp_path)
    assert first.worker != second.worker
    assert first.worker in (tmp_path / FILE).read_text()


def test_a_full_disk_is_for_the_store_to_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "no space")

    (tmp_path / FILE).write_text('{"worker": "w1", "process": "p1"}')
    monkeypatch.setattr(os, "pwrite", full)
    found = named("serve", tmp_path)
    assert (found.worker, found.before) == ("w1", ("p1",))


def test_a_start_that_failed_does_not_hide_the_process_before_it(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"worker": "w1", "process": "ran failed"}')
    found = named("serve", tmp_path)
    assert (found.worker, found.before) == ("w1", ("ran", "failed"))
    assert json.loads((tmp_path / FILE).read_text())["process"] == f"ran failed {found.id}"
    settle(tmp_path, named("serve", tmp_path))  # another process, which does not have the name
    assert json.loads((tmp_path / FILE).read_text())["process"] == f"ran failed {found.id}"
    settle(tmp_path, found)
    assert json.loads((tmp_path / FILE).read_text()) == {"worker": "w1", "process": found.id}


def test_the_processes_of_a_name_that_are_remembered_are_bounded(tmp_path: Path) -> None:
    many = [new_id("prc") for _ in range(2 * MOST_BEFORE)]
    (tmp_path / FILE).write_text(json.dumps({"worker": "w1", "process": " ".join(many)}))
    assert named("serve", tmp_path).before == tuple(many[-MOST_BEFORE:])
    assert (tmp_path / FILE).stat().st_size < MOST_BYTES


def test_a_directory_that_is_not_there_is_for_the_store_to_tell(tmp_path: Path) -> None:
    assert named("serve", tmp_path / "gone").worker


def test_a_file_that_a_crash_has_cut_names_a_new_process(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b'{"worker": "w\xff')
    assert named("serve", tmp_path).worker
