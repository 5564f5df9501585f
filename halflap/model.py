"""The nouns that cross rooms, as frozen values. Words: docs/concepts.md.

Times are whole microseconds since 1970-01-01 UTC (`Micros`) wherever the store keeps them, and
`datetime` in UTC wherever an author or an API sees them.
"""

from __future__ import annotations

import builtins
import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeVar, dataclass_transform, get_args

from halflap.errors import ConfigError

T = TypeVar("T")

type_id_alphabet = "0123456789abcdefghjkmnpqrstvwxyz"

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Micros = int
Clock = Callable[[], Micros]
Monotonic = Callable[[], float]
"""Seconds that only pass, on this machine: what leases are measured with."""
Chance = Callable[[], int]
"""Draws 74 random bits, for an id."""


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[T]) -> type[T]:
    """A dataclass of what is made often: a value, which nobody changes.

    The type-checker sees to that. A frozen dataclass would as well, at every field of every one that
    is made, and so takes four times as long to make (a tenth of what a short execution took).
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)


a_dict: Any = dict
a_list: Any = list
a_set: Any = set
"""Factories for the fields of what is made often: `dict[str, T]()` takes five times as long."""


def wall_clock() -> Micros:
    """Now, as the machine's wall clock has it."""
    return time.time_ns() // 1000


def to_datetime(at: Micros) -> datetime:
    """A stored time as an aware `datetime` in UTC."""
    return EPOCH + timedelta(microseconds=at)


def to_micros(at: datetime) -> Micros:
    """A `datetime` (aware) as a stored time."""
    whole = int(at.replace(microsecond=0).timestamp())
    return whole * 1_000_000 + at.microsecond


