"""Acme, a sample SaaS app: accounts, contacts, opportunities, stock, activities and signed webhooks.

Customers' data lives in workspaces, each behind an API key of its own. `/v1` is the app's API,
`/sandbox` its backstage (workspaces, faults, what was applied, what was delivered), and `/` a page
to look at and to edit in. Everything is in memory and gone when the server stops.

A request walks: authenticate → faults → idempotency → a plain function over the data → webhooks.
"""

from halflap_sandbox.acme.app import create_app
from halflap_sandbox.acme.settings import Settings

__all__ = ["Settings", "create_app"]
