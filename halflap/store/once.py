"""A file that is written once and then only read: whole or not at all, whatever happens meanwhile."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write_once(path: Path, text: str) -> None:
    """Write a file for its owner only, unless it is there already; on return it is on disk.

    It is written beside `path` and linked there: whoever comes first wins, and whole.
    """
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
        sync_names(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Make a directory for its owner only, with its parents; on return they are on disk."""
    made = [each for each in (path, *path.parents) if not each.exists()]
    for each in reversed(made):
        each.mkdir(mode=0o700, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)
    for each in made:
        sync_names(each.parent)


def sync_names(folder: Path) -> None:
    """Bring a directory's names to disk: without it a power cut may take what was made there."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
