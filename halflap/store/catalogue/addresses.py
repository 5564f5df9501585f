"""Addresses: by which customer, or by which value of its config, an instance is found.

An index, written with what it is made of: every plain, short value of an instance's present config
and of the connections that this names. So an event of a shared endpoint finds its instance among
any number with one look.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from halflap.model import Instance
from halflap.sdk import codec
from halflap.store.job import JobTransaction

LONGEST = 200
"""The most characters of a value by which an instance is found."""

BY_CUSTOMER = """
SELECT instances.id FROM customers JOIN instances ON instances.customer = customers.id
WHERE customers.external_id = ? AND instances.integration = ?
"""
BY_FIELD = "SELECT instance FROM addresses WHERE value = ? AND integration = ? AND field = ?"
INSERT = """
INSERT INTO addresses (integration, field, value, instance, customer, connection)
VALUES (?, ?, ?, ?, ?, ?)
"""
USES = "SELECT integration, field, instance, customer FROM addresses WHERE connection = ? AND value = ?"


def index_instance(
    connection: JobTransaction,
    instance: Instance,
    config: Mapping[str, object],
    links: Mapping[str, str],
) -> None:
    """Have an instance found by its config, in the job that gives it that."""
    connection.execute("DELETE FROM addresses WHERE instance = ?", (instance.id,))
    whose = (instance.id, instance.customer)
    for field, value in plain(config):
        if field.partition(".")[0] not in links:
            connection.execute(INSERT, (instance.integration, field, value, *whose, None))
    for field, named in links.items():
        connection.execute(INSERT, (instance.integration, field, named, *whose, named))
        (fields,) = connection.execute(
            "SELECT fields FROM connections WHERE id = ?", (named,)
        ).fetchone()
        _add(connection, instance.integration, field, whose, named, codec.decode(fields))


def index_connection(connection: JobTransaction, id: str, fields: Mapping[str, object]) -> None:
    """Have the instances that use a connection found by its fields, in the job that changes these."""
    users = connection.execute(USES, (id, id)).fetchall()
    if not users:
        return
    connection.execute("DELETE FROM addresses WHERE connection = ? AND value <> ?", (id, id))
    for integration, field, *whose in users:
        _add(connection, integration, field, (whose[0], whose[1]), id, fields)


def _add(
    connection: JobTransaction,
    integration: str,
    field: str,
    whose: tuple[str, str],
    named: str,
    fields: Mapping[str, Any],
) -> None:
    for name, value in plain(fields, f"{field}."):
        if value != named:  # which is how its own row is known
            connection.execute(INSERT, (integration, name, value, *whose, named))


def plain(values: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    """The texts and whole numbers among some values, also within objects: by dotted name."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from plain(cast(Mapping[str, object], value), f"{prefix}{name}.")
        elif isinstance(value, str | int) and not isinstance(value, bool):
            text = str(value)
            if 0 < len(text) <= LONGEST and "\0" not in text:
                yield f"{prefix}{name}", text
