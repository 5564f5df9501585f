"""The team's own OAuth app: customers sign in through it, and neither see nor redirect it."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from halflap.api.operations.connections import MOST_SIGN_INS
from halflap.sdk.oauth import allowed_origin
from tests.api.conftest import ON_ONE_STORE
from tests.api.test_api_scopes import offer
from tests.cases import for_each

CALLBACK = "https://product.example/oauth/callback"
SECRET = "the-teams-client-secret"


@pytest.fixture
async def sold(either: Any) -> Any:
    """A world whose team has an OAuth app, with a customer's token."""
    await either.publish(either.cloud())
    await offer(either, "cloud-sync")
    await either.customer("Mine")
    either.acts = await either.token("Mine")
    draft = {
        "client_id": "the-team",
        "client_secret": SECRET,
        "callback": CALLBACK,
        "origins": [either.shop.url],
    }
    stored = await either.api("PUT", "/api/oauth-apps/cloud:Cloud", draft)
    assert stored.status == 200, stored.body
    return either


@ON_ONE_STORE
async def test_a_customer_signs_in_through_the_teams_own_app(sold: Any) -> None:
    path = await sold.cloud_connection(token=sold.acts)

    begun = await sold.api("POST", f"{path}/authorize", {}, token=sold.acts)
    asked = parse_qs(urlsplit(begun.json["url"]).query)
    answer = {"state": begun.json["state"], "code": "the-code"}
    ended = await sold.api("POST", "/api/connections/authorized", answer, token=sold.acts)

    assert (asked["client_id"], asked["redirect_uri"]) == (["the-team"], [CALLBACK])
    assert (ended.status, ended.json["status"]) == (200, "working"), ended.body
    assert sold.shop.codes[-1]["client_secret"] == SECRET
    assert sold.shop.codes[-1]["redirect_uri"] == CALLBACK
    assert ended.json["secrets"] == ["auth.access_token", "auth.refresh_token"]
    # Refreshing works by it too, and stores nothing of it with the connection.
    sold.shop.keys.clear()
    assert (await sold.api("POST", f"{path}/test", token=sold.acts)).json["status"] == "working"
    assert sold.shop.codes[-1]["grant_type"] == "refresh_token"
    assert sold.shop.codes[-1]["client_secret"] == SECRET
    id = path.rpartition("/")[2]
    stored = await sold.host.store.catalogue.connections.open_secrets(id)
    assert SECRET not in stored.values()
    assert "the-team" not in str(await sold.api.get(path))


@ON_ONE_STORE
async def test_a_customer_comes_back_to_the_registered_callback_alone(sold: Any) -> None:
    path = await sold.cloud_connection(token=sold.acts)
    for elsewhere in ("https://evil.example/cb", "http://127.0.0.1:1/callback"):
        draft = {"redirect_uri": elsewhere}
        refused = await sold.api("POST", f"{path}/authorize", draft, token=sold.acts)
        assert (refused.status, set(refused.json["fields"])) == (422, {"redirect_uri"})
    # The team may sign in from a terminal.
    draft = {"redirect_uri": "http://127.0.0.1:1/callback"}
    assert (await sold.api("POST", f"{path}/authorize", draft)).status == 200


@ON_ONE_STORE
async def test_the_teams_secret_goes_to_the_origins_that_the_team_named(sold: Any) -> None:
    elsewhere = sold.shop.url.replace("127.0.0.1", "localhost")
    path = await sold.cloud_connection(token=sold.acts)
    begun = await sold.api("POST", f"{path}/authorize", {}, token=sold.acts)
    for field in ("token_url", "authorize_url"):
        change = {"values": {"auth": {field: f"{elsewhere}/token"}}, "test": False}
        changed = await sold.api("PATCH", path, change, token=sold.acts)
        assert changed.status == 200, changed.body
        answer = {"state": begun.json["state"], "code": "the-code"}
        ended = await sold.api("POST", "/api/connections/authorized", answer, token=sold.acts)
        again = await sold.api("POST", f"{path}/authorize", {}, token=sold.acts)
        assert ended.status == 422, ended.body
        if field == "authorize_url":
            assert again.status == 422, again.body
        elif again.status == 200:
            begun = again
    assert sold.shop.codes == []


