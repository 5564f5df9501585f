"""The declaration of a library function: its name and signature above a Python function."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from halflap.lowcode.expressions.signature import FunctionSignature
from halflap.lowcode.expressions.value import UNDEFINED, Function, Native

LIBRARY: dict[str, Function] = {}
"""Every function, by its name without the `$`."""

F = TypeVar("F", bound=Callable[..., Any])


def function(name: str, signature: str, *, arity: int | None = None) -> Callable[[F], F]:
    """Declare a function that is given undefined, and whatever its signature allows."""
    checked = FunctionSignature(signature)

    def declare(run: F) -> F:
        takes = checked.most if arity is None else arity
        LIBRARY[name] = Native(name, takes, run, signature=checked)
        return run

    return declare


def of_value(name: str, signature: str, *, arity: int | None = None) -> Callable[[F], F]:
    """Declare a function that is undefined where its first argument is."""

    def declare(run: F) -> F:
        @wraps(run)
        def guarded(frame: Any, value: Any = UNDEFINED, *rest: Any) -> Any:
            return value if value is UNDEFINED else run(frame, value, *rest)

        function(name, signature, arity=arity)(guarded)
        return run

    return declare
