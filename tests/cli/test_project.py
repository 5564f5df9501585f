from pathlib import Path

import pytest

from halflap.cli.project import Project
from halflap.errors import DefinitionError, NotFound
from tests.cases import for_each

ONE = 'from halflap import Integration\n\nintegration = Integration("{name}")\n'


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_the_examples_are_a_project():
    project = Project.read(Path(__file__).parents[2] / "examples")
    assert project.root.name == "examples"
    assert "warehouse:integration" in {each.entry for each in project.integrations}
    assert project.integration("warehouse").where.startswith("warehouse.py:")


def test_a_project_is_found_from_below_and_no_code_of_it_runs(tmp_path):
    write(tmp_path, orders=ONE.format(name="orders") + "raise SystemExit('it ran')\n")
    below = tmp_path / "docs" / "drafts"
    below.mkdir(parents=True)
    project = Project.read(below)
    assert (project.root, project.integration().entry) == (tmp_path, "orders:integration")
    assert project.integration().line == 3


@for_each(
    "definition",
    [
        'import halflap\nit = halflap.Integration("orders")',
        'import halflap as h\nit = h.Integration(name="orders")',
        'from halflap import Integration as I\nit = I("orders")',
        'from halflap import Integration\nit: Integration = Integration("orders", title="x")',
        'from halflap import Config, Integration\nit = Integration[Config]("orders")',
    ],
)
def test_however_an_integration_is_written_it_is_found(tmp_path, definition):
    write(tmp_path, orders=definition + "\n")
    assert Project.read(tmp_path).integration("orders").entry == "orders:it"


def test_another_class_of_that_name_is_none_of_ours(tmp_path):
    (tmp_path / "pyproject.toml").touch()
    write(tmp_path, other='import halflap\nfrom x import Integration\na = Integration("no")\n')
    assert Project.read(tmp_path).integrations == ()


def test_packages_are_searched_and_tests_are_not(tmp_path):
    write(
        tmp_path,
        shop__orders=ONE.format(name="orders"),
        tests__fake=ONE.format(name="fake"),
        test_it=ONE.format(name="fake-too"),
    )
    (tmp_path / "shop" / "__init__.py").touch()
    (tmp_path / "pyproject.toml").touch()
    assert [each.entry for each in Project.read(tmp_path).integrations] == [
        "shop.orders:integration"
    ]


def test_a_file_stands_for_its_integrations_only(tmp_path):
    write(tmp_path, a=ONE.format(name="a"), b=ONE.format(name="b"))
    assert [each.name for each in Project.read(tmp_path / "b.py").integrations] == ["b"]


@for_each(
    ("source", "said"),
    [
        (
            "from halflap import Integration\nintegration = Integration(\n",
            r"orders\.py:2: This is not",
        ),
        (
            "from halflap import Integration\nNAME = 'x'\nintegration = Integration(NAME)\n",
            r"orders\.py:3: .*plain text",
        ),
        (ONE.format(name="a") + ONE.format(name="a"), r"orders\.py:6: .*orders\.py:3 already"),
    ],
)
def test_a_wrong_definition_is_told_with_its_line(tmp_path, source, said):
    write(tmp_path, orders=source)
    with pytest.raises(DefinitionError, match=said):
        Project.read(tmp_path)


def test_a_folder_without_any_says_how_to_begin(tmp_path):
    with pytest.raises(DefinitionError, match="halflap new integration"):
        Project.read(tmp_path).needed()


def test_a_name_that_is_not_there_is_answered_with_those_that_are(tmp_path):
    project = Project.read(write(tmp_path, a=ONE.format(name="orders"), b=ONE.format(name="b")))
    with pytest.raises(NotFound, match="did you mean orders"):
        project.integration("order")
    with pytest.raises(NotFound, match="name one of: b, orders"):
        project.integration()
