"""Infer an expression's type, as JSON Schema, as far as its names say: lint, completion and help
use it.

What is not known is None, and stays so: nothing is guessed. A schema says what a value is where there
is one; that it may be missing, and so null, goes without saying.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from halflap.lowcode.expressions import tree
from halflap.lowcode.expressions.library import LIBRARY
from halflap.lowcode.expressions.reads import fields_at
from halflap.lowcode.expressions.signature import TYPES
from halflap.lowcode.fixes import closest
from halflap.lowcode.lint.rules import NO_CHOICE, UNFIT
from halflap.lowcode.lint.scope import (
    NUMBER,
    TEXT,
    Env,
    LintLambda,
    Names,
    Schema,
    either,
    fields_of,
    forms_of,
    function_of,
    items_of,
    joined,
    listed,
    literal,
    one_or_many,
    types_of,
)
from halflap.lowcode.lint.words import words
from halflap.sdk.budget import spend

MOST_DEPTH = 40
"""The depth to which calls are followed."""

BOOLEAN: Schema = {"type": "boolean"}
FUNCTION: Schema = {"type": "function"}
_ARITHMETIC = frozenset("+-*/%")
_ORDER = frozenset(("<", "<=", ">", ">="))
_LETTERS = {name: letter for letter, name in TYPES.items()} | {"integer": "n"}


@dataclass(frozen=True, slots=True)
class InferenceProblem:
    """A part that can never be evaluated, at a place of the expression; `code` is the rule's."""

    at: int
    said: str
    instead: tuple[int, str] | None = None
    """A number of characters from its place, and the text that replaces them."""
    code: str = UNFIT


@dataclass(frozen=True, slots=True)
class Inside:
    """A path in a filter or in a step of another path, and the type of the value at hand there."""

    at: int
    path: tuple[str, ...]
    context: Schema | None


@dataclass(frozen=True, slots=True)
class Stream:
    """Values that go through a path: one, or `many`, of which each has the schema."""

    schema: Schema | None
    many: bool = False

    def result(self, *, keep: bool) -> Schema | None:
        """Return the result's type: one stays one, several become a list."""
        if self.schema is None:
            return None
        if keep:
            return listed(items_of(self.schema))
        if not self.many:
            return self.schema
        return one_or_many(items_of(self.schema))


