"""Salesforce: several orgs behind one address, with the real one's protocols.

OAuth 2, REST with SOQL, composite and bulk, Tooling, Metadata and login over SOAP; what is deployed
there (outbound messages, record-triggered flows, workflow rules) runs. `/sandbox` is its backstage
and `/` a page to look at. Everything is in memory and gone when the server stops.

A request walks: session → limits → faults → a plain function over the data → outbound messages.
"""

from halflap_sandbox.salesforce.app import create_app
from halflap_sandbox.salesforce.settings import Settings

__all__ = ["Settings", "create_app"]
