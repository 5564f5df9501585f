"""The documentation is tested: its code runs, its commands exist, its links lead somewhere."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import subprocess
import sys
import types
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from importlib import util
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from markdown.extensions.toc import slugify

import halflap
from halflap import errors
from halflap.cli import main

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
OTHERS = [ROOT / name for name in ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")]
ALL = [*PAGES, *OTHERS]
GENERATED = "<!-- Made by docs/generate.py"
NO_RUN = re.compile(r"<!-- no-run: .+ -->")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page; `line` is that of its first line of code."""

    page: Path
    line: int
    language: str
    text: str
    runs: bool

    @property
    def where(self) -> str:
        return f"{name_of(self.page)}:{self.line}"


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, language: str) -> list[Block]:
    found: list[Block] = []
    lines = page.read_text("utf-8").splitlines()
    start: int | None = None
    kind, mark = "", ""
    for number, line in enumerate(lines):
        fence = re.fullmatch(r"\s*```(\S*).*", line)
        if start is None and fence:
            start, kind = number, fence[1]
            mark = next((each for each in reversed(lines[:number]) if each.strip()), "")
        elif start is not None and fence and not fence[1]:
            text = inspect.cleandoc("\n".join(["", *lines[start + 1 : number]])) + "\n"
            if kind == language:
                runs = not NO_RUN.fullmatch(mark.strip())
                found.append(Block(page, start + 2, kind, text, runs))
            start = None
    assert start is None, f"{name_of(page)}:{start}: a block that does not end"
    return found


# Python ---------------------------------------------------------------------------------------


def named_tests(page: Path) -> list[str]:
    return [
        node.name
        for block in blocks(page, "python")
        if block.runs
        for node in ast.parse(block.text).body
        if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef)
        and node.name.startswith("test_")
    ]


PYTHON = [page for page in PAGES if blocks(page, "python")]
TESTS = [(page, name) for page in PYTHON for name in named_tests(page)]


@pytest.fixture(scope="module")
def module(request: pytest.FixtureRequest) -> Iterator[types.ModuleType]:
    """A page's Python, run from top to bottom in one namespace: once for all tests of the page."""
    page: Path = request.param
    made = types.ModuleType("page_" + re.sub(r"\W", "_", name_of(page)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(ROOT / "examples"), *sys.path])
        patch.setitem(sys.modules, made.__name__, made)
        patch.setitem(sys.modules, "acme", None)  # so that the examples' own is imported,
        patch.delitem(sys.modules, "acme")  # and forgotten afterwards
        for block in blocks(page, "python"):
            source = "\n" * (block.line - 1) + block.text
            code = compile(source, str(page), "exec", dont_inherit=True)
            if block.runs:
                exec(code, made.__dict__)
        yield made


UNTESTED = [page for page in PYTHON if not named_tests(page)]


@pytest.mark.parametrize("module", UNTESTED, ids=name_of, indirect=True)
def test_the_python_of_a_page_without_tests_runs(module: types.ModuleType) -> None:
    assert vars(module)


@pytest.mark.parametrize(
    ("module", "name"),
    TESTS,
    ids=[f"{name_of(page)}::{name}" for page, name in TESTS],
    indirect=["module"],
    scope="module",  # else its own, of a test, is that of the fixture, too
)
async def test_a_test_of_a_page_passes(
    module: types.ModuleType, name: str, request: pytest.FixtureRequest
) -> None:
    function = getattr(module, name)
    arguments = {
        each: request.getfixturevalue(each) for each in inspect.signature(function).parameters
    }
    await function(**arguments)


def test_every_test_of_a_page_has_a_name_of_its_own() -> None:
    assert [each for each, count in Counter(TESTS).items() if count > 1] == []


def test_the_readmes_flow_has_fifteen_lines() -> None:
    first = blocks(ROOT / "README.md", "python")[0]
    tree = ast.parse(first.text)
    lines = [each for each in ast.unparse(tree).splitlines() if each.strip()]
    assert len(lines) <= 16


