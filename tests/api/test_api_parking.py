"""Connections whose credentials are refused: what needs them is parked, and goes on once mended."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp.web import Response

from halflap.api.view import rfc3339
from halflap.model import Throttled
from tests.api.conftest import ORDERS, SHOP, World
from tests.polling import until

EVENT = {"id": "7", "amount": 5}


@asynccontextmanager
async def mending(world: World) -> AsyncIterator[None]:
    task = asyncio.create_task(world.host.parking.run())
    try:
        yield
    finally:
        world.host.parking.stop()
        await task
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)


async def parked(world: World, instance: dict[str, Any]) -> str:
    execution = await world.send(instance, EVENT)

    async def look() -> bool:
        return (await world.api.get(f"/api/executions/{execution}"))["state"] == "waiting"

    await until(look)
    return execution


async def shown(world: World) -> dict[str, Any]:
    (found,) = await world.api.items("/api/connections")
    return await world.api.get(f"/api/connections/{found['id']}")


async def test_what_needs_a_refused_connection_is_parked_and_goes_on_once_it_is_mended(world: Any):
    await world.publish()
    instance = await world.instance()
    world.shop.keys.clear()
    first = await parked(world, instance)
    connection = await shown(world)
    assert (connection["status"], connection["parked"]) == ("unauthorized", 1)
    limits = f"/api/connections/{connection['id']}/limits"  # it has some of its own
    limited = await world.api("PUT", limits, {"rate": 500, "concurrency": 200})
    assert limited.json["limits"] == {"rate": 500, "burst": None, "concurrency": 200}
    assert (await shown(world))["limits"] == limited.json["limits"]
    assert (await world.api("PUT", limits, {"rate": -5})).status == 422
    found = await world.api.get(f"/api/executions/{first}")
    assert found["waiting_for"] == f"connection:{connection['id']}"
    asked = len(world.shop.orders)
    others = [await parked(world, instance) for _ in range(6)]
    assert len(world.shop.orders) == asked  # nobody calls the app meanwhile
    assert (await shown(world))["parked"] == 7
    page = await world.api.items("/api/executions", instance=instance["id"], flow="incoming")
    assert {each["waiting_for"] for each in page} == {found["waiting_for"]}

    gone = await world.api("POST", f"/api/executions/{others[0]}/cancel", {"reason": "no"})
    assert gone.status == 200, gone.body
    world.shop.keys.add("new-key")
    async with mending(world):
        change = {"values": {"api_key": "new-key"}}
        mended = await world.api("PATCH", f"/api/connections/{connection['id']}", change)
        assert (mended.status, mended.json["status"]) == (200, "working")
        for each in (first, *others[1:]):
            assert (await world.ended(each))["state"] == "succeeded"
    assert (await world.ended(others[0]))["state"] == "cancelled"
    assert (await shown(world))["parked"] == 0
    done = await world.api.get(f"/api/executions/{first}")
    (step,) = [each for each in done["steps"] if each["name"] == "shop.create_order"]
    assert (step["status"], step["tries"]) == ("succeeded", 1)  # parking spent no try


async def test_a_test_that_passes_mends_it_too(world: Any):
    await world.publish()
    instance = await world.instance()
    world.shop.keys.clear()
    execution = await parked(world, instance)
    world.shop.keys.add("good-key")
    async with mending(world):
        connection = await shown(world)
        tested = await world.api("POST", f"/api/connections/{connection['id']}/test")
        assert tested.status == 200
        assert (await world.ended(execution))["state"] == "succeeded"


async def test_a_test_that_passes_ends_the_wait_for_an_app_that_was_away(world: Any):
    await world.publish()
    instance = await world.instance()
    (connection,) = await world.api.items("/api/connections")
    assert (connection["away"], connection["away_since"]) == (False, None)
    assert await world.api.items("/api/connections", status="away") == []
    journal, now = world.host.store.journal, world.host.store.clock()
    since = now - 60_000_000
    rest = Throttled(now + 3_600_000_000, "it answered 503", away=True, since=since)
    await journal.rest(connection["id"], rest)
    await world.host.throttles.look()
    execution = await parked(world, instance)
    (away,) = await world.api.items("/api/connections", status="away")
    assert (away["away"], away["rests_because"]) == (True, "it answered 503")
    assert (away["away_since"], away["rests_until"]) == (rfc3339(since), rfc3339(rest.until))
    async with mending(world):
        tested = await world.api("POST", f"/api/connections/{connection['id']}/test")
        assert (tested.status, tested.json["away"]) == (200, False)
        assert (await world.ended(execution))["state"] == "succeeded"


async def test_where_it_is_refused_again_only_the_first_one_was_let_go(world: Any):
    await world.publish()
    instance = await world.instance()
    world.shop.keys.clear()
    executions = [await parked(world, instance) for _ in range(4)]
    connection = await shown(world)
    asked = len(world.shop.orders)
    async with mending(world):
        change = {"values": {"region": "us"}, "test": False}
        await world.api("PATCH", f"/api/connections/{connection['id']}", change)

        async def again() -> bool:
            return (await shown(world))["status"] == "unauthorized"

        await until(again)

        async def back() -> bool:
            return (await shown(world))["parked"] == 4

        await until(back)
    assert len(world.shop.orders) == asked + 1
    assert {(await world.api.get(f"/api/executions/{each}"))["state"] for each in executions} == {
        "waiting"
    }


async def test_where_the_connections_own_test_passes_the_step_just_fails(world: Any):
    await world.publish()
    instance = await world.instance()

    async def order(request: Any) -> Any:
        from aiohttp import web

        return web.Response(status=401, text="not for you")

    world.shop.order_answer = order
    execution = await world.send(instance, EVENT)
    assert (await world.ended(execution))["state"] == "failed"
    assert (await shown(world))["status"] == "working"


SAYS_SO = SHOP.replace("api_key: SecretStr\n", "auth: ClientCredentials\n")
SAYS_SO = SAYS_SO.replace("import Component,", "import ClientCredentials, Component, Unauthorized,")
SAYS_SO = (
    SAYS_SO[: SAYS_SO.index("    def headers")]
    + """
    async def test(self) -> None:
        await told(self, "/orders", json={})


