"""The next version (tests/newer.py) with a fault: what its migration does first takes from old code."""

from __future__ import annotations

from dataclasses import replace

from halflap.cli import main
from halflap.store.postgres.schema import MIGRATIONS
from tests import newer

MIGRATIONS[-1] = replace(
    MIGRATIONS[-1],
    before=newer.BEFORE + "ALTER TABLE executions RENAME COLUMN record_key TO renamed;",
)

if __name__ == "__main__":
    main()
