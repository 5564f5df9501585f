"""`halflap completion` and `halflap version`: what is about this command itself."""

from __future__ import annotations

import json
import platform
import sqlite3

import click
from click.shell_completion import get_completion_class

import halflap

SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print what completes commands in a shell.

    \b
    bash:  eval "$(halflap completion bash)"   in ~/.bashrc
    zsh:   eval "$(halflap completion zsh)"   in ~/.zshrc
    fish:  halflap completion fish > ~/.config/fish/completions/halflap.fish
    """
    from halflap.cli import main

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(main, {}, "halflap", "_HALFLAP_COMPLETE").source())


@click.command("version")
@click.option("--json", "as_json", is_flag=True, help="JSON, for machines.")
def version(as_json: bool) -> None:
    """Print the version.

    Example: halflap version --json
    """
    found = {
        "halflap": halflap.__version__,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
    }
    if as_json:
        click.echo(json.dumps(found))
        return
    click.echo(f"halflap {found['halflap']} (Python {found['python']}, SQLite {found['sqlite']})")
