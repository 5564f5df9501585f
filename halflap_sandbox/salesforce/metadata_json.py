"""Metadata as the Tooling API writes it: the same names as in XML, as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, cast

from halflap_sandbox.salesforce.call import Refused
from halflap_sandbox.salesforce.markup import Element, element
from halflap_sandbox.salesforce.messages import ORDER
from halflap_sandbox.salesforce.model import Json

LISTS = {
    "actionCalls",
    "actions",
    "assignments",
    "constants",
    "decisions",
    "fields",
    "filters",
    "formulas",
    "inputParameters",
    "outputParameters",
    "processMetadataValues",
    "recordCreates",
    "recordLookups",
    "recordUpdates",
    "variables",
}
BOOLEANS = {
    "active",
    "booleanValue",
    "doesRequireRecordChangedToMeetCriteria",
    "externalId",
    "includeSessionId",
    "isTemplate",
    "protected",
    "required",
    "storeOutputAutomatically",
    "unique",
    "useDeadLetterQueue",
}
WHOLE = {"activeVersionNumber", "length", "locationX", "locationY", "precision", "scale"}
DECIMALS = {"apiVersion", "numberValue"}
OPTIONAL: Mapping[str, tuple[str, ...]] = {
    "WorkflowOutboundMessage": ("description",),
    "FlowDefinition": ("activeVersionNumber", "description"),
    "Flow": ("description",),
}
"""Members that are written as null where there is none."""


def to_json(type: str, content: Element) -> Json:
    """Write metadata as JSON; the full name is not part of it."""
    empty: Json = dict.fromkeys(OPTIONAL.get(type, ()))
    written = _object(content.without("fullName"))
    return {**empty, **written}


def from_json(type: str, full_name: str, metadata: Json) -> Element:
    """Read metadata of JSON, in any order."""
    names = sorted(metadata)
    if type == "WorkflowOutboundMessage":
        names.sort(key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))
    parts = [
        part for name in names if name != "fullName" for part in _elements(name, metadata[name])
    ]
    return element("metadata", element("fullName", full_name), *parts, type=type)


def _object(content: Element) -> Json:
    written: Json = {}
    for child in content.children:
        value = _value(child)
        if child.name in LISTS:
            written.setdefault(child.name, []).append(value)
        else:
            written[child.name] = value
    return written


def _value(child: Element) -> Any:
    if child.nil:
        return None
    if child.children:
        return _object(child)
    if child.name in BOOLEANS:
        return child.text == "true"
    try:
        if child.name in WHOLE:
            return int(child.text)
        if child.name in DECIMALS:
            return Decimal(child.text)
    except (ArithmeticError, ValueError):
        return child.text
    return child.text


def _elements(name: str, value: Any) -> list[Element]:
    match value:
        case None:
            return []
        case list():
            return [e for each in cast("list[Any]", value) for e in _elements(name, each)]
        case dict():
            inner = [e for n, v in sorted(cast("Json", value).items()) for e in _elements(n, v)]
            return [element(name, *inner)]
        case bool() | int() | str():
            return [element(name, value)]
        case Decimal():
            return [element(name, str(value))]
        case _:
            raise Refused(400, "JSON_PARSER_ERROR", f"{name} has a value that can't be read")