def new_id(prefix: str, *, now: Micros | None = None, chance: int | None = None) -> str:
    """A new id: `exe_01k…`, a TypeID (a UUIDv7 in base 32), so ids sort by time.

    `now` and `chance` (74 bits: `random_bits`) are parameters so that a simulation can repeat them.
    """
    stamp = (now if now is not None else time.time_ns() // 1000) // 1000
    bits = chance if chance is not None else random_bits()
    value = (
        (stamp & 0xFFFF_FFFF_FFFF) << 80
        | 0x7 << 76
        | (bits >> 62 & 0xFFF) << 64
        | 0b10 << 62
        | (bits & 0x3FFF_FFFF_FFFF_FFFF)
    )
    for low, high, by in _halving:
        value = value & low | (value & high) << by
    return f"{prefix}_{value.to_bytes(26, 'big').translate(_digit_of).decode()}"


def timeless(id: str) -> str:
    """Return an id without its time, as the roots of children are: `exe_0000000000…`."""
    prefix, _, rest = id.partition("_")
    return f"{prefix}_{'0' * TIME_DIGITS}{rest[TIME_DIGITS:]}"


def made_at(id: str, now: Micros) -> Micros:
    """Return when an id was made, as it says itself; 0 where it says nothing, or the future."""
    digits = id.rpartition("_")[2]
    if len(digits) != 26 or not _digits.issuperset(digits):
        return 0
    made = int(digits[:TIME_DIGITS].translate(_in_python), 32) * 1000
    return made if made <= now + A_DAY else 0


A_DAY: Micros = 86_400_000_000
TIME_DIGITS = 10
"""The number of digits of an id that are its time."""

_halving = [
    (low := sum((1 << bits) - 1 << at for at in range(0, 256, lane)), low << bits, lane // 2 - bits)
    for bits, lane in ((80, 256), (40, 128), (20, 64), (10, 32), (5, 16))
]
"""The halvings of an id's 130 bits, to 5 in each byte: what of each part stays, what moves, how far."""
_digit_of = type_id_alphabet.encode() * 8
_digits = frozenset(type_id_alphabet)
_in_python = str.maketrans(type_id_alphabet, "0123456789abcdefghijklmnopqrstuv")
"""The digits of an id as those of base 32 that `int` reads."""
_drawn: list[int] = []
os.register_at_fork(after_in_child=_drawn.clear)


def random_bits() -> int:
    """74 random bits and more, from the system."""
    try:
        return _drawn.pop()
    except IndexError:
        # Many at once: asking the system lets go of the interpreter, to get it back much later.
        drawn = os.urandom(10 * 200)
        more = [int.from_bytes(drawn[at : at + 10], "big") for at in range(0, len(drawn), 10)]
        first = more.pop()
        _drawn.extend(more)
        return first


LiveState = Literal["queued", "running", "waiting"]
EndState = Literal["succeeded", "failed", "cancelled", "ignored"]
ExecutionState = Literal[LiveState, EndState]
LIVE: tuple[LiveState, ...] = get_args(LiveState)
ENDED: tuple[EndState, ...] = get_args(EndState)
ENDED_BADLY: frozenset[ExecutionState] = frozenset({"failed", "cancelled"})

InstanceState = Literal[
    "configured", "activating", "active", "upgrading", "disabling", "disabled", "failed"
]
ReceiverTrouble = Literal["disabled", "failing"]
"""`disabled`: nothing is sent to it; `failing`: it did not take the last event."""
BETWEEN: frozenset[InstanceState] = frozenset({"activating", "upgrading", "disabling"})
"""States of an instance that is on its way from one to another."""
REMOVABLE: frozenset[InstanceState] = frozenset({"configured", "disabled"})
"""States in which an instance has nothing at apps, and can be removed."""

StepStatus = Literal["succeeded", "failed", "retrying"]
StepKind = Literal[
    "trigger", "action", "step", "state", "sleep", "signal", "start", "call", "check", "pair"
]


RECEIVERS = "halflap-webhooks"
"""The built-in integration whose instances are receivers, each with a connection of its own."""
DEVELOPMENT = "cus_development"
"""The id of the reserved customer whose instances are those in which drafts run; made on first use."""


@frozen
class Customer:
    """The SaaS team's tenant. `external_id` is its id in the team's own product.

    Payloads of one that is `private` are hidden from members of the team who may not see them.
    """

    id: str
    name: str
    external_id: str | None
    created_at: Micros
    private: bool = False

    @property
    def development(self) -> bool:
        """True of the reserved customer that has the development instances."""
        return self.id == DEVELOPMENT


TeamRole = Literal["owner", "developer", "support", "viewer"]
"""The role of a member of the team; halflap/api/rights.py says what each may do."""

Access = Literal["read", "manage", "secrets"]
"""The rights of a token with what is its customer's, each with those before it: to look, to change
things, to see secrets of endpoints and links that approve."""


@frozen
class Token:
    """A token that acts for one customer at the API. The secret itself is not stored."""

    id: str
    customer: str
    access: Access
    label: str
    made_at: Micros
    expires_at: Micros


@frozen
class User:
    """A member of the team. The password itself is not stored; `has_password` says if there is one."""

    id: str
    email: str
    name: str
    role: TeamRole
    disabled: bool
    has_password: bool
    made_at: Micros
    signed_in_at: Micros | None


SignInMethod = Literal["password", "link", "oidc"]


@frozen
class UserSession:
    """A session of a user. `fresh` is the token that replaces the one that was shown, if it was due."""

    id: str
    user: User
    method: SignInMethod
    made_at: Micros
    fresh: str | None = None


@frozen
class AccessKey:
    """A key of a program, for the whole tenant. The secret itself is not stored.

    It ends with the user who made it, whose role bounds its rights; `user` is None for one that was made
    with `HALFLAP_TOKEN`. After a rotation the secret before stays good until `former_until`.
    """

    id: str
    name: str
    rights: tuple[str, ...]
    user: str | None
    role: TeamRole | None
    made_at: Micros
    renewed_at: Micros
    expires_at: Micros
    former_until: Micros
    used_at: Micros | None


@frozen
class AuditEntry:
    """A request that changed something, tried to, or showed a secret or a payload."""

    id: str
    at: Micros
    kind: str
    """The kind of the principal; `unknown` for a sign-in that was refused."""
    actor: str
    label: str
    address: str
    operation: str
    customer: str | None
    objects: Mapping[str, str]
    """The ids of what it was about, by their kind."""
    status: int
    """Of the answer; 0 while there is none."""
    changes: Mapping[str, Any]
    """By field, the values that were sent, without secrets and payloads."""
    customers: Sequence[str] = ()
    """The ids of those of which something was changed or shown, where they are several."""


@frozen
class CustomerLimits:
    """Limits of a customer's executions, over all workers. None: the default; 0: no limit.

    `concurrency` is how many run at once, `rate` how many begin in a second, `burst` how many of
    these at once after a rest, and `backlog` how many may be queued before events are refused.
    """

    concurrency: int | None = None
    rate: float | None = None
    burst: int | None = None
    backlog: int | None = None


MOST_DAYS = 36_500


@frozen
class Retention:
    """For how many days an ended execution is kept. `None`: as a more general level says.

    payload: the event, inputs and results of steps, fields of log lines, large payloads. execution:
    the rest, with outcome, result, times, steps and log lines; kept at least as long as the payload.

    `event`, `steps` and `logs` are names of 0.1.0, read from bundles published with it: the payload
    is kept for the least of them. `blobs` is ignored: large payloads go with what refers to them.

    Raises `ConfigError` where a number is not one from 1 to 36,500, or the payload would be kept
    longer than its execution.
    """

    execution: int | None = None
    payload: int | None = None
    event: InitVar[int | None] = None
    steps: InitVar[int | None] = None
    logs: InitVar[int | None] = None
    blobs: InitVar[int | None] = None

    def __post_init__(
        self, event: int | None, steps: int | None, logs: int | None, blobs: int | None
    ) -> None:
        former = [days for days in (self.payload, event, steps, logs) if days is not None]
        object.__setattr__(self, "payload", min(former, default=None))
        wrong: dict[str, str] = {}
        for each in fields(self):
            days: Any = getattr(self, each.name)
            if days is None:
                continue
            if type(days) is not int or not 1 <= days <= MOST_DAYS:
                wrong[each.name] = f"is a number of days from 1 to {MOST_DAYS:,}, not {days!r}"
            elif self.execution is not None and not wrong and days > self.execution:
                wrong[each.name] = (
                    f"is kept for {days} days, and its execution for {self.execution}"
                )
        if wrong:
            message = "; ".join(f"{name} {what}" for name, what in wrong.items())
            raise ConfigError(f"retention: {message}", fields=wrong)

    def over(self, general: Retention) -> Retention:
        """Return this retention above a more general one.

        A payload that only the general one sets is kept no longer than the execution that is set
        here; an execution that only the general one sets, at least as long as the payload here.
        """
        payload, execution = self.payload, self.execution
        if payload is None and general.payload is not None:
            payload = min(general.payload, execution or general.payload)
        if execution is None and general.execution is not None:
            execution = max(general.execution, payload or 0)
        return Retention(execution, payload)

    @property
    def payload_days(self) -> int | None:
        """For how many days the payload is kept; `None`: it goes with its execution."""
        return self.execution if self.payload is None else self.payload


@frozen
class CustomerLoad:
    """The number of a customer's executions that run now, and that are due or held back."""

    running: int
    queued: int


@frozen
class Version:
    """A published version of an integration: an immutable bundle named by its content's hash."""

    hash: str
    integration: str
    number: int
    published_at: Micros
    note: str = ""
    published_by: str = ""
    """The person or the key that published it; empty where it was the team's token."""


@frozen
class ConnectionLimits:
    """Limits of calls to an app through a connection. None: as its type declares; 0: no limit.

    `rate` is in requests a second, `burst` how many at once after a rest, `concurrency` how many
    are under way at once; all of them over all workers.
    """

    rate: float | None = None
    burst: int | None = None
    concurrency: int | None = None


@frozen
class Throttled:
    """The traffic of a connection: until when it rests and why, and its quota's state.

    `away` says that the circuit is open: what needs the app is parked, and the app is tried again at
    `until`. Else the app asked not to be called until then. `since` is when that was first found.
    """

    until: Micros = 0
    reason: str = ""
    quota: str = ""
    away: bool = False
    since: Micros = 0


@frozen
class StoredConnection:
    """One account of an app, as it is kept: plain fields, and the names of its sealed ones.

    `generation` grows with every change of its secrets; `status` is `unauthorized` once the app
    refused them, until they are mended.
    """

    id: str
    customer: str | None
    component: str
    name: str
    fields: dict[str, object]
    secret_names: tuple[str, ...]
    generation: int
    status: Literal["untested", "working", "unauthorized"]
    created_at: Micros
    limits: ConnectionLimits = ConnectionLimits()


@frozen
class Repetition:
    """The repetition of a deployment that failed: since when, how often it was, when it is next.

    `of` is the execution that failed; None as `at` while it runs again.
    """

    since: Micros
    tries: int
    of: str
    at: Micros | None = None


@frozen
class VersionPin:
    """A version with a revision of the config that fits it."""

    version: str
    revision: int


@frozen
class Instance:
    """One integration version activated for one customer with its config.

    `version` is the hash of the bundle that new events run on; `revision` numbers its config.
    `error` says why the last activation, upgrade or teardown failed; `deployment` is the execution
    that does, or did, the last of these.
    """

    id: str
    customer: str
    integration: str
    name: str
    version: str
    revision: int
    state: InstanceState
    error: str | None
    created_at: Micros
    changed_at: Micros
    deployment: str | None = None
    in_service: bool = False
    """True if it runs events, or did until its present move: it was active since its last disable."""
    repetition: Repetition | None = None
    former: VersionPin | None = None
    """The version before its last upgrade."""
    moved_by: str | None = None
    """The bulk that made its last upgrade."""
    catch_up_since: Micros | None = None
    """Since when its triggers are to be asked what was missed, once it is active."""

    @property
    def development(self) -> bool:
        """True if drafts of its integration run with its config and connections."""
        return self.customer == DEVELOPMENT

    @property
    def pin(self) -> VersionPin:
        """Return what new events run on."""
        return VersionPin(self.version, self.revision)

    def flow_key(self, flow: str) -> FlowKey:
        """Return a flow on what new events run on."""
        pin = self.version, self.revision
        return FlowKey(self.customer, self.id, self.integration, flow, *pin)


@frozen
class EndpointRecord:
    """The URL of a flow of an instance: `/hooks/<id>`; stable through redeploys and versions."""

    id: str
    instance: str
    flow: str
    open: bool


@frozen
class StoredDraft:
    """A document that is being written, at one revision.

    components: the id of the component set that is pinned. keys: the next key of a step, then those of
    its steps in their order. changed_by: the label of who edited it last.
    """

    id: str
    integration: str
    base: str | None
    components: str | None
    file: str
    revision: int
    content: str = field(repr=False)
    keys: tuple[int, ...] = field(repr=False)
    made_at: Micros
    changed_at: Micros
    changed_by: str


@frozen
class ComponentSet:
    """A project's own components as they were deployed for drafts, without an integration.

    hash: of their bundle. number: of its name. components: their names, in order.
    """

    id: str
    name: str
    number: int
    hash: str
    components: tuple[str, ...]
    published_at: Micros
    published_by: str


@frozen
class StoredPin:
    """A pin: what a step of a draft answers (JSON), by its key.

    digest: that of the step's text as it was pinned. label: the name of who pinned it.
    """

    node: int
    digest: str
    content: str = field(repr=False)
    label: str
    at: Micros


@frozen
class StoredEdit:
    """An edit of a draft, by the revision that it made; `change` is what it did, as JSON.

    kind: `edit`, `undo` or `redo`. undone: the revision that took it back, 0 where none did.
    """

    revision: int
    author: str
    label: str
    kind: str
    batch: str
    change: str = field(repr=False)
    undone: int
    at: Micros


@frozen
class FlowWriter:
    """The member of the team who writes a flow of a draft, until the lease ends."""

    flow: str
    author: str
    label: str
    lease_until: Micros


@frozen
class DraftEditor:
    """An editor of a draft: a window of a member of the team, and what is selected in it."""

    editor: str
    author: str
    label: str
    selected: str


@frozen
class OAuthApp:
    """The team's own OAuth app at the app of a component, with its secret in the clear.

    callback: where browsers come back to. origins: where the secret may be sent. endpoint: the id of
    the one URL to which the app may send the events of all accounts; `signs` where the secret that it
    signs them with is stored.
    """

    component: str
    client_id: str
    secret: str | None = field(repr=False)
    callback: str
    origins: tuple[str, ...]
    changed_at: Micros
    endpoint: str
    signs: bool = False


@frozen
class UnroutedEvent:
    """A request to an app endpoint that no flow was there to take; `event` where it is read whole."""

    id: str
    component: str
    account: str
    reason: str
    received_at: Micros
    event: Event | None = None


@frozen
class EventType:
    """A type of the events that the team's own product publishes, in one version of its schema."""

    name: str
    version: int
    schema: Mapping[str, Any] = field(hash=False)
    title: str
    description: str
    example: Any = field(hash=False)
    changed_at: Micros


@frozen
class SharedEndpoint:
    """The URL of a pre-process flow for all customers: `/hooks/<id>`, the integration's own.

    `version` is the hash that an operator picked; None: what the integration has in `production`,
    else the newest.
    """

    id: str
    integration: str
    flow: str
    version: str | None


@frozen
class FlowKey:
    """A flow of an instance, pinned to a version and a config revision.

    Of a shared endpoint, `customer` and `instance` are its owner (`owner_of`), at revision 0.
    """

    customer: str
    instance: str
    integration: str
    flow: str
    version: str
    revision: int

    @property
    def is_shared(self) -> bool:
        """True if it is of a shared endpoint, so no customer's."""
        return self.customer.startswith(SYSTEM)


@frozen
class Blob:
    """A payload that is not in its row: where it is, how large, and its digest.

    `key` is `<customer>/<32 hex digits>`, drawn at random: equal payloads of two customers, or of
    one, have nothing in common. The digest is BLAKE2b, keyed by the customer's id.
    """

    key: str
    size: int
    digest: bytes

    @property
    def customer(self) -> str:
        """The id of the customer that owns it."""
        return self.key.partition("/")[0]


@frozen
class Event:
    """An event for one flow of one instance, as raw bytes and headers.

    `large` stands for a body that is too large to be held in memory; `body` is empty then.
    """

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    received_at: Micros
    url: str = ""
    part: int = 0
    large: Blob | None = None


@frozen
class Process:
    """A process that has a store open.

    worker: the name that its claims bear. migration: the newest that its code knows.
    """

    id: str
    role: str
    worker: str
    host: str
    pid: int
    version: str
    migration: int
    started_at: Micros
    seen_at: Micros


@frozen
class Dedupe:
    """A delivery's identity within its flow: the same key within `ttl` microseconds is a duplicate."""

    key: str
    ttl: Micros = 7 * 86_400 * 1_000_000
    contents: str = ""
    """The digest of an event that was published: its customer has no other one with the key. Where one
    was accepted with other contents within `ttl`, nothing of the call is.
    """


WhenBusy = Literal["wait", "end", "replace"]


@frozen
class Order:
    """Executions of one order have their turns as they were accepted, `width` of them at once.

    Which order that is, the state says: where it has a value under (`scope`, `key`) when the
    execution is accepted, the order's name is (`scope`, that value as text), else (`scope`, `key`).

    An execution keeps its turn until it has an outcome. `when_busy`: a new one that finds no turn
    free waits; or ends at once, as ignored (`end`); or takes the place of those that have not begun
    (`replace`), which end as cancelled. `after_failure`: one that failed lets the next go; or keeps
    its turn (`block`) until it is dismissed, or a replay of it, which has its place, does not fail.
    `while_waiting`: one that sleeps, or waits for a signal or for its next try, keeps its turn; or is
    set aside until it is due (`go_on`), and then comes before those that have not begun.
    """

    scope: str
    key: str
    width: int = 1
    when_busy: WhenBusy = "wait"
    after_failure: Literal["go_on", "block"] = "go_on"
    while_waiting: Literal["block", "go_on"] = "block"


FLOW_ORDERS = "order:"
"""The prefix of the scope of a flow's own orders; these are never put together."""


@frozen
class RanBefore:
    """A child that what a replay runs again had started; `children` are those that it started itself.

    `execution` did not end well, and is what its successor replays; its event was accepted at
    `event_at`, and `asked` is the digest of the event with which the child was started. With a `digest`,
    it is a replay that ended well, or still runs: its result is taken where the child would be started
    with the event of that digest.
    """

    execution: str = ""
    event_at: Micros = 0
    digest: str = ""
    asked: str = ""
    children: Mapping[str, RanBefore] = field(default_factory=a_dict, hash=False)


@frozen
class Replay:
    """The way in which an execution replays another one; stored with it, for its lineage.

    `start`: all of it, or from the step that failed. `version`: `same`, `current`, or as it was
    named. `edited`: with another event; `edited_by`: who edited it, in this replay or in one before that
    this one takes the event of. `bulk`: the bulk that it is part of. `at`: the time at which
    the scope of the root began, where the root is kept. `roots`: the roots of children that version
    0.1.0 started, by what they would be now (see `timeless`); children of the replay inherit them.
    `children`: by their roots, those that did not end well. `before`: the root of what is run again,
    where it is not kept. `strict`: on another version a step in doubt may not be done elsewhere in the
    flow. `done`: by path, who said of a step in doubt that it was done. `repeat`: what may have been
    done is done again. `event_at`: when the event was first accepted. `chain`, `link`: the place in its
    chain of what is run again.

    One without `replay_of` is of what a replay started, or of a later one of a chain.
    """

    start: Literal["start", "failed"] = "start"
    version: str = "current"
    edited: bool = False
    bulk: str | None = None
    at: Micros = 0
    roots: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)
    children: Mapping[str, RanBefore] = field(default_factory=a_dict, hash=False)
    before: str = ""
    strict: bool = False
    done: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)
    repeat: bool = False
    event_at: Micros = 0
    chain: str = ""
    link: int = 0
    edited_by: str = ""

    @property
    def has_edited_event(self) -> bool:
        """Return whether a person wrote its event, in this replay or in one before."""
        return self.edited or self.edited_by != ""

    @property
    def goes_on(self) -> bool:
        """Return whether it goes on from a failed step, and what guards its writes is compared anew.

        Those of version 0.1.0 write whatever they find.
        """
        return self.start == "failed" and self.at > 0


