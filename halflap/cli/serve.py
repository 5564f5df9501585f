"""`halflap serve`, `halflap gateway`, `halflap worker`: a process until it is stopped."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, MutableMapping
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click
import structlog

import halflap
from halflap.cli import errors
from halflap.cli.output import Output
from halflap.cli.reach import settings_here
from halflap.errors import HalflapError
from halflap.sdk import redact
from halflap.server.role import GATEWAY, SERVE, WORKER, Role
from halflap.server.settings import Settings

if TYPE_CHECKING:
    from halflap.server.host import Host


Call = Callable[..., None]


def process(call: Call) -> Call:
    """The options of every command that is a process of its own until it is stopped."""
    for option in reversed(
        [
            click.option(
                "--dir",
                "directory",
                type=click.Path(file_okay=False, path_type=Path),
                help="Its directory; the project's .halflap, where it is not given.",
            ),
            click.option(
                "--store",
                metavar="URL",
                help="PostgreSQL; better in HALFLAP_STORE, unseen by ps.",
            ),
            click.option("--host", help="Where to listen; 127.0.0.1, where it is not given."),
            click.option("--public-url", metavar="URL", help="How senders reach the server."),
            click.option(
                "--log", type=click.Choice(["text", "json"]), help="For people, or for machines."
            ),
            click.option("--json", "as_json", is_flag=True, help="Say that it runs in JSON."),
            click.option(
                "--no-supervisor", is_flag=True, help="Do not start it again when it dies."
            ),
        ]
    ):
        call = option(call)
    return call


@click.command("serve")
@process
@click.option("--port", type=click.IntRange(0, 65535), help="Where to listen; 8400, or 0 for any.")
def serve(**given: Any) -> None:
    """Run the server: webhooks in, executions, the API.

    It is started again when it dies. SIGTERM and Ctrl-C let running executions end first; a second
    one ends it at once.

    Example: halflap serve --port 8400 --public-url https://hooks.example.com
    """
    start(SERVE, **given)


@click.command("gateway")
@process
@click.option("--port", type=click.IntRange(0, 65535), help="Where to listen; 8400, or 0 for any.")
def gateway(**given: Any) -> None:
    """Take webhooks and serve the API; workers run what comes in.

    One of many processes on one PostgreSQL store. Put a load balancer in front of several. It is
    started again when it dies; SIGTERM lets requests end first.

    Example: halflap gateway --port 8400 --public-url https://hooks.example.com
    """
    start(GATEWAY, **given)


@click.command("worker")
@process
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="Serve the API there, for health checks; it listens nowhere, where this is not given.",
)
def worker(**given: Any) -> None:
    """Run executions, deployments and schedules; gateways take what comes in.

    One of many processes on one PostgreSQL store. It is started again when it dies. SIGTERM and
    Ctrl-C let running executions end first; others go on with what is left.

    Example: halflap worker --public-url https://hooks.example.com
    """
    start(replace(WORKER, listens=given["port"] is not None), **given)


def start(
    role: Role,
    *,
    directory: Path | None,
    as_json: bool,
    no_supervisor: bool,
    **given: Any,
) -> None:
    """Run a process of a role, under a supervisor unless it is told otherwise."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, stopped_early)
    settings = settings_here(dir=directory, own=True, **given)
    role.check(settings)
    configure_log(settings)
    if no_supervisor:
        run(role, settings, Output(json=as_json))
        return
    from halflap.server.supervisor import CANNOT_START, supervise

    told = {"--dir": settings.dir} | {f"--{n.replace('_', '-')}": each for n, each in given.items()}
    command = [sys.executable, "-m", "halflap", role.name, "--no-supervisor"]
    command += [str(part) for pair in told.items() if pair[1] is not None for part in pair]
    code = supervise([*command, *(["--json"] if as_json else [])], settings)
    sys.exit(errors.FAILED if code == CANNOT_START else code)


