"""The document of a low-code integration: `name`, `config`, `pairs`, `flows`, `tests`."""

from __future__ import annotations

from base64 import b64decode
from decimal import Decimal
from functools import cache
from keyword import iskeyword
from mimetypes import MimeTypes
from typing import Annotated, Any, Literal, cast

from pydantic import (
    AfterValidator,
    AwareDatetime,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

from halflap.lowcode.kinds import KINDS, AnyStep
from halflap.lowcode.kinds.step import Name, Part, Template
from halflap.model import EndState
from halflap.sdk.duration import Duration, refused
from halflap.sdk.order import AfterFailure, Rule, UnsizedRule, WhileWaiting

FieldType = Literal[
    "text", "integer", "decimal", "boolean", "date", "datetime", "url", "email", "mapping"
]


class ConnectionField(Part):
    """A connection that the customer makes: `salesforce: {connection: salesforce}`."""

    connection: str
    """The component."""
    title: str | None = None
    """The title that the customer reads; the field's name, where it is left out."""
    description: str = ""
    """A sentence for the customer, under the field."""


class DocumentPicker(Part):
    """Where a field's choices come from: an action that lists them."""

    action: str
    """The action, as `component.action`."""
    inputs: dict[str, Any] = Field(default_factory=dict[str, Any], alias="with")
    """Its inputs; `=project` is what the customer chose in the field `project`."""
    connection: str | None = None
    """The config's connection that lists, where several are of the action's component."""


class PlainField(Part):
    """A field that the customer fills in."""

    type: FieldType = "text"
    """The type of the value; a `mapping` is which field goes where."""
    title: str | None = None
    """The title that the customer reads; the field's name, where it is left out."""
    description: str = ""
    """A sentence for the customer, under the field."""
    required: bool | None = None
    """True if it must be filled in; by default, where it has no `default`."""
    when: dict[str, Any] = Field(default_factory=dict[str, Any])
    """The other fields that show this one: by name, the value that each has to have, or a list of which
    one. Where it is not shown it is null, and need not be filled in.
    """
    default: Any = None
    """The value where the customer gives none."""
    minimum: int | Decimal | None = None
    """The least number; of a text, the fewest characters."""
    maximum: int | Decimal | None = None
    """The greatest number; of a text, the most characters."""
    choices: list[str] | dict[str, str] | None = None
    """The values to choose from; as a mapping, each with the label that people see."""
    multiple: bool = False
    """Several values may be chosen; the value is a list."""
    source: str | DocumentPicker | None = None
    """The action that lists the choices, as `component.action`."""
    open: bool = False
    """Values may be written that `source` does not list; else they are refused."""
    depends: list[str] = Field(default_factory=list[str])
    """Fields that have to be filled in first, and are given to `source` as inputs of their names."""
    of: str | DocumentPicker | None = None
    """mapping: lists the fields on the left, those of the customer's app."""
    to: str | DocumentPicker | list[str] | None = None
    """mapping: lists the fields on the right, or names them."""

    @model_validator(mode="after")
    def _fits(self) -> PlainField:
        if self.type == "mapping" and self.multiple:
            raise ValueError("a mapping is one value; leave out `multiple`")
        if self.type != "mapping" and (self.of is not None or self.to is not None):
            raise ValueError("`of` and `to` belong to a field of `type: mapping`")
        if self.choices is not None and self.source is not None:
            raise ValueError("give `choices` or `source`, not both")
        listed = [self.source, self.of, None if isinstance(self.to, list) else self.to]
        if self.open and listed == [None] * 3:
            raise ValueError("`open` belongs to a field with a `source`")
        return self


def _field_tag(value: Any) -> str:
    has = "connection" in value if isinstance(value, dict) else isinstance(value, ConnectionField)
    return "step:connection" if has else "step:field"


ConfigField = Annotated[
    Annotated[ConnectionField, Tag("step:connection")] | Annotated[PlainField, Tag("step:field")],
    Discriminator(_field_tag),
]


def _field_name(name: str) -> str:
    if iskeyword(name) or name.startswith("_") or name == "model_config":
        raise ValueError(f"{name!r} cannot be a field's name, as Python uses it; choose another")
    return name


FieldName = Annotated[Name, AfterValidator(_field_name)]
"""A name that a class of Python can have for a field, as the config is one."""


class PairsPart(Part):
    """Records of two apps that belong together."""

    sides: dict[Name, str] = Field(min_length=2, max_length=2)
    """By the config's connection, the kind of its records."""
    master: str | None = None
    """The side that wins where a field was edited on both at once."""

    @model_validator(mode="after")
    def _has_sides(self) -> PairsPart:
        if "master" in self.sides:
            raise ValueError("`master` says which side wins; give the connection another name")
        return self


class OrderPart(Part):
    """The order of a flow's executions."""

    rule: Rule
    """`parallel`: `width` at once; `fifo`: one after another; `singleton`: while one runs, others are
    ignored; `latest_wins`: only the newest waits."""
    width: Annotated[int, Field(ge=1)] = 1
    """parallel: how many run at once."""
    by_key: bool | str = False
    """true: those of one record, by the trigger's key; or where the key stands in the event, as a
    JSON pointer: `/data/id`."""
    after_failure: AfterFailure = "go_on"
    """fifo: `block`: after a failure the others wait, until it is replayed or let go."""
    while_waiting: WhileWaiting = "block"
    """fifo: `go_on`: while one sleeps or waits for a signal, the next begins."""


def _pointer(place: str) -> str:
    if not place.startswith("/"):
        meant = "/" + place.removeprefix("=").removeprefix("event.").replace(".", "/")
        raise refused(f"a place in the event is a JSON pointer: write {meant}", meant)
    return place


class Triggered(Part):
    """Shared keys of a flow and a pre-process flow: a trigger, and which of its events are taken."""

    trigger: str
    """The trigger, as `component.trigger`."""
    inputs: dict[str, Any] = Field(default_factory=dict[str, Any], alias="with")
    """The trigger's inputs."""
    title: str | None = None
    """The title that people read, in the console and the diagram; made of the name, where it is
    left out.
    """
    description: str = ""
    """The description, for people."""
    declared: dict[str, Any] | None = Field(None, alias="schema")
    """The JSON Schema of the event, by which lint and editors know its fields."""
    sample: Any = None
    """An example of the event; without it and a `schema`, the tests' events are examples."""
    filter: Template = None
    """The condition on which an event is kept: an expression over `event` (the request's body),
    `headers`, `query`.
    """
    keep: list[Annotated[str, AfterValidator(_pointer)]] | None = None
    """JSON pointers of the only fields that are stored and seen: `keep: [/data/id]`."""
    timeout: Duration | None = None
    """The time that one attempt may take; 15 min without it."""
    max_age: Duration | None = None
    """From accepted to ended; 3 days without it."""


class FlowPart(Triggered):
    """A flow: its trigger, and what follows from one event."""

    pairs: str | None = None
    """The pairs that the event's record belongs to."""
    order: UnsizedRule | OrderPart | None = None
    """The order of its executions: `fifo`, or `{rule: fifo, by_key: /data/id}`."""
    steps: list[AnyStep] = Field(min_length=1)
    """The steps, one after another."""


class RoutePart(Part):
    """Where an event goes, where a condition holds: to a flow, or nowhere."""

    when: Template = None
    """The condition; without it, always."""
    flow: Name | None = None
    """The flow that gets the event."""
    event: Template = None
    """The event that it gets; without it, the request as it came."""
    customer: Template = None
    """shared: the customer's id in your own product."""
    config: Annotated[dict[str, Template], Field(max_length=1)] = Field(
        default_factory=dict[str, Any]
    )
    """shared: a field that the instance has under this value: `config: {team: =event.team}`."""
    instance: Template = None
    """shared: the instance's id."""
    ignore: Template = None
    """Why the event is ignored, in the place of a flow."""

    @model_validator(mode="after")
    def _leads_somewhere(self) -> RoutePart:
        if (self.flow is None) == (self.ignore is None):
            raise ValueError("a route has a `flow`, or says why it is to `ignore` the event")
        if sum([self.customer is not None, bool(self.config), self.instance is not None]) > 1:
            raise ValueError("give one of `customer`, `config` and `instance`")
        return self


class PreprocessPart(Triggered):
    """A pre-process flow: one URL, whose events go on to the flows."""

    shared: bool = False
    """The URL is the integration's, for all customers; each route says whose event it is."""
    sender: Template = None
    """shared: who sent a request, so that one sender's flood does not hold up the others."""
    all: bool = False
    """Every route that holds is taken, and not the first alone."""
    routes: list[RoutePart] = Field(min_length=1)
    """Where an event goes: the first route whose condition holds."""


Method = Literal["POST", "PUT", "PATCH", "GET", "DELETE"]


class BodyPart(Part):
    """A body that is no JSON, byte by byte: `body: {file: order.xml}`."""

    base64: str | None = None
    """The bytes, in base64."""
    file: str | None = None
    """A file in the document's folder, or below it."""

    @model_validator(mode="after")
    def _fits(self) -> BodyPart:
        if (self.base64 is None) == (self.file is None):
            raise ValueError("a body is given as `base64`, or as a `file`")
        try:
            b64decode(self.base64 or "", validate=True)
        except ValueError as error:
            raise ValueError(f"this is no base64: {error}") from None
        return self

    @property
    def content_type(self) -> str:
        """Of which kind it is, by the file's name: the same on every machine."""
        return MimeTypes().guess_type(self.file or "")[0] or "application/octet-stream"


class CustomerPart(Part):
    """The customer for whom a test runs."""

    id: str = "cus_test"
    """Its id here."""
    name: str = "Test customer"
    """The name that people read."""
    external_id: str | None = None
    """Its id in your own product."""


class InstancePart(Part):
    """The instance that a test runs as."""

    id: str = "ins_test"
    """Its id."""
    name: str = "Test instance"
    """The name that people read."""


class SharedPart(Part):
    """State that is shared, by key."""

    instance: dict[str, Any] = Field(default_factory=dict[str, Any])
    """By all flows of the instance."""
    integration: dict[str, Any] = Field(default_factory=dict[str, Any])
    """By all instances of the integration."""


class AfterPart(Part):
    """The data that a test expects afterwards; keys that are left out may hold anything."""

    state: dict[str, Any] = Field(default_factory=dict[str, Any])
    """The flow's own state, by key; null is no value."""
    shared: SharedPart = SharedPart()
    """State that is shared, by key; null is no value."""
    paired: dict[str, list[dict[str, str]]] = Field(default_factory=dict[str, Any])
    """By the pairs' name, all that are paired."""


ONE_CALL = (
    "an item of `expect` is one call, with its inputs below: `- acme.add_stock: {item: anvil}`"
)


class TestPart(Part):
    """A test of a flow: an event, what the apps answer, and what has to happen."""

    name: str
    """The sentence that has to hold, as people read it."""
    flow: str
    """The flow, or pre-process flow, that runs."""
    event: Any = None
    """The event that the app sends: the body, as the trigger reads it."""
    body: BodyPart | None = None
    """The body that the app sends, where it is no JSON: in base64, or a file beside the document.
    """
    method: Method = "POST"
    """The request's method."""
    path: str = ""
    """The path below the endpoint's own address."""
    query: str | dict[str, str] = ""
    """The parameters of the URL, by name, or as they are written behind its `?`."""
    headers: dict[str, str] = Field(default_factory=dict[str, str])
    """The request\'s headers."""
    now: AwareDatetime | None = None
    """The time: `2026-03-01T12:00:00Z`."""
    config: dict[str, Any] = Field(default_factory=dict[str, Any])
    """The customer's config; connections that are left out are made up."""
    customer: CustomerPart | None = None
    """The customer for whom it runs."""
    instance: InstancePart | None = None
    """The instance that runs."""
    urls: dict[str, str] = Field(default_factory=dict[str, str])
    """By flow, its URL."""
    secrets: dict[str, str] = Field(default_factory=dict[str, str])
    """By flow, the secret of its URL."""
    state: dict[str, Any] = Field(default_factory=dict[str, Any])
    """The flow's own state, by key."""
    shared: SharedPart = SharedPart()
    """State that is shared by the instance's flows, or by all instances."""
    paired: dict[str, list[dict[str, str]]] = Field(default_factory=dict[str, Any])
    """By the pairs' name, which records belong together."""
    current: dict[str, dict[str, Any] | None] = Field(default_factory=dict[str, Any])
    """Records as they are at the app, by name (`acme/account/a1`); null where one is gone."""
    signals: dict[str, Any] = Field(default_factory=dict[str, Any])
    """The signals that are sent while it waits, by name."""
    stubs: dict[str, Any] = Field(default_factory=dict[str, Any])
    """By action or flow, its answer: a value, `{$sequence: […]}`, or `{$error: text, status: 404}`."""
    expect: list[dict[str, dict[str, Any] | None]] | None = None
    """The calls, in order: `- acme.create_account: {name: Initech}`; inputs left out may be any."""
    outcome: EndState = "succeeded"
    """The expected outcome of the execution."""
    reason: str | None = None
    """A part of the outcome's reason."""
    answer: Any = None
    """The flow's result."""
    after: AfterPart = AfterPart()
    """The data that is expected afterwards."""
    logs: list[str] = Field(default_factory=list[str])
    """The expected log lines: each a part of a line."""

    @model_validator(mode="after")
    def _fits(self) -> TestPart:
        if self.path and not self.path.startswith("/"):
            raise ValueError("a `path` begins with /")
        if self.body is not None and self.event is not None:
            raise ValueError("give `event` or `body`, not both")
        return self


class Document(Part):
    """An integration as one document."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=100)]
    """Lower-case words joined by hyphens."""
    title: str | None = None
    """The title that people read; made of the name, where it is left out."""
    description: str = ""
    """The description, for the customers that may activate it."""
    config: dict[str, dict[FieldName, ConfigField]] = Field(default_factory=dict[str, Any])
    """The customer's config: pages, and the fields of each."""
    pairs: dict[Name, PairsPart] = Field(default_factory=dict[str, Any])
    """Records of two apps that belong together, by name."""
    preprocess: dict[Name, PreprocessPart] = Field(default_factory=dict[str, Any])
    """Pre-process flows: where the events of one URL go."""
    flows: dict[Name, FlowPart] = Field(min_length=1)
    """By name, what starts each, and what it does."""
    tests: list[TestPart] = Field(default_factory=list[TestPart])
    """Tests of the flows; `halflap test` runs them without a network."""

    @property
    def fields(self) -> dict[str, ConnectionField | PlainField]:
        """The config's fields of all pages, by name."""
        return {name: each for page in self.config.values() for name, each in page.items()}


@cache
def json_schema() -> dict[str, Any]:
    """The JSON Schema of a document, for editors: completion, hover, and the first errors."""
    schema = Document.model_json_schema(by_alias=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://halflap.dev/schema/integration.json",
        **schema,
        "title": "Halflap integration",
    }


def editor_schema() -> dict[str, Any]:
    """Return the JSON Schema for editors that have no more: each step is held against its own kind.

    A choice among all kinds fails with "not valid under any of the given schemas"; one that is made
    by the key that names the kind says which key is wrong.
    """
    return cast("dict[str, Any]", _chosen(json_schema()))


def _chosen(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_chosen(each) for each in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    made = {key: _chosen(each) for key, each in cast("dict[str, Any]", schema).items()}
    if (choices := made.pop("oneOf", None)) is None:
        return made
    steps = {f"#/$defs/{kind.__name__}": key for key, kind in KINDS.items()}
    steps["#/$defs/ConnectionField"] = "connection"
    chain: dict[str, Any] = {"required": ["action"]}
    for each in reversed(cast("list[dict[str, Any]]", choices)):
        key = steps.get(each["$ref"])
        chain = each if key is None else {"if": {"required": [key]}, "then": each, "else": chain}
    return {**made, "type": "object", **chain}
