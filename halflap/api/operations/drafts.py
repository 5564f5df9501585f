"""Drafts of documents: opened, edited by several people at once, taken back and made again."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import unified_diff
from typing import TYPE_CHECKING, Any, Literal, TypeVar, TypeVarTuple

import anyio.to_thread

from halflap.api.operations.draft_runs import DraftRuns
from halflap.api.operations.kinds import PRIVATE
from halflap.api.operations.linting import Linting, declared_for
from halflap.api.operations.turns import TurnQueue
from halflap.api.operations.versions import VersionOperations
from halflap.api.principal import Principal
from halflap.engine.bundle import Bundle, beside_document, check_sources, seal
from halflap.errors import ConfigError, Conflict
from halflap.model import Clock, ComponentSet, StoredDraft, StoredEdit, Version, new_id
from halflap.sdk import codec
from halflap.sdk.budget import Budget, OverBudget
from halflap.store.catalogue.component_sets import ComponentSets
from halflap.store.catalogue.drafts import Drafts
from halflap.store.catalogue.versions import OvertakenVersion

if TYPE_CHECKING:
    from halflap.lowcode import DraftEdit
    from halflap.lowcode.assist.queries import Query
    from halflap.lowcode.lint import Shapes
    from halflap.lowcode.outline import FlowOutline
    from halflap.lowcode.rewrite.edits import ReplaceText
    from halflap.lowcode.rewrite.state import DraftState, StateChange
    from halflap.lowcode.source import Path
    from halflap.sdk.lint import Finding

T = TypeVar("T")
Values = TypeVarTuple("Values")

FlowChange = Literal["added", "removed", "changed"]

AT_ONCE = 2
"""The number of drafts that are read or edited side by side, in threads."""
SECONDS = 5.0
"""Seconds of the processor that a request's work on a document may take."""
READING = "reading a document of this length {}; divide it into several integrations"
EDITING = "making these edits {} in a document of this length; send fewer of them at a time"
COMPARING = (
    "comparing documents of this length {}; compare with a version that is nearer to this one"
)
PACKING = "packing this draft {}; it is with what lies beside it, which has to be less"
MOST_OPEN = 50
"""The most drafts whose values stay in memory."""
MOST_TRIES = 10
"""The number of times that an edit is made anew, as another one came before it."""
TEMPLATE = """\
name: {name}

flows:
  main:
    # Where the app signs what it sends, say so: `with: {{signature: github}}`.
    trigger: webhook.request
    steps:
      - log: An event arrived
"""


class StaleEdit(Conflict):
    """Edits of a draft are for a revision since which somebody has edited the same places."""

    def __init__(self, revision: int, since: Sequence[StoredEdit] | None) -> None:
        super().__init__(
            f"the draft is at revision {revision}, and was edited at these places meanwhile; read what "
            "came since, then make the edit anew"
        )
        self.revision = revision
        self.since = since
        """The edits since the revision; None where that is not known any more."""


@dataclass(slots=True)
class OpenedDraft:
    """A draft at one revision, with its values."""

    stored: StoredDraft
    state: DraftState
    findings: Sequence[Finding] | None = None
    declared: bytes = b""
    """The event types by which its findings were found."""
    _flows: list[FlowOutline] | None = None


@dataclass(frozen=True, slots=True)
class DraftChanges:
    """All that happened to a draft since a revision."""

    opened: OpenedDraft
    patches: tuple[ReplaceText, ...]
    moved: Mapping[int, Path | None]
    flows: frozenset[str]


@dataclass(frozen=True, slots=True)
class DraftDifference:
    """The difference between the document of a version, None where there is none, and a draft.

    flows: those that are not alike, an empty name for what is in none. lines: as a unified diff.
    """

    against: Version | None
    is_newest: bool
    flows: Mapping[str, FlowChange]
    lines: str


@dataclass(frozen=True, slots=True)
class CallChange:
    """An action or a trigger that another set has otherwise, or that only one of both has."""

    name: str
    kind: Literal["action", "trigger"]
    change: FlowChange


