"""A listener: a trigger that reads a source (a broker, a mailbox, a stream) instead of being called.

Its author writes an async generator that yields batches of messages. The platform stores a batch and
the cursor that follows it in one transaction, and only then acknowledges it at the source; the trigger's
body parses each message in the worker, as it would a request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from halflap.errors import DefinitionError
from halflap.sdk import codec

Ownership = Literal["lease", "source"]
OnExpired = Literal["earliest", "latest", "stop"]
Acknowledge = Callable[[], Awaitable[object]]

MOST_CURSOR = 100_000
"""The most characters of a cursor."""
MOST_MESSAGES = 10_000
"""The most messages of a batch: they are accepted in one transaction."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a source: it becomes one event of the flow, with its body and headers as they came.

    body: bytes as they are, anything else as JSON.
    id: what the source calls it, the same when it is delivered again; two messages of one id (and
    `version`, where a record that changes keeps its id) are one event. Leave it out where the cursor
    alone says what was read.
    key: the record that it is of, for the flow's order and for support.
    at: when the source got it.
    """

    body: Any
    headers: Mapping[str, str] | Sequence[tuple[str, str]] = field(default=(), repr=False)
    id: str | None = None
    key: str | None = None
    at: datetime | None = None
    version: str | None = None

    @property
    def content(self) -> bytes:
        """The body, as it is stored."""
        return self.body if isinstance(self.body, bytes) else codec.encode(self.body)

    @property
    def identity(self) -> str | None:
        """By what a second delivery is known; None where the cursor alone says that."""
        id = "" if self.id is None else str(self.id)  # of JSON it may be a number
        if not id:
            return None
        if self.version is None:  # an id like those below has another prefix
            return f"\0{id}" if id.startswith("\0") else id
        return f"\0{len(id)}@{id}@{self.version}"


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages that are accepted together, and the cursor behind the last of them.

    cursor: from where to read on; stored with the messages, or by itself where there are none. None
    leaves the stored one as it is. Where the source owns the shards: a cursor for each that is in the
    batch, by shard. ack: awaited once all of it is on disk. It may be lost in a crash: then the
    source delivers the messages again, and the cursor, or their ids, say that they are known.
    """

    messages: Sequence[Message] = ()
    cursor: str | Mapping[str, str] | None = None
    ack: Acknowledge | None = None

    def parts(self) -> Iterator[Batch]:
        """Yield it as batches of at most `MOST_MESSAGES`; the last has the cursor and the `ack`.

        After a crash in between all of it is read again, and the messages' ids say what is known.
        """
        last = max(len(self.messages) - 1, 0) // MOST_MESSAGES * MOST_MESSAGES
        for at in range(0, last, MOST_MESSAGES):
            yield Batch(self.messages[at : at + MOST_MESSAGES])
        yield replace(self, messages=self.messages[last:])


class CursorExpired(Exception):
    """Raised by a listener whose source no longer has what follows the cursor.

    The listener's `on_expired` says where it reads on; the gap is recorded, and shown.
    """

    def __init__(self, what: str = "the source no longer has what follows the cursor") -> None:
        super().__init__(what)


@dataclass(frozen=True, slots=True)
class ListenerSpec:
    """The declaration of a listener.

    owned_by: who says which process reads which shard. `lease`: the platform, one process for each;
    the generator runs once per shard. `source`: the source itself, as a Kafka group does; the
    generator runs once in every process, and `assign`s the shards that it is given.
    patience: how long the generator may neither yield nor call one of `Listening`'s verbs, before it
    is cut and opened again.
    on_expired: where to read on after `CursorExpired`; `stop` waits for a person.
    start: where to begin where there is no cursor. A trigger's input of the name `start` takes its place.
    tuning: the inputs that do not name the source: with another value of these the cursor stays.
    """

    owned_by: Ownership = "lease"
    patience: timedelta = timedelta(minutes=5)
    on_expired: OnExpired = "earliest"
    start: str = "now"
    tuning: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.patience <= timedelta(0):
            raise DefinitionError("a listener's patience is longer than nothing")
        if self.owned_by not in ("lease", "source"):
            raise DefinitionError(f"a listener is owned_by lease or source, not {self.owned_by!r}")
        if self.on_expired not in ("earliest", "latest", "stop"):
            raise DefinitionError(
                f"on_expired is earliest, latest or stop, not {self.on_expired!r}"
            )


@dataclass(frozen=True, slots=True)
class AssignedShard:
    """A shard that the source has given to this process: its durable cursor, and where to begin without.

    `start` is the listener's own, or what its `on_expired` says where the cursor has expired.
    """

    cursor: str | None
    start: str


class Listening:
    """One run of a listener's generator: what it reads, from where, and how fast it may.

    Subclasses belong to the platform and to tests.
    """

    name: str = ""
    """The listener's name, the same in every process and at every time: for a consumer group, say."""
    process: str = ""
    """The name of the process, the same after it was started again."""
    shard: str = ""
    """The shard to read; "" where the source has but one, or owns them."""
    cursor: str | None = None
    """The durable cursor; None where nothing was read yet, or it has expired."""
    start: str = "now"
    """Where to begin without a cursor."""

    async def credit(self, size: int) -> None:
        """Wait until about `size` bytes may be read: call it before reading.

        It waits while the customer has too much queued, or too much in memory. What was credited before
        is given back; so it is where a source is silent for long, and as the next batch is accepted.
        """
        raise NotImplementedError

    async def rest(self, seconds: float) -> None:
        """Wait, as there is nothing to read yet; ends at once where the listener is stopped."""
        raise NotImplementedError

    def beat(self) -> None:
        """Say that the source is alive though nothing comes; `patience` begins anew."""
        raise NotImplementedError

    async def gap(self, reason: str) -> None:
        """Record that the source has no longer what follows the cursor, where it is read elsewhere.

        The cursor stays: read what is missing from its time on, and then go on from a place of now.
        """
        raise NotImplementedError

    async def assign(self, shards: Sequence[str]) -> Mapping[str, AssignedShard]:
        """Take the shards that the source gives to this process; return their durable cursors.

        From now on no other process can accept from them. Read each from its cursor, whatever the
        source says of its own offsets.
        """
        raise NotImplementedError

    async def revoke(self, shards: Sequence[str]) -> None:
        """Let shards go that the source has taken from this process."""
        raise NotImplementedError

    async def expired(self, shard: str, reason: str) -> str:
        """Note that the source has no longer what follows an assigned shard's cursor: a gap, with why.

        For one shard of many, where `CursorExpired` would end the reading of all. Returns where to read
        it on, as `on_expired` says: at the `earliest`, the `latest`, or nowhere (`stop`).
        """
        raise NotImplementedError


def headers_of(message: Message) -> tuple[tuple[str, str], ...]:
    """Return a message's headers as a request has them."""
    given = message.headers
    pairs = given.items() if isinstance(given, Mapping) else given
    return tuple((str(name), str(value)) for name, value in pairs)
