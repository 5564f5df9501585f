"""Instances: configured, activated, upgraded, disabled, removed; and what was refused or counted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, cast, get_args

from fastapi import Query

from halflap.api.asking import (
    EDITED,
    USUAL_PAGE,
    After,
    OneInstance,
    Ops,
    PageSize,
    Search,
    Total,
    Wait,
    Whose,
    check_payload,
    chosen,
    for_customers,
    last_id,
    needs,
    router_of,
    visible,
)
from halflap.api.executions import version_of
from halflap.api.operations import Operations
from halflap.api.operations.health import SubscriptionCheck
from halflap.api.operations.instances import ExampleRequest
from halflap.api.operations.receivers import troubles_of
from halflap.api.recorded import moment
from halflap.api.view import (
    CatchUpView,
    ConfigDraft,
    CountedPage,
    InstanceChange,
    InstanceDraft,
    InstanceHealth,
    InstanceListener,
    InstanceSummary,
    InstanceView,
    ListenerDecision,
    ListenerView,
    ListPage,
    NumberedPage,
    PairView,
    RepetitionView,
    RetentionView,
    RevisionView,
    Rotated,
    Rotation,
    SubscriptionView,
    Upgrade,
    VersionName,
    pause_view,
    rfc3339,
)
from halflap.errors import ConfigError, Conflict
from halflap.model import (
    BETWEEN,
    LIVE,
    PARKED,
    RECEIVERS,
    Instance,
    InstanceState,
    Retention,
    to_datetime,
)
from halflap.store.catalogue.instances import InstanceFilter
from halflap.store.protocol import Filter
from halflap.store.shards import PROCESS, ListenerShard, ShardState, present

MOST_HEALTHS = 200
MOST_POSITION = 60

router = router_of("/api", "instances")

HIDDEN_ERROR = "its last move failed; the execution `deployment` says of what kind of error"


@router.get("/instances")
@for_customers
@needs("read")
async def list_instances(
    operations: Ops,
    customer: Whose = None,
    integration: str | None = None,
    version: Annotated[
        str | None,
        Query(description="A version's hash; of an `integration`, its number or target."),
    ] = None,
    state: Annotated[str, Query(description="One state, or several by commas.")] = "",
    paused: Annotated[
        bool,
        Query(description="Only those that are paused: with their customer, or a flow of them."),
    ] = False,
    q: Search = None,
    after: After = None,
    limit: PageSize = USUAL_PAGE,
    total: Total = False,
) -> CountedPage[InstanceSummary]:
    """Instances, oldest first."""
    catalogue = operations.catalogue
    holders = {each.holder for each in await operations.journal.paused()} if paused else None
    which = InstanceFilter(
        customer=None if customer is None else (await catalogue.customers.get(customer)).id,
        integration=integration,
        version=await version_of(operations, integration, version),
        states=chosen(state, get_args(InstanceState)),
        q=q,
        holders=None if holders is None else tuple(holders),
    )
    found = await catalogue.instances.list(which, after=after, limit=limit)
    return CountedPage(
        items=await summaries(operations, found),
        next=last_id(found, limit),
        total=await catalogue.instances.number(which) if total else None,
    )


@router.get("/instances/health")
@for_customers
@needs("read")
async def get_health(
    operations: Ops,
    instance: Annotated[list[str], Query(max_length=MOST_HEALTHS, description="Their ids.")],
) -> list[InstanceHealth]:
    """Count what failed of instances in a day, and what waits, and say when one last succeeded."""
    some = await operations.catalogue.instances.some(instance)
    for each in instance:
        if each not in some:
            raise operations.catalogue.instances.missing(each)
    return [InstanceHealth.of(await operations.healths.of(each)) for each in some.values()]


@router.post("/instances", status_code=201)
@for_customers
@needs("configure")
async def add_instance(draft: InstanceDraft, operations: Ops) -> InstanceView:
    """Make an instance: an integration, configured for a customer."""
    instance = await operations.instances.add(
        draft.customer,
        draft.integration,
        draft.config,
        draft.connections,
        name=draft.name,
        version=draft.version,
        target=draft.target,
    )
    return await shown(operations, instance.id)


@router.get("/instances/{instance}")
@for_customers
@needs("read")
async def get_instance(found: OneInstance, operations: Ops) -> InstanceView:
    """An instance in full, by id or name."""
    return await shown(operations, found.id)


@router.get("/instances/{instance}/revisions")
@for_customers
@needs("read")
async def list_revisions(
    found: OneInstance,
    operations: Ops,
    before: Annotated[
        int | None, Query(ge=1, le=10**9, description="The `next` of the page before.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> NumberedPage[RevisionView]:
    """The revisions of an instance's config, newest first; executions keep the one they began with."""
    revisions = await operations.catalogue.instances.revisions(found.id, before, limit)
    views = [
        RevisionView(number=number, config=config, connections=links, made_at=rfc3339(at))
        for number, config, links, at in revisions
    ]
    next = revisions[-1][0] if len(revisions) == limit else None
    return await visible(operations, NumberedPage(items=views, next=next), found.customer)


