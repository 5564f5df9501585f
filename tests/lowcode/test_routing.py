"""Pre-process flows in YAML: what their routes say is what a Python one would return."""

from __future__ import annotations

from typing import Any

import pytest

from halflap import Route
from halflap.errors import DefinitionError
from halflap.testing import Run
from tests.cases import for_each
from tests.lowcode.documents import built

SHARED = """\
name: chats
config:
  Connect:
    team: {type: text}
preprocess:
  receive:
    trigger: webhook.request
    shared: true
    sender: =event.team
    routes:
      - {when: =event.type = "ping", ignore: ="a ping of " & event.team}
      - {when: =event.type = "message", flow: message, config: {team: =event.team}}
      - {when: =event.type = "order", flow: order, customer: =event.customer, event: {id: =event.id}}
      - {when: =event.team = "T7", flow: order, instance: =event.instance}
flows:
  message: {trigger: instance.routed, steps: [{log: x}]}
  order: {trigger: instance.routed, steps: [{log: x}]}
"""
OWN = """\
name: chat
preprocess:
  receive:
    trigger: webhook.request
    all: ALL
    routes:
      - {when: =event.a, flow: one}
      - {when: =event.b, flow: two}
flows:
  one: {trigger: instance.routed, steps: [{log: x}]}
  two: {trigger: instance.routed, steps: [{log: x}]}
"""


@pytest.mark.parametrize(
    ("event", "routes"),
    [
        ({"type": "message", "team": "T1"}, [Route("message", config={"team": "T1"})]),
        ({"type": "message", "team": "T7"}, [Route("message", config={"team": "T7"})]),
        (
            {"type": "order", "customer": 4711, "id": 3},
            [Route("order", {"id": 3}, customer="4711")],
        ),
        ({"type": "x", "team": "T7", "instance": "ins_1"}, [Route("order", instance="ins_1")]),
    ],
)
async def test_the_first_route_that_holds_is_taken(
    run: Run, event: Any, routes: list[Route]
) -> None:
    integration = built(SHARED)
    result = await run(integration.flows["receive"], event, integration=integration)
    assert (result.state, result.routes) == ("succeeded", routes)


async def test_what_is_ignored_or_matches_nothing_says_so(run: Run) -> None:
    integration = built(SHARED)
    flow = integration.flows["receive"]
    ping = await run(flow, {"type": "ping", "team": "T1"}, integration=integration)
    assert (ping.state, ping.reason) == ("ignored", "a ping of T1")
    lost = await run(flow, {"type": "else"}, integration=integration)
    assert (lost.state, lost.error and lost.error.kind) == ("failed", "Unrouted")
    unsaid = await run(flow, {"type": "message"}, integration=integration)
    assert unsaid.state == "failed"
    assert unsaid.reason.startswith("tried.yaml:12:")


@pytest.mark.parametrize(
    ("all", "event", "flows"),
    [
        ("true", {"a": True, "b": True}, ["one", "two"]),
        ("false", {"a": True, "b": True}, ["one"]),
        ("true", {"b": True}, ["two"]),
    ],
)
async def test_every_route_is_taken_where_all_are_asked_for(
    run: Run, all: str, event: Any, flows: list[str]
) -> None:
    integration = built(OWN.replace("ALL", all))
    result = await run(integration.flows["receive"], event, integration=integration)
    assert [each.name for each in result.routes] == flows


def test_a_shared_flow_is_as_in_python() -> None:
    flow = built(SHARED).flows["receive"]
    assert flow.is_shared
    assert flow.preprocess is not None
    assert flow.preprocess.sender is not None
    assert flow.where == "tried.yaml:6"


@for_each(
    ("before", "after", "said"),
    [
        ("flow: message,", "flow: mesage,", "tried.yaml:12:.*there is no flow 'mesage' here"),
        (", config: {team: =event.team}", "", "tried.yaml:12:.*say whose event it is"),
        ("    shared: true\n    sender: =event.team\n", "", "leave out whose event it is"),
        ("    shared: true\n", "", "leave out whose event it is"),
        ('=event.type = "ping"', "=config.team", "nobody's `config`"),
        ('ignore: ="a ping of " & event.team', "x: 1", "x"),
        (
            "trigger: webhook.request\n    shared",
            "trigger: schedule.cron\n    shared",
            "tried.yaml:7",
        ),
    ],
)
def test_what_cannot_work_is_refused_at_its_place(before: str, after: str, said: str) -> None:
    assert before in SHARED
    with pytest.raises(DefinitionError, match=said):
        built(SHARED.replace(before, after))
