"""`record_changed`: by whichever way, and after every outage, a state starts a flow once."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from halflap import DefinitionError, UpstreamError
from halflap.components import salesforce
from halflap.components.salesforce import stamps
from halflap.components.salesforce.stamps import ChangedRecords, version_of
from halflap.model import Instance
from halflap.server.host import Host
from halflap.testing import Receive
from halflap.testing.listeners import AcceptedLog, ListenerRun, check_listener
from tests.cases import for_each
from tests.components.test_salesforce_pubsub import Reading, select
from tests.components.test_salesforce_trigger import ACK, ORG, XML, message, notification
from tests.executions import ended, returned
from tests.polling import DEADLINE, stays
from tests.salesforce_app import Automation, SalesforceApp, automation, salesforce_app
from tests.world import host_on, publish

POLLED = salesforce.record_changed(object="Contact", fields=["Description"], by="polling")


@dataclass
class OrgClock:
    """The clock of the sandbox's orgs, which a test moves, or stops."""

    moved: float = 0.0
    stopped_at: float | None = None

    def __call__(self) -> float:
        return self.stopped_at or time.time() + self.moved


@dataclass
class People:
    """A source of changes: people who add contacts, each with a body as its description."""

    app: SalesforceApp
    org: dict[str, Any]

    async def put(self, bodies: Sequence[bytes]) -> None:
        for each in bodies:
            values = {"LastName": "Lumbergh", "Description": each.decode()}
            await self.app.edit(self.org, "create", "Contact", values=values)

    async def refuse(self, refuses: bool) -> None:
        rate = {"error_rate": 1.0 if refuses else 0.0, "status": 401}
        await self.app.post("/faults", {"org": self.org["id"], **rate})


def description(body: bytes) -> bytes:
    """Return the description of a record, which is what was put into the org."""
    return json.loads(body)["sObject"]["Description"].encode()


AS_CONTACTS: dict[str, Any] = {"ordered": False, "unwrap": description, "within": DEADLINE}


@asynccontextmanager
async def org_with(
    **settings: Any,
) -> AsyncIterator[tuple[SalesforceApp, dict[str, Any], salesforce.Salesforce]]:
    async with salesforce_app(**settings) as app:
        org = await app.org("initech")
        yield app, org, await app.client(org)


async def test_polling_loses_and_doubles_nothing() -> None:
    async with org_with(page=2) as (app, org, sf):
        await People(app, org).put([b"from before the beginning"])
        await asyncio.sleep(2.1)  # stamps have whole seconds, as the clock that the org tells
        people = People(app, org)
        log = await check_listener(POLLED, sf, people, **AS_CONTACTS)
        assert len(log.bodies) == len(set(log.bodies)) > 20


