"""The values of HubSpot: records, their associations, and changes of them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from halflap import Json, Model


class Record(Model):
    """A record: a contact, a company, a deal, a ticket, or of another type. All properties are texts."""

    id: str
    properties: dict[str, str | None]
    created_at: datetime | None = Field(None, alias="createdAt")
    updated_at: datetime | None = Field(None, alias="updatedAt")
    archived: bool = False


class ChangedRecord(Record):
    """A record that was made or changed, and its type."""

    object: str = ""


class Association(Model):
    """A record that another one is associated with, and what as."""

    id: str
    labels: list[str] = []


class Condition(Model):
    """A condition of a search: `email` EQ `ada@example.org`."""

    property: str
    operator: Literal[
        "EQ",
        "NEQ",
        "LT",
        "LTE",
        "GT",
        "GTE",
        "BETWEEN",
        "IN",
        "NOT_IN",
        "HAS_PROPERTY",
        "NOT_HAS_PROPERTY",
        "CONTAINS_TOKEN",
        "NOT_CONTAINS_TOKEN",
    ] = "EQ"
    value: str | None = None
    values: list[str] | None = None
    """Of IN and NOT_IN."""
    high: str | None = None
    """Of BETWEEN: the upper value."""


class Change(Model):
    """A change of one record: which, in which portal, and of what."""

    event_id: int = Field(alias="eventId")
    type: str = Field(alias="subscriptionType")
    portal_id: int = Field(alias="portalId")
    app_id: int = Field(alias="appId")
    object_id: int | None = Field(None, alias="objectId")
    occurred_at: int = Field(alias="occurredAt")
    """Milliseconds since 1970."""
    property_name: str | None = Field(None, alias="propertyName")
    property_value: Json = Field(None, alias="propertyValue")
    source: str | None = Field(None, alias="changeSource")
    flag: str | None = Field(None, alias="changeFlag")
