"""The options that every command has which speaks to a server, and how such a command is run."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from halflap.cli.project import ENVIRONMENT, STORE, find_root, read_environment
from halflap.errors import ConfigError
from halflap.server.settings import PREFIX, Settings

Call = Callable[..., Coroutine[Any, Any, None]]

customer_option = click.option("--customer", metavar="NAME", help="The customer, by name or id.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")
patience_option = click.option(
    "--timeout", type=float, default=300.0, show_default=True, help="Seconds to wait for it."
)


def speaks(
    *,
    find: Callable[..., Coroutine[Any, Any, Any]] | None = None,
    make: bool = False,
    connects: bool = True,
) -> Callable[[Call], Callable[..., None]]:
    """Make a command of an `async def` whose first arguments are the API's client and the output.

    With `find`, the third is what that finds by the arguments and options that it is named after.
    `make` allows it to make a store where there is none yet. Without `connects`, it gets the
    settings in the client's place.
    """
    names = [] if find is None else list(inspect.signature(find).parameters)[1:]

    def decorate(call: Call) -> Callable[..., None]:
        @click.option(
            "--json", "as_json", is_flag=True, help="JSON, for machines; a list as JSON lines."
        )
        @click.option(
            "--dir",
            "directory",
            type=click.Path(file_okay=False, path_type=Path),
            help="The server's directory; the project's .halflap, where it is not given.",
        )
        @click.option(
            "--server", metavar="URL|NAME", help="A server elsewhere: its URL, or its name in .env."
        )
        @click.option("--token", help="Its token; better in HALFLAP_TOKEN, which ps does not show.")
        @functools.wraps(call)
        def command(
            as_json: bool,
            directory: Path | None,
            server: str | None,
            token: str | None,
            **given: Any,
        ) -> None:
            import asyncio  # a supervisor, which reads its settings here, needs no event loop

            settings = settings_here(dir=directory)
            if server or token:
                settings = replace(
                    settings, server=server or settings.server, token=token or settings.token
                )
            places = {"--dir": directory, "--server": server}
            asyncio.run(run(settings, as_json, places, given))

        async def run(
            settings: Settings,
            as_json: bool,
            places: Mapping[str, Path | str | None],
            given: dict[str, Any],
        ) -> None:
            from halflap.cli.client import Client
            from halflap.cli.output import Output, quoted

            place = [f"{name} {quoted(str(each))}" for name, each in places.items() if each]
            output = Output(json=as_json, place=" ".join(place))
            if not connects:
                await call(settings, output, **given)
                return
            async with Client.connect(settings, make=make) as api:
                named = [given.pop(each) for each in names]
                found = () if find is None else (await find(api, *named),)
                await call(api, output, *found, **given)

        return command

    return decorate


def settings_here(start: Path | None = None, *, own: bool = False, **given: Any) -> Settings:
    """The settings of the project that `start` lies in: its `.env`, then the environment above it.

    The server's directory is the project's own `.halflap`, unless another is named: then that is meant,
    whatever server the environment names. With `own`, it has to be named where `start` is not the
    project's top, so that no parent folder's store is taken.
    """
    start = start or Path.cwd()
    root = find_root(start)
    named = {**read_environment(root / ENVIRONMENT), **os.environ}
    environment = {name: value for name, value in named.items() if name.startswith(PREFIX)}
    if given.get("dir") is not None:
        given = {"server": "", **given}
    elif f"{PREFIX}DIR" not in environment:
        given["dir"] = root / STORE
        if own and root != start.resolve():
            raise ConfigError(
                f"{start} lies in the project {root}, so two stores may be meant: name the project's "
                f"with --dir {root / STORE}, one of this folder's own with --dir {STORE} (or set "
                "HALFLAP_DIR)"
            )
    return Settings.read(environment, **given)


def sure(yes: bool, question: str) -> None:
    """Ask before what cannot be taken back; `yes` is the answer where nobody is asked."""
    from halflap.cli.control import clean

    if not yes and not click.confirm(clean(question), err=True):
        raise click.exceptions.Exit(1)
