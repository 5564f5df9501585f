"""The shapes of what was executed: executions, events, steps, attempts, logs."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from halflap.api.view import (
    CountedPage,
    CustomerValue,
    Input,
    Json,
    JsonObject,
    ListPage,
    PauseView,
    PayloadView,
    Text,
    Time,
    VersionName,
    View,
)
from halflap.engine.twoway import without_values
from halflap.lowcode.outline import FlowOutline
from halflap.lowcode.outline.executed import NodeState
from halflap.lowcode.outline.nodes import Path
from halflap.lowcode.rows import RowState
from halflap.model import BulkState, BulkVerb, ExecutionState, ExecutionVerb, Failure, WaitReason
from halflap.store.rules.cause import cause_text, public_cause


class FailureView(View):
    """An error as it was recorded."""

    kind: str
    message: Annotated[str, CustomerValue("")]
    where: str
    """The place in the author's code; of a call, the execution that failed: of a chain, its part."""
    status: int | None
    trace: Annotated[str, CustomerValue("")]
    cause: str
    """By what failures group: the error's class, where, the HTTP status, the message without ids. With
    hidden payloads, without the message: for an exception, with its line."""
    step: str = ""
    """The path of the step of whose failure the flow failed; empty where it failed of none."""
    in_doubt: bool
    """Its request may have been carried out: a replay does it again only with `repeat`."""

    @model_validator(mode="before")
    @classmethod
    def describe(cls, source: object) -> object:
        """Describe the cause of what 0.1.0 recorded."""
        if not isinstance(source, Failure) or source.cause:
            return source
        return replace(source, cause=cause_text(source))

    def without_payload(self) -> Self:
        """Return the view without its message, neither by itself nor in its cause."""
        failure = Failure(self.kind, "", self.where, self.status, cause=self.cause)
        return super().without_payload().model_copy(update={"cause": public_cause(failure)})


class CauseInstance(View):
    """An instance in which executions failed of a cause; the names are null where it was removed."""

    id: str
    name: str | None
    customer_name: str | None


class CauseView(View):
    """Failed executions of one cause."""

    cause: str
    """Its mark: the `cause` of lists and of bulk replays; empty for what 0.1.0 recorded. With hidden
    payloads, its first half, which says nothing of the message."""
    text: str
    """The error's class, where it was raised, the HTTP status, the message without ids. With hidden
    payloads, without the message: causes that differ in it alone are one then, and its `instance_count`
    and `customer_count` those of the largest, at least."""
    message: Annotated[str, CustomerValue("")]
    """The whole message of the newest of them, ids and all; empty with hidden payloads."""
    count: int
    first_at: Time
    """When the first of them failed: before the period, too; of a replay, when what it replays did."""
    last_at: Time
    example: str
    """The newest of them."""
    flows: list[str]
    instances: list[CauseInstance]
    """Up to 5 of the instances in which they failed."""
    instance_count: int
    customer_count: int


class WaitView(View):
    """The reason for which an execution does not run."""

    reason: WaitReason
    """`pause`, `gate` (its instance is activated or upgraded), `order`, `connection` (credentials refused
    or its app away), `limit` (of a connection or its customer), `back-off` (its next try), `signal`,
    `execution` (one that it called), `sleep`, or `turn` (a free worker)."""
    message: str
    since: Time | None
    until: Time | None
    """When it goes on, the app is tried again, or the time for a signal is over; null where unknown."""
    execution: str | None
    """The one in front of it in its order, or the one that it called."""
    connection: str | None
    number: int | None
    """The number of its next try."""
    signals: list[str]
    """The names of the signals for which it waits; lists of executions do not have them."""

    def without_payload(self) -> Self:
        """Return the view without the message of the try before, where it waits for the next."""
        return self.model_copy(update={"message": ""}) if self.reason == "back-off" else self


