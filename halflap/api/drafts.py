"""Drafts: documents that are edited in the designer, several people at once."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import Annotated, Any, cast

from fastapi import Depends, Header, Query, Request, Response
from fastapi import Path as PathParameter

from halflap.api.asking import (
    LARGEST_NUMBER,
    USUAL_PAGE,
    Before,
    Ops,
    PageSize,
    exact,
    last_id,
    needs,
    router_of,
)
from halflap.api.draft_view import (
    BaseView,
    CallForm,
    CompletionView,
    ComponentsDraft,
    ComponentSetView,
    DraftBegin,
    DraftChangesView,
    DraftDiff,
    DraftEdits,
    DraftExpression,
    DraftFinding,
    DraftFindings,
    DraftPublish,
    DraftPublished,
    DraftSummary,
    DraftValue,
    DraftView,
    EditorSign,
    EditorView,
    EvaluatedView,
    FixView,
    FlowDifference,
    FlowName,
    MovedStep,
    PaletteView,
    ScopedView,
    TextEdit,
    UnreadablePlace,
    UsagePlace,
    WriterDraft,
    WriterView,
    plain_path,
)
from halflap.api.lint import INSTEAD
from halflap.api.operations import Operations
from halflap.api.operations.drafts import CallChange, DraftChanges, OpenedDraft
from halflap.api.part import KIND, WHOLE
from halflap.api.problem import documented
from halflap.api.stream import unless_gone
from halflap.api.view import ListPage, Published, View
from halflap.errors import ConfigError, NotFound
from halflap.lowcode.rewrite.state import flow_texts
from halflap.lowcode.source import value_at
from halflap.model import DraftEditor, StoredDraft
from halflap.sdk import codec
from halflap.sdk.lint import Fix

router = router_of("/api/drafts", "drafts")

LEFT_SECONDS = 2.0
"""For how long an edit whose sender has left is computed."""


class DraftComponents(View):
    """The component set that a draft uses, and what another one has otherwise."""

    pinned: ComponentSetView | None
    """Null where it has the components of its base."""
    changes: list[CallChange]


def revision_of(
    if_match: Annotated[str, Header(description="The revision that the edits are for: an `ETag`.")],
) -> int:
    """Return the revision that a request is for."""
    found = re.fullmatch(r'\s*"?(\d{1,18})"?\s*', if_match)
    if found is None:
        raise ConfigError(
            'If-Match is the ETag of the draft that you read, such as "17"',
            fields={"if-match": "is no revision"},
        )
    return int(found[1])


async def opened_draft(draft: str, operations: Ops) -> OpenedDraft:
    """The draft that a route's path names, as it is now."""
    return await operations.drafts.get(draft)


OneDraft = Annotated[OpenedDraft, Depends(opened_draft)]
EditorId = Annotated[str, PathParameter(max_length=64, pattern=r"^[\w.-]+$")]
TextPlace = Annotated[int, Query(ge=1, le=LARGEST_NUMBER)]
AddressQuery = Query(max_length=5_000, description='As JSON: `["flows", "order", "steps", 0]`.')
AddressText = Annotated[str, AddressQuery]
OptionalAddress = Annotated[str | None, AddressQuery]
Revision = Annotated[int, Depends(revision_of)]


@router.post("", status_code=201, response_model=DraftView)
@needs("publish")
async def begin_draft(draft: DraftBegin, operations: Ops) -> Response:
    """Begin a draft of a version, of a text, or of what a new integration begins as."""
    opened = await operations.drafts.begin(
        draft.integration, draft.version, draft.text, draft.components
    )
    return await draft_answer(operations, opened, 201)


@router.get("")
@needs("read")
async def list_drafts(
    operations: Ops,
    integration: str | None = None,
    before: Before = None,
    limit: PageSize = USUAL_PAGE,
) -> ListPage[DraftSummary]:
    """Drafts, newest first."""
    found = await operations.drafts.drafts.list(integration, before=before, limit=limit)
    numbers = await operations.catalogue.versions.numbers(
        each.base for each in found if each.base is not None
    )
    sets = await sets_of(operations, found)
    items = [
        DraftSummary.of(
            each, base=base_of(each, numbers), components=sets.get(each.components or "")
        )
        for each in found
    ]
    return ListPage(items=items, next=last_id(found, limit))