@dataclass(slots=True)
class OpenDrafts:
    """The drafts that this process has in memory; the store says whether their revisions are the last."""

    drafts: OrderedDict[str, OpenedDraft] = field(default_factory=OrderedDict[str, OpenedDraft])
    shapes: OrderedDict[str, Shapes] = field(default_factory=OrderedDict[str, "Shapes"])
    turns: TurnQueue = field(default_factory=lambda: TurnQueue(AT_ONCE))

    def put(self, opened: OpenedDraft) -> None:
        """Keep a draft, in the place of one that was used long ago."""
        self.drafts[opened.stored.id] = opened
        self.drafts.move_to_end(opened.stored.id)
        while len(self.drafts) > MOST_OPEN:
            self.drafts.popitem(last=False)


@dataclass(slots=True)
class DraftOperations:
    """Begins drafts, edits and shows them. The store decides which edit makes the next revision."""

    drafts: Drafts
    sets: ComponentSets
    versions: VersionOperations
    linting: Linting
    runs: DraftRuns
    clock: Clock
    principal: Principal
    open: OpenDrafts
    tell: Callable[[str], None]
    """Has the followers of a draft in this process look at once."""

    async def begin(
        self, integration: str, version: str | None, text: str | None, components: str | None
    ) -> OpenedDraft:
        """Begin a draft of a version's document, of a text, or of what begins a new integration.

        `components` names a set that is pinned.
        """
        from halflap.lowcode.rewrite.state import check_text

        pinned = None if components is None else (await self.sets.find(components)).id

        base, file = None, f"{integration.replace('-', '_')}.yaml"
        if version is not None:
            found = await self.versions.get(integration, version)
            entry, files = await self.versions.files(found.hash)
            if ":" in entry:
                raise ConfigError(
                    f"version {found.number} of {integration} is written in Python; only YAML is "
                    "edited here",
                    fields={"version": "is written in Python"},
                )
            base, file, text = found.hash, entry, files[entry]
        elif text is None:
            text = TEMPLATE.format(name=integration)
        elif (latest := await self.versions.catalogue.versions.latest(integration)) is not None:
            base = latest.hash
        check_text(text)
        state = await self.aside(_opened, text, file)
        now = self.clock()
        id = new_id("drf", now=now)
        keys = (state.next_key, *state.keys.values())
        label = self.principal.label
        stored = StoredDraft(id, integration, base, pinned, file, 1, text, keys, now, now, label)
        await self.drafts.add(stored)
        opened = OpenedDraft(stored, state)
        self.open.put(opened)
        return opened

    async def get(self, draft: str) -> OpenedDraft:
        """A draft as it is now; raises `NotFound`."""
        head = await self.drafts.head(draft)
        known = self.open.drafts.get(draft)
        if known is not None and known.stored.revision == head.revision:
            stored = replace(known.stored, base=head.base, components=head.components)
            if known.stored != stored:
                known.stored = stored
                known.findings = known._flows = None
            self.open.drafts.move_to_end(draft)
            return known
        stored = await self.drafts.get(draft)
        state = await self.aside(_opened, stored.content, stored.file, stored.keys)
        opened = OpenedDraft(stored, state)
        self.open.put(opened)
        return opened

    async def remove(self, draft: str) -> None:
        """Delete a draft."""
        await self.drafts.remove(draft)
        self.open.drafts.pop(draft, None)
        self.tell(draft)

    async def flows(self, opened: OpenedDraft) -> list[FlowOutline]:
        """Return the outline of a draft's flows, as far as its text can be read."""
        if opened._flows is None:
            shapes = await self.shapes(opened.stored)
            opened._flows = await self.aside(_outline, opened.state, shapes)
        return opened._flows

    async def findings(self, opened: OpenedDraft) -> Sequence[Finding]:
        """Return what lint says of a draft, beside its components."""
        stored, declared = opened.stored, await self.declared(opened.stored)
        if opened.findings is None or opened.declared != declared:
            own, caller = await self.components(stored), self.principal.id
            content = stored.content.encode()
            found = await self.linting.lint(content, stored.file, own, caller, declared)
            if opened.stored is not stored:  # other components were pinned meanwhile
                return found
            opened.findings, opened.declared = found, declared
        return opened.findings

    async def ask(self, opened: OpenedDraft, query: Query, **given: object) -> Any:
        """Return the answer to a query about a draft, which a process with limits gives."""
        stored = opened.stored
        own, declared = await self.components(stored), await self.declared(stored)
        return await self.linting.ask(
            query, stored.content, stored.file, own, declared, given, self.principal.id
        )

    async def declared(self, stored: StoredDraft) -> bytes:
        """Return the event types of the product that a draft may name, as lint reads them."""
        return await declared_for(stored.content, self.versions.catalogue)

    async def diff(self, opened: OpenedDraft, against: str) -> DraftDifference:
        """Compare a version's document with a draft: the `newest`, its `base`, or another one."""
        stored, versions = opened.stored, self.versions
        newest = await versions.catalogue.versions.latest(stored.integration)
        if against == "newest":
            version = newest
        elif against == "base":
            version = None if stored.base is None else await self._version(stored)
        else:
            version = await versions.get(stored.integration, against)
        text = ""
        if version is not None:
            entry, files = await versions.files(version.hash)
            text = "" if ":" in entry else files[entry]
        flows, lines = await self.aside(_differences, text, opened.state, task=COMPARING)
        return DraftDifference(version, version == newest, flows, lines)

    async def publish(
        self, draft: str, revision: int, *, target: str | None, expect: str | None, note: str
    ) -> Version:
        """Publish a draft at a revision, on top of the newest version: `expect`, or its base."""
        from halflap.lowcode.source import mapping_of

        opened = await self.get(draft)
        stored, state = opened.stored, opened.state
        if stored.revision != revision:
            raise StaleEdit(stored.revision, await self._since(opened, revision))
        if state.unreadable is not None:
            raise state.unreadable
        name = mapping_of(state.source.data).get("name")
        if name != stored.integration:
            raise ConfigError(
                f"the document's name is {name!r}, and the draft is one of {stored.integration!r}; "
                "give it that name, or begin a draft of the other integration",
                fields={"name": f"is not {stored.integration}"},
            )
        bundle = await self.bundle(stored)
        now = None
        if target is not None:
            now = await self.versions.catalogue.versions.target(stored.integration, target)
        try:
            version = await self.versions.publish(
                bundle.to_bytes(),
                target=target,
                expect=now and now.hash,  # it has none that is newer than the one that this follows
                note=note,
                overwrite=False,
                by=self.principal.label,
                follows=expect or stored.base,
            )
        except OvertakenVersion as error:
            error.lines = (await self.diff(opened, "newest")).lines
            raise
        await self.drafts.rebase(draft, version.hash)
        self.tell(draft)
        return version

    async def bundle(self, stored: StoredDraft) -> Bundle:
        """Return a draft as a bundle: what it would be published as."""
        files, needs = await self.files(stored)
        return await self.aside(seal, stored.file, files, needs, task=PACKING)

    async def files(self, stored: StoredDraft) -> tuple[dict[str, bytes], list[str]]:
        """Return a draft's document with what lies beside it, and what that needs."""
        base = pinned = None
        if stored.base is not None:
            base = Bundle.from_bytes(await self.versions.catalogue.versions.bundle(stored.base))
        if stored.components is not None:
            pinned = Bundle.from_bytes(await self.sets.bundle(stored.components))
        known = dict(base.files) if base else {}
        files = await self.aside(beside_document, known, pinned and dict(pinned.files))
        needs = next((each.lock for each in (pinned, base) if each is not None), ())
        return {**files, stored.file: stored.content.encode()}, [each for each, _ in needs]

    async def components(self, stored: StoredDraft) -> bytes:
        """Return the descriptions of a draft's own components: of the pinned set, or else of its base."""
        if stored.components is not None:
            return await self.sets.components(stored.components)
        return b"{}" if stored.base is None else await self.versions.components(stored.base)

    async def publish_components(self, name: str, data: bytes, by: str) -> ComponentSet:
        """Store a bundle of components, which are loaded, as the next set of a name."""
        if name.startswith("cset_"):
            raise ConfigError(
                f"the name {name!r} looks like the id of another set; choose one that does not begin so",
                fields={"name": "begins with cset_"},
            )
        bundle = await self.aside(_component_bundle, data)
        described = await self.runs.describe_set(data, self.principal.id)
        names = codec.decode(described)
        return await self.sets.publish(name, bundle.hash, data, described, names, by)

    async def pin_components(self, draft: str, named: str | None) -> None:
        """Pin a component set: its id, its hash, or a name for the newest of that; None for none."""
        found = None if named is None else await self.sets.find(named)
        await self.drafts.pin_components(draft, found and found.id)
        self.tell(draft)

    async def call_changes(self, stored: StoredDraft, named: str) -> list[CallChange]:
        """Return what is added, gone or otherwise where a set takes the place of a draft's components."""
        after = await self.sets.components((await self.sets.find(named)).id)
        return await self.aside(_call_changes, await self.components(stored), after)

    async def _version(self, stored: StoredDraft) -> Version:
        assert stored.base is not None
        return await self.versions.catalogue.versions.get(stored.base)

    async def shapes(self, stored: StoredDraft) -> Shapes:
        """Return the components that a draft may use: installed ones, and its own."""
        key = stored.components or stored.base or ""
        known = self.open.shapes.get(key)
        if known is None:
            known = await self.aside(_shapes, await self.components(stored))
            self.open.shapes[key] = known
            while len(self.open.shapes) > MOST_OPEN:
                self.open.shapes.popitem(last=False)
        return known

    # Edits --------------------------------------------------------------------------------------

    async def edit(
        self,
        draft: str,
        revision: int,
        edits: Sequence[DraftEdit],
        batch: str = "",
        token: str | None = None,
    ) -> DraftChanges:
        """Make edits for a revision, and return what happened to the draft since that one.

        Where others have edited it meanwhile, they are made all the same, as long as they are of
        other places; else `StaleEdit`. `token` makes them count once, however often they are sent.
        """

        async def make(opened: OpenedDraft) -> tuple[DraftState, StateChange]:
            if opened.stored.revision == revision:
                return await self.aside(opened.state.edited, edits, task=EDITING)
            since = await self._since(opened, revision)
            return await self.aside(_made_late, opened, since, edits, task=EDITING)

        asked = digest_of(edits)
        for _ in range(MOST_TRIES):
            made = token and await self.drafts.made(draft, self.principal.id, token)
            if made:
                if codec.decode(made.encode()).get("asked", asked) != asked:
                    raise ConfigError(
                        "this token is that of other operations, which were made; give each edit its own",
                        fields={"token": "is that of another edit"},
                    )
                break
            opened = await self.get(draft)
            made = await make(opened)
            # Who leaves ends what is computed for them, and leaves no half of a write.
            storing = self._advance(opened, made, "edit", batch, token, asked=asked)
            if await asyncio.shield(storing):
                break
        else:
            raise Conflict("the draft is edited too often just now; try again")
        return await self.changes(draft, revision)

    async def undo(self, draft: str, revision: int) -> DraftChanges:
        """Take back the latest edits of who asks: one, or those of its group."""
        return await self._again(draft, revision, "undo")

    async def redo(self, draft: str, revision: int) -> DraftChanges:
        """Make again what who asks took back last, unless they have edited the draft since."""
        return await self._again(draft, revision, "redo")

    async def changes(self, draft: str, revision: int) -> DraftChanges:
        """Return all that happened to a draft since a revision; `StaleEdit` where that is unknown."""
        opened = await self.get(draft)
        patches: list[ReplaceText] = []
        moved: dict[int, Path | None] = {}
        flows: set[str] = set()
        for each in await self._since(opened, revision):
            change = read_change(each)
            patches += change.patches
            moved |= dict(change.moved)
            flows |= {*change.flows}
        return DraftChanges(opened, tuple(patches), moved, frozenset(flows))

    async def _since(self, opened: OpenedDraft, revision: int) -> Sequence[StoredEdit]:
        now = opened.stored.revision
        if revision == now:
            return ()
        found = await self.drafts.edits(opened.stored.id, revision)
        found = [each for each in found if each.revision <= now]
        if revision > now or [each.revision for each in found] != list(
            range(revision + 1, now + 1)
        ):
            raise StaleEdit(now, None)
        return found

    async def _again(self, draft: str, revision: int, kind: str) -> DraftChanges:
        for _ in range(MOST_TRIES):
            opened = await self.get(draft)
            mine = await self.drafts.edits_by(draft, self.principal.id)
            backs = _to_undo(mine) if kind == "undo" else _to_redo(mine)
            if not backs:
                raise Conflict(f"there is nothing to {kind}")
            since = await self._since(opened, backs[-1].revision - 1)
            made = await self.aside(_taken_back, opened, since, backs, task=EDITING)
            if await self._advance(opened, made, kind, "", None, backs):
                return await self.changes(draft, revision)
        raise Conflict("the draft is edited too often just now; try again")

    async def _advance(
        self,
        opened: OpenedDraft,
        made: tuple[DraftState, StateChange],
        kind: str,
        batch: str,
        token: str | None,
        undoes: Iterable[StoredEdit] = (),
        asked: str = "",
    ) -> bool:
        state, change = made
        stored, who = opened.stored, self.principal
        new = replace(
            stored,
            revision=stored.revision + 1,
            content=state.text,
            keys=(state.next_key, *state.keys.values()),
            changed_at=self.clock(),
            changed_by=who.label,
        )
        edit = StoredEdit(
            new.revision, who.id, who.label, kind, batch, written(change, asked), 0, new.changed_at
        )
        numbers = [each.revision for each in undoes]
        if not await self.drafts.advance(new, edit, change.flows, token=token, undoes=numbers):
            return False
        self.open.put(OpenedDraft(new, state))
        self.tell(new.id)
        return True

    async def aside(self, work: Callable[[*Values], T], *values: *Values, task: str = READING) -> T:
        """Do in a thread what may take long, a few at a time, callers in rotation.

        It ends where it takes longer than `SECONDS`, or who asks has gone; `task` says what it was,
        and what to do about it.
        """
        budget = Budget(SECONDS)

        def spent() -> T:
            with budget.running():
                return work(*values)

        async with self.open.turns.of(self.principal.id):
            try:
                return await anyio.to_thread.run_sync(spent)
            except OverBudget as error:
                raise ConfigError(task.format(f"takes longer than {SECONDS:g} s")) from error
            finally:
                budget.cancel()


