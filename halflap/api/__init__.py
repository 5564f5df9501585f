"""JSON for the CLI, the console and the embed: OpenAPI 3.1, errors as problem+json (RFC 9457).

Routes only translate; what they do is an `Operations` verb.
"""

from halflap.api.app import create_app
from halflap.api.operations import Operations

__all__ = ["Operations", "create_app"]
