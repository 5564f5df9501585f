"""Infer an expression's type, as JSON Schema, as far as its names say: lint, completion and help
use it.

What is not known is None, and stays so: nothing is guessed. A schema says what a value is where there
is one; that it may be missing, and so null, goes without saying.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from halflap.errors import ExpressionError
from halflap.lowcode.expressions import Expression
from halflap.lowcode.expressions.library import LIBRARY
from halflap.lowcode.expressions.reads import fields_at
from halflap.lowcode.expressions.signature import TYPES
from halflap.lowcode.expressions.tree import Node, StepStage
from halflap.lowcode.fixes import closest
from halflap.lowcode.lint.env import NUMBER, TEXT, Env, LintLambda, Names, function_of
from halflap.lowcode.lint.picture import translated
from halflap.lowcode.lint.rules import NO_CHOICE, UNFIT
from halflap.lowcode.lint.scope import (
    Schema,
    either,
    fields_of,
    forms_of,
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
    side: str = ""
    """The side of an operator, left or right, that is a text instead of a number."""
    time: str = ""
    """The format of that text, where it is a time: date, or date-time."""


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

    def of(self, node: Node, env: Env | None = None) -> Schema | None:
        """Return the type of a part."""
        env = Env() if env is None else env
        spend()
        self._depth += 1
        try:
            if self._depth > MOST_DEPTH:
                return None
            if node.focus or node.index or node.tuples:
                return None
            found = self._plain(node, env)
            if node.kind != "path":
                for stage in node.predicates:
                    found = self._filtered(Stream(found), stage.node, env).result(keep=False)
                if node.keep and found is not None:
                    found = either(found, listed(items_of(found)))
            return {"type": "object"} if node.group else found
        finally:
            self._depth -= 1

    def _plain(self, node: Node, env: Env) -> Schema | None:
        match node.kind:
            case "literal":
                return literal(node.value)
            case "path":
                return self._path(node, env)
            case "variable":
                return self._variable(str(node.value), env)
            case "array":
                return self._array(node, env)
            case "object":
                return self._object(node, env)
            case "negation":
                self.of(cast("Node", node.left), env)
                return NUMBER
            case "binary":
                return self._binary(node, env)
            case "condition":
                return self._condition(node, env)
            case "block":
                return self._block(node, env)
            case "bind":
                return self.of(cast("Node", node.right), env)
            case "call":
                return self._call(cast("Node", node.left), node.items, node.at, env)
            case "apply":
                return self._apply(node, env)
            case "lambda" | "regex" | "transform" | "partial":
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

    def _path(self, node: Node, env: Env) -> Schema | None:
        first, *rest = node.items
        if any(each.focus or each.index or each.tuples for each in node.items):
            return None
        if first.kind == "name":
            name = str(first.value)
            if env.inside:
                flow = self.step(Stream(env.context), name)
                path = (name, *fields_at(node.items))
                self.at_hand.append(Inside(first.at, path, env.context))
            else:
                known = self._names.get(name)
                flow = Stream(None if known is None else known.schema)
        else:
            flow = Stream(self.of(first, env))
        flow = self._staged(flow, first.stages, env)
        for step in rest:
            flow = self._staged(self._step(flow, step, env), step.stages, env)
        flow = self._staged(flow, node.predicates, env)
        return {"type": "object"} if node.group else flow.result(keep=node.keep_one or node.keep)

    def _step(self, flow: Stream, step: Node, env: Env) -> Stream:
        if step.kind == "name":
            return self.step(flow, str(step.value))
        if step.kind == "sort":
            inner = env.within(items_of(flow.schema))
            for term, _ in step.terms:
                self.of(term, inner)
            return Stream(flow.schema, many=True)
        several = flow.many or _may_be(flow.schema, "array")
        context = items_of(flow.schema)
        if step.kind == "array":
            self.of(step, env.within(context))
            return Stream(None)  # a list of lists, often
        if step.kind in ("object", "block", "call", "condition", "binary"):
            return Stream(self.of(step, env.within(context)), many=several)
        return Stream(None)

    def step(self, flow: Stream, name: str) -> Stream:
        """A field of what goes through a path."""
        if flow.schema is None:
            return Stream(None)
        found, _ = fields_of(flow.schema)
        if name not in found:
            return Stream(None)
        return Stream(found[name], flow.many or _may_be(flow.schema, "array"))

    def _staged(self, flow: Stream, stages: Sequence[StepStage], env: Env) -> Stream:
        """Infer the type behind filters, of which a position takes one value of each of the path."""
        several = flow.many
        for stage in stages:
            flow = self._filtered(flow, stage.node, env, several)
        return flow

    def _filtered(
        self, flow: Stream, predicate: Node | None, env: Env, several: bool = False
    ) -> Stream:
        item = items_of(flow.schema)
        if predicate is None:
            return flow
        told = self.of(predicate, env.within(item))
        at = predicate.kind == "literal" and told is not None and told.get("type") == "integer"
        if at:
            return Stream(item, many=several)
        return Stream(item, many=flow.many or _may_be(flow.schema, "array"))

    # What makes values --------------------------------------------------------------------------

    def _array(self, node: Node, env: Env) -> Schema | None:
        items: list[Schema | None] = []
        for each in node.items:
            if each.kind == "binary" and each.value == "..":
                self.of(each, env)
                items.append({"type": "integer"})
                continue
            found = self.of(each, env)
            # What is a list already is poured in, unless it is written as one here.
            items.append(found if each.kind == "array" else items_of(found))
        return listed(joined(items))

    def _object(self, node: Node, env: Env) -> Schema:
        fields: dict[str, Schema] = {}
        closed = True
        for name, value in node.pairs:
            told = self.of(value, env)
            if name.kind == "literal" and isinstance(name.value, str):
                fields[name.value] = {} if told is None else told
            else:
                self.of(name, env)
                closed = False
        made: dict[str, Any] = {"type": "object", "properties": fields}
        return made if closed else {**made, "additionalProperties": True}

    def _binary(self, node: Node, env: Env) -> Schema | None:
        operator = str(node.value)
        sides = [self.of(cast("Node", each), env) for each in (node.left, node.right)]
        if operator in _ARITHMETIC:
            joins = operator == "+" and any(
                each is not None
                and (isinstance(each.value, str) if each.kind == "literal" else each.value == "&")
                for each in (node.left, node.right)
            )
            for side, told in zip(("left", "right"), sides, strict=True):
                if joins and _is_text(told):
                    said = "+ adds numbers; texts are joined by &: write &"
                    self.problems.append(InferenceProblem(node.at, said, (1, "&")))
                    break
                if not _may_be(told, "number", "integer", "null"):
                    said = f"what stands {side} of {operator} is {words(told)}, not a number"
                    time, text = _time(told), _is_text(told)
                    if time and all(map(_is_text, sides)):
                        said += (
                            "; days between are $floor(($toMillis(…) - $toMillis(…)) / 86400000)"
                        )
                        self.problems.append(InferenceProblem(node.at, said))
                        break
                    said += "; use $number()" if text and not time else ""
                    side = side if text else ""
                    self.problems.append(InferenceProblem(node.at, said, side=side, time=time))
            return NUMBER
        if operator in _ORDER:
            self._ordered(node, operator, *sides)
        elif operator in ("=", "!=", "in"):
            for told, each in ((sides[0], node.right), (sides[1], node.left)):
                self._chosen(told, cast("Node", each))
        if operator == "&":
            return TEXT
        return {"type": "array", "items": {"type": "integer"}} if operator == ".." else BOOLEAN

    def _chosen(self, told: Schema | None, with_: Node) -> None:
        """Find a text that a value is compared with, and that is none of its choices."""
        if with_.kind == "array":
            for each in with_.items:
                self._chosen(told, each)
        elif with_.kind == "literal" and (wrong := not_chosen(told, with_.value)) is not None:
            message, meant = wrong
            instead = None if meant is None else (len(str(with_.value)) + 2, f'"{meant}"')
            self.problems.append(InferenceProblem(with_.at, message, instead, NO_CHOICE))

    def _ordered(
        self, node: Node, operator: str, left: Schema | None, right: Schema | None
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
            side = "left" if one == "string" else "right"
            self.problems.append(InferenceProblem(node.at, said, side=side))

    def _condition(self, node: Node, env: Env) -> Schema | None:
        if node.left is not None:
            self.of(node.left, env)
        branches = (each for each in (node.right, node.other) if each is not None)
        return joined([self.of(each, env) for each in branches])

    def _block(self, node: Node, env: Env) -> Schema | None:
        found: Schema | None = None
        for each in node.items:
            found = self.of(each, env)
            if each.kind == "bind" and each.right is not None:
                value = LintLambda(each.right, env) if each.right.kind == "lambda" else found
                env = env.with_({str(each.value): value})
        return found

    # Calls --------------------------------------------------------------------------------------

    def _apply(self, node: Node, env: Env) -> Schema | None:
        left, right = cast("Node", node.left), cast("Node", node.right)
        if left.kind == "lambda" or left.kind == "partial":
            return FUNCTION  # two functions, one after the other
        if right.kind == "call":
            return self._call(cast("Node", right.left), [left, *right.items], node.at, env)
        return self._call(right, [left], node.at, env)

    def _call(self, callee: Node, given: Sequence[Node], at: int, env: Env) -> Schema | None:
        name = str(callee.value) if callee.kind == "variable" else ""
        if callee.kind == "lambda":
            return self.applied(LintLambda(callee, env), [self.of(each, env) for each in given])
        if name in env.bound:
            found = env.bound[name]
            told = [self.of(each, env) for each in given]
            return self.applied(found, told) if isinstance(found, LintLambda) else None
        function = LIBRARY.get(name)
        if name == "merge" and len(given) == 1 and given[0].kind == "array":
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
        given: Sequence[Node],
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
            case "lookup":
                named = len(given) == 2 and given[1].kind == "literal"
                flow = Stream(told[0] if named else None)
                return self.step(flow, str(given[1].value)).result(keep=False) if named else None
            case "split" | "keys":
                return either(TEXT, listed(TEXT))
            case "match" | "spread" | "each":
                return None  # a list, or the one value that would be in it
            case _:
                return declared

    def _picture(self, name: str, given: Sequence[Node]) -> None:
        """Find the picture of a time that is written as another language does."""
        if name not in _PICTURES or len(given) <= _PICTURES[name]:
            return
        picture = given[_PICTURES[name]]
        if picture.kind != "literal" or not isinstance(picture.value, str) or "[" in picture.value:
            return
        meant = translated(picture.value)
        if meant is None:
            return
        said = f'a time is written by parts in brackets: write "{meant}"'
        length = len(picture.value) + 2
        self.problems.append(InferenceProblem(picture.at, said, (length, f'"{meant}"')))

    def applied(self, function: LintLambda, given: Sequence[Schema | None]) -> Schema | None:
        """Return the type of a function's result for arguments of these schemas."""
        parameters = [str(each.value) for each in function.node.items]
        bound = dict.fromkeys(parameters, None) | dict(zip(parameters, given, strict=False))
        return self.of(cast("Node", function.node.right), function.env.with_(bound))


def kind_among(names: Names) -> Callable[[str], str]:
    """Return a function of an operand's text: its type, or the format of a time; "" if not known."""

    def kind(operand: str) -> str:
        try:
            schema = Inference(names).of(Expression.parse(operand).tree)
        except ExpressionError:
            return ""
        known = (types_of(schema) or frozenset()) - {"null"}
        return _time(schema) or (next(iter(known)) if len(known) == 1 else "")

    return kind


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


def _time(schema: Schema | None) -> str:
    """Return the format of a time; "" of another value."""
    formats = {
        each.get("format") for each in forms_of(schema or {}) if "string" in (types_of(each) or ())
    }
    return next((each for each in ("date", "date-time") if formats == {each}), "")


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
