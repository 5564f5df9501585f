"""The connection to a workspace of Slack, and the installation of an app in it."""

from __future__ import annotations

import json
from typing import Annotated, Any, ClassVar, Self, cast

from pydantic import Field, SecretStr
from pydantic.json_schema import SkipJsonSchema

from halflap import (
    ApiKey,
    AppEndpoint,
    Component,
    ConfigError,
    Connection,
    OAuth2Code,
    RateLimited,
    Reply,
    Request,
    SlackSignature,
    Unauthorized,
    UpstreamError,
)

FORM = "application/x-www-form-urlencoded"
REVOKED = {
    "account_inactive",
    "invalid_auth",
    "not_authed",
    "token_revoked",
    "team_access_not_granted",
}
"""The errors that no request gets past until somebody connects again."""

LATER = {"fatal_error", "internal_error", "request_timeout", "service_unavailable"}


class SlackSignIn(OAuth2Code):
    """Install the app in a workspace, in a browser."""

    granted: ClassVar[frozenset[str]] = OAuth2Code.granted | {"team_id"}
    scope_separator: ClassVar[str] = ","

    authorize_url: SkipJsonSchema[str] = "https://slack.com/oauth/v2/authorize"
    token_url: SkipJsonSchema[str] = "https://slack.com/api/oauth.v2.access"  # noqa: S105
    scopes: tuple[str, ...] = ("channels:read", "chat:write", "users:read", "users:read.email")
    team_id: SkipJsonSchema[str] = ""
    """The workspace, as the answer with the token names it; of an app that is installed for a whole
    organization, that."""

    def keep(self, answer: Any) -> dict[str, Any]:
        """The workspace, or the organization."""
        team = answer.get("enterprise" if answer.get("is_enterprise_install") else "team")
        return {"team_id": str(within(team, "id") or "")}


def within(value: Any, name: str) -> Any:
    """Return a field of an object; None where it is none."""
    return cast("dict[str, Any]", value).get(name) if isinstance(value, dict) else None


def body_of(request: Request) -> dict[str, Any]:
    """Return what Slack sends: an event, an interaction, or a command."""
    if request.content_type != FORM:
        return request.json()
    form = {name: values[0] for name, values in request.form().items()}
    return json.loads(form["payload"]) if "payload" in form else form


def team_of(request: Request) -> str | None:
    """Return the installation that a request is for: a workspace, or a whole organization.

    An event of a shared channel names the workspace of who wrote; the installation stands beside it.
    """
    body = body_of(request)
    installed: Any = (body.get("authorizations") or [None])[0]
    flags = (within(installed, "is_enterprise_install"), body.get("is_enterprise_install"))
    name = "enterprise" if any(each in (True, "true") for each in flags) else "team"
    id = f"{name}_id"
    return within(installed, id) or body.get(id) or within(body.get(name), "id")


def challenge(request: Request) -> Reply | None:
    """Prove that the URL is ours, by saying what Slack said."""
    if request.content_type == FORM:
        return None
    body = request.json()
    is_asked = body.get("type") == "url_verification"
    return Reply(200, {"challenge": body["challenge"]}) if is_asked else None


class Slack(Connection):
    """A workspace, as a bot of it."""

    app_endpoint: ClassVar[AppEndpoint | None] = AppEndpoint(
        verify=SlackSignature(), account=team_of, field="auth.team_id", handshake=challenge
    )

    base_url: SkipJsonSchema[str] = "https://slack.com/api"
    auth: Annotated[SlackSignIn | ApiKey, Field(discriminator="kind")]
    signing_secret: SecretStr = SecretStr("")
    """Of an app of the customer's own: what it signs with. Your team's own app has it stored."""
    app_token: SecretStr = SecretStr("")
    """Of an app that uses Socket Mode: its app-level token with the scope connections:write (xapp-…)."""

    async def test(self) -> None:
        found = await self.call("auth.test")
        known = getattr(self.auth, "team_id", "")
        if known and known not in (found.get("team_id"), found.get("enterprise_id")):
            raise ConfigError(
                f"the token is of workspace {found.get('team_id')}, and not of {known}; connect again",
                fields={"auth": "is another workspace's"},
            )
        if self.app_token.get_secret_value():
            await self.socket_url()

    async def socket_url(self) -> str:
        """Return the URL of a new WebSocket for Socket Mode, which is good once."""
        token = self.app_token.get_secret_value()
        if not token:
            raise ConfigError(
                "Socket Mode needs the app-level token of the app (app_token)",
                fields={"app_token": "is missing"},
            )
        headers = {"Authorization": f"Bearer {token}"}
        return (await self._call("POST", "apps.connections.open", {"headers": headers}))["url"]

    async def call(self, method: str, **given: Any) -> dict[str, Any]:
        """Call a method that does something; what Slack refuses with 200 is an error."""
        return await self._call("POST", method, {"json": {**without_none(given)}})

    async def ask(self, method: str, **given: Any) -> dict[str, Any]:
        """Call a method that reads."""
        return await self._call("GET", method, {"params": without_none(given)})

    async def _call(self, verb: str, method: str, content: dict[str, Any]) -> dict[str, Any]:
        connection: Self = self
        answer: dict[str, Any] = (await self.request(verb, f"/{method}", **content)).json()
        if answer.get("error") == "token_expired":
            connection = await self.refreshed()
            answer = (await connection.request(verb, f"/{method}", **content)).json()
        if answer.get("ok") is not True:
            raise refusal(method, str(answer.get("error") or "no reason"), answer.get("needed"))
        return answer


def without_none(given: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments that were given."""
    return {name: value for name, value in given.items() if value is not None}


def refusal(method: str, why: str, needed: str | None = None) -> UpstreamError:
    """Return the error that Slack's answer means; `needed` is a scope that the app has not."""
    if why == "ratelimited":
        return RateLimited(f"Slack asks to slow down ({method})")
    if why in REVOKED or why == "token_expired":
        return Unauthorized(f"Slack refused {method}: {why}; connect again")
    later = why in LATER
    hint = f" (it needs the scope {needed}; add it, and install the app again)" if needed else ""
    return UpstreamError(
        f"Slack refused {method}: {why}{hint}", status=200, retryable=later, in_doubt=later
    )


component = Component("slack", title="Slack", connection=Slack)
