"""Where all tests keep their files and their figures, and which of them begin."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests.nursery import open_nursery
from tests.plainlog import plain_logs
from tests.polling import LoopTime
from tests.zygote import PYTHON, module_of

Note = Callable[..., None]
MEMORY = Path("/dev/shm")
ROOM = 4 << 30
WAITING = {
    "tests/faults/test_hang.py": 128,
    "tests/components/test_kafka_faults.py": 94,
    "tests/listeners/test_kafka_kills.py": 82,
    "tests/components/test_kafka_sign_in.py": 70,
    "tests/components/test_kafka.py": 64,
    "tests/components/test_salesforce_changes.py": 47,
    "tests/faults/test_clock.py": 45,
    "tests/api/test_api_draft_runs.py": 43,
    "tests/listeners/test_kills.py": 42,
    "tests/engine/test_probation.py": 28,
    "tests/faults/test_soak.py": 27,
    "tests/faults/test_database.py": 26,
    "tests/server/test_many_processes.py": 25,
    "tests/components/test_imap.py": 23,
    "tests/export/test_receivers.py": 21,
    "tests/components/test_quality.py": 18,
    "tests/faults/test_salesforce_acme_answers.py": 16,
    "tests/gateway/test_large.py": 14,
    "tests/cli/test_migration.py": 13,
    "tests/faults/test_store_away.py": 13,
    "tests/sandbox/test_salesforce_sender.py": 13,
    "tests/faults/test_bulk.py": 11,
    "tests/store/test_postgres_database.py": 10,
    "tests/console/test_guide.py": 10,
    "tests/engine/test_renewal.py": 10,
    "tests/faults/test_two_way.py": 9,
    "tests/listeners/test_mailbox_kills.py": 9,
    "tests/listeners/test_queue_kills.py": 9,
    "tests/store/test_postgres_migrate.py": 9,
    "examples/tests/test_github_acme.py": 6,
    "tests/gateway/test_mail.py": 5,
}
"""The seconds of modules that have a test of four and more, and spend most of them waiting.

Both tables are written by hand, from the seconds and the CPU of each test of a whole run (CONTRIBUTING.md
says how they are taken). The run of 2026-11-30 ended with all six workers busy in its last second.
"""
COMPUTING = {
    "tests/console/test_console.py": 81,
    "tests/house/test_wheel.py": 40,
    "tests/console/test_designer_runs.py": 29,
    "tests/api/test_api_scopes.py": 25,
    "tests/console/test_designer_fields.py": 23,
    "tests/console/test_integrations.py": 23,
    "tests/console/test_managing.py": 23,
    "tests/faults/test_many.py": 23,
    "tests/console/test_designer.py": 21,
    "tests/console/test_article.py": 15,
    "tests/console/test_hostile.py": 15,
    "tests/console/test_receivers.py": 15,
    "tests/console/test_looks.py": 13,
    "tests/api/test_api_canary.py": 8,
}
"""The same of those that spend most of them on a processor."""


def pytest_configure(config: pytest.Config) -> None:
    """Keep files in memory where there is room, and draw the same examples in every run.

    Most of the suite's time was waiting for the disk. No test needs one: what a killed process wrote
    the kernel has, and the power is cut of a disk of the tests' own. `TMPDIR` says where else.
    The soak draws examples anew, and finds what nobody has thought of. Hypothesis' limits of time
    are off, as they measure how loaded the machine is.
    """
    plain_logs()
    inspect.getmodule = module_of
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


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config, specs: Sequence[Any]) -> None:
    """Have the workers of a run forked from a process that has imported the tests."""
    if sys.platform == "linux":
        python = open_nursery([str(each) for each in config.invocation_params.args], len(specs))
        for each in specs:
            each.python = python


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the long ones begin, so that in the end no worker waits for another one's.

    `worksteal` gives each worker an equal part of the list, in its order. Half of the workers begin with
    what waits, and the others meanwhile with what takes a processor.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1:
        items[:] = dealt(items, workers)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Have the garbage collector look at what tests make, and not at all tests again and again.

    It does so seven times as seldom as by Python's own threshold, with which it takes up to a twentieth
    of a worker's time.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(5_000, 10, 10)
        gc.enable()


def dealt(items: Sequence[pytest.Item], workers: int) -> list[pytest.Item]:
    """The tests in as many equal parts, each with long modules of one sort first."""
    modules = dict[str, list[pytest.Item]]()
    for each in items:
        modules.setdefault(each.nodeid.partition("::")[0], []).append(each)
    half, found = workers // 2, list[pytest.Item]()
    firsts = spread(WAITING, modules, half) + spread(COMPUTING, modules, workers - half)
    rest = [item for each in modules.values() for item in each]
    for left, first in zip(range(workers, 0, -1), firsts, strict=True):
        more = max((len(items) - len(found)) // left - len(first), 0)
        found += first + rest[:more]
        rest = rest[more:]
    return found + rest


def spread(
    seconds: Mapping[str, float], modules: dict[str, list[pytest.Item]], parts: int
) -> list[list[pytest.Item]]:
    """Take modules, the longest first, and give each to the part that is done soonest."""
    found = [list[pytest.Item]() for _ in range(parts)]
    ends = [0.0] * parts
    for name in sorted(seconds.keys() & modules.keys(), key=lambda name: (-seconds[name], name)):
        at = ends.index(min(ends))
        found[at] += modules.pop(name)
        ends[at] += seconds[name]
    return found


@functools.cache
def start_zygote() -> None:
    """Have this process' zygote import Halflap now, and not within a test's deadline."""
    subprocess.run([PYTHON, "-c", ""], check=True)


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork what the code under test starts by `sys.executable`, as in a server of the tests' own."""
    start_zygote()
    monkeypatch.setattr(sys, "executable", PYTHON)


@pytest.fixture
async def standing(monkeypatch: pytest.MonkeyPatch) -> LoopTime:
    """The time of the test's loop, which goes on only as the test lets it."""
    time = LoopTime(stands=True)
    monkeypatch.setattr(asyncio.get_running_loop(), "time", time)
    return time


@pytest.fixture
async def leaping() -> LoopTime:
    """The time of the test's loop, to its end; the test lets it leap where it would wait."""
    time = LoopTime(stands=False)
    setattr(asyncio.get_running_loop(), "time", time)  # noqa: B010
    return time


@pytest.fixture
def unfiltered_logs() -> Iterator[None]:
    """Log as by default: another test of the same process may have configured less."""
    before = structlog.get_config()
    plain_logs()
    yield
    structlog.configure(**before)


PASSED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Have what a test set up know at its end whether the test has passed."""
    report = yield
    if report.when == "call":
        item.stash[PASSED] = report.passed
    return report


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Iterator[Note]:
    """Notes a run's figures: printed, and kept with its verdict where the report asks for them."""
    rows = list[dict[str, Any]]()

    def keep(run: str, **figures: Any) -> None:
        rows.append({"run": run, **figures})
        print(json.dumps(rows[-1]))

    yield keep
    if path := os.environ.get("FAULT_FIGURES"):
        passed = request.node.stash.get(PASSED, False)
        if not rows and not passed:
            keep(request.node.name)
        with Path(path).open("a") as file:
            for row in rows:
                file.write(json.dumps({**row, "verdict": "passed" if passed else "failed"}) + "\n")
