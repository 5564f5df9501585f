"""Types of functions that depend on their arguments: `$map`, `$filter` and their like."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from halflap.lowcode.expressions.tree import Node
from halflap.lowcode.lint.env import NUMBER, Env, LintLambda, function_of
from halflap.lowcode.lint.scope import Schema, either, fields_of, listed, one_or_many


class FunctionInference(Protocol):
    """The type inference that functions use."""

    def of(self, node: Node, env: Env | None = None) -> Schema | None: ...
    def items(self, node: Node, env: Env) -> Schema | None: ...
    def applied(self, function: LintLambda, given: Sequence[Schema | None]) -> Schema | None: ...
    def field(self, schema: Schema | None, name: str) -> Schema | None: ...


Special = Callable[[FunctionInference, Sequence[Node], Env], Schema | None]

SPECIAL: dict[str, Special] = {}
"""By a function's name, what it gives for what it is given."""


def special(*names: str) -> Callable[[Special], Special]:
    """Declare what functions of these names give."""

    def declare(function: Special) -> Special:
        SPECIAL.update(dict.fromkeys(names, function))
        return function

    return declare


def _one_or_list(item: Schema | None) -> Schema | None:
    return None if item is None else one_or_many(item)


@special("map")
def mapped(inference: FunctionInference, given: Sequence[Node], env: Env) -> Schema | None:
    """Return the type of the function's results; one alone is no list."""
    function = function_of(given[1], env) if len(given) == 2 else None
    if function is None:
        return None
    return _one_or_list(inference.applied(function, [inference.items(given[0], env), NUMBER]))


@special("filter")
def filtered(inference: FunctionInference, given: Sequence[Node], env: Env) -> Schema | None:
    """Some of them; one alone is no list."""
    if len(given) != 2:
        return None
    item = inference.items(given[0], env)
    function = function_of(given[1], env)
    if function is not None:
        inference.applied(function, [item, NUMBER])
    return _one_or_list(item)


@special("list")
def as_list(inference: FunctionInference, given: Sequence[Node], env: Env) -> Schema | None:
    """A list, whatever it is given."""
    return listed(inference.items(given[0], env)) if given else None


@special("single")
def single(inference: FunctionInference, given: Sequence[Node], env: Env) -> Schema | None:
    """One of them."""
    return inference.items(given[0], env) if given else None


@special("sort", "reverse", "shuffle")
def ordered(inference: FunctionInference, given: Sequence[Node], env: Env) -> Schema | None:
    """All of them, as a list."""
    item = inference.items(given[0], env) if given else None
    function = function_of(given[1], env) if len(given) == 2 else None
    if function is not None:
        inference.applied(function, [item, item])
    return listed(item) if given else None


@special("distinct")
def distinct(inference: FunctionInference, given: Sequence[Node], env: Env) -> Schema | None:
    """Each once."""
    return _one_or_list(inference.items(given[0], env)) if given else None


@special("append")
def appended(inference: FunctionInference, given: Sequence[Node], env: Env) -> Schema | None:
    """Return the type of both."""
    items = [inference.items(each, env) for each in given]
    known = [each for each in items if each is not None]
    return _one_or_list(either(*known)) if known and len(known) == len(items) else None


@special("merge")
def merged(inference: FunctionInference, given: Sequence[Node], env: Env) -> Schema | None:
    """An object with the fields of all."""
    if len(given) != 1 or given[0].kind != "array":
        return {"type": "object"}
    fields: dict[str, Schema] = {}
    for each in given[0].items:
        told = inference.of(each, env)
        inner, others = fields_of(told or {})
        if others or not inner:
            return {"type": "object"}
        fields |= inner
    return {"type": "object", "properties": fields}


@special("lookup")
def looked_up(inference: FunctionInference, given: Sequence[Node], env: Env) -> Schema | None:
    """A field by its name."""
    if len(given) != 2 or given[1].kind != "literal":
        return None
    return inference.field(inference.of(given[0], env), str(given[1].value))


@special("split", "keys")
def texts(inference: FunctionInference, given: Sequence[Node], env: Env) -> Schema | None:
    """Texts; of `$keys`, one alone is no list."""
    return {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
