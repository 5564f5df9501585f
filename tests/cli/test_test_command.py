import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from halflap.cli import test as command
from halflap.cli.new import new
from halflap.cli.project import Project
from halflap.errors import ConfigError, NotFound
from tests.cases import for_each


@pytest.fixture
def calls(monkeypatch):
    found = []
    monkeypatch.setattr(command, "run_tests", lambda path, rest: found.append((path, rest)) or 0)
    return found


@pytest.fixture
def project(tmp_path, monkeypatch) -> Project:
    monkeypatch.chdir(tmp_path)
    CliRunner().invoke(new, ["integration", "orders", "--dir", "."], catch_exceptions=False)
    return Project.read(tmp_path)


def test_a_new_integrations_tests_pass(project, capfd):
    assert command.run_tests(None, ("-q",)) == 0
    assert "2 passed" in capfd.readouterr().out


def test_a_stub_that_is_never_called_is_a_warning(project, capfd):
    text = (
        "name: small\nflows:\n  one:\n    trigger: webhook.request\n    steps: [{stop: {answer: 1}}]\n"
        "tests:\n  - {name: it answers, flow: one, stubs: {http.get: {}}, answer: 1}\n"
    )
    (project.root / "tests" / "small.yaml").write_text(text)
    assert command.run_tests(None, ("-q", "-k", "answers")) == 0
    out = capfd.readouterr().out
    assert re.search(r"tests/small\.yaml:7:\d+: the stub of http\.get was never called", out)


def test_where_there_is_no_test_it_says_how_to_get_one(project, capfd):
    assert command.run_tests(None, ("-q", "-k", "nothing")) == command.NO_TESTS
    assert "halflap test record last" in capfd.readouterr().out


def test_where_pytest_is_missing_it_says_what_to_install(project, monkeypatch):
    monkeypatch.setattr(command, "NEEDED", {"no_such_module": "such-a-package"})
    with pytest.raises(ConfigError, match="pip install such-a-package"):
        command.run_tests(None, ())


@for_each(
    ("arguments", "path", "rest"),
    [
        ([], None, ()),
        (["tests"], "tests", ()),
        (["--", "-k", "name", "-x"], None, ("-k", "name", "-x")),
        (["tests", "--", "-x"], "tests", ("-x",)),
        (["--coverage-min", "80", "tests"], "tests", ("--halflap-coverage-min=80",)),
        (["--coverage-min=80", "--", "-x"], None, ("--halflap-coverage-min=80", "-x")),
        (["tests", "--coverage", "/ran.json"], "tests", ("--halflap-coverage=/ran.json",)),
    ],
)
def test_a_path_and_pytests_own_arguments_are_told_apart(project, calls, arguments, path, rest):
    CliRunner().invoke(command.test, arguments, catch_exceptions=False)
    assert calls.pop() == (None if path is None else Path(path), rest)


@for_each(
    "arguments",
    [["-x"], ["tests", "more"], ["no-such-place"], ["--coverage-min", "x"], ["--coverage"]],
)
def test_what_is_neither_is_refused(project, calls, arguments):
    assert CliRunner().invoke(command.test, arguments).exit_code == 2
    assert calls == []


def test_a_fixture_is_written_once_and_its_test_beside_it(project):
    fixture = {"integration": "orders", "flow": "order_received"}
    written = command.write(project, fixture, "first", force=False)
    assert written.lacks == ""
    assert "\nimport orders " in (project.root / "tests" / "test_recorded.py").read_text()
    with pytest.raises(ConfigError, match="--force"):
        command.write(project, fixture, "first", force=False)
    command.write(project, fixture, "first", force=True)


def test_a_test_that_is_there_is_left_alone_and_what_it_lacks_is_told(project):
    (project.root / "tests" / "test_recorded.py").write_text("mine")
    fixture = {"integration": "orders", "flow": "order_received"}
    assert command.write(project, fixture, "first", force=False).lacks == "import orders"
    assert (project.root / "tests" / "test_recorded.py").read_text() == "mine"


def test_a_fixture_of_another_project_is_refused(project):
    with pytest.raises(NotFound, match="orders"):
        command.write(project, {"integration": "bills", "flow": "x"}, "first", force=False)
    with pytest.raises(ConfigError, match="without folders"):
        command.write(project, {"integration": "orders", "flow": "x"}, "../first", force=False)
