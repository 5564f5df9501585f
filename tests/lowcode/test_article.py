"""The article's integration in YAML does what its Python twin does: over the same day of events."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from decimal import Decimal
from importlib import import_module
from typing import Any

import pytest

from halflap import UpstreamError, salesforce
from halflap.sdk import codec
from halflap.sdk.integration import Integration
from halflap.testing import Result, Run
from halflap.testing.document import open_document
from tests.lowcode.documents import EXAMPLES, acme

Event = tuple[str, Any, dict[str, Any], dict[str, list[dict[str, str]]], Mapping[Any, Any]]


def twins(name: str) -> tuple[Integration[Any], Integration[Any]]:
    """An example's integration in Python, and in YAML."""
    return import_module(name).integration, open_document(EXAMPLES / f"{name}.yaml").integration


def seen(result: Result) -> dict[str, Any]:
    """Return what can be seen of an execution, from outside and in the console."""
    return {
        "state": result.state,
        "reason": result.reason.partition(" (")[0],
        "answer": result.result,
        "paired": {name: ids for name, ids in result.paired.items() if ids},
        "records": [
            (each.kind, each.name, each.path, each.title, each.status, each.inputs, each.result)
            for each in result.records
        ],
        "keys": [each.key.partition("-")[2] for each in result.steps],
    }


async def both(
    run: Run, name: str, flow: str, event: Any, **given: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for integration in twins(name):
        pairs = {integration.paired[each]: ids for each, ids in given.get("paired", {}).items()}
        options: dict[str, Any] = {**given, "paired": pairs}
        found.append(
            seen(await run(integration.flows[flow], event, integration=integration, **options))
        )
    return found[0], found[1]


ACCOUNT = acme.Account(id="a1", external_id="001", name="Initech")
DEAL = acme.Opportunity(id="o1", name="Suits", stage="Won", seats=5, price=Decimal("19.90"))
SAVED = salesforce.Saved(id="006", created=False)
STUBS = {
    acme.create_account: ACCOUNT,
    acme.update_account: ACCOUNT,
    acme.create_opportunity: DEAL,
    acme.update_opportunity: DEAL,
    salesforce.update_record: SAVED,
}


def day(seed: int, events: int) -> Iterator[Event]:
    """Events of both apps: new and known records, odd amounts, refusals."""
    chance = random.Random(seed)
    for number in range(events):
        known = chance.random() < 0.6
        stubs: dict[Any, Any] = dict(STUBS)
        if chance.random() < 0.1:
            stubs = dict.fromkeys(STUBS, UpstreamError("refused", status=chance.choice([400, 422])))
        name = chance.choice(["Initech", "Ä & Söhne", '"quoted"', "x" * 80, "0", "null", "="])
        match chance.choice(["account", "opportunity", "opportunity_amount"]):
            case "account":
                event: Any = {"sObject": {"type": "Account", "Id": f"001{number}", "Name": name}}
                pairs = {"accounts": [{"salesforce": f"001{number}", "acme": "a1"}]}
                yield "account", event, {}, pairs if known else {}, stubs
            case "opportunity":
                fields = {"Id": f"006{number}", "Name": name, "StageName": chance.choice("AB")}
                pairs = {"opportunities": [{"salesforce": f"006{number}", "acme": "o1"}]}
                event = {"sObject": {"type": "Opportunity", **fields}}
                yield "opportunity", event, {}, pairs if known else {}, stubs
            case flow:
                price = Decimal(chance.randrange(10**9)) / 100
                data = {"id": f"o{number}", "name": name, "stage": "Won", "price": str(price)}
                event = {"data": {**data, "seats": chance.randrange(10**4)}}
                pairs = {"opportunities": [{"salesforce": "006", "acme": f"o{number}"}]}
                config = {"discount": Decimal(chance.randrange(1001)) / 10}
                yield flow, event, config, pairs if known else {}, stubs


@pytest.mark.parametrize("seed", range(4))
async def test_a_day_of_events_goes_the_same_way_in_both(run: Run, seed: int) -> None:
    for flow, event, config, paired, stubs in day(seed, 40):
        given = {"config": config, "paired": paired, "stubs": stubs}
        python, yaml = await both(run, "salesforce_acme", flow, event, **given)
        assert python == yaml, (flow, event, config)


async def test_they_are_deployed_and_taken_down_alike(run: Run) -> None:
    user = salesforce.User(
        user_id="u1", preferred_username="ada@initech.example", organization_id="00D"
    )
    message = salesforce.OutboundMessage(id="m1", object="Account", name="m", url="u", fields=[])
    hook = acme.Webhook(id="w1", event="opportunity.updated", url="https://halflap.example/hooks/x")
    stubs = {
        salesforce.get_current_user: user,
        salesforce.ensure_outbound_message: message,
        acme.ensure_webhook: hook,
    }
    python, yaml = await both(run, "salesforce_acme", "deploy", None, stubs=stubs)
    assert python == yaml
    ours = "https://halflap.example/hooks/account"
    listed = {
        salesforce.list_outbound_messages: lambda: [
            message.model_copy(update={"id": f"m{at}", "url": url})
            for at, url in enumerate([ours, "https://else.example", ours])
        ],
        salesforce.delete_outbound_message: None,
        acme.list_webhooks: lambda: [hook.model_copy(update={"url": ours}), hook],
        acme.delete_webhook: None,
    }
    python, yaml = await both(run, "salesforce_acme", "teardown", None, stubs=listed)
    assert python == yaml
    names = [each[1] for each in yaml["records"] if each[0] == "action"]
    assert names.count("salesforce.delete_outbound_message") == 2
    assert names.count("acme.delete_webhook") == 1


async def test_the_warehouse_books_the_same_in_both(run: Run) -> None:
    chance = random.Random(7)
    stock = acme.Stock(item="anvil", quantity=1)
    stubs = {acme.add_stock: stock, acme.remove_stock: stock}
    for _ in range(30):
        updates = [
            {
                "item": chance.choice(["anvil", "rope"]),
                "action": chance.choice(["add", "remove"]),
                "quantity": chance.randrange(1, 50),
            }
            for _ in range(chance.randrange(4))
        ]
        kind = chance.choice(["WAREHOUSE_UPDATE", "WAREHOUSE_UPDATE", "PING"])
        event = {"event": kind, "updates": updates}
        python, yaml = await both(run, "warehouse", "stock", event, stubs=stubs)
        assert python == yaml, event


async def test_a_difference_would_be_seen(run: Run) -> None:
    event = {"sObject": {"type": "Account", "Id": "001", "Name": "Initech"}}
    python, _ = await both(run, "salesforce_acme", "account", event, stubs=STUBS)
    other = {"sObject": {"type": "Account", "Id": "001", "Name": "Initrode"}}
    _, yaml = await both(run, "salesforce_acme", "account", other, stubs=STUBS)
    assert python != yaml
    assert codec.decode(yaml["records"][-1][5])["name"] == "Initrode"
