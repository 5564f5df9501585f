"""The triggers of requests: any app that can call a URL, and signs as one of the layouts says."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import Field, InstanceOf, WithJsonSchema

from halflap import (
    BearerToken,
    CalendlySignature,
    Declaration,
    DefinitionError,
    FlowResult,
    GitHubSignature,
    HubSpotSignature,
    JiraSignature,
    MailgunSignature,
    MessageSignature,
    Reply,
    Request,
    SendGridSignature,
    ShopifySignature,
    Signature,
    SlackSignature,
    StandardWebhooks,
    StripeSignature,
    SvixSignature,
    TwilioSignature,
    TypeformSignature,
    Unsigned,
    Verifier,
    ZendeskSignature,
    header,
    pointer,
    query,
)
from halflap.components.webhook.connection import component

Pick = Callable[[Request], str | None]

PICKERS: dict[str, Callable[[str], Pick]] = {"header": header, "body": pointer, "query": query}

LAYOUTS: dict[str, Callable[[], Verifier]] = {
    "standard": StandardWebhooks,
    "svix": SvixSignature,
    "github": GitHubSignature,
    "slack": SlackSignature,
    "stripe": StripeSignature,
    "calendly": CalendlySignature,
    "shopify": ShopifySignature,
    "hubspot": HubSpotSignature,
    "twilio": TwilioSignature,
    "zendesk": ZendeskSignature,
    "sendgrid": SendGridSignature,
    "jira": JiraSignature,
    "typeform": TypeformSignature,
    "mailgun": MailgunSignature,
    "rfc9421": MessageSignature,
    "bearer": BearerToken,
}

Layout = Annotated[str, WithJsonSchema({"type": "string", "enum": list(LAYOUTS)})]
"""The name of a layout; `layout` refuses others, by their names."""

SIGNATURE = Field(
    description="How the app signs its requests: the name of a layout, as github or standard; the "
    "secret is the endpoint's. Without one, anybody who has the URL can send.",
    examples=["github"],
)
DEDUPE = Field(
    description="Where the id of the delivery stands: header:X-Id, body:/data/id or query:id. One "
    "that comes again is not run again.",
    examples=["header:X-Id"],
)
KEY = Field(
    description="Where the id of the record stands, as body:/data/id. Executions are found by it; "
    "a flow that says so runs those of one record in order.",
    examples=["body:/id"],
)
ANSWER = Field(
    description="What the sender is answered: accepted at once, or the result of the flow.",
    examples=["result"],
)
WITHIN = Field(
    description="How long the sender waits for the result, as 10s; after that, it is answered that "
    "the event was accepted. It counts for the answer result alone.",
    examples=["10s"],
)
METHODS = Field(
    description="The HTTP methods that are taken: POST alone, if none is named.",
    examples=[["POST"]],
)


@component.trigger(methods=("POST", "PUT", "PATCH", "GET", "DELETE"))
async def request(
    request: Request,
    signature: Annotated[InstanceOf[Signature] | Layout | None, SIGNATURE] = None,
    dedupe: Annotated[Pick | str | None, DEDUPE] = None,
    key: Annotated[Pick | str | None, KEY] = None,
    answer: Annotated[InstanceOf[Reply] | Literal["accepted", "result"], ANSWER] = "accepted",
    within: Annotated[timedelta, WITHIN] = timedelta(seconds=10),
    methods: Annotated[tuple[str, ...], METHODS] = ("POST",),
) -> Any:
    """A request to this flow's URL; the event is its body (JSON, a form, or text).

    `signature` is a layout or the name of one (`github`, `standard`); its secret is the endpoint's.
    `dedupe` and `key` say where the delivery's and the record's id stand: `header:X-Id`,
    `body:/data/id` or `query:id`. `answer="result"` answers with what the flow returns.
    """
    if not request.body:
        return dict(request.params)
    kind = request.content_type
    if kind in ("application/x-www-form-urlencoded", "multipart/form-data"):
        return {name: each[0] if len(each) == 1 else each for name, each in request.form().items()}
    if kind.endswith("xml") or kind.startswith("text/plain"):
        return request.text
    return request.json()


@component.trigger(title="Raw request", methods=("POST", "PUT", "PATCH", "GET", "DELETE"))
async def raw(
    request: Request,
    signature: Annotated[InstanceOf[Signature] | Layout | None, SIGNATURE] = None,
    dedupe: Annotated[Pick | str | None, DEDUPE] = None,
    key: Annotated[Pick | str | None, KEY] = None,
    answer: Annotated[InstanceOf[Reply] | Literal["accepted", "result"], ANSWER] = "accepted",
    within: Annotated[timedelta, WITHIN] = timedelta(seconds=10),
    methods: Annotated[tuple[str, ...], METHODS] = ("POST",),
) -> Request:
    """A request to this flow's URL as it came: method, path, headers and raw body."""
    return request


def declare(
    signature: Signature | str | None,
    dedupe: Pick | str | None,
    key: Pick | str | None,
    answer: Reply | str,
    within: timedelta,
    methods: tuple[str, ...],
) -> Declaration:
    """Return the gateway's declaration for the trigger's inputs."""
    verifier = layout(signature)
    # A nonce is there so that a request that comes again is known.
    again = verifier.nonce_of if isinstance(verifier, MessageSignature) and verifier.nonce else None
    return Declaration(
        verify=verifier,
        dedupe=place(dedupe) or again,
        key=place(key),
        answer=FlowResult(within) if answer == "result" else reply(answer),
        methods=tuple(each.upper() for each in methods),
    )


request.declare(declare)
raw.declare(declare)


def layout(signature: Signature | str | None) -> Verifier:
    """The signature layout of that name."""
    if signature is None:
        return Unsigned("the endpoint's URL is its only secret")
    if isinstance(signature, Signature):
        return signature
    if signature not in LAYOUTS:
        close = get_close_matches(signature.lower(), LAYOUTS, 1)
        raise DefinitionError(
            f"webhook: no signature layout is called {signature!r}; there are: {', '.join(LAYOUTS)}"
            + (f"; did you mean {close[0]}?" if close else "")
        )
    return LAYOUTS[signature]()


def reply(answer: Reply | str) -> Reply:
    """The static answer."""
    return answer if isinstance(answer, Reply) else Reply()


def place(where: Pick | str | None) -> Pick | None:
    """`header:X-Id`, `body:/data/id` or `query:id` as a picker."""
    if where is None or callable(where):
        return where
    kind, _, name = where.partition(":")
    if kind in PICKERS and name.strip():
        try:
            return PICKERS[kind](name)
        except DefinitionError as error:
            said = error.message.replace("; write ", f"; write {kind}:")
            raise DefinitionError(f"{where!r}: {said}") from error
    names = re.fullmatch(r"=?(?:event\.|body\.|\$\.)?(\w+(?:\.\w+)*)", where)
    meant = f"body:/{names[1].replace('.', '/')}" if names else ""
    if name.strip() and (close := get_close_matches(kind.strip().lower(), PICKERS, 1)):
        meant = f"{close[0]}:{name.strip()}"
    raise DefinitionError(
        f"{where!r} names no place, such as header:X-Id, body:/data/id or query:id"
        + (f"; write {meant}" if meant else "")
    )
