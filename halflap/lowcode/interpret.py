"""Runs a flow's tree of steps, as an ordinary flow function would.

Each step of a document becomes a `Do`, compiled once per version. What it calls are the actions and
the `Context` that a Python flow calls: so its journal is one, and a replay is one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol, TypeVar

from halflap.errors import FAILURES, ExpressionError, Thrown, TimedOut
from halflap.lowcode.asked import as_items, as_scalar, as_status, as_text, as_truth
from halflap.lowcode.call import Call
from halflap.lowcode.duration import duration
from halflap.lowcode.frame import Frame, Left, Stopped, error_of, plain
from halflap.lowcode.template import Fill, Host, Names
from halflap.sdk.context import ANY, State, default_key
from halflap.sdk.pairs import Pairs
from halflap.sdk.schema import UNSET
from halflap.sdk.trigger import Ignore, Reply

T = TypeVar("T")


class Do(Protocol):
    """A step that can be run."""

    async def run(self, frame: Frame) -> None:
        """Run it; its result is a name of the frame afterwards."""
        ...


Steps = Sequence[Do]


async def run_all(steps: Steps, frame: Frame) -> None:
    """Run steps one after another."""
    for each in steps:
        await each.run(frame)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a step asks of its expressions: a value of some kind, or an error at its place."""

    fill: Fill
    where: str
    what: str

    def value(self, frame: Frame) -> Any:
        """Its value; null where there is none."""
        found = self.fill(frame.names, frame.host)
        return None if found is UNSET else found

    def truth(self, frame: Frame) -> bool:
        """A condition; null counts as false, anything but true and false is an error."""
        return self.truth_of(frame.names, frame.host)

    def truth_of(self, names: Names, host: Host) -> bool:
        """The same outside of a flow."""
        return self._placed(as_truth, self.fill(names, host))

    def text(self, frame: Frame) -> str:
        """A text, or a number as one."""
        return self._placed(as_text, self.value(frame))

    def items(self, frame: Frame) -> list[Any]:
        """A list; null is none, and one value is a list of it."""
        return as_items(self.value(frame))

    def scalar(self, frame: Frame) -> Any:
        """What cases can be told by."""
        return self._placed(as_scalar, self.value(frame))

    def status(self, frame: Frame) -> int:
        """The status of an HTTP answer."""
        return self._placed(as_status, self.value(frame))

    def _placed(self, read: Callable[[Any, str], T], found: Any) -> T:
        try:
            return read(found, self.what)
        except ExpressionError as error:
            raise error.at(self.where) from None


@dataclass(frozen=True, slots=True)
class DoAction:
    """`action`."""

    call: Call
    id: str | None
    ignores: bool

    async def run(self, frame: Frame) -> None:
        called = self.call.answer(frame)
        result = await frame.attempt(self.call.title, called, ignores=self.ignores)
        frame.give(self.id, result)


@dataclass(frozen=True, slots=True)
class DoIf:
    """`if`."""

    condition: Asked
    then: Steps
    otherwise: Steps

    async def run(self, frame: Frame) -> None:
        await run_all(self.then if self.condition.truth(frame) else self.otherwise, frame)


@dataclass(frozen=True, slots=True)
class DoSwitch:
    """`switch`."""

    value: Asked
    cases: Mapping[tuple[type, Any], Steps]
    default: Steps

    async def run(self, frame: Frame) -> None:
        found = self.value.scalar(frame)
        await run_all(self.cases.get(case_of(found), self.default), frame)


def case_of(value: Any) -> tuple[type, Any]:
    """What tells a case from others: 1 and "1" and true are three."""
    if isinstance(value, bool | str) or value is None:
        return type(value), value
    return int, value


@dataclass(frozen=True, slots=True)
class DoFor:
    """`for`."""

    item: str
    items: Asked
    where: Asked | None
    steps: Steps
    own: tuple[str, ...]
    parallel: int | None
    key: Asked | None
    goes_on: bool
    collect: Asked | None
    id: str | None
    title: str

    async def run(self, frame: Frame) -> None:
        items = self.items.items(frame)
        results = await (self._in_turn if self.parallel is None else self._at_once)(frame, items)
        frame.give(self.id, results)

    def _inner(self, frame: Frame, item: Any) -> Frame | None:
        """The frame of an item, where it is wanted."""
        inner = frame.inner(self.own)
        inner.names[self.item] = item
        return inner if self.where is None or self.where.truth(inner) else None

    async def _in_turn(self, frame: Frame, items: list[Any]) -> list[Any]:
        results: list[Any] = []
        for each in items:
            if (inner := self._inner(frame, each)) is None:
                continue
            try:
                results.append(await self._one(inner))
            except Left:
                break
        return results

    async def _at_once(self, frame: Frame, items: list[Any]) -> list[Any]:
        chosen = [inner for each in items if (inner := self._inner(frame, each)) is not None]
        keys = {id(each): self._key(each, place) for place, each in enumerate(chosen)}
        return await frame.ctx.gather(
            chosen, self._one, key=lambda each: keys[id(each)], limit=self.parallel or 1
        )

    def _key(self, frame: Frame, place: int) -> object:
        """What tells a branch apart: as `ctx.gather` would tell the items themselves."""
        if self.key is None:
            return default_key(frame.names[self.item], place)
        return self.key.text(frame)

    async def _one(self, frame: Frame) -> Any:
        try:
            await run_all(self.steps, frame)
        except FAILURES as error:
            if not self.goes_on:
                raise
            frame.ctx.log.warning(f"{self.title}: an item failed: {error}")
            return {"error": error_of(error)}
        return None if self.collect is None else self.collect.value(frame)


