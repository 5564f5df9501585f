"""The demo's story: its acts in order, each with its checks."""

from __future__ import annotations

import asyncio
import gzip
import shlex
import shutil
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from importlib.resources import files
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import click

from halflap.cli.demo.stage import Checks, Stage, eventually, set_stage
from halflap.cli.users import console_lines
from halflap.engine.bundle import pack
from halflap.errors import HalflapError
from halflap.model import ENDED
from halflap.sdk import codec
from halflap.sdk.signature import GitHubSignature
from halflap.server.process import interrupted
from halflap_sandbox.github.model import Hook
from halflap_sandbox.slack.model import APP_TOKEN

TWO_WAY = "salesforce_acme"
FLOWS = {"account", "opportunity", "opportunity_amount", "contact", "acme_contact"}
"""The flows of the two-way integration that records set off."""
RECEIVING = ("github_acme", "warehouse")
LISTENING = ("zendesk_acme", "slack_acme", "acme_slack")
DEAL = {"StageName": "Prospecting", "CloseDate": "2026-12-31"}
PRICE = Decimal("18.50")
EDITS = 10
"""The number of edits by each customer, at each app."""
RECORDS = 150
"""The number of records that people make while the server is killed."""
PATIENCE = 30.0
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
    instances: dict[str, Any] = field(default_factory=dict[str, Any])
    deal: tuple[str, str] = ("", "")
    """The ids of its opportunity at Salesforce and at Acme."""

    @property
    def instance(self) -> Any:
        """Its instance of Salesforce ⇄ Acme."""
        return self.instances[TWO_WAY]


def examples() -> Path:
    """Return the folder of the examples: in an installed package, or in a clone."""
    inside, beside = Path(__file__).parent / "examples", Path(__file__).parents[3] / "examples"
    return inside if inside.is_dir() else beside


NEXT = """
What next: `halflap demo --keep` leaves all of it running, with a link to the console;
`halflap new integration my-first` begins one of your own (docs/first-integration.md)."""


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
                await stay(stage)
            elif code == 0:
                click.echo(NEXT)
            return code
    finally:
        if checks.passed == checks.total:
            shutil.rmtree(directory, ignore_errors=True)
        else:
            click.echo(f"kept for a look: {directory}", err=True)


async def stay(stage: Stage) -> None:
    """Say where everything is, and leave it running until a signal."""
    stop = asyncio.Event()
    interrupted(stop)
    program = (
        [sys.argv[0]] if sys.argv[0].endswith("halflap") else [sys.executable, "-m", "halflap"]
    )
    again = shlex.join((*program, "console", "--dir", str(stage.server.store)))
    address, *notes = await console_lines(stage.api, again)
    click.echo("\nAll of it is still running. Look around in the browser:\n")
    click.echo(f"  Console     {click.style(address, fg='cyan')}")
    for each in notes:
        click.echo(f"              {each}")
    click.echo(f"  Salesforce  {stage.salesforce.url}\n  Acme        {stage.acme.url}")
    click.echo(f"  API         {stage.server.url}/api")
    click.echo("\nCtrl-C ends it, and removes what it made.")
    await stop.wait()


