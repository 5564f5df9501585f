"""A process that runs flows and tests of drafts, within a limit of memory; `Pool` starts and ends it.

A request is packed, with JSON as its text, and so are its answers: `["run", given]` has a `["row", row]`
for each row as it ends, `["tests", given]` a `["test", result]` for each test, `["record", given]` one
`["made", test]`, `["describe", given]` one `["described", components]`; all have an `["end", outcome]`.
Nothing that runs here reaches a network, but for a run as the development instance, which has a process
of its own (`main_with_network`).
"""

from __future__ import annotations

import asyncio
import resource
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from halflap.engine.bundle import Bundle
from halflap.engine.integration import describe_set
from halflap.engine.shadow import WAYS_OUT
from halflap.errors import EgressRefused, HalflapError
from halflap.lowcode import close_runner
from halflap.lowcode.code.pool import starting
from halflap.lowcode.code.worker.wire import HEADER, pack, unpack
from halflap.sdk import codec, registry
from halflap.sdk.decoding import decode_here
from halflap.testing.draft_run import refusal, run_flow
from halflap.testing.draft_tests import recorded_test, run_tests

MEMORY = 1 << 30
"""Bytes of a worker."""


def main_with_network() -> None:
    """Answer requests as `main` does; what runs may reach its apps."""
    main(hold_processes)


def main(hold: Callable[[str, object], None] | None = None) -> None:
    """Answer requests on the standard input, which is a socket, until it is closed."""
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    for name in registry.names():
        with suppress(HalflapError):
            registry.component(name)
    decode_here()
    sys.addaudithook(hold or hold_all)
    with socket.socket(fileno=0) as connection, connection.makefile("rb") as stream:

        def send(kind: str, value: Mapping[str, Any]) -> None:
            connection.sendall(pack(kind, codec.encode(value).decode()))

        connection.sendall(pack("ready"))
        while len(head := stream.read(HEADER.size)) == HEADER.size:
            kind, *message = unpack(stream.read(HEADER.unpack(head)[0]))
            if kind in ("run", "tests", "record", "describe"):
                given = codec.decode(message[0].encode())
                send("end", asyncio.run(_done(kind, given, send)))
    close_runner()


def hold_all(event: str, _: object) -> None:
    """An audit hook: nothing reaches a network or starts a process, in no thread."""
    if event in WAYS_OUT and not starting.get():
        raise EgressRefused(f"a draft's run calls nothing: {event} was refused")


def hold_processes(event: str, given: object) -> None:
    """An audit hook: nothing starts a process, in no thread."""
    if not event.startswith("socket."):
        hold_all(event, given)


def described(given: Mapping[str, Any]) -> str:
    """Return what describes a component set, which is loaded."""
    bundle = Bundle.from_bytes(given["bundle"].encode("latin-1"))
    return describe_set(bundle, Path(given["folder"])).decode()


async def _done(
    kind: str, given: Mapping[str, Any], send: Callable[[str, Mapping[str, Any]], None]
) -> Mapping[str, Any]:
    try:
        if kind == "run":
            return await run_flow(given, partial(send, "row"))
        if kind == "tests":
            return await run_tests(given, partial(send, "test"))
        if kind == "describe":
            send("described", {"components": described(given)})
            return {}
        send("made", await recorded_test(given))
        return {}
    except HalflapError as error:
        return refusal(error)
    except MemoryError:
        return refusal(HalflapError("this takes too much memory; make the document shorter"))
