"""A receiver of webhooks: where it is, and what they are signed with."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar

from pydantic import Field, SecretStr, field_validator

from halflap import Component, Connection, Rejected, Response, StandardWebhooks

LAYOUT = StandardWebhooks()


class Receiver(Connection):
    """A URL that takes webhooks, signed as Standard Webhooks says."""

    idempotency_header: ClassVar[str | None] = "webhook-id"

    address: str = Field(pattern=r"^https?://[^/?#]+[^#]*$")
    """The receiver's URL: https://app.example.com/hooks"""
    secret: SecretStr | None = None
    """It signs: whsec_… (shared) or whsk_… (private). Without it, nothing is signed."""
    former_secret: SecretStr | None = None
    """While the secret is rotated, the one before: messages are signed with both."""

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

    @property
    def base_url(self) -> str:
        """The address without its query."""
        return self.address.partition("?")[0]

    async def test(self) -> None:
        raise NotImplementedError

    async def deliver(
        self, body: bytes, content_type: str, headers: dict[str, str], id: str
    ) -> Response:
        """Send one message, signed at this moment with every secret; raise where it is not taken."""
        signed = self.signed(body, id, datetime.now(UTC))
        kind = {"Content-Type": content_type} if content_type else {}
        told = {**kind, "webhook-id": id, **headers, **signed}
        return await self.request("POST", self.address, headers=told, body=body)

    def signed(self, body: bytes, id: str, now: datetime) -> dict[str, str]:
        """Return the headers of a message signed with every secret, the newest first."""
        found: dict[str, str] = {}
        signatures: list[str] = []
        for secret in (self.secret, self.former_secret):
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
