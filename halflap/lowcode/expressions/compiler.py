"""A tree as closures: each node is compiled once, and evaluated as one Python call.

`Run` takes the context (what `$` is) and the frame (what names mean), and gives a value. What can
be a sequence is settled by whoever makes it, after the filters that follow it.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import ge, gt, le, lt
from typing import Any, cast

from halflap.lowcode.expressions import call, path, tree
from halflap.lowcode.expressions.error import Fault, fail
from halflap.lowcode.expressions.frame import VariableFrame
from halflap.lowcode.expressions.grouping import grouping
from halflap.lowcode.expressions.number import calculate
from halflap.lowcode.expressions.regex import Regex
from halflap.lowcode.expressions.value import (
    UNDEFINED,
    Array,
    Function,
    equal,
    is_number,
    is_secret,
    settled,
    truth,
)
from halflap.lowcode.expressions.writing import written

Run = Callable[[Any, VariableFrame], Any]

MAX_HEIGHT = 120
"""The most operations that may be within each other in the text itself."""


class Compiler:
    """Compiles one expression; knows which names it binds, and how deep it is."""

    def __init__(self, library: dict[str, Function], bound: set[str]) -> None:
        self.library = library
        self.bound = bound
        self.height = 0
        self.above = 0

    def run(self, node: tree.Node, *, tail: bool = False) -> Run:
        """The closure of a node, filters, grouping and all."""
        self.height += 1
        self.above += 1
        if self.above > MAX_HEIGHT:
            fail("H0110", node.at, limit=MAX_HEIGHT)
        filtered = bool(node.predicates or (node.group and not isinstance(node, tree.Path)))
        run = self._plain(node, tail=tail and not filtered, settle=not filtered)
        if filtered:
            run = path.filtered(self, node, run)
        self.height -= 1
        self.above -= 1
        return run

    def body(self, node: tree.Node) -> Run:
        """The closure of a function's body, whose depth counts from its call."""
        height, self.height = self.height, 0
        run = self.run(node, tail=True)
        self.height = height
        return run

    def _plain(self, node: tree.Node, *, tail: bool, settle: bool) -> Run:
        match node:
            case tree.Path():
                return path.path(self, node, settle)
            case tree.FieldName():
                return path.named(node, settle)
            case tree.Literal(value=value):
                return lambda context, frame: value
            case tree.Variable():
                return self._variable(node.name)
            case tree.Binary():
                return _binary(self, node)
            case tree.FunctionCall():
                return call.call(self, node, tail, settle)
            case tree.Parenthesized():
                return _block(self, node.expressions, tail)
            case tree.Condition():
                return _condition(self, node, tail)
            case tree.ArrayConstructor():
                return _array(self, node)
            case tree.ObjectConstructor():
                return grouping(self, node)
            case tree.Negation():
                return _negation(self, node)
            case tree.Binding():
                return _bind(self, node)
            case tree.FunctionDefinition():
                return call.function(self, node)
            case tree.Chain():
                return call.application(self, node, settle)
            case tree.PartialCall():
                return call.partial(self, node)
            case tree.Transform():
                return call.transform(self, node)
            case tree.Wildcard():
                return _wildcard(node.keep, settle)
            case tree.Descendant():
                return _descendant(node.keep, settle)
            case tree.Parent(slot=slot):
                return lambda context, frame: frame.get(slot.label)
            case tree.RegexLiteral():
                regex = Regex(node.pattern, node.flags, node.at)
                return lambda context, frame: regex
            case _:
                raise TypeError(type(node))

    def _variable(self, name: str) -> Run:
        if not name:
            return lambda context, frame: (
                context[0] if type(context) is Array and context.outer else context
            )
        if name == "$":
            return lambda context, frame: frame.evaluation.root
        if name in self.library and name not in self.bound:
            function = self.library[name]
            return lambda context, frame: function
        return lambda context, frame: frame.get(name)


def _wildcard(keep: bool, settle: bool) -> Run:
    def run(context: Any, frame: VariableFrame) -> Any:
        if type(context) is Array and context.outer:
            context = context[0]
        found = Array(sequence=True)
        if isinstance(context, dict | list):
            fields = cast(dict[Any, Any], context)
            for value in fields.values() if isinstance(context, dict) else fields:
                if isinstance(value, list):
                    found.extend(_flat(cast(list[Any], value), frame))
                else:
                    found.append(value)
        frame.evaluation.meter.values(len(found))
        found.keep = keep
        return settled(found) if settle else found

    return run


