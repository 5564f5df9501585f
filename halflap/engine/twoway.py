"""Two-way, for one execution: is its event news, may its writes be made, what is kept of both.

What needs a record of its own (`check`, `standing`) the recorder runs as steps, so that an attempt
that resumes comes to the same answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from halflap.engine.echo import MOST_HOPS, Echo
from halflap.engine.protocol import Turn
from halflap.errors import UpstreamError
from halflap.model import Record, StateWrite
from halflap.sdk import codec
from halflap.sdk.connection import Connection
from halflap.sdk.pairs import Pairs, RecordState, Writes, same, saved_as

Current = Callable[[Connection, RecordState], Awaitable[Mapping[str, Any] | None]]
"""Asks an app for a record as it is now (see `Connection.current`)."""


async def ask(connection: Connection, record: RecordState) -> Mapping[str, Any] | None:
    """Ask the app of a connection."""
    return await connection.current(record.kind, record.id, tuple(record.fields))


@dataclass(frozen=True, slots=True)
class Partner:
    """What a flow with pairs is part of: the pairs, its own side, and that side's connection."""

    pairs: Pairs
    side: str
    connection: Connection


@dataclass(frozen=True, slots=True)
class News:
    """What a check found: `how` is `run`, `echo`, `unchanged`, `superseded`, `gone` or `loop`."""

    how: str
    reason: str = ""
    hops: int = 0
    current: Mapping[str, Any] | None = None
    clears: Sequence[str] = ()
    paired: bool = False


