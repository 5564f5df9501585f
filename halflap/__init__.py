"""Halflap: write an integration once, in Python or YAML; every customer activates their own.

This is the author's vocabulary, re-exported; nothing else. A name is loaded when it is first used: a
supervisor, and many a command, needs none.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from halflap.components import (
        app,
        email,
        github,
        http,
        hubspot,
        imap,
        instance,
        jira,
        kafka,
        salesforce,
        schedule,
        sendgrid,
        shopify,
        slack,
        sns,
        sqs,
        stripe,
        twilio,
        webhook,
        zendesk,
    )
    from halflap.components.instance import Deployment
    from halflap.errors import (
        FAILURES,
        Cancel,
        CodeFailed,
        ConfigError,
        Conflict,
        DefinitionError,
        EgressRefused,
        ExpressionError,
        HalflapError,
        InvalidEvent,
        Nondeterminism,
        Overruled,
        RateLimited,
        Rejected,
        RetryLater,
        StepFailed,
        Thrown,
        TimedOut,
        TooManyHops,
        Unauthorized,
        Unrouted,
        UpstreamError,
    )
    from halflap.lowcode.code_step import code
    from halflap.lowcode.expr import at, expr
    from halflap.model import Retention
    from halflap.sdk.action import Action, Retry, step
    from halflap.sdk.app_endpoint import AppEndpoint
    from halflap.sdk.cloudevents import CloudEvent
    from halflap.sdk.codec import decode_json, encode_json
    from halflap.sdk.component import Component
    from halflap.sdk.condition import When
    from halflap.sdk.connection import Connection
    from halflap.sdk.context import Child, Context, Settled, State
    from halflap.sdk.egress import Limits, Response
    from halflap.sdk.integration import Flow, Integration
    from halflap.sdk.listener import Batch, CursorExpired, Listening, Message
    from halflap.sdk.oauth import ApiKey, ClientCredentials, JwtBearer, OAuth2Code
    from halflap.sdk.order import FlowOrder, fifo, latest_wins, parallel, singleton
    from halflap.sdk.pairs import Pairs, Reads, Writes
    from halflap.sdk.payload import Payload
    from halflap.sdk.polling import PolledPage, Polling, PollSpec, polled
    from halflap.sdk.records import Records
    from halflap.sdk.request import Request, header, pointer, query
    from halflap.sdk.routing import DeadLetter, Route
    from halflap.sdk.schema import (
        UNSET,
        Choice,
        ChoicePage,
        Config,
        DynamicFields,
        FieldSpec,
        File,
        Json,
        Model,
        Source,
        Unset,
    )
    from halflap.sdk.signature import (
        BasicAuth,
        BearerToken,
        CalendlySignature,
        GitHubSignature,
        HubSpotSignature,
        JiraSignature,
        MailgunSignature,
        MessageSignature,
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
    )
    from halflap.sdk.specification import Operation, Paging, Specification
    from halflap.sdk.trigger import (
        BoundTrigger,
        Declaration,
        Endpoint,
        FlowResult,
        Ignore,
        Missed,
        Reply,
        Subscription,
        Trigger,
    )
    from halflap.sdk.urlpath import encode_segment
    from halflap.sdk.websocket import WebSocket

_HOMES = {
    "components.app": "app",
    "components.github": "github",
    "components.email": "email",
    "components.http": "http",
    "components.imap": "imap",
    "components.hubspot": "hubspot",
    "components.instance": "Deployment instance",
    "components.jira": "jira",
    "components.kafka": "kafka",
    "components.salesforce": "salesforce",
    "components.schedule": "schedule",
    "components.sendgrid": "sendgrid",
    "components.shopify": "shopify",
    "components.slack": "slack",
    "components.sns": "sns",
    "components.sqs": "sqs",
    "components.stripe": "stripe",
    "components.twilio": "twilio",
    "components.webhook": "webhook",
    "components.zendesk": "zendesk",
    "errors": (
        "Cancel CodeFailed ConfigError Conflict DefinitionError EgressRefused ExpressionError "
        "FAILURES HalflapError InvalidEvent Nondeterminism Overruled RateLimited Rejected "
        "RetryLater StepFailed Thrown TimedOut TooManyHops Unauthorized Unrouted "
        "UpstreamError"
    ),
    "lowcode.code_step": "code",
    "lowcode.expr": "at expr",
    "model": "Retention",
    "sdk.action": "Action Retry step",
    "sdk.cloudevents": "CloudEvent",
    "sdk.codec": "decode_json encode_json",
    "sdk.app_endpoint": "AppEndpoint",
    "sdk.component": "Component",
    "sdk.condition": "When",
    "sdk.connection": "Connection",
    "sdk.context": "Child Context Settled State",
    "sdk.egress": "Limits Response",
    "sdk.integration": "Flow Integration",
    "sdk.listener": "Batch CursorExpired Listening Message",
    "sdk.oauth": "ApiKey ClientCredentials JwtBearer OAuth2Code",
    "sdk.order": "fifo FlowOrder latest_wins parallel singleton",
    "sdk.pairs": "Pairs Reads Writes",
    "sdk.payload": "Payload",
    "sdk.polling": "PolledPage Polling PollSpec polled",
    "sdk.records": "Records",
    "sdk.request": "header pointer query Request",
    "sdk.routing": "DeadLetter Route",
    "sdk.schema": (
        "Choice ChoicePage Config DynamicFields FieldSpec File Json Model Source UNSET Unset"
    ),
    "sdk.signature": (
        "BasicAuth BearerToken CalendlySignature GitHubSignature HubSpotSignature JiraSignature "
        "MailgunSignature MessageSignature SendGridSignature ShopifySignature Signature "
        "SlackSignature StandardWebhooks StripeSignature SvixSignature TwilioSignature "
        "TypeformSignature Unsigned Verifier ZendeskSignature"
    ),
    "sdk.specification": "Operation Paging Specification",
    "sdk.trigger": (
        "BoundTrigger Declaration Endpoint FlowResult Ignore Missed Reply Subscription Trigger"
    ),
    "sdk.urlpath": "encode_segment",
    "sdk.websocket": "WebSocket",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    """Load a name of the vocabulary when it is first used."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'halflap' has no attribute {name!r}")
    home = import_module(f"halflap.{_HOME_OF[name]}")
    is_module = home.__name__ == f"halflap.components.{name}"
    found = globals()[name] = home if is_module else getattr(home, name)
    return found


