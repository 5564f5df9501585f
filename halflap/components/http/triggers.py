"""Triggers of HTTP: ask an API what is new, wait for its answer, or listen to its stream of events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import blake2b
from itertools import pairwise
from typing import Annotated, Any, Literal, cast

from pydantic import Field

from halflap import (
    Batch,
    DefinitionError,
    InvalidEvent,
    Json,
    Listening,
    Message,
    Model,
    PolledPage,
    Polling,
    Request,
    Response,
    UpstreamError,
)
from halflap.components.http.connection import Http, Params, Path, component

MOST_PAGES = 20
MOST_LISTED = 10_000
"""The most items of a list that is compared as a whole."""
RETRY_SECONDS = 3.0
SHORTEST_RETRY = 1.0
LONGEST_RETRY = 300.0
STEADY_SECONDS = 30.0
"""Seconds after which a connection without events was no failed one: the next follows as usual."""
MOST_EVENT = 4 * 1024 * 1024
MOST_ID = 1_000
"""The most characters of an id; a longer one is passed over, as one with NUL is."""
READ_BYTES = 64 * 1024
PROBLEM = 1.0
"""Seconds between two requests where a long poll answers at once that there is nothing."""

POINTER = r"^(/[^/]+)*$"
Items = Annotated[
    str,
    Field(
        pattern=POINTER,
        description="Where the list stands in the answer: `/data/items`; empty where it is the whole.",
    ),
]
ItemId = Annotated[
    str, Field(pattern=POINTER, description="Where an item's id stands in the item: `/id`.")
]
Next = Annotated[
    str,
    Field(
        pattern=POINTER,
        description="Where the address of the next page stands in the answer: `/links/next`; the "
        "header `Link` is followed without it.",
    ),
]
Since = Annotated[
    str, Field(description="The parameter that takes the time, or the cursor, to ask from.")
]
Cursor = Annotated[
    str,
    Field(pattern=POINTER, description="Where the next cursor stands in the answer: `/next`."),
]


@component.trigger(methods=(), title="Poll")
async def poll(
    request: Request,
    path: Path,
    items: Items = "",
    id: ItemId = "/id",
    updated_at: Annotated[
        str,
        Field(
            pattern=POINTER,
            description="Where the time of its last change stands in an item: `/updated_at`.",
        ),
    ] = "",
    since: Since = "",
    cursor: Cursor = "",
    next: Next = "",
    params: Params | None = None,
    interval: Annotated[
        int, Field(ge=1, le=86_400, description="Seconds between two looks, while something comes.")
    ] = 60,
    overlap: Annotated[
        int,
        Field(
            ge=1,
            le=86_400,
            description="Seconds behind the newest `updated_at` from which it is asked again.",
        ),
    ] = 60,
    start: Annotated[
        Literal["now", "earliest"],
        Field(description="Where a first look begins: `earliest` imports what is there."),
    ] = "now",
) -> Json:
    """An item that is new at an API, or has changed: one event each.

    `items` is where the list stands in the answer, `id` where an item's id stands in it.
    What is new is told in one of three ways. With `updated_at`, the time of an item's last change, the
    parameter named by `since` asks for what has changed from a time on. With `cursor`, where the answer
    has its next cursor, `since` takes that. With neither, the whole list is read, and compared; it may
    have 10,000 items.
    Pages follow each other by the `Link` header (`rel="next"`), or by the address that the answer has at
    `next`. By `updated_at`, it is asked from `overlap` seconds before the newest time on; what the API
    shows later than that is missed.
    It is asked every `interval` seconds, and less often while nothing comes: up to ten times that, or
    five minutes.
    """
    return request.json()


@poll.poll(
    overlap=timedelta(minutes=1),
    at_most=timedelta(minutes=5),
    tuning=["params"],
)
async def _(
    connection: Http,
    polling: Polling,
    path: str,
    items: str,
    id: str,
    updated_at: str,
    since: str,
    cursor: str,
    next: str,
    params: Mapping[str, Any] | None,
) -> PolledPage:
    asked = dict(params or {})
    first = polling.cursor is None and polling.start in ("now", "latest")
    if cursor:
        skips, _, known = (polling.cursor or "").partition(":")
        if known and since:
            asked[since] = known
        response = await connection.request("GET", path, params=asked)
        body = await response.salvaged(items)
        found, then = listed(body, items), found_at(body, cursor)
        skip = first or skips == "skip"
        more = then is not None and str(then) != known and bool(found)
        moved = known if then is None else str(then)
        marked = f"{'skip' if skip and more else 'at'}:{moved}"
        messages = [message(each, id, "") for each in found]
        return PolledPage(messages, cursor=marked, more=more, skip=skip)
    if updated_at and since and polling.since is not None:
        asked[since] = polling.since.isoformat().replace("+00:00", "Z")

    def following(response: Response) -> str | None:
        address = found_at(response.json(), next)
        return None if address is None else str(address)

    count = 0

    async def salvaged(response: Response) -> Any:
        nonlocal count
        count += 1
        return await response.salvaged(items)

    pages = connection.pages(
        path,
        params=asked,
        items=lambda body: listed(body, items),
        read=salvaged,
        next=following if next else None,
        most=MOST_PAGES + 1,
    )
    found = [each async for each in pages]
    is_cut = count > MOST_PAGES
    messages = [message(each, id, updated_at) for each in found]
    if not updated_at:
        # of more, those of before would be taken for new ones
        if is_cut or len(found) > MOST_LISTED:
            most = f"{MOST_PAGES} pages" if is_cut else f"{MOST_LISTED:,} that can be compared"
            raise DefinitionError(
                f"{path} lists {len(found):,} items, more than the {most}: "
                "tell it with updated_at or cursor to ask for what is new"
            )
        return PolledPage(messages, cursor="read", skip=first)
    times = [str(found_at(each, updated_at)) for each in found]
    newest = polling.newest(times)
    if is_cut and not goes_on(polling, times):
        raise DefinitionError(
            f"{path} has more than {MOST_PAGES} pages of what changed since "
            f"{asked.get(since, 'the beginning')}, and not the oldest first, so the rest cannot be asked "
            f"for: have the API sort by {updated_at.removeprefix('/')}, ascending (params), or give more "
            "on a page"
        )
    return PolledPage(messages, cursor=newest, more=is_cut)


def goes_on(polling: Polling, times: Sequence[str]) -> bool:
    """Return whether asking from the newest of some times on gives what follows them."""
    known = [each for each in (polling.newest([text]) for text in times) if each is not None]
    if not known or (polling.since is not None and known[-1] <= polling.since):
        return False
    return all(before <= after for before, after in pairwise(known))


@component.trigger(methods=(), title="Long poll")
async def long_poll(
    request: Request,
    path: Path,
    cursor: Cursor,
    since: Since = "cursor",
    items: Items = "",
    id: Annotated[
        str,
        Field(
            pattern=POINTER,
            description="Where an item's id stands in the item, where items may come twice.",
        ),
    ] = "",
    params: Params | None = None,
    seconds: Annotated[
        int,
        Field(ge=1, le=600, description="Seconds that an answer may take until it is asked anew."),
    ] = 60,
) -> Json:
    """An item of an API that answers once there is something new: one event each.

    `cursor` is where the answer has its next cursor, which the parameter `since` takes. An answer that
    takes longer than `seconds` is waited for anew.
    """
    return request.json()


@long_poll.listen(tuning=["seconds", "params"], patience=timedelta(minutes=15))
async def _(
    connection: Http,
    listening: Listening,
    path: str,
    cursor: str,
    since: str,
    items: str,
    id: str,
    params: Mapping[str, Any] | None,
    seconds: int,
) -> AsyncGenerator[Batch]:
    known, most = listening.cursor, connection.limits.response_bytes
    while True:
        await listening.credit(READ_BYTES)
        asked = {**(params or {}), **({since: known} if known is not None else {})}
        whole = bytearray()
        try:
            async with (
                asyncio.timeout(seconds),
                connection.stream("GET", path, params=asked) as answer,
            ):
                async for each in answer:
                    whole += each
                    if len(whole) > most:
                        raise UpstreamError(f"the answer has more than {most:,} bytes")
        except TimeoutError:
            continue
        response = Response(answer.status, answer.headers, bytes(whole), answer.url)
        body = await response.salvaged(items) if whole else None
        found, next, before = listed(body, items), found_at(body, cursor), known
        known = known if next is None else str(next)
        messages = [message(each, id, "") if id else Message(each) for each in found]
        if messages or known != listening.cursor:
            for batch in Batch(messages, cursor=known).parts():
                yield batch
        if not messages or known == before:  # it did not wait, or would say the same again
            await listening.rest(PROBLEM)


class ServerEvent(Model):
    """An event of a stream (`text/event-stream`); `data` is JSON where it can be read as that."""

    type: str
    id: str
    data: Any


@component.trigger(methods=(), title="Event stream")
async def events(
    request: Request,
    path: Path,
    types: Annotated[
        list[str] | None, Field(description="The types of events that are wanted; all without it.")
    ] = None,
    params: Params | None = None,
) -> ServerEvent:
    """An event that an API streams (Server-Sent Events); of some `types`, where they are given.

    After a break it asks for what followed the last event's id. Of a stream without ids, what was
    sent meanwhile is lost.
    """
    try:
        data = request.json()
    except InvalidEvent:
        data = request.text
    return ServerEvent(
        type=request.headers.get("event", "message"),
        id=request.headers.get("last-event-id", ""),
        data=data,
    )


@events.listen(tuning=["types"], patience=timedelta(minutes=5))
async def _(
    connection: Http,
    listening: Listening,
    path: str,
    types: list[str] | None,
    params: Mapping[str, Any] | None,
) -> AsyncGenerator[Batch]:
    parser, clock, idle = EventParser(listening.cursor or ""), asyncio.get_running_loop().time, 0
    while True:
        began, heard = clock(), False
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if parser.last_id:
            headers["Last-Event-ID"] = parser.last_id
        await listening.credit(READ_BYTES)
        async with connection.stream("GET", path, params=params, headers=headers) as answer:
            if answer.status == 204:  # the server says that it is not to be asked again
                await listening.rest(LONGEST_RETRY)
                continue
            parser.begin()
            async for batch in batches(parser, answer, listening, types):
                heard = True
                yield batch
        idle = 0 if heard or clock() - began > STEADY_SECONDS else min(idle + 1, 10)
        await listening.rest(min(parser.retry * 2 ** max(idle - 1, 0), LONGEST_RETRY))


async def batches(
    parser: EventParser, answer: AsyncIterable[bytes], listening: Listening, types: list[str] | None
) -> AsyncGenerator[Batch]:
    """Yield the events of a stream until it breaks off, those of each piece together."""
    chunks = aiter(answer)
    while True:
        try:
            chunk = await anext(chunks)
        except (StopAsyncIteration, UpstreamError):  # streams end; it is asked again
            return
        listening.beat()
        found = parser.feed(chunk)
        messages = [
            Message(
                each.data.encode(),
                (("event", each.type), ("last-event-id", each.id)),
                each.id if each.is_named and each.id else None,
            )
            for each in found
            if types is None or each.type in types
        ]
        if found:
            for part in Batch(messages, cursor=parser.last_id or None).parts():
                yield part
            await listening.credit(READ_BYTES)


@dataclass(frozen=True, slots=True)
class StreamedEvent:
    """An event as a stream has it; `is_named` where its id is its own, not that of an earlier one."""

    type: str
    id: str
    data: str
    is_named: bool = False


BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(slots=True)
class EventParser:
    """Reads `text/event-stream` from pieces, as the HTML standard says (9.2.6)."""

    last_id: str = ""
    retry: float = RETRY_SECONDS
    _left: bytearray = field(default_factory=bytearray)
    _data: bytearray = field(default_factory=bytearray)
    _type: str = ""
    _id: str | None = None
    _is_first: bool = True
    _is_cut: bool = False

    def begin(self) -> None:
        """Begin a new stream: what was not ended of the former is dropped."""
        self._left, self._data, self._type, self._id = bytearray(), bytearray(), "", None
        self._is_first, self._is_cut = True, False

    def feed(self, chunk: bytes) -> list[StreamedEvent]:
        """Return the events that a piece of the stream completes."""
        if self._is_first:
            chunk = bytes(self._left) + chunk
            self._left.clear()
            if len(chunk) < 3 and BYTE_ORDER_MARK.startswith(chunk):
                self._hold(chunk)
                return []
            chunk, self._is_first = chunk.removeprefix(BYTE_ORDER_MARK), False
        if self._is_cut and chunk:  # a CR ended the former piece: this may begin with its LF
            chunk, self._is_cut = chunk.removeprefix(b"\n"), False
        self._is_cut |= chunk.endswith(b"\r")
        first, *lines = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._hold(first)
        found: list[StreamedEvent] = []
        for line in lines:
            found += self._line(bytes(self._left))
            self._left.clear()
            self._hold(line)
        return found

    def _hold(self, part: bytes) -> None:
        """Hold a part of a line that has not ended."""
        self._left += part
        if len(self._left) + len(self._data) > MOST_EVENT:
            raise UpstreamError(f"an event of the stream has more than {MOST_EVENT:,} bytes")

    def _line(self, line: bytes) -> list[StreamedEvent]:
        if not line:
            return self._end()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        match name:
            case b"data":
                self._data += value + b"\n"
            case b"event":
                self._type = value.decode("utf-8", "replace")
            case b"id" if b"\0" not in value and len(value) <= MOST_ID:
                self._id = value.decode("utf-8", "replace")
            case b"retry" if value.isdigit():
                seconds = int(value[:9]) / 1000
                self.retry = min(max(seconds, SHORTEST_RETRY), LONGEST_RETRY)
            case _:
                pass  # a comment, or what a later version adds
        return []

    def _end(self) -> list[StreamedEvent]:
        is_named = self._id is not None
        if self._id is not None:
            self.last_id = self._id
        data, type = self._data, self._type
        self._data, self._type, self._id = bytearray(), "", None
        if not data:
            return []
        text = data[:-1].decode("utf-8", "replace")
        return [StreamedEvent(type or "message", self.last_id, text, is_named)]


def found_at(value: Any, path: str) -> Any:
    """Return what stands at a JSON pointer; None where there is nothing."""
    for token in path.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = cast("dict[str, Any]", value).get(name)
        elif (
            isinstance(value, list) and name.isdigit() and int(name) < len(cast("list[Any]", value))
        ):
            value = cast("list[Any]", value)[int(name)]
        else:
            return None
    return value


def listed(body: Any, items: str) -> list[Any]:
    """Return the items of an answer; `UpstreamError` where there is no list."""
    found = found_at(body, items)
    if found is None:
        return []
    if not isinstance(found, list):
        raise UpstreamError(f"what stands at {items or 'the top'} of the answer is no list")
    return cast("list[Any]", found)


def message(item: Any, id: str, updated_at: str) -> Message:
    """Return an item as a message, known by its id and its last change, or by what it says.

    One that cannot be read is its bytes: its execution fails, and holds up no other.
    """
    key = found_at(item, id) if id else None
    changed = found_at(item, updated_at) if updated_at else None
    digest = blake2b(Message(item).content, digest_size=12).hexdigest()
    version = digest if changed is None else str(changed)
    known = None if key is None or isinstance(key, dict | list) else str(key)
    if known is not None and ("\0" in known or len(known) > MOST_ID):  # no store holds it
        known = None
    return Message(item, id=known or digest, version=version if known else None, key=known)
