"""`halflap backup`: a copy of the store, made while the server runs."""

from __future__ import annotations

from pathlib import Path

import anyio.to_thread
import click

from halflap.cli.output import Output
from halflap.cli.reach import speaks
from halflap.errors import ConfigError
from halflap.server.settings import Settings


@click.command("backup")
@click.argument("target", type=click.Path(file_okay=False, path_type=Path))
@speaks(connects=False)
async def backup(settings: Settings, output: Output, target: Path) -> None:
    """Copy the store to the directory TARGET, while its server goes on.

    The database is copied as of one moment and checked, then the blobs that are new. A copy that is
    there is replaced once the new one is whole. The master key is not copied: keep it apart. To
    restore, serve a directory that has the copy and the key.

    Example: halflap backup /backup/halflap
    """
    if settings.store:
        raise ConfigError(
            "the store is in PostgreSQL: back that up with pg_dump, pg_basebackup or your provider's "
            "snapshots (docs/operate.md)"
        )
    from halflap.store.backup import back_up

    made = await anyio.to_thread.run_sync(back_up, settings.dir, target)
    if output.emitted({"database_bytes": made.database_bytes, "new_blobs": made.blobs}):
        return
    output.line(
        f"{target} has the store: {made.database_bytes:,} bytes, and {made.blobs:,} new blobs"
    )
    if settings.blobs:
        output.note((f"the blobs are in {settings.blobs}: back them up there, after this", "dim"))
    if not settings.keys:
        output.note(
            (f"keep {settings.dir / 'halflap.key'} apart: nothing is read without it", "dim")
        )
