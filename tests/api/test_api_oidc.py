"""Sign-in through an OpenID Connect provider: a stranger's, and one that lies."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import oidc_provider_mock
import pytest
from aiohttp import web
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from halflap.server.settings import Settings
from tests.api.conftest import TOKEN, Browser, Shop, World, world_on
from tests.loopback import on_loopback

REDIRECT = "http://127.0.0.1:8400/console/sign-in"


@asynccontextmanager
async def world_of(issuer: str, tmp_path: Path, claim: str = "") -> AsyncIterator[World]:
    settings = Settings(
        dir=tmp_path / "store",
        token=TOKEN,
        oidc_issuer=issuer,
        oidc_client_id="us",
        oidc_client_secret="our client's secret, as long as a key",
        oidc_role_claim=claim,
    )
    async with world_on(settings, Shop(), tmp_path / "projects") as world:
        yield world


@dataclass
class Pages:
    """A browser that goes to the provider and comes back."""

    browser: Browser
    begun: str = ""
    """The cookie of the sign-in that has begun."""

    async def begin(self) -> dict[str, str]:
        """Begin a sign-in; returns the query with which the browser is sent to the provider."""
        answer = await self.browser("POST", "/api/session/oidc", {})
        assert answer.status == 200, answer.body
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("halflap_sign_in=")
        assert "; HttpOnly; SameSite=Strict; Path=/; Max-Age=600" in cookie
        self.begun, self.browser.cookie = cookie.partition(";")[0], ""
        self.url = answer.json["url"]
        return dict(parse_qsl(urlsplit(self.url).query))

    async def end(self, code: str, state: str, **more: str) -> Any:
        """End it with what the provider gave the browser."""
        draft = {"code": code, "state": state, **more}
        return await self.browser("POST", "/api/session", draft, headers={"cookie": self.begun})


async def approved(url: str, subject: str) -> dict[str, str]:
    """Sign in at the provider as a subject; returns the query that the browser comes back with."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data={"sub": subject}, allow_redirects=False) as answer,
    ):
        location = answer.headers["location"]
        assert location.startswith(f"{REDIRECT}?"), location
        return dict(parse_qsl(urlsplit(location).query))


@pytest.mark.filterwarnings("ignore")  # the provider's own
async def test_a_strangers_provider_signs_people_in(tmp_path: Path) -> None:
    claims = {
        "ada": {"email": "Ada@example.com", "email_verified": True, "name": "Ada"},
        "unverified": {"email": "ada@example.com", "email_verified": False},
        "impostor": {"email": "ada@example.com", "email_verified": True},
        "stranger": {"email": "stranger@example.com", "email_verified": True},
    }
    users = [oidc_provider_mock.User(sub=sub, claims=each) for sub, each in claims.items()]
    with oidc_provider_mock.run_server_in_thread(require_nonce=True, user_claims=users) as server:
        issuer = f"http://localhost:{server.server_port}"
        async with world_of(issuer, tmp_path) as world:
            await world.api("POST", "/api/users", {"email": "ada@example.com", "role": "support"})
            ways = await Browser(world.api)("GET", "/api/session")
            assert ways.json == {"password": True, "oidc": f"localhost:{server.server_port}"}
            for subject, status in (
                ("unverified", 401),
                ("stranger", 401),
                ("ada", 200),
                ("impostor", 401),
                ("ada", 200),
            ):
                pages = Pages(Browser(world.api))
                await pages.begin()
                back = await approved(pages.url, subject)
                answer = await pages.end(back["code"], back["state"])
                assert answer.status == status, (subject, answer.body)
                if status == 200:
                    me = (await pages.browser("GET", "/api/me")).json
                    assert (me["user"]["email"], me["role"]) == ("ada@example.com", "support")
                # A code is good once.
                again = await pages.end(back["code"], back["state"])
                assert again.status == 401, subject