def _flat(values: list[Any], frame: VariableFrame) -> list[Any]:
    frame.evaluation.meter.take(len(values))
    flat: list[Any] = []
    for value in values:
        if isinstance(value, list):
            flat.extend(_flat(cast(list[Any], value), frame))
        else:
            flat.append(value)
    frame.evaluation.meter.values(len(flat))
    return flat


def _descendant(keep: bool, settle: bool) -> Run:
    def run(context: Any, frame: VariableFrame) -> Any:
        if context is UNDEFINED:
            return UNDEFINED
        found = Array(sequence=True)
        found.keep = keep
        waiting: list[Any] = [context]
        while waiting:
            value = waiting.pop()
            if isinstance(value, list):
                waiting.extend(reversed(cast(list[Any], value)))
                continue
            frame.evaluation.meter.take()
            found.append(value)
            if isinstance(value, dict):
                waiting.extend(reversed(list(cast(dict[str, Any], value).values())))
        frame.evaluation.meter.values(len(found))
        return settled(found) if settle or len(found) == 1 else found

    return run


def _array(compiler: Compiler, node: tree.ArrayConstructor) -> Run:
    items = [(compiler.run(each), isinstance(each, tree.ArrayConstructor)) for each in node.items]

    def run(context: Any, frame: VariableFrame) -> Any:
        made = Array()
        made.whole = node.whole
        for item, nested in items:
            value = item(context, frame)
            if value is UNDEFINED:
                continue
            if not nested and isinstance(value, list):
                made.extend(cast(list[Any], value))
            else:
                made.append(value)
        frame.evaluation.meter.values(len(made))
        return made

    return run


def _negation(compiler: Compiler, node: tree.Negation) -> Run:
    operand = compiler.run(node.operand)

    def run(context: Any, frame: VariableFrame) -> Any:
        value = operand(context, frame)
        if value is UNDEFINED:
            return value
        if not is_number(value):
            _refuse_secrets(node.at, value)
            fail("D1002", node.at, value=value, left=_name_of(node.operand) or "this")
        return -value

    return run


def _refuse_secrets(at: int | None, *values: Any) -> None:
    if any(is_secret(value) for value in values):
        fail("H0003", at)


def _binary(compiler: Compiler, node: tree.Binary) -> Run:
    left, right = compiler.run(node.left), compiler.run(node.right)
    operator = node.operator
    if operator == "and":
        return lambda context, frame: (
            truth(left(context, frame), frame.evaluation.meter)
            and truth(right(context, frame), frame.evaluation.meter)
        )
    if operator == "or":
        return lambda context, frame: (
            truth(left(context, frame), frame.evaluation.meter)
            or truth(right(context, frame), frame.evaluation.meter)
        )
    operate = _OPERATORS[operator]
    names = {"token": operator, "left": _name_of(node.left), "right": _name_of(node.right)}

    def run(context: Any, frame: VariableFrame) -> Any:
        one, two = left(context, frame), right(context, frame)
        try:
            return operate(operator, one, two, frame)
        except Fault as fault:
            if fault.at is None:
                fault.at = node.at
                fault.facts = names | fault.facts
            raise

    return run


def _name_of(node: tree.Node) -> str:
    """The name of an operand that is a name or a path of names: `event.total`; else empty."""
    match node:
        case tree.FieldName() | tree.Variable() if not (
            node.predicates or node.stages or node.group
        ):
            return f"${node.name}" if isinstance(node, tree.Variable) else node.name
        case tree.Path():
            names = [_name_of(each) for each in node.steps]
            return ".".join(names) if all(names) else ""
        case _:
            return ""


def _arithmetic(operator: str, left: Any, right: Any, _: VariableFrame) -> Any:
    if is_number(left) and is_number(right):
        return calculate(operator, left, right)
    _refuse_secrets(None, left, right)
    if left is not UNDEFINED and not is_number(left):
        fail("T2001", value=left)
    if right is not UNDEFINED and not is_number(right):
        fail("T2002", value=right)
    return UNDEFINED


