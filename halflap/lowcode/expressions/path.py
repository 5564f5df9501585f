"""Paths: steps, their filters, what they bind, sorting and grouping."""

from __future__ import annotations

from collections.abc import Callable
from math import floor
from typing import TYPE_CHECKING, Any, cast

from halflap.lowcode.expressions.frame import VariableFrame
from halflap.lowcode.expressions.grouping import grouping
from halflap.lowcode.expressions.sorting import sorting
from halflap.lowcode.expressions.tree import Node, StepStage
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


def named(node: Node, settle: bool) -> Run:
    """A field of the context."""
    name = cast(str, node.value)

    def run(context: Any, frame: VariableFrame) -> Any:
        found = look_up(context, name, frame.evaluation.meter)
        if is_sequence(found):
            frame.evaluation.meter.values(len(found))
            found.keep |= node.keep
            return settled(found) if settle else found
        return found

    return run


def path(compiler: Compiler, node: Node, settle: bool) -> Run:
    """A path; one of nothing but names is walked directly while it meets objects."""
    slow = _walk(compiler, node, settle)
    names = [cast(str, step.value) for step in node.items]
    if node.group or node.keep_one or not all(_is_bare(step) for step in node.items):
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


def _is_bare(step: Node) -> bool:
    return step.kind == "name" and not (
        step.stages or step.predicates or step.group or step.tuples or step.keep or step.index
    )


def _walk(compiler: Compiler, node: Node, settle: bool) -> Run:
    last = len(node.items) - 1
    first = node.items[0]
    steps: list[Run] = []
    tuple_steps: list[Callable[[list[Any], list[Tuple] | None, VariableFrame], Array]] = []
    bound = [step.tuples for step in node.items].index(True) if _any_tuples(node) else last + 1
    for number, step in enumerate(node.items):
        if number == 0 and first.whole and first.kind == "array":
            steps.append(_listed(compiler.run(first)))
        elif number < bound:
            steps.append(_step(compiler, step, last=number == last))
        else:
            tuple_steps.append(_tuple_step(compiler, step))
    group = grouping(compiler, node.group) if node.group else None

    def run(context: Any, frame: VariableFrame) -> Any:
        values = context
        if not isinstance(values, list) or first.kind == "variable":
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


def _any_tuples(node: Node) -> bool:
    return any(step.tuples for step in node.items)


def _step(compiler: Compiler, step: Node, *, last: bool) -> Run:
    if step.kind == "sort":
        return _sort_step(compiler, step)
    evaluate = compiler.run(step)
    stages = [_filter(compiler, cast(Node, stage.node)) for stage in step.stages]

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


def _sort_step(compiler: Compiler, step: Node) -> Run:
    sort = sorting(compiler, step)
    stages = _staged(compiler, step.stages)

    def run(values: list[Any], frame: VariableFrame) -> Any:
        return stages(sort(values, frame), frame)

    return run


def _staged(compiler: Compiler, stages: list[StepStage]) -> Stages:
    """Filters and positions over all values of a step."""
    compiled = [
        (stage.index, _filter(compiler, stage.node) if stage.node else None) for stage in stages
    ]

    def run(values: Any, frame: VariableFrame) -> Any:
        for index, keep in compiled:
            if keep:
                values = keep(values, frame)
            else:
                for number, each in enumerate(cast(list[Tuple], values)):
                    each[index] = number
        return values

    return run


def _tuple_step(
    compiler: Compiler, step: Node
) -> Callable[[list[Any], list[Tuple] | None, VariableFrame], Array]:
    """A step whose values carry what was bound on the way."""
    stages = _staged(compiler, step.stages)
    if step.kind == "sort":
        return _sorted_tuples(compiler, step, stages)
    evaluate = compiler.run(step)
    focus, index = step.focus, step.index
    label = step.slot.label if step.slot and step.kind != "parent" else ""

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
                    if step.slot and label:
                        made[step.slot.label] = each["@"]
                found.append(made)
        return stages(found, frame)

    return run


def _sorted_tuples(
    compiler: Compiler, step: Node, stages: Stages
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


def filtered(compiler: Compiler, node: Node, inner: Run) -> Run:
    """A value, its filters, and its grouping."""
    filters = [_filter(compiler, cast(Node, stage.node)) for stage in node.predicates]
    group = grouping(compiler, node.group) if node.group and node.kind != "path" else None

    def run(context: Any, frame: VariableFrame) -> Any:
        value = inner(context, frame)
        for keep in filters:
            value = keep(value, frame)
        if group:
            return group(value, frame)
        return finished(value, keep=node.keep, settle=True)

    return run


def _filter(compiler: Compiler, node: Node) -> Callable[[Any, VariableFrame], Any]:
    if node.kind == "literal" and is_number(node.value) and not node.predicates:
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
