"""Commands that belong together: what each is for is said whole in their help."""

from __future__ import annotations

import click

WHOLE = 400
"""So long may the sentence be that says what a command is for; click cuts it at a line."""


MOST_NAMED = 12
"""The most commands that are named where there is none of a name."""


class CommandGroup(click.Group):
    """A group whose help lists its commands without cutting what they are for."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is meant; where there is none, say which is, or which there are."""
        name, known = args[0], self.list_commands(ctx)
        if name not in known and not name.startswith("-"):
            from difflib import get_close_matches

            few = len(known) <= MOST_NAMED
            hint = f"there are: {', '.join(known)}" if few else f"see: {ctx.command_path} --help"
            if close := get_close_matches(name, known, 1):
                hint = f"did you mean {close[0]}?"
            raise click.UsageError(f"there is no command {name!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)

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
