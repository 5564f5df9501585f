"""The two apps of the two-way runs: real servers, people who edit in both, and bad days."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from halflap_sandbox import acme, salesforce
from halflap_sandbox.acme.app import create_app as create_acme
from halflap_sandbox.acme.model import Table, Workspace
from halflap_sandbox.salesforce import automation
from halflap_sandbox.salesforce.app import create_app as create_salesforce
from halflap_sandbox.salesforce.model import Change, Org
from halflap_sandbox.server import serving

KEEP = 1_000_000
BACKOFF = (0.1, 0.2, 0.5, 1.0)
BAD_DAY = {
    "latency_ms": 1,
    "latency_jitter_ms": 20,
    "error_rate": 0.05,
    "lose_answer_rate": 0.03,
    "duplicate_rate": 0.1,
    "reorder": 0.3,
}
STAGES = ("Prospecting", "Qualification", "Needs Analysis", "Closed Won", "Closed Lost")
STAMPS = {"updated_at"}


@dataclass
class Written:
    """The writes at Acme's tables: how many, and which of them changed nothing."""

    times: int = 0
    idle: list[str] = field(default_factory=list[str])

    def watch(self, table: Table[Any], changed: Callable[[Any, Any], None] | None = None) -> None:
        """Count what is put into a table; `changed` is told what was there and what is now."""
        put = table.put

        def watched(record: Any) -> None:
            before = table.get(record.id)
            self.times += 1
            if before is not None and plain(before) == plain(record):
                self.idle.append(record.id)
            if before is not None and changed is not None:
                changed(before, record)
            put(record)

        table.put = watched


def plain(record: Any) -> dict[str, Any]:
    """A record of Acme's without its stamps."""
    return {name: value for name, value in record.json().items() if name not in STAMPS}


