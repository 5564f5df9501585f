"""The outline of an execution's flow, with what the execution did of it."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from halflap.api.execution_view import ExecutionOutline
from halflap.cli.executions import outline_lines
from halflap.cli.output import Output
from halflap.engine.shadow import trace
from tests.api.conftest import World, signed_in

HEAD = """\
name: orders
config:
  Connect:
    shop: {connection: shop}
    label: {default: x}
flows:
  incoming:
    trigger: webhook.request
    steps:
"""
YAML = """\
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


async def instance_of(world: World, steps: str) -> dict[str, Any]:
    """An active instance of a document whose flow has these steps."""
    await world.publish(world.packed("orders.yaml", {"orders.yaml": HEAD + steps}))
    return await world.instance()


@pytest.fixture
async def yaml(world: World) -> dict[str, Any]:
    return await instance_of(world, YAML)


async def test_what_an_execution_did_is_laid_over_its_flow(
    world: World, yaml: dict[str, Any], capsys: pytest.CaptureFixture[str]
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
    outline_lines(Output(), ExecutionOutline.model_validate(laid))  # as a command shows it
    said = capsys.readouterr().out
    assert ("succeeded 2×" in said, "waiting here" in said) == (True, True)
    drawn = laid["flow"]["steps"][0]["blocks"][1]["nodes"][0]["blocks"][0]["nodes"][0]
    assert (drawn["kind"], drawn["path"]) == ("state", put["path"])

    before = (await world.api.get(f"/api/executions/{id}"))["steps"]
    await world.api("POST", f"/api/executions/{id}/signals/go", {})
    assert (await world.ended(id))["state"] == "succeeded"
    laid = await world.api.get(f"/api/executions/{id}/outline")
    assert (laid["at"], laid["stopped"], laid["state"]) == (None, None, "succeeded")
    assert laid["followed"]
    after = (await world.api.get(f"/api/executions/{id}"))["steps"]
    assert [each["path"] for each in after] == [each["path"] for each in before]


async def test_a_flow_in_python_is_laid_over_by_what_its_text_says(world: World) -> None:
    await world.publish()
    instance = await world.instance()
    id = await world.send(instance, {"id": "o1", "amount": 1})
    await world.ended(id)
    laid = await world.api.get(f"/api/executions/{id}/outline")
    recorded = (await world.api.get(f"/api/executions/{id}"))["steps"]
    placed = [path for each in laid["nodes"] for path in each["steps"]]
    assert sorted([*placed, *laid["unplaced"]]) == sorted(each["path"] for each in recorded)
    assert any(each["path"][-1] != "trigger" for each in laid["nodes"])
    traced = await world.api.get(f"/api/executions/{id}/trace")
    assert (traced["items"], traced["document"]) == ([], None)
    assert "Python" in traced["stopped"]
    assert not laid["followed"]  # whether it came to what records nothing is not known


async def test_a_replay_that_has_not_come_to_the_failed_step_does_not_show_it_as_failed(
    world: World,
) -> None:
    await world.publish()
    instance = await world.instance()
    world.shop.broken = True
    failed = await world.send(instance, {"id": "o1", "amount": 1})
    assert (await world.ended(failed))["state"] == "failed"
    was = (await world.api.get(f"/api/executions/{failed}/outline"))["nodes"]
    assert [each["state"] for each in was][-1] == "failed"

    await world.api("POST", f"/api/instances/{instance['id']}/pause", {"by": "ada"})
    made = await world.api("POST", f"/api/executions/{failed}/replay", {"from": "failed"})
    laid = await world.api.get(f"/api/executions/{made.json['execution']}/outline")

    assert laid["state"] == "queued"
    assert {each["state"] for each in laid["nodes"]} == {"succeeded"}
    assert len(laid["nodes"]) == len(was) - 1


FAILING = """\
      - set: {total: 0, tried: 0}
      - try: [{set: {tried: "=1 / event.none"}}]
        catch: [{log: caught}]
      - for: each
        in: =event.lines
        do:
          - set: {total: =each * event.amount}
      - log: =$string(total) & $string(tried)
"""


async def test_a_step_that_records_nothing_is_shown_as_failed_where_that_ended_it(
    world: World,
) -> None:
    instance = await instance_of(world, FAILING)
    for event, failed in (
        ({"amount": 3, "lines": [1, "b"], "none": 1}, (*STEPS, 2, "do", 0)),
        ({"amount": 3, "lines": [1], "none": "x"}, None),
        ({"amount": 3, "lines": 1, "none": 0}, None),
    ):
        id = await world.send(instance, event)
        ended = await world.ended(id)
        assert ended["state"] == ("succeeded" if failed is None else "failed")
        laid = await world.api.get(f"/api/executions/{id}/outline")
        nodes = {tuple(each["path"]): each["state"] for each in laid["nodes"]}
        found = [path for path, state in nodes.items() if state == "failed"]
        assert found == [failed] * bool(failed)


LOSING = """\
      - for: each
        in: =event.lines
        where: =each != "none"
        on_failure: continue
        do:
          - set: {total: =each * 2}
      - for: each
        in: =event.lines
        on_failure: continue
        parallel: 2
        collect: =each * 2
        do: [{log: one}]
      - for: each
        in: =event.lines
        do: [{log: one}]
"""


async def test_a_loop_that_goes_on_says_how_many_of_its_items_failed(world: World) -> None:
    id = await world.send(await instance_of(world, LOSING), {"lines": [1, "b", "none", 2]})
    assert (await world.ended(id))["state"] == "succeeded"
    laid = (await world.api("GET", f"/api/executions/{id}/outline")).json
    items = {tuple(each["path"]): (each["items"], each["failed_items"]) for each in laid["nodes"]}
    assert items[*STEPS, 0] == (3, 1)
    assert items[*STEPS, 1] == (4, 2)
    assert items[*STEPS, 2] == items[*STEPS, 0, "do", 0] == (None, None)


async def test_an_execution_has_a_row_for_each_run_of_a_step_of_its_document(
    world: World, yaml: dict[str, Any]
) -> None:
    id = await world.send(yaml, {"amount": 3, "lines": ["a", "b"]})
    await world.state(id, "waiting")
    path = f"/api/executions/{id}/trace"
    found = await world.api.get(path)
    loop, put = [*STEPS, 0, "else", 0], [*STEPS, 0, "else", 0, "do", 0]
    rows = [(each["path"], each["item"], each["state"]) for each in found["items"]]
    assert rows == [
        ([*STEPS, 0], [], "succeeded"),
        (loop, [], "succeeded"),
        (put, [0], "succeeded"),
        (put, [1], "succeeded"),
        ([*STEPS, 1], [], "waiting"),
    ]
    assert (found["document"], found["next"]) == ("orders.yaml", None)
    before = (await world.api.get(f"/api/executions/{id}"))["steps"]
    assert [each["steps"] for each in found["items"][2:4]] == [
        [each["path"]] for each in before if each["kind"] == "state"
    ]

    await world.api("POST", f"/api/executions/{id}/signals/go", {"by": "Ada", "n": 1.50})
    await world.ended(id)
    found = await world.api.get(path)
    assert found["items"][-1]["state"] == "succeeded"
    assert found["items"][-1]["gave"] == {"text": '{"by":"Ada","n":1.5}', "size": 20, "cut": False}
    assert found["stopped"] is None
    page = await world.api.get(path, after=2, limit=2)
    assert (page["items"], page["next"]) == (found["items"][2:4], "4")
    # Nothing is recorded for it, and a viewer sees where, but no values.
    assert (await world.api.get(f"/api/executions/{id}"))["steps"][:-1] == before[:-1]
    viewer = await signed_in(world, "viewer")
    seen = (await viewer("GET", path)).json
    assert seen["payload_hidden"]
    assert [each["path"] for each in seen["items"]] == [each["path"] for each in found["items"]]
    assert seen["items"][-1]["gave"]["text"] == ""


async def test_a_row_says_where_it_failed(world: World) -> None:
    id = await world.send(
        await instance_of(world, FAILING), {"amount": 3, "lines": [1, "b"], "none": "x"}
    )
    await world.ended(id)
    rows = await world.api.items(f"/api/executions/{id}/trace")
    by_place = {(*each["path"], *map(str, each["item"])): each for each in rows}
    caught = by_place[(*STEPS, 1, "try", 0)]
    assert caught["state"] == "failed"
    assert caught["error"]["kind"] == "ExpressionError"
    assert by_place[(*STEPS, 1)]["state"] == "succeeded"
    assert by_place[(*STEPS, 2, "do", 0, "0")]["gave"]["text"] == '{"total":3}'
    failed = by_place[(*STEPS, 2, "do", 0, "1")]
    assert (failed["state"], failed["gave"], failed["took_ms"]) == ("failed", None, None)
    around = by_place[(*STEPS, 2)]
    assert (around["state"], around["error"]) == ("failed", None)


HEAVY = """\
      - for: each
        in: =[1..event.times]
        do:
          - set: {sum: "=$sum([1..5000].($ * 2))"}
      - stop: {answer: done}
"""


async def test_a_trace_leaves_the_loop_to_others_and_ends(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = await world.send(await instance_of(world, HEAVY), {"times": 20})
    await world.ended(id)
    path = f"/api/executions/{id}"
    threads: list[int] = []

    async def seen(*given: Any) -> Any:
        threads.append(threading.get_ident())
        return await trace(*given)

    monkeypatch.setattr("halflap.engine.shadow.trace", seen)
    traced = await world.api.get(f"{path}/trace")
    assert (len(traced["items"]), traced["stopped"]) == (22, None)
    assert len(threads) == 1
    assert threading.get_ident() not in threads
    monkeypatch.setattr("halflap.engine.resolver.TRACE_SECONDS", 0.01)
    assert "takes longer than 0.01 s" in (await world.api.get(f"{path}/trace"))["stopped"]
    late = await world.api.get(f"{path}/outline")
    assert "takes longer than 0.01 s" in late["stopped"]
    assert not late["followed"]
