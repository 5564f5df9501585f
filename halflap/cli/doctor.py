"""`halflap doctor`: looks at this machine, the store and the settings, and says what to mend."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import platform
import shutil
import socket
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Literal

import anyio.to_thread
import click

import halflap
from halflap.api.view import IntegrationView, VersionView
from halflap.cli.client import Client, HttpLine, has_store, local
from halflap.cli.output import Output, in_own_words, state
from halflap.cli.reach import settings_here
from halflap.cli.tunnel import PROGRAMS
from halflap.errors import ConfigError, DefinitionError, HalflapError, StoreError
from halflap.sdk import codec, registry
from halflap.server.address import ServerAddress
from halflap.server.settings import Settings
from halflap.store import canary
from halflap.store.blobs import SCHEMES
from halflap.store.store import FILE, KEY, refuse_moved
from halflap.store.vault import Vault

OLDEST_PYTHON = (3, 11)
OLDEST_SQLITE = (3, 35)
LITTLE_ROOM = 1_000_000_000
NO_ROOM = 100_000_000
IMPLAUSIBLE = 0.000_02
"""A commit that is this fast did not wait for any disk."""
SHORTEST_TOKEN = 20
SLOW = 0.05
PROBES = 20
IN_MEMORY = frozenset({"tmpfs", "ramfs"})
REMOTE = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs"})


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: how it is, and what mends it."""

    name: str
    state: Literal["ok", "warn", "fail"]
    said: str
    mend: str = ""


@click.command("doctor")
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="The server's directory; the project's .halflap, where it is not given.",
)
@click.option("--json", "as_json", is_flag=True, help="JSON, for machines.")
def doctor(directory: Path | None, as_json: bool) -> None:
    """Check this machine, the store and the settings.

    Every line is ok, warn or fail, and says what mends it; the exit code is 1 where one fails.

    Example: halflap doctor
    """
    output = Output(json=as_json)
    checks: list[Check] = [*machine()]
    try:
        settings = settings_here(dir=directory)
    except ConfigError as error:
        checks.append(Check("settings", "fail", error.message, "mend or remove the variable"))
    else:
        checks.append(Check("settings", "ok", f"read; the server's directory is {settings.dir}"))
        checks += asyncio.run(examine(settings))
    failed = any(each.state == "fail" for each in checks)
    if as_json:
        output.emit({"ok": not failed, "checks": [asdict(each) for each in checks]})
    else:
        show(output, checks)
    sys.exit(1 if failed else 0)


def show(output: Output, checks: list[Check]) -> None:
    """Show the checks, and how many are not well."""
    width = max(len(each.name) for each in checks)
    for each in checks:
        shown = state(each.state)
        shown.pad_right(4 - len(each.state))
        output.line(shown, f"  {each.name:<{width}}  {each.said}")
        if each.mend and each.state != "ok":
            output.line(" " * (width + 8), ("→ ", "bold"), each.mend)
    bad = {kind: sum(each.state == kind for each in checks) for kind in ("fail", "warn")}
    said = ", ".join(f"{count} {kind}" for kind, count in bad.items() if count)
    output.line()
    output.line((said or "all is well", "bold"))


async def examine(settings: Settings) -> list[Check]:
    """Everything that depends on the settings."""
    if settings.store:
        checks = await database(settings)
    else:
        checks = [*disk(settings.dir), *clock(settings.dir), *keys(settings)]
    server = await local(settings)
    try:
        if server is not None and (found := ServerAddress.read(settings.dir)) is not None:
            # its settings may be in a unit's file, where this command does not have them
            settings = replace(settings, public_url=settings.public_url or found.public_url)
        if not settings.store:
            checks.append(await store(settings, server))
        checks.append(port(settings, server))
        checks.append(await public_url(settings, server))
    finally:
        if server is not None:
            await server.close()
    usable = not any(each.state == "fail" and each.name in ("store", "key") for each in checks)
    checks += components()
    checks.append(await versions(settings, usable=usable))
    checks.append(tunnels())
    return checks


