"""A worker is a fork of the nursery, on the pipes that xdist gave it; without one it is a Python."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from tests import nursery
from tests.polling import DEADLINE

LINE = "import sys; exec(eval(sys.stdin.readline()))"
ASKED = "import os, sys; print(os.getppid(), 'marked' in sys.modules); sys.exit(3)"
NURSE = """
import socket, sys
from tests import nursery
sys.modules["marked"] = sys
nursery.nurse(socket.socket(fileno=int(sys.argv[1])))
nursery.obey()
"""


def launched(address: Path) -> subprocess.CompletedProcess[str]:
    """Run what xdist runs, on an address."""
    command = [sys.executable, "-I", "-S", nursery.__file__, str(address), "-u", "-c", LINE]
    return subprocess.run(
        command, input=f"{ASKED!r}\n", capture_output=True, text=True, check=False, timeout=DEADLINE
    )


def test_a_worker_is_forked_with_what_the_nursery_has_and_waited_for(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.bind(str(tmp_path / "way"))
        door.listen()
        nurse = subprocess.Popen(
            [sys.executable, "-c", NURSE, str(door.fileno())],
            stdin=subprocess.PIPE,
            pass_fds=[door.fileno()],
        )
    for _ in range(2):
        assert launched(tmp_path / "way").stdout == f"{nurse.pid} True\n"
    assert nurse.stdin is not None
    nurse.stdin.close()
    assert nurse.wait(DEADLINE) == 0


def test_without_a_nursery_a_worker_is_the_python_that_was_wanted(tmp_path: Path) -> None:
    done = launched(tmp_path / "none")
    assert (done.returncode, done.stdout.split()[1]) == (3, "False")