@frozen
class NothingNewer:
    """The ground of a decision to replay: nothing that is newer than its event writes in its order.

    `event_at`: when its event was first accepted. `key`: the record that is meant, in an order without
    a key. `attempt`: 1 where only what has begun may write. `known`: what was accepted `since` a time
    and is newer, but writes nothing.
    """

    event_at: Micros
    since: Micros
    key: str | None = None
    attempt: int = 0
    known: tuple[str, ...] = ()


@frozen
class Start:
    """An execution to be started; starting the same id twice starts it once.

    `root` is the first of its lineage: idempotency keys are derived from it, so that resuming and
    replaying from a failed step keep them. `key` is the record's id: what support searches by.
    `order` says which others it waits for. `parent` is the execution that started it, which hears of
    its end by the signal `child_signal`; `bound` says that it is cancelled with its parent. `replay` says
    how it runs `replay_of` again. `continues` is the execution that hands over to this one as it ends;
    both are of the `chain` that is named after its first one, and `link` counts from 0 in it. `decided`
    is what still has to be so as it is accepted.
    """

    execution: str
    flow: FlowKey
    event: Event
    root: str
    dedupe: Dedupe | None = None
    key: str | None = None
    replay_of: str | None = None
    copied: tuple[Record, ...] = ()
    order: Order | None = None
    parent: str | None = None
    bound: bool = True
    replay: Replay | None = None
    continues: str | None = None
    chain: str | None = None
    link: int = 0
    decided: NothingNewer | None = None

    def found_by(self) -> Mapping[str, str]:
        """Return by what the execution is found."""
        flow = self.flow
        return {
            "execution": self.execution,
            "flow": flow.flow,
            "integration": flow.integration,
            "instance": flow.instance,
        }


