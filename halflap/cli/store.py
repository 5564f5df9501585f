"""`halflap store`: where everything is kept."""

from __future__ import annotations

import time
from typing import Any

import click

from halflap.cli.client import has_store
from halflap.cli.group import CommandGroup
from halflap.cli.output import Output
from halflap.cli.reach import speaks
from halflap.errors import ConfigError
from halflap.server.settings import Settings

EVERY_SECONDS = 1.0


@click.group("store", cls=CommandGroup)
def store() -> None:
    """Where everything is kept: a file, or PostgreSQL.

    Example: halflap store move
    """


@store.command("move")
@click.option("--to", "url", metavar="URL", help="PostgreSQL; better in HALFLAP_STORE.")
@speaks(connects=False)
async def move_store(settings: Settings, output: Output, url: str | None) -> None:
    """Move the store from its file to PostgreSQL, with all that happened and all that waits.

    Stop the server first. It is one transaction: all of it, or nothing. The file is kept as
    halflap.db.moved, and no server opens it. Ended anywhere, run it again.

    Example: halflap store move --to postgresql://halflap@db/halflap
    """
    url = url or settings.store
    if not url:
        raise ConfigError(
            "say where the store is to be moved: --to postgresql://user@host:5432/database, "
            "or HALFLAP_STORE"
        )
    try:
        from halflap.store.postgres.moving import move
    except ImportError as error:
        raise ConfigError(
            f"PostgreSQL needs psycopg ({error}); install it with: pip install 'halflap[postgresql]'"
        ) from error
    from halflap.store.vault import Vault

    said = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal said
        if time.monotonic() - said >= EVERY_SECONDS:
            said = time.monotonic()
            output.progress(f"{done:,} of {total:,} executions are copied")

    vault = Vault.from_text(settings.keys) if settings.keys else None
    folder = settings.dir.absolute()  # servers may be started elsewhere
    moved = await move(folder, url, vault, progress)
    if output.json:
        answer: dict[str, Any] = {"store": moved.where, "kept": str(moved.file)}
        output.emit({**answer, "again": moved.again, "rows": moved.rows})
        return
    if moved.again:
        output.line("It was moved before; the file is out of service now.")
    else:
        counts = ", ".join(f"{table} {count:,}" for table, count in moved.rows.items() if count)
        output.line(("Moved ", "bold"), f"to {moved.where}: {counts}")
    output.line(f"  the file is kept: {moved.file}")
    output.line("  from now on start every server, and every command, with")
    output.line(("    HALFLAP_STORE=", "cyan"), "the URL")
    if not settings.blobs and (folder / "blobs").exists():
        output.line(("    HALFLAP_BLOBS=", "cyan"), f"{folder / 'blobs'}, or where you copy it")
    if not settings.keys:
        output.line(("    HALFLAP_KEYS=", "cyan"), f"what {folder / 'halflap.key'} says")


@store.command("migrate")
@click.option(
    "--finish", is_flag=True, help="Remove what only older code needed, once none of it runs."
)
@speaks(connects=False)
async def migrate_store(settings: Settings, output: Output, finish: bool) -> None:
    """Bring a store on PostgreSQL up to this code, while processes run.

    Every process applies what is to be there before its code runs, as it starts, and older code
    runs on beside it. What is to be removed afterwards waits for --finish, which is refused while a
    process of older code has the store open. A store in a file is brought up whole as it is opened.

    Example: halflap store migrate --finish
    """
    if not settings.store:
        raise ConfigError(
            "a store in a file is brought up to this code as it is opened; this is for a store on "
            "PostgreSQL: name it with HALFLAP_STORE"
        )
    import anyio.to_thread

    from halflap.store.postgres.upgrading import advance

    stands = await anyio.to_thread.run_sync(lambda: advance(settings.store, finish=finish))
    if output.json:
        output.emit(
            {
                "applied": [{"migration": n, "phase": phase} for n, phase in stands.applied],
                "begun": [each.number for each in stands.begun],
                "processes": len(stands.processes),
                "of_older_code": len(stands.old),
            }
        )
        return
    for number, phase in stands.applied:
        output.line(f"migration {number}: {phase} applied")
    for each in stands.begun:
        output.line(f"migration {each} is begun; finish it with: halflap store migrate --finish")
    for each in stands.old:
        about = f"{each.role} {each.pid} on {each.host}, Halflap {each.version}"
        output.line(f"  runs older code: {about}")
    if not stands.begun:
        output.line("the store is as this code wants it")


@store.command("rewrap")
@speaks(connects=False)
async def rewrap_store(settings: Settings, output: Output) -> None:
    """Put the secrets of a store under the first of its master keys, so that the others may go.

    With the store in a file, stop the server first. On PostgreSQL, first give every process both
    keys: one that lacks the first of them opens no secret any more.

    Example: halflap store rewrap
    """
    from halflap.store.store import Store
    from halflap.store.vault import Vault

    if not settings.store and not has_store(settings.dir):
        raise ConfigError(f"{settings.dir} has no store; name its directory with --dir")
    vault = Vault.from_text(settings.keys) if settings.keys else None
    opened = await Store.open(settings.place, vault=vault)
    try:
        count = await opened.catalogue.envelopes.rewrap()
        key = opened.vault.current
    finally:
        await opened.close()
    output.answer(
        {"rewrapped": count, "key": key},
        *(("Rewrapped ", "bold"), f"{count:,} secrets: all are under the master key {key!r}"),
    )
