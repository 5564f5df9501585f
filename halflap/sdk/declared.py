"""Reads a request with a trigger's and a flow's declared functions, which are an author's code.

They run before there is an answer, so one that raises decides nothing: an event whose id cannot be
read has no id. An event whose filter raises is accepted and marked; the filter is asked again as its
execution runs, which fails where there is still no answer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence, Sized
from dataclasses import replace
from hashlib import blake2b
from typing import Any, TypeVar, cast

import structlog

from halflap.errors import FilterFailed, InvalidEvent, Rejected
from halflap.model import SEALED, Event, Micros
from halflap.sdk import codec
from halflap.sdk.integration import Flow
from halflap.sdk.redact import clean
from halflap.sdk.request import Headers, Request, as_text, pointer
from halflap.sdk.trigger import first_line

log = structlog.get_logger("halflap.gateway")

T = TypeVar("T")

MOST_KEY = 500
"""The most characters of a key that is kept, whatever a sender writes."""


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


def bounded(key: str, most: int = MOST_KEY) -> str:
    """Return a key that an index can hold: a longer one is cut, and told apart by a digest."""
    if len(key) <= most:
        return key
    digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{key[: most - 17]}~{digest}"


def said(function: Callable[[Request], Any] | None, request: Request) -> str | None:
    """Return a declared function's result as text: an id may well be a number."""
    found = pick(function, request) if function is not None else None
    return None if is_nothing(found) else bounded(str(found))


def is_nothing(found: Any) -> bool:
    """Return whether a declared function found no id: none, or an empty text, list or object."""
    return found is None or (not found and isinstance(found, Sized))


def identity(function: Callable[[Request], Any] | None, request: Request) -> str | None:
    """Return a declared function's result as the identity of a delivery: 1 is another than "1"."""
    if isinstance(function, pointer):
        function = function.value
    found = pick(function, request) if function is not None else None
    if is_nothing(found):
        return None
    is_plain = isinstance(found, str) and not found.startswith(NO_TEXT)
    return found if is_plain else f"{NO_TEXT}{as_text(found)}"


NO_TEXT = "\0"
"""The prefix of an identity that is no text; texts that begin with it have it twice."""
FILTERED = "the flow's filter wants nothing of it"
"""The reason of an execution that its filter ignores."""
FILTER_FAILED = "halflap-filter-failed"
"""The header that marks an event whose filter raised: `whole` or `cut`, and why. No sender's is kept."""
WHOLE, CUT = "whole", "cut"
AnyFlow = Flow[Any, Any, Any]


def apply_filter(flow: AnyFlow, request: Request) -> bool:
    """Return whether a flow takes a request; `FilterFailed` where its filter raises."""
    declared = flow.trigger.declaration
    if declared.takes is not None and pick(declared.takes, request) is False:
        return False
    if flow.filter is None or (declared.control is not None and pick(declared.control, request)):
        return True
    try:
        return bool(flow.filter(request))
    except Rejected:
        raise
    except Exception as error:
        kind = type(error).__name__
        # What a filter raises may tell of fields that the flow does not keep.
        because = kind if flow.keep is not None else clean(f"{kind}: {first_line(error)}")[:500]
        failed = FilterFailed(f"the filter of {flow.name} raised {because}")
        raise failed.with_traceback(error.__traceback__) from error


def wants(flow: AnyFlow, request: Request) -> tuple[bool, FilterFailed | None]:
    """Return whether an event is accepted: its flow takes it, or its filter raised, which marks it."""
    try:
        return apply_filter(flow, request), None
    except FilterFailed as failed:
        return True, failed


def sealed_headers(
    headers: Headers, secret: Collection[tuple[str, str]], seal: Callable[[str], str]
) -> tuple[tuple[str, str], ...]:
    """Return headers as they are stored: those that are secret are sealed."""
    if not secret:
        return headers.raw
    return tuple(
        (each[0], SEALED + seal(each[1])) if each in secret else each for each in headers.raw
    )


def as_event(
    request: Request, flow: AnyFlow, at: Micros, headers: tuple[tuple[str, str], ...] | None = None
) -> Event:
    """Return a request as it is stored, with no more of its body than the flow keeps."""
    payload = request.payload
    if payload is not None:
        body = b""
    else:
        body = request.body if flow.keep is None else kept(request, flow.keep)
    return Event(
        method=request.method,
        path=request.path,
        query=request.query,
        headers=request.headers.raw if headers is None else headers,
        body=body,
        received_at=at,
        url=request.url,
        part=request.part,
        large=None if payload is None else payload.blob,
    )


def marked(event: Event, flow: AnyFlow, failed: FilterFailed | None) -> Event:
    """Return an event with the mark of a filter that raised for it, and with no other such mark.

    The mark says whether the event has all that the filter read, so that it can be asked again.
    """
    headers = tuple(each for each in event.headers if each[0].lower() != FILTER_FAILED)
    if failed is not None:
        how = WHOLE if flow.keep is None and event.large is None else CUT
        headers += ((FILTER_FAILED, f"{how} {failed.message}"),)
    return replace(event, headers=headers)


def whole_again(event: Event) -> Event:
    """Return a marked event whose body was written anew: its filter can be asked again."""
    mark = mark_of(event)
    if mark is None:
        return event
    others = tuple(each for each in event.headers if each[0] != FILTER_FAILED)
    mark = f"{WHOLE} {mark.partition(' ')[2]}"
    return replace(event, headers=(*others, (FILTER_FAILED, mark)))


def mark_of(event: Event) -> str | None:
    """Return the mark of an event whose filter raised."""
    return dict(event.headers).get(FILTER_FAILED)


def apply_filter_again(flow: AnyFlow, request: Request, mark: str) -> bool:
    """Return whether a flow takes a request whose filter raised before.

    `FilterFailed` where it raises again, or cannot be asked, as the body is no longer whole.
    """
    how, _, message = mark.partition(" ")
    if how == CUT and flow.filter is not None:
        raise FilterFailed(
            f"{message}, and cannot be asked again, as the whole body is not stored, or is too "
            "large; have the event sent again, or replay it with another body"
        )
    return apply_filter(flow, request)


def kept(request: Request, pointers: Sequence[str]) -> bytes:
    """Return the body cut down to some of its fields; one that is no JSON stays as it came."""
    try:
        whole = request.json()
    except InvalidEvent:
        return request.body
    result: dict[str, Any] = {}
    for path in pointers:
        copy_field(whole, path.split("/")[1:], result)
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
