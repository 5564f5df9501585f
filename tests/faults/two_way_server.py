"""The server of the two-way runs: `server.py`, with Salesforce ⇄ Acme, contacts too.

`--apps` is a JSON file with the values of both connections. `--forgetful` makes the control: a server
that knows no echo, since it never remembers what it wrote.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import structlog

from halflap.components.salesforce import Salesforce
from halflap.engine.bundle import pack
from halflap.engine.echo import Echo, RecordKnowledge
from halflap.gateway.server import run_loop
from halflap.model import Customer
from halflap.sdk.pairs import RecordState
from halflap.sdk.secret import take_apart
from halflap.server.host import Host
from tests.faults.server import active, main, parser

EXAMPLES = Path(__file__).parents[2] / "examples"
NAME = "salesforce-acme"
DISCOUNT = 12.5


async def connections(host: Host, customer: Customer, apps: dict[str, Any]) -> dict[str, str]:
    """The connections of both apps, by the config's fields."""
    fields, secrets = take_apart(Salesforce.model_validate(apps["salesforce"]))
    acme = dict(apps["acme"])
    kept = {"salesforce": (fields, secrets), "acme": (acme, {"api_key": acme.pop("api_key")})}
    save = host.store.catalogue.connections.save
    return {name: (await save(customer.id, name, name, *each)).id for name, each in kept.items()}


def prepared(apps: Path) -> Any:
    """Return a function that makes customer, connections and instance where there are none."""

    async def prepare(host: Host, _: str) -> dict[str, str]:
        catalogue = host.store.catalogue
        known = await catalogue.instances.list()
        if known:
            return await active(host, known[0])
        bundle = pack(EXAMPLES, "salesforce_acme_contacts:integration")
        await catalogue.versions.publish(NAME, bundle.hash, bundle.to_bytes(), "fault runs")
        customer = await catalogue.customers.add("Initech")
        made = await connections(host, customer, json.loads(apps.read_text()))
        instance = await catalogue.instances.add(customer.id, NAME, NAME, bundle.hash)
        await catalogue.instances.set_revision(instance.id, {"discount": DISCOUNT}, made)
        return await active(host, await catalogue.instances.get(instance.id))

    return prepare


def forget() -> None:
    """Let no execution know what another one wrote."""

    async def nothing(self: Echo, record: RecordState) -> RecordKnowledge:
        return RecordKnowledge()

    Echo.known = nothing


def options() -> argparse.Namespace:
    """Return the options that the process was given."""
    told = parser()
    told.add_argument("--apps", type=Path, required=True)
    told.add_argument("--forgetful", action="store_true")
    return told.parse_args()


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    given = options()
    if given.forgetful:
        forget()
    raise SystemExit(run_loop(main(given, prepared(given.apps))))
