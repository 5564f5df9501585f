"""A GitHub of the sandbox on loopback, and connections to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from halflap.components.github import GitHub
from halflap.sdk.connection import Connection, Link
from halflap_sandbox import github as sandbox
from halflap_sandbox.github.model import APP_ID
from tests.loopback import LoopbackSandbox, sandbox_on_loopback
from tests.polling import DEADLINE


@cache
def key_pair() -> tuple[str, str]:
    """The app's private key and its public one, in PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    kind = serialization.PublicFormat.SubjectPublicKeyInfo
    public = key.public_key().public_bytes(serialization.Encoding.PEM, kind)
    return private.decode(), public.decode()


async def refreshed(connection: Connection) -> Connection:
    """A connection with new tokens, as the platform gets them."""
    held: Any = connection
    found = connection.model_copy(update={"auth": await held.auth.refresh(connection._client())})
    found._link = connection._link
    return found


class GitHubApp(LoopbackSandbox):
    """The sandbox on loopback."""

    async def account(self, login: str, **more: Any) -> dict[str, Any]:
        """Add a person, or an organization, with a repository `hello`."""
        return await self.post("/accounts", {"login": login, "repositories": ["hello"], **more})

    async def deliveries(self) -> list[dict[str, Any]]:
        return await self.look("/deliveries")

    async def signed_in(self, url: str, login: str) -> tuple[str, str]:
        """Sign in as a person, as the browser does; the state and the code."""
        async with self.http.get(f"{url}&login={login}", allow_redirects=False) as response:
            assert response.status == 302, await response.text()
            back = parse_qs(urlsplit(response.headers["location"]).query)
        return back["state"][0], back["code"][0]

    def connection(self, auth: dict[str, Any], **fields: Any) -> GitHub:
        found = GitHub.model_validate({"base_url": self.url, "auth": auth, **fields})
        refresh = refreshed if hasattr(found.auth, "refresh") else None
        found._link = Link("github", None, self.egress, refresh)
        return found

    def person(self, login: str, repository: str | None = None) -> GitHub:
        """A connection by a person's token."""
        auth = {"kind": "api_key", "key": f"ghp_{login}"}
        return self.connection(auth, repository=repository or f"{login}/hello")

    def app(self, installation: int, **fields: Any) -> GitHub:
        """A connection by the app's key."""
        auth = {
            "kind": "jwt_bearer",
            "client_id": str(APP_ID),
            "private_key": key_pair()[0],
            "installation_id": str(installation),
            "api_url": self.url,
        }
        return self.connection(auth, **fields)


@asynccontextmanager
async def github_app(**settings: Any) -> AsyncIterator[GitHubApp]:
    """Run the sandbox."""
    settings = {"public_key": key_pair()[1], "delivery_timeout": DEADLINE, **settings}
    async with sandbox_on_loopback(sandbox.create_app(sandbox.Settings(**settings))) as parts:
        yield GitHubApp(*parts)
