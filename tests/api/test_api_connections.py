"""Connections through the API: validated, tested at the app, sealed; and signed in to."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from halflap.sdk.redact import LONGEST
from tests.api.conftest import ORDERS, OUR_CLIENT, SHOP
from tests.cases import for_each


def draft(world: Any, **changes: Any) -> dict[str, Any]:
    return {
        "customer": "Initech",
        "integration": "orders",
        "field": "shop",
        "name": "shop",
        "values": {"base_url": world.shop.url, "api_key": "good-key"},
        **changes,
    }


@pytest.fixture
async def ready(world: Any) -> Any:
    await world.publish()
    await world.customer()
    return world


async def test_a_connection_is_tested_before_it_is_saved_and_tells_no_secret(ready: Any) -> None:
    async def refused(status: int, **changes: Any) -> Any:
        answer = await ready.api("POST", "/api/connections", draft(ready, **changes))
        assert answer.status == status, answer.body
        return answer

    bad = await refused(502, values={"base_url": ready.shop.url, "api_key": "a-bad-key"})
    assert bad.kind == "Unauthorized"
    assert bad.json["upstream"] == {"status": 401, "body": "the key ••• is not known here"}
    assert b"a-bad-key" not in bad.body
    wrong = await refused(422, values={"api_key": 7, "colour": "s3cret"})
    assert set(wrong.json["fields"]) == {"base_url", "api_key", "colour"}
    assert b"s3cret" not in wrong.body
    web = {"integration": None, "field": None, "component": "http"}
    values = {"base_url": "http://10.0.0.1", "probe": "/"}
    assert (await refused(422, **web, values=values)).kind == "EgressRefused"
    # A type is an installed component's or that of a field.
    for changes in ({"component": "http"}, {"field": None}, {"integration": None}):
        assert "component" in (await refused(422, **changes)).json["fields"]
    for changes in ({"field": "crm"}, {"integration": "none"}, {"version": "9"}):
        assert (await refused(404, **changes)).kind == "NotFound"
    assert await ready.api.items("/api/connections") == []

    made = await ready.api("POST", "/api/connections", draft(ready))

    assert made.status == 201
    assert (made.json["status"], made.json["component"]) == ("working", "shop:Shop")
    assert made.json["fields"] == {"base_url": ready.shop.url, "region": "eu"}
    assert made.json["secrets"] == ["api_key"]
    for path in ("/api/connections", f"/api/connections/{made.json['id']}"):
        assert b"good-key" not in (await ready.api("GET", path)).body
    ready.shop.keys.clear()  # a name that is taken is refused before the app is asked
    assert (await refused(422)).json["fields"] == {"name": "is taken"}


async def test_a_change_keeps_what_it_leaves_out(ready: Any) -> None:
    made = (await ready.api("POST", "/api/connections", draft(ready))).json
    path = f"/api/connections/{made['id']}"

    region = await ready.api("PATCH", path, {"values": {"region": "us"}})
    cleared = await ready.api("PATCH", path, {"values": {"region": None}, "name": "other"})
    refused = await ready.api("PATCH", path, {"values": {"api_key": "another"}})

    assert (region.json["status"], region.json["fields"]["region"]) == ("working", "us")
    assert region.json["generation"] == made["generation"]
    assert (cleared.json["name"], cleared.json["fields"]["region"]) == ("other", "eu")
    assert refused.status == 502
    kept = await ready.host.store.catalogue.connections.open_secrets(made["id"])
    assert kept == {"api_key": "good-key"}


async def test_testing_a_saved_connection_notes_what_the_app_says(ready: Any) -> None:
    id = await ready.connection("Initech")
    ready.shop.keys.clear()
    key = await ready.key("read", "operate")

    refused = await ready.api("POST", "/api/connections/shop/test")
    hidden = await ready.api("POST", "/api/connections/shop/test", token=key)
    noted = await ready.api.get(f"/api/connections/{id}")
    ready.shop.keys.add("good-key")
    mended = await ready.api("POST", f"/api/connections/{id}/test")

    assert (refused.status, b"good-key" in refused.body) == (502, False)
    assert "is not known here" in refused.json["upstream"]["body"]
    # What the app says may have a customer's values.
    assert (hidden.status, "upstream" in hidden.json) == (502, False)
    assert hidden.json["detail"] == "The app answered 401; you may not see what it said."
    assert noted["status"] == "unauthorized"
    assert (mended.status, mended.json["status"]) == (200, "working")


async def test_a_connection_that_an_instance_uses_is_not_removed(ready: Any) -> None:
    instance = await ready.instance("Initech")
    used = instance["connections"]["shop"]
    unused = await ready.connection("Initech", "unused")

    assert (await ready.api("DELETE", f"/api/connections/{used}")).status == 422
    assert (await ready.api("DELETE", f"/api/connections/{unused}")).status == 204


async def test_a_customer_may_use_its_own_connections_and_the_teams(ready: Any) -> None:
    await ready.customer("Globex")
    await ready.connection("Initech", "ours")
    await ready.connection("Globex", "theirs")
    await ready.connection(None, "shared")

    listed = await ready.api.items("/api/connections", customer="Initech")

    assert [each["name"] for each in listed] == ["ours", "shared"]
    assert len(await ready.api.items("/api/connections")) == 3
    assert (await ready.api("GET", "/api/connections/theirs", customer="Initech")).status == 404


async def test_a_secret_is_sent_only_to_the_address_that_it_was_given_for(ready: Any) -> None:
    made = (await ready.api("POST", "/api/connections", draft(ready))).json
    path = f"/api/connections/{made['id']}"
    elsewhere = ready.shop.url.replace("127.0.0.1", "localhost")
    assert elsewhere != ready.shop.url
    seen = len(ready.shop.seen)
    acts = await ready.token("Initech")

    for token in (acts, ready.api.token):
        for base_url in (elsewhere, f"{ready.shop.url}@localhost", ""):
            for test in (True, False):
                change = {"values": {"base_url": base_url, "region": "us"}, "test": test}
                refused = await ready.api("PATCH", path, change, token=token)
                assert (refused.status, refused.kind) == (422, "ConfigError")
                assert set(refused.json["fields"]) == {"api_key"}
                assert "base_url" in refused.json["fields"]["api_key"]
    assert len(ready.shop.seen) == seen
    stored = await ready.api.get(path)
    assert stored["fields"] == made["fields"]

    # The control: given again, they are sent there.
    change = {"values": {"base_url": elsewhere, "api_key": "good-key"}}
    moved = await ready.api("PATCH", path, change, token=acts)
    assert (moved.status, moved.json["status"]) == (200, "working"), moved.body
    assert ready.shop.seen[-1]["Authorization"] == "Bearer good-key"
    assert ready.shop.seen[-1]["Host"].startswith("localhost")


async def test_a_path_of_the_same_origin_keeps_the_secrets(ready: Any) -> None:
    made = (await ready.api("POST", "/api/connections", draft(ready))).json
    change = {"values": {"base_url": f"{ready.shop.url}/v2"}, "test": False}
    moved = await ready.api("PATCH", f"/api/connections/{made['id']}", change)
    assert (moved.status, moved.json["fields"]["base_url"]) == (200, f"{ready.shop.url}/v2")
    kept = await ready.host.store.catalogue.connections.open_secrets(made["id"])
    assert kept == {"api_key": "good-key"}


@for_each("more", ["?team=1", "#v1", "/v1?"])
async def test_a_base_url_is_the_beginning_of_urls(ready: Any, more: str) -> None:
    values = {"base_url": ready.shop.url + more, "token": "whatever-it-is"}
    asked = {"name": "web", "component": "http", "values": values}
    refused = await ready.api("POST", "/api/connections", asked)
    assert (refused.status, set(refused.json["fields"])) == (422, {"base_url"})
    assert "leave out what follows" in refused.json["fields"]["base_url"]


@for_each("key", ["good-key\r\nX-Admin: 1", "good-key\n", "good\0key"])
async def test_a_secret_that_no_header_can_carry_is_refused_by_its_name(
    ready: Any, key: str
) -> None:
    values = {"base_url": ready.shop.url, "header": "X-Key", "key": key}
    asked = {"name": "web", "component": "http", "values": values}
    for test in (True, False):
        refused = await ready.api("POST", "/api/connections", {**asked, "test": test})
        assert (refused.status, set(refused.json["fields"])) == (422, {"key"})
        assert b"good" not in refused.body
    basic = {"base_url": ready.shop.url, "username": "u", "password": key}  # in base64
    made = await ready.api("POST", "/api/connections", {**asked, "values": basic})
    assert made.status == 201
    path = f"/api/connections/{made.json['id']}"
    changed = await ready.api("PATCH", path, {"values": {"token": "other\n"}})
    assert (changed.status, set(changed.json["fields"])) == (422, {"token"})
    assert (await ready.api("DELETE", path)).status == 204


@for_each(
    ("field", "name"),
    [
        ("idempotency_key_header", "Content-Length"),
        ("idempotency_key_header", "Transfer-Encoding"),
        ("idempotency_key_header", "Host"),
        ("idempotency_key_header", "a b"),
        ("idempotency_key_header", "X\r\nY: z"),
        ("idempotency_key_header", "Authorization"),
        ("idempotency_key_header", "x-own"),
        ("header", "Host"),
        ("header", "a b"),
    ],
)
async def test_a_name_that_no_header_can_have_is_refused_by_its_field(
    ready: Any, field: str, name: str
) -> None:
    values = {"base_url": ready.shop.url, "header": "X-Own", "key": "secret"}
    asked = {"name": "web", "component": "http", "values": {**values, field: name}}
    for test in (True, False):
        refused = await ready.api("POST", "/api/connections", {**asked, "test": test})
        assert (refused.status, set(refused.json["fields"])) == (422, {field})
    right = {**values, "idempotency_key_header": "Idempotency-Key"}
    made = await ready.api("POST", "/api/connections", {**asked, "values": right})
    assert made.status == 201
    path = f"/api/connections/{made.json['id']}"
    changed = await ready.api("PATCH", path, {"values": {field: name}, "test": False})
    assert (changed.status, set(changed.json["fields"])) == (422, {field})
    assert (await ready.api("DELETE", path)).status == 204


async def test_the_mask_of_a_secret_is_not_saved_as_the_secret(ready: Any) -> None:
    values = {"base_url": ready.shop.url, "token": "the-right-one"}
    asked = {"name": "web", "component": "http", "values": values}
    made = await ready.api("POST", "/api/connections", asked)
    path = f"/api/connections/{made.json['id']}"
    refused = await ready.api("PATCH", path, {"values": {"token": "•••"}, "test": False})
    assert refused.status == 422
    assert "leave it out to keep that" in refused.json["fields"]["token"]
    assert (await ready.api("PATCH", path, {"values": {}, "test": False})).status == 200


@for_each("field", ["token", "base_url", "header"])
async def test_a_value_that_is_too_long_is_refused_by_its_name(ready: Any, field: str) -> None:
    values = {"base_url": ready.shop.url, "token": "t" * LONGEST}
    asked = {"name": "web", "component": "http", "values": values}
    made = await ready.api("POST", "/api/connections", asked)
    assert made.status == 201
    long = {field: f"{values.get(field, '')}{'/t' * LONGEST}"}
    for method, path, body in (
        ("POST", "/api/connections", {**asked, "name": "other", "values": {**values, **long}}),
        ("PATCH", f"/api/connections/{made.json['id']}", {"values": long, "test": False}),
    ):
        refused = await ready.api(method, path, body)
        assert (refused.status, set(refused.json["fields"])) == (422, {field})
        assert "is longer than 65,536 characters" in refused.json["fields"][field]
        assert len(refused.body) < 1_000
    assert (await ready.api("DELETE", f"/api/connections/{made.json['id']}")).status == 204


async def test_what_cannot_be_tested_is_not_called_working(ready: Any) -> None:
    values = {"base_url": ready.shop.url, "token": "whatever-it-is"}
    asked = {"name": "web", "component": "http", "values": values}

    made = await ready.api("POST", "/api/connections", asked)
    tested = await ready.api("POST", f"/api/connections/{made.json['id']}/test")
    path = f"/api/connections/{made.json['id']}"
    probed = await ready.api("PATCH", path, {"values": {"probe": "/me"}})

    assert (made.status, made.json["status"]) == (201, "untested")
    assert (tested.status, tested.json["status"]) == (200, "untested")
    assert probed.status == 502


# Signing in -----------------------------------------------------------------------------------

CALLBACK = "http://127.0.0.1:5555/callback"


@pytest.fixture
async def cloud(world: Any) -> str:
    await world.publish(world.cloud())
    path = await world.cloud_connection(**OUR_CLIENT)
    made = await world.api.get(path)
    assert (made["status"], made["needs_sign_in"]) == ("untested", True)
    return path


async def begun(world: Any, cloud: str, code: str = "the-code") -> dict[str, str]:
    """Begin to sign in; returns what the app's page answers with."""
    began = await world.api("POST", f"{cloud}/authorize", {"redirect_uri": CALLBACK})
    assert began.status == 200, began.body
    return {"state": began.json["state"], "code": code}


