"""The flows of an instance's life, as flows: what is subscribed and taken down is a recorded step.

A deployment is an execution like any other: it resumes after a crash, its steps are in the console,
and each of its effects is *ensured*, so that running it again changes nothing twice. That a version
begins to subscribe is kept before the app is asked: where its answer never comes, and the version is
given up, asking once more tells what there is to be taken down.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from typing import Any

from pydantic import SecretStr

from halflap.components import instance
from halflap.components.instance import Deployment
from halflap.engine.facts import FactSource
from halflap.engine.lineage import caught_up
from halflap.engine.recorder import StepRecorder
from halflap.errors import (
    Cancel,
    ConfigError,
    DefinitionError,
    Fenced,
    NotFound,
    StepFailed,
    StoreError,
    Unauthorized,
    UpstreamError,
)
from halflap.model import Event, FlowKey, Micros, Start, to_datetime, to_micros
from halflap.sdk import codec, running
from halflap.sdk.action import Action, Retry
from halflap.sdk.connection import Connection
from halflap.sdk.context import Context
from halflap.sdk.integration import Flow, Integration
from halflap.sdk.redact import clean
from halflap.sdk.request import as_request
from halflap.sdk.schema import Config
from halflap.sdk.trigger import BoundTrigger, Endpoint, Missed, Subscription, first_line
from halflap.store.catalogue.subscriptions import StoredSubscription
from halflap.store.protocol import Filter, Journal

DEPLOY = "$deploy"
GONE = (404, 410)
MADE_BY = "$made_by"
"""Beside a subscription's own data: the version and the revision of the config that made it."""
ACCOUNT = "$account"
"""Beside a subscription's own data: the connection that it was made with."""
LEFT = "$left"
"""Beside a subscription's own data: those of other accounts before it that may still be there."""
TRIES = 3
"""The number of times that an app which fails is asked to forget what another account made."""
BEGUN = "$begun"
"""Beside a subscription's own data: the versions that began to subscribe, and have not ended it."""
OURS = (MADE_BY, ACCOUNT, LEFT, BEGUN)

CATCH_UP = "$catch_up"
RENEW = "$renew"
AT_ONCE = 500
"""The number of missed events that one step accepts."""

Load = Callable[[str], Any]


