"""Ways into an app: what they ask for, what they keep, and that many workers refresh once."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import web
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from pydantic import SecretStr

from halflap.components import stripe
from halflap.errors import ConfigError, RateLimited, Unauthorized, UpstreamError
from halflap.sdk import codec
from halflap.sdk.connection import Connection, Link
from halflap.sdk.egress import Egress, Policy
from halflap.sdk.oauth import ApiKey, ClientCredentials, JwtBearer, OAuth2Code
from halflap.sdk.request import Headers, Request
from tests.cases import for_each
from tests.loopback import on_loopback
from tests.polling import DEADLINE
from tests.world import host_on, publish


@dataclass
class Provider:
    """A token endpoint that rotates its refresh tokens: an old one is worth nothing."""

    url: str = ""
    asked: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    refresh: str = "refresh-0"
    access: str = "access-0"
    refusal: tuple[int, dict[str, Any]] | None = None
    slow: float = 0.0
    more: dict[str, Any] = field(default_factory=dict[str, Any])

    async def token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.asked.append(form)
        await asyncio.sleep(self.slow)
        if self.refusal is not None:
            status, body = self.refusal
            return web.json_response(body, status=status, headers={"Retry-After": "7"})
        if form["grant_type"] == "refresh_token" and form["refresh_token"] != self.refresh:
            return web.json_response({"error": "invalid_grant"}, status=400)
        number = len(self.asked)
        self.access, self.refresh = f"access-{number}", f"refresh-{number}"
        tokens = {"access_token": self.access, "refresh_token": self.refresh, "expires_in": 3600}
        return web.json_response({**tokens, **self.more})

    async def thing(self, request: web.Request) -> web.Response:
        allowed = request.headers.get("Authorization") == f"Bearer {self.access}"
        return web.json_response({"ok": allowed}, status=200 if allowed else 401)


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    made = Provider()
    app = web.Application()
    app.router.add_post("/token", made.token)
    app.router.add_get("/thing", made.thing)
    async with on_loopback(app) as made.url:
        yield made


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    client = Egress(Policy(allow=("127.0.0.1",)))
    yield client
    await client.close()


def code_flow(provider: Provider, **more: Any) -> OAuth2Code:
    return OAuth2Code(
        authorize_url="https://app.example/authorize?tenant=1",
        token_url=f"{provider.url}/token",
        client_id="client",
        client_secret=SecretStr("hunter2"),
        scopes=("read", "write"),
        **more,
    )


async def test_an_authorization_binds_the_browser_by_state_and_pkce(
    provider: Provider, egress: Egress
) -> None:
    auth = code_flow(provider)
    begun = auth.authorization("http://127.0.0.1:9/callback")
    asked = {name: values[0] for name, values in parse_qs(urlsplit(begun.url).query).items()}
    digest = hashlib.sha256(begun.verifier.encode()).digest()
    assert asked == {
        "tenant": "1",
        "response_type": "code",
        "client_id": "client",
        "redirect_uri": "http://127.0.0.1:9/callback",
        "state": begun.state,
        "scope": "read write",
        "code_challenge_method": "S256",
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
    }
    assert begun.verifier not in begun.url
    assert len(base64.urlsafe_b64decode(begun.state + "==")) >= 32
    begun.check_state(begun.state)
    with pytest.raises(ConfigError, match="another sign-in"):
        begun.check_state(auth.authorization("http://127.0.0.1:9/callback").state)
    signed_in = await auth.exchange(egress, "the-code", begun)
    assert provider.asked[0]["code_verifier"] == begun.verifier
    assert provider.asked[0]["redirect_uri"] == begun.redirect_uri
    assert signed_in.headers() == {"Authorization": "Bearer access-1"}
    assert not signed_in.is_stale()
    assert auth.headers() == {}


async def test_an_app_that_refuses_pkce_is_not_sent_it(provider: Provider, egress: Egress) -> None:
    auth = stripe.StripeSignIn(
        token_url=f"{provider.url}/token", client_id="ca_1", client_secret=SecretStr("sk_1")
    )
    provider.more = {"stripe_user_id": "acct_1"}
    begun = auth.authorization("http://127.0.0.1:9/callback")
    assert begun.url.startswith("https://connect.stripe.com/oauth/authorize?")
    asked = parse_qs(urlsplit(begun.url).query)
    assert sorted(asked) == ["client_id", "redirect_uri", "response_type", "scope", "state"]
    signed_in = await auth.exchange(egress, "the-code", begun)
    assert "code_verifier" not in provider.asked[0]
    assert signed_in.stripe_user_id == "acct_1"
    endpoint = stripe.Stripe.app_endpoint
    assert endpoint is not None
    event = b'{"id":"evt_1","account":"acct_1"}'
    request = Request("POST", "", "", Headers(()), event, "", datetime.now(UTC))
    assert endpoint.account(request) == getattr(signed_in, endpoint.field.removeprefix("auth."))


async def test_a_refresh_replaces_both_tokens(provider: Provider, egress: Egress) -> None:
    auth = code_flow(
        provider,
        access_token=SecretStr("old"),
        refresh_token=SecretStr("refresh-0"),
        expires_at=datetime.now(UTC) + timedelta(seconds=10),
    )
    assert auth.is_stale()
    fresh = await auth.refresh(egress)
    assert fresh.access_token == SecretStr("access-1")
    assert fresh.refresh_token == SecretStr("refresh-1")
    assert not fresh.is_stale()


@pytest.mark.parametrize(
    "expires", ["soon", [1], 1e30, "1" * 400, "1e99999999", -5, None, {"s": 1}, True, "NaN"]
)
async def test_tokens_are_kept_though_they_expire_at_no_time(
    provider: Provider, egress: Egress, expires: object
) -> None:
    provider.more = {"expires_in": expires}
    fresh = await code_flow(provider, refresh_token=SecretStr("refresh-0")).refresh(egress)
    assert (fresh.refresh_token, fresh.expires_at) == (SecretStr("refresh-1"), None)


async def test_a_time_to_live_may_be_a_text(provider: Provider, egress: Egress) -> None:
    provider.more = {"expires_in": "3599.0"}
    fresh = await code_flow(provider, refresh_token=SecretStr("refresh-0")).refresh(egress)
    assert fresh.expires_at is not None
    assert timedelta(hours=0.9) < fresh.expires_at - datetime.now(UTC) <= timedelta(hours=1)


@pytest.mark.parametrize("token", [None, {}, 7, ""])
async def test_what_is_no_token_is_a_refusal(
    provider: Provider, egress: Egress, token: object
) -> None:
    provider.more = {"access_token": token}
    with pytest.raises(Unauthorized, match="refused to give a token"):
        await code_flow(provider, refresh_token=SecretStr("refresh-0")).refresh(egress)


async def test_a_token_that_is_too_long_is_not_kept(provider: Provider, egress: Egress) -> None:
    auth = code_flow(provider, refresh_token=SecretStr("refresh-0"))
    provider.refusal = (200, {"access_token": "t" * 65_537})
    with pytest.raises(Unauthorized, match="more than 65,536 characters"):
        await auth.refresh(egress)


async def test_a_way_in_that_cannot_refresh_says_to_connect_again(
    provider: Provider, egress: Egress
) -> None:
    with pytest.raises(Unauthorized, match="connect again"):
        await code_flow(provider, access_token=SecretStr("old")).refresh(egress)
    assert provider.asked == []


@for_each(
    ("refusal", "error", "message"),
    [
        ((400, {"error": "invalid_grant", "error_description": "gone"}), Unauthorized, "gone"),
        ((200, {"error": "bad_verification_code"}), Unauthorized, "bad_verification_code"),
        ((200, {}), Unauthorized, "connect again"),
        ((429, {}), RateLimited, "429"),
        ((503, {}), UpstreamError, "503"),
    ],
)
async def test_a_refusal_says_what_the_app_said(
    provider: Provider,
    egress: Egress,
    refusal: tuple[int, dict[str, Any]],
    error: type[UpstreamError],
    message: str,
) -> None:
    provider.refusal = refusal
    auth = code_flow(provider, refresh_token=SecretStr("refresh-0"))
    with pytest.raises(error, match=message) as caught:
        await auth.refresh(egress)
    assert "hunter2" not in str(caught.value)
    assert "refresh-0" not in str(caught.value)


class Tenant(OAuth2Code):
    instance_url: str = ""

    def keep(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        return {"instance_url": answer["instance_url"]} if "instance_url" in answer else {}


async def test_a_way_in_keeps_what_else_it_is_told_with_the_token(
    provider: Provider, egress: Egress
) -> None:
    auth = Tenant(
        authorize_url="https://app.example/authorize",
        token_url=f"{provider.url}/token",
        client_id="client",
        refresh_token=SecretStr("refresh-0"),
    )
    provider.refusal = (200, {"access_token": "a", "instance_url": "https://eu7.app.example"})
    fresh = await auth.refresh(egress)
    assert fresh.instance_url == "https://eu7.app.example"
    provider.refusal = (200, {"access_token": "b"})
    again = await fresh.refresh(egress)
    assert (again.instance_url, again.access_token) == (fresh.instance_url, SecretStr("b"))


class App(Connection):
    base_url: str
    auth: ApiKey


async def test_a_connection_gets_new_credentials_where_the_app_hides_its_refusal() -> None:
    app = App(base_url="https://app.example", auth=ApiKey(key=SecretStr("old")))
    with pytest.raises(Unauthorized, match=r"App: the credentials were refused.*connect again"):
        await app.refreshed()

    async def renewed(current: Connection) -> Connection:
        assert current is app
        return app.model_copy(update={"auth": ApiKey(key=SecretStr("new"))})

    app._link = Link("app", refresh=renewed)
    fresh = await app.refreshed()
    assert fresh.headers() == {"Authorization": "Bearer new"}


async def test_client_credentials_ask_for_a_token_by_themselves(
    provider: Provider, egress: Egress
) -> None:
    auth = ClientCredentials(
        token_url=f"{provider.url}/token",
        client_id="client",
        client_secret=SecretStr("hunter2"),
        scopes=("all",),
    )
    assert auth.is_stale()
    fresh = await auth.refresh(egress)
    assert provider.asked == [
        {
            "grant_type": "client_credentials",
            "client_id": "client",
            "client_secret": "hunter2",
            "scope": "all",
        }
    ]
    assert fresh.headers() == {"Authorization": "Bearer access-1"}


async def test_a_jwt_bearer_signs_its_assertion(provider: Provider, egress: Egress) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    auth = JwtBearer(
        token_url=f"{provider.url}/token",
        client_id="client",
        subject="user@example.com",
        audience="https://login.example",
        private_key=SecretStr(pem),
    )
    await auth.refresh(egress)
    head, claims, signature = provider.asked[0]["assertion"].split(".")
    key.public_key().verify(
        unpadded(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256()
    )
    assert codec.decode(unpadded(head)) == {"alg": "RS256", "typ": "JWT"}
    said = codec.decode(unpadded(claims))
    assert (said["iss"], said["sub"], said["aud"]) == (
        "client",
        "user@example.com",
        "https://login.example",
    )
    wrong = auth.model_copy(update={"private_key": SecretStr("hunter2")})
    with pytest.raises(ConfigError, match="PEM") as caught:
        await wrong.refresh(egress)
    assert "hunter2" not in str(caught.value)


def unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_a_key_is_a_bearer_and_hidden_from_repr() -> None:
    auth = ApiKey(key=SecretStr("hunter2"))
    assert auth.headers() == {"Authorization": "Bearer hunter2"}
    assert "hunter2" not in repr(auth)


PROJECT = '''
from halflap import ApiKey, Component, Config, Connection, Context, Integration, Json, OAuth2Code, webhook


class App(Connection):
    base_url: str
    auth: OAuth2Code | ApiKey


component = Component("app", connection=App)


@component.action
async def read(app: App) -> Json:
    """Read a thing."""
    return await app.get("/thing")


class Settings(Config):
    app: App


integration = Integration("reader", config=Settings)


@integration.flow(trigger=webhook.request())
async def flow(ctx: Context[Settings], event: Json) -> Json:
    return await read(ctx.config.app)
'''


async def test_fifty_executions_with_an_expired_token_refresh_it_once(
    tmp_path: Path, provider: Provider
) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "reader.py").write_text(PROJECT)
    provider.slow = 0.05
    provider.access = "something-else"
    async with host_on(tmp_path / "store") as (host, _):
        catalogue = host.store.catalogue
        version = await publish(host, folder, "reader:integration")
        customer = await catalogue.customers.add("Initech")
        auth = {
            "kind": "oauth2_code",
            "authorize_url": "https://app.example/authorize",
            "token_url": f"{provider.url}/token",
            "client_id": "client",
        }
        connection = await catalogue.connections.save(
            customer.id,
            "app",
            "app",
            {"base_url": provider.url, "auth": auth},
            {"auth.access_token": "expired", "auth.refresh_token": "refresh-0"},
        )
        instance = await catalogue.instances.add(customer.id, "reader", "reader", version.hash)
        await catalogue.instances.set_revision(instance.id, {}, {"app": connection.id})
        await host.deployer.activate(instance.id)
        assert (await host.deployer.settled(instance.id)).error is None
        urls = await host.resolver.urls(instance.id)
        import aiohttp

        async with aiohttp.ClientSession() as http:

            async def send() -> str:
                async with http.post(urls["flow"], json={}) as answer:
                    return answer.headers["halflap-execution"]

            sent = await asyncio.gather(*(send() for _ in range(50)))
        outcomes = [await host.engine.outcome(each, DEADLINE) for each in sent]
        assert [each.state for each in outcomes if each] == ["succeeded"] * 50
        assert len(provider.asked) == 1
        kept = await catalogue.connections.open_secrets(connection.id)
        assert kept["auth.refresh_token"] == "refresh-1"
