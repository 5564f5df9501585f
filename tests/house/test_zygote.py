"""A program that is forked from a zygote is a process like one that was executed."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cases import for_each
from tests.zygote import PYTHON, ROOT

SHOWS = """
import json, os, resource, signal, sys
assert __name__ == "__main__"
print(json.dumps({
    "argv": sys.argv, "environ": dict(os.environ), "cwd": os.getcwd(), "parent": os.getppid(),
    "path": sys.path, "session": os.getsid(0) == os.getpid(),
    "group": os.getpgid(0) == os.getpid(),
    "limits": resource.getrlimit(resource.RLIMIT_FSIZE), "input": sys.stdin.read(),
    "interrupt": repr(signal.getsignal(signal.SIGINT)), "open": os.listdir("/proc/self/fd")[:3],
}), flush=True)
sys.exit(3)
"""
STARTS_ANOTHER = "import subprocess, sys; print(subprocess.run([sys.executable, *sys.argv[1:]]))"


def shown(python: str, folder: Path, *words: str, **more: Any) -> dict[str, Any]:
    """Return what a program finds of itself."""
    done = subprocess.run(
        [python, *words, "one", "two"],
        cwd=folder,
        input="said to it",
        capture_output=True,
        text=True,
        check=False,
        **more,
    )
    assert (done.returncode, done.stderr) == (3, "")
    return json.loads(done.stdout)


@pytest.mark.parametrize("named", [{}, {"PYTHONPATH": str(ROOT)}], ids=["", "PYTHONPATH"])
@pytest.mark.parametrize("how", ["-c", "-m", "a file"])
def test_a_program_finds_itself_as_if_it_had_been_executed(
    tmp_path: Path, how: str, named: dict[str, str]
) -> None:
    (tmp_path / "shows.py").write_text(SHOWS)
    words = {"-c": ("-c", SHOWS), "-m": ("-m", "shows"), "a file": (str(tmp_path / "shows.py"),)}
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 40, before[1]))
    try:
        more = {"env": {"GIVEN": "yes", "LC_CTYPE": "C.UTF-8", **named}}
        more |= {"process_group": 0} if named else {"start_new_session": True}
        found = shown(PYTHON, tmp_path, *words[how], **more)
        wanted = shown(sys.executable, tmp_path, *words[how], **more)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert found == wanted
    assert found["parent"] == os.getpid()
    assert (found["group"], found["session"]) == (True, not named)


async def test_a_program_is_killed_and_waited_for_and_so_is_what_it_starts() -> None:
    program = "import os; os.kill(os.getpid(), 9)"
    process = await asyncio.create_subprocess_exec(
        *(PYTHON, "-c", STARTS_ANOTHER, "-c", program), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert b"returncode=-9" in said
    waits = await asyncio.create_subprocess_exec(PYTHON, "-c", "import time; time.sleep(600)")
    waits.kill()
    assert await waits.wait() == -signal.SIGKILL


def test_a_package_is_run_by_its_main_module() -> None:
    done = subprocess.run([PYTHON, "-m", "halflap", "--version"], capture_output=True, check=True)
    assert done.stdout.startswith(b"halflap ")


ENDS = (
    *("pass", "import sys; sys.exit('told')", "import sys; sys.exit(-1)", "1 / 0"),
    "import atexit, sys; atexit.register(print, 'last'); print('said', end=''); sys.exit(True)",
    "from threading import Timer; Timer(0.05, print, ['thread']).start()",
    "raise KeyboardInterrupt",
)


@for_each("program", ENDS)
def test_a_program_ends_as_if_it_had_been_executed(program: str) -> None:
    """It clears no memory, which it shares: threads, exit functions and texts come first."""
    forked, executed = (
        subprocess.run([python, "-c", program], capture_output=True, text=True, check=False)
        for python in (PYTHON, sys.executable)
    )
    assert (forked.returncode, forked.stdout) == (executed.returncode, executed.stdout)
    assert forked.stderr.splitlines()[-1:] == executed.stderr.splitlines()[-1:]


UVLOOP = """
import asyncio, sys, uvloop

async def main():
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", sys.argv[1])
    print(await process.wait(), process.returncode)

uvloop.run(main())
"""


def test_a_loop_that_executes_processes_by_itself_has_them_forked() -> None:
    program = "import sys; sys.exit(7 if type(sys.executable) is not str else 8)"
    done = subprocess.run([PYTHON, "-c", UVLOOP, program], capture_output=True, check=True)
    assert done.stdout == b"7 7\n"


def test_what_garbage_has_to_say_in_the_end_is_said() -> None:
    program = """
import asyncio
async def fail():
    raise ValueError("missed")
async def main():
    circle = [asyncio.ensure_future(fail())]
    circle.append(circle)
    await asyncio.wait(circle[:1])
asyncio.run(main())
"""
    for python in (PYTHON, sys.executable):
        done = subprocess.run([python, "-c", program], capture_output=True, text=True, check=True)
        assert "Task exception was never retrieved" in done.stderr, python
        assert "ValueError: missed" in done.stderr