class ExecutionSummary(PayloadView):
    """One run of a flow for an event."""

    id: str
    customer: str
    customer_name: str | None
    instance: str
    instance_name: str | None
    integration: str
    flow: str
    version: VersionName
    state: ExecutionState
    attempt: int
    """The number of times that a worker took it up, also after a sleep, a rest of its app or a park,
    which spend no tries; what the retry rule counts are the `tries` of its steps."""
    reason: str
    """With hidden payloads, a failure's cause without its message."""
    accepted_at: Time
    started_at: Time | None
    ended_at: Time | None
    took_ms: float | None
    """For how long its attempts ran; null until the first of them is over."""
    waited_ms: float | None
    """All other time until its end: queued, held, parked, asleep, between tries; null until then."""
    key: str | None
    parent: str | None
    """The execution that started it."""
    replay_of: str | None
    edited_by: str | None
    """The label of who edited its event, for it or for a replay before; null where it is as it came."""
    duplicates: int
    waiting_for: str
    waiting: WaitView | None
    """The reason for which it waits; null where it runs or has ended. Lists do not name the execution in
    front of it, nor the number of its next try."""
    due_at: Time | None
    cause: str | None
    """The mark of what it failed of; null unless it failed. With hidden payloads, its first half."""
    dismissed: bool
    """It failed, and was taken off the dead letters: by hand, or by a replay."""


class ExecutionPage(CountedPage[ExecutionSummary]):
    """Executions, newest first; `next` is the `before` of the next page.

    A page may have fewer than were asked for, even none, while `next` says that there may be more:
    so many rows are compared for one page at the most.
    """


class ValueExcerpt(View):
    """The beginning of a recorded value."""

    text: Annotated[str, CustomerValue("")]
    """Compact JSON with every digit, secrets as `•••`: 200 characters at most. Empty for a value that
    is stored apart, as large ones are."""
    size: int
    """The number of bytes of the whole value, which the routes `/inputs` and `/result` return."""
    cut: bool


class EventHead(View):
    """An event without its body. Credentials in its headers are `•••`."""

    method: str
    path: Annotated[str, CustomerValue("")]
    query: Annotated[str, CustomerValue("")]
    url: Annotated[str, CustomerValue("")]
    part: int
    received_at: Time
    headers: Annotated[list[tuple[str, str]], CustomerValue([])]
    size: int
    """The number of bytes of its body."""


class SearchHit(View):
    """An execution whose payload contains the text, with what stands around it."""

    execution: ExecutionSummary
    part: Literal["event", "inputs", "result", "log"]
    """Of a step, its `inputs` or its `result`; a `log` line may be outside of steps."""
    step: str | None
    title: str | None
    """The title of the step, where it has one of its own."""
    excerpt: str
    text: str
    """The find as it stands in the excerpt: the text as it was given, or as JSON has it."""


class SearchProgress(View):
    """Says that everything which is newer than a time was searched, and by what it goes on from there."""

    reached: Time
    next: str


class SearchEnd(View):
    """The end of a search; `next` is the `before` by which it goes on, null where all was searched."""

    found: int
    next: str | None


class EventView(EventHead):
    """An event. Credentials in its headers are `•••`; `note` says whether the body was cut."""

    body: Annotated[str, CustomerValue("")]
    encoding: Literal["utf-8", "base64"]
    note: str | None


class LastEvent(EventView):
    """The newest event, with its execution."""

    execution: str
    flow: str
    instance: str


class StepHead(View):
    """A step without its values."""

    path: str
    kind: str
    name: str
    title: str
    status: str
    tries: int
    pure: bool
    started_at: Time
    ended_at: Time
    duration_ms: float
    failure: FailureView | None
    due_at: Time | None
    """When a step that failed is tried again."""
    copied_from: str | None
    """The execution that ran it, where a replay took it over from there."""
    caught: bool = False
    """It failed and the flow went on behind it, so that a replay from the failed step leaves it so."""
    said_by: str | None = None
    """The person who said, at a replay, that it was done: nothing was sent; empty without a name."""
    cut_attempt: int | None = None
    """The attempt that was cut, by a crash or a stop, maybe within this step, which was begun again
    since: what it sends may have been sent twice, with the same idempotency key."""


class StepView(StepHead):
    """A step, as the journal keeps it."""

    inputs: Annotated[Json, CustomerValue()]
    result: Annotated[Json, CustomerValue()]


class StepExcerpt(StepHead):
    """A step with the beginnings of its values."""

    seq: int
    """Its place: the `after` of what was recorded later. Another one, once a copied step is done anew."""
    inputs: ValueExcerpt | None
    result: ValueExcerpt | None


class StepPage(PayloadView):
    """Steps in the order of the journal; `next` is the `after` of the next page.

    A page may have fewer than were asked for, while `next` says that there may be more.
    """

    items: list[StepExcerpt]
    next: int | None


class AttemptView(View):
    """An attempt that did not end its execution."""

    number: int
    started_at: Time
    ended_at: Time
    how: str
    failure: FailureView | None


