"""Paths: steps, their filters, what they bind, sorting and grouping."""

from __future__ import annotations

from collections.abc import Callable
from math import floor
from typing import TYPE_CHECKING, Any, cast

from halflap.lowcode.expressions import tree
from halflap.lowcode.expressions.frame import VariableFrame
from halflap.lowcode.expressions.grouping import grouping
from halflap.lowcode.expressions.sorting import sorting
from halflap.lowcode.expressions.value import (
    UNDEFINED,
    Array,
    carries,
    finished,
    is_number,
    is_sequence,
    is_whole,
    look_up,
    settled,
    truth,
)

if TYPE_CHECKING:
    from halflap.lowcode.expressions.compiler import Compiler, Run

Tuple = dict[str, Any]
Stages = Callable[[Any, VariableFrame], Any]


def named(node: tree.FieldName, settle: bool) -> Run:
    """A field of the context."""
    name = node.name

    def run(context: Any, frame: VariableFrame) -> Any:
        found = look_up(context, name, frame.evaluation.meter)
        if is_sequence(found):
            frame.evaluation.meter.values(len(found))
            found.keep |= node.keep
            return settled(found) if settle else found
        return found

    return run


def path(compiler: Compiler, node: tree.Path, settle: bool) -> Run:
    """A path; one of nothing but names is walked directly while it meets objects."""
    slow = _walk(compiler, node, settle)
    names = [each.name for each in node.steps if isinstance(each, tree.FieldName) and each.bare]
    if node.group or node.keep_one or len(names) < len(node.steps):
        return slow
    *before, last = names

    def run(context: Any, frame: VariableFrame) -> Any:
        value = context
        for name in before:
            if type(value) is not dict:
                return slow(context, frame)
            value = cast(dict[str, Any], value).get(name, UNDEFINED)
        if type(value) is not dict:
            return slow(context, frame)
        return cast(dict[str, Any], value).get(last, UNDEFINED)

    return run


def _walk(compiler: Compiler, node: tree.Path, settle: bool) -> Run:
    last = len(node.steps) - 1
    first = node.steps[0]
    steps: list[Run] = []
    tuple_steps: list[Callable[[list[Any], list[Tuple] | None, VariableFrame], Array]] = []
    bound = next((at for at, step in enumerate(node.steps) if step.tuples), last + 1)
    for number, step in enumerate(node.steps):
        if number == 0 and isinstance(first, tree.ArrayConstructor) and first.whole:
            steps.append(_listed(compiler.run(first)))
        elif number < bound:
            steps.append(_step(compiler, step, last=number == last))
        else:
            tuple_steps.append(_tuple_step(compiler, step))
    group = grouping(compiler, node.group) if node.group else None

    def run(context: Any, frame: VariableFrame) -> Any:
        values = context
        if not isinstance(values, list) or isinstance(first, tree.Variable):
            values = Array((context,), sequence=True)
        result = _stepped(steps, values, frame)
        if tuple_steps and result is not UNDEFINED:
            tuples: Array | None = None
            for tuple_step in tuple_steps:
                tuples = tuple_step(result, tuples, frame)
            carried = tuples or Array(sequence=True, tuples=True)
            result = carried
            if not node.tuples and group is None:
                result = Array((each["@"] for each in carried), sequence=True)
        if node.keep_one and type(result) is Array:
            if result.whole and not result.sequence:
                result = Array((result,), sequence=True)
            result.keep = True
        if group:
            return group(result, frame)
        return finished(result, keep=node.keep, settle=settle)

    return run


def _listed(evaluate: Run) -> Run:
    """Return the value of an array that is written at the beginning, also where a filter leaves one
    value.
    """

    def run(context: Any, frame: VariableFrame) -> Any:
        found = evaluate(context, frame)
        if found is UNDEFINED or isinstance(found, list):
            return cast(Any, found)
        return Array((found,), sequence=True)

    return run


def _stepped(steps: list[Run], values: Any, frame: VariableFrame) -> Any:
    for step in steps:
        values = step(values, frame)
        if values is UNDEFINED or len(values) == 0:
            # An empty list of the data stays one; nothing selected is nothing.
            return values if values is not UNDEFINED and not is_sequence(values) else UNDEFINED
    return values


def _step(compiler: Compiler, step: tree.Node, *, last: bool) -> Run:
    if isinstance(step, tree.Sort):
        return _sort_step(compiler, step)
    evaluate = compiler.run(step)
    stages = [_filter(compiler, each) for each in step.stages if isinstance(each, tree.Node)]

    def run(values: list[Any], frame: VariableFrame) -> Any:
        meter = frame.evaluation.meter
        meter.take(len(values))
        found: list[Any] = []
        for value in values:
            result = evaluate(value, frame)
            for stage in stages:
                result = stage(result, frame)
            if result is not UNDEFINED:
                found.append(result)
        if last and len(found) == 1 and isinstance(found[0], list):
            only = cast(list[Any], found[0])
            if not is_sequence(only):
                return only
        flat = Array(sequence=True)
        for result in found:
            if isinstance(result, list) and not is_whole(result):
                flat.extend(cast(list[Any], result))
            else:
                flat.append(result)
        meter.values(len(flat))
        return flat

    return run


