"""A sandbox made of a vendor's OpenAPI document: strict with requests, and with a memory.

Each request is held to the document (path, parameters, body, types, choices), and answered with what
the document says the answer is: what was made is found, listed, changed and deleted. What only the
vendor knows (rules between fields, money, deliveries) is not here; a `Dialect` adds the little that its
own SDK cannot do without: ids, the form of errors, how lists come in pages, what a verb does.
"""

from halflap_sandbox.specified.app import create_app
from halflap_sandbox.specified.dialects import JIRA, STRIPE, TWILIO, Dialect

__all__ = ["JIRA", "STRIPE", "TWILIO", "Dialect", "create_app"]
