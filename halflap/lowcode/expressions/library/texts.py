"""Texts: parts, search, replacement, encodings."""

from __future__ import annotations

import base64 as base64s
import binascii
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

from halflap.lowcode.expressions.call import apply_to
from halflap.lowcode.expressions.error import fail
from halflap.lowcode.expressions.frame import VariableFrame
from halflap.lowcode.expressions.library.declared import of_value
from halflap.lowcode.expressions.regex import Match, matches_of
from halflap.lowcode.expressions.value import UNDEFINED, Array, Function
from halflap.lowcode.expressions.writing import written

_SPACE = re.compile(r"[ \t\n\r]+")


@of_value("string", "<x-b?:s>", arity=1)
def string(frame: VariableFrame, value: Any, pretty: Any = UNDEFINED) -> str:
    """A value as text: JSON for what is none."""
    if type(value) is Array and value.outer:
        value = value[0]
    return written(value, frame.evaluation.meter, 2 if pretty is True else 0)


@of_value("substring", "<s-nn?:s>")
def substring(frame: VariableFrame, text: str, start: Any, length: Any = UNDEFINED) -> str:
    """A part, from a position on; a negative one counts from the end."""
    first = 0 if start is UNDEFINED else int(start)
    first = max(0, first + len(text)) if first < 0 else first
    last = len(text) if length is UNDEFINED else first + int(length)
    frame.evaluation.meter.text(max(0, last - first) if last < len(text) else len(text), text)
    return text[first : max(first, last)] if length is UNDEFINED or length > 0 else ""


@of_value("substringBefore", "<s-s:s>")
def substring_before(frame: VariableFrame, text: str, part: Any) -> str:
    """Return the text before a part; all of it, where there is no such part."""
    frame.evaluation.meter.text(len(text), text)
    return text if part is UNDEFINED or part not in text else text[: text.index(part)]


@of_value("substringAfter", "<s-s:s>")
def substring_after(frame: VariableFrame, text: str, part: Any) -> str:
    """Return the text after a part; all of it, where there is no such part."""
    frame.evaluation.meter.text(len(text), text)
    return text if part is UNDEFINED or part not in text else text[text.index(part) + len(part) :]


@of_value("lowercase", "<s-:s>")
def lowercase(frame: VariableFrame, text: str) -> str:
    """In small letters."""
    frame.evaluation.meter.text(len(text), text)
    return text.lower()


@of_value("uppercase", "<s-:s>")
def uppercase(frame: VariableFrame, text: str) -> str:
    """In capitals."""
    frame.evaluation.meter.text(len(text), text)
    return text.upper()


@of_value("length", "<s-:n>")
def length(_: VariableFrame, text: str) -> int:
    """Return the number of characters."""
    return len(text)


@of_value("trim", "<s-:s>")
def trim(frame: VariableFrame, text: str) -> str:
    """Without space around it, and with single spaces in it."""
    frame.evaluation.meter.text(len(text), text)
    return _SPACE.sub(" ", text).strip(" ")


