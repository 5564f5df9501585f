"""Peers are measured by the same rules as ours: same bodies, same effects, every event counted."""

import json
from pathlib import Path

from bench.accounting import Account
from bench.peers import n8n, nodered
from bench.peers.contest import PEERS
from bench.peers.install import HERE
from bench.peers.measure import account
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
