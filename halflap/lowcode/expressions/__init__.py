"""Expressions of YAML integrations: JSONata, with exact numbers and within a budget.

An expression is read once (`Expression.parse`) and evaluated on a `Scope`. It reaches nothing but
the values of its scope: no Python objects, files, network or clock. `docs/internals.md` says why
the evaluator is our own.
"""

from halflap.errors import ExpressionError
from halflap.lowcode.expressions.expression import Expression, Scope
from halflap.lowcode.expressions.meter import EvaluationBudget
from halflap.lowcode.expressions.reads import Name
from halflap.sdk.fit import complete, fit

__all__ = ["EvaluationBudget", "Expression", "ExpressionError", "Name", "Scope", "complete", "fit"]