async def test_a_sign_in_that_fails_is_told_and_stored_only_where_its_test_is_not_answered(
    world: Any, cloud: str
) -> None:
    for uri in (  # a code is sent to https or to localhost only
        "http://evil.example/cb",
        "javascript:alert(1)",
        "https://ok.example/#x",
        "https://a@ok.example/",
        "/callback",
        "http://[",
    ):
        refused = await world.api("POST", f"{cloud}/authorize", {"redirect_uri": uri})
        assert (refused.status, set(refused.json["fields"])) == (422, {"redirect_uri"}), uri

    async def ended(answer: dict[str, str], status: int) -> Any:
        told = await world.api("POST", "/api/connections/authorized", answer)
        left = await world.api.get(cloud)
        assert (told.status, left["status"]) == (status, "untested"), told.body
        return told, left["needs_sign_in"]

    signing_in = world.host.operations.connections.signing_in
    clock, answer = signing_in.clock, await begun(world, cloud)
    signing_in.clock = lambda: clock() + 601_000_000  # it is good for ten minutes
    _, needed = await ended(answer, 422)
    assert (needed, world.shop.codes) == (True, [])
    signing_in.clock = clock
    told, needed = await ended(await begun(world, cloud, "wrong-code"), 502)
    assert (told.kind, needed) == ("Unauthorized", True)
    assert b"wrong-code" not in told.body
    assert b"our-secret" not in told.body
    for status, kind, is_needed in ((401, "Unauthorized", True), (503, "UpstreamError", False)):
        world.shop.me_status = status
        told, needed = await ended(await begun(world, cloud), 502)
        assert (told.kind, needed) == (kind, is_needed)


