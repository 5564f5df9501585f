"""The processes between server and sandbox: what hostile code does to one is nothing to the server."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from halflap.errors import CodeFailed, WorkerLost
from halflap.lowcode.code import Code, CodeCall, CodeLimits, CodeRunner, Pool
from halflap.lowcode.code.worker import wire
from halflap.sdk import codec
from tests.coding import PLACE, children, no_calls, run, status, unchecked
from tests.polling import DEADLINE

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def parse(text: str, *inputs: str) -> Code:
    return Code.parse(text, inputs, ["acme"], PLACE)


def test_numbers_are_bounded_as_in_the_journal() -> None:
    assert (wire.MAX_DEPTH, wire.MAX_DIGITS) == (codec.MAX_DEPTH, codec.MAX_DIGITS)


async def ended(*pids: int) -> None:
    """Wait until these processes are at their end."""
    async with asyncio.timeout(DEADLINE):
        while any(status(pid, "State") not in ("", "Z", "X") for pid in pids):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


# What hostile code returns --------------------------------------------------------------------

SHARED = "t = ()\nfor n in range(60): t = (t, t)\n"
HASHED = {
    "result": f"{SHARED}return {{t}}",
    "input": f"{SHARED}await acme.get({{t}})",
    "printed": f"{SHARED}print({{t}})",
    "key": f"{SHARED}return {{t: 1}}",
}


@pytest.mark.parametrize("place", HASHED)
async def test_what_is_hashed_for_ever_is_so_in_a_worker(pool: Pool, place: str) -> None:
    runner = CodeRunner(pool, workers=4)
    longest = 0.0

    async def beat() -> None:
        nonlocal longest
        while True:
            began = time.process_time()  # others may have the processor
            await asyncio.sleep(0.01)
            longest = max(longest, time.process_time() - began)

    beating = asyncio.create_task(beat())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.monotonic()
    code = unchecked(HASHED[place], {}, "acme")
    hostile = asyncio.create_task(
        runner.run(code, {}, no_calls, limits=CodeLimits(seconds=0.2), owner="hostile")
    )
    for n in range(20):
        assert await run(runner, "return n", owner="other", n=n) == n
    with pytest.raises(CodeFailed, match=r"ran for more than 0\.2 s") as caught:
        await hostile
    assert time.monotonic() - began < DEADLINE
    beating.cancel()
    assert caught.value.error == "TimeLimit"
    assert longest < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 << 10
    assert await run(runner, "return 1", owner="hostile") == 1


IN_PROCESS = f"""
import asyncio
from pydantic_monty import Monty

def hostile():
    with Monty() as pool, pool.checkout(limits={{"max_feed_duration_secs": 0.2}}) as session:
        print("running", flush=True)
        session.feed_run({HASHED["result"].replace("return ", "")!r})

async def main():
    running = asyncio.create_task(asyncio.to_thread(hostile))
    while not running.done():
        await asyncio.sleep(0.01)
        print("beat", flush=True)

