"""Makes the `Integration` of a document: the same that its author would have written in Python."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path as File
from typing import Any

from halflap.errors import DefinitionError
from halflap.lowcode import kinds as doc
from halflap.lowcode.call import Callee, connection_of
from halflap.lowcode.code import Use
from halflap.lowcode.config import config_of, trigger_inputs
from halflap.lowcode.document import Document, FlowPart, OrderPart, PreprocessPart, Triggered
from halflap.lowcode.expr import filter_of, sender_of
from halflap.lowcode.frame import Frame, Stopped, scope_of
from halflap.lowcode.kinds.run import Asked, Outside, PlacedStep, Steps, run_all
from halflap.lowcode.kinds.walk import referred
from halflap.lowcode.observer import Tracer
from halflap.lowcode.registry import Components
from halflap.lowcode.routing import preprocess
from halflap.lowcode.scoping import Scoping, scoping_of
from halflap.lowcode.shape import document_of
from halflap.lowcode.source import Path, SourceText, read
from halflap.lowcode.template import ExpressionHost, Names
from halflap.sdk.action import Action
from halflap.sdk.connection import Connection
from halflap.sdk.context import Context
from halflap.sdk.integration import Flow, Integration
from halflap.sdk.order import FlowOrder, Rule, fifo, parallel
from halflap.sdk.pairs import Pairs
from halflap.sdk.request import pointer
from halflap.sdk.trigger import BoundTrigger


def load(file: File, components: Components | None = None) -> Integration[Any]:
    """The integration of a document; `DefinitionError` says where it is wrong."""
    return build(read(file.read_bytes(), file.name), components or Components())


def build(
    source: SourceText, components: Components, observer: Tracer | None = None
) -> Integration[Any]:
    """The integration of a document that was read; `observer` watches its steps, in tests."""
    return _Builder(source, document_of(source), components, observer).integration()


class _Builder:
    def __init__(
        self,
        source: SourceText,
        document: Document,
        components: Components,
        observer: Tracer | None,
    ) -> None:
        self._source = source
        self._document = document
        self._components = components
        self._observer = observer

    def integration(self) -> Integration[Any]:
        document = self._document
        made: Integration[Any] = Integration(
            document.name,
            config=config_of(document, self._source, self._components),
            title=document.title,
            description=document.description,
        )
        pairs = {name: self._pairs(made, name) for name in document.pairs}
        for name, flow in document.flows.items():
            made.add(self._flow(made, name, flow, pairs))
        for name, part in document.preprocess.items():
            self._preprocess(made, name, part)
        return made

    def _preprocess(self, made: Integration[Any], name: str, part: PreprocessPart) -> None:
        path: Path = ("preprocess", name)
        function = preprocess(self._source, self._document, name, self._observer)
        sender = self._of_request(part.sender, (*path, "sender"), Asked.value, sender_of)

        def make(**given: Any) -> Flow[Any, Any, Any]:
            return made.preprocess(shared=part.shared, sender=sender, **given)(function)

        self._made(made, part, path, make, timedelta(minutes=1))

    def _pairs(self, made: Integration[Any], name: str) -> Pairs:
        given = self._document.pairs[name]
        try:
            return made.pairs(name, master=given.master, **given.sides)
        except DefinitionError as error:
            raise self._placed(error, ("pairs", name)) from error

    def _flow(
        self, made: Integration[Any], name: str, flow: FlowPart, pairs: dict[str, Pairs]
    ) -> Flow[Any, Any, Any]:
        path: Path = ("flows", name)
        if flow.pairs is not None and flow.pairs not in pairs:
            raise DefinitionError(
                f"there are no pairs {flow.pairs!r}; there are: {', '.join(pairs) or 'none'}",
                where=self._source.at((*path, "pairs")),
            )
        function = self._function(made, name, flow, pairs)
        own = {"pairs": pairs.get(flow.pairs or ""), "order": order_of(flow.order)}
        return self._made(made, flow, path, partial(Flow, function, **own), timedelta(minutes=15))

    def _made(
        self,
        made: Integration[Any],
        part: Triggered,
        path: Path,
        make: Callable[..., Flow[Any, Any, Any]],
        timeout: timedelta,
    ) -> Flow[Any, Any, Any]:
        """Make a flow of what it and a pre-process flow share."""
        try:
            flow = make(
                trigger=self._trigger(made, part, path),
                name=str(path[-1]),
                title=part.title,
                filter=self._of_request(part.filter, (*path, "filter"), Asked.truth, filter_of),
                keep=part.keep,
                timeout=part.timeout or timeout,
                max_age=part.max_age or timedelta(days=3),
            )
        except DefinitionError as error:
            raise self._placed(error, path) from error
        flow.where = self._source.where_key(path)
        flow.description = part.description
        return flow

    def _trigger(self, made: Integration[Any], flow: Triggered, path: Path) -> BoundTrigger[Any]:
        try:
            trigger = self._components.trigger(flow.trigger)
        except DefinitionError as error:
            raise self._placed(error, (*path, "trigger")) from error
        inputs = trigger_inputs(trigger, flow.inputs, (*path, "with"), self._source, made.config)
        try:
            return BoundTrigger(trigger, trigger.bind(inputs))
        except DefinitionError as error:
            raise self._placed(error, (*path, "with" if flow.inputs else "trigger")) from error

    def _function(
        self, made: Integration[Any], name: str, flow: FlowPart, pairs: dict[str, Pairs]
    ) -> Callable[[Context[Any], Any], Any]:
        """An ordinary flow function, which interprets the flow's steps."""
        flows, path = self._document.flows, ("flows", name, "steps")
        scoping = scoping_of(flow.steps, path, self._source).checked(self._source)
        compiler = FlowCompiler(
            self._source,
            self._components,
            made.connections(),
            pairs,
            flows.keys(),
            scoping,
            self._observer,
        )
        steps = compiler.steps(flow.steps, path)
        names = scope_of(compiler.used, flows, scoping.names)

        async def run(ctx: Context[Any], event: Any) -> Any:
            frame = Frame(ctx, names(ctx, event), ExpressionHost(ctx))
            try:
                await run_all(steps, frame)
            except Stopped as stopped:
                return stopped.value
            return None

        run.__doc__ = flow.description
        return run

    def _of_request(
        self,
        value: Any,
        path: Path,
        read: Callable[[Asked, Outside], Any],
        made: Callable[..., Any],
    ) -> Any:
        """Return what a template tells of a request before it is accepted."""
        if value is None:
            return None
        used = set[str]()
        asked = Asked.of(value, self._source, path, used)

        def asked_of(names: Names) -> Any:
            return read(asked, Outside(names))

        return made(asked_of, used)

    def _placed(self, error: DefinitionError, path: Path) -> DefinitionError:
        """An error of a definition, at its place in the document."""
        said = error.message
        if error.where is not None:
            said = said.removeprefix(f"{error.where}: ")
            if error.where.startswith(f"{self._source.file}:"):
                return error
        return DefinitionError(said, where=self._source.at(path))


