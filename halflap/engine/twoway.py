"""Two-way, for one execution: is its event news, may its writes be made, what is kept of both.

What it finds of the event is a record of its own, so that an attempt that resumes comes to the same
answer; what it finds at the other app before a write is part of that step.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from halflap.engine.echo import GAVE_WAY, MOST_HOPS, Echo, RecordKnowledge, short
from halflap.engine.protocol import Turn
from halflap.errors import Overruled, UpstreamError
from halflap.model import Micros, Record, StateWrite, a_dict, a_set, event_time
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
    """The partner of a flow with pairs: the pairs, its own side, and that side's connection."""

    pairs: Pairs
    side: str
    connection: Connection


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of a check: `how` is `run`, `echo`, `unchanged`, `superseded`, `gone` or `loop`."""

    how: str
    reason: str = ""
    hops: int = 0
    current: Mapping[str, Any] | None = None
    writer: str = ""
    clears: Sequence[str] = ()
    made_by: str = ""
    wrote: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    written: Mapping[str, str] = field(default_factory=dict[str, str])
    known: bool = False
    paired: bool = False
    other: str = ""


@dataclass(frozen=True, slots=True)
class Meanwhile:
    """Edits at the other app whose events are still to come.

    stands: the fields that are not to be written, with their values there: those that our side has
    not changed, and where that app is the master, all. overruled: those that are written over.
    changes: a write would change a field. idle: the write can be left out.
    """

    stands: Mapping[str, Any] = field(default_factory=dict[str, Any])
    overruled: Mapping[str, Any] = field(default_factory=dict[str, Any])
    changes: bool = False
    idle: bool = False


@dataclass(frozen=True, slots=True)
class Edited:
    """A field that was edited at the other app, where we want to write another value.

    theirs_at: when the event of that edit was accepted, where its execution failed; `GAVE_WAY` where
    it gave way. ours_at: when that of our value was. is_ours: our side has edited it, too. since_try:
    theirs came after an earlier try to write ours, of this execution or of the one that it runs again;
    `None` where none has looked.
    """

    theirs_at: Micros | None
    ours_at: Micros
    is_ours: bool
    since_try: bool | None


@dataclass(slots=True)
class TwoWay:
    """The two-way side of one execution.

    replays: it runs another one again. goes_on: from the step that failed, so it yields to what has
    happened since. at: when its event was accepted, or the one that it runs again. lineage: what
    it runs again. is_behind: it wrote older values than the app of its event has.
    """

    echo: Echo
    replays: bool
    attempt: int
    goes_on: bool = False
    at: Micros = 0
    at_is_known: bool = True
    lineage: frozenset[str] = frozenset()
    partner: Partner | None = None
    ask: Current = ask
    told: RecordState | None = None
    news: CheckResult = CheckResult("run")
    wrote: set[tuple[str, str]] = field(default_factory=a_set)
    is_behind: bool = False
    _known: dict[str, RecordKnowledge] = field(default_factory=a_dict)
    _looked: dict[str, Mapping[str, Any]] = field(default_factory=a_dict)
    _left: dict[str, Mapping[str, Any]] = field(default_factory=a_dict)
    _doubts: dict[str, Sequence[str]] = field(default_factory=a_dict)
    _own: RecordKnowledge | None = None
    """The knowledge of the event's record, as the other app was last looked at."""
    _pending: set[str] = field(default_factory=a_set)
    """The steps of which an earlier try may have written."""

    @classmethod
    def of(cls, turn: Turn) -> TwoWay:
        """That of a turn's execution."""
        start, replay = turn.start, turn.start.replay
        return cls(
            Echo(turn),
            start.replay_of is not None,
            turn.attempt,
            start.replay_of is not None and replay is not None and replay.goes_on,
            event_time(replay, turn.accepted_at),
            start.replay_of is None or (replay is not None and replay.event_at > 0),
            frozenset() if start.replay_of is None else frozenset({start.root, start.replay_of}),
        )

    # The event ------------------------------------------------------------------------------

    async def check(self, told: RecordState) -> dict[str, Any]:
        """Compare an event with what is known of its record; as plain data, for the journal."""
        news = await self._check(told)
        return {name: value for name in CheckResult.__slots__ if (value := getattr(news, name))}

    async def _check(self, told: RecordState) -> CheckResult:
        partner = self._partner_of(told)
        known, paired = await self._knows(told, partner)
        making: dict[str, dict[str, Any]] = {}
        if not known and not paired:
            making = await self.echo.making(told)
            # What was made between two looks is not in `making` any more: then it is known.
            known, paired = await self._knows(told, partner)
        hops = 0 if self.replays else await self.echo.hops(told, making)
        if hops > MOST_HOPS:
            return CheckResult(
                "loop", f"{told}: {hops} writes, each caused by the one before it", hops
            )
        if not known and (step := self.echo.made_by(told, making)):
            maker, made_by = step.partition("/")[0], step if making[step]["over"] else ""
            reason = f"{told} is what {maker} makes"
            by = (step, making[step]["pairs"])
            wrote = dict.fromkeys(told.fields, by) if made_by else {}
            return CheckResult("echo", reason, hops, writer=maker, made_by=made_by, wrote=wrote)
        clears = list(known.pending)
        known = known.as_event_shows(told.fields)
        news = known.news(told.fields) if known else list(told.fields)
        if not news and told.fields and not self.replays:
            writer = known.writer(told.fields) or (known.last if partner is not None else "")
            if writer:
                reason = f"{told} is as {writer} left it"
                wrote = known.came_back(told.fields)
                pair = await self.echo.pair(partner.pairs, told) if partner and wrote else {}
                other = pair.get(partner.pairs.other(partner.side), "") if partner else ""
                return CheckResult(
                    "echo", reason, hops, writer=writer, clears=clears, wrote=wrote, other=other
                )
            if partner is not None:
                return CheckResult(
                    "unchanged", f"{told} is as it was seen before", hops, clears=clears
                )
        written = {name: step for name, step in known.written.items() if name in told.fields}
        run = CheckResult(
            "run", hops=hops, clears=clears, written=written, known=bool(known), paired=paired
        )
        if partner is None:
            return run
        try:
            current = await self.ask(partner.connection, told)
        except NotImplementedError:
            return run
        if current is None:
            return CheckResult("gone", f"{told} is not there any more", hops)
        now = {name: current.get(name) for name in told.fields}
        is_dealt_with = bool(told.fields and known and not known.news(now))
        changed = any(not same(value, told.fields[name]) for name, value in now.items())
        if is_dealt_with and (changed if self.goes_on else not self.replays):
            writer = known.writer(news)
            since = f", as {writer} wrote it" if writer else ""
            lost = told_of({name: told.fields[name] for name in news})
            kept = told_of({name: now[name] for name in news})
            reason = f"{told} {CHANGED}: it has {kept}{since}, no longer {lost}"
            # With all that is known: a replay that has done something already goes on as `run`.
            return replace(run, how="superseded", reason=reason, current=now)
        return replace(run, current=now)

    async def _knows(
        self, told: RecordState, partner: Partner | None
    ) -> tuple[RecordKnowledge, bool]:
        # In this order: what is paired as it is made is known by then.
        paired = bool(partner and await self.echo.pair(partner.pairs, told))
        return await self.echo.known(told), paired

    def found(self, told: RecordState, answer: Mapping[str, Any]) -> CheckResult:
        """Go on from a check, made just now or by an earlier attempt."""
        self.news = CheckResult(**answer)
        self.told = replace(told, fields=self.news.current or told.fields)
        return self.news

    def ended(self) -> list[StateWrite]:
        """Return the writes with an end that has dealt with the event."""
        told, news = self.told, self.news
        if told is None:
            return []
        return [*self._seen(told, news), *self.echo.stale()]

    async def failed(self) -> list[StateWrite]:
        """Return what is stored with a failure: the values that nothing came of."""
        if self.told is None or self._partner_of(self.told) is None:
            return []
        known = await self.echo.known(self.told)
        return [self.echo.failed(self.told, known.as_event_shows(self.told.fields), self.at)]

    def _seen(self, told: RecordState, news: CheckResult) -> list[StateWrite]:
        if news.how == "echo" and (news.clears or news.made_by):
            kept = [self.echo.came_back(told, news.clears, news.wrote)]
            if news.made_by:
                kept.append(self.echo.made(told, news.made_by))
            if news.other and self.partner is not None:  # the value that was written is dealt with
                pairs, side = self.partner.pairs, self.partner.pairs.other(self.partner.side)
                source = replace(pairs.record(side, news.other), fields=told.fields)
                kept.append(self.echo.came_back(source, (), news.wrote))
            return kept
        ours = any(record == told.name for record, _ in self.wrote)
        if news.how != "run" or not (news.known or ours or self._partner_of(told)):
            return []
        others = {n: v for n, v in told.fields.items() if (told.name, n) not in self.wrote}
        seen = replace(told, fields={} if self.is_behind else others)
        return [self.echo.seen(seen, news.clears, news.written)]

    # Its writes -----------------------------------------------------------------------------

    def is_others(self, asked: RecordState) -> bool:
        """Return whether what is to be written is a record of the other side, and is there already.

        A replay from the start yields to later events that failed, and to nothing else; one of version
        0.1.0 to nothing at all.
        """
        if not self.at_is_known or self.partner is None or not asked.id or not asked.fields:
            return False
        pairs, side = self.partner.pairs, self.partner.side
        return pairs.side_of(asked.component, asked.kind) == pairs.other(side)

    async def before(self, asked: RecordState, path: str, *, again: bool) -> list[StateWrite]:
        """Return the writes before the call; `again` says that it was tried before."""
        if (again or self.attempt > 1) and await self.echo.is_pending(asked, path):
            self._pending.add(path)
        if self.is_others(asked):
            # With what an earlier try may have written, and before this one says that it may.
            self._known[path] = await self.echo.dealt_with(asked)
        return self.echo.before(asked, path, self.news.hops)

    async def meanwhile(self, asked: RecordState, path: str, connection: Connection) -> Meanwhile:
        """Return the edits at the other app since we last knew, whose event is still to come."""
        assert self.partner is not None
        known = self._known[path]
        try:
            current = await self.ask(connection, asked)
        except NotImplementedError:
            current = None
        if current is None:
            return Meanwhile()
        step = f"{self.echo.execution}/{path}"
        tries = (step, *(f"{each}/{path}" for each in self.lineage))
        first = next((known.before[each] for each in tries if each in known.before), None)
        if step not in known.before:
            there = {n: short(current[n]) for n in asked.fields if n in current}
            self._looked[path] = there if first is None else first
        besides = known.without(step, self.lineage)
        shown = known.as_event_shows(current)
        edits: dict[str, Any] = {}
        stands: dict[str, Any] = {}
        changes = False
        for name, value in asked.fields.items():
            there = current.get(name)
            if name in current and same(there, value):
                continue
            if name not in {*current} & {*known.fields} or not shown.is_edit(name, there):
                changes = True
            else:
                edits[name] = there
        own = RecordKnowledge()
        if edits and self.told is not None:
            own = (await self.echo.known(self.told)).as_event_shows(self.told.fields)
        self._own = own
        for name, there in edits.items():
            value = asked.fields[name]
            edit = Edited(
                theirs_at=known.failed_at(name, there),
                ours_at=own.failed_at(name, value) or self.at,
                is_ours=besides.is_new(name, value) or name in own.failed,
                since_try=not same(first[name], short(there)) if first and name in first else None,
            )
            if self._stands(edit, self.partner):
                stands[name] = there
        overruled = {name: there for name, there in edits.items() if name not in stands}
        changes = changes or bool(overruled)
        self._left[path] = {n: v for n, v in asked.fields.items() if n not in stands}
        self._doubts[path] = known.written_over(self._left[path], besides=self.echo.execution)
        # What an earlier try may have written is ours, so this one has to end well, and say so.
        again = step in known.pending
        return Meanwhile(stands, overruled, changes, bool(stands) and not changes and not again)

    async def look_back(self, asked: RecordState, path: str, connection: Connection) -> None:
        """Look what is left of a write that a person found done: the rest was edited since."""
        if not self.is_others(asked):
            return
        try:
            current = await self.ask(connection, asked) or {}
        except NotImplementedError:
            return
        self._left[path] = {n: v for n, v in asked.fields.items() if same(current.get(n, v), v)}

    def _stands(self, edit: Edited, partner: Partner) -> bool:
        """Return whether an edit at the other app stands, and is not written over."""
        if self.replays and not self.goes_on and not edit.theirs_at:
            return False  # who replays from the start wants it written
        if not edit.is_ours:
            return True
        if edit.theirs_at == GAVE_WAY:
            return False
        pairs, side = partner.pairs, partner.side
        if pairs.master == pairs.other(side):
            return True
        if edit.theirs_at is not None:  # nothing came of it yet: it gives way to the master
            return pairs.master is None and edit.theirs_at > edit.ours_at
        # Its event is to come, or none will: it is later than an earlier try, or than what is replayed.
        return self.goes_on if edit.since_try is None else edit.since_try

    def tried(self, asked: RecordState, path: str, *, undone: bool) -> list[StateWrite]:
        """Return the writes with a try that is followed by another one; `undone` as in `refused`."""
        undone = self._is_undone(path, undone)
        return [*self._look(asked, path), *([self.echo.withdraw(asked, path)] if undone else [])]

    async def after(self, asked: RecordState, writes: Writes, record: Record) -> list[StateWrite]:
        """Return the writes with the call's result."""
        asked = replace(asked, fields=self._left.get(record.path, asked.fields))
        saved = self.recalled(asked, writes, record)
        first = record.path not in self._pending
        doubts = self._doubts.get(record.path, ())
        kept = self.echo.after(
            asked,
            saved,
            record.path,
            self.news.hops,
            first=first,
            doubts=doubts,
            looks=self._known[record.path].before if record.path in self._known else (),
        )
        return [*kept, *await self._pairing(asked, saved)]

    def recalled(self, asked: RecordState, writes: Writes, record: Record) -> RecordState:
        """A write that was made: what it wrote is ours, whatever the event said."""
        saved = saved_as(asked, writes, record.result)
        self.wrote |= {(saved.name, name) for name in asked.fields}
        return saved

    def refused(
        self, asked: RecordState, path: str, error: Exception, *, undone: bool
    ) -> list[StateWrite]:
        """Return the writes with a final failure; `undone` says that its last try surely did nothing.

        With one that gave way, what the event told does so: else it would stand against the other app's
        edit once that one's event comes, and both would give way.
        """
        definite = self._is_undone(path, undone)
        gone = self.echo.refused(asked, path, self.news.hops, definite=definite)
        if not isinstance(error, Overruled) or path not in self._left:
            return [*self._look(asked, path), *gone]
        agreed = replace(asked, fields=self._left[path])  # where both have it, the write is done
        wrote = dict.fromkeys(agreed.fields, (f"{self.echo.execution}/{path}", self.echo.pairs))
        dealt_with = [*gone, self.echo.came_back(agreed, (), wrote)]
        own, told = self._own, self.told
        if own is not None and told is not None and self._partner_of(told) is not None:
            both = {n: v for n, v in told.fields.items() if n in agreed.fields}
            both = {n: v for n, v in both.items() if same(v, agreed.fields[n])}
            rest = {n: v for n, v in told.fields.items() if n not in both}
            dealt_with += [
                self.echo.seen(replace(told, fields=both), (), self.news.written),
                self.echo.gave_way(replace(told, fields=rest), own),
            ]
        return dealt_with

    def lost(self, asked: RecordState, error: Exception, instance: str) -> str:
        """Return what to do where the paired record that a write names is not there; else nothing."""
        partner = self.partner
        is_absent = isinstance(error, UpstreamError) and error.status == 404
        if partner is None or not asked.id or not is_absent:
            return ""
        if partner.pairs.side_of(asked.component, asked.kind) != partner.pairs.other(partner.side):
            return ""
        return (
            f"{asked} is not there, and each edit fails while it is paired: the flow may catch the 404 "
            f"and ctx.unpair, or: halflap instances pairs {instance} --id {asked.id} --forget"
        )

    def _look(self, asked: RecordState, path: str) -> list[StateWrite]:
        """Keep what the first try of a step found, for the next one and for a replay."""
        there = self._looked.get(path)
        if there is None:
            return []
        return [self.echo.looked(asked, path, there, self._known[path].before)]

    def _is_undone(self, path: str, undone: bool) -> bool:
        """Return whether no try of a step can have done anything, the last one included."""
        return undone and path not in self._pending

    async def _pairing(self, asked: RecordState, saved: RecordState) -> list[StateWrite]:
        """Pair what a flow made at the other app with the record that its event tells of."""
        partner = self.partner
        if partner is None or self.told is None or self.news.paired or asked.id or not saved.id:
            return []
        pairs, other = partner.pairs, partner.pairs.other(partner.side)
        is_other = pairs.side_of(saved.component, saved.kind) == other
        if not is_other or self._partner_of(self.told) is None:
            return []
        # The flow may have paired its record itself, or made another one before; and an app that makes
        # no second one may have given one that is paired already.
        found = [await self.echo.pair(pairs, each) for each in (self.told, saved)]
        if any(found) or self.news.paired:
            return []
        ids = {partner.side: self.told.id, other: saved.id}
        self.news = replace(self.news, paired=True)
        return [replace(each, expect=None) for each in self.echo.pairing(pairs, ids)]

    def part(self, pairs: Pairs) -> None:
        """Note that the flow has unpaired a record: what it makes next may be paired again."""
        if self.partner is not None and self.partner.pairs is pairs:
            self.news = replace(self.news, paired=False)

    def _partner_of(self, told: RecordState) -> Partner | None:
        partner = self.partner
        if partner is None or partner.pairs.side_of(told.component, told.kind) != partner.side:
            return None
        return partner


MOST_SHOWN = 60
"""The most characters of a field's value that a reason shows."""


CHANGED, EDITED = "has changed since", "was edited meanwhile"
"""The words, in reasons and log lines, between the name of a record and its values."""
_VALUES = re.compile(f"({CHANGED}|{EDITED}): .*", re.DOTALL)


def without_values(text: str) -> str:
    """Return a reason or a log line without the values of a record that was compared."""
    return _VALUES.sub(r"\1", text)


def told_of(fields: Mapping[str, Any]) -> str:
    """Return fields with the beginnings of their values, for a message."""
    texts = {name: codec.encode(value).decode() for name, value in fields.items()}
    return ", ".join(
        f"{name} {text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + '…'}"
        for name, text in texts.items()
    )


def inputs_of(record: RecordState) -> bytes:
    """Return the inputs of a check, for the journal."""
    return codec.encode({"record": record.name, "fields": dict(record.fields)}, sort=True)
