"""Lints a document: everything that is wrong with it, found without running or fetching anything."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from math import inf
from typing import Any

from halflap.errors import DefinitionError
from halflap.lowcode.builder import build
from halflap.lowcode.config import check_condition, conditions_in, default_of
from halflap.lowcode.document import ONE_CALL, ConnectionField, Document, PlainField, TestPart
from halflap.lowcode.fixes import MOST_CHARACTERS, instead_of, quoted_expression, quoted_value
from halflap.lowcode.foreign import explained
from halflap.lowcode.frame import SCOPE
from halflap.lowcode.kinds import KINDS
from halflap.lowcode.kinds.role import Gives
from halflap.lowcode.kinds.walk import fields_of
from halflap.lowcode.lint import habits, rules
from halflap.lowcode.lint.calls import Calls, Connected
from halflap.lowcode.lint.examples import Examples, Results
from halflap.lowcode.lint.expressions import leaves, read_all, splits
from halflap.lowcode.lint.flow import REQUEST, FlowLint, check_trigger, endless, waits_of
from halflap.lowcode.lint.reader import Notes, TemplateReader, names_of_flow
from halflap.lowcode.lint.rules import Findings, TooMany, suggest
from halflap.lowcode.lint.scope import Names, Schema, ScopedName
from halflap.lowcode.lint.shapes import Shapes
from halflap.lowcode.lint.state import FlowState
from halflap.lowcode.repair import repaired
from halflap.lowcode.routing import ONES_OWN
from halflap.lowcode.scalar import scalar
from halflap.lowcode.scoping import Layered
from halflap.lowcode.shape import MOST_FINDINGS, NotADocument, document_of
from halflap.lowcode.source import Path, Place, SourceText, Unreadable, held, mapping_of, read
from halflap.lowcode.template import is_expression
from halflap.sdk.budget import Budget, OverBudget, is_cancelled, spend
from halflap.sdk.condition import condition_faults, listed
from halflap.sdk.lint import (
    Finding,
    Fix,
    carries_secret,
    kept,
    looks_secret,
    names_secret,
    reads_as_secret,
)

_VALUE = re.compile(r"(?:[:{\[,]|^\s*-)\s*=(?!=)")
"""An expression, up to its `=`."""


_BRACES = re.compile(r":\s+(?P<braces>\$?\{\{\s*(?P<inner>[^{}]{1,200}?)\s*\}\})\s*$")
_PLAIN = re.compile(r"^\s*(?:- +)*[\w.-]+:\s+(?P<value>[^\"'\s\[{].*?)\s*$")
"""A value that stands alone on its line, without quotes."""

MOST_TRIED = 5
"""The number of ways that are tried to mend a text that cannot be read."""


def lint_text(
    content: bytes | str, file: str, shapes: Shapes, budget: Budget | None = None
) -> list[Finding]:
    """Lint a document's text, in order of place.

    Over its budget it ends with what was found so far, and a finding that says so. Raises
    `OverBudget` where the budget was cancelled.
    """
    with (budget or Budget(inf)).running():
        return _lint_text(content, file, shapes)


def _lint_text(content: bytes | str, file: str, shapes: Shapes) -> list[Finding]:
    try:
        source = read(content, file)
    except Unreadable as error:
        place, text = (
            error.place,
            content if isinstance(content, str) else content.decode(errors="replace"),
        )
        lines = text.splitlines()
        line = lines[place.line - 1] if place.line <= len(lines) else ""
        line = line if len(line) <= MOST_CHARACTERS else ""
        if (braces := _BRACES.search(line)) is not None and braces.start("braces") < place.column:
            meant = habits.meant(braces["inner"], SCOPE) or braces["inner"]
            column = braces.start("braces") + 1
            said = f"braces mean nothing here; write ={meant}"
            fix = Fix(f"write ={meant}", place.line, column, len(braces["braces"]), f"={meant}")
            return [Finding(file, place.line, column, rules.UNREADABLE, said, fix=fix)]
        said = error.said
        if error.indent is not None:
            indent = len(line) - len(line.lstrip())
            wanted = _indent_of(lines, place.line) or error.indent
            said = said.replace(f"by {error.indent}", f"by {wanted}")
            fix = Fix(f"indent it by {wanted}", place.line, 1, indent, " " * wanted)
        elif (found := _else_if(lines, place.line)) is not None and "stands here twice" in said:
            place, fix = found, None
            said = f"an if step has no `elif`; {explained('if', 'elif')}"
        elif "in quotes" in error.said:
            fix = quoted_value(lines, place.line, place.column)
        else:
            fix = _readable(text, file, place.line)
        return [Finding(file, place.line, place.column, rules.UNREADABLE, said, fix=fix)]
    return lint(source, shapes)


_KEY = re.compile(r"(?P<before>\s*(?:- +)*)(?P<key>\w+):(?:\s|$)")
_ELSE_IF = re.compile(r"(?P<before>\s*)(?:el(?:se ?)?|els)if:")


def _indent_of(lines: Sequence[str], line: int) -> int | None:
    """Return how far a key of a step is indented: as the nearest other key of its kind above."""
    found = _KEY.match(lines[line - 1])
    if found is None or "-" in found["before"]:
        return None
    kinds = [{each.key for each in fields_of(kind)} for kind in KINDS.values()]
    beside = {each for keys in kinds if found["key"] in keys for each in keys} & {*KINDS}
    for above in reversed(lines[: line - 1]):
        key = _KEY.match(above)
        if key is not None and key["key"] in beside:
            return len(key["before"])
    return None


def _else_if(lines: Sequence[str], line: int) -> Place | None:
    """Return the place of an `elif` above a line, at the same indent."""
    key = _KEY.match(lines[line - 1]) if 0 < line <= len(lines) else None
    for at in range(line - 1, 0, -1):
        found = _ELSE_IF.match(lines[at - 1])
        if found is not None and key is not None and found["before"] == key["before"]:
            return Place(at, len(found["before"]) + 1)
    return None


def _readable(text: str, file: str, line: int) -> Fix | None:
    """Quotes on a line, or the one above, by which a text can be read."""
    lines = text.splitlines()
    for at in (line, line - 1):
        before = lines[at - 1] if 0 < at <= len(lines) else ""
        for found in islice(_VALUE.finditer(before), MOST_TRIED):
            fix = quoted_expression(lines, at, found.end())
            if fix is not None and _reads(fix, lines, file):
                return fix
        plain = _PLAIN.match(before) if len(before) <= MOST_CHARACTERS else None
        if plain is not None:
            value, start = plain["value"], plain.start("value") + 1
            fix = Fix("quote the text", at, start, len(value), scalar(value, style='"'))
            if _reads(fix, lines, file):
                return fix
    return None


def _reads(fix: Fix, lines: Sequence[str], file: str) -> bool:
    """Return whether a text can be read once it is mended."""
    try:
        read("\n".join(fix.applied(lines)), file)
    except Unreadable:
        return False
    return True


def lint(source: SourceText, shapes: Shapes) -> list[Finding]:
    """Lint a document that was read, in order of place."""
    findings = Findings(source)
    try:
        _check(source, shapes, findings)
    except TooMany:
        said = f"there are more than {len(findings.found):,} findings; mend these first"
        last = max(len(source.lines), 1)
        findings.found.append(Finding(source.file, last, 1, rules.SHAPE, said))
    except OverBudget as error:
        if is_cancelled():
            raise
        findings.found.append(over_budget(source.file, str(error)))
    return kept(findings.found, {source.file: source.lines})


def over_budget(file: str, problem: str) -> Finding:
    """Return the finding of a document that could not be linted to its end."""
    message = f"{problem}; split the integration, or make its expressions shorter"
    return Finding(file, 1, 1, rules.UNREADABLE, message)


def _check(source: SourceText, shapes: Shapes, findings: Findings) -> None:
    _secrets(source, findings)
    split: set[Path] = set()
    for path, rest in splits(source):
        split.add(rest)
        said = f"YAML splits this at a comma, and makes a key of `{rest[-1]}`"
        findings.add(rules.CUT, path, f"{said}; quote the whole expression", mend=quoted_expression)
    try:
        document = document_of(source)
    except NotADocument as error:
        places = {source.key(path) for path in split}
        findings.found += [
            each for each in error.findings if Place(each.line, each.column) not in places
        ]
        _check_rest(source, shapes, findings)
    else:
        _Linter(source, document, shapes, findings).check()
        if shapes.complete and not findings.errors:
            _build(source, shapes, findings)


BESIDE = frozenset(
    (
        rules.UNPARSED, rules.CUT, rules.READS_LIKE_EXPRESSION, rules.LITERAL_CONDITION,
        rules.SUBSCRIPT, rules.FIELD_OF_LENGTH, rules.UNFIT, rules.UNKNOWN, rules.NO_FIELD,
        rules.NO_SUCH, rules.OPEN_SECRET, rules.CODE, rules.NAMELESS,
    )
)  # fmt: skip
"""Rules that a part of a document breaks, whatever is wrong with others."""
_NAMED = re.compile(r"there is no name '(\w+)'|''")


def _check_rest(source: SourceText, shapes: Shapes, findings: Findings) -> None:
    """Check what fits into a document of one that does not; what is left out may be missed."""
    made = repaired(source)
    if made is None:
        return
    aside = Findings(source)
    with suppress(TooMany):
        _Linter(made[0], made[1], shapes, aside).check()
    given = set(_names_given(source.data))
    there = {(each.line, each.column) for each in findings.found}
    for each in aside.found:
        named = _NAMED.search(each.message)
        doubtful = named is not None and (named[1] is None or named[1] in given)
        full = len(findings.found) >= MOST_FINDINGS
        if each.code in BESIDE and not (doubtful or full or (each.line, each.column) in there):
            findings.found.append(each)


def _names_given(data: Any) -> Iterator[str]:
    """Yield all that may be a name in scope, wherever it stands."""
    keys = {each.key for kind in KINDS.values() for each in fields_of(kind) if each.role(Gives)}
    for value, path in held(data):
        if path and path[-1] in keys:
            yield str(value)
        if path and not isinstance(path[-1], int):
            yield from map(str, mapping_of(value))


def names_at(source: SourceText, document: Document, shapes: Shapes, path: Path) -> Names:
    """The names that an expression at a place of a document sees, as far as it has been written."""
    findings = Findings(source)
    notes = Notes(path)
    linter = _Linter(source, document, shapes, findings)
    linter.walk(str(path[1]) if len(path) > 1 else "", notes)
    return notes.names


def _build(source: SourceText, shapes: Shapes, findings: Findings) -> None:
    """Find what only shows once all parts are put together."""
    try:
        build(source, shapes.components)
    except DefinitionError as error:
        where = error.where or ""
        line, column = (*where.removeprefix(f"{source.file}:").split(":"), "1")[:2]
        placed = line.isdigit() and column.isdigit()
        said = error.message.removeprefix(f"{where}: ")
        findings.add_at(rules.DEFINITION, *((int(line), int(column)) if placed else (1, 1)), said)


def _secrets(source: SourceText, findings: Findings) -> None:
    """Secrets that stand in the text."""
    for value, path in leaves(source.data):
        spend()
        if isinstance(value, str):
            name = str(path[-1]) if path else ""
            name = str(path[-2]) if name == "default" and len(path) > 1 else name
            instead = "have the customer fill it in, in a connection"
            if looks_secret(value) or (path[:1] != ("tests",) and names_secret(value)):
                said = f"this looks like a secret in plain text; {instead}"
                findings.add(rules.PLAIN_SECRET, path, said)
            elif (
                path[:1] != ("tests",)
                and not value.startswith("=")
                and (reads_as_secret(name, value) or carries_secret(name, value))
            ):
                said = f"{name} is given in plain text; {instead}"
                findings.add(rules.PLAIN_SECRET, path, said)


class _Linter:
    def __init__(
        self, source: SourceText, document: Document, shapes: Shapes, findings: Findings
    ) -> None:
        self._source = source
        self._document = document
        self._shapes = shapes
        self._findings = findings
        self._read: set[str] = set()
        self._known = document.fields
        self._results = Results(document, self._told_by, endless(document.flows))
        self._common = Layered(names_of_flow(document))

    def check(self) -> None:
        calls = self._calls(self._findings)
        for path, field in self._fields():
            self._field(calls, path, field)
        for name in (*self._document.flows, *self._document.preprocess):
            self._flow(name, calls)
        self._tests(calls)
        if "*" not in self._read:
            for path, field in self._fields():
                name = str(path[-1])
                if isinstance(field, PlainField) and name not in self._read:
                    said = f"nothing reads config.{name}; remove it"
                    self._findings.add(rules.UNUSED, path, said, key=True)

    def walk(self, name: str, notes: Notes) -> None:
        """Go through one flow, for what its places see."""
        self._flow(name, self._calls(self._findings), notes)

    def _flow(self, name: str, calls: Calls, notes: Notes | None = None) -> None:
        if name in self._document.flows:
            FlowLint(
                self._document, name, calls, self._read, self._results, self._common, notes
            ).check()
        elif name in self._document.preprocess:
            reader = TemplateReader(self._findings, self._read, notes=notes)
            check_preprocess(self._document, name, calls, reader, self._common)

    def _told_by(self, name: str) -> list[Schema | None]:
        """Go through one flow for what others read of it; what is wrong with it is told elsewhere."""
        flow: FlowLint | None = None
        with suppress(TooMany):
            calls = self._calls(Findings(self._source))
            flow = FlowLint(self._document, name, calls, set(), self._results, self._common)
            flow.check()
        return [] if flow is None else flow.answers

    def _fields(self) -> Iterator[tuple[Path, ConnectionField | PlainField]]:
        for page, members in self._document.config.items():
            for name, field in members.items():
                yield ("config", page, name), field

    def _calls(self, findings: Findings) -> Calls:
        """The checker of calls, which knows the connections, with their types where those are known."""
        found: dict[str, Connected] = {}
        for path, field in self._fields():
            if not isinstance(field, ConnectionField):
                continue
            place = (*path, "connection")
            component = self._shapes.component(field.connection)
            if component is None:
                findings.add_absent(field.connection, self._shapes.names(), place)
            elif component.connection is False:
                said = f"{field.connection} needs no connection; leave the field out"
                findings.add(rules.CONNECTION, place, said)
                continue
            kind = component.connection or None if component is not None else None
            found[str(path[-1])] = Connected(field.connection, kind)
        return Calls(self._shapes, findings, found)

    def _field(self, calls: Calls, path: Path, field: ConnectionField | PlainField) -> None:
        if isinstance(field, ConnectionField):
            return
        if field.default is not None:
            try:
                default_of(field)
            except (DefinitionError, ValueError, TypeError) as error:
                said = f"{path[-1]}: {error}".removesuffix(", or write =$string(…)")
                mend = quoted_value if "; quote it" in said else None
                self._findings.add(rules.UNFIT, (*path, "default"), said, mend=mend)
        known = self._known
        self._read.update(field.depends)
        for at, name in enumerate(field.depends):
            if name not in known:
                self._no_field(name, (*path, "depends", at))
        self._condition(path, field)
        for key, given in (("source", field.source), ("of", field.of), ("to", field.to)):
            if given is None or isinstance(given, list):
                continue
            place = (*path, key)
            if isinstance(given, str):
                calls.find("action", given, place)
                continue
            calls.find("action", given.action, (*place, "action"))
            for each in read_all(given.inputs, (*place, "with"), self._findings):
                self._read.update(name.path[0] for name in each.expression.names())

    def _condition(self, path: Path, field: PlainField) -> None:
        """Find what a field is shown by that is not there, never has the value, or depends on it."""
        self._read.update(field.when)
        plain = {
            str(place[-1]): each for place, each in self._fields() if isinstance(each, PlainField)
        }
        for name, value in field.when.items():
            place = (*path, "when", name)
            if name not in plain:
                said, rule = "the config has no field to fill in", rules.NO_FIELD
                self._findings.add_unknown(rule, said, name, plain, place, has="it has", key=True)
                continue
            for at, each in enumerate(listed(value)):
                try:
                    check_condition(plain[name], each)
                except (DefinitionError, ValueError, TypeError) as error:
                    where = (*place, at) if isinstance(value, list) else place
                    self._findings.add(rules.UNFIT, where, f"{name}: {error}")
        for name, other, said in condition_faults(conditions_in(self._document), plain):
            if name == path[-1] and other in plain:
                self._findings.add(rules.DEFINITION, (*path, "when", other), said, key=True)

    def _tests(self, calls: Calls) -> None:
        flows, known = {*self._document.flows, *self._document.preprocess}, self._document.pairs
        add = self._findings.add_unknown
        for at, test in enumerate(self._document.tests):
            path: Path = ("tests", at)
            if test.flow not in flows:
                add(rules.NO_SUCH, "there is no flow", test.flow, flows, (*path, "flow"))
            self._ignored(test, path)
            for name in test.config:
                if name not in self._known:
                    self._no_field(name, (*path, "config", name), key=True)
            for key, names in (("urls", test.urls), ("secrets", test.secrets)):
                for name in names:
                    if name not in flows:
                        place = (*path, key, name)
                        add(rules.NO_SUCH, "there is no flow", name, flows, place, key=True)
            for place, pairs in ((path, test.paired), ((*path, "after"), test.after.paired)):
                for name in pairs:
                    if name not in known:
                        at_pairs = (*place, "paired", name)
                        add(rules.NO_SUCH, "there are no pairs", name, known, at_pairs, key=True)
            if test.flow in self._document.flows:
                waited = waits_of(self._document.flows[test.flow])
                for name in test.signals:
                    if name not in waited:
                        said, place = (
                            f"the flow {test.flow} waits for no signal",
                            (*path, "signals", name),
                        )
                        has = "it waits for"
                        add(rules.NO_SIGNAL, said, name, waited, place, has=has, key=True)
            for name in test.stubs:
                self._called(calls, name, (*path, "stubs", name))
            for number, each in enumerate(test.expect or ()):
                if len(each) != 1:
                    self._findings.add(rules.SHAPE, (*path, "expect", number), ONE_CALL)
                    continue
                for name in each:
                    self._called(calls, name, (*path, "expect", number, name))

    def _ignored(self, test: TestPart, path: Path) -> None:
        """Find what a test says and nothing reads: an empty `expect`, a config of no customer's."""
        if "expect" in test.model_fields_set and test.expect is None:
            said = "`expect` is empty, so no call is compared; `expect: []` is that none happens"
            self._findings.add(rules.SHAPE, (*path, "expect"), said, key=True)
        for name in ("config", "urls", "secrets") if test.flow in self._document.preprocess else ():
            if name in test.model_fields_set:
                said = f"a pre-process flow sees no {name}, since it is no customer's; leave it out"
                self._findings.add(rules.NO_FIELD, (*path, name), said, key=True)
        for name in ("config", "event", "state", "stubs", "expect", "answer"):
            for value, place in leaves(getattr(test, name), (*path, name)):
                if is_expression(value) and habits.reads(value[1:], SCOPE):
                    said = "nothing is computed in a test, so this is a text; write its value"
                    self._findings.add(rules.READS_LIKE_EXPRESSION, place, said)

    def _called(self, calls: Calls, name: str, path: Path) -> None:
        """An action or a flow that a test names by a key."""
        if name in self._document.flows:
            return
        if "." in name:
            calls.find("action", name, path, key=True)
        else:
            said, flows = "there is neither an action nor a flow", self._document.flows
            self._findings.add_unknown(rules.NO_SUCH, said, name, flows, path, key=True)

    def _no_field(self, name: str, path: Path, *, key: bool = False) -> None:
        said, known = "the config has no field", self._known
        self._findings.add_unknown(rules.NO_FIELD, said, name, known, path, has="it has", key=key)


# Pre-process flows: their triggers, and the routes that their events take ---------------------


def check_preprocess(
    document: Document,
    name: str,
    calls: Calls,
    reader: TemplateReader,
    common: Layered[ScopedName],
) -> None:
    """Check one pre-process flow."""
    part = document.preprocess[name]
    path: Path = ("preprocess", name)
    event = check_trigger(part, path, calls, reader, Examples(document), common)
    names = common.inner({"event": ScopedName(schema=event)})
    reader.template(part.sender, (*path, "sender"), FlowState(REQUEST))
    if part.shared:
        names = Layered({name: each for name, each in names.items() if name not in ONES_OWN})
    always: int | None = None
    for at, route in enumerate(part.routes):
        place = (*path, "routes", at)
        if always is not None and not part.all:
            line = reader.findings.source.place((*path, "routes", always)).line
            said = (
                f"this is never taken: the route at line {line} has no `when`, so it always holds"
            )
            reader.findings.add(rules.UNREACHABLE, place, said)
            break
        always = at if route.when is None else None
        if route.flow is not None and route.flow not in document.flows:
            said, flows = "there is no flow", document.flows
            reader.findings.add_unknown(rules.NO_SUCH, said, route.flow, flows, (*place, "flow"))
        _check_field(document, route.config, (*place, "config"), reader)
        for key in ("when", "event", "customer", "config", "instance", "ignore"):
            reader.template(getattr(route, key), (*place, key), FlowState(names))


def _check_field(
    document: Document, config: dict[str, Any], path: Path, reader: TemplateReader
) -> None:
    """Check the field that an instance is found by: of the config, or of a connection in it."""
    reader.config.update(config)
    for name in config:
        if name.partition(".")[0] not in document.fields:
            there = suggest(name, document.fields, "it has")
            said = f"the config has no field {name!r}; {there}"
            mend = instead_of(name.partition(".")[0], document.fields)
            reader.findings.add(rules.NO_FIELD, (*path, name), said, key=True, mend=mend)
