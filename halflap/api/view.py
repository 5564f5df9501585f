"""The shapes of the API's JSON, as models: what comes in, what goes out.

Times are RFC 3339 in UTC with microseconds. Values that an app or an author made are of any JSON,
and keep every digit.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, Self, TypeVar, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    StringConstraints,
    WithJsonSchema,
)

from halflap.model import (
    MOST_DAYS,
    Access,
    InstanceState,
    Micros,
    Paused,
    ReceiverTrouble,
    to_datetime,
)
from halflap.store.rules.cause import normalise_message
from halflap.store.shards import ShardState

Json = Annotated[Any, WithJsonSchema({"description": "Any JSON; numbers keep every digit."})]
JsonObject = dict[str, Any]

PATTERN_MESSAGES: dict[str, str] = {}
"""By pattern, the message about a text that it does not match."""


def pattern(regex: str, message: str) -> str:
    """Return a pattern, whose refusals are worded by a message."""
    PATTERN_MESSAGES[regex] = message
    return regex


Name = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True,
        min_length=1,
        max_length=120,
        # It stands in paths and in `customer/instance`.
        pattern=pattern(
            r"^[^/\\\x00-\x1f\x7f]*[^/\\\x00-\x1f\x7f.][^/\\\x00-\x1f\x7f]*$",
            "has a slash, a backslash or a control character, or is only dots",
        ),
    ),
]
ExternalId = Annotated[
    str,
    StringConstraints(
        min_length=1,
        max_length=200,
        # It stands in the paths of a customer, behind `external:`.
        pattern=pattern(
            r"^[^/\\\x00-\x1f\x7f]+$", "has a slash, a backslash or a control character"
        ),
    ),
]
"""A customer's id in the team's own product."""
Text = Annotated[str, StringConstraints(max_length=2_000)]


def rfc3339(at: Micros) -> str:
    """A stored time as the API writes it."""
    return to_datetime(at).isoformat(timespec="microseconds").replace("+00:00", "Z")


Time = Annotated[
    str,
    BeforeValidator(lambda at: rfc3339(at) if isinstance(at, int) else at),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]


class Input(BaseModel):
    """The body of a request: a field that is not known is refused, not dropped."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, from_attributes=True)


class View(BaseModel):
    """The body of an answer. Its schema is made as the first one goes out, and not at every start.

    Stored values within it are read by the names of their attributes, and stored times written.
    """

    model_config = ConfigDict(
        use_attribute_docstrings=True,
        defer_build=True,
        from_attributes=True,
        validate_by_name=True,
        validate_by_alias=True,
    )

    @classmethod
    def of(cls, *sources: object, **made: Any) -> Self:
        """Return the view of stored values: of each attribute the first that has it, but for what
        is `made`.
        """
        read = {
            name: getattr(source, name)
            for source in reversed(sources)
            for name in cls.model_fields
            if name not in made and hasattr(source, name)
        }
        return cls.model_validate({**read, **made})

    def without_payload(self) -> Self:
        """Return the view with its payload left out: fields marked so, here and in views in it."""
        changes: dict[str, Any] = {}
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            marks = [each for each in field.metadata if isinstance(each, CustomerValue)]
            if marks:
                public = marks[0].public
                changes[name] = copy(marks[0].hidden) if public is None else public(value)
            elif isinstance(value, View):
                changes[name] = value.without_payload()
            elif isinstance(value, list):
                changes[name] = [
                    each.without_payload() if isinstance(each, View) else each
                    for each in cast(list[object], value)
                ]
            elif name == "payload_hidden":
                changes[name] = True
        return self.model_copy(update=changes)


class TaggedView(View):
    """The view of an object that is changed only if its tag is as `If-Match` says."""

    _tag: str = PrivateAttr()

    def with_tag(self, tag: str) -> Self:
        """Return the view with the object's tag, which was read before the object."""
        self._tag = tag
        return self

    @property
    def etag(self) -> str:
        """The `ETag` that it is answered with; raises where it was given none."""
        return f'"{self._tag}"'


@dataclass(frozen=True, slots=True)
class CustomerValue:
    """Marks a field that has values of a customer; `hidden` stands there for who may not see them, or
    what `public` returns of it.
    """

    hidden: Any = None
    public: Callable[[Any], Any] | None = None


def public_error(text: str) -> str:
    """Return what stands for the text of an error where that is hidden."""
    return text and "you may not see its error"


