"""Outbound messages against a real receiver on loopback: what arrives, how often, and when it ends."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from lxml import etree

from halflap_sandbox.faults import FaultBoard, Faults
from halflap_sandbox.salesforce import automation, entities, records
from halflap_sandbox.salesforce.model import (
    FlowDefinition,
    FlowTrigger,
    FlowVersion,
    Org,
    OutboundMessage,
    World,
)
from halflap_sandbox.salesforce.sender import Sender
from halflap_sandbox.salesforce.settings import Settings
from tests.loopback import on_loopback
from tests.polling import until

NS = {
    "s": "http://schemas.xmlsoap.org/soap/envelope/",
    "o": "http://soap.sforce.com/2005/09/outbound",
    "f": "urn:sobject.enterprise.soap.sforce.com",
}
ACK = (
    '<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="'
    f'{NS["s"]}"><soapenv:Body><notificationsResponse xmlns="{NS["o"]}"><Ack>true</Ack>'
    "</notificationsResponse></soapenv:Body></soapenv:Envelope>"
)
DAY = 24 * 3600


@dataclass
class Message:
    """A message as it arrived."""

    body: bytes
    headers: dict[str, str]
    root: Any = field(init=False)

    def __post_init__(self):
        self.root = etree.fromstring(self.body)

    def text(self, path: str) -> str | None:
        return self.root.findtext(f".//{path}", namespaces=NS)

    @property
    def notifications(self) -> list[tuple[str, dict[str, str]]]:
        return [
            (
                each.findtext("o:Id", namespaces=NS),
                {etree.QName(f).localname: f.text for f in each.find("o:sObject", NS)},
            )
            for each in self.root.iterfind(".//o:Notification", NS)
        ]


class Receiver:
    """An endpoint that answers as it is told to: a list of answers, then the last one for ever."""

    def __init__(self) -> None:
        self.got: list[Message] = []
        self.answers: list[web.Response | str] = [ACK]
        self.open = asyncio.Event()
        self.open.set()
        self.url = ""

    async def receive(self, request: web.Request) -> web.Response:
        self.got.append(Message(await request.read(), dict(request.headers)))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        await self.open.wait()
        if isinstance(answer, str):
            return web.Response(text=answer, content_type="text/xml")
        return web.Response(status=answer.status, text=answer.text, headers=answer.headers)

    @property
    def ids(self) -> list[str]:
        return [id for message in self.got for id, _ in message.notifications]


@dataclass
class Scene:
    org: Org
    sender: Sender
    receiver: Receiver
    clock: list[float]

    def message(self, name: str = "Tell", **more: Any) -> OutboundMessage:
        values: dict[str, Any] = {
            "id": self.org.new_id("04k"),
            "object": "Opportunity",
            "name": name,
            "description": None,
            "api_version": "63.0",
            "endpoint_url": self.receiver.url,
            "fields": ("Id", "Name", "Amount"),
            "include_session_id": False,
            "integration_user": "admin@acme.example",
        }
        made = OutboundMessage(**values | more)
        self.org.outbound_messages[made.full_name] = made
        return made

    def flow(self, *messages: str, recording: Any = "CreateAndUpdate") -> None:
        trigger = FlowTrigger(
            object="Opportunity", recording=recording, filter_formula=None, messages=messages
        )
        version = FlowVersion(
            id="301", number=1, status="Active", label="x", source=b"", trigger=trigger
        )
        self.org.flows["x"] = FlowDefinition(id="300", name="x", versions={1: version})

    def create(self, amount: str = "1", **values: Any) -> str:
        given = {"Name": "Suit", "StageName": "Prospecting", "CloseDate": "2026-01-31", **values}
        return records.create(
            self.org, self.user, "Opportunity", {**given, "Amount": Decimal(amount)}
        )

    def update(self, id: str, **values: Any) -> None:
        records.update(self.org, self.user, "Opportunity", id, values)

    def create_all(self, count: int) -> None:
        with records.transaction(self.org, self.user) as saving:
            of = records.entity(self.org, "Opportunity")
            for number in range(count):
                values = {"StageName": "Prospecting", "CloseDate": "2026-01-31"}
                saving.create(of, {**values, "Name": f"{number}"})

    @property
    def user(self):
        return next(iter(self.org.users.values()))

    def outcomes(self) -> list[str]:
        return [each.outcome for each in self.sender.deliveries(self.org)]

    async def quiet(self) -> None:
        await until(lambda: self.sender.pending(self.org) == 0)


@pytest_asyncio.fixture
async def receiver():
    made = Receiver()
    app = web.Application(client_max_size=2**24)
    app.router.add_post("/hooks/{name}", made.receive)
    async with on_loopback(app) as url:
        made.url = f"{url}/hooks/a"
        yield made
        made.open.set()


@pytest_asyncio.fixture
async def scene(receiver):
    clock = [1_769_853_600.0]
    settings = Settings(clock=lambda: clock[0], backoff=(0.02, 0.05))
    world = World(clock=settings.clock)
    org = entities.new_org(world, "acme", clock=settings.clock)
    sender = Sender(settings, FaultBoard("org", "drop_notification_rate"), world)
    automation.install(org, sender)
    yield Scene(org, sender, receiver, clock)
    await sender.close()


async def test_a_message_has_the_bytes_of_the_real_one(scene):
    message = scene.message(fields=("Name", "Amount", "Id", "IsClosed", "CreatedDate", "NextStep"))
    scene.flow("Opportunity.Tell")
    id = scene.create("1000", Name="Suit & <Tie>\x0b")
    await scene.quiet()
    (got,) = scene.receiver.got
    (notification,) = scene.receiver.ids
    assert got.headers["Content-Type"] == "text/xml; charset=utf-8"
    assert got.headers["SOAPAction"] == '""'
    soap = "https://sandbox.my.salesforce.com/services/Soap"
    assert (
        got.body.decode()
        == f"""<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" \
xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
 <soapenv:Body>
  <notifications xmlns="http://soap.sforce.com/2005/09/outbound">
   <OrganizationId>{scene.org.id}</OrganizationId>
   <ActionId>{message.id}</ActionId>
   <SessionId xsi:nil="true"/>
   <EnterpriseUrl>{soap}/c/63.0/{scene.org.id[:15]}</EnterpriseUrl>
   <PartnerUrl>{soap}/u/63.0/{scene.org.id[:15]}</PartnerUrl>
   <Notification>
    <Id>{notification}</Id>
    <sObject xsi:type="sf:Opportunity" xmlns:sf="urn:sobject.enterprise.soap.sforce.com">
     <sf:Id>{id}</sf:Id>
     <sf:Amount>1000.0</sf:Amount>
     <sf:CreatedDate>2026-01-31T10:00:00.000Z</sf:CreatedDate>
     <sf:IsClosed>false</sf:IsClosed>
     <sf:Name>Suit &amp; &lt;Tie&gt;</sf:Name>
    </sObject>
   </Notification>
  </notifications>
 </soapenv:Body>
