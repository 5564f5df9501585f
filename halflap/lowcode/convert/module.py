"""Writes a document as a module of Python, with its config as the `Config` a developer would declare."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from types import UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from halflap.lowcode import kinds as doc
from halflap.lowcode.builder import build
from halflap.lowcode.convert.context import WrittenModule
from halflap.lowcode.convert.flow import PythonScope, flow_body, scope_of
from halflap.lowcode.convert.terms import CLOSED, JSON, Term, kind_of
from halflap.lowcode.document import (
    ConnectionField,
    FlowPart,
    OrderPart,
    PreprocessPart,
    RoutePart,
    Triggered,
)
from halflap.lowcode.kinds.stop import StopPart
from halflap.lowcode.kinds.walk import every, referred
from halflap.lowcode.python import call, display, indented, spaced, text
from halflap.lowcode.registry import Components
from halflap.lowcode.shape import document_of
from halflap.lowcode.source import Path, SourceText
from halflap.lowcode.template import is_expression, unquoted
from halflap.sdk.condition import When
from halflap.sdk.reference import FieldReference
from halflap.sdk.schema import Source, hints_of
from halflap.sdk.trigger import Ignore


def to_python(source: SourceText, components: Components) -> str:
    """A document as a module of Python that does the same."""
    document = document_of(source)
    module = WrittenModule(source, document, build(source, components), components)
    scope = PythonScope(module)
    parts = [settings(scope)] if document.config else []
    parts.append(_integration(scope))
    for name, flow in document.flows.items():
        parts += _flow(scope, name, flow)
    for name, part in document.preprocess.items():
        parts.append(_preprocess(scope, name, part))
    body = "\n\n\n".join("\n".join(spaced(each)) for each in parts)
    title = document.title or document.name.replace("-", " ").capitalize()
    about = f"{title}: {document.description}" if document.description else title
    about = about if about.endswith((".", "!", "?")) else f"{about}."
    head = [*module.comments(), *_docstring(about, 0), "", *module.names.lines(body)]
    gap = "\n\n" if document.config else "\n"
    return "\n".join(head) + gap + body + "\n"


def _docstring(shown: str, indent: int = 4) -> list[str]:
    shown = shown.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    pad, shown = " " * indent, f'{shown[:-1]}\\"' if shown.endswith('"') else shown
    first, *others = textwrap.wrap(shown, 94 - indent)
    if not others:
        return [f'{pad}"""{first}"""']
    return [f'{pad}"""{first}', *(pad + each for each in others), f'{pad}"""']


def _integration(scope: PythonScope) -> list[str]:
    """Return the statements that make the integration and its pairs."""
    module, document = scope.module, scope.module.document
    named = [("config", module.settings)] if document.config else []
    for name in ("title", "description"):
        if given := getattr(document, name):
            named.append((name, text(given)))
    made = call(scope.use("Integration"), [text(document.name)], named)
    lines = [f"{module.integration} = {made}"]
    for name, part in document.pairs.items():
        named = [(side, text(kind)) for side, kind in part.sides.items()]
        if part.master is not None:
            named.append(("master", text(part.master)))
        made = call(f"{module.integration}.pairs", [text(name)], named)
        lines += [*scope.module.comments("pairs", name), f"{module.pairs[name]} = {made}"]
    return lines


# Flows --------------------------------------------------------------------------------------------


def _flow(scope: PythonScope, name: str, part: FlowPart) -> list[list[str]]:
    """Return the definitions of a flow's code steps, and the flow itself."""
    module = scope.module
    comments, named = scope.module.comments("flows", name), _options(scope, name, part)
    if part.pairs is not None:
        named.append(("pairs", module.pairs[part.pairs]))
    if part.order is not None:
        named.append(("order", _order(scope, part.order)))
    annotation, event = _event(scope, name, part)
    stops = (each.stop for _, each in every(part.steps) if isinstance(each, doc.StopStep))
    answers = any(isinstance(each, StopPart) and each.model_fields_set for each in stops)
    flow, body = flow_body(module, name, event, part.steps, answers=answers)
    result = scope.use("Json") if answers else "None"
    head = _head(scope, name, part, annotation, result)
    decorator = call(f"@{module.integration}.flow", named=named)
    return [*([each] for each in flow.functions), [*comments, decorator, *head, *body]]


def _options(scope: PythonScope, name: str, part: Triggered) -> list[tuple[str, str]]:
    """Return what a flow's decorator says."""
    named = [("trigger", _trigger(scope, name, part))]
    if scope.module.names.flow(name) != name:
        named.insert(0, ("name", text(name)))
    if part.title is not None:
        named.append(("title", text(part.title)))
    if part.filter is not None:
        named.append(("filter", _request(scope, part.filter, "filter")))
    for option in ("keep", "timeout", "max_age"):
        if (given := getattr(part, option)) is not None:
            named.append((option, scope.constant(given)))
    return named