@dataclass
class Liar:
    """A provider of these tests that may lie in whatever it says."""

    issuer: str = ""
    key: Any = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "k1"}))
    claims: dict[str, Any] = field(default_factory=dict[str, Any])
    header: dict[str, Any] = field(default_factory=lambda: {"alg": "RS256", "kid": "k1"})
    signs_with: Any = None
    asked: dict[str, str] = field(default_factory=dict[str, str])
    """The query of the browser, for the code."""
    calls_itself: str | None = None
    forms: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    keys_read: int = 0

    async def metadata(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": self.calls_itself or self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
            }
        )

    async def keys(self, request: web.Request) -> web.Response:
        self.keys_read += 1
        return web.json_response({"keys": [self.key.as_dict(private=False)]})

    async def token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.forms.append({**form, "authorization": request.headers["authorization"]})
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if form["code"] != "the-code" or challenge != self.asked["code_challenge"]:
            return web.json_response({"error": "invalid_grant"}, status=400)
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": "ada",
            "aud": "us",
            "iat": now,
            "exp": now + 60,
            "nonce": self.asked["nonce"],
            "email": "ada@example.com",
            "email_verified": True,
            **self.claims,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        if self.header["alg"] == "none":
            parts = [json.dumps(each).encode() for each in (self.header, claims)]
            made = b".".join(base64.urlsafe_b64encode(each).rstrip(b"=") for each in parts)
            return web.json_response({"id_token": f"{made.decode()}."})
        key = self.signs_with or self.key
        made = jwt.encode(self.header, claims, key, algorithms=[self.header["alg"]])
        return web.json_response({"id_token": made, "access_token": "x"})


@pytest.fixture
async def liar() -> AsyncIterator[Liar]:
    provider = Liar()
    server = web.Application()
    server.add_routes(
        [
            web.get("/.well-known/openid-configuration", provider.metadata),
            web.get("/keys", provider.keys),
            web.post("/token", provider.token),
        ]
    )
    async with on_loopback(server) as provider.issuer:
        yield provider


async def signing_in(world: World, liar: Liar) -> Pages:
    """A browser that has come back from the provider."""
    pages = Pages(Browser(world.api))
    liar.asked = await pages.begin()
    assert liar.asked["redirect_uri"] == REDIRECT
    assert liar.asked["code_challenge_method"] == "S256"
    return pages


SECRET_KEY = OctKey.import_key("our client's secret, as long as a key")
LIES: list[dict[str, Any]] = [
    {"claims": {"nonce": "another sign-in's"}},
    {"claims": {"nonce": None}},
    {"claims": {"aud": "another client"}},
    {"claims": {"aud": ["us", "another client"]}},
    {"claims": {"aud": ["us"], "azp": "another client"}},
    {"claims": {"iss": "https://another.example"}},
    {"claims": {"exp": int(time.time()) - 3600}},
    {"claims": {"exp": None}},
    {"claims": {"sub": None}},
    {"claims": {"email_verified": False}},
    {"claims": {"email_verified": "true"}},
    {"claims": {"email": "nobody@example.com"}},
    {"header": {"alg": "none"}},
    {"header": {"alg": "HS256"}, "signs_with": SECRET_KEY},
    {"signs_with": RSAKey.generate_key(2048, {"kid": "k1"})},
    {
        "signs_with": RSAKey.generate_key(2048, {"kid": "k2"}),
        "header": {"alg": "RS256", "kid": "k2"},
    },
]


async def test_no_lie_of_a_provider_signs_anybody_in(tmp_path: Path, liar: Liar) -> None:
    async with world_of(liar.issuer, tmp_path) as world:
        await world.api("POST", "/api/users", {"email": "ada@example.com", "role": "support"})
        truth = replace(liar)
        for lie in LIES:
            vars(liar).update(vars(truth))
            vars(liar).update(lie)
            pages = await signing_in(world, liar)
            refused = await pages.end("the-code", liar.asked["state"])
            assert refused.status == 401, (lie, refused.body)
            assert (await pages.browser("GET", "/api/me")).status == 401
        vars(liar).update(vars(truth))
        pages = await signing_in(world, liar)
        assert (await pages.end("the-code", liar.asked["state"])).status == 200
        # Its keys are read again where they changed, and not otherwise.
        read = liar.keys_read
        pages = await signing_in(world, liar)
        assert (await pages.end("the-code", liar.asked["state"])).status == 200
        assert liar.keys_read == read
        liar.key = RSAKey.generate_key(2048, {"kid": "k9"})
        liar.header = {"alg": "RS256", "kid": "k9"}
        pages = await signing_in(world, liar)
        assert (await pages.end("the-code", liar.asked["state"])).status == 200


