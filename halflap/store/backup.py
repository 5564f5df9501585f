"""A copy of a store in a file, made while its server goes on."""

from __future__ import annotations

import os
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from halflap.errors import StoreError
from halflap.store.once import make_folder, sync_names
from halflap.store.store import BLOBS, FILE


@dataclass(frozen=True, slots=True)
class Backup:
    """A finished copy: the bytes of its database, and how many blobs were new in it."""

    database_bytes: int
    blobs: int


def back_up(directory: Path, target: Path) -> Backup:
    """Copy the store in a directory to another one: the database as of one moment, then its blobs.

    A copy that is there is replaced once the new one is whole and checked; blobs, which never
    change, are only added. The master key is not copied. Blocks, and belongs into a thread.
    """
    source = directory / FILE
    if not source.exists():
        raise StoreError(f"{directory} has no store in a file ({FILE}) to back up")
    if target.resolve() == directory.resolve():
        raise StoreError(f"{target} is the store itself; back it up into another directory")
    make_folder(target)
    draft = target / f"{FILE}.new"
    try:
        _copy(source, draft)
        size = draft.stat().st_size
        draft.replace(target / FILE)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"the store cannot be backed up into {target}: {error}") from error
    finally:
        draft.unlink(missing_ok=True)
    sync_names(target)
    return Backup(size, _copy_blobs(directory / BLOBS, target / BLOBS))


def _copy(source: Path, draft: Path) -> None:
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.close(descriptor)
    reading = sqlite3.connect(f"file:{source}?mode=ro", uri=True)
    writing = sqlite3.connect(draft)
    try:
        reading.backup(writing, pages=-1)  # in one step: it begins anew at each write otherwise
        writing.execute("PRAGMA journal_mode = DELETE")
        [(found,)] = writing.execute("PRAGMA quick_check(1)").fetchall()
        if found != "ok":
            raise sqlite3.DatabaseError(f"the copy is damaged: {found}")
    finally:
        writing.close()
        reading.close()
    with draft.open("rb") as file:
        os.fsync(file.fileno())


def _copy_blobs(source: Path, target: Path) -> int:
    added = 0
    for each in sorted(source.rglob("*")) if source.exists() else ():
        to = target / each.relative_to(source)
        if not each.is_file() or to.exists():
            continue
        make_folder(to.parent)
        draft = to.with_name(f"{to.name}.new")
        try:
            shutil.copyfile(each, draft)
        except FileNotFoundError:  # it was pruned meanwhile
            draft.unlink(missing_ok=True)
            continue
        draft.chmod(0o600)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(to)
        sync_names(to.parent)
        added += 1
    return added
