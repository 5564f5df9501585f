"""The flows of an instance's life, as flows: what is subscribed and taken down is a recorded step.

A deployment is an execution like any other: it resumes after a crash, its steps are in the console,
and each of its effects is *ensured*, so that running it again changes nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from pydantic import SecretStr

from halflap.components import instance
from halflap.components.instance import Deployment
from halflap.errors import ConfigError, NotFound, UpstreamError
from halflap.model import FlowKey
from halflap.sdk.action import Action, Retry
from halflap.sdk.connection import Connection
from halflap.sdk.context import Context
from halflap.sdk.integration import Flow, Integration
from halflap.sdk.schema import Config
from halflap.sdk.trigger import BoundTrigger, Endpoint, Subscription
from halflap.store.catalogue import Catalogue

DEPLOY = "$deploy"
TEARDOWN = "$teardown"
GONE = (404, 410)

Load = Callable[[str], Any]


class Lifecycle:
    """Makes the deploy and teardown flows of integrations."""

    def __init__(self, catalogue: Catalogue, load: Load, config: Callable[..., Any]) -> None:
        self._catalogue = catalogue
        self._load = load
        self._config = config

    def flow(self, name: str, integration: Integration[Any], key: FlowKey) -> Flow[Any, Any, Any]:
        """The flow `$deploy` or `$teardown` of an instance."""
        run = self._deploy if name == DEPLOY else self._teardown
        trigger = instance.deploy if name == DEPLOY else instance.teardown

        async def function(ctx: Context[Config], deployment: Deployment) -> None:
            await run(ctx, deployment, integration, key)

        function.__name__ = name
        return Flow(
            function,
            trigger=trigger(),
            title="Deploy" if name == DEPLOY else "Tear down",
            filter=None,
            keep=None,
            timeout=timedelta(minutes=15),
            max_age=timedelta(hours=1),
        )

    async def _deploy(
        self,
        ctx: Context[Config],
        deployment: Deployment,
        integration: Integration[Any],
        key: FlowKey,
    ) -> None:
        author = integration.lifecycle_flow("deploy")
        if author is not None:
            await author.function(ctx, deployment)
        wanted = {name: flow for name, flow in integration.flows.items() if flow.trigger.subscribes}
        for name, flow in wanted.items():
            connection = connection_of(ctx.config, integration, flow)
            endpoint = Endpoint(url=ctx.url(name), secret=ctx.secret(name), flow=name)
            await self._subscribe(flow.trigger, name, key)(
                connection, endpoint.url, endpoint.secret
            )
        known = await self._subscribed(key)()
        for name in known:
            if name not in wanted:
                await self._unsubscribe_as_made(name, key)

    async def _teardown(
        self,
        ctx: Context[Config],
        deployment: Deployment,
        integration: Integration[Any],
        key: FlowKey,
    ) -> None:
        author = integration.lifecycle_flow("teardown")
        if author is not None:
            await author.function(ctx, deployment)
        for name in await self._subscribed(key)():
            await self._unsubscribe_as_made(name, key)

    def _subscribe(
        self, trigger: BoundTrigger[Any], flow: str, key: FlowKey
    ) -> Action[..., Subscription]:
        async def subscribe(connection: Connection, url: str, secret: SecretStr) -> Subscription:
            made = await trigger.subscribe(connection, Endpoint(url, secret, flow))
            await self._catalogue.subscriptions.put(
                key.instance,
                flow,
                remote_id=made.id,
                secret=made.secret.get_secret_value() if made.secret else None,
                data=dict(made.data),
                version=key.version,
            )
            return made

        return system_step(
            subscribe, f"subscribe({flow})", f"Subscribe {flow} at {trigger.trigger.component}"
        )

    def _subscribed(self, key: FlowKey) -> Action[..., list[str]]:
        async def subscribed() -> list[str]:
            return [each.flow for each in await self._catalogue.subscriptions.list(key.instance)]

        return system_step(subscribed, "subscriptions", "List this instance's subscriptions")

    async def _unsubscribe_as_made(self, flow: str, key: FlowKey) -> None:
        """Unsubscribe a flow as the version that subscribed it would."""

        async def unsubscribe() -> None:
            made = await self._catalogue.subscriptions.get(key.instance, flow)
            if made is None:
                return
            integration: Integration[Any] = await self._load(made.version)
            config = await self._config_for(integration, key)
            old = integration.flows[flow]
            if old.trigger.trigger.unsubscriber is not None:
                connection = connection_of(config, integration, old)
                subscription = Subscription(
                    id=made.remote_id,
                    secret=SecretStr(made.secret) if made.secret else None,
                    data=made.data,
                )
                try:
                    await old.trigger.unsubscribe(connection, subscription)
                except UpstreamError as error:
                    if error.status not in GONE:
                        raise
            await self._catalogue.subscriptions.remove(key.instance, flow)

        await system_step(unsubscribe, f"unsubscribe({flow})", f"Unsubscribe {flow}")()

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


def system_step(function: Callable[..., Any], name: str, title: str) -> Action[..., Any]:
    """A step of ours, tried again like an action."""
    return Action(
        function, component="", connection_type=Connection, name=name, title=title, retry=Retry()
    )


def connection_of(config: Config, integration: Integration[Any], flow: Flow[Any, Any, Any]) -> Any:
    """The connection that a flow's trigger subscribes with."""
    name = integration.connection_for(flow)
    return None if name is None else getattr(config, name)
