"""Slack: what happens in a workspace; messages, views and people.

`connection` has the workspace and the installation of an app, `triggers` what Slack posts, `socket`
the same by Socket Mode, `actions` what a bot does.
"""

from halflap.components.slack.actions import (
    add_reaction,
    delete_message,
    find_user,
    get_user,
    list_channels,
    list_users,
    open_conversation,
    open_view,
    post_ephemeral,
    post_message,
    publish_home,
    push_view,
    read_thread,
    update_message,
    update_view,
)
from halflap.components.slack.connection import FORM, Slack, SlackSignIn, component
from halflap.components.slack.models import (
    Event,
    Interaction,
    Message,
    Post,
    Profile,
    User,
    View,
)
from halflap.components.slack.socket import socket
from halflap.components.slack.triggers import event, interaction

__all__ = [
    "FORM",
    "Event",
    "Interaction",
    "Message",
    "Post",
    "Profile",
    "Slack",
    "SlackSignIn",
    "User",
    "View",
    "add_reaction",
    "component",
    "delete_message",
    "event",
    "find_user",
    "get_user",
    "interaction",
    "list_channels",
    "list_users",
    "open_conversation",
    "open_view",
    "post_ephemeral",
    "post_message",
    "publish_home",
    "push_view",
    "read_thread",
    "socket",
    "update_message",
    "update_view",
]
