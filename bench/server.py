"""A server process with one integration activated; its first line on stdout says where it is."""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import secrets
import signal
from pathlib import Path

from bench.workload import INTEGRATIONS
from halflap.cli.bench import activate
from halflap.engine.bundle import pack
from halflap.gateway.server import run_loop
from halflap.server.host import Host
from halflap.server.settings import Settings


async def main(directory: Path, module: str, destination: str, store: str, hook: str) -> None:
    """Serve until SIGTERM. With `hook`, the path of one, the integration is there already."""
    settings = Settings(
        dir=directory,
        port=0,
        egress_allow=("127.0.0.1",),
        store=store,
        keys=keys_of(directory) if store else "",
    )
    host = await Host.open(settings)
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    async with host.served(grace=10.0):
        if hook:
            url = host.base_url + hook
        else:
            entry = module if "." in module else f"{module}:integration"
            url = await activate(host, pack(INTEGRATIONS, entry), destination)
        print(json.dumps({"url": url}), flush=True)
        # Nobody reads on: what is logged from now on would fill the pipe, and block us.
        os.dup2(2, 1)
        await stopping.wait()


def keys_of(directory: Path) -> str:
    """The master keys of a store in a database, kept beside it from one start to the next."""
    path = directory / "keys"
    if not path.exists():
        path.write_text(f"bench:{base64.b64encode(secrets.token_bytes(32)).decode()}")
    return path.read_text()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("module")
    parser.add_argument("destination")
    parser.add_argument("--store", default="")
    parser.add_argument("--hook", default="")
    given = parser.parse_args()
    run_loop(main(given.directory, given.module, given.destination, given.store, given.hook))
