"""The team's own OAuth apps, one per component: what customers sign in through."""

from __future__ import annotations

from halflap.api.asking import USUAL_PAGE, Before, Ops, PageSize, last_id, needs, router_of
from halflap.api.operations import Operations
from halflap.api.view import ListPage, OAuthAppDraft, OAuthAppView, RoutedEvent, UnroutedEventView
from halflap.model import OAuthApp

router = router_of("/api/oauth-apps", "connections")


@router.get("")
@needs("admin")
async def list_oauth_apps(operations: Ops) -> list[OAuthAppView]:
    """The team's own OAuth apps, by component."""
    return [await app_view(operations, e) for e in await operations.oauth_apps.apps.list()]


@router.put("/{component}")
@needs("admin")
async def put_oauth_app(component: str, draft: OAuthAppDraft, operations: Ops) -> OAuthAppView:
    """Store the team's own OAuth app for a component, for connections that give no client id."""
    secret = None if draft.client_secret is None else draft.client_secret.get_secret_value()
    stored = await operations.oauth_apps.put(
        component,
        draft.client_id,
        secret,
        draft.callback or "",
        draft.origins,
        None if draft.signing_secret is None else draft.signing_secret.get_secret_value(),
    )
    return await app_view(operations, stored)


@router.delete("/{component}", status_code=204)
@needs("admin")
async def remove_oauth_app(component: str, operations: Ops) -> None:
    """Remove the team's own OAuth app; connections that use it have to be given a client id."""
    await operations.oauth_apps.apps.remove(component)


@router.get("/{component}/unrouted")
@needs("read")
async def list_unrouted_events(
    component: str, operations: Ops, before: Before = None, limit: PageSize = USUAL_PAGE
) -> ListPage[UnroutedEventView]:
    """Events that came to the URL of an OAuth app and no flow took, newest first.

    The newest 100 of an account and 1,000 of an app are kept, for a week.
    """
    found = await operations.oauth_apps.unrouted.list(component, before=before, limit=limit)
    items = [UnroutedEventView.of(each) for each in found]
    return ListPage(items=items, next=last_id(found, limit))


@router.post("/{component}/unrouted/{event}/replay")
@needs("operate")
async def replay_unrouted_event(component: str, event: str, operations: Ops) -> RoutedEvent:
    """Hand an unrouted event to the flows that take it by now; 409 where there is still none."""
    return RoutedEvent(started=await operations.oauth_apps.replay(component, event))


@router.delete("/{component}/unrouted/{event}", status_code=204)
@needs("operate")
async def remove_unrouted_event(component: str, event: str, operations: Ops) -> None:
    """Remove an unrouted event that nobody is to take."""
    await operations.oauth_apps.unrouted.remove(component, event)


async def app_view(operations: Operations, app: OAuthApp) -> OAuthAppView:
    """Return an app as it is shown."""
    url = await operations.oauth_apps.url(app)
    return OAuthAppView.of(app, has_secret=app.secret is not None, url=url)
