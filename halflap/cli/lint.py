"""`halflap lint`: find what would break a flow's replay or a component's promises."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import asdict
from pathlib import Path

import click

from halflap.cli.project import COMPONENTS, STORE, documents, entries, find_root, sources
from halflap.engine.bundle import pack
from halflap.engine.definition import check_definition
from halflap.engine.integration import (
    components_of,
    known_actions,
    known_records,
    load_integration,
)
from halflap.engine.loader import load, unload
from halflap.errors import ConfigError, DefinitionError, HalflapError
from halflap.lowcode.lint import RULES as DOCUMENT_RULES
from halflap.lowcode.lint import Shapes, lint_text
from halflap.lowcode.lint.describing import describe_components, store_components
from halflap.sdk import lint as rules
from halflap.sdk.lint import RULES, Finding

LOAD = "HF098"
"""The code of what is only found by loading the project."""


@click.command("lint")
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--load", "loads", is_flag=True, help="Import the project too; this runs its code.")
@click.option("--rules", "shows_rules", is_flag=True, help="Show the table of rules and end.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array, for machines.")
def lint(paths: tuple[Path, ...], loads: bool, shows_rules: bool, as_json: bool) -> None:
    """Find what is wrong with a project's sources and YAML documents, by reading them.

    Where there are documents, its components are imported in a process of their own, for what they take
    and give. None of its other code is run, unless --load is given.
    PATHS are files and folders of one project; without any, the project in this folder is linted. A file
    is linted alone, with the others known. Excuse a line with `# halflap: ignore[HF001]`. The
    exit code is 1 where there are errors; warnings alone end with 0.
    """
    if shows_rules:
        show_rules(as_json)
        return
    root = find_root(paths[0] if paths else Path.cwd())
    for path in paths:
        if find_root(path) != root:
            raise ConfigError(f"{path} is not of the project in {root}; lint one project at a time")
    asked = list(
        dict.fromkeys(each for path in paths or (root,) for each in asked_documents(root, path))
    )
    files = read(root, documented=bool(asked))
    found = rules.lint(files, known_actions(), known_records())
    loads = loads and not any(each.code == "HF000" for each in found)
    found += lint_documents(root, asked, files, loads=loads)
    if loads:
        found += load_all(root, {each.file for each in found if each.severity == "error"})
    linted = {
        *(each for each in files if each.endswith(".py")),
        *(_name(root, each) for each in asked),
    }
    if paths and all(each.is_file() for each in paths):
        linted = {_name(root, each.resolve()) for each in paths}
        found = [each for each in found if each.file in linted]
    looked = len(linted)
    if as_json:
        click.echo(json.dumps([asdict(each) for each in found], ensure_ascii=False))
    else:
        show(found, looked)
    sys.exit(1 if any(each.severity == "error" for each in found) else 0)


def _name(root: Path, file: Path) -> str:
    return file.relative_to(root).as_posix()


def read(root: Path, *, documented: bool) -> dict[str, str]:
    """A project's sources and the quality.yaml of its components, by path below its folder."""
    paths = list(sources(root))
    if not paths and not documented:
        raise DefinitionError(
            "there is nothing to lint in this folder; give a project's folder", where=str(root)
        )
    notes = {path.parent / "quality.yaml" for path in paths}
    found: dict[str, str] = {}
    for path in (*paths, *sorted(each for each in notes if each.is_file())):
        name = path.relative_to(root).as_posix()
        found[name] = path.read_bytes().decode("utf-8", errors="replace")
    return found


def asked_documents(root: Path, path: Path) -> list[Path]:
    """The documents to lint: the one that is named, whatever it looks like, or all of the project."""
    if path.is_dir():
        return list(documents(root))
    return [path.resolve()] if path.suffix in (".yaml", ".yml") else []


