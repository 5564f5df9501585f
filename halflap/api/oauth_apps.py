"""The team's own OAuth apps, one per component: what customers sign in through."""

from __future__ import annotations

from typing import Annotated

from fastapi import Response
from pydantic import Field, SecretStr, StringConstraints

from halflap.api.asking import Ops, router_of
from halflap.api.problem import documented
from halflap.api.view import Input, Time, View
from halflap.model import OAuthApp

Address = Annotated[str, StringConstraints(min_length=1, max_length=2_000)]

router = router_of("/api/oauth-apps", "connections")


class OAuthAppDraft(Input):
    """The team's own OAuth app at the app of a component."""

    client_id: Annotated[str, StringConstraints(min_length=1, max_length=2_000)]
    client_secret: SecretStr | None = None
    """Left out, the one before stays."""
    callback: Address | None = None
    """Where the app sends browsers back to: the address that is registered there."""
    origins: Annotated[list[Address], Field(max_length=50)] = []
    """Where the client secret may be sent: https://login.example, or https://*.my.example for every
    host below. Left out, the addresses that the component declares."""


class OAuthAppView(View):
    """The team's own OAuth app, without its secret."""

    component: str
    client_id: str
    has_secret: bool
    callback: str
    origins: list[str]
    changed_at: Time


@router.get("")
async def list_oauth_apps(operations: Ops) -> list[OAuthAppView]:
    """The team's own OAuth apps, by component."""
    return [app_view(each) for each in await operations.oauth_apps.list()]


@router.put("/{component}", responses=documented(404))
async def put_oauth_app(component: str, draft: OAuthAppDraft, operations: Ops) -> OAuthAppView:
    """Store the team's own OAuth app for a component, for connections that give no client id."""
    secret = None if draft.client_secret is None else draft.client_secret.get_secret_value()
    stored = await operations.oauth_apps.put(
        component, draft.client_id, secret, draft.callback or "", draft.origins
    )
    return app_view(stored)


@router.delete("/{component}", status_code=204, responses=documented(404))
async def remove_oauth_app(component: str, operations: Ops) -> Response:
    """Remove the team's own OAuth app; connections that use it have to be given a client id."""
    await operations.oauth_apps.remove(component)
    return Response(status_code=204)


def app_view(app: OAuthApp) -> OAuthAppView:
    """Return an app as it is shown."""
    return OAuthAppView.of(app, has_secret=app.secret is not None)