ErrorText = Annotated[str, CustomerValue(public=public_error)]
"""The text of an error by an app, or an author's code: there may be values of a customer in it."""


class PayloadView(View):
    """A view with values of a customer."""

    payload_hidden: bool = False
    """True if they are left out, as you may not see payloads of this customer."""


Item = TypeVar("Item")


class ListPage(View, Generic[Item]):
    """A page of a list; `next` asks for the page after it, and is null where this is the last.

    OpenAPI names it after its items: `ListPage[TokenView]` is a `TokenPage`. Fields are described by
    `Field`: for docstrings Pydantic would search all modules for the source of each `ListPage[…]`, in a
    quarter of the time that importing the API takes.
    """

    model_config = ConfigDict(use_attribute_docstrings=False)

    items: list[Item]
    next: str | None


class NumberedPage(View, Generic[Item]):
    """A page of a list whose `next` is a number: the `before`, or `after`, of the page behind it."""

    model_config = ConfigDict(use_attribute_docstrings=False)

    items: list[Item]
    next: int | None


class CountedPage(ListPage[Item]):
    """A page of a list that is counted where that was asked for (`total`)."""

    total: int | None = Field(
        default=None,
        description="The number of all of them, where it was asked for; "
        "10,001 stands for more than 10,000, null for a number that takes too many comparisons.",
    )


class Upstream(View):
    """Another app's answer."""

    status: int | None
    body: str


class Problem(View):
    """An error (RFC 9457): what happened, where, and what to do next."""

    type: str
    """`/errors/<kind>`, or `about:blank` where the HTTP status says it all."""
    title: str
    status: int
    detail: str
    kind: str
    """The error's class."""
    fields: dict[str, str] | None = None
    """The message about each field, by its path."""
    where: str | None = None
    """The place in the author's code."""
    upstream: Upstream | None = None
    """The other app's answer."""
    current: Json = None
    """The object as it is now, where it was changed since it was read (`If-Match`)."""
    draft: JsonObject | None = None
    """Of a draft: its `revision` and the edits `since` yours (null: read it anew), or the `writer`."""


class StoreLocation(View):
    """Where a store lies: its directory, or its URL without the password."""

    path: str


class Health(View):
    """The server is there. What it has open, and does, is told to whoever shows the team's token."""

    status: Literal["ok"]
    version: str
    proof: str
    """The answer to the challenge, by which a command on this machine knows its own server."""
    store: StoreLocation | None = None
    running: int | None = None
    """The number of executions that run now."""
    uptime_seconds: float | None = None


class ProcessView(View):
    """A process that has the store open."""

    id: str
    role: str
    """`serve`, `gateway`, `worker`, or `command` for one that opened it for a moment."""
    host: str
    pid: int
    version: str
    migration: int
    """The newest migration of the store that its code knows."""
    started_at: Time
    seen_at: Time


# Components -----------------------------------------------------------------------------------


class CallView(View):
    """An action or a trigger of a component."""

    name: str
    title: str
    description: str
    inputs: Json
    output: Json
    pure: bool = False


class ComponentView(View):
    """An installed component. `error` says why one does not load."""

    name: str
    title: str
    description: str
    actions: list[CallView]
    triggers: list[CallView]
    connection: Json = None
    error: str | None = None


class FindingView(View):
    """Something that is wrong with a document. `line` and `column` count from 1, in characters."""

    code: str
    severity: Literal["error", "warning"]
    line: int
    column: int
    message: str
    instead: str
    """The mend of the rule in general; `message` says it of this place."""


# Customers ------------------------------------------------------------------------------------


class CustomerDraft(Input):
    """A customer to be added."""

    name: Name
    external_id: ExternalId | None = None
    """Its id in your own product."""


class CustomerChange(Input):
    """A change of a customer: what is left out stays; null takes the external id away."""

    name: Name | None = None
    external_id: ExternalId | None = None
    """Its id in your own product, by which events are published for it from now on."""
    private: bool | None = None
    """Hide its payloads from members of the team without the right `private_payloads`."""


class PauseView(View):
    """A pause: of what, since when, by whom, and why."""

    what: Literal["customer", "instance", "flow"]
    id: str
    """The customer's, or the instance's."""
    flow: str | None
    since: Time
    by: str
    reason: str


