"""The steps of a flow, as a document writes them: a tree, each step a mapping of one kind.

Its kind is the key that names it: `action`, `if`, `switch`, `for`, `try`, `set`, `code`, `call`,
`sleep`, `wait`, `links`, `state`, `paired`, `pair`, `unpair`, `log`, `break`, `stop`, `throw`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from halflap.lowcode.duration import Duration
from halflap.lowcode.kinds.role import Asks, Block, Gives, Refers
from halflap.sdk.integration import LONGEST_NAME, NAME

Name = Annotated[str, Field(pattern=NAME, max_length=LONGEST_NAME)]
"""A name in scope: of a step's result, a variable, a loop's item."""

Template = Any
"""A value in which a text that begins with `=` is a JSONata expression, at any depth."""


class Part(BaseModel):
    """A part of a document; a key that it does not know is an error.

    Steps hold each other, so none is completed before a document is read.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, defer_build=True
    )


class RetryRule(Part):
    """How often a failed step is tried again: `retry: {attempts: 3, first: 2s}`."""

    attempts: int = Field(10, ge=1, le=100)
    """All tries, the first one too."""
    first: Duration = timedelta(seconds=1)
    """The wait after the first failure; it doubles each time."""
    longest: Duration = timedelta(minutes=10)
    """The longest wait."""


OnFailure = Literal["fail", "ignore"]


class Step(Part):
    """What all steps may have."""

    title: str | None = Field(None, max_length=200)
    """What people read, in the console and the diagram."""
    note: str | None = None
    """A remark for whoever reads the document."""


class Result(Step):
    """What all steps with a result may have."""

    id: Annotated[Name | None, Gives("result")] = None
    """The name under which later steps find the result; null where the step did not run."""


class ActionStep(Result):
    """Call an action of a component."""

    action: Annotated[str, Refers("action")]
    """The action, as `component.action`."""
    inputs: Annotated[dict[str, Template], Asks()] = Field(
        default_factory=dict[str, Any], alias="with"
    )
    """The action's inputs; an expression begins with =."""
    connection: Annotated[str | None, Refers("connection")] = None
    """The config's connection to use, where there are several of the component."""
    retry: RetryRule | Annotated[int, Field(ge=1, le=100)] | None = None
    """How often it is tried again: `retry: 3`, or `retry: {attempts: 3, first: 2s}`."""
    on_failure: OnFailure = "fail"
    """`ignore`: where it fails for good, its result is null, and the flow goes on."""


class IfStep(Step):
    """Do one thing or another."""

    condition: Annotated[Template, Asks()] = Field(alias="if")
    """The condition: an expression that gives true or false."""
    then: Annotated[list[AnyStep], Block()]
    """What to do where it is true."""
    otherwise: Annotated[list[AnyStep], Block()] = Field(
        default_factory=list["AnyStep"], alias="else"
    )
    """What to do where it is false or null."""


class SwitchStep(Step):
    """Do what belongs to a value."""

    switch: Annotated[Template, Asks()]
    """The value to compare."""
    cases: Annotated[dict[str | int | bool, list[AnyStep]], Block()]
    """By value, what to do: `cases: {add: […], remove: […]}`."""
    default: Annotated[list[AnyStep] | None, Block()] = None
    """What to do for any other value; without it, nothing."""


class ForStep(Result):
    """Do the same for each item of a list."""

    item: Annotated[Name, Gives("item")] = Field(alias="for")
    """The name of the item."""
    items: Annotated[Template, Asks()] = Field(alias="in")
    """The list; null is none."""
    where: Annotated[Template, Asks()] = None
    """Only items for which this is true."""
    do: Annotated[list[AnyStep], Block(each=True)]
    """What to do for each item."""
    parallel: Annotated[int, Field(ge=1, le=1000)] | None = None
    """How many at once; one after another without it."""
    key: Annotated[Template, Asks()] = None
    """What tells parallel items apart; the item itself, its `id`, or its place otherwise."""
    on_failure: Literal["fail", "continue"] = "fail"
    """`continue`: where a step fails for good, the other items go on all the same."""
    collect: Annotated[Template, Asks()] = None
    """What each item adds to the result, a list under the loop's `id`."""


