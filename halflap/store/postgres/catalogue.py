"""The catalogue's tables on PostgreSQL: those of SQLite (`halflap.store.schema`), in PostgreSQL's words.

Text is compared and sorted by its bytes, as in SQLite. What is JSON there is JSON in a text here:
kept as it was written, to the last digit. What is different:

  changes       one row: how many changes the catalogue has seen. Adding to it is a change's first
                statement and its lock, so changes are one after another, whichever process makes
                them; what they look at holds until they are committed.
"""

from __future__ import annotations

import re

from halflap.store import schema

_TYPES = {"TEXT": 'text COLLATE "C"', "INTEGER": "bigint", "BLOB": "bytea"}
_TEXTS = {
    "versions": "note",
    "connections": "component fields secrets status limits",
    "instances": "state error deployment",
    "revisions": "config connections",
    "subscriptions": "remote_id data version left_because renewal",
    "rejections": "reason headers",
    "retentions": "kept",
    "bulks": "verb wanted state refusals after reason worker",
    "tokens": "access label",
    "settings": "value",
    "oauth_apps": "client_id callback origins",
    "unrouted_events": "reason",
    "event_types": "schema title description example",
    "drafts": "file content keys",
    "component_sets": "names",
    "draft_edits": "label kind batch change",
    "draft_editors": "label selected",
    "draft_writers": "label",
    "draft_pins": "digest label",
    "listener_shards": "cursor start state error waits_for gaps",
}
"""Columns by table that nothing is found by, so that they are compared by the database's own rules."""
_NUMBERS = {
    ("endpoints", "open"): "integer",
    ("rejections", "status"): "integer",
    ("rejections", "id"): "bigint GENERATED ALWAYS AS IDENTITY",
}
_TABLE = re.compile(r"(?:CREATE|ALTER) TABLE (\w+)")
_COLUMN = re.compile(r"^(    |ALTER TABLE \w+ ADD COLUMN )(\w+) (TEXT|INTEGER|BLOB)\b")
_KEYS = re.compile(r"^(    (?:PRIMARY KEY|UNIQUE) .*),\n(    FOREIGN KEY .*)$", re.MULTILINE)


def translated(script: str) -> str:
    """Return a script about the catalogue's tables in PostgreSQL's words.

    To the letter, since the checksum of a migration that was applied has to stay.
    """
    table = ""

    def column(found: re.Match[str]) -> str:
        before, name, kind = found.groups()
        other = "text" if name in _TEXTS.get(table, "").split() else _TYPES[kind]
        return f"{before}{name} {_NUMBERS.get((table, name), other)}"

    lines: list[str] = []
    for line in re.sub(r"\) STRICT(, WITHOUT ROWID)?;", ");", script).splitlines(keepends=True):
        if found := _TABLE.match(line):
            table = found[1]
        lines.append(_COLUMN.sub(column, line))
    return _KEYS.sub(r"\2,\n\1", "".join(lines))


CATALOGUE = f"""
CREATE TABLE changes (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    number bigint NOT NULL DEFAULT 0
);
INSERT INTO changes DEFAULT VALUES;
{translated(schema.CATALOGUE)}"""
