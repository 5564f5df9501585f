"""Salesforce: records of an org, and the outbound messages that tell of their changes.

`connection` is how an org is reached, `records` and `bulk` write and read, `description` tells what
there is, `outbound` makes Salesforce call a URL, `trigger` reads what it then sends, and `changes` is the
trigger that takes the best way and asks for what no message told, and `events` that of the Pub/Sub API.
"""

from halflap.components.salesforce._answer import ApiUsage
from halflap.components.salesforce.bulk import bulk_upsert
from halflap.components.salesforce.changes import record_changed
from halflap.components.salesforce.connection import (
    ClientLogin,
    KeyPair,
    Salesforce,
    SessionId,
    SignIn,
    component,
)
from halflap.components.salesforce.description import (
    describe,
    describe_fields,
    get_current_user,
    get_limits,
    list_fields,
    list_objects,
)
from halflap.components.salesforce.events import event
from halflap.components.salesforce.models import (
    Account,
    BulkResult,
    Contact,
    Limit,
    ObjectDescription,
    ObjectField,
    ObjectName,
    Opportunity,
    OutboundMessage,
    Record,
    Refused,
    Saved,
    TypedRecord,
    User,
)
from halflap.components.salesforce.outbound import (
    create_outbound_message,
    delete_outbound_message,
    ensure_outbound_message,
    list_outbound_messages,
)
from halflap.components.salesforce.quoting import soql
from halflap.components.salesforce.records import (
    create_record,
    delete_record,
    get_record,
    get_records,
    query,
    update_record,
    upsert_record,
)
from halflap.components.salesforce.trigger import (
    OrganizationCheck,
    any_outbound_message,
    outbound_message,
)

__all__ = [
    "Account",
    "ApiUsage",
    "BulkResult",
    "ClientLogin",
    "Contact",
    "KeyPair",
    "Limit",
    "ObjectDescription",
    "ObjectField",
    "ObjectName",
    "Opportunity",
    "OrganizationCheck",
    "OutboundMessage",
    "Record",
    "Refused",
    "Salesforce",
    "Saved",
    "SessionId",
    "SignIn",
    "TypedRecord",
    "User",
    "any_outbound_message",
    "bulk_upsert",
    "component",
    "create_outbound_message",
    "create_record",
    "delete_outbound_message",
    "delete_record",
    "describe",
    "describe_fields",
    "ensure_outbound_message",
    "event",
    "get_current_user",
    "get_limits",
    "get_record",
    "get_records",
    "list_fields",
    "list_objects",
    "list_outbound_messages",
    "outbound_message",
    "query",
    "record_changed",
    "soql",
    "update_record",
    "upsert_record",
]
