"""An initial import under failures and kills: what it costs beside an import that nothing disturbs.

    python -m bench.experiments.initial_import --records 100000

A server on SQLite imports records from an app on loopback, 200 a page; each page continues with the
next, and each record is an execution with one request. Twice: once undisturbed, once while 5 % of
the app's answers are failures (half of them 503, half a 500 after the request was carried out) and
the server is killed by SIGKILL ten times, evenly over the records, and started again. Printed of
both, and as ratios: executions' attempts and requests for each record, CPU seconds of the server
(of all its processes, their starts apart), how many records are missing, and how many pages were
executed twice. The last two have to be 0.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import structlog
from aiohttp import web

from bench.process import REPOSITORY, BenchError, Others, cpu_ms
from bench.workload import INTEGRATIONS
from halflap.cli.bench import activate
from halflap.engine.bundle import pack
from halflap.gateway.server import run_loop
from halflap.server.host import Host
from halflap.server.settings import Settings

FAILURES, KILLS = 0.05, 10
LIVE = "SELECT count(*) FROM executions WHERE state IN ('queued', 'running', 'waiting')"
ENDED = (
    "SELECT flow, state, count(*), sum(attempt), max(reason) FROM executions GROUP BY flow, state"
)
TWICE = """
SELECT count(*) FROM (SELECT body FROM events JOIN executions ON number = execution
    WHERE flow = 'pages' GROUP BY body HAVING count(*) > 1)