def _opened(text: str, file: str, keys: Sequence[int] = (1,)) -> DraftState:
    from halflap.lowcode.rewrite.state import DraftState

    return DraftState.open(text, file, keys[1:], keys[0])


def _component_bundle(data: bytes) -> Bundle:
    bundle = Bundle.from_bytes(data)
    check_sources(dict(bundle.files))
    return bundle


def _shapes(own: bytes) -> Shapes:
    from halflap.lowcode.lint import Shapes, read_shapes

    return Shapes(own=read_shapes(own))


def _call_changes(before: bytes, after: bytes) -> list[CallChange]:
    """Compare two descriptions of components, by action and by trigger."""
    found: list[CallChange] = []
    one, other = codec.decode(before), codec.decode(after)
    kinds: Mapping[str, Literal["action", "trigger"]] = {
        "actions": "action",
        "triggers": "trigger",
    }
    for owner in sorted({*one, *other}):
        for part, kind in kinds.items():
            old, new = (each.get(owner, {}).get(part, {}) for each in (one, other))
            changes: dict[str, FlowChange] = {
                name: "added" if name not in old else "removed" if name not in new else "changed"
                for name in sorted({*old, *new})
                if _plain_call(old.get(name)) != _plain_call(new.get(name))
            }
            found += [CallChange(f"{owner}.{name}", kind, how) for name, how in changes.items()]
    return found


