"""The shapes of drafts: documents that are edited in the designer."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from halflap.api.view import (
    FindingView,
    Input,
    JsonObject,
    Published,
    TaggedView,
    Text,
    Time,
    View,
    pattern,
)
from halflap.lowcode.outline import FlowOutline
from halflap.lowcode.outline.nodes import Path
from halflap.lowcode.rewrite.edits import DraftEdit, Position
from halflap.lowcode.source import MOST_BYTES
from halflap.model import StoredEdit
from halflap.sdk import codec

MOST_OPS = 100
"""The most operations of a request."""

IntegrationName = Annotated[
    str,
    StringConstraints(
        max_length=120,
        pattern=pattern(
            r"^[a-z][a-z0-9]*([-_][a-z0-9]+)*$", "is not lower-case words joined by hyphens"
        ),
    ),
]

SetName = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[\w-]+$")]
FlowName = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00]*$")]


class DraftBegin(Input):
    """A draft to begin: of a version, of a text, or without both of what a new integration begins as."""

    integration: IntegrationName
    version: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None
    """A published version, by number, hash or target, whose document is edited."""
    text: Annotated[str, StringConstraints(max_length=MOST_BYTES)] | None = None
    """A document's text, which may be unfinished."""
    components: SetName | None = None
    """A component set to pin: its id, its hash, or a name for the newest of that."""


class ComponentSetView(View):
    """A project's own components, as `halflap deploy --components` sent them."""

    id: str
    name: str
    number: int
    """Of its name, whose newest set has the highest."""
    hash: str
    components: list[str]
    published_at: Time
    published_by: str
    """The person or the key that sent it; empty where it was the team's token."""


class PinningDraft(View):
    """A draft that uses a component set."""

    id: str
    integration: str


class ComponentSetRow(ComponentSetView):
    """A component set of a list, with the drafts that use it."""

    drafts: list[PinningDraft]
    """While there are any, it cannot be deleted. Published versions have files of their own."""


class ComponentsDraft(Input):
    """The component set that a draft is to use."""

    components: SetName | None
    """Its id, its hash, or a name for the newest of that; null for none: those of the base again."""


class BaseView(View):
    """The version that a draft began from, or was last published as."""

    number: int
    hash: str


class DraftSummary(View):
    """A draft, without what is in it."""

    id: str
    integration: str
    base: BaseView | None
    components: ComponentSetView | None
    """The component set that is pinned; null where it has those of its base."""
    revision: int
    made_at: Time
    changed_at: Time
    changed_by: str
    """The name of the last to edit it."""


class DraftEdits(Input):
    """Edits of a draft, made one after another: all of them or none."""

    ops: Annotated[list[DraftEdit], Field(min_length=1, max_length=MOST_OPS)]
    group: Annotated[str, StringConstraints(max_length=64)] = ""
    """Edits of one group that follow each other are taken back together."""
    token: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None
    """Chosen by you: edits that are sent again with it are made once."""


class TextEdit(View):
    """A piece of text to be put in the place of another; line and column count from 1."""

    op: Literal["text"] = "text"
    start: Position
    end: Position
    text: str


class FixView(View):
    """A fix of a finding, as an operation of an edit."""

    title: str
    edit: TextEdit
    choice: bool
    """True if it is one of several, of which a person has to choose."""


class DraftFinding(FindingView):
    """Something that is wrong with a draft."""

    path: Path
    """The address of the value that it is about."""
    node: str | None
    """The key of the step that it is in."""
    fix: FixView | None


class DraftFindings(TaggedView):
    """Findings of lint in a draft, at a revision."""

    revision: int
    items: list[DraftFinding]


class UnreadablePlace(View):
    """The place from which on a text cannot be read exactly, and why."""

    message: str
    line: int
    column: int


class WriterView(View):
    """The member of the team who writes a flow of a draft; an empty name stands for what is in none."""

    flow: str
    label: str
    lease_until: Time


class EditorView(View):
    """A window in which a member of the team has a draft open."""

    editor: str
    label: str
    selected: str


class DraftNoticeView(View):
    """A draft that was edited, or that others have open now; `revision` is null where it is gone."""

    draft: str
    revision: int | None
    changed_by: str
    components: str | None
    """The id of the component set that is pinned."""
    editors: list[EditorView]
    writers: list[WriterView]


class EditorSign(Input):
    """A sign that a window has a draft open."""

    selected: Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00]*$")] = ""
    """The key of the step that is selected there, or what else you show of it."""


class WriterDraft(Input):
    """A flow of a draft that you want to write; an empty name stands for what is in none."""

    flow: FlowName = ""
    take_over: bool = False
    """Also where somebody else writes it: nothing of theirs is stored from then on."""


