"""Moves a store and ends itself at a moment: `copied` (before the commit) or `committed`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from halflap.store.postgres import moving


def main(directory: str, url: str, moment: str) -> None:
    """Move, and be killed."""
    commit = moving._commit  # pyright: ignore[reportPrivateUsage]

    def ended(target: Any, url: str) -> None:
        if moment == "committed":
            commit(target, url)
        os.kill(os.getpid(), signal.SIGKILL)

    moving._commit = ended  # pyright: ignore[reportPrivateUsage]
    asyncio.run(moving.move(Path(directory), url, None, lambda done, total: None))


if __name__ == "__main__":
    main(*sys.argv[1:])