</soapenv:Envelope>"""
    )
    assert notification.startswith("04l")
    assert message.id.startswith("04k")


async def test_up_to_a_hundred_notifications_share_a_message(scene):
    scene.message()
    scene.flow("Opportunity.Tell")
    scene.create_all(230)
    await scene.quiet()
    assert [len(each.notifications) for each in scene.receiver.got] == [100, 100, 30]
    assert len(set(scene.receiver.ids)) == 230


async def test_what_comes_while_a_message_is_on_its_way_is_gathered_with_the_latest_data(scene):
    scene.message()
    scene.flow("Opportunity.Tell")
    scene.receiver.open.clear()
    id = scene.create("1")
    await until(lambda: scene.receiver.got)
    for amount in ("2", "3"):
        scene.update(id, Amount=Decimal(amount))
    assert scene.sender.pending(scene.org) == 3
    scene.receiver.open.set()
    await scene.quiet()
    first, second = [[each["Amount"] for _, each in m.notifications] for m in scene.receiver.got]
    assert first == ["1.0"]
    assert second == ["3.0", "3.0"]


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(status=500, text=ACK),
        web.Response(status=201, text=ACK),
        web.Response(status=302, headers={"Location": "/hooks/b"}),
        ACK.replace("true", "false"),
        ACK.replace("true", "yes"),
        ACK.replace("/soap/envelope/", "/soap/other/"),
        ACK.replace("notificationsResponse", "answer"),
        ACK.replace("</soapenv:Body>", ""),
        "<!DOCTYPE x>" + ACK.partition("?>")[2],
        "",
        "ok",
    ],
    ids=[
        *("error", "created", "redirect", "false", "no-boolean", "no-envelope", "no-response"),
        *("malformed", "doctype", "empty", "text"),
    ],
)
async def test_without_a_proper_ack_the_whole_message_comes_again(scene, answer):
    scene.message()
    scene.flow("Opportunity.Tell")
    scene.receiver.answers = [answer, answer, ACK]
    scene.create_all(2)
    await scene.quiet()
    assert scene.outcomes() == ["failed", "failed", "delivered"]
    ids = [[id for id, _ in each.notifications] for each in scene.receiver.got]
    assert ids == [ids[0]] * 3
    assert [n.attempt for n in scene.sender.deliveries(scene.org)[-1].notifications] == [3, 3]


async def test_a_receiver_that_is_too_slow_or_gone_is_tried_again(scene):
    scene.sender.settings = replace(scene.sender.settings, delivery_timeout=0.5)
    scene.message("Gone", endpoint_url="http://127.0.0.1:1/hooks/a")
    scene.message("Slow")
    scene.flow("Opportunity.Gone", "Opportunity.Slow")
    scene.receiver.open.clear()
    scene.create()
    await until(lambda: scene.outcomes().count("failed") > 2 and len(scene.receiver.got) > 1)
    scene.receiver.open.set()
    await until(lambda: "delivered" in scene.outcomes())
    assert len(set(scene.receiver.ids)) == 1


async def test_a_retry_sends_the_latest_data_and_new_ones_do_not_wait_for_it(scene):
    scene.sender.settings = replace(scene.sender.settings, backoff=(3.0,))
    scene.message()
    scene.flow("Opportunity.Tell")
    scene.receiver.answers = ["no", ACK]
    first = scene.create("1")
    await until(lambda: scene.outcomes() == ["failed"])
    second = scene.create("5")
    await until(lambda: scene.outcomes() == ["failed", "delivered"])
    scene.org.tables["Opportunity"][first]["Amount"] = Decimal("7")
    await scene.quiet()
    sent = [(each["Id"], each["Amount"]) for m in scene.receiver.got for _, each in m.notifications]
    assert sent == [(first, "1.0"), (second, "5.0"), (first, "7.0")]


@pytest.mark.parametrize("keeps", [True, False])
async def test_after_a_day_a_notification_is_dropped(scene, keeps):
    scene.message(use_dead_letter_queue=keeps)
    scene.flow("Opportunity.Tell")
    scene.receiver.answers = ["no"]
    id = scene.create()
    scene.clock[0] += DAY - 1
    await until(lambda: len(scene.receiver.got) > 2)
    assert scene.sender.pending(scene.org) == 1
    scene.clock[0] += 1
    await scene.quiet()
    assert scene.outcomes()[-1] == "expired"
    dead = [
        n.record_id for each in scene.sender.dead_letters(scene.org) for n in each.notifications
    ]
    assert dead == ([id] if keeps else [])


async def test_the_notification_of_a_deleted_record_has_no_data(scene):
    scene.message()
    scene.flow("Opportunity.Tell")
    scene.receiver.open.clear()
    scene.create()
    await until(lambda: scene.receiver.got)
    gone = scene.create()
    records.delete(scene.org, scene.user, "Opportunity", gone)
    scene.receiver.open.set()
    await scene.quiet()
    assert scene.outcomes() == ["delivered", "delivered"]
    body = scene.receiver.got[1].body
    assert b'<sObject xsi:nil="true"/>' in body
    assert b"sf:Name" not in body
    assert gone.encode() not in body


@pytest.mark.parametrize("told", [True, False])
async def test_a_removed_message_sends_nothing_more(scene, told):
    message = scene.message()
    scene.flow("Opportunity.Tell")
    scene.receiver.answers = ["no", ACK]
    scene.receiver.open.clear()
    scene.create()
    await until(lambda: scene.receiver.got)
    scene.create()
    del scene.org.outbound_messages[message.full_name]
    if told:
        scene.sender.remove(message)
    scene.receiver.open.set()
    await until(lambda: scene.outcomes())
    await scene.quiet()
    scene.create()
    assert scene.sender.pending(scene.org) == 0
    assert len(scene.receiver.got) == 1


async def test_each_message_and_endpoint_has_a_queue_of_its_own(scene):
    scene.message("Bad", endpoint_url=scene.receiver.url.replace("/hooks/a", "/nothing"))
    scene.message("Good")
    scene.message("Worse", endpoint_url="ftp://127.0.0.1/a")
    scene.flow("Opportunity.Worse", "Opportunity.Bad", "Opportunity.Good")
    scene.create()
    await until(lambda: "delivered" in scene.outcomes())
    assert len(scene.receiver.got) == 1
    assert scene.sender.pending(scene.org) == 2


async def test_a_session_is_sent_where_the_message_includes_one(scene):
    scene.message(include_session_id=True)
    scene.flow("Opportunity.Tell")
    scene.create()
    await scene.quiet()
    token = scene.receiver.got[0].text("o:SessionId")
    session = scene.sender.world.session(token)
    assert session is not None
    assert session.user is scene.user


async def test_an_acknowledged_message_can_come_twice(scene):
    scene.sender.faults.set(Faults(duplicate_rate=1))
    scene.message()
    scene.flow("Opportunity.Tell")
    scene.create_all(3)
    await scene.quiet()
    first, second = [[id for id, _ in each.notifications] for each in scene.receiver.got]
    assert first == second
    assert len(set(first)) == 3


async def test_notifications_can_pass_each_other(scene):
    scene.sender.faults.set(Faults(part=scene.org.id, reorder=0.5, seed=3))
    scene.message()
    scene.flow("Opportunity.Tell")
    made = [scene.create() for _ in range(20)]
    await scene.quiet()
    told = [each["Id"] for message in scene.receiver.got for _, each in message.notifications]
    assert sorted(told) == sorted(made)
    assert told != made


async def test_notifications_can_be_lost(scene):
    scene.sender.faults.set(Faults(drop_rate=1))
    scene.message()
    scene.flow("Opportunity.Tell")
    scene.create()
    scene.sender.faults.clear()
    other = scene.create()
    await scene.quiet()
    (message,) = scene.receiver.got
    assert [each["Id"] for _, each in message.notifications] == [other]
    assert sorted(scene.outcomes()) == ["delivered", "dropped"]
