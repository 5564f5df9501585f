"""Outbound messages: Salesforce calls a URL when a record changes.

A message says what is sent where; a record-triggered flow says when. Ours are made together, under a
name that follows from the object and the URL, so that asking twice finds what the first made.
"""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta
from typing import Any

from halflap import UpstreamError
from halflap.components.salesforce import soap
from halflap.components.salesforce._answer import unless_gone
from halflap.components.salesforce._archive import archive
from halflap.components.salesforce.connection import Salesforce, component
from halflap.components.salesforce.description import NOT_SENT, Object, describe, get_current_user
from halflap.components.salesforce.models import TYPED, OutboundMessage, Writing
from halflap.components.salesforce.quoting import soql
from halflap.components.salesforce.records import next_page
from halflap.components.salesforce.soap import many, text

MESSAGE = "WorkflowOutboundMessage"
RULE = "WorkflowRule"
PREFIX = "Halflap_"
DEPLOYED_WITHIN = 540.0
FIRST_WAIT, LONGEST_WAIT = 0.1, 5.0
RECORDING = {"create": "Create", "update": "Update", "create_and_update": "CreateAndUpdate"}


@component.action(timeout=timedelta(minutes=10), repeatable=True)
async def ensure_outbound_message(
    sf: Salesforce,
    object: Object,
    url: str,
    fields: list[str] | None = None,
    username: str | None = None,
    on: Writing = "create_and_update",
) -> OutboundMessage:
    """Have Salesforce call a URL when a record changes; asked twice, it still calls once.

    Makes the outbound message and the flow that fires it, in one deployment: both or neither. Asked
    with other fields, it changes the message in place, and misses no change in between.
    `fields`: those to send; without, the ones that the typed record reads, or all that a person may
    change. `username`: who the message is sent as; without, the connection's user.
    """
    wanted = await message_for(sf, object, url, fields, username)
    name = wanted.name
    same_flow = await fires(sf, wanted, on)
    if not same_flow or not await is_there(sf, wanted):
        flow = None if same_flow else RECORDING[on]
        await deploy(sf, archive(wanted, flow, sf.api_version), f"{object}.{name}")
        if flow is not None:
            await activate(sf, name)
    return wanted.model_copy(update={"id": await id_of(sf, f"{object}.{name}")})


async def ensure_by_rule(sf: Salesforce, object: str, url: str, fields: list[str]) -> str:
    """Have a workflow rule send a message after each save, where no flow may; return the message's id.

    Salesforce makes no new kinds of automation for rules, and still runs them.
    """
    wanted = await message_for(sf, object, url, fields)
    full_name = f"{object}.{wanted.name}"
    if not await is_there(sf, wanted):
        await deploy(sf, archive(wanted, None, sf.api_version), full_name)
    if not await soap.read_metadata(sf, RULE, [full_name]):
        action = {"name": wanted.name, "type": "OutboundMessage"}
        rule = {"active": True, "formula": "TRUE", "triggerType": "onAllChanges"}
        try:
            await soap.create_metadata(sf, RULE, {"fullName": full_name, "actions": action, **rule})
        except UpstreamError:
            await soap.delete_metadata(sf, MESSAGE, full_name)  # it would tell nothing
            raise
    return await id_of(sf, full_name)


async def delete_rule(sf: Salesforce, object: str, url: str) -> None:
    """Delete the rule that `ensure_by_rule` made; gone already is fine."""
    await soap.delete_metadata(sf, RULE, f"{object}.{name_of(object, url)}")


async def message_for(
    sf: Salesforce, object: str, url: str, fields: list[str] | None, username: str | None = None
) -> OutboundMessage:
    """The message that is to tell a URL of an object; what is left out is looked up at the org."""
    return OutboundMessage(
        id="",
        object=object,
        name=name_of(object, url),
        url=url,
        fields=sorted({"Id", *(fields if fields is not None else await usual_fields(sf, object))}),
        username=username or (await get_current_user(sf)).username,
    )


@component.action(repeatable=True)
async def create_outbound_message(
    sf: Salesforce,
    object: Object,
    name: str,
    url: str,
    fields: list[str],
    username: str | None = None,
) -> OutboundMessage:
    """Create an outbound message alone, for a flow of your own to fire."""
    user = username or (await get_current_user(sf)).username
    sent = sorted({"Id", *fields})
    await soap.create_metadata(
        sf,
        MESSAGE,
        {
            "fullName": f"{object}.{name}",
            "apiVersion": sf.api_version,
            "endpointUrl": url,
            "fields": sent,
            "includeSessionId": False,
            "integrationUser": user,
            "name": name,
            "protected": False,
            "useDeadLetterQueue": False,
        },
    )
    id = await id_of(sf, f"{object}.{name}")
    return OutboundMessage(id=id, object=object, name=name, url=url, fields=sent, username=user)


@component.action(repeatable=True)
async def list_outbound_messages(sf: Salesforce) -> list[OutboundMessage]:
    """List the org's outbound messages, whoever made them."""
    ids = await ids_by_name(sf)
    found = await soap.read_metadata(sf, MESSAGE, sorted(ids))
    return [read_message(each, ids[text(each, "fullName")]) for each in found]


@component.action(timeout=timedelta(minutes=10), repeatable=True)
async def delete_outbound_message(sf: Salesforce, id: str) -> None:
    """Delete an outbound message and the flow or the rule of ours that fires it; gone already is fine.

    In this order, each step only where it is still to be done: the flow is deactivated, its versions
    are deleted, then the message. What another made is never touched: a flow of somebody's own that
    fires the message makes Salesforce refuse.
    """
    ids = await ids_by_name(sf)
    full_name = next((name for name, each in ids.items() if each[:15] == id[:15]), None)
    if full_name is None:
        return
    name = full_name.partition(".")[2]
    if name.startswith(PREFIX):
        await delete_flow(sf, name)
        await soap.delete_metadata(sf, RULE, full_name)
    await soap.delete_metadata(sf, MESSAGE, full_name)


def name_of(object: str, url: str) -> str:
    """The name of the message that tells a URL of an object, and of its flow."""
    digest = hashlib.sha256(f"{url}\n{object}".encode()).hexdigest()
    return f"{PREFIX}{digest[:24]}"


async def usual_fields(sf: Salesforce, object: str) -> list[str]:
    """The fields to send where none are named."""
    described = await describe(sf, object)
    there = {each.name: each for each in described.fields if each.type not in NOT_SENT}
    if object in TYPED:
        return [name for name in TYPED[object].field_names() if name in there]
    return [name for name, each in there.items() if each.updateable or name == "Name"]


async def ids_by_name(sf: Salesforce) -> dict[str, str]:
    """The ids of the org's outbound messages, by full name."""
    listed = await soap.list_metadata(sf, MESSAGE)
    return {text(each, "fullName"): text(each, "id") for each in listed}


async def id_of(sf: Salesforce, full_name: str) -> str:
    """The id of an outbound message that was just made."""
    found = (await ids_by_name(sf)).get(full_name)
    if not found:
        raise UpstreamError(
            f"Salesforce does not list the outbound message {full_name}, which it just made; it is "
            "looked for again",
            retryable=True,
        )
    return found


async def is_there(sf: Salesforce, wanted: OutboundMessage) -> bool:
    """Return whether a message is at Salesforce, as it should be; names there have no case."""
    found = await soap.read_metadata(sf, MESSAGE, [f"{wanted.object}.{wanted.name}"])
    there = [read_message(each, "") for each in found]
    return any(
        each.url == wanted.url
        and each.username.casefold() == wanted.username.casefold()
        and {*map(str.casefold, each.fields)} == {*map(str.casefold, wanted.fields)}
        for each in there
    )


def read_message(found: Any, id: str) -> OutboundMessage:
    """An outbound message out of its metadata."""
    object, _, name = text(found, "fullName").partition(".")
    return OutboundMessage(
        id=id,
        object=object,
        name=name,
        url=text(found, "endpointUrl"),
        fields=sorted((each.text or "").strip() for each in many(found, "fields")),
        username=text(found, "integrationUser"),
    )


async def fires(sf: Salesforce, wanted: OutboundMessage, on: Writing) -> bool:
    """Return whether the flow that is to fire a message is there, active and as it should be."""
    for flow in await soap.read_metadata(sf, "Flow", [wanted.name]):
        calls = {text(each, "actionName") for each in many(flow, "actionCalls")}
        return (
            text(flow, "status") == "Active"
            and text(flow, "start/object") == wanted.object
            and text(flow, "start/recordTriggerType") == RECORDING[on]
            and text(flow, "start/triggerType") == "RecordAfterSave"
            and calls == {f"{wanted.object}.{wanted.name}"}
        )
    return False


async def deploy(sf: Salesforce, archive: bytes, what: str) -> None:
    """Deploy a zip and wait for its end."""
    id = await soap.start_deploy(sf, archive)
    wait, deadline = FIRST_WAIT, asyncio.get_running_loop().time() + DEPLOYED_WITHIN
    while True:
        status = await soap.deploy_status(sf, id)
        if text(status, "done") == "true":
            break
        if asyncio.get_running_loop().time() > deadline:
            raise UpstreamError(
                f"Salesforce has not ended the deployment {id} of {what} in {DEPLOYED_WITHIN:.0f} s; "
                "see Setup → Deployment Status",
                retryable=True,
            )
        await asyncio.sleep(wait)
        wait = min(wait * 1.5, LONGEST_WAIT)
    if text(status, "success") != "true":
        raise refused(status, what)


def refused(status: Any, what: str) -> UpstreamError:
    """Why a deployment failed."""
    failures = [
        each for details in many(status, "details") for each in many(details, "componentFailures")
    ]
    said = "; ".join(f"{text(each, 'fullName')}: {text(each, 'problem')}" for each in failures)
    said = said or text(status, "errorMessage") or text(status, "status")
    passing = "UNABLE_TO_LOCK_ROW" in said or text(status, "status") == "Canceled"
    return UpstreamError(
        f"Salesforce did not deploy the outbound message {what}: {said[:800]}",
        status=400,
        retryable=passing,
        body=said[:2_000],
    )


async def activate(sf: Salesforce, name: str) -> None:
    """Activate a flow's newest version, where the org deploys flows as inactive."""
    flow = await definition(sf, name)
    if flow is None or flow["ActiveVersionId"]:
        return
    found = await versions(sf, flow["Id"])
    newest = max(int(each["VersionNumber"]) for each in found)
    await set_active(sf, flow["Id"], newest)


async def delete_flow(sf: Salesforce, name: str) -> None:
    """Deactivate a flow and delete all of its versions; each only where it is to be done."""
    flow = await definition(sf, name)
    if flow is None:
        return
    if flow["ActiveVersionId"]:
        await set_active(sf, flow["Id"], None)
    for version in await versions(sf, flow["Id"]):
        await unless_gone(sf.delete(sf.data("tooling", "sobjects", "Flow", version["Id"])))


async def definition(sf: Salesforce, name: str) -> dict[str, Any] | None:
    """The definition of a flow, by its name."""
    ask = "SELECT Id, DeveloperName, ActiveVersionId FROM FlowDefinition WHERE DeveloperName = {}"
    return next(iter(await tooling(sf, soql(ask, name))), None)


async def versions(sf: Salesforce, definition: str) -> list[dict[str, Any]]:
    """The versions of a flow."""
    ask = "SELECT Id, VersionNumber, Status FROM Flow WHERE DefinitionId = {}"
    return await tooling(sf, soql(ask, definition))


async def set_active(sf: Salesforce, definition: str, version: int | None) -> None:
    """Activate one version of a flow, or none."""
    path = sf.data("tooling", "sobjects", "FlowDefinition", definition)
    change = sf.patch(path, json={"Metadata": {"activeVersionNumber": version}})
    await (unless_gone(change) if version is None else change)


async def tooling(sf: Salesforce, query: str) -> list[dict[str, Any]]:
    """The rows of a query of the Tooling API."""
    path = sf.data("tooling", "query")
    rows = sf.pages(path, params={"q": query}, items="records", next=next_page)
    return [each async for each in rows]
