"""The role that listens: reads the sources of active instances, and has what it reads accepted.

The processes on a store share the shards evenly, by leases (`halflap.store.shards`). Each shard that a
process owns has a task, which runs the author's generator: a batch and its cursor are accepted in one
transaction under the shard's fence, then the batch is acknowledged, then the generator goes on. So a
source waits for the store, for the customer's backlog and for the memory of the process. Whatever
goes wrong in a listener ends its generator, which is opened again at the durable cursor.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import structlog

from halflap.engine.backlog import SOONEST_SECONDS
from halflap.engine.deployment import account_of, connection_of
from halflap.engine.failure import failure_of
from halflap.engine.gate import seen_by
from halflap.engine.journal import JournalEngine
from halflap.engine.library import Library
from halflap.engine.parking import Parking
from halflap.engine.resolver import Resolver
from halflap.errors import (
    DefinitionError,
    Fenced,
    HalflapError,
    InDoubt,
    NotFound,
    RateLimited,
    StoreError,
    UpstreamError,
)
from halflap.model import (
    PARKED,
    SEALED_HEADERS,
    Clock,
    Dedupe,
    Instance,
    Micros,
    Start,
    new_id,
    pausable,
    to_datetime,
    to_micros,
)
from halflap.sdk.compatibility import as_published
from halflap.sdk.connection import Connection
from halflap.sdk.deadline import came
from halflap.sdk.declared import as_event, bounded, marked, said, sealed_headers, wants
from halflap.sdk.dedupe import dedupe_of
from halflap.sdk.integration import Flow
from halflap.sdk.listener import (
    MOST_CURSOR,
    MOST_MESSAGES,
    Acknowledge,
    AssignedShard,
    Batch,
    CursorExpired,
    ListenerSpec,
    Listening,
    Message,
    headers_of,
)
from halflap.sdk.redact import Redactor
from halflap.sdk.request import Headers, Request
from halflap.sdk.running import RunningStep
from halflap.sdk.secret import secrets_of
from halflap.store.catalogue import Catalogue
from halflap.store.shards import PROCESS, ListenerKey, OwnedShard, ShardCursor, ShardKey, ShardState

log = structlog.get_logger("halflap.listeners")

T = TypeVar("T")

LOOK_SECONDS = 5.0
SETTLED_SECONDS = 60.0
"""Seconds until shards are divided anew though nothing has changed."""
DIVIDE_SECONDS = 60.0
"""Seconds until a source is asked again for its shards."""
IN_MEMORY = 64 * 1024 * 1024
"""The bytes of messages that all listeners of a process may have read and not had accepted yet."""
SILENT_SECONDS = 1.0
"""Seconds for which a stream holds what it was credited; what comes later is counted as it comes."""
FILLED = "cursor"
"""The place from which a gap is filled by other means."""
DECIDED_SECONDS = 3.0
"""Seconds until a stopped listener looks whether a person has decided."""
STORE_SECONDS = 1.0
ACK_SECONDS = 30.0
STOP_SECONDS = 5.0
"""Seconds that a generator gets to end; it is left to itself then."""
LONGEST_SECONDS = 300.0
HEALTHY_SECONDS = 60.0
"""Seconds after which a generator that ran counts as one that works, though nothing came."""


@dataclass(frozen=True, slots=True)
class ListenedFlow:
    """A flow that listens, as an active instance has it."""

    instance: Instance
    flow: str
    source: str
    account: str
    """The id of its connection; empty where it has none."""
    spec: ListenerSpec
    address: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The plain fields of its connection, but for how it signs in, which may change each hour."""

    @property
    def key(self) -> ListenerKey:
        """The key by which its shards are found."""
        return ListenerKey(self.instance.id, self.instance.customer, self.flow, self.source)

    @property
    def reads_as(self) -> tuple[object, ...]:
        """All that it reads with: where this differs, its generator is opened anew."""
        instance = self.instance
        pinned = instance.version, instance.revision, instance.deployment
        return *pinned, self.source, self.address


