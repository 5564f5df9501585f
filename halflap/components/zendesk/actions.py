"""The actions of Zendesk: tickets and their comments, people, organizations, search."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import Field

from halflap import Model, Records, Source, Writes
from halflap.components.listing import first
from halflap.components.zendesk.connection import Zendesk, component, next_of
from halflap.components.zendesk.models import (
    Comment,
    CustomField,
    Found,
    Organization,
    Priority,
    Status,
    Ticket,
    User,
)

AT_ONCE = 100
M = TypeVar("M", bound=Model)

Tags = Annotated[
    list[str] | None, Field(description="All tags; those that are left out are removed.")
]


def given(**fields: Any) -> dict[str, Any]:
    """Return the fields that were given."""
    plain = {
        name: [each.model_dump() for each in value] if name == "custom_fields" and value else value
        for name, value in fields.items()
    }
    return {name: value for name, value in plain.items() if value is not None}


async def read_many(zendesk: Zendesk, kind: str, ids: list[str], model: type[M]) -> Records[M]:
    """Return the records of a kind, by their ids."""
    asked = [each for each in ids if each.isdigit()]
    records: dict[str, M] = {}
    if asked:
        found = await zendesk.get(f"/api/v2/{kind}/show_many", params={"ids": ",".join(asked)})
        records = {str(each["id"]): model.model_validate(each) for each in found[kind]}
    return Records.of(ids, records)


@component.action
async def list_organizations(zendesk: Zendesk) -> list[tuple[str, str]]:
    """List the organizations, by id and name."""
    pages = zendesk.pages(
        "/api/v2/organizations",
        params={"page[size]": AT_ONCE},
        items="organizations",
        next=lambda page: next_of(page.json()),
    )
    return [(str(each["id"]), each["name"]) async for each in pages]


OrganizationId = Annotated[int | None, Source(list_organizations, open=True)]


@component.action(repeatable=True)
async def create_ticket(
    zendesk: Zendesk,
    subject: str,
    body: str,
    requester_email: str | None = None,
    requester_name: str | None = None,
    priority: Priority | None = None,
    tags: Tags = None,
    external_id: str | None = None,
    organization_id: OrganizationId = None,
    custom_fields: list[CustomField] | None = None,
    public: bool = True,
) -> Ticket:
    """Open a ticket; whoever is named as its requester is made, where nobody has the address.

    Zendesk knows a repeated request for two hours.
    """
    requester = given(email=requester_email, name=requester_name or requester_email)
    ticket = given(
        subject=subject,
        comment={"body": body, "public": public},
        requester=requester or None,
        priority=priority,
        tags=tags,
        external_id=external_id,
        organization_id=organization_id,
        custom_fields=custom_fields,
    )
    made = await zendesk.post("/api/v2/tickets", json={"ticket": ticket})
    return Ticket.model_validate(made["ticket"])


@component.action
async def get_ticket(zendesk: Zendesk, id: int) -> Ticket | None:
    """Read a ticket; nothing where there is none."""
    found = await zendesk.find("/api/v2/tickets/{id}", values={"id": id})
    return None if found is None else Ticket.model_validate(found["ticket"])


@component.action(batch=AT_ONCE)
async def get_tickets(zendesk: Zendesk, ids: list[str]) -> Records[Ticket]:
    """Read many tickets by their ids."""
    return await read_many(zendesk, "tickets", ids, Ticket)


@component.action(writes=Writes("ticket", record="id", fields=("status", "priority", "subject")))
async def update_ticket(
    zendesk: Zendesk,
    id: int,
    status: Status | None = None,
    priority: Priority | None = None,
    subject: str | None = None,
    assignee_id: int | None = None,
    tags: Tags = None,
    external_id: str | None = None,
    custom_fields: list[CustomField] | None = None,
) -> Ticket:
    """Change a ticket: what is given, and nothing else."""
    ticket = given(
        status=status,
        priority=priority,
        subject=subject,
        assignee_id=assignee_id,
        tags=tags,
        external_id=external_id,
        custom_fields=custom_fields,
    )
    path = "/api/v2/tickets/{id}"
    made = await zendesk.put(path, values={"id": id}, json={"ticket": ticket})
    return Ticket.model_validate(made["ticket"])


@component.action
async def add_comment(
    zendesk: Zendesk, ticket: int, body: str, public: bool = True, status: Status | None = None
) -> Ticket:
    """Comment on a ticket, and perhaps change its status by that.

    One that may have been added already is not added again by itself.
    """
    sent = given(comment={"body": body, "public": public}, status=status)
    path = "/api/v2/tickets/{id}"
    made = await zendesk.put(path, values={"id": ticket}, json={"ticket": sent}, adds=True)
    return Ticket.model_validate(made["ticket"])


@component.action
async def list_comments(zendesk: Zendesk, ticket: int, most: int = 100) -> list[Comment]:
    """List the comments on a ticket, oldest first; at most `most`."""
    pages = zendesk.pages(
        "/api/v2/tickets/{id}/comments",
        values={"id": ticket},
        params={"page[size]": AT_ONCE},
        items="comments",
        next=lambda page: next_of(page.json()),
    )
    return await first(most, Comment, pages)


@component.action
async def search(zendesk: Zendesk, query: str, most: int = 100) -> list[Found]:
    """Search as in Zendesk's own search field: `type:ticket status:open`; at most 1,000.

    What was written some minutes ago may not be found yet.
    """
    pages = zendesk.pages(
        "/api/v2/search",
        params={"query": query, "per_page": min(most, AT_ONCE)},
        items="results",
        next=lambda page: page.json().get("next_page"),
    )
    return await first(most, Found, pages)


@component.action
async def get_user(zendesk: Zendesk, id: int) -> User | None:
    """Read a person by id; nothing where there is none."""
    found = await zendesk.find("/api/v2/users/{id}", values={"id": id})
    return None if found is None else User.model_validate(found["user"])


@component.action(batch=AT_ONCE)
async def get_users(zendesk: Zendesk, ids: list[str]) -> Records[User]:
    """Read many people by their ids."""
    return await read_many(zendesk, "users", ids, User)


@component.action
async def find_user(zendesk: Zendesk, email: str) -> User | None:
    """Find a person by e-mail address; nothing where there is none."""
    params = {"query": f'email:"{email}"'}
    found = (await zendesk.get("/api/v2/users/search", params=params))["users"]
    exact = [each for each in found if (each.get("email") or "").lower() == email.lower()]
    return User.model_validate(exact[0]) if exact else None


@component.action(repeatable=True)
async def upsert_user(
    zendesk: Zendesk,
    name: str,
    email: str,
    external_id: str | None = None,
    organization_id: OrganizationId = None,
) -> User:
    """Create or change the person who has this e-mail address or external id."""
    fields = {"external_id": external_id, "organization_id": organization_id}
    user = given(name=name, email=email, **fields)
    made = await zendesk.post("/api/v2/users/create_or_update", json={"user": user})
    return User.model_validate(made["user"])


@component.action
async def get_organization(zendesk: Zendesk, id: int) -> Organization | None:
    """Read an organization; nothing where there is none."""
    found = await zendesk.find("/api/v2/organizations/{id}", values={"id": id})
    return None if found is None else Organization.model_validate(found["organization"])


@component.action(repeatable=True)
async def upsert_organization(
    zendesk: Zendesk,
    name: str,
    external_id: str | None = None,
    domain_names: list[str] | None = None,
) -> Organization:
    """Create or change the organization that has this external id, else this name."""
    organization = given(name=name, external_id=external_id, domain_names=domain_names)
    sent = {"organization": organization}
    made = await zendesk.post("/api/v2/organizations/create_or_update", json=sent)
    return Organization.model_validate(made["organization"])
