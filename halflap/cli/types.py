"""`halflap types`: write the typed stubs of actions that are declared from a specification."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from halflap.cli.openapi.stubs import declaring_modules, stub_of
from halflap.errors import ConfigError


@click.command("types")
@click.argument("modules", nargs=-1)
@click.option("--check", is_flag=True, help="Write nothing; fail where a stub has fallen behind.")
def types(modules: tuple[str, ...], check: bool) -> None:
    """Write the stubs (.pyi) by which an editor knows actions that are declared from a specification.

    Without MODULES, those of the project in this folder; they are imported.
    """
    root = Path.cwd()
    sys.path.insert(0, str(root))
    found = modules or declaring_modules(root)
    if not found:
        raise ConfigError("no module here declares operations of a specification")
    behind: list[str] = []
    for module in found:
        path, text = stub_of(module)
        is_new = not path.is_file() or path.read_text("utf-8") != text
        if is_new and check:
            behind.append(module)
        elif is_new:
            path.write_text(text, encoding="utf-8")
            click.echo(f"wrote {path.relative_to(root) if path.is_relative_to(root) else path}")
    if behind:
        raise ConfigError(f"the stub of {', '.join(behind)} has fallen behind: run halflap types")
