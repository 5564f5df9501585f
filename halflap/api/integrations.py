"""Integrations and their versions: published, shown, rolled out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Annotated, Any

from fastapi import Query, Request, Response
from pydantic import create_model

from halflap.api.asking import (
    EDITED,
    LARGEST_NUMBER,
    USUAL_PAGE,
    After,
    Ops,
    PageSize,
    body_of,
    exact,
    expect,
    for_customers,
    needs,
    router_of,
)
from halflap.api.bulks import announced, bulk_view, named
from halflap.api.components import form, schema
from halflap.api.execution_view import BulkView
from halflap.api.operations import Operations
from halflap.api.operations.comparing import (
    ConfigField,
    FieldChange,
    FileChange,
    compare_configs,
    config_fields,
)
from halflap.api.operations.kinds import name_of
from halflap.api.operations.shared import Shown
from halflap.api.operations.upgrades import PauseRule, PlannedUpgrade
from halflap.api.part import KIND, OCTETS, WHOLE
from halflap.api.problem import documented
from halflap.api.view import (
    ExaminedInstanceView,
    FlowView,
    IntegrationView,
    ListPage,
    NumberedPage,
    Offer,
    OfferView,
    Published,
    SharedEndpointChange,
    SharedEndpointView,
    SharedSecret,
    SharedSecrets,
    UpgradeGroupView,
    UpgradeMany,
    UpgradePlan,
    VersionName,
    VersionSummary,
    VersionView,
    View,
)
from halflap.engine.library import WARNINGS
from halflap.errors import ConfigError, NotFound
from halflap.lowcode.outline import FlowChange, Outline
from halflap.model import Version
from halflap.sdk import codec
from halflap.sdk.integration import Flow, Integration
from halflap.store.catalogue.shared import missing
from halflap.store.retention import DAY

DEFAULT = "default"
MOST_COUNTED = 1_000
"""The most integrations whose failures are counted: those that have most."""
LARGEST_BUNDLE = 13 * 1024 * 1024

router = router_of("/api", "integrations")
bundle_body = {"requestBody": {"required": True, **OCTETS}}


class DiffView(View):
    """The difference of two versions."""

    before: VersionSummary
    after: VersionSummary
    files: list[FileChange]
    left_out: int
    """The number of files that differ beyond those that are listed."""
    flows: list[FlowChange] | None
    """None where the flows of a version cannot be read."""
    config: list[FieldChange] | None
    """None where a version does not load here."""


@router.get("/integrations")
@needs("read")
async def list_integrations(
    operations: Ops, after: After = None, limit: PageSize = USUAL_PAGE
) -> ListPage[IntegrationView]:
    """Integrations by name: their versions (newest first), who has them, how many executions failed."""
    versions = await operations.catalogue.versions.by_integration(after, limit)
    items = await integration_views(operations, versions)
    return ListPage(items=items, next=items[-1].name if len(items) == limit else None)


@router.get("/integrations/{integration}")
@needs("read")
async def get_integration(integration: str, operations: Ops) -> IntegrationView:
    """Return one integration, as it is listed."""
    versions = await operations.catalogue.versions.by_integration(only=integration)
    if not versions:
        raise NotFound(f"there is no integration {integration!r}; see: halflap integrations list")
    return (await integration_views(operations, versions))[0]


@router.get("/integrations/{integration}/versions")
@needs("read")
async def list_versions(
    integration: str,
    operations: Ops,
    before: Annotated[
        int | None, Query(ge=1, le=LARGEST_NUMBER, description="The `next` of the page before.")
    ] = None,
    limit: PageSize = USUAL_PAGE,
) -> NumberedPage[VersionSummary]:
    """The versions of an integration, newest first."""
    found = await operations.catalogue.versions.list(integration, before=before, limit=limit)
    if not found and before is None:
        raise NotFound(f"there is no integration {integration!r}; see: halflap integrations list")
    return NumberedPage(
        items=[VersionSummary.of(each) for each in found],
        next=found[-1].number if len(found) == limit else None,
    )


@router.get("/offers")
@for_customers
@needs("read")
async def list_offers(
    operations: Ops, after: After = None, limit: PageSize = USUAL_PAGE
) -> ListPage[OfferView]:
    """The integrations, by name, that customers may activate by themselves, at the offered version."""
    found = await operations.offers.list(after, limit)
    return ListPage(
        items=[await offer_view(operations, each) for each in found],
        next=found[-1].integration if len(found) == limit else None,
    )


@router.put("/integrations/{integration}/offer")
@needs("configure")
async def offer_integration(integration: str, offer: Offer, operations: Ops) -> OfferView:
    """Offer a version to customers: their tokens may activate it, and no other."""
    version = await operations.offers.put(integration, offer.version)
    return await offer_view(operations, version)


@router.delete("/integrations/{integration}/offer", status_code=204)
@needs("configure")
async def withdraw_integration(integration: str, operations: Ops) -> None:
    """Offer an integration no longer; what is activated stays."""
    await operations.offers.withdraw(integration)


@router.get("/integrations/{integration}/diff")
@needs("read")
async def compare_versions(
    integration: str,
    operations: Ops,
    before: Annotated[
        str, Query(alias="from", description="The older version: a number, a hash or a target.")
    ],
    after: Annotated[str, Query(alias="to", description="The newer version.")],
) -> DiffView:
    """Compare two versions: their files, their flows and steps, and what their configs ask for."""
    old, new = [await operations.versions.get(integration, each) for each in (before, after)]
    fields: list[Mapping[str, ConfigField]] = []
    for each in (old, new):
        loaded, _ = await operations.versions.load(each.hash)
        if loaded is not None:
            kinds = {name: name_of(kind) for name, kind in loaded.connections().items()}
            fields.append(config_fields(form_of(loaded), kinds))
    return DiffView.of(
        await operations.versions.compare(old, new),
        before=old,
        after=new,
        config=list(compare_configs(*fields)) if len(fields) == 2 else None,
    )


@router.get("/integrations/{integration}/versions/{version}")
@needs("read")
async def get_version(integration: str, version: str, operations: Ops) -> VersionView:
    """A version in full, by number, hash or target: its flows, its config, its files."""
    return await version_view(operations, await operations.versions.get(integration, version))


@router.get("/integrations/{integration}/versions/{version}/outline")
@needs("read")
async def get_outline(integration: str, version: str, operations: Ops) -> Outline:
    """Return a version's flows as a tree of steps, branches and loops; none of it is run.

    It is read from the sources, or the document, that were published with the version.
    """
    found = await operations.versions.get(integration, version)
    return await operations.versions.outline(found.hash)


@router.get(
    "/integrations/{integration}/versions/{version}/bundle",
    response_class=Response,
    responses=WHOLE,
)
@needs("read")
async def get_bundle(integration: str, version: str, operations: Ops) -> Response:
    """A version's bundle as it was published, as bytes."""
    found = await operations.versions.get(integration, version)
    data = await operations.catalogue.versions.bundle(found.hash)
    return Response(data, media_type=KIND)


