"""Bodies from outside, decoded without stopping the event loop.

A decoder in C holds the interpreter's lock for as long as it works, in whatever thread: a second
for a hostile body of 6 MB. So what is larger than `INLINE` is decoded in a process of its own,
within bounds and a time, and handed over in pieces between which the loop goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from halflap.errors import InvalidEvent
from halflap.sdk import _body, _json, codec
from halflap.sdk.request import Request, json_text, readings

INLINE = 64 * 1024
"""Bodies up to this many bytes are decoded where they are: none takes longer than some milliseconds."""

PROCESSES = 2
"""The number of processes that decode, each started when it is first needed."""

FIRST_FREED_SECONDS, FREED_SECONDS = 1.0, 0.002
"""Seconds from the end of a request to the first piece of its value that is freed, and between two."""

SECONDS = 30.0
"""Seconds that decoding one body may take before its process is ended."""

JSON_STARTS = {bytes([each]) for each in b'{["-0123456789tfn'}

COMMAND = (sys.executable, "-P", _json.__file__, str(Path(_json.__file__).parents[2]))

T = TypeVar("T")


class DecoderEnded(Exception):
    """The process that decodes ended."""


class Decoder:
    """A process that decodes one body at a time; started when first used, again where it ended."""

    def __init__(self, seconds: float = SECONDS, command: Sequence[str] = COMMAND) -> None:
        self._seconds = seconds
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    def parts(self, kind: str, body: bytes, content_type: str = "") -> list[bytes]:
        """Return the pieces of a body's value. Raise `NotJson` where it is refused.

        Blocks, so that it belongs into a thread; the interpreter's lock is free meanwhile.
        """
        for _ in range(2):
            try:
                return self._exchange(
                    kind.encode(), content_type.encode("latin-1", "replace"), body
                )
            except DecoderEnded:
                continue
        raise codec.NotJson("the process that decodes it ended, as it needs too much memory")

    def close(self) -> None:
        """End the process; another is started where it is used again."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def _exchange(self, kind: bytes, content_type: bytes, body: bytes) -> list[bytes]:
        process = self._process = self._process or subprocess.Popen(  # noqa: S603 - our own file
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={},
            process_group=0,  # a signal for the terminal is not for it: it ends with its input
        )
        late = threading.Event()

        def end() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(self._seconds, end)
        timer.daemon = True
        timer.start()
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            head = _json.HEAD.pack(len(kind), len(content_type), len(body))
            process.stdin.write(head + kind + content_type)
            process.stdin.write(body)
            process.stdin.flush()
            return _parts(process.stdout.read)
        except (OSError, DecoderEnded) as error:
            self.close()
            if late.is_set():
                raise codec.NotJson(f"not decoded within {self._seconds:g} s") from error
            raise DecoderEnded from error
        finally:
            timer.cancel()


def _parts(read: Callable[[int], bytes]) -> list[bytes]:
    parts: list[bytes] = []
    while True:
        head = read(1 + _json.LENGTH.size)
        if len(head) < 1 + _json.LENGTH.size:
            raise DecoderEnded
        (size,) = _json.LENGTH.unpack(head[1:])
        data = read(size)
        if len(data) < size:
            raise DecoderEnded
        match head[:1]:
            case _json.PART:
                parts.append(data)
            case _json.DONE:
                return parts
            case _:
                raise codec.NotJson(data.decode())


_threads = ThreadPoolExecutor(PROCESSES, thread_name_prefix="halflap-decoding")
_own = threading.local()


_here = threading.Event()


def decode_here() -> None:
    """Have this process decode all bodies: one that has limits itself, and may start no other."""
    _here.set()


def _in_process(kind: str, body: bytes, content_type: str) -> list[bytes]:
    if _here.is_set():
        try:
            return [*_json.decoded(kind, body, content_type)]
        except (ValueError, MemoryError) as error:
            raise codec.NotJson(str(error) or "it needs too much memory") from error
    if not hasattr(_own, "decoder"):
        _own.decoder = Decoder()
    return _own.decoder.parts(kind, body, content_type)


