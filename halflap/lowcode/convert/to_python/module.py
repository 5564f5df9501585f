"""Writes a document as a module of Python."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, cast, get_args, get_origin

from pydantic import BaseModel

from halflap.lowcode import steps as doc
from halflap.lowcode.build import build
from halflap.lowcode.convert.about import about
from halflap.lowcode.convert.to_python.context import Module
from halflap.lowcode.convert.to_python.flow import FlowWriter
from halflap.lowcode.convert.to_python.kind import CLOSED, JSON, Kind, kind_of
from halflap.lowcode.convert.to_python.layout import Piece, call, call_with, joined, lines, text
from halflap.lowcode.convert.to_python.routes import routes
from halflap.lowcode.convert.to_python.scope import all_within
from halflap.lowcode.convert.to_python.settings import settings
from halflap.lowcode.convert.to_python.speaker import Speaker
from halflap.lowcode.convert.to_python.writer import Learned
from halflap.lowcode.document import Document, FlowPart, OrderPart, PreprocessPart, Triggered
from halflap.lowcode.registry import Components
from halflap.lowcode.scoping import Scoping, scoping_of
from halflap.lowcode.shape import document_of
from halflap.lowcode.source import Path, Source
from halflap.lowcode.template import is_expression
from halflap.sdk.schema import hints_of
from halflap.sdk.trigger import Ignore

MOST_PASSES = 8
TIMEOUT, ROUTING, MAX_AGE = timedelta(minutes=15), timedelta(minutes=1), timedelta(days=3)


def to_python(source: Source, components: Components) -> str:
    """A document as a module of Python that does the same."""
    document = document_of(source)
    return _Writer(Module(source, document, build(source, components), components)).text()


class _Writer:
    def __init__(self, module: Module) -> None:
        self._module = module
        self._document: Document = module.document
        self._names = module.names
        self._speaker = Speaker(module, None)

    def text(self) -> str:
        """The whole module."""
        first = self._module.remarks.first()
        parts: list[list[str]] = []
        if self._document.config:
            parts.append(settings(self._module))
        parts.append([*self._integration(), *self._pairs()])
        for name, flow in self._document.flows.items():
            functions, made = self._flow(name, flow)
            parts += [[each] for each in functions]
            parts.append(made)
        for name, part in self._document.preprocess.items():
            parts.append(self._preprocess(name, part))
        head = [*(f"# {each}".rstrip() for each in first), *self._docstring(self._about(), 0), ""]
        body = "\n\n\n".join("\n".join(each) for each in parts)
        gap = "\n" if parts[0][0].startswith(("class ", "@", "async ", "def ")) else ""
        return "\n".join([*head, *self._names.lines(body)]) + "\n" + gap + body + "\n"

    def _about(self) -> str:
        document = self._document
        return about(document.name, document.title, document.description)

    def _docstring(self, said: str, indent: int) -> list[str]:
        pad, said = " " * indent, said.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
        if len(said) + indent + 6 <= 100 and "\n" not in said:
            return (
                [f'{pad}"""{said}"""'] if not said.endswith('"') else [f'{pad}"""{said[:-1]}\\""""']
            )
        wrapped = textwrap.wrap(said, 97 - indent)
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

    def _flow(self, name: str, part: FlowPart) -> tuple[list[str], list[str]]:
        """The functions of a flow's code steps, and the flow itself."""
        path: Path = ("flows", name)
        named = self._options(name, part, path, TIMEOUT)
        if part.pairs is not None:
            named.append(("pairs", self._module.pairs[part.pairs]))
        if part.order is not None:
            named.append(("order", self._order(part.order)))
        annotation, kind = self._event(name, part)
        writer, body = self._body(name, part, kind, path)
        reads = writer.reads_event
        event = f"{'event' if reads else '_'}: {annotation()}"
        result = self._result(writer.returns)
        head = f"async def {self._names.flow(name)}(ctx: {self._context()}, {event}) -> {result}:"
        decorator = call_with(f"@{self._module.integration}.flow", [], named)
        made = [*self._comments(path, 0), *lines(decorator), *_shortened(head)]
        if part.description:
            made += self._docstring(part.description, 4)
        return writer.functions, [*made, *body]

    def _context(self) -> str:
        return f"{self._names.use('Context')}[{self._module.settings}]"

    def _result(self, returns: set[str]) -> str:
        if "value" in returns:
            return self._names.use("Json")
        return f"{self._names.use('Ignore')} | None" if "ignore" in returns else "None"

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
            named.append(("keep", self._speaker.constant(part.keep)))
        if part.timeout is not None and part.timeout != timeout:
            named.append(("timeout", self._speaker.span(part.timeout)))
        if part.max_age is not None and part.max_age != MAX_AGE:
            named.append(("max_age", self._speaker.span(part.max_age)))
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
        given = [(each, self._speaker.constant(bound.inputs[each])) for each in part.inputs]
        return call_with(member, [], given)

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

    def _event(self, name: str, part: Triggered) -> tuple[Any, Kind]:
        """How the event's type is named, and its kind."""
        trigger = self._module.flows[name].trigger.trigger
        found = _without_ignore(hints_of(trigger.function).get("return", Any))
        kind = kind_of(found)
        if name not in self._handed_on() and kind.base == "model" and not kind.null:
            model: type[BaseModel] = kind.of
            shown = self._module.type_of(model, trigger.component)
            if shown is not None:
                return lambda: shown, kind
        trusted = trigger.function.__module__.startswith("halflap.") and found is Any
        return lambda: self._names.use("Json"), JSON if trusted else CLOSED

    def _handed_on(self) -> set[str]:
        """The flows that get events of other flows, which no trigger has read."""
        found = {
            step.call
            for flow in self._document.flows.values()
            for step in all_within(flow.steps)
            if isinstance(step, doc.CallStep)
        }
        for part in self._document.preprocess.values():
            found |= {each.flow for each in part.routes if each.flow and each.event is not None}
        return found

    def _body(
        self, name: str, part: FlowPart, event: Kind, path: Path
    ) -> tuple[FlowWriter, list[str]]:
        """Write the steps, again until nothing new is found out of the variables."""
        learned = Learned()
        scoping = scoping_of(part.steps, (*path, "steps"), self._module.source)
        for number in range(MOST_PASSES):
            with self._module.remarks.again():
                writer, made = self._pass(name, part, event, path, scoping, learned)
            found = Learned(
                {each.key: each.given for each in writer.variables},
                {each.key for each in writer.variables if each.read},
                {each.key for each in writer.variables if each.late},
                writer.returns,
            )
            if found == learned:
                break
            if number == MOST_PASSES - 3:  # it goes round in circles: nothing is taken for known
                found.kinds = dict.fromkeys(found.kinds, CLOSED)
            learned = found
        writer, made = self._pass(name, part, event, path, scoping, learned)
        return writer, made

    def _pass(
        self,
        name: str,
        part: FlowPart,
        event: Kind,
        path: Path,
        scoping: Scoping,
        learned: Learned,
    ) -> tuple[FlowWriter, list[str]]:
        writer = FlowWriter(self._module, name, ("event", event), scoping, learned)
        frame = writer.opened((*path, "steps"), scoping.names)
        block = writer.block(part.steps, (*path, "steps"), 4)
        made = [*writer.beginnings(frame, 4), *block.lines]
        if writer.returns and not block.ends:
            made.append("    return None")
        if made[-1] == "    return":
            made.pop()
        if not any(each.strip() and not each.strip().startswith("#") for each in made):
            made.append("    pass")
        return writer, _tidied(made)

    def _preprocess(self, name: str, part: PreprocessPart) -> list[str]:
        path: Path = ("preprocess", name)
        named = self._options(name, part, path, ROUTING)
        if part.shared:
            named.append(("shared", "True"))
        if part.sender is not None:
            named.append(("sender", self._request(part.sender, "sender")))
        annotation, kind = self._event(name, part)
        speaker = Speaker(self._module, ("event", kind))
        body, result = routes(self._module, speaker, part, path)
        event = f"{'event' if speaker.reads_event else '_'}: {annotation()}"
        head = f"async def {self._names.flow(name)}(ctx: {self._context()}, {event}) -> {result}:"
        decorator = call_with(f"@{self._module.integration}.preprocess", [], named)
        made = [*self._comments(path, 0), *lines(decorator), *_shortened(head)]
        if part.description:
            made += self._docstring(part.description, 4)
        return [*made, *body]


def _shortened(head: str) -> list[str]:
    """The first line of a function, in more than one where it is too long."""
    if len(head) <= 100:
        return [head]
    name, _, rest = head.partition("(")
    given, _, result = rest.rpartition(")")
    return [f"{name}(", f"    {given}", f"){result}"]


def _tidied(made: list[str]) -> list[str]:
    """Without empty lines where the formatter has none."""
    found: list[str] = []
    for line in made:
        opens = not found or found[-1].rstrip().endswith(":") or not found[-1]
        if line or not opens:
            found.append(line)
    while found and not found[-1]:
        found.pop()
    return found


def _without_ignore(annotation: Any) -> Any:
    if get_origin(annotation) is None:
        return annotation
    left = [each for each in get_args(annotation) if each is not Ignore]
    return left[0] if len(left) == 1 and Ignore in get_args(annotation) else annotation


def _as_jsonata(value: Any) -> str:
    if isinstance(value, str):
        return text(value[1:] if value.startswith("==") else value)
    return {None: "null", True: "true", False: "false"}.get(value, str(value))
