"""The values of expressions: JSON's, with exact numbers, and functions.

A sequence is what a path selects: where it holds one value it *is* that value, where none, it is
undefined. `Array` carries what JSONata knows of a list beyond its values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeGuard, cast

from pydantic import Secret, SecretBytes, SecretStr

from halflap.lowcode.expressions.error import fail
from halflap.sdk.schema import UNSET

if TYPE_CHECKING:
    from halflap.lowcode.expressions.frame import VariableFrame
    from halflap.lowcode.expressions.meter import Meter
    from halflap.lowcode.expressions.signature import FunctionSignature

UNDEFINED: Final = UNSET
"""Nothing was there: not null, but no value at all."""

_SECRETS = (SecretStr, SecretBytes, Secret)


class Array(list[Any]):
    """A list that knows whether it is a sequence, and what becomes of it when it holds one value."""

    __slots__ = ("keep", "outer", "sequence", "tuples", "whole")

    def __init__(self, values: Any = (), *, sequence: bool = False, tuples: bool = False) -> None:
        super().__init__(values)
        self.sequence = sequence
        self.keep = False
        self.outer = False
        self.tuples = tuples
        self.whole = False


@dataclass(slots=True, eq=False, repr=False)
class Function:
    """Something that can be called; `arity` is how many arguments it takes."""

    name: str
    arity: int
    signature: FunctionSignature | None = field(default=None, kw_only=True)


@dataclass(slots=True, eq=False, repr=False)
class Native(Function):
    """A function of the library: called with the frame and its arguments."""

    run: Callable[..., Any]


@dataclass(slots=True, eq=False, repr=False)
class Lambda(Function):
    """A function of the expression: its body, and where it was written."""

    parameters: tuple[str, ...]
    body: Callable[[Any, VariableFrame], Any]
    context: Any
    frame: VariableFrame


def is_sequence(value: Any) -> bool:
    """Return whether it is a sequence."""
    return type(value) is Array and value.sequence


def carries(value: Any) -> bool:
    """Return whether its values are tuples: each `@`, and what was bound on the way."""
    return type(value) is Array and value.tuples


def is_whole(value: Any) -> bool:
    """Return whether it is a list that was written as one, which a path does not flatten."""
    return type(value) is Array and value.whole


def finished(value: Any, *, keep: bool, settle: bool) -> Any:
    """Return an operation's result: kept as a list where `[]` says so, settled unless a filter
    follows.
    """
    if keep and type(value) is Array and value.sequence:
        value.keep = True
    return settled(value) if settle else value


def settled(value: Any) -> Any:
    """A sequence as it is seen from outside: one value is that value, none is undefined."""
    if type(value) is Array and value.sequence and not value.tuples:
        if not value:
            return UNDEFINED
        if len(value) == 1 and not value.keep:
            return value[0]
    return value


def is_secret(value: Any) -> bool:
    """Return whether it may only be handed on."""
    return isinstance(value, _SECRETS)


def is_number(value: Any) -> TypeGuard[int | Decimal]:
    """Return whether it is a number (true and false are none)."""
    return type(value) in (int, Decimal)


def truth(value: Any, meter: Meter) -> bool:
    """Return whether a value counts as true: not nothing, null, zero, empty, or a function."""
    if value is True or value is False:
        return value
    if value is None or value is UNDEFINED:
        return False
    if isinstance(value, list):
        values = cast(list[Any], value)
        meter.take(len(values))
        if len(values) == 1:
            return truth(values[0], meter)
        return any(truth(each, meter) for each in values)
    if is_secret(value):
        fail("H0003")
    return not isinstance(value, Function) and bool(value)


def equal(left: Any, right: Any, meter: Meter) -> bool:
    """Return whether two values are the same: numbers by their worth, the rest by content."""
    if type(left) is str and type(right) is str:
        return left == right
    if is_secret(left) or is_secret(right):
        fail("H0003")
    if left is None or right is None or type(left) is bool or type(right) is bool:
        return left is right
    if is_number(left):
        return is_number(right) and left == right
    if isinstance(left, list) and isinstance(right, list):
        ones, twos = cast(list[Any], left), cast(list[Any], right)
        meter.take(len(ones))
        return len(ones) == len(twos) and all(
            equal(one, two, meter) for one, two in zip(ones, twos, strict=True)
        )
    if isinstance(left, dict) and isinstance(right, dict):
        these, those = cast(dict[str, Any], left), cast(dict[str, Any], right)
        meter.take(len(these))
        return these.keys() == those.keys() and all(
            equal(each, those[name], meter) for name, each in these.items()
        )
    return left is right


def look_up(value: Any, name: str, meter: Meter) -> Any:
    """The field of an object, or those of the objects of a list."""
    if isinstance(value, dict):
        return cast(dict[str, Any], value).get(name, UNDEFINED)
    if isinstance(value, list):
        values = cast(list[Any], value)
        meter.take(len(values))
        found = Array(sequence=True)
        for each in values:
            inner = look_up(each, name, meter)
            if isinstance(inner, list):
                found.extend(cast(list[Any], inner))
            elif inner is not UNDEFINED:
                found.append(inner)
        meter.values(len(found))
        return found
    if is_secret(value):
        fail("H0003")
    return UNDEFINED