@router.get("/{draft}", response_model=DraftView)
@needs("read")
async def get_draft(opened: OneDraft, operations: Ops) -> Response:
    """A draft as it is now; its `ETag` is its revision.

    Its flows are as far as the text can be read, so that a step that is half made leaves the rest.
    """
    return await draft_answer(operations, opened)


@router.delete("/{draft}", status_code=204)
@needs("publish")
async def delete_draft(draft: str, operations: Ops) -> None:
    """Delete a draft; what was published of it stays."""
    await operations.drafts.remove(draft)


@router.post("/{draft}/edits", response_model=DraftChangesView)
@needs("publish")
async def edit_draft(
    request: Request, draft: str, edits: DraftEdits, operations: Ops, if_match: Revision
) -> Response:
    """Make edits one after another, all or none, for the revision of `If-Match`.

    The answer is all that happened since that revision. Where others edited the draft meanwhile, the
    edits are made all the same if they are of other lines and flows; else it is 409 (`StaleEdit`), with
    what came since. A flow that somebody else writes is 409 (`FlowHeld`), with who does.
    """
    making = operations.drafts.edit(draft, if_match, edits.ops, edits.group, edits.token)
    # A page that is closed has sent what was typed last: that is made, if it does not take long.
    changes = await unless_gone(request.receive, making, LEFT_SECONDS)
    if changes is None:
        return Response(status_code=499)
    return await changes_answer(operations, changes)


@router.post("/{draft}/undo", response_model=DraftChangesView)
@needs("publish")
async def undo_draft(draft: str, operations: Ops, if_match: Revision) -> Response:
    """Take back your latest edit, or those of its group; those of others stay.

    The answer is all that happened since the revision of `If-Match`.
    """
    return await changes_answer(operations, await operations.drafts.undo(draft, if_match))


@router.post("/{draft}/redo", response_model=DraftChangesView)
@needs("publish")
async def redo_draft(draft: str, operations: Ops, if_match: Revision) -> Response:
    """Make again what you took back last, unless you have edited the draft since."""
    return await changes_answer(operations, await operations.drafts.redo(draft, if_match))


@router.get("/{draft}/changes", response_model=DraftChangesView)
@needs("read")
async def get_draft_changes(
    draft: str, operations: Ops, since: Annotated[int, Query(ge=0, le=LARGEST_NUMBER)]
) -> Response:
    """All that happened to a draft since a revision; 409 where that is too long ago: read it anew."""
    return await changes_answer(operations, await operations.drafts.changes(draft, since))


@router.get("/{draft}/findings")
@needs("read")
async def get_draft_findings(request: Request, opened: OneDraft, operations: Ops) -> DraftFindings:
    """Return what lint says of a draft as it is now, with the addresses and steps that it is about."""
    await unless_gone(request.receive, operations.drafts.findings(opened))
    found = DraftFindings(revision=opened.stored.revision, items=findings_view(opened))
    return found.with_tag(tag_of(opened))


@router.put("/{draft}/editors/{editor}")
@needs("publish", audited="no")
async def sign_editor(
    draft: str, editor: EditorId, sign: EditorSign, operations: Ops
) -> list[EditorView]:
    """Say that a window of yours has a draft open, every 15 seconds; returns all that have."""
    who, drafts = operations.principal, operations.drafts
    await drafts.drafts.see(draft, DraftEditor(editor, who.id, who.label, sign.selected))
    drafts.tell(draft)
    return [EditorView.of(each) for each in await drafts.drafts.editors(draft)]


@router.delete("/{draft}/editors/{editor}", status_code=204)
@needs("publish", audited="no")
async def leave_draft(draft: str, editor: EditorId, operations: Ops) -> None:
    """Say that a window was closed; with your last one, what you write is free."""
    await operations.drafts.drafts.leave(draft, editor, operations.principal.id)
    operations.drafts.tell(draft)