def _sort_step(compiler: Compiler, step: tree.Sort) -> Run:
    sort = sorting(compiler, step)
    stages = _staged(compiler, step.stages)

    def run(values: list[Any], frame: VariableFrame) -> Any:
        return stages(sort(values, frame), frame)

    return run


def _staged(compiler: Compiler, stages: tuple[tree.Node | str, ...]) -> Stages:
    """Filters and positions over all values of a step."""
    compiled = [each if isinstance(each, str) else _filter(compiler, each) for each in stages]

    def run(values: Any, frame: VariableFrame) -> Any:
        for stage in compiled:
            if isinstance(stage, str):
                for number, each in enumerate(cast(list[Tuple], values)):
                    each[stage] = number
            else:
                values = stage(values, frame)
        return values

    return run


def _tuple_step(
    compiler: Compiler, step: tree.Node
) -> Callable[[list[Any], list[Tuple] | None, VariableFrame], Array]:
    """A step whose values carry what was bound on the way."""
    stages = _staged(compiler, step.stages)
    if isinstance(step, tree.Sort):
        return _sorted_tuples(compiler, step, stages)
    evaluate = compiler.run(step)
    focus, index = step.focus, step.index
    slot = step.slot if isinstance(step, tree.FieldName | tree.Wildcard) else None

    def run(values: list[Any], tuples: list[Tuple] | None, frame: VariableFrame) -> Array:
        meter = frame.evaluation.meter
        found = Array(sequence=True, tuples=True)
        for each in [{"@": value} for value in values] if tuples is None else tuples:
            meter.take()
            result = evaluate(each["@"], frame.inner(each))
            if result is UNDEFINED:
                continue
            results = cast(list[Any], result) if isinstance(result, list) else [result]
            carried = carries(results)
            for number, value in enumerate(results):
                meter.bytes(120)
                made = dict(each)
                if carried:
                    made.update(value)
                else:
                    made[focus or "@"] = value
                    if index:
                        made[index] = number
                    if slot:
                        made[slot.label] = each["@"]
                found.append(made)
        return stages(found, frame)

    return run


def _sorted_tuples(
    compiler: Compiler, step: tree.Sort, stages: Stages
) -> Callable[[list[Any], list[Tuple] | None, VariableFrame], Array]:
    sort = sorting(compiler, step)

    def run(values: list[Any], tuples: list[Tuple] | None, frame: VariableFrame) -> Array:
        if tuples is None:
            found = Array(sequence=True, tuples=True)
            for number, value in enumerate(sort(values, frame)):
                found.append({"@": value, step.index: number} if step.index else {"@": value})
        else:
            found = sort(tuples, frame)
        return stages(found, frame)

    return run


# Filters ------------------------------------------------------------------------------------


def filtered(compiler: Compiler, node: tree.Node, inner: Run) -> Run:
    """A value, its filters, and its grouping."""
    filters = [_filter(compiler, each) for each in node.predicates]
    group = grouping(compiler, node.group) if node.group else None

    def run(context: Any, frame: VariableFrame) -> Any:
        value = inner(context, frame)
        for keep in filters:
            value = keep(value, frame)
        if group:
            return group(value, frame)
        return finished(value, keep=node.keep, settle=True)

    return run


def _filter(compiler: Compiler, node: tree.Node) -> Callable[[Any, VariableFrame], Any]:
    if isinstance(node, tree.Literal) and is_number(node.value) and not node.predicates:
        return _pick(floor(node.value))
    evaluate = compiler.run(node)

    def run(values: Any, frame: VariableFrame) -> Any:
        if values is UNDEFINED:
            return UNDEFINED
        tuples = carries(values)
        kept = Array(sequence=True, tuples=tuples)
        many = cast(list[Any], values) if isinstance(values, list) else [values]
        meter = frame.evaluation.meter
        meter.take(len(many))
        for number, value in enumerate(many):
            if tuples:
                wanted = evaluate(value["@"], frame.inner(value))
            else:
                wanted = evaluate(value, frame)
            if is_number(wanted):
                wanted = [wanted]
            if isinstance(wanted, list) and all(map(is_number, cast(list[Any], wanted))):
                for each in cast(list[Any], wanted):
                    at = floor(each)
                    if (at + len(many) if at < 0 else at) == number:
                        kept.append(value)
            elif truth(wanted, meter):
                kept.append(value)
        meter.values(len(kept))
        return kept

    return run


def _pick(index: int) -> Callable[[Any, VariableFrame], Any]:
    def run(values: Any, frame: VariableFrame) -> Any:
        if values is UNDEFINED:
            return UNDEFINED
        many = cast(list[Any], values) if isinstance(values, list) else [values]
        at = index + len(many) if index < 0 else index
        kept = Array(sequence=True, tuples=carries(values))
        if 0 <= at < len(many):
            value = many[at]
            if isinstance(value, list):
                return cast(list[Any], value)
            kept.append(value)
        return kept

    return run
