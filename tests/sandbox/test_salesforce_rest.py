"""REST as Salesforce answers it: records, pages, collections, composites, jobs, limits, faults."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncGenerator
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from halflap_sandbox.salesforce import Settings
from halflap_sandbox.salesforce.model import Change
from tests.polling import DEADLINE
from tests.sandbox.orgs import DATA, Salesforce, salesforce

pytestmark = pytest.mark.asyncio(loop_scope="module")
DEAL = {"Name": "Deal", "StageName": "Prospecting", "CloseDate": "2026-01-31"}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def running() -> AsyncGenerator[Salesforce]:
    async with salesforce(settings=Settings(page=2)) as each:
        yield each


class Client:
    """One user of a new org."""

    def __init__(self, sandbox: Salesforce, name: str) -> None:
        self.sandbox, self.name = sandbox, name
        self.token = sandbox.session(name)
        self.told: list[list[Change]] = []
        sandbox.org(name).saved.append(self.told.append)

    async def ask(self, method: str, path: str, body: object = None, **more: Any) -> Any:
        where = path if path.startswith("/services") else DATA + path
        return await self.sandbox.ask(method, where, body, token=self.token, **more)

    async def make(self, object: str, **fields: Any) -> str:
        status, made, headers = await self.ask("POST", f"/sobjects/{object}", fields)
        assert status == 201, made
        assert headers["Location"] == f"{DATA}/sobjects/{object}/{made['id']}"
        return made["id"]

    async def see(self, path: str) -> Any:
        status, seen, _ = await self.ask("GET", path)
        assert status == 200, seen
        return seen

    async def faults(self, **faults: Any) -> None:
        body = {"org": self.sandbox.org(self.name).id, **faults}
        status, said, _ = await self.sandbox.ask("POST", "/sandbox/faults", body)
        assert status == 200, said


NUMBERS = itertools.count()


@pytest_asyncio.fixture(loop_scope="module")
async def client(running: Salesforce, request: pytest.FixtureRequest) -> Client:
    name = f"org {next(NUMBERS)}"
    status, said, _ = await running.ask("POST", "/sandbox/orgs", {"name": name})
    assert status == 201, said
    return Client(running, name)


async def test_a_number_keeps_every_digit(client: Client) -> None:
    body = json.dumps(DEAL).encode()[:-1] + b',"Amount":12345678901234.5654}'
    _, made, _ = await client.ask("POST", "/sobjects/Opportunity", body)
    seen = await client.see(f"/sobjects/Opportunity/{made['id']}")
    assert seen["Amount"] == Decimal("12345678901234.5654")


async def test_an_external_id_finds_changes_and_creates(client: Client) -> None:
    path = "/sobjects/Account/External_Id__c/a%2F1%20%C3%A4"
    assert (await client.ask("GET", path))[0] == 404
    status, made, _ = await client.ask("PATCH", path, {"Name": "Oak"})
    assert (status, made["created"]) == (201, True)
    status, again, _ = await client.ask("PATCH", path, {"Name": "Oaks"})
    assert (status, again) == (200, {**made, "created": False})
    assert (await client.see(path))["Name"] == "Oaks"
    status, said, _ = await client.ask("PATCH", path, {"External_Id__c": "b"})
    assert (status, said[0]["errorCode"]) == (400, "INVALID_FIELD")
    missing = "/sobjects/Account/External_Id__c/b?updateOnly=true"
    assert (await client.ask("PATCH", missing, {"Name": "b"}))[0] == 404
    assert (await client.ask("GET", "/sobjects/Account/Name/Oaks"))[0] == 404
    assert (await client.ask("DELETE", path))[0] == 204
    twins = [await client.make("Account", Name="t", Legacy_Id__c="same") for _ in range(2)]
    for method in ("GET", "PATCH", "DELETE"):
        body = {"Name": "x"} if method == "PATCH" else None
        status, urls, _ = await client.ask(method, "/sobjects/Account/Legacy_Id__c/SAME", body)
        assert (status, urls) == (300, [f"{DATA}/sobjects/Account/{id}" for id in twins])


async def test_pages_follow_each_other_and_stay_as_they_were(client: Client) -> None:
    ids = [await client.make("Account", Name=f"a{n}") for n in range(5)]
    page = await client.see("/query?q=SELECT+Id+FROM+Account")
    assert (page["totalSize"], page["done"], len(page["records"])) == (5, False, 2)
    await client.ask("DELETE", f"/sobjects/Account/{ids[-1]}")
    found = [each["Id"] for each in page["records"]]
    while not page["done"]:
        page = await client.see(page["nextRecordsUrl"])
        found += [each["Id"] for each in page["records"]]
    assert found == ids
    assert (await client.see("/queryAll?q=SELECT+COUNT()+FROM+Account"))["totalSize"] == 5
    assert (await client.see("/query?q=SELECT+COUNT()+FROM+Account"))["totalSize"] == 4
    status, said, _ = await client.ask("GET", "/query/01g000000000000AAA-2")
    assert (status, said[0]["errorCode"]) == (400, "INVALID_QUERY_LOCATOR")
    status, said, _ = await client.ask("GET", "/query?q=SELECT+Nope+FROM+Account")
    assert (status, said[0]["errorCode"]) == (400, "INVALID_FIELD")


async def test_of_a_collection_each_record_has_its_result(client: Client) -> None:
    kind = {"attributes": {"type": "Account"}}
    given = [{**kind, "Name": "a", "External_Id__c": "1"}, {**kind}, {**kind, "Name": "c"}]
    status, results, _ = await client.ask("POST", "/composite/sobjects", {"records": given})
    assert (status, [each["success"] for each in results]) == (200, [True, False, True])
    assert results[1]["errors"] == [
        {
            "statusCode": "REQUIRED_FIELD_MISSING",
            "message": "Required fields are missing: [Name]",
            "fields": ["Name"],
        }
    ]
    assert [len(each) for each in client.told] == [2]
    first, last = results[0]["id"], results[2]["id"]
    changes = [
        {**kind, "id": first, "Name": "A"},
        {**kind, "id": "001000000000000AAA", "Name": "x"},
    ]
    _, results, _ = await client.ask("PATCH", "/composite/sobjects", {"records": changes})
    assert results[1]["errors"][0]["statusCode"] == "INVALID_CROSS_REFERENCE_KEY"
    upserts = [
        {**kind, "External_Id__c": "1", "Name": "B"},
        {**kind, "external_id__c": "2", "Name": "D"},
    ]
    _, results, _ = await client.ask(
        "PATCH", "/composite/sobjects/Account/External_Id__c", {"records": upserts}
    )
    assert [each["created"] for each in results] == [False, True]
    _, seen, _ = await client.ask(
        "GET", f"/composite/sobjects/Account?ids={first},001000000000000AAA&fields=Name"
    )
    assert (seen[0]["Name"], seen[1]) == ("B", None)
    _, results, _ = await client.ask("DELETE", f"/composite/sobjects?ids={first},{first},{last}")
    assert [each["success"] for each in results] == [True, False, True]


async def test_of_all_or_none_one_wrong_record_leaves_none(client: Client) -> None:
    kind = {"attributes": {"type": "Account"}}
    body = {"allOrNone": True, "records": [{**kind, "Name": "a"}, kind]}
    _, results, _ = await client.ask("POST", "/composite/sobjects", body)
    assert [each["errors"][0]["statusCode"] for each in results] == [
        "ALL_OR_NONE_OPERATION_ROLLED_BACK",
        "REQUIRED_FIELD_MISSING",
    ]
    assert not client.told
    assert not client.sandbox.org(client.name).tables["Account"]
    many = {"records": [{**kind, "Name": "a"}] * 201}
    assert (await client.ask("POST", "/composite/sobjects", many))[0] == 400


async def test_the_requests_of_a_batch_stand_alone(client: Client) -> None:
    batch = [
        {"method": "POST", "url": "v63.0/sobjects/Account", "richInput": {"Name": "Oak"}},
        {"method": "POST", "url": "v63.0/sobjects/Account", "richInput": {}},
        {"method": "GET", "url": "v63.0/query?q=SELECT+Name+FROM+Account"},
    ]
    status, done, _ = await client.ask("POST", "/composite/batch", {"batchRequests": batch})
    assert (status, done["hasErrors"]) == (200, True)
    assert [each["statusCode"] for each in done["results"]] == [201, 400, 200]
    assert done["results"][1]["result"][0]["errorCode"] == "REQUIRED_FIELD_MISSING"
    assert [each["Name"] for each in done["results"][2]["result"]["records"]] == ["Oak"]
    halting = {"batchRequests": batch, "haltOnError": True}
    _, done, _ = await client.ask("POST", "/composite/batch", halting)
    assert [each["statusCode"] for each in done["results"]] == [201, 400, 412]


async def test_a_tree_is_saved_with_its_children_or_not_at_all(client: Client) -> None:
    def record(object: str, reference: str, **fields: Any) -> dict[str, Any]:
        return {"attributes": {"type": object, "referenceId": reference}, **fields}

    person = record("Contact", "person", LastName="Doe")
    oak = record("Account", "oak", Name="Oak", Contacts={"records": [person]})
    status, done, _ = await client.ask("POST", "/composite/tree/Account", {"records": [oak]})
    assert (status, done["hasErrors"]) == (201, False)
    ids = {each["referenceId"]: each["id"] for each in done["results"]}
    assert (await client.see(f"/sobjects/Contact/{ids['person']}"))["AccountId"] == ids["oak"]
    del person["LastName"]
    status, done, _ = await client.ask("POST", "/composite/tree/Account", {"records": [oak]})
    assert (status, done["hasErrors"]) == (400, True)
    (refused,) = done["results"]
    assert refused["referenceId"] == "person"
    assert refused["errors"][0]["statusCode"] == "REQUIRED_FIELD_MISSING"
    assert (await client.see("/query?q=SELECT+COUNT()+FROM+Account"))["totalSize"] == 1


def composite(*asked: tuple[str, str, Any], all_or_none: bool = False) -> dict[str, Any]:
    return {
        "allOrNone": all_or_none,
        "compositeRequest": [
            {"method": method, "url": DATA + url, "referenceId": f"r{n}", "body": body}
            for n, (method, url, body) in enumerate(asked)
        ],
    }


async def test_a_composite_hands_results_on(client: Client) -> None:
    body = composite(
        ("POST", "/sobjects/Account", {"Name": "Oak"}),
        ("POST", "/sobjects/Opportunity", {**DEAL, "AccountId": "@{r0.id}"}),
        ("GET", "/sobjects/Opportunity/@{r1.id}?fields=AccountId", None),
        ("GET", "/query?q=SELECT+Name+FROM+Account+WHERE+Id='@{r0.id}'", None),
        ("PATCH", "/sobjects/Account/External_Id__c/e1", {"Name": "@{r3.records[0].Name}!"}),
        ("POST", "/sobjects/Account", {}),
        ("POST", "/sobjects/Contact", {"LastName": "x", "AccountId": "@{r5.id}"}),
    )
    status, said, _ = await client.ask("POST", "/composite", body)
    results = said["compositeResponse"]
    assert status == 200
    assert [r["httpStatusCode"] for r in results] == [201, 201, 200, 200, 201, 400, 400]
    assert results[2]["body"]["AccountId"] == results[0]["body"]["id"]
    assert results[6]["body"][0]["errorCode"] == "PROCESSING_HALTED"
    assert (await client.see("/sobjects/Account/External_Id__c/e1"))["Name"] == "Oak!"
    assert len(client.told) == 3


async def test_a_composite_of_all_or_none_is_one_transaction(client: Client) -> None:
    good = ("POST", "/sobjects/Account", {"Name": "Oak"})
    body = composite(good, ("POST", "/sobjects/Account", {}), all_or_none=True)
    _, said, _ = await client.ask("POST", "/composite", body)
    codes = [each["body"][0]["errorCode"] for each in said["compositeResponse"]]
    assert codes == ["PROCESSING_HALTED", "REQUIRED_FIELD_MISSING"]
    assert not client.sandbox.org(client.name).tables["Account"]
    assert not client.told
    await client.ask("POST", "/composite", composite(good, good, all_or_none=True))
    assert [len(each) for each in client.told] == [2]


@pytest.mark.parametrize("names", [["a", "a"], ["a-b", "c"], ["", "c"]])
async def test_a_composite_refuses_names_that_nothing_could_refer_to(
    client: Client, names: list[str]
) -> None:
    body = composite(*[("POST", "/sobjects/Account", {"Name": "Oak"})] * 2)
    for each, name in zip(body["compositeRequest"], names, strict=True):
        each["referenceId"] = name
    status, _, _ = await client.ask("POST", "/composite", body)
    assert status == 400
    assert not client.sandbox.org(client.name).tables["Account"]


async def job(client: Client, csv: str, **asked: str) -> dict[str, Any]:
    status, made, _ = await client.ask("POST", "/jobs/ingest", asked)
    assert (status, made["state"]) == (200, "Open"), made
    put = "/" + made["contentUrl"]
    headers = {"Content-Type": "text/csv"}
    assert (await client.ask("PUT", put, csv.encode(), headers=headers))[0] == 201
    path = f"/jobs/ingest/{made['id']}"
    status, _, _ = await client.ask("DELETE", path)
    assert status == 400
    _, closed, _ = await client.ask("PATCH", path, {"state": "UploadComplete"})
    assert closed["state"] == "UploadComplete"
    async with asyncio.timeout(DEADLINE):
        while (shown := await client.see(path))["state"] not in ("JobComplete", "Failed"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return shown


async def rows(client: Client, job: dict[str, Any], which: str) -> list[str]:
    status, text, _ = await client.ask("GET", f"/jobs/ingest/{job['id']}/{which}")
    assert status == 200
    return text.splitlines()


async def test_a_job_saves_what_it_can_in_chunks(client: Client) -> None:
    lines = [f"a{n},e{n}," for n in range(450)]
    lines[7] = ",e7,"
    lines[9] = "a9,e9,many"
    csv = "\n".join(["Name,External_Id__c,NumberOfEmployees", *lines])
    key = {"externalIdFieldName": "External_Id__c"}
    done = await job(client, csv, object="Account", operation="upsert", **key)
    assert (done["numberRecordsProcessed"], done["numberRecordsFailed"]) == (450, 2)
    assert [len(each) for each in client.told] == [198, 200, 50]
    good = await rows(client, done, "successfulResults")
    assert good[0] == '"sf__Id","sf__Created","Name","External_Id__c","NumberOfEmployees"'
    assert len(good) == 449
    bad = await rows(client, done, "failedResults")
    assert '"REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --"' in bad[1]
    assert '"INVALID_TYPE_ON_FIELD_IN_RECORD:' in bad[2]
    assert len(await rows(client, done, "unprocessedrecords")) == 1

    id = good[1].split(",")[0].strip('"')
    csv = f"Id;Name;NumberOfEmployees\r\n{id};;#N/A\r\n"
    more = {"columnDelimiter": "SEMICOLON", "lineEnding": "CRLF"}
    await client.ask("PATCH", f"/sobjects/Account/{id}", {"NumberOfEmployees": 5})
    await job(client, csv, object="Account", operation="update", **more)
    seen = await client.see(f"/sobjects/Account/{id}")
    # An empty cell changes nothing; #N/A empties the field.
    assert (seen["Name"], seen["NumberOfEmployees"]) == ("a0", None)
    done = await job(client, f"Id\n{id}\n{id}\n", object="Account", operation="delete")
    assert done["numberRecordsFailed"] == 1
    assert (await client.ask("DELETE", f"/jobs/ingest/{done['id']}"))[0] == 204


async def test_a_job_that_makes_no_sense_fails_or_is_refused(client: Client) -> None:
    failed = await job(client, "Nope\nx\n", object="Account", operation="insert")
    assert failed["errorMessage"] == "InvalidBatch : Field name not found : Nope"
    failed = await job(client, "Name,Phone\nx\n", object="Account", operation="insert")
    assert failed["state"] == "Failed"
    for asked in (
        {"object": "Account", "operation": "nope"},
        {"object": "Account", "operation": "upsert"},
        {"object": "Nope", "operation": "insert"},
    ):
        assert (await client.ask("POST", "/jobs/ingest", asked))[0] in (400, 404)
    _, made, _ = await client.ask(
        "POST", "/jobs/ingest", {"object": "Account", "operation": "insert"}
    )
    path = f"/jobs/ingest/{made['id']}"
    assert (await client.ask("PATCH", path, {"state": "Aborted"}))[1]["state"] == "Aborted"
    status, said, _ = await client.ask("PATCH", path, {"state": "UploadComplete"})
    assert (status, said[0]["errorCode"]) == (400, "INVALIDJOBSTATE")
    assert len((await client.see("/jobs/ingest"))["records"]) == 3


async def test_every_answer_tells_the_limit_and_over_it_there_is_none(client: Client) -> None:
    org = client.sandbox.org(client.name)
    _, _, headers = await client.ask("GET", "/limits")
    assert headers["Sforce-Limit-Info"] == "api-usage=1/15000"
    _, _, headers = await client.ask("GET", "/sobjects/Nope")
    assert headers["Sforce-Limit-Info"] == "api-usage=2/15000"
    org.api_requests = 15_000
    status, said, headers = await client.ask("POST", "/sobjects/Account", {"Name": "x"})
    assert (status, said[0]["errorCode"]) == (403, "REQUEST_LIMIT_EXCEEDED")
    assert headers["Sforce-Limit-Info"] == "api-usage=15000/15000"
    assert not org.tables["Account"]


async def test_without_a_session_there_is_nothing_to_see(client: Client) -> None:
    for token in (None, "00D!nope"):
        status, said, _ = await client.sandbox.ask("GET", f"{DATA}/sobjects", token=token)
        error = {"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}
        assert (status, said) == (401, [error])
    status, versions, _ = await client.sandbox.ask("GET", "/services/data")
    assert (status, versions[-1]["version"]) == (200, "63.0")
    for path in ("/services/data/v1.0/limits", "/services/data/vx/limits", f"{DATA}/nope"):
        status, said, _ = await client.ask("GET", path)
        assert (status, said[0]["errorCode"]) == (404, "NOT_FOUND")
    for body in (b"{", b"[]", b'{"Name":NaN}', b"\xff"):
        status, said, _ = await client.ask("POST", "/sobjects/Account", body)
        assert (status, said[0]["errorCode"]) == (400, "JSON_PARSER_ERROR")


async def test_one_org_sees_nothing_of_another(client: Client, running: Salesforce) -> None:
    id = await client.make("Account", Name="Mine")
    stranger = running.session("north")
    path = f"{DATA}/sobjects/Account/{id}"
    for method, body in (("GET", None), ("PATCH", {"Name": "x"}), ("DELETE", None)):
        status, _, _ = await running.ask(method, path, body, token=stranger)
        assert status == 404
    assert (await client.see(path))["Name"] == "Mine"


async def test_a_lost_answer_is_of_work_that_was_done(client: Client) -> None:
    await client.faults(lose_answer_next=1)
    with pytest.raises(aiohttp.ClientConnectionError):
        await client.make("Account", Name="Done")
    found = await client.see("/query?q=SELECT+Name+FROM+Account")
    assert [each["Name"] for each in found["records"]] == ["Done"]
    await client.faults(fail_next=1)
    status, said, _ = await client.ask("POST", "/sobjects/Account", {"Name": "Not done"})
    assert (status, said[0]["errorCode"]) == (503, "SERVER_UNAVAILABLE")
    await client.make("Account", Name="Again")
    assert (await client.see("/query?q=SELECT+COUNT()+FROM+Account"))["totalSize"] == 2
