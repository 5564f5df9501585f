"""A document that is being edited: read a value, set it, insert, delete and move, and add a test."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from functools import partial
from itertools import count as count_from
from textwrap import dedent
from typing import Any, cast

from halflap.errors import DefinitionError
from halflap.lowcode.kinds import kind_of
from halflap.lowcode.rewrite import model, write
from halflap.lowcode.rewrite.edits import (
    DeleteValue,
    DraftChange,
    DraftEdit,
    DuplicateItem,
    InsertItem,
    MoveItem,
    PasteItems,
    RenameField,
    RenameFlow,
    RenameName,
    RenamePage,
    ReorderMember,
    ReplaceText,
    SetValue,
    StaleDraft,
    WrapItems,
    difference,
    offsets,
    step_paths,
)
from halflap.lowcode.rewrite.layout import COMMENT, Layout
from halflap.lowcode.rewrite.merge import patched
from halflap.lowcode.rewrite.names import (
    Change,
    field_renamed,
    flow_renamed,
    names_in,
    page_renamed,
    renamed,
)
from halflap.lowcode.rewrite.text import Patch, UnwritableEdit, shared_ends, shifted
from halflap.lowcode.rewrite.tree import Entry, TextNode
from halflap.lowcode.rewrite.write import LineWriter
from halflap.lowcode.scalar import scalar
from halflap.lowcode.source import Path, SourceText, Unreadable, read
from halflap.sdk.budget import EVERY, spend

BOM = b"\xef\xbb\xbf"
_COMMA = re.compile(r"(?:\s*,)?")
_COPY: Path = ("flows", "copy", "steps")
_HEADER = re.compile(r"[|>][-+0-9]*")


class Draft:
    """A document's text, and its edits.

    A path is as `SourceText` has it: `("flows", "orders", "steps", 0, "with")`. Values are JSON's, with
    `Decimal` for fractions. Raises `UnwritableEdit` where an edit cannot be made as it was asked for.
    """

    def __init__(self, source: SourceText, *, marked: bool = False) -> None:
        self._marked = marked
        self._write = LineWriter()
        self.revision = 0
        """The number of edits; each edit, or batch of them, makes the next one."""
        self._begins = 0
        """Where the text is another one by the edit that is made."""
        self._take(source)

    @classmethod
    def read(cls, content: bytes | str, file: str) -> Draft:
        """Open a document; `Unreadable` where it is none."""
        marked = isinstance(content, bytes) and content.startswith(BOM)
        return cls(read(content, file), marked=marked)

    @property
    def source(self) -> SourceText:
        """The document as it stands now."""
        return self._here.source

    def copy(self) -> Draft:
        """Another draft of the document as it stands now."""
        made = Draft(self._here.source, marked=self._marked)
        made._here = self._here  # whose places may be known
        made.revision = self.revision
        return made

    def to_bytes(self) -> bytes:
        """The text as it stands now, for the file."""
        return (BOM if self._marked else b"") + self._here.source.text.encode()

    def value(self, path: Path = ()) -> Any:
        """A value, as plain data; `UnwritableEdit` where there is none."""
        return model.value_at(self._here.source.data, path, self._here.refused)

    # Batches ----------------------------------------------------------------------------------

    def apply(self, edits: Sequence[DraftEdit], revision: int | None = None) -> DraftChange:
        """Make edits one after another, all of them or none; each sees what the one before has made.

        `revision` is the one that they were made for: `StaleDraft` where the document has another.
        """
        if revision is not None and revision != self.revision:
            raise StaleDraft(self.revision, revision)
        before, number = self._here.source, self.revision
        patches: list[ReplaceText] = []
        undo: list[ReplaceText] = []
        try:
            for each in edits:
                spend(EVERY)  # each reads the text anew
                text = self._here.source.text
                self._begins = len(text)
                self._make(each)
                if text != self._here.source.text:
                    patch, inverse = difference(text, self._here.source.text, self._begins)
                    patches.append(patch)
                    undo.insert(0, inverse)
        except Exception:
            self._take(before)
            self.revision = number
            raise
        self.revision = number + 1
        return DraftChange(self.revision, tuple(patches), tuple(undo))

    def _make(self, edit: DraftEdit) -> None:
        """Make one edit."""
        match edit:
            case SetValue(path=path, value=value, after=after):
                self.set(path, value, after=after)
            case InsertItem(path=path, at=at, value=value):
                self.insert(path, min(at, len(self._items(path))), value)
            case DeleteValue(path=path):
                self.delete(path)
            case MoveItem(path=path, to=to, at=at):
                self._place(path)
                self.move(path, to, min(at, len(self._items(to))))
            case WrapItems(path=path, count=count, value=value, into=into):
                self._wrap(path, count, value, into)
            case DuplicateItem(path=path):
                self.insert(path[:-1], self._place(path) + 1, self._copied(path))
            case PasteItems(path=path, at=at, text=text):
                at = min(at, len(self._items(path)))
                for n, (value, lines) in enumerate(self._pasted(path, text)):
                    self._whole(partial(self._insert, path, at + n, value, lines))
            case RenameName(flow=flow, name=name, to=new):
                self.rename(flow, name, new)
            case RenameField(name=name, to=new):
                self.rename_field(name, new)
            case RenamePage(name=name, to=new):
                self.rename_page(name, new)
            case ReorderMember(path=path, before=before):
                self.reorder(path, before)
            case RenameFlow(name=name, to=new):
                self.rename_flow(name, new)
            case ReplaceText():
                self._retype(edit)

    def _items(self, path: Path) -> Sequence[Any]:
        """The items of a list; none where it is not written yet."""
        found = self.value(path) if self._here.at(path) is not None else None
        if found is not None and not isinstance(found, list):
            raise self._here.refused("this is no list of steps or other items", path)
        return cast("list[Any]", found or [])

    def _place(self, path: Path) -> int:
        """The place of an item in its list."""
        self.value(path)
        if not path or isinstance(path[-1], bool) or not isinstance(path[-1], int):
            raise self._here.refused("this is no step, nor another item of a list", path)
        return path[-1]

    def _wrap(self, path: Path, count: int, value: Any, into: Path) -> None:
        holder, at = path[:-1], self._place(path)
        if at + count > len(self._items(holder)):
            raise self._here.refused(f"there are no {count} items from here on", path)
        if not into:
            raise self._here.refused("`into` names the block that the steps are put into", path)
        made = deepcopy(value)
        block = made
        for name in into[:-1]:
            block = block.setdefault(name, {})
        inside = len(block.setdefault(into[-1], []))
        self.insert(holder, at, made)
        for each in range(count):
            self.move((*holder, at + 1), (*holder, at, *into), inside + each)

    def _copied(self, path: Path) -> Any:
        """A copy of a step, whose results have names that its flow has not."""
        step: Any = self.value(path)
        if path[0] != "flows" or not isinstance(step, dict):
            return step
        alone: Any = {"flows": {"copy": {"steps": [cast("Any", step)]}}}
        made = self._named_anew(Draft.read(write.inline(alone), self._here.source.file), path)
        return made.value((*_COPY, 0))

    def _pasted(self, path: Path, text: str) -> list[tuple[Any, list[str]]]:
        """Steps of a text, whose results have names that the flow has not, with their lines."""
        lines = dedent(text).strip("\n").splitlines()
        block = "\n".join(f"      {line}" for line in lines)
        try:
            made = Draft.read(f"flows:\n  copy:\n    steps:\n{block}\n", self._here.source.file)
        except Unreadable as error:
            raise self._here.refused(f"this text is no YAML: {error.said}", path) from error
        steps = made.value(_COPY)
        if isinstance(steps, dict):
            steps = [cast("Any", steps)]
            made = Draft.read(write.inline({"flows": {"copy": {"steps": steps}}}), "")
        if (
            not isinstance(steps, list)
            or not steps
            or not all(map(_is_begun, cast("list[Any]", steps)))
        ):
            raise self._here.refused("this text is no step, nor a list of steps", path)
        if path[0] == "flows":
            made = self._named_anew(made, path)
        found: list[tuple[Any, list[str]]] = []
        for at, value in enumerate(made.value(_COPY)):
            whole = not made._here.in_flow((*_COPY, at))
            lines = made._here.lines((*_COPY, at)) if whole else self._write.item(value, 0)
            found.append((value, lines))
        return found

    def _named_anew(self, made: Draft, path: Path) -> Draft:
        """Give the results in a flow `copy` of another document names that a flow here has not."""
        steps = path[: path.index("steps") + 1]
        known = names_in(self._here.source, steps) if self._here.at(steps) else set[str]()
        try:
            for place in list(step_paths(made.source.data)):
                name = made.value(place).get("id")
                if isinstance(name, str) and name in known:
                    new = next(f"{name}_{n}" for n in count_from(2) if f"{name}_{n}" not in known)
                    made.rename("copy", name, new)
                    known.add(new)
        except DefinitionError as error:
            raise self._here.refused(
                f"its names cannot be made new: {error.message}", path
            ) from error
        return made

    def _retype(self, edit: ReplaceText) -> None:
        """Replace a piece of the text by hand."""
        source = self._here.source
        self._begins, _ = offsets(source.text, edit)
        try:
            self._take(read(patched(source.text, [edit]), source.file))
        except Unreadable as error:
            raise UnwritableEdit(error.said, where=error.where) from error
        self.revision += 1

    # Edits ------------------------------------------------------------------------------------

    def set(self, path: Path, value: Any, *, after: Any = None) -> None:
        """Make a value another one, or add a member: behind the member `after`, else as the last.

        Of a mapping or a list only what differs is written, so that comments in the rest stay.
        """
        value = model.plain(value)
        self._whole(lambda: self._set(path, value, after))

    def insert(self, path: Path, at: int, value: Any) -> None:
        """Insert an item into a list, which is made where there is none."""
        value = model.plain(value)
        self._whole(lambda: self._insert(path, at, value, self._write.item(value, 0)))

    def delete(self, path: Path) -> None:
        """Delete a member or an item, with the comments that stand directly above it."""
        self._whole(lambda: self._delete(path))

    def move(self, path: Path, to: Path, at: int) -> None:
        """Move an item into a list, before its item `at`: both as they are before the move.

        Its comments go with it. `to` may be its own list.
        """
        if to[: len(path)] == path:
            raise self._here.refused("a step cannot be moved into itself", to)
        self._whole(lambda: self._move(path, to, at))

    def rename(self, flow: str, old: str, new: str) -> None:
        """Rename what a flow's steps give a name, with all its uses: an `id`, a variable, an item."""
        self._rename(renamed(self._here.source, flow, old, new))

    def rename_flow(self, old: str, new: str) -> None:
        """Rename a flow, with all that names it: calls, routes, tests, and the name of its URL."""
        self._rename(flow_renamed(self._here.source, old, new))

    def rename_field(self, old: str, new: str) -> None:
        """Rename a field of the config, with all that names it: expressions, connections, tests."""
        self._rename(field_renamed(self._here.source, old, new))

    def rename_page(self, old: str, new: str) -> None:
        """Rename a page of the config; its fields stay on it, and nothing else names it."""
        self._rename(page_renamed(self._here.source, old, new))

    def reorder(self, path: Path, before: Any = None) -> None:
        """Put a member of a mapping before another one, or at its end; its comments go with it."""
        self._whole(lambda: self._reorder(path, before))

    def _rename(self, changes: Iterable[Change]) -> None:
        def change() -> None:
            for path, value, as_key in changes:
                if as_key:
                    self._rename_key(path, value)
                else:
                    self._reword(path, value)

        self._whole(change)

    def add_test(self, test: Mapping[str, Any]) -> None:
        """Add a test to the document's own, as the last."""
        value = model.plain(test)
        at = len(self._here.source.data.get("tests") or ())
        self._whole(lambda: self._insert(("tests",), at, value, self._write.behind(value, 2, "- ")))

    # Their parts ------------------------------------------------------------------------------

    def _set(self, path: Path, value: Any, after: Any) -> None:
        if path and self._here.at(path) is None:
            self._add(path, value, after)
            return
        old = self.value(path)
        if model.same(old, value):
            return
        node = self._here.at(path)
        if node is not None and node.kind == "alias":
            self._replace(path, value)
        elif isinstance(old, dict) and isinstance(value, dict) and (old.keys() & value.keys()):
            self._merge(path, cast("dict[Any, Any]", old), cast("dict[Any, Any]", value))
        elif isinstance(old, list) and isinstance(value, list) and old and value:
            self._align(path, cast("list[Any]", old), cast("list[Any]", value))
        else:
            self._replace(path, value)

    def _move(self, path: Path, to: Path, at: int) -> None:
        value = self.value(path)
        if self._here.in_flow(()):
            lines = self._write.item(value, 0)
        else:
            self._open(path[:-1])
            self._open(to)
            lines = self._here.lines(path)
        self._delete(path)
        to, at = model.shifted(path, to, at)
        self._insert(to, at, value, lines)

    def _reorder(self, path: Path, before: Any) -> None:
        entry, holder = self._here.entry(path), self._here.node(path[:-1])
        if holder.kind != "mapping":
            raise self._here.refused("this is no member of a mapping; move an item instead", path)
        follows = None if before is None else self._here.entry((*path[:-1], before))
        if follows is entry:
            return
        wanted = [each for each in holder.entries if each is not entry]
        wanted.insert(len(wanted) if follows is None else wanted.index(follows), entry)
        text = self._here.text
        if holder.flow:
            places = [(each, (each.start, each.value.end)) for each in holder.entries]
        elif all(text.leads(each.start) for each in holder.entries):
            places = [(each, (text.first(each), text.last(each))) for each in holder.entries]
        else:
            raise self._here.refused("this member stands beside a dash; write it below first", path)
        stands = {each.name: text.text[start:end] for each, (start, end) in places}
        patches = [
            Patch(start, end, stands[now.name])
            for (was, (start, end)), now in zip(places, wanted, strict=True)
            if was is not now
        ]
        self._apply(patches, self._here.source.data, path)
        if [*self.value(path[:-1])] != [each.name for each in wanted]:
            raise self._here.refused("this cannot be written as it stands", path)

    def _merge(self, path: Path, old: dict[Any, Any], value: dict[Any, Any]) -> None:
        """Make a mapping another one, member by member."""
        for name in old.keys() - value.keys():
            self._delete((*path, name))
        before: Any = None
        for name, each in value.items():
            self._set((*path, name), each, before)
            before = name

    def _align(self, path: Path, old: list[Any], value: list[Any]) -> None:
        """Make a list another one: what is the same at its beginning and its end stays."""
        first, last = shared_ends(old, value, model.same)
        both = min(len(old), len(value)) - first - last
        for at in range(first, first + both):
            self._set((*path, at), value[at], None)
        at = first + both
        for _ in range(len(old) - last - at):
            self._delete((*path, at))
        for place in range(at, len(value) - last):
            self._insert(path, place, value[place], self._write.item(value[place], 0))

    def _add(self, path: Path, value: Any, after: Any) -> None:
        """Add a member."""
        holder, name = path[:-1], path[-1]
        held, node = self.value(holder), self._here.at(holder)
        if not isinstance(held, dict) or node is None or node.kind != "mapping":
            raise self._here.refused("this is no mapping, to which a member could be added", holder)
        if not node.entries and "#" not in self._here.text.text[node.start : node.end]:
            self._replace(holder, {name: value})
            return
        if not node.entries:
            text = f"{scalar(name, flow=True)}: {write.inline(value)} "
            patch = Patch(node.start + 1, node.start + 1, text)
            self._apply([patch], model.added(self._here.source.data, holder, name, value), path)
            return
        before = next((each for each in node.entries if each.name == after), node.entries[-1])
        if node.flow:
            text = f", {scalar(name, flow=True)}: {write.inline(value)}"
            patch = Patch(before.value.end, before.value.end, text)
        else:
            lines = self._write.member(name, value, self._here.text.column(node.entries[0].start))
            apart = self._here.text.apart(node.entries, node.entries.index(before) + 1)
            patch = self._here.below(before, lines, apart=apart)
        wanted = model.added(self._here.source.data, holder, name, value)
        self._apply([patch], wanted, path)

    def _replace(self, path: Path, value: Any, first: int | None = None) -> None:
        """Write another value in the place of one, of a block from the line that begins at `first`."""
        entry, node = self._here.entry(path), self._here.node(path)
        wanted = model.replaced(self._here.source.data, path, value)
        if self._here.in_flow(path):
            text = write.inline(value) if not isinstance(value, str) else self._quoted(value, node)
            self._apply([_inline(entry, node, text)], wanted, path)
            return
        text, column = self._here.text, self._here.text.column(entry.start)
        used = entry.marker - text.line_start(entry.start)
        head, below = self._write.placed(value, column, used, node.style)
        below_key = "\n" in text.text[entry.marker : node.start]
        block = node.kind in ("list", "mapping") and not node.flow
        if block and not below_key:  # `- a: 1`, which goes on below
            lines = self._compact(value, text.column(node.start), used)
            patches = [Patch(node.start, text.last(node.entries[-1]), text.joined(lines))]
        elif below_key:
            start = text.line_start(node.start) if first is None else first
            end = text.last(node.entries[-1]) if block else text.line_end(node.end)
            patches = [Patch(entry.marker, entry.marker, " " + head if head else "")]
            patches.append(
                Patch(start, end, text.joined(below)) if below else text.without(start, end)
            )
        else:
            patches = self._beside(entry, node, head, below)
        self._apply(patches, wanted, path)

    def _compact(self, value: Any, column: int, used: int) -> list[str]:
        """A value as it stands behind a dash."""
        if isinstance(value, dict | list) and not write.fits(value, used):
            return self._write.behind(value, column)
        head, rest = self._write.placed(value, column - 2, used)
        return [head, *rest]

    def _beside(self, entry: Entry, node: TextNode, head: str, below: list[str]) -> list[Patch]:
        """Replace what begins on its key's line; a comment there stays."""
        text = self._here.text
        if node.style in ("|", ">"):
            found = _HEADER.match(text.text, node.start)
            assert found is not None
            first = text.line_end(node.start)
            rest = "".join(text.newline + each for each in below)
            return [Patch(node.start, found.end(), head), Patch(first, node.end, rest)]
        patches = [_inline(entry, node, head)]
        return [*patches, text.below(node.end, below)] if below else patches

    def _insert(self, path: Path, at: int, value: Any, lines: Sequence[str]) -> None:
        """Insert an item; `lines` are its text, from the first column on."""
        node = self._here.at(path)
        if node is None or not self.value(path):
            self._begin(path, value, lines)
            return
        if node.kind != "list":
            raise self._here.refused("this is no list, into which an item could be inserted", path)
        at = max(0, min(at, len(node.entries)))
        wanted = model.inserted(self._here.source.data, path, at, value)
        if node.flow and (self._here.in_flow(()) or self._goes_inside(node, value)):
            self._apply([_among(node, at, write.inline(value))], wanted, path)
            return
        self._open(path)
        node = self._here.node(path)
        column = self._here.text.column(node.entries[0].start)
        lines = shifted(lines, column)
        apart = self._here.apart(path, node, at)
        if at == len(node.entries):
            patch = self._here.below(node.entries[-1], lines, apart=apart)
        else:
            patch = self._here.above(node.entries[at], lines, apart=apart)
        self._apply([patch], wanted, path)

    def _begin(self, path: Path, value: Any, lines: Sequence[str]) -> None:
        """Make a list of one item, where there is none or an empty one."""
        if self._here.in_flow(path):
            self._set(path, [value], None)
            return
        if self._here.at(path) is None:
            self._add(path, [], None)
        elif self.value(path) is None:
            self._replace(path, [])
        entry, node = self._here.entry(path), self._here.node(path)
        text = self._here.text
        wanted = model.inserted(self._here.source.data, path, 0, value)
        start = len(text.text[: node.start].rstrip(" "))
        comments = COMMENT.findall(text.text[node.start : node.end])
        below = shifted([*comments, *lines], text.column(entry.start) + 2)
        patches = [Patch(max(start, entry.marker), node.end, ""), text.below(node.end, below)]
        self._apply(patches, wanted, path)

    def _delete(self, path: Path) -> None:
        holder = self._here.node(path[:-1])
        entry = self._here.entry(path)
        if len(holder.entries) == 1 and path[:-1] and not self._commented(holder, entry):
            leads = not holder.flow and self._here.text.leads(entry.start)
            first = self._here.text.first(entry) if leads else None
            self._replace(path[:-1], [] if holder.kind == "list" else {}, first)
            return
        wanted = model.deleted(self._here.source.data, path)
        text = self._here.text
        if holder.flow:
            patches = list(self._taken(holder, entry))
        elif text.leads(entry.start):
            patches = [text.without_entry(holder.entries, holder.entries.index(entry))]
        else:  # the first member of an item: the next one takes its place on the dash's line
            following = holder.entries[1]
            between = text.text[entry.value.end : following.start]
            end = entry.value.end if "#" in between else following.start
            patches = [Patch(entry.start, end, "")]
        self._apply(patches, wanted, path)

    def _commented(self, holder: TextNode, entry: Entry) -> bool:
        """Return whether there are comments in braces or brackets beside their only entry."""
        text = self._here.text.text
        around = text[holder.start : entry.start] + text[entry.value.end : holder.end]
        return holder.flow and "#" in around

    def _taken(self, holder: TextNode, entry: Entry) -> Iterator[Patch]:
        """Take a member or an item out of braces or brackets; comments between them stay."""
        if len(holder.entries) == 1:
            found = _COMMA.match(self._here.text.text, entry.value.end)
            assert found is not None
            yield Patch(entry.start, found.end(), "")
            return
        at = holder.entries.index(entry)
        last = at == len(holder.entries) - 1
        one, two = (
            (holder.entries[at - 1].value.end, entry.start)
            if last
            else (entry.value.end, holder.entries[at + 1].start)
        )
        between = self._here.text.text[one:two]
        if "#" not in between:
            yield Patch(one, entry.value.end, "") if last else Patch(entry.start, two, "")
            return
        comma = one + COMMENT.sub(lambda found: " " * len(found[0]), between).index(",")
        yield Patch(comma, comma + 1, "")
        yield Patch(entry.start, entry.value.end, "")

    def _reword(self, path: Path, value: str) -> None:
        """Write another text in the quotes, or the block, that it had."""
        node, old = self._here.node(path), self.value(path)
        raw = self._here.text.text[node.start : node.end]
        if raw.count(old) != 1:  # it has escapes, or several lines
            self._replace(path, value)
            return
        patch = Patch(node.start, node.end, raw.replace(old, value))
        self._apply([patch], model.replaced(self._here.source.data, path, value), path)

    def _rename_key(self, path: Path, name: str) -> None:
        entry = self._here.entry(path)
        patch = Patch(entry.start, entry.key_end, scalar(name, flow=self._here.in_flow(path)))
        self._apply([patch], model.renamed(self._here.source.data, path, name), path)

    # Lists in brackets ------------------------------------------------------------------------

    def _open(self, path: Path) -> None:
        """Write a list of steps that stands in brackets as a block, and what it stands in."""
        for length in range(1, len(path) + 1):
            node = self._here.at(path[:length])
            if node is not None and node.flow and node.entries:
                patches = self._here.unfolded(path[:length], node)
                self._apply(patches, self._here.source.data, path)

    def _quoted(self, value: str, node: TextNode) -> str:
        return scalar(value, flow=True, style=node.style if node.style in ("'", '"') else None)

    def _goes_inside(self, node: TextNode, value: Any) -> bool:
        """Return whether an item is put into brackets: it is no step, and short."""
        column = self._here.text.column(node.end)
        return not write.is_step(value) and write.fits(value, column)

    # Applying ---------------------------------------------------------------------------------

    def _apply(self, patches: Sequence[Patch], wanted: Any, path: Path) -> None:
        self._begins = min([self._begins, *(each.start for each in patches)])
        text = self._here.text.patched(patches)
        try:
            source = read(text, self._here.source.file)
        except Unreadable as error:
            raise self._here.refused(
                f"this cannot be written as it stands ({error.said})", path
            ) from error
        if not model.same(source.data, wanted):
            raise self._here.refused(
                "this cannot be written as it stands; edit the text by hand", path
            )
        self._take(source)

    def _take(self, source: SourceText) -> None:
        self._here = Layout(source)

    def _whole(self, edit: Callable[[], None]) -> None:
        """All of an edit, or nothing of it."""
        before = self._here.source
        for blocks in (True, False):  # what would swallow the comment below it is written in quotes
            self._write = LineWriter(blocks=blocks)
            try:
                edit()
            except Exception as error:
                self._take(before)
                if not blocks or not isinstance(error, UnwritableEdit):
                    raise
            else:
                self.revision += 1
                return


def _is_begun(value: Any) -> bool:
    return isinstance(value, dict) and kind_of(cast("dict[Any, Any]", value)) is not None


def _inline(entry: Entry, node: TextNode, text: str) -> Patch:
    """Another text in the place of a value that stands on its key's line."""
    if node.start == node.end:  # nothing was written
        mark = ":" if entry.marker == entry.key_end != entry.start else ""
        return Patch(entry.marker, entry.marker, f"{mark} {text}" if text else mark)
    return Patch(node.start if text else entry.marker, node.end, text)


def _among(node: TextNode, at: int, text: str) -> Patch:
    """Another item in brackets."""
    if at < len(node.entries):
        start = node.entries[at].start
        return Patch(start, start, f"{text}, ")
    end = node.entries[-1].value.end
    return Patch(end, end, f", {text}")