@dataclass(slots=True)
class TwoWay:
    """The two-way side of one execution."""

    echo: Echo
    replays: bool
    partner: Partner | None = None
    ask: Current = ask
    told: RecordState | None = None
    news: News = News("run")
    wrote: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])

    @classmethod
    def of(cls, turn: Turn) -> TwoWay:
        """That of a turn's execution."""
        return cls(Echo(turn), turn.start.replay_of is not None)

    # The event ------------------------------------------------------------------------------

    async def check(self, told: RecordState) -> dict[str, Any]:
        """Compare an event with what is known of its record; as plain data, for the journal."""
        news = await self._check(told)
        return {name: value for name in News.__slots__ if (value := getattr(news, name))}

    async def _check(self, told: RecordState) -> News:
        known = await self.echo.known(told)
        hops = 0 if self.replays else await self.echo.hops(told)
        clears = list(known.pending)
        partner = self._partner_of(told)
        paired = bool(partner and await self.echo.pair(partner.pairs, told))
        if hops > MOST_HOPS:
            return News("loop", f"{told}: {hops} writes, each caused by the one before it", hops)
        news = known.news(told.fields) if known else list(told.fields)
        if not known and not paired and (maker := await self.echo.made_by(told)):
            return News("echo", f"{told} is what {maker} makes", hops)
        if not news and told.fields and not self.replays:
            writer = known.writer(told.fields)
            if writer:
                return News("echo", f"{told} is as {writer} wrote it", hops, clears=clears)
            if partner is not None:
                return News("unchanged", f"{told} is as it was seen before", hops, clears=clears)
        if partner is None:
            return News("run", hops=hops, clears=clears)
        try:
            current = await self.ask(partner.connection, told)
        except NotImplementedError:
            return News("run", hops=hops, clears=clears, paired=paired)
        if current is None:
            return News("gone", f"{told} is not there any more", hops)
        now = {name: current.get(name) for name in told.fields}
        if told.fields and not self.replays and known and not known.news(now):
            writer = known.writer(news)
            since = f", as {writer} wrote it" if writer else ""
            lost = "; ".join(f"{n} is {now[n]!r}{since}, not {told.fields[n]!r}" for n in news)
            return News("superseded", f"{told} has changed since: {lost}", hops, clears=clears)
        return News("run", hops=hops, current=now, clears=clears, paired=paired)

    def found(self, told: RecordState, answer: Mapping[str, Any]) -> News:
        """Go on from a check, made just now or by an earlier attempt."""
        self.news = News(**answer)
        self.told = replace(told, fields=self.news.current or told.fields)
        return self.news

    def ended(self) -> list[StateWrite]:
        """What is kept with an end that has dealt with the event."""
        if self.told is None or self.news.how in ("gone", "loop"):
            return []
        if self.news.how == "run":
            if self._partner_of(self.told) is None and not self.news.clears and not self.wrote:
                return []
            return [self._seen(self.told)]
        return [self._seen(replace(self.told, fields={}))] if self.news.clears else []

    def _seen(self, told: RecordState) -> StateWrite:
        ours = [name for name in told.fields if (told.name, name) in self.wrote]
        return self.echo.seen(told, self.news.clears, ours)

    # Its writes -----------------------------------------------------------------------------

    def is_masters(self, asked: RecordState) -> bool:
        """Whether a record is the other side's, and that side is the master."""
        if self.partner is None or not asked.id or not asked.fields:
            return False
        side = self.partner.pairs.side_of(asked.component, asked.kind)
        return side is not None and side == self.partner.pairs.master and side != self.partner.side

    async def standing(self, asked: RecordState, connection: Connection) -> dict[str, Any]:
        """The fields that were edited at the master meanwhile, with their values there."""
        known = await self.echo.known(asked)
        try:
            current = await self.ask(connection, asked)
        except NotImplementedError:
            return {}
        return {
            name: current[name]
            for name, value in asked.fields.items()
            if current is not None
            and name in current
            and name in known.fields
            and known.is_new(name, current[name])
            and not same(current[name], value)
        }

    def before(self, asked: RecordState, path: str) -> list[StateWrite]:
        """What is on disk before the call."""
        return self.echo.before(asked, path, self.news.hops)

    async def after(self, asked: RecordState, writes: Writes, record: Record) -> list[StateWrite]:
        """What is kept with the call's result."""
        saved = self.recalled(asked, writes, record)
        kept = self.echo.after(asked, saved, record.path, self.news.hops)
        return [*kept, *await self._pairing(asked, saved)]

    def recalled(self, asked: RecordState, writes: Writes, record: Record) -> RecordState:
        """A write that was made: what it wrote is ours, whatever the event said."""
        saved = saved_as(asked, writes, record.result)
        self.wrote |= {(saved.name, name) for name in asked.fields}
        return saved

    def refused(self, asked: RecordState, path: str, error: Exception) -> list[StateWrite]:
        """What is kept with a final failure."""
        status = error.status if isinstance(error, UpstreamError) else None
        definite = isinstance(error, ValueError) or (status is not None and 400 <= status < 500)
        return self.echo.refused(asked, path, self.news.hops, definite=definite)

    async def _pairing(self, asked: RecordState, saved: RecordState) -> list[StateWrite]:
        """Pair what a flow made at the other app with the record that its event tells of."""
        partner = self.partner
        if partner is None or self.told is None or self.news.paired or asked.id or not saved.id:
            return []
        pairs, other = partner.pairs, partner.pairs.other(partner.side)
        is_other = pairs.side_of(saved.component, saved.kind) == other
        if not is_other or self._partner_of(self.told) is None:
            return []
        if await self.echo.pair(pairs, saved):
            return []  # an app that makes no second one has given one that is paired already
        ids = {partner.side: self.told.id, other: saved.id}
        self.news = replace(self.news, paired=True)
        return [replace(each, expect=None) for each in self.echo.pairing(pairs, ids)]

    def _partner_of(self, told: RecordState) -> Partner | None:
        partner = self.partner
        if partner is None or partner.pairs.side_of(told.component, told.kind) != partner.side:
            return None
        return partner


def inputs_of(record: RecordState) -> bytes:
    """What a check is about, for the journal."""
    return codec.encode({"record": record.name, "fields": dict(record.fields)}, sort=True)