class OrderView(View):
    """An order: its rule as the flow declares it, or `pairs`, and its key."""

    rule: str
    key: str


class ChildView(View):
    """An execution that another one started, or routed to a customer's instance."""

    id: str
    flow: str
    customer: str
    instance: str
    state: ExecutionState


class ExecutionFrame(ExecutionSummary):
    """An execution with all around it, without its event, steps and result."""

    revision: int
    root: str
    attempts: list[AttemptView]
    failure: FailureView | None
    replays: list[str]
    """The executions that ran it again, newest first."""
    lineage: list[RelatedView]
    """The executions that it replays, itself, and its replays, as they were accepted."""
    children: list[ChildView]
    """The executions that it started, newest first: 100 at most; all of them are listed by `parent`."""
    continues: str | None
    """The execution that handed over to it, by `ctx.continue_with`."""
    continued_by: str | None
    """The execution that it handed over to."""
    moot_by: str | None = None
    """The replay of what called it that was told that the call is done (`done`)."""
    waiting_since: Time | None
    """When it came to what it waits for: the first of its steps that are not done."""
    order: OrderView | None
    """The order in which it waits for others; `null` where it waits for none."""
    waits_for: str | None
    """The execution whose turn it is in their order, where this one has none."""
    waits_because: str
    """Why it waits for that one."""
    paused: list[PauseView]
    """The pauses that hold it."""
    payload_removed: bool
    """As its retention says: its event, its steps' inputs and results, its log fields."""


class ExecutionOverview(ExecutionFrame):
    """An execution without payloads; its steps come in pages, from `/steps`."""

    event: EventHead | None
    step_count: int
    result: ValueExcerpt | None


class ExecutionView(ExecutionFrame):
    """An execution in full."""

    event: EventView | None
    steps: list[StepView]
    result: Annotated[Json, CustomerValue()]


class RelatedView(View):
    """An execution of a lineage: what it runs again, and how."""

    id: str
    state: ExecutionState
    reason: str
    version: str
    accepted_at: Time
    replay_of: str | None
    from_: Annotated[Literal["start", "failed"] | None, Field(alias="from")]
    """All of it, or from the step that failed; null where it is no replay."""
    on: str | None
    """The version that was asked for: `same`, `current`, or its name."""
    edited: bool
    """True if its event differs from that of the execution that it replays."""
    edited_by: str | None
    """The label of who edited its event, for it or for a replay before; null where it is as it came."""
    done: dict[str, str] = {}
    """The steps that were said to be done, by path, with who said so."""
    bulk: str | None


class LogView(PayloadView):
    """A line that the author's code logged; `id` is the `after` of what follows."""

    id: int
    at: Time
    level: str
    message: Annotated[str, CustomerValue(public=without_values)]
    fields: Annotated[Json, CustomerValue({})]
    step: str


class LoggedView(LogView):
    """A line that an author's code logged, with the execution that did; `id` is its number there."""

    execution: str
    customer: str
    customer_name: str | None
    integration: str
    flow: str


class LoggedPage(ListPage[LoggedView]):
    """Lines of the newest executions, each execution's newest line first.

    A page may have more than were asked for, as it ends with an execution, or fewer, even none, while
    `next` says that there may be more.
    """


class Cancellation(Input):
    """Why it is cancelled."""

    reason: Text = "cancelled by hand"
    grace: Annotated[float | None, Field(ge=0, le=86_400)] = None
    """Seconds that it may go on running before it is cut; as the server is set, where left out."""


class EventDraft(Input):
    """A change of an event: its body, headers by name; null removes one."""

    body: Annotated[str | None, CustomerValue()] = None
    encoding: Literal["utf-8", "base64"] = "utf-8"
    headers: dict[Text, str | None] = Field(default_factory=dict)


class DoneDraft(Input):
    """A statement that a step in doubt was done at the app: the flow goes on behind it."""

    result: Annotated[Json, CustomerValue()] = None
    """The value that the step's action would have returned."""
    by: str = ""
    step: Text | None = None
    """The step's path; left out, the only one in doubt."""


