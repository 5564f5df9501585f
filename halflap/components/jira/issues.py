"""Actions of Jira by hand: texts instead of its rich documents, and the search by tokens."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from halflap import UNSET, Model, Response, Unset
from halflap.components.jira.connection import Jira, component

SEARCH = "/rest/api/3/search/jql"
LARGEST = 100


class CreatedIssue(Model):
    """An issue that was made."""

    id: str
    key: str


class IssueComment(Model):
    """A comment that was made."""

    id: str


def document(text: str) -> dict[str, Any]:
    """Return a text as a document of Jira, a paragraph for each that an empty line ends."""
    paragraphs = [each.strip() for each in text.split("\n\n") if each.strip()]
    content = [
        {"type": "paragraph", "content": [{"type": "text", "text": each}]} for each in paragraphs
    ]
    return {"type": "doc", "version": 1, "content": content}


@component.action(title="Create an issue")
async def create_issue(
    jira: Jira,
    project: Annotated[str, Field(description="The project's key, as ACME.")],
    issue_type: Annotated[str, Field(description="Its name, as Task.")],
    summary: str,
    description: str | Unset = UNSET,
    labels: list[str] | Unset = UNSET,
    parent: Annotated[str | Unset, Field(description="The key of the parent.")] = UNSET,
    fields: Annotated[
        dict[str, Any] | Unset, Field(description="Others, as customfield_10000.")
    ] = UNSET,
) -> CreatedIssue:
    """Create an issue, its description from a text."""
    given: dict[str, Any] = {} if fields is UNSET else dict(fields)
    given |= {"project": {"key": project}, "issuetype": {"name": issue_type}, "summary": summary}
    if description is not UNSET:
        given["description"] = document(description)
    if labels is not UNSET:
        given["labels"] = labels
    if parent is not UNSET:
        given["parent"] = {"key": parent}
    made = await jira.post("/rest/api/3/issue", json={"fields": given})
    return CreatedIssue.model_validate(made)


@component.action(title="Add a comment")
async def add_comment(jira: Jira, issue: str, text: str) -> IssueComment:
    """Add a comment to an issue, from a text."""
    path, values = "/rest/api/3/issue/{issue}/comment", {"issue": issue}
    made = await jira.post(path, values=values, json={"body": document(text)})
    return IssueComment.model_validate(made)


@component.action(title="Search issues")
async def search_issues(
    jira: Jira,
    jql: Annotated[str, Field(description='As project = ACME AND status = "Done".')],
    fields: Annotated[
        list[str] | Unset, Field(description="Which; navigable ones by default.")
    ] = UNSET,
    most: Annotated[int, Field(ge=1, le=10_000)] = 100,
) -> list[dict[str, Any]]:
    """Find issues by JQL, as they are now."""
    wanted = ["*navigable"] if fields is UNSET else fields
    params = {"jql": jql, "fields": ",".join(wanted), "maxResults": min(most, LARGEST)}
    asked = dict(params)

    def following(answer: Response) -> str | None:
        token = answer.json().get("nextPageToken")
        return None if token is None else answer.with_query(nextPageToken=token)

    found: list[dict[str, Any]] = []
    async for each in jira.pages(SEARCH, params=asked, items="issues", next=following):
        found.append(each)
        if len(found) == most:
            break
    return found
