"""Node-RED, as it comes: flows in one process, everything in memory.

Its http request node is told to keep connections alive, which it does not by default, because that
is faster. An answer names its event in a header.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from bench.peers.install import HERE, MODULES
from bench.peers.peer import Peer

Node = dict[str, Any]

NAMED = 'msg.headers = {"event-id": msg.payload.id};'
BOOKING = "{id: o.id, who: o.customer.name, cents: o.total * 100}"


def prepare(directory: Path, destination: str) -> None:
    """Flows of W1 to W3 and the settings."""
    (directory / "flows.json").write_text(json.dumps(flows(destination)))
    shutil.copy(HERE / "settings.js", directory / "settings.js")


def flows(destination: str) -> list[Node]:
    """The three flows as Node-RED's editor would export them."""
    return [*_mapping(), *_forward(destination), *_fanout(destination)]


def _mapping() -> list[Node]:
    code = f"const o = msg.payload; {NAMED} msg.payload = {BOOKING}; return msg;"
    return [
        _tab("w1"),
        _in("w1", ["w1-map"]),
        _function("w1-map", code, [["w1-answer"]]),
        _answer("w1", 200),
    ]


def _forward(destination: str) -> list[Node]:
    cases = ["order.created", "order.cancelled"]
    nodes = [
        _tab("w2"),
        _in("w2", ["w2-branch", "w2-named"]),
        *_answered("w2"),
        {
            "id": "w2-branch",
            "type": "switch",
            "z": "w2",
            "property": "payload.event",
            "propertyType": "msg",
            "rules": [{"t": "eq", "v": each, "vt": "str"} for each in cases],
            "checkall": "false",
            "outputs": 2,
            "wires": [["w2-book"], ["w2-cancel"]],
        },
    ]
    code = f"const o = msg.payload; return {{payload: {BOOKING}}};"
    for name, path in (("w2-book", "/bookings"), ("w2-cancel", "/cancellations")):
        nodes += [
            _function(name, code, [[f"{name}-post"]]),
            _post(f"{name}-post", destination + path),
        ]
    return nodes


def _fanout(destination: str) -> list[Node]:
    line = "{id: `${o.id}/${n}`, sku: each.sku, quantity: each.quantity}"
    code = f"const o = msg.payload; return [o.items.map((each, n) => ({{payload: {line}}}))];"
    return [
        _tab("w3"),
        _in("w3", ["w3-lines", "w3-named"]),
        *_answered("w3"),
        _function("w3-lines", code, [["w3-post"]]),
        _post("w3-post", f"{destination}/bookings"),
    ]


def _tab(flow: str) -> Node:
    return {"id": flow, "type": "tab", "label": flow}


def _in(flow: str, to: list[str]) -> Node:
    fixed = {"type": "http in", "method": "post", "url": f"/{flow}", "upload": False}
    return {"id": f"{flow}-in", "z": flow, **fixed, "wires": [to]}


def _answered(flow: str) -> list[Node]:
    """Answer at once, as we do: 202, and the event's id."""
    code = f"{NAMED} msg.payload = {{accepted: true}}; return msg;"
    return [_function(f"{flow}-named", code, [[f"{flow}-answer"]]), _answer(flow, 202)]


def _answer(flow: str, status: int) -> Node:
    fixed = {"type": "http response", "statusCode": str(status), "headers": {}}
    return {"id": f"{flow}-answer", "z": flow, **fixed, "wires": []}


def _function(id: str, code: str, wires: list[list[str]]) -> Node:
    fixed = {
        "type": "function",
        "outputs": len(wires),
        "initialize": "",
        "finalize": "",
        "libs": [],
    }
    return {"id": id, "z": id[:2], **fixed, "func": code, "wires": wires}


def _post(id: str, url: str) -> Node:
    fixed = {"type": "http request", "method": "POST", "ret": "obj", "paytoqs": "ignore"}
    return {"id": id, "z": id[:2], **fixed, "url": url, "persist": True, "wires": [[]]}


def command(directory: Path, port: int) -> list[str]:
    """Return the command that Node runs."""
    where = ["--userDir", str(directory), "--settings", str(directory / "settings.js")]
    return [str(MODULES / "node-red" / "red.js"), *where, "--port", str(port), "--no-telemetry"]


NODE_RED = Peer(
    name="node-red",
    package="node-red",
    setup="as it comes: one process, in memory, nothing stored; http request keeps connections alive",
    differs={
        "W1": "answers at the end of its flow, which is how its flows are counted",
        "W2": "nothing is stored: a crash loses what was answered",
        "W3": "the 20 POSTs of an event go out at once, ours one after another; nothing is stored",
    },
    path="/{}",
    threads=1,
    prepare=prepare,
    command=command,
)
