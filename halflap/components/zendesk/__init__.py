"""Zendesk: tickets and their comments, people, organizations, and what happens to them.

`connection` has the account, `actions` what a flow does, `triggers` what it hears.
"""

from halflap.components.zendesk.actions import (
    add_comment,
    create_ticket,
    find_user,
    get_organization,
    get_ticket,
    get_tickets,
    get_user,
    get_users,
    list_comments,
    list_organizations,
    search,
    update_ticket,
    upsert_organization,
    upsert_user,
)
from halflap.components.zendesk.connection import Zendesk, component
from halflap.components.zendesk.models import (
    Comment,
    CustomField,
    Found,
    Organization,
    Ticket,
    User,
)
from halflap.components.zendesk.triggers import HOOKS, Event, changed_ticket, changed_user, event

__all__ = [
    "HOOKS",
    "Comment",
    "CustomField",
    "Event",
    "Found",
    "Organization",
    "Ticket",
    "User",
    "Zendesk",
    "add_comment",
    "changed_ticket",
    "changed_user",
    "component",
    "create_ticket",
    "event",
    "find_user",
    "get_organization",
    "get_ticket",
    "get_tickets",
    "get_user",
    "get_users",
    "list_comments",
    "list_organizations",
    "search",
    "update_ticket",
    "upsert_organization",
    "upsert_user",
]
