"""HubSpot: records of every type, what connects them, and changes of them.

`connection` has the portal, `actions` what a flow does, `triggers` what it hears.
"""

from halflap.components.hubspot.actions import (
    archive_record,
    associate,
    create_record,
    describe_properties,
    dissociate,
    get_record,
    get_records,
    list_associations,
    list_records,
    list_types,
    search_records,
    update_record,
    upsert_record,
    upsert_records,
)
from halflap.components.hubspot.connection import HubSpot, HubSpotSignIn, component
from halflap.components.hubspot.models import Association, Change, ChangedRecord, Condition, Record
from halflap.components.hubspot.triggers import change, changed_record

__all__ = [
    "Association",
    "Change",
    "ChangedRecord",
    "Condition",
    "HubSpot",
    "HubSpotSignIn",
    "Record",
    "archive_record",
    "associate",
    "change",
    "changed_record",
    "component",
    "create_record",
    "describe_properties",
    "dissociate",
    "get_record",
    "get_records",
    "list_associations",
    "list_records",
    "list_types",
    "search_records",
    "update_record",
    "upsert_record",
    "upsert_records",
]
