"""The Tooling API of a sandbox Salesforce."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.metadata_calls import Caller, package, problems

pytestmark = pytest.mark.asyncio(loop_scope="module")
MESSAGES = "/sobjects/WorkflowOutboundMessage"


def message(
    caller: Caller, name: str = "Opportunity.Tell", label: str = "Tell", **metadata: Any
) -> dict[str, Any]:
    # In no order: only XML has one.
    return {
        "FullName": name,
        "Metadata": {
            "protected": False,
            "name": label,
            "fields": ["Id", "Amount"],
            "endpointUrl": "https://example.com/1",
            "apiVersion": 63.0,
            "includeSessionId": False,
            "integrationUser": caller.user.username,
            **metadata,
        },
    }


async def deployed(caller: Caller, **of_flow: Any) -> None:
    result = await caller.deploy(package(caller.user.username, **of_flow))
    assert result.get("status") == "Succeeded", problems(result)


def refused(answer: tuple[int, Any]) -> tuple[int, str]:
    status, (error,) = answer
    assert error["message"]
    return status, error["errorCode"]


async def test_what_is_wrong_has_the_code_of_salesforce(caller: Caller) -> None:
    async def post(body: object, path: str = MESSAGES) -> tuple[int, str]:
        return refused(await caller.rest("POST", path, body))

    assert await post({"FullName": "Opportunity.Tell"}) == (400, "REQUIRED_FIELD_MISSING")
    assert await post({"Metadata": {}}) == (400, "REQUIRED_FIELD_MISSING")
    unknown = message(caller, fields=["Amont"])
    assert await post(unknown) == (400, "INVALID_CROSS_REFERENCE_KEY")
    assert await post(message(caller, secret=1)) == (400, "INVALID_INPUT")
    assert await post(message(caller), "/sobjects/Nothing") == (404, "NOT_FOUND")
    assert (await caller.rest("POST", MESSAGES, message(caller)))[0] == 201
    assert await post(message(caller)) == (400, "DUPLICATE_DEVELOPER_NAME")
    for id in ("04k000000000001", "nonsense"):
        assert refused(await caller.rest("GET", f"{MESSAGES}/{id}")) == (404, "NOT_FOUND")


async def test_full_name_and_metadata_are_given_for_one_row_only(caller: Caller) -> None:
    for name in ("Opportunity.A", "Opportunity.B"):
        await caller.rest("POST", MESSAGES, message(caller, name, label=name[-1]))
    found = await caller.query("SELECT Id, Name, EntityDefinitionId FROM WorkflowOutboundMessage")
    assert [(f["Name"], f["EntityDefinitionId"]) for f in found] == [
        ("A", "Opportunity"),
        ("B", "Opportunity"),
    ]
    text = "SELECT FullName, Metadata FROM WorkflowOutboundMessage"
    (one,) = await caller.query(f"{text} WHERE Name = 'A'")
    assert one["FullName"] == "Opportunity.A"
    assert one["Metadata"]["fields"] == ["Id", "Amount"]
    assert (await caller.query(f"{text} LIMIT 1"))[0]["FullName"] == "Opportunity.A"
    headers = {"Authorization": f"Bearer {caller.token}"}
    url = f"{caller.base}/services/data/v63.0/tooling/query"
    async with caller.http.get(url, params={"q": text}, headers=headers) as got:
        (error,) = await got.json()
    assert (got.status, error["errorCode"]) == (400, "MALFORMED_QUERY")
    assert "Result size: 2" in error["message"]


async def test_a_flow_is_created_and_its_draft_changed_but_not_what_is_active(
    caller: Caller,
) -> None:
    await deployed(caller)
    _, read = await caller.rest("GET", f"/sobjects/Flow/{caller.org.flows['Tell'].versions[1].id}")
    metadata = read["Metadata"] | {"status": "Draft"}
    body = {"FullName": "Other", "Metadata": metadata}
    status, made = await caller.rest("POST", "/sobjects/Flow", body)
    assert status == 201
    path = f"/sobjects/Flow/{made['id']}"
    changed = {"Metadata": metadata | {"label": "Changed", "status": "Active"}}
    assert await caller.rest("PATCH", path, changed) == (204, None)
    other = caller.org.flows["Other"]
    assert [(v.label, v.status) for v in other.versions.values()] == [("Changed", "Active")]
    again = {"Metadata": metadata | {"label": "Again"}}
    assert refused(await caller.rest("PATCH", path, again)) == (400, "FIELD_INTEGRITY_EXCEPTION")
    assert other.versions[1].label == "Changed"