@pytest.mark.parametrize(
    ("page", "language", "options"),
    [("first-integration.md", "python", []), ("low-code/first.md", "yaml", ["--yaml"])],
)
def test_the_first_integration_is_what_new_makes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    page: str,
    language: str,
    options: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["new", "integration", "orders", *options])
    assert result.exit_code == 0, result.output
    (made,) = (tmp_path / "orders").glob("orders.*")
    assert made.read_text("utf-8").endswith(blocks(DOCS / page, language)[0].text)


# The command line -----------------------------------------------------------------------------


def command_lines(page: Path) -> Iterator[tuple[str, list[str]]]:
    for block in blocks(page, "console"):
        for number, line in enumerate(block.text.splitlines()):
            if line.startswith("$ halflap"):
                where = f"{name_of(page)}:{block.line + number}"
                yield where, shlex.split(line[2:], comments=True)[1:]


SIMPLE = (["lint", "--rules"], ["version"], ["--help"])


def test_a_command_of_a_page_is_a_real_one_and_runs_where_it_is_simple() -> None:
    for where, line in (each for page in ALL for each in command_lines(page)):
        try:
            check(line)
        except click.ClickException as error:
            pytest.fail(f"{where}: {error.message}")
        if line in SIMPLE:
            result = CliRunner().invoke(main, line)
            assert result.exit_code == 0, f"{where}: {result.output}"


def test_a_command_that_is_not_real_is_noticed() -> None:
    for line in (["serv"], ["lint", "--ruls"], ["new", "integration"], ["outline", "a", "b"]):
        with pytest.raises(click.ClickException):
            check(line)


def check(line: list[str]) -> None:
    """Ask click whether a command line is right, without running it or looking at its files."""
    command: click.Command = main
    context = click.Context(main, info_name="halflap")
    rest = list(line)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        below = command.get_command(context, rest[0])
        if below is None and type(command).parse_args is not click.Group.parse_args:
            context = command.make_context(context.info_name, rest, parent=context.parent)
            return
        if below is None:
            raise click.UsageError(f"there is no command {rest[0]!r} in {context.command_path}")
        command, context = below, click.Context(below, info_name=rest.pop(0), parent=context)
    values, left, _ = command.make_parser(context).parse_args(rest)
    if left and not isinstance(command, click.Group):
        raise click.UsageError(f"{context.command_path} takes no {left}")
    for each in command.params:
        given = values.get(str(each.name))
        if each.required and (not given or each.value_is_missing(given)):
            raise click.UsageError(f"{context.command_path} needs {each.name}")


# What is generated ----------------------------------------------------------------------------


def generator() -> Any:
    spec = util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    made = util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_the_generated_pages_are_those_that_the_code_gives() -> None:
    for name, text in generator().pages().items():
        assert (DOCS / name).read_text("utf-8") == text, (
            f"docs/{name} is behind the code; run: python docs/generate.py"
        )


# What is documented ---------------------------------------------------------------------------


def coded(pages: list[Path]) -> str:
    """All that stands in code, in spans and in blocks."""
    text = "\n".join(each.read_text("utf-8") for each in pages)
    return "\n".join(re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL))


WRITTEN = [page for page in PAGES if not page.read_text("utf-8").startswith(GENERATED)]
CODE = coded(WRITTEN)
CODE_OF_ALL = coded(PAGES)


def test_every_public_name_is_used_on_a_page_that_somebody_wrote() -> None:
    assert set(halflap.__all__) - set(re.findall(r"\w+", CODE)) == set()


def test_every_error_is_explained() -> None:
    page = (DOCS / "reference" / "errors.md").read_text("utf-8")
    names = [
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, Exception)
    ]
    assert [each for each in names if f"`{each}`" not in page] == []


