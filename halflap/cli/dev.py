"""`halflap dev`: run a project while it is written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from watchfiles import Change, awatch  # pyright: ignore[reportUnknownVariableType]

from halflap.cli.client import Client, local
from halflap.cli.control import log_errors
from halflap.cli.feed import Feed
from halflap.cli.project import ENVIRONMENT, SKIPPED, Project
from halflap.cli.reach import settings_here
from halflap.cli.screen import Screen
from halflap.cli.tunnel import installed, tunnel
from halflap.cli.users import console_lines
from halflap.cli.workbench import Workbench
from halflap.engine.bundle import SUFFIXES
from halflap.errors import DefinitionError
from halflap.gateway.app import Gateway
from halflap.gateway.refusal import RequestRefusal
from halflap.gateway.route import Intake
from halflap.gateway.server import run_loop
from halflap.model import Outcome, Rejection, Start, Started
from halflap.server.address import remove_address
from halflap.server.host import Host
from halflap.server.process import interrupted
from halflap.server.settings import Settings
from halflap.store.shards import ShardKey, ShardState
from halflap.store.store import Store

LOOPBACK = ("127.0.0.1", "::1", "localhost")
DRAIN_SECONDS = 5.0
BLOCKED = 0.2
LISTENER_PAUSE = 5.0
"""The longest pause, in seconds, until a listener that failed is opened again here."""


@click.command("dev")
@click.argument("path", required=False, type=click.Path(exists=True, path_type=Path))
@click.option("--port", type=int, help="Where to listen; 8400, where it is not given.")
@click.option("--public-url", metavar="URL", help="How senders reach this server.")
@click.option("--tunnel", "tunnelled", is_flag=True, help="Open a tunnel (cloudflared or ngrok).")
def dev(path: Path | None, port: int | None, public_url: str | None, tunnelled: bool) -> None:
    """Run a project's working copy: reload on change, show every event.

    Publishes the integrations of the folder, activates each for a customer "dev" with what .env
    answers, prints a link to the console and the URL of every flow, and follows events and executions.
    A change is published and takes over at once; where it is wrong, the version before runs on.
    The target "dev" follows it, unless it has a version that somebody published in the designer.
    """
    project = Project.read(path)
    project.needed()
    if tunnelled and public_url is None:
        installed()
    settings = settings_of(project, port=port, public_url=public_url)
    log_errors()
    start = path or project.root
    run_loop(run(start, project, settings, Screen(), tunnelled=tunnelled and public_url is None))


def settings_of(project: Project, **given: Any) -> Settings:
    """The settings of a dev server: the project's own store, `.env`, and calls to this machine."""
    settings = settings_here(project.root, **given)
    if settings.drain_seconds == Settings().drain_seconds:
        settings = replace(settings, drain_seconds=DRAIN_SECONDS)
    allowed = (*settings.egress_allow, *LOOPBACK)
    # A breakpoint may block, and is not to end the server.
    return replace(settings, egress_allow=allowed, watchdog_seconds=0, blocked_seconds=BLOCKED)


class Doorway:
    """The engine as the gateway sees it, which tells of duplicates too."""

    def __init__(self, engine: Intake, tell: Callable[[str, str, str], None]) -> None:
        self._engine = engine
        self._tell = tell

    async def start(self, starts: Sequence[Start]) -> list[Started]:
        """Accept executions; those that were accepted before are told."""
        started = await self._engine.start(starts)
        for start, each in zip(starts, started, strict=True):
            if each.duplicate_of is not None:
                self._tell(
                    start.flow.instance, start.flow.flow, f"duplicate of {each.duplicate_of}"
                )
        return started

    async def outcome(self, execution: str, within: float) -> Outcome | None:
        """Return the outcome of an execution."""
        return await self._engine.outcome(execution, within)


