"""Halflap: write an integration once, in Python or YAML; every customer activates their own.

This is the author's vocabulary, re-exported; nothing else. A name is loaded when it is first used: a
supervisor, and many a command, needs none.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from halflap.components import app as app
    from halflap.components import email as email
    from halflap.components import github as github
    from halflap.components import http as http
    from halflap.components import hubspot as hubspot
    from halflap.components import imap as imap
    from halflap.components import instance as instance
    from halflap.components import jira as jira
    from halflap.components import kafka as kafka
    from halflap.components import salesforce as salesforce
    from halflap.components import schedule as schedule
    from halflap.components import sendgrid as sendgrid
    from halflap.components import shopify as shopify
    from halflap.components import slack as slack
    from halflap.components import sns as sns
    from halflap.components import sqs as sqs
    from halflap.components import stripe as stripe
    from halflap.components import twilio as twilio
    from halflap.components import webhook as webhook
    from halflap.components import zendesk as zendesk
    from halflap.components.instance import Deployment as Deployment
    from halflap.errors import FAILURES as FAILURES
    from halflap.errors import Cancel as Cancel
    from halflap.errors import CodeFailed as CodeFailed
    from halflap.errors import ConfigError as ConfigError
    from halflap.errors import Conflict as Conflict
    from halflap.errors import DefinitionError as DefinitionError
    from halflap.errors import EgressRefused as EgressRefused
    from halflap.errors import ExpressionError as ExpressionError
    from halflap.errors import HalflapError as HalflapError
    from halflap.errors import InvalidEvent as InvalidEvent
    from halflap.errors import Nondeterminism as Nondeterminism
    from halflap.errors import Overruled as Overruled
    from halflap.errors import RateLimited as RateLimited
    from halflap.errors import Rejected as Rejected
    from halflap.errors import RetryLater as RetryLater
    from halflap.errors import StepFailed as StepFailed
    from halflap.errors import Thrown as Thrown
    from halflap.errors import TimedOut as TimedOut
    from halflap.errors import TooManyHops as TooManyHops
    from halflap.errors import Unauthorized as Unauthorized
    from halflap.errors import Unrouted as Unrouted
    from halflap.errors import UpstreamError as UpstreamError
    from halflap.lowcode.code_step import code as code
    from halflap.lowcode.expr import at as at
    from halflap.lowcode.expr import expr as expr
    from halflap.model import Retention as Retention
    from halflap.sdk.action import Action as Action
    from halflap.sdk.action import Records as Records
    from halflap.sdk.action import Retry as Retry
    from halflap.sdk.action import step as step
    from halflap.sdk.app_endpoint import AppEndpoint as AppEndpoint
    from halflap.sdk.cloudevents import CloudEvent as CloudEvent
    from halflap.sdk.codec import decode_json as decode_json
    from halflap.sdk.codec import encode_json as encode_json
    from halflap.sdk.component import Component as Component
    from halflap.sdk.condition import When as When
    from halflap.sdk.connection import Connection as Connection
    from halflap.sdk.context import Child as Child
    from halflap.sdk.context import Context as Context
    from halflap.sdk.context import Settled as Settled
    from halflap.sdk.context import State as State
    from halflap.sdk.egress import Limits as Limits
    from halflap.sdk.egress import Response as Response
    from halflap.sdk.egress import WebSocket as WebSocket
    from halflap.sdk.integration import Flow as Flow
    from halflap.sdk.integration import Integration as Integration
    from halflap.sdk.listener import Batch as Batch
    from halflap.sdk.listener import CursorExpired as CursorExpired
    from halflap.sdk.listener import Listening as Listening
    from halflap.sdk.listener import Message as Message
    from halflap.sdk.oauth import ApiKey as ApiKey
    from halflap.sdk.oauth import ClientCredentials as ClientCredentials
    from halflap.sdk.oauth import JwtBearer as JwtBearer
    from halflap.sdk.oauth import OAuth2Code as OAuth2Code
    from halflap.sdk.order import FlowOrder as FlowOrder
    from halflap.sdk.order import fifo as fifo
    from halflap.sdk.order import latest_wins as latest_wins
    from halflap.sdk.order import parallel as parallel
    from halflap.sdk.order import singleton as singleton
    from halflap.sdk.pairs import Pairs as Pairs
    from halflap.sdk.pairs import Reads as Reads
    from halflap.sdk.pairs import Writes as Writes
    from halflap.sdk.payload import Payload as Payload
    from halflap.sdk.polling import PolledPage as PolledPage
    from halflap.sdk.polling import Polling as Polling
    from halflap.sdk.polling import PollSpec as PollSpec
    from halflap.sdk.polling import polled as polled
    from halflap.sdk.request import Request as Request
    from halflap.sdk.request import header as header
    from halflap.sdk.request import pointer as pointer
    from halflap.sdk.request import query as query
    from halflap.sdk.routing import DeadLetter as DeadLetter
    from halflap.sdk.routing import Route as Route
    from halflap.sdk.schema import UNSET as UNSET
    from halflap.sdk.schema import Choice as Choice
    from halflap.sdk.schema import ChoicePage as ChoicePage
    from halflap.sdk.schema import Config as Config
    from halflap.sdk.schema import DynamicFields as DynamicFields
    from halflap.sdk.schema import FieldSpec as FieldSpec
    from halflap.sdk.schema import File as File
    from halflap.sdk.schema import Json as Json
    from halflap.sdk.schema import Model as Model
    from halflap.sdk.schema import Source as Source
    from halflap.sdk.schema import Unset as Unset
    from halflap.sdk.signature import BasicAuth as BasicAuth
    from halflap.sdk.signature import BearerToken as BearerToken
    from halflap.sdk.signature import CalendlySignature as CalendlySignature
    from halflap.sdk.signature import GitHubSignature as GitHubSignature
    from halflap.sdk.signature import HubSpotSignature as HubSpotSignature
    from halflap.sdk.signature import JiraSignature as JiraSignature
    from halflap.sdk.signature import MailgunSignature as MailgunSignature
    from halflap.sdk.signature import MessageSignature as MessageSignature
    from halflap.sdk.signature import SendGridSignature as SendGridSignature
    from halflap.sdk.signature import ShopifySignature as ShopifySignature
    from halflap.sdk.signature import Signature as Signature
    from halflap.sdk.signature import SlackSignature as SlackSignature
    from halflap.sdk.signature import StandardWebhooks as StandardWebhooks
    from halflap.sdk.signature import StripeSignature as StripeSignature
    from halflap.sdk.signature import SvixSignature as SvixSignature
    from halflap.sdk.signature import TwilioSignature as TwilioSignature
    from halflap.sdk.signature import TypeformSignature as TypeformSignature
    from halflap.sdk.signature import Unsigned as Unsigned
    from halflap.sdk.signature import Verifier as Verifier
    from halflap.sdk.signature import ZendeskSignature as ZendeskSignature
    from halflap.sdk.specification import Operation as Operation
    from halflap.sdk.specification import Paging as Paging
    from halflap.sdk.specification import Specification as Specification
    from halflap.sdk.trigger import BoundTrigger as BoundTrigger
    from halflap.sdk.trigger import Declaration as Declaration
    from halflap.sdk.trigger import Endpoint as Endpoint
    from halflap.sdk.trigger import FlowResult as FlowResult
    from halflap.sdk.trigger import Ignore as Ignore
    from halflap.sdk.trigger import Missed as Missed
    from halflap.sdk.trigger import Reply as Reply
    from halflap.sdk.trigger import Subscription as Subscription
    from halflap.sdk.trigger import Trigger as Trigger
    from halflap.sdk.urlpath import encode_segment as encode_segment

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
    "sdk.action": "Action Records Retry step",
    "sdk.cloudevents": "CloudEvent",
    "sdk.codec": "decode_json encode_json",
    "sdk.app_endpoint": "AppEndpoint",
    "sdk.component": "Component",
    "sdk.condition": "When",
    "sdk.connection": "Connection",
    "sdk.context": "Child Context Settled State",
    "sdk.egress": "Limits Response WebSocket",
    "sdk.integration": "Flow Integration",
    "sdk.listener": "Batch CursorExpired Listening Message",
    "sdk.oauth": "ApiKey ClientCredentials JwtBearer OAuth2Code",
    "sdk.order": "fifo FlowOrder latest_wins parallel singleton",
    "sdk.pairs": "Pairs Reads Writes",
    "sdk.payload": "Payload",
    "sdk.polling": "PolledPage Polling PollSpec polled",
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


if not TYPE_CHECKING:  # what checkers read is imported above, each as itself
    __all__ = [*_HOME_OF]
