"""Makes a document of what somebody is still writing: what does not fit is left out, for a while."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any, Literal, cast, get_args, get_origin

from pydantic import ValidationError

from halflap.lowcode.document import Document
from halflap.lowcode.kinds import KINDS, StepModel, kind_of
from halflap.lowcode.kinds.raw import holds_steps
from halflap.lowcode.kinds.role import Gives
from halflap.lowcode.kinds.walk import fields_of
from halflap.lowcode.source import Path, SourceText, mapping_of
from halflap.sdk.fit import path_in

MOST_ROUNDS = 8
"""The number of repairs; what is taken out may uncover more."""

NOTHING: Mapping[str, Any] = {"log": None}
"""Stands where a step is that is none yet, so that the others keep their places."""

_FILLED: dict[str, Any] = {
    "name": "untitled", "trigger": "", "steps": [NOTHING], "routes": [{"ignore": ""}],
    "rule": "fifo", "sides": {"one": "", "other": ""}, "flow": "",
}  # fmt: skip


def repaired(source: SourceText) -> tuple[SourceText, Document] | None:
    """The document with what fits, and its source with the same; None where nothing can be made."""
    data = mapping_of(deepcopy(source.data))
    for _ in range(MOST_ROUNDS):
        try:
            return replace(source, data=data, parsed={}), Document.model_validate(data)
        except ValidationError as error:
            told = error.errors(include_url=False, include_input=False)
            paths = [(path_in(data, each), str(each["type"])) for each in told]
            _mend(data, paths)
    return None


def _mend(data: dict[Any, Any], told: list[tuple[Path, str]]) -> None:
    paths = {path for path, _ in told}
    for path, kind in sorted(told, key=lambda each: (-len(each[0]), *map(str, each[0]))):
        if not path or any(len(each) > len(path) and each[: len(path)] == path for each in paths):
            continue  # something in it is wrong, and is mended first
        _mend_one(data, path, kind)


def _mend_one(data: dict[Any, Any], path: Path, kind: str) -> None:
    *above, name = path
    holder: Any = data
    for each in above:
        if not isinstance(holder, dict | list):
            return
        try:
            holder = cast("Any", holder)[each]
        except (KeyError, IndexError):
            return
    if isinstance(holder, list) and isinstance(name, int):
        items = cast("list[Any]", holder)
        if name < len(items):
            items[name] = dict(NOTHING) if holds_steps(tuple(above)) else ""
    elif isinstance(holder, dict):
        members = cast("dict[Any, Any]", holder)
        filled = _filled(path, members)
        if kind == "missing" or (name in _NEEDED and members.get(name) != filled):
            members[name] = filled
        else:
            members.pop(name, None)


_NEEDED = frozenset(("steps", "flows", "name"))
"""Keys that are filled again at once where they are wrong."""


def _filled(path: Path, holder: Mapping[Any, Any]) -> Any:
    name = path[-1]
    if name == "flows":
        return {"untitled": {"trigger": "", "steps": [dict(NOTHING)]}}
    kind = kind_of(holder)
    return deepcopy(_FILLED.get(str(name)) if kind is None else _blank(KINDS[kind], str(name)))


def _blank(kind: type[StepModel], key: str) -> Any:
    """Return the plainest value that a field of a step takes."""
    place = next((each for each in fields_of(kind) if each.key == key), None)
    if place is None:
        return None
    field = kind.model_fields[place.attribute]
    least = max((getattr(each, "min_length", 0) for each in field.metadata), default=0)
    if place.many:
        return dict.fromkeys(("one", "other")[:least], "")
    if get_origin(field.annotation) is list:
        return [""] * least
    if get_origin(field.annotation) is Literal:
        return get_args(field.annotation)[0]
    given = place.role(Gives)
    return "item" if given is not None else "" if field.annotation is str else None
