"""A process that runs flows and tests of drafts, within a limit of memory; `Pool` starts and ends it.

A request is a packed `["run", given]`, with JSON as its text, whose answer is a packed `["row", row]`
for each row as it ends, and `["end", outcome]`. Nothing that runs here reaches a network.
"""

from __future__ import annotations

import asyncio
import resource
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from halflap.engine.shadow import calls_nothing, hold_back
from halflap.errors import HalflapError
from halflap.lowcode import close_runner
from halflap.lowcode.code.worker.wire import HEADER, pack, unpack
from halflap.sdk import codec, registry
from halflap.testing.draft_run import Notify, refusal, run_flow

MEMORY = 1 << 30
"""Bytes of a worker."""


def main() -> None:
    """Answer requests on the standard input, which is a socket, until it is closed."""
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    sys.addaudithook(hold_back)
    for name in registry.names():
        with suppress(HalflapError):
            registry.component(name)
    with socket.socket(fileno=0) as connection, connection.makefile("rb") as stream:

        def send(kind: str, value: Mapping[str, Any]) -> None:
            connection.sendall(pack(kind, codec.encode(value).decode()))

        connection.sendall(pack("ready"))
        while len(head := stream.read(HEADER.size)) == HEADER.size:
            kind, *message = unpack(stream.read(HEADER.unpack(head)[0]))
            if kind == "run":
                given = codec.decode(message[0].encode())
                send("end", asyncio.run(_run(given, partial(send, "row"))))
    close_runner()


async def _run(given: Mapping[str, Any], notify: Notify) -> Mapping[str, Any]:
    try:
        with calls_nothing():
            return await run_flow(given, notify)
    except HalflapError as error:
        return refusal(error)
    except MemoryError:
        return refusal(HalflapError("this takes too much memory; make the document shorter"))