class Inference:
    """Infers what the parts of one expression give. `problems` are what can never be evaluated,
    `at_hand` is what is read of the value at hand.
    """

    def __init__(self, names: Names) -> None:
        self._names = names
        self._depth = 0
        self.problems: list[InferenceProblem] = []
        self.at_hand: list[Inside] = []

    def of(self, node: tree.Node, env: Env | None = None) -> Schema | None:
        """Return the type of a part."""
        env = Env() if env is None else env
        spend()
        self._depth += 1
        try:
            if self._depth > MOST_DEPTH:
                return None
            if node.tuples:
                return None
            found = self._plain(node, env)
            for each in node.predicates:
                found = self._filtered(Stream(found), each, env).result(keep=False)
            if node.keep and found is not None and not isinstance(node, tree.Path):
                found = either(found, listed(items_of(found)))
            return {"type": "object"} if node.group else found
        finally:
            self._depth -= 1

    def _plain(self, node: tree.Node, env: Env) -> Schema | None:
        match node:
            case tree.Literal():
                return literal(node.value)
            case tree.Path():
                return self._path(node, env)
            case tree.Variable():
                return self._variable(node.name, env)
            case tree.ArrayConstructor():
                return self._array(node, env)
            case tree.ObjectConstructor():
                return self._object(node, env)
            case tree.Negation():
                self.of(node.operand, env)
                return NUMBER
            case tree.Binary():
                return self._binary(node, env)
            case tree.Condition():
                self.of(node.condition, env)
                return joined([self.of(each, env) for each, _ in node.branches])
            case tree.Parenthesized():
                return self._block(node, env)
            case tree.Binding():
                return self.of(node.value, env)
            case tree.FunctionCall():
                return self._call(node.function, node.arguments, env)
            case tree.Chain(value=tree.FunctionDefinition() | tree.PartialCall()):
                return FUNCTION  # two functions, one after the other
            case tree.Chain(function=tree.FunctionCall() as call):
                return self._call(call.function, [node.value, *call.arguments], env)
            case tree.Chain():
                return self._call(node.function, [node.value], env)
            case tree.FunctionDefinition() | tree.PartialCall() | tree.Transform():
                return FUNCTION
            case tree.RegexLiteral():
                return FUNCTION
            case _:
                return None

    # Names and paths ----------------------------------------------------------------------------

    def _variable(self, name: str, env: Env) -> Schema | None:
        if name == "":
            return env.context
        if name in env.bound:
            found = env.bound[name]
            return FUNCTION if isinstance(found, LintLambda) else found
        if name == "$":
            return None
        known = self._names.get(name)
        if known is not None:
            return known.schema
        return FUNCTION if name in LIBRARY else None

    def _path(self, node: tree.Path, env: Env) -> Schema | None:
        first, *rest = node.steps
        if any(each.tuples for each in node.steps):
            return None
        if isinstance(first, tree.FieldName):
            if env.inside:
                flow = self.step(Stream(env.context), first.name)
                path = (first.name, *fields_at(node.steps))
                self.at_hand.append(Inside(first.at, path, env.context))
            else:
                known = self._names.get(first.name)
                flow = Stream(None if known is None else known.schema)
        else:
            flow = Stream(self.of(first, env))
        flow = self._staged(flow, first.stages, env)
        for step in rest:
            flow = self._staged(self._step(flow, step, env), step.stages, env)
        return {"type": "object"} if node.group else flow.result(keep=node.keep_one or node.keep)

    def _step(self, flow: Stream, step: tree.Node, env: Env) -> Stream:
        if isinstance(step, tree.FieldName):
            return self.step(flow, step.name)
        inner = env.within(items_of(flow.schema))
        match step:
            case tree.Sort():
                for term in step.operands():
                    self.of(term, inner)
                return Stream(flow.schema, many=True)
            case tree.ArrayConstructor():
                self.of(step, inner)
                return Stream(None)  # a list of lists, often
            case tree.ObjectConstructor() | tree.Parenthesized() | tree.FunctionCall():
                several = flow.many or _may_be(flow.schema, "array")
                return Stream(self.of(step, inner), many=several)
            case _:
                return Stream(None)

    def step(self, flow: Stream, name: str) -> Stream:
        """A field of what goes through a path."""
        if flow.schema is None:
            return Stream(None)
        found, _ = fields_of(flow.schema)
        if name not in found:
            return Stream(None)
        return Stream(found[name], flow.many or _may_be(flow.schema, "array"))

    def _staged(self, flow: Stream, stages: Sequence[tree.Node | str], env: Env) -> Stream:
        """Infer the type behind filters, of which a position takes one value of each of the path."""
        several = flow.many
        for stage in stages:
            if isinstance(stage, tree.Node):
                flow = self._filtered(flow, stage, env, several)
        return flow

    def _filtered(
        self, flow: Stream, predicate: tree.Node, env: Env, several: bool = False
    ) -> Stream:
        item = items_of(flow.schema)
        told = self.of(predicate, env.within(item))
        if isinstance(predicate, tree.Literal) and (told or {}).get("type") == "integer":
            return Stream(item, many=several)
        return Stream(item, many=flow.many or _may_be(flow.schema, "array"))

    # What makes values --------------------------------------------------------------------------

    def _array(self, node: tree.ArrayConstructor, env: Env) -> Schema | None:
        items: list[Schema | None] = []
        for each in node.items:
            found = self.of(each, env)
            # What is a list already is poured in, unless it is written as one here.
            items.append(found if isinstance(each, tree.ArrayConstructor) else items_of(found))
        return listed(joined(items))

    def _object(self, node: tree.ObjectConstructor, env: Env) -> Schema:
        fields: dict[str, Schema] = {}
        closed = True
        for name, value in node.pairs:
            told = self.of(value, env)
            if isinstance(name, tree.Literal) and isinstance(name.value, str):
                fields[name.value] = {} if told is None else told
            else:
                self.of(name, env)
                closed = False
        made: dict[str, Any] = {"type": "object", "properties": fields}
        return made if closed else {**made, "additionalProperties": True}

    def _binary(self, node: tree.Binary, env: Env) -> Schema | None:
        operator = node.operator
        sides = [self.of(each, env) for each in (node.left, node.right)]
        if operator in _ARITHMETIC:
            joins = operator == "+" and any(
                isinstance(each.value, str)
                if isinstance(each, tree.Literal)
                else isinstance(each, tree.Binary) and each.operator == "&"
                for each in (node.left, node.right)
            )
            for side, told in zip(("left", "right"), sides, strict=True):
                if joins and _is_text(told):
                    said = "+ adds numbers; texts are joined by &: write &"
                    self.problems.append(InferenceProblem(node.at, said, (1, "&")))
                    break
                if not _may_be(told, "number", "integer", "null"):
                    said = f"what stands {side} of {operator} is {words(told)}, not a number"
                    if _is_time(told):
                        said += "; a time is a text, whose milliseconds are $toMillis(…)"
                    elif _is_text(told):
                        said += "; use $number()"
                    self.problems.append(InferenceProblem(node.at, said))
            return NUMBER
        if operator in _ORDER:
            self._ordered(node, operator, *sides)
        elif operator in ("=", "!=", "in"):
            for told, each in ((sides[0], node.right), (sides[1], node.left)):
                self._chosen(told, each)
        if operator == "&":
            return TEXT
        return {"type": "array", "items": {"type": "integer"}} if operator == ".." else BOOLEAN

    def _chosen(self, told: Schema | None, with_: tree.Node) -> None:
        """Find a text that a value is compared with, and that is none of its choices."""
        if isinstance(with_, tree.ArrayConstructor):
            for each in with_.items:
                self._chosen(told, each)
        elif (
            isinstance(with_, tree.Literal) and (wrong := not_chosen(told, with_.value)) is not None
        ):
            message, meant = wrong
            instead = None if meant is None else (len(str(with_.value)) + 2, f'"{meant}"')
            self.problems.append(InferenceProblem(with_.at, message, instead, NO_CHOICE))

    def _ordered(
        self, node: tree.Binary, operator: str, left: Schema | None, right: Schema | None
    ) -> None:
        for side, told in (("left", left), ("right", right)):
            if not _may_be(told, "number", "integer", "string", "null"):
                said = f"what stands {side} of {operator} is {words(told)}, not a number or a text"
                self.problems.append(InferenceProblem(node.at, said))
                return
        one, other = _scalar(left), _scalar(right)
        if one is not None and other is not None and one != other:
            said = f"{words(left)} and {words(right)} cannot be compared by {operator}"
            said += "; use $number() or $string()"
            self.problems.append(InferenceProblem(node.at, said))

    def _block(self, node: tree.Parenthesized, env: Env) -> Schema | None:
        found: Schema | None = None
        for each in node.expressions:
            found = self.of(each, env)
            if isinstance(each, tree.Binding):
                env = env.with_({each.name: function_of(each.value, env) or found})
        return found

    # Calls --------------------------------------------------------------------------------------

    def _call(self, callee: tree.Node, given: Sequence[tree.Node], env: Env) -> Schema | None:
        name = callee.name if isinstance(callee, tree.Variable) else ""
        if isinstance(callee, tree.FunctionDefinition):
            return self.applied(LintLambda(callee, env), [self.of(each, env) for each in given])
        if name in env.bound:
            found = env.bound[name]
            told = [self.of(each, env) for each in given]
            return self.applied(found, told) if isinstance(found, LintLambda) else None
        function = LIBRARY.get(name)
        if name == "merge" and len(given) == 1 and isinstance(given[0], tree.ArrayConstructor):
            return _merged([self.of(each, env) for each in given[0].items])
        told = [self.of(each, env) for each in given]
        if function is None or function.signature is None:
            return None
        kinds = [_letters(each) for each in told]
        wrong = function.signature.misfit(kinds, rooted=not env.inside)
        self._picture(name, given)
        if len(told) < function.signature.least:
            least = function.signature.least
            said = f"${name} takes at least {least} argument{'s'[: least > 1]}, and is given {len(told)}"
            self.problems.append(InferenceProblem(callee.at, said))
        elif wrong is not None and wrong >= function.signature.most:
            said = f"${name} takes {function.signature.most} at most, and not argument {wrong + 1}"
            self.problems.append(InferenceProblem(given[wrong].at, said))
        elif wrong == 0 and name == "length" and not _may_be(told[0], "string"):
            said = (
                "$length is that of a text; the items of a list are counted by $count: write $count"
            )
            self.problems.append(InferenceProblem(callee.at, said, (len("$length"), "$count")))
        elif wrong is not None and name == "fromMillis" and _is_text(told[wrong]) and wrong == 0:
            said = "$fromMillis takes milliseconds; a time that is a text is read by $toMillis(…)"
            self.problems.append(InferenceProblem(given[wrong].at, said))
        elif wrong is not None:
            said = f"${name} does not take {words(told[wrong])} as its argument {wrong + 1}"
            self.problems.append(InferenceProblem(given[wrong].at, said))
        returned = TYPES.get(function.signature.returns[:1])
        return self._given_by(name, given, told, env, {"type": returned} if returned else None)

    def _given_by(
        self,
        name: str,
        given: Sequence[tree.Node],
        told: Sequence[Schema | None],
        env: Env,
        declared: Schema | None,
    ) -> Schema | None:
        """Return the type of what a function gives for arguments of these types."""
        item = items_of(told[0]) if told else None
        by = function_of(given[1], env) if len(given) == 2 else None
        match name:
            case "map":
                return one_or_many(self.applied(by, [item, NUMBER])) if by else None
            case "filter":
                if by:
                    self.applied(by, [item, NUMBER])
                return one_or_many(item) if len(given) == 2 else None
            case "sort" | "reverse" | "shuffle" | "list":
                if by:
                    self.applied(by, [item, item])
                return listed(item)
            case "single":
                return item
            case "distinct":
                return one_or_many(item)
            case "append":
                return one_or_many(joined(list(map(items_of, told))))
            case "lookup" if len(given) == 2 and isinstance(given[1], tree.Literal):
                return self.step(Stream(told[0]), str(given[1].value)).result(keep=False)
            case "split" | "keys":
                return either(TEXT, listed(TEXT))
            case "lookup" | "match" | "spread" | "each":
                return None  # a list, or the one value that would be in it
            case _:
                return declared

    def _picture(self, name: str, given: Sequence[tree.Node]) -> None:
        """Find the picture of a time that is written as another language does."""
        if name not in _PICTURES or len(given) <= _PICTURES[name]:
            return
        match given[_PICTURES[name]]:
            case tree.Literal(at, str(text)) if "[" not in text:
                said = "a time is written by parts in brackets, as in [Y0001]-[M01]-[D01]"
                self.problems.append(InferenceProblem(at, said))
            case _:
                pass

    def applied(self, function: LintLambda, given: Sequence[Schema | None]) -> Schema | None:
        """Return the type of a function's result for arguments of these schemas."""
        parameters = function.node.parameters
        bound = dict.fromkeys(parameters, None) | dict(zip(parameters, given, strict=False))
        return self.of(function.node.body, function.env.with_(bound))