@router.get("/instances/{instance}/subscriptions")
@for_customers
@needs("operate", audited="no")
async def check_subscriptions(found: OneInstance, operations: Ops) -> list[SubscriptionCheck]:
    """Ask the apps whether the webhooks that an instance made are still there."""
    return await operations.healths.check(found)


@router.get("/instances/{instance}/listeners")
@for_customers
@needs("read")
async def list_listeners(found: OneInstance, operations: Ops) -> ListPage[ListenerView]:
    """List what an instance's flows listen to: its state, up to where it is read, by which process.

    By flow and shard, all of them: there is no next page.
    """
    shards = present(await operations.journal.shards.list(found.id))
    page = ListPage(items=[listener_view(each) for each in shards], next=None)
    return await visible(operations, page, found.customer)


@router.post("/instances/{instance}/listeners/{flow}")
@for_customers
@needs("operate")
async def decide_listener(
    found: OneInstance, flow: str, draft: ListenerDecision, operations: Ops
) -> ListPage[ListenerView]:
    """Have a stopped listener read on from where a person decides; `conflict` where it is not stopped."""
    if draft.cursor is not None and draft.start != "cursor":
        raise ConfigError("a cursor is given together with start: cursor")
    start = "" if draft.start == "cursor" else draft.start
    shards = operations.journal.shards
    if not await shards.decide(found.id, flow, draft.shard, start, draft.cursor):
        which = f" {draft.shard}" if draft.shard else ""
        raise Conflict(f"no listener {flow}{which} of {found.name} waits for a person's decision")
    return await list_listeners(found, operations)


@router.get("/listeners")
@needs("read")
async def list_all_listeners(
    operations: Ops,
    state: Annotated[str, Query(description="One state, or several by commas.")] = "parked,stopped",
    customer: str | None = None,
    after: After = None,
    limit: PageSize = USUAL_PAGE,
) -> ListPage[InstanceListener]:
    """List listeners that stand still, or are in other states, and why: of a customer, or of all.

    By instance, flow and shard.
    """
    owner = None if customer is None else (await operations.catalogue.customers.get(customer)).id
    states = chosen(state, get_args(ShardState))
    place = ["", "", "", ""] if after is None else after.split(" ", 3)
    if len(place) != 4:
        raise ConfigError(f"{after!r} is no `next` of a page", fields={"after": "is none"})
    found = await operations.journal.shards.page(states, place, limit, owner)
    next = " ".join(found[-1].key.parts) if len(found) == limit else None
    owners = await operations.catalogue.instances.some(each.key.instance for each in found)
    names = await operations.catalogue.customers.names(each.customer for each in owners.values())
    hidden = await operations.hidden_payloads()
    items: list[InstanceListener] = []
    for each in found:
        owner = owners.get(each.key.instance)
        view = InstanceListener.of(
            listener_view(each),
            instance=each.key.instance,
            instance_name=owner and owner.name,
            customer=owner and owner.customer,
            customer_name=owner and names.get(owner.customer),
        )
        items.append(view.without_payload() if owner and owner.customer in hidden else view)
    return ListPage(items=items, next=next)


