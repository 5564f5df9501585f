"""An expression: read once, evaluated often."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Self, cast

from halflap.lowcode.expressions.compiler import Compiler
from halflap.lowcode.expressions.error import Fault, fail
from halflap.lowcode.expressions.frame import Evaluation, VariableFrame
from halflap.lowcode.expressions.library import LIBRARY
from halflap.lowcode.expressions.meter import DEFAULT, MIB, EvaluationBudget, Meter
from halflap.lowcode.expressions.parser import parse
from halflap.lowcode.expressions.reads import Name, names_read
from halflap.lowcode.expressions.value import UNDEFINED, Array, Function, is_secret
from halflap.sdk.codec import MAX_DEPTH
from halflap.sdk.schema import Unset


@dataclass(frozen=True, slots=True)
class Scope:
    """The scope of an expression: values by name, and the time and chance of the execution.

    `seed` makes `$random()` and `$shuffle()` repeat themselves: give each step its own.
    """

    values: dict[str, Any] = field(default_factory=dict[str, Any])
    now: datetime | None = None
    seed: str | int | None = None


class Expression:
    """A JSONata expression.

        price = Expression.parse("$round(event.seats * event.price, 2)")
        price.evaluate(Scope({"event": {"seats": 3, "price": Decimal("9.99")}}))

    Raises `ExpressionError`, with the place in the text, where it cannot be read or evaluated.
    """

    __slots__ = ("_names", "_run", "text", "tree")

    def __init__(self, text: str) -> None:
        self.text = text
        self._names: tuple[Name, ...] | None = None
        try:
            self.tree, bound = parse(text)
            self._run = Compiler(LIBRARY, bound).run(self.tree)
        except Fault as fault:
            raise fault.explained(text) from None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an expression (the text after the `=`)."""
        return cls(text)

    def names(self) -> tuple[Name, ...]:
        """Return the names that it reads of its scope: `known.id` of `=known.id`, with the place."""
        if self._names is None:
            self._names = names_read(self.tree, self.text)
        return self._names

    def named(self) -> Self:
        """The same; `ExpressionError` where it reads its scope by no name, as `$` does."""
        for each in self.names():
            if each.path[0] == "*":
                raise Fault("H0115", each.offset).explained(self.text)
        return self

    def evaluate(self, scope: Scope, budget: EvaluationBudget = DEFAULT) -> Any | Unset:
        """The value: JSON, with `int` and `Decimal` for numbers; `UNSET` where there is none.

        A secret is handed on as it is. Raises `ExpressionError`, also when the budget is spent.
        """
        return self.evaluate_on(scope.values, scope.values, scope, budget)

    def evaluate_on(
        self,
        root: Any,
        variables: Mapping[str, Any],
        scope: Scope,
        budget: EvaluationBudget = DEFAULT,
    ) -> Any | Unset:
        """The value on any root and variables, as JSONata is used elsewhere."""
        if isinstance(root, list):
            root = Array((cast(list[Any], root),), sequence=True)
            root.outer = True
        try:
            return self._once(root, variables, scope, budget)
        except RecursionError:
            pass
        # The caller's own stack left too little room. What is pure can begin again, on a fresh one.
        try:
            with ThreadPoolExecutor(1) as fresh:
                return fresh.submit(self._once, root, variables, scope, budget).result()
        except RecursionError:
            raise Fault("H0102", 0, limit=budget.depth).explained(self.text) from None

    def _once(
        self, root: Any, variables: Mapping[str, Any], scope: Scope, budget: EvaluationBudget
    ) -> Any:
        evaluation = Evaluation(Meter(budget), root, scope)
        frame = VariableFrame(
            evaluation, {}, VariableFrame(evaluation, variables, VariableFrame(evaluation, LIBRARY))
        )
        try:
            return _result(self._run(root, frame), budget)
        except Fault as fault:
            raise fault.explained(self.text) from None

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"


_FLAT = frozenset((str, int, Decimal, bool, type(None), type(UNDEFINED)))


def _result(value: Any, budget: EvaluationBudget) -> Any:
    """The value as JSON has it, made of plain lists and objects; refuses what is too much."""
    if type(value) in _FLAT:
        return _whole(value)
    return _Copy(budget).of(value, 0)


def _whole(value: Any) -> Any:
    """The value; a text that no UTF-8 can say is refused."""
    if type(value) is str and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            fail("H0006")
    return value


class _Copy:
    def __init__(self, budget: EvaluationBudget) -> None:
        self._budget = budget
        self._left = budget.result

    def of(self, value: Any, depth: int) -> Any:
        self._left -= 56 + (len(cast(str, value)) if isinstance(value, str | list | dict) else 0)
        if self._left < 0:
            fail("H0107", limit=self._budget.result // MIB)
        if isinstance(value, list | dict):
            if depth >= MAX_DEPTH:
                fail("H0108", limit=MAX_DEPTH)
            if isinstance(value, list):
                values: list[Any] = []
                for each in cast(list[Any], value):
                    values.append(None if each is UNDEFINED else self.of(each, depth + 1))
                return values
            fields: dict[str, Any] = {}
            for name, each in cast(dict[str, Any], value).items():
                self._left -= 100 + len(name)
                fields[_whole(name)] = self.of(each, depth + 1)
            return fields
        if isinstance(value, Function):
            fail("H0004")
        if type(value) not in _FLAT and not is_secret(value):
            fail("H0005", type=type(value).__name__)
        return _whole(value)
