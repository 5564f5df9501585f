"""Kill -9 as an event of an app endpoint is answered: each of its flows gets it once, or nobody."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import aiohttp

from halflap import SlackSignature
from halflap.store.protocol import Filter
from halflap.store.store import Store as OpenStore
from halflap.store.vault import Vault
from tests.faults.conftest import SOAKED_ON_POSTGRESQL, Store
from tests.faults.fanning import CUSTOMERS
from tests.faults.process import ServerProcess, server_on
from tests.faults.server import KEYS
from tests.gateway.chats import SECRET

BODY = b'{"id":"Ev1","team":"T1","text":"hi","channel":"C1"}'
SCRIPT = Path(__file__).parent / "fanning.py"


async def sent(server: ServerProcess) -> int | None:
    """Send the event; the status, None where nobody answered."""
    headers = SlackSignature().sign(BODY, SECRET, datetime.now(UTC))
    headers["content-type"] = "application/json"
    url = f"http://127.0.0.1:{server.port}/hooks/{server.urls['app'].partition('/hooks/')[2]}"
    try:
        async with (
            aiohttp.ClientSession() as http,
            http.post(url, data=BODY, headers=headers) as answer,
        ):
            return answer.status
    except aiohttp.ClientError:
        return None


async def taken(server: ServerProcess) -> Counter[str]:
    """The executions of each instance that the store has, of a server that has ended."""
    vault = Vault.from_text(KEYS) if server.store else None
    store = await OpenStore.open(server.place, vault=vault)
    try:
        found = await store.journal.executions(Filter(flow="told", limit=500))
    finally:
        await store.close()
    return Counter(each.flow.instance for each in found)


@SOAKED_ON_POSTGRESQL
async def test_what_was_accepted_before_the_kill_is_there_once_when_it_is_sent_again(
    tmp_path: Path, store: Store
) -> None:
    flags = ["--projects", str(tmp_path)]
    place = tmp_path / "store"
    async with server_on(
        place, "http://127.0.0.1:9", *flags, "--die", store=store.url, script=SCRIPT
    ) as server:
        assert await sent(server) is None
        await server.ended()
        assert list((await taken(server)).values()) == [1] * 2 * CUSTOMERS
        server.flags.remove("--die")
        await server.start()
        assert await sent(server) == 200
        await server.stop()
        assert list((await taken(server)).values()) == [1] * 2 * CUSTOMERS


async def test_a_control_that_answers_before_the_commit_loses_the_event(tmp_path: Path) -> None:
    flags = ["--projects", str(tmp_path), "--die", "--forget"]
    async with server_on(tmp_path / "store", "http://127.0.0.1:9", *flags, script=SCRIPT) as server:
        assert await sent(server) == 200
        await server.kill()
        assert await taken(server) == {}
