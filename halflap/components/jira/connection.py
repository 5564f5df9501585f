"""The connection to a Jira site, and the component."""

from __future__ import annotations

import base64

from pydantic import Field, SecretStr

from halflap import Component, Connection


class Jira(Connection):
    """An API token of a Jira site; for triggers, an administrator's."""

    base_url: str = Field(pattern=r"^https?://[^/?#]+$")
    """The site: https://acme.atlassian.net"""
    email: str
    api_token: SecretStr

    def headers(self) -> dict[str, str]:
        both = f"{self.email}:{self.api_token.get_secret_value()}"
        return {"Authorization": "Basic " + base64.b64encode(both.encode()).decode()}

    async def test(self) -> None:
        await self.get("/rest/api/3/myself")


component = Component("jira", title="Jira", connection=Jira)
