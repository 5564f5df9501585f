"""Custom fields as metadata: what an admin adds to an object."""

from __future__ import annotations

import hashlib

from halflap_sandbox.salesforce.component import (
    Author,
    Listed,
    Problem,
    Saved,
    check_may,
    check_name,
    none_found,
    required,
    unknown_reference,
)
from halflap_sandbox.salesforce.markup import Element, element, optional
from halflap_sandbox.salesforce.messages import split_name
from halflap_sandbox.salesforce.model import Entity, Field, FieldType, Org, by_name, with_checksum

TYPES: dict[str, FieldType] = {
    "Text": "string",
    "TextArea": "textarea",
    "LongTextArea": "textarea",
    "Number": "double",
    "Currency": "currency",
    "Percent": "percent",
    "Checkbox": "boolean",
    "Date": "date",
    "DateTime": "datetime",
    "Email": "email",
    "Phone": "phone",
    "Url": "url",
}
NAMES = {v: k for k, v in TYPES.items() if k != "LongTextArea"}
NUMBERS = {"Number", "Currency", "Percent"}


class CustomFields:
    """Every custom field of an org; its full name is `Object.Name__c`."""

    type = "CustomField"

    def listed(self, org: Org) -> list[Listed]:
        """List what there is."""
        return [
            Listed(f"{entity.name}.{field.name}", _id(org, entity, field), _file(entity))
            for entity in org.entities.values()
            for field in entity.fields.values()
            if field.custom
        ]

    def read(self, org: Org, full_name: str) -> Element | None:
        """Read one."""
        entity, field = _find(org, full_name)
        if entity is None or field is None or field.type not in NAMES:
            return None
        number = NAMES[field.type] in NUMBERS
        return element(
            "records",
            element("fullName", f"{entity.name}.{field.name}"),
            element("externalId", field.external_id),
            element("label", field.label),
            optional("length", field.length or None if not number else None),
            optional("precision", field.precision if number else None),
            element("required", field.required),
            optional("scale", field.scale if number else None),
            element("type", NAMES[field.type]),
            element("unique", field.unique),
            type=self.type,
        )

    def save(self, author: Author, given: Element, *, create: bool, update: bool) -> Saved:
        """Save one; the records have it at once, empty."""
        org, full_name = author.org, required(given, "fullName")
        object_name, name = split_name(full_name, self.type)
        entity = by_name(org.entities, object_name)
        if entity is None:
            raise unknown_reference("entity", "CustomObject", object_name, given.line)
        old = by_name(entity.fields, name)
        check_may(old, "field", self.type, given, create=create, update=update)
        field = _read_field(given, old.name if old else name)
        changed = old != field
        entity.fields[field.name] = field
        if old is None:
            for record in org.tables.get(entity.name, {}).values():
                record[field.name] = field.default
        if changed:
            author.stamp(_id(org, entity, field))
        return Saved(_id(org, entity, field), created=old is None, changed=changed)

    def delete(self, author: Author, full_name: str) -> str:
        """Delete one that no outbound message sends."""
        org = author.org
        entity, field = _find(org, full_name)
        if entity is None or field is None:
            raise none_found(self.type, full_name)
        for message in org.outbound_messages.values():
            if message.object == entity.name and field.name in message.fields:
                text = (
                    "This custom field is referenced elsewhere in salesforce.com. : "
                    f"Outbound Message - {message.full_name}."
                )
                raise Problem("DELETE_FAILED", text)
        del entity.fields[field.name]
        return _id(org, entity, field)


def _find(org: Org, full_name: str) -> tuple[Entity | None, Field | None]:
    object_name, _, name = full_name.partition(".")
    entity = by_name(org.entities, object_name)
    field = by_name(entity.fields, name) if entity else None
    return entity, field if field and field.custom else None


def _read_field(given: Element, name: str) -> Field:
    if not name.endswith("__c"):
        message = f"The name of a custom field ends with __c: {name}"
        raise Problem("INVALID_FULL_NAME", message, line=given.line)
    check_name(name.removesuffix("__c"), given.line)
    kind = required(given, "type")
    if kind not in TYPES:
        message = f"This sandbox has no custom fields of type {kind}: it has {', '.join(TYPES)}."
        raise Problem("INVALID_TYPE", message, line=given.line)
    text = kind in {"Text", "LongTextArea"}
    return Field(
        name=name,
        label=required(given, "label"),
        type=TYPES[kind],
        length=_number(given, "length", 255 if kind == "Text" else 131072) if text else 255,
        precision=_number(given, "precision", 18) if kind in NUMBERS else 0,
        scale=_number(given, "scale", 17) if kind in NUMBERS else 0,
        required=given.true("required"),
        unique=given.true("unique"),
        external_id=given.true("externalId"),
        default=False if kind == "Checkbox" else None,
    )


def _number(given: Element, name: str, most: int) -> int:
    text = required(given, name)
    if not text.isascii() or not text.isdigit() or int(text) > most:
        message = f"Can not specify '{name}' {text}: it is a number up to {most}"
        raise Problem("FIELD_INTEGRITY_EXCEPTION", message, line=given.line)
    return int(text)


def _file(entity: Entity) -> str:
    return f"objects/{entity.name}.object"


def _id(org: Org, entity: Entity, field: Field) -> str:
    """Give a field an id: always the same for the same name in the same org."""
    digest = hashlib.sha256(f"{org.id}.{entity.name}.{field.name}".encode()).hexdigest()
    return with_checksum(f"00N{digest[:12]}")