class NamedPause(PauseView):
    """A pause with the names of what stands still."""

    customer: str
    customer_name: str
    instance_name: str | None


class Resumption(Input):
    """A request to resume an instance, or a flow of it."""

    flow: Text | None = None


class PauseDraft(Resumption):
    """A request to pause an instance, or a flow of it: by whom, and why."""

    by: str = ""
    reason: str = ""


def pause_view(paused: Paused) -> PauseView:
    """A pause as it is shown."""
    id, slash, flow = paused.what.partition("/")
    kind = "customer" if id.startswith(("cus_", "$")) else "instance"
    return PauseView.of(paused, what="flow" if slash else kind, id=id, flow=flow or None)


class CustomerView(View):
    """One of your product's customers."""

    id: str
    name: str
    external_id: str | None
    created_at: Time
    private: bool
    """Its payloads are hidden from members of the team without the right `private_payloads`."""
    development: bool
    """It is the reserved one that has the development instances, in which drafts run."""
    paused: PauseView | None
    """Where all of it stands still."""
    instances: dict[InstanceState, int]
    """The number of its instances, by their state."""


class LimitsView(Input):
    """Limits of a customer's executions: null is the server's default, 0 no limit."""

    concurrency: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    """The number that run at once, over all workers."""
    rate: Annotated[float, Field(ge=0, le=1_000_000)] | None = None
    """The number that begin in a second."""
    burst: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    """The number of these that may begin at once after a rest; by default those of a second."""
    backlog: Annotated[int, Field(ge=0, le=1_000_000_000)] | None = None
    """The number that may be queued before events are answered 429."""


class RetentionView(Input):
    """For how many days ended executions are kept; null: as a more general level says."""

    execution: Annotated[int, Field(ge=1, le=MOST_DAYS)] | None = None
    """Their rows: outcome, result, times, steps, log lines. At least as long as the payload."""
    payload: Annotated[int, Field(ge=1, le=MOST_DAYS)] | None = None
    """Events, inputs and results of steps, fields of log lines, large payloads."""


class CustomerDetail(CustomerView, TaggedView):
    """A customer, with its limits and what it has running and queued now."""

    limits: LimitsView
    """Its own limits."""
    default_limits: LimitsView
    """The limits where it has none of its own."""
    retention: RetentionView
    """Its own retention."""
    default_retention: RetentionView
    """The retention where it, its instances and their integrations set none."""
    running: int
    queued: int
    """The number that are due or held back; counted up to a million."""


class ErasureDraft(Input):
    """The author of an erasure."""

    by: Text = "the operator"


class ErasureView(View):
    """A customer's data, now or as its erasure began; `before` says what has to be done first.

    `left` is how many of these are there still, the customer itself being one: while it is not 0,
    ask again.
    """

    customer: str
    instances: int
    connections: int
    executions: int
    blobs: int
    left: int
    before: list[str]


# Integrations ---------------------------------------------------------------------------------


class VersionName(View):
    """A version, named."""

    hash: str
    number: int | None


class NamedInstance(View):
    """An instance by its name."""

    id: str
    name: str
    customer: str
    customer_name: str
    state: InstanceState
    version: VersionName


class VersionSummary(View):
    """A published version."""

    hash: str
    number: int
    published_at: Time
    published_by: str
    """The person or the key that published it; empty where it was the team's token."""
    note: str


class Published(View):
    """A version that was just published, or was there already."""

    hash: str
    number: int
    integration: str


class IntegrationView(View):
    """An integration: its versions, newest first, and the version that each target has."""

    name: str
    title: str
    versions: list[VersionSummary]
    targets: dict[str, str]
    instances: dict[str, int]
    """By the hash of their version, how many instances are on it."""
    components: list[str]
    """The apps that its newest version connects, and the components of its triggers."""
    failed_24h: int
    """The number of its executions that failed within a day."""


class SharedEndpointView(TaggedView):
    """The URL of a pre-process flow that all customers of an integration share."""

    flow: str
    url: str
    version: VersionName | None
    """The version that runs the events; None where no version is published."""
    picked: bool
    """True if a person picked the version; else it is production's, or the newest."""


class SharedEndpointChange(Input):
    """A change of a shared endpoint; what is left out stays."""

    version: str | None = None
    """A number, hash or target; `default` for production's, else the newest."""


class SharedSecret(Input):
    """The secret that an app signs with, where it chose that itself."""

    secret: SecretStr | None = None
    """None: a new one is made."""


