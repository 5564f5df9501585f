"""Compiles the steps of a document, once per version, into what a flow's function runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from halflap.errors import DefinitionError
from halflap.lowcode import kinds as doc
from halflap.lowcode.call import Callee, connection_of
from halflap.lowcode.code import Use
from halflap.lowcode.kinds.run import Asked, PlacedStep, Steps
from halflap.lowcode.kinds.walk import referred
from halflap.lowcode.observer import Tracer
from halflap.lowcode.registry import Components
from halflap.lowcode.scoping import Scoping
from halflap.lowcode.source import Path, SourceText
from halflap.sdk.action import Action
from halflap.sdk.connection import Connection
from halflap.sdk.pairs import Pairs


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
