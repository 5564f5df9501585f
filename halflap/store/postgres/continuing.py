"""Handing over to the next of chains, in the transaction that ends executions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from halflap.model import Continuation, Micros, position_in_chain
from halflap.store.postgres.accepting import Acceptance, Accepting, PostgresStartRows, entry
from halflap.store.postgres.columns import Blobs, Numbers, Texts
from halflap.store.postgres.connecting import Connection
from halflap.store.postgres.locking import Locks
from halflap.store.rules.continuing import PACED, SentSignal, carry

# So long as the chain goes on, and as long as was declared after it.
PROLONG_KEYS = """
UPDATE dedupe SET expires_at = expires_at + greatest(w.now - former.accepted_at, 0)
FROM executions AS former JOIN unnest(%s::text[], %s::bigint[]) AS w (id, now) ON w.id = former.id
WHERE dedupe.instance = former.instance AND dedupe.flow = former.flow
    AND dedupe.key = former.dedupe_key AND dedupe.execution = coalesce(former.chain, former.id)
"""
NOTE = """
UPDATE executions SET chain = w.chain, link = w.link
FROM unnest(%s::text[], %s::text[], %s::bigint[]) AS w (id, chain, link) WHERE executions.id = w.id
"""
PACE = """
UPDATE executions SET due_at = w.at, waiting_for = %s
FROM unnest(%s::text[], %s::bigint[]) AS w (id, at) WHERE executions.id = w.id
"""
INHERIT_KEYS = """
UPDATE executions SET dedupe_key = former.dedupe_key
FROM unnest(%s::text[], %s::text[]) AS w (id, former)
JOIN executions AS former ON former.id = w.former
WHERE executions.id = w.id AND former.dedupe_key IS NOT NULL
"""
SIGNALS = """
SELECT execution, name, payload, at, once FROM signals WHERE execution = ANY(%s) ORDER BY id
"""
SEND = """
INSERT INTO signals (execution, name, payload, at, once)
SELECT execution, name, payload, at, once
FROM unnest(%s::text[], %s::bytea[], %s::bytea[], %s::bigint[], %s::bytea[])
    WITH ORDINALITY AS w (execution, name, payload, at, once, place) ORDER BY place
"""


@dataclass(frozen=True, slots=True)
class NextLink:
    """The next of a chain as rows, made before the transaction, so that a bad one hurts nobody."""

    former: str
    chain: str
    link: int
    entry: PostgresStartRows
    taken: Mapping[str, int]
    now: Micros
    at: Micros

    @classmethod
    def of(cls, former: str, next: Continuation, now: Micros) -> NextLink:
        """Return the rows of what follows an execution."""
        chain, link = position_in_chain(next.start)
        return cls(former, chain, link, entry(next.start, now), next.taken, now, next.at)


async def prolong_keys(connection: Connection, following: Sequence[NextLink]) -> None:
    """Let the dedupe keys of chains live as long as these; before any execution is locked."""
    formers = Texts(each.former for each in following)
    await connection.execute(PROLONG_KEYS, (formers, Numbers(each.now for each in following)))


async def hand_over(
    connection: Connection, locks: Locks, following: Sequence[NextLink]
) -> set[str]:
    """Accept what follows executions that end, and are locked; return those that hand over by it."""
    items = [Acceptance([each.entry], each.now, 0, 0) for each in following]
    accepting = Accepting(items, "", limited=False)
    await accepting.look(connection, locks)
    await accepting.write(connection)
    made = {
        each.former: each
        for each, item in zip(following, items, strict=True)
        if item.answers[0].duplicate_of is None
    }
    if not made:
        return set()
    formers, ids = Texts(made), Texts(each.entry.start.execution for each in made.values())
    chains = Texts(each.chain for each in made.values())
    before = Numbers(each.link - 1 for each in made.values())
    await connection.execute(NOTE, (formers, chains, before))
    await connection.execute(INHERIT_KEYS, (ids, formers))
    paced = {each.entry.start.execution: each.at for each in made.values() if each.at > each.now}
    if paced:
        await connection.execute(PACE, (PACED.encode(), Texts(paced), Numbers(paced.values())))
    await _send(connection, made)
    return set(made)


async def _send(connection: Connection, made: Mapping[str, NextLink]) -> None:
    cursor = await connection.execute(SIGNALS, (Texts(made),), binary=True)
    sent: dict[str, list[SentSignal]] = {}
    for execution, name, payload, at, once in await cursor.fetchall():
        asked = None if once is None else once.decode()
        sent.setdefault(execution, []).append(SentSignal(name.decode(), payload, at, asked))
    passed = [
        (made[former].entry.start.execution, each)
        for former, signals in sent.items()
        for each in carry(former, signals, made[former].taken)
    ]
    if passed:
        await connection.execute(
            SEND,
            (
                Texts(execution for execution, _ in passed),
                Blobs(each.name.encode() for _, each in passed),
                Blobs(each.payload for _, each in passed),
                Numbers(each.at for _, each in passed),
                Blobs(None if each.once is None else each.once.encode() for _, each in passed),
            ),
        )