class Lifecycle:
    """Makes the flows of an instance's life: deploy, teardown, catch up."""

    def __init__(
        self,
        source: FactSource,
        load: Load,
        config: Callable[..., Any],
        journal: Journal | None = None,
    ) -> None:
        """Without a `journal`, what was missed is accepted though a newer event of it came."""
        self._source = source
        self._load = load
        self._config = config
        self._journal = journal

    def flow(self, name: str, integration: Integration[Any], key: FlowKey) -> Flow[Any, Any, Any]:
        """Return the flow `$deploy`, `$teardown`, `$catch_up` or `$renew` of an instance."""
        if name == CATCH_UP:
            return self._catching_up(integration, key)
        if name == RENEW:
            return self._renewing(integration, key)
        run = self._deploy if name == DEPLOY else self._teardown
        trigger = instance.deploy if name == DEPLOY else instance.teardown

        async def function(ctx: Context[Config], deployment: Deployment) -> list[str] | None:
            return await run(ctx, deployment, integration, key)

        return Flow(
            function,
            trigger=trigger(),
            name=name,
            title="Deploy" if name == DEPLOY else "Tear down",
            timeout=timedelta(minutes=15),
            max_age=timedelta(hours=1),
        )

    def _catching_up(self, integration: Integration[Any], key: FlowKey) -> Flow[Any, Any, Any]:
        """Return the flow that asks a trigger what was missed, in steps of so many events."""

        async def function(ctx: Context[Config], asked: dict[str, Any]) -> dict[str, int]:
            name, since, count = str(asked["flow"]), asked["since"], 0
            ask = self._ask_missed(ctx, integration.flows[name], key, int(asked["live_since"]))
            connection = connection_of(ctx.config, integration, integration.flows[name])
            while since is not None:
                found = await ask(connection, since)
                count, since = count + found["events"], found["next"]
            return {"events": count}

        return Flow(
            function,
            trigger=instance.routed(),
            name=CATCH_UP,
            title="Catch up",
            timeout=timedelta(hours=1),
            max_age=timedelta(days=1),
        )

    def _renewing(self, integration: Integration[Any], key: FlowKey) -> Flow[Any, Any, Any]:
        """Return the flow that renews a subscription before it expires."""

        async def function(ctx: Context[Config], asked: dict[str, Any]) -> None:
            if await self._source.deployment(key.instance) != asked["deployment"]:
                raise Cancel("its instance moves otherwise by now")
            name = str(asked["flow"])
            flow = integration.flows[name]
            trigger = flow.trigger.resolved(ctx.config)
            if "renew" in trigger.trigger.hooks and await self._made(key, name) is not None:
                try:
                    endpoint = endpoint_of(ctx, name)
                    connection = connection_of(ctx.config, integration, flow)
                    await self._renew(trigger, name, key)(connection, endpoint.url, endpoint.secret)
                    return
                except StepFailed as error:
                    if error.status not in GONE:
                        raise
            await self._subscribe_flow(ctx, integration, name, key)

        return Flow(
            function,
            trigger=instance.routed(),
            name=RENEW,
            title="Renew",
            timeout=timedelta(minutes=15),
            max_age=timedelta(hours=1),
        )

    def _renew(
        self, trigger: BoundTrigger[Any], flow: str, key: FlowKey
    ) -> Action[..., Subscription]:
        async def renew(connection: Connection, url: str, secret: SecretStr) -> Subscription:
            made = await self._made(key, flow)
            before = None if made is None else at_app(made)
            if made is None or before is None:
                raise Cancel("the app never answered as it was made")
            after = await trigger.renew(connection, before, Endpoint(url, secret, flow))
            ours = {name: value for name, value in made.data.items() if name in OURS}
            await self._keep(
                replace(
                    made,
                    remote_id=after.id,
                    secret=after.secret.get_secret_value() if after.secret else None,
                    data=dict(after.data) | ours,
                    expires_at=expiry_of(after),
                    left_because="",
                )
            )
            return after

        title = f"Renew {flow} at {trigger.trigger.component}"
        return system_step(renew, f"renew({flow})", title)

    def _ask_missed(
        self, ctx: Context[Config], flow: Flow[Any, Any, Any], key: FlowKey, live_since: Micros
    ) -> Action[..., dict[str, Any]]:
        """Return the step that accepts what a trigger missed since a time, and says how it goes on.

        It ends between two times, since the next one asks from such a time on.
        """
        recorder = running.recording()
        assert isinstance(recorder, StepRecorder)
        target = replace(key, flow=flow.name)

        async def catch_up(connection: Connection, since: int) -> dict[str, Any]:
            count, last = 0, since
            made = await self._made(key, flow.name)
            webhook = None if made is None else at_app(made)
            missed = flow.trigger.catch_up(connection, to_datetime(since), webhook)
            async with aclosing(missed) as found:
                async for each in found:
                    at = to_micros(each.at)
                    if count >= AT_ONCE and at > last:
                        return {"events": count, "next": at}
                    last, count = max(last, at), count + 1
                    event = event_of(each, live_since)
                    start = caught_up(ctx.execution, live_since, target, flow, event)
                    declares = flow.trigger.declaration.dedupe is not None
                    if start and declares and not (start.dedupe or each.is_state):
                        raise DefinitionError(
                            f"{flow.trigger.trigger.name} yields a Missed event in which its dedupe "
                            "finds no delivery's id, so what has arrived already would run again: "
                            "give what dedupe reads, in the body or in headers={…}, or have dedupe "
                            "read what both have; is_state=True where it is how a record is now"
                        )
                    if start is None or await self._is_known(start, each, flow.trigger, live_since):
                        continue
                    await recorder.waits.accept(start)
            return {"events": count, "next": None}

        component = flow.trigger.trigger.component
        return system_step(
            catch_up, f"catch_up({flow.name})", f"Ask {component} what {flow.name} missed"
        )

    async def _is_known(
        self, start: Start, missed: Missed, trigger: BoundTrigger[Any], live_since: Micros
    ) -> bool:
        """Return whether the newest event of a record is no older than this one, or says the same."""
        if not missed.is_state or start.key is None or self._journal is None:
            return False
        instance, flow = start.flow.instance, start.flow.flow
        which = Filter(instance=instance, flow=flow, key=start.key, limit=1)
        for newest in await self._journal.executions(which):
            if newest.state == "cancelled" and newest.attempt == 0:
                return False
            if newest.accepted_at >= live_since:
                return True
            event = await self._journal.event(newest.id)
            if event is not None and event.large is None:
                return await says_the_same(trigger, event, start.event)
        return False

    async def _deploy(
        self,
        ctx: Context[Config],
        deployment: Deployment,
        integration: Integration[Any],
        key: FlowKey,
    ) -> None:
        """Subscribe, run the author's deploy flow, and unsubscribe what this version has not.

        Events of the subscriptions are held meanwhile, so a change that comes while the deploy flow
        imports is not lost. What the app refuses with 4xx is subscribed after the deploy flow, which
        may make what it names.
        """
        if await self._source.deployment(key.instance) != ctx.execution:
            raise Cancel("its instance moves otherwise by now")
        author = integration.lifecycle_flow("deploy")
        flows = {name: flow.resolved(ctx.config) for name, flow in integration.flows.items()}
        wanted = [name for name, flow in flows.items() if flow.trigger.subscribes]
        refused: list[str] = []
        for name in wanted:
            try:
                await self._subscribe_flow(ctx, integration, name, key)
            except StepFailed as error:
                if author is None or error.status is None or not 400 <= error.status < 500:
                    raise
                refused.append(name)
        if author is not None:
            await author.function(ctx, deployment)
        for name in refused:
            await self._subscribe_flow(ctx, integration, name, key)
        known = await self._subscribed(key)()
        for name in known:
            if name not in wanted:
                await self._unsubscribe_as_made(ctx, name, key)

    async def _subscribe_flow(
        self, ctx: Context[Config], integration: Integration[Any], name: str, key: FlowKey
    ) -> None:
        flow = integration.flows[name]
        connection = connection_of(ctx.config, integration, flow)
        endpoint = endpoint_of(ctx, name)
        trigger = flow.trigger.resolved(ctx.config)
        made_by = f"{key.version}@{key.revision}"
        subscribe = self._subscribe(ctx, trigger, name, key, made_by)
        if not flow.trigger.references:
            await subscribe(connection, endpoint.url, endpoint.secret)
            return

        async def subscribe_with(
            connection: Connection, url: str, secret: SecretStr, inputs: dict[str, Any]
        ) -> Subscription:
            return await subscribe.function(connection, url, secret)

        # Its inputs are part of the record: with another config it is another step.
        inputs = {each: trigger.inputs[each] for each in flow.trigger.references}
        step = system_step(subscribe_with, subscribe.name, subscribe.title)
        await step(connection, endpoint.url, endpoint.secret, inputs)

    async def _teardown(
        self,
        ctx: Context[Config],
        deployment: Deployment,
        integration: Integration[Any],
        key: FlowKey,
    ) -> list[str]:
        """Take down what the instance made at apps; return why something was left behind."""
        left: list[str] = []
        author = integration.lifecycle_flow("teardown")
        if author is not None:
            try:
                await author.function(ctx, deployment)
            except Exception as error:
                if not deployment.abandon:
                    raise
                left.append(f"the teardown flow failed: {error}")
        for name in await self._subscribed(key)():
            because = await self._unsubscribe_as_made(ctx, name, key, abandon=deployment.abandon)
            left += [f"{name}: {because}"] if because else []
        return left

    def _subscribe(
        self,
        ctx: Context[Config],
        trigger: BoundTrigger[Any],
        flow: str,
        key: FlowKey,
        made_by: str,
    ) -> Action[..., Subscription]:
        async def subscribe(connection: Connection, url: str, secret: SecretStr) -> Subscription:
            former = await self._made(key, flow)
            if not is_known(former, made_by):
                await self._begin(flow, key, former, made_by)
            if former is not None:
                await self._take_down_begun(ctx, former, key, besides=made_by)
            account = account_of(connection)
            here = None if former is None or is_elsewhere(former, account) else former
            made = await trigger.subscribe(
                connection, Endpoint(url, secret, flow), None if here is None else at_app(here)
            )
            if here is not None and here.remote_id not in ("", made.id):
                await self._take_down(here, key)  # of a version that heard of something else
            signs = made.secret.get_secret_value() if made.secret else None
            data = dict(made.data) | {MADE_BY: made_by, ACCOUNT: account}
            if left := left_by(former, account, made.id):
                data[LEFT] = left
            stored = StoredSubscription(
                key.instance, flow, made.id, signs, data, key.version, expires_at=expiry_of(made)
            )
            await self._keep(stored)
            try:
                await self._take_down_left(stored, key)
            except (StoreError, Fenced):
                raise
            except Exception as error:
                tries = max(each["tries"] for each in left)
                if isinstance(error, UpstreamError) and error.retryable and tries < TRIES:
                    raise
                because = clean(
                    f"of the account before: {type(error).__name__}: {first_line(error)}"
                )
                await self._keep(replace(stored, left_because=because))
            return made

        return system_step(
            subscribe, f"subscribe({flow})", f"Subscribe {flow} at {trigger.trigger.component}"
        )

    async def _begin(
        self, flow: str, key: FlowKey, former: StoredSubscription | None, made_by: str
    ) -> None:
        """Keep that a version subscribes: what the app makes of it may never be answered."""
        former = former or StoredSubscription(key.instance, flow, "", None, {}, key.version)
        data = former.data | {BEGUN: [*begun(former), made_by]}
        await self._keep(replace(former, data=data, left_because=""))

    async def _made(self, key: FlowKey, flow: str) -> StoredSubscription | None:
        found = await self._source.subscriptions(key.instance)
        return next((each for each in found if each.flow == flow), None)

    async def _keep(self, made: StoredSubscription) -> None:
        await self._source.keep(made.instance, made.flow, made)

    def _subscribed(self, key: FlowKey) -> Action[..., list[str]]:
        async def subscribed() -> list[str]:
            return [each.flow for each in await self._source.subscriptions(key.instance)]

        return system_step(subscribed, "subscriptions", "List this instance's subscriptions")

    async def _unsubscribe_as_made(
        self, ctx: Context[Config], flow: str, key: FlowKey, *, abandon: bool = False
    ) -> str | None:
        """Unsubscribe a flow as the version that subscribed it would.

        With `abandon`, what fails is left behind at once: return why.
        """

        async def unsubscribe() -> str | None:
            made = await self._made(key, flow)
            if made is None:
                return None
            try:
                await self._take_down_begun(ctx, made, key)
                if made.remote_id:
                    await self._take_down(made, key)
                await self._take_down_left(made, key)
            except Exception as error:
                if not abandon or isinstance(error, StoreError | Fenced):
                    raise
                because = clean(f"{type(error).__name__}: {first_line(error)}")
                await self._keep(replace(made, left_because=because))
                return because
            await self._source.keep(key.instance, flow, None)
            return None

        return await system_step(unsubscribe, f"unsubscribe({flow})", f"Unsubscribe {flow}")()

    async def _take_down(self, made: StoredSubscription, key: FlowKey) -> None:
        """Have the app forget a subscription."""
        trigger, connection = await self._trigger(made.flow, maker(made), key)
        subscription = at_app(made)
        if subscription is not None:
            await unsubscribed(trigger, connection, subscription)

    async def _take_down_left(self, made: StoredSubscription, key: FlowKey) -> None:
        """Have other accounts forget what they made before; what fails stays stored, and is raised."""
        before: list[dict[str, Any]] = made.data.get(LEFT, [])
        left: list[dict[str, Any]] = []
        failed: Exception | None = None
        for each in before:
            old = replace(made, remote_id=each["id"], secret=None, data=each["data"])
            try:
                await self._take_down(old, key)
            except (StoreError, Fenced):
                raise
            except Exception as error:
                failed = failed or error
                left.append(each | {"tries": each["tries"] + 1})
        if before:
            await self._keep(replace(made, data=made.data | {LEFT: left}, left_because=""))
        if failed is not None:
            raise failed

    async def _take_down_begun(
        self,
        ctx: Context[Config],
        made: StoredSubscription,
        key: FlowKey,
        besides: str | None = None,
    ) -> None:
        """Have the app forget what versions began to subscribe and never knew the end of.

        Subscribing is ensured, so asking once more tells what there is.
        """
        for made_by in begun(made):
            if made_by == besides:
                continue
            trigger, connection = await self._trigger(made.flow, made_by, key)
            try:
                found = await trigger.subscribe(connection, endpoint_of(ctx, made.flow))
            except UpstreamError as error:
                if error.retryable or isinstance(error, Unauthorized):
                    raise
                continue  # refused, as it was then: nothing is there
            if found.id != made.remote_id:
                await unsubscribed(trigger, connection, found)

    async def _trigger(
        self, flow: str, made_by: str, key: FlowKey
    ) -> tuple[BoundTrigger[Any], Any]:
        """A flow's trigger as a version has it, and the connection that it subscribes with."""
        version, _, revision = made_by.partition("@")
        integration: Integration[Any] = await self._load(version)
        found = integration.flows[flow]
        if revision:
            config = await self._config(integration, key.instance, int(revision))
        else:
            config = await self._config_for(integration, key)
        trigger = found.trigger.resolved(config) if found.trigger.references else found.trigger
        return trigger, connection_of(config, integration, found)

    async def _config_for(self, integration: Integration[Any], key: FlowKey) -> Config:
        """The newest config that fits an older version: an upgrade may have dropped fields of it."""
        refused: ConfigError | NotFound | None = None
        for number in range(key.revision, 0, -1):
            try:
                return await self._config(integration, key.instance, number)
            except (ConfigError, NotFound) as error:
                refused = refused or error
        if refused is not None:
            raise refused
        return await self._config(integration, key.instance, key.revision)