@router.post("/{draft}/writers")
@needs("publish")
async def take_flow(draft: str, wanted: WriterDraft, operations: Ops) -> WriterView:
    """Write a flow, for as long as you edit it or your window is open; 409 where somebody else does."""
    who, drafts = operations.principal, operations.drafts
    opened = await drafts.get(draft)
    if wanted.flow and wanted.flow not in flow_texts(opened.state.source):
        raise ConfigError(
            f"the draft has no flow {wanted.flow!r}", fields={"flow": "is no flow of the draft"}
        )
    taken = await drafts.drafts.take(draft, wanted.flow, who.id, who.label, over=wanted.take_over)
    drafts.tell(draft)
    return WriterView.of(taken)


@router.delete("/{draft}/writers", status_code=204)
@needs("publish", audited="no")
async def free_flow(draft: str, operations: Ops, flow: FlowName = "") -> None:
    """Write a flow no longer, so that others may."""
    await operations.drafts.drafts.free(draft, flow, operations.principal.id)
    operations.drafts.tell(draft)


@router.get("/{draft}/components")
@needs("read")
async def get_draft_components(
    draft: str,
    operations: Ops,
    against: Annotated[
        str | None, Query(max_length=64, description="A component set: an id, a hash, or a name.")
    ] = None,
) -> DraftComponents:
    """Return the component set of a draft, and what would be otherwise with the one to compare with."""
    return await components_view(operations, draft, against)


@router.put("/{draft}/components")
@needs("publish")
async def pin_draft_components(
    draft: str, wanted: ComponentsDraft, operations: Ops
) -> DraftComponents:
    """Pin a component set, in the place of the components that lie in the draft's base.

    Palette, forms, lint, runs, tests and what is published have it from then on; the text stays.
    """
    await operations.drafts.pin_components(draft, wanted.components)
    return await components_view(operations, draft, None)


async def components_view(
    operations: Operations, draft: str, against: str | None
) -> DraftComponents:
    """Return the component set of a draft, compared with another one if there is one to compare with."""
    stored = await operations.drafts.drafts.head(draft)
    found = () if against is None else await operations.drafts.call_changes(stored, against)
    return DraftComponents(
        pinned=(await sets_of(operations, [stored])).get(stored.components or ""),
        changes=[*found],
    )


@router.get("/{draft}/diff")
@needs("read")
async def diff_draft(
    opened: OneDraft,
    operations: Ops,
    against: Annotated[
        str,
        Query(
            max_length=64,
            description="`newest`, `base`, or a version: a number, hash or target.",
        ),
    ] = "newest",
) -> DraftDiff:
    """Return what publishing a draft would change of a version's document."""
    found = await operations.drafts.diff(opened, against)
    return DraftDiff.of(
        found,
        revision=opened.stored.revision,
        against=None if found.against is None else BaseView.of(found.against),
        flows=[FlowDifference(flow=name, change=each) for name, each in found.flows.items()],
    )


@router.post("/{draft}/publish", status_code=201, responses=documented(412))
@needs("publish")
async def publish_draft(
    draft: str, wanted: DraftPublish, operations: Ops, if_match: Revision
) -> DraftPublished:
    """Publish a draft at the revision of `If-Match` as a version, as `halflap deploy` does.

    412 (`OvertakenVersion`) where the newest version is another than its base, with the difference:
    look at it, then send that version's hash as `expect`. What lint calls an error is refused.
    """
    version = await operations.drafts.publish(
        draft, if_match, target=wanted.target or None, expect=wanted.expect, note=wanted.note
    )
    return DraftPublished.of(Published.of(version), revision=if_match)


@router.get("/{draft}/bundle", response_class=Response, responses=WHOLE)
@needs("read")
async def get_draft_bundle(opened: OneDraft, operations: Ops) -> Response:
    """Return a draft with what lies beside its document, as the bundle that it would be published as."""
    bundle = await operations.drafts.bundle(opened.stored)
    return Response(bundle.to_bytes(), media_type=KIND)


