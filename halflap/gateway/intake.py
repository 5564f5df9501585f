"""What a trigger's declared functions say of a request: its parts, its identity, what is kept.

They are an author's code and run before the answer, so one that raises decides nothing: a request
that cannot be cut is one event, and an event whose id cannot be read has no duplicate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import structlog

from halflap.errors import HalflapError, InvalidEvent, Rejected
from halflap.model import Dedupe
from halflap.sdk import codec
from halflap.sdk.request import Request
from halflap.sdk.trigger import Declaration

log = structlog.get_logger("halflap.gateway")

T = TypeVar("T")


def pick(function: Callable[[Request], T], request: Request) -> T | None:
    """What a declared function says; None where the request is not of the shape that it reads."""
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
    """What a declared function says, as text: an id may well be a number."""
    found = pick(function, request) if function is not None else None
    return None if found is None else str(found)


def wanted(filter: Callable[[Request], Any] | None, request: Request) -> bool:
    """Whether a flow wants a request; one that its filter cannot read is kept, to be seen."""
    if filter is None:
        return True
    found = pick(lambda request: bool(filter(request)), request)
    return found is None or found


def cut(split: Callable[[Request], Sequence[Any]] | None, request: Request) -> list[Request]:
    """The request's events, each as a request with its part of the body."""
    parts = pick(split, request) if split is not None else None
    if parts is None:
        return [request]
    try:
        bodies = [each if isinstance(each, bytes) else codec.encode(each) for each in parts]
    except (TypeError, ValueError, HalflapError):
        log.exception("what a trigger split a request into is not JSON")
        return [request]
    return [with_body(request, body, number) for number, body in enumerate(bodies)]


def with_body(request: Request, body: bytes, part: int = 0) -> Request:
    """The same request with another body."""
    return Request(
        method=request.method,
        path=request.path,
        query=request.query,
        headers=request.headers,
        body=body,
        url=request.url,
        received_at=request.received_at,
        part=part,
    )


def dedupe_of(declared: Declaration, part: Request, whole: Request) -> Dedupe | None:
    """The delivery's identity; a part that has none of its own is known by its place in the whole."""
    if declared.dedupe is None:
        return None
    key = said(declared.dedupe, part)
    if not key:
        return None
    if part is not whole and key == said(declared.dedupe, whole):
        key = f"{key}#{part.part}"
    return Dedupe(key, int(declared.dedupe_for.total_seconds() * 1e6))


def kept(body: bytes, pointers: Sequence[str]) -> bytes:
    """The body cut down to some of its fields; one that is no JSON is kept as it came."""
    try:
        whole = codec.decode(body)
    except ValueError:
        return body
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
