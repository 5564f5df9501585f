"""The connection to a Stripe account, and the component."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from halflap import (
    ApiKey,
    AppEndpoint,
    Component,
    ConfigError,
    Connection,
    OAuth2Code,
    StripeSignature,
    pointer,
)

HOOKS = "/v1/webhook_endpoints"
API_VERSION = "2022-11-15"
"""The version of the API that the document is of: an account may have another one by default."""


class StripeSignIn(OAuth2Code):
    """Connect a Stripe account to your team's platform (Stripe Connect), in a browser."""

    granted: ClassVar[frozenset[str]] = OAuth2Code.granted | {"stripe_user_id"}
    pkce: ClassVar[bool] = False
    authorize_url: SkipJsonSchema[str] = "https://connect.stripe.com/oauth/authorize"
    token_url: SkipJsonSchema[str] = "https://connect.stripe.com/oauth/token"  # noqa: S105
    scopes: tuple[str, ...] = ("read_write",)
    stripe_user_id: SkipJsonSchema[str] = ""
    """The account, whose events are the connection's: acct_…"""

    def keep(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        return {"stripe_user_id": str(answer["stripe_user_id"])}


class Stripe(Connection):
    """A Stripe account: connected to your platform, or by a key of its own (sk_… or rk_…)."""

    idempotency_header: ClassVar[str | None] = "Idempotency-Key"
    app_endpoint: ClassVar[AppEndpoint | None] = AppEndpoint(
        verify=StripeSignature(), account=pointer("/account"), field="auth.stripe_user_id"
    )

    base_url: SkipJsonSchema[str] = "https://api.stripe.com"
    auth: Annotated[StripeSignIn | ApiKey, Field(discriminator="kind")]

    def headers(self) -> dict[str, str]:
        return {**super().headers(), "Stripe-Version": API_VERSION}

    async def test(self) -> None:
        if not (known := getattr(self.auth, "stripe_user_id", "")):
            await self.get(HOOKS, params={"limit": 1})
        elif (found := (await self.get("/v1/account"))["id"]) != known:
            told = f"the token is of account {found}, and not of {known}; connect again"
            raise ConfigError(told, fields={"auth": "is another account's"})


component = Component("stripe", title="Stripe", connection=Stripe)
