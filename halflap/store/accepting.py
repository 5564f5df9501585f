"""Accept events: dedupe, store, and claim at once where there is room."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from hashlib import blake2b

import msgspec

from halflap.model import Micros, Start, frozen, pausable
from halflap.store import reading
from halflap.store.admission import admit
from halflap.store.lineage import cancel_orphan, was_cancelled
from halflap.store.ordering import leave
from halflap.store.protocol import MOST_CRASHES, Accepted, Claim, Lease, Outdated
from halflap.store.recording import add, unheld
from halflap.store.rules.beginning import LIMITED, begin, gates_of
from halflap.store.rules.duplicate import another_event, duplicate_of

_INSERTED = (
    f"{reading.STARTED}, root, bound, record_key, dedupe_key, state, attempt, fence, started_at,"
    " claimed_at, due_at, lease_until, held, probation"
)
INSERT_EXECUTION = f"""
INSERT INTO executions ({_INSERTED}) VALUES (?{", ?" * _INSERTED.count(",")})
ON CONFLICT (id) DO NOTHING
"""
# What is replayed is dismissed, too: where the replay fails, that one is the dead letter.
DISMISS = """
UPDATE executions SET dismissed = 1
WHERE id = ? AND state = 'failed' AND dismissed = 0
"""

CONTINUED_BY = "SELECT id FROM executions WHERE chain = ? AND link = ? AND id <> ? LIMIT 1"
LIVE_REPLAY = """
SELECT id FROM executions
WHERE replay_of = ? AND id <> ? AND state IN ('queued', 'running', 'waiting') LIMIT 1
"""

NEWER = """
SELECT 1 FROM executions WHERE instance = ? AND accepted_at >= ? AND flow = ? AND order_scope = ?
    AND order_key = ? AND attempt >= ?
    AND coalesce(nullif(json_extract(replay, '$.event_at'), 0), accepted_at) > ?
    AND record_key IS coalesce(?, record_key) AND id NOT IN (SELECT value FROM json_each(?)) LIMIT 1
"""
# For `IN` SQLite would make a table of the three names.
GATE = "SELECT name, bit FROM gates WHERE name = ?"
CLOSED = f"""
{GATE} UNION ALL {GATE} UNION ALL {GATE}
UNION ALL SELECT customer, {LIMITED} FROM limits WHERE customer = ?
"""
# Right behind the execution's: its number is that of the last row.
INSERT_EVENT = "INSERT INTO events VALUES (last_insert_rowid(), ?, ?, ?, ?, ?, ?, ?, ?)"
INSERT_DEDUPE = """
INSERT INTO dedupe VALUES (?, ?, ?, ?, ?)
ON CONFLICT (instance, flow, key) DO UPDATE
    SET execution = excluded.execution, expires_at = excluded.expires_at
    WHERE dedupe.expires_at <= ?
