"""Echoes: telling an event that a write of ours caused from somebody's edit.

The state keeps, beside what authors put there:

`records:<instance>`, by record: each field's last value that we wrote (`=price` → value, step, pairs
of its flow), the last one that a flow was told since (`@<pairs>/<flow>=price` → value, step that had
written before), the writes under way (`~<execution>/<path>` → pairs, fields), what the first try of a
step that has not written yet found there (`?<execution>/<path>` → fields), who wrote last (`!`), and the
values that nothing came of, since their execution failed (`^price` → value, when it was accepted) or gave
way to the other app's edit (`^price` → value, 0).
`making:<customer>:<component>/<kind>`, by step: records that are being made, whose id is not known yet.
`writes:<customer>`, by record: the last write of any instance, and how many hops led to it.
`pairs:<instance>:<name>`, by record: the ids of the pair, the same bytes under both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Decimal
from decimal import Context as Arithmetic
from itertools import islice
from typing import Any, cast

from halflap.engine.protocol import Turn
from halflap.errors import RetryLater
from halflap.model import MISSING, Micros, StateWrite
from halflap.sdk import codec
from halflap.sdk.pairs import Pairs, RecordState, pairs_scope, same

MOST_HOPS = 10
"""The number of our own writes that may cause one another before it is taken for a loop."""
MAKING_LASTS: Micros = 120_000_000
"""The time for which an event of an unknown record waits for a step that may be making it."""
MAKING_KNOWN: Micros = 86_400_000_000
"""The time for which a step that may have made a record is taken for the maker of one that is as it
wrote it.
"""
LOOKS = 20
"""The number of failed steps of which a record keeps what their first try found."""
STALE_AT_ONCE = 100
"""The number of older steps that one execution removes."""
LONG = 200
"""The most characters of a text that are stored as they are."""
LONG_JSON = 4 * 1024
"""The most bytes of an object or an array that are."""
DIGEST = "sha256:"
"""The beginning of what stands for a long value; a text of an app that begins so counts as long."""
MOST_FIELDS = 1_000
"""The most fields of a record that are compared: the others are news, whatever they say."""
MOST_BYTES = 4 * 1024 * 1024
"""The most bytes of the knowledge of a record: of what is larger, the older half is forgotten."""
EXACT = Arithmetic(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)
CHECK = "$check"
"""The step that compares an event with what is known."""
GAVE_WAY: Micros = 0
"""In the place of when a value was accepted: its execution gave way to an edit at the other app."""
SOON, LATER, LATEST = timedelta(milliseconds=100), timedelta(seconds=5), timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class RecordKnowledge:
    """A flow's knowledge of a record.

    fields: values, and the execution of ours that wrote them, empty where they were only seen; no
    value where flows of other pairs wrote since. pending: the fields of writes whose answer is not
    known, by step. before: what the app had as the first try of a step looked that failed, by step. last:
    the execution that wrote last, where nothing new was told since. written: the step that wrote a
    field last. pairs: those of the flow of a pending step. failed: values of events whose execution
    failed, and when these were accepted, or that gave way.
    """

    fields: Mapping[str, tuple[Sequence[Any], str]] = field(
        default_factory=dict[str, tuple[Sequence[Any], str]]
    )
    pending: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    before: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    last: str = ""
    written: Mapping[str, str] = field(default_factory=dict[str, str])
    pairs: Mapping[str, str] = field(default_factory=dict[str, str])
    failed: Mapping[str, tuple[Any, Micros]] = field(default_factory=dict[str, tuple[Any, Micros]])

    def __bool__(self) -> bool:
        return bool(self.fields or self.pending)

    def is_new(self, name: str, value: Any) -> bool:
        """Return whether a field's value is neither the known one nor one that we may have written."""
        known = [each[name] for each in self.pending.values() if name in each]
        if name in self.fields:
            known += self.fields[name][0]
        return not any(alike(each, value) for each in known)

    def as_event_shows(self, fields: Mapping[str, Any]) -> RecordKnowledge:
        """Return what is known without the pending writes that an event speaks against.

        A write changes all its fields at once. Where one of them still has the value from before,
        somebody else wrote the others.
        """
        ours = {
            step: each
            for step, each in self.pending.items()
            if not any(
                name in fields and not alike(value, fields[name]) and self._is_old(name, fields)
                for name, value in each.items()
            )
        }
        return replace(self, pending=ours)

    def _is_old(self, name: str, fields: Mapping[str, Any]) -> bool:
        old = self.fields[name][0] if name in self.fields else ()
        return any(alike(each, fields[name]) for each in old)

    def is_edit(self, name: str, value: Any) -> bool:
        """Return whether a value is new, or the field was edited and nothing came of it.

        Then it has that edit's value, or is back at a value from before.
        """
        return name in self.failed or self.is_new(name, value)

    def failed_at(self, name: str, value: Any) -> Micros | None:
        """Return when the event with a field's value was accepted, where its execution failed."""
        known, at = self.failed.get(name, (None, None))
        return at if at is not None and alike(known, value) else None

    def came_back(self, fields: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
        """The fields whose values a pending step wrote: that step, and its pairs."""
        return {
            name: (step, self.pairs[step])
            for step, each in self.pending.items()
            for name, value in fields.items()
            if name in each and alike(each[name], value)
        }

    def written_over(self, fields: Mapping[str, Any], *, besides: str) -> list[str]:
        """The steps of other executions in doubt that may have written these fields, and no others.

        Of what they wrote nothing is left once these are written, and an event that still tells of it
        is one that comes late.
        """
        return [
            step
            for step, each in self.pending.items()
            if each.keys() <= fields.keys() and step.partition("/")[0] != besides
        ]

    def without(self, step: str, executions: Collection[str]) -> RecordKnowledge:
        """Return the knowledge besides what a step's earlier tries, or some executions, may have
        written.
        """
        others = {s: e for s, e in self.pending.items() if s.partition("/")[0] not in executions}
        return replace(self, pending={s: each for s, each in others.items() if s != step})

    def news(self, fields: Mapping[str, Any]) -> list[str]:
        """The fields whose values are new."""
        return [name for name, value in fields.items() if self.is_edit(name, value)]

    def writer(self, fields: Iterable[str]) -> str:
        """The execution of ours that wrote one of these fields, empty where none did."""
        for name in fields:
            if name in self.fields and self.fields[name][1]:
                return self.fields[name][1]
            for step, each in self.pending.items():
                if name in each:
                    return step.partition("/")[0]
        return ""


class Echo:
    """The echo check of one execution: what it reads and writes; the recorder calls its steps.

    `pairs` are those of its flow, by name, where it has some. What flows of other pairs write is an
    edit for it: it has to reach the other app of its own pairs as well.
    """

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        start = turn.start
        self.execution = start.execution
        self._instance = start.flow.instance
        self._customer = start.flow.customer
        self._records = f"records:{start.flow.instance}"
        self._writes = f"writes:{start.flow.customer}"
        self._flow = start.flow.flow
        self._stale: list[StateWrite] = []
        self._too_much: dict[str, Iterable[str]] = {}
        self.pairs = ""

    # An event -------------------------------------------------------------------------------

    async def known(self, record: RecordState) -> RecordKnowledge:
        """Return the flow's knowledge of its event's record."""
        return await self._known(record, f"@{self.pairs}/{self._flow}=")

    async def dealt_with(self, record: RecordState) -> RecordKnowledge:
        """Return the knowledge of a record of the flows with the same pairs, whichever of them got
        it.
        """
        return await self._known(record, f"@{self.pairs}/")

    async def making(self, told: RecordState) -> dict[str, dict[str, Any]]:
        """The steps, of any instance, that make records of a kind and do not know their id yet."""
        scope = self._making(told)
        found = {s: parsed(row) for s, row in (await self._turn.list_state(scope)).items()}
        oldest = self._turn.now() - MAKING_KNOWN
        stale = [step for step, each in found.items() if each["at"] <= oldest]
        self._stale = [StateWrite(scope, step, None) for step in stale[:STALE_AT_ONCE]]
        return {step: each for step, each in found.items() if each["at"] > oldest}

    async def hops(self, told: RecordState, making: Mapping[str, Mapping[str, Any]]) -> int:
        """Return the number of our writes, one causing the next, that led to an event; 0 for a
        person's edit.
        """
        row = parsed(await self._turn.read_state(self._writes, told.name))
        rows = [row] if row else list(making.values())
        caused = [int(each["hops"]) + 1 for each in rows if covers(told.fields, each["fields"])]
        return max(caused, default=0)

    def made_by(self, told: RecordState, making: Mapping[str, Mapping[str, Any]]) -> str:
        """The step that makes, or may have made, a record which an event tells of; empty for none.

        Raises `RetryLater` where one that is under way may: its answer will say. One that wrote what
        the event tells is waited for until it is over: what the event tells besides may be an edit.
        """
        ours = {
            step: each
            for step, each in making.items()
            if each["instance"] == self._instance and self._is_ours(each["pairs"])
        }
        makers = [step for step, each in ours.items() if covers(told.fields, each["fields"])]
        whole = (step for step in makers if told.fields.keys() <= ours[step]["fields"].keys())
        if step := next(whole, ""):
            return step
        now, accepted = self._turn.now(), self._turn.accepted_at
        checks = [each.started_at for each in self._turn.history if each.path == CHECK]
        waited = now - min(checks, default=now)
        live = {step: each for step, each in ours.items() if not each["over"]}
        # What was accepted later made no record that has an event already.
        likely = [
            step
            for step, each in live.items()
            if each["at"] > now - MAKING_LASTS and each["accepted"] <= accepted
        ]
        if (likely and waited < MAKING_LASTS) or any(step in live for step in makers):
            longest = LATER if waited < MAKING_LASTS else LATEST
            raise RetryLater(
                min(max(SOON, timedelta(microseconds=waited // 4)), longest),
                f"{told} is not known yet, and another execution is making a {told.kind}",
            )
        return makers[0] if makers else ""

    def made(self, told: RecordState, step: str) -> StateWrite:
        """A step whose answer never came has made what an event tells of: it makes nothing more."""
        return StateWrite(self._making(told), step, None)

    def stale(self) -> list[StateWrite]:
        """Take away the steps that were found, and are too long ago."""
        return self._stale

    def seen(
        self, told: RecordState, clears: Iterable[str], written: Mapping[str, str]
    ) -> StateWrite:
        """Keep what an event told this flow, who had written it, and that nothing is pending."""
        told_by = f"@{self.pairs}/{self._flow}="
        fields = {f"{told_by}{n}": [v, written.get(n, "")] for n, v in kept(told.fields).items()}
        gone = {"!": None, **{f"^{name}": None for name in told.fields}}
        return self._merged(told, {**fields, **{f"~{step}": None for step in clears}, **gone})

    def failed(self, told: RecordState, known: RecordKnowledge, at: Micros) -> StateWrite:
        """Store the values that nothing came of, with when their event was accepted."""
        news = {n: told.fields[n] for n in known.news(told.fields)}
        new = {n for n, v in news.items() if known.failed_at(n, v) is None}
        later = {n for n in new if known.failed.get(n, (None, 0))[1] <= at}
        return self._merged(told, {f"^{n}": [v, at] for n, v in kept(news).items() if n in later})

    def gave_way(self, told: RecordState, known: RecordKnowledge) -> StateWrite:
        """Store that the news of an event gave way: an edit of theirs at the other app stands."""
        news = {n: told.fields[n] for n in known.news(told.fields)}
        return self._merged(told, {f"^{n}": [v, GAVE_WAY] for n, v in kept(news).items()})

    def came_back(
        self, told: RecordState, clears: Iterable[str], wrote: Mapping[str, Sequence[str]]
    ) -> StateWrite:
        """Keep that steps wrote what an event told, though they never heard so."""
        fields = {f"={n}": [v, *wrote[n]] for n, v in kept(told.fields).items() if n in wrote}
        gone = [f"^{name}" for name in wrote] + [f"~{step}" for step in clears]
        return self._merged(told, {**fields, **dict.fromkeys(gone)})

    # A write --------------------------------------------------------------------------------

    def before(self, asked: RecordState, path: str, hops: int) -> list[StateWrite]:
        """Return the writes before the call, so that its echo is known whenever it comes."""
        if not asked.id:
            return [self._make(asked, path, hops, over=False)]
        pending = self._merged(
            asked, {f"~{self.execution}/{path}": [self.pairs, kept(asked.fields)]}
        )
        return [pending, self._last_write(asked, hops)]

    def looked(
        self, asked: RecordState, path: str, there: Mapping[str, Any], earlier: Iterable[str]
    ) -> StateWrite:
        """Keep what an app had as the first try looked, and of `earlier` steps the latest."""
        gone = dict.fromkeys(f"?{step}" for step in sorted(earlier)[:-LOOKS])
        return self._merged(asked, {**gone, f"?{self.execution}/{path}": dict(there)})

    def after(
        self,
        asked: RecordState,
        saved: RecordState,
        path: str,
        hops: int,
        *,
        first: bool,
        doubts: Iterable[str] = (),
        looks: Iterable[str] = (),
    ) -> list[StateWrite]:
        """Return the writes with the call's result.

        `first` says that it was the first try; the steps `doubts` are over, whatever they did, and
        what the steps `looks` found is of no use any more.
        """
        writes: list[StateWrite] = []
        if not asked.id:
            writes.append(StateWrite(self._making(asked), f"{self.execution}/{path}", None))
        if saved.id:
            # The answer may tell somebody's edit, whose event is still to come: of another field,
            # and where this is not the first try to make a record, of any.
            ours = {
                name: value
                for name, value in saved.fields.items()
                if (first and not asked.id)
                or (name in asked.fields and (asked.id or same(value, asked.fields[name])))
            }
            step = f"{self.execution}/{path}"
            fields = {f"={n}": [v, step, self.pairs] for n, v in kept(ours).items()}
            over = {f"~{each}": None for each in (step, *doubts)}
            over |= {f"?{each}": None for each in looks}
            done = {**over, **{f"^{n}": None for n in ours}, "!": self.execution}
            writes += [self._merged(saved, {**fields, **done}), self._last_write(saved, hops)]
        return writes

    async def is_pending(self, asked: RecordState, path: str) -> bool:
        """Return whether an earlier try of a step may have written."""
        step = f"{self.execution}/{path}"
        if asked.id:
            return f"~{step}" in parsed(await self._turn.read_state(self._records, asked.name))
        return bool(parsed(await self._turn.read_state(self._making(asked), step)))

    def withdraw(self, asked: RecordState, path: str) -> StateWrite:
        """Keep no more that a step may have written: its request surely was not carried out."""
        step = f"{self.execution}/{path}"
        if asked.id:
            return self._merged(asked, {f"~{step}": None})
        return StateWrite(self._making(asked), step, None)

    def refused(
        self, asked: RecordState, path: str, hops: int, *, definite: bool
    ) -> list[StateWrite]:
        """Return the writes with a final failure: the call did nothing, or its effect is unknown."""
        if definite:
            return [self.withdraw(asked, path)]
        return [] if asked.id else [self._make(asked, path, hops, over=True)]

    # Pairs ----------------------------------------------------------------------------------

    async def pair(self, pairs: Pairs, record: RecordState) -> dict[str, str]:
        """The ids of a record's pair by side, empty where it has none."""
        found = await self._turn.read_state(pairs_scope(self._instance, pairs), record.name)
        return cast("dict[str, str]", parsed(found))

    def pairing(self, pairs: Pairs, ids: Mapping[str, str]) -> list[StateWrite]:
        """Pair two records; a conflict where one is paired already."""
        value = pairs.encoded(ids)
        scope = pairs_scope(self._instance, pairs)
        return [
            StateWrite(scope, pairs.record(side, ids[side]).name, value, MISSING, orders=True)
            for side in pairs.sides
        ]

    def parting(self, pairs: Pairs, ids: Mapping[str, str]) -> list[StateWrite]:
        """Pair two records no more."""
        scope = pairs_scope(self._instance, pairs)
        return [StateWrite(scope, pairs.record(s, i).name, None) for s, i in ids.items()]

    # Inside ---------------------------------------------------------------------------------

    async def _known(self, record: RecordState, told: str) -> RecordKnowledge:
        stored = await self._turn.read_state(self._records, record.name)
        row = parsed(stored)
        if stored is not None and len(stored) > MOST_BYTES:
            self._too_much[record.name] = list(row)[: len(row) // 2]
        written = {name[1:]: held for name, held in row.items() if name[0] == "="}
        fields: dict[str, tuple[list[Any], str]] = {}
        for name, (value, step, pairs) in written.items():
            ours = self._is_ours(pairs)
            fields[name] = ([value], step.partition("/")[0]) if ours else ([], "")
        pending = {name[1:]: held for name, held in row.items() if name[0] == "~"}
        mine = {step: held for step, held in pending.items() if self._is_ours(held[0])}
        return RecordKnowledge(
            {**fields, **self._seen(row, told)},
            {step: held[1] for step, held in mine.items()},
            {name[1:]: held for name, held in row.items() if name[0] == "?"},
            row.get("!", ""),
            {name: held[1] for name, held in written.items()},
            {step: held[0] for step, held in mine.items()},
            {name[1:]: (held[0], held[1]) for name, held in row.items() if name[0] == "^"},
        )

    def _seen(self, row: Mapping[str, Any], told: str) -> dict[str, tuple[list[Any], str]]:
        """Return the values that stand: nothing was written since, or flows of other pairs wrote
        the same.
        """
        fields: dict[str, tuple[list[Any], str]] = {}
        for key, held in row.items():
            if key.startswith(told):
                name = key.partition("=")[2]
                value, after = held
                wrote, step, pairs = row.get(f"={name}", (None, "", ""))
                if step == after or (not self._is_ours(pairs) and same(wrote, value)):
                    fields.setdefault(name, ([], ""))[0].append(value)
        return fields

    def _is_ours(self, pairs: str) -> bool:
        """Return whether a write of the flows with these pairs is our own, of which nothing is
        news.
        """
        return not self.pairs or pairs in ("", self.pairs)

    def _making(self, record: RecordState) -> str:
        return f"making:{self._customer}:{record.component}/{record.kind}"

    def _make(self, asked: RecordState, path: str, hops: int, *, over: bool) -> StateWrite:
        value = {
            "fields": kept(asked.fields),
            "hops": hops,
            "instance": self._instance,
            "pairs": self.pairs,
            "accepted": self._turn.accepted_at,
            "at": self._turn.now(),
            "over": over,
        }
        return StateWrite(self._making(asked), f"{self.execution}/{path}", codec.encode(value))

    def _merged(self, record: RecordState, members: Mapping[str, Any]) -> StateWrite:
        gone = dict.fromkeys(self._too_much.pop(record.name, ()))
        value = codec.encode({**gone, **members})
        return StateWrite(self._records, record.name, value, merge=True)

    def _last_write(self, record: RecordState, hops: int) -> StateWrite:
        value = {"fields": kept(record.fields), "hops": hops, "execution": self.execution}
        return StateWrite(self._writes, record.name, codec.encode(value))


def covers(told: Mapping[str, Any], written: Mapping[str, Any]) -> bool:
    """Return whether an event has the same value for each field that a write wrote and that it
    reports.
    """
    common = [name for name in written if name in told]
    return bool(common) and all(alike(written[name], told[name]) for name in common)


def kept(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields as they are kept for comparison: so many of them, of long values the digest."""
    return {name: short(value) for name, value in islice(fields.items(), MOST_FIELDS)}


def alike(known: Any, value: Any) -> bool:
    """Return whether a value is the known one; of a release before, what is long may be whole."""
    return same(short(known) if isinstance(known, dict | list) else known, short(value))


def short(value: Any) -> Any:
    """A value, or what stands for a long one."""
    if isinstance(value, str):
        if len(value) <= LONG and not value.startswith(DIGEST):
            return value
        data = value.strip().encode(errors="surrogatepass")
    elif isinstance(value, dict | list):
        if len(codec.encode(value)) <= LONG_JSON:
            return cast(Any, value)
        data = codec.encode(_numbered(value), sort=True)
    else:
        return value
    return DIGEST + hashlib.sha256(data).hexdigest()


def _numbered(value: Any) -> Any:
    """Return a value with each number as text, alike however an app writes it."""
    match value:
        case dict():
            return {name: _numbered(each) for name, each in cast("dict[str, Any]", value).items()}
        case list():
            return [_numbered(each) for each in cast("list[Any]", value)]
        case int() | Decimal() if not isinstance(value, bool):
            return f"{EXACT.normalize(Decimal(value))}"
        case _:
            return value


def parsed(row: bytes | None) -> dict[str, Any]:
    """A row of the state as an object."""
    return {} if row is None or row == MISSING else codec.decode(row)