async def test_a_sign_in_ends_with_sealed_tokens_and_a_working_connection(
    world: Any, cloud: str
) -> None:
    began = await world.api("POST", f"{cloud}/authorize", {"redirect_uri": CALLBACK})
    asked = parse_qs(urlsplit(began.json["url"]).query)
    assert (asked["state"], asked["redirect_uri"]) == ([began.json["state"]], [CALLBACK])

    answer = {"state": began.json["state"], "code": "the-code"}
    ended = await world.api("POST", "/api/connections/authorized", answer)
    again = await world.api("POST", "/api/connections/authorized", answer)

    assert (ended.status, ended.json["status"]) == (200, "working")
    assert ended.json["needs_sign_in"] is False
    assert {"auth.access_token", "auth.refresh_token"} <= set(ended.json["secrets"])
    assert b"fresh-token" not in ended.body
    assert world.shop.codes[0]["code_verifier"]
    assert (again.status, set(again.json["fields"])) == (422, {"state"})
    assert len(world.shop.codes) == 1


async def test_an_instance_is_not_activated_before_somebody_signed_in(
    world: Any, cloud: str
) -> None:
    links = {"cloud": "cloud"}
    made = await world.add(await world.customer(), "cloud-sync", connections=links)

    refused = await world.api("POST", f"/api/instances/{made['id']}/activate")

    assert (refused.status, "signed in" in refused.json["fields"]["cloud"]) == (422, True)
    assert (await world.api("POST", f"{cloud}/test")).status == 422


