"""`halflap convert`: a YAML integration as Python that does the same, and Python as YAML."""

from __future__ import annotations

from pathlib import Path

import click

from halflap.cli.project import find_root, sources
from halflap.errors import ConfigError, DefinitionError
from halflap.lowcode import Components, read
from halflap.lowcode.convert import NotYaml, to_python, to_yaml
from halflap.testing.document import beside


@click.command("convert")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The file to write.")
@click.option("--force", is_flag=True, help="Replace the file where there is one.")
@click.pass_context
def convert(ctx: click.Context, file: Path, output: Path | None, force: bool) -> None:
    """Write a YAML integration as Python that does the same, or Python as YAML.

    The same calls, in the same order, with the same inputs, for the same events. From YAML: an
    expression that Python does not say exactly stays one, expr("…"), and components of the project
    (FILE's folder) are imported. From Python: the source is read, and nothing of the project is run. What
    has no counterpart is refused, with its place. FILE stays as it is; a project has one integration of
    a name, so move it away before the other is deployed.
    """
    if file.suffix not in (".yaml", ".yml", ".py"):
        raise ConfigError(f"{file} is neither YAML nor Python; give one that ends in .yaml or .py")
    try:
        written = yaml_of(file) if file.suffix == ".py" else python_of(file)
    except NotYaml as error:
        for each in error.refusals:
            click.echo(str(each), err=True)
        ctx.exit(1)
    if output is None:
        click.echo(written, nl=False)
        return
    if output.exists() and not force:
        raise ConfigError(f"{output} is there already; give another -o, or replace it by --force")
    output.write_text(written, encoding="utf-8")
    click.echo(f"{output}: {len(written.splitlines())} lines", err=True)


def python_of(file: Path) -> str:
    """The Python of a document, in a project's folder."""
    content = file.read_bytes()
    try:
        return to_python(read(content, str(file)), Components(beside(file.parent.resolve())))
    except ImportError as error:
        raise DefinitionError(
            f"a component of the project does not load: {error}", where=str(file)
        ) from error


def yaml_of(file: Path) -> str:
    """The document of a Python module, by its text and those of the project's other sources."""
    root = find_root(file)
    files = {
        each.relative_to(root).as_posix(): each.read_bytes().decode("utf-8", errors="replace")
        for each in (*sources(root), file.resolve())
    }
    return to_yaml(files, file.resolve().relative_to(root).as_posix())
