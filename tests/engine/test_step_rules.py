"""A step's `retry` by status and `timeout`, in a document, at an app with faults: Acme's sandbox."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest
from pydantic import SecretStr

from halflap import Retry, UpstreamError
from halflap.components.http import Http
from halflap.engine.executor import Executor, Work
from halflap.engine.retry import classified
from halflap.lowcode import Components, build, read
from halflap.model import FlowKey, Outcome
from halflap.sdk.connection import Link
from halflap.sdk.egress import Egress, Policy
from tests.engine.flows import Runner, runner_on
from tests.world import AcmeApp, acme_app

HEAD = """\
name: tried
config:
  Connect:
    api: {connection: http}
flows:
  main:
    trigger: webhook.request
    steps:
"""


@dataclass
class Shop:
    """A flow on the production engine, whose connection is a workspace of Acme."""

    runner: Runner
    app: AcmeApp
    key: str
    api: Http

    async def faults(self, **faults: Any) -> None:
        await self.app.post("/sandbox/faults", faults)

    async def accounts(self) -> list[str]:
        found = await self.app.get("/v1/accounts", self.key)
        return sorted(each["name"] for each in found)

    async def run(self, step: str) -> Outcome:
        """Run a flow of one step to its end."""
        integration = build(
            read(HEAD + indent(step.strip("\n"), "      "), "tried.yaml"), Components()
        )
        config = integration.config.model_construct(api=self.api)

        async def work(key: FlowKey) -> Work:
            made = await self.runner.work(key)
            return replace(made, config=config)

        self.runner.app.integration = integration
        self.runner.executor = Executor(work, random.Random(1))
        flow = integration.flows["main"]
        return await self.runner.finish(await self.runner.start(flow, b"{}", headers=JSON))

    async def tries(self) -> int:
        return max(each.tries for each in await self.runner.history())


JSON = (("content-type", "application/json"),)


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with acme_app() as app, runner_on("memory", tmp_path) as runner:
        key = await app.workspace("here")
        egress = Egress(Policy(allow=("127.0.0.0/8",)))
        api = Http(base_url=app.url + "/v1", token=SecretStr(key))
        api._link = Link("http", egress=egress)
        yield Shop(runner, app, key, api)
        await egress.close()


POST = """
- action: http.post
  with: {path: /accounts, json: {external_id: x, name: Initech}}
"""
GET = """
- action: http.get
  with: {path: /accounts}
"""


async def test_a_status_is_tried_again_where_the_step_says_on(shop: Shop) -> None:
    await shop.faults(fail_next=1, status=423)
    outcome = await shop.run(POST + "  retry: {attempts: 3, on: [423]}")
    assert (outcome.state, await shop.accounts(), await shop.tries()) == (
        "succeeded",
        ["Initech"],
        2,
    )


async def test_control_without_on_the_status_fails_at_once(shop: Shop) -> None:
    await shop.faults(fail_next=1, status=423)
    outcome = await shop.run(POST + "  retry: {attempts: 3}")
    assert (outcome.state, await shop.accounts(), await shop.tries()) == ("failed", [], 1)


@pytest.mark.parametrize("status", [425, 429, 503])
async def test_a_status_fails_at_once_where_the_step_says_not_on(shop: Shop, status: int) -> None:
    await shop.faults(fail_next=1, status=status)
    outcome = await shop.run(POST + f"  retry: {{attempts: 3, not_on: [{status}]}}")
    assert (outcome.state, await shop.tries()) == ("failed", 1)
    await shop.faults(fail_next=1, status=status)
    assert (await shop.run(POST + "  retry: {attempts: 3}")).state == "succeeded"


async def test_a_conflict_fails_at_once_unless_the_step_says_on(shop: Shop) -> None:
    await shop.faults(fail_next=1, status=409)
    outcome = await shop.run(POST + "  retry: {attempts: 3}")
    assert (outcome.state, await shop.tries()) == ("failed", 1)
    await shop.faults(fail_next=1, status=409)
    assert (await shop.run(POST + "  retry: {attempts: 3, on: [409]}")).state == "succeeded"


def test_a_conflict_of_a_repeated_request_with_a_key_is_tried_again() -> None:
    conflict = UpstreamError(status=409)
    for repeated in (False, True):
        assert classified(conflict, conflict, Retry(), repeated=repeated) is conflict
        assert conflict.retryable is repeated
    refused = classified(conflict, conflict, Retry(not_on=(409,)), repeated=True)
    assert not getattr(refused, "retryable", True)


async def test_on_never_repeats_what_may_have_been_carried_out(shop: Shop) -> None:
    await shop.faults(lose_answer_next=1, status=500)
    outcome = await shop.run(POST + "  retry: {attempts: 3, on: [500]}")
    assert outcome.state == "failed"
    assert "it may have been carried out" in outcome.reason
    assert (await shop.accounts(), await shop.tries()) == (["Initech"], 1)


async def test_on_does_not_overrule_the_doubt_of_a_status(shop: Shop) -> None:
    await shop.faults(fail_next=1, status=500)
    outcome = await shop.run(POST + "  retry: {attempts: 3, on: [500]}")
    assert (outcome.state, await shop.tries()) == ("failed", 1)
    await shop.faults(fail_next=1, status=500)
    assert (await shop.run(GET + "  retry: {attempts: 3, on: [500]}")).state == "succeeded"


async def test_a_try_ends_with_the_steps_time_out_and_a_read_is_repeated(shop: Shop) -> None:
    await shop.faults(hang_s=30)
    outcome = await shop.run(GET + "  timeout: 0.05s\n  retry: 2")
    assert (outcome.state, await shop.tries()) == ("failed", 2), outcome
    assert "no result within the time-out of 0:00:00.05" in outcome.reason


async def test_a_time_out_of_a_write_is_in_doubt_and_not_repeated(shop: Shop) -> None:
    await shop.faults(hang_s=30)
    outcome = await shop.run(POST + "  timeout: 1s\n  retry: 3")
    assert (outcome.state, await shop.tries()) == ("failed", 1)
    assert "it may have been carried out" in outcome.reason


class SlowGate:
    """A gate that lets a request through after longer than the step may take."""

    waits_for = "test"

    async def enter(self) -> None:
        await asyncio.sleep(1.1)

    def leave(self) -> None: ...
    def heard(self, response: Any) -> None: ...


async def test_a_wait_for_the_connections_turn_does_not_use_up_the_time_out(shop: Shop) -> None:
    gate: Any = SlowGate()
    shop.api._link = replace(shop.api._link, gate=gate) if shop.api._link else None
    outcome = await shop.run(GET + "  timeout: 1s\n  retry: 1")
    assert outcome.state == "succeeded", outcome.reason


async def test_a_longer_time_out_lengthens_the_requests_of_the_step(shop: Shop) -> None:
    limits = type(shop.api).limits
    try:
        type(shop.api).limits = replace(limits, total=0.05)
        await shop.faults(latency_ms=100)
        assert (await shop.run(GET + "  retry: 1")).state == "failed"
        outcome = await shop.run(GET + "  timeout: 20s\n  retry: 1")
        assert outcome.state == "succeeded", outcome.reason
    finally:
        type(shop.api).limits = limits
