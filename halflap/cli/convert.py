"""`halflap convert`: a YAML integration as Python that does the same."""

from __future__ import annotations

from pathlib import Path

import click

from halflap.errors import ConfigError, DefinitionError
from halflap.lowcode import Components, read
from halflap.lowcode.convert import to_python
from halflap.testing.document import beside


@click.command("convert")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The file to write.")
@click.option("--force", is_flag=True, help="Replace the file where there is one.")
def convert(file: Path, output: Path | None, force: bool) -> None:
    """Write a YAML integration as Python that does the same.

    The same calls, in the same order, with the same inputs, for the same events. An expression that
    Python does not say exactly stays one, expr("…"). Components of the project (FILE's folder) are
    imported; its tests are not converted. FILE stays as it is; a project has one integration of a
    name, so move it away before the Python is deployed.
    """
    if file.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"{file} is not YAML; give a file that ends in .yaml or .yml")
    if output is not None and output.exists() and not force:
        raise ConfigError(f"{output} is there already; give another -o, or replace it by --force")
    try:
        module = to_python(
            read(file.read_bytes(), str(file)), Components(beside(file.parent.resolve()))
        )
    except ImportError as error:
        raise DefinitionError(
            f"a component of the project does not load: {error}", where=str(file)
        ) from error
    if output is None:
        click.echo(module, nl=False)
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(module, encoding="utf-8")
    click.echo(f"{output}: {len(module.splitlines())} lines", err=True)
