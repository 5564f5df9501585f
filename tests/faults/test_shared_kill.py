"""Kill -9 while events of all customers come to one URL: each is routed once, to whose it is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from halflap.engine.bundle import pack
from tests.faults.verdict import SEED
from tests.served import TOKEN, Served, served, until

EVENTS, KILLS, SENDERS = 240, 4, 8
TEAMS = ("T0", "T1", "T2")
PROJECT = '''
from typing import Any

from halflap import Config, Context, Integration, Route, pointer, webhook


class Settings(Config):
    team: str


integration = Integration("teams", config=Settings)


@integration.flow(trigger=webhook.request(key="body:/n"))
async def message(ctx: Context[Settings], event: Any) -> str:
    """A message."""
    return ctx.config.team


@integration.preprocess(
    trigger=webhook.request(dedupe="header:x-id"), shared=True, sender=pointer("/team")
)
async def receive(ctx: Context[Settings], event: Any) -> Route:
    """Everything."""
    return Route(message, config={"team": event["team"]})
'''


async def ask(server: Served, method: str, path: str, **more: Any) -> Any:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    url = f"http://127.0.0.1:{server.ports[-1]}/api{path}"
    async with server.http.request(method, url, headers=headers, **more) as response:
        assert response.status < 300, await response.text()
        return await response.json()


async def prepared(server: Served, folder: Path) -> str:
    """Publish the project, activate an instance for each team; the path of the shared URL."""
    folder.mkdir()
    (folder / "teams.py").write_text(PROJECT)
    await server.started(1)
    await ask(server, "POST", "/versions", data=pack(folder, "teams:integration").to_bytes())
    for team in TEAMS:
        await ask(server, "POST", "/customers", json={"name": team})
        draft = {"customer": team, "integration": "teams", "config": {"team": team}}
        made = await ask(server, "POST", "/instances", json=draft)
        path = f"/instances/{made['id']}/activate?wait=20"
        assert (await ask(server, "POST", path))["state"] == "active"
    [endpoint] = await ask(server, "GET", "/integrations/teams/endpoints")
    return "/hooks/" + endpoint["url"].rpartition("/")[2]


async def send(server: Served, path: str, number: int, id: str | None = None) -> None:
    """Send an event until it is acknowledged, as apps do."""
    body = {"n": number, "team": TEAMS[number % len(TEAMS)]}
    while True:
        with contextlib.suppress(aiohttp.ClientError):
            url = f"http://127.0.0.1:{server.ports[-1]}{path}"
            headers = {"x-id": id or f"{number}"}
            async with server.http.post(url, json=body, headers=headers) as response:
                if response.status == 200:
                    return
        await asyncio.sleep(0.02)


def pid_of(server: Served) -> int | None:
    """The server's process: the supervisor's child."""
    supervisor = server.process.pid
    text = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text()
    return int(text.split()[0]) if text.split() else None


async def routed(server: Served) -> dict[str, Counter[int]]:
    """By team, how often each event was run there; once nothing is live any more."""

    async def all_ended() -> bool:
        page = await server.get("/executions?state=queued,running,waiting")
        return not page["executions"]

    await until(all_ended)
    found: dict[str, Counter[int]] = {team: Counter() for team in TEAMS}
    before = ""
    while True:
        page = await server.get(f"/executions?flow=message&limit=100{before}")
        for each in page["executions"]:
            assert each["state"] == "succeeded", each
            assert each["parent"] is not None
            found[each["customer_name"]][int(each["key"])] += 1
        if not page["next"]:
            return found
        before = f"&before={page['next']}"


def check(found: dict[str, Counter[int]], sent: int) -> None:
    """Each event was run once, by its own customer's instance."""
    for at, team in enumerate(TEAMS):
        assert found[team] == Counter(range(at, sent, len(TEAMS))), team


async def test_each_event_is_routed_once_through_kill_9(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    async with served(tmp_path / "store") as server:
        path = await prepared(server, tmp_path / "project")
        numbers = iter(range(EVENTS))

        async def sender() -> None:
            for number in numbers:
                await send(server, path, number)
                await asyncio.sleep(chance.uniform(0, 0.1))

        senders = [asyncio.create_task(sender()) for _ in range(SENDERS)]
        kills = 0
        while kills < KILLS and not all(each.done() for each in senders):
            await asyncio.sleep(chance.uniform(0.2, 0.6))
            if (pid := pid_of(server)) is not None:
                os.kill(pid, signal.SIGKILL)
                kills += 1
                await server.started(kills + 1)
        await asyncio.gather(*senders)
        assert kills == KILLS
        check(await routed(server), EVENTS)


async def test_the_control_whose_deliveries_have_no_id_is_caught(tmp_path: Path) -> None:
    async with served(tmp_path / "store") as server:
        path = await prepared(server, tmp_path / "project")
        for number in range(6):
            await send(server, path, number)
        check(await routed(server), 6)
        await send(server, path, 5, id="again")
        with pytest.raises(AssertionError, match="T2"):
            check(await routed(server), 6)
