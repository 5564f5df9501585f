"""The demo's story: its acts in order, each with its checks."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import click

from halflap.cli.demo.stage import Checks, Stage, eventually, set_stage
from halflap.engine.bundle import pack
from halflap.errors import HalflapError

INTEGRATION = "salesforce-acme"
FLOWS = {"account", "opportunity", "opportunity_amount", "contact", "acme_contact"}
"""The flows of the integration that records set off."""
DEAL = {"StageName": "Prospecting", "CloseDate": "2026-12-31"}
PRICE = Decimal("18.50")
EDITS = 10
"""The number of edits by each customer, at each app."""
RECORDS = 150
"""The number of records that people make while the server is killed."""
PATIENCE = 10.0
"""Seconds within which something has to follow."""
NEVER = float("inf")


@dataclass
class DemoCustomer:
    """A customer: at Halflap, at Salesforce and at Acme."""

    name: str
    id: str
    org: dict[str, Any]
    workspace: str
    key: str
    connections: dict[str, str] = field(default_factory=dict[str, str])
    instance: Any = None
    deal: tuple[str, str] = ("", "")
    """The ids of its opportunity at Salesforce and at Acme."""


async def run_demo(*, keep: bool) -> int:
    """Run every act; return the exit code."""
    directory = Path(tempfile.mkdtemp(prefix="halflap-demo-"))
    checks = Checks()
    try:
        async with set_stage(directory) as stage:
            try:
                await Story(stage, checks).run()
            except (HalflapError, TimeoutError, OSError) as error:
                checks.check(False, f"the demo could not go on: {error or type(error).__name__}")
                log = stage.server.log.read_text(errors="replace")[-2_000:]
                click.echo(f"the server's log: {stage.server.log}\n{log}", err=True)
            code = checks.close()
            if keep:
                click.echo(f"\nSalesforce  {stage.salesforce.url}\nAcme        {stage.acme.url}")
                click.echo(f"server      {stage.server.url}/api\nstore       {stage.server.store}")
                click.echo("Look around; Ctrl-C ends it.")
                with contextlib.suppress(asyncio.CancelledError, KeyboardInterrupt):
                    await asyncio.Event().wait()
            return code
    finally:
        if checks.passed == checks.total:
            shutil.rmtree(directory, ignore_errors=True)
        else:
            click.echo(f"kept for a look: {directory}", err=True)


class Story:
    """A day of two customers, Initech and Globex."""

    def __init__(self, stage: Stage, checks: Checks) -> None:
        self.api, self.salesforce, self.acme = stage.api, stage.salesforce, stage.acme
        self.stage, self.check, self.act = stage, checks.check, checks.act
        self.both: list[DemoCustomer] = []

    async def run(self) -> None:
        """Play the acts in their order."""
        for act in (self.meet, self.work, self.crash, self.upgrade, self.switch_off):
            await act()

    async def meet(self) -> None:
        """Two customers connect their accounts of both apps and activate the integration."""
        self.act("A server, and two customers, each with a Salesforce org and an Acme workspace")
        version = await self.publish("salesforce_acme")
        claim = f"Salesforce ⇄ Acme is published, version {version['number']}"
        self.check(version["number"] == 1, claim, version["hash"][:8], self.stage.server.url)
        for name in ("Initech", "Globex"):
            made = await self.api.post("/api/customers", {"name": name})
            org = await self.salesforce.call("POST", "/sandbox/orgs", json={"name": name})
            space = await self.acme.call("POST", "/sandbox/workspaces", json={"name": name})
            customer = DemoCustomer(name, made["id"], org, space["id"], space["api_key"])
            self.both.append(customer)
            taken: list[bool] = []
            for secret, key in (("no", "no"), (org["client_secret"], customer.key)):
                auth = {"client_id": org["client_id"], "client_secret": secret}
                auth["kind"] = "client_credentials"
                login = {"login_url": self.salesforce.url, "auth": auth}
                acme = {"base_url": f"{self.acme.url}/v1", "api_key": key}
                taken.append(await self.connects(customer, "salesforce", login))
                taken.append(await self.connects(customer, "acme", acme))
            claim = f"{name}: wrong credentials are refused before they are saved"
            self.check(taken == [False, False, True, True], claim)
        for each in self.both:
            await self.activate(each)
            hooks = await self.acme.hooks(each.key)
            ours = set(each.instance["urls"].values()).issuperset(hooks)
            messages, flows, _ = footprint = await self.footprint(each)
            self.check(
                each.instance["state"] == "active" and ours and footprint == (2, 2, 1),
                f"{each.name}'s instance is active; both apps call its own URLs",
                f"{messages} outbound messages, {flows} flows, {len(hooks)} webhook",
            )

    async def work(self) -> None:
        """People work at both apps; what they do is at the other one at once, and does not come back."""
        self.act("People work in Salesforce and in Acme")
        took: list[float] = []
        for each in self.both:
            account = await self.salesforce.edit(each.org, "Account", Name=f"{each.name} Ltd")
            took.append(await follows(partial(self.found, each, "accounts", account)))
            name = f"{each.name} deal"
            ours = await self.salesforce.edit(each.org, "Opportunity", Name=name, **DEAL)
            took.append(await follows(partial(self.found, each, "opportunities", ours)))
            [theirs] = await self.found(each, "opportunities", ours)
            each.deal = ours, theirs["id"]
        self.check_times("an account and an opportunity made in Salesforce are in Acme", took)
        took = [await self.sell(each, 12) for each in self.both]
        self.check_times(f"12 seats × {PRICE}, entered in Acme, are the amount in Salesforce", took)
        took = []
        for number in range(EDITS):
            for each in self.both:
                took.append(await self.rename(each, f"{each.name} deal {number}"))
                took.append(await self.sell(each, 100 + number))
        late = quantiles(took, n=100, method="inclusive")[98]
        self.check(
            max(took) < NEVER,
            f"{len(took)} edits, in turn in both apps, are each in the other",
            f"median {median(took):.1f} ms, p99 {late:.1f} ms",
            timed=False,
        )
        await self.quiet()
        counts = [await self.tally(each) for each in self.both]
        done, echoes, others, writes = (sum(column) for column in zip(*counts, strict=True))
        edited = 2 * (3 + 2 * EDITS)
        claim = "each edit is one write at the other app"
        self.check(done == writes == edited, claim, f"{edited} edits  {writes} writes")
        claim = "our own writes came back, `ignored: echo`; none was executed"
        self.check(echoes > 0 and others == 0, claim, f"{echoes} echoes")
        one = self.both[0]
        ids = await asyncio.gather(self.rename(one, "Initech, renamed"), self.sell(one, 300))
        self.check_times("an edit in both apps at once: both arrive, both apps are equal", ids)
        await self.quiet()
        strangers = 0
        for each in self.both:
            rows = await self.salesforce.query(each.org, "SELECT Name FROM Account")
            names = [one["Name"] for one in rows]
            for kind in ("accounts", "opportunities"):
                names += [e["name"] for e in await self.acme.records(f"/v1/{kind}", each.key)]
            strangers += sum(not name.startswith(each.name) for name in names)
        self.check(strangers == 0, "no customer's record is in the other's Salesforce or Acme")

    async def crash(self) -> None:
        """The server is killed while Salesforce sends what people make."""
        self.act(f"kill -9 while people make {RECORDS} accounts and opportunities in Salesforce")
        one, other = self.both
        before, known = await self.tally(one), (await self.arrived(one)).total()
        others = await self.arrived(other)
        gate = asyncio.Semaphore(8)

        async def make(number: int) -> str:
            kind, more = ("Account", {}) if number % 2 else ("Opportunity", DEAL)
            async with gate:
                return await self.salesforce.edit(
                    one.org, kind, Name=f"{one.name} {number}", **more
                )

        async def underway() -> bool:
            return (await self.arrived(one)).total() - known >= RECORDS // 6

        async def refused() -> bool:
            deliveries = await self.salesforce.look(one.org, "deliveries")
            return any(each["outcome"] == "failed" for each in deliveries)

        making = [asyncio.create_task(make(number)) for number in range(RECORDS * 2 // 3)]
        await eventually(underway, within=20, every=0.005)
        pid = await self.stage.server.kill()
        ids = list(await asyncio.gather(*making))
        done = (await self.arrived(one)).total() - known
        self.check(0 < done < RECORDS, f"killed, pid {pid}", f"{done} are in Acme")
        ids += await asyncio.gather(*(make(number) for number in range(len(ids), RECORDS)))
        await eventually(refused, within=10)
        waiting = (await self.salesforce.look(one.org, "pending"))["pending"]
        claim = "people go on; Salesforce keeps what it cannot deliver"
        self.check(waiting > 0, claim, f"{waiting} waiting")
        await (await self.stage.server.start()).close()
        self.check(True, f"started again, pid {self.stage.server.pid}")
        await self.quiet()
        now = await self.arrived(one)
        counts = [now[id] for id in ids]
        lost = counts.count(0)
        doubled = now.total() - known - RECORDS + lost
        claim = f"all {RECORDS} are in Acme, each once"
        self.check(counts == [1] * RECORDS, claim, f"{lost} lost  {doubled} doubled")
        after = await self.tally(one)
        did, _, strange, wrote = (new - old for new, old in zip(after, before, strict=True))
        repeated = sum(each["times"] > 1 for each in await self.acme.written(one.workspace))
        self.check(
            did == wrote == RECORDS and strange == 0,
            "each was written once, or repeated with its key",
            f"{wrote} writes  {repeated} repeated",
        )
        same = await self.arrived(other) == others
        self.check(same, f"nothing of it reached {other.name}")

    async def upgrade(self) -> None:
        """Version 2 brings contacts, both ways, to one customer."""
        self.act("Version 2 adds contacts; one customer upgrades, the other stays")
        one, other = self.both
        before = await self.footprint(other)
        version = await self.publish("salesforce_acme_contacts", one.instance["version"]["hash"])
        published = f"version {version['number']} is published"
        self.check(version["number"] == 2, published, version["hash"][:8])
        path = f"/api/instances/{one.instance['id']}/upgrade"
        one.instance = await self.api.post(path, {"version": "2"}, wait=30)
        messages, flows, hooks = footprint = await self.footprint(one)
        self.check(
            one.instance["state"] == "active" and footprint == (3, 3, 2),
            f"{one.name} is on version 2; both apps call its new URLs, none twice",
            f"{messages} outbound messages, {flows} flows, {hooks} webhooks",
        )
        instance = await self.api.get(f"/api/instances/{other.instance['id']}")
        same = instance["version"]["number"] == 1 and await self.footprint(other) == before
        self.check(same, f"{other.name} is on version 1, its URLs as they were")
        fields = {"FirstName": "Ada", "LastName": "Lovelace", "Email": "ada@initech.example"}
        ada, _ = [await self.salesforce.edit(e.org, "Contact", **fields) for e in self.both]
        took = [await follows(partial(self.found, one, "contacts", ada))]
        given = {"name": "Grace Hopper", "email": "grace@initech.example"}
        await self.acme.call("POST", "/v1/contacts", one.key, json=given)
        soql = "SELECT Id FROM Contact WHERE LastName = 'Hopper'"
        took.append(await follows(partial(self.salesforce.query, one.org, soql)))
        self.check_times("a contact made in each app is in the other", took)
        await self.quiet()
        theirs = await self.acme.records("/v1/contacts", other.key)
        self.check(theirs == [], f"{other.name}, on version 1, has no contacts in Acme")

    async def switch_off(self) -> None:
        """Both customers disable their instances; both apps are as they were before."""
        self.act("Both switch it off")
        for each in self.both:
            await self.api.post(f"/api/instances/{each.instance['id']}/disable", wait=60)
            claim = f"{each.name}'s apps are clean: no outbound message, no flow, no webhook"
            self.check(await self.footprint(each) == (0, 0, 0), claim)
        one = self.both[0]
        await self.salesforce.edit(one.org, "Opportunity", one.deal[0], Name="Nobody listens")
        async with self.stage.http.post(one.instance["urls"]["account"], data=b"{}") as answer:
            self.check(answer.status == 404, "their URLs answer as if they never were")
        await self.quiet()
        deal = await self.acme.call("GET", f"/v1/opportunities/{one.deal[1]}", one.key)
        claim = "an edit in Salesforce goes nowhere; nothing waits or runs"
        self.check(deal["name"] != "Nobody listens", claim)

    # What the acts use.

    async def publish(self, module: str, expect: str | None = None) -> Any:
        """Pack an example and publish it."""
        inside, beside = Path(__file__).parent / "examples", Path(__file__).parents[3] / "examples"
        bundle = pack(inside if inside.is_dir() else beside, f"{module}:integration")
        query = {"target": "production", "expect": expect}
        return await self.api.post("/api/versions", data=bundle.to_bytes(), **query)

    async def connects(self, customer: DemoCustomer, app: str, values: dict[str, Any]) -> bool:
        """Test and save a connection; return whether the app took its credentials."""
        named = {"integration": INTEGRATION, "field": app, "name": app}
        body = {"customer": customer.id, **named, "values": values, "test": True}
        try:
            made = await self.api.post("/api/connections", body)
        except HalflapError:
            return False
        customer.connections[app] = made["id"]
        return True

    async def activate(self, customer: DemoCustomer) -> None:
        """Configure and activate an instance."""
        named: dict[str, Any] = {"customer": customer.id, "integration": INTEGRATION}
        body = {**named, "config": {}, "connections": customer.connections}
        made = await self.api.post("/api/instances", body)
        path = f"/api/instances/{made['id']}/activate"
        customer.instance = await self.api.post(path, wait=30)

    async def rename(self, customer: DemoCustomer, name: str) -> float:
        """Rename the deal at Salesforce; return the milliseconds until it is so at Acme."""
        here, there = customer.deal
        await self.salesforce.edit(customer.org, "Opportunity", here, Name=name)
        path = f"/v1/opportunities/{there}"

        async def same() -> bool:
            return (await self.acme.call("GET", path, customer.key))["name"] == name

        return await follows(same)

    async def sell(self, customer: DemoCustomer, seats: int) -> float:
        """Sell seats at Acme; return the milliseconds until their amount is at Salesforce."""
        here, there = customer.deal
        body = {"seats": seats, "price": str(PRICE)}
        await self.acme.call("PATCH", f"/v1/opportunities/{there}", customer.key, json=body)

        async def same() -> bool:
            record = await self.salesforce.get(customer.org, f"/sobjects/Opportunity/{here}")
            return record["Amount"] == seats * PRICE

        return await follows(same)

    async def found(self, customer: DemoCustomer, kind: str, external_id: str) -> list[Any]:
        """Return the records at Acme that stand for Salesforce's."""
        return await self.acme.call("GET", f"/v1/{kind}?external_id={external_id}", customer.key)

    async def arrived(self, customer: DemoCustomer) -> Counter[str]:
        """Return how often each of Salesforce's records is at Acme."""
        accounts = await self.acme.records("/v1/accounts", customer.key)
        deals = await self.acme.records("/v1/opportunities", customer.key)
        return Counter(each["external_id"] for each in (*accounts, *deals))

    async def footprint(self, customer: DemoCustomer) -> tuple[int, int, int]:
        """Return the outbound messages and flows of a customer's org, and the webhooks at Acme."""
        counts = (await self.salesforce.look(customer.org, "overview"))["shown"]["counts"]
        return counts["messages"], counts["flows"], len(await self.acme.hooks(customer.key))

    async def executions(self, state: str = "", **more: Any) -> Any:
        """Return a page of executions."""
        return await self.api.get("/api/executions", **{"state": state, "limit": 1, **more})

    async def tally(self, customer: DemoCustomer) -> tuple[int, int, int, int]:
        """Count the executions that succeeded, echoes, others, and the writes at both apps."""
        found: list[Any] = []
        query: dict[str, Any] = {"instance": customer.instance["id"], "limit": 200}
        while "before" not in query or query["before"] is not None:
            page = await self.executions(**query)
            found += [each for each in page["executions"] if each["flow"] in FLOWS]
            query["before"] = page["next"]
        done = sum(each["state"] == "succeeded" for each in found)
        echoes = sum(
            each["state"] == "ignored" and each["reason"].startswith("echo: ") for each in found
        )
        writes = sum(each["applied"] for each in await self.acme.written(customer.workspace))
        effects = await self.salesforce.look(customer.org, "effects")
        writes += sum(each["by"] == "api" for each in effects)
        return done, echoes, len(found) - done - echoes, writes

    async def quiet(self) -> None:
        """Wait until no app has anything to send and nothing runs here; raise if it never is."""
        last = ""

        async def looks_so() -> bool:
            nonlocal last
            for each in self.both:
                pending = (await self.salesforce.look(each.org, "pending"))["pending"]
                if pending or await self.acme.pending(each.workspace):
                    return False
            live = (await self.executions("queued,running,waiting"))["executions"]
            was, last = last, (await self.executions())["executions"][0]["id"]
            return not live and was == last

        if not await eventually(looks_so, within=60):
            raise HalflapError("the apps and the server do not come to rest")

    def check_times(self, claim: str, took: Sequence[float]) -> None:
        """Check that something followed, and show how long it took."""
        shown = "  ".join(f"{each:.0f} ms" for each in took)
        self.check(max(took) < NEVER, claim, shown, timed=False)


async def follows(look: Callable[[], Awaitable[object]]) -> float:
    """Return the milliseconds until a look is truthy; `NEVER` where it is not in time."""
    began = time.perf_counter()
    held = await eventually(look, within=PATIENCE, every=0.001)
    return (time.perf_counter() - began) * 1000 if held else NEVER
