"""Redaction: secrets out of every text that comes from outside before it is stored or shown.

A `Redactor` knows the secrets of one connection, or of one execution, in every spelling in which an
app may repeat them: as they are, escaped for JSON, HTML or a URL, as hex, and in base64 at any offset
(so in Basic credentials too); and the credentials that were sent with requests, such as signatures.

Secrets of fewer than `LEAST` characters are not looked for: they would be found in ordinary words.
"""

from __future__ import annotations

import base64
import html
import json
import re
import struct
from collections.abc import Iterable, Iterator, KeysView, Mapping, Set
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, Literal, cast
from urllib.parse import quote, quote_plus

HIDDEN = "•••"
LEAST = 6
"""The shortest secret that is redacted, in characters."""
LONGEST = 64 * 1024
"""The longest secret, in characters: a PEM key or a service account has a few thousand."""
LEAST_IN_DATA = 12
"""The shortest that is taken out of data which goes on: a weak password may be an ordinary word."""
CUT = 24
"""The shortest spelling of which the first half is redacted too: messages are cut somewhere."""
LONG_LINE = 24
"""The shortest line of a secret of several lines (a PEM key) that is redacted by itself."""
MOST_SENT = 256
"""The most credentials of single requests, such as signatures, that an execution's redactor holds.
"""
PIECE = 64 * 1024
"""The number of bytes that are searched at a time."""

_CREDENTIAL = re.compile(
    r"auth|cookie|token|secret|signature|hmac|password|passwd|credential|session|api-?key"
    r"|(?:^|[-_])(?:key|sign|sig)(?:$|[-_])",
    re.IGNORECASE,
)
_WORD = re.compile(r"[A-Za-z0-9+/_=%\\-]*")


current: ContextVar[Redactor | None] = ContextVar("halflap.redactor", default=None)
"""The secrets of what is done in this task: an execution, or a test of a connection."""


class Needles:
    """Texts that are looked for all at once, in a time that does not grow with their number.

    Of what is searched, every other 4 bytes (every 8, for texts of 15 bytes and more) are looked up as
    a number. Wherever a text stands, one of those lies within its first bytes; so only where a number
    is known, the texts that it belongs to are looked for.
    """

    __slots__ = ("_long", "_short", "_tables")

    LEAST = 5
    """The bytes of the shortest text: it holds 4 of every 2, wherever it begins."""
    LONG = 15
    """The bytes of the shortest text that holds 8 of every 8, wherever it begins."""

    def __init__(self) -> None:
        self._long: dict[int, tuple[bytes, ...]] = {}
        self._short: dict[int, tuple[bytes, ...]] = {}
        self._tables: tuple[_Table, ...] = ()

    def joined(self, needles: Iterable[bytes]) -> Needles:
        """Return these and more; none may be shorter than `LEAST`."""
        made = Needles()
        made._long, made._short = self._long.copy(), self._short.copy()
        for each in needles:
            is_long = len(each) >= self.LONG
            held, word, shifts = (made._long, "=Q", 8) if is_long else (made._short, "=I", 2)
            for at in range(shifts):
                (number,) = struct.unpack_from(word, each, at)
                held[number] = (*held.get(number, ()), each)
        long, short = made._long, made._short
        tables: tuple[_Table, ...] = (
            (long.keys(), long, "Q", 8, 0),
            (short.keys(), short, "I", 4, 0),
            (short.keys(), short, "I", 4, 2),
        )
        made._tables = tuple(each for each in tables if each[0])
        return made

    def search(self, data: bytes) -> Iterator[Set[bytes]]:
        """Yield those that stand in each piece of some bytes, piece by piece."""
        for begin in range(0, len(data), PIECE):
            yield self.within(data, begin)

    def within(self, data: bytes, begin: int = 0) -> Set[bytes]:
        """Return those that stand in one piece of some bytes."""
        end = len(data)
        if end - begin > PIECE:
            end = min(begin + PIECE + 8, end)  # a number may lie across the end of a piece
        near = _NONE
        for numbers, held, word, size, shift in self._tables:
            at = begin + shift
            words = memoryview(data[at : end - (end - at) % size]).cast(word)
            if not numbers.isdisjoint(words):
                near |= {each for number in numbers & words for each in held[number]}
        if near:
            reach = max(map(len, near))
            part = data[max(begin - reach, 0) : end + reach]
            near = {each for each in near if each in part}
        return near


