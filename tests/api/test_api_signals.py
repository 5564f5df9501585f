"""Signals through the API, to flows that wait for them."""

from typing import Any

import pytest

from tests.api.conftest import ORDERS
from tests.cases import for_each

APPROVALS = (
    ORDERS
    + '''

@integration.flow(trigger=webhook.request())
async def approval(ctx: Context[Settings], event: Any) -> Any:
    """Waits for a yes."""
    from datetime import timedelta
    return await ctx.wait_for("approved", timeout=timedelta(days=3))
'''
)


@pytest.fixture
async def instance(world: Any) -> Any:
    await world.publish(world.bundle(orders=APPROVALS))
    return await world.instance()


async def test_a_signal_carries_its_payload_to_the_flow_with_every_digit(
    world: Any, instance: Any
) -> None:
    id = await world.send(instance, {}, flow="approval")
    path = f"/api/executions/{id}/signals/approved"

    sent = await world.api(
        "POST", path, body=b'{"amount": 1.10}', headers={"content-type": "application/json"}
    )

    assert (sent.status, sent.json["id"]) == (200, id)
    await world.ended(id)
    shown = await world.api("GET", f"/api/executions/{id}")
    assert b'"result":{"amount":1.10}' in shown.body
    again = await world.api("POST", path, {"amount": 2})
    assert (again.status, again.kind) == (409, "Conflict")
    assert "has ended already: it succeeded" in again.json["detail"]


async def test_what_it_waits_for_is_shown_and_since_when(world: Any, instance: Any) -> None:
    id = await world.send(instance, {}, flow="approval")
    await world.state(id, "waiting")
    shown = await world.api.get(f"/api/executions/{id}")
    assert shown["waiting_for"] == "the signal approved"
    assert shown["accepted_at"] <= shown["waiting_since"] < shown["due_at"]
    step = shown["steps"][-1]
    assert (step["kind"], step["status"], step["due_at"]) == ("signal", "retrying", None)
    assert step["result"] == {"until": shown["due_at"]}
    assert (await world.api("POST", f"/api/executions/{id}/signals/approved")).status == 200
    assert (await world.ended(id))["waiting_since"] is None


async def test_of_two_with_one_idempotency_key_one_counts_and_none_without_a_name(
    world: Any, instance: Any
) -> None:
    id = await world.send(instance, {}, flow="waiting")
    path = f"/api/executions/{id}/signals/approved"
    for number, status in ((1, 200), (1, 200), (2, 422)):
        sent = await world.api("POST", path, number, headers={"idempotency-key": "k"})
        assert sent.status == status
    for name in ("$exe_1", "x" * 121):
        sent = await world.api("POST", f"/api/executions/{id}/signals/{name}")
        assert (sent.status, sent.kind) == (422, "ConfigError")
    [signal] = await world.host.store.journal.signals(id)
    assert (signal.name, signal.payload) == ("approved", b"1")
    sent = await world.api("POST", "/api/executions/exe_no/signals/approved")
    assert (sent.status, sent.kind) == (404, "NotFound")


@for_each("kind", ["text/plain", "application/x-www-form-urlencoded", "image/png", ""])
async def test_a_payload_of_json_is_taken_whatever_its_type(
    world: Any, instance: Any, kind: str
) -> None:
    id = await world.send(instance, {}, flow="approval")
    path = f"/api/executions/{id}/signals/approved"
    headers = {"content-type": kind} if kind else {}
    refused = await world.api("POST", path, body=b"yes=1&no=2", headers=headers)
    assert (refused.status, refused.kind) in ((422, "InvalidEvent"), (422, "InvalidRequest"))
    assert "JSON" in refused.json["detail"]
    sent = await world.api("POST", path, body=b'{"amount": 1.10}', headers=headers)
    assert sent.status == 200
    assert (await world.ended(id))["state"] == "succeeded"
