"""The values of expressions: JSON's, with exact numbers, and functions.

A sequence is what a path selects: where it holds one value it *is* that value, where none, it is
undefined. `Array` carries what JSONata knows of a list beyond its values.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, cast

from pydantic import Secret, SecretBytes, SecretStr

from halflap.lowcode.expressions.error import fail
from halflap.sdk.schema import UNSET

if TYPE_CHECKING:
    from halflap.lowcode.expressions.frame import Frame
    from halflap.lowcode.expressions.signature import Signature

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


class Function:
    """Something that can be called; `arity` is how many arguments it takes."""

    __slots__ = ("arity", "name", "signature")

    def __init__(self, name: str, arity: int, signature: Signature | None) -> None:
        self.name = name
        self.arity = arity
        self.signature = signature


class Native(Function):
    """A function of the library: called with the frame and its arguments."""

    __slots__ = ("run",)

    def __init__(
        self,
        name: str,
        run: Callable[..., Any],
        arity: int,
        signature: Signature | None = None,
    ) -> None:
        super().__init__(name, arity, signature)
        self.run = run


class Lambda(Function):
    """A function of the expression: its body, and where it was written."""

    __slots__ = ("body", "context", "frame", "parameters")

    def __init__(
        self,
        parameters: tuple[str, ...],
        body: Callable[[Any, Frame], Any],
        context: Any,
        frame: Frame,
        signature: Signature | None = None,
    ) -> None:
        super().__init__("function", len(parameters), signature)
        self.parameters = parameters
        self.body = body
        self.context = context
        self.frame = frame


def sequence(*values: Any) -> Array:
    """A sequence of values."""
    return Array(values, sequence=True)


def is_sequence(value: Any) -> bool:
    """Whether it is a sequence."""
    return type(value) is Array and value.sequence


def carries(value: Any) -> bool:
    """Whether its values are tuples: each `@`, and what was bound on the way."""
    return type(value) is Array and value.tuples


def is_whole(value: Any) -> bool:
    """Whether it is a list that was written as one, which a path does not flatten."""
    return type(value) is Array and value.whole


def finished(value: Any, *, keep: bool, settle: bool) -> Any:
    """What an operation gives: kept as a list where `[]` says so, settled unless a filter follows."""
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
    """Whether it may only be handed on."""
    return isinstance(value, _SECRETS)


def is_number(value: Any) -> bool:
    """Whether it is a number (true and false are none)."""
    return type(value) in (int, Decimal)


def plain(value: Any) -> Any:
    """A value that comes from outside: floats by the digits that identify them."""
    return Decimal(repr(value)) if type(value) is float else value


def truth(value: Any) -> bool:
    """Whether a value counts as true: not nothing, null, zero, empty, or a function."""
    if value is True or value is False:
        return value
    if value is None or value is UNDEFINED:
        return False
    if isinstance(value, list):
        values = cast(list[Any], value)
        return truth(values[0]) if len(values) == 1 else any(map(truth, values))
    if is_secret(value):
        fail("H0003")
    return not isinstance(value, Function) and bool(value)


def equal(left: Any, right: Any) -> bool:
    """Whether two values are the same: numbers by their worth, the rest by content."""
    if type(left) is str and type(right) is str:
        return left == right
    if is_secret(left) or is_secret(right):
        fail("H0003")
    if left is None or right is None:
        return left is right
    left, right = plain(left), plain(right)
    if type(left) is bool or type(right) is bool:
        return left is right
    if is_number(left):
        return is_number(right) and left == right
    if isinstance(left, list) and isinstance(right, list):
        ones, twos = cast(list[Any], left), cast(list[Any], right)
        return len(ones) == len(twos) and all(map(equal, ones, twos))
    if isinstance(left, dict) and isinstance(right, dict):
        these, those = cast(dict[str, Any], left), cast(dict[str, Any], right)
        return these.keys() == those.keys() and all(equal(these[key], those[key]) for key in these)
    return left is right


def look_up(value: Any, name: str) -> Any:
    """The field of an object, or those of the objects of a list."""
    if isinstance(value, dict):
        return plain(cast(dict[str, Any], value).get(name, UNDEFINED))
    if isinstance(value, list):
        found = Array(sequence=True)
        for each in cast(list[Any], value):
            inner = look_up(each, name)
            if isinstance(inner, list):
                found.extend(cast(list[Any], inner))
            elif inner is not UNDEFINED:
                found.append(inner)
        return found
    if is_secret(value):
        fail("H0003")
    return UNDEFINED


def written(value: Any, indent: int | None = None) -> str:
    """A value as `$string` writes it: JSON, a text as it is, a function as nothing."""
    if type(value) is str:
        return value
    if isinstance(value, Function):
        return ""
    parts: list[str] = []
    _write(value, parts.append, indent, "\n")
    return "".join(parts)


def _write(value: Any, add: Callable[[str], None], indent: int | None, line: str) -> None:
    value = plain(value)
    if value is None:
        add("null")
    elif value is True or value is False:
        add("true" if value else "false")
    elif isinstance(value, str):
        add(json.dumps(value, ensure_ascii=False))
    elif isinstance(value, int | Decimal):
        add(digits(value))
    elif isinstance(value, Function):
        add('""')
    elif isinstance(value, dict | list):
        _write_many(cast("dict[str, Any] | list[Any]", value), add, indent, line)
    elif is_secret(value):
        fail("H0003")
    else:
        fail("H0005", type=type(value).__name__)


def _write_many(
    value: dict[str, Any] | list[Any], add: Callable[[str], None], indent: int | None, line: str
) -> None:
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    if not value:
        add(opening + closing)
        return
    inner = line + " " * indent if indent else ""
    add(opening)
    first = True
    for each in value:
        add(inner if first else "," + inner)
        first = False
        if isinstance(value, dict):
            add(json.dumps(each, ensure_ascii=False) + (": " if indent else ":"))
            _write(value[each], add, indent, inner)
        else:
            _write(each, add, indent, inner)
    add((line if indent else "") + closing)


def digits(number: int | Decimal) -> str:
    """A number with every digit that it has: `22.00` stays `22.00`."""
    if type(number) is Decimal:
        if -7 < number.adjusted() < 21 or number.is_zero():
            return f"{number:f}"
        mantissa, exponent = f"{number:e}".split("e")
        if "." in mantissa:
            mantissa = mantissa.rstrip("0").rstrip(".")
        return f"{mantissa}e{exponent}"
    return str(number)
