"""Deploys and retrieves of a sandbox Salesforce: zips, transactions, and the rules of flows."""

from __future__ import annotations

import asyncio
import base64
import io
import re
import zipfile
from typing import Any

import pytest

from halflap_sandbox.salesforce import records
from halflap_sandbox.salesforce.markup import Element
from tests.cases import for_each
from tests.sandbox.metadata_calls import (
    Caller,
    Fault,
    Salesforce,
    definition,
    flow,
    listing,
    message,
    package,
    problems,
    running,
    save,
    workflow,
    zipped,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")
NO_ACCESS = "insufficient access rights on cross-reference id"


def versions(caller: Caller, name: str = "Tell") -> dict[int, str]:
    return {n: v.status for n, v in caller.org.flows[name].versions.items()}


def only_flow(content: str, name: str = "Tell") -> dict[str, Any]:
    return {"package.xml": listing(Flow=name), f"flows/{name}.flow": content}


async def succeed(caller: Caller, files: dict[str, Any], **options: bool) -> Element:
    result = await caller.deploy(files, **options)
    assert result.get("status") == "Succeeded", problems(result)
    return result


async def fail(caller: Caller, files: dict[str, Any], **options: bool) -> list[str]:
    result = await caller.deploy(files, **options)
    assert (result.get("status"), result.get("success")) == ("Failed", "false")
    return problems(result)


async def test_one_deploy_can_deactivate_and_delete_afterwards(caller: Caller) -> None:
    made = await succeed(caller, package(caller.user.username))
    assert made.get("numberComponentsDeployed") == made.get("numberComponentsTotal") == "2"
    details = made.child("details")
    assert details is not None
    done = {each.get("fullName"): each.get("created") for each in details.all("componentSuccesses")}
    assert done == {"package.xml": "false", "Opportunity.Tell": "true", "Tell": "true"}
    both = listing(Flow="Tell-1", WorkflowOutboundMessage="Opportunity.Tell")
    files = {
        "package.xml": listing(FlowDefinition="Tell"),
        "flowDefinitions/Tell.flowDefinition": definition(None),
    }
    (problem, *_) = await fail(caller, files | {"destructiveChangesPre.xml": both})
    assert problem.startswith(NO_ACCESS)
    await succeed(caller, files | {"destructiveChangesPost.xml": both})
    assert not caller.org.flows
    assert not caller.org.outbound_messages


async def test_a_bare_flow_name_cannot_be_deleted_only_a_version(caller: Caller) -> None:
    await succeed(caller, package(caller.user.username, status="Draft"))
    gone = {"package.xml": listing(), "destructiveChanges.xml": listing(Flow="Tell")}
    (problem,) = await fail(caller, gone)
    assert problem.startswith(NO_ACCESS)


async def test_a_changed_flow_makes_a_version_and_an_unchanged_one_none(caller: Caller) -> None:
    user = caller.user.username
    await succeed(caller, package(user))
    await succeed(caller, package(user))
    assert versions(caller) == {1: "Active"}
    await succeed(caller, package(user, label="Changed"))
    assert versions(caller) == {1: "Obsolete", 2: "Active"}
    await succeed(caller, package(user, label="Changed again", status="Draft"))
    assert versions(caller) == {1: "Obsolete", 2: "Active", 3: "Draft"}
    await succeed(caller, package(user, label="Changed again"))
    assert versions(caller) == {1: "Obsolete", 2: "Obsolete", 3: "Active"}
    read = "<readMetadata><type>Flow</type><fullNames>Tell-1</fullNames></readMetadata>"
    record = (await caller.one(read)).children[0]
    assert (record.get("status"), record.get("label")) == ("Obsolete", "Tell them")
    gone = {"package.xml": listing(), "destructiveChanges.xml": listing(Flow="Tell-1 Tell-2")}
    await succeed(caller, gone)
    assert versions(caller) == {3: "Active"}


async def test_a_definition_activates_any_version_that_there_is(caller: Caller) -> None:
    user = caller.user.username
    await succeed(caller, package(user))
    await succeed(caller, package(user, label="Changed"))

    def activate(number: int) -> str:
        content = f"<fullName>Tell</fullName><activeVersionNumber>{number}</activeVersionNumber>"
        return save("update", content, type="FlowDefinition")

    assert (await caller.one(activate(1))).get("success") == "true"
    assert versions(caller) == {1: "Active", 2: "Obsolete"}
    code, text = await caller.refused(activate(3))
    assert (code, text.endswith("no Flow named Tell-3 found")) == (
        "INVALID_CROSS_REFERENCE_KEY",
        True,
    )
    assert versions(caller) == {1: "Active", 2: "Obsolete"}
    assert (await caller.one(activate(0))).get("success") == "true"
    assert versions(caller) == {1: "Obsolete", 2: "Obsolete"}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (flow("Opportunity.Gone"), "We can't find an action with the name"),
        (flow("Opportunity.Tell", object="Account", formula=None), "We can't find an action"),
        (flow("Opportunity.Tell", recording="CreateAndUpdate"), "ISCHANGED can be used only"),
        (flow("Opportunity.Tell", recording="Create"), "ISCHANGED can be used only"),
        (flow("Opportunity.Tell", recording="Sometimes"), "record trigger type"),
        (
            flow("Opportunity.Tell", formula="ISCHANGED({!$Record.Amont})"),
            "Field Amont does not exist",
        ),
        (flow("Opportunity.Tell", formula="ISCHANGED({!$Record.Amount}"), "formula expression"),
        (flow("Opportunity.Tell", formula="VLOOKUP(1)"), "Unknown function"),
        (flow("Opportunity.Tell", object="Nothing"), "Nothing can't be used"),
        (flow("Opportunity.Tell", status="Onn"), "FlowVersionStatus"),
        (
            flow("Opportunity.Tell").replace("Send_0</target", "Send_9</target"),
            'reference to "Send_9"',
        ),
        (
            flow("Opportunity.Tell").replace("RecordAfterSave", "RecordBeforeSave"),
            "RecordBeforeSave",
        ),
        (flow("Opportunity.Tell").replace("AutoLaunchedFlow", "Flow"), "process type Flow"),
        (flow("Opportunity.Tell", more="<loops><name>a</name></loops>"), "does not run loops"),
        (flow("Opportunity.Tell", start="<filterLogic>and</filterLogic>"), "write a filterFormula"),
        (flow("Opportunity.Tell", label=""), "missing: label"),
        (
            flow("Opportunity.Tell", more="<label>Second</label><loops/><label>x</label>"),
            "duplicated",
        ),
        (flow("Opportunity.Tell")[:-7], "Error parsing file"),
    ],
)
async def test_a_flow_that_cannot_run_is_refused(caller: Caller, content: str, says: str) -> None:
    await caller.create_message()
    (problem,) = await fail(caller, only_flow(content))
    assert says in problem
    assert not caller.org.flows


