"""The scope of a part of an expression while its type is inferred."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from halflap.lowcode.expressions import tree
from halflap.lowcode.lint.scope import Schema, ScopedName

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
NULL: Schema = {"type": "null"}
Names = Mapping[str, ScopedName]


@dataclass(frozen=True, slots=True)
class LintLambda:
    """A function of the expression, with what its body sees."""

    node: tree.FunctionDefinition
    env: Env


@dataclass(frozen=True, slots=True)
class Env:
    """The values of `$names`, and of `$` and plain names within a path."""

    bound: Mapping[str, Schema | LintLambda | None] = field(
        default_factory=dict[str, "Schema | LintLambda | None"]
    )
    context: Schema | None = None
    inside: bool = False

    def with_(self, bound: Mapping[str, Schema | LintLambda | None]) -> Env:
        """The same, with more names."""
        return Env({**self.bound, **bound}, self.context, self.inside)

    def within(self, context: Schema | None) -> Env:
        """In a step of a path, or a filter: names are those of its value."""
        return Env(self.bound, context, inside=True)


def function_of(node: tree.Node, env: Env) -> LintLambda | None:
    """The function of the expression that a part is, or names."""
    if isinstance(node, tree.FunctionDefinition):
        return LintLambda(node, env)
    found = env.bound.get(node.name) if isinstance(node, tree.Variable) else None
    return found if isinstance(found, LintLambda) else None
