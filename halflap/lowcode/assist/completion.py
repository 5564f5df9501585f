"""Completion: what could stand where the cursor is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal, cast

from halflap.lowcode import grammar
from halflap.lowcode.assist.analysis import Analysis, called_in
from halflap.lowcode.assist.loose import locate
from halflap.lowcode.assist.naming import expression_offers
from halflap.lowcode.assist.offers import CompletionList, CompletionOffer, TextCursor
from halflap.lowcode.kinds import KINDS, StepModel, kind_of
from halflap.lowcode.lint.scope import Schema, forms_of
from halflap.lowcode.lint.shapes import CallShape, InputShape
from halflap.lowcode.lint.words import words
from halflap.lowcode.references import PAIRING, referred_at, referred_by_keys
from halflap.lowcode.source import Path, mapping_of, value_at


def complete(analysis: Analysis, line: int, column: int) -> CompletionList:
    """Return the completions at a place, line and column from 0."""
    cursor = locate(analysis.text, line, column)
    if cursor.part == "value" or cursor.block:
        text = cursor.text
        if text.startswith("=") and not text.startswith("=="):
            found, start = expression_offers(analysis, cursor)
            return CompletionList(column - start, tuple(found))
        if cursor.block:
            return CompletionList(column)
        offers = _Completion(analysis, cursor).values()
    else:
        offers = _Completion(analysis, cursor).keys()
    return CompletionList(column - len(cursor.text), tuple(offers))


class _Completion:
    def __init__(self, analysis: Analysis, cursor: TextCursor) -> None:
        self._analysis = analysis
        self._cursor = cursor
        self._data: Any = analysis.source.data
        self._expected = grammar.expected(cursor.path, self._data)

    # Keys ---------------------------------------------------------------------------------------

    def keys(self) -> Iterator[CompletionOffer]:
        """Keys of the mapping that the cursor is in."""
        path = self._cursor.path
        there = value_at(self._data, path)
        given = mapping_of(there)
        if self._cursor.item and not isinstance(there, dict):
            yield from self.values()
        if grammar.is_step(self._expected) and kind_of(given) is None:
            yield from self._kinds()
            if given or self._cursor.item:
                return
        if not self._cursor.item and grammar.takes_steps(self._expected):
            yield from self._kinds("- ")
            return
        for offer in self._named_keys(path):
            if offer.label not in given:
                yield offer
        for name, schema in grammar.members(self._expected).items():
            if name not in given or name == self._cursor.text:
                after = ":" if grammar.holds_many(schema) else ": "
                yield CompletionOffer(
                    name, "key", help=grammar.described(schema), text=name + after
                )

    def _kinds(self, before: str = "") -> Iterator[CompletionOffer]:
        for name, model in KINDS.items():
            said = (model.__doc__ or "").strip()
            after = ":" if name in ("try", "set") else ": "
            yield CompletionOffer(name, "step", said, keys_of(model), f"{before}{name}{after}", 0)

    def _named_keys(self, path: Path) -> Iterator[CompletionOffer]:
        """Keys that are names of this document, or of what it calls."""
        above = path[:-1]
        holder = value_at(self._data, above)
        name = path[-1] if path else ""
        if name == "with" and isinstance(holder, dict):
            members = cast("dict[Any, Any]", holder)
            called = called_in(self._analysis, members)
            if called is not None:
                yield from input_offers(called)
            pairs = next((members[k] for k in PAIRING if k in members), None)
            sides = (
                value_at(self._data, ("pairs", pairs, "sides")) if isinstance(pairs, str) else None
            )
            yield from _keys(sides, "the side of the pairs")
        elif name == "set":
            for each, known in self._analysis.names_at(path).items():
                if known.variable:
                    said = words(known.schema)
                    yield CompletionOffer(
                        each, "name", said, "A variable, set anew.", f"{each}: ", 0
                    )
        else:
            yield from self._referred_keys(referred_by_keys(self._data, path))

    def _referred_keys(self, referred: str | None) -> Iterator[CompletionOffer]:
        match referred:
            case "call" | "flow":
                after = ": " if referred == "flow" else ":"
                if referred == "call":
                    yield from self._callables("action", after)
                for each in self._flows():
                    yield CompletionOffer(each, "flow", "a flow", text=each + after)
            case "pairs":
                yield from _keys(value_at(self._data, ("pairs",)), "pairs")
            case "field":
                yield from _keys(self._fields(), "a field of the config")
            case "connection":
                yield from _keys(self._connections(), "a connection of the config")
            case _:
                pass

    # Values -------------------------------------------------------------------------------------

    def values(self) -> Iterator[CompletionOffer]:
        """Yield the possible values."""
        path = self._cursor.path
        holder = value_at(self._data, path[:-1])
        match referred_at(self._data, path):
            case "action" | "trigger" as kind:
                yield from self._callables(kind)
            case "component":
                for each in self._analysis.shapes.names():
                    yield CompletionOffer(each, "value", "a component")
            case "connection" if path[-1] == "master":
                yield from _values(value_at(self._data, (*path[:-1], "sides")), "a side")
            case "connection":
                yield from _values(self._connections(), "a connection of the config")
            case "flow":
                yield from (CompletionOffer(each, "flow", "a flow") for each in self._flows())
            case "pairs":
                yield from _values(value_at(self._data, ("pairs",)), "pairs")
            case "field":
                yield from _values(self._fields(), "a field of the config")
            case _:
                yield from self._of_input(path)
        for each in grammar.choices(self._expected):
            yield CompletionOffer(written(each), "value")
        if isinstance(holder, dict) and not self._cursor.text and self._takes_expression(path):
            names = self._analysis.names_at(path)
            for each, known in names.items():
                yield CompletionOffer(f"={each}", "name", words(known.schema), rank=2)

    def _takes_expression(self, path: Path) -> bool:
        free = any(not ({*each} - _REMARKS) for each in self._expected)
        return path[:1] == ("flows",) and (free or "with" in path[3:])

    def _of_input(self, path: Path) -> Iterator[CompletionOffer]:
        """Values of an input that is one of several."""
        for at in range(len(path) - 1, 0, -1):
            if path[at] != "with" or at + 1 >= len(path):
                continue
            called = called_in(self._analysis, mapping_of(value_at(self._data, path[:at])))
            found = [
                each
                for each in (called.inputs if called else None) or ()
                if each.name == path[at + 1]
            ]
            if found and len(path) == at + 2:
                for each in grammar.choices(options_of(found[0])):
                    yield CompletionOffer(written(each), "value", f"of {found[0].name}")
            return

    # Names of the document ----------------------------------------------------------------------

    def _callables(
        self, kind: Literal["action", "trigger"], after: str = ""
    ) -> Iterator[CompletionOffer]:
        shapes = self._analysis.shapes
        wanted = self._cursor.text.partition(".")[0]
        for owner in shapes.names():
            component = shapes.component(owner)
            if component is None:
                continue
            calls = component.actions if kind == "action" else component.triggers
            for name, shape in calls.items():
                label = f"{owner}.{name}"
                rank = 0 if owner == wanted else 1
                yield CompletionOffer(
                    label, kind, shape.title, shape.description, label + after, rank
                )

    def _flows(self) -> Iterable[str]:
        return map(str, mapping_of(value_at(self._data, ("flows",))))

    def _fields(self) -> dict[Any, Any]:
        pages = mapping_of(value_at(self._data, ("config",))).values()
        return {name: each for page in pages for name, each in mapping_of(page).items()}

    def _connections(self) -> dict[Any, Any]:
        return {
            name: each
            for name, each in self._fields().items()
            if isinstance(each, dict) and "connection" in each
        }


_REMARKS = {"title", "description", "default"}


def input_offers(called: CallShape) -> Iterator[CompletionOffer]:
    """The inputs of an action or a trigger, those first that it needs."""
    for each in called.inputs or ():
        needed = "needed" if each.required else "may be left out"
        schema = next(iter(options_of(each)), None)
        kind = words(each.schema())
        detail = ", ".join(part for part in (kind, needed) if part)
        said = grammar.described(schema) if schema else ""
        yield CompletionOffer(
            each.name, "key", detail, said, f"{each.name}: ", 0 if each.required else 1
        )


def options_of(input: InputShape) -> list[Schema]:
    """Return the alternatives of an input, each by its schema."""
    return forms_of(input.schema() or {}, nulls=True)


def keys_of(model: type[StepModel]) -> str:
    """A step's keys, for its help."""
    listed = (f"`{field.alias or name}`" for name, field in model.model_fields.items())
    return f"Keys: {', '.join(listed)}."


def written(value: Any) -> str:
    """A plain value as YAML writes it."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _keys(given: Any, detail: str) -> Iterator[CompletionOffer]:
    for each in mapping_of(given):
        yield CompletionOffer(str(each), "key", detail, text=f"{each}: ", rank=0)


def _values(given: Any, detail: str) -> Iterator[CompletionOffer]:
    for each in mapping_of(given):
        yield CompletionOffer(str(each), "value", detail, rank=0)