@pytest.mark.parametrize("name", ["1Tell", "Tell__x", "Tell_", "a" * 81])
async def test_a_flow_has_a_developer_name(caller: Caller, name: str) -> None:
    await caller.create_message()
    (problem,) = await fail(caller, only_flow(flow("Opportunity.Tell"), name))
    assert "Unique Name" in problem


async def test_a_deploy_that_fails_changes_nothing(caller: Caller) -> None:
    user = caller.user.username
    await succeed(caller, package(user))
    before = dict(caller.org.outbound_messages)
    files = package(user, version="2", label="Changed", formula="ISCHANGED({!$Record.Nothing})")
    files["package.xml"] = listing(Workflow="Opportunity", Flow="Tell")
    files["workflows/Opportunity.workflow"] = workflow(
        message(user, "Tell", url="https://example.com/new"), message(user, "More")
    )
    result = await caller.deploy(files)
    assert result.get("status") == "Failed"
    assert result.get("numberComponentErrors") == "1"
    assert result.get("numberComponentsDeployed") == "0"
    details = result.child("details")
    assert details is not None
    (failure,) = details.all("componentFailures")
    assert failure.get("componentType") == "Flow"
    assert failure.get("fileName") == "flows/Tell.flow"
    assert int(failure.get("lineNumber") or 0) > 0
    assert failure.get("problemType") == "Error"
    assert caller.org.outbound_messages == before
    assert versions(caller) == {1: "Active"}


async def test_without_rollback_what_is_right_is_kept_but_not_in_production(
    salesforce: Salesforce,
) -> None:
    caller = salesforce.sign_in()
    files = package(caller.user.username, object="Nothing")
    result = await caller.deploy(files, rollbackOnError=False)
    assert result.get("status") == "SucceededPartial"
    assert result.get("numberComponentsDeployed") == "1"
    assert set(caller.org.outbound_messages) == {"Opportunity.Tell"}
    production = salesforce.sign_in(production=True)
    with pytest.raises(Fault, match="rollbackOnError must be true"):
        await production.deploy(files, rollbackOnError=False)


async def test_a_check_changes_nothing(caller: Caller) -> None:
    user = caller.user.username
    await succeed(caller, package(user), checkOnly=True)
    assert not caller.org.outbound_messages
    await succeed(caller, package(user))
    await succeed(caller, package(user, label="Changed"), checkOnly=True)
    assert versions(caller) == {1: "Active"}