@dataclass
class Office:
    """Both apps, and the people in them.

    records: how many of a kind are made on each side. edits, at_acme: how many edits people made, and
    how many of them at Acme. amounts: those that people wrote at Salesforce since seats or price of the
    opportunity were edited at Acme, by its id.
    """

    org: Org
    workspace: Workspace
    salesforce_app: Any
    acme_app: Any
    salesforce_url: str
    acme_url: str
    http: aiohttp.ClientSession
    chance: random.Random
    records: int
    edits: int = 0
    at_acme: int = 0
    written: Written = field(default_factory=Written)
    amounts: dict[str, Any] = field(default_factory=dict[str, Any])

    def watch(self) -> None:
        """See what is written, in the order in which it is."""

        def priced(before: Any, after: Any) -> None:
            if (before.seats, before.price) != (after.seats, after.price):
                self.amounts.pop(after.external_id, None)

        def saved(changes: list[Change]) -> None:
            for each in changes:
                before, after = each.before or {}, each.after or {}
                by_person = each.object == "Opportunity" and automation.hand.get() == "person"
                if by_person and before.get("Amount") != after.get("Amount"):
                    self.amounts[each.id] = after.get("Amount")

        self.org.saved.append(saved)
        self.written.watch(self.workspace.accounts)
        self.written.watch(self.workspace.contacts)
        self.written.watch(self.workspace.opportunities, priced)

    @property
    def apps(self) -> dict[str, Any]:
        """The values of the connections."""
        (app,) = self.org.apps.values()
        auth = {"kind": "client_credentials", "client_id": app.client_id}
        return {
            "salesforce": {
                "login_url": self.salesforce_url,
                "auth": {**auth, "client_secret": app.client_secret},
            },
            "acme": {"base_url": f"{self.acme_url}/v1", "api_key": self.workspace.api_key},
        }

    # Bad days -------------------------------------------------------------------------------

    async def go_wrong(self, seed: int) -> None:
        """Have both apps go wrong from now on."""
        for url in (self.salesforce_url, self.acme_url):
            await self.ask("POST", f"{url}/sandbox/faults", {**BAD_DAY, "seed": seed})

    async def go_well(self) -> None:
        """Have both apps go wrong no more."""
        for url in (self.salesforce_url, self.acme_url):
            await self.ask("DELETE", f"{url}/sandbox/faults")

    def pending(self) -> int:
        """Return the number of events that both apps have still to deliver."""
        lanes = [self.acme_app.state.deliverer.lane(w) for w in self.workspace.webhooks.values()]
        waiting = sum(lane.pending for lane in lanes if lane)
        return waiting + self.salesforce_app.state.sender.pending(self.org)

    def delivered(self) -> set[str]:
        """The ids of all events that were acknowledged."""
        at_acme = self.acme_app.state.deliverer.attempts(self.workspace)
        ids = {each.id for each in at_acme if each.outcome == "delivered"}
        for each in self.salesforce_app.state.sender.deliveries(self.org):
            if each.outcome == "delivered":
                ids |= {notification.id for notification in each.notifications}
        return ids

    # What the integration wrote ---------------------------------------------------------------

    def writes(self) -> int:
        """Return the number of writes of records that are not people's."""
        at_salesforce = sum(each.by == "api" for each in self.org.effects)
        return at_salesforce + self.written.times - self.at_acme

    def idle(self) -> list[str]:
        """The records that were written so that nothing changed."""
        at_salesforce = [e.id for e in self.org.effects if e.by == "api" and not e.values]
        return at_salesforce + self.written.idle

    # People -----------------------------------------------------------------------------------

    async def edit(self) -> None:
        """Somebody edits something."""
        acts: list[tuple[int, Callable[[int], Coroutine[Any, Any, None]]]] = [
            (15, self.edit_account),
            (20, self.edit_opportunity),
            (5, self.edit_amount),
            (20, self.edit_seats),
            (20, self.edit_contact),
            (20, self.edit_acme_contact),
        ]
        (act,) = self.chance.choices([a for _, a in acts], [weight for weight, _ in acts])
        self.edits += 1
        await act(self.edits)

    async def edit_account(self, number: int) -> None:
        """An account is made or renamed in Salesforce."""
        await self.save("Account", {"Name": f" Company  {number} "}, {})

    async def edit_opportunity(self, number: int) -> None:
        """An opportunity is made or edited in Salesforce."""
        values = {"Name": f"Deal {number}", "StageName": self.chance.choice(STAGES)}
        await self.save("Opportunity", values, {"CloseDate": "2027-01-31"})

    async def edit_amount(self, number: int) -> None:
        """Somebody knows the amount better."""
        if known := self.table("Opportunity"):
            id = self.chance.choice(known)
            await self.person("update", "Opportunity", {"Amount": number * 1_000_000}, id)

    async def edit_seats(self, number: int) -> None:
        """Seats or the price of an opportunity are edited in Acme."""
        known = list(self.workspace.opportunities)
        if not known:
            return await self.edit_opportunity(number)
        opportunity = self.chance.choice(known)
        body: dict[str, Any] = {}
        if self.chance.random() < 0.5 or not opportunity.price:
            body["price"] = f"{number}.449"  # Acme rounds it
        if not body or not opportunity.seats or self.chance.random() < 0.5:
            body["seats"] = number
        await self.at("PATCH", f"/opportunities/{opportunity.id}", body, number)
        return None

    async def edit_contact(self, number: int) -> None:
        """A contact is made or edited in Salesforce."""
        whole = {
            "FirstName": self.chance.choice([None, f"Ada{number}", f"Ada  Maria{number}"]),
            "LastName": self.chance.choice([f"King{number}", f"van  Berg{number}"]),
            "Email": self.chance.choice([None, f"Ada.{number}@Example.COM"]),
        }
        await self.save("Contact", self.some(whole, "LastName"), {"LastName": whole["LastName"]})

    async def edit_acme_contact(self, number: int) -> None:
        """A contact is made or edited in Acme."""
        whole = {
            "name": self.chance.choice([f" Grace  {number} Hopper ", f"Hopper{number}"]),
            "email": self.chance.choice([None, f" Grace.{number}@Example.COM"]),
        }
        known = list(self.workspace.contacts)
        if self.is_new(len(known)):
            await self.at("POST", "/contacts", whole, number)
        else:
            id = self.chance.choice(known).id
            await self.at("PATCH", f"/contacts/{id}", self.some(whole, "name"), number)

    # Inside -----------------------------------------------------------------------------------

    def some(self, whole: dict[str, Any], name: str) -> dict[str, Any]:
        """Some of these fields: one at least, and of those that may be empty none alone."""
        some = {n: v for n, v in whole.items() if self.chance.random() < 0.6}
        return some if any(some.values()) else {**some, name: whole[name]}

    def is_new(self, known: int) -> bool:
        """Return whether a record is made, rather than edited."""
        return known < 2 or (known < self.records and self.chance.random() < 0.15)

    def table(self, object: str) -> list[str]:
        """The ids of an object's records."""
        return list(self.org.tables[object])

    async def save(self, object: str, values: dict[str, Any], new: dict[str, Any]) -> None:
        """Make or edit a record in Salesforce."""
        known = self.table(object)
        if self.is_new(len(known)):
            await self.person("create", object, {**new, **values})
        else:
            await self.person("update", object, values, self.chance.choice(known))

    async def person(
        self, action: str, object: str, values: dict[str, Any], id: str | None = None
    ) -> None:
        """Write in Salesforce as a person does."""
        body = {"action": action, "object": object, "id": id, "values": values}
        await self.ask("POST", f"{self.salesforce_url}/sandbox/orgs/{self.org.id}/records", body)

    async def at(self, method: str, path: str, body: dict[str, Any], number: int) -> None:
        """Write in Acme as a person does: again, until it is saved."""
        self.at_acme += 1
        headers = {
            "Authorization": f"Bearer {self.workspace.api_key}",
            "Idempotency-Key": f"person {number}",
        }
        while True:
            try:
                await self.ask(method, f"{self.acme_url}/v1{path}", body, headers)
            except (aiohttp.ClientConnectionError, Busy):
                continue
            return

    async def ask(
        self, method: str, url: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> None:
        """Send a request that has to be done."""
        async with self.http.request(method, url, json=body, headers=headers) as response:
            if response.status == 503:
                raise Busy
            assert response.status < 300, await response.text()


class Busy(Exception):
    """An app says that it is too busy."""


@asynccontextmanager
async def open_office(seed: int, records: int) -> AsyncGenerator[Office]:
    """Both apps, up, with at most so many records of a kind made on each side."""
    at_salesforce = create_salesforce(
        salesforce.Settings(backoff=BACKOFF, kept=KEEP), orgs=["initech"]
    )
    at_acme = create_acme(
        acme.Settings(backoff=BACKOFF, kept=KEEP, tries=KEEP), workspaces={"Initech": "initech-key"}
    )
    (org,) = at_salesforce.state.world.orgs.values()
    (workspace,) = at_acme.state.world.workspaces.values()
    org.daily_api_requests = KEEP
    async with (
        serving(at_salesforce) as salesforce_url,
        serving(at_acme) as acme_url,
        aiohttp.ClientSession() as http,
    ):
        office = Office(
            org,
            workspace,
            at_salesforce,
            at_acme,
            salesforce_url,
            acme_url,
            http,
            random.Random(seed),
            records,
        )
        office.watch()
        yield office
