"""The command line: `halflap`. Each command is a module that is loaded when it is asked for.

A command that speaks to a server is an `async def` under `reach.speaks`; `client` hides whether the
server runs, `output` what the answer looks like, `errors` how a failure is told.
"""

from __future__ import annotations

import gc
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

import halflap
from halflap.cli.errors import told
from halflap.cli.group import CommandGroup


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """A command that is not loaded yet: its module, and the command in it."""

    module: str
    attribute: str

    @property
    def help(self) -> str:
        """The first paragraph of its docstring, read without importing what the command needs."""
        place = Path(__file__).parent / self.module
        file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        text = file.read_text(encoding="utf-8")
        opening = rf'^(?:async )?def {self.attribute}\(.*?"""(.+?)(?:\n\n|""")'
        [first] = re.findall(opening, text, re.MULTILINE | re.DOTALL)
        return " ".join(first.split())


class Lazy(CommandGroup):
    """A group that loads a command's module when that is run, not to list it."""

    def __init__(
        self, *args: Any, sections: Mapping[str, Mapping[str, LazyCommand]], **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self.sections = sections
        self.entries = {name: each for part in sections.values() for name, each in part.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands."""
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command."""
        entry = self.entries.get(cmd_name)
        if entry is None:
            return None
        return getattr(import_module(f"halflap.cli.{entry.module}"), entry.attribute)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands by what they are for."""
        for title, part in self.sections.items():
            with formatter.section(title):
                formatter.write_dl([(name, entry.help) for name, entry in part.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands that begin like this."""
        return [
            CompletionItem(name, help=entry.help)
            for name, entry in self.entries.items()
            if name.startswith(incomplete)
        ] or click.Command.shell_complete(self, ctx, incomplete)

    def main(self, *args: Any, standalone_mode: bool = True, **options: Any) -> Any:
        """Run; every error is told in one message, with its exit code."""
        run: Callable[[], Any] = lambda: super(Lazy, self).main(  # noqa: E731
            *args, standalone_mode=False, **options
        )
        if not standalone_mode:
            return run()
        gc.set_threshold(20_000, 20, 50)  # what a command makes, it mostly keeps until its end
        sys.exit(told(run))


SECTIONS = {
    "Write an integration": {
        "new": LazyCommand("new", "new"),
        "dev": LazyCommand("dev", "dev"),
        "test": LazyCommand("test", "test"),
        "shadow": LazyCommand("shadow", "shadow_command"),
        "lint": LazyCommand("lint", "lint"),
        "outline": LazyCommand("outline", "outline"),
        "convert": LazyCommand("convert", "convert"),
        "schema": LazyCommand("schema", "schema"),
        "types": LazyCommand("types", "types"),
        "lsp": LazyCommand("lsp", "lsp"),
        "deploy": LazyCommand("deploy", "deploy"),
        "pull": LazyCommand("pull", "pull"),
    },
    "Run it for customers": {
        "serve": LazyCommand("serve", "serve"),
        "gateway": LazyCommand("serve", "gateway"),
        "worker": LazyCommand("serve", "worker"),
        "integrations": LazyCommand("integrations", "integrations"),
        "customers": LazyCommand("customers", "customers"),
        "connections": LazyCommand("connections", "connections"),
        "oauth-apps": LazyCommand("oauth_apps", "oauth_apps"),
        "instances": LazyCommand("instances", "instances"),
        "event-types": LazyCommand("event_types", "event_types"),
        "receivers": LazyCommand("receivers", "receivers"),
        "outbox": LazyCommand("outbox", "outbox"),
        "tokens": LazyCommand("tokens", "tokens"),
        "users": LazyCommand("users", "users"),
        "keys": LazyCommand("keys", "keys"),
        "component-sets": LazyCommand("component_sets", "component_sets"),
        "backup": LazyCommand("backup", "backup"),
        "store": LazyCommand("store", "store"),
    },
    "See what happened": {
        "console": LazyCommand("users", "console"),
        "executions": LazyCommand("executions", "executions"),
        "bulks": LazyCommand("bulk", "bulks"),
        "events": LazyCommand("executions", "events"),
        "audit": LazyCommand("audit", "audit"),
        "doctor": LazyCommand("doctor", "doctor"),
    },
    "Try it": {
        "demo": LazyCommand("demo", "demo"),
        "sandbox": LazyCommand("sandbox", "sandbox"),
        "bench": LazyCommand("bench", "command"),
    },
    "This command": {
        "completion": LazyCommand("completion", "completion"),
        "version": LazyCommand("completion", "version"),
    },
}


@click.group(cls=Lazy, sections=SECTIONS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(halflap.__version__, "-V", "--version", message="halflap %(version)s")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Write an integration once; every customer activates their own.

    To begin: halflap new integration my-first && cd my-first && halflap dev
    """
    if "NO_COLOR" in os.environ:
        ctx.color = False