@ON_ONE_STORE
async def test_forms_ask_neither_for_tokens_nor_for_the_teams_client(sold: Any) -> None:
    async def fields() -> dict[str, set[str]]:
        offers = await sold.api.items("/api/offers", token=sold.acts)
        ways = offers[0]["forms"]["cloud"]["$defs"]
        return {way["properties"]["kind"]["const"]: set(way["properties"]) for way in ways.values()}

    shown = await fields()
    assert not {"client_id", "client_secret"} & shown["oauth2_code"]
    assert {"client_id", "client_secret"} <= shown["client_credentials"]
    for each in shown.values():
        assert not {"access_token", "refresh_token", "expires_at"} & each
    # The control: where the team has none, a client is asked for.
    assert (await sold.api("DELETE", "/api/oauth-apps/cloud:Cloud")).status == 204
    assert {"client_id", "client_secret"} <= (await fields())["oauth2_code"]
    path = await sold.cloud_connection(token=sold.acts)
    back = {"redirect_uri": CALLBACK}
    refused = await sold.api("POST", f"{path}/authorize", back, token=sold.acts)
    assert (refused.status, set(refused.json["fields"])) == (422, {"auth.client_id"})


@ON_ONE_STORE
async def test_the_team_sees_its_app_without_the_secret_and_changes_it_in_parts(sold: Any) -> None:
    [shown] = await sold.api.get("/api/oauth-apps")
    assert (shown["client_id"], shown["has_secret"]) == ("the-team", True)
    assert SECRET not in str(shown)
    draft = {"client_id": "another"}
    changed = await sold.api("PUT", "/api/oauth-apps/cloud:Cloud", draft)
    assert (changed.json["callback"], changed.json["has_secret"]) == (CALLBACK, True)
    for wrong in ({"origins": ["ftp://x"]}, {"origins": ["https://*"]}, {"callback": "http://x"}):
        refused = await sold.api("PUT", "/api/oauth-apps/cloud:Cloud", {**draft, **wrong})
        assert refused.status == 422, wrong
    elsewhere = {**draft, "origins": [sold.shop.url, "https://evil.example"]}
    refused = await sold.api("PUT", "/api/oauth-apps/cloud:Cloud", elsewhere)
    assert (refused.status, set(refused.json["fields"])) == (422, {"client_secret"})
    again = {**elsewhere, "client_secret": "another"}
    assert (await sold.api("PUT", "/api/oauth-apps/cloud:Cloud", again)).status == 200
    fewer = {**draft, "origins": [sold.shop.url]}
    assert (await sold.api("PUT", "/api/oauth-apps/cloud:Cloud", fewer)).json["has_secret"]
    assert (await sold.api("PUT", "/api/oauth-apps/no:Such", draft)).status == 404
    declared = await sold.api("PUT", "/api/oauth-apps/salesforce", draft)
    origins = ["https://login.salesforce.com", "https://api.pubsub.salesforce.com:7443"]
    assert declared.json["origins"] == origins
    for method in ("GET", "PUT", "DELETE"):
        path = "/api/oauth-apps" + ("" if method == "GET" else "/cloud:Cloud")
        body = (draft,) if method == "PUT" else ()
        assert (await sold.api(method, path, *body, token=sold.acts)).status == 403


@for_each(
    ("url", "allowed"),
    [
        ("https://login.app.example/token", True),
        ("https://LOGIN.app.example", True),
        ("https://a.my.app.example/token", True),
        ("https://a.b.my.app.example", True),
        ("https://my.app.example", False),
        ("https://evilmy.app.example", False),
        ("http://login.app.example", False),
        ("https://login.app.example:444", False),
        ("https://login.app.example@evil.example", False),
        ("https://evil.example\\.my.app.example", False),
        ("https://evil.example#.my.app.example", False),
        ("https://evil.example/.my.app.example", False),
        ("login.app.example", False),
        ("", False),
    ],
)
def test_an_origin_is_allowed_by_its_whole_host(url: str, allowed: bool) -> None:
    origins = ("https://login.app.example", "https://*.my.app.example")
    assert allowed_origin(url, origins) is allowed


@ON_ONE_STORE
async def test_a_customer_voids_no_other_ones_sign_in(sold: Any) -> None:
    path = await sold.cloud_connection(token=sold.acts)
    begun = await sold.api("POST", f"{path}/authorize", {}, token=sold.acts)
    await sold.customer("Other")
    sold.acts, mine = await sold.token("Other"), sold.acts
    other = await sold.cloud_connection(token=sold.acts)
    states = [
        (await sold.api("POST", f"{other}/authorize", {}, token=sold.acts)).json["state"]
        for _ in range(MOST_SIGN_INS + 1)
    ]

    for state, token, status in (
        (begun.json["state"], mine, 200),
        (states[0], sold.acts, 422),  # of one customer's too many, the newest are kept
        (states[-1], sold.acts, 200),
    ):
        answer = {"state": state, "code": "the-code"}
        ended = await sold.api("POST", "/api/connections/authorized", answer, token=token)
        assert ended.status == status, ended.body
