"""Clients that others wrote work with the records of a sandbox Salesforce."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme
from simple_salesforce.api import Salesforce as Client
from simple_salesforce.exceptions import (
    SalesforceExpiredSession,
    SalesforceMalformedRequest,
    SalesforceMoreThanOneRecord,
    SalesforceResourceNotFound,
)
from simple_salesforce.format import format_soql
from simple_salesforce.login import SalesforceLogin

from halflap_sandbox.salesforce import Settings
from tests.sandbox.orgs import run_node, salesforce


async def test_simple_salesforce_works_with_records_over_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    certificate = tmp_path / "server.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    monkeypatch.setenv("NO_PROXY", "localhost")

    async with salesforce(settings=Settings(page=3), certificate=certificate) as sandbox:
        await asyncio.to_thread(_work, sandbox.base.removeprefix("https://"), tmp_path)


def _work(instance: str, folder: Path) -> None:
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(folder / "ca.pem")
        token, host = SalesforceLogin(
            "admin@north.example",
            "password",
            "TOKEN",
            scratch_url=f"https://{instance}",
            session=session,
            sf_version="63.0",
        )
        sf: Any = Client(instance=host, session_id=token, session=session, version="63.0")
        assert sf.is_sandbox() is False

        created = sf.Account.create({"Name": "Oak", "External_Id__c": "a/1ä"})
        assert created["success"]
        assert sf.Account.get_by_custom_id("External_Id__c", "a/1ä")["Id"] == created["id"]
        assert sf.Account.update(created["id"], {"Phone": "1"}) == 204
        assert sf.Account.upsert("External_Id__c/a2", {"Name": "Elm"}) == 201
        assert sf.Account.upsert("External_Id__c/a2", {"Name": "Elms"}) == 200
        assert sf.api_usage["api-usage"].total == 15000

        with pytest.raises(SalesforceMalformedRequest, match="REQUIRED_FIELD_MISSING"):
            sf.Account.create({"Phone": "1"})
        with pytest.raises(SalesforceResourceNotFound):
            sf.Account.get("001000000000000AAA")
        for _ in range(2):
            sf.Account.create({"Name": "Twin", "Legacy_Id__c": "same"})
        with pytest.raises(SalesforceMoreThanOneRecord):
            sf.Account.get_by_custom_id("Legacy_Id__c", "same")

        made = sf.bulk2.Contact.insert(records=[{"LastName": f"C{n}"} for n in range(7)], wait=0.01)
        assert sum(each["numberRecordsProcessed"] for each in made) == 7
        names = [each["LastName"] for each in sf.query_all_iter("SELECT LastName FROM Contact")]
        assert names == [f"C{n}" for n in range(7)]
        query = "SELECT LastName FROM Contact ORDER BY LastName DESC"
        (csv,) = sf.bulk2.Contact.query(query, wait=0.01)
        assert csv.splitlines()[:2] == ['"LastName"', '"C6"']
        query = format_soql("SELECT Id, Owner.Name FROM Account WHERE Name = {}", "Elms")
        (elm,) = sf.query(query)["records"]
        assert elm["Owner"]["Name"] == "Ada Admin"
        assert sf.Account.delete(elm["Id"]) == 204
        assert sf.query("SELECT COUNT() FROM Account", include_deleted=True)["totalSize"] == 4
        since = datetime(2020, 1, 1, tzinfo=UTC)
        polled = format_soql(
            "SELECT Id, IsDeleted, SystemModstamp FROM Account WHERE SystemModstamp >= {} "
            "ORDER BY SystemModstamp, Id",
            since,
        )
        seen = sf.query_all(polled, include_deleted=True)["records"]
        assert [each["Id"] for each in seen if each["IsDeleted"]] == [elm["Id"]]
        assert len(seen) == 4
        assert {each["name"] for each in sf.describe()["sobjects"]} > {"Account", "Opportunity"}
        fields = {each["name"]: each for each in sf.Opportunity.describe()["fields"]}
        assert fields["CloseDate"]["nillable"] is False

        over = Client(instance=host, session_id="00D!over", session=session, version="63.0")
        with pytest.raises(SalesforceExpiredSession, match="INVALID_SESSION_ID"):
            over.query("SELECT Id FROM Account")


async def test_jsforce_signs_in_with_pkce_and_works_with_records() -> None:
    async with salesforce() as sandbox:
        seen = await run_node("jsforce_data.mjs", sandbox.base)
    assert seen == {
        "state": "a b&c",
        "identity": "admin@north.example",
        "refreshToken": True,
        "versions": "63.0",
        "afterRefresh": 0,
        "refreshed": [1, True],
        "created": [True, 18],
        "read": ["Oak & Söhne", 12.5, "a/1", False],
        "updated": True,
        "upserted": [[True, False], [True, True]],
        "errors": [
            "REQUIRED_FIELD_MISSING",
            "INVALID_FIELD",
            "DUPLICATE_VALUE",
            "NOT_FOUND",
            "INVALID_FIELD",
            "MALFORMED_QUERY",
        ],
        "made": 450,
        "paged": [450, 3, 450],
        "found": [["Many 449", "admin@north.example"], ["Many 448", "admin@north.example"]],
        "gone": 200,
        "amount": ["currency", 18, 2],
        "objects": ["Account", "Opportunity", "Contact", "Lead", "Task", "User", "Organization"],
        "limit": 15000,
        "loaded": [['Doe, "J"', "true"]],
        "failed": [
            ["c2", "REQUIRED_FIELD_MISSING:Required fields are missing: [LastName]:LastName --"]
        ],
        "bulkQueried": [{"LastName": 'Doe, "J"', "Account.Name": "Elm"}],
        "afterLogout": "INVALID_SESSION_ID",
    }
