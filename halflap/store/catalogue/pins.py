"""Pins of drafts: what a step answers in runs of a draft, as a person has chosen it."""

from __future__ import annotations

from collections.abc import Sequence

from halflap.errors import ConfigError
from halflap.model import StoredPin
from halflap.store.catalogue.drafts import missing
from halflap.store.catalogue.table import CatalogueNoun
from halflap.store.catalogue.writer import Refused, one
from halflap.store.job import JobTransaction

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
                return missing(draft)
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
