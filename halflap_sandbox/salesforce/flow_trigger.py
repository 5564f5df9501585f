"""Read and check a flow's XML: when it runs, and which outbound messages it sends."""

from __future__ import annotations

from halflap_sandbox.salesforce.component import Problem
from halflap_sandbox.salesforce.formula import WrongFormula, parse
from halflap_sandbox.salesforce.markup import Element
from halflap_sandbox.salesforce.messages import find_message
from halflap_sandbox.salesforce.model import Entity, FlowTrigger, Org, Recording, by_name

RECORDINGS: dict[str, Recording] = {
    "Create": "Create",
    "Update": "Update",
    "CreateAndUpdate": "CreateAndUpdate",
}
CONDITIONS = ("filters", "filterLogic", "scheduledPaths", "schedule")
LOGIC = (
    "apexPluginCalls",
    "assignments",
    "collectionProcessors",
    "decisions",
    "loops",
    "recordCreates",
    "recordDeletes",
    "recordLookups",
    "recordUpdates",
    "subflows",
    "waits",
)


def read_trigger(org: Org, flow: Element) -> FlowTrigger | None:
    """Read what starts a flow that runs after a record is saved; None for other flows.

    Raises Problem where Salesforce would refuse the flow, or this sandbox could not run it.
    """
    start = flow.child("start")
    kind = start.get("triggerType") if start else None
    if start is None or kind != "RecordAfterSave":
        _refuse_messages(flow, kind)
        return None
    if (process := flow.get("processType")) != "AutoLaunchedFlow":
        raise _invalid(start, f"The process type {process} can't have a record trigger.")
    entity = by_name(org.entities, start.get("object") or "")
    if entity is None:
        raise _invalid(start, f"The object {start.get('object')} can't be used: it doesn't exist.")
    text = start.get("recordTriggerType") or ""
    if text not in RECORDINGS:
        message = f"The record trigger type {text!r} can't be used with RecordAfterSave."
        raise _invalid(start, message)
    recording = RECORDINGS[text]
    _refuse_unsupported(flow, start)
    formula = start.get("filterFormula") or None
    if formula is not None:
        _check_formula(start, entity, recording, formula)
    return FlowTrigger(
        object=entity.name,
        recording=recording,
        filter_formula=formula,
        messages=tuple(_messages(org, entity, flow, start)),
    )


def _messages(org: Org, entity: Entity, flow: Element, start: Element) -> list[str]:
    actions: dict[str, Element] = {}
    names: dict[str, str] = {}
    for action in flow.all("actionCalls"):
        name = action.get("name") or ""
        if name in actions:
            raise _invalid(action, f"{name}: The element's name is already used in the flow.")
        actions[name] = action
        names[name] = _message(org, entity, action, name)
    sent: list[str] = []
    seen = set[str]()
    at = start
    while (connector := at.child("connector")) is not None:
        target = connector.get("targetReference") or ""
        if target not in actions:
            message = f'The element has an invalid reference to "{target}".'
            raise _invalid(connector, message)
        if target in seen:
            raise _invalid(connector, f"The elements are connected in a circle at {target}.")
        seen.add(target)
        sent.append(names[target])
        at = actions[target]
    return sent


def _message(org: Org, entity: Entity, action: Element, name: str) -> str:
    if (kind := action.get("actionType")) != "outboundMessage":
        raise _unsupported(action, f"actions of type {kind}")
    found = find_message(org, action.get("actionName") or "")
    if found is None or found.object != entity.name:
        message = (
            f"{name} (Action) - We can't find an action with the name and action type that you "
            f"specified: {action.get('actionName')}, {kind}."
        )
        raise _invalid(action, message)
    return found.full_name


def _check_formula(start: Element, entity: Entity, recording: Recording, text: str) -> None:
    try:
        fields = parse(text).changed_fields()
    except WrongFormula as error:
        raise _invalid(start, f"The formula expression is invalid: {error}") from error
    for name in fields:
        if name not in entity.fields:
            message = f"The formula expression is invalid: Field {name} does not exist."
            raise _invalid(start, message)
    if fields and recording != "Update":
        message = (
            "The formula expression is invalid: ISCHANGED can be used only where the flow runs "
            "when a record is updated."
        )
        raise _invalid(start, message)


def _refuse_messages(flow: Element, kind: str | None) -> None:
    for action in flow.all("actionCalls"):
        if action.get("actionType") == "outboundMessage":
            name = action.get("name")
            message = (
                f"{name} (Action) - Outbound messages can be sent only by flows that run after a "
                f"record is saved, not by {kind or 'a flow without a record trigger'}."
            )
            raise _invalid(action, message)


def _refuse_unsupported(flow: Element, start: Element) -> None:
    for name in CONDITIONS:
        if start.child(name) is not None:
            raise _unsupported(start, f"a start with {name}; write a filterFormula")
    if start.true("doesRequireRecordChangedToMeetCriteria"):
        raise _unsupported(start, "doesRequireRecordChangedToMeetCriteria; write ISCHANGED")
    for name in LOGIC:
        if (found := flow.child(name)) is not None:
            raise _unsupported(found, f"{name} in a flow with a record trigger")


def _unsupported(where: Element, what: str) -> Problem:
    return _invalid(where, f"This sandbox does not run {what}.")


def _invalid(where: Element, message: str) -> Problem:
    return Problem("FIELD_INTEGRITY_EXCEPTION", message, line=where.line)
