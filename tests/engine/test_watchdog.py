"""A blocked loop ends its process, and what blocked it is on record."""

import asyncio
import re
import time
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from halflap.engine.process import BLOCKED, spelled
from halflap.engine.watchdog import FILE, Watchdog
from halflap.sdk.context import Context
from halflap.sdk.request import Request
from tests.engine.flows import runner_on
from tests.gateway.test_app import desk
from tests.polling import DEADLINE
from tests.zygote import PYTHON

pytestmark = pytest.mark.usefixtures("unfiltered_logs")
PROGRAM = """
import asyncio, re, sys, time
from pathlib import Path
from halflap.engine.watchdog import Watchdog

def spin():
    while True:
        pass

def hold_the_interpreter():
    re.fullmatch("(a+)+b", "a" * 60)

async def main():
    with Watchdog(0.5, lambda: ["exe_1", "exe_2"], Path(sys.argv[2])):
        await asyncio.sleep(0.1)
        globals()[sys.argv[1]]()

asyncio.run(main())
"""


async def end_of(block: str, folder: Path) -> tuple[int, str]:
    """Return how a process ends whose loop is blocked so, and what it wrote to stderr."""
    process = await asyncio.create_subprocess_exec(
        PYTHON, "-c", PROGRAM, block, str(folder), stderr=asyncio.subprocess.PIPE
    )
    _, told = await process.communicate()
    assert process.returncode is not None
    return process.returncode, told.decode()


async def test_a_blocked_loop_ends_its_process_and_leaves_its_stack(tmp_path: Path) -> None:
    code, told = await end_of("spin", tmp_path)
    assert code == BLOCKED
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    for text in (told, (tmp_path / FILE).read_text()):
        assert "exe_1" in text
        assert "exe_2" in text
        assert re.search(r"line \d+ in spin", text)
        assert "blocked for" in text


async def test_code_that_keeps_the_interpreters_lock_is_ended_too(tmp_path: Path) -> None:
    code, _ = await end_of("hold_the_interpreter", tmp_path)
    assert code not in (0, BLOCKED)  # by the timer in C: the thread could not run
    assert "in hold_the_interpreter" in (tmp_path / FILE).read_text()


async def test_a_loop_that_goes_on_is_left_alone(tmp_path: Path) -> None:
    with Watchdog(1.5, list, tmp_path):
        for _ in range(20):
            await asyncio.sleep(0.1)  # longer, together, than it may be blocked
    assert (tmp_path / FILE).read_text() == ""


async def test_no_seconds_switch_the_watchdog_off(tmp_path: Path) -> None:
    with Watchdog(0, list, tmp_path):
        await asyncio.sleep(0)
    assert not (tmp_path / FILE).exists()


def test_how_a_process_ended_is_said_in_words() -> None:
    assert spelled(-9) == "SIGKILL"
    assert spelled(3) == "exit code 3"
    assert "blocked" in spelled(BLOCKED)


def block_until_logged(logs: list[Any]) -> None:
    """Block the loop until that was logged; a machine under load blocks it for moments, too."""
    until = time.monotonic() + DEADLINE
    while not of_flows(logs) and time.monotonic() < until:
        pass


def of_flows(logs: list[Any]) -> list[Any]:
    """Return the lines that name what runs."""
    return [each for each in logs if each.get("execution") or each.get("endpoint")]


@pytest.mark.parametrize("where", ["flow", "branch"])
async def test_what_blocks_the_loop_is_logged_with_its_execution_and_line(
    tmp_path: Path, where: str
) -> None:
    with capture_logs() as logs:

        async def branch(item: int) -> None:
            block_until_logged(logs)

        async def flow(ctx: Context[Any], event: Any) -> None:
            if where == "flow":
                block_until_logged(logs)
            else:
                await ctx.gather([1], branch)

        async with runner_on("memory", tmp_path) as runner:
            with Watchdog(0, list, tmp_path, log_after=0.2):
                outcome = await runner.run(flow)
            execution = runner.changes[-1].execution
    assert outcome.state == "succeeded"
    [told] = of_flows(logs)  # once each time
    assert told["log_level"] == "error"
    assert told["execution"] == execution
    assert (told["integration"], told["instance"]) == ("shop", "ins_1")
    assert re.fullmatch(r".*test_watchdog\.py:\d+", told["at"])


async def test_a_request_that_blocks_the_loop_is_logged_with_its_endpoint(tmp_path: Path) -> None:
    with capture_logs() as logs:

        def delivery(request: Request) -> str:
            block_until_logged(logs)
            return "1"

        made = desk(dedupe=delivery)
        with Watchdog(0, list, tmp_path, log_after=0.2):
            status, _, _ = await made.send(b"{}")
    assert status == 200
    told = of_flows(logs)[0]
    assert told["endpoint"] == "hk_open"
    assert (told["trigger"], told["flow"]) == ("shop.order", "orders")
    assert re.fullmatch(r".*test_watchdog\.py:\d+", told["at"])