async def says_the_same(trigger: BoundTrigger[Any], one: Event, other: Event) -> bool:
    """Return whether a trigger reads the same from two events."""
    try:
        return await trigger.parse(as_request(one)) == await trigger.parse(as_request(other))
    except Exception:
        return False


def event_of(missed: Missed, now: Micros) -> Event:
    """Return a missed event as it is stored, as though it had been sent."""
    body = missed.body if isinstance(missed.body, bytes) else codec.encode(missed.body)
    headers = (("content-type", "application/json"), *missed.headers.items())
    return Event("POST", "", "", headers, body, now)


def endpoint_of(ctx: Context[Config], flow: str) -> Endpoint:
    """A flow's endpoint, though this version may no longer have the flow."""
    return Endpoint(url=ctx.url(flow), secret=ctx.secret(flow), flow=flow)


def at_app(made: StoredSubscription) -> Subscription | None:
    """Return a subscription as its trigger made it; None where the app never answered."""
    if not made.remote_id:
        return None
    data = {name: value for name, value in made.data.items() if name not in OURS}
    secret = SecretStr(made.secret) if made.secret else None
    ends = None if made.expires_at is None else to_datetime(made.expires_at)
    return Subscription(made.remote_id, secret, data, ends)


def expiry_of(made: Subscription) -> Micros | None:
    """Return when an app ends a subscription by itself."""
    return None if made.expires_at is None else to_micros(made.expires_at)