def _request(scope: PythonScope, value: Any, method: str) -> str:
    """Return a function of the request."""
    if is_expression(value):
        shown = value[1:].strip("\n")
    elif isinstance(value, str):
        shown = text(unquoted(value))
    else:
        shown = {None: "null", True: "true", False: "false"}.get(value, str(value))
    return f"{scope.use('expr')}.{method}({text(shown)})"


def _trigger(scope: PythonScope, name: str, part: Triggered) -> str:
    bound = scope.module.flows[name].trigger
    member = scope.module.member(bound.trigger)
    given = [(each, _input(scope, bound.inputs[each])) for each in part.inputs]
    return call(member, named=given) if given else member


def _input(scope: PythonScope, value: Any) -> str:
    """Return a trigger's input: what it is, or the config's field that it refers to."""
    if isinstance(value, FieldReference):
        return f"{scope.module.settings}.{value.name}"
    return scope.constant(value)


def _order(scope: PythonScope, order: str | OrderPart) -> str:
    if isinstance(order, str):
        return f"{scope.use(order)}()"
    function = scope.use(order.rule)
    if order.rule == "parallel":
        return f"{function}({order.width})"
    named: list[tuple[str, str]] = []
    if isinstance(order.by_key, str):
        named.append(("by_key", f"{scope.use('pointer')}({text(order.by_key)})"))
    elif order.by_key:
        named.append(("by_key", "True"))
    if order.rule == "fifo" and order.after_failure != "go_on":
        named.append(("after_failure", text(order.after_failure)))
    if order.rule == "fifo" and order.while_waiting != "block":
        named.append(("while_waiting", text(order.while_waiting)))
    return call(function, named=named)


def _event(scope: PythonScope, name: str, part: Triggered) -> tuple[str, Term]:
    """Return the event's type as it is written, and the event."""
    module = scope.module
    trigger = module.flows[name].trigger.trigger
    found = _without_ignore(hints_of(trigger.function).get("return", Any))
    kind = kind_of(found)
    if name not in _handed_on(module) and kind.base == "model":
        shown = module.type_of(kind.of, trigger.component)
        if shown is not None:
            return shown, Term("event", kind)
    trusted = trigger.function.__module__.startswith("halflap.") and found is Any
    return scope.use("Json"), Term("event", JSON if trusted else CLOSED)


def _handed_on(module: WrittenModule) -> set[str]:
    """Return the flows that get events of other flows, which no trigger has read."""
    found = {
        name
        for flow in module.document.flows.values()
        for _, step in every(flow.steps)
        for _, name in referred(step, "flow")
    }
    for part in module.document.preprocess.values():
        found |= {each.flow for each in part.routes if each.flow and each.event is not None}
    return found


def _without_ignore(annotation: Any) -> Any:
    if get_origin(annotation) is None:
        return annotation
    left = [each for each in get_args(annotation) if each is not Ignore]
    return left[0] if len(left) == 1 and Ignore in get_args(annotation) else annotation


def _head(
    scope: PythonScope, name: str, part: Triggered, annotation: str, result: str
) -> list[str]:
    context = f"{scope.use('Context')}[{scope.module.settings}]"
    function = scope.module.names.flow(name)
    head = f"async def {function}(ctx: {context}, event: {annotation}) -> {result}:"
    return [head, *(_docstring(part.description) if part.description else [])]


# Pre-process flows --------------------------------------------------------------------------------


def _preprocess(scope: PythonScope, name: str, part: PreprocessPart) -> list[str]:
    path: Path = ("preprocess", name)
    named = _options(scope, name, part)
    if part.shared:
        named.append(("shared", "True"))
    if part.sender is not None:
        named.append(("sender", _request(scope, part.sender, "sender")))
    annotation, event = _event(scope, name, part)
    comments = scope.module.comments(*path)
    here = scope_of(scope.module, event, *path)
    ignores = any(each.ignore is not None for each in part.routes)
    routes, ended = list[str](), False
    for at, each in enumerate(part.routes):
        routes += scope.module.comments(*path, "routes", at)
        routes += indented(_routed(here.at("routes", at), each, every=part.all))
        ended = not part.all and each.when is None
        if ended:
            break
    route = scope.use("Route")
    result = [f"list[{route}]" if part.all else route, *([scope.use("Ignore")] if ignores else [])]
    if part.all:
        routes = [f"    routes: list[{route}] = []", *routes, "    return routes"]
    elif not ended:
        routes, result = [*routes, "    return None"], [*result, "None"]
    head = _head(scope, name, part, annotation, " | ".join(result))
    decorator = call(f"@{scope.module.integration}.preprocess", named=named)
    return [*comments, decorator, *head, *routes]


