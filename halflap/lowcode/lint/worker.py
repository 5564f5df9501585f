"""A process that lints documents, within a limit of memory; `Pool` starts and ends it.

A request is a packed `["lint", text, file, own, declared]` and its answer a packed list of findings; or
`["ask", query, text, file, own, declared, given]`, of a designer, and its answer JSON. What the
document names is not imported: installed components are loaded once, before the first request, and
its `own` are described, as they were stored; `declared` are event types of the product, or null.
"""

from __future__ import annotations

import resource
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import astuple
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from halflap.errors import HalflapError
from halflap.lowcode.code.worker.wire import HEADER, pack, unpack
from halflap.lowcode.lint import DeclaredEvents, Shapes, lint_text, read_shapes
from halflap.sdk import codec, registry
from halflap.sdk.budget import Budget, OverBudget
from halflap.sdk.lint import Finding

if TYPE_CHECKING:
    from halflap.lowcode.assist.queries import Query

MEMORY = 1 << 30
"""Bytes of a worker; the worst documents of 1 MiB take about 450 MB."""


def lint_document(
    content: str | bytes, file: str, own: str = "{}", declared: str = "null"
) -> list[Finding]:
    """Lint a document beside installed components, and those that `own` describes."""
    registry.load_all()
    return lint_text(content, file, _shapes(own, declared), Budget())


def main() -> None:
    """Answer requests on the standard input, which is a socket, until it is closed."""
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    lint_document("", "")
    with socket.socket(fileno=0) as connection, connection.makefile("rb") as stream:
        connection.sendall(pack("ready"))
        while len(head := stream.read(HEADER.size)) == HEADER.size:
            message = unpack(stream.read(HEADER.unpack(head)[0]))
            if message[0] == "lint":
                connection.sendall(_answer(*message[1:]))
            elif message[0] == "ask":
                connection.sendall(_asked(*message[1:]))


def _answer(content: str, file: str, own: str, declared: str) -> bytes:
    try:
        found = lint_document(content.encode("latin-1"), file, own, declared)
    except MemoryError:
        return pack("memory")
    return pack("found", rows_of(found))


def rows_of(found: Sequence[Finding]) -> list[Sequence[Any]]:
    """Return findings as plain values."""
    return [
        (f.file, f.line, f.column, f.code, f.message, f.severity, f.fix and astuple(f.fix))
        for f in found
    ]


@lru_cache(maxsize=2)
def _shapes(own: str, declared: str) -> Shapes:
    events = DeclaredEvents.read(declared.encode())
    return Shapes(own=read_shapes(own.encode()), declared=events)


def _asked(query: Query, text: str, file: str, own: str, declared: str, given: str) -> bytes:
    from halflap.lowcode.assist.queries import answer

    try:
        found = answer(query, text, file, _shapes(own, declared), codec.decode(given.encode()))
        return pack("answered", codec.encode(found).decode())
    except MemoryError:
        return pack("memory")
    except OverBudget:
        return pack("late")
    except HalflapError as error:
        return pack("refused", error.message)
