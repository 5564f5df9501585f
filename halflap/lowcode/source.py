"""Read a YAML document: plain values, and where in the text each of them stands.

YAML 1.2's core schema, and less: no tags, no anchors that lead in circles, no dates, no key twice.
Numbers keep every digit. Nothing is run, imported or fetched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, cast

from ruamel.yaml import cyaml
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

from halflap.errors import DefinitionError
from halflap.sdk.codec import MAX_DIGITS

MOST_BYTES = 1024 * 1024
"""The most bytes of a document."""

MOST_DEPTH = 100
"""The deepest nesting of its lists and mappings."""

MOST_VALUES = 100_000
"""The most values that it may have, what stands behind aliases counted each time."""

Path = tuple[str | int, ...]

NUMBER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
FRACTION = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_ODD = re.compile(r"[-+]?0[0-9_]+|0[xob][0-9a-fA-F_]+|[-+]?[0-9][0-9_]*_[0-9_]*")
PLAIN_WORDS = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True,
    "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_NO_NUMBERS = frozenset(
    sign + word for sign in ("", "-", "+") for word in (".inf", ".Inf", ".INF", ".nan", ".NaN")
)


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a text: line and column, both from 1."""

    line: int = 1
    column: int = 1


@dataclass(frozen=True, slots=True)
class SourceText:
    """A document's values, and where each stands, by its path: `("flows", "orders", "steps", 0)`.

    keys: where the key of a mapping's member stands. ends: of the texts of several lines, the last
    one. plain: the texts that are written without
    quotes. blocks: those that are written as a block (`|` or `>`); their text begins a line below.
    """

    file: str
    text: str
    data: Any
    values: dict[Path, Place] = field(repr=False)
    keys: dict[Path, Place] = field(repr=False)
    ends: dict[Path, int] = field(repr=False)
    plain: frozenset[Path] = field(repr=False)
    blocks: frozenset[Path] = field(repr=False)
    parsed: dict[str, Any] = field(default_factory=dict[str, Any], repr=False, compare=False)
    """Its expressions by their text, each read once."""
    lines: list[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "lines", self.text.splitlines())

    def line_from(self, line: int) -> str:
        """Return the first line that holds more than spaces, from one on (counted from 0)."""
        while line < len(self.lines) and not self.lines[line].strip():
            line += 1
        return self.lines[line] if line < len(self.lines) else ""

    def place(self, path: Path) -> Place:
        """Where a value stands; of one that is missing, where it would be: what holds it."""
        while path:
            found = self.values.get(path)
            if found is not None:
                return found
            path = path[:-1]
        return Place()

    def key(self, path: Path) -> Place:
        """Where a value's key stands; of an item of a list, where the item does."""
        return self.keys.get(path) or self.place(path)

    def at(self, path: Path) -> str:
        """`file:line:column` of a value, for errors."""
        place = self.place(path)
        return f"{self.file}:{place.line}:{place.column}"

    def where(self, path: Path) -> str:
        """`file:line` of a value, for errors."""
        return f"{self.file}:{self.place(path).line}"

    def where_key(self, path: Path) -> str:
        """Return `file:line` of a value's key, where a reader looks for it."""
        return f"{self.file}:{self.key(path).line}"


def value_at(data: Any, path: Path) -> Any:
    """Return the value at a path; None where there is none."""
    for each in path:
        try:
            data = data[each]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def mapping_of(value: Any) -> dict[Any, Any]:
    """Return a value that is a mapping; an empty one where it is none."""
    return cast("dict[Any, Any]", value) if isinstance(value, dict) else {}


def held(value: Any, path: Path = ()) -> Iterator[tuple[Any, Path]]:
    """Yield a value and all that it holds, each with its path; of a mapping or list, the last first."""
    stack: list[tuple[Any, Path]] = [(value, path)]
    while stack:
        each, place = stack.pop()
        yield each, place
        if isinstance(each, dict):
            stack += [(one, (*place, name)) for name, one in cast("dict[Any, Any]", each).items()]
        elif isinstance(each, list):
            stack += [(one, (*place, at)) for at, one in enumerate(cast("list[Any]", each))]