_NONE: Set[bytes] = frozenset()
_Table = tuple[KeysView[int], dict[int, tuple[bytes, ...]], Literal["Q", "I"], int, int]
"""The numbers, texts by number, the numbers' type and size, and where the first of them lies."""


class Redactor:
    """The secrets that may not appear in a text."""

    __slots__ = ("_known", "_needles", "_sent", "_spellings")

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._spellings: dict[str, bytes] = {}
        self._needles = Needles()
        self._known: frozenset[str] = frozenset()
        self._sent = 0
        self.add(secrets)

    def __bool__(self) -> bool:
        """Return whether there is anything to look for."""
        return bool(self._spellings)

    def fork(self) -> Redactor:
        """Return a redactor of the same secrets that learns more without telling this one."""
        made = Redactor.__new__(Redactor)
        made._spellings, made._needles, made._known = self._spellings, self._needles, self._known
        made._sent = 0
        return made

    def add(self, secrets: Iterable[str]) -> None:
        """Add secrets, in all their spellings; of a longer one than `LONGEST`, what it begins with."""
        found: list[str] = []
        for secret in (each[:LONGEST] for each in secrets):
            if len(secret) >= LEAST and secret not in self._known:
                self._known |= {secret}
                found += spellings(secret)
        if found:  # a message may end in the middle of one
            self.add_spellings([*found, *(_half(each) for each in found if len(each) >= CUT)])

    def add_spellings(self, found: Iterable[str]) -> None:
        """Add texts to look for exactly as they are."""
        fresh = {each: _encoded(each) for each in found if each not in self._spellings}
        if not fresh:
            return
        both = {**self._spellings, **fresh}
        self._spellings = {each: both[each] for each in sorted(both, key=len, reverse=True)}
        # In JSON a text is escaped once more.
        escapes = [_encoded(escaped(each)) for each in fresh]
        self._needles = self._needles.joined({*fresh.values(), *escapes})

    def add_sent(self, headers: Mapping[str, Any]) -> None:
        """Add the credentials among the headers of a request that is sent: signatures, new tokens."""
        for name, value in headers.items():
            if value in self._known or not is_credential(name):
                continue
            if name.lower() == "idempotency-key" or self._sent >= MOST_SENT:
                continue
            self._sent += 1
            scheme, space, rest = str(value).partition(" ")
            self.add([rest.strip() if space and scheme.isalnum() else str(value)])
            self._known |= {value}

    def finds(self, data: bytes) -> bool:
        """Return whether any secret is in JSON or text as bytes. Never misses one; cheap."""
        if len(data) < Needles.LEAST:
            return False
        if len(data) <= PIECE:
            return bool(self._needles.within(data))
        return any(self.look(data))

    def look(self, data: bytes) -> Iterator[bool]:
        """Yield, piece by piece and up to the first, whether a secret is in it."""
        for found in self._needles.search(data):
            yield bool(found)
            if found:
                return

    def hits(self, text: str) -> list[str]:
        """Return the spellings of secrets that are in a text, the longest first."""
        if not text:
            return []
        found = set[bytes]().union(*self._needles.search(_encoded(text)))
        return [each for each, data in self._spellings.items() if data in found] if found else []

    def text(self, text: str, least: int = 0) -> str:
        """Return a text with `•••` in the place of each secret of `least` characters or more."""
        for each in self.hits(text):
            if len(each) >= least:
                text = _replaced(text, each)
        return text

    def value(self, value: Any, least: int = 0) -> Any:
        """Return plain data with `•••` in the place of each secret, in names too."""
        if isinstance(value, str):
            return self.text(value, least)
        if isinstance(value, dict):
            held = cast(dict[str, Any], value)
            if set(held) == {"$secret"}:
                return held
            return {
                self.text(str(name), least): self.value(each, least) for name, each in held.items()
            }
        if isinstance(value, list | tuple):
            return [self.value(each, least) for each in cast(list[Any], value)]
        return value