@of_value("pad", "<s-ns?:s>")
def pad(frame: VariableFrame, text: str, width: Any, character: Any = UNDEFINED) -> str:
    """Made wider: to the right, or to the left by a negative width."""
    wanted = 0 if width is UNDEFINED else int(width)
    missing = abs(wanted) - len(text)
    if missing <= 0:
        return text
    with_what = character if character is not UNDEFINED and character else " "
    frame.evaluation.meter.text(abs(wanted), text, with_what)
    padding = (with_what * (missing // len(with_what) + 1))[:missing]
    return text + padding if wanted > 0 else padding + text


@of_value("contains", "<s-(sf):b>")
def contains(frame: VariableFrame, text: str, part: Any) -> Any:
    """Return whether a text or a pattern is found in it."""
    if part is UNDEFINED:
        return UNDEFINED
    if isinstance(part, str):
        frame.evaluation.meter.take(len(text) // 512)
        return part in text
    return next(_matches(part, text, frame), None) is not None


@of_value("match", "<s-f<s:o>n?:a<o>>")
def match(frame: VariableFrame, text: str, pattern: Function, limit: Any = UNDEFINED) -> Array:
    """Every match of a pattern, with its place and groups."""
    found = Array(sequence=True)
    for each in _limited(_matches(pattern, text, frame), limit, "D3040"):
        groups = ["" if group is None else group for group in each.groups]
        found.append({"match": each.text, "index": each.start, "groups": groups})
        frame.evaluation.meter.values(len(groups) + 4)
    return found


@of_value("replace", "<s-(sf)(sf)n?:s>")
def replace(
    frame: VariableFrame,
    text: str,
    pattern: Any,
    replacement: Any = UNDEFINED,
    limit: Any = UNDEFINED,
) -> Any:
    """With every match of a text or a pattern replaced, by a text or what a function makes of it."""
    if pattern == "":
        fail("D3010")
    if pattern is UNDEFINED or replacement is UNDEFINED:
        return UNDEFINED
    meter = frame.evaluation.meter
    if isinstance(pattern, str):
        if limit is not UNDEFINED and limit < 0:
            fail("D3011")
        if not isinstance(replacement, str):
            fail("D3012", value=replacement)
        meter.take(len(text) // 256)
        count = text.count(pattern)
        count = count if limit is UNDEFINED else min(int(limit), count)
        meter.text(len(text) + count * (len(replacement) - len(pattern)), text, replacement)
        return text.replace(pattern, replacement, count)
    parts: list[str] = []
    at = 0
    size = 0
    wide = not text.isascii()
    for each in _limited(_matches(pattern, text, frame), limit, "D3011"):
        if isinstance(replacement, str):
            new = _substituted(replacement, each)
        else:
            new = apply_to(replacement, [_shown(each)], frame)
            if not isinstance(new, str):
                fail("D3012", value=new)
        parts += (text[at : each.start], new)
        wide = wide or not new.isascii()
        size += each.start - at + len(new)
        meter.text(len(new), new)
        if size > meter.budget.text:
            meter.text(size)
        at = each.start + len(each.text)
    meter.text(size + len(text) - at, "…" if wide else "")
    return "".join(parts) + text[at:]


@of_value("split", "<s-(sf)n?:a<s>>")
def split(frame: VariableFrame, text: str, separator: Any, limit: Any = UNDEFINED) -> Any:
    """Its parts between the matches of a text or a pattern."""
    if separator is UNDEFINED:
        return [text]
    if limit is not UNDEFINED and limit < 0:
        fail("D3020")
    most = None if limit is UNDEFINED else int(limit)
    meter = frame.evaluation.meter
    if isinstance(separator, str):
        count = (text.count(separator) + 1) if separator else len(text)
        meter.values(count)
        meter.bytes(len(text) + 50 * count)
        return (text.split(separator) if separator else list(text))[:most]
    parts: list[str] = []
    at = 0
    for each in _limited(_matches(separator, text, frame), limit, "D3020"):
        parts.append(text[at : each.start])
        at = each.end
    if most is None or len(parts) < most:
        parts.append(text[at:])
    meter.values(len(parts))
    meter.bytes(len(text))
    return parts


@of_value("join", "<a<s>s?:s>")
def join(frame: VariableFrame, texts: list[str], separator: Any = UNDEFINED) -> str:
    """All of them, one after another."""
    between = "" if separator is UNDEFINED else separator
    frame.evaluation.meter.take(len(texts) // 8)
    frame.evaluation.meter.text(
        sum(map(len, texts)) + len(between) * max(0, len(texts) - 1), between, *texts
    )
    return between.join(texts)


def _matches(pattern: Any, text: str, frame: VariableFrame) -> Iterator[Match]:
    return matches_of(pattern, text, frame, apply_to)


def _limited(matches: Iterator[Match], limit: Any, code: str) -> Iterator[Match]:
    if limit is UNDEFINED:
        yield from matches
        return
    if limit < 0:
        fail(code)
    for _ in range(int(limit)):
        found = next(matches, None)
        if found is None:
            return
        yield found


def _shown(match: Match) -> dict[str, Any]:
    return {
        "match": match.text,
        "start": match.start,
        "end": match.end,
        "groups": ["" if group is None else group for group in match.groups],
    }


def _substituted(replacement: str, match: Match) -> str:
    """The replacement, with `$0` for the match, `$1` … for its groups, `$$` for a dollar sign."""
    groups = match.groups
    most = len(str(len(groups))) if groups else 1
    text, at = "", 0
    while (dollar := replacement.find("$", at)) >= 0:
        text += replacement[at:dollar]
        at = dollar + 1
        if replacement[at : at + 1] in ("$", "0"):
            text += "$" if replacement[at] == "$" else match.text
            at += 1
            continue
        digits = re.match(rf"[0-9]{{1,{most}}}", replacement[at:])
        if digits is None:
            text += "$"
            continue
        number = digits.group()
        if len(number) > 1 and int(number) > len(groups):
            number = number[:-1]
        if 0 < int(number) <= len(groups):
            text += groups[int(number) - 1] or ""
        at += len(str(int(number)))
    return text + replacement[at:]


# Encodings ----------------------------------------------------------------------------------


@of_value("base64encode", "<s-:s>")
def base64encode(frame: VariableFrame, text: str) -> str:
    """In base64, of its UTF-8."""
    frame.evaluation.meter.text(2 * len(text))
    return base64s.b64encode(_utf8(text, "base64encode")).decode()


@of_value("base64decode", "<s-:s>")
def base64decode(frame: VariableFrame, text: str) -> str:
    """From base64, as UTF-8."""
    frame.evaluation.meter.text(len(text), text)
    try:
        return base64s.b64decode(text + "=" * (-len(text) % 4)).decode()
    except (binascii.Error, ValueError):
        return fail("D3140", value=text, token="base64decode")  # noqa: S106


def _url(name: str, gives: str, convert: Callable[[str], str]) -> None:
    def converted(frame: VariableFrame, text: str) -> str:
        frame.evaluation.meter.text(12 * len(text))
        try:
            return convert(text)
        except ValueError:
            return fail("D3140", value=text, token=name)

    converted.__doc__ = gives
    of_value(name, "<s-:s>")(converted)


_COMPONENT = "-_.!~*'()"
_WHOLE = _COMPONENT + ";/?:@&=+$,#"
_ESCAPED = re.compile(rb"%(..?)?", re.DOTALL)


def _utf8(text: str, name: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return fail("D3140", value=text.encode(errors="replace").decode(), token=name)


def _decoded(text: str, kept: str) -> str:
    def replaced(found: re.Match[bytes]) -> bytes:
        digits = found.group(1) or b""
        character = bytes([int(digits, 16)]) if len(digits) == 2 else b""
        if not character:
            raise ValueError(digits)
        return found.group() if character.decode("latin-1") in kept else character

    return _ESCAPED.sub(replaced, text.encode()).decode()


_url(
    "encodeUrlComponent",
    "Percent-encoded, as a part of a URL.",
    lambda text: quote(text, _COMPONENT),
)
_url("encodeUrl", "Percent-encoded, as a whole URL.", lambda text: quote(text, _WHOLE))
_url("decodeUrlComponent", "Percent-decoded, as a part of a URL.", lambda text: _decoded(text, ""))
_url("decodeUrl", "Percent-decoded, as a whole URL.", lambda text: _decoded(text, ";/?:@&=+$,#"))