def _plain_call(call: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return a call without what each bundle has another of: its place, its module's private name."""
    if call is None:
        return None
    connection = [PRIVATE.sub("", each) for each in call["connection"] or ()]
    return {**call, "connection": connection, "file": None, "line": None}


def _differences(text: str, state: DraftState) -> tuple[dict[str, FlowChange], str]:
    from halflap.lowcode.rewrite.state import flow_texts

    one, two = flow_texts(_opened(text, state.source.file).source), flow_texts(state.source)
    flows: dict[str, FlowChange] = {
        name: "added" if name not in one else "removed" if name not in two else "changed"
        for name in {**one, **two}
        if one.get(name) != two.get(name)
    }
    lines = unified_diff(text.splitlines(), state.text.splitlines(), lineterm="", n=3)
    return flows, "\n".join(lines)


def _outline(state: DraftState, shapes: Shapes) -> list[FlowOutline]:
    from halflap.lowcode.assist.analysis import titles_of
    from halflap.lowcode.outline import outline_document

    return outline_document(state.source, titles_of(shapes), state.keys).flows


def _made_late(
    opened: OpenedDraft, since: Sequence[StoredEdit], edits: Sequence[DraftEdit]
) -> tuple[DraftState, StateChange]:
    """Make edits for an earlier revision at that one, and what they came to at the last one."""
    from halflap.lowcode.rewrite.state import EVERYTHING

    theirs = [read_change(each) for each in since]
    text = _text_before(opened.state.text, theirs)
    _, ours = _opened(text, opened.stored.file).edited(edits)
    for one, other in ((ours, each) for each in theirs):
        names = {*one.renamed, *other.renamed}
        if EVERYTHING in names or names & {*one.flows} & {*other.flows}:
            raise StaleEdit(opened.stored.revision, since)
    state, change = _merged(opened, since, text, ours.patches, theirs)
    return state, replace(change, renamed=ours.renamed)


def _taken_back(
    opened: OpenedDraft, since: Sequence[StoredEdit], backs: Sequence[StoredEdit]
) -> tuple[DraftState, StateChange]:
    """Take edits back, the latest first, whatever others have made of other places since."""
    state = opened.state
    changes = [(each.revision, read_change(each)) for each in since]
    patches: list[ReplaceText] = []
    for back in backs:
        later = [change for revision, change in changes if revision > back.revision]
        text = _text_before(state.text, later)
        here = OpenedDraft(opened.stored, state)
        state, change = _merged(here, since, text, read_change(back).undo, later)
        patches += change.patches
        changes.append((opened.stored.revision + 1, change))
    return opened.state.edited(patches)


def _merged(
    opened: OpenedDraft,
    since: Sequence[StoredEdit],
    text: str,
    ours: Sequence[ReplaceText],
    theirs: Sequence[StateChange],
) -> tuple[DraftState, StateChange]:
    from halflap.lowcode.rewrite.merge import rebased

    patches = rebased(text, ours, [each for one in theirs for each in one.patches])
    if patches is None:
        raise StaleEdit(opened.stored.revision, since)
    return opened.state.edited(patches)


def _text_before(text: str, changes: Sequence[StateChange]) -> str:
    from halflap.lowcode.rewrite.merge import patched

    for each in reversed(changes):
        text = patched(text, each.undo)
    return text


def _to_undo(mine: Sequence[StoredEdit]) -> list[StoredEdit]:
    """Return the edits that are taken back next, of somebody's edits: the latest first."""
    found: list[StoredEdit] = []
    for each in mine:
        if each.kind == "undo" or each.undone:
            continue
        if found and (not each.batch or each.batch != found[0].batch):
            break
        found.append(each)
    return found


def _to_redo(mine: Sequence[StoredEdit]) -> list[StoredEdit]:
    """Return the undo that is taken back next, if nothing was edited since."""
    for each in mine:
        if each.kind == "edit":
            return []
        if each.kind == "undo" and not each.undone:
            return [each]
    return []


def digest_of(edits: Sequence[DraftEdit]) -> str:
    """Return the digest of edits as they were asked for."""
    plain = codec.encode([each.model_dump() for each in edits])
    return hashlib.blake2b(plain, digest_size=16).hexdigest()


def written(change: StateChange, asked: str) -> str:
    """Return a change as JSON, with the digest of the edits that were asked for."""
    plain: dict[str, Any] = {
        "patches": [each.model_dump() for each in change.patches],
        "undo": [each.model_dump() for each in change.undo],
        "moved": change.moved,
        "flows": change.flows,
        "renamed": change.renamed,
        "asked": asked,
    }
    return codec.encode(plain).decode()


def read_change(edit: StoredEdit) -> StateChange:
    """Return the change of an edit that `written` wrote."""
    from halflap.lowcode.rewrite.edits import ReplaceText
    from halflap.lowcode.rewrite.state import StateChange

    plain = codec.decode(edit.change.encode())
    return StateChange(
        tuple(ReplaceText.model_validate(each) for each in plain["patches"]),
        tuple(ReplaceText.model_validate(each) for each in plain["undo"]),
        tuple((key, None if path is None else tuple(path)) for key, path in plain["moved"]),
        tuple(plain["flows"]),
        tuple(plain["renamed"]),
    )
