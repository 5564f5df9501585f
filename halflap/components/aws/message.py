"""Messages as SNS and SQS have them: attributes with a type, and a text that may be JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field

from halflap import Json, Model, decode_json

TOPIC = re.compile(r"^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?$")

Attributes = Annotated[
    dict[str, str | Decimal] | None,
    Field(description="Attributes to send with the message: texts, and numbers."),
]


class MessageAttribute(Model):
    """An attribute of a message: its data type, and its value as text (bytes as base64)."""

    type: str
    value: str


def typed(attributes: Mapping[str, str | Decimal] | None) -> Iterator[tuple[str, str, str]]:
    """Yield attributes to send: name, data type, value."""
    for name, value in (attributes or {}).items():
        if isinstance(value, str):
            yield name, "String", value
        else:
            yield name, "Number", format(Decimal(value), "f")


def as_json(message: Any) -> Json:
    """Return a message as JSON, with every digit of its numbers; None where it is something else."""
    if not isinstance(message, str):
        return None
    try:
        return decode_json(message)
    except ValueError:
        return None
