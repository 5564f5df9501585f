"""n8n twice: as it comes (SQLite, every execution saved), and at its fastest.

Its fastest that still is one process with nothing else to install: executions are not saved, whether
they succeed or fail, nor is their progress; expressions run in its own process and not in an
isolate; insights and other modules that count executions are off. It still writes a row when an
execution starts and removes it when it ends, which no setting changes.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.peers.install import MODULES, node
from bench.peers.peer import Peer, environment, free_port
from bench.process import BenchError

Node = dict[str, Any]

PROGRAM = str(MODULES / "n8n" / "bin" / "n8n")
QUIET = {
    "EXTERNAL_FRONTEND_HOOKS_URLS": "",
    "N8N_AI_ASSISTANT_BASE_URL": "",
    "N8N_COMMUNITY_PACKAGES_ENABLED": "false",
    "N8N_DIAGNOSTICS_CONFIG_BACKEND": "",
    "N8N_DIAGNOSTICS_CONFIG_FRONTEND": "",
    "N8N_DIAGNOSTICS_ENABLED": "false",
    "N8N_DISABLED_MODULES": "mcp-registry",
    "N8N_DYNAMIC_BANNERS_ENABLED": "false",
    "N8N_HIRING_BANNER_ENABLED": "false",
    "N8N_LICENSE_AUTO_RENEW_ENABLED": "false",
    "N8N_LICENSE_SERVER_URL": "http://127.0.0.1:9",
    "N8N_PERSONALIZATION_ENABLED": "false",
    "N8N_SENTRY_DSN": "",
    "N8N_TEMPLATES_ENABLED": "false",
    "N8N_VERSION_NOTIFICATIONS_ENABLED": "false",
    "N8N_VERSION_NOTIFICATIONS_WHATS_NEW_ENABLED": "false",
}
FASTEST = {
    "EXECUTIONS_DATA_SAVE_ON_ERROR": "none",
    "EXECUTIONS_DATA_SAVE_ON_SUCCESS": "none",
    "EXECUTIONS_DATA_SAVE_ON_PROGRESS": "false",
    "EXECUTIONS_DATA_SAVE_MANUAL_EXECUTIONS": "false",
    "N8N_DISABLED_MODULES": "mcp-registry,insights",
    "N8N_EXPRESSION_ENGINE": "legacy",
}
BOOKING = "{ id: $json.body.id, who: $json.body.customer.name, cents: $json.body.total * 100 }"
LINE = "{ id: $('in').first().json.body.id + '/' + $itemIndex, sku: $json.sku, quantity: $json.quantity }"


def settings(directory: Path, port: int) -> Mapping[str, str]:
    """Where it keeps its data and listens, and no traffic to the outside."""
    return QUIET | {
        "N8N_USER_FOLDER": str(directory),
        "N8N_ENCRYPTION_KEY": "measured-on-loopback-only",
        "N8N_HOST": "127.0.0.1",
        "N8N_LISTEN_ADDRESS": "127.0.0.1",
        "N8N_PORT": str(port),
        "N8N_RUNNERS_BROKER_PORT": str(free_port()),
        "N8N_DISABLE_UI": "true",
        "N8N_LOG_LEVEL": "info",
    }


def prepare(directory: Path, destination: str) -> None:
    """A user folder with the workflows of W1 to W3 in it, published."""
    found = workflows(destination)
    (directory / "workflows.json").write_text(json.dumps(found))
    _run(directory, "import:workflow", "--input=workflows.json")
    for each in found:
        _run(directory, "publish:workflow", f"--id={each['id']}")


def _run(directory: Path, *arguments: str) -> None:
    done = subprocess.run(
        [node(), PROGRAM, *arguments],
        cwd=directory,
        env=environment(directory, N8N, 0),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BenchError(f"n8n {arguments[0]} failed:\n{done.stdout}{done.stderr}")


def workflows(destination: str) -> list[Node]:
    """The three workflows as n8n's editor would export them."""
    return [_mapping(), _forward(destination), _fanout(destination)]


