"""A conformance suite for listeners: crashes at every step, redelivery, two owners, refused credentials.

    await check_listener(record(topic="orders"), connection, source)

It runs a listener's generator against its source as the platform does, and ends it at every step
between reading and acknowledging. Whatever was put into the source has to be accepted once, in its
order. It is in one process: that processes may be killed is proven of the platform itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from halflap.errors import Unauthorized
from halflap.sdk.listener import AssignedShard, Batch, CursorExpired, Listening
from halflap.sdk.trigger import BoundTrigger

CrashPoint = Literal["opened", "read", "accepted", "acknowledged"]
CRASH_POINTS: tuple[CrashPoint, ...] = ("opened", "read", "accepted", "acknowledged")
REST_SECONDS = 0.02
"""Seconds that a rest lasts here, whatever was asked for."""
MOST_REPEATS = 100
"""The most batches in a row, without a rest, of which nothing is new."""


class ListenerSource(Protocol):
    """The source that a listener reads, as the suite handles it. It is empty as the suite begins."""

    async def put(self, bodies: Sequence[bytes]) -> None:
        """Add messages, in this order."""
        ...


class ExpiringSource(ListenerSource, Protocol):
    """A source that can forget what follows a cursor."""

    async def expire(self) -> None:
        """Forget all messages, and that there were any."""
        ...


class GuardedSource(ListenerSource, Protocol):
    """A source that can refuse a connection's credentials."""

    async def refuse(self, refuses: bool) -> None:
        """Refuse all credentials, or take them again."""
        ...


@dataclass
class AcceptedLog:
    """The accepted messages, as the platform stores them: by shard a fence and a cursor, ids once."""

    bodies: list[bytes] = field(default_factory=list[bytes])
    cursors: dict[str, str | None] = field(default_factory=dict[str, str | None])
    fences: dict[str, int] = field(default_factory=dict[str, int])
    known: set[str] = field(default_factory=set[str])
    gaps: list[str] = field(default_factory=list[str])
    acknowledged: int = 0
    repeats: int = 0
    """The number of batches, since the last rest, that had nothing new."""

    def take(self, shard: str) -> int:
        """Give a shard to a new owner; return its fence."""
        self.fences[shard] = self.fences.get(shard, 0) + 1
        return self.fences[shard]

    def accept(self, shard: str, held: Mapping[str, int], batch: Batch) -> bool:
        """Accept a batch with its cursors; False where a fence is lost.

        An `AssertionError` where the batch would be read again for ever.
        """
        given = batch.cursor
        moved = {shard: given} if isinstance(given, str) else dict(given or {})
        for each in moved or {shard: None}:
            if each not in held or self.fences[each] != held[each]:
                return False
        new = [each for each in batch.messages if each.identity not in self.known]
        stands = all(self.cursors.get(each) == cursor for each, cursor in moved.items())
        if moved and stands and any(each.identity is None for each in new):
            raise AssertionError(
                f"the cursor does not advance: a batch of {len(batch.messages)} messages has the cursor "
                f"that was there before ({given!r}), so they are read again; yield the cursor behind "
                "the last of them, or give each Message the id that it is known by"
            )
        for each in new:
            if each.identity is None or each.identity not in self.known:
                self.bodies.append(each.content)
                self.known |= {each.identity} if each.identity is not None else set()
        self.repeats = 0 if new or not stands else self.repeats + 1
        if self.repeats > MOST_REPEATS:
            raise AssertionError(
                f"the cursor does not advance: {self.repeats} batches in a row had nothing new, and no "
                "rest between them; move the cursor, have `ack` remove at the source what is accepted, "
                "and call listening.rest where there is nothing new"
            )
        self.cursors.update(moved)
        return True


class TestedListening(Listening):
    """One run of a generator under test."""

    __test__ = False  # pytest takes what begins with Test for a test

    def __init__(self, log: AcceptedLog, shard: str, start: str) -> None:
        self.log = log
        self.name, self.process = "halflap.tested", "tested"
        self.shard = shard
        self.cursor = log.cursors.get(shard)
        self.start = start
        self.held = {shard: log.take(shard)}
        self.idle = asyncio.Event()
        """Set once it rests: it has read all that there is."""
        self.credited = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def credit(self, size: int) -> None:
        """Wait until reading is allowed."""
        await self.gate.wait()
        self.credited += size

    async def rest(self, seconds: float) -> None:
        """Rest for a moment."""
        self.idle.set()
        self.log.repeats = 0
        await asyncio.sleep(REST_SECONDS)

    def beat(self) -> None:
        """The source is alive, and has nothing."""
        self.idle.set()

    async def gap(self, reason: str) -> None:
        """Note a gap."""
        self.log.gaps.append(reason)

    async def assign(self, shards: Sequence[str]) -> Mapping[str, AssignedShard]:
        """Take shards."""
        self.held |= {each: self.log.take(each) for each in shards}
        return {each: AssignedShard(self.log.cursors.get(each), self.start) for each in shards}

    async def expired(self, shard: str, reason: str) -> str:
        """End the run, as where the listener raises it."""
        raise CursorExpired(reason)

    async def revoke(self, shards: Sequence[str]) -> None:
        """Let shards go."""
        for each in shards:
            self.held.pop(each, None)


