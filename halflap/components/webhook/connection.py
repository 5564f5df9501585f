"""A receiver of webhooks: where it is, and what they are signed with."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import ClassVar
from urllib.parse import urlsplit

from pydantic import AwareDatetime, Field, SecretStr, field_validator

from halflap import (
    Component,
    Connection,
    Limits,
    Rejected,
    Response,
    StandardWebhooks,
    UpstreamError,
)

LAYOUT = StandardWebhooks()
OURS = frozenset({"content-length", "content-type", "host", "connection", "transfer-encoding"})
"""Headers that are not the customer's to choose, besides those that begin with `webhook-`."""
A_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}").fullmatch
MOST_HEADERS = 20


class Receiver(Connection):
    """A URL that takes webhooks, signed as Standard Webhooks says."""

    limits: ClassVar[Limits] = Limits(total=20, response_bytes=64 * 1024, concurrency=25)
    idempotency_header: ClassVar[str | None] = "webhook-id"

    address: str = Field(pattern=r"^https?://[^/?#]+[^#]*$")
    """The receiver's URL: https://app.example.com/hooks"""
    secret: SecretStr | None = None
    """It signs: whsec_… (shared) or whsk_… (private). Without it, nothing is signed."""
    former_secret: SecretStr | None = None
    """While the secret is rotated, the one before: messages are signed with both."""
    former_until: AwareDatetime | None = None
    """When the former secret ends to sign; without it, as it is removed."""
    extra_headers: dict[str, SecretStr] = Field(default_factory=dict[str, SecretStr])
    """Further headers of each message, such as Authorization."""

    @field_validator("secret", "former_secret")
    @classmethod
    def _is_usable(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None:
            try:
                LAYOUT.sign(b"", secret.get_secret_value(), datetime.now(UTC), id="check")
            except Rejected as error:
                raise ValueError(
                    "is no secret of Standard Webhooks: whsec_ or whsk_, and then base64"
                ) from error
        return secret

    @field_validator("address")
    @classmethod
    def _has_a_host(cls, address: str) -> str:
        try:
            parts = urlsplit(address)
            is_plain = bool(parts.hostname) and parts.port != 0 and parts.username is None
        except ValueError:
            is_plain = False
        if not is_plain or "\\" in address:
            raise ValueError(
                "is to be https://HOST/PATH, without a user; send credentials in headers"
            )
        return address

    @field_validator("extra_headers")
    @classmethod
    def _are_free(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name in headers:
            if not A_HEADER(name) or name.lower() in OURS or name.lower().startswith("webhook-"):
                raise ValueError(f"{name[:64]!r} is no header of yours to choose; take another")
        if len(headers) > MOST_HEADERS:
            raise ValueError(f"has more than {MOST_HEADERS} headers")
        return headers

    def headers(self) -> dict[str, str]:
        return {name: each.get_secret_value() for name, each in self.extra_headers.items()}

    @property
    def base_url(self) -> str:
        """The address without its query."""
        return self.address.partition("?")[0]

    async def test(self) -> None:
        raise NotImplementedError

    async def deliver(
        self, body: bytes, content_type: str, headers: dict[str, str], id: str
    ) -> Response:
        """Send one message, signed at this moment with every secret; raise where it is not taken.

        A receiver that answers 401 may take the next one: it has no account of ours to mend.
        """
        signed = self.signed(body, id, datetime.now(UTC))
        kind = {"Content-Type": content_type} if content_type else {}
        told = {**kind, "webhook-id": id, **headers, **signed}
        answer = await self.request("POST", self.address, headers=told, body=body, check=False)
        if answer.status == 401:
            raise UpstreamError(f"{self.base_url} answered 401", status=401, retryable=True)
        answer.raise_for_status()
        return answer

    def signed(self, body: bytes, id: str, now: datetime) -> dict[str, str]:
        """Return the headers of a message signed with every secret, the newest first."""
        found: dict[str, str] = {}
        signatures: list[str] = []
        ended = self.former_until is not None and self.former_until <= now
        for secret in (self.secret, None if ended else self.former_secret):
            if secret is not None:
                found = LAYOUT.sign(body, secret.get_secret_value(), now, id=id)
                signatures.append(found[LAYOUT.header])
        return {**found, LAYOUT.header: " ".join(signatures)} if signatures else {}


component = Component(
    "webhook",
    title="Webhook",
    description="Receive events of any app that can call a URL, and send them to any that takes them.",
    connection=Receiver,
)