def _mapping() -> Node:
    return _workflow("w1", [_in("w1", "lastNode"), _set("map", BOOKING)], {"in": [["map"]]})


def _forward(destination: str) -> Node:
    cases = ["order.created", "order.cancelled"]
    nodes = [
        _in("w2", "onReceived"),
        _node("branch", "switch", 3.2, {"rules": {"values": [_case(each) for each in cases]}}),
        _set("book", BOOKING),
        _post("post booking", f"{destination}/bookings"),
        _set("cancel", BOOKING),
        _post("post cancellation", f"{destination}/cancellations"),
    ]
    wires = {
        "in": [["branch"]],
        "branch": [["book"], ["cancel"]],
        "book": [["post booking"]],
        "cancel": [["post cancellation"]],
    }
    return _workflow("w2", nodes, wires)


def _fanout(destination: str) -> Node:
    nodes = [
        _in("w3", "onReceived"),
        _node("split", "splitOut", 1, {"fieldToSplitOut": "body.items", "options": {}}),
        _set("line", LINE),
        _post("post", f"{destination}/bookings"),
    ]
    return _workflow("w3", nodes, {"in": [["split"]], "split": [["line"]], "line": [["post"]]})


def _workflow(id: str, nodes: list[Node], wires: Mapping[str, list[list[str]]]) -> Node:
    connections = {
        source: {
            "main": [
                [{"node": each, "type": "main", "index": 0} for each in output]
                for output in outputs
            ]
        }
        for source, outputs in wires.items()
    }
    fixed = {"active": False, "settings": {"executionOrder": "v1"}, "pinData": {}}
    return {"id": id, "name": id, **fixed, "nodes": nodes, "connections": connections}


def _node(name: str, kind: str, version: float, parameters: Node) -> Node:
    return {
        "id": name,
        "name": name,
        "type": f"n8n-nodes-base.{kind}",
        "typeVersion": version,
        "position": [0, 0],
        "parameters": parameters,
    }


def _in(flow: str, mode: str) -> Node:
    parameters = {"httpMethod": "POST", "path": flow, "responseMode": mode, "options": {}}
    return _node("in", "webhook", 2.1, parameters) | {"webhookId": flow}


def _case(event: str) -> Node:
    condition = {
        "id": event,
        "leftValue": "={{ $json.body.event }}",
        "rightValue": event,
        "operator": {"type": "string", "operation": "equals"},
    }
    options = {"caseSensitive": True, "leftValue": "", "typeValidation": "strict", "version": 2}
    return {"conditions": {"options": options, "conditions": [condition], "combinator": "and"}}


def _set(name: str, value: str) -> Node:
    return _node(
        name, "set", 3.4, {"mode": "raw", "jsonOutput": f"={{{{ {value} }}}}", "options": {}}
    )


def _post(name: str, url: str) -> Node:
    body = {"sendBody": True, "specifyBody": "json", "jsonBody": "={{ $json }}", "options": {}}
    return _node(name, "httpRequest", 4.2, {"method": "POST", "url": url, **body})


def command(directory: Path, port: int) -> list[str]:
    """Return the command that Node runs."""
    return [PROGRAM, "start"]


N8N = Peer(
    name="n8n",
    package="n8n",
    setup="as it comes: one process, SQLite, every execution saved; only UI and outside traffic are off",
    differs={
        "W1": "answers at the end of its flow, which is how its flows are counted",
        "W2": "a crash loses or marks as crashed what was answered and had not ended",
        "W3": "the 20 POSTs of an event go out at once, ours one after another",
    },
    path="/webhook/{}",
    threads=32,
    prepare=prepare,
    command=command,
    says=("Editor is now accessible", "Registered runner", "Finished building workflow"),
    environment=settings,
)
N8N_FASTEST = replace(
    N8N,
    name="n8n-fastest",
    setup="one process, SQLite, executions not saved: "
    + " ".join(f"{name}={value}" for name, value in FASTEST.items()),
    environment=lambda directory, port: {**settings(directory, port), **FASTEST},
)
