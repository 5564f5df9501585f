"""Secrets of endpoints and subscriptions that change, and instances that leave an app behind."""

from base64 import b64encode
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SIGNED = """
\"\"\"Signed: an app that chooses what it signs with, and a URL that a sender signs for.\"\"\"

from typing import Any

from pydantic import SecretStr

from halflap import BearerToken, Config, Context, Endpoint, Integration, Request, Subscription
from halflap import StandardWebhooks
from shop import Shop, component


@component.trigger(verify=BearerToken(header="X-Token", prefix=""))
async def signed(request: Request) -> Any:
    \"\"\"Signed as the app chose.\"\"\"
    return request.json()


@signed.subscribe
async def _(shop: Shop, endpoint: Endpoint, former: Subscription | None) -> Subscription:
    if former is not None and KEEPS:
        return former
    made = await shop.post("/hooks", json={"url": endpoint.url, "former": former and former.id})
    return Subscription(id=made["id"], secret=SecretStr(f"secret-of-{made['id']}"))


@signed.unsubscribe
async def _(shop: Shop, subscription: Subscription) -> None:
    await shop.delete(f"/hooks/{subscription.id}")


@component.trigger(verify=BearerToken(header="X-Token", prefix=""))
async def by_hand(request: Request) -> Any:
    \"\"\"Signed with the endpoint's secret.\"\"\"
    return request.json()


@component.trigger(verify=StandardWebhooks())
async def standard(request: Request) -> Any:
    \"\"\"Signed as Standard Webhooks says.\"\"\"
    return request.json()


class Settings(Config):
    shop: Shop


integration = Integration("signed", config=Settings)


@integration.flow(trigger=signed)
async def chosen(ctx: Context[Settings], event: Any) -> None:
    \"\"\"What the app signs.\"\"\"


@integration.flow(trigger=standard)
async def keyed(ctx: Context[Settings], event: Any) -> None:
    \"\"\"What a sender signs with its own key.\"\"\"


@integration.flow(trigger=by_hand)
async def given(ctx: Context[Settings], event: Any) -> None:
    \"\"\"What a sender signs.\"\"\"
"""


def signed_bundle(world: Any, *, keeps: bool) -> Any:
    return world.packed("signed:integration", {"signed.py": f"KEEPS = {keeps}\n{SIGNED}"})


@pytest.fixture
async def signed(world: Any) -> Any:
    """An active instance of `signed`, whose triggers make a new webhook each time."""
    await world.publish(signed_bundle(world, keeps=False))
    customer = await world.customer("Mine")
    await world.connection(customer, integration="signed")
    made = await world.add(customer, "signed", connections={"shop": "shop"})
    world.path = f"/api/instances/{made['id']}"
    world.active = await world.activate(made["id"])
    return world


async def taken(world: Any, flow: str, token: str) -> int:
    return (await world.hook(world.active, b"{}", flow, **{"x-token": token})).status


async def test_a_rotated_secret_is_good_for_a_grace_period(signed: Any) -> None:
    old = (await signed.api.get(f"{signed.path}/secrets"))["given"]
    rotated = await signed.api("POST", f"{signed.path}/secrets/given", {"grace_seconds": 60})

    assert rotated.status == 200, rotated.body
    new = rotated.json["secret"]
    assert (rotated.json["redeploys"], new != old) == (False, True)
    assert (await signed.api.get(f"{signed.path}/secrets"))["given"] == new
    assert [await taken(signed, "given", each) for each in (old, new, "x")] == [200, 200, 401]
    clock = signed.host.store.catalogue.endpoints
    clock._clock = lambda: signed.host.store.clock() + 61_000_000
    assert [await taken(signed, "given", each) for each in (old, new)] == [401, 200]
    gone = await signed.api("POST", f"{signed.path}/secrets/given", {"grace_seconds": 0})
    assert [await taken(signed, "given", each) for each in (new, gone.json["secret"])] == [401, 200]
    unknown = await signed.api("POST", f"{signed.path}/secrets/none", {})
    assert unknown.status == 404


