"""Renaming what a flow's steps name, wherever its expressions read it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from keyword import iskeyword
from typing import Any

from halflap.errors import DefinitionError, ExpressionError
from halflap.lowcode.expressions.reads import Name
from halflap.lowcode.frame import SCOPE
from halflap.lowcode.kinds import kind_of
from halflap.lowcode.kinds.raw import field_at, gives_at, holds_steps
from halflap.lowcode.kinds.role import Asks
from halflap.lowcode.references import FIELDS, referred_at, referred_by_keys
from halflap.lowcode.rewrite.edits import step_paths
from halflap.lowcode.source import Path, SourceText, held, mapping_of, value_at
from halflap.lowcode.template import is_expression, parsed
from halflap.sdk.integration import NAME

WORDS = frozenset({"and", "or", "in", "true", "false", "null", "function"})

Change = tuple[Path, str, bool]
"""A value of the document, what it becomes, and whether it is the name of a member."""


def renamed(source: SourceText, flow: str, old: str, new: str) -> list[Change]:
    """Return the changes that rename a flow's name; deepest and last first."""
    path: Path = ("flows", flow, "steps")
    _refuse(source, path, f"there is no flow {flow!r}", value_at(source.data, path) is None)
    if old == "error" and (place := _unnamed_error(source, path)) is not None:
        said = "this `try` names its error `error`; give it another name with `error:` first"
        _refuse(source, place, said)
    data = source.data
    changes = list(
        _changes(
            source,
            old,
            new,
            within=path,
            keys=lambda path: _gives(data, path),
            names=lambda path: _gives(data, path),
            reads=lambda _, name: r"(?:\$\.?)?`?" if name.path[0] == old else None,
        )
    )
    given = any(is_key or _gives(data, each) for each, _, is_key in changes)
    unfit = new in SCOPE or new in WORDS or re.fullmatch(NAME, new) is None
    _refuse(source, path, f"no step of {flow} gives the name {old!r}", not given)
    _refuse(source, path, f"{new!r} cannot be a name", unfit)
    _refuse(source, path, f"{new!r} is a name in {flow} already", new in names_in(source, path))
    return _ordered(changes)


def _refuse(source: SourceText, path: Path, said: str, wrong: bool = True) -> None:
    if wrong:
        raise DefinitionError(said, where=source.at(path))


def names_in(source: SourceText, path: Path) -> set[str]:
    """Return the names that the steps of a flow give or read, as far as they can be read."""
    found = set[str]() if _unnamed_error(source, path) is None else {"error"}
    for text, place, is_key in _texts(source, path):
        if _gives(source.data, place[:-1] if is_key else place):
            found.add(text)
        elif not is_key and _is_read(source.data, text, place):
            with suppress(ExpressionError):
                found |= {each.path[0] for each in parsed(text, source).names()}
    return found


def _gives(data: Any, path: Path) -> bool:
    """Return whether the text at a path, or the keys of the mapping there, are names of a flow."""
    without_kind = path[-1] == "id" and holds_steps(path[:-2]) and field_at(data, path) is None
    return without_kind or gives_at(data, path) is not None


def _unnamed_error(source: SourceText, path: Path) -> Path | None:
    """Return the place of a `try` of a flow that leaves its error the name `error`."""
    for place in step_paths(source.data):
        step = mapping_of(value_at(source.data, place))
        if place[: len(path)] == path and kind_of(step) == "try" and "error" not in step:
            return place
    return None


def _texts(source: SourceText, path: Path) -> Iterator[tuple[str, Path, bool]]:
    """Yield the texts and the keys under a path, with the address of each, and whether it is a key."""
    for value, place in held(value_at(source.data, path), path):
        for name in mapping_of(value):
            if isinstance(name, str):
                yield name, (*place, name), True
        if isinstance(value, str):
            yield value, place, False


def _is_read(data: Any, text: str, path: Path) -> bool:
    """Return whether a text is an expression, which those of tests and of titles are not."""
    if not is_expression(text) or path[0] == "tests":
        return False
    field = field_at(data, path)
    return field is None or field.role(Asks) is not None


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
    _refuse(source, (), f"there is no flow {old!r}", old not in flows)
    place: Path = (flows[old], old)
    _refuse(source, place, f"{new!r} cannot be a name", re.fullmatch(NAME, new) is None)
    _refuse(source, place, f"there is a flow {new!r} already", new in flows)
    changes = _changes(
        source,
        old,
        new,
        keys=lambda path: referred_by_keys(data, path) in ("flow", "call"),
        names=lambda path: referred_at(data, path) == "flow",
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
    within: Path = (),
) -> Iterator[Change]:
    """Yield the changes that give what a document names another name.

    `keys` says of a mapping by its address whether its keys name it, `names` of a text; `reads` gives the
    pattern of what precedes it in a name of an expression.
    """
    for text, path, is_key in _texts(source, within):
        if text == old and (keys(path[:-1]) if is_key else names(path)):
            yield path, new, is_key
        elif not is_key and _is_read(source.data, text, path):
            changed = _reworded(source, text, path, partial(reads, path), old, new)
            if changed != text:
                yield path, changed, False


def _reads_url(name: Name, old: str) -> str | None:
    if len(name.path) < 2 or name.path[0] not in URLS or name.path[1] != old:
        return None
    return rf"\$?{name.path[0]}\s*\.\s*`?"


def field_renamed(source: SourceText, old: str, new: str) -> list[Change]:
    """Return the changes that rename a field of the config, with all that names it."""
    data = mapping_of(source.data)
    config = mapping_of(data.get("config"))
    known = {name for page in config.values() for name in mapping_of(page)}
    unfit = re.fullmatch(NAME, new) is None or iskeyword(new) or new.startswith("_")
    _refuse(source, ("config",), f"the config has no field {old!r}", old not in known)
    _refuse(source, ("config",), f"the config has a field {new!r} already", new in known)
    _refuse(source, ("config",), f"{new!r} cannot be a field's name", unfit)
    return _ordered(
        _changes(
            source,
            old,
            new,
            keys=lambda path: path[:-1] == ("config",) or referred_by_keys(data, path) in FIELDS,
            names=lambda path: referred_at(data, path) in FIELDS,
            reads=lambda path, name: _reads_field(path, name, old),
        )
    )


def page_renamed(source: SourceText, old: str, new: str) -> list[Change]:
    """Return the change that renames a page of the config."""
    pages = mapping_of(mapping_of(source.data).get("config"))
    _refuse(source, ("config",), f"the config has no page {old!r}", old not in pages)
    _refuse(source, ("config",), f"the config has a page {new!r} already", new in pages)
    _refuse(source, ("config",), f"{new!r} cannot be a page's name", not new.strip())
    return [(("config", old), new, True)]


def _reads_field(path: Path, name: Name, old: str) -> str | None:
    if path[0] == "config":  # a picker's inputs, which read other fields
        return r"(?:\$\.?)?`?" if name.path[0] == old else None
    is_read = len(name.path) > 1 and name.path[:2] == ("config", old)
    return r"\$?config\s*\.\s*`?" if is_read else None
