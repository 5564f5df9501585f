"""Check an expression's value: true or false, a text, a list; or an error that says so."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

from halflap.errors import ExpressionError
from halflap.lowcode.expressions.error import described
from halflap.lowcode.expressions.number import simple
from halflap.lowcode.expressions.value import is_number
from halflap.sdk.duration import duration
from halflap.sdk.schema import UNSET


def as_truth(found: Any, what: str) -> bool:
    """A condition; null counts as false, anything but true and false is an error."""
    if found is UNSET or found is None:
        return False
    if isinstance(found, bool):
        return found
    raise wrong(found, what, "true or false; compare it with something, or use $boolean()")


def as_text(found: Any, what: str) -> str:
    """A text, or a number as one."""
    if isinstance(found, str):
        return found
    if isinstance(found, bool) or found is None or isinstance(found, dict | list):
        raise wrong(cast(Any, found), what, "a text; use $string()")
    return str(found)


def as_items(found: Any, what: str) -> list[Any]:
    """A list; null is none, and one value is a list of it."""
    if found is None:
        return []
    return cast("list[Any]", found) if isinstance(found, list) else [found]


def as_scalar(found: Any, what: str) -> Any:
    """Return a value that selects a case: no list and no object."""
    if isinstance(found, dict | list):
        raise wrong(cast(Any, found), what, "a text, a number, true or false")
    return found


def as_status(found: Any, what: str) -> int:
    """The status of an HTTP answer."""
    number = simple(found) if is_number(found) else None
    if not isinstance(number, int) or not 200 <= number <= 599:
        raise wrong(found, what, "a status from 200 to 599")
    return number


def as_duration(found: Any, what: str) -> timedelta:
    """Return a time, of a text such as `2 h` or of seconds."""
    try:
        return duration(found)
    except ValueError as error:
        raise ExpressionError(str(error)) from error


def wrong(found: Any, what: str, wanted: str) -> ExpressionError:
    """The error of a value that does not fit."""
    return ExpressionError(f"{what} is {described(found)}, and has to be {wanted}")
