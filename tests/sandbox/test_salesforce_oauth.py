"""OAuth gives tokens to whom a user allowed it, and to nobody else."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import AsyncGenerator
from dataclasses import replace
from html import unescape
from typing import Any, cast
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import pytest_asyncio
import trustme
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from halflap_sandbox.salesforce import Settings
from tests.cases import for_each
from tests.sandbox.orgs import DATA, Salesforce, salesforce

pytestmark = pytest.mark.asyncio(loop_scope="module")
CALLBACK = "http://127.0.0.1:7777/callback"
CLIENT = {"client_id": "halflap-north", "client_secret": "secret-north"}
VERIFIER = "v" * 64


class Clock:
    now = 1_769_853_600.0

    def __call__(self) -> float:
        return self.now


CLOCK = Clock()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def sandbox() -> AsyncGenerator[Salesforce]:
    async with salesforce("north", "south", settings=Settings(clock=CLOCK)) as each:
        yield each


def adjusted(sandbox: Salesforce, **changes: Any) -> None:
    apps = sandbox.org().apps
    apps["halflap-north"] = replace(
        apps["halflap-north"], **{"rotates": False, "requires_pkce": False, **changes}
    )


def challenge(verifier: str) -> str:
    return (
        base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    )


async def form(sandbox: Salesforce, path: str, **fields: str) -> tuple[int, Any]:
    status, got, _ = await sandbox.ask(
        "POST",
        f"/services/oauth2/{path}",
        urlencode(fields).encode(),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    return status, got


async def page(sandbox: Salesforce, **asked: str) -> tuple[int, str, Any]:
    query = {"response_type": "code", "client_id": "halflap-north", "redirect_uri": CALLBACK}
    path = f"/services/oauth2/authorize?{urlencode({**query, **asked})}"
    return await sandbox.ask("GET", path)


async def allowed(
    sandbox: Salesforce, *, answer: str = "allow", password: str = "password", **asked: str
) -> tuple[int, str, dict[str, str]]:
    """Fill the page's form in; returns status, page, and what the redirect tells."""
    _, html, _ = await page(sandbox, **asked)
    hidden = re.findall(r'type="hidden" name="([^"]*)" value="([^"]*)"', html)
    body = {unescape(name): unescape(value) for name, value in hidden}
    body |= {"username": "admin@north.example", "password": password, "answer": answer}
    status, html, headers = await sandbox.ask(
        "POST", "/services/oauth2/authorize", urlencode(body).encode()
    )
    told = parse_qs(urlsplit(headers.get("location", "")).query)
    return status, html, {name: value for name, (value,) in told.items()}


async def code(sandbox: Salesforce, **asked: str) -> str:
    _, _, told = await allowed(sandbox, **asked)
    return told["code"]


async def exchange(sandbox: Salesforce, code: str, **more: str) -> tuple[int, Any]:
    given = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK}
    return await form(sandbox, "token", **{**given, **CLIENT, **more})


async def refreshed(sandbox: Salesforce, token: str, **more: str) -> tuple[int, Any]:
    given = {"grant_type": "refresh_token", "refresh_token": token}
    return await form(sandbox, "token", **{**given, **CLIENT, **more})


async def opens(sandbox: Salesforce, token: str) -> int:
    status, _, _ = await sandbox.ask("GET", f"{DATA}/limits", token=token)
    return status


async def test_a_user_allows_an_app_that_then_has_tokens(sandbox: Salesforce) -> None:
    adjusted(sandbox)
    asked = {"state": 'x"&<y>', "code_challenge": challenge(VERIFIER), "scope": "api refresh_token"}
    status, _, told = await allowed(sandbox, **asked)
    assert (status, told["state"]) == (302, 'x"&<y>')
    status, given = await exchange(sandbox, told["code"], code_verifier=VERIFIER)
    assert status == 200
    user, org = sandbox.user(), sandbox.org()
    identity = f"{sandbox.base}/id/{org.id}/{user.id}"
    expected = {"instance_url": sandbox.base, "id": identity, "token_type": "Bearer"}
    assert expected.items() <= given.items()
    assert set(given) - set(expected) == {
        "access_token",
        "refresh_token",
        "signature",
        "scope",
        "issued_at",
    }
    signed = hmac.digest(b"secret-north", (identity + given["issued_at"]).encode(), "sha256")
    assert base64.b64decode(given["signature"]) == signed
    assert await opens(sandbox, given["access_token"]) == 200

    for path in (identity, "/services/oauth2/userinfo"):
        _, who, _ = await sandbox.ask("GET", path, token=given["access_token"])
        assert (who["user_id"], who["organization_id"]) == (user.id, org.id)
        status, said, _ = await sandbox.ask("GET", path, token="no")
        assert (status, said) == (403, "Bad_OAuth_Token")
    other = sandbox.session("south")
    status, said, _ = await sandbox.ask("GET", identity, token=other)
    assert (status, said) == (403, "Wrong_Org")