async def test_a_second_rotation_voids_no_secret_that_is_promised_to_be_good(signed: Any) -> None:
    path = f"{signed.path}/secrets/given"
    old = (await signed.api.get(f"{signed.path}/secrets"))["given"]
    new = (await signed.api("POST", path, {})).json["secret"]

    again = await signed.api("POST", path, {})

    assert (again.status, again.kind, "would void it" in again.json["detail"]) == (
        409,
        "Conflict",
        True,
    )
    assert [await taken(signed, "given", each) for each in (old, new)] == [200, 200]
    # The sender's own, which was mistyped at first, and is said twice.
    for secret in ("sender's ovn", "sender's own", "sender's own"):
        given = await signed.api("POST", path, {"secret": secret})
        assert given.status == 200, given.body
    secrets = (old, new, "sender's ovn", "sender's own")
    assert [await taken(signed, "given", each) for each in secrets] == [200, 401, 401, 200]
    # Without a grace the same one voids what was before it.
    voids = await signed.api("POST", path, {"secret": secrets[-1], "grace_seconds": 0})
    assert voids.status == 200, voids.body
    assert [await taken(signed, "given", each) for each in secrets] == [401, 401, 401, 200]


async def test_a_senders_public_key_is_the_secret_of_an_instances_own_url(signed: Any) -> None:
    key = Ed25519PrivateKey.generate()
    public = "whpk_" + b64encode(key.public_key().public_bytes_raw()).decode()
    path = f"{signed.path}/secrets/keyed"

    async def send(key: Ed25519PrivateKey) -> int:
        at, body = str(signed.host.store.clock() // 1_000_000), b'{"n": 1}'
        sign = b64encode(key.sign(b".".join([b"msg_1", at.encode(), body]))).decode()
        headers = {
            "webhook-id": "msg_1",
            "webhook-timestamp": at,
            "webhook-signature": f"v1a,{sign}",
        }
        return (await signed.hook(signed.active, body, "keyed", **headers)).status

    assert await send(key) == 401
    told = await signed.api("POST", path, {"secret": public, "grace_seconds": 0})
    assert (told.status, told.json["secret"]) == (200, public)
    assert [await send(each) for each in (key, Ed25519PrivateKey.generate())] == [200, 401]
    example = await signed.api("GET", f"{signed.path}/endpoints/keyed/example")
    assert (example.status, "private key" in example.json["detail"]) == (422, True)
    wrong = {"whsk_" + "A" * 43 + "=": "private key", "whpk_AA==": "32 bytes", "": "characters"}
    for secret, why in wrong.items():
        refused = await signed.api("POST", path, {"secret": secret})
        assert (refused.status, why in refused.json["detail"]) == (422, True), refused.body
    chosen = await signed.api("POST", f"{signed.path}/secrets/chosen", {"secret": "mine"})
    assert (chosen.status, "makes its webhook itself" in chosen.json["detail"]) == (422, True)


async def test_an_app_is_told_of_a_rotated_secret(signed: Any) -> None:
    hooks = len(signed.shop.hooks)
    rotated = await signed.api("POST", f"{signed.path}/secrets/chosen", {})
    assert rotated.json["redeploys"] is True
    [id] = [signed.path.rpartition("/")[2]]
    assert (await signed.host.deployer.settled(id)).state == "active"
    assert len(signed.shop.hooks) == hooks  # the one before was taken down
    assert "h1" not in signed.shop.hooks


async def test_what_was_signed_before_an_upgrade_is_taken_for_a_day(signed: Any) -> None:
    shown = await signed.api.get(f"{signed.path}/secrets")
    assert shown["chosen"] == "secret-of-h1"  # what its sender signs with, as the app chose it
    assert await taken(signed, "chosen", shown["chosen"]) == 200
    again = await signed.api("POST", f"{signed.path}/redeploy", wait=30)
    assert again.json["state"] == "active"
    [made] = again.json["subscriptions"]
    assert made["remote_id"] != "h1"
    now = f"secret-of-{made['remote_id']}"
    assert [await taken(signed, "chosen", each) for each in ("secret-of-h1", now)] == [200, 200]
    subscriptions = signed.host.store.catalogue.subscriptions
    subscriptions._clock = lambda: signed.host.store.clock() + 86_401_000_000
    assert [await taken(signed, "chosen", each) for each in ("secret-of-h1", now)] == [401, 200]


async def test_a_subscriber_is_given_the_former_subscription_to_keep(signed: Any) -> None:
    await signed.publish(signed_bundle(signed, keeps=True), overwrite="true")
    for verb, draft in (("upgrade", {"version": "2"}), ("redeploy", ...), ("disable", ...)):
        before = dict(signed.shop.hooks)
        moved = await signed.api("POST", f"{signed.path}/{verb}", draft, wait=30)
        if verb != "disable":
            assert moved.json["state"] == "active", moved.body
            assert [each["remote_id"] for each in moved.json["subscriptions"]] == ["h1"]
            assert signed.shop.hooks == before
    assert signed.shop.hooks == {}


async def test_leaving_is_possible_whatever_the_app_says(signed: Any) -> None:
    signed.shop.refuses_hooks = True
    failed = await signed.api("POST", f"{signed.path}/disable", wait=30)
    assert failed.json["state"] == "failed"
    assert "--abandon" in failed.json["error"]
    assert (await signed.api("DELETE", signed.path)).status == 422

    left = await signed.api("POST", f"{signed.path}/disable", abandon="true", wait=30)

    assert (left.status, left.json["state"]) == (200, "disabled"), left.body
    [made] = left.json["subscriptions"]
    assert made["remote_id"] == "h1"
    assert "401" in made["left_because"] or "refused" in made["left_because"]
    assert "chosen" in left.json["error"]
    assert await taken(signed, "chosen", "secret-of-h1") == 404
    # As soon as the connection works it is taken down.
    signed.shop.refuses_hooks = False
    tested = await signed.api("POST", "/api/connections/shop/test")
    assert tested.json["status"] == "working"
    id = signed.path.rpartition("/")[2]
    assert (await signed.host.deployer.settled(id)).state == "disabled"
    shown = await signed.api.get(signed.path)
    assert (shown["subscriptions"], shown["error"]) == ([], None)
    assert signed.shop.hooks == {}


async def test_what_is_left_behind_is_tried_every_hour_and_stops_no_removal(
    signed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed.shop.refuses_hooks = True
    left = await signed.api("POST", f"{signed.path}/disable", abandon="true", wait=30)
    assert left.json["state"] == "disabled"
    id = signed.path.rpartition("/")[2]
    deployer = signed.host.deployer
    signed.shop.refuses_hooks = False
    await deployer._retry_left()
    assert (await deployer.settled(id)).error is not None  # an hour has not passed
    now = signed.host.store.clock
    monkeypatch.setattr(deployer, "_clock", lambda: now() + 3_601_000_000)
    await deployer._retry_left()
    settled = await deployer.settled(id)
    assert (settled.state, settled.error) == ("disabled", None)
    assert signed.shop.hooks == {}


async def test_an_instance_that_is_being_disabled_says_why_and_may_be_abandoned(
    world: Any,
) -> None:
    await world.publish()
    instance = await world.instance()
    world.shop.hold.clear()
    execution = await world.send(instance, {"id": "o1", "amount": 1})
    await world.state(execution, "running")
    path = f"/api/instances/{instance['id']}"
    begun = await world.api("POST", f"{path}/disable")
    assert (begun.json["state"], begun.json["deployment"] is not None) == ("disabling", True)
    waits_for = "1 of its executions to end; what takes too long is cancelled"
    assert (await world.api.get(path))["waits_for"] == waits_for
    [listed] = await world.api.items("/api/instances")
    assert listed["waits_for"] == waits_for

    left = await world.api("POST", f"{path}/disable", abandon="true")
    assert (left.status, left.json["state"]) == (200, "disabling"), left.body
    world.shop.hold.set()
    await world.ended(execution)
    assert (await world.host.deployer.settled(instance["id"])).state == "disabled"
    assert (await world.api.get(path))["waits_for"] == ""


async def test_an_abandoned_instance_is_removed_and_its_customer_erased(signed: Any) -> None:
    signed.shop.refuses_hooks = True
    await signed.api("POST", f"{signed.path}/disable", abandon="true", wait=30)
    again = await signed.api("POST", f"{signed.path}/activate", wait=30)
    assert again.json["state"] == "failed"  # the app still refuses
    left = await signed.api("POST", f"{signed.path}/disable", abandon="true", wait=30)
    assert left.json["state"] == "disabled"
    assert (await signed.api("DELETE", signed.path)).status == 204
    plan = await signed.api.get("/api/customers/Mine/erasure")
    assert (plan["before"], plan["instances"]) == ([], 0)


async def moved_account(world: Any) -> dict[str, Any]:
    """Have the instance use another account of the shop: the instance once it is settled."""
    world.shop.keys.add("other-key")
    values = {"base_url": world.shop.url, "api_key": "other-key"}
    await world.connection("Mine", "other", values, integration="signed")
    config = {"config": {}, "connections": {"shop": "other"}}
    changed = await world.api("PUT", f"{world.path}/config", config)
    assert changed.status == 200, changed.body
    return await settled(world)


async def settled(world: Any) -> dict[str, Any]:
    await world.host.deployer.settled(world.path.rpartition("/")[2])
    return await world.api.get(world.path)


async def test_another_connection_moves_the_subscription_and_each_account_forgets_its_own(
    signed: Any,
) -> None:
    assert set(signed.shop.owners.values()) == {"Bearer good-key"}
    moved = await moved_account(signed)
    [made] = moved["subscriptions"]
    assert (moved["state"], made["left_because"]) == ("active", "")
    assert signed.shop.owners == {made["remote_id"]: "Bearer other-key"}
    # The account before is that of the former subscription's secret, which is good for a day.
    assert await taken(signed, "chosen", "secret-of-h1") == 200
    off = await signed.api("POST", f"{signed.path}/disable", wait=30)
    assert (off.json["state"], signed.shop.hooks) == ("disabled", {})


async def test_what_an_account_before_cannot_forget_is_shown_and_tried_again(signed: Any) -> None:
    signed.shop.keys.remove("good-key")
    moved = await moved_account(signed)
    [made] = moved["subscriptions"]
    assert (moved["state"], moved["error"]) == ("active", None)
    assert "of the account before" in made["left_because"]
    assert signed.shop.owners == {"h1": "Bearer good-key", made["remote_id"]: "Bearer other-key"}
    assert await taken(signed, "chosen", f"secret-of-{made['remote_id']}") == 200

    refused = await signed.api("POST", f"{signed.path}/disable", wait=30)
    assert refused.json["state"] == "failed"
    assert "--abandon" in refused.json["error"]

    signed.shop.keys.add("good-key")
    assert (await signed.api("POST", "/api/connections/shop/test")).json["status"] == "working"
    off = await signed.api("POST", f"{signed.path}/disable", wait=30)
    assert (off.json["state"], off.json["subscriptions"]) == ("disabled", [])
    assert signed.shop.hooks == {}


async def test_a_way_back_to_an_account_keeps_what_it_still_has(signed: Any) -> None:
    signed.shop.keys.remove("good-key")
    await moved_account(signed)
    signed.shop.keys.add("good-key")
    assert (await signed.api("POST", "/api/connections/shop/test")).json["status"] == "working"
    config = {"config": {}, "connections": {"shop": "shop"}}
    assert (await signed.api("PUT", f"{signed.path}/config", config)).status == 200
    [made] = (await settled(signed))["subscriptions"]
    assert made["left_because"] == ""
    assert signed.shop.owners == {made["remote_id"]: "Bearer good-key"}
