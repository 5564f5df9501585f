"""Component sets: a project's own components, sent to the server for drafts."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request

from halflap.api.asking import (
    USUAL_PAGE,
    Before,
    Ops,
    PageSize,
    body_of,
    last_id,
    needs,
    router_of,
)
from halflap.api.draft_view import ComponentSetRow, ComponentSetView, PinningDraft
from halflap.api.integrations import LARGEST_BUNDLE, bundle_body
from halflap.api.problem import documented
from halflap.api.view import ListPage

router = router_of("/api/component-sets", "drafts")


@router.get("")
@needs("read")
async def list_component_sets(
    operations: Ops, name: str | None = None, before: Before = None, limit: PageSize = USUAL_PAGE
) -> ListPage[ComponentSetRow]:
    """Component sets, newest first, each with the drafts that use it."""
    found = await operations.catalogue.component_sets.list(name, before=before, limit=limit)
    pinning = await operations.drafts.drafts.pinning(each.id for each in found)
    items = [
        ComponentSetRow.of(
            each, drafts=[PinningDraft(id=id, integration=of) for id, of in pinning[each.id]]
        )
        for each in found
    ]
    return ListPage(items=items, next=last_id(found, limit))


@router.post("", status_code=201, openapi_extra=bundle_body, responses=documented(413))
@needs("publish")
async def publish_component_set(
    request: Request,
    operations: Ops,
    name: Annotated[str, Query(max_length=40, pattern=r"^[a-z][a-z0-9_-]*$")],
) -> ComponentSetView:
    """Store a bundle of components that load here, as the next set of a name.

    Where the newest of that name has the same contents, that one is returned.
    """
    data = await body_of(request, LARGEST_BUNDLE)
    by = operations.acting("")
    return ComponentSetView.of(await operations.drafts.publish_components(name, data, by))


@router.delete("/{component_set}", status_code=204)
@needs("publish")
async def delete_component_set(component_set: str, operations: Ops) -> None:
    """Delete a component set that no draft pins, by its id."""
    await operations.catalogue.component_sets.remove(component_set)