class Story:
    """A day of two customers, Initech and Globex."""

    def __init__(self, stage: Stage, checks: Checks) -> None:
        self.api, self.salesforce, self.acme = stage.api, stage.salesforce, stage.acme
        self.stage, self.check, self.act = stage, checks.check, checks.act
        self.both: list[DemoCustomer] = []

    async def run(self) -> None:
        """Play the acts in their order."""
        first = (self.meet, self.work, self.crash, self.upgrade, self.switch_off)
        for act in (*first, self.receive, self.listen):
            await act()

    async def meet(self) -> None:
        """Two customers connect their accounts of both apps and activate the integration."""
        self.act("A server, and two customers, each with a Salesforce org and an Acme workspace")
        version = await self.publish(TWO_WAY)
        claim = f"Salesforce ⇄ Acme is published, version {version['number']}"
        self.check(version["number"] == 1, claim, version["hash"][:8], self.stage.server.url)
        for name in ("Initech", "Globex"):
            made = await self.api.request("POST", "/api/customers", {"name": name})
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
                taken.append(await self.connects(customer, TWO_WAY, "salesforce", login))
                taken.append(await self.connects(customer, TWO_WAY, "acme", acme))
            claim = f"{name}: wrong credentials are refused before they are saved"
            self.check(taken == [False, False, True, True], claim)
        for each in self.both:
            await self.activate(each, TWO_WAY)
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
        one.instances[TWO_WAY] = await self.api.request("POST", path, {"version": "2"}, wait=30)
        messages, flows, hooks = footprint = await self.footprint(one)
        self.check(
            one.instance["state"] == "active" and footprint == (3, 3, 2),
            f"{one.name} is on version 2; both apps call its new URLs, none twice",
            f"{messages} outbound messages, {flows} flows, {hooks} webhooks",
        )
        instance = await self.api.request("GET", f"/api/instances/{other.instance['id']}")
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
            await self.disable(each, TWO_WAY)
            claim = f"{each.name}'s apps are clean: no outbound message, no flow, no webhook"
            self.check(await self.footprint(each) == (0, 0, 0), claim)
        one = self.both[0]
        await self.salesforce.edit(one.org, "Opportunity", one.deal[0], Name="Nobody listens")
        self.check(
            await self.sends(one, "account") == 404, "their URLs answer as if they never were"
        )
        await self.quiet()
        deal = await self.acme.call("GET", f"/v1/opportunities/{one.deal[1]}", one.key)
        claim = "an edit in Salesforce goes nowhere; nothing waits or runs"
        self.check(deal["name"] != "Nobody listens", claim)

    async def receive(self) -> None:
        """GitHub's real payloads, signed, each sent twice; a warehouse's updates; one customer leaves."""
        packed = files("halflap.cli.demo").joinpath("github_events.json.gz").read_bytes()
        events = codec.decode(gzip.decompress(packed))
        self.act(f"Both activate two more integrations; GitHub sends {len(events)} real payloads")
        one, other = self.both
        for module in RECEIVING:
            await self.publish(module)
        for each in self.both:
            login = each.name.lower()
            repository, auth = f"{login}/hello", {"kind": "api_key", "key": f"ghp_{login}"}
            values = {"base_url": self.stage.github_url, "auth": auth, "repository": repository}
            await self.connects(each, "github_acme", "github", values)
            for module in RECEIVING:
                await self.activate(each, module)
        states = {e.instances[module]["state"] for e in self.both for module in RECEIVING}
        repos = [*self.hooks()]
        claim = "their instances are active, with one hook per repository"
        self.check(states == {"active"} and repos == ["initech", "globex"], claim, *repos)
        await self.send_github(one, self.hooks()["initech"], events)
        theirs = await self.acme.records("/v1/activities", other.key)
        self.check(theirs == [], f"nothing of it reached {other.name}")
        await self.send_stock(one)
        for module in RECEIVING:
            await self.disable(one, module)
        repos = [*self.hooks()]
        gone = await self.sends(one, "stock", "warehouse") == 404
        claim = (
            f"{one.name} leaves: its hook at GitHub and its URLs are gone, {other.name}'s are not"
        )
        self.check(repos == ["globex"] and gone, claim, *repos)

    async def listen(self) -> None:
        """Read what calls nobody: Zendesk's export, and Slack's WebSockets, which need no URL."""
        one, zendesk, slack = self.both[1], self.stage.zendesk, self.stage.slack
        self.act(f"{one.name} reads what calls nobody: Zendesk's export, and Slack by WebSockets")
        ticket = {"subject": "It smokes", "comment": {"body": "A lot."}}
        signed = await zendesk.call("POST", "/sandbox/accounts", json={"name": "globex"})
        await zendesk.call("POST", "/sandbox/accounts/globex/tickets", json=ticket)
        account = {"subdomain": "globex", "email": signed["email"], "api_token": signed["token"]}
        team = await slack.call("POST", "/sandbox/teams", json={"name": "globex"})
        bot = {"kind": "api_key", "key": team["bot_token"]}
        reached = {"base_url": f"{slack.url}/api", "auth": bot, "app_token": APP_TOKEN}
        for module in LISTENING:
            await self.publish(module)
        await self.connects(one, "zendesk_acme", "zendesk", {"host": zendesk.url, **account})
        await self.connects(one, "slack_acme", "slack", reached)
        for module in LISTENING:
            await self.activate(one, module)

        async def said() -> bool:
            return "It smokes" in await self.titles(one)

        self.check(await eventually(said), "a ticket that was there is an activity in Acme")
        path = f"/sandbox/teams/{team['id']}/messages"
        sent = await slack.call("POST", path, json={"text": "Who is on it?"})

        async def heard() -> bool:
            return "Who is on it?" in await self.titles(one)

        held = await eventually(heard)
        self.check(
            held, "a message of Slack is one, too, though no URL is public", sent["event_id"]
        )
        deal = {"name": "Piccadilly", "stage": "new"}
        made = await self.acme.call("POST", "/v1/opportunities", one.key, json=deal)
        won = {"stage": "Closed Won", "seats": 10, "price": str(PRICE)}
        await self.acme.call("PATCH", f"/v1/opportunities/{made['id']}", one.key, json=won)

        async def told() -> bool:
            [found] = [
                e for e in await slack.call("GET", "/sandbox/teams") if e["id"] == team["id"]
            ]
            return "Piccadilly is won: 185.00" in [each["text"] for each in found["messages"]]

        self.check(await eventually(told), "an opportunity that is won in Acme is told in Slack")

        async def idle() -> bool:
            return not (await self.executions("queued,running"))["items"]

        self.check(await eventually(idle, within=60), "nothing is left running")

    async def titles(self, one: DemoCustomer) -> str:
        """Return the titles of a customer's activities at Acme."""
        return "\n".join(
            each["title"] for each in await self.acme.records("/v1/activities", one.key)
        )

    def hooks(self) -> dict[str, Hook]:
        """Return the webhooks at GitHub, by the owners of their repositories."""
        repos = self.stage.github.repos.values()
        return {each.owner.login: hook for each in repos for hook in each.hooks.values()}

    async def send_github(self, one: DemoCustomer, hook: Hook, events: list[Any]) -> None:
        """Send GitHub's events to a customer, each twice."""
        bodies = [(each["event"], codec.encode(each["payload"])) for each in events]
        status = await self.sends(one, "activity", "github_acme", bodies[0][1])
        self.check(status == 401, "an unsigned request is refused", status)
        took: list[float] = []
        statuses: Counter[int] = Counter()
        deliveries = [str(uuid.uuid4()) for _ in bodies]
        for _ in range(2):
            for (name, body), delivery in zip(bodies, deliveries, strict=True):
                signature = GitHubSignature().sign(body, hook.secret, datetime.now(UTC))
                headers = {"X-GitHub-Event": name, "X-GitHub-Delivery": delivery, **signature}
                began = time.perf_counter()
                async with self.stage.http.post(hook.url, data=body, headers=headers) as answer:
                    statuses[answer.status] += 1
                took.append((time.perf_counter() - began) * 1000)
        claim = "every request is accepted, sent twice each"
        shown = f"median {median(took):.1f} ms to the 2xx"
        self.check(statuses == {200: 2 * len(events)}, claim, shown)
        wanted = sum(name != "ping" for name, _ in bodies)

        async def arrived() -> bool:
            return len(await self.acme.records("/v1/activities", one.key)) >= wanted

        await eventually(arrived)
        activities = await self.acme.records("/v1/activities", one.key)
        ids = {each["external_id"] for each in activities}
        claim = "every event is an activity in Acme; sent twice, none is doubled"
        self.check(len(ids) == len(activities) == wanted, claim, f"{len(ids)} of {wanted}")

    async def send_stock(self, one: DemoCustomer) -> None:
        """Send a customer the article's WAREHOUSE_UPDATE."""

        async def send(*updates: tuple[str, str, int], event: str = "WAREHOUSE_UPDATE") -> Any:
            names = ("item", "action", "quantity")
            moved = [dict(zip(names, each, strict=True)) for each in updates]
            return await self.post(one, codec.encode({"event": event, "updates": moved}))

        await send(("gadgets", "add", 30), ("widgets", "add", 20))
        update = await send(("widgets", "remove", 10), ("gadgets", "add", 20))
        stock = await self.acme.call("GET", "/v1/stock", one.key)
        quantities = {each["item"]: each["quantity"] for each in stock}
        right = update["state"] == "succeeded" and quantities == {"widgets": 10, "gadgets": 50}
        self.check(right, "a warehouse adds and removes quantities", update["id"], quantities)
        unknown = await send(event="PRICE_UPDATE")
        claim = "an unknown event is ignored, visibly"
        self.check(unknown["state"] == "ignored", claim, unknown["id"])
        broken = await self.post(one, b"<not json>")
        failed = broken["state"] == "failed" and broken["failure"]["kind"] == "InvalidEvent"
        self.check(failed, "what cannot be read is kept and fails, visibly", broken["id"])

    # What the acts use.

    async def publish(self, module: str, expect: str | None = None) -> Any:
        """Pack an example and publish it."""
        bundle = pack(examples(), f"{module}:integration")
        query = {"target": "production", "expect": expect}
        return await self.api.request("POST", "/api/versions", data=bundle.to_bytes(), **query)

    async def connects(
        self, customer: DemoCustomer, module: str, app: str, values: dict[str, Any]
    ) -> bool:
        """Test and save a connection; return whether the app took its credentials."""
        named = {"integration": module.replace("_", "-"), "field": app, "name": app}
        body = {"customer": customer.id, **named, "values": values, "test": True}
        try:
            made = await self.api.request("POST", "/api/connections", body)
        except HalflapError:
            return False
        customer.connections[app] = made["id"]
        return True

    async def activate(self, customer: DemoCustomer, module: str) -> None:
        """Configure and activate one instance."""
        name = module.replace("_", "-")
        version = await self.api.request("GET", f"/api/integrations/{name}/versions/1")
        wanted = {field: customer.connections[field] for field in version["connections"]}
        body = {"customer": customer.id, "integration": name, "config": {}, "connections": wanted}
        made = await self.api.request("POST", "/api/instances", body)
        path = f"/api/instances/{made['id']}/activate"
        customer.instances[module] = await self.api.request("POST", path, wait=30)

    async def disable(self, customer: DemoCustomer, module: str) -> None:
        """Disable one instance."""
        path = f"/api/instances/{customer.instances[module]['id']}/disable"
        await self.api.request("POST", path, wait=60)

    async def sends(
        self, customer: DemoCustomer, flow: str, module: str = TWO_WAY, body: bytes = b"{}"
    ) -> int:
        """Send a flow a request that nobody signed; return the status of the answer."""
        url = customer.instances[module]["urls"][flow]
        async with self.stage.http.post(url, data=body) as answer:
            return answer.status

    async def post(self, customer: DemoCustomer, body: bytes) -> Any:
        """Send a request to the warehouse flow; return its execution, once it has ended."""
        url = customer.instances["warehouse"]["urls"]["stock"]
        headers = {"X-Delivery-Id": str(uuid.uuid4())}
        async with self.stage.http.post(url, data=body, headers=headers) as answer:
            path = f"/api/executions/{answer.headers['halflap-execution']}"

        async def over() -> bool:
            return (await self.api.request("GET", path))["state"] in ENDED

        await eventually(over)
        return await self.api.request("GET", path)

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
        query = {"state": state, "limit": 1, **more}
        return await self.api.get(dict[str, Any], "executions", **query)

    async def tally(self, customer: DemoCustomer) -> tuple[int, int, int, int]:
        """Count the executions that succeeded, echoes, others, and the writes at both apps."""
        found: list[Any] = []
        query: dict[str, Any] = {"instance": customer.instance["id"], "limit": 200}
        while "before" not in query or query["before"] is not None:
            page = await self.executions(**query)
            found += [each for each in page["items"] if each["flow"] in FLOWS]
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
            live = (await self.executions("queued,running,waiting"))["items"]
            was, last = last, (await self.executions())["items"][0]["id"]
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