def __dir__() -> list[str]:
    """List the vocabulary, loaded or not."""
    return [*globals(), *_HOME_OF]


__all__ = [
    "Action",
    "ApiKey",
    "AppEndpoint",
    "BasicAuth",
    "Batch",
    "BearerToken",
    "BoundTrigger",
    "CalendlySignature",
    "Cancel",
    "ClientCredentials",
    "CloudEvent",
    "Component",
    "Config",
    "ConfigError",
    "Conflict",
    "Connection",
    "Child",
    "Choice",
    "ChoicePage",
    "Context",
    "CursorExpired",
    "DeadLetter",
    "Declaration",
    "DefinitionError",
    "Deployment",
    "DynamicFields",
    "CodeFailed",
    "EgressRefused",
    "Endpoint",
    "ExpressionError",
    "FAILURES",
    "FieldSpec",
    "File",
    "Flow",
    "FlowOrder",
    "FlowResult",
    "GitHubSignature",
    "HalflapError",
    "HubSpotSignature",
    "Ignore",
    "Integration",
    "InvalidEvent",
    "JiraSignature",
    "Json",
    "JwtBearer",
    "Limits",
    "Listening",
    "MailgunSignature",
    "MessageSignature",
    "Message",
    "Missed",
    "Model",
    "Nondeterminism",
    "OAuth2Code",
    "Operation",
    "Overruled",
    "Paging",
    "Pairs",
    "Payload",
    "PollSpec",
    "PolledPage",
    "Polling",
    "RateLimited",
    "Reads",
    "Records",
    "Rejected",
    "Reply",
    "Request",
    "Response",
    "Retention",
    "Retry",
    "RetryLater",
    "Route",
    "SendGridSignature",
    "ShopifySignature",
    "Settled",
    "Signature",
    "SlackSignature",
    "Source",
    "Specification",
    "StandardWebhooks",
    "State",
    "StepFailed",
    "StripeSignature",
    "Subscription",
    "SvixSignature",
    "Thrown",
    "TimedOut",
    "TooManyHops",
    "Trigger",
    "TwilioSignature",
    "TypeformSignature",
    "UNSET",
    "Unauthorized",
    "Unrouted",
    "Unset",
    "Unsigned",
    "UpstreamError",
    "Verifier",
    "WebSocket",
    "When",
    "Writes",
    "ZendeskSignature",
    "at",
    "code",
    "decode_json",
    "encode_json",
    "encode_segment",
    "expr",
    "fifo",
    "github",
    "header",
    "app",
    "email",
    "http",
    "hubspot",
    "imap",
    "instance",
    "jira",
    "kafka",
    "latest_wins",
    "parallel",
    "pointer",
    "polled",
    "query",
    "salesforce",
    "schedule",
    "sendgrid",
    "shopify",
    "slack",
    "sns",
    "sqs",
    "singleton",
    "step",
    "stripe",
    "twilio",
    "webhook",
    "zendesk",
]
