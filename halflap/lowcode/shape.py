"""Check that a document has the shape of one, and say of everything that is wrong what to write."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, cast, get_args

from pydantic import ValidationError

from halflap.errors import DefinitionError
from halflap.lowcode import document as parts
from halflap.lowcode import grammar
from halflap.lowcode.document import Document
from halflap.lowcode.fixes import (
    Mend,
    closest,
    instead_of,
    member,
    quoted_value,
    replaced,
    rewritten,
)
from halflap.lowcode.foreign import CHOICE_TYPES, SECRET_TYPES, explained, renamed
from halflap.lowcode.kinds import KINDS, kind_of
from halflap.lowcode.source import Path, SourceText, mapping_of, value_at
from halflap.sdk.fit import path_in, worded
from halflap.sdk.lint import Finding

SHAPE = "HF101"
MOST_FINDINGS = 1_000
"""The most findings that are collected of one document."""


class NotADocument(DefinitionError):
    """A document has mistakes; `findings` has each of them with its place."""

    def __init__(self, findings: list[Finding]) -> None:
        first = findings[0]
        more = f" ({len(findings) - 1} more)" if len(findings) > 1 else ""
        super().__init__(
            f"{first.message}{more}", where=f"{first.file}:{first.line}:{first.column}"
        )
        self.findings = findings


def document_of(source: SourceText) -> Document:
    """The document that a source holds; `NotADocument` names all that is wrong with its shape."""
    data: Any = source.data
    if not isinstance(data, dict):
        said = (
            "the file is empty" if data is None else "a document is a mapping"
        ) + "; it begins with `name:` and has `flows:`"
        raise NotADocument([Finding(source.file, 1, 1, SHAPE, said)])
    try:
        return Document.model_validate(data)
    except ValidationError as error:
        raise NotADocument(list(_findings(source, error))) from error


def finding(
    source: SourceText,
    path: Path,
    code: str,
    message: str,
    *,
    key: bool = False,
    mend: Mend | None = None,
) -> Finding:
    """A finding at a value of a document, or at its key."""
    place = source.key(path) if key else source.place(path)
    fix = mend(source.lines, place.line, place.column) if mend is not None else None
    return Finding(source.file, place.line, place.column, code, message, fix=fix)


def _findings(source: SourceText, error: ValidationError) -> Iterable[Finding]:
    seen: dict[Path, Finding] = {}
    told = error.errors(include_url=False, include_input=False)
    told.sort(key=lambda each: each["type"].endswith("_type"))  # what a value is says less than why
    paths = [path_in(source.data, each) for each in told]
    longer = {path[:length] for path in paths for length in range(len(path))}
    for each, path in zip(told, paths, strict=True):
        if len(seen) >= MOST_FINDINGS:
            break
        if path in longer:
            continue  # of the ways to read a value, the one that got further says what is wrong
        at_key = each["type"] == "extra_forbidden" or each["loc"][-1:] == ("[key]",)
        message, mend = _message(source, each, path)
        seen.setdefault(path, finding(source, path, SHAPE, message, key=at_key, mend=mend))
    return sorted(seen.values())


def _message(source: SourceText, error: Mapping[str, Any], path: Path) -> tuple[str, Mend | None]:
    """Return what is wrong at a place, and what mends it."""
    name, here = path[-1] if path else "", value_at(source.data, path)
    kind = error["type"]
    match kind:
        case "extra_forbidden":
            return _unknown(source, path)
        case "missing":
            return f"`{error['loc'][-1]}` is missing here", None
        case "union_tag_not_found" | "union_tag_invalid":
            return _no_kind(source, here, path)
        case "halflap":
            context = error["ctx"]
            if isinstance(here, dict) and (meant := context["meant"]):
                return context["message"], member(source, path, lambda _: f"{name}: {meant}")
            return context["message"], _meant(source, path, context["meant"], raw=context["raw"])
        case "literal_error" | "enum":
            return _choice(source, error, path)
        case "string_pattern_mismatch":
            return _name(source, error, path)
        case _:
            pass
    if path[:1] == ("config",) and len(path) in (2, 3) and (found := _pageless(source, path)):
        return found
    if path[:1] == ("config",) and len(path) == 3 and isinstance(here, str):
        meant = f"{{type: {here}}}"
        return f"a field is a mapping: write {meant}", _meant(source, path, meant, raw=True)
    scalar = kind == "string_type" and not isinstance(here, dict | list)
    if name == "cases" and "[key]" in error["loc"]:
        given = next(
            (str(each) for each in cast("dict[Any, Any]", here) if type(each) is Decimal), ""
        )
        said = f"a case is a text, a whole number, true or false; compare `{given}` in an `if`"
        return said, None
    if name in FORMS and kind != "value_error" and not scalar:
        return f"`{name}` is {FORMS[str(name)]}", None
    match kind:
        case "list_type" if (key := _first_key(here)).startswith("-"):
            return f"a space follows the dash of an item: write - {key[1:]}", None
        case "list_type":
            step = isinstance(here, dict) and kind_of(cast("dict[Any, Any]", here)) is not None
            mend = member(source, path, lambda one: f"{name}: [{one}]") if step else None
            return f"`{name}` is a list: each item begins with `- `", mend
        case "dict_type" | "model_type" | "model_attributes_type":
            return f"`{name}` is a mapping: `key: value`", None
        case "string_type" if here is None and (number := _with_comma(source, path)):
            return f"a number is written with a point: {number}", None
        case "string_type" if isinstance(here, int | float | Decimal) or here is None:
            shown = "" if here is None else str(here).lower() if type(here) is bool else here
            mend = quoted_value if path in source.plain and here is not None else None
            return f'`{name}` is a text; quote it: "{shown}"', mend
        case "datetime_parsing" | "datetime_from_date_parsing":
            return f"`{name}` is a time, with its zone: 2026-03-01T12:00:00Z", None
        case "timezone_aware":
            return f"`{name}` needs a time zone: {here}Z", _meant(source, path, f"{here}Z")
        case "too_short":
            return f"`{name}` needs at least {_count(error['ctx']['min_length'])}", None
        case "too_long":
            return f"`{name}` takes at most {_count(error['ctx']['max_length'])}", None
        case "value_error":
            return str(error["msg"]).removeprefix("Value error, "), None
        case _:
            return f"`{name}` {worded(error)}", None


def _with_comma(source: SourceText, path: Path) -> str:
    """Return the number that was written with a comma, of which YAML makes a key."""
    members = mapping_of(value_at(source.data, path[:-1]))
    keys = list(members)
    at = keys.index(path[-1]) if path[-1] in keys else 0
    before = members[keys[at - 1]] if at else None
    is_number = type(before) is int and re.fullmatch(r"[0-9]+", str(path[-1])) is not None
    return f"{before}.{path[-1]}" if is_number else ""


FORMS = {
    "retry": "how many tries, 1 to 100: `retry: 3`, or `retry: {attempts: 3, first: 2s}`",
    "attempts": "how many tries, 1 to 100",
    "parallel": "how many at once, 1 to 1000",
    "trigger": "the name of one, component.trigger, such as `trigger: webhook.request`",
    "action": "the name of one, component.action, such as `action: http.get`",
    "order": "a rule, `order: fifo`, or `order: {rule: fifo, by_key: /data/id}`",
    "sides": "two sides: `sides: {salesforce: Account, acme: account}`",
}
"""By key, what its value is, where a fault names only one of the ways to write it."""


def _first_key(here: Any) -> str:
    keys = list(mapping_of(here))
    return str(keys[0]) if keys else ""


_NUMBERS = ("none", "one", "two", "three")


def _count(number: int) -> str:
    return _NUMBERS[number] if number < len(_NUMBERS) else str(number)


def _meant(source: SourceText, path: Path, meant: str, *, raw: bool = False) -> Mend | None:
    return rewritten(source, path, meant, raw=raw) if meant else None


def _choice(source: SourceText, error: Mapping[str, Any], path: Path) -> tuple[str, Mend | None]:
    """Return which of several values was meant."""
    name, here = path[-1], value_at(source.data, path)
    known = re.findall(r"'([^']*)'", str(error["ctx"]["expected"]))
    message = f"`{name}` is one of {', '.join(known)}"
    if not isinstance(here, str):
        return message, None
    if name == "type" and here.lower() in SECRET_TYPES:
        return "a secret belongs into a connection, which seals it, and in no other field", None
    if name == "type" and here.lower() in CHOICE_TYPES:
        return "what is chosen from is listed by `choices: [a, b]`; leave out `type`", None
    meant = closest(here, known)
    hint = f"; did you mean {meant}?" if meant else ""
    return message + hint, _meant(source, path, meant or "")


def _name(source: SourceText, error: Mapping[str, Any], path: Path) -> tuple[str, Mend | None]:
    """Return how a name is written."""
    is_key = error["loc"][-1:] == ("[key]",)
    here = str(path[-1]) if is_key else str(value_at(source.data, path))
    if path == ("name",):
        meant, allowed = re.sub("[^a-z0-9]+", "-", here.lower()).strip("-"), "a-z, 0-9 and -"
    else:
        meant, allowed = re.sub(r"\W+", "_", here).strip("_"), "letters, digits and _"
    item, of, items = here.partition(" in ")
    if path[-1:] == ("for",) and of:
        listed = items.removeprefix("=")
        return f"write `for: {item}` and, in a line of its own, `in: ={listed}`", None
    if (
        path[-1:] == ("for",)
        and here.startswith("=")
        and "in" not in (holder := value_at(source.data, path[:-1]))
    ):
        if "as" not in holder:
            return f"write `for: item` and, in a line of its own, `in: {here}`", None
        key = source.key(path)
        said = f"`for` is the name of an item, `in` the list: write in: {here}"
        return said, replaced("for", "in", key.line, key.column)
    message = f"{here!r} is no name, which has {allowed}; write {meant}"
    return message, replaced(here, meant) if is_key else _meant(source, path, meant)


def _pageless(source: SourceText, path: Path) -> tuple[str, Mend | None] | None:
    """Return what is written of a field of the config that stands where its page does."""
    pages = cast("dict[Any, Any]", source.data["config"])
    given, name = pages.get(path[1]), str(path[1])
    field = {*parts.PlainField.model_fields, *parts.ConnectionField.model_fields}
    written = None if isinstance(given, dict) else _field_of(given)
    if isinstance(given, dict):
        members = cast("dict[Any, Any]", given)
        inner = (each for key, each in members.items() if key != "default")
        if (
            not members
            or not field >= members.keys()
            or any(isinstance(each, dict) for each in inner)
        ):
            return None
    elif written is None:
        return None
    page = "Connect" if isinstance(given, dict) and "connection" in given else "Options"
    page = page if page not in pages else name.replace("_", " ").capitalize()
    said = (
        f"`{name}` stands where a page does; write a page above it, `{page}:`, and indent the field, "
        f"so `{page}: {{{name}: {written or '{…}'}}}`"
    )
    return said, member(
        source,
        path[:2],
        lambda value: (
            f"{page}: {{{name}: {written or value}}}" if written or value.startswith("{") else None
        ),
    )


def _field_of(value: Any) -> str | None:
    """Return the field that is meant by a value alone: its default, or its type."""
    match value:
        case bool():
            return f"{{type: boolean, default: {str(value).lower()}}}"
        case int():
            return f"{{type: integer, default: {value}}}"
        case Decimal():
            return f"{{type: decimal, default: {value}}}"
        case str() if value in get_args(parts.FieldType):
            return f"{{type: {value}}}"
        case None:
            return "{}"
        case _:
            return None


def _no_kind(source: SourceText, step: Any, path: Path) -> tuple[str, Mend | None]:
    """Return what a step that is of no kind is meant to be."""
    kinds = ", ".join(KINDS)
    if not isinstance(step, dict):
        if isinstance(step, str) and (found := re.fullmatch(r"(\w+):(\S.*)", step)) is not None:
            meant = f"{found[1]}: {found[2]}"
            return f"a space follows the colon: write {meant}", _meant(
                source, path, meant, raw=True
            )
        return f"a step is a mapping with one of: {kinds}", None
    keys = [str(each) for each in cast("dict[Any, Any]", step)]
    if "in" in keys and "as" in keys:
        key = source.key((*path, "as"))
        said = "`in` is the list of a loop, `for` the name of an item: write `for` for `as`"
        return said, replaced("as", "for", key.line, key.column)
    for each in keys:
        if (message := explained("step", each)) is not None:
            return f"no kind of step is called `{each}`; {message}", None
        if (meant := renamed("step", each)) is not None:
            return f"no kind of step is called `{each}`; write `{meant}`", replaced(each, meant)
        if re.fullmatch(r"\w+\.\w+", each):
            return f"a step names its kind: write action: {each}, and its inputs under `with`", None
    close = [hit for each in keys for hit in get_close_matches(each, KINDS, 1, 0.7)]
    hint = f"did you mean `{close[0]}`? A step has" if close else "a step has"
    shown = ", ".join(f"`{each}`" for each in keys)
    return f"no kind of step has {shown}; {hint} one of: {kinds}", None


def _unknown(source: SourceText, path: Path) -> tuple[str, Mend | None]:
    """Return what a key means that the part of a document does not have."""
    name = str(path[-1])
    known, what = _known(source, path)
    part = _PARTS_BY_WORD.get(what) or what.strip("`").removesuffix(" step").rpartition(" ")[2]
    holder = value_at(source.data, path[:-1])
    empty = _empty(holder, known)
    if what.endswith("step") and name in KINDS:
        message = f"a step does one thing, and this one has `{part}` and `{name}`; "
        if empty is not None:
            message = f"`{name}` stands beside `{empty}`, which is empty; indent it: `- {name}: …`"
        elif name in ("if", "switch", "for"):
            block = {"if": "then", "switch": "cases", "for": "do"}[name]
            message += f"write `{name}` as a step of its own, with this one under its `{block}`"
        else:
            message += "write two steps"
        return message, None
    if empty is not None and renamed(part, name) is None:
        return f"`{name}` stands beside `{empty}`, which is empty; indent it by two spaces", None
    if (message := explained(part, name)) is not None:
        return f"{what} has no `{name}`; {message}", None
    meant = renamed(part, name)
    if meant is not None and meant in known:
        mend = replaced(name, meant) if meant not in (holder or ()) else None
        return f"{what} has no `{name}`; write `{meant}`", mend
    meant = closest(name, known)
    hint = f"did you mean `{meant}`? It" if meant else "it"
    under = "; inputs of the action stand under `with`" if part == "action" and not meant else ""
    return f"{what} has no `{name}`; {hint} has: {', '.join(known)}{under}", instead_of(name, known)


_PARTS_BY_WORD = {
    "a flow": "flow", "a pre-process flow": "flow", "a route": "route", "a test": "test",
    "a field": "field", "a document": "document",
}  # fmt: skip
_NESTED = frozenset(
    ("with", "then", "else", "do", "try", "catch", "cases", "steps", "default", "retry")
)


def _empty(holder: Any, known: Sequence[str]) -> str | None:
    """Return a key of a mapping that has no value, below which others may have been meant."""
    if not isinstance(holder, dict):
        return None
    members = cast("dict[Any, Any]", holder).items()
    empty = (str(name) for name, each in members if each is None and name in known)
    return next((name for name in empty if name in _NESTED), None)


_WORDS = {
    "FlowPart": "a flow", "PreprocessPart": "a pre-process flow", "RoutePart": "a route",
    "TestPart": "a test", "PairsPart": "a pair", "PlainField": "a field",
    "ConnectionField": "a connection", "Halflap integration": "a document",
}  # fmt: skip


def _known(source: SourceText, path: Path) -> tuple[list[str], str]:
    """Return the keys that the holder of a place knows, and what the holder is."""
    holders = grammar.expected(path[:-1], source.data)
    kinds = {each.__name__: kind for kind, each in KINDS.items()}
    for title in (str(each.get("title")) for each in holders):
        if title in kinds:
            return [*grammar.members(holders)], f"{_article(kinds[title])} {kinds[title]} step"
        if title in _WORDS:
            return [*grammar.members(holders)], _WORDS[title]
    return [*grammar.members(holders)], f"`{path[-2]}`"


def _article(kind: str) -> str:
    return "an" if kind[0] in "aeiou" else "a"