class SharedSecrets(View):
    """The secrets that may sign for a shared endpoint: its own, and for a day after a change the
    former one.
    """

    secret: str
    former: str | None


class FlowView(View):
    """A flow of a version."""

    name: str
    title: str
    description: str
    trigger: str
    inputs: dict[str, str] = {}
    """By name, the trigger's inputs that are not their default, as the author wrote them."""
    subscribes: bool
    has_url: bool
    shared: bool
    """True if its URL is the integration's own, the same for all customers."""


class FormsView(View):
    """An integration in words, and the forms to activate it."""

    integration: str
    title: str
    description: str
    config: JsonObject
    """JSON Schema of the plain fields."""
    connections: dict[str, str]
    """By config field: the component, or the type, of the connection that it wants."""
    forms: dict[str, JsonObject]
    """By config field: JSON Schema of what that connection is made of."""


class ConnectionSlot(View):
    """The connection that a field of a config takes."""

    component: str
    """The component, or the type, as connections have it."""
    title: str
    """The name of the app, for people."""
    form: Json
    """JSON Schema of what such a connection is made of."""


class ConfigFormField(View):
    """A field of a config: a plain value, or a connection."""

    name: str
    title: str
    description: str
    required: bool
    value: Json
    """JSON Schema of the value; null where it is a connection. `format` is `cron` or `time-zone`
    where a schedule reads it."""
    connection: ConnectionSlot | None


class ConfigFormPage(View):
    """A page of a form."""

    title: str
    fields: list[ConfigFormField]


class FormView(View):
    """The form of a version's config: pages of fields, in the order in which they are filled in."""

    integration: str
    title: str
    description: str
    version: VersionName
    pages: list[ConfigFormPage]


class VersionView(VersionSummary, FormsView):
    """A version in full. `error` says why it does not load here."""

    flows: list[FlowView]
    entry: str
    files: dict[str, str]
    error: str | None = None
    warnings: list[str] = []
    """Definitions in it that a new version would be refused for; this one runs as it did."""


class Offer(Input):
    """An offer of a version."""

    version: str
    """Its number, its hash, or a target."""


class OfferView(FormsView):
    """An integration as it is offered to customers: what it is, and the forms to activate it."""

    version: VersionName


class PauseRuleDraft(Input):
    """When an upgrade pauses by itself: where more than a share of the new version's executions fail."""

    failed: Text = "5%"
    """The share that may fail."""
    of: Annotated[int, Field(ge=1, le=1_000_000)] = 20
    """The least number of executions that have to have ended for that."""


class UpgradeMany(Input):
    """An upgrade of many instances: to which version, and in which stages."""

    version: str
    """Its number, its hash, or a target."""
    customer: Text | None = None
    """A customer whose instances alone are meant."""
    instances: Annotated[list[Text], Field(max_length=10_000)] = []
    """Ids of those that alone are meant."""
    stay: list[Text] = Field(default_factory=list[str])
    """Versions (numbers, hashes, targets) whose instances stay on them."""
    stages: list[Text] = Field(default_factory=list[str])
    """After how many instances each stage ends: a number, or a share of all (`1%`)."""
    most_failed: Text = "10%"
    """The number that may fail before it stops, or a share of the stage that is being done."""
    between: Annotated[float, Field(ge=0, le=7 * 86_400)] = 0
    """Seconds between two stages."""
    canary: Annotated[list[Text], Field(max_length=1_000)] | Text | None = None
    """The instances that are moved first, by ids, or how many: a number, or a share of all (`10%`).
    Behind them it is paused, until it is resumed, or taken back; with `pause_on` it goes on by itself."""
    config: JsonObject = Field(default_factory=dict[str, Any])
    """Values for fields of the new version's config, for instances that have none, or none that fits."""
    leave_out: Annotated[list[Text], Field(max_length=10_000)] = []
    """Ids of instances that are left out."""
    pause_on: PauseRuleDraft | None = None
    """When it pauses by itself. Behind a canary it waits until so many executions have ended."""
    dry_run: bool = False
    """Only say what it would do."""
    named: Text = ""
    """With `dry_run`: list only those in whose name, or whose customer's, this text is."""