"""
STALLED_SECONDS = 300.0


async def serve(directory: Path, destination: str, hook: str) -> None:
    """Serve the integration until the process is ended; its first line says where the hook is."""
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
    host = await Host.open(Settings(dir=directory, port=0, egress_allow=("127.0.0.1",)))
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    async with host.served(grace=10.0):
        url = hook or await activate(host, pack(INTEGRATIONS, "importing:integration"), destination)
        print(json.dumps(url), flush=True)
        os.dup2(2, 1)
        await stopping.wait()


class App:
    """The app: it lists its records by pages, takes them, and fails now and then."""

    def __init__(self, records: int, failures: float) -> None:
        self.records, self.failures = records, failures
        self.chance = random.Random(1)
        self.taken: Counter[int] = Counter()
        self.requests = self.failed = 0

    async def page(self, request: web.Request) -> web.Response:
        """Answer with the records behind one."""
        if self._fails() is not None:
            return web.Response(status=503)
        first = int(request.query["after"]) + 1
        rows = range(first, min(first + int(request.query["limit"]), self.records))
        return web.json_response([{"id": n, "name": f"record {n}"} for n in rows])

    async def take(self, request: web.Request) -> web.Response:
        """Take a record."""
        failure = self._fails()
        if failure == 503:
            return web.Response(status=503)
        self.taken[int(request.match_info["id"])] += 1
        return web.Response(status=failure) if failure else web.json_response({})

    def _fails(self) -> int | None:
        self.requests += 1
        if self.chance.random() >= self.failures:
            return None
        self.failed += 1
        return self.chance.choice((503, 500))


@dataclass
class Imported:
    """The figures of an import."""

    records: int
    seconds: float = 0.0
    starts: int = 0
    cpu_of_starts: float = 0.0
    cpu: float = 0.0
    """CPU seconds, without those that the starts took."""
    requests: int = 0
    failed: int = 0
    attempts_of_records: int = 0
    attempts_of_pages: int = 0
    pages: int = 0
    missing: int = 0
    twice: int = 0
    others: float = 0.0
    """Cores that other programs kept busy."""
    ends: dict[str, int] = field(default_factory=dict[str, int])


class Server:
    """The server's process, started and killed, and the CPU that all of them took."""

    def __init__(self, directory: Path, app: str, figures: Imported) -> None:
        self._directory, self._app, self._figures = directory, app, figures
        self._process: subprocess.Popen[str] | None = None
        self._at_start = 0.0
        self.hook = ""

    async def start(self) -> None:
        """Start a process, and wait until it serves."""
        arguments = ["--serve", str(self._directory), "--app", self._app, "--hook", self.hook]
        self._process = subprocess.Popen(  # noqa: ASYNC220
            [sys.executable, "-m", __spec__.name, *arguments],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        line = await asyncio.to_thread(self._process.stdout.readline)
        if not line:
            raise BenchError("the server did not start; what it said is above")
        self.hook = json.loads(line)
        self._at_start = cpu_ms(self._process.pid) / 1e3
        self._figures.starts += 1
        self._figures.cpu_of_starts += self._at_start

    def end(self, number: int) -> None:
        """End the process by a signal, and count its CPU."""
        process = self._process
        if process is None:
            return
        process.send_signal(number)
        _, _, used = os.wait4(process.pid, 0)
        process.returncode = 0
        self._figures.cpu += used.ru_utime + used.ru_stime - self._at_start
        if process.stdout is not None:
            process.stdout.close()
        self._process = None


async def run(records: int, failures: float, kills: int) -> Imported:
    """Import records, and say what that took."""
    figures, app = Imported(records), App(records, failures)
    served = web.Application()
    served.router.add_get("/records", app.page)
    served.router.add_put("/records/{id}", app.take)
    runner = web.AppRunner(served, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    with tempfile.TemporaryDirectory(prefix="halflap-import-") as folder:
        server = Server(Path(folder), f"http://127.0.0.1:{port}", figures)
        others = Others()
        try:
            await server.start()
            began = time.monotonic()
            async with aiohttp.ClientSession() as http, http.post(server.hook, json={}) as answer:
                assert answer.status < 300, await answer.text()
            at = [records * (n + 1) // (kills + 1) for n in range(kills)]
            await watch(Path(folder) / "halflap.db", app, server, at)
            figures.seconds = round(time.monotonic() - began, 1)
        finally:
            server.end(signal.SIGTERM)
            await runner.cleanup()
        count(Path(folder) / "halflap.db", figures)
    figures.requests, figures.failed = app.requests, app.failed
    figures.missing = records - len(app.taken)
    figures.others = round(others.cores(), 2)
    return figures


async def watch(store: Path, app: App, server: Server, kill_at: list[int]) -> None:
    """Kill and start the server as the records come in; return once nothing is left to do."""
    seen, since = -1, time.monotonic()
    while True:
        await asyncio.sleep(0.25)
        if kill_at and len(app.taken) >= kill_at[0]:
            kill_at.pop(0)
            server.end(signal.SIGKILL)
            await server.start()
        if app.requests != seen:
            seen, since = app.requests, time.monotonic()
        elif time.monotonic() - since > 2 and not left(store):
            return
        elif time.monotonic() - since > STALLED_SECONDS:
            raise BenchError(
                f"nothing was imported for {STALLED_SECONDS:.0f} s; {left(store)} are left"
            )


def left(store: Path) -> int:
    """Return how many executions have not ended."""
    return query(store, LIVE)[0][0]


def count(store: Path, figures: Imported) -> None:
    """Count the attempts and the ends of executions."""
    for flow, state, number, attempts, reason in query(store, ENDED):
        if flow == "record":
            figures.attempts_of_records += attempts
        elif flow == "pages":
            figures.attempts_of_pages += attempts
            figures.pages += number
        figures.ends[f"{flow} {state} {reason}".strip()] = number
    figures.twice = query(store, TWICE)[0][0]


def query(store: Path, sql: str) -> list[Any]:
    """Ask the store's file."""
    connection = sqlite3.connect(f"file:{store}?mode=ro", uri=True)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


async def measure(records: int) -> None:
    """Import twice, and compare."""
    quiet = await run(records, 0.0, 0)
    print(json.dumps({"undisturbed": asdict(quiet)}, indent=1), flush=True)
    rough = await run(records, FAILURES, KILLS)
    print(json.dumps({"disturbed": asdict(rough)}, indent=1), flush=True)
    each = 1 / records
    print(
        f"{records:,} records: attempts a record {quiet.attempts_of_records * each:.3f} -> "
        f"{rough.attempts_of_records * each:.3f}, attempts a page "
        f"{quiet.attempts_of_pages / quiet.pages:.2f} -> {rough.attempts_of_pages / rough.pages:.2f}, "
        f"requests a record {quiet.requests * each:.3f} -> {rough.requests * each:.3f}, CPU "
        f"{quiet.cpu:.1f} s -> {rough.cpu:.1f} s ({rough.cpu / quiet.cpu:.2f} x) and "
        f"{rough.cpu_of_starts - quiet.cpu_of_starts:.1f} s for {rough.starts - 1} more starts; "
        f"missing {rough.missing}, pages twice {rough.twice}"
    )
    wrong = [each for each in (quiet, rough) if each.missing or each.twice]
    if wrong or any("failed" in name for name in (*quiet.ends, *rough.ends)):
        raise SystemExit("records are missing, or were dealt with twice, or failed")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--serve", type=Path)
    parser.add_argument("--app", default="")
    parser.add_argument("--hook", default="")
    given = parser.parse_args()
    if given.serve is not None:
        run_loop(serve(given.serve, given.app, given.hook))
    else:
        asyncio.run(measure(given.records))
