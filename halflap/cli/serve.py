"""`halflap serve`, `halflap gateway`, `halflap worker`: a process until it is stopped."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, MutableMapping
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

import halflap
from halflap.cli import errors
from halflap.cli.control import in_lines
from halflap.cli.reach import settings_here
from halflap.errors import HalflapError
from halflap.server.role import GATEWAY, SERVE, WORKER, Role
from halflap.server.settings import Settings

if TYPE_CHECKING:
    from halflap.cli.output import Output
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
    if no_supervisor:
        run(role, settings, as_json=as_json)
        return
    from halflap.server.supervisor import CANNOT_START, supervise

    told = {"--dir": settings.dir} | {f"--{n.replace('_', '-')}": each for n, each in given.items()}
    command = [sys.executable, "-m", "halflap", role.name, "--no-supervisor"]
    command += [str(part) for pair in told.items() if pair[1] is not None for part in pair]
    command += ["--json"] if as_json else []
    code = supervise(command, settings, lambda: configure_log(settings))
    sys.exit(errors.FAILED if code == CANNOT_START else code)


def run(role: Role, settings: Settings, *, as_json: bool) -> None:
    """Run the server in this process; what it ends with tells the supervisor whether to try again."""
    # Here, not above: a supervisor needs none of it, and a signal is heard while it is loaded.
    import structlog

    from halflap.cli.output import Output
    from halflap.gateway.server import run_loop
    from halflap.server.process import ServerProcess
    from halflap.server.supervisor import exit_code

    configure_log(settings)
    output = Output(json=as_json)
    log = structlog.get_logger("halflap.server")

    def tell(event: str, words: str, **facts: Any) -> None:
        if settings.log == "json":
            log.info(event, **facts)
        else:
            output.progress(words)

    def ready(host: Host) -> None:
        if settings.log == "json" and not as_json:
            log.info("started", **about(host))
        else:
            announce(host, output)

    def draining(running: int) -> None:
        wait = (
            f"{running} running may take {settings.drain_seconds:g} s to end; " if running else ""
        )
        words = f"stopping: {wait}a second signal ends it now"
        tell("stopping", words, running=running, seconds=settings.drain_seconds)

    server = ServerProcess(role, settings, ready=ready, draining=draining)
    try:
        run_loop(server.run())
    except HalflapError as error:
        errors.show(error)
        sys.exit(exit_code(error, started=server.listened))
    tell("stopped", "stopped")


def about(host: Host) -> dict[str, Any]:
    """Return who a server is, for machines."""
    url = {"url": host.address.url} if host.role.listens else {}
    return {
        "pid": os.getpid(),
        "role": host.role.name,
        **url,
        "public_url": host.base_url,
        "store": host.address.store,
        "version": halflap.__version__,
    }


def announce(host: Host, output: Output) -> None:
    """Say that a server runs, and where."""
    role, folder = host.role, host.settings.dir.absolute()
    url = host.address.url if role.listens else None
    if output.emitted(about(host)):
        return
    line = output.line
    title = f" {halflap.__version__}" + ("" if role is SERVE else f" {role.name}")
    line(("Halflap", "bold"), title, *((" on ", (url, "cyan")) if url else ()))
    if host.base_url != url:
        line("  senders reach it at ", (host.base_url, "cyan"))
    token = "HALFLAP_TOKEN" if host.settings.token else folder / "token"
    line(f"  store {host.address.store}" + (f", the API's token in {token}" if url else ""))
    line(("  Ctrl-C stops", "dim"))


def stopped_early(number: int, frame: FrameType | None) -> None:
    """End before the event loop runs: nothing is open yet."""
    os.write(sys.stderr.fileno(), b"stopped before it had started\n")
    os._exit(0)


def without_secrets(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Take out of a line the secrets of the execution, or the connection, that it tells of."""
    from halflap.sdk import redact

    known = redact.current.get()
    if known:
        for name, value in line.items():
            if not isinstance(value, int | float | None):
                line[name] = known.text(value if isinstance(value, str) else str(value))
    return line


def configure_log(settings: Settings) -> None:
    """Write the log to stderr, that of libraries too: for people, or as JSON lines."""
    import logging

    import structlog

    colours = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    last: list[Any] = [structlog.processors.JSONRenderer()]
    if settings.log != "json":
        plain = structlog.dev.plain_traceback
        last = [in_lines, structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=plain)]
    before: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    ends: list[Any] = [structlog.processors.format_exc_info, without_secrets, *last]
    libraries = logging.StreamHandler(sys.stderr)
    libraries.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=before,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ends],
        )
    )
    logging.basicConfig(handlers=[libraries])
    structlog.configure(
        processors=[*before, *ends],
        wrapper_class=structlog.make_filtering_bound_logger(20),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )
