"""The zip that an outbound message is deployed by, with the flow that fires it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

from halflap.components.salesforce.models import OutboundMessage
from halflap.components.salesforce.soap import METADATA, Value, add, etree

STAMP = (1980, 1, 1, 0, 0, 0)


def archive(message: OutboundMessage, recording: str | None, version: str) -> bytes:
    """A package of a message and of its flow; without the flow where `recording` is None."""
    types: list[Mapping[str, Value]] = [
        {"members": f"{message.object}.{message.name}", "name": "WorkflowOutboundMessage"}
    ]
    files = {f"workflows/{message.object}.workflow": workflow(message, version)}
    if recording is not None:
        types.append({"members": message.name, "name": "Flow"})
        files[f"flows/{message.name}.flow"] = flow(message, recording, version)
    files["package.xml"] = document("Package", {"types": types, "version": version})
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in files.items():
            packed.writestr(zipfile.ZipInfo(name, STAMP), data)
    return content.getvalue()


def workflow(message: OutboundMessage, version: str) -> bytes:
    """The message, in the file of its object's workflow: what else is there stays as it is."""
    told: Mapping[str, Value] = {
        "fullName": message.name,
        "apiVersion": version,
        "description": "Made by Halflap, which removes it again. Please leave it alone.",
        "endpointUrl": message.url,
        "fields": message.fields,
        "includeSessionId": False,
        "integrationUser": message.username,
        "name": message.name,
        "protected": False,
        "useDeadLetterQueue": False,
    }
    return document("Workflow", {"outboundMessages": told})


def flow(message: OutboundMessage, recording: str, version: str) -> bytes:
    """The record-triggered flow that sends the message after each save."""
    full_name = f"{message.object}.{message.name}"
    return document(
        "Flow",
        {
            "actionCalls": {
                "name": "Send",
                "label": "Send the outbound message",
                "locationX": 176,
                "locationY": 323,
                "actionName": full_name,
                "actionType": "outboundMessage",
                "flowTransactionModel": "CurrentTransaction",
            },
            "apiVersion": version,
            "description": "Made by Halflap, which removes it again. Please leave it alone.",
            "environments": "Default",
            "interviewLabel": f"{message.name} {{!$Flow.CurrentDateTime}}",
            "label": message.name,
            "processType": "AutoLaunchedFlow",
            "start": {
                "locationX": 50,
                "locationY": 0,
                "connector": {"targetReference": "Send"},
                "object": message.object,
                "recordTriggerType": recording,
                "triggerType": "RecordAfterSave",
            },
            "status": "Active",
        },
    )


def document(root: str, content: Mapping[str, Value]) -> bytes:
    """A metadata file."""
    holder = etree.Element("holder")
    add(holder, root, content)
    element = holder[0]
    assert element.tag == f"{{{METADATA}}}{root}"
    return etree.tostring(element, xml_declaration=True, encoding="UTF-8", pretty_print=True)