def maker(made: StoredSubscription) -> str:
    """Return who made a subscription: a version, and the revision of the config that it had."""
    return made.data.get(MADE_BY, made.version)


def account_of(connection: Connection | None) -> str:
    """Return the id of a connection as it is stored; '' for none."""
    link = None if connection is None else connection._link
    return "" if link is None else link.id or ""


def is_elsewhere(made: StoredSubscription, account: str) -> bool:
    """Return whether another account has a subscription than this one."""
    return bool(made.remote_id) and made.data.get(ACCOUNT, account) != account


def left_by(former: StoredSubscription | None, account: str, id: str) -> list[dict[str, Any]]:
    """Return what other accounts have beside a subscription that was just made of this id."""
    if former is None:
        return []
    left: list[dict[str, Any]] = [*former.data.get(LEFT, ())]
    if is_elsewhere(former, account):
        data = {name: value for name, value in former.data.items() if name not in (BEGUN, LEFT)}
        left.append({"id": former.remote_id, "data": data, "tries": 0})
    return [each for each in left if (each["data"].get(ACCOUNT), each["id"]) != (account, id)]


def is_known(made: StoredSubscription | None, made_by: str) -> bool:
    """Return whether it is stored already that this version subscribes, or has subscribed."""
    if made is None:
        return False
    return made_by in begun(made) or (bool(made.remote_id) and maker(made) == made_by)


