"""Sign-in through the team's OpenID Connect provider: Authorization Code with PKCE.

What begins a sign-in (state, nonce, code verifier) is sealed in a cookie of the browser that began
it, so it ends in that browser alone, whichever process it comes to.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, cast
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from halflap.errors import ConfigError, HalflapError, StoreError
from halflap.model import Clock, Micros
from halflap.sdk import codec
from halflap.store.vault import Vault

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA")
"""Signatures with a key pair only: the client's secret is never a key."""
LASTS: Micros = 600_000_000
LEEWAY_SECONDS = 60
SECONDS = 10.0
PLACE = ("", "oidc", "sign_in")
BASIC = "client_secret_basic"
WELL_KNOWN = "/.well-known/openid-configuration"


class ProviderRefused(HalflapError):
    """The team's sign-in provider did not identify anybody; the message says why."""


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """The team's provider, and what it knows us by."""

    issuer: str
    client_id: str
    client_secret: str
    role_claim: str = ""
    """The claim with the user's role; without one, users are added by hand."""


@dataclass(frozen=True, slots=True)
class ProvidedIdentity:
    """The person whom the provider has identified."""

    subject: str
    email: str
    """As the provider has verified it; else empty."""
    name: str
    roles: tuple[str, ...]


class SealedSignIn(msgspec.Struct):
    """A sign-in that has begun, as its browser keeps it."""

    state: str
    nonce: str
    verifier: str
    until: Micros


