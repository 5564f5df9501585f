"""A message as SQS delivers it, as a message of the platform; and back from an event."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

from halflap import InvalidEvent, Message, Request
from halflap.components.aws.message import TOPIC, as_json

IDEMPOTENCY_KEY = "idempotency-key"
"""The attribute by which a message of a standard queue is known that a crash has sent twice."""
FACTS = "sqs-facts"
"""The header that has what SQS, and SNS, say of a message beside its body, as JSON."""


def message_of(received: Mapping[str, Any], unwrap: bool, dedupe_by: str) -> Message:
    """Return a received message; the one that SNS sent is unwrapped where asked."""
    system: Mapping[str, str] = received.get("Attributes") or {}
    sent = int(system.get("SentTimestamp") or 0)
    at = datetime.fromtimestamp(sent / 1000, UTC) if sent else datetime.now(UTC)
    group = system.get("MessageGroupId")
    body, id = str(received.get("Body", "")), str(received["MessageId"])
    facts: dict[str, Any] = {
        "message_id": id,
        "group_id": group,
        "sent_at": at.isoformat(),
        "receive_count": int(system.get("ApproximateReceiveCount") or 1),
        "attributes": attributes_of(received.get("MessageAttributes"), "DataType", "StringValue"),
    }
    if unwrap and (published := published_in(body)) is not None:
        body = published["Message"]
        id = facts["message_id"] = published["MessageId"]
        facts["topic"], facts["subject"] = published["TopicArn"], published.get("Subject")
        facts["attributes"] = attributes_of(published.get("MessageAttributes"), "Type", "Value")
    if dedupe_by == "idempotency_key" and (key := facts["attributes"].get(IDEMPOTENCY_KEY)):
        id = key["value"]
    if dedupe_by == "deduplication_id":
        id = f"{group or ''}/{system.get('MessageDeduplicationId') or id}"
    headers = (("content-type", "text/plain; charset=utf-8"), (FACTS, json.dumps(facts)))
    return Message(body.encode("utf-8", "surrogatepass"), headers, id, group, at)


def attributes_of(given: Any, kind: str, value: str) -> dict[str, dict[str, str]]:
    """Return the attributes of a message: type and value of each."""
    found: dict[str, dict[str, str]] = {}
    if isinstance(given, dict):
        for name, each in cast("dict[str, Any]", given).items():
            if isinstance(each, dict):
                told = cast("dict[str, Any]", each)
                text = told.get(value, told.get("BinaryValue", ""))
                found[name] = {"type": str(told.get(kind, "")), "value": str(text)}
    return found


def published_in(body: str) -> dict[str, Any] | None:
    """Return the notification of SNS that a body is; None where it is something else."""
    if '"TopicArn"' not in body:
        return None
    try:
        found: Any = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    told = cast("dict[str, Any]", found)
    texts = all(isinstance(told.get(name), str) for name in ("Message", "MessageId", "TopicArn"))
    is_one = texts and told.get("Type") == "Notification" and TOPIC.match(told["TopicArn"])
    return told if is_one else None


def facts_of(request: Request) -> dict[str, Any]:
    """Return what is known of a message beside its body; nothing of one that a test or a person made."""
    try:
        return json.loads(request.headers.get(FACTS) or "{}")
    except ValueError as error:
        raise InvalidEvent(f"the header {FACTS} is not JSON") from error


def group_of(request: Request) -> str | None:
    """Return the group of a message."""
    return facts_of(request).get("group_id")


def event_of(request: Request) -> dict[str, Any]:
    """Return the event that a message is, as plain values."""
    body, now = request.text, request.received_at
    told = {"message_id": "", "sent_at": now, **facts_of(request)}
    return {**told, "body": body, "data": as_json(body)}