def versions_of(subscriptions: Sequence[StoredSubscription]) -> set[str]:
    """Return the versions that subscribed, or began to."""
    makers = {by for each in subscriptions for by in (maker(each), *begun(each))}
    return {each.partition("@")[0] for each in makers}


def begun(made: StoredSubscription) -> Sequence[str]:
    """The versions that began to subscribe a flow and have not ended it."""
    return made.data.get(BEGUN, ())


async def unsubscribed(
    trigger: BoundTrigger[Any], connection: Any, subscription: Subscription
) -> None:
    """Unsubscribe at the app; one that is gone already is fine."""
    if "unsubscribe" not in trigger.trigger.hooks:
        return
    try:
        await trigger.unsubscribe(connection, subscription)
    except UpstreamError as error:
        if error.status not in GONE:
            raise


def system_step(function: Callable[..., Any], name: str, title: str) -> Action[..., Any]:
    """Make a step of ours. All of them are ensured, so each is tried again, for two minutes."""
    return Action(
        function,
        component="",
        connection_type=Connection,
        name=name,
        title=title,
        retry=Retry(attempts=8, away=timedelta(minutes=2)),
        repeatable=True,
    )


def connection_of(config: Config, integration: Integration[Any], flow: Flow[Any, Any, Any]) -> Any:
    """The connection that a flow's trigger subscribes with."""
    name = integration.connection_for(flow)
    return None if name is None else getattr(config, name)