def _equality(operator: str, left: Any, right: Any, frame: VariableFrame) -> bool:
    # Halflap's rule, where JSONata says false to both: what is absent is null.
    if left is UNDEFINED:
        left = None
    if right is UNDEFINED:
        right = None
    return equal(left, right, frame.evaluation.meter) is (operator == "=")


def _comparison(operator: str, left: Any, right: Any, _: VariableFrame) -> Any:
    _refuse_secrets(None, left, right)
    for side, value in (("left", left), ("right", right)):
        if value is not UNDEFINED and type(value) is not str and not is_number(value):
            fail("T2010", value=value, side=side)
    if left is UNDEFINED or right is UNDEFINED:
        return UNDEFINED
    if (type(left) is str) is not (type(right) is str):
        fail("T2009", value=left, value2=right)
    return _ORDER[operator](left, right)


_ORDER: dict[str, Callable[[Any, Any], bool]] = {"<": lt, "<=": le, ">": gt, ">=": ge}


def _concatenation(_: str, left: Any, right: Any, frame: VariableFrame) -> str:
    meter = frame.evaluation.meter
    one = "" if left is UNDEFINED else written(left, meter)
    two = "" if right is UNDEFINED else written(right, meter)
    meter.text(len(one) + len(two), one, two)
    return one + two


def _range(_: str, left: Any, right: Any, frame: VariableFrame) -> Any:
    for code, value in (("T2003", left), ("T2004", right)):
        if value is not UNDEFINED and not (is_number(value) and value == int(value)):
            _refuse_secrets(None, value)
            fail(code, value=value)
    if left is UNDEFINED or right is UNDEFINED or left > right:
        return UNDEFINED
    first, last = int(left), int(right)
    meter = frame.evaluation.meter
    if last - first >= meter.budget.values:
        fail("D2014", limit=f"{meter.budget.values:,}")
    meter.values(last - first + 1)
    meter.bytes(32 * (last - first + 1))
    return Array(range(first, last + 1), sequence=True)


def _inclusion(_: str, left: Any, right: Any, frame: VariableFrame) -> bool:
    _refuse_secrets(None, left)
    if left is UNDEFINED or right is UNDEFINED:
        return False
    if not isinstance(right, list):
        right = [right]
    values = cast(list[Any], right)
    frame.evaluation.meter.take(len(values) // 8)
    if isinstance(left, list | dict):
        return any(value is left for value in values)
    return any(equal(left, value, frame.evaluation.meter) for value in values)


_OPERATORS: dict[str, Callable[[str, Any, Any, VariableFrame], Any]] = {
    **dict.fromkeys("+-*/%", _arithmetic),
    **dict.fromkeys(("=", "!="), _equality),
    **dict.fromkeys(_ORDER, _comparison),
    "&": _concatenation,
    "..": _range,
    "in": _inclusion,
}


def _bind(compiler: Compiler, node: tree.Binding) -> Run:
    value = compiler.run(node.value)
    name = node.name

    def run(context: Any, frame: VariableFrame) -> Any:
        found = value(context, frame)
        cast(dict[str, Any], frame.names)[name] = found
        return found

    return run


def _block(compiler: Compiler, expressions: list[tree.Node], tail: bool) -> Run:
    if not expressions:
        return lambda context, frame: UNDEFINED
    *before, last = expressions
    parts = [compiler.run(part) for part in before]
    final = compiler.run(last, tail=tail)
    if not parts and not isinstance(last, tree.Binding):
        return final

    def run(context: Any, frame: VariableFrame) -> Any:
        inner = frame.inner({})
        for part in parts:
            part(context, inner)
        return final(context, inner)

    return run


def _condition(compiler: Compiler, node: tree.Condition, tail: bool) -> Run:
    test = compiler.run(node.condition)
    then = compiler.run(node.then, tail=tail)
    otherwise = compiler.run(node.otherwise, tail=tail) if node.otherwise else None

    def run(context: Any, frame: VariableFrame) -> Any:
        if truth(test(context, frame), frame.evaluation.meter):
            return then(context, frame)
        return otherwise(context, frame) if otherwise else UNDEFINED

    return run
