"""JSON text to values: exact numbers, and bounds that are checked before anything is built.

Imports nothing of Halflap, so that a process which only decodes (`sdk/decoding.py`) starts fast
and stays small: it runs this file.
"""

from __future__ import annotations

import itertools
import pickle
import re
import struct
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal, InvalidOperation
from typing import Any, BinaryIO, TypeVar, cast

import msgspec

MAX_DEPTH = 256
"""The deepest nesting of arrays and objects: enough for any app, and safe to walk and to copy."""

MAX_DIGITS = 500
"""The most digits of a number before its point, and behind it.

The largest double, which is what most readers take (RFC 8259, section 6), has 309. The time in which
a number is converted grows with the square of its digits: up to here it is that of other texts.
"""

MAX_VALUES = 1 << 20
"""The most values of a JSON text from outside."""

MAX_CONTAINERS = 250_000
"""The most arrays and objects of a JSON text from outside: they cost the most to build."""

TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels"
TOO_LONG = f"a number is longer than {MAX_DIGITS} digits; send it as a text"
TOO_MANY_VALUES = f"more than {MAX_VALUES:,} values; send fewer in one body"
TOO_MANY_CONTAINERS = f"more than {MAX_CONTAINERS:,} arrays and objects; send fewer in one body"

T = TypeVar("T")


class NotJson(ValueError):
    """The text is not JSON, or the value cannot be written as JSON; the message says where."""


def decode_json(data: bytes | str, *, bounded: bool = False) -> Any:
    """Read JSON, with exact numbers.

    Raises `NotJson`, naming the byte or the path, for anything that RFC 8259 does not allow and for
    what is nested deeper than `MAX_DEPTH`. With `bounded`, which is for what comes from outside, a
    text of more than `MAX_VALUES` values or `MAX_CONTAINERS` arrays and objects is refused too,
    before anything is built. A byte order mark at the beginning is skipped.
    """
    try:
        raw = data.encode() if isinstance(data, str) else data
    except UnicodeEncodeError as error:
        raise NotJson(f"half a surrogate pair at character {error.start}") from error
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    # In a short one, nothing can be deeper, longer or more than its bytes.
    if len(raw) > MAX_DEPTH:
        check_size(raw, bounded=bounded)
        if bounded and (at := long_number(raw)) is not None:
            raise NotJson(f"{TOO_LONG} (byte {at})")
    try:
        try:
            return _DECODER.decode(raw)
        except RecursionError:  # so that it does not depend on how deep the reader already is
            return on_fresh_stack(_DECODER.decode, raw)
    except RecursionError as error:
        raise NotJson(TOO_DEEP) from error
    except UnicodeDecodeError as error:
        raise NotJson(_not_utf8(raw, error)) from error
    except msgspec.MsgspecError as error:
        raise NotJson(_explained(str(error), len(raw))) from error


def cut_array(raw: bytes) -> list[bytes] | None:
    """Return the elements of a JSON array as they stand, so that one is read without the others.

    None for what is no array. An element may be anything between its commas: what reads it judges it.
    """
    if raw.count(b",") + raw.count(b"[") + raw.count(b"{") + raw.count(b'"') > MAX_VALUES:
        return None
    raw = raw.removeprefix(b"\xef\xbb\xbf").strip(_SPACE)
    try:
        spans, end = _members(raw, 0) if raw[:1] == b"[" else ([], -1)
    except NotJson:
        return None
    return [raw[begin:stop].strip(_SPACE) for begin, stop in spans] if end == len(raw) else None