async def test_a_deploy_is_in_progress_for_a_moment_and_can_be_cancelled_then() -> None:
    async with running(deploy_takes=3600) as salesforce:
        caller = salesforce.sign_in()
        id = await caller.start(zipped(package(caller.user.username)))
        pending = await caller.check(id)
        assert (pending.get("status"), pending.get("done")) == ("InProgress", "false")
        cancel = f"<cancelDeploy><String>{id}</String></cancelDeploy>"
        cancelled = await caller.one(cancel)
        assert (cancelled.get("done"), cancelled.get("id")) == ("true", id)
        assert (await caller.check(id)).get("status") == "Canceled"
        assert not caller.org.outbound_messages
        with pytest.raises(Fault, match="already completed"):
            await caller.one(cancel)
        with pytest.raises(Fault, match="INVALID_ID_FIELD"):
            await caller.check("0Af000000000001AAA")


async def test_another_org_sees_nothing_of_a_deploy(salesforce: Salesforce) -> None:
    caller, other = salesforce.sign_in(), salesforce.sign_in()
    id = await caller.start(zipped(package(caller.user.username)))
    await caller.finish(id)
    with pytest.raises(Fault, match="INVALID_ID_FIELD"):
        await other.check(id)
    assert await other.listed("Flow") == []
    assert await caller.listed("Flow") == ["Tell"]


async def test_the_manifest_and_the_files_must_agree(caller: Caller) -> None:
    user = caller.user.username
    files = package(user)
    first, second = await fail(caller, files | {"package.xml": listing(Flow="Tell")})
    assert first == "Not in package.xml"
    assert "We can't find an action" in second
    both = listing(Flow="Tell Other", Workflow="*")
    (problem,) = await fail(caller, files | {"package.xml": both})
    assert problem == (
        "An object 'Other' of type Flow was named in package.xml, but was not found in zipped directory"
    )
    await succeed(caller, files | {"package.xml": both}, allowMissingFiles=True)
    (problem,) = await fail(caller, {"flows/Tell.flow": flow("Opportunity.Tell")})
    assert problem == "No package.xml found"


async def test_the_names_of_files_in_source_form_and_folders_are_taken_too(caller: Caller) -> None:
    files = package(caller.user.username)
    files["flows/Tell.flow-meta.xml"] = files.pop("flows/Tell.flow")
    inside = {f"unpackaged/{name}": content for name, content in files.items()}
    await succeed(caller, inside, singlePackage=False)
    assert versions(caller) == {1: "Active"}
    (problem,) = await fail(caller, inside)
    assert problem == "No package.xml found"


@for_each("name", ["../evil.flow", "/etc/evil", "flows/../../x", "flows\\x", "C:/x"])
async def test_a_file_outside_of_the_package_is_refused(caller: Caller, name: str) -> None:
    files = package(caller.user.username) | {name: "x"}
    (problem,) = await fail(caller, files)
    assert "outside of the package" in problem
    assert not caller.org.outbound_messages


async def test_a_zip_that_bursts_is_refused_before_it_is_opened(caller: Caller) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("package.xml", listing())
        for n in range(70):
            archive.writestr(f"flows/{n}.flow", b"\0" * 1024 * 1024)
    assert len(packed.getvalue()) < 1024 * 1024
    result = await caller.finish(await caller.start(packed.getvalue()))
    assert "too large" in problems(result)[0]


async def test_a_zip_that_lies_about_its_size_or_is_none_fails(caller: Caller) -> None:
    data = zipped({"package.xml": listing(), "flows/Tell.flow": "x" * 1000})
    end = data.rindex(b"PK\1\2")
    lying = data[: end + 24] + (10).to_bytes(4, "little") + data[end + 28 :]
    for wrong in (lying, data[:-30], b"no zip", b""):
        result = await caller.finish(await caller.start(wrong))
        assert (result.get("status"), len(problems(result))) == ("Failed", 1)
    bomb = '<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><Flow><label>&b;</label></Flow>'
    (problem,) = await fail(caller, only_flow(bomb))
    assert "DOCTYPE is not allowed" in problem