"""
# In the place of an instance stands the customer, in that of an execution the digest of the contents.
TAKE_CONTENTS = f"{INSERT_DEDUPE} OR dedupe.execution = excluded.execution"


@frozen
class StartRows:
    """A start as rows, made before the transaction, so that a bad one hurts nobody."""

    start: Start
    execution: tuple[object, ...]
    event: tuple[object, ...]
    dedupe: tuple[object, ...] | None
    published: tuple[object, ...] | None = None


def entry(start: Start, now: Micros) -> StartRows:
    """A start's rows; raises `Rejected` where a text is none that UTF-8 can hold."""
    flow, event, order = start.flow, start.event, start.order
    key = dedupe = published = None
    if (wanted := start.dedupe) is not None:
        key = blake2b(wanted.key.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        expires_at = now + wanted.ttl
        dedupe = (flow.instance, flow.flow, key, start.execution, expires_at)
        if wanted.contents:
            published = (flow.customer, "", key, wanted.contents, expires_at)
    try:
        headers = msgspec.json.encode(event.headers)
        f"{event.method}{event.path}{event.query}{event.url}{start.key}".encode()
        if order is not None:
            f"{order.scope}{order.key}".encode()
    except UnicodeEncodeError as error:
        raise unheld(start.execution, error) from error
    return StartRows(
        start,
        (
            *reading.of_start(start, now),
            None if start.root == start.execution else start.root,
            int(start.parent is not None and start.bound),
            start.key,
            key,
        ),
        (
            event.method,
            event.path,
            event.query,
            event.url,
            event.part,
            event.received_at,
            headers,
            event.body,
        ),
        dedupe,
        published,
    )


def accept(
    connection: sqlite3.Connection,
    entries: Sequence[StartRows],
    now: Micros,
    room: int,
    until: Micros,
    all_limited: bool = False,
) -> list[Accepted]:
    """Insert events and executions; a duplicate, or a second live replay, gets the first one's id.

    What is limited is claimed later, where its limits are looked at; `all_limited` says that all are.
    """
    refuse_other_contents(connection, entries, now)
    answers: list[Accepted] = []
    for each in entries:
        start = each.start
        first = duplicate_of(start.execution, holders(connection, each, now))
        if first is not None:
            answers.append(Accepted(start.execution, duplicate_of=first))
            continue
        refuse_outdated(connection, start)
        closed = connection.execute(CLOSED, (*pausable(start.flow), start.flow.customer)).fetchall()
        held, limited = gates_of(start.flow, closed, all_limited=all_limited)
        suspect = was_set_aside(connection, start.replay_of)
        admission = None if start.order is None else admit(connection, start, now)
        standing = None if admission is None else admission.standing
        behind = standing is not None and not standing.has_turn
        orphan = start.parent is not None and was_cancelled(connection, start.parent)
        begins = begin(room, held, limited=limited, suspect=suspect, behind=behind, orphan=orphan)
        runs = begins.runs
        state = (
            ("running", 1, 1, now, now, None, until, 0, 0)
            if runs
            else ("queued", 0, 0, None, None, now, None, begins.held, int(suspect))
        )
        inserted = connection.execute(INSERT_EXECUTION, (*each.execution, *state)).rowcount
        if not inserted:
            answers.append(Accepted(start.execution))
            continue
        connection.execute(INSERT_EVENT, each.event)
        if admission is not None:
            admission.enter(connection, now)
        outcome = None if standing is None else standing.outcome
        if start.replay_of is not None and outcome is None:
            dismiss(connection, start.replay_of, now)
        if orphan:
            cancel_orphan(connection, start.parent or "", start.execution)
        if start.copied:
            add(connection, start.execution, start.copied, ())
        claim = None
        if runs:
            room -= 1
            lease = Lease(start.execution, 1, until, admission is not None, start.parent)
            claim = Claim(start, lease, attempt=1, accepted_at=now, history=start.copied)
        replaced = () if standing is None else standing.replaced
        answers.append(Accepted(start.execution, None, claim, outcome, replaced))
    return answers


def holders(connection: sqlite3.Connection, entry: StartRows, now: Micros) -> Iterator[str | None]:
    """Yield which executions have what a start wants."""
    start = entry.start
    if entry.dedupe is not None:
        yield first_of(connection, entry.dedupe, start.execution, now)
    for sql, values in (
        (CONTINUED_BY, (start.chain, start.link) if start.continues is not None else None),
        (LIVE_REPLAY, (start.replay_of,) if start.replay_of is not None else None),
    ):
        if values is not None:
            found = connection.execute(sql, (*values, start.execution)).fetchone()
            yield None if found is None else found[0]


def refuse_other_contents(
    connection: sqlite3.Connection, entries: Sequence[StartRows], now: Micros
) -> None:
    """Raise `Conflict` where the key of an event that was published is that of other contents."""
    for values in dict.fromkeys(each.published for each in entries if each.published is not None):
        if not connection.execute(TAKE_CONTENTS, (*values, now)).rowcount:
            raise another_event()


def refuse_outdated(connection: sqlite3.Connection, start: Start) -> None:
    """Raise `Outdated` where something newer has come since a replay was decided."""
    decided, order = start.decided, start.order
    if decided is None or order is None:
        return
    flow, known = start.flow, msgspec.json.encode(decided.known).decode()
    place = (flow.instance, decided.since, flow.flow, order.scope, order.key)
    which = (decided.attempt, decided.event_at, decided.key, known)
    if connection.execute(NEWER, (*place, *which)).fetchone():
        raise Outdated


def dismiss(connection: sqlite3.Connection, execution: str, now: Micros) -> bool:
    """Take an execution off the dead letters; an order that it blocks goes on."""
    dismissed = connection.execute(DISMISS, (execution,)).rowcount > 0
    if dismissed:
        leave(connection, execution, now)
    return dismissed


def first_of(
    connection: sqlite3.Connection, dedupe: tuple[object, ...], execution: str, now: Micros
) -> str | None:
    """Take the dedupe key, or find who has it; the unique index decides."""
    if connection.execute(INSERT_DEDUPE, (*dedupe, now)).rowcount:
        return None
    first: str = connection.execute(
        "SELECT execution FROM dedupe WHERE instance = ? AND flow = ? AND key = ?", dedupe[:3]
    ).fetchone()[0]
    if first == execution:
        return None
    connection.execute("UPDATE executions SET duplicates = duplicates + 1 WHERE id = ?", (first,))
    return first


def was_set_aside(connection: sqlite3.Connection, replayed: str | None) -> bool:
    """Return whether what is replayed ended its process until it was set aside."""
    if replayed is None:
        return False
    row = connection.execute("SELECT crashes FROM executions WHERE id = ?", (replayed,)).fetchone()
    return row is not None and row[0] >= MOST_CRASHES