def check_size(raw: bytes, *, bounded: bool) -> None:
    """Raise `NotJson` where a JSON text is nested too deep or, with `bounded`, holds too much.

    Nothing is built, and each pass runs in C. The counts are exact up to the first byte that is
    malformed, which is as far as a decoder gets.
    """
    opened = raw.count(b"[") + raw.count(b"{")
    most = MAX_VALUES - opened
    if opened <= MAX_DEPTH and (not bounded or len(raw) < most or raw.count(b",") < most):
        return  # whatever stands in texts can only make it fewer
    if b"\\" in raw:
        raw = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Of texts without brackets and commas only the quotes are left, as pairs; then of the others,
    # what lies between their quotes goes.
    signs = raw.translate(None, _NO_SIGNS).replace(b'""', b"")
    if b'"' in signs:
        signs = b"".join(signs.split(b'"')[::2])
    opened = signs.count(b"[") + signs.count(b"{")
    if bounded and opened > MAX_CONTAINERS:
        raise NotJson(TOO_MANY_CONTAINERS)
    if bounded and opened + signs.count(b",") > MAX_VALUES:
        raise NotJson(TOO_MANY_VALUES)
    if opened > MAX_DEPTH:
        steps = memoryview(signs.translate(_STEPS, b",")).cast("b")
        if max(itertools.accumulate(steps)) > MAX_DEPTH:
            raise NotJson(TOO_DEEP)


def long_number(raw: bytes) -> int | None:
    """Return where a JSON text has a number of too many digits in a row; None where it has none."""
    # Of so many digits in a row, every so many bytes have as many as are looked for.
    if len(raw) <= MAX_DIGITS or _SAMPLE not in raw[::_STEP].translate(_ZEROS):
        return None
    begin, digits = 0, raw.translate(_ZEROS)
    digits = digits.replace(b"\\\\", b"  ").replace(b'\\"', b"  ")
    for number, part in enumerate(digits.split(b'"')):
        if number % 2 == 0 and (at := part.find(_RUN)) >= 0:
            return begin + at
        begin += len(part) + 1
    return None


