"""Infer types at the end of half an expression: it is closed, read, and its end looked for."""

from __future__ import annotations

import re
from collections.abc import Mapping

from halflap.errors import ExpressionError
from halflap.lowcode.expressions import Expression, tree
from halflap.lowcode.lint.infer import Inference, Stream
from halflap.lowcode.lint.scope import Env, LintLambda, Names, Schema

HOLE = "it_ends_here"
_WORD = re.compile(r"\$?\w*$")
_PAIRS = {"(": ")", "[": "]", "{": "}"}


class Probe(Inference):
    """Infers an expression up to its end. `inside` is the value whose fields could stand there,
    `bound` what its own `$names` are there."""

    def __init__(self, names: Names) -> None:
        super().__init__(names)
        self.reached = False
        self.inside: Schema | None = None
        self.bound: Mapping[str, Schema | LintLambda | None] = {}

    def step(self, flow: Stream, name: str) -> Stream:
        """A field of what goes through a path."""
        if name == HOLE:
            self.reached, self.inside = True, flow.schema
        return super().step(flow, name)

    def of(self, node: tree.Node, env: Env | None = None) -> Schema | None:
        """Return the schema of a part."""
        if env is not None and tree.name_of(node) == HOLE:
            self.reached, self.bound = True, env.bound
        return super().of(node, env)


def probed(text: str, names: Names) -> Probe | None:
    """Return the inference where a half-written expression ends; None where it cannot be read."""
    found = _WORD.search(text)
    before = text if found is None else text[: found.start()]
    mark = "$" if found is not None and found[0].startswith("$") else ""
    try:
        tree = Expression.parse(f"{before}{mark}{HOLE}{_closing(before)}").tree
    except ExpressionError:
        return None
    probe = Probe(names)
    probe.of(tree, Env())
    return probe if probe.reached else None


def _closing(text: str) -> str:
    """The brackets that are open at the end of a text, closed."""
    stack: list[str] = []
    quote = ""
    for char in text:
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'`":
            quote = char
        elif char in _PAIRS:
            stack.append(_PAIRS[char])
        elif stack and char == stack[-1]:
            stack.pop()
    return "".join(reversed(stack))
