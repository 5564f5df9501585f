"""Advisory locks, held until their transaction ends: the order in which writers wait beyond rows."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

from halflap.model import FLOW_ORDERS
from halflap.store.postgres.columns import Numbers
from halflap.store.postgres.connecting import Connection

_FLOW_ORDERS = FLOW_ORDERS.encode()
SHARE = "SELECT pg_advisory_xact_lock_shared(%s)"
LOCK_ALL = "SELECT pg_advisory_xact_lock(number) FROM unnest(%s::bigint[]) AS number"


class Locks:
    """The locks of one store: several may share a database, a schema each."""

    def __init__(self, schema: str) -> None:
        self._schema = schema.encode()
        self.gates = self._number(b"gates")

    def order(self, scope: bytes, key: bytes) -> int:
        """The lock of an order, or of all those of its scope that may be put together with it.

        A flow's own orders are not; many keys share a lock, since a server has so many at most.
        """
        if scope.startswith(_FLOW_ORDERS):
            return self._number(b"order", scope, blake2b(key, digest_size=1).digest())
        return self._number(b"order", scope)

    def state(self, scope: bytes, key: bytes) -> int:
        """The lock of a key of the state, whether it has a value or not."""
        return self._number(b"state", scope, key)

    def replay(self, execution: str) -> int:
        """Return the lock of the replays of an execution, of which one may be live."""
        return self._number(b"replay", execution.encode())

    def _number(self, *of: bytes) -> int:
        parts = b"".join(b"%d:%b" % (len(each), each) for each in (self._schema, *of))
        return int.from_bytes(blake2b(parts, digest_size=8).digest(), "big", signed=True)


async def lock(connection: Connection, locks: Iterable[int]) -> None:
    """Take locks, all in the one order that everybody takes them in."""
    numbers = sorted(set(locks))
    if numbers:
        await connection.execute(LOCK_ALL, (Numbers(numbers),))


async def share(connection: Connection, number: int) -> None:
    """Take a lock together with others who share it."""
    await connection.execute(SHARE, (number,))