class Unreadable(DefinitionError):
    """The text is no document that Halflap reads; `place` says where.

    indent: by how many spaces the line is to be indented, where that is what is wrong.
    """

    def __init__(self, message: str, file: str, place: Place, indent: int | None = None) -> None:
        super().__init__(message, where=f"{file}:{place.line}:{place.column}")
        self.indent = indent
        self.file = file
        self.place = place
        self.said = message


def read(content: bytes | str, file: str) -> SourceText:
    """Read a document's text; `Unreadable` where it is none, with the place and what to do."""
    text = _decoded(content, file)
    reader = _EventReader(file)
    try:
        data = reader.document(events_of(text))
    except MarkedYAMLError as error:
        raise explained(error, text, file) from error
    except ReaderError as error:
        hidden = text if _HIDDEN in text else _hidden(text)
        raise _unprintable(error, hidden, file) from error
    except (YAMLError, ValueError) as error:
        raise Unreadable(f"this is not YAML: {error}", file, Place()) from error
    return SourceText(
        file,
        text,
        data,
        reader.values,
        reader.keys,
        reader.ends,
        frozenset(reader.plain),
        frozenset(reader.blocks),
    )


_COLON = re.compile(r"!\S*|(?<=[^\s\"'\]}\[{,]):(?=[^\s,\[\]{}\"'])")
"""A colon within a word, as in `http://x.y` and `12:30`, which libyaml refuses in brackets; or a tag."""
_HIDDEN = "\ue03a"


def _hidden(text: str) -> str:
    return _COLON.sub(lambda found: _HIDDEN if found[0] == ":" else found[0], text)


def events_of(text: str) -> Iterator[Event]:
    """libyaml's events, without `YAML`, which looks for plug-ins on the disk each time.

    A colon within a word is no indicator in YAML 1.2, so it is hidden from libyaml, which takes it
    for one.
    """
    hides = _HIDDEN not in text
    parser = cast("Any", cyaml).CParser(_hidden(text) if hides else text)
    try:
        while parser.check_event():
            event: Any = parser.get_event()
            if hides and event.__class__ is ScalarEvent and _HIDDEN in event.value:
                event.value = event.value.replace(_HIDDEN, ":")
            yield event
    finally:
        parser.dispose()


def _decoded(content: bytes | str, file: str) -> str:
    size = len(content)
    if size > MOST_BYTES:
        raise Unreadable(
            f"this document has {size:,} bytes, and may have {MOST_BYTES:,}; split the integration",
            file,
            Place(),
        )
    if isinstance(content, str):
        return content.removeprefix("\ufeff")
    try:
        return content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line = before.count(b"\n") + 1
        column = len(before) - (before.rfind(b"\n") + 1) + 1
        raise Unreadable(
            "this byte is not UTF-8; save the file as UTF-8 (not UTF-16, not Latin-1)",
            file,
            Place(line, column),
        ) from error


@dataclass(frozen=True, slots=True)
class _Anchored:
    """The value of an anchor, and the number of values in it."""

    value: Any
    count: int


