"""The team's own OAuth apps, one per component: what customers sign in through."""

from __future__ import annotations

from fastapi import Response

from halflap.api.asking import Ops, needs, router_of
from halflap.api.problem import documented
from halflap.api.view import OAuthAppDraft, OAuthAppView
from halflap.model import OAuthApp

router = router_of("/api/oauth-apps", "connections")


@router.get("")
@needs("admin")
async def list_oauth_apps(operations: Ops) -> list[OAuthAppView]:
    """The team's own OAuth apps, by component."""
    return [app_view(each) for each in await operations.oauth_apps.apps.list()]


@router.put("/{component}", responses=documented(404))
@needs("admin")
async def put_oauth_app(component: str, draft: OAuthAppDraft, operations: Ops) -> OAuthAppView:
    """Store the team's own OAuth app for a component, for connections that give no client id."""
    secret = None if draft.client_secret is None else draft.client_secret.get_secret_value()
    stored = await operations.oauth_apps.put(
        component, draft.client_id, secret, draft.callback or "", draft.origins
    )
    return app_view(stored)


@router.delete("/{component}", status_code=204, responses=documented(404))
@needs("admin")
async def remove_oauth_app(component: str, operations: Ops) -> Response:
    """Remove the team's own OAuth app; connections that use it have to be given a client id."""
    await operations.oauth_apps.apps.remove(component)
    return Response(status_code=204)


def app_view(app: OAuthApp) -> OAuthAppView:
    """Return an app as it is shown."""
    return OAuthAppView.of(app, has_secret=app.secret is not None)