asyncio.run(main())
"""


async def test_control_in_the_servers_process_it_stops_all() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", IN_PROCESS, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(DEADLINE):
            while await process.stdout.readline() != b"running\n":
                pass
        lines = process.stdout

        async def last() -> None:
            while True:
                await asyncio.wait_for(lines.readline(), 0.7)

        with pytest.raises(TimeoutError):
            await last()
        assert process.returncode is None
    finally:
        process.kill()
        await process.wait()


# What a worker sends that is not ours any more ------------------------------------------------

SPEAKS = """
import json, socket, struct
server = socket.socket(fileno=0)
def say(text): server.sendall(struct.pack(">I", len(text)) + text)
say(b'["ready"]')
server.recv(1 << 16)
{}
server.recv(1)
"""
HOSTILE = {
    "nothing": "server.close()",
    "no length": "server.sendall(b'12'); server.close()",
    "too long": "server.sendall(b'\\xff' * (1 << 16))",
    "too much": "say(b'[\"printed\", \"x\", 1]' + b' ' * 60_000)\n" * 200,
    "no JSON": "say(b'{')",
    "no list": "say(b'{}')",
    "no message": "say(b'[\"other\"]')",
    "no calls": 'say(b\'["asks", [["acme"]]]\')',
    "no failure": "say(b'[\"failed\", {}]')",
    "too deep": "say(b'[' * 500_000)",
    "digits": "say(b'[\"done\", ' + b'1' * 500_000 + b']')",
    "exponent": 'say(b\'["done", {"\\\\ud800": "1e999999999"}]\')',
    "no number": 'say(b\'["done", {"\\\\ud800": [1]}]\')',
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_what_is_no_message_ends_its_worker(name: str) -> None:
    pool = Pool(command=[sys.executable, "-I", "-S", "-c", SPEAKS.format(HOSTILE[name])])
    try:
        runner = CodeRunner(pool, workers=1)
        with pytest.raises(WorkerLost, match=r"^flow.yaml:\d+: .*, 3 times$"):
            await run(runner, "return 1")
    finally:
        pool.close()


async def test_control_what_is_a_message_is_heard() -> None:
    speaks = SPEAKS.format('say(b\'["done", [{"\\\\ud800": "1.10"}, "\\\\u00e9"]]\')')
    pool = Pool(command=[sys.executable, "-I", "-S", "-c", speaks])
    try:
        runner = CodeRunner(pool, workers=1)
        assert str(await run(runner, "return 1")) == "[Decimal('1.10'), 'é']"
    finally:
        pool.close()


# Losing workers -------------------------------------------------------------------------------


@LINUX
@pytest.mark.parametrize("which", ["worker", "sandbox"])
async def test_a_worker_that_is_killed_is_replaced_and_the_run_goes_on(
    which: str, own: Pool
) -> None:
    printed: list[str] = []
    called: list[int] = []

    async def call(call: CodeCall) -> Any:
        called.append(call.index)
        if len(called) in (2, 4):
            (pid,) = own.pids
            os.kill(pid if which == "worker" else children(pid)[0], signal.SIGKILL)
        return call.index

    text = "x = []\nfor n in range(5):\n  print(n)\n  x.append(await acme.get(n))\nreturn x"
    runner = CodeRunner(own, workers=1)
    result = await runner.run(parse(text), {}, call, print=lambda text, _: printed.append(text))
    assert result == called == [0, 1, 2, 3, 4]
    assert printed == ["0", "1", "2", "3", "4"]


@LINUX
async def test_a_run_under_which_every_worker_is_lost_fails(own: Pool) -> None:
    runner = CodeRunner(own, workers=1)
    spinning = asyncio.create_task(run(runner, "x = 1\nwhile True: pass", CodeLimits(seconds=20)))
    killed: set[int] = set()
    while not spinning.done():
        for pid in own.pids - killed:
            if children(pid):  # it runs
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
        await asyncio.sleep(0.02)
    with pytest.raises(WorkerLost, match=r"^flow.yaml:10: the worker ended, 3 times") as caught:
        await spinning
    assert caught.value.error == "WorkerLost"
    assert await run(runner, "return 1") == 1


@LINUX
async def test_workers_that_die_idle_are_replaced_unnoticed(own: Pool) -> None:
    runner = CodeRunner(own, workers=4)
    for _ in range(2):
        both = [run(runner, "return n", owner=str(n), n=n) for n in range(2)]
        assert await asyncio.gather(*both) == [0, 1]
        for pid in own.pids:
            os.kill(pid, signal.SIGKILL)


@LINUX
async def test_a_worker_that_stands_still_is_killed(own: Pool) -> None:
    async def call(call: CodeCall) -> Any:
        os.kill(*own.pids, signal.SIGSTOP)

    code = parse("await acme.get()")
    runner = CodeRunner(own, workers=1)
    with pytest.raises(CodeFailed, match=r"ran for more than 0\.1 s"):
        await runner.run(code, {}, call, limits=CodeLimits(seconds=0.1))
    assert await run(runner, "return 1") == 1


# Their lives ----------------------------------------------------------------------------------


@LINUX
async def test_workers_start_when_they_are_needed_and_end_with_the_pool() -> None:
    pool = Pool()
    runner = CodeRunner(pool, workers=2)
    assert not pool.pids
    await run(runner, "return 1")
    (pid,) = pool.pids
    (sandbox,) = children(pid)
    pool.close()
    assert not pool.pids
    assert pid not in children(os.getpid())
    await ended(sandbox)


SERVER = """
import asyncio, sys
from halflap.lowcode.code import Code, CodeLimits, CodeRunner, Pool

async def call(call):
    print("waits", flush=True)
    await asyncio.Event().wait()

async def main():
    runner = CodeRunner(Pool(), workers=4)
    texts = ["while True: pass", {hashed!r}, "await acme.get()"]
    one = Code.parse("return 1")
    await asyncio.gather(*[runner.run(one, {{}}, call, owner=text) for text in texts])
    await asyncio.gather(
        *[runner.run(Code.parse(text, (), ["acme"]), {{}}, call, owner=text,
                      limits=CodeLimits(seconds=0.5))
          for text in texts]
    )

asyncio.run(main())
"""


@LINUX
async def test_a_server_that_is_killed_leaves_no_worker_behind() -> None:
    script = SERVER.format(hashed=HASHED["key"])
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=subprocess.PIPE
    )
    assert server.stdout is not None
    assert await asyncio.wait_for(server.stdout.readline(), DEADLINE) == b"waits\n"
    left = [*children(server.pid)]
    left += [each for pid in left for each in children(pid)]
    assert len(left) >= 4  # three, each with its sandbox; one may be at its limit
    server.kill()
    await server.wait()
    await ended(*left)


def test_one_event_loop_after_another_has_the_same_workers(own: Pool) -> None:
    async def once(n: int) -> None:
        runner = CodeRunner(own)
        assert await run(runner, "return n", n=n) == n

    seen: set[int] = set()
    for n in range(3):
        asyncio.run(once(n))
        seen |= own.pids
    assert len(seen) == 1


SHADOW = """
import asyncio, subprocess, sys
from halflap.engine import shadow
from halflap.errors import EgressRefused
from halflap.lowcode.code import Code, CodeRunner, Pool