class ListenerRun:
    """A listener's generator, run against its source as the platform would run it."""

    def __init__(
        self, trigger: BoundTrigger[Any], connection: Any, log: AcceptedLog, shard: str = ""
    ) -> None:
        self.log = log
        self.is_acknowledging = False
        """True between the acceptance of a batch and the end of its acknowledgement."""
        self.listening = TestedListening(log, shard, trigger.start())
        self._stream: AsyncGenerator[Batch] = trigger.listen(connection, self.listening)

    async def step(self, dies: CrashPoint | None = None) -> Batch | None:
        """Accept and acknowledge the next batch; at `dies` go no further. None once it is fenced."""
        batch = await anext(self._stream)
        if dies == "read":
            return batch
        if not self.log.accept(self.listening.shard, self.listening.held, batch):
            return None
        self.listening.cursor = self.log.cursors.get(self.listening.shard)
        if dies != "accepted" and batch.ack is not None:
            self.is_acknowledging = True
            await batch.ack()
            self.is_acknowledging = False
            self.log.acknowledged += 1
        return batch

    async def go_on(self) -> None:
        """Accept all that comes, until it is cancelled or fenced."""
        goes_on = True
        while goes_on:
            goes_on = await self.step() is not None
            await asyncio.sleep(0)  # a generator that waits for nothing lets others run as well

    async def end(self) -> None:
        """End the generator."""
        with contextlib.suppress(Exception):
            await self._stream.aclose()

    @asynccontextmanager
    async def reading(self, *, raises: bool = True) -> AsyncGenerator[asyncio.Task[None]]:
        """Read in a task until the block ends; then end the generator, and raise what it raised."""
        task = asyncio.create_task(self.go_on())
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait([task])
            await self.end()
        if raises and not task.cancelled() and (error := task.exception()) is not None:
            raise error


