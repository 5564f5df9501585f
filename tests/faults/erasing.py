"""Processes that erase a customer until they are killed, or nothing of it is left.

Each line that is read says where, whom, and after how many seconds to kill (never: null); answered is
what the process said last. They are forked from this one, which has loaded all that they need.
With `customer_first`, the control: what names a customer goes before what belongs to it.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import sys
from pathlib import Path

from halflap.api.operations import erasure
from halflap.server.host import Host
from halflap.server.settings import Settings
from halflap.store.catalogue.instances import InstanceFilter

KEYS = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
AT_ONCE = 3
LARGE = 200


def settings(folder: Path, url: str) -> Settings:
    """Of a server that has its store in a folder, or at a URL."""
    return Settings(dir=folder, store=url, keys=KEYS, blobs=str(folder / "blobs"), blob_bytes=LARGE)


async def erase(folder: Path, url: str, customer: str, customer_first: bool, say: int) -> None:
    """Say that it begins, erase, and say that it is done."""
    host = await Host.open(settings(folder, url), probation=False)
    catalogue, deployer = host.store.catalogue, host.deployer
    erasure.AT_ONCE = AT_ONCE
    os.write(say, b"begins\n")
    if customer_first:
        for each in await catalogue.instances.list(InstanceFilter(customer)):
            await deployer.remove(each.id)
        for each in await catalogue.connections.list(customer):
            await catalogue.connections.remove(each.id)
        await deployer.remove_customer(customer)
        os.write(say, b"between\n")
        await asyncio.sleep(60)
    await host.operations.erasure.erase(customer, "Ada", 600)
    os.write(say, b"done\n")


def killed(folder: str, url: str, customer: str, customer_first: bool, after: float | None) -> str:
    """Have one erase and die; what it said last."""
    heard, say = os.pipe()
    if (child := os.fork()) == 0:
        os.nice(19)  # it does not come to its end on a busy machine before it is killed
        try:
            asyncio.run(erase(Path(folder), url, customer, customer_first, say))
        finally:
            os._exit(0)
    os.close(say)
    lines = os.fdopen(heard, "rb", buffering=0)
    last = lines.readline()
    if last and select.select([lines], [], [], after)[0]:
        last = lines.readline() or last
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    lines.close()
    return last.decode().strip()


if __name__ == "__main__":
    for line in sys.stdin:
        print(killed(*json.loads(line)), flush=True)