def run(role: Role, settings: Settings, output: Output) -> None:
    """Run the server in this process; what it ends with tells the supervisor whether to try again."""
    # Here, not above: a supervisor needs none of it, and a signal is heard while it is loaded.
    from halflap.server import host as _

    if role.answers:
        from halflap.api import app as _  # noqa: F401
    from halflap.gateway.server import run_loop
    from halflap.server.supervisor import exit_code

    server = Running(role, settings, output)
    try:
        run_loop(server.run())
    except HalflapError as error:
        errors.show(error)
        sys.exit(exit_code(error, started=server.listened))


def stopped_early(number: int, frame: FrameType | None) -> None:
    """A signal before the event loop runs: nothing is open yet, so nothing has to end."""
    os.write(sys.stderr.fileno(), b"stopped before it had started\n")
    os._exit(0)


class Running:
    """A process from its start to its end, its address left for other commands meanwhile."""

    def __init__(self, role: Role, settings: Settings, output: Output) -> None:
        self._role = role
        self._settings = settings
        self._output = output
        self._address: Path | None = None
        self._stop = asyncio.Event()
        self.listened = False

    async def run(self) -> None:
        """Serve until a signal; then let running executions end."""
        loop = asyncio.get_running_loop()
        for each in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(each, self._asked, each)
        from halflap.server.host import Host

        if self._stop.is_set():
            return
        host = await Host.open(self._settings, role=self._role)
        asked = asyncio.create_task(self._stop.wait(), name="stop")
        serving = asyncio.create_task(
            host.serve(ready=lambda port: self._listens(host, port)), name="server"
        )
        try:
            await asyncio.wait([serving, asked], return_when=asyncio.FIRST_COMPLETED)
            if not serving.done():
                running = host.engine.running
                wait = f"{running} running may take {self._settings.drain_seconds:g} s to end; "
                self._output.progress(
                    f"stopping: {wait if running else ''}a second signal ends it now"
                )
        finally:
            asked.cancel()
            if self._address is not None:
                self._address.unlink(missing_ok=True)
            await host.stop()
            await serving
        self._output.progress("stopped")

    def _asked(self, number: int) -> None:
        if self._stop.is_set():
            os._exit(128 + number)
        self._stop.set()

    def _listens(self, host: Host, port: int) -> None:
        self.listened = True
        about: dict[str, Any] = {"pid": os.getpid(), "role": self._role.name}
        if port:
            about["url"] = f"http://{reachable(self._settings.host)}:{port}"
            self._leave(about)
        folder = self._settings.dir.absolute()
        store = host.store.where if self._settings.store else str(folder)
        about |= {"public_url": host.base_url, "store": store, "version": halflap.__version__}
        if self._output.json:
            self._output.emit(about)
            return
        line = self._output.line
        title = f" {halflap.__version__}" + ("" if self._role is SERVE else f" {self._role.name}")
        url = about.get("url")
        line(("Halflap", "bold"), title, *((" on ", (url, "cyan")) if url else ()))
        if host.base_url != url:
            line("  senders reach it at ", (host.base_url, "cyan"))
        line(f"  store {store}" + (f", the API's token in {folder / 'token'}" if url else ""))
        line(("  Ctrl-C stops", "dim"))

    def _leave(self, about: dict[str, Any]) -> None:
        """Leave the address for other commands."""
        from halflap.server.host import address_file

        address = self._address = address_file(self._settings.dir)
        draft = address.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps({"url": about["url"], "pid": about["pid"]}))
        draft.replace(address)


def reachable(host: str) -> str:
    """The address of this machine at which a server that listens on `host` is reached."""
    if host in ("0.0.0.0", ""):  # noqa: S104
        return "127.0.0.1"
    if host == "::":
        return "[::1]"
    return f"[{host}]" if ":" in host else host


def without_secrets(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Take out of a line the secrets of the execution, or the connection, that it tells of."""
    known = redact.current.get()
    if known:
        for name, value in line.items():
            if not isinstance(value, int | float | None):
                line[name] = known.text(value if isinstance(value, str) else str(value))
    return line


def configure_log(settings: Settings) -> None:
    """Write the log to stderr: for people, or as JSON lines."""
    colours = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    last: Any = (
        structlog.processors.JSONRenderer()
        if settings.log == "json"
        else structlog.dev.ConsoleRenderer(
            colors=colours, exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            without_secrets,
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(20),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )
