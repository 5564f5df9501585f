"""A member of a consumer group, as the server sees it: a process of its own (`reader`) reads.

So what brokers send is decompressed and parsed outside of the server, and a process that takes too much
memory for it, or ends, is one listener's. It asks what only the server knows: cursors, tokens, addresses.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import importlib.util
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio.to_thread
import msgspec

from halflap import Listening, UpstreamError
from halflap.components.kafka import connection, record
from halflap.components.kafka.connection import Kafka
from halflap.components.kafka.reader.client import library
from halflap.components.kafka.reader.group import BEGUN, read_cursor
from halflap.components.kafka.reader.wire import (
    HEADER,
    MOST_FRAME,
    Accepted,
    Answered,
    Asked,
    Assigned,
    Durable,
    Ended,
    Fetched,
    FromReader,
    Open,
    ToReader,
    Want,
    encode_frame,
    error_of,
    failure_of,
)

MEMORY = 512 * 1024 * 1024
"""Bytes of a process that reads: what is decompressed in it, librdkafka's queue, and what is sent."""
SESSION_SECONDS = 10.0
"""Seconds after which the group takes a member that is not heard of for dead."""
STANDING_SECONDS = 1.0
"""Seconds for which a batch may be under way before partitions are paused; how often it polls then."""
CALL_SECONDS = 60.0
STOP_SECONDS = 5.0
CHECK_SECONDS = 300.0
"""Seconds after which it is looked again which brokers the cluster names, and which topic it is."""
MOST_PARTITIONS = 10_000
MOST_ASKED = 16
"""Questions of a process that are under way at once: one of its thread, and for tokens of few clients."""
MOST_OFFSET = 2**63 - 1
MOST_TEXT = 2_000
"""The characters of an error that a process says."""
LINE_SECONDS = 5.0
"""Seconds after which the process that forks is taken for dead, where it takes no connection."""
SMALL_FRAME = 64 * 1024
"""Bytes of a frame that is read at once; a larger one is read in a thread."""

SETTINGS = {
    "partition.assignment.strategy": "cooperative-sticky",
    "session.timeout.ms": int(SESSION_SECONDS * 1_000),
    "heartbeat.interval.ms": 2_000,
    "enable.auto.commit": True,  # of what was stored as its batch was accepted, and no other
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",  # the journal's cursors say where to read; what they lack is a gap
    "queued.max.messages.kbytes": 8_192,
    "queued.min.messages": 20_000,
    "fetch.max.bytes": 4 * 1024 * 1024,
    "receive.message.max.bytes": 100_000_000,  # also of what a batch of zstd may become
    "fetch.queue.backoff.ms": 50,
    "topic.metadata.refresh.interval.ms": 60_000,
}
BEGIN = "import sys; sys.path += {paths!r}; from reader.serve import main; main()"
TRUSTED = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""The variables of the environment that a process gets: where the authorities of certificates are."""


class Member:
    """A member of a group that reads one topic. Open it with `async with`."""

    def __init__(
        self,
        kafka: Kafka,
        listening: Listening,
        topic: str,
        *,
        group: str | None,
        static: bool,
        most: int,
    ) -> None:
        self._kafka, self._listening = kafka, listening
        settings = {**SETTINGS, "group.id": group or listening.name}
        if static:
            settings["group.instance.id"] = f"{listening.name}.{listening.process}"
        self._begin = Open(
            cluster=kafka.settings(),
            member=settings,
            topic=topic,
            most=most,
            most_bytes=record.MOST_BYTES,
            memory=MEMORY,
            call_seconds=CALL_SECONDS,
            check_seconds=CHECK_SECONDS,
            standing_seconds=STANDING_SECONDS,
            connect_seconds=connection.CONNECT_SECONDS,
        )
        self._ready = asyncio.Event()
        self._fetched: Fetched | None = None
        self._error: Exception | None = None
        self._is_wanted = self._has_begun = False
        self._answering = set[asyncio.Task[None]]()
        self.is_assigned = False
        """True once the group has said which partitions are ours, be it none."""
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter
        self._receiving: asyncio.Task[None]

    async def __aenter__(self) -> Member:
        await self._kafka.reach()
        forking = asyncio.ensure_future(anyio.to_thread.run_sync(nursery.fork))
        try:
            connection = await asyncio.shield(forking)
        except asyncio.CancelledError:
            (await forking).close()
            raise
        self._reader, self._writer = await asyncio.open_unix_connection(sock=connection)
        self._send(self._begin)
        self._receiving = asyncio.create_task(self._receive(), name="kafka member")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Hang up, and wait until the process has left the group."""
        try:
            with contextlib.suppress(OSError):
                self._writer.write_eof()
            await asyncio.wait([self._receiving], timeout=STOP_SECONDS)
        finally:
            for each in (self._receiving, *self._answering):
                each.cancel()
            self._writer.transport.abort()

    async def fetch(self, seconds: float) -> Fetched | None:
        """Return what is read next, None where nothing comes; raise what ended the reading."""
        if not self._is_wanted:
            self._is_wanted = True
            self._send(Want())
        try:
            async with asyncio.timeout(seconds):
                await self._ready.wait()
        except TimeoutError:
            return None
        if isinstance(self._error, UpstreamError):
            raise await self._kafka.explained(self._error)
        if self._error is not None:
            raise self._error
        self._ready.clear()
        self._is_wanted = False
        found, self._fetched = self._fetched, None
        return found

    def accepted(self) -> None:
        """Say that what was fetched last is accepted: the group may give its partitions to another."""
        self._send(Accepted())

    async def commit(self, cursors: Mapping[str, str]) -> None:
        """Have the group know what is accepted: for people, as nothing is read from there."""
        offsets = {int(each): read_cursor(at)[0] for each, at in cursors.items() if each != BEGUN}
        self._send(Durable(offsets))
        await self._drain()

    def _send(self, message: ToReader) -> None:
        self._writer.write(encode_frame(message))

    async def _drain(self) -> None:
        """Wait while much is not sent yet."""
        with contextlib.suppress(OSError):  # that it has ended is told elsewhere
            await self._writer.drain()

    # What the process says -------------------------------------------------------------------

    async def _receive(self) -> None:
        """Take what the process says until it ends."""
        with contextlib.suppress(Exception):  # it ends, or says what no process of ours does
            while True:
                self._take(await self._next_message())
                self._has_begun = True
        if self._has_begun:
            why = (
                f"a batch of its records takes more than {self._begin.memory >> 20} MiB once it is "
                "decompressed, or the broker answers what no broker does"
            )
        else:
            why = (
                "it did not begin. There is no room for another process, or Python cannot import "
                f"confluent_kafka there: {sys.executable} -I -S"
            )
        error = UpstreamError(f"the process that reads the topic has ended: {why}", in_doubt=False)
        self._end(error)

    async def _next_message(self) -> FromReader:
        """Return what the process says next; its bytes are not held any longer."""
        [size] = HEADER.unpack(await self._reader.readexactly(HEADER.size))
        if size > MOST_FRAME:
            raise ValueError(f"a frame of {size:,} bytes")
        content = await self._reader.readexactly(size)
        if size > SMALL_FRAME:
            return await anyio.to_thread.run_sync(decoder.decode, content)
        return decoder.decode(content)

    def _take(self, message: FromReader) -> None:
        match message:
            case Fetched():
                if not self._is_wanted or self._fetched is not None:
                    raise ValueError("records that were not asked for")
                check_cursors(message.cursors)
                self._fetched = message
                self._ready.set()
            case Asked():
                if len(self._answering) >= MOST_ASKED:
                    raise ValueError("too many questions at once")
                # What is asked is done as the generator would do it: its context is this task's.
                task = asyncio.create_task(self._answer(message))
                self._answering.add(task)
                task.add_done_callback(self._answering.discard)
            case Assigned():
                self.is_assigned = True
            case Ended(failure):
                short = msgspec.structs.replace(failure, message=failure.message[:MOST_TEXT])
                self._end(error_of(short))

    def _end(self, error: Exception) -> None:
        """End the reading: the first error is the reason."""
        self._error = self._error or error
        self._ready.set()

    async def _answer(self, asked: Asked) -> None:
        """Answer the process; what goes wrong, but for a token, ends the reading."""
        try:
            self._send(Answered(asked.id, await self._result(asked.what, *asked.inputs)))
            await self._drain()  # who does not read the answers has few of them
        except Exception as error:
            if asked.what == "token":
                self._send(Answered(asked.id, failure=failure_of(error)))
            else:
                self._end(error)

    def _result(self, what: str, *inputs: Any) -> Coroutine[Any, Any, Any]:
        match what:
            case "assign":
                return self._assign(*inputs)
            case "revoke":
                [shards] = inputs
                check_shards(shards)
                return self._listening.revoke(shards)
            case "expired":
                shard, reason = inputs
                check_shards([shard])
                return self._listening.expired(shard, reason[:MOST_TEXT])
            case "judge":
                return self._kafka.judge(*inputs)
            case _:
                return self._kafka.token()

    async def _assign(self, shards: list[str]) -> dict[str, tuple[str | None, str]]:
        if len(shards) > MOST_PARTITIONS:
            raise UpstreamError(
                f"{len(shards):,} partitions of one topic are more than {MOST_PARTITIONS:,}",
                in_doubt=False,
            )
        check_shards(shards)
        given = await self._listening.assign(shards)
        return {shard: (each.cursor, each.start) for shard, each in given.items()}


