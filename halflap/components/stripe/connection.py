"""The connection to a Stripe account, and the component."""

from __future__ import annotations

from typing import ClassVar

from pydantic import SecretStr
from pydantic.json_schema import SkipJsonSchema

from halflap import Component, Connection

HOOKS = "/v1/webhook_endpoints"
API_VERSION = "2022-11-15"
"""The version of the API that the document is of: an account may have another one by default."""


class Stripe(Connection):
    """A key of a Stripe account; for triggers, one that may write webhook endpoints."""

    idempotency_header: ClassVar[str | None] = "Idempotency-Key"

    base_url: SkipJsonSchema[str] = "https://api.stripe.com"
    api_key: SecretStr
    """A secret or a restricted key: sk_… or rk_…"""

    def headers(self) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {self.api_key.get_secret_value()}",
            "Stripe-Version": API_VERSION,
        }

    async def test(self) -> None:
        await self.get(HOOKS, params={"limit": 1})


component = Component("stripe", title="Stripe", connection=Stripe)
