"""The connection to a portal of HubSpot: an app that was installed there, or a private app's token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from halflap import (
    ApiKey,
    AppEndpoint,
    Component,
    ConfigError,
    Connection,
    HubSpotSignature,
    OAuth2Code,
    Request,
    pointer,
)

API = "https://api.hubapi.com"
OBJECTS = "/crm/v3/objects"
SCOPES = tuple(
    f"crm.objects.{kind}.{right}"
    for kind in ("contacts", "companies", "deals")
    for right in ("read", "write")
)


class HubSpotSignIn(OAuth2Code):
    """Install the app in a portal, in a browser."""

    granted: ClassVar[frozenset[str]] = OAuth2Code.granted | {"portal_id"}

    authorize_url: SkipJsonSchema[str] = "https://app.hubspot.com/oauth/authorize"
    token_url: SkipJsonSchema[str] = f"{API}/oauth/v1/token"
    api_url: SkipJsonSchema[str] = API
    scopes: tuple[str, ...] = ("oauth", *SCOPES, "tickets")
    portal_id: SkipJsonSchema[str] = ""
    """The portal, whose events are the connection's."""

    async def exchange(self, egress: Any, code: str, begun: Any) -> Self:
        """End the sign-in; the answer with the tokens does not name the portal, so it is asked for."""
        self.check_origin(self.api_url, "auth.api_url")
        fresh = await super().exchange(egress, code, begun)
        url = f"{self.api_url}/account-info/v3/details"
        response = await egress.request("GET", url, headers=fresh.headers())
        response.raise_for_status()
        return fresh.model_copy(update={"portal_id": str(response.json()["portalId"])})


class HubSpot(Connection):
    """A portal of HubSpot."""

    app_endpoint: ClassVar[AppEndpoint | None] = AppEndpoint(
        verify=HubSpotSignature(),
        account=pointer("/portalId"),
        field="auth.portal_id",
        split=Request.elements,
    )

    base_url: SkipJsonSchema[str] = API
    auth: Annotated[HubSpotSignIn | ApiKey, Field(discriminator="kind")]

    async def test(self) -> None:
        found = str((await self.get("/account-info/v3/details"))["portalId"])
        known = getattr(self.auth, "portal_id", "")
        if known and known != found:
            raise ConfigError(
                f"the token is of portal {found}, and not of {known}; connect again",
                fields={"auth": "is another portal's"},
            )

    async def current(self, kind: str, id: str, fields: Sequence[str]) -> dict[str, Any] | None:
        params = {"properties": ",".join(fields)}
        found = await self.find(
            f"{OBJECTS}/{{kind}}/{{id}}", values={"kind": kind, "id": id}, params=params
        )
        return None if found is None else found["properties"]


component = Component("hubspot", title="HubSpot", connection=HubSpot)
