"""Functions: written in the expression, called, called in part, chained, and transformations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from halflap.lowcode.expressions import tree
from halflap.lowcode.expressions.error import Fault, fail
from halflap.lowcode.expressions.frame import VariableFrame
from halflap.lowcode.expressions.signature import kind_of
from halflap.lowcode.expressions.value import (
    UNDEFINED,
    Function,
    Lambda,
    Native,
    finished,
    settled,
)

if TYPE_CHECKING:
    from halflap.lowcode.expressions.compiler import Compiler, Run


@dataclass(slots=True, eq=False, repr=False)
class _Tail:
    """A call that stands last in a function: made by whoever called that one, at its depth."""

    function: Any
    arguments: list[Any]
    context: Any
    at: int


def apply(function: Any, arguments: list[Any], context: Any, frame: VariableFrame) -> Any:
    """Call a function, and whatever it calls last, without growing the stack for that."""
    meter = frame.evaluation.meter
    while True:
        meter.take()
        if function.signature is not None:
            seen = UNDEFINED if context is frame.evaluation.hidden else context
            arguments = function.signature.arguments(arguments, seen)
        if type(function) is not Lambda:
            try:
                return cast(Native, function).run(frame, *arguments)
            except (ArithmeticError, ValueError):
                # Of Python's own: a value that no rule of the function has foreseen.
                fail("H0116")
        meter.take(3)
        meter.bytes(300 + 8 * len(arguments))
        names: dict[str, Any] = dict.fromkeys(function.parameters, UNDEFINED)
        names.update(zip(function.parameters, arguments, strict=False))
        result = function.body(function.context, function.frame.inner(names))
        if type(result) is not _Tail:
            return result
        function, arguments, context = result.function, result.arguments, result.context
        if not isinstance(function, Function):
            fail("T1006", result.at)


def apply_to(function: Function, arguments: list[Any], frame: VariableFrame) -> Any:
    """Call a function for a function of the library: with as many arguments as it takes."""
    return settled(apply(function, arguments[: max(1, function.arity)], UNDEFINED, frame))


def function(compiler: Compiler, node: tree.FunctionDefinition) -> Run:
    """A function that is written in the expression."""
    parameters, signature = node.parameters, node.signature
    body = compiler.body(node.body)
    arity = len(parameters)
    return lambda context, frame: Lambda(
        "function", arity, parameters, body, context, frame, signature=signature
    )


def _callee(
    compiler: Compiler, node: tree.FunctionCall | tree.PartialCall
) -> tuple[Run, str, bool]:
    """Return the called, its name, and whether a `$` is missing before that."""
    callee, name = node.function, tree.name_of(node.function)
    if isinstance(callee, tree.Variable) and name == "eval" and name not in compiler.bound:
        fail("H0001", node.at, token=name)
    return compiler.run(callee), name, isinstance(callee, tree.Path) and name in compiler.library


def call(compiler: Compiler, node: tree.FunctionCall, tail: bool, settle: bool) -> Run:
    """A call."""
    made = _called(compiler, node, tail=tail, piped=None)
    if tail or not (settle or node.keep):
        return made

    def run(context: Any, frame: VariableFrame) -> Any:
        return finished(made(context, frame), keep=node.keep, settle=settle)

    return run


def _called(compiler: Compiler, node: tree.FunctionCall, *, tail: bool, piped: Run | None) -> Run:
    procedure, name, unmarked = _callee(compiler, node)
    arguments = ([piped] if piped else []) + [compiler.run(each) for each in node.arguments]
    depth = compiler.height + 3

    def run(context: Any, frame: VariableFrame) -> Any:
        called = procedure(context, frame)
        given = [argument(context, frame) for argument in arguments]
        if not isinstance(called, Function):
            fail("T1005" if unmarked else "T1006", node.at, token=name)
        if tail:
            return _Tail(called, given, context, node.at)
        meter = frame.evaluation.meter
        meter.deeper(depth)
        try:
            result = apply(called, given, context, frame)
        except Fault as fault:
            if fault.at is None:
                fault.at = node.at
            fault.facts.setdefault("token", name or "function")
            raise
        meter.depth -= depth
        return result

    return run


def partial(compiler: Compiler, node: tree.PartialCall) -> Run:
    """A call in which some arguments are left open (`?`): a function of those."""
    procedure, name, unmarked = _callee(compiler, node)
    given = [
        None if isinstance(one, tree.Placeholder) else compiler.run(one) for one in node.arguments
    ]

    def run(context: Any, frame: VariableFrame) -> Any:
        called = procedure(context, frame)
        if not isinstance(called, Function):
            fail("T1007" if unmarked else "T1008", node.at, token=name)
        fixed = [argument and argument(context, frame) for argument in given]
        return _partially(called, [argument is None for argument in given], fixed)

    return run


def _partially(called: Function, holes: list[bool], fixed: list[Any]) -> Native:
    def run(frame: VariableFrame, *arguments: Any) -> Any:
        rest = iter(arguments)
        full = [
            next(rest, UNDEFINED) if hole else value
            for hole, value in zip(holes, fixed, strict=True)
        ]
        return apply(called, full, UNDEFINED, frame)

    return Native(called.name, sum(holes), run)


def application(compiler: Compiler, node: tree.Chain, settle: bool) -> Run:
    """`value ~> function`: the value as its first argument; two functions as one after the other."""
    left, right = compiler.run(node.value), node.function
    if isinstance(right, tree.FunctionCall) and not right.predicates:
        inner = _called(compiler, right, tail=False, piped=left)

        def piped(context: Any, frame: VariableFrame) -> Any:
            return finished(inner(context, frame), keep=node.keep, settle=settle)

        return piped
    function = compiler.run(right)
    depth = compiler.height + 3

    def run(context: Any, frame: VariableFrame) -> Any:
        value = left(context, frame)
        called = function(context, frame)
        if not isinstance(called, Function):
            fail("T2006", node.at, value=called)
        if isinstance(value, Function):
            return _chained(value, called)
        frame.evaluation.meter.deeper(depth)
        try:
            result = apply(called, [value], UNDEFINED, frame)
        except Fault as fault:
            if fault.at is None:
                fault.at = node.at
            fault.facts.setdefault("token", called.name)
            raise
        frame.evaluation.meter.depth -= depth
        return finished(result, keep=node.keep, settle=settle)

    return run


def _chained(first: Function, second: Function) -> Native:
    def run(frame: VariableFrame, value: Any = UNDEFINED, *_: Any) -> Any:
        meter = frame.evaluation.meter
        meter.deeper(4)
        between = settled(apply(first, [value], UNDEFINED, frame))
        result = apply(second, [between], UNDEFINED, frame)
        meter.depth -= 4
        return result

    return Native("function", 1, run)


def transform(compiler: Compiler, node: tree.Transform) -> Run:
    """Compile `| location | changes, names to delete |`: a function that changes a copy of its input.

    Only objects of that copy are changed, whatever the location finds: values in scope are shared by
    all evaluations, of a document's constants even by all executions of a version.
    """
    pattern, update = compiler.run(node.pattern), compiler.run(node.update)
    delete = compiler.run(node.delete) if node.delete else None

    def run(context: Any, frame: VariableFrame) -> Any:
        def changed(_: VariableFrame, value: Any = UNDEFINED, *__: Any) -> Any:
            if value is UNDEFINED:
                return value
            if kind_of(value) not in "oa":
                fail("T0410", node.at, value=value, index=1, token="a transformation")  # noqa: S106
            objects: dict[int, Any] = {}
            copied = copy(value, frame, objects)
            found = pattern(copied, frame)
            if found is not UNDEFINED:
                for each in cast(list[Any], found) if isinstance(found, list) else [found]:
                    target: dict[str, Any] = objects.get(id(each), {})
                    _change(target, update(each, frame), node.update.at)
                    if delete and node.delete:
                        _delete(target, delete(each, frame), node.delete.at)
            return copied

        return Native("transform", 1, changed)

    return run


def _change(target: dict[str, Any], changes: Any, at: int) -> None:
    if changes is UNDEFINED:
        return
    if not isinstance(changes, dict):
        fail("T2011", at, value=changes)
    target.update(cast(dict[str, Any], changes))


def _delete(target: dict[str, Any], names: Any, at: int) -> None:
    if names is UNDEFINED:
        return
    many = cast(list[Any], names) if isinstance(names, list) else [names]
    if not all(type(name) is str for name in many):
        fail("T2012", at, value=names)
    for name in many:
        target.pop(name, None)


def copy(value: Any, frame: VariableFrame, objects: dict[int, Any]) -> Any:
    """Return a deep copy; `objects` holds its objects by `id`, and keeps them alive."""
    if isinstance(value, dict):
        fields = cast(dict[str, Any], value)
        frame.evaluation.meter.bytes(64 + 100 * len(fields))
        frame.evaluation.meter.take(1 + len(fields))
        copied = {name: copy(each, frame, objects) for name, each in fields.items()}
        objects[id(copied)] = copied
        return copied
    if isinstance(value, list):
        values = cast(list[Any], value)
        frame.evaluation.meter.values(len(values))
        return [copy(each, frame, objects) for each in values]
    return "" if isinstance(value, Function) else value
