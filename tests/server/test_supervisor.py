"""A server that dies is started again; one that cannot start, or was stopped, is not."""

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

import pytest

from halflap.engine.watchdog import FILE
from halflap.errors import ConfigError, InDoubt, StoreLocked
from halflap.server.supervisor import AGAIN, CANNOT_START, exit_code
from halflap.store.store import Store
from tests.polling import DEADLINE, until
from tests.served import served
from tests.zygote import PYTHON

SUPERVISED = """
import sys
from halflap.server.settings import Settings
from halflap.server.supervisor import supervise
settings = Settings(drain_seconds=float(sys.argv[2]))
sys.exit(supervise([sys.executable, "-c", sys.argv[1]], settings, lambda: None))
"""


ASKED_AS_IT_STARTS_AGAIN = """
import os, signal, subprocess
start, starts = subprocess.Popen, []
def asked(*args, **more):
    starts.append(start(*args, **more))
    if len(starts) == 2: os.kill(os.getpid(), signal.SIGTERM)
    return starts[-1]
subprocess.Popen = asked
"""


async def supervised(
    program: str, before: str = "", drain: float = 1.0
) -> asyncio.subprocess.Process:
    """A supervisor over a server that is this program, with so many seconds to drain."""
    command = (PYTHON, "-c", before + SUPERVISED, program, str(drain))
    return await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)


async def line_of(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(DEADLINE):
        return (await process.stdout.readline()).decode().strip()


def is_there(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


async def test_a_server_that_dies_is_started_again_until_it_ends_well(tmp_path: Path) -> None:
    notes = tmp_path / "starts"
    program = f"""
import os, pathlib
notes = pathlib.Path({str(notes)!r})
starts = int(notes.read_text()) if notes.exists() else 0
notes.write_text(str(starts + 1))
if starts == 0: os.kill(os.getpid(), 9)
if starts == 1: os._exit({AGAIN})
if starts == 2: os._exit(70)
"""
    process = await supervised(program)
    assert await process.wait() == 0
    assert notes.read_text() == "4"


async def test_a_server_that_cannot_start_is_not_started_again(tmp_path: Path) -> None:
    notes = tmp_path / "starts"
    program = f"open({str(notes)!r}, 'a').write('x'); import os; os._exit({CANNOT_START})"
    process = await supervised(program)
    assert await process.wait() == CANNOT_START
    assert notes.read_text() == "x"


async def test_a_server_that_has_run_is_started_until_it_can_start_again(tmp_path: Path) -> None:
    codes = tmp_path / "codes"
    codes.write_text(f"{AGAIN} {CANNOT_START} {CANNOT_START} 0")
    program = f"""
import os, pathlib
codes = pathlib.Path({str(codes)!r})
first, _, rest = codes.read_text().partition(" ")
codes.write_text(rest)
os._exit(int(first))
"""
    process = await supervised(program)
    assert await process.wait() == 0
    assert codes.read_text() == ""


async def test_a_locked_store_ends_the_supervisor(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "store")
    try:
        async with served(tmp_path / "store") as server:
            assert await server.process.wait() == CANNOT_START
    finally:
        await store.close()


async def test_being_asked_to_stop_is_passed_on_and_ends_well(tmp_path: Path) -> None:
    async with served(tmp_path / "store") as server:
        await server.started(1)
        server.process.terminate()
        assert await server.process.wait() == 0
        assert len(server.ports) == 1


async def test_ctrl_c_asks_the_server_to_stop_too() -> None:
    program = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("up", flush=True)
while True: time.sleep(60)
"""
    process = await supervised(program)
    assert await line_of(process) == "up"
    process.send_signal(signal.SIGINT)
    assert await process.wait() == 0


async def test_being_asked_while_a_server_is_started_again_reaches_that_one(tmp_path: Path) -> None:
    notes = tmp_path / "starts"
    program = f"""
import os, pathlib, time
notes = pathlib.Path({str(notes)!r})
if not notes.exists():
    notes.touch()
    os._exit({AGAIN})
time.sleep(600)
"""
    process = await supervised(program, ASKED_AS_IT_STARTS_AGAIN, drain=2 * DEADLINE)
    async with asyncio.timeout(DEADLINE):  # less than its patience
        assert await process.wait() == 0


async def test_a_second_time_of_asking_ends_the_server_at_once() -> None:
    program = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: print("asked", flush=True))
print("up", flush=True)
while True: time.sleep(60)
"""
    process = await supervised(program)
    assert await line_of(process) == "up"
    process.terminate()
    assert await line_of(process) == "asked"
    process.terminate()
    assert await process.wait() == 128 + signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends a child with its parent")
async def test_the_server_ends_when_its_supervisor_is_killed() -> None:
    process = await supervised("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)")
    pid = int(await line_of(process))
    assert is_there(pid)
    process.kill()
    await process.wait()

    async def gone() -> bool:
        return not is_there(pid)

    await until(gone)


async def test_a_blocked_server_is_ended_by_its_watchdog_and_started_again(
    tmp_path: Path,
) -> None:
    async with served(tmp_path / "store", watchdog_seconds=2.0, block=True) as server:
        await server.started(2)
        assert (await server.get("/health"))["status"] == "ok"
    assert "in block" in (tmp_path / "store" / FILE).read_text()


def test_what_cannot_start_and_what_may_try_again_have_codes_of_their_own() -> None:
    assert exit_code(StoreLocked("locked"), started=False) == CANNOT_START
    assert exit_code(ConfigError("wrong"), started=False) == CANNOT_START
    assert exit_code(OSError("address in use"), started=False) == CANNOT_START
    assert exit_code(InDoubt("in doubt"), started=False) == AGAIN
    assert exit_code(RuntimeError("broke"), started=True) == AGAIN
    assert os.EX_TEMPFAIL == AGAIN
    assert os.EX_CONFIG == CANNOT_START