@router.post(
    "/versions", status_code=201, openapi_extra=bundle_body, responses=documented(412, 413)
)
@needs("publish")
async def publish_version(
    request: Request,
    operations: Ops,
    target: Annotated[
        str, Query(description="The target to point at it; empty for none.", max_length=40)
    ] = "dev",
    expect: Annotated[
        str | None, Query(description="The hash that you last saw there.", max_length=64)
    ] = None,
    note: Annotated[str, Query(max_length=2_000)] = "",
    overwrite: bool = False,
) -> Published:
    """Publish a bundle, and point a target at it, unless that has another version than you `expect`.

    Then it is 412 (`OvertakenVersion`), with the difference between that version and the bundle, and
    nothing is published. Without `expect`, the target has to have none yet.
    """
    version = await operations.versions.publish(
        await body_of(request, LARGEST_BUNDLE),
        target=target or None,
        expect=expect or None,
        note=note,
        overwrite=overwrite,
        by=operations.acting(""),
    )
    return Published.of(version)


@router.post(
    "/integrations/{integration}/upgrade",
    status_code=201,
    response_model=BulkView,
    responses={
        200: {"model": UpgradePlan, "description": "What it would do, with `dry_run`"},
    },
)
@needs("configure")
async def upgrade_instances(
    integration: str, draft: UpgradeMany, request: Request, operations: Ops
) -> Response:
    """Move all instances that are on another version: a bulk, in stages, with a way back."""
    bulks = operations.bulks
    version = await operations.versions.get(integration, draft.version)
    stay = [(await operations.versions.get(integration, each)).hash for each in draft.stay]
    which = await bulks.upgrades.which(
        integration, version, draft.customer, stay, draft.instances, draft.leave_out
    )
    how = (draft.stages, draft.most_failed, draft.between)
    config = draft.config
    if strange := set(config) - {*await operations.instances.plain(version, config)}:
        wrong = dict.fromkeys((f"config.{each}" for each in strange), "is no plain field of it")
        raise ConfigError(f"config: version {draft.version} has no {min(strange)!r}", fields=wrong)
    rule = draft.pause_on and PauseRule.of(draft.pause_on.failed, draft.pause_on.of)
    if draft.dry_run:
        which = replace(which, named=draft.named)
        plan = await bulks.upgrades.plan(which, version, how, draft.canary, config)
        return exact(await plan_view(operations, version, plan))
    canary = [each.id for each in await bulks.upgrades.canary(which, version, draft.canary, config)]
    more: dict[str, Any] = {"version": version.hash}
    if config:
        more["config"] = codec.encode(config).decode()
    if rule is not None:
        more |= {"pause_on": asdict(rule), "seen": {"ended": 0, "failed": 0}}
    id = announced(request, operations)
    begun = await bulks.begin_upgrade(id, which, *how, canary=canary, **more)
    return exact(bulk_view(begun), 201)


