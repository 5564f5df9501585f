"""Drafts: documents that are being written, their latest edits, who writes them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from halflap.errors import ConfigError, Conflict, NotFound
from halflap.model import DraftEditor, FlowWriter, Micros, StoredDraft, StoredEdit, StoredPin
from halflap.store.catalogue.table import CatalogueNoun, IdentifiedTable
from halflap.store.catalogue.writer import Refused, conditions, one
from halflap.store.job import JobTransaction, json_text

MOST_DRAFTS = 200
"""The most drafts of a team."""
MOST_EDITS = 500
"""The latest edits of a draft that are kept, for undo and for who comes back."""
MOST_CHANGED = 16 << 20
"""The most characters that they may have together."""
PRUNED_EACH = 16
MOST_EDITORS = 100
"""The most windows in which a draft is open."""
MOST_OWN = 20
"""The most of them that are one person's, or program's."""
LEASE: Micros = 45_000_000
"""For how long an edit, or a sign of an editor, keeps a flow for its writer."""
SEEN: Micros = 45_000_000

COLUMNS = (
    "id, integration, base, components, file, revision, content, keys,"
    " made_at, changed_at, changed_by"
)
KEYS = COLUMNS.split(", ").index("keys")
SELECT = f"SELECT {COLUMNS} FROM drafts"
LISTED = SELECT.replace("content, keys", "'', '[]'")
EDITS = "SELECT revision, author, label, kind, batch, change, undone, at FROM draft_edits"
WRITERS = "SELECT flow, author, label, lease_until FROM draft_writers WHERE draft = ?"
HELD = f"{WRITERS} AND author <> ? AND lease_until > ? AND flow IN"
ADVANCE = """
UPDATE drafts SET revision = revision + 1, content = ?, keys = ?, changed_at = ?, changed_by = ?
WHERE id = ? AND revision = ? AND NOT EXISTS (SELECT 1 FROM draft_writers
    WHERE draft = ? AND author <> ? AND lease_until > ? AND flow IN ({flows}))