async def apart(function: Callable[..., T], *args: Any) -> T:
    """Call in a thread of those that wait for decoding: for C that frees the interpreter's lock."""
    return await asyncio.get_running_loop().run_in_executor(_threads, function, *args)


async def decode_json(body: bytes) -> Any:
    """Return the value of a JSON text from outside. Raise `NotJson` where it is none."""
    if len(body) <= INLINE:
        return codec.decode(body, bounded=True)
    return (await _put_together(body)).value


async def _put_together(body: bytes) -> _json.Assembly:
    return await _assembled(await apart(_in_process, "json", body, ""))


class FreedLater:
    """The pieces of a value, freed one by one after it: a million numbers take 16 ms at once."""

    def __init__(self, pieces: list[Any]) -> None:
        self._pieces = pieces
        self._loop = asyncio.get_running_loop()

    def __del__(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(
                self._loop.call_later, FIRST_FREED_SECONDS, _free, self._loop, self._pieces
            )


def _free(loop: asyncio.AbstractEventLoop, pieces: list[Any]) -> None:
    if pieces:
        pieces.pop()
        loop.call_later(FREED_SECONDS, _free, loop, pieces)


async def decode_recorded(data: bytes) -> Any:
    """Return the value of a large JSON text that we wrote, of whatever size."""
    try:
        return (await _assembled(await apart(_in_process, "record", data, ""))).value
    except codec.NotJson:  # the process that decodes had too little memory or time for it
        return codec.decode(data)


async def _assembled(parts: list[bytes]) -> _json.Assembly:
    """Return the value of its pieces: one value at a time, and half of the loop's time at the most."""
    assembly = _json.Assembly()
    turn = _assembling.setdefault(asyncio.get_running_loop(), asyncio.Lock())
    async with turn:
        for part in parts:
            began = time.perf_counter()
            assembly.take(part)
            await asyncio.sleep(time.perf_counter() - began)
    return assembly


_assembling: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


async def predecode(request: Request, only: Sequence[str] | None = None) -> Request:
    """Decode a large body, so that the request's `json()`, `form()` or `xml()` have it at hand.

    Returns the request. What cannot be decoded is raised there, as with a small one. With `only`,
    nothing but what stands at these JSON pointers is handed over.
    """
    if request.payload is not None or len(request.body) <= INLINE or only == []:
        return request
    read = readings(request)
    if only is not None and "json" not in read:
        read["picked"] = await _picked(request, only)
        return request
    for kind in _kinds(request):
        if kind in read:
            continue
        try:
            read[kind] = await _read(kind, request)
        except InvalidEvent as error:
            read[kind] = error
        except codec.NotJson as error:
            told = f"The body is not JSON: {error}." if kind == "json" else str(error)
            read[kind] = InvalidEvent(told)
    return request


async def _picked(request: Request, only: Sequence[str]) -> dict[str, Any]:
    """Return what stands at JSON pointers; of a body that is no JSON, nothing."""
    try:
        [found] = await apart(_in_process, "pick", json_text(request), json.dumps(only))
    except codec.NotJson:
        return dict.fromkeys(only)
    return codec.decode(found)


async def _read(kind: str, request: Request) -> Any:
    match kind:
        case "json":
            found = await _put_together(json_text(request))
            readings(request)["held"] = FreedLater(found.pieces)
            return found.value
        case "xml":
            await apart(_in_process, "xml", request.body, "")
            return await apart(_body.parse_xml, request.body)
        case _:
            content_type = request.headers.get("content-type", "")
            [form] = await apart(_in_process, kind, request.body, content_type)
            return pickle.loads(form)  # noqa: S301 - our own process wrote it


def _kinds(request: Request) -> list[str]:
    """Return what a body may be read as, whatever its sender calls it: a form may be JSON, too."""
    start = request.body[:256].replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")[:1]
    if request.content_type in ("application/x-www-form-urlencoded", "multipart/form-data"):
        return ["form", *({b"<": ["xml"], b"{": ["json"], b"[": ["json"]}.get(start, []))]
    return ["xml"] if start == b"<" else ["json"] if start in JSON_STARTS else []
