"""Commands that belong together: what each is for is said whole in their help."""

from __future__ import annotations

import click

WHOLE = 400
"""So long may the sentence be that says what a command is for; click cuts it at a line."""


class CommandGroup(click.Group):
    """A group whose help lists its commands without cutting what they are for."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands, each with the first sentence of its help."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [
            (name, command.get_short_help_str(WHOLE))
            for name, command in found
            if command is not None and not command.hidden
        ]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)
