"""The connection to GitHub: a token, an app that a customer installed, or an app's own key."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, Self, cast

from pydantic import Field, SecretStr
from pydantic.json_schema import SkipJsonSchema

from halflap import (
    ApiKey,
    AppEndpoint,
    Component,
    ConfigError,
    Connection,
    GitHubSignature,
    JwtBearer,
    OAuth2Code,
    Reply,
    Request,
    Unauthorized,
    encode_segment,
    pointer,
)

API = "https://api.github.com"
ACCEPT = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
REPOSITORY = r"^[\w.-]+/[\w.-]+$"
LARGEST_EVENT = 25 * 1024 * 1024
"""GitHub sends no larger one."""
LEEWAY, LASTS = 60, 540


class AppSignIn(OAuth2Code):
    """Sign in at GitHub through a GitHub App that is installed, in a browser."""

    granted: ClassVar[frozenset[str]] = OAuth2Code.granted | {"installation_id"}

    authorize_url: SkipJsonSchema[str] = "https://github.com/login/oauth/authorize"
    token_url: SkipJsonSchema[str] = "https://github.com/login/oauth/access_token"  # noqa: S105
    api_url: SkipJsonSchema[str] = API
    account: str = ""
    """The person or organization in which the app is installed; where it is one only, leave it empty."""
    installation_id: SkipJsonSchema[str] = ""
    """The installation, whose events are the connection's."""

    async def ask(self, egress: Any, form: dict[str, str], **extra: Any) -> Self:
        return await super().ask(egress, form, headers={"Accept": "application/json"}, **extra)

    async def exchange(self, egress: Any, code: str, begun: Any) -> Self:
        """End the sign-in, and find the installation, whose events are the connection's from then on.

        Who may see an installation need not own what it sees: only the person that it is of, or an
        owner of the organization, connects it.
        """
        self.check_origin(self.api_url, "auth.api_url")
        fresh = await super().exchange(egress, code, begun)
        found = await fresh.installation(egress)
        return fresh.model_copy(update={"installation_id": found})

    async def installation(self, egress: Any) -> str:
        """Return the id of the installation that was signed in to; `ConfigError` where it is none."""

        async def get(path: str) -> dict[str, Any]:
            url = self.api_url + path
            answer = await egress.request("GET", url, headers={**ACCEPT, **self.headers()})
            return answer.json() if answer.status == 200 else {}

        person = await get("/user")
        found = await get("/user/installations?per_page=100")
        seen: list[Any] = found.get("installations") or []
        owned: dict[str, str] = {}
        for each in seen:
            login, id = str(each["account"]["login"]), str(each["id"])
            if self.account and login.lower() != self.account.lower():
                continue
            path = f"/user/memberships/orgs/{encode_segment(login)}"
            mine = login == person.get("login")
            role = None if mine else (await get(path)).get("role")
            if mine or role == "admin":
                owned[login] = id
        if len(owned) == 1:
            return next(iter(owned.values()))
        if owned:
            why = f"the app is installed in {', '.join(sorted(owned))}; say in which it is meant"
        else:
            why = (
                f"the app is not installed in {self.account or 'any account'} that you own; install it, "
                "or have an owner of the organization connect it (the app has to be able to read members)"
            )
        raise ConfigError(why, fields={"auth.account": "is no account in which the app is yours"})


class AppKey(JwtBearer):
    """The private key of a GitHub App, acting as one of its installations."""

    client_id: str
    """The app's client id, or its app id."""
    private_key: SecretStr
    """The private key that GitHub gave for the app, in PEM."""
    installation_id: str = Field(pattern=r"^[0-9]+$")
    """The number at the end of the installation's address."""
    api_url: SkipJsonSchema[str] = API
    token_url: SkipJsonSchema[str] = ""
    subject: SkipJsonSchema[str] = ""
    audience: SkipJsonSchema[str] = ""

    def as_app(self) -> dict[str, str]:
        """The headers that show that the app itself asks, and not an installation of it."""
        now = int(time.time())
        claims = {"iss": self.client_id, "iat": now - LEEWAY, "exp": now + LASTS}
        return {"Authorization": f"Bearer {self.signed(claims)}"}

    async def refresh(self, egress: Any) -> Self:
        url = f"{self.api_url}/app/installations/{self.installation_id}/access_tokens"
        response = await egress.request("POST", url, headers={**ACCEPT, **self.as_app()})
        if response.status in (401, 403, 404):
            raise Unauthorized(
                f"GitHub gives no token for installation {self.installation_id} ({response.status}): the "
                "app's id, its key or the installation is another one; connect again",
                status=response.status,
            )
        response.raise_for_status()
        answer: Mapping[str, Any] = response.json()
        granted = {
            "access_token": SecretStr(str(answer["token"])),
            "expires_at": datetime.fromisoformat(answer["expires_at"]),
        }
        return self.model_copy(update=granted)


def pong(request: Request) -> Reply | None:
    """GitHub pings a webhook that was just made."""
    return Reply(200, "pong") if request.headers.get("x-github-event") == "ping" else None


class GitHub(Connection):
    """GitHub, as a person or as an app that was installed."""

    app_endpoint: ClassVar[AppEndpoint | None] = AppEndpoint(
        verify=GitHubSignature(),
        account=pointer("/installation/id"),
        field="auth.installation_id",
        handshake=pong,
        body_limit=LARGEST_EVENT,
    )

    base_url: str = API
    auth: Annotated[AppSignIn | AppKey | ApiKey, Field(discriminator="kind")]
    repository: str | None = Field(None, pattern=REPOSITORY)
    """The repository that steps and triggers without one of their own are for: octocat/hello-world"""

    def headers(self) -> dict[str, str]:
        return {**ACCEPT, **self.auth.headers()}

    async def test(self) -> None:
        installed = getattr(self.auth, "installation_id", "")
        everything = (
            "/installation/repositories?per_page=1" if isinstance(self.auth, AppKey) else "/user"
        )
        await self.get(everything if self.repository is None else f"/repos/{self.repository}")
        if installed and isinstance(self.auth, AppSignIn):
            await self._sees(installed)

    async def _sees(self, installation: str) -> None:
        pages = self.pages("/user/installations", params={"per_page": 100}, items="installations")
        if installation not in [str(each["id"]) async for each in pages]:
            raise ConfigError(
                "the installation that was connected is gone, or is another's; connect again",
                fields={"auth": "is another installation's"},
            )

    def at(self, repository: str | None, path: str = "") -> str:
        """The path of a repository, or of something in it."""
        found = repository or self.repository
        if found is None:
            raise ConfigError("say which repository: of the step, or of the connection")
        return f"/repos/{'/'.join(map(encode_segment, found.split('/')))}{path}"


def within(value: Any, name: str) -> Any:
    """Return a field of an object; None where it is none."""
    return cast("dict[str, Any]", value).get(name) if isinstance(value, dict) else None


component = Component("github", title="GitHub", connection=GitHub)
