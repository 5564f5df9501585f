"""Flows that answer each other: what one writes the other reads, and neither names pairs."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from halflap.sdk.survey import Function, Module, Survey, local_names

Found = tuple[Module, ast.AST, str, str]
Records = Mapping[str, str]
"""Dotted names of actions and triggers → the record that they write or read: `acme/contact`."""


@dataclass(slots=True)
class FlowTraffic:
    """A flow as this rule sees it; reads and writes are records, `component/kind`."""

    module: Module
    function: Function
    integration: str
    paired: bool
    reads: str = ""
    writes: set[str] = field(default_factory=set[str])


def check(survey: Survey, known: Records) -> Iterator[Found]:
    """Every flow without pairs that answers a sibling, which answers it."""
    records = {**known, **own_records(survey)}
    flows = [each for module in survey.modules.values() for each in views(survey, module, records)]
    for one in flows:
        for other in flows:
            if one is not other and not one.paired and answer_each_other(one, other):
                yield one.module, one.function, "HF013", said(one, other)
                break


def answer_each_other(one: FlowTraffic, other: FlowTraffic) -> bool:
    """Return whether each writes what the other reads, at two apps, for one integration."""
    return (
        one.integration == other.integration
        and component_of(one.reads) != component_of(other.reads)
        and any(is_same(each, other.reads) for each in one.writes)
        and any(is_same(each, one.reads) for each in other.writes)
    )


def is_same(one: str, other: str) -> bool:
    """Return whether two may be records of one kind; a kind in braces may be any."""
    if component_of(one) != component_of(other):
        return False
    return one == other or "{" in one or "{" in other


def component_of(record: str) -> str:
    """A record's component."""
    return record.rpartition("/")[0]


def said(one: FlowTraffic, other: FlowTraffic) -> str:
    """Return the message: what is wrong, and what to write instead."""
    return (
        f"the flow {one.function.name} writes what {other.function.name} reads, and the other way "
        "round, so each may pass on what the other wrote; declare integration.pairs(…) and give "
        "both flows pairs="
    )


def own_records(survey: Survey) -> dict[str, str]:
    """Return the records that the project's own actions and triggers declare."""
    found: dict[str, str] = {}
    for module in survey.modules.values():
        for option, functions in (("writes", module.actions), ("reads", module.triggers)):
            for each in functions:
                record = declared(survey, module, each, option)
                if record is not None:
                    found[f"{module.name}.{each.name}"] = record
    return found


def declared(survey: Survey, module: Module, function: Function, option: str) -> str | None:
    """The record of a decorator's `writes=Writes("contact")`; its kind is in braces if unknown."""
    for node in function.decorator_list:
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        component = survey.canonical(module.meaning(node.func.value))
        for each in node.keywords:
            if each.arg == option:
                return f"{component}/{kind_of(each.value)}"
    return None


def kind_of(declaration: ast.expr) -> str:
    """The kind that a `Writes(…)` or a `Reads(…)` names."""
    if isinstance(declaration, ast.Call):
        given = [each.value for each in declaration.keywords if each.arg == "kind"]
        match [*declaration.args[:1], *given]:
            case [ast.Constant(value=str(kind))]:
                return kind
            case _:
                pass
    return "{}"


def views(survey: Survey, module: Module, records: Records) -> Iterator[FlowTraffic]:
    """The flows of a module whose trigger says what it reads."""
    for function in module.flows:
        for node in function.decorator_list:
            match node:
                case ast.Call(func=ast.Attribute(value=owner, attr="flow"), keywords=keywords):
                    options = {each.arg: each.value for each in keywords}
                case _:
                    continue
            trigger = options.get("trigger")
            trigger = trigger.func if isinstance(trigger, ast.Call) else trigger
            reads = None if trigger is None else records.get(meaning(survey, module, trigger) or "")
            if reads is not None:
                integration = survey.canonical(module.meaning(owner)) or ""
                view = FlowTraffic(module, function, integration, "pairs" in options, reads)
                view.writes = set(written(survey, module, function, records))
                yield view


def written(survey: Survey, module: Module, flow: Function, records: Records) -> Iterator[str]:
    """The records that a flow, and the plain functions that it calls, may write."""
    seen = {(module.name, flow.name)}
    waiting = [(module, flow)]
    while waiting:
        where, function = waiting.pop()
        shadowed = local_names(function)
        for node in (each for statement in function.body for each in ast.walk(statement)):
            if not isinstance(node, ast.Name | ast.Attribute):
                continue
            name = meaning(survey, where, node, shadowed)
            if name is not None and name in records:
                yield records[name]
            called = survey.function(name)
            if called is not None and (called[0].name, called[1].name) not in seen:
                seen.add((called[0].name, called[1].name))
                waiting.append(called)


def meaning(
    survey: Survey, module: Module, node: ast.expr, shadowed: frozenset[str] = frozenset()
) -> str | None:
    """The dotted name of an action, a trigger or a function, where it is defined."""
    name = survey.canonical(module.meaning(node, shadowed))
    if any(each.name == name for each in module.triggers):
        return f"{module.name}.{name}"
    return name
