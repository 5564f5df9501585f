"""GitHub: repositories with issues, pull requests and files, webhooks with their deliveries, an app.

The REST API is at the root, `/login/oauth` the sign-in through the app, and `/sandbox` the backstage:
accounts, what people do, faults. Everything is in memory and gone when the server stops.
"""

from halflap_sandbox.github.app import create_app
from halflap_sandbox.github.model import Settings

__all__ = ["Settings", "create_app"]