async def test_without_the_scope_there_is_no_refresh_token(sandbox: Salesforce) -> None:
    adjusted(sandbox)
    status, given = await exchange(sandbox, await code(sandbox, scope="api"))
    assert status == 200
    assert "refresh_token" not in given


async def test_who_signs_in_wrongly_or_denies_gives_nothing(sandbox: Salesforce) -> None:
    adjusted(sandbox)
    status, html, told = await allowed(sandbox, password="wrong")
    assert (status, told) == (200, {})
    assert "check your username and password" in html
    status, _, told = await allowed(sandbox, answer="deny", state="s")
    assert (status, told["error"], told["state"]) == (302, "access_denied", "s")
    assert "code" not in told


@for_each(
    ("asked", "error"),
    [
        ({"client_id": "nobody"}, "invalid_client_id"),
        ({"redirect_uri": "https://evil.example/callback"}, "redirect_uri_mismatch"),
        ({"redirect_uri": "http://127.0.0.1.evil.example/callback"}, "redirect_uri_mismatch"),
        ({"redirect_uri": "http://127.0.0.1@evil.example/"}, "redirect_uri_mismatch"),
        ({"redirect_uri": "javascript:alert(1)"}, "redirect_uri_mismatch"),
    ],
)
async def test_an_app_that_is_not_known_is_refused_without_a_redirect(
    sandbox: Salesforce, asked: dict[str, str], error: str
) -> None:
    adjusted(sandbox)
    status, html, headers = await page(sandbox, **asked)
    assert status == 400
    assert error in html
    assert "location" not in headers


async def test_a_page_shows_what_it_was_given_as_text(sandbox: Salesforce) -> None:
    _, html, headers = await page(sandbox, state='"><script>alert(1)</script>')
    assert "<script" not in html
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


async def test_pkce_can_be_required_and_is_s256_alone(sandbox: Salesforce) -> None:
    adjusted(sandbox, requires_pkce=True)
    status, _, headers = await page(sandbox)
    assert status == 302
    assert "error=invalid_request" in headers["location"]
    _, _, headers = await page(sandbox, code_challenge="x", code_challenge_method="plain")
    assert "error=invalid_request" in headers["location"]
    _, _, headers = await page(sandbox, response_type="token")
    assert "error=unsupported_response_type" in headers["location"]


@for_each(
    ("more", "error"),
    [
        ({"code_verifier": "wrong"}, "invalid_grant"),
        ({}, "invalid_grant"),
        ({"code_verifier": VERIFIER, "redirect_uri": CALLBACK + "/other"}, "redirect_uri_mismatch"),
        ({"code_verifier": VERIFIER, "client_secret": "wrong"}, "invalid_client"),
        ({"code_verifier": VERIFIER, "client_secret": ""}, "invalid_client"),
        ({"code_verifier": VERIFIER, "client_id": "nobody"}, "invalid_client_id"),
        (
            {
                "code_verifier": VERIFIER,
                "client_id": "halflap-south",
                "client_secret": "secret-south",
            },
            "invalid_grant",
        ),
    ],
)
async def test_a_code_is_refused_to_whom_it_is_not_for(
    sandbox: Salesforce, more: dict[str, str], error: str
) -> None:
    adjusted(sandbox)
    given = await code(sandbox, code_challenge=challenge(VERIFIER))
    status, said = await exchange(sandbox, given, **more)
    assert (status, said["error"]) == (400, error)
    assert "access_token" not in said


async def test_a_code_works_once_and_not_for_long(sandbox: Salesforce) -> None:
    adjusted(sandbox)
    used = await code(sandbox)
    assert (await exchange(sandbox, used))[0] == 200
    status, said = await exchange(sandbox, used)
    assert (status, said["error"]) == (400, "invalid_grant")
    late = await code(sandbox)
    CLOCK.now += 901
    assert (await exchange(sandbox, late))[1]["error_description"] == "expired authorization code"


async def test_a_session_ends_and_is_begun_again_by_the_refresh_token(sandbox: Salesforce) -> None:
    adjusted(sandbox)
    _, given = await exchange(sandbox, await code(sandbox))
    CLOCK.now += 7201
    assert await opens(sandbox, given["access_token"]) == 401
    for _ in range(2):
        status, again = await refreshed(sandbox, given["refresh_token"])
        assert status == 200
        assert "refresh_token" not in again
        assert await opens(sandbox, again["access_token"]) == 200