class ListenerCheck:
    """The checks of one listener and its source."""

    def __init__(
        self,
        trigger: BoundTrigger[Any],
        connection: Any,
        source: ListenerSource,
        *,
        shard: str = "",
        within: float = 30.0,
        ordered: bool = True,
        unwrap: Callable[[bytes], bytes] = bytes,
    ) -> None:
        self.ordered = ordered
        self.unwrap = unwrap
        self.log = AcceptedLog()
        self.trigger = trigger
        self.connection = connection
        self.source = source
        self.shard = shard
        self.within = within
        self.wanted: list[bytes] = []

    def open(self) -> ListenerRun:
        """Open the generator at the durable cursor, as its new owner."""
        return ListenerRun(self.trigger, self.connection, self.log, self.shard)

    async def put(self, count: int) -> None:
        """Add messages that are all different."""
        first = len(self.wanted)
        bodies = [b'{"n": %d}' % number for number in range(first, first + count)]
        self.wanted += bodies
        await self.source.put(bodies)

    async def drain(self) -> None:
        """Read until everything that was put is accepted and acknowledged, and for a moment more."""
        run = self.open()
        async with run.reading() as reading:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.within):
                    while not reading.done() and (
                        len(self.log.bodies) < len(self.wanted) or run.is_acknowledging
                    ):
                        await asyncio.wait([reading], timeout=REST_SECONDS)
                    await asyncio.wait([reading], timeout=5 * REST_SECONDS)

    def compare(self, what: str) -> None:
        """Fail unless what was put was accepted once, in its order."""
        bodies = [self.unwrap(each) for each in self.log.bodies]
        missing, others = set(self.wanted) - set(bodies), set(bodies) - set(self.wanted)
        hint = (
            f"; {min(others)[:200]!r} came, and was not put: where the source adds to what is put, give "
            "check_listener unwrap="
            if others
            else ""
        )
        assert not missing, (
            f"{what}: {len(missing)} messages were lost, {min(missing)!r} the first{hint}"
        )
        doubled = len(bodies) - len(set(bodies))
        assert not doubled, (
            f"{what}: {doubled} messages were accepted twice; move the cursor with its messages, or "
            "give each Message the id that the source delivers it with again"
        )
        if self.ordered:
            assert bodies == self.wanted, f"{what}: the order is another one"

    async def until_idle(self, run: ListenerRun, reading: asyncio.Task[None]) -> None:
        """Wait until a generator rests, or ends."""
        resting = asyncio.ensure_future(run.listening.idle.wait())
        with self.limit("it never rested, though there was nothing to read: call listening.rest"):
            try:
                async with asyncio.timeout(self.within):
                    await asyncio.wait([reading, resting], return_when=asyncio.FIRST_COMPLETED)
            finally:
                resting.cancel()

    @contextlib.contextmanager
    def limit(self, what: str) -> Generator[None]:
        """Say what did not happen in time."""
        try:
            yield
        except TimeoutError as error:
            raise AssertionError(f"{what} ({self.within:g} s)") from error

    # The checks -------------------------------------------------------------------------------

    async def begins_before_the_first_message(self) -> None:
        """A crash before the first message misses nothing of what came after the beginning."""
        run = self.open()
        async with run.reading() as reading:
            await self.until_idle(run, reading)
        await self.put(3)
        await self.drain()
        self.compare("a crash before the first message")

    async def survives(self, dies: CrashPoint) -> None:
        """A crash at a step loses nothing and doubles nothing."""
        await self.put(5)
        run = self.open()
        if dies != "opened":
            with self.limit("nothing came of what was put"):
                async with asyncio.timeout(self.within):
                    await run.step(dies)
        await run.end()
        await self.drain()
        self.compare(f"a crash once a batch is {dies}")

    async def yields_to_a_new_owner(self) -> None:
        """A former owner that reads on has nothing accepted."""
        former = self.open()
        async with former.reading(raises=False) as reading:
            await self.until_idle(former, reading)
            self.open()  # takes the shard
            await self.put(3)
            await asyncio.sleep(5 * REST_SECONDS)
        await self.drain()
        self.compare("a former owner that reads on")

    async def feels_back_pressure(self) -> None:
        """A listener that asks for credit reads nothing before it has it."""
        run = self.open()
        run.listening.gate.clear()
        await self.put(3)
        async with run.reading(raises=False):
            await asyncio.sleep(5 * REST_SECONDS)
        await self.drain()
        self.compare("credit that was withheld")

    async def tells_of_refused_credentials(self, source: GuardedSource) -> None:
        """Refused credentials are `Unauthorized`, and nothing is lost once they are taken again."""
        await source.refuse(True)
        await self.put(2)
        await self._raises(Unauthorized)
        await source.refuse(False)
        await self.drain()
        self.compare("refused credentials")

    async def tells_of_an_expired_cursor(self, source: ExpiringSource) -> None:
        """A cursor that the source does not know any more is `CursorExpired`."""
        await self.drain()
        assert self.log.cursors, "the listener has yielded no cursor yet"
        await source.expire()
        await self._raises(CursorExpired)

    async def _raises(self, kind: type[Exception]) -> None:
        run = self.open()
        try:
            with self.limit(f"it did not raise {kind.__name__}"):
                async with asyncio.timeout(self.within):
                    await run.go_on()
        except kind:
            return
        finally:
            await run.end()
        raise AssertionError(f"the listener went on where it should raise {kind.__name__}")


async def check_listener(
    trigger: BoundTrigger[Any],
    connection: Any,
    source: ListenerSource,
    *,
    shard: str = "",
    within: float = 30.0,
    ordered: bool = True,
    unwrap: Callable[[bytes], bytes] = bytes,
) -> AcceptedLog:
    """Check a listener against an empty source; an `AssertionError` says what it breaks.

    What the source can do beyond `put` (`refuse`, `expire`) is checked as well. `within` is how many
    seconds all that was put may take to be read; `ordered` is False where the source promises no order;
    `unwrap` finds what was put in the body of a message, where the source adds to it.
    Returns what was accepted.
    """
    how: dict[str, Any] = {"within": within, "ordered": ordered, "unwrap": unwrap}
    check = ListenerCheck(trigger, connection, source, shard=shard, **how)
    await check.begins_before_the_first_message()
    for point in CRASH_POINTS:
        await check.survives(point)
    await check.yields_to_a_new_owner()
    await check.feels_back_pressure()
    given: Any = source
    if hasattr(source, "refuse"):
        await check.tells_of_refused_credentials(given)
    if hasattr(source, "expire"):
        await check.tells_of_an_expired_cursor(given)
    return check.log