class Provider:
    """The team's OpenID Connect provider."""

    def __init__(
        self,
        settings: ProviderSettings,
        vault: Vault,
        clock: Clock,
        redirect_uri: Callable[[], str],
    ) -> None:
        if not settings.client_id:
            raise ConfigError("HALFLAP_OIDC_ISSUER needs HALFLAP_OIDC_CLIENT_ID")
        self.settings = settings
        self._vault = vault
        self._clock = clock
        self._redirect_uri = redirect_uri
        self._metadata: dict[str, Any] = {}
        self._keys: dict[str, Any] = {"keys": []}

    async def begin(self) -> tuple[str, str]:
        """Begin a sign-in: returns the address to send the browser to, and what its cookie keeps."""
        metadata = await self._discover()
        begun = SealedSignIn(
            state=secrets.token_urlsafe(32),
            nonce=secrets.token_urlsafe(32),
            verifier=secrets.token_urlsafe(48),
            until=self._clock() + LASTS,
        )
        query = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": self._redirect_uri(),
            "scope": "openid email profile",
            "state": begun.state,
            "nonce": begun.nonce,
            "code_challenge": unpadded(hashlib.sha256(begun.verifier.encode()).digest()),
            "code_challenge_method": "S256",
        }
        endpoint = metadata["authorization_endpoint"]
        url = f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"
        sealed = self._vault.seal(msgspec.json.encode(begun).decode(), PLACE)
        return url, unpadded(sealed)

    async def end(self, cookie: str, code: str, state: str, issuer: str | None) -> ProvidedIdentity:
        """End a sign-in with what the browser brought back; raises `ProviderRefused`."""
        begun = self._opened(cookie)
        if begun is None or not hmac.compare_digest(begun.state.encode(), state.encode()):
            raise ProviderRefused("This sign-in was not begun in this browser; begin it again.")
        if issuer not in (None, self.settings.issuer):
            raise ProviderRefused("The answer is another provider's.")
        metadata = await self._discover()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri(),
            "code_verifier": begun.verifier,
        }
        id, secret = self.settings.client_id, self.settings.client_secret
        auth: dict[str, str] = {}
        if BASIC in metadata.get("token_endpoint_auth_methods_supported", [BASIC]):
            pair = f"{quote(id, safe='')}:{quote(secret, safe='')}".encode()
            auth = {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
        else:
            form |= {"client_id": id, "client_secret": secret}
        answer = await self._fetch(metadata["token_endpoint"], form, auth)
        return self._identity(await self._claims(str(answer.get("id_token", "")), begun.nonce))

    def _opened(self, cookie: str) -> SealedSignIn | None:
        try:
            sealed = base64.urlsafe_b64decode(cookie + "=" * (-len(cookie) % 4))
            text = self._vault.open(sealed, PLACE)
        except (ValueError, StoreError):
            return None
        begun = msgspec.json.decode(text, type=SealedSignIn)
        return begun if begun.until > self._clock() else None

    async def _claims(self, token: str, nonce: str) -> dict[str, Any]:
        """Return the claims of an id token that is the provider's, for us, and for this sign-in."""
        from joserfc import jwt  # loaded by who signs in, not by every server that starts
        from joserfc.errors import JoseError
        from joserfc.jwk import KeySet

        def decode() -> jwt.Token:
            keys = KeySet.import_key_set(cast(Any, self._keys))
            return jwt.decode(token, keys, algorithms=ALGORITHMS)

        try:
            try:
                found = decode()
            except (JoseError, ValueError):  # it may be signed with a key that is new
                self._keys = await self._fetch((await self._discover())["jwks_uri"])
                found = decode()
            jwt.JWTClaimsRegistry(
                leeway=LEEWAY_SECONDS,
                iss={"essential": True, "value": self.settings.issuer},
                aud={"essential": True, "value": self.settings.client_id},
                sub={"essential": True},
                exp={"essential": True},
                iat={"essential": True},
                nonce={"essential": True, "value": nonce},
            ).validate(found.claims)
        except (JoseError, ValueError) as error:
            raise ProviderRefused(f"The provider's id token is not good: {error}") from error
        audience: Any = found.claims["aud"]
        party = self.settings.client_id if audience == self.settings.client_id else None
        if isinstance(audience, list) and len(cast(list[Any], audience)) == 1:
            party = self.settings.client_id
        if found.claims.get("azp", party) != self.settings.client_id:
            raise ProviderRefused("The provider's id token is for another client.")
        return found.claims

    def _identity(self, claims: dict[str, Any]) -> ProvidedIdentity:
        claimed: Any = claims.get(self.settings.role_claim) if self.settings.role_claim else None
        roles = cast(list[Any], claimed) if isinstance(claimed, list) else [claimed]
        is_verified = claims.get("email_verified") is True
        return ProvidedIdentity(
            subject=f"{self.settings.issuer} {claims['sub']}",
            email=str(claims.get("email", "")) if is_verified else "",
            name=str(claims.get("name", ""))[:200],
            roles=tuple(each for each in roles if isinstance(each, str)),
        )

    async def _discover(self) -> dict[str, Any]:
        """Return the provider's metadata, which are read once."""
        if not self._metadata:
            issuer = self.settings.issuer
            found = await self._fetch(f"{issuer.rstrip('/')}{WELL_KNOWN}")
            if found.get("issuer") != issuer:
                raise ProviderRefused(
                    f"HALFLAP_OIDC_ISSUER is {issuer!r}, but the provider calls itself "
                    f"{found.get('issuer')!r}; set it to that."
                )
            for each in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                check_secure(str(found.get(each, "")))
            self._metadata = found
        return self._metadata

    async def _fetch(
        self,
        url: str,
        form: Mapping[str, str] | None = None,
        auth: Mapping[str, str] = MappingProxyType({}),
    ) -> dict[str, Any]:
        """Return the JSON object of a GET, or of a POST of a form."""
        check_secure(url)
        import aiohttp  # as above

        timeout = aiohttp.ClientTimeout(total=SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.request(
                    "GET" if form is None else "POST",
                    url,
                    data=form,
                    headers={"Accept": "application/json", **auth},
                    allow_redirects=False,
                ) as response,
            ):
                found: Any = codec.decode(await response.read())
        except (aiohttp.ClientError, TimeoutError, codec.NotJson) as error:
            raise ProviderRefused(f"The sign-in provider does not answer: {error}") from error
        if response.status != 200 or not isinstance(found, dict):
            raise ProviderRefused(f"The sign-in provider answered {response.status}.")
        return cast(dict[str, Any], found)


def check_secure(url: str) -> None:
    """Raise `ProviderRefused` for a URL of the provider that is neither https nor of this machine."""
    parts = urlsplit(url)
    local = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")
    if parts.scheme != "https" and not local:
        raise ProviderRefused(f"The sign-in provider's {url!r} is no https URL.")


def unpadded(data: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