async def test_a_workflow_rule_is_deployed_and_holds_its_message(caller: Caller) -> None:
    user = caller.user.username

    def rule(formula: str = "ISCHANGED(Amount)", name: str = "Tell", more: str = "") -> str:
        return (
            f"<fullName>Tell_rule</fullName><actions><name>{name}</name><type>OutboundMessage</type>"
            f"</actions><active>true</active>{more}<formula>{formula}</formula>"
            "<triggerType>onAllChanges</triggerType>"
        )

    def files(rules: str) -> dict[str, Any]:
        content = workflow(message(user, "Tell"), rules=(rules,))
        return {
            "package.xml": listing(Workflow="Opportunity"),
            "workflows/Opportunity.workflow": content,
        }

    assert (
        "no WorkflowOutboundMessage named Opportunity.Gone"
        in (await fail(caller, files(rule(name="Gone"))))[0]
    )
    assert "Field Amont does not exist" in (await fail(caller, files(rule("ISCHANGED(Amont)"))))[0]
    assert "criteriaItems" in (await fail(caller, files(rule(more="<criteriaItems/>"))))[0]
    await succeed(caller, files(rule()))
    kept = caller.org.rules["Opportunity.Tell_rule"]
    assert (kept.formula, kept.messages) == ("ISCHANGED(Amount)", ("Opportunity.Tell",))
    both = listing(WorkflowOutboundMessage="Opportunity.Tell")
    gone = {"package.xml": listing(), "destructiveChanges.xml": both}
    assert "Workflow Rule - Opportunity.Tell_rule" in (await fail(caller, gone))[0]
    gone["destructiveChanges.xml"] = listing(
        WorkflowOutboundMessage="Opportunity.Tell", WorkflowRule="Opportunity.Tell_rule"
    )
    await succeed(caller, gone)
    assert not caller.org.rules
    assert not caller.org.outbound_messages


async def test_a_field_is_deployed_in_the_file_of_its_object_and_taken_back(caller: Caller) -> None:
    field = "<fullName>Region__c</fullName><label>Region</label><length>9</length><type>Text</type>"
    files = package(caller.user.username)
    files["package.xml"] = listing(CustomObject="Opportunity", Workflow="Opportunity", Flow="Tell")
    files["objects/Opportunity.object"] = f"<CustomObject><fields>{field}</fields></CustomObject>"
    fields = ("Id", "Region__c")
    files["workflows/Opportunity.workflow"] = workflow(
        message(caller.user.username, "Tell", fields=fields)
    )
    opportunity = caller.org.entities["Opportunity"]
    values = {"Name": "Oak", "StageName": "Prospecting", "CloseDate": "2026-01-01"}
    id = records.create(caller.org, caller.user, "Opportunity", values)
    wrong = files | {"flows/Tell.flow": flow("Opportunity.Gone")}
    await fail(caller, wrong)
    assert "Region__c" not in opportunity.fields
    assert "Region__c" not in caller.org.tables["Opportunity"][id]
    await succeed(caller, files)
    assert caller.org.tables["Opportunity"][id]["Region__c"] is None
    assert opportunity.fields["Region__c"].length == 9
    assert caller.org.outbound_messages["Opportunity.Tell"].fields == fields
    assert "Opportunity.Region__c" in await caller.listed("CustomField")


async def test_only_the_last_hundred_deploys_are_kept(caller: Caller) -> None:
    first = await caller.start(zipped({"package.xml": listing()}))
    last = first
    for _ in range(100):
        last = await caller.start(zipped({"package.xml": listing()}))
    assert (await caller.finish(last)).get("success") == "true"
    with pytest.raises(Fault, match="INVALID_ID_FIELD"):
        await caller.check(first)


async def retrieve(caller: Caller, types: str) -> tuple[dict[str, bytes], list[str]]:
    request = (
        "<retrieve><retrieveRequest><apiVersion>63.0</apiVersion><singlePackage>true</singlePackage>"
        f"<unpackaged>{types}<version>63.0</version></unpackaged></retrieveRequest></retrieve>"
    )
    id = (await caller.one(request)).get("id")
    check = f"<checkRetrieveStatus><asyncProcessId>{id}</asyncProcessId></checkRetrieveStatus>"
    while (result := await caller.one(check)).get("done") != "true":  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    messages = [each.get("problem") or "" for each in result.all("messages")]
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(result.get("zipFile") or ""))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}, messages


async def test_what_is_retrieved_can_be_deployed_elsewhere(salesforce: Salesforce) -> None:
    caller, other = salesforce.sign_in(), salesforce.sign_in()
    await succeed(caller, package(caller.user.username))
    types = (
        "<types><members>Opportunity</members><name>Workflow</name></types>"
        "<types><members>*</members><members>Gone</members><name>Flow</name></types>"
    )
    files, messages = await retrieve(caller, types)
    assert messages == ["Entity of type 'Flow' named 'Gone' cannot be found"]
    assert set(files) == {"package.xml", "workflows/Opportunity.workflow", "flows/Tell.flow"}
    user = re.escape(caller.user.username).encode()
    text = files["workflows/Opportunity.workflow"]
    files["workflows/Opportunity.workflow"] = re.sub(user, other.user.username.encode(), text)
    files["package.xml"] = listing(Workflow="Opportunity", Flow="Tell")
    await succeed(other, files)
    mine, theirs = caller.org.flows["Tell"].active, other.org.flows["Tell"].active
    assert mine is not None
    assert theirs is not None
    assert mine.trigger == theirs.trigger