_RUN = b"0" * (MAX_DIGITS + 1)
_STEP = 25
_SAMPLE = b"0" * (MAX_DIGITS // _STEP)
_ZEROS = bytes.maketrans(b"123456789", b"0" * 9)
_SPACE = b" \t\r\n"
_SIGNS = b'"[]{},'
_NO_SIGNS = bytes(each for each in range(256) if each not in _SIGNS)
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")


def fits(number: Decimal) -> bool:
    """Return whether a number is finite and within the digits that JSON may carry here."""
    return (
        number.is_finite()
        and -MAX_DIGITS < number.adjusted() < MAX_DIGITS
        and len(str(number)) <= MAX_DIGITS + 16  # sign, point and exponent
    )


def pick(value: Any, path: str) -> Any:
    """Return what stands at a JSON pointer (RFC 6901); None where that is no single value."""
    for token in path.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        match value:
            case dict():
                value = cast(dict[str, Any], value).get(name)
            case list() if _INDEX(name):
                items = cast(list[Any], value)
                value = items[int(name)] if int(name) < len(items) else None
            case _:
                return None
    match value:
        case bool() | int() | Decimal():
            return value
        case str():
            return value or None
        case _:
            return None


_INDEX = re.compile(r"0|[1-9][0-9]{0,8}").fullmatch


_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["\[\]{},]', re.DOTALL)
_NAMED = re.compile(rb'\s*("[^"\\]*+(?:\\.[^"\\]*+)*+")\s*:\s*', re.DOTALL)


def salvage(raw: bytes, path: str) -> Any:
    """Read JSON whose items in the list at a JSON pointer may be bad: those stay the bytes that they are.

    Raises `NotJson` where the rest cannot be read, or all of it is too much.
    """
    if raw.count(b"[") + raw.count(b"{") > MAX_CONTAINERS or raw.count(b",") > MAX_VALUES:
        raise NotJson(TOO_MANY_VALUES)
    at = len(raw) - len(raw.removeprefix(b"\xef\xbb\xbf").lstrip())
    names = [each.replace("~1", "/").replace("~0", "~") for each in path.split("/")[1:]]
    for name in names:
        at = _child(raw, at, name)
    if raw[at : at + 1] != b"[":
        raise NotJson("there is no list")
    spans, end = _members(raw, at)
    whole = decode_json(raw[:at] + b"[]" + raw[end:], bounded=True)
    found: Any = whole
    for name in names:
        found = found[int(name) if isinstance(found, list) else name]
    items = cast(list[Any], found)
    if spans and not raw[slice(*spans[-1])].strip():
        spans.pop()  # a comma behind the last item makes none
    for begin, stop in spans:
        item = raw[begin:stop].strip()
        try:
            items.append(decode_json(item, bounded=True))
        except NotJson:
            items.append(item)
    return whole


def _child(raw: bytes, at: int, name: str) -> int:
    """Return where the value of a name, or of an index, begins in the container that begins at `at`."""
    spans, _ = _members(raw, at)
    if raw[at : at + 1] == b"[":
        if not _INDEX(name) or int(name) >= len(spans):
            raise NotJson(f"there is no item {name}")
        begin, stop = spans[int(name)]
        return stop - len(raw[begin:stop].lstrip())
    for begin, stop in reversed(spans):  # of two equal names the last one wins
        if named := _NAMED.match(raw, begin, stop):
            try:
                if decode_json(named[1]) == name:
                    return named.end()
            except NotJson:
                continue
    raise NotJson(f"there is no {name}")


def _members(raw: bytes, at: int) -> tuple[list[tuple[int, int]], int]:
    """Return where the members of the container at `at` begin and end, and where it ends."""
    if raw[at : at + 1] not in (b"[", b"{"):
        raise NotJson("it is no array or object")
    found: list[tuple[int, int]] = []
    depth, begin = 0, at + 1
    for token in _TOKEN.finditer(raw, at):
        match token[0]:
            case b"[" | b"{":
                depth += 1
            case b"]" | b"}":
                depth -= 1
                if depth == 0:
                    if found or raw[begin : token.start()].strip(_SPACE):
                        found.append((begin, token.start()))
                    return found, token.end()
            case b"," if depth == 1:
                found.append((begin, token.start()))
                begin = token.end()
            case b'"':
                break
            case _:
                pass
    raise NotJson("it ends too early")


def on_fresh_stack(function: Callable[..., T], *args: Any) -> T:
    """Call it in a thread, where the caller's own stack left too little room."""
    with ThreadPoolExecutor(1) as fresh:
        return fresh.submit(function, *args).result()


def _fraction(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"a number is beyond 1e±{MAX_DIGITS}") from error
    # Few digits and no exponent are within the bounds.
    if (len(text) > MAX_DIGITS or "e" in text or "E" in text) and not fits(number):
        raise ValueError(f"a number is longer than {MAX_DIGITS} digits or beyond 1e±{MAX_DIGITS}")
    return number


_DECODER = msgspec.json.Decoder(float_hook=_fraction)
_ENCODER = msgspec.json.Encoder(decimal_format="number")


def _explained(message: str, size: int) -> str:
    if message.startswith("Integer value out of range"):
        return TOO_LONG + message[26:]
    if message == "Input data was truncated":
        return f"it ends too early (byte {size})" if size else "it is empty (byte 0)"
    return message.removeprefix("JSON is malformed: ")


def _not_utf8(raw: bytes, error: UnicodeDecodeError) -> str:
    try:
        raw.decode()
    except UnicodeDecodeError as absolute:
        error = absolute
    return f"not UTF-8: {error.reason} (byte {error.start})"


# --- A large value in pieces, so that whoever takes it over never stops for long.

PIECE = 1_000
"""The number of values of a piece."""


def pieces(value: Any) -> Iterator[tuple[Any, ...]]:
    """Cut a value into pieces of which, as JSON, `Assembly` makes it again."""
    large: set[int] = set()
    _weigh(value, large)
    if id(value) not in large:
        yield ("add", value)
    else:
        yield from _cut(None, value, large)


def _weigh(value: Any, large: set[int]) -> int:
    match value:
        case dict():
            children = list(cast(dict[str, Any], value).values())
        case list():
            children = cast(list[Any], value)
        case _:
            return 1
    weight = 1 + sum(_weigh(each, large) for each in children)
    if weight > PIECE:
        large.add(id(cast(object, value)))
    return weight


def _cut(name: str | None, value: Any, large: set[int]) -> Iterator[tuple[Any, ...]]:
    is_object = type(value) is dict
    pairs: Any = cast(dict[str, Any], value).items() if is_object else enumerate(value)
    yield ("open", name, {} if is_object else [])
    run: list[Any] = []
    weight = 0
    for key, each in pairs:
        if id(each) in large:
            yield ("add", dict(run) if is_object else run)
            run, weight = [], 0
            yield from _cut(key if is_object else None, each, large)
            continue
        run.append((key, each) if is_object else each)
        weight += _weigh(each, large)
        if weight > PIECE:
            yield ("add", dict(run) if is_object else run)
            run, weight = [], 0
    yield ("add", dict(run) if is_object else run)
    yield ("close",)


class Assembly:
    """Makes a value of its pieces."""

    def __init__(self) -> None:
        self.value: Any = None
        self.pieces: list[Any] = []
        """The parts of the value, by which it can be freed piece by piece."""
        self._open: list[Any] = []

    def take(self, piece: bytes) -> None:
        """Take the next piece, as JSON."""
        match _DECODER.decode(piece):
            case ("open", name, made):
                if not self._open:
                    self.value = made
                elif name is None:
                    self._open[-1].append(made)
                else:
                    self._open[-1][name] = made
                self._open.append(made)
            case ("close",):
                self._open.pop()
            case (_, value):
                self.pieces.append(value)
                if not self._open:
                    self.value = value
                elif isinstance(value, dict):
                    self._open[-1].update(value)
                else:
                    self._open[-1].extend(value)
            case _:
                raise ValueError("no piece of a value")


# --- The process that decodes.

HEAD = struct.Struct(">HIQ")
"""The header of a body: the lengths of its kind, of its content type (or its pointers), of itself."""
LENGTH = struct.Struct(">Q")
REFUSED, PART, DONE = b"!", b"+", b"."


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Decode bodies until there are no more: each answer is parts, and then its end."""
    while head := requests.read(HEAD.size):
        kind, content_type, body = (requests.read(size) for size in HEAD.unpack(head))
        try:
            for data in decoded(kind.decode(), body, content_type.decode()):
                answers.write(PART + LENGTH.pack(len(data)) + data)
            mark, last = DONE, b""
        except (ValueError, MemoryError) as error:
            mark, last = REFUSED, (str(error) or "it needs too much memory").encode()
        answers.write(mark + LENGTH.pack(len(last)) + last)
        answers.flush()


def decoded(kind: str, body: bytes, content_type: str) -> Iterator[bytes]:
    """Decode a body, and yield the parts of its value; a `ValueError` says what is wrong with it."""
    if kind in ("json", "record"):
        yield from map(_ENCODER.encode, pieces(decode_json(body, bounded=kind == "json")))
        return
    if kind == "pick":  # the content type says what: pointers
        value = decode_json(body, bounded=True)
        paths = msgspec.json.decode(content_type, type=list[str])
        yield _ENCODER.encode({each: pick(value, each) for each in paths})
        return
    from halflap.errors import InvalidEvent
    from halflap.sdk import _body

    try:
        if kind == "form":
            yield pickle.dumps(_body.form(body, content_type), 5)
        else:
            _body.xml(body)  # an element cannot cross; that the body keeps its bounds is enough
    except InvalidEvent as error:
        raise ValueError(error.message) from error


def main() -> None:
    """Serve on standard input and output, with little priority and bounded memory.

    The argument is the folder that Halflap is imported from, which forms and XML need.
    """
    import contextlib
    import gc
    import os
    import resource

    sys.path.append(sys.argv[1])
    gc.disable()  # what is decoded has no cycles
    with contextlib.suppress(OSError, ValueError):
        os.nice(5)
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, resource.getrlimit(resource.RLIMIT_AS)[1]))
    serve(sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()
