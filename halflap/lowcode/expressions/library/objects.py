"""Objects: their names and values; types; errors that the author raises."""

from __future__ import annotations

from typing import Any, cast

from halflap.lowcode.expressions import call
from halflap.lowcode.expressions.error import fail
from halflap.lowcode.expressions.frame import VariableFrame
from halflap.lowcode.expressions.library.declared import function, of_value
from halflap.lowcode.expressions.signature import TYPES, kind_of
from halflap.lowcode.expressions.value import (
    UNDEFINED,
    Array,
    Function,
    is_secret,
    look_up,
    truth,
)


@function("keys", "<x-:a<s>>")
def keys(frame: VariableFrame, value: Any = UNDEFINED) -> Array:
    """The names of an object's fields, or of those of a list's objects."""
    names: dict[str, None] = {}
    many = cast(list[Any], value) if isinstance(value, list) else [value]
    frame.evaluation.meter.take(len(many))
    for each in many:
        if isinstance(each, list):
            names.update(dict.fromkeys(keys(frame, each)))
        elif isinstance(each, dict):
            names.update(dict.fromkeys(cast(dict[str, Any], each)))
            frame.evaluation.meter.take(len(cast(dict[str, Any], each)))
    frame.evaluation.meter.values(len(names))
    return Array(names, sequence=True)


@function("lookup", "<x-s:x>")
def lookup(frame: VariableFrame, value: Any = UNDEFINED, name: Any = UNDEFINED) -> Any:
    """The field of that name."""
    return UNDEFINED if name is UNDEFINED else look_up(value, name, frame.evaluation.meter)


@function("exists", "<x:b>")
def exists(_: VariableFrame, value: Any = UNDEFINED) -> bool:
    """Return whether there is a value (null is one)."""
    return value is not UNDEFINED


@function("spread", "<x-:a<o>>")
def spread(frame: VariableFrame, value: Any = UNDEFINED) -> Any:
    """An object for each field."""
    if isinstance(value, list):
        made = Array(sequence=True)
        frame.evaluation.meter.take(len(cast(list[Any], value)))
        for each in cast(list[Any], value):
            inner = spread(frame, each)
            if isinstance(inner, list):
                made.extend(cast(list[Any], inner))
            elif inner is not UNDEFINED:
                made.append(inner)
        return made
    if not isinstance(value, dict):
        return value
    fields = cast(dict[str, Any], value)
    frame.evaluation.meter.values(len(fields))
    frame.evaluation.meter.bytes(200 * len(fields))
    return Array(({name: each} for name, each in fields.items()), sequence=True)


@of_value("merge", "<a<o>:o>")
def merge(frame: VariableFrame, objects: list[dict[str, Any]]) -> dict[str, Any]:
    """One object of the fields of all; the last one wins."""
    made: dict[str, Any] = {}
    for each in objects:
        frame.evaluation.meter.take(len(each))
        frame.evaluation.meter.bytes(100 * len(each))
        made.update(each)
    return made


@function("each", "<o-f:a>")
def each_field(frame: VariableFrame, fields: Any, by: Function) -> Array:
    """Return the function's result for each field."""
    made = Array(sequence=True)
    for name, value in cast(dict[str, Any], fields).items() if fields is not UNDEFINED else ():
        result = call.apply_to(by, [value, name, fields], frame)
        if result is not UNDEFINED:
            made.append(result)
    frame.evaluation.meter.values(len(made))
    return made


@function("sift", "<o-f?:o>")
def sift(frame: VariableFrame, fields: Any, by: Any = UNDEFINED) -> Any:
    """The fields that the function says yes to."""
    if fields is UNDEFINED or by is UNDEFINED:
        return UNDEFINED
    made = {
        name: value
        for name, value in cast(dict[str, Any], fields).items()
        if truth(call.apply_to(by, [value, name, fields], frame), frame.evaluation.meter)
    }
    frame.evaluation.meter.bytes(64 + 100 * len(made))
    return made or UNDEFINED


@function("clone", "<(oa)-:o>")
def clone(frame: VariableFrame, value: Any = UNDEFINED) -> Any:
    """A copy."""
    return call.copy(value, frame, {})


@of_value("type", "<x:s>")
def type_of(_: VariableFrame, value: Any) -> str:
    """The name of its type."""
    if is_secret(value):
        fail("H0003")
    return TYPES.get(kind_of(value), "object")


@function("error", "<s?:x>")
def error(_: VariableFrame, message: Any = UNDEFINED) -> Any:
    """End with an error."""
    fail("D3137", value=message if message is not UNDEFINED and message else "$error() was called")


@function("assert", "<bs?:x>")
def asserted(_: VariableFrame, condition: Any, message: Any = UNDEFINED) -> Any:
    """End with an error, unless the condition holds."""
    if condition is UNDEFINED or not condition:
        fail("D3141", value=message if message is not UNDEFINED and message else "$assert() failed")
    return UNDEFINED
