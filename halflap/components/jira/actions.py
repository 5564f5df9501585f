"""Actions of Jira, declared from its OpenAPI document; `issues.py` has those that are written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from halflap import Operation, Paging, Specification
from halflap.components.jira.connection import component

SPECIFICATION = Specification(
    Path(__file__).with_name("openapi.json"), names={"issueIdOrKey": "issue"}
)
SIZE: dict[str, Any] = {"size": "maxResults", "largest": 100}
PROJECTS = Paging.offset("values", "startAt", "total", **SIZE)
COMMENTS = Paging.offset("comments", "startAt", "total", **SIZE)
USERS = Paging.offset("", "startAt", **SIZE)

ACTIONS = component.operations(
    SPECIFICATION,
    {
        "create_issue": Operation("createIssue", "Create an issue"),
        "get_issue": Operation("getIssue", "Get an issue", "fields expand", missing=True),
        "edit_issue": Operation("editIssue", "Edit an issue", "fields update notify_users"),
        "assign_issue": Operation("assignIssue", "Assign an issue", "account_id"),
        "delete_issue": Operation("deleteIssue", "Delete an issue", "delete_subtasks"),
        "add_comment": Operation("addComment", "Add a comment"),
        "list_comments": Operation("getComments", "List comments", "order_by most", COMMENTS),
        "list_transitions": Operation("getTransitions", "List transitions of an issue"),
        "transition_issue": Operation("doTransition", "Move an issue", "transition fields"),
        "search_projects": Operation("searchProjects", "Search projects", "query most", PROJECTS),
        "search_users": Operation("findUsers", "Search users", "query most", USERS),
        "get_current_user": Operation("getCurrentUser", "Get the user of the token"),
        "list_fields": Operation("getFields", "List the fields of issues"),
        "get_server_info": Operation("getServerInfo", "Get the site's version"),
    },
)
globals().update(ACTIONS)
