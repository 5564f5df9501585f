"""A process that runs flows and tests of drafts, within a limit of memory; `Pool` starts and ends it.

A request is packed, with JSON as its text, and so are its answers: `["run", given]` has a `["row", row]`
for each row as it ends, `["tests", given]` a `["test", result]` for each test, `["record", given]` and
`["expect", given]` one `["made", test]`, each of `DESCRIBING` one `["described", description]`, before
which `["describe_version", given]` has a `["found", findings]`; all have an `["end", outcome]`. Nothing
that runs here reaches a network, but for a run as the development instance, which has a process of its
own (`main_with_network`).
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from halflap import lowcode
from halflap.engine.bundle import Bundle
from halflap.engine.integration import (
    check_lock,
    describe,
    describe_set,
    describe_version,
    find_in_version,
)
from halflap.engine.lock import lock_of
from halflap.engine.shadow import WAYS_OUT
from halflap.errors import DefinitionError, EgressRefused, HalflapError
from halflap.lowcode import close_runner
from halflap.lowcode.code.forking import serve_forks
from halflap.lowcode.code.pool import ours
from halflap.lowcode.code.worker.wire import HEADER, pack, unpack
from halflap.lowcode.lint.worker import rows_of
from halflap.sdk import codec, registry
from halflap.sdk.compatibility import as_published
from halflap.sdk.decoding import decode_here
from halflap.store.store import template
from halflap.testing.draft_run import refusal, run_flow
from halflap.testing.draft_tests import expected_test, recorded_test, run_tests

MEMORY = 1 << 30
"""Bytes of a worker."""
AGAIN = 1.0
"""Seconds until what loads for too long is told so again."""
DESCRIBING = ("describe_set", "describe_version", "describe_published")
GRACE = 5
"""Seconds after the end of its time in which a run's process ends itself, if it is still there."""
NETWORKED = "networked"
"""The name of a process that may reach its apps, of those that are forked."""
PR_SET_PDEATHSIG = 1
SMALLEST = (
    b"name: smallest\nflows: {one: {trigger: webhook.request, steps: [stop: {answer: =event}]}}\n"
)
"""Is built once before all, so that what documents need of the installed libraries is there."""


def main_with_network() -> None:
    """Answer requests as `main` does; what runs may reach its apps."""
    main(networked=True)


def fork() -> None:
    """Have processes forked that answer requests, from one that has imported what they need."""
    prepare()
    serve(networked=serve_forks() == NETWORKED)


def main(*, networked: bool = False) -> None:
    """Answer requests on the standard input, which is a socket, until it is closed."""
    prepare()
    serve(networked=networked)


def prepare() -> None:
    """Import what runs may need of what is installed, and make what is the same for all of them."""
    registry.load_all()
    decode_here()
    lock_of(["halflap"])
    lowcode.build(lowcode.read(SMALLEST, "smallest.yaml"), lowcode.Components())
    template()


def serve(*, networked: bool) -> None:
    """Answer requests, within limits, as this process is from now on."""
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    sys.addaudithook(guard(networked=networked))
    with socket.socket(fileno=0) as connection, connection.makefile("rb") as stream:

        def send(kind: str, value: Mapping[str, Any]) -> None:
            connection.sendall(pack(kind, codec.encode(value).decode()))

        connection.sendall(pack("ready", str(os.getpid())))
        while len(head := stream.read(HEADER.size)) == HEADER.size:
            kind, *message = unpack(stream.read(HEADER.unpack(head)[0]))
            if kind in ("run", "tests", "record", "expect", *DESCRIBING):
                given = codec.decode(message[0].encode())
                tempfile.tempdir = os.environ["TMPDIR"] = given["folder"]
                signal.alarm(int(given["seconds"]) + GRACE)  # also where its server is gone
                send("end", asyncio.run(_done(kind, given, send)))
                signal.alarm(0)
    close_runner()


def guard(*, networked: bool) -> Callable[[str, tuple[Any, ...]], None]:
    """Return an audit hook: nothing reaches a network or starts a process, in no thread.

    A worker for code may be started, by its very command. The hook reads nothing that a module has, so
    that an import finds no switch.
    """
    held = frozenset(each for each in WAYS_OUT if not (networked and each.startswith("socket.")))
    command, refusal = list(ours()), EgressRefused

    def hold(event: str, given: tuple[Any, ...]) -> None:
        if event in held and not (
            event == "subprocess.Popen"
            and given[0] == command[0]
            and given[1] == command
            and given[3] == {}
        ):
            raise refusal(
                f"a run of a draft calls nothing, nor does what loads: {event} was refused"
            )

    return hold


def described(
    kind: str, given: Mapping[str, Any], send: Callable[[str, Mapping[str, Any]], None]
) -> Mapping[str, Any]:
    """Return what describes a component set or a version, which is loaded, within its time."""
    bundle, folder = Bundle.from_bytes(given["bundle"].encode("latin-1")), Path(given["folder"])
    with limited_to(float(given["seconds"])):
        if kind == "describe_set":
            return {"components": describe_set(bundle, folder).decode()}
        check_lock(bundle)
        if kind == "describe_published":
            with as_published():
                return {"components": describe(bundle, folder).decode()}
        found = find_in_version(bundle, folder)
        send("found", {"findings": rows_of(found)})
        return asdict(describe_version(bundle, folder, found))


@contextmanager
def limited_to(seconds: float) -> Generator[None]:
    """Raise where the block takes longer, again and again, as lint and authors' code may go on."""

    def late(*_: object) -> None:
        raise DefinitionError(
            f"loading it took longer than {seconds:g} s; what stands outside functions runs whenever it "
            "is loaded, so move or mend that"
        )

    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


async def _done(
    kind: str, given: Mapping[str, Any], send: Callable[[str, Mapping[str, Any]], None]
) -> Mapping[str, Any]:
    try:
        if kind == "run":
            return await run_flow(given, partial(send, "row"))
        if kind == "tests":
            return await run_tests(given, partial(send, "test"))
        if kind in DESCRIBING:
            send("described", described(kind, given, send))
            return {}
        make = expected_test if kind == "expect" else recorded_test
        send("made", await make(given))
        return {}
    except HalflapError as error:
        return refusal(error)
    except MemoryError:
        return refusal(HalflapError("this takes too much memory; make the document shorter"))
