"""Descriptions of an org's objects: for pickers, for forms, and for flows that read them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from halflap import FieldSpec, Source
from halflap.components.salesforce.connection import Salesforce, component
from halflap.components.salesforce.models import (
    Limit,
    ObjectDescription,
    ObjectField,
    ObjectName,
    User,
)

TYPES: dict[str, Literal["string", "integer", "number", "boolean", "date", "datetime"]] = {
    "int": "integer",
    "long": "integer",
    "double": "number",
    "currency": "number",
    "percent": "number",
    "boolean": "boolean",
    "date": "date",
    "datetime": "datetime",
}
NOT_SENT = frozenset({"address", "location", "base64", "encryptedstring", "anyType"})
"""Types of fields that no message and no form holds."""


@component.action
async def get_current_user(sf: Salesforce) -> User:
    """Get the user that the connection acts as."""
    return User.model_validate(await sf.get("/services/oauth2/userinfo"))


@component.action
async def get_limits(sf: Salesforce) -> dict[str, Limit]:
    """Get the org's limits, and what is left of each."""
    found: dict[str, Any] = await sf.get(sf.data("limits"))
    return {name: Limit.model_validate(each) for name, each in found.items()}


@component.action
async def list_objects(sf: Salesforce) -> list[ObjectName]:
    """List the objects that records can be of."""
    found: Any = await sf.get(sf.data("sobjects"))
    return [ObjectName.model_validate(each) for each in found["sobjects"]]


Object = Annotated[str, Source(list_objects)]


@component.action(title="Describe object")
async def describe(sf: Salesforce, object: Object) -> ObjectDescription:
    """Describe an object and its fields."""
    return ObjectDescription.model_validate(await sf.get(sf.data("sobjects", object, "describe")))


@component.action
async def list_fields(sf: Salesforce, object: Object) -> list[tuple[str, str]]:
    """List an object's fields: the API name and the label of each."""
    return [(each.name, each.label) for each in (await describe(sf, object)).fields]


@component.action
async def describe_fields(sf: Salesforce, object: Object) -> list[FieldSpec]:
    """Describe the fields of an object that can be written."""
    found = await describe(sf, object)
    return [spec(each) for each in found.fields if writable(each)]


def writable(field: ObjectField) -> bool:
    """Return whether a form may offer a field."""
    return (field.createable or field.updateable) and field.type not in NOT_SENT


def spec(field: ObjectField) -> FieldSpec:
    """A field as an input of a form."""
    return FieldSpec(
        name=field.name,
        title=field.label,
        type=TYPES.get(field.type, "string"),
        required=field.createable
        and not field.nillable
        and not field.defaulted
        and field.type != "boolean",
        choices=field.choices or None,
    )
