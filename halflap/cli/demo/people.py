"""People work at both apps: what they do is at the other one at once, and does not come back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from statistics import median, quantiles
from typing import Any

from halflap.cli.demo.checks import Checks
from halflap.cli.demo.customer import Both, Customer
from halflap.cli.demo.stage import Stage
from halflap.cli.demo.tally import NEVER, follows, quiet, tally

PRICE = Decimal("18.50")
EDITS = 10
"""By each customer, at each app."""


@dataclass(frozen=True, slots=True)
class Deal:
    """A customer's opportunity, at both apps."""

    scene: Stage
    customer: Customer
    opportunity: str
    acme_opportunity: str

    async def at_salesforce(self) -> Any:
        """The opportunity, as Salesforce has it."""
        return await self.scene.salesforce.record(
            self.customer.org, "Opportunity", self.opportunity
        )

    async def at_acme(self) -> Any:
        """The opportunity, as Acme has it."""
        path = f"/v1/opportunities/{self.acme_opportunity}"
        return await self.scene.acme.call("GET", path, self.customer.key)

    async def rename(self, name: str) -> None:
        """A person renames it at Salesforce."""
        org = self.customer.org
        await self.scene.salesforce.edit(org, "Opportunity", self.opportunity, Name=name)

    async def sell(self, seats: int) -> None:
        """A person sells so many seats at Acme."""
        path = f"/v1/opportunities/{self.acme_opportunity}"
        given = {"seats": seats, "price": str(PRICE)}
        await self.scene.acme.call("PATCH", path, self.customer.key, json=given)

    async def named(self, name: str) -> float:
        """Milliseconds from the new name at Salesforce until it is at Acme."""
        await self.rename(name)

        async def there() -> bool:
            return (await self.at_acme())["name"] == name

        return await follows(there)

    async def sold(self, seats: int) -> float:
        """Milliseconds from the seats at Acme until their amount is at Salesforce."""
        await self.sell(seats)

        async def there() -> bool:
            return (await self.at_salesforce())["Amount"] == seats * PRICE

        return await follows(there)


async def people_day(scene: Stage, checks: Checks, both: Both) -> list[Deal]:
    """People work at both apps; returns their deals, one of each customer."""
    checks.act("People work in Salesforce and in Acme")
    deals = await first_deals(scene, checks, both)
    await edits(checks, deals)
    await quiet(scene, both)
    await echoes(scene, checks, both, edited=len(deals) * (3 + 2 * EDITS))
    await at_once(checks, deals[0])
    await quiet(scene, both)
    await apart(scene, checks, both)
    return deals


async def first_deals(scene: Stage, checks: Checks, both: Both) -> list[Deal]:
    """People make accounts and opportunities at Salesforce; others sell seats at Acme."""
    fields = {"StageName": "Prospecting", "CloseDate": "2026-12-31"}
    took = [await new_account(scene, each) for each in both]
    checks.check(*in_time("an account made in Salesforce is in Acme", both, took), timed=False)
    deals: list[Deal] = []
    took.clear()
    for each in both:
        name = f"{each.name} deal"
        ours = await scene.salesforce.edit(each.org, "Opportunity", Name=name, **fields)
        took.append(await follows(partial(made, scene, each, "opportunities", ours)))
        (theirs,) = await found(scene, each, "opportunities", ours)
        deals.append(Deal(scene, each, ours, theirs["id"]))
    checks.check(*in_time("so is an opportunity", both, took), timed=False)
    took = [await each.sold(12) for each in deals]
    amounts = {(await each.at_salesforce())["Amount"] for each in deals}
    claim = f"12 seats × {PRICE}, entered in Acme, are the amount in Salesforce"
    holds, *shown = in_time(claim, both, took)
    checks.check(holds and amounts == {12 * PRICE}, *shown, 12 * PRICE, timed=False)
    return deals


async def new_account(scene: Stage, customer: Customer) -> float:
    """Milliseconds from a new account at Salesforce until it is at Acme."""
    account = await scene.salesforce.edit(customer.org, "Account", Name=f"{customer.name} Ltd")
    return await follows(partial(made, scene, customer, "accounts", account))


async def at_once(checks: Checks, deal: Deal) -> None:
    """Two people edit one opportunity at the same moment, each at another app."""
    name, seats = f"{deal.customer.name}, renamed", 300
    await asyncio.gather(deal.rename(name), deal.sell(seats))

    async def equal() -> bool:
        here, there = await deal.at_salesforce(), await deal.at_acme()
        amount = there["seats"] * Decimal(there["price"])
        return (here["Name"], here["Amount"]) == (there["name"], amount) == (name, seats * PRICE)

    took = await follows(equal)
    checks.check(
        took < NEVER,
        "an edit in both apps at once: both arrive, both apps are equal",
        f"{took:.0f} ms",
        timed=False,
    )


async def edits(checks: Checks, deals: list[Deal]) -> None:
    """People edit at both apps, one after the other, each edit timed until it is at the other."""
    took: list[float] = []
    for number in range(EDITS):
        for deal in deals:
            took.append(await deal.named(f"{deal.customer.name} deal {number}"))
            took.append(await deal.sold(100 + number))
    late = quantiles(took, n=100, method="inclusive")[98]
    checks.check(
        max(took) < NEVER,
        f"{len(took)} edits, in turn in both apps, are each in the other",
        f"median {median(took):.1f} ms, p99 {late:.1f} ms",
        timed=False,
    )


async def echoes(scene: Stage, checks: Checks, both: Both, edited: int) -> None:
    """Each edit was executed once and written once; what we wrote came back and was ignored."""
    one, other = [await tally(scene, each) for each in both]
    both_did = one + other
    checks.check(
        both_did.executed == both_did.writes == edited,
        "each edit is one write at the other app",
        f"{edited} edits  {both_did.writes} writes",
    )
    checks.check(
        both_did.echoes > 0 and both_did.others == 0,
        "our own writes came back, `ignored: echo`; none was executed",
        f"{both_did.echoes} echoes",
    )


async def apart(scene: Stage, checks: Checks, both: Both) -> None:
    """Each customer's accounts hold only its own records."""
    strangers = seen = 0
    for each in both:
        names: list[str] = []
        for path in ("/v1/accounts", "/v1/opportunities"):
            names += [one["name"] for one in await scene.acme.everything(path, each.key)]
        for soql in ("SELECT Name FROM Account", "SELECT Name FROM Opportunity"):
            names += [one["Name"] for one in await scene.salesforce.query(each.org, soql)]
        strangers += sum(not name.startswith(each.name) for name in names)
        seen += len(names)
    checks.check(
        (strangers, seen) == (0, 2 * 4), "no customer's record is in the other's Salesforce or Acme"
    )


async def made(scene: Stage, customer: Customer, kind: str, external_id: str) -> bool:
    """Return whether Acme has the record."""
    return bool(await found(scene, customer, kind, external_id))


async def found(scene: Stage, customer: Customer, kind: str, external_id: str) -> list[Any]:
    """The records at Acme that stand for Salesforce's."""
    return await scene.acme.call("GET", f"/v1/{kind}?external_id={external_id}", customer.key)


def in_time(claim: str, whose: Sequence[Customer], took: list[float]) -> tuple[bool, str, str]:
    """A claim that something followed, with how long it took for each customer."""
    shown = [f"{each.name} {ms:.0f} ms" for each, ms in zip(whose, took, strict=True)]
    return max(took) < NEVER, claim, "  ".join(shown)