class ByteBudget:
    """The bytes that all listeners of a process may hold, and a half of them each customer's.

    Who waits for some holds none, so that two never wait for each other.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.used = 0
        self._held = Counter[str]()
        self._freed = asyncio.Event()

    async def take(self, customer: str, size: int) -> int:
        """Wait until a customer may hold so many bytes; return the number that it holds now.

        More than a customer may hold counts as all that it may.
        """
        share = self.most // 2
        size = min(size, share)
        while self.used + size > self.most or self._held[customer] + size > share:
            self._freed.clear()
            await self._freed.wait()
        self.used += size
        self._held[customer] += size
        return size

    def give(self, customer: str, size: int) -> None:
        """Give bytes back."""
        self.used -= size
        self._held[customer] -= size
        if not self._held[customer]:
            del self._held[customer]
        self._freed.set()


class Listeners:
    """Reads this process's share of the shards of all instances."""

    def __init__(
        self,
        catalogue: Catalogue,
        engine: JournalEngine,
        library: Library,
        resolver: Resolver,
        parking: Parking,
        clock: Clock,
        *,
        owner: str,
        lease: Micros,
        in_memory: int = IN_MEMORY,
    ) -> None:
        """`owner` is the name of this process; one that takes the name of one that ended goes on.

        `lease` is that of the process on all that it owns: what one that was killed read is read by
        others once it has run out.
        """
        self.engine = engine
        self.shards = engine.journal.shards
        self.resolver = resolver
        self.library = library
        self.parking = parking
        self.clock = clock
        self.owner = owner
        self.catalogue = catalogue
        self.budget = ByteBudget(in_memory)
        self.messages = 0
        """The number of messages that were accepted by this process."""
        self.tell: Callable[[ShardKey, ShardState, str], object] = tell_nobody
        """Called as a shard's state or error changes."""
        self.longest = LONGEST_SECONDS
        """The longest pause, in seconds, until a listener that failed is opened again."""
        self._lease = lease
        self._wanted: dict[tuple[str, str], ListenedFlow] = {}
        self._readers: dict[ShardKey, ShardReader] = {}
        self._wake = asyncio.Event()
        self._stopping = False
        self._seen: object = None
        self._live = frozenset[str]()
        self._settled_at: float | None = None

    @property
    def running(self) -> Mapping[ShardKey, ShardReader]:
        """The readers of this process."""
        return self._readers

    async def run(self) -> None:
        """Listen, until `stop`."""
        loop = asyncio.get_running_loop()
        while not self._stopping:
            self._wake.clear()
            began = loop.time()
            try:
                await self._look()
            except InDoubt:
                raise
            except StoreError as error:
                log.warning("listeners were not looked at: the store failed", error=error.message)
                self._settled_at = None
            except Exception:  # the other roles of the process go on, and so do the readers
                log.exception("listeners were not looked at")
                self._settled_at = None
            # Many changes in a row are looked at together.
            await asyncio.sleep(loop.time() - began)
            await self._rest(min(LOOK_SECONDS, self._lease / 3e6))

    def nudge(self) -> None:
        """Look now: the catalogue has changed, or a reader has lost its shard."""
        self._wake.set()

    def share_again(self) -> None:
        """Divide shards anew: a source may have others now."""
        self._settled_at = None
        self._wake.set()

    async def stop(self) -> None:
        """Read nothing more; what is being accepted is, and others may go on at once."""
        self._stopping = True
        self._wake.set()
        await self._end(list(self._readers))
        with contextlib.suppress(StoreError):
            await self.shards.leave(self.owner)

    async def _rest(self, seconds: float) -> None:
        if not self._stopping:
            await came(self._wake, seconds)

    async def _look(self) -> None:
        at = self.catalogue.changed
        moving, paused = await self.shards.standing()
        changed = self._seen != (at, moving, paused)
        if changed:
            self._wanted = await self._read(moving, paused)
            await self._end([key for key, each in self._readers.items() if self._is_stale(each)])
        self._seen = (at, moving, paused)
        if not self._wanted and not self._readers:
            return
        live = await self.shards.renew(self.owner, self._lease)
        now = asyncio.get_running_loop().time()
        due = self._settled_at is None or now - self._settled_at > SETTLED_SECONDS
        lost = [key for key, each in self._readers.items() if each.is_over]
        if changed or due or live != self._live or lost:
            self._live = live
            await self._end(lost)
            await self._share(now)

    def _is_stale(self, reader: ShardReader) -> bool:
        wanted = self._wanted.get((reader.wanted.instance.id, reader.wanted.flow))
        return wanted is None or wanted.reads_as != reader.wanted.reads_as

    async def _share(self, now: float) -> None:
        """Take this process's share, and let surplus go."""
        wanted = self._wanted.values()
        leased = [each for each in wanted if each.spec.owned_by == "lease"]
        held = {key for key in self._readers if not key.shard.startswith(PROCESS)}
        share = await self.shards.share(
            self.owner, [each.key for each in leased], held, self._lease
        )
        await self._end([*share.lost, *share.surplus])
        for each in share.taken:
            self._begin(self._wanted[each.key.instance, each.key.flow], each)
        shard = f"{PROCESS}{self.owner}"
        for each in [each for each in wanted if each.spec.owned_by == "source"]:
            key = ShardKey(each.instance.id, each.flow, each.source, shard)
            if key not in self._readers:
                self._begin(each, (await self.shards.assign(self.owner, each.key, [shard]))[shard])
        self._settled_at = now if share.settled else None

    def _begin(self, wanted: ListenedFlow, shard: OwnedShard) -> None:
        self._readers[shard.key] = ShardReader(self, wanted, shard)

    async def _end(self, keys: Sequence[ShardKey]) -> None:
        """Stop readers, once what they are accepting is accepted, and let their shards go."""
        readers = [self._readers.pop(each) for each in keys if each in self._readers]
        if not readers:
            return
        await asyncio.gather(*(each.stop() for each in readers))
        fences = {key: fence for each in readers for key, fence in each.fences.items()}
        with contextlib.suppress(StoreError):
            await self.shards.release(fences)

    async def _read(
        self, moving: frozenset[str], paused: frozenset[str]
    ) -> dict[tuple[str, str], ListenedFlow]:
        found: dict[tuple[str, str], ListenedFlow] = {}
        for instance in await self.catalogue.instances.list():
            if instance.state not in ("active", "activating", "upgrading"):
                continue
            try:
                integration = await self.library.integration(instance.version)
            except HalflapError as error:
                log.error("listeners not read", instance=instance.id, error=error.message)
                continue
            for name, flow in integration.flows.items():
                if not flow.trigger.listens or not paused.isdisjoint(
                    pausable(instance.flow_key(name))
                ):
                    continue
                old = self._wanted.get((instance.id, name))
                # Between two states events are held, from the moment on that its gate is closed.
                if instance.state != "active" and instance.id not in moving:
                    if old is not None:
                        found[instance.id, name] = old
                    continue
                try:
                    source, account = await self._source(instance, integration, flow, old)
                except StoreError:
                    raise
                except Exception as error:  # an author's inputs and config hurt no other listener
                    text = failure_of(error, name).text
                    log.error("a listener is not read", instance=instance.id, flow=name, error=text)
                    continue
                spec = flow.trigger.trigger.listener_spec
                found[instance.id, name] = ListenedFlow(instance, name, source, account, spec)
        stored = await self.catalogue.connections.some({each.account for each in found.values()})
        for place, each in found.items():
            if each.account in stored:
                fields = stored[each.account].fields
                address = {name: value for name, value in fields.items() if name != "auth"}
                found[place] = replace(each, address=address)
        return found

    async def _source(
        self,
        instance: Instance,
        integration: Any,
        flow: Flow[Any, Any, Any],
        old: ListenedFlow | None,
    ) -> tuple[str, str]:
        """Return the digest of a flow's source, and the connection that it is read with."""
        if old is not None and old.instance.pin == instance.pin:
            return old.source, old.account
        config = await self.resolver.config(integration, instance.id, instance.revision)
        account = account_of(connection_of(config, integration, flow))
        return flow.trigger.resolved(config).source(account), account


