"""The connection to an account of Zendesk."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from pydantic import Field, SecretStr
from pydantic.json_schema import SkipJsonSchema

from halflap import Component, Connection

RECORDS = {"ticket": "tickets", "user": "users", "organization": "organizations"}


class Zendesk(Connection):
    """An API token of an agent; webhooks need that of an administrator."""

    subdomain: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    """Of acme.zendesk.com: acme"""
    email: str
    api_token: SecretStr
    host: SkipJsonSchema[str] = ""
    """Where the account is, if not at zendesk.com: a sandbox."""

    @property
    def base_url(self) -> str:
        """The address of the account."""
        return self.host or f"https://{self.subdomain}.zendesk.com"

    def headers(self) -> dict[str, str]:
        both = f"{self.email}/token:{self.api_token.get_secret_value()}"
        return {"Authorization": "Basic " + base64.b64encode(both.encode()).decode()}

    async def test(self) -> None:
        await self.get("/api/v2/users/me")

    async def current(self, kind: str, id: str, fields: Sequence[str]) -> dict[str, Any] | None:
        path = f"/api/v2/{RECORDS[kind]}/{{id}}"
        found = await self.find(path, values={"id": id})
        return None if found is None else found[kind]


component = Component("zendesk", title="Zendesk", connection=Zendesk)


def next_of(body: Any) -> str | None:
    """Return the address of the next page."""
    more: bool = body["meta"]["has_more"]
    return body["links"]["next"] if more else None
