"""The kit for a team's own product, so that its customers' integrations hear what happens there.

`EventTypes` declares the product's events once, `Publisher` (or `AsyncPublisher`) sends them to a
Halflap server over its API, and `halflap.export.outbox` writes them in the product's own transactions.
Nothing else of Halflap is imported: an app that publishes loads Pydantic, and aiohttp if it is async.
"""

from halflap.errors import UpstreamError
from halflap.export.client import AsyncPublisher, Publication, Publisher
from halflap.export.event_type import EventTypes, ProductEvent

__all__ = [
    "AsyncPublisher",
    "EventTypes",
    "ProductEvent",
    "Publication",
    "Publisher",
    "UpstreamError",
]