@router.delete("/instances/{instance}", status_code=204)
@for_customers
@needs("configure")
async def remove_instance(found: OneInstance, operations: Ops) -> None:
    """Remove an instance that is disabled, or was never activated."""
    await operations.deployer.remove(found.id)


@router.put("/instances/{instance}/config")
@for_customers
@needs("configure")
async def configure_instance(
    found: OneInstance, draft: ConfigDraft, operations: Ops, wait: Wait = 0
) -> InstanceView:
    """Give an instance another config, in place of the one that it has.

    New events run with it. Where an active instance's triggers subscribe with what changed, or it has
    a deploy flow, it is deployed with the config: events wait meanwhile, and if that fails, the
    instance has its former config again.
    """
    moved = await operations.instances.configure(found, draft.config, draft.connections)
    return await settled(operations, moved, wait)


@router.patch("/instances/{instance}")
@for_customers
@needs("configure")
async def change_instance(
    found: OneInstance, change: InstanceChange, operations: Ops, wait: Wait = 0
) -> InstanceView:
    """Change an instance: what is left out stays, null clears a field of its config.

    A changed config is deployed where it has to be, as `configure_instance` does.
    """
    moved = await operations.instances.change(found, change.name, change.config, change.connections)
    return await settled(operations, moved, wait)


@router.get("/instances/{instance}/secrets")
@for_customers
@needs("secrets")
async def get_endpoint_secrets(found: OneInstance, operations: Ops) -> dict[str, str]:
    """By flow, the secret that senders to its URL sign with: made by us, to be set at the app."""
    return await operations.instances.secrets(found)


@router.get("/instances/{instance}/endpoints/{flow}/example")
@for_customers
@needs("secrets")
async def get_endpoint_example(found: OneInstance, flow: str, operations: Ops) -> ExampleRequest:
    """Return a request that a flow's URL takes: with a made-up event, signed with its secret."""
    now = to_datetime(operations.store.clock())
    return await operations.instances.example(found, flow, now)


@router.post("/instances/{instance}/secrets/{flow}")
@for_customers
@needs("configure", "secrets")
async def rotate_endpoint_secret(
    found: OneInstance, flow: str, operations: Ops, draft: Rotation | None = None
) -> Rotated:
    """Give a flow's URL another secret; what was signed with the former is taken for a while.

    It is made, or the sender's own: a public key, say, of Standard Webhooks (`whpk_…`).
    """
    wanted = draft or Rotation()
    grace = wanted.grace_seconds
    given = None if wanted.secret is None else wanted.secret.get_secret_value()
    secret, told = await operations.instances.rotate(found, flow, grace * 1_000_000, given)
    until = rfc3339(operations.store.clock() + grace * 1_000_000)
    return Rotated(flow=flow, secret=secret, former_until=until, redeploys=told)


@router.post("/instances/{instance}/activate")
@for_customers
@needs("configure")
async def activate_instance(
    found: OneInstance,
    operations: Ops,
    wait: Wait = 0,
    catch_up: Annotated[
        bool, Query(description="Then ask the triggers that can for what was missed.")
    ] = False,
    since: Annotated[
        str | None, Query(description="Since when; since it was disabled, where left out.")
    ] = None,
) -> InstanceView:
    """Run the deploy flow, subscribe the triggers, then let events run."""
    if not catch_up:
        return await settled(operations, await operations.instances.activate(found), wait)
    missed = await operations.instances.missed(found, moment("since", since))
    moved = await operations.instances.activate(found, missed.since)
    return await settled(operations, moved, wait, CatchUpView.of(missed))