class ExaminedInstanceView(NamedInstance):
    """An instance that is meant by an upgrade; `why` it cannot be moved, null where it can."""

    why: str | None
    fields: dict[str, str]
    """By field of its config: what is missing, or wrong."""
    given: list[str]
    """The fields that get their values from the upgrade's `config`."""
    defaults: list[str]
    """The fields that are new to it, and have a default."""


class UpgradeGroupView(View):
    """The instances that cannot be moved for one reason."""

    why: str
    fields: dict[str, str]
    count: int
    instances: list[NamedInstance]
    """The first of them."""


class UpgradePlan(View):
    """A plan of an upgrade: how many instances, in which stages, and which ones cannot be moved."""

    version: VersionName
    total: int
    stages: list[int]
    ready: int
    """Of the `instances`, those that can be moved."""
    instances: list[ExaminedInstanceView]
    """The first 500 that are meant."""
    blocked: list[UpgradeGroupView]
    """Of these, the ones that cannot be moved, by the reason; most first."""
    canary: list[NamedInstance]
    asked: list[str]
    """The plain fields of the config that some of these have no value for, or none that fits."""


class VersionFigures(View):
    """The executions of a version that ended since a rollout began, and how many instances it has now."""

    version: VersionName
    is_new: bool
    """True of the version that instances are moved to."""
    instances: int
    ended: int
    succeeded: int
    failed: int
    p50_ms: float | None
    p95_ms: float | None


class CanaryView(NamedInstance):
    """An instance of a canary: if it was moved, or why not."""

    moved: bool
    why: str | None


class RolloutView(View):
    """The figures of an upgrade: those of the new version beside those of the others."""

    since: Time
    """The time at which it began."""
    versions: list[VersionFigures]
    """The new one first, then those with most instances."""
    canary: list[CanaryView]


# Connections ----------------------------------------------------------------------------------


class ConnectionDraft(Input):
    """A connection to be made. Its type is an installed component's, or that of a config field."""

    name: Name
    customer: str | None = None
    """Its customer; left out, it is the team's own, for every customer."""
    component: str | None = None
    """An installed component."""
    integration: str | None = None
    """An integration whose config has the `field`."""
    field: str | None = None
    version: str | None = None
    """Of that integration; left out, its newest."""
    values: JsonObject = Field(default_factory=dict[str, Any])
    test: bool = True
    """Test it at the app before it is saved."""


class ConnectionChange(Input):
    """A change of a connection: what is left out stays; null clears a field."""

    name: Name | None = None
    values: JsonObject = Field(default_factory=dict[str, Any])
    test: bool = True


class ConnectionUse(View):
    """An instance that uses a connection."""

    id: str
    name: str
    customer: str
    integration: str
    state: InstanceState


class ConnectionView(PayloadView, TaggedView):
    """One account of an app. Of its secrets only the names are told."""

    id: str
    customer: str | None
    customer_name: str | None
    """Null for the team's own."""
    component: str
    """The component, or the type (`module:Class`) where it lies in a version."""
    name: str
    fields: Annotated[Json, CustomerValue({})]
    secrets: list[str]
    generation: int
    """Grows with every change of a secret."""
    status: Literal["untested", "working", "unauthorized"]
    """Of its credentials: `working`, the app took them at the last test; it says nothing of calls."""
    needs_sign_in: bool
    """Somebody has to sign in at the app: authorize it."""
    away: bool
    """Its circuit is open: the app does not answer, and what needs it waits."""
    away_since: Time | None
    rests_until: Time | None
    """Nobody calls its app before this time; one that is away is tried again then."""
    rests_because: str
    created_at: Time
    used_by: list[ConnectionUse]
    """The first 20 instances whose config names it."""
    uses: int
    """The number of instances whose config names it."""


class ConnectionLimitsView(Input):
    """Limits of calls to an app through a connection: null is as its type declares, 0 no limit."""

    rate: Annotated[float, Field(ge=0, le=1_000_000)] | None = None
    """Requests a second, over all workers."""
    burst: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    """The number of these at once after a rest."""
    concurrency: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    """The number that are under way at once, over all workers."""


class ConnectionDetail(ConnectionView):
    """A connection, with its limits and what waits for it."""

    limits: ConnectionLimitsView
    """Its own limits; what is null is as its type declares."""
    parked: int
    """The number of executions that wait for it to be mended."""
    quota: str
    """The used part of the app's quota, where the app reports it: `950 of 1,000`."""
    failed: dict[str, int]
    """By HTTP status: the executions of the last hour, of its customer, that failed of a call to its
    app."""


