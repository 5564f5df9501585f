"""Workflow rules as metadata: the older way to send outbound messages."""

from __future__ import annotations

from typing import Literal

from halflap_sandbox.salesforce.component import (
    Author,
    Listed,
    Problem,
    Saved,
    boolean,
    check_elements,
    check_may,
    none_found,
    required,
    unknown_reference,
)
from halflap_sandbox.salesforce.formula import WrongFormula, parse
from halflap_sandbox.salesforce.markup import Element, document, element
from halflap_sandbox.salesforce.markup import parse as parse_xml
from halflap_sandbox.salesforce.messages import find_message, split_name
from halflap_sandbox.salesforce.model import Entity, Org, WorkflowRule, by_name

ELEMENTS = (
    "fullName",
    "actions",
    "active",
    "booleanFilter",
    "criteriaItems",
    "description",
    "formula",
    "triggerType",
    "workflowTimeTriggers",
)
UNSUPPORTED = ("booleanFilter", "criteriaItems", "workflowTimeTriggers")
TriggerType = Literal["onCreateOnly", "onCreateOrTriggeringUpdate", "onAllChanges"]
TRIGGER_TYPES: dict[str, TriggerType] = {
    "onCreateOnly": "onCreateOnly",
    "onCreateOrTriggeringUpdate": "onCreateOrTriggeringUpdate",
    "onAllChanges": "onAllChanges",
}


class WorkflowRules:
    """Every workflow rule of an org; their conditions are formulas."""

    type = "WorkflowRule"

    def listed(self, org: Org) -> list[Listed]:
        """List what there is."""
        return [
            Listed(r.full_name, r.id, f"workflows/{r.object}.workflow") for r in org.rules.values()
        ]

    def read(self, org: Org, full_name: str) -> Element | None:
        """Read one."""
        rule = org.rules.get(full_name)
        if rule is None:
            return None
        content = parse_xml(rule.source).children
        return element("records", element("fullName", rule.full_name), *content, type=self.type)

    def save(self, author: Author, given: Element, *, create: bool, update: bool) -> Saved:
        """Save one."""
        org, full_name = author.org, required(given, "fullName")
        check_elements(given.named(given.name, self.type), ELEMENTS, ordered=False)
        old = org.rules.get(full_name)
        check_may(old, "workflow rule", self.type, given, create=create, update=update)
        id = old.id if old else org.new_id("01Q")
        new = _read_rule(org, given, full_name, id)
        org.rules[new.full_name] = new
        if new != old:
            author.stamp(id)
        return Saved(id, created=old is None, changed=new != old)

    def delete(self, author: Author, full_name: str) -> str:
        """Delete one."""
        rule = author.org.rules.pop(full_name, None)
        if rule is None:
            raise none_found(self.type, full_name)
        return rule.id


def _read_rule(org: Org, given: Element, full_name: str, id: str) -> WorkflowRule:
    object_name, name = split_name(full_name, "WorkflowRule")
    entity = by_name(org.entities, object_name)
    if entity is None:
        raise unknown_reference("entity", "CustomObject", object_name, given.line)
    if len(name) > 80:
        message = "Rule Name: data value too large (max length=80)"
        raise Problem("STRING_TOO_LONG", message, line=given.line)
    for unsupported in UNSUPPORTED:
        if given.child(unsupported) is not None:
            message = f"This sandbox does not run rules with {unsupported}; write a formula."
            raise Problem("FIELD_INTEGRITY_EXCEPTION", message, line=given.line)
    text = required(given, "triggerType")
    if text not in TRIGGER_TYPES:
        message = f"'{text}' is not a valid value for the enum 'WorkflowTriggerTypes'"
        raise Problem("INVALID_TYPE", message, line=given.line)
    trigger_type = TRIGGER_TYPES[text]
    formula = required(given, "formula")
    _check_formula(given, entity, trigger_type, formula)
    return WorkflowRule(
        id=id,
        object=entity.name,
        name=name,
        active=boolean(given, "active"),
        trigger_type=trigger_type,
        formula=formula,
        messages=tuple(_message(org, entity, action) for action in given.all("actions")),
        source=document(given.without("fullName").named("rules")),
    )


def _message(org: Org, entity: Entity, action: Element) -> str:
    name, kind = required(action, "name"), required(action, "type")
    if kind != "OutboundMessage":
        message = f"This sandbox does not run workflow actions of type {kind}."
        raise Problem("FIELD_INTEGRITY_EXCEPTION", message, line=action.line)
    found = find_message(org, f"{entity.name}.{name}")
    if found is None:
        full_name = f"{entity.name}.{name}"
        raise unknown_reference("action", "WorkflowOutboundMessage", full_name, action.line)
    return found.full_name


def _check_formula(given: Element, entity: Entity, kind: TriggerType, text: str) -> None:
    try:
        fields = parse(text).changed_fields()
    except WrongFormula as error:
        raise Problem("FIELD_INTEGRITY_EXCEPTION", f"Formula: {error}", line=given.line) from error
    for name in fields:
        if name not in entity.fields:
            message = f"Formula: Field {name} does not exist. Check spelling."
            raise Problem("FIELD_INTEGRITY_EXCEPTION", message, line=given.line)
    if fields and kind != "onAllChanges":
        message = f"Formula: ISCHANGED can't be used with the trigger type {kind}."
        raise Problem("FIELD_INTEGRITY_EXCEPTION", message, line=given.line)
