import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from halflap.cli.outline import outline
from tests.cases import for_each

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("acme.py", "warehouse.py", "warehouse.yaml"):
        (tmp_path / name).write_text((EXAMPLES / name).read_text("utf-8"), "utf-8")
    return tmp_path


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(outline, arguments, catch_exceptions=True)
    return result.exit_code, result.output or str(result.exception)


@for_each("target", ["warehouse.py", "warehouse"])
def test_a_file_or_a_name_is_shown_as_a_tree(project, target):
    code, output = run(target)
    assert code == 0
    assert output.startswith("warehouse: Warehouse → Acme (warehouse.py)\n")
    assert "      action acme.remove_stock with " in output


def test_without_a_target_all_integrations_are_shown(project):
    _, output = run()
    assert "(warehouse.py)" in output
    assert "(warehouse.yaml)" in output


def test_nothing_of_a_project_is_run(project):
    with Path("warehouse.py").open("a") as file:
        file.write("\nraise SystemExit('it was run')\n")
    code, output = run("warehouse.py")
    assert (code, "it was run" in output) == (0, False)


def test_machines_get_json(project):
    _, output = run("warehouse.yaml", "--json")
    (found,) = json.loads(output)
    assert found["language"] == "yaml"
    assert found["flows"][0]["steps"][0]["title"] == "Known event?"


def test_a_target_that_there_is_not_is_said(project):
    code, output = run("warehous")
    assert code == 1
    assert "did you mean warehouse" in output