@frozen
class Continuation:
    """The next of a chain, and how many signals of each name the former one has taken.

    It begins at once, or `at` a later time.
    """

    start: Start
    taken: Mapping[str, int] = field(default_factory=dict[str, int], hash=False)
    at: Micros = 0


CONTINUED = "continued"
"""The reason of an execution that has handed over to the next of its chain."""


def position_in_chain(execution: Start | Execution) -> tuple[str, int]:
    """Return the chain of an execution and its place there; that of what it replays, for a replay."""
    if execution.chain is not None:
        return execution.chain, execution.link
    if execution.replay is not None and execution.replay.chain:
        return execution.replay.chain, execution.replay.link
    return (execution.id if isinstance(execution, Execution) else execution.execution), 0


def event_time(replay: Replay | None, accepted_at: Micros) -> Micros:
    """Return when an event was first accepted: that of what is replayed, or of the first of a chain."""
    return (0 if replay is None else replay.event_at) or accepted_at


def scope_time(root: str, replay: Replay | None, event: Event, accepted_at: Micros) -> Micros:
    """Return the time at which an execution's scope begins: the same for all with its root.

    That of a child is when its parent came to the step that started it.
    """
    if replay is not None and replay.at:
        return replay.at
    if event.method == CALL and root == timeless(root):
        return event.received_at
    return accepted_at


