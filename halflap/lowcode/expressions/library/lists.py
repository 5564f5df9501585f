"""Lists: mapped, filtered, joined, sorted."""

from __future__ import annotations

from typing import Any, cast

from halflap.lowcode.expressions.call import apply_to
from halflap.lowcode.expressions.error import fail
from halflap.lowcode.expressions.frame import VariableFrame
from halflap.lowcode.expressions.grouping import appended
from halflap.lowcode.expressions.library.declared import function, of_value
from halflap.lowcode.expressions.sorting import merge_sorted
from halflap.lowcode.expressions.value import (
    UNDEFINED,
    Array,
    Function,
    equal,
    is_number,
    is_secret,
    is_sequence,
    truth,
)


@of_value("map", "<af>")
def mapped(frame: VariableFrame, values: list[Any], by: Function) -> Array:
    """Return the function's result for each value."""
    made = Array(sequence=True)
    for index, value in enumerate(values):
        result = apply_to(by, [value, index, values], frame)
        if result is not UNDEFINED:
            made.append(result)
    frame.evaluation.meter.values(len(made))
    return made


@of_value("filter", "<af>")
def filtered(frame: VariableFrame, values: list[Any], by: Function) -> Array:
    """The values that the function says yes to."""
    made = Array(sequence=True)
    for index, value in enumerate(values):
        if truth(apply_to(by, [value, index, values], frame), frame.evaluation.meter):
            made.append(value)
    frame.evaluation.meter.values(len(made))
    return made


@of_value("single", "<af?>")
def single(frame: VariableFrame, values: list[Any], by: Any = UNDEFINED) -> Any:
    """The one value that the function says yes to; more or none is an error."""
    found: list[Any] = []
    for index, value in enumerate(values):
        if by is UNDEFINED or truth(
            apply_to(by, [value, index, values], frame), frame.evaluation.meter
        ):
            found.append(value)
            if len(found) > 1:
                fail("D3138")
    return found[0] if found else fail("D3139")


@of_value("reduce", "<afj?:j>")
def reduced(frame: VariableFrame, values: list[Any], by: Function, start: Any = UNDEFINED) -> Any:
    """One value of all: the function is given what was made so far, and the next value."""
    if by.arity < 2:
        fail("D3050")
    rest = list(enumerate(values))
    result = start
    if start is UNDEFINED and values:
        result = rest.pop(0)[1]
    frame.evaluation.meter.values(len(values))
    for index, value in rest:
        result = apply_to(by, [result, value, index, values], frame)
    return result


@function("zip", "<a+>", arity=0)
def zipped(frame: VariableFrame, *lists: Any) -> list[Any]:
    """The first values of all lists, then the second ones, as far as the shortest goes."""
    columns = [cast(list[Any], each) if isinstance(each, list) else [] for each in lists]
    frame.evaluation.meter.values(min(map(len, columns), default=0) * len(columns))
    return [list(row) for row in zip(*columns, strict=False)]


@function("list", "<x:a>")
def as_list(frame: VariableFrame, value: Any = UNDEFINED) -> list[Any]:
    """A list always: of one value a list of it, of nothing and of null an empty one."""
    if value is UNDEFINED or value is None:
        return []
    found = cast("list[Any]", value) if isinstance(value, list) else [value]
    frame.evaluation.meter.values(len(found))
    return list(found)


@function("append", "<xx:a>")
def append(frame: VariableFrame, one: Any = UNDEFINED, two: Any = UNDEFINED) -> Any:
    """Both, one after the other."""
    return appended(one, two, frame)


@of_value("reverse", "<a:a>")
def reverse(frame: VariableFrame, values: list[Any]) -> list[Any]:
    """From the last to the first."""
    frame.evaluation.meter.values(len(values))
    return values if len(values) <= 1 else values[::-1]


@of_value("sort", "<af?:a>")
def sort(frame: VariableFrame, values: list[Any], by: Any = UNDEFINED) -> list[Any]:
    """In order; a function says whether the left one of two belongs behind the right one."""
    if len(values) <= 1:
        return values
    frame.evaluation.meter.values(len(values))
    if by is not UNDEFINED:
        return merge_sorted(
            values,
            lambda one, two: truth(apply_to(by, [one, two], frame), frame.evaluation.meter),
            frame,
        )
    texts = all(type(value) is str for value in values)
    if not texts and not all(is_number(value) for value in values):
        fail("H0003" if any(is_secret(value) for value in values) else "D3070")
    frame.evaluation.meter.take(len(values))
    return sorted(values)


@of_value("shuffle", "<a:a>")
def shuffle(frame: VariableFrame, values: list[Any]) -> list[Any]:
    """In an order by chance, the same in every replay."""
    if len(values) <= 1:
        return values
    if frame.evaluation.random is None:
        fail("H0002")
    frame.evaluation.meter.values(len(values))
    shuffled = list(values)
    frame.evaluation.random.shuffle(shuffled)
    return shuffled


@of_value("distinct", "<x:x>")
def distinct(frame: VariableFrame, values: Any) -> Any:
    """Each value once."""
    if not isinstance(values, list) or len(cast(list[Any], values)) <= 1:
        return cast(Any, values)
    many = cast(list[Any], values)
    made = Array(sequence=is_sequence(many))
    seen: set[Any] = set()
    others: list[Any] = []
    for value in many:
        frame.evaluation.meter.take(1 + len(others) // 4)
        if isinstance(value, list | dict | Function) or is_secret(value):
            if any(equal(value, other, frame.evaluation.meter) for other in others):
                continue
            others.append(value)
        else:
            key = (isinstance(value, bool), value)
            if key in seen:
                continue
            seen.add(key)
        made.append(value)
    frame.evaluation.meter.values(2 * len(made))
    return made