async def plan_view(operations: Operations, version: Version, plan: PlannedUpgrade) -> UpgradePlan:
    """A plan of an upgrade as it is shown."""
    found = [each.instance for each in plan.examined]
    names = await named(operations, [*found, *plan.canary])
    return UpgradePlan(
        version=VersionName.of(version),
        total=plan.total,
        stages=[*plan.stages],
        ready=plan.ready,
        instances=[
            ExaminedInstanceView.of(
                names[each.instance.id],
                why=each.why,
                fields=each.fields,
                given=each.given,
                defaults=each.defaults,
            )
            for each in plan.examined
        ],
        blocked=[
            UpgradeGroupView.of(each, instances=[names[one.id] for one in each.instances])
            for each in plan.blocked
        ],
        canary=[names[each.id] for each in plan.canary],
        asked=plan.asked,
    )


@router.get("/integrations/{integration}/endpoints")
@needs("read")
async def list_shared_endpoints(integration: str, operations: Ops) -> list[SharedEndpointView]:
    """The URLs of an integration that all its customers share, by flow."""
    return [endpoint_view(each) for each in await operations.shared.list(integration)]


@router.get("/integrations/{integration}/endpoints/{flow}")
@needs("read")
async def get_shared_endpoint(integration: str, flow: str, operations: Ops) -> SharedEndpointView:
    """A URL of an integration that all its customers share, by its flow."""
    found = await operations.shared.get(integration, flow)
    return await shown_endpoint(operations, found.endpoint.id)


@router.patch("/integrations/{integration}/endpoints/{flow}")
@needs("configure")
async def change_shared_endpoint(
    integration: str, flow: str, change: SharedEndpointChange, operations: Ops
) -> SharedEndpointView:
    """Pick the version that runs what comes in at a shared URL."""
    found = await operations.shared.get(integration, flow)
    expect("endpoint", found.endpoint.id)
    if change.version is not None:
        named = None if change.version == DEFAULT else change.version
        found = await operations.shared.pick(found, named)
    return await shown_endpoint(operations, found.endpoint.id)


@router.get("/integrations/{integration}/endpoints/{flow}/secret")
@needs("secrets")
async def get_shared_secret(integration: str, flow: str, operations: Ops) -> SharedSecrets:
    """Return the secret with which the app signs at a shared URL, to be set there."""
    return await secrets_view(operations, await operations.shared.get(integration, flow))


@router.post("/integrations/{integration}/endpoints/{flow}/secret")
@needs("configure", "secrets")
async def set_shared_secret(
    integration: str, flow: str, draft: SharedSecret, operations: Ops
) -> SharedSecrets:
    """Change the secret of a shared URL; what was signed with the former is taken for a day."""
    found = await operations.shared.get(integration, flow)
    expect("endpoint", found.endpoint.id)
    given = None if draft.secret is None else draft.secret.get_secret_value()
    await operations.shared.set_secret(found, given)
    return await secrets_view(operations, found)


async def secrets_view(operations: Operations, shown: Shown) -> SharedSecrets:
    """The secrets of a shared endpoint, in the clear."""
    secret, *former = await operations.shared.secrets(shown)
    return SharedSecrets(secret=secret, former=former[0] if former else None)