class AuthorizationDraft(Input):
    """Where the app sends the browser back to."""

    redirect_uri: Annotated[str, StringConstraints(max_length=2_000)] | None = None
    """Left out, it is the callback of the team's own OAuth app."""


class AuthorizationView(View):
    """Where to send the browser; the answer has to come with this state, within ten minutes."""

    url: str
    state: str


class Authorized(Input):
    """The parameters that the browser brought back."""

    state: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    code: Annotated[str, StringConstraints(min_length=1, max_length=8_000)]


Address = Annotated[str, StringConstraints(min_length=1, max_length=2_000)]


class OAuthAppDraft(Input):
    """The team's own OAuth app at the app of a component."""

    client_id: Annotated[str, StringConstraints(min_length=1, max_length=2_000)]
    client_secret: SecretStr | None = None
    """Left out, the one before stays."""
    callback: Address | None = None
    """Where the app sends browsers back to: the address that is registered there."""
    origins: Annotated[list[Address], Field(max_length=50)] = []
    """Where the client secret may be sent: https://login.example, or https://*.my.example for every
    host below. Left out, the addresses that the component declares."""
    signing_secret: SecretStr | None = None
    """The secret with which the app signs the events that it sends to its one URL. Left out, the one
    before stays; what is signed with that one is taken for another day."""


class OAuthAppView(View):
    """The team's own OAuth app, without its secret."""

    component: str
    client_id: str
    has_secret: bool
    callback: str
    origins: list[str]
    changed_at: Time
    url: str | None
    """Where the app is to send the events of all accounts; None where its component takes none so."""
    signs: bool
    """True if the secret that it signs them with is stored; else they are refused."""


class UnroutedEventView(View):
    """An event that came to the URL of an OAuth app, and no flow was there to take."""

    id: str
    account: str
    """The team, portal or installation that it is of; empty where it names none."""
    reason: str
    received_at: Time


class RoutedEvent(View):
    """An unrouted event that was replayed."""

    started: int
    """The number of executions that it started."""


# Tokens ---------------------------------------------------------------------------------------

LONGEST_SECONDS = 366 * 86_400


class TokenDraft(Input):
    """Whom a token acts for, what it may do, and for how long."""

    customer: Name | None = None
    """The customer, by id or name."""
    external_id: Text | None = None
    """The customer, by its id in your own product."""
    access: Access = "manage"
    """`read` only looks; `manage` does all that a customer may; `secrets` shows the secrets of its
    endpoints and links that approve, too."""
    lasts_seconds: Annotated[int, Field(ge=1, le=LONGEST_SECONDS)] = 86_400
    label: Annotated[str, Field(max_length=200)] = ""
    """The purpose of the token; shown where tokens are listed."""


class TokenView(View):
    """A token, without what it is: that is told once, to whoever minted it."""

    id: str
    customer: str
    access: Access
    label: str
    made_at: Time
    expires_at: Time


class Minted(TokenView):
    """A token that was just minted, with itself."""

    token: str


# Choices --------------------------------------------------------------------------------------


class SourceDraft(Input):
    """A question for the choices of a config's field, or of an action's input.

    Where an `instance` is named, its values and connections stand for what is not given.
    """

    integration: str | None = None
    version: str | None = None
    """Its number, its hash or a target; the newest otherwise, for a customer the offered one."""
    instance: str | None = None
    customer: str | None = None
    field: str | None = None
    """The config's field; of a mapping, one of its sides: `fields.of` or `fields.to`."""
    action: str | None = None
    """Or the action, as `component.action`, whose `input` it is."""
    input: str | None = None
    connection: str | None = None
    """Of an action: the id or name of the connection that it is called with."""
    connections: dict[str, str] = Field(default_factory=dict[str, str])
    """By config field: a connection's id or name."""
    values: JsonObject = Field(default_factory=dict[str, Any])
    """The values of other fields, or inputs, on which the choices depend."""
    search: Annotated[str, Field(max_length=500)] = ""
    cursor: Annotated[str | None, Field(max_length=2_000)] = None
    """The `next` of the page before."""
    limit: Annotated[int, Field(ge=1, le=1_000)] = 100


class FieldSpecView(View):
    """A field of an app's record."""

    name: str
    title: str
    type: Literal["string", "integer", "number", "boolean", "date", "datetime"]
    required: bool
    choices: list[str] | None


