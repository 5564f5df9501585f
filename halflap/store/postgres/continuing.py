"""Handing over to the next of chains, in the transaction that ends executions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from halflap.model import Continuation, Micros, position_in_chain
from halflap.store.postgres.accepting import Acceptance, Accepting, PostgresStartRows, entry
from halflap.store.postgres.columns import Columns, Texts
from halflap.store.postgres.connecting import Connection
from halflap.store.postgres.locking import Locks
from halflap.store.rules.continuing import PACED, SentSignal, carry

ENDED = Columns("id text, now bigint")
# So long as the chain goes on, and as long as was declared after it.
PROLONG_KEYS = f"""
UPDATE dedupe SET expires_at = expires_at + greatest(w.now - former.accepted_at, 0)
FROM executions AS former JOIN {ENDED.rows} ON w.id = former.id
WHERE dedupe.instance = former.instance AND dedupe.flow = former.flow
    AND dedupe.key = former.dedupe_key AND dedupe.execution = coalesce(former.chain, former.id)
"""
LINKS = Columns("id text, chain text, link bigint")
NOTE = f"""
UPDATE executions SET chain = w.chain, link = w.link FROM {LINKS.rows} WHERE executions.id = w.id
"""
PACES = Columns("id text, at bigint")
PACE = f"""
UPDATE executions SET due_at = w.at, waiting_for = %s FROM {PACES.rows} WHERE executions.id = w.id
"""
HEIRS = Columns("id text, former text")
INHERIT_KEYS = f"""
UPDATE executions SET dedupe_key = former.dedupe_key
FROM {HEIRS.rows} JOIN executions AS former ON former.id = w.former
WHERE executions.id = w.id AND former.dedupe_key IS NOT NULL
"""
SIGNALS = """
SELECT execution, name, payload, at, once FROM signals WHERE execution = ANY(%s) ORDER BY id
"""
PASSED = Columns("execution text, name bytea, payload bytea, at bigint, once bytea")
SEND = f"""
INSERT INTO signals ({PASSED.names}) SELECT {PASSED.names}
FROM {PASSED.unnest} WITH ORDINALITY AS w ({PASSED.names}, place) ORDER BY place
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
    ended = ENDED.of((each.former, each.now) for each in following)
    await connection.execute(PROLONG_KEYS.encode(), ended)


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
    links = LINKS.of((former, each.chain, each.link - 1) for former, each in made.items())
    await connection.execute(NOTE.encode(), links)
    heirs = HEIRS.of((each.entry.start.execution, former) for former, each in made.items())
    await connection.execute(INHERIT_KEYS.encode(), heirs)
    paced = {each.entry.start.execution: each.at for each in made.values() if each.at > each.now}
    if paced:
        await connection.execute(PACE.encode(), (PACED.encode(), *PACES.of(paced.items())))
    await _send(connection, made)
    return set(made)


async def _send(connection: Connection, made: Mapping[str, NextLink]) -> None:
    cursor = await connection.execute(SIGNALS, (Texts(made),), binary=True)
    sent: dict[str, list[SentSignal]] = {}
    for execution, name, payload, at, once in await cursor.fetchall():
        asked = None if once is None else once.decode()
        sent.setdefault(execution, []).append(SentSignal(name.decode(), payload, at, asked))
    passed = [
        (
            id,
            each.name.encode(),
            each.payload,
            each.at,
            None if each.once is None else each.once.encode(),
        )
        for former, signals in sent.items()
        for id in [made[former].entry.start.execution]
        for each in carry(former, signals, made[former].taken)
    ]
    if passed:
        await connection.execute(SEND.encode(), PASSED.of(passed))