@router.post("/instances/{instance}/redeploy")
@for_customers
@needs("configure")
async def redeploy_instance(found: OneInstance, operations: Ops, wait: Wait = 0) -> InstanceView:
    """Activate it again, after a failure or a change of its config; nothing is made twice."""
    return await settled(operations, await operations.instances.activate(found), wait)


@router.post("/instances/{instance}/disable")
@for_customers
@needs("configure")
async def disable_instance(
    found: OneInstance,
    operations: Ops,
    wait: Wait = 0,
    abandon: Annotated[
        bool, Query(description="Leave behind what cannot be taken down, and note the reason.")
    ] = False,
) -> InstanceView:
    """Close its URLs, let running executions end, and take down what it made at apps."""
    if found.integration == RECEIVERS:
        raise Conflict(
            "this is a receiver, for which a disabled instance would keep no events: disable it as one: "
            f"halflap receivers disable {found.id}, or POST /api/receivers/{found.id}/disable"
        )
    moved = await operations.deployer.disable(found.id, abandon=abandon)
    return await settled(operations, moved, wait)


@router.post("/instances/{instance}/upgrade")
@needs("configure")
async def upgrade_instance(
    found: OneInstance, draft: Upgrade, operations: Ops, wait: Wait = 0
) -> InstanceView:
    """Move it to another version, with the config that this one needs; executions keep theirs."""
    version = await operations.versions.get(found.integration, draft.version)
    moved = await operations.instances.upgrade(found, version, draft.config, draft.connections)
    return await settled(operations, moved, wait)


@router.put("/instances/{instance}/retention")
@needs("admin")
async def retain_instance(
    found: OneInstance, retention: RetentionView, operations: Ops
) -> InstanceView:
    """Say for how long what ends of an instance is kept, in place of what it said before."""
    await operations.retentions.put(found.id, Retention(**retention.model_dump()))
    return await shown(operations, found.id)


