"""Verification of a request's sender: a table of how each app signs.

Every layout is a row for the one verifier, `Signature`; an app that is not here is a row of your
own. Apps that only send a shared secret have `BearerToken` and `BasicAuth`; for those that prove
nothing, `Unsigned` says why that is accepted.
"""

# ruff: noqa: N802, S106 (constructors read as types; places are not secrets)

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets as random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from halflap.errors import ConfigError, DefinitionError, Rejected
from halflap.sdk._message import MessageSignature
from halflap.sdk._verifier import Signature, decoded_base64, only_value
from halflap.sdk.request import Request

__all__ = ["BasicAuth", "BearerToken", "CalendlySignature", "GitHubSignature", "HubSpotSignature"]
__all__ += ["JiraSignature", "MailgunSignature", "MessageSignature", "SendGridSignature"]
__all__ += ["ShopifySignature", "Signature", "SlackSignature"]
__all__ += ["StandardWebhooks", "StripeSignature", "SvixSignature", "TwilioSignature"]
__all__ += ["TypeformSignature", "Unsigned", "ZendeskSignature", "new_secret"]
__all__ += ["Verifier", "sender_headers"]


@runtime_checkable
class Verifier(Protocol):
    """A verification of a trigger's requests; every layout here is one."""

    def verify(self, request: Request, secrets: Sequence[str], now: datetime) -> None:
        """Return if any of the secrets made the request; raise `Rejected` (401) otherwise."""
        ...


def new_secret() -> str:
    """A fresh signing secret of 32 random bytes, as `whsec_…`."""
    return "whsec_" + base64.b64encode(random.token_bytes(32)).decode()


def StandardWebhooks(*, tolerance: int = 300, prefix: str = "webhook-") -> Signature:
    """Standard Webhooks 1.0.0: `v1` with `whsec_` secrets, `v1a` with `whpk_` public keys."""
    return Signature(
        header=f"{prefix}signature",
        template="{id}.{timestamp}.{body}",
        encoding="base64",
        prefix="v1,",
        separator=" ",
        secret_encoding="whsec",
        timestamp_header=f"{prefix}timestamp",
        tolerance=tolerance,
        id_header=f"{prefix}id",
        ed25519_prefix="v1a,",
    )


def SvixSignature(*, tolerance: int = 300) -> Signature:
    """Svix: Standard Webhooks under its older header names, `svix-…`."""
    return StandardWebhooks(tolerance=tolerance, prefix="svix-")


def GitHubSignature() -> Signature:
    """GitHub: `X-Hub-Signature-256` over the body; it sends no time, so dedupe by delivery."""
    return Signature(header="X-Hub-Signature-256", prefix="sha256=")


def SlackSignature(*, tolerance: int = 300) -> Signature:
    """Slack: `v0` over time and body, with the app's signing secret."""
    return Signature(
        header="X-Slack-Signature",
        template="v0:{timestamp}:{body}",
        prefix="v0=",
        timestamp_header="X-Slack-Request-Timestamp",
        tolerance=tolerance,
    )


def StripeSignature(*, header: str = "Stripe-Signature", tolerance: int = 300) -> Signature:
    """Stripe: `t=…,v1=…` over time and body; several `v1` while a secret is rolled."""
    return Signature(
        header=header,
        template="{timestamp}.{body}",
        prefix="v1=",
        separator=",",
        timestamp_key="t",
        tolerance=tolerance,
    )


def CalendlySignature(*, tolerance: int = 300) -> Signature:
    """Calendly: as Stripe signs, in its own header."""
    return StripeSignature(header="Calendly-Webhook-Signature", tolerance=tolerance)


def ShopifySignature() -> Signature:
    """Shopify: base64 over the body, with the app's client secret; it signs no time."""
    return Signature(header="X-Shopify-Hmac-SHA256", encoding="base64")


def HubSpotSignature(*, tolerance: int = 300) -> Signature:
    """HubSpot v3: method, public URL, body and time, with the app's client secret."""
    return Signature(
        header="X-HubSpot-Signature-v3",
        template="{method}{plain_url}{body}{timestamp}",
        encoding="base64",
        timestamp_header="X-HubSpot-Request-Timestamp",
        timestamp_unit="ms",
        tolerance=tolerance,
    )


def TwilioSignature() -> Signature:
    """Twilio: SHA-1 over the public URL and the sorted form, with the account's auth token.

    A body that is no form is covered by `bodySHA256` in the URL. Twilio signs no time.
    """
    return Signature(
        header="X-Twilio-Signature",
        template="{url}{form}",
        encoding="base64",
        algorithm="sha1",
        body_hash_param="bodySHA256",
    )


def ZendeskSignature(*, tolerance: int = 300) -> Signature:
    """Zendesk: time and body, with the webhook's signing secret."""
    return Signature(
        header="X-Zendesk-Webhook-Signature",
        template="{timestamp}{body}",
        encoding="base64",
        timestamp_header="X-Zendesk-Webhook-Signature-Timestamp",
        timestamp_unit="iso",
        tolerance=tolerance,
    )