@dataclass(frozen=True, slots=True)
class DoTry:
    """`try`."""

    attempt: Steps
    catch: Steps
    error: str

    async def run(self, frame: Frame) -> None:
        try:
            await run_all(self.attempt, frame)
        except (*FAILURES, ExpressionError) as error:
            frame.names[self.error] = error_of(error)
            await run_all(self.catch, frame)


@dataclass(frozen=True, slots=True)
class DoSet:
    """`set`: by name, the value, and how many loops out of here the variable belongs."""

    values: tuple[tuple[str, Asked, int], ...]

    async def run(self, frame: Frame) -> None:
        for name, each, outward in self.values:
            frame.assign(name, each.value(frame), outward)


@dataclass(frozen=True, slots=True)
class DoCall:
    """`call`."""

    flow: str
    event: Asked
    waits: bool
    ignores: bool
    id: str | None

    async def run(self, frame: Frame) -> None:
        called = self._called(frame, self.event.value(frame))
        result = await frame.attempt(f"the flow {self.flow}", called, ignores=self.ignores)
        frame.give(self.id, result)

    async def _called(self, frame: Frame, event: Any) -> Any:
        if self.waits:
            return plain(await frame.ctx.call(self.flow, event))
        return (await frame.ctx.start(self.flow, event)).id


@dataclass(frozen=True, slots=True)
class DoSleep:
    """`sleep`."""

    time: Asked

    async def run(self, frame: Frame) -> None:
        found = self.time.value(frame)
        try:
            wait = duration(found)
        except ValueError as error:
            raise ExpressionError(str(error)).at(self.time.where) from error
        await frame.ctx.sleep(wait)


@dataclass(frozen=True, slots=True)
class DoWait:
    """`wait`."""

    name: str
    timeout: timedelta | None
    goes_on: bool
    id: str | None

    async def run(self, frame: Frame) -> None:
        try:
            result = await frame.ctx.wait_for(self.name, timeout=self.timeout)
        except TimedOut:
            if not self.goes_on:
                raise
            result = None
        frame.give(self.id, result)


@dataclass(frozen=True, slots=True)
class DoLinks:
    """`links`."""

    name: str
    choices: tuple[str, ...]
    text: Asked
    within: timedelta
    id: str | None

    async def run(self, frame: Frame) -> None:
        text = self.text.text(frame)
        made = {
            each: frame.ctx.signal_url(self.name, each, text=text, within=self.within)
            for each in self.choices
        }
        frame.give(self.id, made)


@dataclass(frozen=True, slots=True)
class DoState:
    """`state`."""

    verb: str
    scope: str
    key: Asked
    value: Asked
    default: Asked
    expect: Asked | None
    id: str | None

    async def run(self, frame: Frame) -> None:
        state, key, result = self._state(frame), self.key.text(frame), None
        if self.verb == "get":
            result = await state.get(key, self.default.value(frame))
        elif self.verb == "delete":
            await state.delete(key)
        else:
            result = self.value.value(frame)
            expect = ANY if self.expect is None else self.expect.value(frame)
            await state.put(key, result, expect=expect)
        frame.give(self.id, result)

    def _state(self, frame: Frame) -> State:
        state = frame.ctx.state
        return {
            "flow": lambda: state,
            "instance": lambda: state.instance,
            "integration": lambda: state.integration,
        }[self.scope]()


@dataclass(frozen=True, slots=True)
class DoPairs:
    """`paired`, `pair` and `unpair`."""

    verb: str
    pairs: Pairs
    ids: tuple[tuple[str, Asked], ...]
    id: str | None

    async def run(self, frame: Frame) -> None:
        ids = {side: each.text(frame) for side, each in self.ids}
        verbs: dict[str, Callable[..., Awaitable[Any]]] = {
            "paired": frame.ctx.paired,
            "pair": frame.ctx.pair,
            "unpair": frame.ctx.unpair,
        }
        result = await verbs[self.verb](self.pairs, **ids)
        frame.give(self.id, result)


@dataclass(frozen=True, slots=True)
class DoLog:
    """`log`."""

    message: Asked
    level: str
    fields: tuple[tuple[str, Asked], ...]

    async def run(self, frame: Frame) -> None:
        message = self.message.text(frame)  # first, as in the Python call that a document becomes
        fields = {name: each.value(frame) for name, each in self.fields}
        getattr(frame.ctx.log, self.level)(message, **fields)


@dataclass(frozen=True, slots=True)
class DoBreak:
    """`break`."""

    async def run(self, frame: Frame) -> None:
        raise Left


@dataclass(frozen=True, slots=True)
class DoStop:
    """`stop`."""

    answer: Asked | None
    ignore: Asked | None
    reply: tuple[Asked, Asked | None, tuple[tuple[str, Asked], ...]] | None

    async def run(self, frame: Frame) -> None:
        if self.ignore is not None:
            raise Stopped(Ignore(self.ignore.text(frame)))
        if self.reply is not None:
            status, body, headers = self.reply
            code = status.status(frame)
            named = {name: each.text(frame) for name, each in headers}
            raise Stopped(Reply(code, b"" if body is None else body.value(frame), named))
        raise Stopped(None if self.answer is None else self.answer.value(frame))


@dataclass(frozen=True, slots=True)
class DoThrow:
    """`throw`."""

    message: Asked
    title: str

    async def run(self, frame: Frame) -> None:
        raise Thrown(self.message.text(frame), step=self.title)
