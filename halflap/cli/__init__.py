"""The command line: `halflap`. Each command is a module that is loaded when it is asked for.

A command that speaks to a server is an `async def` under `reach.speaks`; `client` hides whether the
server runs, `output` what the answer looks like, `errors` how a failure is told.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem

from halflap.cli.errors import told


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """A command that is not loaded yet: its module, the command in it, its help in short."""

    module: str
    attribute: str
    help: str


class Lazy(click.Group):
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

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is meant; one that there is not is answered with the nearest."""
        name = args[0]
        if name not in self.entries and not name.startswith("-"):
            from difflib import get_close_matches

            close = get_close_matches(name, self.entries, 1)
            hint = f"did you mean {close[0]}?" if close else "see: halflap --help"
            raise click.UsageError(f"there is no command {name!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)

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
        "new": LazyCommand(
            "new", "new", "Begin an integration or a component, or take the example of one."
        ),
        "dev": LazyCommand(
            "dev", "dev", "Run a project's working copy: reload on change, show every event."
        ),
        "test": LazyCommand("test", "test", "Run a project's tests, with no network."),
        "shadow": LazyCommand(
            "shadow",
            "shadow_command",
            "Run a project's integration against the last real events, and say what would differ.",
        ),
        "lint": LazyCommand(
            "lint",
            "lint",
            "Find what is wrong with a project's sources and YAML documents, by reading them.",
        ),
        "outline": LazyCommand(
            "outline",
            "outline",
            "Show what the flows of an integration may do: steps, branches, loops, as a tree.",
        ),
        "convert": LazyCommand(
            "convert",
            "convert",
            "Write a YAML integration as Python that does the same.",
        ),
        "schema": LazyCommand(
            "schema",
            "schema",
            "Print the JSON Schema of a YAML integration, by which editors complete and check one.",
        ),
        "lsp": LazyCommand(
            "lsp",
            "lsp",
            "Help an editor with YAML integrations: findings, completion, help, and where things are.",
        ),
        "deploy": LazyCommand(
            "deploy",
            "deploy",
            "Publish a project's integration to a target, and show what changes.",
        ),
    },
    "Run it for customers": {
        "serve": LazyCommand("serve", "serve", "Run the server: webhooks in, executions, the API."),
        "gateway": LazyCommand(
            "serve", "gateway", "Take webhooks and serve the API; workers run what comes in."
        ),
        "worker": LazyCommand(
            "serve",
            "worker",
            "Run executions, deployments and schedules; gateways take what comes in.",
        ),
        "integrations": LazyCommand(
            "integrations",
            "integrations",
            "List what is published, and the URLs that all customers share.",
        ),
        "customers": LazyCommand("customers", "customers", "The customers of your product."),
        "connections": LazyCommand(
            "connections", "connections", "Accounts of apps, and their secrets."
        ),
        "oauth-apps": LazyCommand(
            "oauth_apps",
            "oauth_apps",
            "The team's own OAuth apps, one per component: what customers sign in through.",
        ),
        "instances": LazyCommand(
            "instances", "instances", "Integrations activated for customers: their life."
        ),
        "tokens": LazyCommand(
            "tokens",
            "tokens",
            "Manage tokens that act for one customer at the API: they see and change its things alone.",
        ),
        "backup": LazyCommand(
            "backup", "backup", "Copy the store to the directory TARGET, while its server goes on."
        ),
        "store": LazyCommand("store", "store", "Where everything is kept: a file, or PostgreSQL."),
    },
    "See what happened": {
        "executions": LazyCommand(
            "executions", "executions", "Executions of flows: what happened, why, and again."
        ),
        "bulks": LazyCommand(
            "bulk",
            "bulks",
            "Actions on many executions or instances at once: list them, follow one, end it, undo it.",
        ),
        "events": LazyCommand(
            "executions", "events", "Print an event: its request and its body; or send one."
        ),
        "doctor": LazyCommand(
            "doctor", "doctor", "Check this machine, the store and the settings."
        ),
    },
    "Try it": {
        "demo": LazyCommand(
            "demo",
            "demo",
            "Run a day of two customers on this machine, and check every claim.",
        ),
        "sandbox": LazyCommand("sandbox", "sandbox", "Run a small real app to develop against."),
        "bench": LazyCommand(
            "bench",
            "command",
            "Measure this installation: webhook → branch → map → one POST, every step on disk.",
        ),
    },
    "This command": {
        "completion": LazyCommand(
            "completion", "completion", "Print what completes commands in a shell."
        ),
        "version": LazyCommand("completion", "version", "Print the version."),
    },
}


@click.group(cls=Lazy, sections=SECTIONS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(
    None, "-V", "--version", package_name="halflap", message="halflap %(version)s"
)
@click.pass_context
def main(ctx: click.Context) -> None:
    """Write an integration once; every customer activates their own.

    To begin: halflap new integration my-first && cd my-first && halflap dev
    """
    if "NO_COLOR" in os.environ:
        ctx.color = False
