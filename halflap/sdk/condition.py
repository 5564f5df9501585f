"""Conditions of config fields: a field is shown only where other fields have certain values."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from pydantic.fields import FieldInfo


@dataclass(frozen=True, slots=True, init=False)
class When:
    """The condition on which a config's field is shown: `Annotated[str | None, When(mode="some")]`.

    Names other fields, with the value that each has to have, or a list of which it has to have one;
    a field of several values has to have one of them among its own. A field that is not shown is
    None, whatever was given: so its type has None, too. Without a default, it has to be filled in
    wherever it is shown.
    """

    fields: Mapping[str, tuple[Any, ...]]

    def __init__(self, **fields: Any) -> None:
        object.__setattr__(self, "fields", {name: listed(each) for name, each in fields.items()})

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        published = {name: [_plain(each) for each in some] for name, some in self.fields.items()}
        return {**handler(schema), "x-when": published}


def listed(value: Any) -> tuple[Any, ...]:
    """Return the values that a condition takes of one field."""
    return tuple(cast("list[Any]", value)) if isinstance(value, list | tuple) else (value,)


def condition_of(info: FieldInfo) -> When | None:
    """Return the condition on which a config's field is shown; None where it always is."""
    return next((each for each in info.metadata if isinstance(each, When)), None)


def hidden(conditions: Mapping[str, When], value_of: Callable[[str], Any]) -> set[str]:
    """Return the fields that are not shown; one that depends on a hidden field is hidden, too."""
    seen: dict[str, bool] = {}

    def is_shown(name: str) -> bool:
        if name not in conditions:
            return True
        if name not in seen:
            seen[name] = False  # of a circle, which definitions refuse
            wanted = conditions[name].fields.items()
            seen[name] = all(
                is_shown(other) and _is_among(value_of(other), some) for other, some in wanted
            )
        return seen[name]

    return {name for name in conditions if not is_shown(name)}


def condition_faults(
    conditions: Mapping[str, When], known: Iterable[str]
) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong with conditions: the field, the one that its condition names, and why."""
    names = set(known)
    for name, condition in conditions.items():
        for other in condition.fields:
            if other not in names:
                yield name, other, f"the config has no field {other!r}"
            elif name in _reached(conditions, other):
                yield name, other, f"{name} is shown by {other}, and {other} by {name}"


def _reached(conditions: Mapping[str, When], name: str) -> set[str]:
    """Return a field, and those on which its condition depends."""
    found: set[str] = set()
    left = [name]
    while left:
        each = left.pop()
        if each not in found:
            found.add(each)
            left += conditions[each].fields if each in conditions else ()
    return found


def _is_among(value: Any, wanted: tuple[Any, ...]) -> bool:
    return any(_comparable(each) in map(_comparable, wanted) for each in listed(value))


def _comparable(value: Any) -> Any:
    """Return a value as conditions compare it: a form's `true` and the truth value are the same."""
    plain = _plain(value)
    if isinstance(plain, bool):
        return str(plain).lower()
    return plain


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, dt.date) else value
