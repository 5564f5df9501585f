"""A source in a process of its own: a log that is read by position, and a queue that delivers again.

It keeps what it has while the servers that read it are killed. The log refuses, hangs and expires as it
is told; the queue delivers what was not acknowledged again after `VISIBLE` seconds, some of it twice at
once, in any order.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections import Counter
from typing import Any

from aiohttp import web

VISIBLE = 0.6


class Source:
    """The messages, and how the source behaves."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.log: dict[str, list[int]] = {}
        self.first: dict[str, int] = {}
        self.queue: dict[int, float] = {}
        self.delivered: Counter[int] = Counter()
        self.refuses = False
        self.hangs = 0
        self.reads = 0

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/put", self.put),
            web.post("/behave", self.behave),
            web.get("/state", self.state),
            web.get("/log/{shard}", self.read),
            web.post("/receive", self.receive),
            web.post("/acknowledge", self.acknowledge),
        ]

    async def put(self, request: web.Request) -> web.Response:
        asked = await request.json()
        for shard, numbers in asked.get("log", {}).items():
            self.log.setdefault(shard, []).extend(numbers)
        self.queue |= dict.fromkeys(asked.get("queue", ()), 0.0)
        return web.json_response({})

    async def behave(self, request: web.Request) -> web.Response:
        asked = await request.json()
        self.refuses = asked.get("refuses", self.refuses)
        self.hangs = asked.get("hangs", self.hangs)
        for shard in asked.get("expire", ()):
            self.first[shard] = len(self.log[shard])
        return web.json_response({})

    async def state(self, request: web.Request) -> web.Response:
        return web.json_response({"left": len(self.queue), "reads": self.reads})

    async def read(self, request: web.Request) -> web.Response:
        self.reads += 1
        if self.refuses:
            return web.json_response({}, status=401)
        if self.hangs:
            self.hangs -= 1
            await asyncio.sleep(3_600)
        shard, after = request.match_info["shard"], int(request.query["after"])
        if after < self.first.get(shard, 0):
            return web.json_response({"first": self.first[shard]}, status=410)
        found = self.log.get(shard, [])[after : after + int(request.query["limit"])]
        return web.json_response({"numbers": found, "next": after + len(found)})

    async def receive(self, request: web.Request) -> web.Response:
        now = time.monotonic()
        visible = [each for each, until in self.queue.items() if until <= now]
        self.chance.shuffle(visible)
        found = visible[: self.chance.randint(1, 8)]
        for each in found:
            self.queue[each] = now + VISIBLE
        self.delivered.update(found)
        if found and self.chance.random() < 0.3:
            found = [*found, found[0]]  # one twice at once
        return web.json_response([{"id": f"m{each}", "number": each} for each in found])

    async def acknowledge(self, request: web.Request) -> web.Response:
        for each in await request.json():
            self.queue.pop(each, None)
        return web.json_response({})


async def main() -> None:
    """Serve, and print the port."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    app: Any = web.Application()
    app.add_routes(Source(parser.parse_args().seed).routes())
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    sockets: Any = site._server
    print(json.dumps({"port": sockets.sockets[0].getsockname()[1]}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