def machine() -> Iterator[Check]:
    """Halflap, Python, SQLite."""
    yield Check("halflap", "ok", f"{halflap.__version__} in {Path(halflap.__file__).parent}")
    found = platform.python_version()
    good = sys.version_info >= OLDEST_PYTHON
    yield Check("python", "ok" if good else "fail", found, "install Python 3.11 or newer")
    good = sqlite3.sqlite_version_info >= OLDEST_SQLITE
    mend = "install a Python with SQLite 3.35 or newer (python.org, uv and conda have it)"
    yield Check("sqlite", "ok" if good else "fail", sqlite3.sqlite_version, mend)


async def database(settings: Settings) -> list[Check]:
    """The PostgreSQL server, and the store on it."""
    try:
        from halflap.store.postgres.examination import examine, hosts
    except ImportError as error:
        mend = "install it with: pip install 'halflap[postgresql]'"
        return [Check("store", "fail", f"psycopg is missing: {error}", mend)]
    vault = Vault.from_text(settings.keys) if settings.keys else None
    look = partial(examine, settings.store, vault, kept=settings.retention)
    found = await anyio.to_thread.run_sync(look)
    there = await anyio.to_thread.run_sync(hosts, settings.store)
    checks = [Check(each.name, each.state, each.said, each.mend) for each in found]
    checks += [given_token(settings.token)] if settings.token else []
    return [*checks, blobs(settings.blobs, there | {socket.gethostname()})]


def blobs(place: str, hosts: set[str]) -> Check:
    """Check that every process reaches the payloads that are stored apart from the database."""
    if not place:
        return Check("blobs", "ok", "in the database")
    if place.startswith(SCHEMES):
        return Check("blobs", "ok", place)
    kind = file_system(Path(place))
    if len(hosts) == 1 or kind in REMOTE:
        return Check("blobs", "ok", f"{place}, on {kind or 'an unknown file system'}")
    said = (
        f"{place} is a directory of this host, and the store is open on {', '.join(sorted(hosts))}"
    )
    mend = "name one that all hosts share, or s3://bucket/prefix: others cannot read what is there"
    return Check("blobs", "warn", said, mend)


def disk(directory: Path) -> Iterator[Check]:
    """Room, the kind of file system, and whether a commit waits for the disk."""
    there = existing(directory)
    free = shutil.disk_usage(there).free
    how = "ok" if free > LITTLE_ROOM else "warn" if free > NO_ROOM else "fail"
    mend = "free some room: a full disk refuses every event with 503"
    yield Check("disk", how, f"{free / 1e9:.1f} GB free at {there}", mend)
    kind = file_system(there)
    if kind in REMOTE:
        mend = "put the store on a local disk: SQLite's log is not safe on this one"
        yield Check("file system", "fail", f"{kind}, which is on another machine", mend)
    try:
        seconds = commit_seconds(there)
    except OSError as error:
        mend = "let this user write there, or name another directory with HALFLAP_DIR"
        yield Check("commit", "fail", f"{there} cannot be written: {error.strerror}", mend)
        return
    said = f"{seconds * 1e3:.2f} ms for a write and fsync, on {kind or 'an unknown file system'}"
    if kind in IN_MEMORY:
        mend = "keep it on a disk: what is in memory is gone when the machine stops"
        yield Check("commit", "warn", f"{said}, which is in memory", mend)
    elif seconds < IMPLAUSIBLE:
        mend = "does this disk really write on fsync? Acknowledged events may be lost at power loss"
        yield Check("commit", "warn", f"{said}: faster than a disk can be", mend)
    elif seconds > SLOW:
        mend = "a faster disk makes every acknowledgement faster"
        yield Check("commit", "warn", f"{said}: slow", mend)
    else:
        yield Check("commit", "ok", said)


def clock(directory: Path) -> Iterator[Check]:
    """Check whether the clock went back since the store was written."""
    written = [
        each.stat().st_mtime
        for each in (directory / "halflap.db", directory / "halflap.db-wal")
        if each.exists()
    ]
    ahead = max(written, default=0.0) - time.time()
    mend = "set the clock (NTP): what is due, and what is too old, is judged by it"
    if ahead > 5:
        yield Check("clock", "fail", f"it is {ahead:.0f} s behind the store's last write", mend)
    elif time.gmtime().tm_year < 2025:
        yield Check("clock", "fail", f"it says {time.strftime('%F %T')}", mend)
    else:
        yield Check("clock", "ok", time.strftime("%F %T %Z"))


