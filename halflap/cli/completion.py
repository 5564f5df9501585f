"""`halflap completion` and `halflap version`: what is about this command itself."""

from __future__ import annotations

import contextlib
import json
import platform
import sqlite3
from importlib import metadata

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
    """Print the version, what it runs on, and the schema of the stores that it makes.

    Example: halflap version --json
    """
    made = schemas()
    found = {
        "halflap": halflap.__version__,
        "commit": commit(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "schema": made,
    }
    if as_json:
        click.echo(json.dumps(found))
        return
    from_commit = f", commit {found['commit']}" if found["commit"] else ""
    runs_on = f"Python {found['python']}, SQLite {found['sqlite']}{from_commit}"
    click.echo(f"halflap {found['halflap']} ({runs_on})")
    stores = ", ".join(f"{number} on {name}" for name, number in made.items())
    click.echo(f"schema of a store: {stores}")


def commit() -> str | None:
    """Return the commit that was installed, where pip was given a repository."""
    with contextlib.suppress(metadata.PackageNotFoundError):
        text = metadata.distribution("halflap").read_text("direct_url.json")
        return json.loads(text or "{}").get("vcs_info", {}).get("commit_id")
    return None


def schemas() -> dict[str, int]:
    """Return the number of the last migration of each kind of store that can be opened here."""
    from halflap.store import schema

    found = {"SQLite": len(schema.MIGRATIONS)}
    with contextlib.suppress(ImportError):  # psycopg is not installed
        from halflap.store.postgres import schema as postgres_schema

        found["PostgreSQL"] = len(postgres_schema.MIGRATIONS)
    return found
