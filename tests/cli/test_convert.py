"""`halflap convert` writes a document's Python, and replaces no file unasked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from halflap.cli import main

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


def converted(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["convert", *arguments])


def test_it_is_printed_or_written(folder: Path) -> None:
    result = converted("orders.yaml")
    assert result.exit_code == 0, result.output
    assert 'ctx.log.info("An order")' in result.output
    assert converted("orders.yaml", "-o", "orders.py").exit_code == 0
    assert (folder / "orders.py").read_text("utf-8") == result.output


def test_its_folder_is_made(folder: Path) -> None:
    result = converted("orders.yaml", "-o", "new/shop/orders.py")
    assert result.exit_code == 0, result.output
    assert (folder / "new" / "shop" / "orders.py").is_file()


def test_what_is_there_is_replaced_only_by_force(folder: Path) -> None:
    (folder / "orders.py").write_text("mine")
    result = converted("orders.yaml", "-o", "orders.py")
    assert result.exit_code != 0
    assert "replace it by --force" in result.output
    assert (folder / "orders.py").read_text() == "mine"
    assert converted("orders.yaml", "-o", "orders.py", "--force").exit_code == 0
    assert (folder / "orders.py").read_text() != "mine"


def test_what_is_wrong_with_a_document_is_said_at_its_place(folder: Path) -> None:
    result = converted("bad.yaml", "-o", "bad.py")
    assert result.exit_code != 0
    assert "bad.yaml:6:23: this reads all that is in scope" in result.output
    assert not (folder / "bad.py").exists()


def test_a_file_that_is_no_document_is_refused(folder: Path) -> None:
    (folder / "orders.py").write_text("")
    assert "give a file that ends in .yaml" in converted("orders.py").output


TESTED = (
    DOCUMENT.format(what="=event.what")
    + """\
tests:
  - {name: it is logged, flow: order, event: {what: An order}, logs: [An order]}
"""
)


def test_its_tests_go_with_it_and_are_never_replaced(folder: Path) -> None:
    (folder / "orders.yaml").write_text(TESTED)
    result = converted("orders.yaml", "-o", "orders.py")
    assert "tests/test_orders.py: 1" in result.output
    made = (folder / "tests" / "test_orders.py").read_text("utf-8")
    assert "import orders\n" in made
    (folder / "tests" / "test_orders.py").write_text("mine")
    result = converted("orders.yaml", "-o", "orders.py", "--force")
    assert result.exit_code == 0
    assert "tests/test_orders.py is there already, and stays as it is" in result.output
    assert (folder / "tests" / "test_orders.py").read_text("utf-8") == "mine"
    assert (
        converted("orders.yaml", "-o", "orders.py", "--force", "--tests", "mine.py").exit_code == 0
    )
    assert (folder / "mine.py").read_text("utf-8") == made
    result = converted("orders.yaml", "-o", "two.py", "--tests", "mine.py")
    assert "mine.py is there already, and tests are never replaced; give another" in result.output
    assert not (folder / "two.py").exists()


def test_tests_of_a_package_are_beside_it_and_can_be_left_out(folder: Path) -> None:
    (folder / "orders.yaml").write_text(TESTED)
    (folder / "apps" / "shop").mkdir(parents=True)
    (folder / "apps" / "shop" / "__init__.py").touch()
    assert converted("orders.yaml", "-o", "apps/shop/orders.py").exit_code == 0
    made = (folder / "apps" / "shop" / "test_orders.py").read_text("utf-8")
    assert "from shop import orders\n" in made
    assert converted("orders.yaml", "-o", "apps/two.py", "--no-tests").exit_code == 0
    assert not (folder / "apps" / "test_two.py").exists()
    for options in (["--tests", "x.py"], ["-o", "x.py", "--tests", "y.py", "--no-tests"]):
        assert "--tests goes with -o" in converted("orders.yaml", *options).output


def test_they_are_run_by_halflap_test_and_fail_where_the_module_is_wrong(folder: Path) -> None:
    (folder / "orders.yaml").write_text(TESTED)
    assert converted("orders.yaml", "-o", "orders.py").exit_code == 0
    (folder / "orders.yaml").unlink()
    (folder / "bad.yaml").unlink()
    assert ran(folder).startswith("1 passed")
    module = folder / "orders.py"
    module.write_text(module.read_text("utf-8").replace("ctx.log.info(", "str("))
    assert ran(folder).startswith("1 failed")


def ran(folder: Path) -> str:
    """Return the last line of `halflap test`."""
    command = [sys.executable, "-m", "halflap", "test", "--", "-q", "-p", "no:cacheprovider"]
    told = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return told.stdout.splitlines()[-1]
