"""A file system that forgets what was not fsynced, as a machine does whose power fails.

    python lossyfs.py MOUNTPOINT [USER]

It lives in memory. Each file has what programs see, and what is on the platter: a written page gets
there with fsync or fdatasync of its file, a name with fsync of its directory (POSIX promises no
more). Commands come as lines on stdin, and each is answered by a line on stdout:

- `cut KEEP SEED`: the power fails. Of the pages on their way to the platter a share of KEEP (0 to 1)
  happens to have arrived, and by the same chance all names (a file system journals them together);
  the rest is gone. No program can read or write any more.
- `on`: the power is back.
- `settle`: bring everything to the platter, as an unmount would.
- `synced`: how many times a file was brought to the platter so far.

USER is whose the files are, where that is another one than who runs this.

The kernel's page cache writes through, and drops a file's pages when it is opened again; shared
memory maps work (SQLite's wal-index is one), which they would not with `direct_io`.
"""

from __future__ import annotations

import errno
import os
import pwd
import random
import stat
import sys
import threading
import time
import traceback
from dataclasses import dataclass, field
from typing import Any

import mfusepy as fuse

PAGE = 4096


@dataclass(slots=True, eq=False)
class File:
    """A file: what programs see (`seen`), what is on the platter, and which pages differ."""

    mode: int
    seen: bytearray = field(default_factory=bytearray)
    platter: bytearray = field(default_factory=bytearray)
    dirty: set[int] = field(default_factory=set[int])
    shortest: int | None = None
    """The least length that the file was cut to since it was last synced."""
    changed: float = field(default_factory=time.time)

    def write(self, data: bytes, offset: int) -> None:
        end = offset + len(data)
        if len(self.seen) < offset:
            self._mark(len(self.seen), offset)
            self.seen.extend(bytes(offset - len(self.seen)))
        self.seen[offset:end] = data
        self._mark(offset, end)
        self.changed = time.time()

    def truncate(self, length: int) -> None:
        if length < len(self.seen):
            del self.seen[length:]
            self.dirty = {page for page in self.dirty if page * PAGE < length}
            self.shortest = length if self.shortest is None else min(self.shortest, length)
        else:
            self._mark(len(self.seen), length)
            self.seen.extend(bytes(length - len(self.seen)))
        self.changed = time.time()

    def _mark(self, start: int, end: int) -> None:
        self.dirty.update(range(start // PAGE, (end + PAGE - 1) // PAGE))

    def sync(self) -> None:
        if self.shortest is not None:
            del self.platter[self.shortest :]
        self._bring(self.dirty)
        self.platter.extend(bytes(len(self.seen) - len(self.platter)))
        self.dirty.clear()
        self.shortest = None

    def _bring(self, pages: set[int]) -> None:
        for page in pages:
            start = page * PAGE
            data = self.seen[start : start + PAGE]
            if len(self.platter) < start:
                self.platter.extend(bytes(start - len(self.platter)))
            self.platter[start : start + len(data)] = data

    def lose(self, keep: float, chance: random.Random, *, names: bool) -> None:
        if self.shortest is not None and chance.random() < keep:
            del self.platter[self.shortest :]
        self._bring({page for page in sorted(self.dirty) if chance.random() < keep})
        self.seen = bytearray(self.platter)
        self.dirty.clear()
        self.shortest = None


@dataclass(slots=True, eq=False)
class Folder:
    """A directory: the names that programs see, and those on the platter."""

    mode: int
    seen: dict[str, Any] = field(default_factory=dict[str, Any])
    platter: dict[str, Any] = field(default_factory=dict[str, Any])
    changed: float = field(default_factory=time.time)

    def sync(self) -> None:
        self.platter = dict(self.seen)

    def lose(self, keep: float, chance: random.Random, *, names: bool) -> None:
        if not names:
            self.seen = dict(self.platter)
        self.sync()
        for each in self.seen.values():
            each.lose(keep, chance, names=names)


class LossyFs(fuse.Operations):
    """The file system as FUSE asks for it."""

    use_ns = True

    def __init__(self, user: str = "") -> None:
        known = pwd.getpwnam(user) if user else None
        self._owner = (known.pw_uid, known.pw_gid) if known else (os.getuid(), os.getgid())
        self.root = Folder(stat.S_IFDIR | 0o700)
        self.powered = True
        self.synced = 0
        self.guard = threading.RLock()
        self._handles: dict[int, File | Folder] = {}
        self._next = 1

    def cut(self, keep: float, seed: int) -> None:
        """The power fails."""
        with self.guard:
            self.powered = False
            chance = random.Random(seed)
            self.root.lose(keep, chance, names=chance.random() < keep)

    def settle(self) -> None:
        """Bring everything to the platter."""
        with self.guard:
            folders = [self.root]
            while folders:
                folder = folders.pop()
                folder.sync()
                for each in folder.seen.values():
                    each.sync()
                    if isinstance(each, Folder):
                        folders.append(each)

    def _find(self, path: str) -> Any:
        self._need_power()
        node: Any = self.root
        for name in path.split("/"):
            if not name:
                continue
            if not isinstance(node, Folder) or name not in node.seen:
                raise fuse.FuseOSError(errno.ENOENT)
            node = node.seen[name]
        return node

    def _need_power(self) -> None:
        if not self.powered:
            raise fuse.FuseOSError(errno.EIO)

    def _place(self, path: str) -> tuple[Folder, str]:
        folder, _, name = path.rpartition("/")
        return self._find(folder), name

    def _open(self, node: File | Folder) -> int:
        self._next += 1
        self._handles[self._next] = node
        return self._next

    def _opened(self, path: str, fh: int | None) -> Any:
        self._need_power()
        node = self._handles.get(fh) if fh else None
        return node if node is not None else self._find(path)

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        with self.guard:
            node = self._opened(path, fh)
            size = len(node.seen) if isinstance(node, File) else 0
            at = int(node.changed * 1e9)
            shown = {"st_mode": node.mode, "st_nlink": 1, "st_size": size, "st_ino": id(node)}
            uid, gid = self._owner
            shown |= {"st_uid": uid, "st_gid": gid, "st_blocks": -(-size // 512)}
            return shown | {"st_atime": at, "st_mtime": at, "st_ctime": at}

    def readdir(self, path: str, fh: int) -> Any:
        with self.guard:
            return [".", "..", *self._opened(path, fh).seen]

    def opendir(self, path: str) -> int:
        with self.guard:
            return self._open(self._find(path))

    def releasedir(self, path: str, fh: int) -> int:
        return self.release(path, fh)

    def mkdir(self, path: str, mode: int) -> int:
        with self.guard:
            folder, name = self._place(path)
            if name in folder.seen:
                raise fuse.FuseOSError(errno.EEXIST)
            folder.seen[name] = Folder(stat.S_IFDIR | mode)
            return 0

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        with self.guard:
            folder, name = self._place(path)
            node = folder.seen[name] = File(stat.S_IFREG | mode)
            return self._open(node)

    def open(self, path: str, flags: int) -> int:
        with self.guard:
            return self._open(self._find(path))

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        with self.guard:
            return bytes(self._opened(path, fh).seen[offset : offset + size])

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        with self.guard:
            self._opened(path, fh).write(data, offset)
            return len(data)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        with self.guard:
            self._opened(path, fh).truncate(length)
            return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        with self.guard:
            self._opened(path, fh).sync()
            self.synced += 1
            return 0

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        return self.fsync(path, datasync, fh)

    def flush(self, path: str, fh: int) -> int:
        return 0

    def release(self, path: str, fh: int) -> int:
        with self.guard:
            self._handles.pop(fh, None)
            return 0

    def unlink(self, path: str) -> int:
        with self.guard:
            folder, name = self._place(path)
            if name not in folder.seen:
                raise fuse.FuseOSError(errno.ENOENT)
            del folder.seen[name]
            return 0

    def rmdir(self, path: str) -> int:
        with self.guard:
            if self._find(path).seen:
                raise fuse.FuseOSError(errno.ENOTEMPTY)
            return self.unlink(path)

    def link(self, target: str, source: str) -> int:
        with self.guard:
            folder, name = self._place(target)
            if name in folder.seen:
                raise fuse.FuseOSError(errno.EEXIST)
            folder.seen[name] = self._find(source)
            return 0

    def rename(self, old: str, new: str) -> int:
        with self.guard:
            node = self._find(old)
            self.unlink(old)
            folder, name = self._place(new)
            folder.seen[name] = node
            return 0

    def chmod(self, path: str, mode: int) -> int:
        with self.guard:
            node = self._find(path)
            node.mode = stat.S_IFMT(node.mode) | stat.S_IMODE(mode)
            return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        return 0

    def utimens(self, path: str, times: Any = None) -> int:
        with self.guard:
            self._find(path).changed = times[1] / 1e9 if times else time.time()
            return 0

    def statfs(self, path: str) -> dict[str, int]:
        return {"f_bsize": PAGE, "f_frsize": PAGE, "f_blocks": 2**20, "f_bfree": 2**20} | {
            "f_bavail": 2**20,
            "f_namemax": 255,
        }


def obey(system: LossyFs) -> None:
    """Read commands until there are no more; one that fails is answered, too."""
    for line in sys.stdin:
        try:
            carry_out(system, line)
        except Exception:
            print(f"failed: {traceback.format_exc()!r}", flush=True)


def carry_out(system: LossyFs, line: str) -> None:
    """Do what a command says, and answer it."""
    match line.split():
        case ["cut", keep, seed]:
            system.cut(float(keep), int(seed))
        case ["on"]:
            system.powered = True
        case ["settle"]:
            system.settle()
        case ["synced"]:
            print(system.synced, flush=True)
            return
        case _:
            print(f"no such command: {line.strip()}", flush=True)
            return
    print("done", flush=True)


if __name__ == "__main__":
    lossy = LossyFs(*sys.argv[2:])
    threading.Thread(target=obey, args=(lossy,), daemon=True).start()
    fuse.FUSE(
        lossy,
        sys.argv[1],
        foreground=True,
        nothreads=True,
        allow_other=len(sys.argv) > 2,
        attr_timeout=0,
        entry_timeout=0,
        negative_timeout=0,
        default_permissions=False,
        hard_remove=True,
    )
