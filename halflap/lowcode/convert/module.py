"""Writes a document as a module of Python."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, cast, get_args, get_origin

from halflap.lowcode import kinds as doc
from halflap.lowcode.builder import build
from halflap.lowcode.convert.context import WrittenModule
from halflap.lowcode.convert.flow import FlowPlan, flow_body
from halflap.lowcode.convert.layout import Piece, call, call_with, joined, lines, text
from halflap.lowcode.convert.plan import plan_of
from halflap.lowcode.convert.routes import routes
from halflap.lowcode.convert.settings import settings
from halflap.lowcode.convert.terms import CLOSED, JSON, Kind, Term, kind_of
from halflap.lowcode.convert.values import PythonScope, constant, names_read, span
from halflap.lowcode.document import Document, FlowPart, OrderPart, PreprocessPart, Triggered
from halflap.lowcode.kinds.walk import every, referred
from halflap.lowcode.registry import Components
from halflap.lowcode.shape import document_of
from halflap.lowcode.source import Path, SourceText
from halflap.lowcode.template import is_expression
from halflap.sdk.reference import FieldReference
from halflap.sdk.schema import hints_of
from halflap.sdk.trigger import Ignore

TIMEOUT, ROUTING, MAX_AGE = timedelta(minutes=15), timedelta(minutes=1), timedelta(days=3)


def to_python(source: SourceText, components: Components) -> str:
    """A document as a module of Python that does the same."""
    document = document_of(source)
    return _ModuleWriter(
        WrittenModule(source, document, build(source, components), components)
    ).text()


class _ModuleWriter:
    def __init__(self, module: WrittenModule) -> None:
        self._module = module
        self._document: Document = module.document
        self._names = module.names
        self._scope = PythonScope(module)

    def text(self) -> str:
        """The whole module."""
        first = self._module.remarks.first()
        parts: list[list[str]] = []
        if self._document.config:
            parts.append(settings(self._module))
        parts.append([*self._integration(), *self._pairs()])
        for name, flow in self._document.flows.items():
            parts += self._flow(name, flow)
        for name, part in self._document.preprocess.items():
            parts.append(self._preprocess(name, part))
        head = [*(f"# {each}".rstrip() for each in first), *self._docstring(self._about(), 0), ""]
        body = "\n\n\n".join("\n".join(each) for each in parts)
        gap = "\n" if parts[0][0].startswith(("class ", "@", "async ", "def ")) else ""
        return "\n".join([*head, *self._names.lines(body)]) + "\n" + gap + body + "\n"

    def _about(self) -> str:
        name, title = self._document.name, self._document.title
        shown = title or name.replace("-", " ").capitalize()
        if self._document.description:
            shown = f"{shown}: {self._document.description}"
        return shown if shown.endswith((".", "!", "?")) else f"{shown}."

    def _docstring(self, said: str, indent: int) -> list[str]:
        pad, said = " " * indent, said.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
        if len(said) + indent + 6 <= 100 and "\n" not in said:
            return (
                [f'{pad}"""{said}"""'] if not said.endswith('"') else [f'{pad}"""{said[:-1]}\\""""']
            )
        wrapped = textwrap.wrap(said, 94 - indent)
        return [f'{pad}"""{wrapped[0]}', *(pad + each for each in wrapped[1:]), f'{pad}"""']

    def _integration(self) -> list[str]:
        document = self._document
        named: list[tuple[str, Piece]] = []
        if document.config:
            named.append(("config", self._module.settings))
        if document.title:
            named.append(("title", text(document.title)))
        if document.description:
            named.append(("description", text(document.description)))
        called = call_with(self._names.use("Integration"), [text(document.name)], named)
        return lines(joined(f"{self._module.integration} = ", called))

    def _pairs(self) -> Iterator[str]:
        for name, part in self._document.pairs.items():
            yield from self._comments(("pairs", name), 0)
            named = [(side, text(kind)) for side, kind in part.sides.items()]
            if part.master is not None:
                named.append(("master", text(part.master)))
            called = call_with(f"{self._module.integration}.pairs", [text(name)], named)
            yield from lines(joined(f"{self._module.pairs[name]} = ", called))

    def _comments(self, path: Path, indent: int) -> list[str]:
        return [f"{' ' * indent}# {each}".rstrip() for each in self._module.remarks.of(path)]

    # Flows ------------------------------------------------------------------------------------

    def _flow(self, name: str, part: FlowPart) -> list[list[str]]:
        """Return the definitions of a flow's code steps, and the flow itself."""
        path: Path = ("flows", name)
        named = self._options(name, part, path, TIMEOUT)
        if part.pairs is not None:
            named.append(("pairs", self._module.pairs[part.pairs]))
        if part.order is not None:
            named.append(("order", self._order(part.order)))
        annotation, kind = self._event(name, part)
        place = (*path, "steps")
        plan = plan_of(self._module, part.steps, place)
        stops = [each.stop for _, each in every(part.steps) if isinstance(each, doc.StopStep)]
        parts = [each for each in stops if isinstance(each, doc.StopPart)]
        answers = any(each.model_fields_set for each in parts)
        flow = FlowPlan(self._module, name, plan, answers)
        scope = PythonScope(self._module, {"event": Term("event", kind)})
        comments = self._comments(path, 0)
        body = flow_body(flow, scope, part.steps, place)
        result = "None"
        if answers:
            only = all(each.ignore is not None for each in parts)
            result = f"{self._names.use('Ignore')} | None" if only else self._names.use("Json")
        head = self._head(name, annotation, "event" in plan.read, result)
        decorator = call_with(f"@{self._module.integration}.flow", [], named)
        made = [*comments, *lines(decorator), *head, *self._about_flow(part), *body]
        return [*([each] for each in flow.functions), made]

    def _options(
        self, name: str, part: Triggered, path: Path, timeout: timedelta
    ) -> list[tuple[str, Piece]]:
        named: list[tuple[str, Piece]] = [("trigger", self._trigger(name, part))]
        if self._names.flow(name) != name:
            named.insert(0, ("name", text(name)))
        if part.title is not None:
            named.append(("title", text(part.title)))
        if part.filter is not None:
            named.append(("filter", self._request(part.filter, "filter")))
        if part.keep is not None:
            named.append(("keep", constant(self._scope, part.keep)))
        if part.timeout is not None and part.timeout != timeout:
            named.append(("timeout", span(self._scope, part.timeout)))
        if part.max_age is not None and part.max_age != MAX_AGE:
            named.append(("max_age", span(self._scope, part.max_age)))
        return named

    def _request(self, value: Any, method: str) -> Piece:
        """A function of the request."""
        shown = str(value)[1:].strip("\n") if is_expression(value) else _as_jsonata(value)
        return call(f"{self._names.use('expr')}.{method}", text(shown))

    def _trigger(self, name: str, part: Triggered) -> Piece:
        bound = self._module.flows[name].trigger
        member = self._module.member(bound.trigger)
        if not part.inputs:
            return member
        given = [(each, self._input(bound.inputs[each])) for each in part.inputs]
        return call_with(member, [], given)

    def _input(self, value: Any) -> Piece:
        """A trigger's input: what it is, or the config's field that it refers to."""
        if isinstance(value, FieldReference):
            return joined(self._module.settings, f".{value.name}")
        return constant(self._scope, value)

    def _order(self, order: str | OrderPart) -> Piece:
        given = OrderPart(rule=cast(Any, order)) if isinstance(order, str) else order
        function = self._names.use(given.rule)
        if given.rule == "parallel":
            return call(function, str(given.width))
        named: list[tuple[str, Piece]] = []
        if given.by_key:
            key: Piece = "True"
            if isinstance(given.by_key, str):
                key = call(self._names.use("pointer"), text(given.by_key))
            named.append(("by_key", key))
        if given.rule == "fifo":
            if given.after_failure != "go_on":
                named.append(("after_failure", text(given.after_failure)))
            if given.while_waiting != "block":
                named.append(("while_waiting", text(given.while_waiting)))
        return call_with(function, [], named)

    def _event(self, name: str, part: Triggered) -> tuple[str, Kind]:
        """Return the event's type as it is written, and its kind."""
        trigger = self._module.flows[name].trigger.trigger
        found = _without_ignore(hints_of(trigger.function).get("return", Any))
        kind = kind_of(found)
        if name not in self._handed_on() and kind.base == "model":
            shown = self._module.type_of(kind.of, trigger.component)
            if shown is not None:
                return shown, kind
        trusted = trigger.function.__module__.startswith("halflap.") and found is Any
        return self._names.use("Json"), JSON if trusted else CLOSED

    def _handed_on(self) -> set[str]:
        """The flows that get events of other flows, which no trigger has read."""
        found = {
            name
            for flow in self._document.flows.values()
            for _, step in every(flow.steps)
            for _, name in referred(step, "flow")
        }
        for part in self._document.preprocess.values():
            found |= {each.flow for each in part.routes if each.flow and each.event is not None}
        return found

    def _preprocess(self, name: str, part: PreprocessPart) -> list[str]:
        path: Path = ("preprocess", name)
        named = self._options(name, part, path, ROUTING)
        if part.shared:
            named.append(("shared", "True"))
        if part.sender is not None:
            named.append(("sender", self._request(part.sender, "sender")))
        annotation, kind = self._event(name, part)
        scope = PythonScope(self._module, {"event": Term("event", kind)})
        body, result = routes(self._module, scope, part, path)
        read = names_read([each.model_dump() for each in part.routes], self._module, path)
        head = self._head(name, annotation, "event" in read, result)
        decorator = call_with(f"@{self._module.integration}.preprocess", [], named)
        return [*self._comments(path, 0), *lines(decorator), *head, *self._about_flow(part), *body]

    def _head(self, name: str, annotation: str, reads: bool, result: str) -> list[str]:
        """Return the first line of a flow's function, in more than one where it is too long."""
        context = f"{self._names.use('Context')}[{self._module.settings}]"
        given = f"ctx: {context}, {'event' if reads else '_'}: {annotation}"
        head = f"async def {self._names.flow(name)}({given}) -> {result}:"
        if len(head) <= 100:
            return [head]
        return [f"async def {self._names.flow(name)}(", f"    {given}", f") -> {result}:"]

    def _about_flow(self, part: Triggered) -> list[str]:
        return self._docstring(part.description, 4) if part.description else []


def _without_ignore(annotation: Any) -> Any:
    if get_origin(annotation) is None:
        return annotation
    left = [each for each in get_args(annotation) if each is not Ignore]
    return left[0] if len(left) == 1 and Ignore in get_args(annotation) else annotation


def _as_jsonata(value: Any) -> str:
    if isinstance(value, str):
        return text(value[1:] if value.startswith("==") else value)
    return {None: "null", True: "true", False: "false"}.get(value, str(value))