class DraftView(DraftSummary, TaggedView):
    """A draft: its text, and its flows as far as the text can be read."""

    text: str
    unreadable: UnreadablePlace | None
    """Null where the text can be read; until then, edits of the text alone are made."""
    flows: list[FlowOutline]
    findings: list[DraftFinding] | None
    """Of this revision; null where it has not been linted yet (`…/findings`)."""
    editors: list[EditorView]
    writers: list[WriterView]


class MovedStep(View):
    """A step that has another address now; null where it is gone."""

    node: str
    path: Path | None


class DraftChangesView(TaggedView):
    """All that happened to a draft since a revision."""

    revision: int
    patches: list[TextEdit]
    """Of the text, each to be made after the one before it."""
    moved: list[MovedStep]
    """The steps that have another address now, by their keys."""
    flows: list[FlowOutline]
    """The flows whose text is another, as they are now; of the others only the lines may have changed."""
    gone: list[str]
    """The flows that are there no more."""
    unreadable: UnreadablePlace | None


class EditSummary(View):
    """An edit of a draft, with who made it, and the flows that it changed."""

    revision: int
    label: str
    kind: Literal["edit", "undo", "redo"]
    flows: list[str]
    at: Time


class FlowDifference(View):
    """A flow that two documents do not have alike; an empty name stands for what is in none."""

    flow: str
    change: Literal["added", "removed", "changed"]


class DraftDiff(View):
    """The difference between a version's document and a draft."""

    revision: int
    against: BaseView | None
    """Null where there is no version: everything is new."""
    is_newest: bool
    """True if that version is the newest: what the draft can be published on top of."""
    flows: list[FlowDifference]
    lines: str
    """As a unified diff."""


class DraftExpression(Input):
    """An expression to be evaluated over a sample."""

    expression: Annotated[str, StringConstraints(max_length=20_000)]
    """The text, with its `=` or without."""
    sample: JsonObject = {}
    """Values by name."""
    path: Path = ()
    """The address where it stands: what the sample leaves out is made up by the schemas there."""


class ExpressionProblem(View):
    """A problem of an expression, with its place in it."""

    message: str
    line: int
    column: int


class EvaluatedView(View):
    """The value of an expression."""

    value: str | None
    """As JSON in a text, so that no digit is lost; null where there is none."""
    type: str | None
    """As in JSON Schema; `absent` where the expression gives nothing."""
    error: ExpressionProblem | None


class OfferedText(View):
    """A text that could stand at a place."""

    label: str
    kind: str
    detail: str
    help: str
    text: str
    """The text that is written from `column` on, in the place of what stands there."""


class CompletionView(View):
    """The texts that could stand at a place of a draft, the likeliest first."""

    column: int
    items: list[OfferedText]


class DraftValue(View):
    """A value of a draft at a revision."""

    revision: int
    value: str
    """As JSON in a text, so that no digit is lost; null where there is none."""


class ScopedView(View):
    """A name that expressions see at a place, with the type of its value."""

    name: str
    type: str
    """In words; empty where it is not known."""
    schema_: Annotated[JsonObject | None, Field(alias="schema")]
    absent: str
    """Why it may be null there; empty where it may not."""
    variable: bool
    given: Path | None
    """The address of what gives it; null for what each flow has."""
    sample: str
    """A made-up value, as JSON in a text."""


class UsagePlace(View):
    """A place of a draft's text where a name stands."""

    line: int
    column: int
    end_column: int


class CallForm(View):
    """An action or a trigger, with its inputs."""

    name: str
    title: str
    description: str
    output: JsonObject | None
    fields: list[CallField]


class CallField(View):
    """An input of an action or a trigger."""

    name: str
    required: bool
    secret: bool
    type: str
    schema_: Annotated[JsonObject | None, Field(alias="schema")]


class KindOffer(View):
    """A kind of step."""

    kind: str
    help: str
    keys: str


class CallOffer(View):
    """An action or a trigger that a draft may use."""

    kind: Literal["action", "trigger"]
    component: str
    name: str
    title: str
    description: str


class PaletteView(View):
    """The steps that may be put into a draft: kinds, and what its components have."""

    kinds: list[KindOffer]
    calls: list[CallOffer]


class DraftPublish(Input):
    """A draft to be published."""

    target: Annotated[str, StringConstraints(max_length=40)] = "dev"
    """The target to point at the version; empty for none."""
    expect: Annotated[str, StringConstraints(max_length=64)] | None = None
    """The hash of the newest version that you have seen; without it, that of the draft's base."""
    note: Text = ""


class DraftPublished(Published):
    """A version that was made of a draft, whose base it is from then on."""

    revision: int


def plain_path(path: Any) -> Any:
    """Return an address as it is shown: keys that are no names are texts."""
    return tuple(each if isinstance(each, str | int) else str(each) for each in path)


def summary_of(edit: StoredEdit) -> EditSummary:
    """Return an edit as it is shown to others."""
    return EditSummary.of(edit, flows=codec.decode(edit.change.encode())["flows"])
