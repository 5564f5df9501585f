"""Queries of a designer about a draft: what an expression gives, what could stand somewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from itertools import count, islice
from typing import Any, Literal, cast

from halflap.errors import ExpressionError
from halflap.lowcode.assist.analysis import Analysis, analyse, called_in
from halflap.lowcode.assist.completion import complete, keys_of
from halflap.lowcode.assist.naming import expression_offers
from halflap.lowcode.assist.offers import CompletionList, TextCursor
from halflap.lowcode.assist.renaming import Named, places
from halflap.lowcode.expressions import Expression, Scope
from halflap.lowcode.kinds import KINDS
from halflap.lowcode.lint.declared import NAMED_BY
from halflap.lowcode.lint.scope import Schema, carried, forms_of, json_type
from halflap.lowcode.lint.shapes import CallShape, Shapes
from halflap.lowcode.lint.words import words
from halflap.lowcode.source import mapping_of, value_at
from halflap.sdk import codec
from halflap.sdk.budget import Budget
from halflap.sdk.schema import UNSET

Query = Literal["evaluate", "complete", "scope", "usages", "form", "palette"]
SECONDS = 5.0
"""Seconds of the processor for one query."""
MOST_FOUND = 500
"""The most offers, components or places of one answer."""
MOST_KEPT = 200_000
"""Characters of a text whose analysis is kept for the next query; longer ones take much memory."""
MOST_SAMPLED = 200
"""The most values of a sample that is made of a schema."""


def answer(query: Query, text: str, file: str, own: Shapes, given: Mapping[str, Any]) -> Any:
    """Return the answer to a query about a text, as JSON has it; only an expression is run."""
    queries: dict[Query, Callable[[], Any]] = {
        "evaluate": lambda: evaluated(
            given["expression"],
            {
                each["name"]: codec.decode(each["sample"].encode())
                for each in _scope(text, file, own, tuple(given["path"]))
            }
            | given["sample"],
        ),
        "complete": lambda: _completions(_analysed(text, file, own), given),
        "scope": lambda: _scope(text, file, own, tuple(given["path"])),
        "usages": lambda: _usages(text, file, own, given["name"], given["flow"]),
        "form": lambda: _form(text, file, own, tuple(given["path"])),
        "palette": lambda: _palette(own, given["search"]),
    }
    with Budget(SECONDS).running():
        return queries[query]()


def _analysed(text: str, file: str, shapes: Shapes) -> Analysis:
    """Analyse a text; the last one is kept, since a step's fields ask of the same text each."""
    return (analyse if len(text) > MOST_KEPT else _last)(text, file, shapes)


_last = lru_cache(maxsize=1)(analyse)


def evaluated(expression: str, sample: Mapping[str, Any]) -> dict[str, Any]:
    """Evaluate an expression over a sample: its value as exact JSON, or what is wrong, and where."""
    text = expression.removeprefix("=").strip("\n")
    try:
        found = Expression.parse(text).named().evaluate(Scope(dict(sample), datetime.now(UTC)))
    except ExpressionError as error:
        problem = {"message": error.said, "line": error.line, "column": error.column}
        return {"value": None, "type": None, "error": problem}
    if found is UNSET:
        return {"value": None, "type": "absent", "error": None}
    return {"value": codec.encode(found).decode(), "type": json_type(found), "error": None}


def _completions(analysis: Analysis, given: Mapping[str, Any]) -> dict[str, Any]:
    if given["before"] is None:
        found = complete(analysis, given["line"] - 1, given["column"] - 1)
    else:
        before = given["before"].removeprefix("=")
        cursor = TextCursor(tuple(given["path"]), "value", f"={before}", 0)
        named, typed = expression_offers(analysis, cursor)
        found = CompletionList(len(given["before"]) - typed, tuple(named))
    offers = sorted(found.offers[:MOST_FOUND], key=lambda each: each.rank)
    return {
        "column": found.start + 1,
        "items": [
            {
                "label": each.label,
                "kind": each.kind,
                "detail": each.detail,
                "help": each.help,
                "text": each.written,
            }
            for each in offers
        ],
    }


def _scope(text: str, file: str, shapes: Shapes, path: Any) -> list[dict[str, Any]]:
    analysis = _analysed(text, file, shapes)
    names, shown = analysis.names_at(path), shown_event(analysis.source.data, path)
    return [
        {
            "name": name,
            "type": words(known.schema),
            "schema": known.schema,
            "absent": known.absent,
            "variable": known.variable,
            "given": None if known.path is None else list(known.path),
            "sample": codec.encode(
                shown if name == "event" and shown is not None else sample_of(known.schema)
            ).decode(),
        }
        for name, known in islice(names.items(), MOST_FOUND)
    ]


