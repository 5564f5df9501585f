"""The product's event types, each declared once by a class of its data, and events of them."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import uuid4

from pydantic import TypeAdapter

D = TypeVar("D")


@dataclass(frozen=True, slots=True)
class ProductEvent:
    """An event to be published: its type, its data as JSON, and its idempotency key.

    subject: the record that it is about, by which support finds it. at: when it happened; None: as it
    is published.
    """

    type: str
    data: str
    key: str
    version: int | None = None
    subject: str | None = None
    at: datetime | None = None

    def body(self) -> str:
        """Return the event as the API takes it."""
        named = {
            "type": self.type,
            "idempotency_key": self.key,
            "version": self.version,
            "subject": self.subject,
            "timestamp": None if self.at is None else self.at.isoformat(),
        }
        head = json.dumps({name: each for name, each in named.items() if each is not None})
        return f'{head[:-1]}, "data": {self.data}}}'


@dataclass(frozen=True, slots=True)
class DeclaredType:
    """An event type: its name and version, and the class of its data."""

    name: str
    version: int
    title: str
    description: str
    example: Any
    subject: str | None
    adapter: TypeAdapter[Any]

    def declaration(self) -> dict[str, Any]:
        """Return the type as the API takes it; its schema is that of the data as it is written."""
        example = self.example
        if example is not None:
            example = json.loads(self.adapter.dump_json(self.adapter.validate_python(example)))
        return {
            "name": self.name,
            "version": self.version,
            "schema": self.adapter.json_schema(mode="serialization"),
            "title": self.title,
            "description": self.description,
            "example": example,
        }


class EventTypes:
    """The event types of a product, by the classes of their data."""

    def __init__(self) -> None:
        self._declared: dict[type[Any], DeclaredType] = {}

    def event(
        self,
        name: str,
        *,
        version: int = 1,
        subject: str | None = None,
        title: str = "",
        example: Mapping[str, Any] | None = None,
    ) -> Callable[[type[D]], type[D]]:
        """Declare a class (a Pydantic model, a dataclass) as the data of an event type.

        Its docstring describes the type. `subject` names the field that has the record's id. A change
        that breaks whoever listens has to be another `version`.
        """

        def declare(data: type[D]) -> type[D]:
            if any((each.name, each.version) == (name, version) for each in self):
                raise ValueError(f"{name} is declared twice in version {version}")
            description = inspect.cleandoc(data.__dict__.get("__doc__") or "")
            adapter: TypeAdapter[Any] = TypeAdapter(data)
            self._declared[data] = DeclaredType(
                name, version, title, description, example, subject, adapter
            )
            return data

        return declare

    def __iter__(self) -> Iterator[DeclaredType]:
        return iter(self._declared.values())

    def of(
        self,
        data: object,
        *,
        key: str | None = None,
        subject: str | None = None,
        at: datetime | None = None,
    ) -> ProductEvent:
        """Return the event that data is of, by its class.

        Without an idempotency key it gets a random one: the same one however often it is sent, and
        another if the program makes the event again.
        """
        declared = self._declared.get(type(data))
        if declared is None:
            raise TypeError(
                f"{type(data).__name__} is declared as no event type; write @events.event(…) above it"
            )
        if subject is None and declared.subject is not None:
            found = getattr(data, declared.subject)
            subject = None if found is None else str(found)
        text = declared.adapter.dump_json(data).decode()
        return ProductEvent(declared.name, text, key or uuid4().hex, declared.version, subject, at)
