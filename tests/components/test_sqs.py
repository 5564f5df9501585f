"""Amazon SQS: against moto in a process of its own, Amazon's SDK at the other end, and a faulty fake."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

import pytest

from halflap import DefinitionError, RateLimited, Reply, Unauthorized, UpstreamError, sqs
from halflap.components.sqs import lease
from halflap.sdk.connection import egress
from halflap.sdk.egress import Egress, Policy
from halflap.sdk.request import Headers, Request
from halflap.testing import Fake
from halflap.testing.fake import Sent
from halflap.testing.listeners import AcceptedLog, ListenerRun, check_listener
from tests.moto_server import client, moto_server
from tests.polling import DEADLINE, until

_names = itertools.count(1)
KEYS = {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "secret"}


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with moto_server() as url:
        yield url


@pytest.fixture
async def aws(moto: str) -> AsyncIterator[sqs.Sqs]:
    network = Egress(Policy(allow=("127.0.0.1",)))
    token = egress.set(network)
    yield sqs.Sqs.model_validate({**KEYS, "endpoint_url": moto})
    egress.reset(token)
    await network.close()


class Queue:
    """A queue of moto's, as a stranger handles it."""

    def __init__(self, moto: str, fifo: bool = False) -> None:
        self.boto: Any = client("sqs", moto)
        name = f"orders-{next(_names)}" + (".fifo" if fifo else "")
        attributes = {"FifoQueue": "true"} if fifo else {}
        self.url: str = self.boto.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        self.fifo = fifo

    async def put(self, bodies: Sequence[bytes]) -> None:
        for each in bodies:
            text = each.decode()
            more = {"MessageGroupId": "g", "MessageDeduplicationId": text} if self.fifo else {}
            await asyncio.to_thread(
                self.boto.send_message, QueueUrl=self.url, MessageBody=text, **more
            )

    def counts(self) -> tuple[int, int]:
        """The messages that are there, and those that somebody has received."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.boto.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)
        return int(found["Attributes"][names[0]]), int(found["Attributes"][names[1]])


@pytest.mark.parametrize("fifo", [False, True])
async def test_it_loses_and_doubles_nothing_and_leaves_nothing(
    fifo: bool, moto: str, aws: sqs.Sqs
) -> None:
    queue = Queue(moto, fifo)
    log = await check_listener(
        sqs.message(queue=queue.url, wait=0), aws, queue, ordered=fifo, within=DEADLINE
    )
    assert len(log.bodies) == len(set(log.bodies)) > 20
    assert queue.counts() == (0, 0)


async def received(aws: sqs.Sqs, trigger: Any, count: int) -> list[Any]:
    """The events of the first messages."""
    run = ListenerRun(trigger, aws, AcceptedLog())
    messages: list[Any] = []
    async with asyncio.timeout(DEADLINE):
        while len(messages) < count:
            batch = await run.step()
            assert batch is not None
            messages += batch.messages
    await run.end()
    return messages


async def parsed(trigger: Any, message: Any) -> sqs.QueueMessage:
    """A message as its flow gets it."""
    headers = Headers(message.headers)
    return await trigger.parse(Request("MESSAGE", "", "", headers, message.content, "", message.at))


async def test_a_message_has_what_its_sender_gave_it(moto: str, aws: sqs.Sqs) -> None:
    queue = Queue(moto)
    queue.boto.send_message(
        QueueUrl=queue.url,
        MessageBody='{"id": 9007199254740993, "name": "Grüße 🚚"}',
        MessageAttributes={
            "kind": {"DataType": "String", "StringValue": "new"},
            "raw": {"DataType": "Binary", "BinaryValue": b"\xff\0"},
        },
    )
    trigger = sqs.message(queue=queue.url, wait=0)
    [message] = await received(aws, trigger, 1)
    assert (message.id, message.key, message.at is not None) == (message.id, None, True)
    event = await parsed(trigger, message)
    assert event.data == {"id": 9007199254740993, "name": "Grüße 🚚"}
    assert (event.message_id, event.receive_count, event.topic) == (message.id, 1, None)
    assert event.attributes["kind"].value == "new"
    assert (event.attributes["raw"].type, event.attributes["raw"].value) == ("Binary", "/wA=")


async def test_a_message_of_a_topic_is_the_one_that_was_published(moto: str, aws: sqs.Sqs) -> None:
    queue, topics = Queue(moto), client("sns", moto)
    topic = topics.create_topic(Name="orders")["TopicArn"]
    arn = queue.boto.get_queue_attributes(QueueUrl=queue.url, AttributeNames=["QueueArn"])
    topics.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn["Attributes"]["QueueArn"])
    for _ in range(2):
        topics.publish(
            TopicArn=topic,
            Message="Grüße",
            Subject="An order",
            MessageAttributes={"size": {"DataType": "Number", "StringValue": "3"}},
        )
    trigger = sqs.message(queue=queue.url, wait=0)
    found = await received(aws, trigger, 2)
    assert {each.content.decode() for each in found} == {"Grüße"}
    event = await parsed(trigger, found[0])
    assert (event.topic, event.subject, event.body) == (topic, "An order", "Grüße")
    assert event.attributes["size"].value == "3"
    assert event.message_id == found[0].id != found[1].id
    # As it is, where that is asked for; and what only looks like one.
    topics.publish(TopicArn=topic, Message="Grüße")
    await queue.put(
        [b'{"Type": "Notification", "TopicArn": "x", "Message": "m", "MessageId": "i"}']
    )
    raw = await received(aws, sqs.message(queue=queue.url, wait=0, unwrap=False), 2)
    assert all(json.loads(each.content)["Type"] == "Notification" for each in raw)
    assert all(each.id != "i" for each in raw)


async def test_a_fifo_queue_gives_group_and_the_senders_id(moto: str, aws: sqs.Sqs) -> None:
    queue = Queue(moto, fifo=True)
    sent = await sqs.send(aws, queue.url, "1", group_id="a", deduplication_id="d1")
    await sqs.send(aws, queue.url, "1", group_id="a", deduplication_id="d1")
    assert sent.sequence_number is not None
    assert queue.counts()[0] == 1
    await sqs.send(aws, queue.url, "2", group_id="b")  # its id is the step's key
    trigger = sqs.message(queue=queue.url, wait=0, dedupe_by="deduplication_id")
    found = await received(aws, trigger, 2)
    assert {each.key: each.content for each in found} == {"a": b"1", "b": b"2"}
    assert "a/d1" in {each.id for each in found}
    plain = sqs.message(queue=Queue(moto).url, dedupe_by="deduplication_id")
    with pytest.raises(DefinitionError, match="FIFO"):
        await received(aws, plain, 1)


async def test_a_message_of_a_standard_queue_that_a_crash_sends_twice_can_be_one_event(
    moto: str, aws: sqs.Sqs, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = Queue(moto)
    monkeypatch.setattr(sqs.Sqs, "upcoming_key", lambda _: "step-1")
    for _ in range(2):  # SQS itself knows no two messages of a standard queue for one
        await sqs.send(aws, queue.url, "1", attributes={"kind": "order"})
        await sqs.send_batch(aws, queue.url, [sqs.OutgoingMessage(body="2")])
    trigger = sqs.message(queue=queue.url, wait=0, dedupe_by="idempotency_key")
    found = await received(aws, trigger, 4)
    assert sorted(each.id or "" for each in found) == ["step-1", "step-1", "step-1-0", "step-1-0"]
    full = {f"a{number}": "x" for number in range(10)}
    await sqs.send(aws, queue.url, "3", attributes=full)  # SQS takes no eleventh
    [last] = await received(aws, trigger, 1)
    assert last.id not in ("step-1", None)


async def test_what_is_sent_is_what_a_stranger_receives(moto: str, aws: sqs.Sqs) -> None:
    queue = Queue(moto)
    assert queue.url in {each.value for each in await sqs.list_queues(aws)}
    await aws.test()
    sent = await sqs.send(aws, queue.url, "Grüße\n🚚", {"kind": "new", "size": Decimal("3.10")})
    [got] = queue.boto.receive_message(
        QueueUrl=queue.url, MessageAttributeNames=["All"], MaxNumberOfMessages=10
    )["Messages"]
    assert (got["MessageId"], got["Body"]) == (sent.message_id, "Grüße\n🚚")
    assert got["MessageAttributes"]["size"]["StringValue"] == "3.10"
    many = [sqs.OutgoingMessage(body=str(n)) for n in range(25)]
    batch = await sqs.send_batch(aws, queue.url, many)
    assert [each is not None for each in batch.sent] == [True] * 25
    assert batch.refused == []
    found = await received(aws, sqs.message(queue=queue.url, wait=0), 25)
    assert {each.content for each in found} == {str(n).encode() for n in range(25)}
    with pytest.raises(UpstreamError, match=r"NonExistentQueue|QueueDoesNotExist"):
        await sqs.send(aws, f"{queue.url}-gone", "x")


# Faults -----------------------------------------------------------------------------------------


class FaultyQueue:
    """A queue that does to requests what it is told: by action, what a request gets."""

    def __init__(self, fake: Fake, bodies: Sequence[str]) -> None:
        self.waiting = {f"m{n}": body for n, body in enumerate(bodies)}
        self.received: dict[str, str] = {}
        self.counts: dict[str, int] = {}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.does: dict[str, Callable[[dict[str, Any]], Any]] = {}
        fake.post("/", answers=self.answer)

    def answer(self, sent: Sent) -> Any:
        action = sent.headers["x-amz-target"].removeprefix("AmazonSQS.")
        asked = json.loads(sent.body)
        self.asked.append((action, asked))
        told = self.does.get(action, lambda _: None)(asked)
        if told is not None:
            return told
        return getattr(self, action)(asked)

    def ReceiveMessage(self, asked: dict[str, Any]) -> Any:
        found: list[dict[str, Any]] = []
        for id, body in [*self.waiting.items()][:10]:
            del self.waiting[id]
            self.received[id] = body
            self.counts[id] = self.counts.get(id, 0) + 1
            told = {"SentTimestamp": "1700000000000", "ApproximateReceiveCount": self.counts[id]}
            found.append({"MessageId": id, "ReceiptHandle": id, "Body": body, "Attributes": told})
        return {"Messages": found} if found else {}

    def DeleteMessageBatch(self, asked: dict[str, Any]) -> Any:
        for each in asked["Entries"]:
            self.received.pop(each["ReceiptHandle"], None)
        return {"Successful": [{"Id": each["Id"]} for each in asked["Entries"]]}

    def ChangeMessageVisibilityBatch(self, asked: dict[str, Any]) -> Any:
        for each in asked["Entries"]:
            if each["VisibilityTimeout"] == 0 and each["ReceiptHandle"] in self.received:
                self.waiting[each["ReceiptHandle"]] = self.received.pop(each["ReceiptHandle"])
        return {"Successful": [{"Id": each["Id"]} for each in asked["Entries"]]}

    def actions(self) -> list[str]:
        return [name for name, _ in self.asked]


URL = "https://sqs.us-east-1.amazonaws.com/000000000000/orders"


@pytest.fixture
def connected(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> sqs.Sqs:
    monkeypatch.setattr(lease, "RETRY_SECONDS", 0.01)
    return fake.connection(sqs.Sqs, region="us-east-1", endpoint_url=None)


async def test_what_waits_for_room_stays_invisible(fake: Fake, connected: sqs.Sqs) -> None:
    queue, log = FaultyQueue(fake, ["1", "2"]), AcceptedLog()
    calls = iter([Reply(500), Reply(500)])
    queue.does["ChangeMessageVisibilityBatch"] = lambda _: next(calls, None)
    run = ListenerRun(sqs.message(queue=URL, visibility=2), connected, log)
    batch = await run.step("read")  # it is not accepted yet: the customer has too much queued
    assert batch is not None
    await until(lambda: queue.actions().count("ChangeMessageVisibilityBatch") >= 3)
    assert all(
        each["VisibilityTimeout"] == 2
        for action, asked in queue.asked
        if action == "ChangeMessageVisibilityBatch"
        for each in asked["Entries"]
    )
    await run.end()  # what was not accepted is shown to others at once
    assert sorted(queue.waiting) == ["m0", "m1"]
    again = ListenerRun(sqs.message(queue=URL), connected, log)
    batch = await again.step()
    assert batch is not None
    facts = json.loads(dict(batch.messages[0].headers)["sqs-facts"])
    assert facts["receive_count"] == 2
    await again.end()
    assert (queue.waiting, queue.received) == ({}, {})


async def test_what_is_not_deleted_is_tried_again_then_told(fake: Fake, connected: sqs.Sqs) -> None:
    queue, log = FaultyQueue(fake, ["1", "2", "3"]), AcceptedLog()

    def fails(times: int, fault: bool) -> Callable[[dict[str, Any]], Any]:
        left = iter(range(times))

        def answer(asked: dict[str, Any]) -> Any:
            bad = [each for each in asked["Entries"] if each["ReceiptHandle"] == "m1"]
            if not bad or next(left, None) is None:
                return None
            for each in asked["Entries"]:
                if each not in bad:
                    queue.received.pop(each["ReceiptHandle"])
            name = "ReceiptHandleIsInvalid" if fault else "InternalError"
            failed = {"Id": bad[0]["Id"], "Code": name, "SenderFault": fault, "Message": "no"}
            return {"Failed": [failed], "Successful": []}

        return answer

    queue.does["DeleteMessageBatch"] = fails(2, False)
    run = ListenerRun(sqs.message(queue=URL), connected, log)
    await run.step()
    assert [len(asked["Entries"]) for name, asked in queue.asked if "Delete" in name] == [3, 1, 1]
    assert (len(log.bodies), log.acknowledged, queue.received) == (3, 1, {})

    queue.waiting = {"m1": "2"}
    queue.does["DeleteMessageBatch"] = fails(9, True)
    with pytest.raises(
        UpstreamError, match=r"1 messages that are accepted \(ReceiptHandleIsInvalid"
    ):
        await run.step()
    await run.end()
    assert queue.waiting == {"m1": "2"}  # it comes again
    queue.does.clear()
    run = ListenerRun(sqs.message(queue=URL), connected, log)
    await run.step()
    await run.end()
    assert log.bodies == [b"1", b"2", b"3"]
    assert (queue.waiting, queue.received) == ({}, {})


async def test_more_is_asked_for_at_once_while_there_is_more(
    fake: Fake, connected: sqs.Sqs
) -> None:
    queue, log = FaultyQueue(fake, [str(n) for n in range(100)]), AcceptedLog()
    run = ListenerRun(sqs.message(queue=URL), connected, log)
    sizes = []
    while len(log.bodies) < 100:
        batch = await run.step()
        assert batch is not None
        sizes.append(len(batch.messages))
    await run.end()
    assert sizes == [10, 20, 40, 30]
    waits = [asked["WaitTimeSeconds"] for name, asked in queue.asked if name == "ReceiveMessage"]
    assert waits[:4] == [20, 20, 0, 20]


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ({"__type": "com.amazon.coral.service#UnrecognizedClientException"}, Unauthorized),
        ({"__type": "com.amazonaws.sqs#RequestThrottled", "message": "slow"}, RateLimited),
        ({"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "none"}, UpstreamError),
        ("<html>", UpstreamError),
    ],
)
async def test_what_sqs_refuses_is_told_as_what_it_is(
    told: Any, kind: type[Exception], fake: Fake, connected: sqs.Sqs
) -> None:
    queue = FaultyQueue(fake, [])
    queue.does["ReceiveMessage"] = lambda _: Reply(400, told)
    run = ListenerRun(sqs.message(queue=URL), connected, AcceptedLog())
    with pytest.raises(kind) as caught:
        await run.step()
    assert type(caught.value) is kind


async def test_a_batch_is_sent_again_in_part_and_says_what_is_refused(
    fake: Fake, connected: sqs.Sqs
) -> None:
    queue = FaultyQueue(fake, [])
    tries = itertools.count(1)

    def answer(asked: dict[str, Any]) -> Any:
        number = next(tries)
        failed: list[dict[str, Any]] = []
        good: list[dict[str, Any]] = []
        for each in asked["Entries"]:
            if each["MessageBody"] == "bad":
                told = {"Code": "InvalidMessageContents", "SenderFault": True, "Message": "no"}
                failed.append({"Id": each["Id"], **told})
            elif each["MessageBody"] == "late" and number < 3:
                failed.append({"Id": each["Id"], "Code": "InternalError", "SenderFault": False})
            else:
                good.append({"Id": each["Id"], "MessageId": f"id-{each['MessageBody']}"})
        return {"Successful": good, "Failed": failed}

    queue.does["SendMessageBatch"] = answer
    messages = [sqs.OutgoingMessage(body=each) for each in ("a", "bad", "late")]
    found = await sqs.send_batch(connected, URL, messages)
    assert [each and each.message_id for each in found.sent] == ["id-a", None, "id-late"]
    assert [(each.index, each.code) for each in found.refused] == [(1, "InvalidMessageContents")]
