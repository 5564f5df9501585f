"""Example requests: what a sender would send to an endpoint, with a made-up event, signed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import anyio.to_thread

from halflap.errors import ConfigError
from halflap.sdk import codec
from halflap.sdk.integration import Flow
from halflap.sdk.record import adapter_of
from halflap.sdk.schema import File
from halflap.sdk.signature import sender_headers


@dataclass(frozen=True, slots=True)
class ExampleRequest:
    """A request that an endpoint takes."""

    method: str
    url: str
    headers: dict[str, str]
    body: str


def example_request(
    flow: Flow[Any, Any, Any], url: str, secret: str, event: Any, now: datetime
) -> ExampleRequest:
    """Return a request with an event, signed as the flow's trigger verifies it."""
    declared = flow.trigger.declaration
    method = "POST" if "POST" in declared.methods else declared.methods[0]
    example = flow.trigger.trigger.example
    body = b"" if method == "GET" else codec.encode({} if event is None else event)
    if isinstance(example, File):
        body = example.data
    if secret.startswith("whpk_"):
        raise ConfigError(
            "the sender signs with a private key that it alone has: no request can be made up"
        )
    headers = sender_headers(declared.verify, body, secret, now, method=method, url=url)
    if isinstance(example, File):
        headers = {n: v for n, v in headers.items() if n.lower() != "content-type"}
        headers["content-type"] = example.content_type
    return ExampleRequest(method, url, headers, body.decode())


async def made_up_event(entry: str, files: Mapping[str, bytes], flow: Flow[Any, Any, Any]) -> Any:
    """Return an event of a flow: by its document's schema, sample or tests, or by its type."""
    return await anyio.to_thread.run_sync(_made_up, entry, files, flow)


def _made_up(entry: str, files: Mapping[str, bytes], flow: Flow[Any, Any, Any]) -> Any:
    from halflap.lowcode import Components
    from halflap.lowcode.assist.analysis import analyse
    from halflap.lowcode.assist.queries import sample_of, shown_event
    from halflap.lowcode.lint.shapes import Shapes

    if entry.endswith((".yaml", ".yml")):
        steps = ("flows", flow.name, "steps", 0)
        analysis = analyse(files[entry].decode(), entry, Shapes(Components()))
        shown, known = shown_event(analysis.source.data, steps), analysis.names_at(steps)
        return shown if shown is not None else sample_of(known["event"].schema)
    try:
        return sample_of(adapter_of(flow.event_type).json_schema())
    except Exception:  # of a type that has no schema: a request, or what its author made
        return None