async def read(trigger: Any, sf: salesforce.Salesforce, log: AcceptedLog) -> list[dict[str, Any]]:
    """Read on from where a listener is until it rests; return the new records."""
    run, before = ListenerRun(trigger, sf, log), len(log.bodies)
    run.listening.beat = lambda: None  # it is idle once it rests
    waiting = asyncio.create_task(run.listening.idle.wait())
    async with run.reading() as reading, asyncio.timeout(DEADLINE):
        await asyncio.wait([reading, waiting], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
    return [json.loads(each)["sObject"] for each in log.bodies[before:]]


async def test_an_initial_import_reads_all_pages_and_reads_on_from_there() -> None:
    async with org_with(page=3) as (app, org, sf):
        await People(app, org).put([b"%d" % number for number in range(10)])
        trigger = salesforce.record_changed(
            object="Contact", fields=["Description"], by="polling", start="earliest"
        )
        log = AcceptedLog()
        found = await read(trigger, sf, log)
        assert [each["Description"] for each in found] == [str(number) for number in range(10)]
        assert await read(trigger, sf, log) == []
        await People(app, org).put([b"new"])
        (found,) = await read(trigger, sf, log)
        assert (found["Description"], found["type"]) == ("new", "Contact")


async def test_two_states_of_one_second_are_two_and_one_read_twice_is_one() -> None:
    clock = OrgClock()
    async with org_with(clock=clock) as (app, org, sf):
        log = AcceptedLog()
        await read(POLLED, sf, log)
        made = await app.edit(
            org, "create", "Contact", values={"LastName": "L", "Description": "1"}
        )
        (first,) = await read(POLLED, sf, log)
        assert await read(POLLED, sf, log) == []
        stamp = made["SystemModstamp"]
        clock.stopped_at = seconds_of(stamp) + 0.5  # the same second, for this org
        changed = {"Description": "2"}
        again = await app.edit(org, "update", "Contact", id=made["Id"], values=changed)
        assert again["SystemModstamp"] == stamp
        (second,) = await read(POLLED, sf, log)
        assert (first["Description"], second["Description"]) == ("1", "2")
        assert first["SystemModstamp"] == second["SystemModstamp"]


def seconds_of(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


async def test_a_record_that_shows_late_is_found_behind_the_cursor() -> None:
    clock = OrgClock()
    async with org_with(clock=clock) as (app, org, sf):
        log, people = AcceptedLog(), People(app, org)
        await read(POLLED, sf, log)
        await people.put([b"in time"])
        assert len(await read(POLLED, sf, log)) == 1
        clock.moved = -300  # saved five minutes ago, by a transaction that has ended now
        await people.put([b"late"])
        assert [each["Description"] for each in await read(POLLED, sf, log)] == ["late"]
        clock.moved = -900  # control: later than a transaction may take
        await people.put([b"too late"])
        assert await read(POLLED, sf, log) == []


async def test_deletions_are_told_where_they_are_asked_for() -> None:
    async with org_with() as (app, org, sf):
        known = AcceptedLog(), AcceptedLog()
        triggers = [
            salesforce.record_changed(object="Contact", by="polling", deletes=each)
            for each in (True, False)
        ]
        for trigger, log in zip(triggers, known, strict=True):
            await read(trigger, sf, log)
        made = await app.edit(org, "create", "Contact", values={"LastName": "Bolton"})
        for trigger, log in zip(triggers, known, strict=True):
            (found,) = await read(trigger, sf, log)
            assert (found["LastName"], "IsDeleted" in found) == ("Bolton", False)
        await app.edit(org, "delete", "Contact", id=made["Id"])
        (gone,) = await read(triggers[0], sf, known[0])
        assert (gone["IsDeleted"], gone["LastName"]) == ("true", "Bolton")
        assert await read(triggers[1], sf, known[1]) == []


async def test_an_object_that_is_not_there_is_told_by_name() -> None:
    async with org_with() as (_, _, sf):
        trigger = salesforce.record_changed(object="Nothing__c", fields=["Name"], by="polling")
        with pytest.raises(UpstreamError, match="Nothing__c"):
            await read(trigger, sf, AcceptedLog())


async def test_a_message_and_a_poll_of_one_state_are_one(receive: Receive) -> None:
    trigger = salesforce.record_changed(object="Opportunity", deletes=True)
    stamp = "2026-11-30T04:00:00.000Z"
    fields = {"Id": "006000000000001AAA", "Name": "Ærø", "Amount": "1.0E7", "SystemModstamp": stamp}
    got = await receive(trigger, message(notification("04l1", fields)), headers=XML, secret=ORG)
    assert (got.status, got.text) == (200, ACK)
    polled = {**fields, "Amount": "10000000", "type": "Opportunity"}
    assert got.deliveries == [version_of(polled)]
    assert got.keys == ["006000000000001AAA"]
    (event,) = await got.events()
    assert (event["IsDeleted"], event["StageName"], event["Amount"]) == ("false", None, "1.0E7")
    for other in (
        polled | {"Amount": "10000001"},
        polled | {"Name": "Aero"},
        polled | {"SystemModstamp": "2026-11-30T04:00:01.000Z"},
        polled | {"Id": "006000000000002AAA"},
    ):
        assert version_of(other) != version_of(polled)


@for_each("value", ["1e999999999", "1E+999999999999999999", "9" * 10_000, "-", ".e"])
def test_odd_numbers_are_compared_as_the_text_that_they_are(value: str) -> None:
    began = time.process_time()
    known = version_of({"Id": "006000000000001AAA", "Name": value})
    assert known != version_of({"Id": "006000000000001AAA", "Name": "1"})
    assert time.process_time() - began < 1


def test_polling_alone_has_no_url() -> None:
    assert (POLLED.declaration.methods, POLLED.subscribes) == ((), False)
    best = salesforce.record_changed(object="Contact")
    assert (best.declaration.methods, best.subscribes, best.listens) == (("POST",), True, True)


# An instance

PROJECT = """
from halflap import Config, Context, Integration
from halflap.components import salesforce


class Settings(Config):
    salesforce: salesforce.Salesforce


integration = Integration("deals", config=Settings)


@integration.flow(trigger=salesforce.record_changed(object="Account", interval=5))
async def account(ctx: Context[Settings], changed: salesforce.Account) -> str:
    return changed.name
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "deals.py").write_text(PROJECT)
    return folder


async def activated(
    host: Host, folder: Path, app: SalesforceApp, org: dict[str, Any], *, noted: bool = True
) -> tuple[Instance, str]:
    """An active instance of the project, and the way by which it hears of changes."""
    version = await publish(host, folder, "deals:integration")
    made = await app.instance(host, version.hash, org)
    return made, await activate(host, made, noted=noted)


async def activate(host: Host, instance: Instance, *, noted: bool = True) -> str:
    await host.deployer.activate(instance.id)
    settled = await host.deployer.settled(instance.id)
    assert settled.error is None, settled.error
    (made,) = await host.store.catalogue.subscriptions.list(instance.id)
    assert made.note.startswith("by ") == noted
    return made.data.get("way", "")


async def names(host: Host, instance: Instance, number: int) -> list[str]:
    """Return what a flow returned, once so many executions have ended."""
    return returned(await ended(host, number, instance=instance.id, flow="account"))


async def test_what_no_message_tells_is_polled_and_what_both_tell_runs_once(
    tmp_path: Path, project: Path
) -> None:
    async with salesforce_app() as app, host_on(tmp_path / "store") as (host, _):
        org = await app.org("initech")
        sf = await app.client(org)
        instance, way = await activated(host, project, app, org)
        assert way == "outbound_message"
        await app.edit(org, "create", "Account", values={"Name": "told", "AnnualRevenue": "1e7"})
        assert await names(host, instance, 1) == ["told"]
        await app.post("/faults", {"org": org["id"], "drop_notification_rate": 1.0})
        await app.edit(org, "create", "Account", values={"Name": "dropped"})
        assert await names(host, instance, 2) == ["dropped", "told"]

        await host.deployer.disable(instance.id)
        assert (await host.deployer.settled(instance.id)).state == "disabled"
        assert await automation(sf) == Automation([], [])
        await app.edit(org, "create", "Account", values={"Name": "meanwhile"})
        await activate(host, instance)
        assert await names(host, instance, 3) == ["dropped", "meanwhile", "told"]
        shards = await host.store.journal.shards.list(instance.id)
        assert [(each.state, each.error) for each in shards] == [("listening", "")]


@pytest.mark.parametrize(
    ("denied", "way"),
    [(["Flow"], "workflow_rule"), (["Flow", "WorkflowRule"], "polling")],
)
async def test_an_org_that_allows_less_is_heard_by_the_next_best_way(
    tmp_path: Path, project: Path, denied: list[str], way: str
) -> None:
    async with salesforce_app() as app, host_on(tmp_path / "store") as (host, _):
        org = await app.org("initech", denied=denied)
        sf = await app.client(org)
        instance, found = await activated(host, project, app, org)
        assert found == way
        assert len((await automation(sf)).messages) == (way == "workflow_rule")
        await app.edit(org, "create", "Account", values={"Name": "heard"})
        assert await names(host, instance, 1) == ["heard"]
        delivered = await app.look("/deliveries", org=org["id"])
        assert len(delivered) == (way == "workflow_rule")
        await host.deployer.disable(instance.id)
        assert (await host.deployer.settled(instance.id)).state == "disabled"
        assert await automation(sf) == Automation([], [])


# Change data capture

CAPTURED = salesforce.record_changed(
    object="Contact", fields=["Description"], by="change_events", deletes=True
)


@asynccontextmanager
async def capturing_org(
    **settings: Any,
) -> AsyncIterator[tuple[SalesforceApp, dict[str, Any], salesforce.Salesforce]]:
    """An org whose contacts and accounts are selected for change data capture."""
    async with org_with(**({"pubsub_port": 0, "pubsub_keepalive": 0.2} | settings)) as (
        app,
        org,
        sf,
    ):
        await select(sf, "Contact")
        await select(sf, "Account")
        yield app, org, sf


async def test_change_events_lose_and_double_nothing() -> None:
    async with capturing_org() as (app, org, sf):
        await People(app, org).put([b"from before the beginning"])
        await asyncio.sleep(2.1)  # stamps have whole seconds, as the clock that the org tells
        people = People(app, org)
        log = await check_listener(CAPTURED, sf, people, **AS_CONTACTS)
        assert len(log.bodies) == len(set(log.bodies)) > 20


async def test_a_gap_is_recorded_and_filled_by_stamp_with_what_was_deleted() -> None:
    async with capturing_org() as (app, org, sf):
        log = AcceptedLog()
        async with Reading(CAPTURED, sf, log) as reading:
            await reading.until(lambda: "replay" in str(log.cursors))
            kept = await contact(app, org, "kept")
            gone = await contact(app, org, "gone")
            await reading.until(lambda: len(log.bodies) == 2)
        assert log.gaps == []
        await app.edit(org, "update", "Contact", id=kept, values={"Description": "changed"})
        await app.edit(org, "delete", "Contact", id=gone)
        await app.bus(org, "expire")
        async with Reading(CAPTURED, sf, log) as reading:
            await reading.until(lambda: len(log.bodies) == 4)
            await contact(app, org, "live")
            await reading.until(lambda: len(log.bodies) == 5)
        assert len(log.gaps) == 1
        assert "replayid.corrupted" in log.gaps[0]
        told = [json.loads(each)["sObject"] for each in log.bodies[2:]]
        found = {(each["Description"], each.get("IsDeleted")) for each in told}
        assert found == {("changed", None), ("gone", "true"), ("live", None)}


async def contact(app: SalesforceApp, org: dict[str, Any], description: str) -> str:
    values = {"LastName": "Bolton", "Description": description}
    return (await app.edit(org, "create", "Contact", values=values))["Id"]


async def test_what_change_events_cannot_tell_is_read_by_stamp() -> None:
    async with capturing_org() as (app, org, sf):
        log = AcceptedLog()
        async with Reading(CAPTURED, sf, log) as reading:
            await reading.until(lambda: "replay" in str(log.cursors))
            raw = base64.b64encode(b"\xff" * 30).decode()
            topic = "/data/ContactChangeEvent"
            await salesforce.soap.delete_metadata(
                sf, "PlatformEventChannelMember", "ChangeEvents_ContactChangeEvent"
            )
            await contact(app, org, "untold")
            await stays(lambda: not log.bodies, 0.5)  # control: nothing told of it
            await app.bus(org, "publish", topic=topic, payload=raw)
            await reading.until(lambda: len(log.bodies) == 1)
        assert description(log.bodies[0]) == b"untold"


async def test_polling_goes_on_where_change_events_were_and_the_other_way_round() -> None:
    async with capturing_org() as (app, org, sf):
        log = AcceptedLog()
        polled = salesforce.record_changed(
            object="Contact", fields=["Description"], by="polling", deletes=True
        )
        for number, trigger in enumerate((CAPTURED, polled, CAPTURED, polled)):
            if number:
                await contact(app, org, f"before {number}")
            async with Reading(trigger, sf, log) as reading:
                await reading.until(lambda: log.cursors)
                await reading.until(lambda n=number: len(log.bodies) == 2 * n)
                await contact(app, org, f"in {number}")
                await reading.until(lambda n=number: len(log.bodies) == 2 * n + 1)
        assert len({*map(description, log.bodies)}) == len(log.bodies) == 7


async def test_many_records_of_one_change_are_all_read() -> None:
    async with capturing_org(page=2) as (_, _, sf):
        log = AcceptedLog()
        async with Reading(CAPTURED, sf, log) as reading:
            await reading.until(lambda: "replay" in str(log.cursors))
            records = [
                {"attributes": {"type": "Contact"}, "LastName": "B", "Description": "same"}
                for _ in range(150)
            ]
            await sf.post(sf.data("composite", "sobjects"), json={"records": records})
            await reading.until(lambda: len(log.bodies) == 150)


async def told_where_the_stream_is(host: Host, instance: Instance) -> None:
    async with asyncio.timeout(DEADLINE):
        while True:
            if "replay" in str(await host.store.journal.shards.list(instance.id)):
                return
            await asyncio.sleep(0.05)


async def test_an_org_that_selects_the_object_is_heard_by_change_events(
    tmp_path: Path, project: Path
) -> None:
    settings = {"pubsub_port": 0, "pubsub_keepalive": 0.5}
    async with salesforce_app(**settings) as app, host_on(tmp_path / "store") as (host, _):
        org = await app.org("initech")
        sf = await app.client(org)
        await select(sf, "Account")
        instance, way = await activated(host, project, app, org)
        assert way == "change_events"
        assert await automation(sf) == Automation([], [])
        await app.edit(org, "create", "Account", values={"Name": "heard"})
        assert await names(host, instance, 1) == ["heard"]
        await told_where_the_stream_is(host, instance)
        await host.deployer.disable(instance.id)
        assert (await host.deployer.settled(instance.id)).state == "disabled"
        await app.edit(org, "create", "Account", values={"Name": "meanwhile"})
        await app.bus(org, "expire")
        assert await activate(host, instance) == "change_events"
        assert await names(host, instance, 2) == ["heard", "meanwhile"]
        (shard,) = await host.store.journal.shards.list(instance.id)
        assert [each.start for each in shard.gaps] == ["cursor"]


async def test_where_the_pubsub_api_cannot_be_reached_the_next_best_way_is_taken(
    tmp_path: Path, project: Path
) -> None:
    async with salesforce_app() as app, host_on(tmp_path / "store") as (host, _):
        app.more["pubsub_url"] = "http://127.0.0.1:9"  # nothing listens there
        org = await app.org("initech")
        await select(await app.client(org), "Account")
        instance, way = await activated(host, project, app, org)
        assert way == "outbound_message"
        await app.post("/faults", {"org": org["id"], "drop_notification_rate": 1.0})
        await app.edit(org, "create", "Account", values={"Name": "polled"})
        assert await names(host, instance, 1) == ["polled"]


async def test_a_flow_that_heard_by_outbound_messages_goes_over_and_back_without_a_gap(
    tmp_path: Path, project: Path
) -> None:
    async with salesforce_app() as app, host_on(tmp_path / "store") as (host, _):
        org = await app.org("initech")
        sf = await app.client(org)
        changed = (project / "deals.py").read_text()
        old = changed.replace("record_changed", "outbound_message").replace(", interval=5", "")
        (project / "deals.py").write_text(old)
        instance, _ = await activated(host, project, app, org, noted=False)
        first = await automation(sf)
        versions = {"old": await publish(host, project, "deals:integration")}
        (project / "deals.py").write_text(changed)
        versions["new"] = await publish(host, project, "deals:integration")
        for number, name in enumerate(("new", "old"), 1):
            await host.deployer.upgrade(instance.id, versions[name].hash)
            settled = await host.deployer.settled(instance.id)
            assert settled.error is None, settled.error
            there = await automation(sf)
            assert [each.id for each in there.messages] == [first.messages[0].id]
            assert ("SystemModstamp" in there.messages[0].fields) == (name == "new")
            assert there.flows == first.flows
            await app.edit(org, "create", "Account", values={"Name": str(number)})
            assert await names(host, instance, number) == [str(n) for n in range(1, number + 1)]
        await host.deployer.disable(instance.id)
        assert (await host.deployer.settled(instance.id)).state == "disabled"
        assert await automation(sf) == Automation([], [])


async def test_an_object_that_is_not_selected_is_told_where_change_events_are_asked_for() -> None:
    async with org_with(pubsub_port=0) as (_, _, sf):
        with pytest.raises(UpstreamError, match="Setup → Change Data Capture"):
            await read(CAPTURED, sf, AcceptedLog())


async def test_a_query_that_is_too_long_is_asked_in_parts_or_refused_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with capturing_org() as (app, org, sf):
        ids = [await contact(app, org, str(number)) for number in range(5)]
        rows = ChangedRecords(sf, "Contact", ["Id", "SystemModstamp", "Description"], deletes=False)
        changes = dict.fromkeys(ids, datetime.now(UTC))
        requests: list[int] = []
        for most in (14_000, 14_000, 200):  # the first tells the use until then
            monkeypatch.setattr(stamps, "MOST_QUERY", most)
            before = sf.usage.used if sf.usage else 0
            found = await rows.current(changes)
            assert sorted(map(description, (each.content for each in found))) == [
                str(number).encode() for number in range(5)
            ]
            assert sf.usage is not None
            requests.append(sf.usage.used - before)
        assert requests[2] > requests[1] == 1
        monkeypatch.setattr(stamps, "MOST_QUERY", 50)
        with pytest.raises(DefinitionError, match="too many for a query"):
            await rows.page(None)


async def test_what_is_polled_goes_over_to_change_events_once_there_are_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(salesforce.changes, "RECONSIDERED", 0.0)
    trigger = salesforce.record_changed(object="Contact", fields=["Description"])
    async with org_with(pubsub_port=0, pubsub_keepalive=0.2) as (app, org, sf):
        log = AcceptedLog()
        async with Reading(trigger, sf, log) as reading:
            await reading.until(lambda: log.cursors)
            await contact(app, org, "polled")
            await reading.until(lambda: len(log.bodies) == 1)
            assert "replay" not in str(log.cursors)
            await select(sf, "Contact")
            await contact(app, org, "looked again")
            await reading.until(lambda: "replay" in str(log.cursors))
            await contact(app, org, "captured")
            await reading.until(lambda: len(log.bodies) == 3)
