"""Metadata as the tables that the Tooling API has."""

from __future__ import annotations

from typing import Any

from halflap_sandbox.salesforce.catalog import KINDS
from halflap_sandbox.salesforce.flows import find_version
from halflap_sandbox.salesforce.markup import parse
from halflap_sandbox.salesforce.model import Entity, Field, FieldType, Json, Org
from halflap_sandbox.salesforce.soql import Parents, TableView

STAMPS = ("CreatedById:reference", "CreatedDate:datetime", "LastModifiedById:reference")
ENDING = ("LastModifiedDate:datetime", "ManageableState", "NamespacePrefix")
WHOLE = ("FullName:textarea", "Metadata:textarea")


def _entity(name: str, prefix: str, *fields: str, whole: bool = True) -> Entity:
    more = (*WHOLE, *STAMPS, *ENDING) if whole else ()
    made: dict[str, Field] = {}
    for text in ("Id:id", *fields, *more):
        field, _, type = text.partition(":")
        kind: FieldType = _TYPES[type or "string"]
        # A text area as long as this cannot be filtered by, as these fields cannot.
        length = 100_000 if kind == "textarea" else 255
        made[field] = Field(name=field, label=field, type=kind, length=length)
    return Entity(name=name, label=name, plural=f"{name}s", prefix=prefix, fields=made)


_TYPES: dict[str, FieldType] = {
    "id": "id",
    "string": "string",
    "textarea": "textarea",
    "double": "double",
    "int": "int",
    "reference": "reference",
    "datetime": "datetime",
}
_MESSAGE = ("Name", "ApiVersion:double", "EntityDefinitionId", "IntegrationUserId:reference")
_FLOW = (
    "ApiVersion:double",
    "DefinitionId:reference",
    "Description",
    "MasterLabel",
    "ProcessType",
    "Status",
    "VersionNumber:int",
)
_DEFINITION = (
    "ActiveVersionId:reference",
    "Description",
    "DeveloperName",
    "LatestVersionId:reference",
    "MasterLabel",
)
ENTITIES: dict[str, Entity] = {
    entity.name: entity
    for entity in (
        _entity("WorkflowOutboundMessage", "04k", *_MESSAGE),
        _entity("WorkflowRule", "01Q", "Name", "TableEnumOrId"),
        _entity("Flow", "301", *_FLOW),
        _entity("FlowDefinition", "300", *_DEFINITION),
        _entity("CustomField", "00N", "DeveloperName", "TableEnumOrId"),
        _entity(
            "EntityDefinition",
            "000",
            "DurableId",
            "QualifiedApiName",
            "Label",
            "KeyPrefix",
            whole=False,
        ),
    )
}
PARENTS = {
    "Flow": {"Definition": Parents("DefinitionId", ("FlowDefinition",))},
    "FlowDefinition": {
        "ActiveVersion": Parents("ActiveVersionId", ("Flow",)),
        "LatestVersion": Parents("LatestVersionId", ("Flow",)),
    },
}


def views(org: Org) -> dict[str, TableView]:
    """Give the tables as queries see them; FullName and Metadata are not in the rows."""
    rows: dict[str, list[Json]] = {
        "WorkflowOutboundMessage": _messages(org),
        "WorkflowRule": [
            {"Id": r.id, "Name": r.name, "TableEnumOrId": r.object} for r in org.rules.values()
        ],
        "Flow": _flows(org),
        "FlowDefinition": _definitions(org),
        "CustomField": _fields(org),
        "EntityDefinition": [
            {
                "Id": entity.name,
                "DurableId": entity.name,
                "QualifiedApiName": entity.name,
                "Label": entity.label,
                "KeyPrefix": entity.prefix,
            }
            for entity in org.entities.values()
        ],
    }
    return {
        name: TableView(
            name=name,
            fields=entity.fields,
            rows={str(row["Id"]): {**row, **_stamps(org, name, row["Id"])} for row in rows[name]},
            parents=PARENTS.get(name, {}),
        )
        for name, entity in ENTITIES.items()
    }


def full_name(org: Org, type: str, id: str) -> str:
    """Tell the full name of a piece of metadata by its id; of a flow's version, `Name-1`."""
    if type == "Flow":
        flow, version = find_version(org, id)
        return f"{flow.name}-{version.number}"
    return next(each.full_name for each in KINDS[type].listed(org) if each.id == id)


def _messages(org: Org) -> list[Json]:
    return [
        {
            "Id": message.id,
            "Name": message.label or message.name,
            "ApiVersion": float(message.api_version),
            "EntityDefinitionId": message.object,
            "IntegrationUserId": getattr(org.user_by_name(message.integration_user), "id", None),
        }
        for message in org.outbound_messages.values()
    ]


def _flows(org: Org) -> list[Json]:
    rows: list[Json] = []
    for flow in org.flows.values():
        for version in flow.versions.values():
            source = parse(version.source)
            rows.append(
                {
                    "Id": version.id,
                    "ApiVersion": _number(source.get("apiVersion")),
                    "DefinitionId": flow.id,
                    "Description": source.get("description"),
                    "MasterLabel": version.label,
                    "ProcessType": source.get("processType"),
                    "Status": version.status,
                    "VersionNumber": version.number,
                }
            )
    return rows


def _definitions(org: Org) -> list[Json]:
    return [
        {
            "Id": flow.id,
            "ActiveVersionId": flow.active.id if flow.active else None,
            "Description": None,
            "DeveloperName": flow.name,
            "LatestVersionId": flow.latest.id if flow.latest else None,
            "MasterLabel": flow.latest.label if flow.latest else None,
        }
        for flow in org.flows.values()
    ]


def _fields(org: Org) -> list[Json]:
    rows: list[Json] = []
    for listed in KINDS["CustomField"].listed(org):
        table, _, name = listed.full_name.partition(".")
        developer_name = name.removesuffix("__c")
        rows.append({"Id": listed.id, "DeveloperName": developer_name, "TableEnumOrId": table})
    return rows


def _stamps(org: Org, name: str, id: Any) -> Json:
    stamp = org.stamps.get(str(id))
    if name == "EntityDefinition":
        return {}
    return {
        "CreatedById": stamp.created_by.id if stamp else None,
        "CreatedDate": stamp.created_at if stamp else None,
        "LastModifiedById": stamp.modified_by.id if stamp else None,
        "LastModifiedDate": stamp.modified_at if stamp else None,
        "ManageableState": "unmanaged",
        "NamespacePrefix": None,
    }


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
