"""`halflap convert` writes a document's Python, and replaces no file unasked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.shell import run

DOCUMENT = """\
name: orders
flows:
  order:
    trigger: webhook.request
    steps:
      - log: {what}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "orders.yaml").write_text(DOCUMENT.format(what="An order"))
    (tmp_path / "bad.yaml").write_text(DOCUMENT.format(what="=$string($)"))
    return tmp_path


def test_it_is_printed_or_written(folder: Path) -> None:
    result = run("convert", "orders.yaml")
    assert result.exit_code == 0, result.output
    assert 'ctx.log.info("An order")' in result.output
    assert run("convert", "orders.yaml", "-o", "orders.py").exit_code == 0
    assert (folder / "orders.py").read_text("utf-8") == result.output


def test_its_folder_is_made(folder: Path) -> None:
    result = run("convert", "orders.yaml", "-o", "new/shop/orders.py")
    assert result.exit_code == 0, result.output
    assert (folder / "new" / "shop" / "orders.py").is_file()


def test_what_is_there_is_replaced_only_by_force(folder: Path) -> None:
    (folder / "orders.py").write_text("mine")
    result = run("convert", "orders.yaml", "-o", "orders.py")
    assert result.exit_code != 0
    assert "replace it by --force" in result.output
    assert (folder / "orders.py").read_text() == "mine"
    assert run("convert", "orders.yaml", "-o", "orders.py", "--force").exit_code == 0
    assert (folder / "orders.py").read_text() != "mine"


def test_what_is_wrong_with_a_document_is_said_at_its_place(folder: Path) -> None:
    result = run("convert", "bad.yaml", "-o", "bad.py")
    assert result.exit_code != 0
    assert "bad.yaml:6:23: this reads all that is in scope" in result.output
    assert not (folder / "bad.py").exists()


def test_a_file_that_is_no_document_is_refused(folder: Path) -> None:
    (folder / "orders.py").write_text("")
    assert "give a file that ends in .yaml" in run("convert", "orders.py").output
