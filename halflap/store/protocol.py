"""The journal's verbs, whatever keeps it. Every one is one transaction, durable on return.

What may go wrong in the ordinary way is a result, not an exception: a duplicate, a lost fence, a
compare-and-set that failed. `StoreError`s mean that nothing was written.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Literal, Protocol

from halflap.model import (
    ENDED,
    CauseGroup,
    Continuation,
    CustomerLimits,
    CustomerLoad,
    Event,
    Execution,
    ExecutionState,
    Failure,
    LogLine,
    Micros,
    Outcome,
    OutcomeCount,
    Paused,
    Record,
    Sent,
    Signal,
    Start,
    StateWrite,
    Tally,
    Throttled,
    VersionPin,
    frozen,
)
from halflap.store.retention import RetentionRules
from halflap.store.scope import CustomerScope
from halflap.store.shards import ListenerShards, ShardCursor
from halflap.store.turns import Place, Share

if TYPE_CHECKING:
    from halflap.store.blobs.payloads import Payloads

CancelResult = Literal["ended", "asked", "over"]
"""The result of a cancellation: it has ended, its worker is asked to end it, or it had ended before."""
MOST_CRASHES = 3
"""The number of times that an execution may end its process, running alone in it, before it is set
aside.
"""


class Outdated(Exception):
    """Raised where a start is not accepted, since what it was decided by has changed: decide again."""


class Written(Enum):
    """The outcome of a write."""

    DONE = "done"
    FENCED = "fenced"
    CONFLICT = "conflict"
    CONTINUED = "continued"
    """It ended, and the next of its chain is accepted."""
    CANCELLED = "cancelled"
    """Somebody cancelled it: that is the only end it may have."""


@frozen
class Lease:
    """The right to write to an execution.

    `fence` is its number, `until` its end by the store's clock; `ordered` says that others may wait
    for it in its order, `parent` who hears of its end, `chain` under which id, where it is of one.
    """

    execution: str
    fence: int
    until: Micros
    ordered: bool = False
    parent: str | None = None
    chain: str | None = None

    @property
    def child(self) -> str:
        """Return the id by which its parent knows it: that of the first of its chain."""
        return self.chain or self.execution


@frozen
class Claim:
    """An execution that was claimed, with all that running it needs.

    `probation` says that the last claim ended uncleanly; `crashes` counts its ends while alone.
    `lost` says which of its payloads is no longer there, so that it can only fail.
    """

    start: Start
    lease: Lease
    attempt: int
    accepted_at: Micros
    cancelling: str | None = None
    probation: bool = False
    crashes: int = 0
    history: tuple[Record, ...] = ()
    lost: str | None = None


@frozen
class Accepted:
    """The outcome of one start. `claim` is set where it was claimed at once.

    `outcome` is set where its order ended it at once; it has ended those `replaced`. `fenced` says that
    nothing was accepted, as the shard that it came from is another process's by now.
    """

    execution: str
    duplicate_of: str | None = None
    claim: Claim | None = None
    outcome: Outcome | None = None
    replaced: tuple[str, ...] = ()
    fenced: bool = False


@frozen
class Release:
    """A release of an execution by a worker before it has ended."""

    how: Literal["retry", "later", "sleep", "signal", "park", "drained"]
    due_at: Micros | None
    waiting_for: str = ""
    failure: Failure | None = None
    heard: int | None = None
    """The number of signals that its turn knew of; None where no signal wakes it."""


@frozen
class Cancelling:
    """That a running execution is to be cancelled: why, and when it is cut where it has not ended.

    `cut_at` is 0 where nobody said when: after the worker's own grace.
    """

    reason: str
    cut_at: Micros


@frozen
class Filter:
    """A filter of executions; None matches all. Newest first, or after one, oldest.

    `reason` is what the reason contains; `cause` is the mark of a failure's cause, or its public mark;
    `hidden` are customers that are left out, and with them shared endpoints; `status` the HTTP
    status of the call that it failed of, `component` that of the action which failed; `ids` and `flows`
    (integration, flow) match any of these; `reference` is an id or a record's key; `min_ran` is the
    least time that its attempts ran; `payload` are texts of which its event's body, the values of its
    steps or its log lines contain one; `since` and `until` (exclusive) are about `time`;
    `of_events` leaves out deployments; `bulk` selects its replays; `order` those of one scope and key.
    Of a `chain`, the last comes first.
    """

    customer: str | None = None
    instance: str | None = None
    flow: str | None = None
    integration: str | None = None
    version: str | None = None
    states: tuple[ExecutionState, ...] = ()
    key: str | None = None
    reason: str | None = None
    before: str | None = None
    after: str | None = None
    since: Micros | None = None
    until: Micros | None = None
    replay_of: str | None = None
    parent: str | None = None
    chain: str | None = None
    link: int | None = None
    dead_letters: bool = False
    of_events: bool = False
    cause: str | None = None
    status: int | None = None
    failure_kind: str | None = None
    component: str | None = None
    ids: tuple[str, ...] | None = None
    flows: tuple[tuple[str, str], ...] | None = None
    reference: str | None = None
    min_ran: Micros | None = None
    payload: tuple[bytes, ...] = ()
    bulk: str | None = None
    order: tuple[str, str] | None = None
    hidden: tuple[str, ...] = ()
    limit: int = 50

    @property
    def has_ended(self) -> bool:
        """True if only executions that have ended can match."""
        marks = (self.cause, self.status, self.failure_kind, self.component)
        of_failure = any(each is not None for each in marks)
        ended = bool(self.states) and {*self.states} <= {*ENDED}
        return self.dead_letters or bool(self.reason) or of_failure or ended

    @property
    def time(self) -> Literal["accepted_at", "ended_at"]:
        """The time that a list is bounded and ordered by: a period of ended ones goes by their end.

        So what was accepted long ago, waited, and has just failed is among the latest failures.
        """
        is_bounded = self.since is not None or self.until is not None
        return "ended_at" if is_bounded and self.has_ended else "accepted_at"


MOST_EXAMINED = 4_000
"""The most rows of one index that are compared with a filter for one page."""
Position = tuple[Micros, str]
"""Where in a list something stands: its time (see `Filter.time`), and its id."""


@frozen
class Page:
    """A page of a list, and behind what the next one begins; None where there is none."""

    executions: list[Execution]
    next: Position | None


@frozen
class Pinning:
    """A version and a revision that held executions of some flows begin on.

    Replays, and children bound to their parent, stay on what they were accepted on.
    `deployment`: the one that their instance names; while it names another one, nothing is let go.
    """

    pin: VersionPin
    flows: tuple[str, ...]
    deployment: str | None = None


@frozen
class Attempt:
    """An attempt that did not end its execution."""

    number: int
    started_at: Micros
    ended_at: Micros
    how: str
    failure: Failure | None


class Hints(Protocol):
    """Hints between processes that share a store; any hint may be lost, or come late."""

    def send(self, line: str = "") -> None:
        """Tell the others soon: a line of text, or nothing but that something may be due."""
        ...

    def follow(self, listener: Callable[[str], object]) -> Callable[[], None]:
        """Call a listener with each hint of another process; returns what ends that."""
        ...


class Journal(Protocol):
    """Executions, their events, steps, state and signals."""

    payloads: Payloads
    """The payloads, of which those that are large are kept apart: rows have references to them."""
    shards: ListenerShards
    """The shards of listeners: who reads them, and up to where."""
    default_limits: CustomerLimits
    """The limits of customers that have none of their own, in this process."""

    def within(self, scope: CustomerScope) -> Journal:
        """This journal for whoever is in a scope: what is out of it is not there.

        What it tells is in scope; what starts, ends or changes an execution is the engine's, which
        is in none.
        """
        ...

    @property
    def held_back(self) -> frozenset[str]:
        """The customers that had more due at the last claim than their limits or share allowed."""
        ...

    async def accept(
        self,
        starts: Sequence[Start],
        *,
        claim: int,
        lease: Micros,
        is_wanted: Callable[[], bool] = lambda: True,
        cursors: Sequence[ShardCursor] = (),
    ) -> list[Accepted]:
        """Keep events and executions; claim the first `claim` of those that may run now.

        In the same transaction the `cursors` of shards move, from which the events were read; where
        one is another process's by now, nothing is accepted, and every answer is `fenced`.

        Nothing where that is not wanted any more as its transaction begins: the answer is empty.

        What has limits on running is not claimed here. Raises `Outdated` where a start was `decided`
        by what is not so any more, and `Conflict` where the key of an event that was published is
        that of other contents; then none of them is there.
        """
        ...

    async def claim(
        self,
        room: int,
        lease: Micros,
        *,
        probation: bool = False,
        share: Share | None = None,
        only: Collection[Place] | None = None,
    ) -> list[Claim]:
        """Claim up to `room` due executions for `lease` microseconds.

        Fairly between customers, then between their instances; of no customer more than its limits
        and `share` allow; or, whatever these allow, `only` those of places. With `probation`, only
        those whose last claim ended uncleanly; else only the others.
        """
        ...

    async def limits(self, customer: str) -> CustomerLimits:
        """A customer's own limits; what is None is as `default_limits` says."""
        ...

    async def set_limits(self, customer: str, limits: CustomerLimits) -> None:
        """Give a customer limits of its own, from its next claim on."""
        ...

    async def parked(self) -> dict[str, int]:
        """Return the number of executions that wait for each connection that is to be mended."""
        ...

    async def unpark(self, connection: str, limit: int) -> list[str]:
        """Let up to `limit` executions go on that wait for a connection.

        Customers take turns, also from call to call; of each, those that were claimed least often go
        first, the oldest of them first. One alone is one whose request may be repeated.
        """
        ...

    async def take_beginning(self, customer: str) -> tuple[float, Micros]:
        """Take one beginning of a customer's rate: it, 0 where there is none, and when the next may be.

        That is now where it was taken, or there is no rate.
        """
        ...

    async def take_tokens(
        self, connection: str, count: int, rate: float, burst: int
    ) -> tuple[int, Micros]:
        """Take up to `count` requests of a connection's rate; also when there are more."""
        ...

    async def rest(self, connection: str, rest: Throttled) -> None:
        """Have nobody call a connection's app before a time; one that was later stays."""
        ...

    async def close_circuit(self, connection: str) -> None:
        """Note that an app which was away answered; what it asked for itself stays."""
        ...

    async def note_quota(self, connection: str, quota: str) -> None:
        """Note how much of an app's quota is used."""
        ...

    async def throttled(self, connection: str) -> Throttled:
        """Return the state of a connection's traffic."""
        ...

    async def resting(self, ended: Micros = 0) -> dict[str, Throttled]:
        """The connections that nobody calls now, or `ended` microseconds ago."""
        ...

    async def callers(self, connection: str) -> int:
        """Return the number of workers that used a connection lately, this one included."""
        ...

    async def load(self, customer: str, most: int) -> CustomerLoad:
        """Return the number of a customer's executions that run, and that, up to `most`, wait to."""
        ...

    async def renew(self, leases: Sequence[Lease], lease: Micros) -> list[Lease]:
        """Prolong leases; what is missing from the answer was lost. Sees cancellations too."""
        ...

    async def commit(
        self,
        lease: Lease,
        records: Sequence[Record],
        logs: Sequence[LogLine],
        writes: Sequence[StateWrite] = (),
    ) -> Written:
        """Add records and log lines, with writes to state.

        Every `expect` is compared with what stood before; a conflict writes nothing.
        """
        ...

    async def end(
        self,
        lease: Lease,
        records: Sequence[Record],
        logs: Sequence[LogLine],
        outcome: Outcome,
        writes: Sequence[StateWrite] = (),
        *,
        next: Continuation | None = None,
    ) -> Written:
        """End an execution with its outcome, its last records and writes to state.

        A conflict writes nothing, and does not end it; nor does an outcome other than `cancelled`
        where somebody cancelled it. Frees the next one of its order, tells its parent by
        `child_signal`, and where it was cancelled its bound children are to be.

        With `next`, that is accepted in the same transaction, has its place and its turn, gets its
        unread signals, and its parent hears of the end of the last one. Where a replay has accepted
        the next one before, none is, and the answer is not `CONTINUED`.
        """
        ...

    async def release(
        self, lease: Lease, records: Sequence[Record], logs: Sequence[LogLine], how: Release
    ) -> Written: ...

    async def void(self) -> int:
        """Void all leases (a server's start); returns how many executions are now on probation."""
        ...

    async def lapse(self) -> int:
        """Void the leases that have run out; returns how many."""
        ...

    async def blame(self, executions: Sequence[str], *, alone: bool) -> None:
        """Note an unclean end of a claim; back to the queue, on probation."""
        ...

    async def next_due(self, *, probation: bool = False, held_back: bool = False) -> Micros | None:
        """When the next execution becomes due that may be claimed; None where none does by time.

        Sees what `claim` sees: with `probation`, only what is on probation, else only the others;
        and nothing of those that the last claim held back, before their rate lets them go on. With
        `held_back`, of these too.
        """
        ...

    async def cancel_many(
        self, executions: Collection[str], reason: str, cut_at: Micros = 0
    ) -> dict[str, CancelResult]:
        """End executions, or ask those that run to end, in one transaction; `cut_at` is when these are
        cut. Ids that do not exist are left out.
        """
        ...

    async def cancelled(self, executions: Sequence[str]) -> dict[str, Cancelling]:
        """Return the ones of these that are to be cancelled, and how."""
        ...

    async def signal(
        self, execution: str, name: str, payload: bytes, once: str | None = None
    ) -> Sent:
        """Keep a signal for a live execution, and make it due where signals wake it.

        `once` names an answer that counts once: the second one is `known`, and not kept.
        """
        ...

    async def signals(self, execution: str) -> list[Signal]:
        """All signals that were sent to the execution, oldest first."""
        ...

    async def hold(self, instance: str) -> None: ...

    async def release_instance(self, instance: str, pinning: Pinning | None = None) -> None:
        """Let go what `hold` held; what has not begun gets a version and a config of its own.

        Nothing, where its instance moves otherwise by now: that move lets it go.
        """
        ...

    async def shut(self, customer: str) -> None:
        """Accept nothing more for a customer that is erased (`NotFound`), and claim nothing of it.

        But for flows of ours, which take its instances down.
        """
        ...

    async def pause(self, paused: Paused) -> bool:
        """Let what is paused stand still: what is live and what comes may not be claimed.

        False where it stood still already; what was said then stays.
        """
        ...

    async def resume(self, what: str) -> bool:
        """Let what was paused go on, but for what stands still for another reason."""
        ...

    async def paused(self) -> list[Paused]:
        """All that stands still."""
        ...

    async def live(self, instance: str) -> int: ...

    async def read_state(self, scope: str, key: str) -> bytes | None: ...

    async def read_states(self, scopes: Sequence[str], key: str) -> dict[str, bytes]:
        """The values of one key in several scopes, by those that have it."""
        ...

    async def healths(self) -> dict[str, bytes]:
        """Return what instances keep as `health`, by scope, where that is not empty: along an index."""
        ...

    async def list_state(
        self,
        scope: str,
        *,
        after: str | None = None,
        before: str | None = None,
        limit: int | None = None,
    ) -> dict[str, bytes]:
        """The keys of a scope in their order, with their values: all, or a page of them.

        after, before: only keys that come after the one, and before the other. limit: only the
        first so many.
        """
        ...

    async def write_state(self, writes: Sequence[StateWrite]) -> Written:
        """Write to state where no execution does it: by hand. All of it, or a conflict."""
        ...

    async def probe(self) -> None:
        """Write to the store, once whatever holds up accepting an event does not."""
        ...

    async def clear_state(self, scopes: Sequence[str], limit: int) -> int:
        """Remove up to `limit` keys of these scopes; returns how many it removed.

        A scope that ends in `:` stands for all that begin with it.
        """
        ...

    async def prune(self, rules: RetentionRules, limit: int) -> bool:
        """Remove up to `limit` executions, or payloads of them, that were kept for long enough.

        Live executions and dead letters are kept whole. Also removes expired dedupe keys. Returns
        whether there may be more to remove at once.
        """
        ...

    async def instances_of(self, customer: str) -> list[str]:
        """The instances that a customer has executions of; some may have been removed since."""
        ...

    async def erase(self, instance: str, limit: int) -> int:
        """Remove up to `limit` executions of an instance with all that is kept of them, live too.

        Also as many of its dedupe keys; returns how many rows of either went. Given a customer's id,
        the keys of events that were published for it.
        """
        ...

    async def execution(self, execution: str) -> Execution | None: ...

    async def executions(self, which: Filter) -> list[Execution]:
        """Return executions, without results that are large: ask for the execution itself."""
        ...

    async def page(
        self, which: Filter, after: Position | None = None, *, examine: int = MOST_EXAMINED
    ) -> Page:
        """A page of executions, the newest acceptance first, behind a place in the list.

        At most `examine` rows of each index are looked at, so it may have fewer than `limit`, even
        none, and go on (see rules/listing.py). `before`, `after` and `of_events` do not count.
        """
        ...

    async def count(self, which: Filter) -> dict[ExecutionState, int]: ...

    async def count_listed(self, which: Filter, most: int, *, examine: int) -> int | None:
        """Return how many executions `page` lists, up to `most`; None where that is not known.

        At most `examine` rows of each index are looked at, so that a count costs no more than that.
        """
        ...

    async def outcomes(self, begin: Micros, end: Micros) -> list[OutcomeCount]:
        """Count the executions of events that ended, and those that came, from `begin` until `end`."""
        ...

    async def first_end(self, since: Micros) -> Micros | None:
        """Return when the first execution ended or came since a time."""
        ...

    async def backlog(self, customer: str | None, most: int) -> tuple[int, Micros | None]:
        """Return the number of live executions, up to `most` of a customer, and when the first came."""
        ...

    async def causes(self, which: Filter) -> list[CauseGroup]:
        """Failed executions by their causes, the most first: up to `limit` groups."""
        ...

    async def tally(self, which: Filter) -> list[Tally]:
        """Return the number of executions that are alike, the most first: up to `limit` groups."""
        ...

    async def event(self, execution: str) -> Event | None: ...

    async def steps(
        self, execution: str, *, after: int | None = None, limit: int | None = None
    ) -> list[Record]:
        """Return the steps by their `seq`: all, or up to `limit` of those behind one."""
        ...

    async def step_heads(self, execution: str) -> list[Record]:
        """Return all steps without inputs; of results, those of steps that are not done."""
        ...

    async def logs(
        self, execution: str, after: int = 0, limit: int | None = None
    ) -> list[tuple[int, LogLine]]:
        """Return log lines with their numbers: all, or up to `limit` of those behind one."""
        ...

    async def attempts(self, execution: str) -> list[Attempt]: ...

    async def waits_for(self, execution: str) -> str | None:
        """One whose turn it is in the order of one that has none; None for others."""
        ...

    async def dismiss(self, execution: str) -> bool:
        """Take a failed execution off the dead letters; an order that it blocks goes on."""
        ...
