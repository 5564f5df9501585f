"""Polling: a listener for apps that can only be asked, page by page, what is new since a cursor."""

from __future__ import annotations

import random
from base64 import b64encode
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import blake2b

from halflap.errors import DefinitionError
from halflap.sdk import codec
from halflap.sdk.listener import MOST_CURSOR, Batch, Listening, Message

MOST_SEEN = 10_000
"""The most messages of an overlap that are known to be seen; older ones are known by their ids alone."""
MARK_BYTES = 6
MARK_LENGTH = MARK_BYTES * 4 // 3
EARLIEST = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class PolledPage:
    """A page of what is new.

    messages: oldest first. Each has an `id`, and a `version` where a changed record keeps its id, if
    pages overlap. cursor: what the next page is asked for with; None leaves it; a `datetime` that is
    yet to come becomes now. more: another page is there at once. skip: they are from before the
    beginning, so they start nothing, and are known then.
    """

    messages: Sequence[Message] = ()
    cursor: str | datetime | None = None
    more: bool = False
    skip: bool = False


@dataclass(frozen=True, slots=True)
class Polling:
    """The question that a poll is to answer.

    cursor: the one of the last page; None on the first run. since: for apps that are asked by time: the
    cursor as a time, less the overlap; on the first run the time of it, or None where everything is to be
    imported. start: `now`, or `earliest` for an initial import.
    """

    cursor: str | None
    since: datetime | None
    start: str

    def newest(self, times: Iterable[str]) -> datetime | None:
        """Return the newest of times that are past, as the next cursor; None where there is none.

        A record that is dated in the future would hide what comes before its time; texts that are no
        times (ISO 8601) are passed over.
        """
        now = datetime.now(UTC)
        read = (time_of(each) for each in times)
        return max((each for each in read if each is not None and each <= now), default=None)


@dataclass(frozen=True, slots=True)
class PollSpec:
    """The declaration of a poll.

    every: the interval while something comes; at_most: the one that it grows to while nothing does. A
    trigger's input `interval` (a `timedelta`, or seconds) takes the place of `every`, and grows to ten
    times itself at most. overlap: how far behind the cursor it is asked again, for what the app shows
    late; an input `overlap` takes its place. pages: the most of one look.
    """

    every: timedelta = timedelta(seconds=30)
    at_most: timedelta = timedelta(minutes=5)
    overlap: timedelta = timedelta(0)
    pages: int = 100

    def __post_init__(self) -> None:
        if not timedelta(0) < self.every <= self.at_most:
            raise DefinitionError("a poll's interval is longer than nothing, and every <= at_most")
        if self.overlap < timedelta(0) or self.pages < 1:
            raise DefinitionError("a poll has an overlap of nothing or more, and at least one page")

    def within(self, interval: object, overlap: object = None) -> PollSpec:
        """Return it with what a customer chose: an interval between a second and a day, an overlap.

        A chosen interval grows to ten times itself at most, while nothing comes.
        """
        found = self
        if (behind := _span(overlap)) is not None:
            found = replace(found, overlap=max(behind, timedelta(0)))
        if (chosen := _span(interval)) is not None:
            every = min(max(chosen, timedelta(seconds=1)), timedelta(days=1))
            found = replace(found, every=every, at_most=max(every, min(self.at_most, every * 10)))
        return found


def _span(value: object) -> timedelta | None:
    """Return a trigger's input as a time: it is one, or a number of seconds."""
    if isinstance(value, int):
        return timedelta(seconds=value)
    return value if isinstance(value, timedelta) else None


Poll = Callable[[Polling], Awaitable[PolledPage]]


@dataclass(slots=True)
class PollCursor:
    """The durable cursor of a poll: the author's, what of the overlap was seen, and when it began."""

    cursor: str | None = None
    seen: dict[str, None] = field(default_factory=dict[str, None])
    began: str | None = None

    @classmethod
    def read(cls, text: str) -> PollCursor:
        """Read it as it was stored."""
        found = codec.decode(text.encode())
        marks = found["seen"]
        each = (marks[at : at + MARK_LENGTH] for at in range(0, len(marks), MARK_LENGTH))
        return cls(found["cursor"], dict.fromkeys(each), found["began"])

    def write(self) -> str:
        """Return it as it is stored: with as many of the last marks as there is room for."""
        stored = {"cursor": self.cursor, "seen": "", "began": self.began}
        room = (MOST_CURSOR - len(codec.encode(stored).decode())) // MARK_LENGTH
        stored["seen"] = "".join([*self.seen][max(len(self.seen) - max(room, 0), 0) :])
        return codec.encode(stored).decode()

    def question(self, start: str, overlap: timedelta) -> Polling:
        """Return what the next page is asked for with."""
        since = time_of(self.began if self.cursor is None else self.cursor)
        if since is not None:
            since -= min(overlap, since - EARLIEST)
        return Polling(self.cursor, since, start)

    def take(self, page: PolledPage) -> list[Message]:
        """Go on to a page's cursor; return those of its messages that were not seen."""
        if isinstance(page.cursor, datetime):
            self.cursor = min(page.cursor.astimezone(UTC), datetime.now(UTC)).isoformat()
        elif page.cursor is not None:
            self.cursor = page.cursor
        if page.skip:
            return []
        return [e for e in page.messages if e.identity is None or mark_of(e) not in self.seen]

    def remember(self, seen: Iterable[str], *, whole: bool) -> None:
        """Remember what was seen; of a `whole` look, nothing else: the rest is behind the overlap."""
        known = [*seen] if whole else [*self.seen, *seen]
        self.seen = dict.fromkeys(known[-MOST_SEEN:])


async def polled(listening: Listening, spec: PollSpec, poll: Poll) -> AsyncGenerator[Batch]:
    """Ask again and again, and yield what is new, with the cursor behind it."""
    if listening.cursor is not None:
        known = PollCursor.read(listening.cursor)
    else:
        known = PollCursor()
        if listening.start in ("now", "latest"):
            known.began = datetime.now(UTC).isoformat()
            yield Batch(cursor=known.write())  # a crash before the first page misses nothing
    pause = spec.every
    while True:
        found, seen = 0, list[str]()
        for number in range(spec.pages):
            before, overlap = known.cursor, timedelta(0) if number else spec.overlap
            page = await poll(known.question(listening.start, overlap))
            listening.beat()
            new = known.take(page)
            found += len(new)
            if spec.overlap:
                seen += [mark_of(each) for each in page.messages if each.identity is not None]
                known.remember(seen, whole=not page.more)
            if new or page.skip or known.cursor != before:
                for batch in Batch(new, cursor=known.write()).parts():
                    yield batch
            if not page.more:
                break
        pause = spec.every if found else min(pause * 2, spec.at_most)
        await listening.rest(pause.total_seconds() * (0.9 + random.random() / 5))  # noqa: S311


def mark_of(message: Message) -> str:
    """Return the mark by which a message of the overlap is known again: its id and version."""
    text = (message.identity or "").encode("utf-8", "replace")
    return b64encode(blake2b(text, digest_size=MARK_BYTES).digest()).decode()


def time_of(cursor: str | None) -> datetime | None:
    """Return a cursor as a time in UTC, which it is where it names no zone; None where it is none."""
    if cursor is None:
        return None
    try:
        found = datetime.fromisoformat(cursor)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