class TryStep(Step):
    """Do something, and something else where a step of it fails for good."""

    attempt: Annotated[list[AnyStep], Block()] = Field(alias="try")
    """What to do."""
    catch: Annotated[list[AnyStep], Block()]
    """What to do where a step of it fails for good."""
    error: Annotated[Name, Gives("error")] = "error"
    """The name of the error in `catch`: its `message`, `step`, `kind`, and the app's `status`."""


class SetStep(Step):
    """Set variables, for later steps."""

    set: Annotated[dict[Name, Template], Gives("variable"), Asks()]
    """By name, the value of each variable: `set: {total: =event.seats * event.price}`."""


class CodeStep(Result):
    """Run Python in the sandbox; its result is what it returns."""

    code: str
    """The code; what it returns is the result."""
    inputs: Annotated[dict[str, Template], Asks()] = Field(
        default_factory=dict[str, Any], alias="with"
    )
    """What the code sees, by name."""
    on_failure: OnFailure = "fail"
    """`ignore`: where it fails for good, its result is null, and the flow goes on."""


class CallStep(Result):
    """Start another flow of the integration, and wait for its result."""

    call: Annotated[str, Refers("flow")]
    """The flow's name."""
    event: Annotated[Template, Asks()] = None
    """The event that it gets."""
    wait: bool = True
    """false: go on at once; the result is the execution's id."""
    on_failure: OnFailure = "fail"
    """`ignore`: where it fails for good, its result is null, and the flow goes on."""


class SleepStep(Step):
    """Wait for a time; the execution leaves memory meanwhile."""

    sleep: Annotated[Template, Asks()]
    """How long: `30s`, `2 h`, `3 days`, a number of seconds, or an expression that gives one."""


class WaitStep(Result):
    """Wait for a signal; the result is its payload."""

    wait: str
    """The signal's name."""
    timeout: Duration | None = None
    """How long; without it, until the flow's maximum age."""
    on_timeout: Literal["fail", "continue"] = "fail"
    """`continue`: where none comes in time, the result is null."""


class LinksStep(Result):
    """Make links that answer a later `wait`, for a mail or a chat; the result has one a choice."""

    links: str
    """The signal's name."""
    choices: Annotated[list[str], Field(min_length=1, max_length=20)]
    """What can be answered: `choices: [approve, reject]`."""
    text: Annotated[Template, Asks()] = ""
    """What the page asks."""
    within: Duration = timedelta(days=7)
    """How long the links work."""


StateScope = Literal["flow", "instance", "integration"]


class StateStep(Result):
    """Read, write or delete a value that outlives the execution."""

    state: Literal["get", "put", "delete"]
    """What to do with the value."""
    key: Annotated[Template, Asks()]
    """The value's name, such as a record's id."""
    value: Annotated[Template, Asks()] = None
    """put: what to write."""
    default: Annotated[Template, Asks()] = None
    """get: the result where there is no value."""
    expect: Annotated[Template, Asks()] = Field(None)
    """put: write only where this is still the value (null: no value yet); else the step fails."""
    scope: StateScope = "flow"
    """Who shares it: this flow, the instance's flows, or all instances of the integration."""


class PairedStep(Result):
    """Look up the id of the record at the other app; null where it is paired with none."""

    paired: Annotated[str, Refers("pairs")]
    """The pairs' name."""
    ids: Annotated[dict[str, Template], Asks()] = Field(alias="with", min_length=1, max_length=1)
    """The known side's id: `with: {salesforce: =event.Id}`."""


class PairStep(Step):
    """Say that two records belong together."""

    pair: Annotated[str, Refers("pairs")]
    """The pairs' name."""
    ids: Annotated[dict[str, Template], Asks()] = Field(alias="with", min_length=2, max_length=2)
    """The id of each side: `with: {salesforce: =event.Id, acme: =made.id}`."""


class UnpairStep(Step):
    """Forget with which record one is paired."""

    unpair: Annotated[str, Refers("pairs")]
    """The pairs' name."""
    ids: Annotated[dict[str, Template], Asks()] = Field(alias="with", min_length=1, max_length=2)
    """The id of one side, or of both."""