async def test_a_sign_in_ends_in_the_browser_that_began_it_alone(
    tmp_path: Path, liar: Liar
) -> None:
    async with world_of(liar.issuer, tmp_path) as world:
        await world.api("POST", "/api/users", {"email": "ada@example.com", "role": "support"})
        victim, attacker = Pages(Browser(world.api)), Pages(Browser(world.api))
        await victim.begin()
        liar.asked = await attacker.begin()
        state = liar.asked["state"]
        calls = len(liar.forms)
        for pages, given, more in (
            (victim, state, {}),
            (attacker, "another", {}),
            (attacker, "", {}),
            (replace(attacker, begun="a=b"), state, {}),
            (replace(attacker, begun=attacker.begun[:-4] + "AAAA"), state, {}),
            (replace(attacker, begun=f"{attacker.begun}; {victim.begun}"), state, {}),
            (attacker, state, {"iss": "https://another.example"}),
        ):
            refused = await pages.end("the-code", given, **more)
            assert (refused.status, refused.kind) == (401, "ProviderRefused"), refused.body
        assert len(liar.forms) == calls, "no code was spent"
        foreign = {"origin": "https://evil.example", "cookie": attacker.begun}
        draft = {"code": "the-code", "state": state}
        refused = await attacker.browser("POST", "/api/session", draft, headers=foreign)
        assert refused.status == 403
        world.host.operations.people.provider._clock = lambda: world.host.clock() + 601_000_000
        late = await attacker.end("the-code", state)
        assert (late.status, late.kind) == (401, "ProviderRefused")
        world.host.operations.people.provider._clock = world.host.clock
        assert (await attacker.end("the-code", state, iss=liar.issuer)).status == 200
        again = await attacker.end("the-code", state, iss=liar.issuer)
        assert (again.status, again.kind) == (401, "ProviderRefused")


async def test_a_role_claim_makes_and_changes_users(tmp_path: Path, liar: Liar) -> None:
    async with world_of(liar.issuer, tmp_path, "roles") as world:
        for roles, role in (
            ("support", "support"),
            (["everybody", "viewer", "developer"], "developer"),
            (["god"], None),
            (None, None),
            ({"owner": True}, None),
            ("viewer", "viewer"),
        ):
            liar.claims = {"roles": roles}
            pages = await signing_in(world, liar)
            answer = await pages.end("the-code", liar.asked["state"])
            assert answer.status == (401 if role is None else 200), answer.body
            if role is not None:
                assert (await pages.browser("GET", "/api/me")).json["role"] == role
        [user] = await world.api.items("/api/users")
        assert user["email"] == "ada@example.com"
        await world.api("PATCH", f"/api/users/{user['id']}", {"disabled": True})
        pages = await signing_in(world, liar)
        assert (await pages.end("the-code", liar.asked["state"])).status == 401


async def test_a_provider_that_is_another_or_away_is_said(tmp_path: Path, liar: Liar) -> None:
    async with world_of(liar.issuer, tmp_path) as world:
        liar.calls_itself = "https://another.example"
        refused = await Browser(world.api)("POST", "/api/session/oidc", {})
        assert (refused.status, refused.kind) == (401, "ProviderRefused")
        assert "HALFLAP_OIDC_ISSUER" in refused.json["detail"]
    async with world_of("http://127.0.0.1:9", tmp_path / "other") as world:
        refused = await Browser(world.api)("POST", "/api/session/oidc", {})
        assert refused.kind == "ProviderRefused"
        assert "does not answer" in refused.json["detail"]
    async with world_of("http://login.example", tmp_path / "third") as world:
        refused = await Browser(world.api)("POST", "/api/session/oidc", {})
        assert "no https URL" in refused.json["detail"]


async def test_without_a_provider_there_is_none(world: Any) -> None:
    assert (await world.api.get("/api/session", token=None))["oidc"] is None
    missing = await Browser(world.api)("POST", "/api/session/oidc", {})
    assert (missing.status, missing.kind) == (404, "NotFound")
