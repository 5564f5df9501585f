"""A customer of the demo joins: accounts connected, instances activated."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from halflap.cli.demo.checks import Checks
from halflap.cli.demo.stage import Stage
from halflap.errors import HalflapError

INTEGRATIONS = ("github_acme", "warehouse", "acme_export", "stock_report")


@dataclass
class Customer:
    """A customer of the demo: here, and at Acme."""

    name: str
    id: str
    key: str
    workspace: str
    instances: dict[str, Any]

    def url(self, integration: str, flow: str) -> str:
        """The URL of a flow of one of its instances."""
        return self.instances[integration]["urls"][flow]


async def customers(scene: Stage, checks: Checks) -> tuple[Customer, Customer]:
    """Two customers connect their accounts and activate their instances."""
    checks.act("Two customers activate their own")
    both = [await join(scene, checks, name) for name in ("Initech", "Globex")]
    for each in both:
        ours = {url for one in each.instances.values() for url in one["urls"].values()}
        hooks = await scene.acme.hooks(each.key)
        subscribed = sum(len(one["subscriptions"]) for one in each.instances.values()) - 1
        checks.check(
            set(hooks) <= ours and len(hooks) == subscribed == len(set(hooks)),
            f"Acme calls {each.name}'s URLs, each once",
            f"{len(hooks)} webhooks",
        )
    checks.check(len(scene.github.hooks) == 2, "GitHub has one hook per repository")
    return both[0], both[1]


async def join(scene: Stage, checks: Checks, name: str) -> Customer:
    """One customer: connections tested before they are saved, instances activated."""
    made = await scene.api.call("POST", "/customers", {"name": name})
    workspace, key = await scene.acme.workspace(name)
    customer = Customer(name, made["id"], key, workspace, {})
    refused = ""
    try:
        await connect(
            scene, customer, "acme", {"base_url": f"{scene.acme.url}/v1", "api_key": "no"}
        )
    except HalflapError as error:
        refused = error.message
    checks.check("401" in refused, f"{name}: a wrong key is refused before it is saved")
    connections = {
        "acme": await connect(
            scene, customer, "acme", {"base_url": f"{scene.acme.url}/v1", "api_key": key}
        ),
        "github": await connect(
            scene,
            customer,
            "github",
            {
                "base_url": scene.github_url,
                "token": "ghp_demo",
                "repository": f"demo/{name.lower()}",
            },
        ),
        "destination": await connect(
            scene, customer, "destination", {"base_url": scene.receiver_url}
        ),
    }
    for module in INTEGRATIONS:
        await activate(scene, customer, module, connections)
    states = Counter(each["state"] for each in customer.instances.values())
    checks.check(
        states == {"active": len(INTEGRATIONS)},
        f"{name}: instances active",
        *(each["id"] for each in customer.instances.values()),
    )
    return customer


async def connect(scene: Stage, customer: Customer, field: str, values: dict[str, Any]) -> str:
    """Test and save a connection; returns its id."""
    where = {"acme": "warehouse", "github": "github-acme", "destination": "acme-export"}[field]
    made = await scene.api.call(
        "POST",
        "/connections",
        {
            "customer": customer.id,
            "integration": where,
            "field": field,
            "name": field,
            "values": values,
            "test": True,
        },
    )
    return made["id"]


async def activate(
    scene: Stage, customer: Customer, module: str, connections: dict[str, str]
) -> None:
    """Configure and activate one instance."""
    name = module.replace("_", "-")
    version = await scene.api.call("GET", f"/integrations/{name}/versions/1")
    wanted = {field: connections[field] for field in version["connections"]}
    body = {"customer": customer.id, "integration": name, "config": {}, "connections": wanted}
    instance = await scene.api.call("POST", "/instances", body)
    customer.instances[name] = await scene.api.call(
        "POST", f"/instances/{instance['id']}/activate?wait=30"
    )