class LogStep(Step):
    """Write a line to the execution's log."""

    log: Annotated[Template, Asks()]
    """What it says."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """How much it matters."""
    fields: Annotated[dict[str, Template], Asks()] = Field(default_factory=dict[str, Any])
    """Values that go with it, by name."""


class BreakStep(Step):
    """Leave the loop."""

    leave: Literal[True] = Field(alias="break")
    """`break: true`: the items that are left are not looked at."""


class ReplyPart(Part):
    """An HTTP answer, for a flow whose trigger answers with the flow's result."""

    status: Annotated[Template, Asks()] = 200
    """The HTTP status, 200 to 599."""
    body: Annotated[Template, Asks()] = None
    """What is sent: a text as it is, anything else as JSON; nothing, where it is left out."""
    headers: Annotated[dict[str, Template], Asks()] = Field(default_factory=dict[str, Any])
    """HTTP headers, by name."""

    @property
    def has_body(self) -> bool:
        """Whether it says what is sent, be it null."""
        return "body" in self.model_fields_set


class StopPart(Part):
    """How the flow ends: with an answer, or ignoring its event."""

    answer: Annotated[Template, Asks()] = None
    """The flow's result: what its caller, or a synchronous request, gets."""
    reply: ReplyPart | None = None
    """The HTTP answer, with status and headers."""
    ignore: Annotated[Template, Asks()] = None
    """Why the event is ignored."""


class StopStep(Step):
    """End the flow."""

    stop: StopPart | Literal[True]
    """`true`, or how it ends: `answer`, `reply` or `ignore`."""


class ThrowStep(Step):
    """Fail: the execution ends as failed, unless a `try` catches it."""

    throw: Annotated[Template, Asks()]
    """What went wrong, for people."""


KINDS: dict[str, type[Step]] = {
    "action": ActionStep,
    "if": IfStep,
    "switch": SwitchStep,
    "for": ForStep,
    "try": TryStep,
    "set": SetStep,
    "code": CodeStep,
    "call": CallStep,
    "sleep": SleepStep,
    "wait": WaitStep,
    "links": LinksStep,
    "state": StateStep,
    "paired": PairedStep,
    "pair": PairStep,
    "unpair": UnpairStep,
    "log": LogStep,
    "break": BreakStep,
    "stop": StopStep,
    "throw": ThrowStep,
}
"""By the key that names it, each kind of step."""

TAG = "step:"


def kind_of(value: Any) -> str | None:
    """The kind of a step: the first key of it that names one (`call` before its own `wait`)."""
    if isinstance(value, Step):
        return next(kind for kind, each in KINDS.items() if type(value) is each)
    if not isinstance(value, Mapping):
        return None
    return next((kind for kind in KINDS if kind in cast(Mapping[Any, Any], value)), None)


def _tag_of(value: Any) -> str | None:
    kind = kind_of(value)
    return None if kind is None else TAG + kind


AnyStep = Annotated[
    Annotated[ActionStep, Tag("step:action")]
    | Annotated[IfStep, Tag("step:if")]
    | Annotated[SwitchStep, Tag("step:switch")]
    | Annotated[ForStep, Tag("step:for")]
    | Annotated[TryStep, Tag("step:try")]
    | Annotated[SetStep, Tag("step:set")]
    | Annotated[CodeStep, Tag("step:code")]
    | Annotated[CallStep, Tag("step:call")]
    | Annotated[SleepStep, Tag("step:sleep")]
    | Annotated[WaitStep, Tag("step:wait")]
    | Annotated[LinksStep, Tag("step:links")]
    | Annotated[StateStep, Tag("step:state")]
    | Annotated[PairedStep, Tag("step:paired")]
    | Annotated[PairStep, Tag("step:pair")]
    | Annotated[UnpairStep, Tag("step:unpair")]
    | Annotated[LogStep, Tag("step:log")]
    | Annotated[BreakStep, Tag("step:break")]
    | Annotated[StopStep, Tag("step:stop")]
    | Annotated[ThrowStep, Tag("step:throw")],
    Discriminator(_tag_of),
]
"""Any step."""