def shown_event(data: Any, path: Any) -> Any:
    """Return the event that a document shows for a flow: its `sample`, or that of its first test."""
    flow = path[1] if len(path) > 1 else None
    if path[:1] == ("flows",) and (shown := value_at(data, (*path[:2], "sample"))) is not None:
        return shown
    tests = value_at(data, ("tests",))
    for each in cast("list[Any]", tests) if isinstance(tests, list) else ():
        test = mapping_of(each)
        if test.get("flow") == flow and (event := test.get("event")) is not None:
            return event
    return None


def _usages(text: str, file: str, shapes: Shapes, name: str, flow: str | None) -> Any:
    found = places(_analysed(text, file, shapes), Named(name, flow))
    return [
        {"line": each.line + 1, "column": each.start + 1, "end_column": each.end + 1}
        for each in found[:MOST_FOUND]
    ]


def _form(text: str, file: str, shapes: Shapes, path: Any) -> dict[str, Any] | None:
    analysis = _analysed(text, file, shapes)
    holder = mapping_of(value_at(analysis.source.data, path))
    called = called_in(analysis, holder)
    name = next((str(holder[key]) for key in ("action", "trigger") if key in holder), "")
    if called is None:
        return None
    found, declared = _fields(called), shapes.declared
    if declared is not None:
        for each in found:
            if each["name"] == NAMED_BY.get(name):
                each["schema"] = declared.choices(each["schema"], mapping_of(holder.get("with")))
    return {**_call(name, called), "fields": found}


def _fields(called: CallShape) -> list[dict[str, Any]]:
    return [
        {
            "name": each.name,
            "required": each.required,
            "secret": each.secret,
            "type": words(each.schema()),
            "schema": each.schema(),
        }
        for each in called.inputs or ()
    ]


def _call(name: str, called: CallShape) -> dict[str, Any]:
    return {
        "name": name,
        "title": called.title,
        "description": called.description,
        "output": called.output,
    }


def _palette(shapes: Shapes, search: str) -> dict[str, Any]:
    wanted = search.lower().split()

    def fits(*texts: str) -> bool:
        whole = " ".join(texts).lower()
        return all(each in whole for each in wanted)

    kinds = [
        {"kind": name, "help": (model.__doc__ or "").strip(), "keys": keys_of(model)}
        for name, model in KINDS.items()
        if fits(name, model.__doc__ or "")
    ]

    def calls() -> Iterator[dict[str, Any]]:
        for owner in shapes.names():
            component = shapes.component(owner)
            if component is None:
                continue
            for kind, found in (("action", component.actions), ("trigger", component.triggers)):
                for name, each in found.items():
                    if fits(owner, name, each.title, each.description):
                        call = _call(f"{owner}.{name}", each)
                        yield {"kind": kind, "component": owner, **call}

    return {"kinds": kinds, "calls": list(islice(calls(), MOST_FOUND))}


# Samples ----------------------------------------------------------------------------------------

_TEXTS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "uri": "https://example.com/",
    "email": "ada@example.com",
}
_PLAIN: Mapping[str, Any] = {"integer": 1, "number": Decimal("1.5"), "boolean": True, "null": None}


def sample_of(schema: Schema | None) -> Any:
    """Return a value that a schema describes; None where nothing is known of it."""
    return _sample(schema, {}, count(), 0)


def _sample(schema: Any, holder: Schema, made: Iterator[int], depth: int) -> Any:
    if not isinstance(schema, Mapping) or next(made) >= MOST_SAMPLED or depth > 8:
        return None
    known = carried(cast("Schema", schema), holder)
    for key in ("const", "default"):
        if known.get(key) is not None:
            return known[key]
    for key in ("examples", "enum"):
        if isinstance(known.get(key), list) and known[key]:
            return known[key][0]
    form = next(iter(forms_of(known)), cast("Schema", {}))
    if form is known and known.get("allOf"):
        form = known["allOf"][0]
    if form is not known:
        return _sample(form, known, made, depth + 1)
    kind: Any = known.get("type")
    if isinstance(kind, list):
        kind = cast("list[Any]", kind)[0] if kind else None
    if kind == "object" or "properties" in known:
        members = mapping_of(known.get("properties")).items()
        return {str(name): _sample(each, known, made, depth + 1) for name, each in members}
    if kind == "array":
        items = known.get("items")
        return [_sample(items, known, made, depth + 1)] if items else []
    if kind == "string":
        return _TEXTS.get(str(known.get("format")), "text")
    return _PLAIN.get(str(kind))
