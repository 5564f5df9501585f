"""The program itself: it forks a process for each connection that it is sent, which reads."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import resource
import signal
import socket
import threading
from typing import Any

import msgspec

from .client import library
from .group import GroupReader
from .wire import HEADER, FromReader, Open, ToReader, encode_frame

STOP_SECONDS = 4.0
"""Seconds for leaving the group, once the server has hung up."""
STACK = 1024 * 1024
"""Bytes of the stack of a thread, of which librdkafka has one for each broker; they count as memory."""


def main() -> None:
    """Fork a process for each connection that comes over the standard input, until that ends."""
    line = socket.socket(fileno=os.dup(0))
    # A reader has no end of the line: it would take the connections of others, and keep it open.
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.close(nothing)
    for each in (signal.SIGINT, signal.SIGTERM):  # it ends with the server, which those are for
        signal.signal(each, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # those that end are waited for by the system
    library()
    gc.collect()
    gc.freeze()
    while True:
        request, descriptors, _, _ = socket.recv_fds(line, 1, 1)
        if not request:
            return
        with contextlib.suppress(OSError):  # whoever asked finds the connection closed
            if not os.fork():
                line.close()
                read(socket.socket(fileno=descriptors[0]))
        for each in descriptors:
            os.close(each)


def read(connection: socket.socket) -> None:
    """Read as the server says over a connection, until it hangs up; ends the process."""
    with contextlib.suppress(BaseException):
        stream, sending = connection.makefile("rb"), threading.Lock()

        def send(message: FromReader) -> None:
            # A server that has hung up is heard of below.
            with sending, contextlib.suppress(OSError):
                connection.sendall(encode_frame(message))

        decoder = msgspec.msgpack.Decoder[ToReader](ToReader)
        messages = iter(lambda: take(stream, decoder), None)
        begin = next(messages)
        assert isinstance(begin, Open)
        confine(begin.memory)
        reader = GroupReader(begin, send)
        thread = threading.Thread(target=reader.run, daemon=True)
        thread.start()
        for message in messages:
            reader.hear(message)
        reader.stop()
        thread.join(STOP_SECONDS)
    os._exit(0)


def take(stream: Any, decoder: msgspec.msgpack.Decoder[ToReader]) -> ToReader | None:
    """Return the next message; None where the server has hung up."""
    head = stream.read(HEADER.size)
    if len(head) < HEADER.size:
        return None
    size = HEADER.unpack(head)[0]
    content = stream.read(size)
    return decoder.decode(content) if len(content) == size else None


def confine(memory: int) -> None:
    """Have this process end where it takes too much memory, or where the machine has none left."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "pthread_setattr_default_np"):  # the GNU library's, whose stacks have 8 MiB
        attributes = ctypes.create_string_buffer(64)
        libc.pthread_attr_init(attributes)
        libc.pthread_attr_setstacksize(attributes, ctypes.c_size_t(STACK))
        libc.pthread_setattr_default_np(attributes)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