EARLIER = "~"
"""The prefix of the path of a record that a replay has of a step of the execution before it."""


def is_ensured(record: Record) -> bool:
    """Return whether a step of a deployment is one of ours, which every deployment makes again."""
    return record.kind == "action" and "." not in record.name.partition("(")[0]


def is_earlier(record: Record) -> bool:
    """Return whether a record says how a step was tried before the replay, and is no step of it."""
    return record.path.startswith(EARLIER)


def child_signal(execution: str) -> str:
    """The name of the signal by which an execution tells its parent that it has ended."""
    return f"{SYSTEM}{execution}"


@frozen
class Started:
    """The outcome of a start: `duplicate_of` is the first one's execution where it was a duplicate."""

    execution: str
    duplicate_of: str | None = None


@frozen
class Signal:
    """A signal that was sent to a live execution, stored until its flow waits for it."""

    name: str
    payload: bytes


Sent = Literal["sent", "known", "over"]
"""The outcome of sending a signal: `sent`; `known`, sent `once` before; `over`, its execution has
ended.
"""


WaitReason = Literal[
    "pause",
    "gate",
    "order",
    "connection",
    "limit",
    "back-off",
    "signal",
    "execution",
    "sleep",
    "turn",
]
"""Kinds of waiting: a pause; an instance that is activated or upgraded; another execution's turn in
an order; a connection whose credentials are refused or whose app is away; a limit of a connection or
of the customer; the next try; a signal; an execution that was called; a time; a free worker."""