def order_of(order: Rule | OrderPart | None) -> FlowOrder | None:
    """The order that a flow declares."""
    if order is None:
        return None
    given = OrderPart(rule=order) if isinstance(order, str) else order
    key: Any = pointer(given.by_key) if isinstance(given.by_key, str) else given.by_key
    match given.rule:
        case "parallel":
            return parallel(given.width)
        case "fifo":
            return fifo(
                by_key=key, after_failure=given.after_failure, while_waiting=given.while_waiting
            )
        case rule:
            return FlowOrder(rule, by_key=key)


# Steps, compiled once a version into what a function of a flow runs ---------------------------


class FlowCompiler:
    """Compiles the steps of one flow.

    `used` collects the names that its expressions read. `observer` watches them run; without one,
    nothing does.
    """

    def __init__(
        self,
        source: SourceText,
        components: Components,
        connections: Mapping[str, type[Connection]],
        pairs: Mapping[str, Pairs],
        flows: Iterable[str],
        scoping: Scoping,
        observer: Tracer | None = None,
    ) -> None:
        self.source = source
        self.components = components
        self._connections = connections
        self.pairs = pairs
        self.flows = frozenset(flows)
        self.scoping = scoping
        self.observer = observer
        self.used: set[str] = set()
        self.loops: list[bool] = []
        """The loops around a step; true where the items run side by side."""

    def steps(self, steps: Iterable[doc.StepModel], path: Path) -> Steps:
        """Compile a list of steps that stands at `path`."""
        made = tuple(self._step(each, (*path, at)) for at, each in enumerate(steps))
        return made if self.observer is None else self.observer.steps(path, made)

    def _step(self, step: doc.StepModel, path: Path) -> PlacedStep:
        if misplaced := step.misplaced(self.loops):
            raise self.refused(misplaced, path)
        for to, known in (("flow", self.flows), ("pairs", self.pairs)):
            for place, name in referred(step, to):
                if name not in known:
                    there = "are no pairs" if to == "pairs" else "is no flow"
                    has = ", ".join(sorted(known)) or "none"
                    said = f"there {there} {name!r}; there are: {has}"
                    raise self.refused(said, (*path, *place))
        do = step.compile(self, path)
        return PlacedStep(step, do, self.source.at(path), step.known_as(self), path)

    # What steps are made of -------------------------------------------------------------------

    def asked(self, value: Any, path: Path, *key: str | int) -> Asked:
        return Asked.of(value, self.source, (*path, *key), self.used)

    def maybe(self, value: Any, path: Path, *key: str | int) -> Asked | None:
        return None if value is None else self.asked(value, path, *key)

    def named(
        self, given: Mapping[str, Any], path: Path, *key: str
    ) -> tuple[tuple[str, Asked], ...]:
        return tuple((name, self.asked(each, path, *key, name)) for name, each in given.items())

    def refused(self, message: str, path: Path) -> DefinitionError:
        return DefinitionError(message, where=self.source.at(path))

    def connection(self, action: Action[..., Any], name: str | None, path: Path) -> str | None:
        wanted = action.shape.connection_type
        known = self._connections.items()
        fitting = None if wanted is None else [n for n, kind in known if issubclass(kind, wanted)]
        found, said = connection_of(action.name, name, fitting)
        if said:
            raise self.refused(said, path if name is None else (*path, "connection"))
        return found

    def callee(self, use: Use, path: Path) -> Callee:
        """An action that code calls."""
        try:
            action = self.components.action(use.name)
        except DefinitionError as error:
            where = f"{self.source.file}:{use.line}:{use.column}"
            raise DefinitionError(error.message, where=where) from error
        return Callee(action.untyped(), self.connection(action, None, path))
