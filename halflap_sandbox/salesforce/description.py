"""The `describe` of an org's objects and their fields."""

from __future__ import annotations

from halflap_sandbox.salesforce.call import Call
from halflap_sandbox.salesforce.model import Entity, Field, Json, Org
from halflap_sandbox.salesforce.records import relationship

_SOAP_TYPES = {
    "id": "tns:ID",
    "reference": "tns:ID",
    "boolean": "xsd:boolean",
    "int": "xsd:int",
    "double": "xsd:double",
    "currency": "xsd:double",
    "percent": "xsd:double",
    "date": "xsd:date",
    "datetime": "xsd:dateTime",
}


def of_all(call: Call) -> Json:
    """Describe every object in short."""
    entities = call.org.entities.values()
    return {
        "encoding": "UTF-8",
        "maxBatchSize": 200,
        "sobjects": [in_short(call, each) for each in entities],
    }


def in_short(call: Call, of: Entity) -> Json:
    """Describe an object without its fields."""
    path = f"{call.base}/sobjects/{of.name}"
    writable = any(each.createable for each in of.fields.values())
    return {
        "activateable": False,
        "createable": writable,
        "custom": of.name.endswith("__c"),
        "customSetting": False,
        "deletable": writable,
        "deprecatedAndHidden": False,
        "feedEnabled": False,
        "hasSubtypes": False,
        "isSubtype": False,
        "keyPrefix": of.prefix,
        "label": of.label,
        "labelPlural": of.plural,
        "layoutable": True,
        "mergeable": False,
        "mruEnabled": False,
        "name": of.name,
        "queryable": True,
        "replicateable": True,
        "retrieveable": True,
        "searchable": True,
        "triggerable": True,
        "undeletable": False,
        "updateable": writable,
        "urls": {
            "sobject": path,
            "describe": f"{path}/describe",
            "rowTemplate": f"{path}/{{ID}}",
        },
    }


def in_full(call: Call, of: Entity) -> Json:
    """Describe an object with its fields and the children that lead to it."""
    return {
        **in_short(call, of),
        "fields": [_field(of, each) for each in of.fields.values()],
        "childRelationships": _children(call.org, of),
        "recordTypeInfos": [],
        "actionOverrides": [],
        "namedLayoutInfos": [],
        "supportedScopes": [],
    }


def _children(org: Org, of: Entity) -> list[Json]:
    return [
        {
            "childSObject": child.name,
            "field": each.name,
            "relationshipName": child.plural if each.name == f"{of.name}Id" else None,
            "cascadeDelete": False,
            "deprecatedAndHidden": False,
            "restrictedDelete": False,
            "junctionIdListNames": [],
            "junctionReferenceTo": [],
        }
        for child in org.entities.values()
        for each in child.fields.values()
        if of.name in each.reference_to
    ]


def _field(of: Entity, field: Field) -> Json:
    long_text = field.type == "textarea" and field.length > 255
    named = "Subject" if of.name == "Task" else "Name"
    return {
        "aggregatable": field.type not in ("boolean", "textarea"),
        "autoNumber": False,
        "byteLength": field.length * 3 if field.type not in ("id", "reference") else field.length,
        "calculated": False,
        "calculatedFormula": None,
        "cascadeDelete": False,
        "caseSensitive": False,
        "compoundFieldName": None,
        "createable": field.createable,
        "custom": field.custom,
        "defaultValue": field.default,
        "defaultedOnCreate": field.default is not None or field.name == "OwnerId",
        "dependentPicklist": False,
        "deprecatedAndHidden": False,
        "digits": field.precision if field.type == "int" else 0,
        "externalId": field.external_id,
        "extraTypeInfo": "plaintextarea" if field.type == "textarea" else None,
        "filterable": not long_text,
        "groupable": not long_text and field.type not in ("double", "currency", "percent"),
        "htmlFormatted": False,
        "idLookup": field.type == "id" or field.external_id,
        "inlineHelpText": None,
        "label": field.label,
        "length": field.length,
        "mask": None,
        "name": field.name,
        "nameField": field.name == named,
        "namePointing": len(field.reference_to) > 1,
        "nillable": not field.required and field.type not in ("boolean", "id"),
        "permissionable": not field.required,
        "picklistValues": [
            {
                "active": True,
                "defaultValue": value == field.default,
                "label": value,
                "validFor": None,
                "value": value,
            }
            for value in field.picklist
        ],
        "polymorphicForeignKey": len(field.reference_to) > 1,
        "precision": 0 if field.type == "int" else field.precision,
        "referenceTo": list(field.reference_to),
        "relationshipName": relationship(field),
        "restrictedPicklist": field.restricted,
        "scale": field.scale,
        "soapType": _SOAP_TYPES.get(field.type, "xsd:string"),
        "sortable": not long_text,
        "type": field.type,
        "unique": field.unique,
        "updateable": field.updateable,
    }
