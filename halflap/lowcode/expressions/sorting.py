"""Order: by the terms of a path, or as a function of the expression says."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from halflap.lowcode.expressions.error import fail
from halflap.lowcode.expressions.frame import VariableFrame
from halflap.lowcode.expressions.tree import Sort
from halflap.lowcode.expressions.value import UNDEFINED, Array, carries, is_number, is_secret

if TYPE_CHECKING:
    from halflap.lowcode.expressions.compiler import Compiler


def sorting(compiler: Compiler, step: Sort) -> Callable[[list[Any], VariableFrame], Array]:
    """The values in the order of the terms; what has no such value comes last."""
    terms = [(compiler.run(term), descending) for term, descending in step.terms]

    def run(values: list[Any], frame: VariableFrame) -> Array:
        tuples = carries(values)
        meter = frame.evaluation.meter
        meter.values(len(values) * len(terms))
        keyed: list[tuple[list[Any], Any]] = []
        for value in values:
            meter.take(len(terms))
            context = value["@"] if tuples else value
            inner = frame.inner(value) if tuples else frame
            keyed.append(([term(context, inner) for term, _ in terms], value))

        def swapped(left: tuple[list[Any], Any], right: tuple[list[Any], Any]) -> bool:
            for one, two, (_, descending) in zip(left[0], right[0], terms, strict=True):
                order = _order(one, two, step.at, descending=descending)
                if order:
                    return order > 0
            return False

        ordered = merge_sorted(keyed, swapped, frame)
        return Array((value for _, value in ordered), sequence=True, tuples=tuples)

    return run


def _order(left: Any, right: Any, at: int, *, descending: bool) -> int:
    if left is UNDEFINED or right is UNDEFINED:
        return (left is UNDEFINED) - (right is UNDEFINED)
    for value in (left, right):
        if type(value) is not str and not is_number(value):
            fail("H0003" if is_secret(value) else "T2008", at, value=value)
    if (type(left) is str) is not (type(right) is str):
        fail("T2007", at, value=left, value2=right)
    order = (left > right) - (left < right)
    return -order if descending else order


def merge_sorted(
    values: list[Any], swapped: Callable[[Any, Any], bool], frame: VariableFrame
) -> list[Any]:
    """A stable sort; `swapped` says that the left one of two belongs behind the right one."""
    if len(values) <= 1:
        return list(values)
    middle = len(values) // 2
    left = merge_sorted(values[:middle], swapped, frame)
    right = merge_sorted(values[middle:], swapped, frame)
    frame.evaluation.meter.take(len(values))
    merged: list[Any] = []
    one = two = 0
    while one < len(left) and two < len(right):
        if swapped(left[one], right[two]):
            merged.append(right[two])
            two += 1
        else:
            merged.append(left[one])
            one += 1
    return merged + left[one:] + right[two:]