async def shown_endpoint(operations: Operations, id: str) -> SharedEndpointView:
    """A shared endpoint, by its id."""
    tag = await operations.catalogue.tag("endpoint", id)
    endpoint = await operations.catalogue.shared.find(id)
    if endpoint is None:
        raise missing()
    found = await operations.shared.get(endpoint.integration, endpoint.flow)
    return endpoint_view(found).with_tag(tag)


EDITED["endpoint"] = shown_endpoint


def endpoint_view(shown: Shown) -> SharedEndpointView:
    """A shared endpoint as it is shown."""
    endpoint = shown.endpoint
    return SharedEndpointView.of(shown, flow=endpoint.flow, picked=endpoint.version is not None)


async def version_view(operations: Operations, version: Version) -> VersionView:
    """A version in full; one that does not load here shows its files, and why."""
    entry, files = await operations.versions.files(version.hash)
    loaded, error = await operations.versions.load(version.hash)
    team = await operations.oauth_apps.components()
    kinds = loaded.connections().items() if loaded else ()
    return VersionView.of(
        version,
        title=loaded.title if loaded else version.integration,
        description=loaded.description if loaded else "",
        flows=[flow_view(each) for each in loaded.flows.values()] if loaded else [],
        config=form_of(loaded) if loaded else {},
        connections={field: name_of(kind) for field, kind in kinds},
        forms={field: form(kind, team=name_of(kind) in team) for field, kind in kinds},
        entry=entry,
        files=files,
        error=error,
        warnings=WARNINGS.get(version.hash, []),
    )


async def offer_view(operations: Operations, version: Version) -> OfferView:
    """An offered version, with the forms that a customer fills in."""
    whole = await version_view(operations, version)
    return OfferView.of(whole, version=version)


async def integration_views(
    operations: Operations, versions: Mapping[str, Sequence[Version]]
) -> list[IntegrationView]:
    """The integrations of these versions as they are listed."""
    catalogue = operations.catalogue
    targets = await catalogue.versions.all_targets()
    counts = await catalogue.instances.by_version(
        next(iter(versions)) if len(versions) == 1 else None
    )
    failed = await operations.stats.failed_since(operations.store.clock() - DAY, MOST_COUNTED)
    found: list[IntegrationView] = []
    for name, some in versions.items():
        loaded, _ = await operations.versions.load(some[0].hash)
        found.append(
            IntegrationView(
                name=name,
                title=name if loaded is None else loaded.title,
                versions=[VersionSummary.of(each) for each in some],
                targets=targets.get(name, {}),
                instances=counts.get(name, {}),
                components=[] if loaded is None else components_of(loaded),
                failed_24h=failed.get(name, 0),
            )
        )
    return found


def components_of(integration: Integration[Any]) -> list[str]:
    """Return the components of an integration's triggers, then of its connections; each once."""
    triggers = [each.trigger.name.partition(".")[0] for each in integration.flows.values()]
    kinds = map(name_of, integration.connections().values())
    return list(dict.fromkeys(each for each in (*triggers, *kinds) if each != "instance"))


def form_of(integration: Integration[Any]) -> dict[str, Any]:
    """The config's plain fields as JSON Schema; of what has none, that it may be anything."""
    return schema(lambda: config_schema(integration))


def flow_view(flow: Flow[Any, Any, Any]) -> FlowView:
    """A flow as it is shown."""
    trigger = flow.trigger
    usual = {each.name: each.default for each in trigger.trigger.shape.inputs}
    given = [(name, each) for name, each in trigger.inputs.items() if each != usual[name]]
    return FlowView.of(
        flow,
        trigger=trigger.name,
        inputs={name: written(each) for name, each in given},
        subscribes=trigger.subscribes,
        shared=flow.is_shared,
    )


def written(value: Any) -> str:
    """Return an input as it is shown: texts without quotes."""
    match value:
        case str():
            return value
        case [str(), *_] if all(isinstance(each, str) for each in value):
            return ", ".join(value)
        case _:
            return repr(value)


def config_schema(integration: Integration[Any]) -> dict[str, Any]:
    """The config's plain fields as JSON Schema: the form."""
    connections = integration.connections()
    fields: dict[str, Any] = {
        name: (field.annotation, field)
        for name, field in integration.config.model_fields.items()
        if name not in connections
    }
    made = create_model("Config", __doc__=integration.config.__doc__, **fields)
    return made.model_json_schema()
