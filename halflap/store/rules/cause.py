"""The cause of a failure: a text without ids, numbers, quoted values and URLs, by which failures group.

`UpstreamError at acme.create_account (503): the app answered #`: the error's class, the action, step
or flow in which it was raised, the HTTP status of the call, and the first line of its message. The
mark of a cause is a short hash of that text: what the stores index and `--cause` takes.
"""

from __future__ import annotations

import re
from hashlib import blake2b

from halflap.model import Failure, Outcome

LONGEST_MESSAGE = 160
"""The most characters that a cause has of a normalised message."""
MARK_BYTES = 6

_URL = re.compile(r"\b[a-zA-Z][a-zA-Z0-9+.-]*://\S+")
_QUOTED = re.compile(
    r"""(?<!\w)'(?:[^'\\]|\\.)*'(?!\w)|"(?:[^"\\]|\\.)*"|`[^`]*`|“[^”]*”|«[^»]*»"""
)
_JSON = re.compile(r"\{.*\}|\[.*\]")
_ADDRESS = re.compile(r"[^\s@<>]+@[^\s@<>]+")
_WITH_DIGIT = re.compile(r"[^\s,;:()=<>/]*\d[^\s,;()=<>]*")
_REPEATED = re.compile(r"#(?:[\s,./:-]*#)+")
_SPACE = re.compile(r"\s+")


def describe_cause(failure: Failure, place: str = "") -> str:
    """Return the cause of a failure in `place`: an action's, a step's or a flow's name."""
    where = f" at {place}" if place else ""
    status = f" ({failure.status})" if failure.status is not None else ""
    message = normalise_message(failure.message)
    return f"{failure.kind}{where}{status}" + (f": {message}" if message else "")


def normalise_message(message: str) -> str:
    """Return a message's first line with `…` for URLs and quoted values, `#` for ids and numbers."""
    line = message.strip().partition("\n")[0][:2_000]
    line = _URL.sub("…", line)
    line = _QUOTED.sub("…", line)
    line = _JSON.sub("…", line)
    line = _ADDRESS.sub("…", line)
    line = _REPEATED.sub("#", _WITH_DIGIT.sub("#", line))
    return _SPACE.sub(" ", line).strip()[:LONGEST_MESSAGE]


def cause_text(failure: Failure) -> str:
    """Return the cause of a recorded failure; those of 0.1.0 have none of their own."""
    return failure.cause or describe_cause(failure)


def cause_mark(failure: Failure) -> str:
    """Return the mark of a failure's cause: 12 hexadecimal digits."""
    text = cause_text(failure).encode("utf-8", "backslashreplace")
    return blake2b(text, digest_size=MARK_BYTES).hexdigest()


def mark_of(outcome: Outcome) -> tuple[str | None, int | None]:
    """Return what the stores index of an outcome: the mark of its cause, and the HTTP status.

    Both are None unless it failed.
    """
    if outcome.state != "failed" or outcome.failure is None:
        return None, None
    return cause_mark(outcome.failure), outcome.failure.status
