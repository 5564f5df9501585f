"""Objects that are written in an expression: one, or one of the values of a path in groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from halflap.lowcode.expressions.error import fail
from halflap.lowcode.expressions.frame import VariableFrame
from halflap.lowcode.expressions.tree import ObjectConstructor
from halflap.lowcode.expressions.value import UNDEFINED, Array, carries, is_secret

if TYPE_CHECKING:
    from halflap.lowcode.expressions.compiler import Compiler, Run

Tuple = dict[str, Any]


def grouping(compiler: Compiler, node: ObjectConstructor) -> Run:
    """An object of the context's values, grouped by the names that the pairs give them."""
    pairs = [(compiler.run(name), compiler.run(value)) for name, value in node.pairs]

    def run(values: Any, frame: VariableFrame) -> Any:
        tuples = carries(values)
        many: list[Any] = cast(list[Any], values) if isinstance(values, list) else [values]
        if not many and not tuples:
            many = [UNDEFINED]
        groups: dict[str, tuple[int, list[Any]]] = {}
        meter = frame.evaluation.meter
        meter.take(len(many) * len(pairs))
        for value in many:
            context = value["@"] if tuples else value
            inner = frame.inner(value) if tuples else frame
            for number, (name, _) in enumerate(pairs):
                key = name(context, inner)
                if key is UNDEFINED:
                    continue
                if type(key) is not str:
                    fail("H0003" if is_secret(key) else "T1003", node.at, value=key)
                first, members = groups.setdefault(key, (number, []))
                if first != number:
                    fail("D1009", node.at, value=key)
                members.append(value)
        made: dict[str, Any] = {}
        meter.bytes(64 + 200 * len(groups) + 8 * len(many))
        for key, (number, members) in groups.items():
            context, inner = members[0], frame
            if tuples:
                merged = _merged(members, frame)
                context = merged.pop("@")
                inner = frame.inner(merged)
            elif len(members) > 1:
                context = _together(members, frame)
            result = pairs[number][1](context, inner)
            if result is not UNDEFINED:
                made[key] = result
        return made

    return run


def _merged(tuples: list[Tuple], frame: VariableFrame) -> Tuple:
    """Return what the tuples bound, each name to all of its values."""
    if len(tuples) == 1:
        return dict(tuples[0])
    return {
        name: _together([each[name] for each in tuples if name in each], frame)
        for name in tuples[0]
    }


def _together(values: list[Any], frame: VariableFrame) -> Array:
    made = Array()
    for value in values:
        if isinstance(value, list):
            made.extend(cast(list[Any], value))
        elif value is not UNDEFINED:
            made.append(value)
    frame.evaluation.meter.values(len(made))
    return made


def appended(left: Any, right: Any, frame: VariableFrame) -> Any:
    """Both, as one list."""
    if left is UNDEFINED:
        return right
    if right is UNDEFINED:
        return left
    one = cast(list[Any], left) if isinstance(left, list) else [left]
    two = cast(list[Any], right) if isinstance(right, list) else [right]
    frame.evaluation.meter.values(len(one) + len(two))
    made = Array(one)
    made.extend(two)
    return made