def tell_nobody(shard: ShardKey, state: ShardState, error: str) -> None:
    """Take no notice of how a listener is."""


class ShardReader:
    """Runs a listener's generator for one shard, again and again, until it is stopped."""

    def __init__(self, host: Listeners, wanted: ListenedFlow, shard: OwnedShard) -> None:
        self.wanted = wanted
        self.key = shard.key
        self.fences = {shard.key: shard.fence}
        """The fences of the shards that it reads: its own, and those that the source assigned."""
        self.cursor = shard.cursor
        self.start = shard.start
        self.is_over = False
        self.redactor = Redactor()
        self._host = host
        self._failures = 0
        self._deciding = set[asyncio.Task[None]]()
        self._state: tuple[ShardState, str, str] | None = None
        self._task = asyncio.create_task(self._run(), name=f"listener {shard.key.flow}")

    async def stop(self) -> None:
        """End once what is being accepted is accepted and acknowledged."""
        for each in self._deciding:
            each.cancel()
        self._task.cancel()
        await asyncio.wait([self._task], timeout=STOP_SECONDS)

    async def _run(self) -> None:
        try:
            while True:
                began = asyncio.get_running_loop().time()
                try:
                    await self._open()
                    raise DefinitionError("the listener ended; it is opened again")
                except (Fenced, InDoubt, NotFound):
                    await asyncio.sleep(STORE_SECONDS)  # what was read may be old for a moment
                    return
                except StoreError:
                    await asyncio.sleep(STORE_SECONDS)
                except CursorExpired as error:
                    await self._expired(error)
                except Exception as error:
                    if asyncio.get_running_loop().time() - began > HEALTHY_SECONDS:
                        self._failures = 0
                    await self._failed(error)
        except Fenced:
            pass
        except StoreError as error:
            log.warning("a listener lost the store", flow=self.key.flow, error=error.message)
        finally:
            self.is_over = True
            self._host.nudge()

    async def _open(self) -> None:
        """Run the generator until it ends or fails."""
        host, instance = self._host, self.wanted.instance
        # What was read of the catalogue may be old by now; under a former fence nothing is accepted.
        now = await host.catalogue.instances.get(instance.id)
        if (now.version, now.revision, now.deployment) != self.wanted.reads_as[:3]:
            raise Fenced
        integration = await host.library.integration(instance.version)
        config = await host.resolver.config(integration, instance.id, instance.revision)
        flow = integration.flows[self.wanted.flow].resolved(config)
        connection = connection_of(config, integration, flow)
        stream = ShardStream(host, self, flow, connection)
        trigger = flow.trigger
        try:
            if "shards" in trigger.trigger.hooks and not self.key.shard:
                await stream.guarded(self._divide(trigger, connection))
            else:
                await stream.read()
        finally:
            stream.close()

    async def _divide(self, trigger: Any, connection: Any) -> None:
        while True:
            await self._host.shards.divide(self.wanted.key, await trigger.shards(connection))
            await self.note("listening")
            self._host.share_again()
            await asyncio.sleep(DIVIDE_SECONDS)

    async def _expired(self, error: CursorExpired) -> None:
        policy = await self.skip(self.key, str(error))
        if policy == "stop":
            await self._until_decided(self.key)
            raise Fenced
        if self.cursor is None:  # it expired again at once
            await self._pause(error)
        self.cursor, self.start = None, policy

    async def skip(self, key: ShardKey, reason: str) -> str:
        """Note the gap behind a shard's expired cursor; return where to read on, or `stop`."""
        policy, reason = self.wanted.spec.on_expired, self.redactor.text(reason)
        fence = self.fences.get(key)
        if fence is None:
            raise Fenced
        if policy == "stop":
            error = f"{reason}; a person has to decide where to read on"
            await self._host.shards.note(key, fence, "stopped", error)
            self._host.tell(key, "stopped", error)
            if key != self.key:  # of a source that divides itself: others are read on meanwhile
                task = asyncio.create_task(self._reopened(key), name="listener is decided")
                self._deciding.add(task)
                task.add_done_callback(self._deciding.discard)
            return policy
        log.warning("a cursor has expired", flow=key.flow, start=policy, reason=reason)
        if not await self._host.shards.skip(key, fence, policy, reason):
            raise Fenced
        return policy

    async def _until_decided(self, key: ShardKey) -> None:
        """Wait until a person has decided where a stopped shard is read on: it has another fence then."""
        while key in self.fences:
            try:
                if not await self._host.shards.owns(key, self.fences[key]):
                    return
            except StoreError as error:
                log.warning("a decision waits for the store", flow=key.flow, error=error.message)
            await asyncio.sleep(DECIDED_SECONDS)

    async def _reopened(self, key: ShardKey) -> None:
        await self._until_decided(key)
        if key in self.fences:
            self._task.cancel()

    async def _failed(self, error: Exception) -> None:
        """Wait as an error says: until its connection is mended, or for a while, longer each time."""
        waits_for: str = getattr(error, "waiting_for", "")
        text = self.redactor.text(failure_of(error, self.wanted.flow).text)
        if waits_for.startswith(PARKED):
            await self.note("parked", text, waits_for)
            await self._host.parking.until_mended(waits_for.removeprefix(PARKED))
            return
        if self._state is None or self._state[0] != "retrying":
            log.warning(
                "a listener failed", instance=self.key.instance, flow=self.key.flow, error=text
            )
        await self.note("retrying", text)
        await self._pause(error)

    async def _pause(self, error: Exception) -> None:
        self._failures += 1
        seconds = min(2.0 ** (self._failures - 1), self._host.longest)
        seconds *= 0.5 + random.random()  # noqa: S311
        if isinstance(error, RateLimited) and error.retry_after is not None:
            seconds = max(seconds, error.retry_after.total_seconds())
        await asyncio.sleep(seconds)

    async def note(self, state: ShardState, error: str = "", waits_for: str = "") -> None:
        """Note how it goes, where that has changed."""
        if self._state != (state, error, waits_for):
            fence = self.fences[self.key]
            await self._host.shards.note(self.key, fence, state, error, waits_for)
            self._state = state, error, waits_for
            self._host.tell(self.key, state, error)

    async def accepted(self, work: Coroutine[Any, Any, None]) -> None:
        """Do what must not be cut in the middle: it is ended before the reader is."""
        task = asyncio.create_task(work, name="listener accepts")
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task])
            raise

    def works(self) -> None:
        """A batch was accepted: forget failures."""
        self._failures = 0


