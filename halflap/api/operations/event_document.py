"""The OpenAPI document of the webhooks that receivers are sent, made of the declared event types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from halflap.model import EventType

SIGNED = (
    "Signed as Standard Webhooks says (https://www.standardwebhooks.com): verify `webhook-signature` "
    "with the receiver's secret before you trust the body. Answer 2xx within 20 seconds; else the event "
    "is sent again for three days, with the same `webhook-id`. Events are in no order."
)
HEADERS = {
    "webhook-id": "The event's id, the same on every try: know by it what you have had.",
    "webhook-timestamp": "When this try was made, in seconds since 1970.",
    "webhook-signature": "`v1,` and the signature, once for each secret that is good now.",
}
ANSWERS = {
    "2XX": "It is taken.",
    "410": "The receiver is gone: it is disabled at once.",
    "default": "It is sent again.",
}


def openapi_of(types: Sequence[EventType]) -> dict[str, Any]:
    """Return an OpenAPI 3.1 document whose webhooks are these types, each by its name."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Webhooks",
            "version": str(max((each.changed_at for each in types), default=0) // 1_000_000),
            "description": SIGNED,
        },
        "paths": {},  # some tools want them
        "webhooks": {each.name: {"post": operation_of(each)} for each in types},
        "components": {"schemas": {each.name: moved(each.schema, each.name) for each in types}},
    }


def operation_of(type: EventType) -> dict[str, Any]:
    """Return the request by which an event of a type is sent."""
    schema = {
        "type": "object",
        "required": ["type", "timestamp", "data"],
        "properties": {
            "type": {"const": type.name},
            "timestamp": {"type": "string", "format": "date-time"},
            "data": {"$ref": f"#/components/schemas/{type.name}"},
        },
    }
    content: dict[str, Any] = {"schema": schema}
    if type.example is not None:
        at = "2026-11-30T12:00:00Z"
        content["example"] = {"type": type.name, "timestamp": at, "data": type.example}
    return {
        "operationId": type.name,
        "summary": type.title or type.name,
        "description": type.description,
        "parameters": [
            {
                "name": name,
                "in": "header",
                "required": True,
                "description": description,
                "schema": {"type": "string"},
            }
            for name, description in HEADERS.items()
        ],
        "requestBody": {"required": True, "content": {"application/json": content}},
        "responses": {status: {"description": what} for status, what in ANSWERS.items()},
    }


def moved(schema: Any, name: str) -> Any:
    """Return a schema whose references are to itself where it stands in the document."""
    if isinstance(schema, dict):
        members = cast("dict[str, Any]", schema)
        found = {key: moved(each, name) for key, each in members.items() if key != "$schema"}
        ref = members.get("$ref")
        if isinstance(ref, str) and (ref == "#" or ref.startswith("#/")):
            found["$ref"] = f"#/components/schemas/{name}{ref[1:]}"
        return found
    if isinstance(schema, list):
        return [moved(each, name) for each in cast("list[Any]", schema)]
    return schema