@router.post("/{draft}/evaluate")
@needs("publish", audited="no")
async def evaluate_expression(
    opened: OneDraft, given: DraftExpression, operations: Ops
) -> EvaluatedView:
    """Evaluate an expression over a sample, in a process with limits of time and memory."""
    found = await operations.drafts.ask(
        opened, "evaluate", expression=given.expression, sample=given.sample, path=given.path
    )
    return EvaluatedView.model_validate(found)


@router.get("/{draft}/complete")
@needs("read")
async def complete_draft(
    opened: OneDraft,
    operations: Ops,
    line: TextPlace = 1,
    column: TextPlace = 1,
    path: OptionalAddress = None,
    before: Annotated[
        str | None,
        Query(max_length=10_000, description="Half an expression, for the value at `path`."),
    ] = None,
) -> CompletionView:
    """Return what could stand at a place of a draft's text; line and column count from 1.

    With `before`, what could follow half an expression that is not in the text yet.
    """
    place = {"line": line, "column": column, "before": before, "path": address(path or "[]")}
    found = await operations.drafts.ask(opened, "complete", **place)
    return CompletionView.model_validate(found)


@router.get("/{draft}/value")
@needs("read")
async def get_draft_value(opened: OneDraft, operations: Ops, path: AddressText) -> DraftValue:
    """Return the value at an address, as far as the text can be read; of `[]`, the whole document."""
    found = value_at(opened.state.source.data, tuple(address(path)))
    value = await operations.drafts.aside(codec.encode, found)
    return DraftValue(revision=opened.stored.revision, value=value.decode())


@router.get("/{draft}/scope")
@needs("read")
async def get_scope(opened: OneDraft, operations: Ops, path: AddressText) -> list[ScopedView]:
    """Return the names that an expression at an address sees, before any event has come."""
    found = await operations.drafts.ask(opened, "scope", path=address(path))
    return [ScopedView.model_validate(each) for each in found]


@router.get("/{draft}/usages")
@needs("read")
async def list_usages(
    opened: OneDraft,
    operations: Ops,
    name: Annotated[str, Query(max_length=200)],
    flow: Annotated[
        str | None,
        Query(max_length=200, description="Whose steps give the name; none for a flow's."),
    ] = None,
) -> list[UsagePlace]:
    """Return the places where a name of a flow's steps, or of a flow, stands."""
    found = await operations.drafts.ask(opened, "usages", name=name, flow=flow)
    return [UsagePlace.model_validate(each) for each in found]


@router.get("/{draft}/form")
@needs("read")
async def get_call_form(opened: OneDraft, operations: Ops, path: AddressText) -> CallForm:
    """Return the inputs of the action that a step calls, or of a flow's trigger, by its address."""
    found = await operations.drafts.ask(opened, "form", path=address(path))
    if found is None:
        raise NotFound("there is no known action or trigger at this address")
    return CallForm.model_validate(found)


@router.get("/{draft}/palette")
@needs("read")
async def get_palette(
    opened: OneDraft, operations: Ops, q: Annotated[str, Query(max_length=200)] = ""
) -> PaletteView:
    """Return kinds of steps, actions and triggers that a draft may use, by words of their texts."""
    found = await operations.drafts.ask(opened, "palette", search=q)
    return PaletteView.model_validate(found)


def address(text: str) -> list[str | int]:
    """Return an address that is given as JSON; `ConfigError` where it is none."""
    try:
        found: Any = codec.decode(text.encode())
    except codec.NotJson:
        found = None
    if not isinstance(found, list) or not all(
        isinstance(each, str | int) for each in cast("list[Any]", found)
    ):
        raise ConfigError(
            'an address is a list, such as ["flows", "order", "steps", 0]',
            fields={"path": "is no address"},
        )
    return cast("list[str | int]", found)


async def changes_answer(operations: Operations, changes: DraftChanges) -> Response:
    """All that happened to a draft since a revision, as an answer with its tag."""
    return await operations.drafts.aside(exact, await changes_view(operations, changes))


