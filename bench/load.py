"""Load: as much as 32 connections of wrk can put on, or a steady 20 events a second of our own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from bench.process import BenchError, wrk
from bench.workload import Workload
from halflap.cli.load import LoadClient
from halflap.gateway.server import run_loop

SCRIPT = Path(__file__).parent / "wrk.lua"
CONNECTIONS = 32
RATE = 20


@dataclass(slots=True)
class Sent:
    """The results of a sender: what was acknowledged, and how it fared.

    `executions` are those that the answers named; where they name none (a peer's), the events.
    """

    executions: list[str] = field(default_factory=list[str])
    refused: int = 0
    seconds: float = 0.0
    cpu_ms: float = 0.0
    ack_ms: list[float] = field(default_factory=list[float])
    sent_at: dict[str, int] = field(default_factory=dict[str, int])
    """Event → monotonic nanoseconds; of the steady sender only."""


def flood(url: str, workload: Workload, run: str, seconds: float, threads: int = 1) -> Sent:
    """Keep 32 connections busy with wrk; every answer's execution is logged by its script.

    Where an answer names neither execution nor event, each connection needs a thread of its own: that
    tells which event an answer belongs to, and costs wrk 0.02 ms a request.
    """
    with tempfile.TemporaryDirectory() as made:
        body, log = Path(made, "body"), Path(made, "log")
        body.write_text(workload.body)
        command = [wrk(), f"-t{threads}", f"-c{CONNECTIONS}", f"-d{max(round(seconds), 1)}s", "-s"]
        command += [str(SCRIPT), url, "--", str(body), run, str(log)]
        output = Path(made, "output")
        with output.open("w") as file:
            process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
            began = time.monotonic()
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise BenchError(f"wrk failed:\n{output.read_text()}")
        files = sorted(Path(made).glob("log.*"))
        lines = [line for each in files for line in each.read_text().splitlines()]
    executions = [each for each in lines if not each.startswith("!")]
    return Sent(
        executions,
        refused=len(lines) - len(executions),
        seconds=time.monotonic() - began,
        cpu_ms=(used.ru_utime + used.ru_stime) * 1e3,
    )


def steady(url: str, workload: Workload, run: str, seconds: float) -> Sent:
    """Send 20 events a second, each at its time whether or not the last one was answered."""
    return run_loop(_steady(url, workload, run, seconds))


async def _steady(url: str, workload: Workload, run: str, seconds: float) -> Sent:
    client, sent = LoadClient(url), Sent(seconds=seconds)

    async def one(number: int) -> None:
        event = f"{run}-{number:08}"
        began = sent.sent_at[event] = time.monotonic_ns()
        try:
            status, execution = await client.post(workload.event(event))
        except (OSError, EOFError):  # it closed the connection
            status, execution = 0, ""
        if 200 <= status < 300:
            sent.ack_ms.append((time.monotonic_ns() - began) / 1e6)
            sent.executions.append(execution or event)
        else:
            sent.refused += 1

    loop = asyncio.get_running_loop()
    first = loop.time()
    async with asyncio.TaskGroup() as group:
        for number in range(max(int(seconds * RATE), 1)):
            await asyncio.sleep(first + number / RATE - loop.time())
            group.create_task(one(number))
    await client.close()
    return sent
