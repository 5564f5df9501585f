"""Where all tests keep their files and their figures, and which of them begin."""

from __future__ import annotations

import gc
import json
import os
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests.plainlog import plain_logs

Note = Callable[..., None]
TESTS = Path(__file__).parent
MEMORY = Path("/dev/shm")
ROOM = 4 << 30
LONG = tuple(
    TESTS / each
    for each in (
        *("faults", "simulation", "house", "bench", "server", "gateway/test_large.py"),
        *("engine/test_deployer.py", "engine/test_children.py", "engine/test_outage.py"),
        *("engine/test_probation.py", "cli/test_migration.py", "cli/test_dev.py"),
    )
)
"""Where tests are that take ten seconds and more."""


def pytest_configure(config: pytest.Config) -> None:
    """Keep files in memory where there is room, and draw the same examples in every run.

    Most of the suite's time was waiting for the disk. No test needs one: what a killed process wrote
    the kernel has, and the power is cut of a disk of the tests' own. `TMPDIR` says where else.
    The soak draws examples anew, and finds what nobody has thought of. Hypothesis' limits of time
    are off, as they measure how loaded the machine is.
    """
    plain_logs()
    soak = config.option.markexpr.startswith("soak")
    settings.register_profile(
        "suite",
        derandomize=not soak,
        max_examples=500 if soak else 20,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("suite")
    if "TMPDIR" not in os.environ and has_room(MEMORY):
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None  # so that it is asked for again


def has_room(folder: Path) -> bool:
    """Return whether a folder has room for the files of a whole run, and lets programs run."""
    if not os.access(folder, os.W_OK | os.X_OK):
        return False
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize >= ROOM and not found.f_flag & os.ST_NOEXEC


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name a case of a long text by its beginning: some have a million characters."""
    long = isinstance(val, str | bytes) and len(val) > 100
    return f"{val[:60]!r} of {len(val)}" if long else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the long ones begin, so that in the end no worker waits for another one's.

    `worksteal` gives each worker an equal part of the list, in its order, so each part begins with
    as many of the long modules.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1:
        items[:] = dealt(items, workers)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Have the garbage collector look at what tests make, and not at all tests again and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def dealt(items: Sequence[pytest.Item], workers: int) -> list[pytest.Item]:
    """The tests in as many equal parts, each with the long modules of its own first."""
    modules = [list(each) for _, each in groupby(items, lambda item: item.path)]
    long = [each for each in modules if is_long(each[0])]
    rest = [item for each in modules if not is_long(each[0]) for item in each]
    found: list[pytest.Item] = []
    for worker in range(workers):
        size = (len(items) - len(found)) // (workers - worker)
        part = [item for module in long[worker::workers] for item in module]
        more = max(size - len(part), 0)
        found += part + rest[:more]
        rest = rest[more:]
    return found + rest


def is_long(item: pytest.Item) -> bool:
    """Return whether a test is one of the long ones, which run first."""
    return any(item.path.is_relative_to(each) for each in LONG)


@pytest.fixture
def unfiltered_logs() -> Iterator[None]:
    """Log as by default: another test of the same process may have configured less."""
    before = structlog.get_config()
    plain_logs()
    yield
    structlog.configure(**before)


@pytest.fixture
def note() -> Note:
    """Notes a run's figures: printed, and kept where the report asks for them."""

    def keep(run: str, **figures: Any) -> None:
        line = json.dumps({"run": run, **figures})
        print(line)
        if path := os.environ.get("FAULT_FIGURES"):
            with Path(path).open("a") as file:
                file.write(line + "\n")

    return keep