@pytest.mark.parametrize("field", ["token_url", "authorize_url"])
async def test_no_client_secret_is_sent_to_another_token_endpoint(
    world: Any, cloud: str, field: str
) -> None:
    answer = await begun(world, cloud)
    assert (await world.api("POST", "/api/connections/authorized", answer)).status == 200
    asked = len(world.shop.codes)
    elsewhere = f"{world.shop.url.replace('127.0.0.1', 'localhost')}/token"

    for test in (True, False):
        change = {"values": {"auth": {field: elsewhere}}, "test": test}
        refused = await world.api("PATCH", cloud, change)
        assert (refused.status, set(refused.json["fields"])) == (422, {"auth.client_secret"})
    assert len(world.shop.codes) == asked

    # The control: with its secret it is changed, and has to be signed in to again.
    change = {"values": {"auth": {field: elsewhere, "client_secret": "our-secret"}}}
    moved = await world.api("PATCH", cloud, change)
    assert (moved.status, moved.json["needs_sign_in"]) == (200, True), moved.body
    assert moved.json["secrets"] == ["auth.client_secret"]
    assert len(world.shop.codes) == asked


async def test_a_change_is_tested_with_the_new_credentials(world: Any, cloud: str) -> None:
    auth = {
        "kind": "client_credentials",
        "token_url": f"{world.shop.url}/token",
        **OUR_CLIENT,
    }
    # A client's own credentials get a token before they are tested.
    changed = await world.api("PATCH", cloud, {"values": {"auth": auth}})
    assert (changed.status, changed.json["status"]) == (200, "working")
    assert "auth.access_token" in changed.json["secrets"]
    assert changed.json["needs_sign_in"] is False
    asked = len(world.shop.codes)

    for values in ({"client_secret": "other"}, {"client_id": "them"}):
        changed = await world.api("PATCH", cloud, {"values": {"auth": values}})
        assert changed.json["status"] == "working"
        [(name, value)] = values.items()
        asked += 1
        assert len(world.shop.codes) == asked
        assert world.shop.codes[-1][name] == value

    # What is saved untested holds no token of the former account.
    change = {"values": {"auth": {"client_id": "third"}}, "test": False}
    untested = await world.api("PATCH", cloud, change)
    assert (untested.json["status"], untested.json["secrets"]) == (
        "untested",
        ["auth.client_secret"],
    )