def lint_documents(
    root: Path, asked: Iterable[Path], files: Mapping[str, str], *, loads: bool
) -> list[Finding]:
    """Return the findings of the project's documents; its components are loaded, or described."""
    documents = list(asked)
    own = describe_components(root, files) if documents else {}
    if own:
        store_components(root / STORE / COMPONENTS, files, own)
    shapes = Shapes(own=own)
    found: list[Finding] = []
    with tempfile.TemporaryDirectory(prefix="halflap-lint-") as cache:
        for path in documents:
            name, content = path.relative_to(root).as_posix(), path.read_bytes()
            told = lint_loaded(root, name, content, Path(cache)) if loads else None
            found += lint_text(content, name, shapes) if told is None else told
    return found


def lint_loaded(root: Path, name: str, content: bytes, cache: Path) -> list[Finding] | None:
    """Lint a document beside the project's components; None where those, or it, do not load."""
    try:
        bundle = pack(root, name)
        loaded = load(bundle, cache)
    except DefinitionError:
        return None
    try:
        return lint_text(content, name, Shapes(components_of(bundle, loaded)))
    finally:
        unload(bundle.hash)


def load_all(root: Path, wrong: Set[str] = frozenset()) -> list[Finding]:
    """Return the findings of importing the project's modules; of documents, those not `wrong`
    already.
    """
    found: dict[tuple[str, int, str], Finding] = {}
    with tempfile.TemporaryDirectory(prefix="halflap-lint-") as cache:
        for entry in starts(root, wrong):
            try:
                load_one(root, entry, Path(cache))
            except HalflapError as error:
                finding = located(error)
                found.setdefault((finding.file, finding.line, finding.message), finding)
    return sorted(found.values())


def starts(root: Path, wrong: Set[str]) -> Iterator[str]:
    """Where loading starts: every integration, and every module that has none."""
    whole = (each for each in documents(root) if each.relative_to(root).as_posix() not in wrong)
    for path in (*sources(root), *whole):
        integrations = entries(root, path)
        yield from (each.entry for each in integrations)
        if not integrations and path.suffix == ".py" and path.parent == root:
            yield f"{path.stem}:__name__"


def load_one(root: Path, entry: str, cache: Path) -> None:
    """Load one start; raises what is wrong with it."""
    bundle = pack(root, entry)
    try:
        if entry.endswith(":__name__"):
            load(bundle, cache)
        else:
            check_definition(load_integration(bundle, cache))
    finally:
        unload(bundle.hash)


def located(error: HalflapError) -> Finding:
    """An error of loading as a finding at its place in the project."""
    where = (error.where if isinstance(error, DefinitionError) else None) or ""
    message = error.message.removeprefix(f"{where}: ")
    file, _, line = where.rpartition(":")
    if not line.isdigit():
        file, line = where, "1"
    parts = Path(file).parts
    hashed = [at for at, part in enumerate(parts) if len(part) == 64]
    file = "/".join(parts[hashed[-1] + 1 :]) if hashed else file
    return Finding(file, int(line), 1, LOAD, message)


def show(found: list[Finding], files: int) -> None:
    """Show findings, one a line, and how many there are."""
    for each in found:
        click.echo(
            click.style(f"{each.file}:{each.line}:{each.column}: ", bold=True)
            + (
                click.style(f"{each.code}: ", fg="red")
                if each.severity == "error"
                else click.style(f"{each.code} (warning): ", fg="yellow")
            )
            + each.message
        )
    looked = f"{files} {'file' if files == 1 else 'files'}"
    if found:
        click.echo(f"{len(found)} {'finding' if len(found) == 1 else 'findings'} in {looked}")
    else:
        click.echo(click.style(f"no findings in {looked}", fg="green"))


def show_rules(as_json: bool) -> None:
    """Show the table of rules."""
    if as_json:
        click.echo(
            json.dumps([asdict(each) for each in (*RULES, *DOCUMENT_RULES)], ensure_ascii=False)
        )
        return
    for each in (*RULES, *DOCUMENT_RULES):
        warns = " (warning)" if each.severity == "warning" else ""
        click.echo(click.style(each.code, bold=True) + f"  {each.finds}{warns}")
        click.echo(f"       why: {each.why}")
        click.echo(f"       write: {each.instead}")
