"""Version 2 brings contacts, both ways, to one customer; then both customers switch off."""

from __future__ import annotations

import asyncio

from halflap.cli.demo.checks import Checks
from halflap.cli.demo.customer import Both, Customer
from halflap.cli.demo.people import Deal, in_time, made
from halflap.cli.demo.stage import Stage
from halflap.cli.demo.tally import NEVER, executions, follows, quiet, tally
from halflap.engine.bundle import Bundle


async def upgrade_day(
    scene: Stage, checks: Checks, both: Both, bundle: Bundle, deals: list[Deal]
) -> None:
    """Version 2 brings contacts, both ways, to one customer."""
    checks.act("Version 2 adds contacts; one customer upgrades, the other stays")
    initech, globex = both
    before = await footprint(scene, globex)
    last = initech.deals["version"]["hash"]
    path = f"/versions?target=production&expect={last}"
    version = await scene.api.call("POST", path, raw=bundle.to_bytes())
    checks.check(
        version["number"] == 2, f"version {version['number']} is published", version["hash"][:8]
    )
    path = f"/instances/{initech.deals['id']}/upgrade?wait=30"
    initech.instances["salesforce-acme"] = await scene.api.call("POST", path, {"version": "2"})
    messages, flows, hooks = await footprint(scene, initech)
    checks.check(
        (initech.deals["state"], initech.deals["version"]["number"]) == ("active", 2)
        and (messages, flows, hooks) == (3, 3, 2),
        f"{initech.name} is on version 2; both apps call its new URLs, none twice",
        f"{messages} outbound messages, {flows} flows, {hooks} webhooks",
    )
    globex.instances["salesforce-acme"] = await scene.api.call(
        "GET", f"/instances/{globex.deals['id']}"
    )
    checks.check(
        globex.deals["version"]["number"] == 1 and await footprint(scene, globex) == before,
        f"{globex.name} is on version 1, its URLs as they were",
    )
    await contacts(scene, checks, both)
    took = await deals[1].named(f"{globex.name} deal, on version 1")
    newest = (await executions(scene, globex.deals["id"]))[0]
    checks.check(
        took < NEVER and newest["version"]["number"] == 1,
        f"{globex.name}'s deals go on, on version 1",
        f"{took:.0f} ms",
        timed=False,
    )


async def contacts(scene: Stage, checks: Checks, both: Both) -> None:
    """A contact made in each app is in the other; one edited in both at once is equal in both."""
    initech, globex = both
    before = await tally(scene, initech)
    fields = {"FirstName": "Ada", "LastName": "Lovelace", "Email": "ada@initech.example"}
    ada = await scene.salesforce.edit(initech.org, "Contact", **fields)
    await scene.salesforce.edit(globex.org, "Contact", **fields)
    took = await follows(lambda: made(scene, initech, "contacts", ada))
    checks.check(
        *in_time("a contact made in Salesforce is in Acme", [initech], [took]), timed=False
    )
    given = {"name": "Grace Hopper", "email": "grace@initech.example"}
    grace = await scene.acme.call("POST", "/v1/contacts", initech.key, json=given)
    soql = "SELECT Id, Name, Email FROM Contact WHERE LastName = 'Hopper'"

    async def there() -> bool:
        rows = await scene.salesforce.query(initech.org, soql)
        return [(each["Name"], each["Email"]) for each in rows] == [(*given.values(),)]

    took = await follows(there)
    checks.check(
        *in_time("a contact made in Acme is in Salesforce", [initech], [took]), timed=False
    )
    await quiet(scene, both)
    did = await tally(scene, initech) - before
    checks.check(
        did.executed == did.writes == 2 and did.echoes > 0 and did.others == 0,
        "each is one write; it came back, `ignored: echo`",
        f"{did.writes} writes  {did.echoes} echoes",
    )
    (row,) = await scene.salesforce.query(initech.org, soql)
    path = f"/v1/contacts/{grace['id']}"
    await asyncio.gather(
        scene.salesforce.edit(initech.org, "Contact", row["Id"], LastName="Murray Hopper"),
        scene.acme.call("PATCH", path, initech.key, json={"name": "Admiral Hopper"}),
    )
    await quiet(scene, both)
    here = (await scene.salesforce.record(initech.org, "Contact", row["Id"]))["Name"]
    theirs = (await scene.acme.call("GET", path, initech.key))["name"]
    checks.check(
        here == theirs == "Grace Murray Hopper",
        "a name changed in both apps at once: both end with that of Salesforce, the master",
        here,
    )
    ours = await executions(scene, initech.deals["id"])
    lost = {each["reason"].partition(":")[0] for each in ours} & {"superseded", "conflict"}
    checks.check(
        bool(lost),
        "the edit that lost is there to see, with the reason",
        *(f"ignored: {each}" for each in lost),
    )
    others = await scene.acme.everything("/v1/contacts", globex.key)
    checks.check(others == [], f"{globex.name}, on version 1, has no contacts in Acme")


async def switch_off(scene: Stage, checks: Checks, both: Both, deals: list[Deal]) -> None:
    """Both customers disable their instances; both apps are as they were before."""
    checks.act("Both switch it off")
    for each in both:
        await scene.api.call("POST", f"/instances/{each.deals['id']}/disable?wait=60")
        left = await footprint(scene, each)
        checks.check(
            left == (0, 0, 0),
            f"{each.name}'s apps are clean: no outbound message, no flow, no webhook",
        )
    for each in deals:
        await each.rename("Nobody listens")
    async with scene.http.post(both[0].url("salesforce-acme", "account"), data=b"") as answer:
        checks.check(answer.status == 404, "their URLs answer as if they never were")
    await quiet(scene, both)
    names = [(await each.at_acme())["name"] for each in deals]
    checks.check(
        "Nobody listens" not in names, "an edit in Salesforce goes nowhere; nothing waits or runs"
    )


async def footprint(scene: Stage, customer: Customer) -> tuple[int, int, int]:
    """Return the number of outbound messages and flows of a customer's org, and of webhooks at
    Acme.
    """
    hooks = await scene.acme.hooks(customer.key)
    return (*await scene.salesforce.automation(customer.org), len(hooks))
