"""The canary: a secret of the store's own, to tell at its opening whether the master keys are its.

A server with the keys of another store would start, take events, and fail at the first secret. So
a text that everybody knows is sealed when the store is made, and has to open each time after that;
and each key that a secret names has to be there.
"""

from __future__ import annotations

import base64
import json

from halflap.errors import StoreError
from halflap.store.job import JobTransaction
from halflap.store.vault import Vault, key_id

NAME = "canary"
PLACE = ("", "store", NAME)
MEND = (
    "Put the store's own keys back (its halflap.key, or its HALFLAP_KEYS); a new key is put before "
    "the old one, not in its place."
)


def check(connection: JobTransaction, vault: Vault) -> None:
    """Raise `StoreError` where the store's secrets are not sealed with these keys; only reads."""
    envelope = find(connection)
    needed = {key_id(each) for each in (*sealed(connection), *([envelope] if envelope else []))}
    if lacking := sorted(needed - set(vault.names)):
        raise StoreError(
            f"secrets of this store are sealed with master key {spelled(lacking)}, which is not "
            f"among those given: {spelled(vault.names)}. {MEND}"
        )
    if envelope is None:
        return
    try:
        vault.open(envelope, PLACE)
    except StoreError as error:
        name = key_id(envelope)
        raise StoreError(
            f"the master key {name!r} that was given is not the {name!r} that the secrets of this "
            f"store are sealed with: only their names are the same. {MEND}"
        ) from error


def keep(connection: JobTransaction, vault: Vault) -> None:
    """Check the keys; then seal a canary where there is none, or it is under an older key."""
    check(connection, vault)
    old = find(connection)
    new = vault.seal(NAME, PLACE) if old is None else vault.rewrap(old, PLACE)
    if new != old:
        connection.execute(
            "INSERT INTO settings (name, value) VALUES (?, ?)"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (NAME, base64.b64encode(new).decode()),
        )


def find(connection: JobTransaction) -> bytes | None:
    """The canary's envelope; None in a store that was made before there was one."""
    row = connection.execute("SELECT value FROM settings WHERE name = ?", (NAME,)).fetchone()
    return None if row is None else base64.b64decode(row[0])


def sealed(connection: JobTransaction) -> list[bytes]:
    """The envelopes of endpoints and connections."""
    endpoints = [each for (each,) in connection.execute("SELECT secret FROM endpoints")]
    connections = [
        base64.b64decode(each)
        for (secrets,) in connection.execute("SELECT secrets FROM connections")
        for each in json.loads(secrets).values()
    ]
    return endpoints + connections


def spelled(names: list[str] | tuple[str, ...]) -> str:
    """Key ids in an error."""
    return ", ".join(repr(each) for each in names)
