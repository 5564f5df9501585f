"""Works: built once for all that want them at a time, and again where the catalogue changed."""

import asyncio
from typing import Any

from pydantic import SecretStr

from halflap.engine.executor import Work
from halflap.engine.facts import FlowFacts
from halflap.engine.resolver import Resolver
from halflap.errors import NotFound
from halflap.model import FlowKey
from halflap.sdk.context import Context, CustomerInfo, InstanceInfo
from halflap.sdk.integration import Flow
from halflap.store.store import Store
from tests.engine.flows import Runner
from tests.engine.test_remote import instance_of, resolver_of


class Builds:
    """Stands in for the builder: counts works, and holds each up until `go`."""

    def __init__(self, resolver: Resolver, flow: Flow[Any, Any, Any]) -> None:
        self.count, self.flow = 0, flow
        self.go = asyncio.Event()
        self.error: Exception | None = None
        resolver.builder.build = self.build

    async def build(self, facts: FlowFacts) -> Work:
        """Build what a flow needs."""
        self.count += 1
        await self.go.wait()
        if self.error is not None:
            raise self.error
        customer, instance = CustomerInfo("cus_1", "Ada"), InstanceInfo("ins_1", "Ada's")
        return Work(self.flow, None, customer, instance, {}, SecretStr, str, str)


async def nothing(ctx: Context[Any], event: Any) -> None:
    """Do nothing."""


async def begun(resolver: Resolver, key: FlowKey, builds: Builds) -> list[asyncio.Task[Work]]:
    """Three tasks that want a work, once it is being built."""
    tasks = [asyncio.create_task(resolver.work(key)) for _ in range(3)]
    while not builds.count:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    return tasks


async def test_a_work_is_built_once_for_all_that_want_it(runner: Runner) -> None:
    store = await Store.memory()
    key, resolver = await instance_of(store), resolver_of(store)
    builds = Builds(resolver, runner.app.flow(nothing))
    first, second, third = await begun(resolver, key, builds)
    first.cancel()  # who goes on waiting has it all the same
    builds.go.set()
    assert (await second).flow is (await third).flow is (await resolver.work(key)).flow
    assert builds.count == 1
    await store.catalogue.customers.add("Hooli")
    await resolver.work(key)
    assert builds.count == 2
    await store.close()


async def test_a_work_that_cannot_be_built_is_built_again(runner: Runner) -> None:
    store = await Store.memory()
    key, resolver = await instance_of(store), resolver_of(store)
    builds = Builds(resolver, runner.app.flow(nothing))
    builds.error = NotFound("no such version")
    tasks = await begun(resolver, key, builds)
    builds.go.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in found] == [NotFound] * 3
    builds.error = None
    assert (await resolver.work(key)).flow is builds.flow
    assert builds.count == 2
    await store.close()
