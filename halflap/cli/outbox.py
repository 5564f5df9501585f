"""`halflap outbox`: the relay of a product's transactional outbox, as a process of its own."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import click

from halflap.cli.group import CommandGroup
from halflap.errors import ConfigError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from halflap.export.outbox import Outbox

database_option = click.option(
    "--database",
    envvar="DATABASE_URL",
    required=True,
    metavar="URL",
    help="The app's database, as SQLAlchemy names it; DATABASE_URL by default.",
)
table_option = click.option(
    "--table", default="halflap_outbox", metavar="NAME", help="The outbox's table."
)


@click.group("outbox", cls=CommandGroup)
def outbox() -> None:
    """Send what your product wrote to its transactional outbox (docs/export.md).

    Example: halflap outbox run
    """


@outbox.command("run")
@database_option
@table_option
@click.option(
    "--url", envvar="HALFLAP_URL", required=True, help="The server's; HALFLAP_URL by default."
)
def run(database: str, table: str, url: str) -> None:
    """Send events as they are committed, until it is stopped; as many of these as you like.

    The key with the right `events` is read from HALFLAP_EVENTS_KEY.

    Example: halflap outbox run --database postgresql+psycopg://app@db/app --url https://halflap.example
    """
    key = os.environ.get("HALFLAP_EVENTS_KEY")
    if not key:
        raise ConfigError("set HALFLAP_EVENTS_KEY: a key with the right `events`")
    engine, made = opened(database, table)
    from halflap.export import Publisher
    from halflap.export.outbox import OutboxRelay

    relay = OutboxRelay(made, engine, Publisher(url, key))

    def stop(number: int, frame: object) -> None:
        relay.stop()

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, stop)
    click.echo(f"sends what {table} has to {url}", err=True)
    relay.run()


@outbox.command("status")
@database_option
@table_option
def status(database: str, table: str) -> None:
    """Print how many events wait, and how many the server refused for what they are.

    Example: halflap outbox status
    """
    engine, made = opened(database, table)
    with engine.connect() as connection:
        click.echo(f"{made.waiting(connection)} wait, {made.set_aside(connection)} are set aside")


@outbox.command("retry")
@database_option
@table_option
def retry(database: str, table: str) -> None:
    """Have what was set aside sent again, once it is mended.

    Example: halflap outbox retry
    """
    engine, made = opened(database, table)
    with engine.begin() as connection:
        click.echo(f"{made.retry(connection)} are sent again")


def opened(database: str, table: str) -> tuple[Engine, Outbox]:
    """Return the app's database and its outbox; `ConfigError` where SQLAlchemy is missing."""
    try:
        from sqlalchemy import create_engine
        from sqlalchemy.exc import ArgumentError, NoSuchModuleError
    except ImportError as error:
        raise ConfigError("the outbox needs SQLAlchemy: pip install 'halflap[outbox]'") from error
    from halflap.export import EventTypes
    from halflap.export.outbox import Outbox

    try:
        return create_engine(database), Outbox(EventTypes(), table=table)
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise ConfigError(f"--database: {error}", fields={"database": str(error)}) from error
