"""`halflap convert`: a YAML integration as Python that does the same."""

from __future__ import annotations

import os
from pathlib import Path

import click

from halflap.cli.project import find_root
from halflap.errors import ConfigError, DefinitionError
from halflap.lowcode import Components, read
from halflap.lowcode.convert import to_pytest, to_python
from halflap.testing.document import beside


@click.command("convert")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The file to write.")
@click.option(
    "--tests",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file for its tests; with -o, tests/test_NAME.py, where it is not given.",
)
@click.option("--no-tests", "untested", is_flag=True, help="Write no tests.")
@click.option("--force", is_flag=True, help="Replace the file where there is one, but never tests.")
def convert(
    file: Path, output: Path | None, tests: Path | None, untested: bool, force: bool
) -> None:
    """Write a YAML integration as Python that does the same.

    The same calls, in the same order, with the same inputs, for the same events. An expression that
    Python does not say exactly stays one, expr("…"). Components of the project (FILE's folder) are
    imported; its tests become tests of pytest, in a file of their own that is never replaced. FILE
    stays as it is; a project has one integration of a name, so move it away before the Python is
    deployed.
    """
    if file.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"{file} is not YAML; give a file that ends in .yaml or .yml")
    if tests is not None and (output is None or untested):
        raise ConfigError("--tests goes with -o, and without --no-tests")
    if output is not None and output.exists() and not force:
        raise ConfigError(f"{output} is there already; give another -o, or replace it by --force")
    if tests is not None and tests.exists():
        raise ConfigError(f"{tests} is there already, and tests are never replaced; give another")
    folder = file.parent.resolve()
    source, suite = read(file.read_bytes(), str(file)), ""
    try:
        components = Components(beside(folder))
        module = to_python(source, components)
        if output is None:
            click.echo(module, nl=False)
            return
        if source.data.get("tests") and not untested:
            tests = tests or place_of(output)
            seen = os.path.relpath(folder, tests.parent.resolve()).replace(os.sep, "/")
            suite = to_pytest(source, components, module_of(output), folder=seen)
    except ImportError as error:
        raise DefinitionError(
            f"a component of the project does not load: {error}", where=str(file)
        ) from error
    save(output, module)
    if not suite or tests is None:
        return
    if tests.exists():
        click.echo(f"{tests} is there already, and stays as it is", err=True)
    else:
        save(tests, suite)


def save(path: Path, written: str) -> None:
    """Write a file, in a new folder where there is none, and say so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(written, encoding="utf-8")
    click.echo(f"{path}: {len(written.splitlines())} lines", err=True)


def place_of(output: Path) -> Path:
    """Where the tests of a module go: with the project's others, or beside it where it is not on top."""
    name, top = f"test_{output.stem}.py", top_of(output)
    root = find_root(top)
    return Path(os.path.relpath(root / "tests" / name)) if root == top else output.with_name(name)


def module_of(output: Path) -> str:
    """Return the dotted name by which a module is imported: with the packages that it is in."""
    return ".".join(output.resolve().with_name(output.stem).relative_to(top_of(output)).parts)


def top_of(output: Path) -> Path:
    """The folder that a module is imported from: above the packages that it is in."""
    folder = output.resolve().parent
    while (folder / "__init__.py").is_file():
        folder = folder.parent
    return folder