class _EventReader:
    """Makes plain values of a parser's events, and keeps where each stands.

    By events, since the parser's own tree is made by recursion in C, which a hostile text can crash.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self.values: dict[Path, Place] = {}
        self.keys: dict[Path, Place] = {}
        self.ends: dict[Path, int] = {}
        self.plain: set[Path] = set()
        self.blocks: set[Path] = set()
        self._anchors: dict[str, _Anchored | None] = {}
        self._count = 0
        self._events: Iterator[Event] = iter(())

    def document(self, events: Iterator[Event]) -> Any:
        self._events = events
        data, documents = None, 0
        for event in events:
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._refused(
                        event,
                        "a file holds one document; put what follows `---` into a file of its own",
                    )
                data = self._value(next(events), ())
        return data

    def _value(self, event: Any, path: Path) -> Any:
        if len(path) > MOST_DEPTH:
            raise self._refused(event, f"it is nested deeper than {MOST_DEPTH} levels")
        self.values[path] = _start(event)
        if isinstance(event, AliasEvent):
            return self._alias(event)
        before = self._count
        self._take(event, 1)
        if event.tag is not None and event.tag != "!":
            raise self._refused(event, f"tags such as {event.tag} have no meaning here; remove it")
        if event.anchor is not None:
            self._anchors[event.anchor] = None  # until it is read: an alias in it is a circle
        kind = cast(object, event.__class__)
        if kind is ScalarEvent:
            value: Any = self._scalar(event, path)
        else:
            value = self._list(path) if kind is SequenceStartEvent else self._mapping(path)
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchored(value, self._count - before)
        return value

    def _alias(self, event: Any) -> Any:
        if event.anchor not in self._anchors:
            raise self._refused(
                event, f"no &{event.anchor} stands before it; a text that begins with * is quoted"
            )
        found = self._anchors[event.anchor]
        if found is None:
            raise self._refused(event, "an alias leads back to what it stands in; write it out")
        self._take(event, found.count)
        return deepcopy(found.value)

    def _list(self, path: Path) -> list[Any]:
        found: list[Any] = []
        while type(event := self._next()) is not SequenceEndEvent:
            found.append(self._value(event, (*path, len(found))))
        return found

    def _mapping(self, path: Path) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        while type(event := self._next()) is not MappingEndEvent:
            if cast(object, event.__class__) is not ScalarEvent:
                raise self._refused(
                    event, "a key is a plain text; quote it where it begins with [, {, * or &"
                )
            if event.value == "<<" and not event.style:
                raise self._refused(event, "merge keys are not read; write the members out")
            value: Any = self._scalar(event, None)
            name: Any = "" if value is None else value
            if name in found:
                raise self._refused(event, f"the key {event.value} stands here twice; remove one")
            self.keys[(*path, name)] = _start(event)
            following: Any = next(self._events)
            if (
                ":" in event.value
                and not event.style
                and following.end_mark == following.start_mark
            ):
                key, _, rest = event.value.partition(":")
                raise self._refused(event, f"a space follows the colon: write {key}: {rest}")
            found[name] = self._value(following, (*path, name))
        return found

    def _next(self) -> Any:
        return next(self._events)

    def _take(self, event: Any, count: int) -> None:
        self._count += count
        if self._count > MOST_VALUES:
            raise self._refused(event, f"it has more than {MOST_VALUES:,} values, aliases counted")

    def _scalar(self, node: Any, path: Path | None) -> Any:
        text = str(node.value)
        style: str | None = node.style
        if path is not None and node.end_mark.line != node.start_mark.line:
            self.ends[path] = node.end_mark.line + (node.end_mark.column > 0)
        if path is not None and style in ("|", ">"):
            self.blocks.add(path)
        if style in ("'", '"', "|", ">"):
            return text
        if path is not None:
            self.plain.add(path)
        if text in PLAIN_WORDS:
            return PLAIN_WORDS[text]
        if len(text) > MAX_DIGITS and FRACTION.fullmatch(text):
            raise self._refused(node, f"a number has {MAX_DIGITS} digits at most")
        if NUMBER.fullmatch(text):
            return int(text)
        if _ODD.fullmatch(text):
            raise self._refused(
                node, f'is {text} a number or a text? Write "{text}" in quotes, or a plain number'
            )
        if FRACTION.fullmatch(text):
            return self._fraction(node, text)
        if text in _NO_NUMBERS:
            raise self._refused(node, f"{text} is no number of JSON; quote it where it is a text")
        return text

    def _fraction(self, node: Any, text: str) -> Decimal:
        number = Decimal(text)
        if not -MAX_DIGITS < number.adjusted() < MAX_DIGITS:
            raise self._refused(node, f"the number is beyond 1e±{MAX_DIGITS}")
        return number

    def _refused(self, node: Any, said: str) -> Unreadable:
        return Unreadable(said, self.file, _start(node))


def is_plain(text: str) -> bool:
    """Return whether a text is still a text where it is written without quotes, and no number or
    word.
    """
    special = text in PLAIN_WORDS or text in _NO_NUMBERS or text == "<<"
    return not special and not any(each.fullmatch(text) for each in (NUMBER, FRACTION, _ODD))


def _start(node: Any) -> Place:
    mark: Any = node.start_mark
    return Place(mark.line + 1, mark.column + 1)


_TEACH = (
    ("found a tab", "a line is indented by a tab; use spaces"),
    ("did not find expected alphabetic", "a text that begins with & or * is quoted; one that begins "
     "with a quote ends with it: quote the whole expression"),
    ("mapping values are not allowed", 'a text with ": " in it is quoted: "=a & \': \' & b"'),
    ("expected <block end>", "what follows is indented otherwise than what it belongs to, or a text "
     "that begins with a quote goes on after it; quote the whole expression"),
    ("could not find expected ':'", "a text after | or > ends at the first line that is not indented "
     "more than its key"),
    ("did not find expected ','", "quote an expression that holds , [ ] { }, or begins with a quote; or "
     "the bracket is never closed"),
    ("did not find expected", "quote an expression that holds , [ ] { } or begins with a quote"),
    ("found unexpected end of stream", "a quote or a bracket is never closed"),
    ("cannot start any token", "lines are indented by spaces; a text that begins with @, ` or % is "
     "quoted"),
)  # fmt: skip


def _unprintable(error: ReaderError, text: str, file: str) -> Unreadable:
    before = text.encode("utf-8", "surrogatepass")[
        : cast(Any, error).position
    ]  # libyaml's, in bytes
    at = len(before.decode("utf-8", "surrogatepass"))
    place = Place(text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))
    shown = f"U+{ord(text[at]):04X}"
    return Unreadable(f"YAML may not hold the character {shown}; remove it", file, place)


_LAYOUT = ("mapping values are not allowed", "did not find expected key", "expected <block end>",
           "did not find expected '-' indicator", "found a tab", "cannot start any token")  # fmt: skip
_BEGINS = re.compile(r"(?P<indent> *)(?P<dashes>(?:- +)*)(?P<key>[^\s\"'#{\[][^:#]*:(?:\s|$))?")


def _opens(begun: re.Match[str]) -> bool:
    """Return whether a line is a key alone, of which the value follows on deeper lines."""
    rest = begun.string[begun.end() :].lstrip()
    return begun["key"] is not None and (not rest or rest.startswith("#"))


def _misplaced(text: str, place: Place, file: str) -> Unreadable | None:
    """Return what is wrong with a line that is indented otherwise than what it belongs to."""
    lines = text.splitlines()
    line = lines[place.line - 1] if place.line <= len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        at = Place(place.line, line.index("\t") + 1)
        return Unreadable("a line is indented by a tab; use spaces", file, at)
    here = _BEGINS.match(line)
    if here is None or not (here["dashes"] or here["key"]):
        return None
    indent, dashed = len(here["indent"]), bool(here["dashes"])
    above = [
        begun
        for each in lines[: place.line - 1]
        if each.strip()
        and not each.lstrip().startswith("#")
        and (begun := _BEGINS.match(each)) is not None
    ]
    if above and _opens(above[-1]) and indent + dashed > above[-1].start("key"):
        return None  # the first of a deeper level
    known, deepest = set[int](), len(line)
    for found in reversed(above):
        column, dashes = len(found["indent"]), len(found["dashes"])
        if column > deepest:
            continue
        deepest = column
        known |= {column} if dashed == bool(dashes) else set()
        if dashes and not dashed:
            known.add(column + dashes)
        if column == 0 and not dashes:
            break
    if indent in known or not known:
        return None
    wanted = min(known, key=lambda each: (abs(each - indent), -each))
    said = (
        f"this line is indented by {indent} spaces, and what it belongs to by {wanted}: indent it by "
        f"{wanted}"
    )
    return Unreadable(said, file, Place(place.line, indent + 1), wanted)


def explained(error: MarkedYAMLError, text: str, file: str) -> Unreadable:
    """Return a fault of YAML with its place, and how to write it instead."""
    told: Any = error
    mark: Any = told.problem_mark or told.context_mark
    place = Place(mark.line + 1, mark.column + 1) if mark is not None else Place()
    problem = str(told.problem or error)
    if any(each in problem for each in _LAYOUT):
        misplaced = _misplaced(text, place, file)
        if misplaced is not None:
            return misplaced
        before = text.splitlines()[place.line - 2] if place.line > 1 else ""
        if (joined := re.fullmatch(r"(\s*(?:- )?)(\w+):(\S.*)", before)) is not None:
            said = f"a space follows the colon: write {joined[2]}: {joined[3]}"
            return Unreadable(said, file, Place(place.line - 1, len(joined[1]) + 1))
    taught = next((each for sign, each in _TEACH if sign in problem), None)
    line = next(iter(text.splitlines()[place.line - 1 :]), "")
    if "did not find expected ','" in problem and line[place.column - 1 : place.column] == "?":
        taught = "a ? begins a key within { }: quote the whole expression"
    return Unreadable(
        f"this is not YAML: {problem}" + (f"; {taught}" if taught else ""), file, place
    )
