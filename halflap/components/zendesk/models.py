"""The values of Zendesk: tickets, comments, people and organizations."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from halflap import Json, Model

Status = Literal["new", "open", "pending", "hold", "solved", "closed"]
Priority = Literal["urgent", "high", "normal", "low"]


class CustomField(Model):
    """A custom field of a ticket, by its id."""

    id: int
    value: Json = None


class Ticket(Model):
    """A ticket."""

    id: int
    subject: str | None = None
    description: str | None = None
    status: Status | None = None
    priority: Priority | None = None
    type: str | None = None
    requester_id: int | None = None
    assignee_id: int | None = None
    group_id: int | None = None
    organization_id: int | None = None
    external_id: str | None = None
    tags: list[str] = []
    custom_fields: list[CustomField] = []
    created_at: datetime | None = None
    updated_at: datetime | None = None


class Comment(Model):
    """A comment on a ticket; a private one is seen by agents alone."""

    id: int
    body: str
    public: bool = True
    author_id: int | None = None
    created_at: datetime | None = None


class User(Model):
    """An end user, an agent or an administrator."""

    id: int
    name: str
    email: str | None = None
    role: str | None = None
    external_id: str | None = None
    organization_id: int | None = None
    active: bool = True
    updated_at: datetime | None = None


class Organization(Model):
    """An organization."""

    id: int
    name: str
    external_id: str | None = None
    domain_names: list[str] = []
    updated_at: datetime | None = None


class Found(BaseModel):
    """A record that a search found: `result_type` says of what, the rest is as Zendesk tells it."""

    model_config = ConfigDict(extra="allow")

    id: int
    result_type: str
