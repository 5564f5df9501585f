"""Peers are measured by the same rules as ours: same bodies, same effects, every event counted."""

import json
from pathlib import Path

import pytest

from bench.accounting import Account
from bench.peers import n8n, nodered
from bench.peers.contest import PEERS, ratios
from bench.peers.install import HERE
from bench.peers.measure import account, ended
from bench.workload import WORKLOADS

DESTINATION = "http://127.0.0.1:9"


def seen(*ids: str) -> dict[str, tuple[int, int, int]]:
    return {id: (1, number * 10**9, number * 10**9) for number, id in enumerate(ids)}


def test_an_acknowledged_event_of_a_peer_is_lost_unless_it_wholly_arrived() -> None:
    many = WORKLOADS["W3"]
    arrived = seen(*many.due("run-1"), *many.due("run-2"))
    assert account(many, ["run-1", "run-2"], {"run"}, arrived) == Account(0, 0, 0)
    del arrived["run-2/19"]
    assert account(many, ["run-1", "run-2"], {"run"}, arrived) == Account(1, 0, 0)


def test_doubles_and_strangers_are_seen_and_an_unanswered_event_is_neither() -> None:
    arrived = seen("run-1", "run-2", "else-1") | {"run-3": (3, 0, 0)}
    assert account(WORKLOADS["W2"], ["run-1"], {"run"}, arrived) == Account(0, 2, 1)


def test_the_flows_of_a_peer_are_those_that_wholly_arrived_in_the_measured_flood() -> None:
    assert ended(WORKLOADS["W2"], "run", seen("warm-1", "run-1", "run-2", "run-3")) == (3, 2.0)
    assert ended(WORKLOADS["W2"], "run", {}) == (0, 0.0)
    arrived = seen(*WORKLOADS["W3"].due("run-1"), "run-2/0")
    assert ended(WORKLOADS["W3"], "run", arrived) == (1, 20.0)


def test_a_ratio_says_by_how_many_times_ours_is_better() -> None:
    keys = (
        "flows_per_s", "acks_per_s", "ack_p50_ms", "ack_p99_ms", "delivered_p50_ms",
        "delivered_p99_ms", "cpu_ms_per_flow", "rss_mib",
    )  # fmt: skip
    ours = dict.fromkeys(keys, 2.0) | {"delivered_p99_ms": None}
    found = ratios(ours, dict.fromkeys(keys, 8.0))
    assert (found["flows_per_s"], found["delivered_p50_ms"]) == (0.25, 4.0)
    assert found["delivered_p99_ms"] is None


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_peer_has_a_flow_for_every_workload(name: str) -> None:
    path = name.lower()
    assert any(each.get("url") == f"/{path}" for each in nodered.flows(DESTINATION))
    (found,) = (each for each in n8n.workflows(DESTINATION) if each["id"] == path)
    assert found["nodes"][0]["parameters"]["path"] == path
    posts = [each for each in found["nodes"] if each["type"].endswith("httpRequest")]
    assert bool(posts) == bool(WORKLOADS[name].effects)


def test_every_wire_of_a_flow_leads_to_a_node() -> None:
    nodes = nodered.flows(DESTINATION)
    ids = {each["id"] for each in nodes}
    assert all(to in ids for each in nodes for out in each.get("wires", []) for to in out)
    for workflow in n8n.workflows(DESTINATION):
        names = {each["name"] for each in workflow["nodes"]}
        outputs = [out for each in workflow["connections"].values() for out in each["main"]]
        assert all(to["node"] in names for out in outputs for to in out)


def test_the_peers_are_pinned_and_their_lock_names_no_registry() -> None:
    wanted = json.loads((HERE / "package.json").read_text())["dependencies"]
    lock = json.loads((HERE / "package-lock.json").read_text())["packages"]
    assert wanted.keys() == {each.package for each in PEERS}
    assert all(lock[f"node_modules/{name}"]["version"] == pin for name, pin in wanted.items())
    assert not any("resolved" in each and not each.get("link") for each in lock.values())


def test_no_peer_talks_to_the_outside(tmp_path: Path) -> None:
    settings = n8n.settings(tmp_path, 1)
    assert settings["N8N_LISTEN_ADDRESS"] == "127.0.0.1"
    for name in ("DIAGNOSTICS", "VERSION_NOTIFICATIONS", "TEMPLATES", "PERSONALIZATION"):
        assert settings[f"N8N_{name}_ENABLED"] == "false"
    nodered.prepare(tmp_path, DESTINATION)
    text = (tmp_path / "settings.js").read_text()
    assert 'uiHost: "127.0.0.1"' in text
    assert "telemetry: { enabled: false, updateNotification: false }" in text