async def main():
    sys.addaudithook(shadow.hold_back)
    shadow._inside.set(True)
    try:
        subprocess.run(["true"])
    except EgressRefused:
        print("refused")
    print(await CodeRunner(Pool()).run(Code.parse("return 1"), {}, None))

asyncio.run(main())
"""


async def test_in_a_shadow_run_which_starts_no_process_code_runs() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SHADOW, stdout=subprocess.PIPE
    )
    told, _ = await process.communicate()
    assert told.split() == [b"refused", b"1"]


@LINUX
async def test_a_worker_is_replaced_after_so_many_runs() -> None:
    pool = Pool(runs=2)
    runner = CodeRunner(pool, workers=1)
    seen: set[int] = set()
    for _ in range(5):
        await run(runner, "return 1")
        seen |= pool.pids
    pool.close()
    assert len(seen) == 3


@LINUX
async def test_a_worker_holds_nothing_that_it_does_not_need(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, own: Pool
) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "hunter2")
    left_open = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(left_open, True)
    runner = CodeRunner(own, workers=1)
    await run(runner, "return 1")
    (pid,) = own.pids
    (sandbox,) = children(pid)
    for each in (pid, sandbox):
        process = Path(f"/proc/{each}")
        assert (process / "environ").read_bytes() == b""
        assert (process / "cwd").readlink() == Path("/")
        assert status(each, "NoNewPrivs") == "1"
        limits = (process / "limits").read_text()
        assert "Max file size             0" in limits
        assert "Max core file size        0" in limits
        assert "Max cpu time              60" in limits
        assert f"Max data size             {256 << 20}" in limits
    assert sorted(each.name for each in Path(f"/proc/{sandbox}/fd").iterdir()) == [
        "0",
        "1",
        "2",
    ]
    held = {os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir()}
    assert {each.partition(":")[0] for each in held} <= {
        "/dev/null",
        "socket",
        "pipe",
        "anon_inode",
    }
    loaded = Path(f"/proc/{pid}/maps").read_text()
    assert "pydantic_core" not in loaded  # of Halflap's own it loads this room only
    os.close(left_open)


# Sharing them ---------------------------------------------------------------------------------


async def test_a_run_that_is_cancelled_leaves_room(own: Pool) -> None:
    runner = CodeRunner(own, workers=1)
    reached = asyncio.Event()

    async def call(call: CodeCall) -> Any:
        reached.set()
        await asyncio.Event().wait()

    for pause in (0, 0.004, 0.02):
        reached.clear()
        held = asyncio.create_task(runner.run(parse("await acme.get()"), {}, call))
        await reached.wait()
        await asyncio.sleep(pause)
        held.cancel()
        with pytest.raises(asyncio.CancelledError):
            await held
    spinning = asyncio.create_task(run(runner, "while True: pass"))
    waiting = asyncio.create_task(run(runner, "return 2"))
    await asyncio.sleep(0.01)
    waiting.cancel()
    spinning.cancel()
    assert await run(runner, "return 1") == 1


WAITS = """
from datetime import datetime
class Sum:
    def __init__(self): self.of = []
total = Sum()
print("before")
for n in range(2):
    total.of.append(await acme.get(n))
print("after")
try:
    datetime.now()
except RuntimeError as error:
    total.of.append("no clock")
return total.of
"""


async def test_a_run_that_waits_long_holds_up_nobody(own: Pool) -> None:
    printed: list[str] = []
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def call(call: CodeCall) -> Any:
        reached.set()
        await go_on.wait()
        return [call.args[0], 1.5]

    runner = CodeRunner(own, workers=1)
    waiting = [
        asyncio.create_task(
            runner.run(
                unchecked(WAITS, {}, "acme"),
                {},
                call,
                print=lambda text, line: printed.append(text),
            )
        )
        for _ in range(3)
    ]
    await reached.wait()
    assert await asyncio.wait_for(run(runner, "return 1"), DEADLINE) == 1
    go_on.set()
    assert await asyncio.gather(*waiting) == [[[0, 1.5], [1, 1.5], "no clock"]] * 3
    assert sorted(printed) == ["after"] * 3 + ["before"] * 3


async def test_more_runs_than_workers_wait_for_each_other(runner: CodeRunner) -> None:
    results = await asyncio.gather(*[run(runner, "return n * 2", n=n) for n in range(50)])
    assert results == [n * 2 for n in range(50)]


async def test_time_is_counted_over_all_turns(runner: CodeRunner) -> None:
    async def call(call: CodeCall) -> Any:
        await asyncio.sleep(0.02)

    code = unchecked("while True:\n  for n in range(300_000): pass\n  await acme.get()", {}, "acme")
    with pytest.raises(CodeFailed, match=r"ran for more than 0\.1 s"):
        await runner.run(code, {}, call, limits=CodeLimits(seconds=0.1))
