"""`halflap serve`: the server."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click
import structlog

import halflap
from halflap.cli import errors
from halflap.cli.output import Output
from halflap.cli.reach import settings_here
from halflap.cli.settings import Settings
from halflap.errors import HalflapError

if TYPE_CHECKING:
    from halflap.cli.host import Host


@click.command("serve")
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the store lies; the project's .halflap, where it is not given.",
)
@click.option("--store", metavar="URL", help="PostgreSQL; better in HALFLAP_STORE, unseen by ps.")
@click.option("--host", help="Where to listen; 127.0.0.1, where it is not given.")
@click.option("--port", type=click.IntRange(0, 65535), help="Where to listen; 8400, or 0 for any.")
@click.option("--public-url", metavar="URL", help="How senders reach this server.")
@click.option("--log", type=click.Choice(["text", "json"]), help="For people, or for machines.")
@click.option("--json", "as_json", is_flag=True, help="Say where it listens in JSON.")
@click.option("--no-supervisor", is_flag=True, help="Do not start it again when it dies.")
def serve(
    directory: Path | None,
    store: str | None,
    host: str | None,
    port: int | None,
    public_url: str | None,
    log: str | None,
    as_json: bool,
    no_supervisor: bool,
) -> None:
    """Run the server: webhooks in, executions, the API.

    It is started again when it dies. SIGTERM and Ctrl-C let running executions end first; a second
    one ends it at once.

    Example: halflap serve --port 8400 --public-url https://hooks.example.com
    """
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, stopped_early)
    settings = settings_here(
        dir=directory, store=store, host=host, port=port, public_url=public_url, log=log
    )
    configure_log(settings)
    if no_supervisor:
        run(settings, Output(json=as_json))
        return
    from halflap.cli.supervisor import CANNOT_START, supervise

    given = {
        "--dir": settings.dir,
        "--store": store,
        "--host": host,
        "--port": port,
        "--public-url": public_url,
        "--log": log,
    }
    command = [sys.executable, "-m", "halflap", "serve", "--no-supervisor"]
    command += [str(part) for pair in given.items() if pair[1] is not None for part in pair]
    code = supervise([*command, *(["--json"] if as_json else [])], settings)
    sys.exit(errors.FAILED if code == CANNOT_START else code)


def run(settings: Settings, output: Output) -> None:
    """Run the server in this process; what it ends with tells the supervisor whether to try again."""
    # Here, not above: a supervisor needs none of it, and a signal is heard while it is loaded.
    from halflap.cli import host as _  # noqa: F401
    from halflap.cli.supervisor import exit_code
    from halflap.gateway.server import run_loop

    server = Running(settings, output)
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
    """A server from its start to its end, its address left for other commands meanwhile."""

    def __init__(self, settings: Settings, output: Output) -> None:
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
        from halflap.cli.host import Host

        if self._stop.is_set():
            return
        host = await Host.open(self._settings)
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
        from halflap.cli.host import address_file

        self.listened = True
        url = f"http://{reachable(self._settings.host)}:{port}"
        left = {"url": url, "pid": os.getpid()}
        address = self._address = address_file(self._settings.dir)
        draft = address.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps(left))
        draft.replace(address)
        folder = self._settings.dir.absolute()
        store = host.store.where if self._settings.store else str(folder)
        if self._output.json:
            self._output.emit(
                {
                    **left,
                    "public_url": host.base_url,
                    "store": store,
                    "version": halflap.__version__,
                }
            )
            return
        line = self._output.line
        line(("Halflap", "bold"), f" {halflap.__version__} on ", (url, "cyan"))
        if host.base_url != url:
            line("  senders reach it at ", (host.base_url, "cyan"))
        line(f"  store {store}, the API's token in {folder / 'token'}")
        line(("  Ctrl-C stops", "dim"))


def reachable(host: str) -> str:
    """The address of this machine at which a server that listens on `host` is reached."""
    if host in ("0.0.0.0", ""):  # noqa: S104
        return "127.0.0.1"
    if host == "::":
        return "[::1]"
    return f"[{host}]" if ":" in host else host


def configure_log(settings: Settings) -> None:
    """Write the log to stderr: for people, or as JSON lines."""
    colours = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    last: Any = (
        structlog.processors.JSONRenderer()
        if settings.log == "json"
        else structlog.dev.ConsoleRenderer(colors=colours)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([structlog.processors.format_exc_info] if settings.log == "json" else []),
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(20),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )
