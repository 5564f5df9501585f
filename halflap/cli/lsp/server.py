"""The language server: the protocol's side of `halflap.lowcode.assist` and of lint."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from lsprotocol import types as lsp
from lsprotocol.types import Position, Range
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer
from pygls.uris import from_fs_path, to_fs_path

import halflap
from halflap.cli.project import COMPONENTS, STORE, find_root
from halflap.errors import DefinitionError
from halflap.lowcode.assist import (
    Analysis,
    CompletionOffer,
    LineEdit,
    Symbol,
    analyse,
    complete,
    definition,
    explain,
    is_document,
    named_at,
    places,
    renaming,
    symbols,
)
from halflap.lowcode.assist.loose import lines_of
from halflap.lowcode.lint import Shapes, lint_text
from halflap.lowcode.lint.describing import stored_components
from halflap.sdk.budget import Budget, OverBudget
from halflap.sdk.lint import Finding, Fix

QUIET = 0.2
"""Seconds without a change after which a document is linted."""
UNUSED = "HF111"
NOT_RENAMED = (
    "only a flow is renamed here, or what a step gives: its `id`, a variable, an item, an error"
)
ANOTHER = "a_name_that_no_document_has"
T = TypeVar("T")

_KINDS = {
    "key": lsp.CompletionItemKind.Property,
    "step": lsp.CompletionItemKind.Keyword,
    "value": lsp.CompletionItemKind.EnumMember,
    "name": lsp.CompletionItemKind.Variable,
    "field": lsp.CompletionItemKind.Field,
    "function": lsp.CompletionItemKind.Function,
    "action": lsp.CompletionItemKind.Method,
    "trigger": lsp.CompletionItemKind.Event,
    "flow": lsp.CompletionItemKind.Reference,
}
_SYMBOLS = {
    "field": lsp.SymbolKind.Field,
    "flow": lsp.SymbolKind.Function,
    "step": lsp.SymbolKind.Event,
    "test": lsp.SymbolKind.Method,
}


@dataclass(slots=True)
class OpenDocument:
    """A document that an editor has open."""

    analysis: Analysis | None = None
    found: tuple[str, list[Finding]] = ("", [])
    """The findings of a text."""
    linting: asyncio.Task[None] | None = None
    budget: Budget = field(default_factory=Budget)
    """Of the lint that runs in another thread, where one does."""

    def cancel(self) -> None:
        """End the lint of a text that is not the present one."""
        if self.linting is not None:
            self.linting.cancel()
        self.budget.cancel()


class EditorServer:
    """Answers an editor. What takes long is done beside the loop, so that it always listens."""

    def __init__(self) -> None:
        # Whole texts: pygls takes what only Python calls a line's end for one, and would misplace
        # the parts of a text that has it.
        whole = lsp.TextDocumentSyncKind.Full
        self.editor = LanguageServer("halflap", halflap.__version__, whole)
        self.projects = Projects()
        self.opened: dict[str, OpenDocument] = {}

    def show(self, uri: str, found: list[lsp.Diagnostic], version: int | None = None) -> None:
        """Have the editor show what was found in a document, in place of what it shows."""
        told = lsp.PublishDiagnosticsParams(uri, found, version)
        self.editor.text_document_publish_diagnostics(told)

    def say(self, text: str) -> None:
        """Have the editor tell its user why something was not done."""
        told = lsp.ShowMessageParams(lsp.MessageType.Warning, text)
        self.editor.window_show_message(told)

    def text_of(self, uri: str) -> tuple[str, int | None]:
        """Return the present text of a document, and its version."""
        document = self.editor.workspace.get_text_document(uri)
        return document.source, document.version

    async def beside(self, uri: str, ask: Callable[[Analysis], T]) -> T:
        """Ask of a document's present text, in another thread."""
        text = self.editor.workspace.get_text_document(uri).source
        opened = self.opened.setdefault(uri, OpenDocument())

        def work() -> T:
            analysis = opened.analysis
            shapes, _ = self.projects.shapes(_path(uri))
            with Budget().running():
                if analysis is None or analysis.text != text or analysis.shapes is not shapes:
                    analysis = opened.analysis = analyse(text, _name(uri), shapes)
                return ask(analysis)

        try:
            return await asyncio.to_thread(work)
        except OverBudget as error:
            raise JsonRpcException(f"{error}; split the integration", -32803) from None

    def lint_later(self, uri: str, after: float = QUIET) -> None:
        """Lint a document once nobody has typed for a while."""
        opened = self.opened.setdefault(uri, OpenDocument())
        opened.cancel()
        opened.budget = Budget()
        opened.linting = asyncio.get_running_loop().create_task(self._lint(uri, after))

    async def _lint(self, uri: str, after: float) -> None:
        await asyncio.sleep(after)
        text, version = self.text_of(uri)
        budget = self.opened.setdefault(uri, OpenDocument()).budget

        def work() -> list[lsp.Diagnostic]:
            positions = Positions(text)
            return [_diagnostic(each, positions) for each in self._found(uri, text, budget)]

        with suppress(OverBudget):  # the text has changed, and is linted anew
            self.show(uri, await asyncio.to_thread(work), version)

    def _found(self, uri: str, text: str, budget: Budget) -> list[Finding]:
        """Return the findings of a document's text."""
        shapes, _ = self.projects.shapes(_path(uri))
        found = lint_text(text, _name(uri), shapes, budget) if is_document(text) else []
        self.opened.setdefault(uri, OpenDocument()).found = (text, found)
        return found

    async def fixes(self, params: lsp.CodeActionParams) -> list[lsp.CodeAction]:
        """Return the fixes of the findings at a place."""
        uri = params.text_document.uri
        text = self.editor.workspace.get_text_document(uri).source
        opened = self.opened.setdefault(uri, OpenDocument())

        def work() -> list[lsp.CodeAction]:
            known, found = opened.found
            positions = Positions(text)
            mended = found if known == text else self._found(uri, text, Budget())
            return [
                _action(uri, each, each.fix, positions)
                for each in mended
                if each.fix is not None and _meet(params.range, _range(each, each.fix, positions))
            ]

        return await asyncio.to_thread(work)

    def forget(self, uri: str) -> None:
        """A document was closed: what was found in it is taken back."""
        opened = self.opened.pop(uri, None)
        if opened is not None:
            opened.cancel()
        self.show(uri, [])


def made() -> LanguageServer:
    """A server with all that it answers."""
    server = EditorServer()
    editor = server.editor

    @editor.feature(lsp.TEXT_DOCUMENT_DID_OPEN)
    def _(params: lsp.DidOpenTextDocumentParams) -> None:
        server.lint_later(params.text_document.uri, 0)

    @editor.feature(lsp.TEXT_DOCUMENT_DID_CHANGE)
    def _(params: lsp.DidChangeTextDocumentParams) -> None:
        server.lint_later(params.text_document.uri)

    @editor.feature(lsp.TEXT_DOCUMENT_DID_SAVE)
    def _(params: lsp.DidSaveTextDocumentParams) -> None:
        for uri in [*server.opened]:  # what was saved may be a component that others name
            server.lint_later(uri)

    @editor.feature(lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    def _(params: lsp.DidChangeWatchedFilesParams) -> None:
        for uri in [*server.opened]:
            server.lint_later(uri)

    @editor.feature(lsp.TEXT_DOCUMENT_DID_CLOSE)
    def _(params: lsp.DidCloseTextDocumentParams) -> None:
        server.forget(params.text_document.uri)

    @editor.feature(
        lsp.TEXT_DOCUMENT_COMPLETION,
        lsp.CompletionOptions(trigger_characters=[".", "=", "$", " ", ":", "{", "["]),
    )
    async def _(params: lsp.CompletionParams) -> lsp.CompletionList:
        return await server.beside(params.text_document.uri, lambda it: _completed(it, params))

    @editor.feature(lsp.TEXT_DOCUMENT_HOVER)
    async def _(params: lsp.HoverParams) -> lsp.Hover | None:
        return await server.beside(params.text_document.uri, lambda it: _hover(it, params))

    @editor.feature(lsp.TEXT_DOCUMENT_DEFINITION)
    async def _(params: lsp.DefinitionParams) -> lsp.Location | None:
        uri = params.text_document.uri

        def ask(analysis: Analysis) -> lsp.Location | None:
            return _location(analysis, params, uri, server.projects)

        return await server.beside(uri, ask)

    @editor.feature(
        lsp.TEXT_DOCUMENT_CODE_ACTION, lsp.CodeActionOptions([lsp.CodeActionKind.QuickFix])
    )
    async def _(params: lsp.CodeActionParams) -> list[lsp.CodeAction]:
        return await server.fixes(params)

    @editor.feature(lsp.TEXT_DOCUMENT_REFERENCES)
    async def _(params: lsp.ReferenceParams) -> list[lsp.Location]:
        uri = params.text_document.uri

        def ask(analysis: Analysis) -> list[lsp.Location]:
            positions = Positions(analysis.text)
            named = named_at(analysis, params.position.line, positions.column(params.position))
            found = [] if named is None else places(analysis, named)
            return [lsp.Location(uri, _place(each, positions)) for each in found]

        return await server.beside(uri, ask)

    @editor.feature(lsp.TEXT_DOCUMENT_PREPARE_RENAME)
    async def _(params: lsp.PrepareRenameParams) -> lsp.Range | None:
        def ask(analysis: Analysis) -> lsp.Range | None:
            positions = Positions(analysis.text)
            line, column = params.position.line, positions.column(params.position)
            named = named_at(analysis, line, column)
            if named is None:
                raise DefinitionError(NOT_RENAMED)
            for each in renaming(analysis, named, ANOTHER):
                if each.line == line and each.start <= column <= each.end:
                    return _place(each, positions)
            return None

        try:
            return await server.beside(params.text_document.uri, ask)
        except DefinitionError as error:
            server.say(error.message)
            return None

    @editor.feature(lsp.TEXT_DOCUMENT_RENAME, lsp.RenameOptions(prepare_provider=True))
    async def _(params: lsp.RenameParams) -> lsp.WorkspaceEdit | None:
        uri = params.text_document.uri

        def ask(analysis: Analysis) -> lsp.WorkspaceEdit | None:
            positions = Positions(analysis.text)
            named = named_at(analysis, params.position.line, positions.column(params.position))
            if named is None:
                raise DefinitionError(NOT_RENAMED)
            edits = renaming(analysis, named, params.new_name)
            return lsp.WorkspaceEdit(
                {uri: [lsp.TextEdit(_place(each, positions), each.text) for each in edits]}
            )

        try:
            return await server.beside(uri, ask)
        except DefinitionError as error:
            server.say(error.message)
            return None

    @editor.feature(lsp.TEXT_DOCUMENT_DOCUMENT_SYMBOL)
    async def _(params: lsp.DocumentSymbolParams) -> list[lsp.DocumentSymbol]:
        def ask(analysis: Analysis) -> list[lsp.DocumentSymbol]:
            positions = Positions(analysis.text)
            return [_symbol(each, positions) for each in symbols(analysis)]

        return await server.beside(params.text_document.uri, ask)

    return editor


def serve() -> None:
    """Serve an editor over standard input and output, until it says that it leaves."""
    # The protocol has standard output to itself, and closes it; what else is printed goes elsewhere.
    with redirect_stdout(sys.stderr), os.fdopen(os.dup(1), "wb") as out:
        made().start_io(stdout=out)


# Into the protocol ----------------------------------------------------------------------------


def _diagnostic(finding: Finding, positions: Positions) -> lsp.Diagnostic:
    severe = finding.severity == "error"
    return lsp.Diagnostic(
        positions.of_yaml(finding.line, finding.column),
        finding.message,
        lsp.DiagnosticSeverity.Error if severe else lsp.DiagnosticSeverity.Warning,
        finding.code,
        source="halflap",
        tags=[lsp.DiagnosticTag.Unnecessary] if finding.code == UNUSED else None,
    )


def _range(finding: Finding, fix: Fix, positions: Positions) -> lsp.Range:
    """From a finding to what would be changed, whichever comes first."""
    one = positions.of_yaml(finding.line, finding.column)
    other = positions.part(fix.line, fix.column, fix.length)
    return lsp.Range(min(one.start, other.start), max(one.end, other.end))


def _meet(one: lsp.Range, other: lsp.Range) -> bool:
    return one.start <= other.end and other.start <= one.end


def _action(uri: str, finding: Finding, fix: Fix, positions: Positions) -> lsp.CodeAction:
    edit = lsp.TextEdit(positions.part(fix.line, fix.column, fix.length), fix.text)
    return lsp.CodeAction(
        fix.title[:1].upper() + fix.title[1:],
        lsp.CodeActionKind.QuickFix,
        [_diagnostic(finding, positions)],
        is_preferred=not fix.choice,
        edit=lsp.WorkspaceEdit({uri: [edit]}),
    )


def _place(edit: LineEdit, positions: Positions) -> lsp.Range:
    return positions.range(edit.line, edit.start, edit.end)


def _completed(analysis: Analysis, params: lsp.CompletionParams) -> lsp.CompletionList:
    positions = Positions(analysis.text)
    line, column = params.position.line, positions.column(params.position)
    if not is_document(analysis.text, begun=True):
        return lsp.CompletionList(is_incomplete=False, items=[])
    found = complete(analysis, line, column)
    place = positions.range(line, found.start, column)
    items = [_item(each, place) for each in found.offers]
    return lsp.CompletionList(is_incomplete=False, items=items)


def _item(offer: CompletionOffer, place: lsp.Range) -> lsp.CompletionItem:
    said = lsp.MarkupContent(lsp.MarkupKind.Markdown, offer.help) if offer.help else None
    return lsp.CompletionItem(
        offer.label,
        kind=_KINDS[offer.kind],
        detail=offer.detail or None,
        documentation=said,
        sort_text=f"{offer.rank}{offer.label}",
        filter_text=offer.written,
        text_edit=lsp.TextEdit(place, offer.written),
    )


def _hover(analysis: Analysis, params: lsp.HoverParams) -> lsp.Hover | None:
    positions = Positions(analysis.text)
    told = explain(analysis, params.position.line, positions.column(params.position))
    if told is None:
        return None
    said = lsp.MarkupContent(lsp.MarkupKind.Markdown, told.text)
    return lsp.Hover(said, positions.range(told.line, told.start, told.end))


def _location(
    analysis: Analysis, params: lsp.DefinitionParams, uri: str, projects: Projects
) -> lsp.Location | None:
    positions = Positions(analysis.text)
    found = definition(analysis, params.position.line, positions.column(params.position))
    if found is None:
        return None
    line, column = found.place.line - 1, found.place.column - 1
    if found.file is None:
        return lsp.Location(uri, positions.range(line, column, column + found.length))
    _, root = projects.shapes(_path(uri))
    target = None if root is None else from_fs_path(str(root / found.file))
    if target is None:
        return None
    return lsp.Location(target, lsp.Range(lsp.Position(line, 0), lsp.Position(line, 0)))


def _symbol(symbol: Symbol, positions: Positions) -> lsp.DocumentSymbol:
    line, column = symbol.place.line - 1, symbol.place.column - 1
    name = positions.range(line, column, len(positions.lines[line]))
    last = len(positions.lines[symbol.end - 1])
    whole = lsp.Range(name.start, positions.position(symbol.end - 1, last))
    inner = [_symbol(each, positions) for each in symbol.inner]
    return lsp.DocumentSymbol(
        symbol.name, _SYMBOLS[symbol.kind], whole, name, symbol.detail or None, children=inner
    )


def _path(uri: str) -> Path | None:
    found = to_fs_path(uri)
    return Path(found) if uri.startswith("file:") and found else None


def _name(uri: str) -> str:
    return uri.rpartition("/")[2] or "document"


_LSP_BREAK = re.compile(r"\r\n|\n|\r")
_YAML_BREAK = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")
_WORD = re.compile(r"[^\s,\[\]{}]+")


class Positions:
    """Converts places of one text. YAML breaks lines at more characters than the protocol does."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def lines(self) -> list[str]:
        """The lines as the protocol has them."""
        return lines_of(self.text)

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *(each.end() for each in _LSP_BREAK.finditer(self.text))]

    @cached_property
    def _yaml_starts(self) -> list[int]:
        return [0, *(each.end() for each in _YAML_BREAK.finditer(self.text))]

    def position(self, line: int, column: int) -> Position:
        """A place of the editing room (from 0, in characters) as a position."""
        line = max(0, min(line, len(self.lines) - 1))
        return Position(line, units(self.lines[line][: max(0, column)]))

    def range(self, line: int, start: int, end: int) -> Range:
        """A part of a line as a range."""
        return Range(self.position(line, start), self.position(line, end))

    def column(self, position: Position) -> int:
        """The column in characters; one within a character is before it."""
        line = self.lines[position.line] if position.line < len(self.lines) else ""
        left = position.character
        for at, char in enumerate(line):
            left -= 2 if char > "\uffff" else 1
            if left < 0:
                return at
        return len(line)

    def part(self, line: int, column: int, length: int) -> Range:
        """A part of a line, at a place of lint (from 1, as YAML counts)."""
        at, here = self._found(line, column)
        return self.range(at, here, here + length)

    def of_yaml(self, line: int, column: int) -> Range:
        """The word at a place of lint (from 1, as YAML counts)."""
        at, here = self._found(line, column)
        found = _WORD.match(self.lines[at], here)
        return self.range(at, here, found.end() if found else here + 1)

    def _found(self, line: int, column: int) -> tuple[int, int]:
        starts = self._yaml_starts
        offset = min(starts[min(line, len(starts)) - 1] + column - 1, len(self.text))
        at = bisect_right(self._starts, offset) - 1
        return at, offset - self._starts[at]


def units(text: str) -> int:
    """Return the length of a text in UTF-16 units."""
    return len(text) + sum(char > "\uffff" for char in text)


LARGEST = 1024 * 1024
"""Of a source that is read."""


@dataclass(slots=True)
class Projects:
    """Reads the components of each project once, and again where one has changed."""

    _known: dict[Path, tuple[tuple[tuple[str, int], ...], Shapes]] = field(
        default_factory=dict[Path, tuple[tuple[tuple[str, int], ...], Shapes]]
    )
    _roots: dict[Path, Path] = field(default_factory=dict[Path, Path])
    _alone: Shapes = field(default_factory=Shapes)

    def shapes(self, file: Path | None) -> tuple[Shapes, Path | None]:
        """Return the shapes that a document may name, and its project's folder."""
        root = None if file is None else self._root(file.parent)
        if root is None:
            return self._alone, None
        stamps: list[tuple[str, int]] = []
        for path in (*_modules(root), root / STORE / COMPONENTS):
            with suppress(OSError):
                stamps.append((path.relative_to(root).as_posix(), path.stat().st_mtime_ns))
        known = self._known.get(root)
        if known is None or known[0] != tuple(stamps):
            known = self._known[root] = (tuple(stamps), _read(root, [name for name, _ in stamps]))
        return known[1], root

    def _root(self, folder: Path) -> Path | None:
        if folder not in self._roots:
            with suppress(DefinitionError, OSError):
                self._roots[folder] = find_root(folder)
        return self._roots.get(folder)


def _read(root: Path, names: list[str]) -> Shapes:
    files: dict[str, str] = {}
    for name in names:
        if not name.endswith(".py"):
            continue
        with suppress(OSError):
            files[name] = (root / name).read_bytes()[:LARGEST].decode("utf-8", "replace")
    return Shapes(own=stored_components(root / STORE / COMPONENTS, files))


def _modules(root: Path) -> Iterator[Path]:
    """The sources that a component may be in."""
    with suppress(OSError):
        found = {*root.glob("*.py")}
        for each in root.glob("[!.]*/__init__.py"):
            found |= {*each.parent.glob("*.py"), *each.parent.glob("*/*.py")}
        yield from sorted(found)
