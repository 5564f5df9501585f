"""The connection to a Jira site, and the component."""

from __future__ import annotations

import base64
from typing import ClassVar, Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic.json_schema import SkipJsonSchema

from halflap import Component, Connection, OAuth2Code


class JiraSignIn(OAuth2Code):
    """Sign in at Atlassian in a browser, by an OAuth app."""

    kind: Literal["oauth2_code"] = "oauth2_code"
    authorize_url: SkipJsonSchema[str] = "https://auth.atlassian.com/authorize"
    token_url: SkipJsonSchema[str] = "https://auth.atlassian.com/oauth/token"  # noqa: S105
    scopes: tuple[str, ...] = (
        "read:jira-user",
        "read:jira-work",
        "write:jira-work",
        "manage:jira-webhook",
        "offline_access",
    )
    extra: ClassVar[dict[str, str]] = {"audience": "api.atlassian.com", "prompt": "consent"}


class Jira(Connection):
    """A Jira site: by an API token (an administrator's for `jira.event`), or signed in to."""

    base_url: str = Field(pattern=r"^https?://[^/?#]+(/ex/jira/[0-9a-zA-Z-]+)?$")
    """The site: https://acme.atlassian.net; with an OAuth app, https://api.atlassian.com/ex/jira/ and
    the site's cloud id."""
    email: str | None = None
    api_token: SecretStr | None = None
    """The API token of that user."""

    auth: JiraSignIn | None = None

    @model_validator(mode="after")
    def _has_one_way_in(self) -> Self:
        if self.auth is not None and self.api_token is not None:
            raise ValueError(
                "takes an email with its api_token, or signing in (auth), and not both"
            )
        return self

    def headers(self) -> dict[str, str]:
        if self.email is None or self.api_token is None:
            return super().headers()
        both = f"{self.email}:{self.api_token.get_secret_value()}"
        return {"Authorization": "Basic " + base64.b64encode(both.encode()).decode()}

    async def test(self) -> None:
        await self.get("/rest/api/3/myself")


component = Component("jira", title="Jira", connection=Jira)
