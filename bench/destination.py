"""The destination as a process of its own; its first line on stdout says where it is."""

from __future__ import annotations

import argparse
import asyncio
import json

from halflap.cli.load import Deliveries, serve_destination
from halflap.gateway.server import run_loop


async def main(forget: int, twice: int) -> None:
    """Serve until the process is ended."""
    port = await serve_destination(Deliveries(forget=forget, twice=twice))
    print(json.dumps({"url": f"http://127.0.0.1:{port}"}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--forget", type=int, default=0)
    parser.add_argument("--twice", type=int, default=0)
    arguments = parser.parse_args()
    run_loop(main(arguments.forget, arguments.twice))
