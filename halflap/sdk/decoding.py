"""Bodies from outside, decoded without stopping the event loop.

A decoder in C holds the interpreter's lock for as long as it works, in whatever thread: a second
for a hostile body of 6 MB. So what is larger than `INLINE` is decoded in a process of its own,
within bounds and a time, and handed over in pieces between which the loop goes on.
"""

from __future__ import annotations

import asyncio
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

SECONDS = 30.0
"""Seconds that decoding one body may take before its process is ended."""

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


def _in_process(kind: str, body: bytes, content_type: str) -> list[bytes]:
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
    return await _assembled(await apart(_in_process, "json", body, ""))


async def _assembled(parts: list[bytes]) -> Any:
    """Return the value of its pieces: one value at a time, and half of the loop's time at the most."""
    assembly = _json.Assembly()
    turn = _assembling.setdefault(asyncio.get_running_loop(), asyncio.Lock())
    async with turn:
        for part in parts:
            began = time.perf_counter()
            assembly.take(part)
            await asyncio.sleep(time.perf_counter() - began)
    return assembly.value


_assembling: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


async def predecode(request: Request, only: Sequence[str] | None = None) -> Request:
    """Decode a large body, so that the request's `json()`, `form()` or `xml()` have it at hand.

    Returns the request. What cannot be decoded is raised there, as with a small one. With `only`,
    nothing but what stands at these JSON pointers is handed over.
    """
    if request.payload is not None or len(request.body) <= INLINE or only == []:
        return request
    kind = _kind(request)
    if only is not None and "json" not in readings(request):
        readings(request)["picked"] = await _picked(request, only) if kind == "json" else {}
        return request
    if kind == "" or kind in readings(request):
        return request
    try:
        readings(request)[kind] = await _read(kind, request)
    except InvalidEvent as error:
        readings(request)[kind] = error
    except codec.NotJson as error:
        name = {"json": "JSON", "xml": "XML", "form": "a form"}[kind]
        told = f"The body is not {name}: {error}." if kind == "json" else str(error)
        readings(request)[kind] = InvalidEvent(told)
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
            return await decode_json(json_text(request))
        case "xml":
            await apart(_in_process, "xml", request.body, "")
            return await apart(_body.parse_xml, request.body)
        case _:
            content_type = request.headers.get("content-type", "")
            [form] = await apart(_in_process, kind, request.body, content_type)
            return pickle.loads(form)  # noqa: S301 - our own process wrote it


def _kind(request: Request) -> str:
    if request.content_type in ("application/x-www-form-urlencoded", "multipart/form-data"):
        return "form"
    start = request.body[:256].replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")[:1]
    return {b"<": "xml", b"{": "json", b"[": "json"}.get(start, "")
