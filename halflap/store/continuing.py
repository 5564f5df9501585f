"""Handing over to the next of a chain, in the transaction that ends an execution."""

from __future__ import annotations

import sqlite3

from halflap.model import Continuation, Micros, position_in_chain
from halflap.store.accepting import StartRows, accept
from halflap.store.rules.continuing import PACED, SentSignal, carry

NOTE = "UPDATE executions SET chain = ?, link = ? WHERE id = ?"
PACE = "UPDATE executions SET due_at = ?, waiting_for = ? WHERE id = ?"
INHERIT_KEY = """
UPDATE executions SET dedupe_key = (SELECT dedupe_key FROM executions WHERE id = ?) WHERE id = ?
"""
# So long as the chain goes on, and as long as was declared after it.
PROLONG_KEY = """
UPDATE dedupe SET expires_at = expires_at + max(?1 - former.accepted_at, 0)
FROM executions AS former
WHERE former.id = ?2 AND dedupe.instance = former.instance AND dedupe.flow = former.flow
    AND dedupe.key = former.dedupe_key AND dedupe.execution = ?3
"""
SIGNALS = "SELECT name, payload, at, once FROM signals WHERE execution = ? ORDER BY id"
SEND = "INSERT INTO signals (execution, name, payload, at, once) VALUES (?, ?, ?, ?, ?)"


def hand_over(
    connection: sqlite3.Connection, next: StartRows, continuation: Continuation, now: Micros
) -> bool:
    """Accept the next of a chain, whose former one has just ended; False where that was done before."""
    start = next.start
    former = start.continues
    assert former is not None
    [accepted] = accept(connection, [next], now, 0, 0)
    if accepted.duplicate_of is not None:
        return False
    chain, link = position_in_chain(start)
    connection.execute(NOTE, (chain, link - 1, former))
    if continuation.at > now:
        connection.execute(PACE, (continuation.at, PACED, start.execution))
    connection.execute(INHERIT_KEY, (former, start.execution))
    connection.execute(PROLONG_KEY, (now, former, chain))
    sent = [SentSignal(*row) for row in connection.execute(SIGNALS, (former,))]
    for each in carry(former, sent, continuation.taken):
        connection.execute(SEND, (start.execution, each.name, each.payload, each.at, each.once))
    return True