class ShardStream(Listening):
    """One run of a generator, as its author sees it."""

    def __init__(
        self, host: Listeners, reader: ShardReader, flow: Flow[Any, Any, Any], connection: Any
    ) -> None:
        instance = reader.wanted.instance
        self.name = f"halflap.{instance.id}.{flow.name}"
        self.process = host.owner
        self.shard = "" if reader.key.shard.startswith(PROCESS) else reader.key.shard
        self.cursor = reader.cursor
        self.start = reader.start or flow.trigger.start()
        self._host = host
        self._reader = reader
        self._flow = flow
        self._connection: Connection | None = connection
        self._place = instance.flow_key(flow.name)
        self._seal, _ = host.resolver.builder.seals(instance.customer)
        self._patience = flow.trigger.trigger.listener_spec.patience.total_seconds()
        self._limit: asyncio.Timeout | None = None
        self._credited = 0
        self._silence: asyncio.TimerHandle | None = None
        reader.redactor = Redactor(() if connection is None else secrets_of(connection))
        # A request with an effect has a key of its own in each run: none is taken for an earlier one.
        self._step = RunningStep(f"listen/{reader.key.shard}", new_id("lst", now=host.clock()))
        self._step.sent = reader.redactor.add_sent

    # What the author calls --------------------------------------------------------------------

    async def credit(self, size: int) -> None:
        """Wait until about so many bytes may be read."""
        await self._reader.note("listening")
        with self._standing_still():
            self._give_back()
            await self._room(1)
            await self._take(size)
        loop = asyncio.get_running_loop()
        self._silence = loop.call_later(SILENT_SECONDS, self._give_back)

    async def rest(self, seconds: float) -> None:
        """Wait, as there is nothing to read yet."""
        await self._reader.note("listening")
        with self._standing_still():
            self._give_back()
            await asyncio.sleep(max(seconds, 0))

    def beat(self) -> None:
        """Begin the patience anew."""
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time() + self._patience)

    async def gap(self, reason: str) -> None:
        """Record a gap that the listener fills itself."""
        key, reason = self._reader.key, self._reader.redactor.text(reason)
        fence = self._reader.fences[key]
        if not await self._host.shards.skip(key, fence, FILLED, reason, stays=True):
            raise Fenced
        self.beat()

    async def assign(self, shards: Sequence[str]) -> Mapping[str, AssignedShard]:
        """Take shards that the source gives to this process."""
        reader = self._reader
        found = await self._host.shards.assign(self._host.owner, reader.wanted.key, shards)
        reader.fences |= {each.key: each.fence for each in found.values()}
        self.beat()
        start = self._flow.trigger.start()
        return {
            shard: AssignedShard(each.cursor, each.start or start) for shard, each in found.items()
        }

    async def revoke(self, shards: Sequence[str]) -> None:
        """Let shards go."""
        fences = self._reader.fences
        keys = [self._key(each) for each in shards]
        gone = {key: fences.pop(key) for key in keys if key in fences}
        await self._host.shards.release(gone)
        self.beat()

    async def expired(self, shard: str, reason: str) -> str:
        """Note the gap behind an assigned shard's expired cursor."""
        self.beat()
        return await self._reader.skip(self._key(shard), reason)

    @contextlib.contextmanager
    def _standing_still(self) -> Generator[None]:
        """Have the patience stand still."""
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(None)
        yield
        self.beat()

    # What the platform does with it ------------------------------------------------------------

    async def read(self) -> None:
        """Accept each batch that the generator yields, until it ends."""
        stream = self._flow.trigger.listen(self._connection, self)
        try:
            while True:
                with as_published(self._flow.trigger.is_published):
                    batch = await self.guarded(self._next(stream))
                    if batch is None:
                        return
                    await self._reader.note("listening")
                    await self._accept(batch)
        finally:
            with contextlib.suppress(Exception), self._step:
                async with asyncio.timeout(STOP_SECONDS):
                    await stream.aclose()

    def close(self) -> None:
        """Give back what was credited."""
        self._give_back()

    async def guarded(self, work: Coroutine[Any, Any, T]) -> T:
        """Do what an author wrote; raise what its error means to the connection."""
        try:
            with self._step:
                return await work
        except UpstreamError as error:
            learnt = await self._learnt(error)
            if learnt is error:
                raise
            raise learnt from error

    async def _next(self, stream: AsyncGenerator[Batch]) -> Batch | None:
        limit = self._limit = asyncio.timeout(self._patience)
        try:
            async with limit:
                return await anext(stream, None)
        except TimeoutError:
            if not limit.expired():
                raise
            raise DefinitionError(
                f"the listener hung: for {self._patience:g} s it neither yielded nor rested; it is "
                "opened again"
            ) from None
        finally:
            self._limit = None

    async def _accept(self, batch: Batch) -> None:
        """Accept a batch and acknowledge it, once there is room; a stop waits for its end."""
        if len(batch.messages) > MOST_MESSAGES:
            raise DefinitionError(f"a batch has at most {MOST_MESSAGES:,} messages")
        starts, cursors = self._starts(batch.messages), self._cursors(batch)
        self._give_back()  # a customer that is full holds nothing while it waits
        if starts:
            await self._room(len(starts))
        await self._take(sum(len(each.event.body) for each in starts))
        await self._reader.accepted(self._accepted(batch, starts, cursors))
        self._give_back()

    async def _accepted(
        self, batch: Batch, starts: list[Start], cursors: list[ShardCursor]
    ) -> None:
        if starts or cursors:
            await self._host.engine.start(starts, cursors)
            self._reader.works()
            self._host.messages += len(starts)
        for each in cursors:
            if each.key == self._reader.key:
                self.cursor = self._reader.cursor = each.cursor
        if batch.ack is not None:
            async with asyncio.timeout(ACK_SECONDS):
                await self.guarded(self._acknowledged(batch.ack))

    async def _acknowledged(self, ack: Acknowledge) -> None:
        await ack()

    def _cursors(self, batch: Batch) -> list[ShardCursor]:
        """Return the cursors that a batch moves; of a shard that is not ours, `Fenced`."""
        times = [to_micros(each.at) for each in batch.messages if each.at is not None]
        at = max(times, default=self._host.clock() if batch.messages else None)
        cursor = batch.cursor
        if cursor is None or (
            isinstance(cursor, str) and not batch.messages and cursor == self.cursor
        ):
            return self._fence(at) if batch.messages else []
        given = cursor if isinstance(cursor, Mapping) else {self._reader.key.shard: cursor}
        found: list[ShardCursor] = []
        for shard, each in given.items():
            check_text(each)
            key = self._key(shard)
            if key not in self._reader.fences:
                raise Fenced
            found.append(ShardCursor(key, self._reader.fences[key], each, at))
        return found

    def _fence(self, at: Micros | None) -> list[ShardCursor]:
        """Return the cursor as it is: what is accepted without one is under the fence as well."""
        key = self._reader.key
        return [ShardCursor(key, self._reader.fences[key], self.cursor, at)]

    def _key(self, shard: str) -> ShardKey:
        return replace(self._reader.key, shard=shard)

    def _starts(self, messages: Sequence[Message]) -> list[Start]:
        found: list[Start] = []
        declared, now = self._flow.trigger.declaration, self._host.clock()
        ids = sorted(new_id("exe", now=now) for _ in messages)  # in the order of their messages
        for execution, each in zip(ids, messages, strict=True):
            headers = Headers(headers_of(each))
            request = Request("MESSAGE", "", "", headers, each.content, "", to_datetime(now))
            wanted, failed = wants(self._flow, request)
            if not wanted:
                continue
            secret = [pair for pair in headers.raw if pair[0].lower() in SEALED_HEADERS]
            event = as_event(request, self._flow, now, sealed_headers(headers, secret, self._seal))
            key = said(declared.key, request) if each.key is None else bounded(str(each.key))
            ttl = int(declared.dedupe_for.total_seconds() * 1e6)
            found.append(
                Start(
                    execution,
                    self._place,
                    event if failed is None else marked(event, self._flow, failed),
                    root=execution,
                    dedupe=dedupe_of(declared, request, request)
                    if each.identity is None
                    else Dedupe(each.identity, ttl),
                    key=key,
                    order=self._flow.order_of(self._place.instance, key, said, request),
                )
            )
        return found

    async def _room(self, count: int) -> None:
        """Wait while the customer has too much queued."""
        backlog = self._host.engine.backlog
        while True:
            if not await backlog.is_full(self._place.customer, count):
                return
            await asyncio.sleep(SOONEST_SECONDS)

    async def _take(self, size: int) -> None:
        taken = await self._host.budget.take(self._place.customer, size)
        self._credited += taken  # an author's task may have asked for credit meanwhile

    def _give_back(self) -> None:
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None
        self._host.budget.give(self._place.customer, self._credited)
        self._credited = 0

    async def _learnt(self, error: UpstreamError) -> UpstreamError:
        """Return what an app's error means, once the gate of its connection has seen it."""
        link = None if self._connection is None else self._connection._link
        gate = self._step.through or (None if link is None else link.gate)
        return error if gate is None else await seen_by(gate, error)


def check_text(cursor: str) -> None:
    """Refuse a cursor that no store holds."""
    if "\0" in cursor or len(cursor) > MOST_CURSOR:
        raise DefinitionError(
            f"a cursor is a text of at most {MOST_CURSOR:,} characters, without NUL"
        )
    try:
        cursor.encode()
    except UnicodeEncodeError as error:
        raise DefinitionError(f"a cursor is text that UTF-8 can hold ({error.reason})") from error
