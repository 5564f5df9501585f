"""A server may be stopped at any moment, and ends well: the next one opens its store."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from halflap.errors import InDoubt
from halflap.server.host import Host
from halflap.server.settings import Settings
from halflap.store.store import Store
from tests.commands import serve
from tests.polling import DEADLINE, until
from tests.zygote import PYTHON

ROOT = Path(__file__).parents[2]


MOMENTS = (0.0, 0.2, 0.4, 0.7, 1.0)
"""Seconds from when a server hears of signals."""


async def hears(pid: int) -> bool:
    """Return whether a process has a handler for SIGTERM."""
    status = Path(f"/proc/{pid}/status").read_text()
    (caught,) = (each.split()[1] for each in status.splitlines() if each.startswith("SigCgt"))
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.skipif(sys.platform != "linux", reason="reads from /proc who hears a signal")
@pytest.mark.parametrize(
    ("more", "moments"),
    [
        pytest.param((), MOMENTS[::2], id="supervised"),
        pytest.param(("--no-supervisor",), MOMENTS[1::2], id="alone"),
        *(
            pytest.param(each, MOMENTS, marks=pytest.mark.soak)
            for each in ((), ("--no-supervisor",))
        ),
    ],
)
async def test_sigterm_ends_a_server_well_at_every_moment_of_its_start(
    tmp_path: Path, more: tuple[str, ...], moments: Sequence[float]
) -> None:
    for moment in moments:
        process = await serve(tmp_path, *more, python=sys.executable)
        await until(lambda pid=process.pid: hears(pid))
        await asyncio.sleep(moment)  # the moment itself, not a wait for something
        process.terminate()
        async with asyncio.timeout(DEADLINE):
            _, said = await process.communicate()
        assert process.returncode == 0, (moment, said.decode())
        assert b"error" not in said, (moment, said.decode())
        assert not (tmp_path / "server.json").exists()
    await (await Store.open(tmp_path)).close()


async def test_a_host_may_be_stopped_at_every_step_of_its_start(tmp_path: Path) -> None:
    for steps in (*range(12), *range(12, 200, 12)):
        ports: list[int] = []
        host = await Host.open(Settings(dir=tmp_path, port=0))
        serving = asyncio.create_task(host.serve(ready=ports.append))
        for _ in range(steps):
            await asyncio.sleep(0)
        before = list(ports)
        async with asyncio.timeout(DEADLINE):
            await asyncio.gather(host.stop(), host.stop(0))
            await serving
        assert ports == before, "it said that it listens after it was asked to stop"
    host = await Host.open(Settings(dir=tmp_path, port=0))
    async with asyncio.timeout(DEADLINE), host.served():
        assert host.port
        await host.stop()
        await host.stop()


async def test_what_a_block_raises_comes_before_what_its_server_ends_with(tmp_path: Path) -> None:
    error = InDoubt("of the server")

    async def ended(host: Host, own: Exception | None) -> None:
        async with asyncio.timeout(DEADLINE), host.served(grace=0):
            stopping = asyncio.create_task(host.stop(0))
            await asyncio.sleep(0)
            assert host.store.on_failure is not None
            host.store.on_failure(error)  # as by a commit in doubt while it stops
            if own is not None:
                raise own
            await stopping

    for own in (None, RuntimeError("of the block")):
        with pytest.raises(type(own or error), match="of the"):
            await ended(await Host.open(Settings(dir=tmp_path, port=0)), own)


async def test_a_host_that_was_never_served_closes_its_store(tmp_path: Path) -> None:
    host = await Host.open(Settings(dir=tmp_path, port=0))
    await host.stop()
    ports: list[int] = []
    await host.serve(ready=ports.append)
    assert not ports
    await (await Store.open(tmp_path)).close()


async def test_a_host_that_cannot_be_put_together_lets_go_of_its_store(tmp_path: Path) -> None:
    (tmp_path / "token").mkdir()
    with pytest.raises(OSError, match="token"):
        await Host.open(Settings(dir=tmp_path))
    (tmp_path / "token").rmdir()
    await (await Store.open(tmp_path)).close()


NAME = """
import asyncio, sys
from collections.abc import Sequence
from pathlib import Path
from halflap.server.host import Host
from halflap.server.settings import Settings
print(asyncio.run(Host.open(Settings(dir=Path(sys.argv[1]), port=0))).store.worker, flush=True)
"""


def test_a_server_that_is_started_again_has_the_name_of_the_one_before(tmp_path: Path) -> None:
    """By it a listener goes on with its shards at once, without waiting for a lease to run out."""
    folder = str(tmp_path / "data")
    command = (PYTHON, "-c", NAME, folder)
    names = [subprocess.check_output(command, cwd=ROOT) for _ in range(2)]
    assert names[0]
    assert names[0] == names[1]
