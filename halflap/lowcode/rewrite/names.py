"""Renaming what a flow's steps name, wherever its expressions read it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from keyword import iskeyword
from typing import Any, cast

from halflap.errors import DefinitionError, ExpressionError
from halflap.lowcode.expressions.reads import Name
from halflap.lowcode.frame import SCOPE
from halflap.lowcode.kinds import kind_of
from halflap.lowcode.kinds.raw import blocks_under, field_at, fields_in
from halflap.lowcode.kinds.role import Asks, Block, Gives, Refers
from halflap.lowcode.source import Path, SourceText, mapping_of, value_at
from halflap.lowcode.template import is_expression, parsed
from halflap.sdk.integration import NAME

WORDS = frozenset({"and", "or", "in", "true", "false", "null", "function"})

Change = tuple[Path, str, bool]
"""A value of the document, what it becomes, and whether it is the name of a member."""


def renamed(source: SourceText, flow: str, old: str, new: str) -> list[Change]:
    """Return the changes that rename a flow's name; deepest and last first."""
    path: Path = ("flows", flow, "steps")
    try:
        steps = source.data["flows"][flow]["steps"]
    except (KeyError, TypeError):
        raise DefinitionError(f"there is no flow {flow!r}", where=source.at(path)) from None
    names = _Names(source, old, new)
    changes = list(names.steps(steps, path))
    if not names.given:
        raise DefinitionError(f"no step of {flow} gives the name {old!r}", where=source.at(path))
    if new in SCOPE or new in WORDS or re.fullmatch(NAME, new) is None:
        raise DefinitionError(f"{new!r} cannot be a name", where=source.at(path))
    if new in names.known:
        raise DefinitionError(f"{new!r} is a name in {flow} already", where=source.at(path))
    return sorted(changes, key=lambda each: (each[2], len(each[0])))


def names_in(source: SourceText, path: Path) -> set[str]:
    """Return the names that the steps of a list give or read, as far as they can be read."""
    names = _Names(source, "", "")
    steps: Any = source.data
    for each in path:
        steps = steps[each]
    for at, _ in enumerate(steps):
        with suppress(DefinitionError):
            for _ in names.steps(steps[at : at + 1], path):
                pass
    return names.known


class _Names:
    def __init__(self, source: SourceText, old: str, new: str) -> None:
        self._source = source
        self._old = old
        self._new = new
        self.given = False
        self.known: set[str] = set()

    def steps(self, steps: Any, path: Path) -> Iterator[Change]:
        for at, each in enumerate(cast("list[Any]", steps or [])):
            if isinstance(each, dict):
                yield from self._step(cast("dict[Any, Any]", each), (*path, at))

    def _step(self, step: dict[Any, Any], path: Path) -> Iterator[Change]:
        if kind_of(step) == "try" and "error" not in step:
            self.known.add("error")
            if self._old == "error":
                raise DefinitionError(
                    "this `try` names its error `error`; give it another name with `error:` first",
                    where=self._source.at(path),
                )
        fields = fields_in(step)
        for name, value in step.items():
            place, field = (*path, name), fields.get(name)
            blocks = (
                [] if field is None or not field.role(Block) else list(blocks_under(field, value))
            )
            gives = field is not None and field.role(Gives) is not None
            if blocks:
                for at, each in blocks:
                    yield from self.steps(each, (*path, *at))
            elif isinstance(value, str) and (
                gives or name == "id"
            ):  # of a step without a kind, too
                yield from self._name(value, place)
            elif gives and isinstance(value, dict):
                yield from self._set(cast("dict[Any, Any]", value), place)
            elif field is None or field.role(Asks) or isinstance(value, dict):
                yield from self._reads(value, place)

    def _name(self, value: str, path: Path, *, as_key: bool = False) -> Iterator[Change]:
        self.known.add(value)
        if value == self._old:
            self.given = True
            yield path, self._new, as_key

    def _set(self, values: dict[Any, Any], path: Path) -> Iterator[Change]:
        for name, each in values.items():
            yield from self._reads(each, (*path, name))
            yield from self._name(name, (*path, name), as_key=True)

    def _reads(self, value: Any, path: Path) -> Iterator[Change]:
        """Expressions in a template that read the name."""
        if isinstance(value, dict):
            for name, each in cast("dict[Any, Any]", value).items():
                yield from self._reads(each, (*path, name))
        elif isinstance(value, list):
            for at, each in enumerate(cast("list[Any]", value)):
                yield from self._reads(each, (*path, at))
        elif is_expression(value):
            changed = self._expression(value, path)
            if changed != value:
                yield path, changed, False

    def _expression(self, text: str, path: Path) -> str:
        def before(name: Name) -> str | None:
            self.known.add(name.path[0])
            return r"(?:\$\.?)?`?" if name.path[0] == self._old else None

        return _reworded(self._source, text, path, before, self._old, self._new)


def _reworded(
    source: SourceText,
    text: str,
    path: Path,
    before: Callable[[Name], str | None],
    old: str,
    new: str,
) -> str:
    """Return an expression with a word for another in the names that it reads.

    `before` gives the pattern of what precedes the word in a name; None where the name has it not.
    """
    try:
        names = parsed(text, source).names()
    except ExpressionError as error:
        raise DefinitionError(error.message, where=source.at(path)) from error
    begins = len(text) - len(text[1:].lstrip("\n"))  # behind the `=`, and what follows it
    for each in sorted(names, key=lambda each: each.offset, reverse=True):
        if (pattern := before(each)) is None:
            continue
        found = re.compile(pattern + re.escape(old)).match(text, begins + each.offset)
        if found is None:
            said = f"{old} is read here in a way that cannot be renamed; write {each}"
            raise DefinitionError(said, where=source.at(path))
        text = text[: found.end() - len(old)] + new + text[found.end() :]
    return text


