"""Webhooks: requests that any app sends, and signed ones that are sent to any app.

`receiving` has the triggers of requests, `connection` a receiver elsewhere, `sending` what is sent to
it, `cloudevents` both for CloudEvents.
"""

from halflap.components.webhook.cloudevents import cloud_event, send_cloud_event
from halflap.components.webhook.connection import Receiver, component
from halflap.components.webhook.receiving import raw, request
from halflap.components.webhook.sending import Sent, send

__all__ = [
    "Receiver",
    "Sent",
    "cloud_event",
    "component",
    "raw",
    "request",
    "send",
    "send_cloud_event",
]
