"""The outline of an execution's flow, with what the execution did of it."""

from __future__ import annotations

from typing import Any

import pytest

from halflap.api.execution_view import ExecutionOutline
from halflap.cli.executions import outline_lines
from halflap.cli.output import Output
from tests.api.conftest import World

YAML = """\
name: orders
config:
  Connect:
    shop: {connection: shop}
    label: {default: x}
flows:
  incoming:
    trigger: webhook.request
    steps:
      - if: =event.amount > 10
        then: [{log: much}]
        else:
          - for: each
            in: =event.lines
            do:
              - state: put
                key: =each
                value: 1
      - id: go
        wait: go
        timeout: 1h
"""
STEPS = ["flows", "incoming", "steps"]


@pytest.fixture
async def yaml(world: World) -> dict[str, Any]:
    await world.publish(world.packed("orders.yaml", {"orders.yaml": YAML}))
    return await world.instance()


async def test_what_an_execution_did_is_laid_over_its_flow(
    world: World, yaml: dict[str, Any]
) -> None:
    id = await world.send(yaml, {"amount": 3, "lines": ["a", "b"]})
    await world.state(id, "waiting")

    shown = await world.api("GET", f"/api/executions/{id}/outline")
    assert shown.status == 200, shown.body
    laid = shown.json
    nodes = {tuple(each["path"]): each for each in laid["nodes"]}
    put = nodes[(*STEPS, 0, "else", 0, "do", 0)]
    assert (put["times"], put["state"], put["attempts"]) == (2, "succeeded", 2)
    waits = nodes[(*STEPS, 1)]
    assert (laid["at"], waits["state"]) == ([*STEPS, 1], "waiting")
    assert (*STEPS, 0, "then", 0) not in nodes
    assert laid["unplaced"] == []
    drawn = laid["flow"]["steps"][0]["blocks"][1]["nodes"][0]["blocks"][0]["nodes"][0]
    assert (drawn["kind"], drawn["path"]) == ("state", put["path"])

    before = (await world.api("GET", f"/api/executions/{id}")).json["steps"]
    await world.api("POST", f"/api/executions/{id}/signals/go", {})
    assert (await world.ended(id))["state"] == "succeeded"
    laid = (await world.api("GET", f"/api/executions/{id}/outline")).json
    assert (laid["at"], laid["stopped"], laid["state"]) == (None, None, "succeeded")
    after = (await world.api("GET", f"/api/executions/{id}")).json["steps"]
    assert [each["path"] for each in after] == [each["path"] for each in before]


async def test_a_flow_in_python_is_laid_over_by_what_its_text_says(world: World) -> None:
    await world.publish()
    instance = await world.instance()
    id = await world.send(instance, {"id": "o1", "amount": 1})
    await world.ended(id)
    laid = (await world.api("GET", f"/api/executions/{id}/outline")).json
    recorded = (await world.api("GET", f"/api/executions/{id}")).json["steps"]
    placed = [path for each in laid["nodes"] for path in each["steps"]]
    assert sorted([*placed, *laid["unplaced"]]) == sorted(each["path"] for each in recorded)
    assert any(each["path"][-1] != "trigger" for each in laid["nodes"])


async def test_the_command_line_shows_each_line_with_what_ran_of_it(
    world: World, yaml: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    id = await world.send(yaml, {"amount": 3, "lines": ["a", "b"]})
    await world.state(id, "waiting")
    laid = (await world.api("GET", f"/api/executions/{id}/outline")).json
    outline_lines(Output(), ExecutionOutline.model_validate(laid))
    shown = capsys.readouterr().out
    assert "succeeded 2×" in shown
    assert "waiting here" in shown


FAILING = """\
name: orders
config:
  Connect:
    shop: {connection: shop}
    label: {default: x}
flows:
  incoming:
    trigger: webhook.request
    steps:
      - set: {total: 0, tried: 0}
      - try: [{set: {tried: "=1 / event.none"}}]
        catch: [{log: caught}]
      - for: each
        in: =event.lines
        do:
          - set: {total: =each * event.amount}
      - log: =$string(total) & $string(tried)
"""


@pytest.mark.parametrize(
    ("event", "failed"),
    [
        ({"amount": 3, "lines": [1, "b"], "none": 1}, (*STEPS, 2, "do", 0)),
        ({"amount": 3, "lines": [1], "none": "x"}, None),
        ({"amount": 3, "lines": 1, "none": 0}, None),
    ],
)
async def test_a_step_that_records_nothing_is_shown_as_failed_where_that_ended_it(
    world: World, event: dict[str, Any], failed: tuple[Any, ...] | None
) -> None:
    await world.publish(world.packed("orders.yaml", {"orders.yaml": FAILING}))
    id = await world.send(await world.instance(), event)
    ended = await world.ended(id)
    assert ended["state"] == ("succeeded" if failed is None else "failed")
    laid = (await world.api("GET", f"/api/executions/{id}/outline")).json
    nodes = {tuple(each["path"]): each["state"] for each in laid["nodes"]}
    assert [path for path, state in nodes.items() if state == "failed"] == [failed] * bool(failed)