def clean(text: str) -> str:
    """Return a text from outside without the secrets of what is done in this task."""
    known = current.get()
    return text if known is None else known.text(text)


def spellings(secret: str) -> Iterator[str]:
    """Yield the ways in which an app may write a secret."""
    yield from (secret, secret[::-1])
    lines = secret.splitlines()
    for line in lines if len(lines) > 1 else ():
        if len(line) >= LONG_LINE:
            yield line
    yield from {html.escape(secret), html.escape(secret, quote=False)}
    for ascii in (True, False):
        written = json.dumps(secret, ensure_ascii=ascii)[1:-1]
        yield from {written, written.replace("/", "\\/"), escaped(written)}
    data = secret.encode("utf-8", "surrogatepass")
    yield from {data.hex(), data.hex().upper()}
    yield from _quoted(secret)
    for core in _in_base64(data):
        yield from {core, core.replace("/", "\\/"), core.replace("+", "-").replace("/", "_")}
        for plus, slash in (("%2B", "%2F"), ("%2b", "%2f")):
            yield from {core.replace("+", plus), core.replace("+", plus).replace("/", slash)}


def escaped(text: str) -> str:
    """Return a text as it stands within JSON."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


@lru_cache(maxsize=1024)
def is_credential(header: str) -> bool:
    """Return whether a header's name says that its value is a credential."""
    return _CREDENTIAL.search(header) is not None


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _half(text: str) -> str:
    return text[: max(len(text) // 2, CUT // 2)]


def _quoted(text: str) -> set[str]:
    found: set[str] = set()
    for written in (quote(text, safe="", errors="replace"), quote(text, errors="replace")):
        found |= {written, _lower_escapes(written)}
    written = quote_plus(text, errors="replace")
    return found | {written, _lower_escapes(written)}


def _lower_escapes(text: str) -> str:
    return re.sub(r"%[0-9A-F]{2}", lambda each: each[0].lower(), text)


def _in_base64(data: bytes) -> Iterator[str]:
    """Yield what base64 of any text with `data` in it holds, for each of the three offsets."""
    for offset in range(3):
        written = base64.b64encode(bytes(offset) + data).decode().rstrip("=")
        begin = (offset * 8 + 5) // 6  # characters that hold bits of what stands before
        end = (offset + len(data)) * 8 // 6  # and behind
        if end - begin >= LEAST:
            yield written[begin:end]


def _replaced(text: str, spelling: str) -> str:
    """Replace a spelling, and around it what belongs to the same base64 or hex word."""
    parts: list[str] = []
    at = 0
    is_word = _WORD.fullmatch(spelling) is not None
    while (begin := text.find(spelling, at)) >= 0:
        end = begin + len(spelling)
        if is_word and _surrounded(text, begin, end):
            begin -= len(_tail(text[at:begin]))
            found = _WORD.match(text, end)
            end = found.end() if found is not None else end
        parts += [text[at:begin], HIDDEN]
        at = end
    return "".join((*parts, text[at:]))


def _surrounded(text: str, begin: int, end: int) -> bool:
    return (begin > 0 and text[begin - 1].isalnum()) or (end < len(text) and text[end].isalnum())


def _tail(text: str) -> str:
    """The end of a text that belongs to the word which follows."""
    found = _WORD.match(text[::-1])
    return "" if found is None else found[0]