def SendGridSignature(*, tolerance: int = 86_400) -> Signature:
    """SendGrid: ECDSA over time and body; the secret is the webhook's public key.

    What could not be delivered is sent again for a day, so a day old is not too old: dedupe by
    `pointer("/sg_event_id")`.
    """
    return Signature(
        header="X-Twilio-Email-Event-Webhook-Signature",
        template="{timestamp}{body}",
        encoding="base64",
        algorithm="ecdsa-p256",
        timestamp_header="X-Twilio-Email-Event-Webhook-Timestamp",
        tolerance=tolerance,
    )


def JiraSignature() -> Signature:
    """Jira: `X-Hub-Signature` over the body, with the webhook's secret; it signs no time."""
    return Signature(header="X-Hub-Signature", prefix="sha256=")


def TypeformSignature() -> Signature:
    """Typeform: base64 over the body, marked `sha256=`; it signs no time."""
    return Signature(header="Typeform-Signature", encoding="base64", prefix="sha256=")


def MailgunSignature(*, tolerance: int = 300) -> Signature:
    """Mailgun: inside the JSON body, over time and token only.

    The rest of the body is not signed: dedupe by `pointer("/signature/token")`, or whoever saw one
    request may send another with the same token.
    """
    return Signature(
        header="/signature/signature",
        template="{timestamp}{token}",
        timestamp_header="/signature/timestamp",
        token_header="/signature/token",
        tolerance=tolerance,
    )


@dataclass(frozen=True, slots=True)
class BearerToken(Signature):
    """A shared secret in a header: `Authorization: Bearer …`, or as it is with `prefix=""`."""

    header: str = "Authorization"
    prefix: str = "Bearer "

    def __post_init__(self) -> None:
        if not self.header:
            raise DefinitionError("name the header that carries the token", where="BearerToken")

    @property
    def secret_headers(self) -> frozenset[str]:
        """The header of the token."""
        return frozenset({self.header.lower()})

    def verify(self, request: Request, secrets: Sequence[str], now: datetime) -> None:
        """Return if the header holds one of the secrets; raise `Rejected` otherwise."""
        value = only_value(request, self.header, "token")
        if value[: len(self.prefix)].lower() != self.prefix.lower():
            raise Rejected(f"{self.header} does not begin with {self.prefix.strip()}.")
        _require_secret(value[len(self.prefix) :].strip().encode(), secrets, self.header)

    def sign(self, body: bytes, secret: str, now: datetime, **context: Any) -> dict[str, str]:
        """The header that a sender with this secret adds."""
        return {self.header: self.prefix + secret}


@dataclass(frozen=True, slots=True)
class BasicAuth(Signature):
    """HTTP Basic authentication; a secret is `user:password`."""

    header: str = field(default="Authorization", init=False)

    def verify(self, request: Request, secrets: Sequence[str], now: datetime) -> None:
        """Return if the request names one of the secrets; raise `Rejected` otherwise."""
        value = only_value(request, "Authorization", "user and password")
        scheme, _, credentials = value.partition(" ")
        given = decoded_base64(credentials.strip())
        if scheme.lower() != "basic" or not given or b":" not in given:
            raise Rejected("Authorization is not Basic with a user and a password.")
        _require_secret(given, secrets, "Authorization")

    def sign(self, body: bytes, secret: str, now: datetime, **context: Any) -> dict[str, str]:
        """The header that a sender with this secret adds."""
        return {"Authorization": "Basic " + base64.b64encode(secret.encode()).decode()}


@dataclass(frozen=True, slots=True)
class Unsigned(Signature):
    """Verifies nothing, for the reason given: the endpoint's secret URL is the only proof."""

    reason: str
    header: str = field(default="", init=False)

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise DefinitionError("say why requests are taken unsigned", where="Unsigned")

    def verify(self, request: Request, secrets: Sequence[str], now: datetime) -> None:
        """Return, whatever the request."""

    def sign(self, body: bytes, secret: str, now: datetime, **context: Any) -> dict[str, str]:
        """Nothing: the sender adds no header."""
        return {}


def sender_headers(
    verify: Verifier | None, body: bytes, secret: str, now: datetime, *, method: str, url: str
) -> dict[str, str]:
    """The headers of a request with JSON as its sender makes it: its type, and what proves its sender.

    Raises `ConfigError` of a verifier that is code of its own, or a secret that cannot sign.
    """
    headers = {"Content-Type": "application/json"} if body else {}
    if verify is None:
        return headers
    if not isinstance(verify, Signature):
        raise ConfigError("requests are verified by code, which cannot sign; have the app send one")
    id = f"msg_{random.token_hex(16)}"
    try:
        return headers | verify.sign(body, secret, now, id=id, method=method, url=url)
    except Rejected as error:  # of a public key
        raise ConfigError(error.message) from error


def _require_secret(given: bytes, secrets: Sequence[str], header: str) -> None:
    usable = [s.encode("utf-8", "surrogatepass") for s in secrets if s.strip()]
    if not usable:
        raise Rejected("The endpoint has no usable secret; set the one that the sender uses.")
    # Hashes have one length, so that the comparison tells nothing of the secret's.
    digest, matches = hashlib.sha256(given).digest(), False
    for secret in usable:
        matches |= hmac.compare_digest(hashlib.sha256(secret).digest(), digest)
    if not matches:
        raise Rejected(f"{header} holds none of the endpoint's {len(secrets)} secrets.")
