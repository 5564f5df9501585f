"""Jira against the sandbox that is made of its document, and the jira SDK against the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from jira import JIRA as SDK
from jira import JIRAError

from halflap import Unauthorized, UpstreamError
from halflap.components import jira
from halflap.sdk.conformity import DEVIATIONS
from halflap_sandbox.specified import JIRA
from tests.vendor_app import VendorApp, vendor_app


@pytest.fixture
async def app() -> AsyncIterator[VendorApp]:
    async with vendor_app(JIRA) as found:
        yield found


def connected(app: VendorApp, token: str = JIRA.token) -> jira.Jira:
    return app.connection(
        jira.Jira, base_url=app.url, email=JIRA.user["emailAddress"], api_token=token
    )


async def test_an_issue_is_made_commented_moved_found_and_deleted(app: VendorApp) -> None:
    connection, before = connected(app), DEVIATIONS.total()
    await connection.test()
    made = await jira.create_issue(
        connection,
        "ACME",
        "Task",
        "Broken anvil",
        description="It fell.\n\nTwice.",
        labels=["anvil"],
        fields={"customfield_10000": {"value": "red"}},
    )
    assert made.key == "ACME-1"
    issue = await jira.get_issue(connection, "ACME-1")
    assert issue is not None
    fields = issue.get("fields", {})
    assert fields["customfield_10000"] == {"value": "red"}
    assert [each["content"][0]["text"] for each in fields["description"]["content"]] == [
        "It fell.",
        "Twice.",
    ]
    await jira.edit_issue(connection, made.id, fields={"summary": "Mended anvil"})
    await jira.add_comment(connection, "ACME-1", "Done & dusted")
    [comment] = await jira.list_comments(connection, "ACME-1")
    assert "Done & dusted" in str(comment.get("body"))
    moves = (await jira.list_transitions(connection, "ACME-1")).get("transitions", [])
    [done] = [each.get("id") for each in moves if each.get("name") == "Done"]
    await jira.transition_issue(connection, "ACME-1", transition={"id": done})
    for number in range(5):
        await jira.create_issue(connection, "ACME", "Task", str(number))
    [found] = await jira.search_issues(connection, 'project = ACME AND status = "Done"')
    assert found["fields"]["summary"] == "Mended anvil"
    everything = [each["key"] for each in await jira.search_issues(connection, "project = ACME")]
    assert everything == [f"ACME-{number}" for number in range(1, 7)]
    assert len(await jira.search_issues(connection, "project = ACME", most=2)) == 2
    [project] = await jira.search_projects(connection)
    assert project.get("key") == "ACME"
    names = {each.get("name"): each.get("id") for each in await jira.list_fields(connection)}
    assert names["Colour"] == "customfield_10000"
    [user] = await jira.search_users(connection, query="ada", most=1)
    assert user.get("displayName") == "Ada Lovelace"
    await jira.delete_issue(connection, "ACME-1")
    assert await jira.get_issue(connection, "ACME-1") is None
    assert DEVIATIONS.total() == before


async def test_what_jira_refuses_is_the_error_that_it_means(app: VendorApp) -> None:
    with pytest.raises(Unauthorized):
        await jira.get_current_user(connected(app, "wrong"))
    with pytest.raises(UpstreamError, match="project, summary and issuetype"):
        await jira.create_issue(connected(app), "NOPE", "Task", "x")


async def test_the_jira_sdk_takes_the_sandbox_for_jira(app: VendorApp) -> None:
    def work() -> None:
        options = {"server": app.url, "rest_api_version": "3"}
        client = SDK(
            options=options, basic_auth=(JIRA.user["emailAddress"], JIRA.token), max_retries=0
        )
        assert client.myself()["displayName"] == "Ada Lovelace"
        fields = {"project": {"key": "ACME"}, "summary": "Anvil", "issuetype": {"name": "Task"}}
        made = client.create_issue(fields=fields)
        assert client.issue(made.key).fields.summary == "Anvil"
        client.add_comment(made.key, {"type": "doc", "version": 1, "content": []})
        assert len(client.comments(made.key)) == 1
        [done] = [each["id"] for each in client.transitions(made.key) if each["name"] == "Done"]
        client.transition_issue(made.key, done)
        assert client.issue(made.key).fields.status.name == "Done"
        found = client.enhanced_search_issues('project = ACME AND status = "Done"')
        assert [each.key for each in found] == [made.key]
        with pytest.raises(JIRAError) as raised:
            client.issue("ACME-99")
        assert raised.value.status_code == 404
        client.issue(made.key).delete()

    await asyncio.to_thread(work)