async def told(shop: Shop, path: str, **body: Any) -> Any:
    answer = await shop.request("POST" if body else "GET", path, check=False, **body)
    if answer.status == 401 or "ended" in answer.text:
        raise Unauthorized(f"the session has ended: {answer.text}")
    return answer.json()

"""
    + SAYS_SO[SAYS_SO.index("\nclass Order") :]
)
SAYS_SO = SAYS_SO.replace('await shop.post("/orders", json=', 'await told(shop, "/orders", json=')
SAYS_SO = SAYS_SO.replace(
    "from decimal import Decimal", "from decimal import Decimal\nfrom typing import Any"
)


async def sign_in_by_secret(world: World) -> dict[str, Any]:
    """An instance whose connection gets its tokens by itself, at an app that refuses them by a 200."""
    bundle = world.packed("orders:integration", {"orders.py": ORDERS, "shop.py": SAYS_SO})
    await world.publish(bundle)
    customer = await world.customer()
    auth = {"kind": "client_credentials", "client_id": "c", "client_secret": "a-good-secret"}
    auth["token_url"] = f"{world.shop.url}/token"
    await world.connection(customer, values={"base_url": world.shop.url, "auth": auth})
    return await world.activate((await world.add(customer, name="orders"))["id"])


def refuse(world: World, times: int, but: str = "") -> None:
    """Have the app say so many times that the session has ended, but not of this body."""
    from aiohttp import web

    left = iter(range(times))

    async def order(request: Any) -> Any:
        text = await request.text()
        if text != but and next(left, None) is not None:
            text = '{"error": "ended"}'
        return web.Response(text=text, content_type="application/json")

    world.shop.order_answer = order


async def test_tokens_that_an_action_or_a_test_says_are_refused_are_got_anew_once(world: Any):
    instance = await sign_in_by_secret(world)
    refuse(world, 1)
    asked = len(world.shop.codes)
    execution = await world.send(instance, EVENT)
    assert (await world.ended(execution))["state"] == "succeeded"
    assert len(world.shop.codes) == asked + 1
    refuse(world, 1_000, but="{}")  # what these tokens may not do, new ones may not either
    execution = await world.send(instance, EVENT)
    assert (await world.ended(execution))["state"] == "failed"
    connection = await shown(world)
    assert connection["status"] == "working"
    # A person's test gets new ones, too, and tells nothing of them.
    path = f"/api/connections/{connection['id']}/test"
    refuse(world, 1)
    tested = await world.api("POST", path)
    assert (tested.status, tested.json["status"]) == (200, "working"), tested.body

    async def ended(request: Any) -> Any:
        return Response(text=f"{request.headers['authorization']} has ended")

    world.shop.order_answer, world.shop.given = ended, "another-token"
    tested = await world.api("POST", path)
    assert tested.status >= 400
    assert (b"has ended" in tested.body, b"another-token" in tested.body) == (True, False)


async def test_a_replay_of_one_that_was_cancelled_while_it_was_parked_is_parked_too(world: Any):
    await world.publish()
    instance = await world.instance()
    world.shop.keys.clear()
    execution = await parked(world, instance)
    await world.api("POST", f"/api/executions/{execution}/cancel", {"reason": "no"})
    again = await world.replay(execution)

    async def look() -> bool:
        return (await world.api.get(f"/api/executions/{again}"))["state"] == "waiting"

    await until(look)
