"""Ways into an app: the `auth` of a connection.

Give a connection several by a union, `auth: OAuth2Code | ApiKey`, told apart by their `kind`.
Each knows its `headers()`; those with a `refresh` get new credentials once, for all workers.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Literal, Self, cast
from urllib.parse import urlencode, urlsplit

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from pydantic import BaseModel, ConfigDict, PrivateAttr, SecretStr
from pydantic.json_schema import SkipJsonSchema

from halflap.errors import ConfigError, Unauthorized, UpstreamError
from halflap.model import OAuthApp
from halflap.sdk import codec
from halflap.sdk.egress import Egress, Response
from halflap.sdk.origin import origin
from halflap.sdk.redact import LONGEST, clean
from halflap.sdk.schema import tell_unasked

EARLY = timedelta(seconds=60)


class Auth(BaseModel):
    """A way into an app."""

    model_config = ConfigDict(
        extra="forbid", use_attribute_docstrings=True, json_schema_extra=tell_unasked
    )

    def headers(self) -> dict[str, str]:
        """The headers that show who we are."""
        return {}


class ApiKey(Auth):
    """A key, sent as `Authorization: Bearer …`."""

    kind: Literal["api_key"] = "api_key"
    key: SecretStr

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key.get_secret_value()}"}


class Tokens(Auth):
    """Tokens of OAuth 2, however they were got. `expires_at` is None where the app does not say."""

    granted: ClassVar[frozenset[str]] = frozenset({"access_token", "refresh_token", "expires_at"})
    """The fields that the app fills in; no form asks for them, and a way in that is changed to
    another account or address loses them. A subclass whose `keep` sets more adds their names."""

    token_url: str
    access_token: SkipJsonSchema[SecretStr | None] = None
    refresh_token: SkipJsonSchema[SecretStr | None] = None
    expires_at: SkipJsonSchema[datetime | None] = None

    def headers(self) -> dict[str, str]:
        if self.access_token is None:
            return {}
        return {"Authorization": f"Bearer {self.access_token.get_secret_value()}"}

    @property
    def is_renewable(self) -> bool:
        """True if there is something to get fresh tokens with."""
        return True

    def is_stale(self) -> bool:
        """Return whether there is no token, or one that is about to expire."""
        if self.access_token is None:
            return True
        return self.expires_at is not None and datetime.now(UTC) >= self.expires_at - EARLY

    async def refresh(self, egress: Egress) -> Self:
        """The same way in with fresh tokens; `Unauthorized` where the app refuses."""
        raise Unauthorized("the credentials were refused and cannot be refreshed; connect again")

    async def ask(self, egress: Egress, form: dict[str, str], **extra: Any) -> Self:
        """Ask the token endpoint; its answer replaces the tokens that are there."""
        response = await egress.request("POST", self.token_url, form=form, **extra)
        answer = granted(response)
        update: dict[str, Any] = {
            "access_token": SecretStr(answer["access_token"]),
            "expires_at": expiry(answer.get("expires_in")),
        }
        if (refresh := answer.get("refresh_token")) and isinstance(refresh, str):
            update["refresh_token"] = SecretStr(refresh)
        if any(len(each) > LONGEST for each in update.values() if isinstance(each, SecretStr)):
            raise Unauthorized(f"the app gave a token of more than {LONGEST:,} characters")
        return self.model_copy(update={**update, **self.keep(answer)})

    def keep(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """Return the other fields of a token endpoint's answer that are stored: the address of the
        API, say.
        """
        return {}


class OAuth2Code(Tokens):
    """Sign in at the app in a browser: authorization code with PKCE, refreshed by a refresh token.

    Without a `client_id` it is the team's own OAuth app that one signs in through.
    """

    kind: Literal["oauth2_code"] = "oauth2_code"
    authorize_url: str
    client_id: str = ""
    client_secret: SecretStr | None = None
    scopes: tuple[str, ...] = ()
    extra: ClassVar[dict[str, str]] = {}
    """More parameters of the authorization request that the app wants (`prompt`, `access_type`)."""
    scope_separator: ClassVar[str] = " "
    """The sign between scopes; a few apps want a comma."""
    pkce: ClassVar[bool] = True
    """False for an app that refuses the parameters of PKCE, though it should ignore them."""

    _team: OAuthApp | None = PrivateAttr(default=None)

    @property
    def team(self) -> OAuthApp | None:
        """The team's own OAuth app, where this way in has no client of its own. It is never stored
        with the connection."""
        return None if self.client_id else self._team

    def use(self, team: OAuthApp | None) -> None:
        """Sign in through the team's own OAuth app, where no client id is given."""
        self._team = team

    def authorization(self, redirect_uri: str) -> Authorization:
        """Begin: where to send the browser, and what to keep until it comes back."""
        verifier = secrets.token_urlsafe(48)
        state = secrets.token_urlsafe(32)
        parameters = {
            "response_type": "code",
            "client_id": self._client("authorize_url")["client_id"],
            "redirect_uri": redirect_uri,
            "state": state,
            **self._challenge(verifier),
            **({"scope": self.scope_separator.join(self.scopes)} if self.scopes else {}),
            **self.extra,
        }
        joint = "&" if "?" in self.authorize_url else "?"
        url = f"{self.authorize_url}{joint}{urlencode(parameters)}"
        return Authorization(url=url, state=state, verifier=verifier, redirect_uri=redirect_uri)

    def _challenge(self, verifier: str) -> dict[str, str]:
        if not self.pkce:
            return {}
        digest = hashlib.sha256(verifier.encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        return {"code_challenge": challenge, "code_challenge_method": "S256"}

    async def exchange(self, egress: Egress, code: str, begun: Authorization) -> Self:
        """End: the code that the browser brought back, for tokens."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": begun.redirect_uri,
            **({"code_verifier": begun.verifier} if self.pkce else {}),
            **self._client("token_url"),
        }
        return await self.ask(egress, form)

    @property
    def is_renewable(self) -> bool:
        return self.refresh_token is not None

    async def refresh(self, egress: Egress) -> Self:
        if self.refresh_token is None:
            raise Unauthorized(
                "the credentials were refused and there is no refresh token; connect again"
            )
        form = {
            "grant_type": "refresh_token",
            "refresh_token": self.refresh_token.get_secret_value(),
            **self._client("token_url"),
        }
        return await self.ask(egress, form)

    def check_origin(self, url: str, field: str = "auth.token_url") -> None:
        """Raise `ConfigError` where an address is none of the team's OAuth app, by which one signs in.

        For what is asked whose account was signed in to: elsewhere, anybody could answer, and so could
        a page of anybody's at the app: the path of a `field` is the one that its type declares, if any.
        """
        if self.team is None:
            return
        if not allowed_origin(url, self.team.origins):
            raise ConfigError(
                f"{origin(url) or 'this address'} is none of the origins of your team's OAuth app for "
                f"{self.team.component}; its client is not sent there",
                fields={field: "is at an origin that the team's OAuth app does not name"},
            )
        name = field.rpartition(".")[2]
        info = type(self).model_fields.get(name)
        declared: Any = None if info is None else info.default
        is_declared = isinstance(declared, str) and declared != "" and getattr(self, name) == url
        if is_declared and below(url) != below(declared):
            path = below(declared) or "none"
            raise ConfigError(
                f"{field} has another path than your team's OAuth app for {self.team.component} is at "
                f"({path}); its client is not sent there",
                fields={field: f"has to have the path of the app: {path}"},
            )

    def _client(self, field: str) -> dict[str, str]:
        """The client that the address of a field is told of: the connection's own, else the team's."""
        if self.client_id:
            own = self.client_secret
            secret = None if own is None else own.get_secret_value()
            return {"client_id": self.client_id, **({"client_secret": secret} if secret else {})}
        if self._team is None:
            raise ConfigError(
                "there is no client to sign in with: give a client_id, or store your team's own OAuth "
                "app: halflap oauth-apps set",
                fields={"auth.client_id": "is missing"},
            )
        self.check_origin(getattr(self, field), f"auth.{field}")
        secret = self._team.secret
        return {"client_id": self._team.client_id, **({"client_secret": secret} if secret else {})}


def allowed_origin(url: str, allowed: Iterable[str]) -> bool:
    """Return whether an address is at one of these origins; `https://*.host` stands for all hosts
    below.
    """
    found = origin(url)
    scheme, _, host = found.partition("://")
    if not re.fullmatch(r"[a-z0-9.-]+(:[0-9]+)?", host):
        return False  # what is no plain host may be read as another one
    for each in allowed:
        wanted, _, name = each.partition("://")
        if scheme == wanted and (
            host == name or (name.startswith("*.") and host.endswith(name.removeprefix("*")))
        ):
            return True
    return False


def below(url: str) -> str:
    """Return what follows the origin of a URL, as it is written."""
    return url.strip()[len(origin(url)) :]


def check_callback(uri: str, field: str) -> None:
    """Refuse an address that a code must not be sent to."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        parts = None
    loopback = parts is not None and parts.hostname in ("localhost", "127.0.0.1", "::1")
    if (
        parts is None
        or not parts.hostname
        or parts.fragment
        or parts.username
        or not (parts.scheme == "https" or (parts.scheme == "http" and loopback))
    ):
        raise ConfigError(
            f"{uri[:200]!r} is no address that a browser may come back to; use https, or http on "
            "localhost, without a fragment",
            fields={field: "is neither https nor on localhost"},
        )


class Authorization(BaseModel):
    """An authorization that was begun: single use, bound to whoever began it."""

    url: str
    state: str
    verifier: str
    redirect_uri: str

    def check_state(self, state: str) -> None:
        """Refuse an answer that belongs to another authorization."""
        if not secrets.compare_digest(state.encode(), self.state.encode()):
            raise ConfigError("the answer belongs to another sign-in; begin again")


class ClientCredentials(Tokens):
    """The app trusts this client by itself: OAuth 2 client credentials."""

    kind: Literal["client_credentials"] = "client_credentials"
    client_id: str
    client_secret: SecretStr
    scopes: tuple[str, ...] = ()

    async def refresh(self, egress: Egress) -> Self:
        form = {
            "grant_type": "client_credentials",
            "client_id": self.client_id,
            "client_secret": self.client_secret.get_secret_value(),
            **({"scope": " ".join(self.scopes)} if self.scopes else {}),
        }
        return await self.ask(egress, form)


class JwtBearer(Tokens):
    """A key pair whose public half the app knows: OAuth 2 JWT bearer (RS256)."""

    kind: Literal["jwt_bearer"] = "jwt_bearer"
    client_id: str
    subject: str
    audience: str
    private_key: SecretStr
    """An RSA private key in PEM."""

    async def refresh(self, egress: Egress) -> Self:
        claims = {
            "iss": self.client_id,
            "sub": self.subject,
            "aud": self.audience,
            "exp": int(time.time()) + 180,
        }
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "assertion": self.signed(claims),
        }
        return await self.ask(egress, form)

    def signed(self, claims: dict[str, Any]) -> str:
        """Return claims as a JWT that the private key signed."""
        return signed_jwt(claims, self.private_key.get_secret_value())


