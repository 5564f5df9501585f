import subprocess
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from halflap.cli import main
from halflap.cli.new import new
from halflap.cli.project import Project
from halflap.engine.bundle import pack
from halflap.errors import ConfigError
from halflap.sdk.lint import lint
from tests.cases import for_each


@pytest.fixture
def make(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> str:
        return CliRunner().invoke(new, arguments, catch_exceptions=False).output

    return run


def test_a_new_integration_is_a_project_that_can_be_packed_at_once(make, tmp_path):
    make("integration", "order-sync")
    project = Project.read(tmp_path / "order-sync")
    assert project.integration("order-sync").entry == "order_sync:integration"
    bundle = pack(project.root, project.integration().entry)
    assert {path for path, _ in bundle.files} == {"README.md", "order_sync.py", "sample.json"}


def test_a_new_document_passes_its_own_tests_and_all_of_it_runs(make, tmp_path):
    make("integration", "order-sync", "--yaml")
    project = Project.read(tmp_path / "order-sync")
    assert project.integration("order-sync").file == "order_sync.yaml"
    told = CliRunner().invoke(main, ["test", "order-sync", "--coverage-min", "100"])
    assert told.exit_code == 0, told.output
    assert not list((tmp_path / "order-sync").glob("**/*.py"))


def test_what_is_next_is_printed(make):
    assert "cd order-sync\n" in make("integration", "order-sync")
    assert "halflap dev" in make("integration", "b", "--dir", "elsewhere")


def test_the_environment_file_is_ignored_by_git(make, tmp_path):
    make("integration", "order-sync")
    subprocess.run(["git", "init", "-q", "order-sync"], check=True)
    ignored = subprocess.run(["git", "check-ignore", "-q", ".env"], cwd=tmp_path / "order-sync")
    assert ignored.returncode == 0
    assert "GREETING=" in (tmp_path / "order-sync" / ".env.example").read_text()


def test_a_new_component_has_its_fixed_files_and_its_entry_point(make, tmp_path):
    make("component", "my_shop")
    folder = tmp_path / "my_shop"
    assert {each.name for each in folder.iterdir()} >= {
        "README.md",
        "icon.svg",
        "my_shop.py",
        "pyproject.toml",
        "quality.yaml",
        "tests",
    }
    metadata = tomllib.loads((folder / "pyproject.toml").read_text())
    assert metadata["project"]["entry-points"]["halflap.components"] == {
        "my_shop": "my_shop:component"
    }


@pytest.mark.parametrize(
    ("kind", "name", "options"),
    [
        ("integration", "order-sync", []),
        ("integration", "order-sync", ["--yaml"]),
        ("component", "my_shop", []),
    ],
)
def test_what_was_made_has_no_findings(make, tmp_path, kind, name, options):
    make(kind, name, *options)
    files = {
        path.relative_to(tmp_path / name).as_posix(): path.read_text()
        for path in (tmp_path / name).rglob("*")
        if path.is_file()
    }
    assert lint(files) == []
    told = CliRunner().invoke(main, ["lint", name])
    assert told.exit_code == 0, told.output
    assert not [p for p, text in files.items() if "{{" in text and p.endswith((".py", ".yaml"))]


def test_nothing_is_overwritten_and_nothing_half_written(make, tmp_path):
    (tmp_path / "order-sync").mkdir()
    (tmp_path / "order-sync" / "README.md").write_text("mine")
    with pytest.raises(ConfigError, match=r"README\.md is there already"):
        make("integration", "order-sync")
    assert [each.name for each in Path("order-sync").iterdir()] == ["README.md"]


@for_each(
    ("kind", "name", "said"),
    [
        ("integration", "OrderSync", "order-sync"),
        ("integration", "order_sync", "order-sync"),
        ("integration", "../up", "such as up"),
        ("integration", "json", "standard library"),
        ("integration", "class", "a word of Python"),
        ("integration", "test-it", "what tests are called"),
        ("component", "my-shop", "my_shop"),
        ("component", "http", "installed already"),
    ],
)
def test_a_name_that_would_not_work_is_refused_with_one_that_does(make, tmp_path, kind, name, said):
    with pytest.raises(ConfigError, match=said):
        make(kind, name)
    assert list(tmp_path.iterdir()) == []


def test_acme_is_written_as_the_docs_use_it_and_never_over_a_file(make, tmp_path):
    make("integration", "orders", "--yaml")
    assert "acme.py" in make("acme", "--dir", "orders")
    written = (tmp_path / "orders" / "acme.py").read_bytes()
    assert written == (Path(__file__).parents[2] / "examples" / "acme.py").read_bytes()
    with pytest.raises(ConfigError, match="is there already"):
        make("acme", "--dir", "orders")
    with pytest.raises(ConfigError, match="is there already"):
        make("salesforce-acme", "--dir", "orders")
    assert "salesforce_acme.yaml" in make("salesforce-acme")
    assert (tmp_path / "salesforce-acme" / "acme.py").read_bytes() == written