def every_command(command: click.Command, path: str) -> Iterator[str]:
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None and not below.hidden:
                yield from every_command(below, f"{path} {name}")


def test_every_command_is_documented() -> None:
    page = (DOCS / "reference" / "cli.md").read_text("utf-8")
    missing = [each for each in every_command(main, "halflap") if f"# `{each}`\n" not in page]
    assert not missing


def test_every_setting_is_documented() -> None:
    from dataclasses import fields

    from halflap.server.settings import PREFIX, Settings

    page = (DOCS / "reference" / "settings.md").read_text("utf-8")
    plain = [each.name for each in fields(Settings) if each.name != "remotes"]
    missing = [each for each in plain if f"`{PREFIX}{each.upper()}`" not in page]
    assert not missing
    assert "HALFLAP_SERVER_" in page


def test_every_metric_is_documented() -> None:
    from halflap.server.metrics import METRICS

    page = (DOCS / "reference" / "metrics.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", page, re.MULTILINE)
    assert rows == [(each.sample, each.type) for each in METRICS]


def test_every_built_in_action_and_trigger_is_documented() -> None:
    parts = [
        each.name
        for component in generator().built_in()
        for each in (*component.actions.values(), *component.triggers.values())
    ]
    assert not [each for each in parts if f"`{each}`" not in CODE_OF_ALL]


def test_every_example_is_listed() -> None:
    listed = set(re.findall(r"`(\w+\.(?:py|yaml))`", (DOCS / "examples.md").read_text("utf-8")))
    there = {each.name for each in (ROOT / "examples").iterdir() if each.suffix in (".py", ".yaml")}
    assert listed == there


def test_every_dependency_is_argued_for() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    names = [re.split(r"[><=;\s]", each)[0] for each in project["dependencies"]]
    page = (DOCS / "internals.md").read_text("utf-8").partition("## What it stands on")[2]
    assert not [each for each in names if f"`{each}`" not in page]


# Links ----------------------------------------------------------------------------------------


def prose(page: Path) -> str:
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    return re.sub(r"`[^`\n]*`", lambda found: "x" * len(found[0]), text)


def anchors(page: Path) -> set[str]:
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {slugify(each.replace("`", ""), "-") for each in titles}


def leads(page: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    aim = (page.parent / path).resolve() if path else page
    return aim.exists() and (not anchor or anchor in anchors(aim))


def test_links_lead_somewhere() -> None:
    links = [(page, each) for page in ALL for each in re.findall(r"\]\(([^)\s]+)\)", prose(page))]
    own = [link for link in links if not re.match(r"https?://|mailto:", link[1])]
    assert [f"{name_of(page)}: {each}" for page, each in own if not leads(page, each)] == []


def test_the_tests_that_security_names_exist() -> None:
    named = re.findall(r"`(tests/\S+?\.py)::(\w+)`", (ROOT / "SECURITY.md").read_text("utf-8"))
    assert named
    missing = [
        f"{path}::{name}"
        for path, name in named
        if not re.search(rf"def {name}\(", (ROOT / path).read_text("utf-8"))
    ]
    assert not missing


# The site -------------------------------------------------------------------------------------


class Loaded(HTMLParser):
    """The addresses that a browser would fetch for a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("script", "img", "iframe", "source"):
            self.found.append(given.get("src") or "")
        if tag == "link" and given.get("rel") not in ("canonical", "next", "prev"):
            self.found.append(given.get("href") or "")


def test_the_site_builds_and_fetches_nothing_from_elsewhere(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert {each.relative_to(DOCS).with_suffix(".html") for each in DOCS.rglob("*.md")} <= {
        each.relative_to(tmp_path) for each in pages
    }
    for page in pages:
        parser = Loaded()
        parser.feed(page.read_text("utf-8"))
        assert not [each for each in parser.found if re.match(r"(https?:)?//", each)], page
    assert not list(tmp_path.rglob("generate.py"))
