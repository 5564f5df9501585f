"""The cause of a failure: a text without ids, numbers, quoted values and URLs, by which failures group.

`UpstreamError at acme.create_account (503): the app answered #`: the error's class, the action, step
or flow in which it was raised, the HTTP status of the call, and the first line of its message.

What is left of a message may still be a customer's (`bad value Ada`). So a cause has a public text
without it, for who may not see payloads, and the mark of a cause is two short hashes: that of the
public text, the public mark, and that of the whole. The stores index it; `--cause` takes either. An
exception of an author's code has its line, `ValueError at book, orders.py:41: bad value Ada`, and is
marked by that without its message, lest each value be a cause of its own.

Of an app's JSON the sentences are kept, with their keys: `quantity: at least #`. Of other values in
quotes only a name in the author's code is, as in `KeyError: 'total'` and `no signal 'approved' came`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import blake2b
from typing import NamedTuple

from halflap import errors
from halflap.errors import TimedOut
from halflap.model import Failure, Outcome, is_builtin_error

LONGEST_MESSAGE = 160
"""The most characters that a cause has of a normalised message."""
MARK_BYTES = 6
PUBLIC_MARK = MARK_BYTES
"""The characters of a public mark, with which each mark of such a cause begins."""

_URL = re.compile(r"\b[a-zA-Z][a-zA-Z0-9+.-]*://\S+")
_QUOTED = re.compile(
    r"""(?<!\w)'(?:[^'\\]|\\.)*'(?!\w)|"(?:[^"\\]|\\.)*"|`[^`]*`|“[^”]*”|«[^»]*»"""
)
_JSON = re.compile(r"""[\[{]\s*(?=["\[{]).*""")
_JSON_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"(\s*:)?')
_IN_BRACKETS = re.compile(r"\{.*\}|\[.*\]")
_KEY = re.compile(r"[A-Za-z_.-]{1,40}")
_LOWER_WORD = re.compile(r"(?<![\w-])[a-z][a-z-]{1,19}(?![\w-])")
_CODE_NAME = re.compile(r"'([a-z_]{2,30})'")
SAYS = frozenset(
    {
        "code",
        "description",
        "detail",
        "error",
        "errorcode",
        "message",
        "msg",
        "reason",
        "title",
        "type",
    }
)
"""Keys in an app's JSON whose texts say what is wrong; others may have a customer's values."""
_ADDRESS = re.compile(r"[^\s@<>]+@[^\s@<>]+")
_WITH_DIGIT = re.compile(r"[^\s,;:()=<>/]*\d[^\s,;()=<>]*")
_REPEATED = re.compile(r"#(?:[\s,./:-]*#)+")
_SPACE = re.compile(r"\s+")
_PLACE = re.compile(r"\w+ at ([a-z][a-z0-9_-]*)\.")
"""The beginning of a cause whose place is an action: its component."""
_LINE = r"[^\n,]+:\d+(?::\d+)?"
_HEAD = re.compile(rf"\w+(?: at .+?)?(?: \(\d+\))?(?P<line>, {_LINE})?(?=: |\Z)", re.S)
"""A cause up to its message; `line` is that of an exception of an author's code."""


def describe_cause(failure: Failure, place: str = "") -> str:
    """Return the cause of a failure in `place`: an action's, a step's or a flow's name."""
    where = f" at {place}" if place else ""
    status = f" ({failure.status})" if failure.status is not None else ""
    is_ours = failure.status is not None or hasattr(errors, failure.kind)
    line = "" if is_ours or not re.fullmatch(_LINE, failure.where) else f", {failure.where}"
    of_author = is_builtin_error(failure.kind) or failure.kind == TimedOut.__name__
    message = normalise_message(failure.message, of_python=of_author)
    return f"{failure.kind}{where}{status}{line}" + (f": {message}" if message else "")


def normalise_message(message: str, *, of_python: bool = False) -> str:
    """Return a message's first line with `…` for URLs and quoted values, `#` for ids and numbers.

    Of an error `of_python`, quoted lower-case names are the author's own, and stay.
    """
    line = _URL.sub("…", message.strip().partition("\n")[0][:2_000])
    if (json := _JSON.search(line)) is not None:
        line = f"{_without_values(line[: json.start()])}{'; '.join(_sentences(json[0])) or '…'}"
    else:
        line = _without_values(line, of_python=of_python)
    return _SPACE.sub(" ", line).strip()[:LONGEST_MESSAGE]


def _without_values(text: str, *, of_python: bool = False) -> str:
    def quoted(found: re.Match[str]) -> str:
        return found[0] if of_python and _CODE_NAME.fullmatch(found[0]) else "…"

    text = _IN_BRACKETS.sub("…", _QUOTED.sub(quoted, text))
    return _REPEATED.sub("#", _WITH_DIGIT.sub("#", _ADDRESS.sub("…", text)))


def _sentences(json: str) -> Iterator[str]:
    """Yield once each text of an app's JSON, which may be cut off, that says what is wrong."""
    key, seen = "", set[str]()
    for text, colon in _JSON_STRING.findall(json):
        if colon:
            key = text if _KEY.fullmatch(text) else "#"
            continue
        text = text.replace('\\"', '"')
        if key.replace("_", "").lower() not in SAYS and len(_LOWER_WORD.findall(text)) < 2:
            continue
        said = f"{key}: {_without_values(text)}"
        if said not in seen:
            seen.add(said)
            yield said


def cause_text(failure: Failure) -> str:
    """Return the cause of a recorded failure; those of 0.1.0 have none of their own."""
    return failure.cause or describe_cause(failure)


def public_cause(failure: Failure) -> str:
    """Return the cause of a failure without its message, which may have a customer's values."""
    head = _HEAD.match(cause_text(failure))
    return failure.kind if head is None else head[0]


def cause_mark(failure: Failure) -> str:
    """Return the mark of a failure's cause: 12 hexadecimal digits, of which 6 are the public mark."""
    text = cause_text(failure)
    head = _HEAD.match(text)
    whole = text if head is None or head["line"] is None else head[0]
    return _digest(public_cause(failure)) + _digest(whole)


def _digest(text: str) -> str:
    data = text.encode("utf-8", "backslashreplace")
    return blake2b(data, digest_size=MARK_BYTES // 2).hexdigest()


class FailureMarks(NamedTuple):
    """The marks of a failure that the stores index; all are None of what did not fail.

    `component` is that of the action which failed.
    """

    cause: str | None = None
    status: int | None = None
    failure_kind: str | None = None
    component: str | None = None


NO_FAILURE = FailureMarks()


def mark_of(outcome: Outcome) -> FailureMarks:
    """Return what the stores index of an outcome."""
    failure = outcome.failure
    if outcome.state != "failed" or failure is None:
        return NO_FAILURE
    place = _PLACE.match(cause_text(failure))
    kind = failure.kind.encode("utf-8", "backslashreplace").decode()
    return FailureMarks(cause_mark(failure), failure.status, kind, place and place[1])
