"""CloudEvents over HTTP: a trigger that takes them in every mode, and an action that sends them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field, InstanceOf

from halflap import (
    CloudEvent,
    Declaration,
    File,
    InvalidEvent,
    Rejected,
    Reply,
    Request,
    Signature,
)
from halflap.components.webhook.connection import Receiver, component
from halflap.components.webhook.receiving import SIGNATURE, Layout, layout
from halflap.components.webhook.sending import SCHEDULE, Sent

BATCH = "application/cloudevents-batch+json"
READABLE = ("application/cloudevents+json", BATCH)

ORIGINS = Field(
    description="The senders that may send, as eventgrid.azure.net, where they ask before (OPTIONS with "
    "WebHook-Request-Origin). By default, each that asks may."
)
SOURCE = Field(
    min_length=1, description="Where it happened, as /orders or https://acme.example/orders."
)
EXTENSIONS = Field(description="Further attributes, as traceparent; names of a-z and 0-9.")
MODE = Field(description="The attributes stand in headers (binary), or in the body (structured).")


EXAMPLE = File(
    b'{"specversion":"1.0","id":"1","source":"/example","type":"example.happened","data":{}}',
    "event.json",
    "application/cloudevents+json",
)


@component.trigger(title="CloudEvent", methods=("POST", "OPTIONS"), example=EXAMPLE)
async def cloud_event(
    request: Request,
    signature: Annotated[InstanceOf[Signature] | Layout | None, SIGNATURE] = None,
    origins: Annotated[tuple[str, ...], ORIGINS] = (),
) -> CloudEvent:
    """An event as CloudEvents 1.0 describes it, in binary, structured or batch mode.

    Its `source` and `id` together identify it, its `subject` is the record. Each event of a batch is
    one of its own. What is no CloudEvent is refused: 400, and 415 for a format that is not JSON.
    """
    event = read(request)
    if event is None:
        raise InvalidEvent("The batch was not cut into its events.")
    return event


@cloud_event.declare
def _(signature: Signature | str | None, origins: tuple[str, ...]) -> Declaration:
    return Declaration(
        verify=layout(signature),
        handshake=consent_to(origins),
        split=parts,
        dedupe=identity,
        key=subject,
        methods=("POST", "OPTIONS"),
    )


def consent_to(origins: tuple[str, ...]) -> Any:
    """Return a handshake that consents to the senders of these origins, or of all."""
    allowed = [each.lower() for each in origins]

    def consent(request: Request) -> Reply | None:
        origin = request.headers.get("webhook-request-origin")
        if request.method != "OPTIONS" or origin is None:
            return None
        told = {"Allow": "POST"}
        if not allowed or origin.lower() in allowed:
            rate = request.headers.get("webhook-request-rate") or "*"
            told |= {"WebHook-Allowed-Origin": origin, "WebHook-Allowed-Rate": rate}
        return Reply(200, b"", told)

    return consent


def read(request: Request) -> CloudEvent | None:
    """Return the event of a request, or of one part of a batch; None for a whole batch."""
    events = CloudEvent.read(request.headers, request.body)
    return events[0] if len(events) == 1 else None


def parts(request: Request) -> Any:
    """Return the events of a batch, each as a document; None for a request that is one event.

    Raises `Rejected` for what is no event: to send it again would not help.
    """
    if request.payload is not None:
        return None
    kind = request.content_type
    if kind.startswith("application/cloudevents") and kind not in READABLE:
        raise Rejected(
            f"Of the formats of CloudEvents JSON is read alone, and not {kind!r}.",
            status=415,
            tells=True,
        )
    twice = [
        each
        for each in request.headers
        if each.startswith("ce-") and len(request.headers.getall(each)) > 1
    ]
    if twice:
        raise Rejected(f"The header {twice[0]!r} stands twice.", status=400, tells=True)
    try:
        events = CloudEvent.read(request.headers, request.body)
    except InvalidEvent as error:
        raise Rejected(error.message, status=400, tells=True) from error
    return [each.structured()[1] for each in events] if kind == BATCH else None


def identity(request: Request) -> str | None:
    """Return what identifies the event."""
    event = read(request)
    return None if event is None else event.identity


def subject(request: Request) -> str | None:
    """Return what the event is about."""
    event = read(request)
    return None if event is None else event.subject


@component.action(title="Send a CloudEvent", retry=SCHEDULE)
async def send_cloud_event(
    receiver: Receiver,
    type: str,
    source: Annotated[str, SOURCE],
    data: Any = None,
    id: str | None = None,
    subject: str | None = None,
    time: AwareDatetime | None = None,
    datacontenttype: str | None = None,
    dataschema: str | None = None,
    extensions: Annotated[dict[str, str | int | bool] | None, EXTENSIONS] = None,
    mode: Annotated[Literal["binary", "structured"], MODE] = "structured",
) -> Sent:
    """Send an event as CloudEvents 1.0 describes it; signed, where the receiver has a secret.

    Without an `id` it has one for each step, the same on every try. It is tried again for about a day.
    """
    key = receiver.upcoming_key()
    event = CloudEvent(
        id=id or key,
        source=source,
        type=type,
        subject=subject,
        time=time,
        datacontenttype=datacontenttype,
        dataschema=dataschema,
        data=data,
        extensions=extensions or {},
    )
    headers, body = event.binary() if mode == "binary" else event.structured()
    answer = await receiver.deliver(body, headers.pop("content-type", ""), headers, key)
    return Sent(id=event.id, status=answer.status)