class ChoiceView(View):
    """A value that may be chosen, and the label that people read."""

    value: Json
    label: str
    field: FieldSpecView | None = None
    """Set where the choice is a field of an app's record (`DynamicFields`, a side of a mapping)."""


class ChoicesView(View):
    """A page of choices; with `next` as its cursor, the same question gives those that follow."""

    choices: list[ChoiceView]
    next: str | None = None


# Instances ------------------------------------------------------------------------------------


class ConfigDraft(Input):
    """A config: its plain fields, and its connections."""

    config: JsonObject = Field(default_factory=dict[str, Any])
    connections: dict[str, str] = Field(default_factory=dict[str, str])
    """By config field: a connection's id or name."""


class InstanceDraft(ConfigDraft):
    """An instance to be made."""

    customer: str
    integration: str
    name: Name | None = None
    """Left out, it is the integration's."""
    version: str | None = None
    target: str | None = None
    """Start on the version that this target has."""


class InstanceChange(Input):
    """A change of an instance: what is left out stays."""

    name: Name | None = None
    config: JsonObject = Field(default_factory=dict[str, Any])
    """The plain fields that change; null clears one."""
    connections: dict[str, str | None] = Field(default_factory=dict[str, str | None])
    """By config field, a connection's id or name; null clears one."""


class Upgrade(ConfigDraft):
    """The version to move to, and what its config needs that the instance does not have yet.

    What of the config is not given stays; what the version does not have is dropped.
    """

    version: str
    """Its number, its hash, or a target."""


class RepetitionView(View):
    """The repetition of a deployment that failed: since when, how often it was, when it is next."""

    since: Time
    tries: int
    next_at: Time | None
    """None while it runs."""


class InstanceSummary(NamedInstance):
    """One integration version activated for one customer. `error` says why the last move failed."""

    integration: str
    development: bool
    """Drafts of its integration run with its config and its connections."""
    revision: int
    """Numbers its config."""
    error: str | None
    deployment: str | None
    """The execution that does, or did, its last move."""
    repetition: RepetitionView | None
    """Set while a deployment that failed is repeated by itself."""
    created_at: Time
    changed_at: Time
    paused: list[PauseView]
    """The pauses of its flows, itself, or its customer with it."""
    waits_for: str = ""
    """The reason for which its move has not ended, in words; empty where it makes none."""
    trouble: ReceiverTrouble | None = None
    """Of a receiver of webhooks: nothing is sent to it, or it did not take the last event."""


class InstanceHealth(View):
    """The executions of an instance, in numbers."""

    instance: str
    failed: int | None
    """The number that failed in the last 24 hours, up to 1,001; null where that is not known."""
    backlog: int
    """The number that have not ended."""
    last_ok: Time | None
    """When the last one succeeded."""
    last_failed: Time | None


class RevisionView(PayloadView):
    """A revision of an instance's config."""

    number: int
    made_at: Time
    config: Annotated[Json, CustomerValue({})]
    connections: dict[str, str]


class SubscriptionView(View):
    """A webhook that a flow's trigger made at an app."""

    flow: str
    remote_id: str
    version: str
    made_at: Time
    note: str = ""
    """The text about it that its trigger has for people, such as the way by which it hears of changes."""
    left_because: ErrorText = ""
    """Why it could not be taken down; it is tried again once the connection works."""
    expires_at: Time | None = None
    """When the app ends it by itself; it is renewed before."""
    renew_at: Time | None = None
    """When it is renewed, or its renewal tried again."""
    renewal: str | None = None
    """The execution that renewed it last, or tried to."""
    renewal_error: ErrorText = ""
    """Why that failed."""


class GapView(PayloadView):
    """Messages that a source no longer had, as the cursor had expired."""

    at: Time
    cursor: Annotated[str, CustomerValue("")]
    """Behind which they were."""
    start: str
    """From where the listener read on."""
    reason: Annotated[str, CustomerValue("")]


