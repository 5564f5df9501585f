"""The development instance of a draft's integration: where the draft runs with real effects."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from pydantic import StringConstraints

from halflap.api.asking import USUAL_PAGE, Ops, PageSize, needs, router_of
from halflap.api.drafts import AddressText, OneDraft, Revision, address
from halflap.api.instances import summaries
from halflap.api.operations import Operations
from halflap.api.operations.development import TARGET
from halflap.api.problem import documented
from halflap.api.view import ChoicesView, Input, InstanceSummary, Text, VersionName, View
from halflap.model import DEVELOPMENT

router = router_of("/api/drafts", "drafts")


class DevelopmentUpdate(Input):
    """A draft that the development instance is to run; it is published for that."""

    expect: Annotated[str, StringConstraints(max_length=64)] | None = None
    """The hash of the newest version that you have seen; without it, that of the draft's base."""
    note: Text = ""


class DevelopmentView(View):
    """The development instance of a draft's integration."""

    customer: str
    """The customer that has it, by id; it is there from the first update on."""
    version: VersionName | None
    """The version that was published for it last: that of the target `development`."""
    instance: InstanceSummary | None
    """Null where it is not made yet."""
    urls: dict[str, str]
    """Its endpoints, by flow."""
    is_current: bool
    """It is on a version that is the draft as it is now."""
    lacks: dict[str, str]
    """By field of its config, what keeps it from running the draft with real effects."""


@router.get("/{draft}/development")
@needs("read")
async def get_development(draft: str, operations: Ops) -> DevelopmentView:
    """The development instance of a draft's integration, and whether it can run the draft."""
    return await development_view(operations, draft, {})


@router.post("/{draft}/development", responses=documented(412))
@needs("publish", "configure")
async def update_development(
    draft: str, wanted: DevelopmentUpdate, operations: Ops, if_match: Revision
) -> DevelopmentView:
    """Publish a draft at the revision of `If-Match`, and have the development instance run it.

    The version is that of the target `development`; 412 where the newest one is another than the base, as
    `publish` says. The instance is made and activated, or upgraded. Where its config is not complete,
    `lacks` says what is wrong: make it with `POST /api/instances`, for this `customer`, or upgrade it.
    """
    wrong = await operations.development.update(
        draft, if_match, expect=wanted.expect, note=wanted.note
    )
    return await development_view(operations, draft, wrong)


@router.get("/{draft}/choices", responses=documented(502))
@needs("publish", "configure")
async def list_draft_choices(
    opened: OneDraft,
    operations: Ops,
    path: AddressText,
    search: Annotated[str, Query(max_length=500)] = "",
    cursor: Annotated[
        str | None, Query(max_length=2_000, description="The `next` of the page before.")
    ] = None,
    limit: PageSize = USUAL_PAGE,
) -> ChoicesView:
    """List the choices of an input of a step's action, with the development instance's connection."""
    found = await operations.development.choices(
        opened, tuple(address(path)), search, cursor, limit
    )
    return ChoicesView.of(found)


async def development_view(
    operations: Operations, draft: str, wrong: dict[str, str]
) -> DevelopmentView:
    """Return the development instance of a draft's integration, beside what is known to be wrong."""
    opened = await operations.drafts.get(draft)
    development, integration = operations.development, opened.stored.integration
    target = await operations.catalogue.versions.target(integration, TARGET)
    version = None if target is None else VersionName(hash=target.hash, number=target.number)
    instance = await operations.instances.development(integration)
    if instance is None:
        return DevelopmentView(
            customer=DEVELOPMENT,
            version=version,
            instance=None,
            urls={},
            is_current=False,
            lacks=wrong,
        )
    [summary] = await summaries(operations, [instance])
    detail = await operations.instances.detail(instance)
    return DevelopmentView(
        customer=DEVELOPMENT,
        version=version,
        instance=summary,
        urls=detail["urls"],
        is_current=await development.is_current(opened, instance),
        lacks={**await development.lacks(opened, instance), **wrong},
    )