@frozen
class Failure:
    """An error as it is recorded: its class, its message, where in the author's code, and more.

    `cause` is by what failures group (store/rules/cause.py); empty in what 0.1.0 recorded.
    `in_doubt`: a request may have been carried out, and the app could not tell a second one from it.
    `step`: the path of the step of whose failure the flow failed, itself or by what it raised then.
    `branches`: the steps of whose failures branches of it ended, a hundred at most.
    """

    kind: str
    message: str
    where: str = ""
    status: int | None = None
    trace: str = ""
    cause: str = ""
    in_doubt: bool = False
    step: str = ""
    branches: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The message by itself; see `failure_text`."""
        return failure_text(self.kind, self.message)


def failure_text(kind: str, message: str) -> str:
    """Return a failure's message for where its class is not shown: `KeyError: 'total'`.

    Messages of Python's own exceptions do not read without the class.
    """
    is_clear = kind in message or not is_builtin_error(kind)
    return message if is_clear else f"{kind}: {message}"


def is_builtin_error(kind: str) -> bool:
    """Return whether the class of an error, by its name, is one of Python's own exceptions."""
    found = getattr(builtins, kind, None)
    return isinstance(found, type) and issubclass(found, BaseException)


@frozen
class Record:
    """One step of an execution as the journal keeps it.

    `path` is its identity: scope path, name, occurrence (`gather-1[42]/acme.create_account#1`).
    `inputs` and `result` are encoded values (sdk/record.py); `pure` records ride along with
    later commits. `tries` counts how often it was tried; `seq` is its place in the journal.
    """

    seq: int
    path: str
    kind: StepKind
    name: str
    title: str
    status: StepStatus
    started_at: Micros
    ended_at: Micros
    inputs: bytes | None = None
    result: bytes | None = None
    failure: Failure | None = None
    tries: int = 1
    pure: bool = False