async def test_another_way_in_replaces_the_one_before_with_its_secrets(
    world: Any, cloud: str
) -> None:
    change = {"values": {"auth": {"kind": "api_key", "key": "good-key"}}}

    changed = await world.api("PATCH", cloud, change)

    assert (changed.status, changed.json["secrets"]) == (200, ["auth.key"])
    unneeded = await world.api("POST", f"{cloud}/authorize", {"redirect_uri": CALLBACK})
    assert (unneeded.status, unneeded.kind) == (422, "ConfigError")
    untested = await world.api("POST", f"{cloud}/test")
    assert untested.json["status"] == "working"


@pytest.mark.parametrize("component", ["shop", "another_than_its_module"])
async def test_a_working_connection_shows_the_calls_that_failed(world: Any, component: str) -> None:
    source = SHOP.replace('Component("shop"', f'Component("{component}"')
    await world.publish(
        world.packed("orders:integration", {"orders.py": ORDERS, "shop.py": source})
    )
    instance = await world.instance()
    world.shop.broken = True
    for id in ("1", "2"):
        execution = await world.send(instance, {"id": id, "amount": 5})
        assert (await world.ended(execution))["state"] == "failed"
    (found,) = await world.api.items("/api/connections")

    shown = await world.api.get(f"/api/connections/{found['id']}")

    assert (shown["status"], shown["failed"]) == ("working", {"422": 2})
