"""`halflap serve` as one types it: which store it takes."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from halflap.cli import main


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


@pytest.mark.parametrize("role", ["serve", "gateway", "worker"])
def test_the_store_of_a_parent_folder_has_to_be_named(below: Path, role: str) -> None:
    # `main` is run as a whole, so that an error is told as it is to people.
    answer = CliRunner().invoke(main, [role], prog_name="halflap")
    assert answer.exit_code == 1
    assert f"--dir {below.parent / '.halflap'}" in answer.stderr
    assert list(below.iterdir()) == []
    assert list((below.parent / ".halflap").iterdir()) == []