LogLevel = Literal["debug", "info", "warning", "error"]


@frozen
class LogLine:
    """A line that an author's code logged during an execution."""

    at: Micros
    level: LogLevel
    message: str
    fields: bytes = b""
    step: str = ""


@frozen
class StateWrite:
    """A write to `ctx.state`: with `expect`, only where the value is still that one.

    `scope` is `flow:<instance>:<flow>`, `instance:<instance>` or `integration:<name>`; a `value` of
    None deletes; `expect` is the encoded value that was read, `MISSING` where there was none, and
    None writes whatever is there.

    With `merge`, the value is a JSON object whose members replace those of the stored object (one
    level deep; null removes a member), and numbers keep every digit. What is stored and is no
    object counts as an empty one.

    With `orders`, live executions whose order's name is (`scope`, `key`) move to the order named
    (`scope`, value as text); a value of None moves none.
    """

    scope: str
    key: str
    value: bytes | None
    expect: bytes | None = None
    merge: bool = False
    orders: bool = False

    def __post_init__(self) -> None:
        if self.merge and (self.value is None or self.expect is not None or self.orders):
            raise ValueError(
                f"the write to {self.key!r} merges, so it needs a value, and can neither expect one "
                "nor move orders; write the whole value, or leave out `expect` and `orders`"
            )


@frozen
class Paused:
    """A pause: events are accepted and wait. `by` and `reason` are as its author gave them.

    `what` is a customer's id, an instance's, or `<instance>/<flow>`.
    """

    what: str
    since: Micros
    by: str = ""
    reason: str = ""

    @property
    def holder(self) -> str:
        """The id of the customer or the instance of which it holds something."""
        return self.what.partition("/")[0]


def pausable(flow: FlowKey) -> tuple[str, str, str]:
    """Return the names of the pauses that hold a flow: its customer's, its instance's, its own."""
    return flow.customer, flow.instance, f"{flow.instance}/{flow.flow}"


PARKED = "connection:"
"""The prefix of `waiting_for` while an execution is parked: `connection:<id>`."""
ONCE = ":once"
"""The suffix, in the store, where its next request must not be sent twice: a bad probe."""

MISSING = b"\x00missing"

SEALED = "halflap-sealed:"
"""The prefix of a header's value that is stored sealed."""

SEALED_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})
"""The headers that are kept sealed, by name in lower case."""

CALL = "CALL"
"""The method of an event that another flow made: a typed event, which no trigger reads."""
PUBLISH = "PUBLISH"
CONTENTS = "halflap-digest"
"""The header of an event that was published with an idempotency key: a digest of its contents."""
"""The method of an event that the team's own product published; no HTTP request has it."""
MAIL = "MAIL"
"""The method of an event that came by mail; no HTTP request has it, as the edge does not know it."""

SYSTEM = "$"
"""The prefix of the names of Halflap's own flows: `$deploy`, `$teardown`. No gate holds them.

And the id of an *owner* that is no customer: `$<integration>`, of what came to its shared endpoints.
"""