class DevHost(Host):
    """A host that shows what its gateway turns away or answers without starting anything."""

    def __init__(self, settings: Settings, store: Store, **options: Any) -> None:
        self.screen: Screen | None = None
        self.feed: Feed | None = None
        self._failing = set[ShardKey]()
        super().__init__(settings, store, **options)
        self._server.on_refusal = self._refused

    def open_gateway(
        self,
        engine: Intake,
        reject: Callable[[Rejection], None],
        count: Callable[[str, str, str], None],
    ) -> Gateway:
        """Make a gateway that tells the screen what it does not accept."""
        return super().open_gateway(Doorway(engine, self._counted), self._rejected, self._noted)

    def reach(self, url: str) -> None:
        """From now on, senders reach this server at a URL."""
        self.settings = replace(self.settings, public_url=url)

    def _rejected(self, rejection: Rejection) -> None:
        self.store.catalogue.rejections.note(rejection)
        route = self.routes.known(rejection.endpoint)
        if self.screen is not None and self.feed is not None and route is not None:
            label = self.feed.label(route.flow.instance, route.flow.flow)
            self.screen.rejected(label, rejection)

    def _refused(self, refusal: RequestRefusal) -> None:
        if self.screen is not None:
            self.screen.refused(refusal.status, refusal.detail)

    def listened(self, shard: ShardKey, state: ShardState, error: str) -> None:
        """Show how a listener is, where it fails, and as it works again."""
        if self.screen is None or self.feed is None:
            return
        label = self.feed.label(shard.instance, shard.flow)
        if error:
            self.screen.problem(f"{label}: the listener is {state}", error)
            self._failing.add(shard)
        elif shard in self._failing and state == "listening":
            self._failing.discard(shard)
            self.screen.note(f"{label}: the listener works again")

    def _noted(self, instance: str, flow: str, what: str) -> None:
        self.store.catalogue.counters.count(instance, flow, what)
        self._counted(instance, flow, what)

    def _counted(self, instance: str, flow: str, what: str) -> None:
        if self.screen is not None and self.feed is not None:
            self.screen.counted(self.feed.label(instance, flow), what)


async def run(
    start: Path, project: Project, settings: Settings, screen: Screen, *, tunnelled: bool
) -> None:
    """Serve the project until a signal; then let running executions end."""
    stop = asyncio.Event()
    interrupted(stop)
    host = await DevHost.open(settings)
    assert isinstance(host, DevHost)
    async with AsyncExitStack() as stack:
        serving = await stack.enter_async_context(host.served(grace=0))
        host.address.write(settings.dir)
        stack.callback(remove_address, settings.dir)
        if tunnelled:
            screen.note("opening a tunnel …")
            host.reach(await stack.enter_async_context(tunnel(f"http://127.0.0.1:{host.port}")))
        screen.line(("Halflap", "bold"), f"  {project.root.name} on ", (host.base_url, "cyan"),
                    (f"  store {settings.dir}", "dim"))  # fmt: skip
        await show_console(settings, screen)
        feed = host.feed = Feed(host.store.journal, screen)
        host.screen = screen
        stack.callback(host.engine.follow(feed.heard))
        if host.listeners is not None:
            host.listeners.tell = host.listened
            host.listeners.longest = LISTENER_PAUSE
        workbench = Workbench(host, project, screen, feed)
        showing = asyncio.create_task(feed.run(), name="feed")
        working = asyncio.create_task(work(start, project, workbench, screen), name="work")
        asked = asyncio.create_task(stop.wait(), name="stop")
        ends = {serving, showing, working, asked}
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        screen.line("")
        screen.note("stopping: running executions may end; Ctrl-C again ends them now")
        await ended(working, asked)
        await host.stop()
        await ended(showing)
        await serving
        for each in done:
            if not each.cancelled() and (error := each.exception()) is not None:
                raise error
    screen.note("stopped. No teardown ran: the instances stay active, and go on at the next start")


async def show_console(settings: Settings, screen: Screen) -> None:
    """Print a link that signs in to the console, where only this machine reaches the server."""
    line = await local(settings) if settings.host in LOOPBACK else None
    if line is None:
        return
    try:
        address, *notes = await console_lines(Client(line))
    finally:
        await line.close()
    screen.line(("Console", "bold"), "  ", (address, "cyan"))
    for each in notes:
        screen.line("         ", (each, "dim"))


async def ended(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait for their end, whatever it is."""
    for each in tasks:
        each.cancel()
    await asyncio.wait(tasks)


async def work(start: Path, project: Project, workbench: Workbench, screen: Screen) -> None:
    """Bring the project to the server, and every change of its files after that."""
    root = project.root

    def matters(_: Change, path: str) -> bool:
        whole = Path(path)
        relative = whole.relative_to(root) if whole.is_relative_to(root) else whole
        *folders, name = relative.parts
        if any(each.startswith(".") or each in SKIPPED for each in folders):
            return False
        return name == ENVIRONMENT or (not name.startswith(".") and name.endswith(SUFFIXES))

    changes = awatch(root, watch_filter=matters, debounce=400, step=50)
    coming = asyncio.ensure_future(anext(changes))
    try:
        await asyncio.sleep(
            0
        )  # from now on it watches: a file may be saved while the project opens
        await workbench.open()
        screen.line((f"Watching {root}. Ctrl-C stops.", "dim"))
        while True:
            names = sorted({Path(path).relative_to(root).as_posix() for _, path in await coming})
            coming = asyncio.ensure_future(anext(changes))
            screen.note(f"changed: {', '.join(names[:3])}{' …' if len(names) > 3 else ''}")
            try:
                changed = Project.read(start)
                await workbench.refresh(changed)
            except DefinitionError as error:
                workbench.stays(error)
    finally:
        coming.cancel()