_PICTURES = {"fromMillis": 1, "toMillis": 1, "now": 0}
"""By function, which of its arguments is a picture of a time."""


def _merged(objects: Sequence[Schema | None]) -> Schema:
    """Return the type of an object with the fields of all."""
    fields: dict[str, Schema] = {}
    for each in objects:
        inner, others = fields_of(each or {})
        if others or not inner:
            return {"type": "object"}
        fields |= inner
    return {"type": "object", "properties": fields}


def not_chosen(schema: Schema | None, value: Any) -> tuple[str, str | None] | None:
    """Return why a text is never one that a value can be, and which is meant; None where it may be.

    Where the value may be other texts as well, only a misspelt one is told.
    """
    if schema is None or not isinstance(value, str):
        return None
    forms = forms_of(schema)
    choices = [str(each) for form in forms for each in form.get("enum", ())]
    meant = closest(value, choices)
    others = any("enum" not in each for each in forms)
    if not choices or value in choices or (others and meant is None):
        return None
    message = f'it is never "{value}", but one of {", ".join(choices)}'
    return (message if meant is None else f"{message}; did you mean {meant}?"), meant


def _may_be(schema: Schema | None, *kinds: str) -> bool:
    known = types_of(schema)
    return known is None or bool(known & {*kinds})


def _is_text(schema: Schema | None) -> bool:
    known = types_of(schema)
    return known is not None and known <= {"string", "null"}


def _is_time(schema: Schema | None) -> bool:
    return {each.get("format") for each in forms_of(schema or {})} & {"date", "date-time"} != set()


def _scalar(schema: Schema | None) -> str | None:
    """Text or number, where it is always the one."""
    known = types_of(schema)
    if known is None or "null" in known:
        return None
    if known <= {"number", "integer"}:
        return "number"
    return "string" if known <= {"string"} else None


def _letters(schema: Schema | None) -> str:
    known = types_of(schema)
    return "".join(sorted({_LETTERS[each] for each in known or () if each != "null"}))
