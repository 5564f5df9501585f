"""The protocol between server and worker: a length, and so much JSON.

A message is a list that begins with its name. A Decimal is an object whose one key no text can hold,
half a surrogate pair; everything else is JSON's own, so that integers, floats and Decimals arrive as
what they were, with every digit. Whoever reads looks at the length first.

    server            worker
                      ready
    run               printed text line, asks calls, done result, failed how
    answers           as to run
    end
"""

from __future__ import annotations

import json
import struct
from decimal import Decimal, InvalidOperation
from typing import Any, cast

MAX_DEPTH = 256
MAX_DIGITS = 500
"""As the journal's codec has them."""

HEADER = struct.Struct(">I")
DECIMAL = "\ud800"


def pack(*message: object) -> bytes:
    """A message as it is sent. `TypeError` or `ValueError` where something in it is no data."""
    text = json.dumps(message, separators=(",", ":"), allow_nan=False, default=_tagged)
    return HEADER.pack(len(text)) + text.encode()


def unpack(text: bytes | bytearray) -> list[Any]:
    """The message of such a text. Raises `ValueError` for whatever else it is."""
    try:
        message = json.loads(text, object_hook=_untagged)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if isinstance(message, list):
        return cast("list[Any]", message)
    raise ValueError("no message")


def fits(number: Decimal) -> bool:
    """Return whether it is a number, and not of so many digits that it is an attack."""
    return (
        number.is_finite()
        and abs(number.adjusted()) < MAX_DIGITS
        and len(str(number)) <= MAX_DIGITS + 16  # sign, point and exponent
    )


def _tagged(value: object) -> dict[str, str]:
    if isinstance(value, Decimal) and fits(value):
        return {DECIMAL: str(value)}
    raise TypeError(f"a {type(value).__name__} has no JSON")


def _untagged(fields: dict[str, Any]) -> Any:
    if DECIMAL not in fields:
        return fields
    try:
        number = Decimal(fields[DECIMAL])
    except (InvalidOperation, TypeError) as error:
        raise ValueError("no number") from error
    if not fits(number):
        raise ValueError("no number")
    return number