class ReplayDraft(Input):
    """A request to replay an execution."""

    from_: Annotated[Literal["start", "failed"] | None, Field(alias="from")] = None
    """All of it, or from the step that failed; left out: from that where one failed."""
    version: str | None = None
    """`current`: the one that its instance has now; `same`: its own, with its config; or another."""
    event: EventDraft | None = None
    """Left out, the event as it came."""
    repeat: bool = False
    """Do again what may have been done, also where another version does it elsewhere in its flow."""
    again: bool = False
    """Also where it was replayed since, or where newer events of its order have run."""
    done: DoneDraft | None = None
    """Go on behind the step in doubt, which was done; not with `event`, `repeat` or from the start."""

    @model_validator(mode="after")
    def check_done(self) -> ReplayDraft:
        """Refuse what contradicts that a step was done."""
        if self.done is not None and (self.event or self.repeat or self.from_ == "start"):
            raise ValueError("done does not go with event, repeat, or from: start")
        return self


class Replayed(View):
    """The new execution."""

    execution: str
    from_: Annotated[Literal["start", "failed"], Field(alias="from")]
    """All of it is run again, or from the step that failed."""
    root: str
    """That of the execution it runs again, with the same idempotency keys; or its own, with new ones."""
    overwrites: Time | None = None
    """When its event came, where nothing compares its values with what the app has since; else null."""
    changed: bool = False
    """It goes on with another version or config than that on which the finished steps ran."""


class ChangeView(View):
    """Something that happened to an execution."""

    execution: str
    integration: str
    flow: str
    version: str
    instance: str
    customer: str
    key: str | None
    replay_of: str | None
    parent: str | None
    """Null, too, where it runs in another process than the one that tells of it."""
    state: ExecutionState
    at: Time
    attempt: int
    reason: str
    dismissed: bool
    """It failed before, and is dismissed now."""


class StepNotice(View):
    """A step that was recorded."""

    seq: int
    path: str
    status: str


class StepsNotice(View):
    """Steps that an execution recorded."""

    execution: str
    steps: list[StepNotice]


class LogNotice(View):
    """A line that the author's code logged, without its fields."""

    execution: str
    integration: str
    flow: str
    instance: str
    customer: str
    at: Time
    level: str
    message: Annotated[str, CustomerValue(public=without_values)]
    step: str


class MovedView(View):
    """An instance, a connection or a bulk that changed; `state` is null where it is gone."""

    id: str
    customer: str | None
    state: str | None


class NodeRunView(View):
    """A node of a flow's outline, or a block of one, as an execution went through it."""

    path: Path
    """Its address in the outline."""
    times: int | None
    """The number of times that the execution came to it, in a loop once an item; null if not known."""
    items: int | None
    """Of a loop that goes on behind items that fail: the number that have ended."""
    failed_items: int | None
    """The number of these that failed."""
    state: NodeState | None
    """The state of its last step, or that its failure ended the execution; else null."""
    attempts: int
    """The number of tries of its steps, all together."""
    started_at: Time | None
    ended_at: Time | None
    steps: list[str]
    """The paths of its steps in the execution."""


class ExecutionOutline(View):
    """The outline of an execution's flow, and the parts of it that the execution came to."""

    execution: str
    state: ExecutionState
    flow: FlowOutline
    nodes: list[NodeRunView]
    followed: bool
    """True where `nodes` are all that it came to. False of a flow in Python, say: then they are those of
    which a step was recorded, and of the others it is not known."""
    at: Path | None
    """Where it stands, if it has not ended."""
    stopped: str | None
    """Why the execution could not be followed to its end."""
    unplaced: list[str]
    """The steps of which the text alone does not say which node made them, as in Python."""


class StepFailure(View):
    """An error that a step of a document raised."""

    kind: str
    message: Annotated[str, CustomerValue("")]


class StepRowView(View):
    """A run of a step of a document: once for each item of the loops around it."""

    path: Path
    """The step's address."""
    item: list[int]
    """The places of the items of the loops around it, the outermost first; from 0."""
    state: RowState
    gave: ValueExcerpt | None
    """Its result, or what it set; null where it gives nothing."""
    error: StepFailure | None
    """Of the step that raised it, not of those around it."""
    took_ms: float | None
    """From its first record to its last one; null where it recorded nothing."""
    steps: list[str]
    """The paths of its records in the execution."""


class ExecutionTrace(ListPage[StepRowView], PayloadView):
    """The runs of a document's steps, in the order in which they began in an execution."""

    execution: str
    state: ExecutionState
    flow: str
    document: str | None
    """The document's file; null where the flow is written in Python, of which there are no rows."""
    stopped: str | None
    """Why there are no more rows, where the execution could not be followed to its end."""