class ListenerView(PayloadView):
    """A part of a source that a flow listens to; most sources have but one, whose `shard` is empty."""

    flow: str
    shard: str
    state: ShardState
    """`retrying`: after an error; `parked`: until its connection is mended; `stopped`: until a person
    decides where to read on; `ended`: the source has this shard no more."""
    error: ErrorText
    connection: str | None
    """The one that has to be mended."""
    owner: str | None
    """The process that reads it; null while none does, as it is paused or its instance is disabled."""
    cursor: Annotated[str | None, CustomerValue(None)]
    """Up to where it was read and stored."""
    position: Annotated[str | None, CustomerValue(None)]
    """The cursor for people: of a poll what the app was asked with, without Halflap's own notes; cut."""
    changed_at: Time
    last_message_at: Time | None
    gaps: list[GapView]


class ListenerDecision(Input):
    """The place from which a stopped listener reads on."""

    start: Literal["earliest", "latest", "cursor"]
    """`earliest`: with what the source still has; `latest`: with what comes from now on; `cursor`: at
    the given one, or, where none is given, at that where it stopped."""
    cursor: Annotated[str | None, Field(min_length=1, max_length=100_000)] = None
    shard: str = ""


class InstanceListener(ListenerView):
    """A listener with the instance whose flow it is."""

    instance: str
    instance_name: str | None
    customer: str | None
    customer_name: str | None


class Rotation(Input):
    """For how long the former secret stays good, and the new one, where the sender has chosen it."""

    secret: SecretStr | None = None
    """The sender's own secret, or its public key (`whpk_…`); None: a new one is made."""

    grace_seconds: Annotated[int, Field(ge=0, le=30 * 86_400)] = 86_400


class Rotated(View):
    """The new secret of a flow's URL."""

    flow: str
    secret: str
    former_until: Time
    redeploys: bool
    """True where the instance is deployed again, so that the app is told of it."""


class CatchUpView(View):
    """The catching up of an activation, once the instance is active."""

    since: Time
    flows: list[str]
    """Flows whose triggers are asked for missed events; each in an execution of its own."""
    cannot: list[str]
    """Flows with a URL whose triggers cannot be asked: what they missed is lost."""


class InstanceView(InstanceSummary, PayloadView, TaggedView):
    """An instance in full."""

    config: Annotated[Json, CustomerValue({})]
    connections: dict[str, str]
    urls: dict[str, str]
    addresses: dict[str, str] = {}
    """The mail addresses of the flows that take mail: their URLs take no requests."""
    subscriptions: list[SubscriptionView]
    retention: RetentionView
    """Its own retention."""
    kept: RetentionView
    """The retention of what ends now: its own, above its customer's, its integration's, the
    server's.
    """
    counters: dict[str, dict[str, int]]
    catch_up: CatchUpView | None = None
    """Of an activation that was asked to catch up."""


class PairView(View):
    """Two records that belong together: the name of their pairs, and their ids by side."""

    pairs: str
    ids: dict[str, str]


class RejectionView(PayloadView):
    """A request that was refused before it was accepted. A shared endpoint has no customer."""

    id: str
    endpoint: str
    customer: str | None
    customer_name: str | None
    instance: str | None
    instance_name: str | None
    integration: str | None
    flow: str | None
    at: Time
    reason: Annotated[str, CustomerValue(public=normalise_message)]
    status: int
    headers: Annotated[list[tuple[str, str]], CustomerValue([])]


class ScheduleView(View):
    """A flow that is started by a schedule."""

    id: str
    customer: str
    customer_name: str | None
    instance: str
    instance_name: str
    integration: str
    flow: str
    last_at: Time
    """Up to when its ticks are dealt with: the last one that fired, or when it was first seen."""
    next_at: Time | None
    """When it fires next; null where `problem` says why it does not."""
    problem: str


class StatsPoint(View):
    """The executions that were counted within one step of time."""

    at: Time
    """When the step began."""
    count: int
    p50_ms: float | None
    p95_ms: float | None
    """The time that the attempts of 95 % ran at most: exact to the nearest of 1, 2, 5, 10, 20 … ms."""


class StatsSeries(View):
    """A curve; steps of time without anything are left out."""

    key: str
    """A customer's id, an integration, `integration/flow`, a version's hash, a state, or the mark of a
    cause."""
    label: str
    count: int
    p50_ms: float | None
    p95_ms: float | None
    points: list[StatsPoint]


class StatsView(View):
    """Counts over time, those with most first; and what waits now."""

    since: Time
    """When the first step begins."""
    step_seconds: int
    series: list[StatsSeries]
    backlog: int
    """The number of executions that have not ended; of a customer, 10,001 stands for more than 10,000."""
    oldest_waiting_at: Time | None
    """When the first of them came."""