def keys(settings: Settings) -> Iterator[Check]:
    """Check who may read the key of the secrets, whether it is this store's, and the token."""
    if not has_store(settings.dir):
        return
    for name, what, given in (
        ("halflap.key", "key", settings.keys),
        ("token", "token", settings.token),
    ):
        file = settings.dir / name
        if what == "key" and (said := foreign(settings)):
            yield Check(what, "fail", said, "the server does not start with another store's key")
        elif given:
            yield Check(what, "ok", "from HALFLAP_KEYS") if what == "key" else given_token(given)
        elif not file.exists():
            if what == "key":
                mend = "put its copy back; without it, the store's secrets cannot be read"
                yield Check(what, "fail", f"{file} is missing", mend)
        elif file.stat().st_mode & 0o077:
            yield Check(what, "fail", f"others may read {file}", f"chmod 600 {file}")
        else:
            yield Check(what, "ok", f"only its owner may read {file}")


def given_token(token: str) -> Check:
    """Check that the team's token, which may do everything, is none that can be guessed."""
    said = "from HALFLAP_TOKEN"
    if len(token) >= SHORTEST_TOKEN:
        return Check("token", "ok", said)
    mend = "make one with: head -c 32 /dev/urandom | base64"
    return Check("token", "warn", f"{said}, of {len(token)} characters: it can be guessed", mend)


def foreign(settings: Settings) -> str:
    """Return the store's message about keys that are not its own; nothing where they are."""
    key, database = settings.dir / KEY, settings.dir / FILE
    if not settings.keys and (not key.exists() or key.stat().st_mode & 0o077):
        return ""
    try:
        vault = Vault.from_text(settings.keys) if settings.keys else Vault.from_file(key)
        with read_only(database) as reading:
            canary.check(reading, vault)
    except StoreError as error:
        return error.message
    except sqlite3.Error:  # the store's own check says what is wrong with it
        return ""
    return ""


def read_only(database: Path) -> contextlib.closing[sqlite3.Connection]:
    """Open a store's file without changing it."""
    return contextlib.closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True))


async def store(settings: Settings, server: HttpLine | None) -> Check:
    """Check that the store opens, or name the process that has it."""
    if server is not None:
        health = await server.health()
        said = f"open in the server at {server.where}, version {health['version']}"
        if health["version"] != halflap.__version__:
            return Check("store", "warn", said, f"restart it: this is {halflap.__version__}")
        return Check("store", "ok", said)
    try:
        refuse_moved(settings.dir)
    except StoreError as error:
        return Check("store", "fail", error.message, "set HALFLAP_STORE and HALFLAP_KEYS")
    if not has_store(settings.dir):
        return Check("store", "ok", "none yet; halflap dev or halflap serve makes it")
    if holder := locked_by(settings.dir):
        mend = f"is it a server that hangs? Look at process {holder}, or stop it"
        return Check("store", "fail", f"process {holder} has it open, and does not answer", mend)
    database = settings.dir / "halflap.db"
    try:
        with read_only(database) as reading:
            reading.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        mend = "put a backup back; do not delete its -wal file, it holds the newest commits"
        return Check("store", "fail", f"{database} cannot be read: {error}", mend)
    return Check("store", "ok", f"{database}, {database.stat().st_size / 1e6:.1f} MB")


def port(settings: Settings, server: HttpLine | None) -> Check:
    """Check that the server's port is free, or ours."""
    if server is not None:
        return Check("port", "ok", f"the server listens at {server.where}")
    with socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            mend = "stop what uses it, or choose another with HALFLAP_PORT"
            said = f"{settings.host}:{settings.port} cannot be used: {error.strerror}"
            return Check("port", "fail", said, mend)
    return Check("port", "ok", f"{settings.host}:{settings.port} is free")


