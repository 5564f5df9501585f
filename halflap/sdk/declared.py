"""Reads a request with a trigger's and a flow's declared functions, which are an author's code.

They run before there is an answer, so one that raises decides nothing: an event whose id cannot be
read has no id, and one that a filter cannot read is kept, to be seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import structlog

from halflap.errors import InvalidEvent, Rejected
from halflap.sdk import codec
from halflap.sdk.request import Request

log = structlog.get_logger("halflap.gateway")

T = TypeVar("T")


def pick(function: Callable[[Request], T], request: Request) -> T | None:
    """Return a declared function's result; None where the request is not of the shape that it
    reads.
    """
    try:
        return function(request)
    except Rejected:
        raise
    except InvalidEvent:
        return None
    except Exception:
        log.exception("a trigger's declared function raised", function=repr(function))
        return None


def said(function: Callable[[Request], Any] | None, request: Request) -> str | None:
    """Return a declared function's result as text: an id may well be a number."""
    found = pick(function, request) if function is not None else None
    return None if found is None else str(found)


def wanted(filter: Callable[[Request], Any] | None, request: Request) -> bool:
    """Return whether a flow wants a request; one that its filter cannot read is kept, to be seen."""
    if filter is None:
        return True
    found = pick(lambda request: bool(filter(request)), request)
    return found is None or found


def kept(request: Request, pointers: Sequence[str]) -> bytes:
    """Return the body cut down to some of its fields; one that is no JSON stays as it came."""
    try:
        whole = request.json()
    except InvalidEvent:
        return request.body
    result: dict[str, Any] = {}
    for pointer in pointers:
        copy_field(whole, pointer.split("/")[1:], result)
    return codec.encode(result)


def copy_field(source: Any, path: Sequence[str], target: dict[str, Any]) -> None:
    """Copy the field at `path` from one object into another, making what lies between."""
    names = [each.replace("~1", "/").replace("~0", "~") for each in path]
    for place, name in enumerate(names):
        if not isinstance(source, dict) or name not in source:
            return
        source = cast(Any, source[name])
        if place == len(names) - 1:
            target[name] = source
        else:
            target = target.setdefault(name, {})