class Where(Input):
    """A filter of executions; what is left out does not matter. Deployments are never meant."""

    state: str = ""
    """One state, or several by commas. `failed` alone: those not dismissed, nor replayed yet."""
    customer: Text | None = None
    instance: Text | None = None
    integration: Text | None = None
    flow: Text | None = None
    key: Text | None = None
    reason: Text | None = None
    """A text that its reason contains."""
    cause: Text | None = None
    """The mark of what it failed of."""
    status: Annotated[int | None, Field(ge=100, le=599)] = None
    """The HTTP status of the call that it failed of."""
    component: Text | None = None
    """The component whose action it failed of."""
    failure_kind: Text | None = None
    """The class of the error that it failed of."""
    since: str | None = None
    """Ended at this time or later; of what has not ended (to cancel), accepted."""
    until: str | None = None
    """Ended, or accepted, before this time."""


class BulkDraft(Input):
    """A bulk to be begun: what is done, with which executions; `dry_run` only says with how many."""

    do: ExecutionVerb = "replay"
    where: Where = Field(default_factory=Where)
    dry_run: bool = False
    rate: Annotated[float | None, Field(gt=0, le=100_000)] = None
    """The most executions a second."""
    from_: Annotated[Literal["start", "failed"] | None, Field(alias="from")] = None
    """Of a replay: all of it, or from the step that failed; left out: from that where one did."""
    version: Text | None = None
    """Of a replay: `same`, `current`, or another version."""
    repeat: bool = False
    """Of a replay: do again what may have been done, also where another version does it elsewhere."""
    again: bool = False
    """Of a replay: also what was replayed since, or where newer events of its order have run."""
    reason: Text = "cancelled by hand"
    """Of a cancellation."""
    grace: Annotated[float | None, Field(ge=0, le=86_400)] = None
    """Of a cancellation: how many seconds what runs may go on."""


class GroupView(View):
    """The number of selected executions that are alike."""

    customer: str
    customer_name: str | None
    instance: str
    instance_name: str | None
    integration: str
    flow: str
    version: str
    state: str
    cause: str
    """The mark of what they failed of; empty unless they failed."""
    reason: str
    """The reason of one of them."""
    count: int


class LeftOutView(View):
    """The number of executions that would be left out for one reason, and the first of them."""

    why: str
    count: int
    execution: str


class OverwritingView(View):
    """A flow in which nothing compares, and when the first and the last of its events came."""

    integration: str
    flow: str
    count: int
    first_at: Time
    last_at: Time


class UnmendedView(View):
    """A connection of the instances that are meant which does not work now."""

    connection: str
    name: str
    customer_name: str | None
    """Null for the team's own."""
    why: Literal["unauthorized", "not_signed_in", "away"]
    """The app refused its credentials; nobody has signed in; its app does not answer."""
    since: Time | None
    """Since when its app does not answer."""
    parked: int
    """The number of executions that wait for it."""
    failed_at: Time | None
    """When the newest of the samples that use it failed."""


class PlanView(View):
    """A plan of a bulk: the largest groups, and a few of the executions."""

    do: ExecutionVerb
    total: int
    groups: list[GroupView]
    samples: list[ExecutionSummary]
    examined: int
    """The number of executions, from the oldest on, for which a replay was decided one by one."""
    left_out: list[LeftOutView]
    """The ones of these that would not be replayed, by the reason."""
    overwrites: list[OverwritingView] = []
    """The flows of these in which nothing compares what they write with what the app has since."""
    changed: int = 0
    """The number of these that go on with another version or config than that of their finished steps."""
    unmended: list[UnmendedView] = []
    """Of replays, the connections of the groups' instances that do not work now: the same would come."""


class RefusalView(View):
    """Why it could not be done with an execution or an instance, by its id."""

    id: str
    why: str


class BulkView(View):
    """A bulk over executions or instances, and its progress."""

    id: str
    do: BulkVerb
    state: BulkState
    total: int
    """The number that was selected as it began: `done`, `refused`, and those that no longer needed it,
    as a child that the replay of its parent runs again."""
    done: int
    refused: int
    refusals: list[RefusalView]
    """Of the first of those that were refused."""
    stages: list[int]
    """Of an upgrade: after how many each stage ends."""
    reason: str
    wanted: JsonObject
    made_at: Time
    ended_at: Time | None
    started: dict[ExecutionState, int] = {}
    """Of a bulk of replays that has ended: how many of these, by their states; lists need `started`."""