URLS = ("urls", "secrets")
"""Names of the scope whose fields are flows."""


def flow_renamed(source: SourceText, old: str, new: str) -> list[Change]:
    """Return the changes that rename a flow: calls, routes, tests, and its URL's name."""
    data = mapping_of(source.data)
    flows = {name: part for part in ("flows", "preprocess") for name in data.get(part) or ()}
    if old not in flows:
        raise DefinitionError(f"there is no flow {old!r}", where=source.at(()))
    place: Path = (flows[old], old)
    if re.fullmatch(NAME, new) is None:
        raise DefinitionError(f"{new!r} cannot be a name", where=source.at(place))
    if new in flows:
        raise DefinitionError(f"there is a flow {new!r} already", where=source.at(place))
    changes = _changes(
        source,
        old,
        new,
        keys=_keys_flows,
        names=lambda path: _names_flow(data, path),
        reads=lambda _, name: _reads_url(name, old),
    )
    return _ordered([(place, new, True), *changes])


def _ordered(changes: Iterable[Change]) -> list[Change]:
    """Return changes in the order in which they can be made: those of keys last, the deepest first."""
    return sorted(changes, key=lambda each: (each[2], len(each[0])))


def _changes(
    source: SourceText,
    old: str,
    new: str,
    *,
    keys: Callable[[Path], bool],
    names: Callable[[Path], bool],
    reads: Callable[[Path, Name], str | None],
) -> Iterator[Change]:
    """Yield the changes that give what a document names another name.

    `keys` says of a mapping by its address whether its keys name it, `names` of a text; `reads` gives the
    pattern of what precedes it in a name of an expression. Expressions of tests read nothing.
    """
    stack: list[tuple[Any, Path]] = [(mapping_of(source.data), ())]
    while stack:
        value, path = stack.pop()
        if isinstance(value, list):
            stack += [(each, (*path, at)) for at, each in enumerate(cast("list[Any]", value))]
        elif isinstance(value, dict):
            for name, each in cast("dict[Any, Any]", value).items():
                stack.append((each, (*path, name)))
                if name == old and keys(path):
                    yield (*path, name), new, True
        elif value == old and names(path):
            yield path, new, False
        elif is_expression(value) and path[0] != "tests":
            changed = _reworded(source, value, path, partial(reads, path), old, new)
            if changed != value:
                yield path, changed, False


def _names_flow(data: Any, path: Path) -> bool:
    """Return whether a value is the name of a flow."""
    match path:
        case ("tests", int(), "flow") | ("preprocess", _, "routes", int(), "flow"):
            return True
        case _:
            field = field_at(data, path)
            return field is not None and field.role(Refers) == Refers("flow")


def _keys_flows(path: Path) -> bool:
    """Return whether the keys of a mapping may name flows."""
    match path:
        case ("tests", int(), "stubs") | ("tests", int(), "expect", int()):
            return True
        case _:
            return False


def _reads_url(name: Name, old: str) -> str | None:
    if len(name.path) < 2 or name.path[0] not in URLS or name.path[1] != old:
        return None
    return rf"\$?{name.path[0]}\s*\.\s*`?"


PAIRING = frozenset({"paired", "pair", "unpair"})


def field_renamed(source: SourceText, old: str, new: str) -> list[Change]:
    """Return the changes that rename a field of the config, with all that names it."""
    data = mapping_of(source.data)
    pages = {page: mapping_of(fields) for page, fields in mapping_of(data.get("config")).items()}
    if not any(old in fields for fields in pages.values()):
        raise DefinitionError(f"the config has no field {old!r}", where=source.at(("config",)))
    if any(new in fields for fields in pages.values()):
        raise DefinitionError(
            f"the config has a field {new!r} already", where=source.at(("config",))
        )
    if re.fullmatch(NAME, new) is None or iskeyword(new) or new.startswith("_"):
        raise DefinitionError(f"{new!r} cannot be a field's name", where=source.at(("config",)))
    return _ordered(
        _changes(
            source,
            old,
            new,
            keys=lambda path: _keys_fields(data, path),
            names=lambda path: _names_field(data, path),
            reads=lambda path, name: _reads_field(path, name, old),
        )
    )


def _names_field(data: Any, path: Path) -> bool:
    """Return whether a value is the name of a field of the config."""
    match path:
        case ("config", _, _, "depends", int()) | ("pairs", _, "master"):
            return True
        case ("config", _, _, "source" | "of" | "to", "connection"):
            return True
        case _:
            field = field_at(data, path)
            return field is not None and field.role(Refers) == Refers("connection")


def _keys_fields(data: Any, path: Path) -> bool:
    """Return whether the keys of a mapping name fields of the config."""
    match path:
        case ("config", _) | ("pairs", _, "sides") | ("tests", int(), "config"):
            return True
        case ("preprocess", _, "routes", int(), "config"):
            return True
        case ("tests", int(), *_, "paired", _, int()):
            return True
        case ("flows", *step, "with"):
            return not PAIRING.isdisjoint(mapping_of(value_at(data, ("flows", *step))))
        case _:
            return False


def _reads_field(path: Path, name: Name, old: str) -> str | None:
    if path[0] == "config":  # a picker's inputs, which read other fields
        return r"(?:\$\.?)?`?" if name.path[0] == old else None
    is_read = len(name.path) > 1 and name.path[:2] == ("config", old)
    return r"\$?config\s*\.\s*`?" if is_read else None