"""
ADD_EDIT = """
INSERT INTO draft_edits (draft, revision, author, label, kind, batch, token, change, at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
TAKE = """
INSERT INTO draft_writers (draft, flow, author, label, lease_until) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (draft, flow) DO UPDATE SET author = excluded.author, label = excluded.label,
    lease_until = excluded.lease_until
"""
TAKE_FREE = f"""{TAKE}
WHERE draft_writers.author = excluded.author OR draft_writers.lease_until <= ?
"""
SEE = """
INSERT INTO draft_editors (draft, editor, author, label, selected, seen_until)
VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (draft, editor) DO UPDATE SET label = excluded.label, selected = excluded.selected,
    seen_until = excluded.seen_until WHERE draft_editors.author = excluded.author
"""
EDITORS = """
SELECT count(*), count(CASE WHEN author = ? THEN 1 END) FROM draft_editors
WHERE draft = ? AND NOT (editor = ? AND author = ?)
"""
OLD = """
SELECT max(revision) FROM (SELECT revision,
    row_number() OVER (ORDER BY revision DESC) AS place,
    sum(length(change)) OVER (ORDER BY revision DESC) AS size
    FROM draft_edits WHERE draft = ?) AS edits WHERE place > ? OR size > ?
"""

_keys = msgspec.json.Decoder(tuple[int, ...])


class FlowHeld(Conflict):
    """Somebody else writes this flow of the draft; wait for them, or take it over."""

    def __init__(self, writer: FlowWriter) -> None:
        what = f"the flow {writer.flow}" if writer.flow else "what is in no flow"
        super().__init__(f"{writer.label} writes {what} of this draft; take it over, to write it")
        self.writer = writer


def read(row: Any) -> StoredDraft:
    """A row of `SELECT`."""
    values = list(row)
    values[KEYS] = _keys.decode(values[KEYS])
    return StoredDraft(*values)


class Drafts(IdentifiedTable[StoredDraft]):
    """Keeps drafts. No cache of the engine depends on them, so their edits count as no changes."""

    _select = SELECT
    _lacking = "no draft has the id {!r}; GET /api/drafts lists those that there are"
    _read = staticmethod(read)

    async def add(self, draft: StoredDraft) -> None:
        """Store a new draft; `ConfigError` where the team has as many as it may."""
        values = (
            draft.id, draft.integration, draft.base, draft.components, draft.file, draft.revision,
            draft.content, json_text(draft.keys), draft.made_at, draft.changed_at, draft.changed_by,
        )  # fmt: skip

        def job(connection: JobTransaction) -> Refused | None:
            if one(connection, "SELECT count(*) FROM drafts")[0] >= MOST_DRAFTS:
                return ConfigError(
                    f"there are {MOST_DRAFTS} drafts already; publish or delete one of them"
                )
            connection.execute(
                f"INSERT INTO drafts ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                values,
            )
            return None

        await self._writer.note(job)

    async def list(
        self, integration: str | None, *, before: str | None, limit: int
    ) -> Sequence[StoredDraft]:
        """Return drafts, all or those of an integration, without their texts, newest first."""
        where, values = conditions({"integration = ?": integration, "id < ?": before})
        rows = await self._writer.rows(f"{LISTED} {where} ORDER BY id DESC LIMIT {limit:d}", values)
        return [read(each) for each in rows]

    async def head(self, draft: str) -> StoredDraft:
        """A draft without its text; raises `NotFound`."""
        row = await self._writer.row(f"{LISTED} WHERE id = ?", draft)
        if row is None:
            raise self.missing(draft)
        return read(row)

    async def remove(self, draft: str) -> None:
        """Delete a draft and its edits; raises `NotFound`."""
        sql = "DELETE FROM drafts WHERE id = ?"
        await self._writer.note_by(sql, draft, lacking=self.missing(draft))

    async def rebase(self, draft: str, base: str) -> None:
        """Note the version that a draft was published as."""
        await self._writer.note_by("UPDATE drafts SET base = ? WHERE id = ?", base, draft)

    async def pinning(self, sets: Iterable[str]) -> Mapping[str, Sequence[tuple[str, str]]]:
        """Return by component set the drafts that pin it: their ids and integrations."""
        found = defaultdict[str, list[tuple[str, str]]](list)
        sql = "SELECT components, id, integration FROM drafts WHERE components IN"
        for set, id, integration in await self._writer.among(sql, sets):
            found[set].append((id, integration))
        return found

    async def pin_components(self, draft: str, set: str | None) -> None:
        """Pin a component set, or none; raises `NotFound` where the draft is gone, or the set."""

        def job(connection: JobTransaction) -> Refused | None:
            there = "SELECT 1 FROM component_sets WHERE id = ?"
            if set is not None and one(connection, there, set) is None:
                return NotFound(f"the component set {set} was deleted meanwhile; pin another")
            sql = "UPDATE drafts SET components = ? WHERE id = ?"
            return None if connection.execute(sql, (set, draft)).rowcount else self.missing(draft)

        await self._writer.note(job)

    async def advance(
        self,
        draft: StoredDraft,
        edit: StoredEdit,
        flows: Sequence[str],
        *,
        token: str | None = None,
        undoes: Iterable[int] = (),
    ) -> bool:
        """Store the next revision of a draft, with the edit that made it; False where it is another's.

        `draft` is how it is then, `flows` are those that the edit changes: whoever makes it writes
        them from now on, for a while. `undoes` are the revisions that it takes back. Raises
        `FlowHeld` where somebody else writes one of the flows.
        """
        now, id = self._clock(), draft.id
        marks = ", ".join("?" * len(flows)) or "NULL"
        held = (id, edit.author, now, *flows)
        values = (
            draft.content,
            json_text(draft.keys),
            now,
            edit.label,
            id,
            draft.revision - 1,
            *held,
        )

        def job(connection: JobTransaction) -> bool | Refused:
            if not connection.execute(ADVANCE.format(flows=marks), values).rowcount:
                row = one(connection, "SELECT revision FROM drafts WHERE id = ?", id)
                if row is None:
                    return self.missing(id)
                by = one(connection, f"{HELD} ({marks})", *held)
                return False if by is None or row[0] != draft.revision - 1 else held_by(by)
            connection.execute(
                ADD_EDIT,
                (id, edit.revision, edit.author, edit.label, edit.kind, edit.batch, token,
                 edit.change, now),
            )  # fmt: skip
            for each in flows:
                connection.execute(TAKE, (id, each, edit.author, edit.label, now + LEASE))
            for each in undoes:
                connection.execute(
                    "UPDATE draft_edits SET undone = ? WHERE draft = ? AND revision = ?",
                    (edit.revision, id, each),
                )
            if edit.revision % PRUNED_EACH == 0:
                old = one(connection, OLD, id, MOST_EDITS, MOST_CHANGED)[0]
                if old is not None:
                    connection.execute(
                        "DELETE FROM draft_edits WHERE draft = ? AND revision <= ?", (id, old)
                    )
            return True

        return await self._writer.note(job)

    async def edits(self, draft: str, after: int) -> Sequence[StoredEdit]:
        """Return the edits behind a revision that are still known, in their order."""
        rows = await self._writer.rows(
            f"{EDITS} WHERE draft = ? AND revision > ? ORDER BY revision", (draft, after)
        )
        return [StoredEdit(*each) for each in rows]

    async def edits_by(self, draft: str, author: str) -> Sequence[StoredEdit]:
        """Return somebody's edits of a draft that are still known, the latest first."""
        rows = await self._writer.rows(
            f"{EDITS} WHERE draft = ? AND author = ? ORDER BY revision DESC", (draft, author)
        )
        return [StoredEdit(*each) for each in rows]

    async def made(self, draft: str, author: str, token: str) -> str | None:
        """Return the change of somebody's edit of a draft, if it has been made already."""
        sql = "SELECT change FROM draft_edits WHERE draft = ? AND author = ? AND token = ?"
        row = await self._writer.row(sql, draft, author, token)
        return None if row is None else row[0]

    # Who has it open ----------------------------------------------------------------------------

    async def see(self, draft: str, editor: DraftEditor) -> None:
        """Note that somebody has a draft open, and goes on writing what they write."""
        now = self._clock()

        def job(connection: JobTransaction) -> Refused | None:
            if one(connection, "SELECT 1 FROM drafts WHERE id = ?", draft) is None:
                return self.missing(draft)
            connection.execute(
                "DELETE FROM draft_editors WHERE draft = ? AND seen_until <= ?", (draft, now)
            )
            others = (editor.author, draft, editor.editor, editor.author)
            windows, own = one(connection, EDITORS, *others)
            if windows >= MOST_EDITORS or own >= MOST_OWN:
                return ConfigError(
                    f"{windows} windows have this draft open already, {own} of yours"
                )
            connection.execute(
                SEE,
                (draft, editor.editor, editor.author, editor.label, editor.selected, now + SEEN),
            )
            connection.execute(
                "UPDATE draft_writers SET lease_until = ?"
                " WHERE draft = ? AND author = ? AND lease_until > ?",
                (now + LEASE, draft, editor.author, now),
            )
            return None

        await self._writer.note(job)

    async def leave(self, draft: str, editor: str, author: str) -> None:
        """Forget an editor; with the last one of somebody, what they write is free."""
        now = self._clock()

        def job(connection: JobTransaction) -> None:
            connection.execute(
                "DELETE FROM draft_editors WHERE draft = ? AND editor = ? AND author = ?",
                (draft, editor, author),
            )
            sql = "SELECT 1 FROM draft_editors WHERE draft = ? AND author = ? AND seen_until > ?"
            if one(connection, sql, draft, author, now) is None:
                connection.execute(
                    "DELETE FROM draft_writers WHERE draft = ? AND author = ?", (draft, author)
                )

        await self._writer.note(job)

    async def editors(self, draft: str) -> Sequence[DraftEditor]:
        """Return who has a draft open."""
        rows = await self._writer.rows(
            "SELECT editor, author, label, selected FROM draft_editors"
            " WHERE draft = ? AND seen_until > ? ORDER BY label, editor",
            (draft, self._clock()),
        )
        return [DraftEditor(*each) for each in rows]

    async def take(
        self, draft: str, flow: str, author: str, label: str, *, over: bool
    ) -> FlowWriter:
        """Have somebody write a flow; `FlowHeld` where another one does, unless it is taken `over`."""
        now = self._clock()
        row = (draft, flow, author, label, now + LEASE)

        def job(connection: JobTransaction) -> FlowWriter | Refused:
            if one(connection, "SELECT 1 FROM drafts WHERE id = ?", draft) is None:
                return self.missing(draft)
            connection.execute(
                "DELETE FROM draft_writers WHERE draft = ? AND lease_until <= ?", (draft, now)
            )
            sql, values = (TAKE, row) if over else (TAKE_FREE, (*row, now))
            if connection.execute(sql, values).rowcount:
                return FlowWriter(flow, author, label, now + LEASE)
            by = one(connection, f"{WRITERS} AND flow = ?", draft, flow)
            return held_by(by)

        return await self._writer.note(job)

    async def free(self, draft: str, flow: str, author: str) -> None:
        """Write a flow no longer."""
        sql = "DELETE FROM draft_writers WHERE draft = ? AND flow = ? AND author = ?"
        await self._writer.note_by(sql, draft, flow, author)

    async def writers(self, draft: str) -> Sequence[FlowWriter]:
        """Return who writes which flow of a draft."""
        rows = await self._writer.rows(
            f"{WRITERS} AND lease_until > ? ORDER BY flow", (draft, self._clock())
        )
        return [FlowWriter(*each) for each in rows]


def held_by(row: Any) -> FlowHeld:
    """Says who writes a flow."""
    return FlowHeld(FlowWriter(*row))


# Pins: what a step answers in runs of a draft, as a person has chosen it ----------------------

MOST_PINS = 200
"""The most pins of a draft."""
LARGEST_PIN = 256 * 1024
"""The most bytes of a pin, as JSON."""
MOST_PINNED = 4 << 20
"""The most bytes that the pins of a draft have together."""

PIN = """
INSERT INTO draft_pins (draft, node, digest, content, label, at) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (draft, node) DO UPDATE SET digest = excluded.digest, content = excluded.content,
    label = excluded.label, at = excluded.at
"""
OTHERS = "SELECT count(*), sum(length(content)) FROM draft_pins WHERE draft = ? AND node <> ?"


class DraftPins(CatalogueNoun):
    """Keeps pins, sealed: what was recorded of a customer may be among them. They go with their draft."""

    async def put(self, draft: str, node: int, digest: str, content: str, label: str) -> StoredPin:
        """Pin a step by its key; raises `NotFound`, and `ConfigError` where that is too much."""
        if len(content.encode()) > LARGEST_PIN:
            raise ConfigError(
                f"a pin has at most {LARGEST_PIN:,} bytes; pin a smaller value",
                fields={"value": "is too large"},
            )
        pin = StoredPin(node, digest, content, label, self._clock())
        sealed = self._vault.seal(content, place_of_pin(draft, node))

        def job(connection: JobTransaction) -> Refused | None:
            if one(connection, "SELECT 1 FROM drafts WHERE id = ?", draft) is None:
                return Drafts.missing(draft)
            count, size = one(connection, OTHERS, draft, node)
            if count >= MOST_PINS or (size or 0) + len(sealed) > MOST_PINNED:
                return ConfigError(
                    f"a draft has at most {MOST_PINS} pins, of {MOST_PINNED:,} bytes together; remove one"
                )
            connection.execute(PIN, (draft, node, digest, sealed, label, pin.at))
            return None

        await self._writer.note(job)
        return pin

    async def list(self, draft: str) -> Sequence[StoredPin]:
        """Return the pins of a draft, by the keys of their steps."""
        rows = await self._writer.rows(
            "SELECT node, digest, content, label, at FROM draft_pins WHERE draft = ? ORDER BY node",
            (draft,),
        )
        return [
            StoredPin(
                node,
                digest,
                self._vault.open(bytes(content), place_of_pin(draft, node)),
                label,
                at,
            )
            for node, digest, content, label, at in rows
        ]

    async def remove(self, draft: str, node: int) -> bool:
        """Remove a pin; False where there was none."""
        sql = "DELETE FROM draft_pins WHERE draft = ? AND node = ?"
        return bool(await self._writer.note_by(sql, draft, node))


def place_of_pin(draft: str, node: int) -> tuple[str, ...]:
    """Return the place that a pin is sealed for."""
    return ("draft_pins", draft, str(node))