def check_shards(shards: Sequence[str]) -> None:
    """Refuse what is no partition of a topic, nor `BEGUN`: the store would have a row for each."""
    for each in shards:
        if each != BEGUN and not (
            each.isdecimal() and each == str(int(each[:9])) and int(each) < MOST_PARTITIONS
        ):
            raise UpstreamError(f"there is no partition {each[:20]!r}", in_doubt=False)


def check_cursors(cursors: Mapping[str, str]) -> None:
    """Refuse what is no cursor: stored, none of it could be read from again."""
    check_shards(list(cursors))
    for each in cursors.values():
        if not 0 <= read_cursor(each)[0] <= MOST_OFFSET:
            raise ValueError(f"{each[:40]!r} is no cursor")


class Nursery:
    """The connection to the process that forks readers; it starts with the first, and ends with us."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._line: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its number; 0 where it has not started."""
        return 0 if self._process is None else self._process.pid

    def fork(self) -> socket.socket:
        """Have a process forked that reads; return the connection to it. Blocks for a moment."""
        ours, theirs = socket.socketpair()
        try:
            with self._lock, theirs:
                if not self._sent(theirs):
                    self.close()
                    self._sent(theirs)  # where it fails again, the connection ends at once
        except BaseException:
            ours.close()
            raise
        return ours

    def _sent(self, connection: socket.socket) -> bool:
        """Send the other end of a connection; False where the process has ended."""
        if self._line is None:
            self._line = self._start()
        try:
            socket.send_fds(self._line, [b"\0"], [connection.fileno()])
        except OSError:
            return False
        return True

    def close(self) -> None:
        """End it; readers go on until their connections end. A later `fork` starts another one."""
        atexit.unregister(self.close)
        if self._line is not None:
            self._line.close()
            self._line = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _start(self) -> socket.socket:
        paths = [str(Path(__file__).parent)]
        for name in ("halflap", "msgspec", "confluent_kafka"):
            found = importlib.util.find_spec(name)
            if found is None or found.origin is None:
                library()  # says what to install
            else:
                paths.append(str(Path(found.origin).parents[1]))
        ours, theirs = socket.socketpair()
        ours.settimeout(LINE_SECONDS)
        with theirs:
            try:
                self._process = subprocess.Popen(  # noqa: S603 - the words are ours
                    [sys.executable, "-I", "-S", "-B", "-c", BEGIN.format(paths=paths)],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env={each: os.environ[each] for each in TRUSTED if each in os.environ},
                    cwd="/",
                )
            except BaseException:
                ours.close()
                raise
        atexit.register(self.close)
        return ours


nursery = Nursery()
decoder = msgspec.msgpack.Decoder[FromReader](FromReader)
