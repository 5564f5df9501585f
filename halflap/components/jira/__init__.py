"""Jira: issues, comments, projects and people, and the events of a site."""

from halflap.components.jira.actions import *  # noqa: F403
from halflap.components.jira.connection import Jira, JiraSignIn, component
from halflap.components.jira.dynamic import dynamic_event
from halflap.components.jira.issues import CreatedIssue, IssueComment, add_comment, create_issue
from halflap.components.jira.issues import search_issues as search_issues
from halflap.components.jira.triggers import HOOKS, Event, event

__all__ = [
    "HOOKS",
    "CreatedIssue",
    "Event",
    "IssueComment",
    "Jira",
    "JiraSignIn",
    "add_comment",
    "component",
    "create_issue",
    "dynamic_event",
    "event",
    "search_issues",
]