async def changes_view(operations: Operations, changes: DraftChanges) -> DraftChangesView:
    """All that happened to a draft since a revision."""
    opened, now = changes.opened, changes.opened.stored
    bad = opened.state.unreadable
    flows = await operations.drafts.flows(opened)
    names = {each.name for each in flows}
    view = DraftChangesView(
        revision=now.revision,
        patches=[TextEdit.of(each) for each in changes.patches],
        moved=[
            MovedStep(node=f"n{key}", path=None if path is None else plain_path(path))
            for key, path in sorted(changes.moved.items())
        ],
        flows=[each for each in flows if each.name in changes.flows],
        gone=sorted(each for each in changes.flows - names if each),
        unreadable=None if bad is None else UnreadablePlace.of(bad.place, message=bad.said),
    )
    return view.with_tag(tag_of(opened))


async def draft_answer(operations: Operations, opened: OpenedDraft, status: int = 200) -> Response:
    """A draft in full."""
    stored, state = opened.stored, opened.state
    bad = state.unreadable
    bases = [] if stored.base is None else [stored.base]
    base = base_of(stored, await operations.catalogue.versions.numbers(bases))
    pinned = (await sets_of(operations, [stored])).get(stored.components or "")
    flows = await operations.drafts.flows(opened)
    editors = await operations.drafts.drafts.editors(stored.id)
    writers = await operations.drafts.drafts.writers(stored.id)

    def encoded() -> Response:
        view = DraftView.of(
            stored,
            base=base,
            components=pinned,
            text=stored.content,
            unreadable=None if bad is None else UnreadablePlace.of(bad.place, message=bad.said),
            flows=flows,
            findings=None if opened.findings is None else findings_view(opened),
            editors=[EditorView.of(each) for each in editors],
            writers=[WriterView.of(each) for each in writers],
        )
        return exact(view.with_tag(tag_of(opened)), status)

    return await operations.drafts.aside(encoded)  # seconds, of a draft of 400 kB


async def sets_of(
    operations: Operations, drafts: Sequence[StoredDraft]
) -> dict[str, ComponentSetView]:
    """Return the component sets that drafts have pinned, by id."""
    ids = [each.components for each in drafts if each.components is not None]
    found = await operations.catalogue.component_sets.some(ids)
    return {id: ComponentSetView.of(each) for id, each in found.items()}


def tag_of(opened: OpenedDraft) -> str:
    """Return the tag of a draft's revision."""
    return str(opened.stored.revision)


def base_of(draft: StoredDraft, numbers: dict[str, int]) -> BaseView | None:
    """Return the version that a draft began from."""
    if draft.base is None or draft.base not in numbers:
        return None
    return BaseView(number=numbers[draft.base], hash=draft.base)


def findings_view(opened: OpenedDraft) -> list[DraftFinding]:
    """Return the findings of a draft, with the addresses and steps that they are about."""
    source, keys = opened.state.source, opened.state.keys
    places = [(at, path) for part in (source.values, source.keys) for path, at in part.items()]
    places.sort(key=lambda each: (each[0].line, each[0].column, len(each[1])))
    begins = [(at.line, at.column) for at, _ in places]
    found: list[DraftFinding] = []
    for each in opened.findings or ():
        # A finding may stand within a text: the last value that begins before it is the one.
        index = bisect_right(begins, (each.line, each.column)) - 1
        is_whole = index < 0 or (each.line, each.column) == begins[0]
        path = () if is_whole else places[index][1]
        step = next((path[:n] for n in range(len(path), 0, -1) if path[:n] in keys), None)
        found.append(
            DraftFinding.of(
                each,
                instead=INSTEAD[each.code],
                path=plain_path(path),
                node=None if step is None else f"n{keys[step]}",
                fix=None if each.fix is None else fix_view(each.fix),
            )
        )
    return found


def fix_view(fix: Fix) -> FixView:
    """Return a fix as an edit of the text."""
    end = (fix.line, fix.column + fix.length)
    edit = TextEdit(start=(fix.line, fix.column), end=end, text=fix.text)
    return FixView(title=fix.title, edit=edit, choice=fix.choice)
