"""Check that a document has the shape of one, and say of everything that is wrong what to write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any, cast

from pydantic import BaseModel, ValidationError

from halflap.errors import DefinitionError
from halflap.lowcode import document as parts
from halflap.lowcode.document import Document
from halflap.lowcode.fixes import Mend, instead_of, quoted_value
from halflap.lowcode.kinds import KINDS, TAG
from halflap.lowcode.source import Path, Source
from halflap.sdk.lint import Finding

SHAPE = "HF101"
MOST_FINDINGS = 1_000
"""How many findings are collected of one document."""


class NotADocument(DefinitionError):
    """A document has mistakes; `findings` has each of them with its place."""

    def __init__(self, findings: list[Finding]) -> None:
        first = findings[0]
        more = f" ({len(findings) - 1} more)" if len(findings) > 1 else ""
        super().__init__(
            f"{first.message}{more}", where=f"{first.file}:{first.line}:{first.column}"
        )
        self.findings = findings


def document_of(source: Source) -> Document:
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
    source: Source,
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


def _findings(source: Source, error: ValidationError) -> Iterable[Finding]:
    seen: dict[Path, Finding] = {}
    told = error.errors(include_url=False, include_input=False)
    told.sort(key=lambda each: each["type"].endswith("_type"))  # what a value is says less than why
    paths = [path_of(source.data, each) for each in told]
    longer = {path[:length] for path in paths for length in range(len(path))}
    for each, path in zip(told, paths, strict=True):
        if len(seen) >= MOST_FINDINGS:
            break
        if path in longer:
            continue  # of the ways to read a value, the one that got further says what is wrong
        at_key = each["type"] == "extra_forbidden"
        message, mend = _message(source, each, path), _mend(source, each, path)
        seen.setdefault(path, finding(source, path, SHAPE, message, key=at_key, mend=mend))
    return sorted(seen.values())


def path_of(data: Any, error: Mapping[str, Any]) -> Path:
    """An error's place in the data: without what only the models are named by."""
    loc: tuple[str | int, ...] = error["loc"]
    path: list[str | int] = []
    here = data
    for at, each in enumerate(loc):
        if isinstance(here, Mapping) and each in here:
            here = cast("Mapping[Any, Any]", here)[each]
        elif isinstance(here, list) and isinstance(each, int):
            here = cast("list[Any]", here)[each]
        elif at < len(loc) - 1 or error["type"] != "missing":
            continue
        path.append(each)
    return tuple(path)


def _message(source: Source, error: Mapping[str, Any], path: Path) -> str:
    name, here = path[-1] if path else "", _at(source.data, path)
    match error["type"]:
        case "extra_forbidden":
            return _unknown(source, error["loc"], path)
        case "missing":
            return f"`{error['loc'][-1]}` is missing here"
        case "union_tag_not_found" | "union_tag_invalid":
            return _no_kind(here)
        case "list_type":
            return f"`{name}` is a list: each item begins with `- `"
        case "dict_type" | "model_type" | "model_attributes_type":
            return f"`{name}` is a mapping: `key: value`"
        case "string_type" if isinstance(here, int | float) or here is None:
            return f'`{name}` is a text; quote it: "{"" if here is None else here}"'
        case "string_pattern_mismatch":
            return f"{here!r} is no name: letters, digits and _ (an integration's: a-z, 0-9 and -)"
        case "datetime_parsing" | "datetime_from_date_parsing":
            return f"`{name}` is a time, with its zone: 2026-03-01T12:00:00Z"
        case "timezone_aware":
            return f"`{name}` needs a time zone: {here}Z"
        case "value_error":
            return str(error["msg"]).removeprefix("Value error, ")
        case _:
            said = str(error["msg"])
            return f"`{name}`: {said[:1].lower()}{said[1:]}"


def _mend(source: Source, error: Mapping[str, Any], path: Path) -> Mend | None:
    here = _at(source.data, path)
    match error["type"]:
        case "extra_forbidden":
            return instead_of(str(path[-1]), _known(source, error["loc"], path)[0])
        case "string_type" if isinstance(here, int | float) and path in source.plain:
            return quoted_value
        case _:
            return None


