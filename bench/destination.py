"""The destination as a process of its own; its first line on stdout says where it is."""

from __future__ import annotations

import argparse
import asyncio
import json

from halflap.cli.load import Deliveries, Destination
from halflap.gateway.server import run_loop

BACKLOG = 4096
"""A peer may open thousands of connections at once; a full queue would have it wait for seconds."""


async def main(port: int, forget: int, twice: int) -> None:
    """Serve until the process is ended."""
    deliveries = Deliveries(forget=forget, twice=twice)
    server = await asyncio.get_running_loop().create_server(
        lambda: Destination(deliveries), "127.0.0.1", port, backlog=BACKLOG
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
