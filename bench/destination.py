"""The destination as a process of its own; its first line on stdout says where it is."""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from dataclasses import dataclass, field

from halflap.cli.load import Deliveries, Destination
from halflap.gateway.server import run_loop

BACKLOG = 4096
"""A peer may open thousands of connections at once; a full queue would have it wait for seconds."""


@dataclass(slots=True)
class Accounts(Deliveries):
    """Deliveries that are reported.

    `forget` and `twice` make it lie about every so-manieth delivery: the controls that show that
    a loss or a double would be seen.
    """

    forget: int = 0
    twice: int = 0
    requests: int = 0
    forgotten: int = 0
    doubled: int = 0
    began: float = field(default_factory=time.process_time)

    def note(self, id: bytes) -> None:
        """Count one delivery, or lie about it."""
        self.requests += 1
        if self.forget and self.requests % self.forget == 0:
            self.forgotten += 1
            return
        Deliveries.note(self, id)
        if self.twice and self.requests % self.twice == 1:
            self.doubled += 1
            self.ids[id][0] += 1

    def report(self) -> bytes:
        """All of it as JSON, with the CPU time of this process since it began."""
        return json.dumps(
            {
                "requests": self.requests,
                "cpu_ms": (time.process_time() - self.began) * 1e3,
                "forgotten": self.forgotten,
                "doubled": self.doubled,
                "ids": {id.decode("latin-1"): seen for id, seen in self.ids.items()},
            }
        ).encode()


class Reporter(Destination):
    """A destination that answers GET with its report."""

    def __init__(self, deliveries: Accounts) -> None:
        super().__init__(deliveries)
        self._accounts = deliveries

    def _answer(self, request: bytes, body: int) -> None:
        if not request.startswith(b"GET "):
            super()._answer(request, body)
            return
        report = self._accounts.report()
        self._write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(report), report))


async def main(port: int, forget: int, twice: int) -> None:
    """Serve until the process is ended."""
    deliveries = Accounts(forget=forget, twice=twice)
    server = await asyncio.get_running_loop().create_server(
        lambda: Reporter(deliveries), "127.0.0.1", port, backlog=BACKLOG
    )
    (listening,) = server.sockets
    print(json.dumps({"url": f"http://127.0.0.1:{listening.getsockname()[1]}"}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--forget", type=int, default=0)
    parser.add_argument("--twice", type=int, default=0)
    arguments = parser.parse_args()
    run_loop(main(arguments.port, arguments.forget, arguments.twice))
