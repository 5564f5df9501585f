"""Real small servers to develop and test against, offline, with faults on request.

Each app here is what a customer's app would be: it has its own API, its own data and webhooks, and
knows nothing of Halflap. What a real app does on a bad day (it is slow, it fails, it does the work
and loses the answer, it sends a webhook twice or out of order) it does here when asked, from a
seed, so that a test can repeat it.

`acme` is a sample SaaS app: accounts, opportunities, stock, activities, signed webhooks. `salesforce`
speaks the real one's protocols, for several orgs. Both have a page to look and edit in. `slack` has
workspaces, a bot's part of the Web API, and signed events; `github` repositories, and webhooks with
their deliveries; `hubspot` portals with records and an app; `zendesk` tickets, people and the export.
`specified` makes one of a vendor's OpenAPI document. In each, `create_app()` is the
app, and `run()` runs it.
"""

from halflap_sandbox import acme, github, hubspot, salesforce, slack, specified, zendesk
from halflap_sandbox.server import run, serving

__all__ = [
    "acme",
    "github",
    "hubspot",
    "run",
    "salesforce",
    "serving",
    "slack",
    "specified",
    "zendesk",
]
