"""Measure what large events and answers of apps cost the event loop: the longest stall of each kind.

    python -m bench.experiments.step_stalls --runs 5

A server on SQLite runs flows of one customer, whose connection has three secrets. An app answers with
up to 20 MB, or a sender's event has up to 6 MB; both in processes of their own. A stall is the CPU time
of the loop's thread between two of its turns, so that other work on the machine counts nothing.
Printed for each kind: the median and the largest of the runs' longest stalls, in ms, and what came
of the events.
"""

from __future__ import annotations

import argparse
import asyncio
import http.server
import socketserver
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from urllib.request import Request, urlopen

import structlog

from bench.process import REPOSITORY
from bench.stalls import Stalls
from bench.workload import INTEGRATIONS
from halflap.engine.bundle import pack
from halflap.server.host import Host
from halflap.server.settings import Settings

ANSWER, EVENT = 20_000_000, 6_000_000
SECRETS = {
    "token": "Zk3vB8qTn0wXyR5sLd7uGh2pJc9mFa4eVi6oKx1b",
    "password": "correct-horse-battery-staple-4711",
    "key": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822c",
}
TEXTS: dict[str, Callable[[int], bytes]] = {
    "digits": lambda size: b"1" * size,
    "base64": lambda size: b"QUJD" * (size // 4),
    "text": lambda size: b"hello, world " * (size // 13),
}
VALUES: dict[str, Callable[[int], bytes]] = {
    **{name: lambda size, make=make: b'"' + make(size) + b'"' for name, make in TEXTS.items()},
    "numbers": lambda size: b"[" + b"1.5," * min(size // 5, 1_000_000) + b"1]",
    "objects": lambda size: b"[" + b'{"a":{}},' * min(size // 10, 120_000) + b"1]",
    "records": lambda size: b"[" + b'{"id":"a1b2c3","n":12,"s":"open"},' * (size // 35) + b"1]",
    "too many": lambda size: b"[" + b"[]," * (size // 4) + b"1]",
}
ANSWERS = {
    **{f"text/{name}": ("text/plain", make) for name, make in TEXTS.items()},
    **{f"json/{name}": ("application/json", make) for name, make in VALUES.items()},
    "text/number": ("text/plain", lambda size: b" " + b"1" * size),
}
CASES = {
    **{f"answer {path}": ("fetch", f"/{path}") for path in ANSWERS},
    **{f"answer json/{name}, plain": ("get", f"/json/{name}") for name in VALUES},
    **{f"event {name}": ("post", name) for name in VALUES},
    **{f"result {name}": ("reflect", name) for name in VALUES},
}


class App(http.server.BaseHTTPRequestHandler):
    """An app that answers with as much as is read."""

    def do_GET(self) -> None:
        """Answer by the path."""
        kind, make = ANSWERS.get(self.path[1:].replace("%20", " "), ("application/json", None))
        length = int(self.headers.get("content-length") or 0)
        self.rfile.read(length)
        body = b"{}" if make is None else make(ANSWER - 1_000)
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def send(url: str, body: str, count: int) -> None:
    """Send an event so many times, and print how each was answered."""
    data = f'{{"path":"{body}"}}'.encode()
    if not body.startswith("/"):
        data = b'{"a":' + VALUES[body](EVENT) + b"}"
    for _ in range(count):
        try:
            with urlopen(Request(url, data, {"content-type": "application/json"})) as answer:
                print(answer.status)
        except OSError as error:
            print(getattr(error, "code", type(error).__name__))


async def ran(*arguments: str) -> asyncio.subprocess.Process:
    """Start this module in a process of its own."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", __spec__.name, *arguments),
        cwd=REPOSITORY,
        stdout=asyncio.subprocess.PIPE,
    )


async def activated(host: Host, app: str) -> dict[str, str]:
    """Publish the flows, activate them for one customer, and return their URLs."""
    bundle = pack(INTEGRATIONS, "stalling:integration")
    found = await host.library.read(bundle)
    catalogue = host.store.catalogue
    await catalogue.versions.publish(found.name, bundle.hash, bundle.to_bytes(), "bench")
    customer = await catalogue.customers.add("Mallory")
    fields = {"base_url": app, "username": "mallory", "header": "X-Key"}
    saved = await catalogue.connections.save(customer.id, "http", "app", fields, SECRETS)
    instance = await catalogue.instances.add(customer.id, found.name, found.name, bundle.hash)
    await catalogue.instances.set_revision(instance.id, {}, {"app": saved.id})
    await host.deployer.activate(instance.id)
    await host.deployer.settled(instance.id)
    return dict(await host.resolver.urls(instance.id))


async def main(kind: str, runs: int, count: int) -> None:
    """Measure, and print."""
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
    serving_app = await ran("--app")
    assert serving_app.stdout is not None
    port = int(await serving_app.stdout.readline())
    allow = ("127.0.0.1",)
    longest: dict[str, list[float]] = {}
    seen: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory() as directory:
        host = await Host.open(Settings(dir=Path(directory), port=0, egress_allow=allow))
        bound: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(host.serve(ready=bound.set_result))
        await asyncio.wait([bound, serving], return_when=asyncio.FIRST_COMPLETED)
        urls = await activated(host, f"http://127.0.0.1:{port}")
        stalls = Stalls()
        watching = asyncio.create_task(stalls.watch())
        for _ in range(runs):
            for name, (flow, body) in CASES.items():
                if not name.startswith(kind):
                    continue
                stalls.taken()
                sender = await ran("--send", urls[flow], "--body", body, "--count", str(count))
                answers, _ = await sender.communicate()
                seen.setdefault(name, Counter()).update(answers.decode().split())
                longest.setdefault(name, []).append(stalls.taken())
        watching.cancel()
        for name, values in longest.items():
            middle, most = statistics.median(values), max(values)
            print(f"{name:28} {middle:8.1f} {most:8.1f}  {dict(seen[name])}", flush=True)
        serving_app.terminate()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--kind", default="", help="only cases whose name begins so")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--count", type=int, default=1, help="events of each case in a row")
    parser.add_argument("--app", action="store_true", help="be the app, and do nothing else")
    parser.add_argument("--send", help="send the event to this URL, and do nothing else")
    parser.add_argument("--body", default="")
    given = parser.parse_args()
    if given.app:
        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), App)
        server.daemon_threads = True
        print(server.server_address[1], flush=True)
        server.serve_forever()
    elif given.send:
        send(given.send, given.body, given.count)
    else:
        asyncio.run(main(given.kind, given.runs, given.count))
