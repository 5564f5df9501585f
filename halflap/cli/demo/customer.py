"""A customer of the demo joins: accounts connected, instances activated."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from halflap.cli.demo.checks import Checks
from halflap.cli.demo.stage import Stage
from halflap.errors import HalflapError

TWO_WAY = "salesforce_acme"
INTEGRATIONS = ("github_acme", "warehouse", "acme_export", "stock_report")
OF = {
    "salesforce": "salesforce-acme",
    "acme": "salesforce-acme",
    "github": "github-acme",
    "destination": "acme-export",
}
"""A config's field → an integration that has it."""


@dataclass
class Customer:
    """A customer of the demo: here, at Salesforce and at Acme."""

    name: str
    id: str
    org: dict[str, Any]
    key: str
    workspace: str
    connections: dict[str, str] = field(default_factory=dict[str, str])
    instances: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def deals(self) -> Any:
        """Its instance of Salesforce ⇄ Acme."""
        return self.instances["salesforce-acme"]

    def url(self, integration: str, flow: str) -> str:
        """The URL of a flow of one of its instances."""
        return self.instances[integration]["urls"][flow]


Both = tuple[Customer, Customer]


async def meet(scene: Stage, checks: Checks) -> Both:
    """Two customers connect their accounts of both apps and activate the integration."""
    checks.act("Two customers, each with a Salesforce org and an Acme workspace")
    initech, globex = [await welcome(scene, checks, name) for name in ("Initech", "Globex")]
    for each in (initech, globex):
        await activate(scene, each, TWO_WAY)
        checks.check(
            each.deals["state"] == "active",
            f"{each.name}'s instance is active, on version {each.deals['version']['number']}",
            each.deals["id"],
        )
    for each in (initech, globex):
        urls = set(each.deals["urls"].values())
        hooks = await scene.acme.hooks(each.key)
        messages, flows = await scene.salesforce.automation(each.org)
        checks.check(
            (messages, flows, len(hooks)) == (2, 2, 1) and urls.issuperset(hooks),
            f"both apps call {each.name}'s own URLs",
            f"{messages} outbound messages, {flows} flows, {len(hooks)} webhook",
        )
    return initech, globex


async def welcome(scene: Stage, checks: Checks, name: str) -> Customer:
    """A customer, and its accounts at both apps, tested before they are saved."""
    made = await scene.api.call("POST", "/customers", {"name": name})
    org = await scene.salesforce.org(name)
    workspace, key = await scene.acme.workspace(name)
    customer = Customer(name, made["id"], org, key, workspace)
    at_salesforce, at_acme = scene.salesforce.url, f"{scene.acme.url}/v1"
    auth = {"kind": "client_credentials", "client_id": org["client_id"]}
    secret = {"client_secret": org["client_secret"]}
    ways: dict[str, dict[str, Any]] = {
        "salesforce": {"login_url": at_salesforce, "auth": auth | secret},
        "acme": {"base_url": at_acme, "api_key": key},
    }
    wrong: dict[str, dict[str, Any]] = {
        "salesforce": {"login_url": at_salesforce, "auth": auth | {"client_secret": "no"}},
        "acme": {"base_url": at_acme, "api_key": "no"},
    }
    refused = [await refusal(scene, customer, app, values) for app, values in wrong.items()]
    checks.check(all(refused), f"{name}: wrong credentials are refused before they are saved")
    for app, values in ways.items():
        await connect(scene, customer, app, values)
    return customer


async def customers(scene: Stage, checks: Checks, both: Both) -> None:
    """The same two customers activate the other integrations."""
    checks.act("Both activate four more integrations")
    for each in both:
        github = {
            "base_url": scene.github_url,
            "token": "ghp_demo",
            "repository": f"demo/{each.name.lower()}",
        }
        await connect(scene, each, "github", github)
        await connect(scene, each, "destination", {"base_url": scene.receiver_url})
        for module in INTEGRATIONS:
            await activate(scene, each, module)
        ours = [each.instances[module.replace("_", "-")] for module in INTEGRATIONS]
        checks.check(
            Counter(one["state"] for one in ours) == {"active": len(ours)},
            f"{each.name}'s instances are active",
            f"{len(ours)} instances",
        )
        urls = {url for one in ours for url in one["urls"].values()}
        hooks = await scene.acme.hooks(each.key)
        subscribed = sum(len(one["subscriptions"]) for one in ours) - 1
        checks.check(
            set(hooks) <= urls and len(hooks) == subscribed == len(set(hooks)),
            f"Acme calls {each.name}'s URLs, each once",
            f"{len(hooks)} webhooks",
        )
    checks.check(len(scene.github.hooks) == 2, "GitHub has one hook per repository")


async def refusal(scene: Stage, customer: Customer, app: str, values: dict[str, Any]) -> str:
    """Return the refusal of a connection that does not work; nothing where it was saved."""
    try:
        await connect(scene, customer, app, values)
    except HalflapError as error:
        return error.message
    return ""


async def connect(scene: Stage, customer: Customer, app: str, values: dict[str, Any]) -> None:
    """Test and save a connection."""
    made = await scene.api.call(
        "POST",
        "/connections",
        {
            "customer": customer.id,
            "integration": OF[app],
            "field": app,
            "name": app,
            "values": values,
            "test": True,
        },
    )
    customer.connections[app] = made["id"]


async def activate(scene: Stage, customer: Customer, module: str) -> None:
    """Configure and activate one instance."""
    name = module.replace("_", "-")
    version = await scene.api.call("GET", f"/integrations/{name}/versions/1")
    wanted = {field: customer.connections[field] for field in version["connections"]}
    body = {"customer": customer.id, "integration": name, "config": {}, "connections": wanted}
    instance = await scene.api.call("POST", "/instances", body)
    customer.instances[name] = await scene.api.call(
        "POST", f"/instances/{instance['id']}/activate?wait=30"
    )
