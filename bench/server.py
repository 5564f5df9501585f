"""A server process with one integration activated; its first line on stdout says where it is."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

from bench.workload import INTEGRATIONS
from halflap.cli.bench import activate
from halflap.cli.host import Host
from halflap.cli.settings import Settings
from halflap.engine.bundle import pack
from halflap.gateway.server import run_loop


async def main(directory: str, module: str, destination: str) -> None:
    """Serve until SIGTERM."""
    host = await Host.open(Settings(dir=Path(directory), port=0, egress_allow=("127.0.0.1",)))
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    bound: asyncio.Future[int] = loop.create_future()
    serving = asyncio.create_task(host.serve(ready=bound.set_result))
    await asyncio.wait([bound, serving], return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        await serving
    url = await activate(host, pack(INTEGRATIONS, f"{module}:integration"), destination)
    print(json.dumps({"url": url}), flush=True)
    await stopping.wait()
    await host.stop(10.0)
    await serving


if __name__ == "__main__":
    run_loop(main(*sys.argv[1:]))
