"""Connections to a Salesforce org: four ways to sign in, and the requests that all of them make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, model_validator
from pydantic.json_schema import SkipJsonSchema

from halflap import (
    ClientCredentials,
    Component,
    ConfigError,
    Connection,
    JwtBearer,
    Limits,
    OAuth2Code,
    Response,
    encode_segment,
)
from halflap.components.salesforce._answer import (
    ApiUsage,
    is_bad_token,
    observed,
    raise_for_status,
    unless_gone,
)


class Granted(BaseModel):
    """Values that Salesforce returns on sign-in; no customer fills them in."""

    granted: ClassVar[frozenset[str]] = OAuth2Code.granted | {"instance_url", "organization_id"}

    token_url: SkipJsonSchema[str] = Field("", exclude=True)
    access_token: SkipJsonSchema[SecretStr | None] = None
    refresh_token: SkipJsonSchema[SecretStr | None] = None
    expires_at: SkipJsonSchema[datetime | None] = None
    """Salesforce does not say how long a token is good for; a 401 tells that it no longer is."""

    instance_url: SkipJsonSchema[str] = ""
    """Where the org's API is."""

    organization_id: SkipJsonSchema[str] = ""
    """The org's id, which every outbound message names."""

    def keep(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """The org's address and id, which the answer with the token holds."""
        kept = {
            "instance_url": str(answer.get("instance_url") or "").rstrip("/"),
            "organization_id": organization_of(str(answer.get("id") or "")),
        }
        return {name: value for name, value in kept.items() if value}

    def at(self, login_url: str) -> Self:
        """The same way in, at the address where one signs in."""
        return self.model_copy(update={"token_url": f"{login_url}/services/oauth2/token"})


class SignIn(Granted, OAuth2Code):
    """Sign in at Salesforce in a browser (web server flow with PKCE)."""

    authorize_url: SkipJsonSchema[str] = Field("", exclude=True)
    client_id: str = ""
    """The consumer key of the connected app; left out, your team's own OAuth app is used."""

    client_secret: SecretStr | None = None
    """The consumer secret of the connected app, where it demands one."""

    scopes: tuple[str, ...] = ("api", "refresh_token", "id")
    extra: ClassVar[dict[str, str]] = {}

    def at(self, login_url: str) -> Self:
        urls = {"authorize_url": f"{login_url}/services/oauth2/authorize"}
        return super().at(login_url).model_copy(update=urls)


class KeyPair(Granted, JwtBearer):
    """A key pair whose certificate the connected app knows (JWT bearer flow)."""

    client_id: str
    """The consumer key of the connected app."""

    username: str
    """The Salesforce user name to act as; the connected app must be pre-authorized for it."""

    private_key: SecretStr
    """The RSA private key in PEM."""

    subject: SkipJsonSchema[str] = Field("", exclude=True)
    audience: SkipJsonSchema[str] = Field("", exclude=True)

    def at(self, login_url: str) -> Self:
        claims = {"subject": self.username, "audience": login_url}
        return super().at(login_url).model_copy(update=claims)


class ClientLogin(Granted, ClientCredentials):
    """The connected app acts as its own run-as user (client credentials flow).

    Salesforce wants the org's own My Domain address as `login_url` here.
    """

    client_id: str
    """The consumer key of the connected app."""

    client_secret: SecretStr
    """The consumer secret of the connected app."""

    scopes: SkipJsonSchema[tuple[str, ...]] = ()


class SessionId(BaseModel):
    """A session id that was got elsewhere; it ends with its session, and nothing renews it."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    kind: Literal["session_id"] = "session_id"
    instance_url: str = Field(pattern=r"^https?://[^/?#]+/?$")
    """Where the org is: https://acme.my.salesforce.com"""

    session_id: SecretStr

    @property
    def organization_id(self) -> str:
        """The org's id, which a session id begins with."""
        organization, mark, _ = self.session_id.get_secret_value().partition("!")
        return organization if mark and organization.startswith("00D") else ""

    def headers(self) -> dict[str, str]:
        """The headers that show who we are."""
        return {"Authorization": f"Bearer {self.session_id.get_secret_value()}"}


class Salesforce(Connection):
    """A Salesforce org, as one of its users."""

    limits: ClassVar[Limits] = Limits(total=120.0, response_bytes=100 * 1024 * 1024)

    login_url: str = Field("https://login.salesforce.com", pattern=r"^https?://[^/?#]+/?$")
    """Where its users sign in: a sandbox's are at https://test.salesforce.com, or at My Domain."""

    api_version: str = Field("63.0", pattern=r"^[1-9][0-9]\.0$")
    pubsub_url: SkipJsonSchema[str] = Field(
        "https://api.pubsub.salesforce.com:7443", pattern=r"^https?://[^/?#]+/?$"
    )
    """Where events are subscribed to; a sandbox of `halflap sandbox` has its own."""

    auth: Annotated[SignIn | KeyPair | ClientLogin | SessionId, Field(discriminator="kind")]

    _usage: ApiUsage | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _sign_in_at_login_url(self) -> Self:
        if isinstance(self.auth, Granted):
            derived = self.auth.at(self.login_url.rstrip("/"))
            for name in ("token_url", "authorize_url", "subject", "audience"):
                given = getattr(self.auth, name, "")
                if given not in ("", getattr(derived, name, "")):
                    raise ConfigError(
                        f"auth.{name} follows from login_url: set that, and clear this",
                        fields={f"auth.{name}": "follows from login_url: set that, and clear this"},
                    )
            self.auth = derived
        return self

    @property
    def base_url(self) -> str:
        """Where the org's API is: what the app said with the token, never what a message says."""
        return (self.auth.instance_url or self.login_url).rstrip("/")

    @property
    def organization_id(self) -> str:
        """The org's id; empty until somebody has signed in."""
        return self.auth.organization_id

    @property
    def usage(self) -> ApiUsage | None:
        """The use of the org's daily API requests, as of the last answer."""
        return self._usage

    @property
    def token(self) -> str:
        """The session id, for the APIs that want it in the body."""
        return self.headers().get("Authorization", "").removeprefix("Bearer ")

    def data(self, *parts: str) -> str:
        """Return the path of a REST resource, its parts encoded: `sf.data("sobjects", "Account")`."""
        encoded = "/".join(encode_segment(each, "part") for each in parts)
        return f"/services/data/v{self.api_version}/{encoded}"

    async def request(self, method: str, path: str, *, check: bool = True, **more: Any) -> Response:
        """Send a request; a refusal is raised with Salesforce's own error code and words."""
        response = await super().request(method, path, check=False, **more)
        if is_bad_token(response):
            fresh = await self.refreshed()
            response = await super(Salesforce, fresh).request(method, path, check=False, **more)
        self._usage = observed(response, self._usage) or self._usage
        if self._usage is not None:
            self.report_quota(self._usage.used, self._usage.allowed)
        if check:
            raise_for_status(response)
        return response

    async def current(self, kind: str, id: str, fields: Sequence[str]) -> dict[str, Any] | None:
        names = ",".join(dict.fromkeys(["Id", *fields]))
        read = self.get(self.data("sobjects", kind, id), params={"fields": names})
        found = await unless_gone(read)
        return found and {name: value for name, value in found.items() if name != "attributes"}

    async def test(self) -> None:
        user = await self.get("/services/oauth2/userinfo")
        actual, known = str(user.get("organization_id", "")), self.organization_id
        if known and actual[:15] != known[:15]:
            raise ConfigError(
                f"the credentials open the org {actual}, and not {known}; connect again",
                fields={"auth": "is another org's"},
            )


def organization_of(identity_url: str) -> str:
    """The org's id in a user's identity URL, `https://login.salesforce.com/id/00D…/005…`."""
    parts = urlsplit(identity_url).path.strip("/").split("/")
    return parts[1] if len(parts) == 3 and parts[0] == "id" else ""


component = Component(
    "salesforce",
    title="Salesforce",
    description="Records of a Salesforce org, and the outbound messages that tell of their changes.",
    connection=Salesforce,
)
