"""Clients that others wrote manage the metadata of a sandbox Salesforce."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
import requests
from simple_salesforce.api import Salesforce
from simple_salesforce.exceptions import SalesforceAuthenticationFailed
from simple_salesforce.login import SalesforceLogin

from halflap_sandbox.salesforce import create_app
from halflap_sandbox.salesforce.model import Org
from halflap_sandbox.server import serving
from tests.polling import DEADLINE
from tests.sandbox.metadata_calls import certificate_in, package, zipped
from tests.sandbox.orgs import run_node

USER = "admin@trees.example"


def trusting(folder: Path) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.verify = str(folder / "ca.pem")
    return session


async def test_simple_salesforce_signs_in_and_manages_metadata_by_the_real_wsdl(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its zeep client makes a session of its own, which trusts what the environment names.
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("NO_PROXY", "localhost")
    app = create_app(orgs=["trees"])
    (org,) = app.state.world.orgs.values()
    async with serving(app, certificate_in(tmp_path)) as base:
        await asyncio.to_thread(_by_zeep, org, base, tmp_path)


def _by_zeep(org: Org, base: str, folder: Path) -> None:
    with trusting(folder) as session:
        with pytest.raises(SalesforceAuthenticationFailed, match="INVALID_LOGIN"):
            SalesforceLogin(USER, "wrong", "TOKEN", scratch_url=base, session=session)
        session_id, instance = SalesforceLogin(
            USER, "password", "TOKEN", scratch_url=base, session=session, sf_version="63.0"
        )
        client = Salesforce(
            instance=instance, session_id=session_id, session=session, version="63.0"
        )
        api = client.mdapi
        described = api.describe_metadata()
        assert "Workflow" in [each.xmlName for each in described.metadataObjects]

        kind = api.WorkflowOutboundMessage
        fields = {
            "apiVersion": 63.0,
            "endpointUrl": "http://127.0.0.1:9/a?b=1&c=2",
            "fields": ["Id", "Amount"],
            "includeSessionId": False,
            "integrationUser": USER,
            "name": "Tell",
            "protected": False,
        }
        kind.create([kind(fullName="Opportunity.Tell", **fields)])
        read = kind.read(["Opportunity.Tell"])
        assert (read.fullName, read.endpointUrl) == ("Opportunity.Tell", fields["endpointUrl"])
        assert (read.fields, read.protected, read.apiVersion) == (["Id", "Amount"], False, 63.0)
        with pytest.raises(Exception, match="DUPLICATE_DEVELOPER_NAME"):
            kind.create([kind(fullName="Opportunity.Tell", **fields)])
        kind.update([kind(fullName="Opportunity.Tell", **{**fields, "name": "Told"})])
        kind.upsert([kind(fullName="Account.Tell", **{**fields, "fields": ["Name"]})])
        kind.rename("Account.Tell", "Account.Told")
        query = client.mdapi._client.get_type("ns0:ListMetadataQuery")
        listed = api.list_metadata([query(type="WorkflowOutboundMessage")])
        assert [(each.fullName, each.fileName) for each in listed] == [
            ("Opportunity.Tell", "workflows/Opportunity.workflow"),
            ("Account.Told", "workflows/Account.workflow"),
        ]
        kind.delete(["Account.Told"])
        with pytest.raises(
            Exception, match=r"no WorkflowOutboundMessage named Account\.Told found"
        ):
            kind.delete(["Account.Told"])

        field = api.CustomField
        field.create(
            [
                field(
                    fullName="Account.Halflap_Id__c",
                    label="Id",
                    type="Text",
                    length=40,
                    externalId=True,
                    unique=True,
                )
            ]
        )
        assert org.entities["Account"].fields["Halflap_Id__c"].external_id

        path = folder / "package.zip"
        path.write_bytes(zipped(package(USER, name="Deployed")))
        started = client.deploy(str(path), sandbox=False)
        state = _poll(client, started["asyncId"])
        assert state["state"] == "Succeeded"
        assert state["deployment_detail"]["deployed_count"] == "2"
        with pytest.raises(Exception, match="insufficient access rights"):
            api.Flow.delete(["Deployed-1"])
        flow = api.Flow.read(["Deployed"])
        assert (flow.status, flow.start.recordTriggerType) == ("Active", "Update")
        api.FlowDefinition.update([api.FlowDefinition(fullName="Deployed", activeVersionNumber=0)])
        api.Flow.delete(["Deployed-1"])
        kind.delete(["Opportunity.Deployed", "Opportunity.Tell"])
        api._client.transport.session.close()
    assert not org.flows
    assert not org.outbound_messages


def _poll(client: Salesforce, id: str | None) -> Any:
    assert id
    deadline = time.monotonic() + DEADLINE
    while (state := client.checkDeployStatus(id))["state"] in ("Pending", "InProgress"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return state


async def test_jsforce_signs_in_and_manages_metadata(tmp_path: Path) -> None:
    app = create_app(orgs=["trees"])
    (org,) = app.state.world.orgs.values()
    (tmp_path / "package.zip").write_bytes(zipped(package(USER, name="Deployed")))
    async with serving(app) as base:
        seen = await run_node("jsforce_metadata.mjs", base, str(tmp_path / "package.zip"))
    assert seen["organizationId"] == org.id
    assert seen["wrong"] == "INVALID_LOGIN"
    assert seen["created"] == {"fullName": "Opportunity.Tell", "success": True, "errors": []}
    assert seen["read"]["fields"] == ["Id", "Amount"]
    assert seen["read"]["includeSessionId"] is False
    assert seen["again"] == "DUPLICATE_DEVELOPER_NAME"
    assert seen["updated"]
    assert seen["upserted"] == [True, True]
    assert seen["listed"] == ["Account.Tell", "Opportunity.Tell"]
    assert seen["deployed"] == ["Succeeded", ["Deployed", "Opportunity.Deployed", "package.xml"]]
    assert seen["retrieved"] == ["package.xml", "flows/Deployed.flow"]
    assert seen["queried"] == [["Deployed", "Active", 1]]
    assert seen["metadata"]["endpointUrl"] == "http://127.0.0.1:9/tooling"
    assert seen["several"] == "MALFORMED_QUERY"
    assert seen["patched"] == "Renamed"
    assert seen["active"] == "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY"
    assert seen["objects"] == ["Flow", "WorkflowOutboundMessage"]
    assert not org.flows
    assert not org.outbound_messages