def signed_jwt(claims: dict[str, Any], private_key: str) -> str:
    """Claims as a JWT signed by RS256; a key that cannot be read is a `ConfigError`."""
    try:
        key = serialization.load_pem_private_key(private_key.encode(), password=None)
    except ValueError as error:
        raise ConfigError("private_key is no unencrypted PEM private key") from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ConfigError("private_key is no RSA key; RS256 needs one")
    parts = [codec.encode({"alg": "RS256", "typ": "JWT"}), codec.encode(claims)]
    signing = b".".join(base64.urlsafe_b64encode(each).rstrip(b"=") for each in parts)
    signature = key.sign(signing, padding.PKCS1v15(), hashes.SHA256())
    return (signing + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


def expiry(seconds: Any) -> datetime | None:
    """Return when a token expires that lasts so long, as its app says; None where that is no time."""
    with suppress(ArithmeticError, TypeError, ValueError):
        lasts = float(str(seconds))  # an integer of 1e99999999 would take hours to write out
        return datetime.now(UTC) + timedelta(seconds=lasts) if lasts > 0 else None
    return None


def granted(response: Response) -> dict[str, Any]:
    """A token endpoint's answer; a refusal is `Unauthorized` with what the app says."""
    try:
        found: Any = response.json()
    except UpstreamError:
        found = None
    answer = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    token = answer.get("access_token")
    if response.status == 200 and token and isinstance(token, str):
        return answer
    if response.status >= 500 or response.status == 429:
        response.raise_for_status()
    said = clean(str(answer.get("error_description") or answer.get("error") or ""))
    raise Unauthorized(
        f"the app refused to give a token ({response.status}{': ' + said[:200] if said else ''}); "
        "connect again",
        status=response.status,
    )