def owner_of(integration: str, sender: str | None = None) -> str:
    """Return the owner of the executions of an integration's shared endpoints; with a sender, as an
    instance.

    Claims take an owner's instances in turn, so each sender has its own.
    """
    if sender is None:
        return f"{SYSTEM}{integration}"
    digest = hashlib.blake2b(sender.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{SYSTEM}{integration}~{digest}"


@frozen
class Outcome:
    """The outcome of an execution. `result` is the flow's encoded return value."""

    state: EndState
    reason: str = ""
    result: bytes | None = None
    failure: Failure | None = None


@frozen
class Execution:
    """One run of a flow for an event, as support sees it."""

    id: str
    flow: FlowKey
    state: ExecutionState
    attempt: int
    root: str
    replay_of: str | None
    key: str | None
    accepted_at: Micros
    started_at: Micros | None
    ended_at: Micros | None
    due_at: Micros | None
    reason: str
    failure: Failure | None
    result: bytes | None
    duplicates: int = 0
    waiting_for: str = ""
    dismissed: bool = False
    order: Order | None = None
    parent: str | None = None
    replay: Replay | None = None
    chain: str | None = None
    link: int = 0
    payload_removed: bool = False
    """Its event, the inputs and results of its steps and its log fields were removed since it ended."""
    cause: str | None = None
    """The mark of its failure's cause; None unless it failed, and for what 0.1.0 recorded."""
    held: int = 0
    """The bits that hold it back while it does not run; see store/schema.py."""
    ran: Micros | None = None
    """For how long its attempts ran, that of one which runs now left out; None where 0.1.0 ran it."""

    @property
    def event_at(self) -> Micros:
        """When its event was first accepted (see `event_time`)."""
        return event_time(self.replay, self.accepted_at)


@frozen
class CauseGroup:
    """Failed executions of one cause: how many, the first and the last, and where they are.

    `first_at` is when the first of them failed: before the period, too, and of a replay, when what it
    replays failed of that cause. `example` is the last one's id, `failure` its failure; `flows`
    and `instances` are their names and ids, up to a few of each; `instance_count` and `customer_count`
    count all of these.
    """

    cause: str
    count: int
    first_at: Micros
    last_at: Micros
    example: str
    failure: Failure | None
    flows: tuple[str, ...]
    instances: tuple[str, ...]
    instance_count: int
    customer_count: int


@frozen
class OutcomeCount:
    """The number of executions of a flow's version that ended alike within a period, or came within it.

    `state` is `accepted` of those that came; `cause` is empty of what did not fail. `took` is the place
    in `TOOK` of how long their attempts ran.
    """

    customer: str
    integration: str
    flow: str
    version: str
    state: str
    cause: str
    took: int
    count: int


TOOK: tuple[Micros, ...] = tuple(part * 10**power for power in range(2, 12) for part in (1, 2, 5))
"""Times, from 100 µs to 5.8 days, between which durations are counted."""


@frozen
class Tally:
    """The number of executions of a filter that are alike: of one `cause`, with one of their reasons.

    What has no cause, since it did not fail, has an empty one.
    """

    customer: str
    instance: str
    integration: str
    flow: str
    version: str
    state: ExecutionState
    cause: str
    reason: str
    count: int


def replay_of_bulk(bulk: str, chance: int) -> str:
    """Return the id of a replay of a bulk: all are of one time, the millisecond after the bulk's id."""
    return new_id("exe", now=made_at(bulk, 2**63) + 1_000, chance=chance)


def replays_of_bulk(bulk: str) -> tuple[str, str]:
    """Return the first and the last id that a replay of a bulk may have."""
    return replay_of_bulk(bulk, 0), replay_of_bulk(bulk, 2**74 - 1)


ExecutionVerb = Literal["replay", "cancel", "dismiss"]
BulkVerb = Literal["replay", "cancel", "dismiss", "upgrade"]
BulkState = Literal["running", "paused", "succeeded", "cancelled", "failed"]


@frozen
class Refusal:
    """Why a bulk could not do what it is for with an execution or an instance, by its id."""

    id: str
    why: str


@frozen
class Bulk:
    """Something that is done with many executions or instances, in the background, each of them once.

    `wanted` is what was asked for, as plain data: the filter, and how. `done` and `refused` count
    those of `total` that it has come to, `refusals` says why of the first; `after` is the last one.
    """

    id: str
    verb: BulkVerb
    wanted: dict[str, Any]
    state: BulkState
    total: int
    made_at: Micros
    done: int = 0
    refused: int = 0
    refusals: tuple[Refusal, ...] = ()
    after: str = ""
    reason: str = ""
    ended_at: Micros | None = None

    @property
    def rate(self) -> float | None:
        """The most calls a second; None for no limit."""
        return self.wanted.get("rate")


@frozen
class Rejection:
    """A request that was refused before it was accepted: why, and when."""

    endpoint: str
    at: Micros
    reason: str
    status: int
    headers: tuple[tuple[str, str], ...] = field(default=())


@frozen
class Progress:
    """Steps and log lines that an execution recorded, for whoever watches them.

    `steps` has the `seq`, path and status of each; lines come without their fields.
    """

    execution: str
    flow: FlowKey
    steps: tuple[tuple[int, str, StepStatus], ...] = ()
    lines: tuple[LogLine, ...] = ()


@frozen
class Change:
    """Something that happened to an execution, for whoever follows along."""

    execution: str
    start: Start
    state: ExecutionState
    at: Micros
    outcome: Outcome | None = None
    attempt: int = 1
    dismissed: bool = False
    """It failed before, and was taken off the dead letters now."""
