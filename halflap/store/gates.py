"""Hold executions back and release them: of instances between two states, and of pauses.

A gate's row comes first, so that whoever is accepted from then on is held; those that live already
follow in parts, so that others' writes get through. It goes with the last of its bits, so a process
that ends in between leaves nobody held without a row that says why.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from halflap.model import Micros, Paused
from halflap.store.protocol import Pinning
from halflap.store.recording import text

MOVING = 1
"""The bit of `held` that says that its instance is between two states."""
PAUSED = 4
"""The bit of `held` that says that it, its instance or its customer is paused."""
HELD_AT_ONCE = 5_000
"""The most executions that one transaction holds back or releases."""

CLOSE = """
INSERT INTO gates (name, bit, since, by, reason) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
OPEN = "DELETE FROM gates WHERE name = ? AND bit = ?"
IS_CLOSED = "SELECT 1 FROM gates WHERE name = ? AND bit = ?"
# The catalogue's row: what begins to move it closes the gate in the same transaction.
MOVES_OTHERWISE = "SELECT 1 FROM instances WHERE id = ? AND deployment <> ?"
LIST = "SELECT name, since, by, reason FROM gates WHERE bit = 4 ORDER BY since, name"
_LIVE = "executions INDEXED BY executions_live WHERE state IN ('queued', 'running', 'waiting')"
# The next instance is one seek in the index, however many executions the one before it has.
LIVE_INSTANCES = f"""
WITH RECURSIVE living (instance) AS (
    SELECT min(instance) FROM {_LIVE}
    UNION ALL
    SELECT (SELECT min(instance) FROM {_LIVE} AND instance > living.instance)
    FROM living WHERE living.instance IS NOT NULL
)
SELECT instance FROM living WHERE instance IS NOT NULL
    AND (SELECT customer FROM {_LIVE} AND instance = living.instance LIMIT 1) = ?
"""
HOLD = f"""
UPDATE executions SET held = held | :bit WHERE id IN (SELECT id FROM {_LIVE}
    AND instance = :instance AND held & :bit = 0 AND substr(flow, 1, 1) <> '$'
    AND (:flow = '' OR flow = :flow) LIMIT :most)
"""
_REPINNED = """
attempt = 0 AND replay_of IS NULL AND bound = 0
    AND flow IN (SELECT value FROM json_each(:flows))"""
LET_GO = f"""
UPDATE executions SET held = held & ~:bit,
    version = iif({_REPINNED}, :version, version), revision = iif({_REPINNED}, :revision, revision)
WHERE id IN (SELECT id FROM {_LIVE}
    AND instance = :instance AND held & :bit <> 0 AND (:flow = '' OR flow = :flow)
    AND NOT EXISTS (SELECT 1 FROM gates WHERE bit = :bit AND name <> :name
        AND name IN (customer, instance, instance || '/' || flow)) LIMIT :most)
"""

Job = Callable[[sqlite3.Connection], bool]


def close(name: str, bit: int, now: Micros, by: str = "", reason: str = "") -> Job:
    """The job that closes a gate; False where it was closed already."""
    values = (name, bit, now, text(by), text(reason))
    return lambda connection: connection.execute(CLOSE, values).rowcount > 0


def is_closed(name: str, bit: int) -> Job:
    """The job that asks whether a gate is closed."""
    return lambda connection: connection.execute(IS_CLOSED, (name, bit)).fetchone() is not None


def hold(name: str, bit: int) -> Job:
    """The job that holds the next part of those back; True while there may be more."""
    return lambda connection: _part(connection, HOLD, name, bit)


def let_go(name: str, bit: int, pinning: Pinning | None = None) -> Job:
    """The job that lets the next part go, and opens the gate with the last; True before that."""
    repinned = repinning(pinning)
    repinned["flows"] = json.dumps(repinned["flows"])
    move = (name, pinning and pinning.deployment)

    def job(connection: sqlite3.Connection) -> bool:
        if connection.execute(MOVES_OTHERWISE, move).fetchone():
            return False
        if _part(connection, LET_GO, name, bit, repinned):
            return True
        connection.execute(OPEN, (name, bit))
        return False

    return job


def paused(rows: Sequence[Any]) -> list[Paused]:
    """Rows of `LIST`."""
    return [Paused(*row) for row in rows]


def repinning(pinning: Pinning | None) -> dict[str, Any]:
    """Return the values of a statement that lets go: with no flows, nothing is pinned anew."""
    if pinning is None:
        return {"version": "", "revision": 0, "flows": []}
    return {**asdict(pinning.pin), "flows": list(pinning.flows)}


def _part(
    connection: sqlite3.Connection,
    sql: str,
    name: str,
    bit: int,
    more: Mapping[str, Any] | None = None,
) -> bool:
    left = HELD_AT_ONCE
    instance, _, flow = name.partition("/")
    instances = [instance]
    if instance.startswith(("cus_", "$")):
        instances = [row[0] for row in connection.execute(LIVE_INSTANCES, (instance,)).fetchall()]
    for each in instances:
        values = {"bit": bit, "instance": each, "flow": flow, "name": name, "most": left}
        values |= more or {}
        left -= connection.execute(sql, values).rowcount
        if left <= 0:
            return True
    return False
