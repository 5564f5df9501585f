"""Reads a folder from a cursor on: what is new, mail by mail, then what comes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal, Self

from halflap import Batch, Listening, Message
from halflap.components.email.message import identity_of
from halflap.components.imap.session import FetchedMail, ImapSession, RefusedCommand, day_of

Then = Literal["keep", "seen", "move", "delete"]

TOO_LARGE = "imap-size"
"""The header of a message that has only a mail's headers, with the size of the whole."""
AT_ONCE = 50
"""The most mails of a batch."""
BATCH_BYTES = 2_000_000
MOST_HEADERS = 256 * 1024
INEXACT = 64 * 1024
"""The bytes by which a small mail may be larger than its server says; of a large one, twice as large."""
PAUSE_SECONDS = 0.1
"""The pause after a look that found nothing, however often the server says that there is something."""
IDLE_SECONDS = 600.0
"""Seconds until IDLE is renewed: servers may end it after 29 minutes, and routers forget it earlier."""
OVERLAP = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class FolderCursor:
    """A folder's cursor: its validity, the last mail that was read, the last that was marked, the day.

    Where the server numbers the mails anew, they are read from the day before on, known by their ids.
    """

    validity: int
    uid: int
    marked: int
    day: str

    @classmethod
    def read(cls, text: str) -> Self:
        """Read it as it was stored."""
        validity, uid, marked, day = text.split(":")
        return cls(int(validity), int(uid), int(marked), day)

    def write(self) -> str:
        """Return it as it is stored."""
        return f"{self.validity}:{self.uid}:{self.marked}:{self.day}"


class FolderReader:
    """One run of a listener over a folder."""

    def __init__(
        self,
        session: ImapSession,
        listening: Listening,
        folder: str,
        then: Then,
        move_to: str | None,
        interval: int,
        most_bytes: int,
    ) -> None:
        self._session = session
        self._listening = listening
        self._folder = folder
        self._then: Then = then
        self._move_to = move_to
        self._interval = interval
        self._most = most_bytes
        self._cursor = FolderCursor(0, 0, 0, "")

    async def batches(self) -> AsyncGenerator[Batch]:
        """Yield what is new, and then what comes, until the connection ends."""
        selected = await self._session.select(self._folder, writes=self._then != "keep")
        stored = self._listening.cursor
        since = ""
        if stored is None:
            top = 0 if self._listening.start == "earliest" else await self._session.top()
            self._cursor = FolderCursor(selected.validity, top, top, today())
            yield Batch(cursor=self._cursor.write())
        else:
            self._cursor = FolderCursor.read(stored)
            if self._cursor.validity != selected.validity:
                since = await self._renumbered(selected.validity)
            elif self._cursor.marked < self._cursor.uid:
                await self._mark_again()
        while True:
            top, before = await self._session.top(), self._cursor.uid
            async for batch in self._new(top, since):
                yield batch
            since = ""
            if self._cursor.day != today():
                self._cursor = replace(self._cursor, day=today())
                yield Batch(cursor=self._cursor.write())
            await self._wait()
            if self._cursor.uid == before:
                await self._listening.rest(PAUSE_SECONDS)

    async def _renumbered(self, validity: int) -> str:
        """Record that the mails have other numbers; return by what those since then are searched."""
        before = self._cursor
        await self._listening.gap(
            f"the server has numbered the mails of {self._folder} anew (UIDVALIDITY {before.validity}, "
            f"now {validity}); what came since {before.day} is read again"
        )
        day = datetime.fromisoformat(before.day) - OVERLAP
        self._cursor = FolderCursor(validity, 0, 0, before.day)
        return f" SINCE {day_of(day)}"

    async def _new(self, top: int, more: str) -> AsyncGenerator[Batch]:
        """Yield the mails up to a number that were not read yet."""
        while found := await self._session.search(self._cursor.uid, top, more):
            for at in range(0, len(found), AT_ONCE):
                part = found[at : at + AT_ONCE]
                facts = await self._session.fetch(part, "RFC822.SIZE INTERNALDATE")
                messages: list[Message] = []
                size = 0
                for uid in part:
                    if uid in facts:
                        mail = facts[uid]
                        messages.append(await self._fetched(mail))
                        size += len(messages[-1].content)
                    if messages and (size > BATCH_BYTES or uid == part[-1]):
                        yield self._batch(messages, uid)
                        messages, size = [], 0
                if messages or self._cursor.uid < part[-1]:  # the last were gone
                    yield self._batch(messages, part[-1])
        if self._cursor.uid < top:
            yield self._batch([], top)

    def _batch(self, messages: Sequence[Message], uid: int) -> Batch:
        """Return a batch that ends with a mail."""
        before = self._cursor
        self._cursor = replace(before, uid=uid, marked=before.uid, day=today())
        marks = self._then != "keep" and bool(messages)
        uids = [int(dict(each.headers)["imap-uid"]) for each in messages] if marks else []

        async def mark() -> None:
            await self._session.mark(uids, self._then, self._move_to)

        return Batch(messages, self._cursor.write(), mark if marks else None)

    async def _mark_again(self) -> None:
        """Mark what was accepted last: a crash may have come first."""
        if self._then != "keep":
            there = await self._session.search(self._cursor.marked, self._cursor.uid)
            await self._session.mark(there, self._then, self._move_to)

    async def _fetched(self, mail: FetchedMail) -> Message:
        """Fetch a mail; of one that is too large, the headers."""
        is_large = mail.size > self._most
        most = MOST_HEADERS if is_large else min(2 * mail.size + INEXACT, self._most)
        await self._listening.credit(most)
        items = "BODY.PEEK[HEADER]" if is_large else "BODY.PEEK[]"
        found = (await self._session.fetch([mail.uid], items, most)).get(mail.uid)
        content = (found.content if found is not None else None) or b""
        at = mail.received_at or datetime.now(UTC)
        headers = [
            ("content-type", "message/rfc822"),
            ("imap-folder", self._folder.encode("ascii", "xmlcharrefreplace").decode()),
            ("imap-uid", str(mail.uid)),
            ("imap-received-at", at.isoformat()),
        ]
        if is_large:
            headers.append((TOO_LARGE, str(mail.size)))
        id = identity_of(content) if not is_large else None
        return Message(content, headers, id or f"{self._cursor.validity}/{mail.uid}", at=at)

    async def _wait(self) -> None:
        """Wait until something may have come."""
        if "IDLE" in self._session.capabilities:
            await self._listening.rest(0)
            try:
                await self._session.idle(IDLE_SECONDS)
                return
            except RefusedCommand:
                self._session.capabilities -= {"IDLE"}
        await self._listening.rest(self._interval)
        await self._session.command("NOOP")


def today() -> str:
    """Return the day by which mails are searched."""
    return datetime.now(UTC).date().isoformat()
