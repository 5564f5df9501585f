"""Forks the workers of a parallel run from a process that has collected the tests: a nursery.

Six workers that import and collect everything for themselves take a minute of CPU before the first
test. The nursery does so once; `launch` is what xdist starts as the Python of a worker: it hands its
pipes over, and waits until the worker has ended. Where there is no nursery, or it ended early, it
becomes the Python that was wanted. A worker has a configuration, hooks and a session of its own, which
gets the nursery's tests and fixtures. Where a module could not be collected, the nursery ends: each
worker collects for itself then, and tells of it. (A fork would find a module that was imported in part,
and no tests in it.)
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

ARRIVED = b"1"


def launch(address: str, words: list[str]) -> None:
    """Have a worker forked on these standard streams; return once it has ended."""
    way = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        way.connect(address)
        socket.send_fds(way, [ARRIVED], [0, 1, 2])
        if way.recv(1) == ARRIVED:
            way.recv(1)
            return
    except OSError:
        pass
    os.execv(sys.executable, [sys.executable, *words])


def open_nursery(arguments: list[str], workers: int) -> str:
    """Start a nursery that lives as long as this process; return the command of a worker's Python."""
    import atexit
    import shlex
    import shutil
    import subprocess
    import tempfile
    from pathlib import Path

    folder = Path(tempfile.mkdtemp(prefix="halflap-nursery-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    address = str(folder / "way")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.bind(address)
        door.listen(64)
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.nursery", str(door.fileno()), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[door.fileno()],
            env={**os.environ, "PYTEST_XDIST_WORKER_COUNT": str(workers)},
            cwd=Path(__file__).parents[1],
        )
    assert process.stdin is not None
    atexit.register(process.stdin.close)  # at which it ends
    process.returncode = 0  # nothing waits for it
    return shlex.join([sys.executable, "-I", "-S", __file__, address])


def nurse(door: socket.socket) -> None:
    """Fork a worker for each that comes; returns in the worker, and ends with the standard input."""
    import select

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nothing waits for them here
    while True:
        ready, _, _ = select.select([door, 0], [], [])
        if 0 in ready:
            os._exit(0)
        way, _ = door.accept()
        _, given, _, _ = socket.recv_fds(way, 1, 3)
        if os.fork():
            way.close()
            for each in given:
                os.close(each)
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        door.close()
        for number, each in enumerate(given):
            os.dup2(each, number)
            os.close(each)
        way.send(ARRIVED)
        way.detach()  # it is closed by the worker's end, which tells whoever waits
        return


def obey() -> None:
    """Run what xdist sends to a new Python, whose standard streams these are."""
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
    sys.argv = ["-c"]
    exec(eval(sys.stdin.readline()), {"__name__": "__main__"})


class Collected:
    """A plugin that gives a worker's session the tests that the nursery's has collected."""

    def __init__(self, session: pytest.Session) -> None:
        self.session, self.config, self.items = session, session.config, session.items
        self.fixtures = session._fixturemanager

    def expect_session(self) -> None:
        """Have the session that this process starts next be the one that the tests know."""
        from unittest.mock import patch

        self.patch = patch.object(type(self.session), "from_config", self.start_session)
        self.patch.start()

    def start_session(self, config: pytest.Config) -> pytest.Session:
        """Return the session that the tests know, made anew with the configuration of a worker."""
        self.patch.stop()
        self.session.__init__(config)
        config.pluginmanager.register(self)
        return self.session

    def pytest_collection(self, session: pytest.Session) -> bool:
        """Give the session its tests and their fixtures, with the hooks of each `conftest.py`."""
        from _pytest.nodes import Directory

        from halflap.testing.report import documents

        config = session.config
        documents(config).extend(documents(self.config))
        for each in {node for item in self.items for node in item.listchain()}:
            each.config = config
            if isinstance(each, Directory):
                config.pluginmanager._loadconftestmodules(
                    each.path,
                    config.getoption("importmode"),
                    rootpath=config.rootpath,
                    consider_namespace_packages=config.getini("consider_namespace_packages"),
                )
        self.fixtures.config, session._fixturemanager = config, self.fixtures
        session.items, session.testscollected = self.items, len(self.items)
        config.hook.pytest_collection_finish(session=session)
        return True


def collect(arguments: list[str]) -> Collected | None:
    """Collect what is to be run; returns None where something went wrong."""
    import pytest

    class Keep:
        """A plugin that keeps the session."""

        def pytest_sessionstart(self, session: pytest.Session) -> None:
            self.session = session

    keep = Keep()
    code = pytest.main([*arguments, "-n0", "--collect-only"], [keep])
    return None if code else Collected(keep.session)


def main(number: int, arguments: list[str]) -> None:
    """Collect the tests, and be the nursery; then, in a worker, do as it is told."""
    import gc

    gc.disable()
    collected = collect(arguments)
    if collected is None:
        return
    from hypothesis.internal.conjecture import providers

    providers._get_local_constants()  # which takes most of a second in each process
    gc.collect()
    gc.freeze()
    gc.enable()
    nurse(socket.socket(fileno=number))
    collected.expect_session()
    obey()


if __name__ == "__main__":
    if len(sys.argv) > 2 and sys.argv[1].startswith("/"):
        launch(sys.argv[1], sys.argv[2:])
    else:
        main(int(sys.argv[1]), sys.argv[2:])