def _no_kind(step: Any) -> str:
    kinds = ", ".join(KINDS)
    if not isinstance(step, dict):
        return f"a step is a mapping with one of: {kinds}"
    keys = [str(each) for each in cast("dict[Any, Any]", step)]
    close = [hit for each in keys for hit in get_close_matches(each, KINDS, 1, 0.7)]
    hint = f"did you mean `{close[0]}`? A step has" if close else "a step has"
    return f"no kind of step has {', '.join(f'`{each}`' for each in keys)}; {hint} one of: {kinds}"


def _unknown(source: Source, loc: tuple[str | int, ...], path: Path) -> str:
    """A key that nobody knows."""
    name = str(path[-1])
    known, what = _known(source, loc, path)
    if what.endswith("step") and name in KINDS:
        kind = what.removesuffix(" step").partition(" ")[2]
        return f"a step does one thing, and this one has `{kind}` and `{name}`; write two steps"
    close = get_close_matches(name, known, 1)
    hint = f"did you mean `{close[0]}`? It" if close else "it"
    return f"{what} has no `{name}`; {hint} has: {', '.join(known)}"


_PARTS: dict[tuple[str, int], tuple[str, type[BaseModel]]] = {
    ("flows", 2): ("a flow", parts.FlowPart),
    ("preprocess", 2): ("a pre-process flow", parts.PreprocessPart),
    ("preprocess", 4): ("a route", parts.RoutePart),
    ("tests", 2): ("a test", parts.TestPart),
    ("pairs", 2): ("a pair", parts.PairsPart),
    ("config", 3): ("a field", parts.PlainField),
}
_OF_A_TEST: dict[str, type[BaseModel]] = {
    "body": parts.BodyPart,
    "customer": parts.CustomerPart,
    "instance": parts.InstancePart,
    "shared": parts.SharedPart,
    "after": parts.AfterPart,
}


def _known(source: Source, loc: tuple[str | int, ...], path: Path) -> tuple[list[str], str]:
    """The keys that the place knows, and what the place is."""
    for each in reversed(loc[:-1]):
        if isinstance(each, str) and each.startswith(TAG):
            kind = each.removeprefix(TAG)
            if kind in KINDS:
                return _keys(KINDS[kind]), f"{_article(kind)} {kind} step"
            model = parts.ConnectionField if kind == "connection" else parts.PlainField
            return _keys(model), f"a {kind}"
        name = str(each).removesuffix("]").rpartition(", ")[2]  # behind what validates the model
        if (model := _models().get(name)) is not None:
            return _keys(model), f"`{path[-2] if len(path) > 1 else ''}`"
    top, part = path[:1], path[-2:-1]
    if top == ("tests",) and len(path) > 3 and part[0] in _OF_A_TEST:
        return _keys(_OF_A_TEST[str(part[0])]), f"`{part[0]}`"
    if str(*top) in ("flows", "preprocess", "tests", "pairs", "config"):
        what, model = _PARTS.get((str(*top), len(path) - 1), ("this", parts.FlowPart))
        return _keys(model), what
    return _keys(Document), "a document"


@cache
def _models() -> dict[str, type[BaseModel]]:
    """The parts of a document and of its steps, by the names of their classes."""
    found: dict[str, type[BaseModel]] = {}
    kinds: list[type[BaseModel]] = [parts.Part]
    while kinds:
        kind = kinds.pop()
        found[kind.__name__] = kind
        kinds += kind.__subclasses__()
    return found


def _article(kind: str) -> str:
    return "an" if kind[0] in "aeiou" else "a"


def _keys(model: type[BaseModel]) -> list[str]:
    return [each.alias or name for name, each in model.model_fields.items()]


def _at(data: Any, path: Path) -> Any:
    for each in path:
        try:
            data = data[each]
        except (KeyError, IndexError, TypeError):
            return None
    return data