def _routed(scope: PythonScope, part: RoutePart, *, every: bool) -> list[str]:
    """Return the statement of a route; where `every` one that fits counts, none has to fit to ignore."""
    conditions = [] if part.when is None else [scope.truth(part.when, "when")]
    if part.ignore is not None:
        made = f"return {scope.use('Ignore')}({scope.text(part.ignore, 'ignore')})"
        conditions += ["not routes"] if every else []
    else:
        route = _route(scope, part)
        made = f"routes.append({route})" if every else f"return {route}"
    if not conditions:
        return [made]
    if len(conditions) > 1 and " or " in conditions[0]:
        conditions[0] = f"({conditions[0]})"
    return [f"if {' and '.join(conditions)}:", f"    {made}"]


def _route(scope: PythonScope, part: RoutePart) -> str:
    args = [scope.module.names.flow(part.flow or "")]
    if part.event is not None:
        args.append(scope.value(part.event, "event"))
    named = [
        (how, scope.text(given, how))
        for how in ("customer", "instance")
        if (given := getattr(part, how)) is not None
    ]
    for field, given in part.config.items():
        named.append(("config", display([(text(field), scope.text(given, "config", field))])))
    return call(scope.use("Route"), args, named)


# The config -----------------------------------------------------------------------------------

_LIMITS = ("ge", "le", "min_length", "max_length", "pattern")


def settings(scope: PythonScope) -> list[str]:
    """Return the class, line by line.

    A default stands in its `Field`, so that no field takes a name that another's type needs.
    """
    module = scope.module
    made = [f"class {module.settings}({module.names.use('Config')}):"]
    made += ['    """The settings that a customer fills in to activate the integration."""', ""]
    for page, members in module.document.config.items():
        for name, part in members.items():
            made += indented(module.comments("config", page, name))
            field = module.config.model_fields[name]
            if isinstance(part, ConnectionField):
                kind = module.connection(module.connections[name], part.connection)
            else:
                kind = _type(scope, field.annotation)
            made.append(f"    {name}: {_annotated(scope, kind, [field, *field.metadata])}")
    return made


def _type(scope: PythonScope, annotation: Any) -> str:
    """Return a type as it is written."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        limits = (y for x in args[1:] for y in (x.metadata if isinstance(x, FieldInfo) else [x]))
        return _annotated(scope, _type(scope, args[0]), limits)
    if origin in (Union, UnionType):
        return " | ".join(_type(scope, each) for each in args)
    if origin is Literal:
        return f"{scope.use('Literal')}[{', '.join(map(text, args))}]"
    if origin is not None:
        return f"{origin.__name__}[{', '.join(_type(scope, each) for each in args)}]"
    if annotation is type(None):
        return "None"
    return (
        annotation.__name__
        if annotation.__module__ == "builtins"
        else scope.use(annotation.__name__)
    )


def _annotated(scope: PythonScope, kind: str, metadata: Iterable[Any]) -> str:
    """Return a type with its source of choices, and with all else that is known of it as a `Field`."""
    parts, named = [kind], dict[str, str]()
    for each in metadata:
        if isinstance(each, Source):
            parts.append(_source(scope, each))
        if isinstance(each, When):
            wanted = (
                (name, some[0] if len(some) == 1 else [*some]) for name, some in each.fields.items()
            )
            parts.append(call(scope.use("When"), named=[(n, scope.constant(v)) for n, v in wanted]))
        names = _LIMITS
        if isinstance(each, FieldInfo):
            names = ("title", "description", "json_schema_extra")
            if each.default is not PydanticUndefined:
                named["default"] = scope.constant(each.default)
        values = {name: getattr(each, name, None) for name in names}
        named |= {name: scope.constant(each) for name, each in values.items() if each is not None}
    if named:
        parts.append(call(scope.use("Field"), named=named.items()))
    return kind if len(parts) == 1 else f"{scope.use('Annotated')}[{', '.join(parts)}]"


def _source(scope: PythonScope, source: Source) -> str:
    args = [scope.module.member(cast(Any, source.list))]
    if source.depends:
        args.append(scope.constant(source.depends))
    named = [
        (name, scope.constant(value))
        for name in ("inputs", "open", "connection")
        if (value := getattr(source, name))
    ]
    return call(scope.use("Source"), args, named)