async def public_url(settings: Settings, server: HttpLine | None) -> Check:
    """Check that senders reach this server at the URL that they are given."""
    name, url = "public url", settings.public_url
    if not url and settings.store:
        said = "none: a server here tells apps its own address, gateways and workers do not start"
        mend = "set HALFLAP_PUBLIC_URL, the same in every process on the store"
        return Check(name, "warn", said, mend)
    if not url:
        said = "none: senders on this machine only. halflap dev --tunnel opens one"
        return Check(name, "ok", said)
    if server is None:
        return Check(name, "ok", f"{url}; it is tried while a server runs")
    line = HttpLine.opened(url, "")
    try:
        await line.health()
    except (HalflapError, codec.NotJson) as error:
        said = error.message if isinstance(error, HalflapError) else f"{url} is another server"
        mend = "does the proxy or the tunnel lead here? Senders get this address"
        return Check(name, "warn", said, mend)
    finally:
        await line.close()
    return Check(name, "ok", f"{url} leads to a Halflap server")


def components() -> Iterator[Check]:
    """Check that the installed components load."""
    good: list[str] = []
    for each in registry.names():
        try:
            registry.component(each)
            good.append(each)
        except DefinitionError as error:
            mend = "update it, or remove its package"
            yield Check("components", "fail", f"{each}: {error.message}", mend)
    yield Check("components", "ok", ", ".join(good))


async def versions(settings: Settings, *, usable: bool) -> Check:
    """Check that what is deployed, or has instances, loads here, whatever Halflap published it."""
    name = "versions"
    if not usable or not (settings.store or has_store(settings.dir)):
        return Check(name, "ok", "none to look at")
    try:
        async with Client.connect(settings) as api:
            wrong: list[str] = []
            former: list[str] = []
            count = 0
            for each in await api.list(IntegrationView, "integrations"):
                newest = each.versions[0].hash
                for hash in dict.fromkeys([newest, *each.targets.values(), *each.instances]):
                    count += 1
                    at = ("integrations", each.name, "versions", hash)
                    found = await api.get(VersionView, *at)
                    on = each.instances.get(hash, 0)
                    used = "1 instance" if on == 1 else f"{on} instances"
                    for some, texts in (wrong, [found.error or ""]), (former, found.warnings):
                        some += (
                            f"{each.name} version {found.number} ({used}): "
                            + in_own_words(" ".join(text.split()))
                            for text in texts
                            if text
                        )
    except HalflapError as error:
        return Check(name, "fail", error.message, "mend that, then look again")
    if wrong:
        mend = "install what it needs; or mend it, deploy it, and upgrade its instances"
        return Check(name, "fail", "; ".join([*wrong, *former]), mend)
    if former:
        mend = "it runs as it did; the next deploy is refused until that is mended"
        return Check(name, "warn", "; ".join(former), mend)
    return Check(name, "ok", f"{count} deployed or with instances, and loadable")


def tunnels() -> Check:
    """Check which tunnels `halflap dev --tunnel` may use."""
    there = [each.name for each in PROGRAMS if shutil.which(each.name)]
    said = ", ".join(there) or "neither cloudflared nor ngrok; only halflap dev --tunnel needs one"
    return Check("tunnels", "ok", said)


def existing(directory: Path) -> Path:
    """A directory, or the nearest above it that exists."""
    whole = directory.absolute()
    return next(each for each in (whole, *whole.parents) if each.is_dir())


def file_system(directory: Path) -> str:
    """The kind of file system that a directory is on; nothing where it is not known."""
    whole, best, kind = directory.resolve(), "", ""
    with contextlib.suppress(OSError):
        for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
            _, mount, name, *_ = line.split(" ")
            mount = mount.replace("\\040", " ")
            if whole.is_relative_to(mount) and len(mount) >= len(best):
                best, kind = mount, name
    return kind


def commit_seconds(directory: Path) -> float:
    """Return the seconds until a write is on disk."""
    with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
        times: list[float] = []
        for _ in range(PROBES):
            began = time.perf_counter()
            file.write(b"." * 4096)
            os.fsync(file.fileno())
            times.append(time.perf_counter() - began)
    return median(times)


def locked_by(directory: Path) -> str:
    """The process that has the store open; nothing where none has."""
    lock = directory / "halflap.lock"
    with contextlib.suppress(FileNotFoundError), lock.open("r", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return file.read(20).strip() or "another"
    return ""