async def test_a_rotated_refresh_token_works_once(sandbox: Salesforce) -> None:
    adjusted(sandbox, rotates=True)
    _, given = await exchange(sandbox, await code(sandbox))
    _, second = await refreshed(sandbox, given["refresh_token"])
    assert second["refresh_token"] != given["refresh_token"]
    status, said = await refreshed(sandbox, given["refresh_token"])
    assert (status, said["error"]) == (400, "invalid_grant")
    assert (await refreshed(sandbox, second["refresh_token"]))[0] == 200


async def test_what_is_revoked_opens_nothing(sandbox: Salesforce) -> None:
    adjusted(sandbox)
    _, given = await exchange(sandbox, await code(sandbox))
    assert (await form(sandbox, "introspect", token=given["access_token"], **CLIENT))[1]["active"]
    assert (await form(sandbox, "revoke", token=given["refresh_token"]))[0] == 200
    assert await opens(sandbox, given["access_token"]) == 401
    assert (await refreshed(sandbox, given["refresh_token"]))[1]["error"] == "invalid_grant"
    for name in ("access_token", "refresh_token"):
        assert (await form(sandbox, "revoke", token=given[name]))[1]["error"] == "invalid_token"
        _, told = await form(sandbox, "introspect", token=given[name], **CLIENT)
        assert told == {"active": False}


async def test_credentials_give_a_session(sandbox: Salesforce) -> None:
    adjusted(sandbox)
    status, given = await form(sandbox, "token", grant_type="client_credentials", **CLIENT)
    assert (status, await opens(sandbox, given["access_token"])) == (200, 200)
    person = {"grant_type": "password", "username": "ADMIN@north.example", **CLIENT}
    for password, expected in (("password", 200), ("passwordTOKEN", 200), ("TOKEN", 400)):
        assert (await form(sandbox, "token", password=password, **person))[0] == expected
    adjusted(sandbox, run_as=None)
    _, said = await form(sandbox, "token", grant_type="client_credentials", **CLIENT)
    assert said["error"] == "invalid_grant"
    _, said = await form(sandbox, "token", grant_type="magic", **CLIENT)
    assert said["error"] == "unsupported_grant_type"


ISSUED = trustme.CA().issue_cert("app.example", key_type=trustme.KeyType.RSA)
KEY = cast("rsa.RSAPrivateKey", load_pem_private_key(ISSUED.private_key_pem.bytes(), None))
OTHER_KEY = rsa.generate_private_key(65537, 2048)


def jwt(claims: dict[str, Any], *, key: rsa.RSAPrivateKey = KEY, algorithm: str = "RS256") -> str:
    parts = [
        base64.urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=").decode()
        for each in ({"alg": algorithm, "typ": "JWT"}, claims)
    ]
    head = ".".join(parts)
    signature = key.sign(head.encode(), PKCS1v15(), hashes.SHA256())
    return f"{head}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


async def test_an_assertion_signed_by_the_app_signs_its_user_in(sandbox: Salesforce) -> None:
    adjusted(sandbox, certificate=ISSUED.cert_chain_pems[0].bytes().decode())
    bearer = "urn:ietf:params:oauth:grant-type:jwt-bearer"
    claims = {
        "iss": "halflap-north",
        "sub": "admin@north.example",
        "aud": "https://login.salesforce.com",
        "exp": int(CLOCK.now) + 180,
    }
    status, given = await form(sandbox, "token", grant_type=bearer, assertion=jwt(claims))
    assert (status, await opens(sandbox, given["access_token"])) == (200, 200)
    assert "refresh_token" not in given
    for assertion, error in (
        (jwt(claims, key=OTHER_KEY), "invalid assertion"),
        (jwt(claims, algorithm="none"), "invalid assertion"),
        (jwt(claims) + "x", "invalid assertion"),
        ("nonsense", "client identifier invalid"),
        (jwt({**claims, "iss": "nobody"}), "client identifier invalid"),
        (jwt({**claims, "sub": "nobody"}), "user hasn't approved this consumer"),
        (jwt({**claims, "aud": "https://evil.example"}), "audience is invalid"),
        (jwt({**claims, "exp": CLOCK.now - 60}), "expired authorization code"),
        (jwt({**claims, "exp": CLOCK.now + 3600}), "invalid assertion"),
        (jwt({**claims, "exp": "soon"}), "invalid assertion"),
    ):
        status, said = await form(sandbox, "token", grant_type=bearer, assertion=assertion)
        assert (status, said["error_description"]) == (400, error)
    status, _ = await form(
        sandbox, "token", grant_type=bearer, assertion=jwt({**claims, "aud": sandbox.base})
    )
    assert status == 200
