"""Slack: workspaces, a bot's Web API, the installation by OAuth v2, and signed events.

`/api` is the Web API's part that bots use most, `/oauth/v2/authorize` the page on which a workspace
installs the app, and `/sandbox` the backstage: workspaces, what people write and click, faults, what
was sent. Everything is in memory and gone when the server stops.
"""

from halflap_sandbox.slack.app import create_app
from halflap_sandbox.slack.model import Settings

__all__ = ["Settings", "create_app"]