@router.get("/instances/{instance}/pairs")
@for_customers
@needs("payloads")
async def list_pairs(
    found: OneInstance,
    operations: Ops,
    pairs: Annotated[str | None, Query(description="Their name in the integration.")] = None,
    id: Annotated[str | None, Query(description="Only those of the record with this id.")] = None,
    side: Annotated[str | None, Query(description="The side that has the `id`; any else.")] = None,
    after: Annotated[str | None, Query(description="The `next` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 200,
) -> ListPage[PairView]:
    """List the pairs of records, as the instance's flows have made them, by the ids of one side."""
    await check_payload(operations, found.customer)
    if id is None:
        page, next = await operations.pairs.list(found, pairs, after, limit)
    else:
        page, next = await operations.pairs.find(found, pairs, id, side), None
    shown = [PairView(pairs=each.pairs.name, ids=dict(each.ids)) for each in page]
    return ListPage(items=shown, next=next)


@router.delete("/instances/{instance}/pairs/{pairs}")
@for_customers
@needs("operate", "payloads")
async def forget_pair(
    found: OneInstance,
    pairs: str,
    operations: Ops,
    id: Annotated[str, Query(min_length=1, description="The id of one of its records.")],
    side: Annotated[str | None, Query(description="The side that has the `id`; any else.")] = None,
) -> PairView:
    """Forget that two records belong together, and say which; the records stay as they are."""
    await check_payload(operations, found.customer)
    gone = await operations.pairs.forget(found, pairs, id, side)
    return PairView(pairs=gone.pairs.name, ids=dict(gone.ids))


@router.get("/counters")
@for_customers
@needs("read")
async def get_counters(
    instance: str, operations: Ops, customer: Whose = None
) -> dict[str, dict[str, int]]:
    """By flow, how often came what is counted and not kept: filtered events, handshakes."""
    found = await operations.instances.find(instance, customer)
    return await operations.catalogue.counters.of(found.id)


async def settled(
    operations: Operations, instance: Instance, wait: float, catch_up: CatchUpView | None = None
) -> InstanceView:
    """An instance in full, once it is settled or the wait is over."""
    if wait:
        await operations.deployer.settled(instance.id, wait)
    return await shown(operations, instance.id, catch_up)


async def shown(
    operations: Operations, id: str, catch_up: CatchUpView | None = None
) -> InstanceView:
    """An instance in full, by its id."""
    tag = await operations.catalogue.tag("instance", id)
    instance = await operations.catalogue.instances.get(id)
    [summary] = await summaries(operations, [instance])
    retentions, detail = operations.retentions, await operations.instances.detail(instance)
    errors = await operations.healths.renewal_errors(detail["subscriptions"])
    detail["subscriptions"] = [
        SubscriptionView.of(each, renewal_error=errors.get(each.flow, ""))
        for each in detail["subscriptions"]
    ]
    view = InstanceView.of(
        summary,
        **detail,
        retention=await retentions.get(instance.id),
        kept=(await retentions.rules()).of(instance.id, instance.customer),
        catch_up=catch_up,
    )
    return (await visible(operations, view, instance.customer)).with_tag(tag)


EDITED["instance"] = shown


def position_of(cursor: str) -> str:
    """Return a listener's cursor as people read it: a poll's own without what it notes beside it, cut."""
    try:
        noted = json.loads(cursor)
    except ValueError:
        noted = None
    if isinstance(noted, dict) and "seen" in noted and "cursor" in noted:
        asked = cast("dict[str, Any]", noted)["cursor"]
        cursor = "the beginning" if asked is None else str(asked)
    return cursor if len(cursor) <= MOST_POSITION else cursor[: MOST_POSITION - 1] + "…"


def listener_view(shard: ListenerShard) -> ListenerView:
    """Return a shard as the API shows it."""
    return ListenerView.of(
        shard,
        flow=shard.key.flow,
        shard="" if shard.key.shard.startswith(PROCESS) else shard.key.shard,
        connection=shard.waits_for.removeprefix(PARKED) or None,
        position=None if shard.cursor is None else position_of(shard.cursor),
        last_message_at=shard.message_at,
    )


async def move_waits_for(operations: Operations, instance: Instance) -> str:
    """Return what the move of an instance waits for; empty where it makes none."""
    if instance.state not in BETWEEN:
        return ""
    if instance.deployment is not None:
        deployment = await operations.journal.execution(instance.deployment)
        if deployment is not None:
            wait = (await operations.executions.waits([deployment])).get(deployment.id)
            return f"its deployment {deployment.id}" + (f": {wait.message}" if wait else "")
    counts = await operations.journal.count(Filter(instance=instance.id, states=LIVE))
    if live := sum(counts.values()):
        return f"{live} of its executions to end; what takes too long is cancelled"
    return "a server, which begins its deployment"


async def summaries(operations: Operations, instances: Sequence[Instance]) -> list[InstanceSummary]:
    """Instances in short."""
    catalogue = operations.catalogue
    names = await catalogue.customers.names(each.customer for each in instances)
    numbers = await catalogue.versions.numbers(each.version for each in instances)
    paused = await operations.pauses.of(instances)
    hidden = await operations.hidden_payloads()
    receivers = [each.id for each in instances if each.integration == RECEIVERS]
    healths = await operations.receivers.healths_of(receivers)
    return [
        InstanceSummary.of(
            each,
            customer_name=names.get(each.customer, each.customer),
            version=VersionName(hash=each.version, number=numbers.get(each.version)),
            repetition=again and RepetitionView.of(again, next_at=again.at),
            paused=[pause_view(found) for found in paused.get(each.id, ())],
            waits_for=await move_waits_for(operations, each),
            error=HIDDEN_ERROR if each.error and each.customer in hidden else each.error,
            trouble=next(iter(troubles_of(each, healths[each.id])), None)
            if each.id in healths
            else None,
        )
        for each in instances
        for again in [each.repetition]
    ]
