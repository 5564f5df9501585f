"""What of a Python source has no YAML: each place, and what to write instead."""

from __future__ import annotations

import ast
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from halflap.errors import DefinitionError
from halflap.lowcode.outline.values import place_of
from halflap.sdk._survey import Module


@dataclass(frozen=True, slots=True, order=True)
class Refusal:
    """One place that cannot be converted: what is wrong with it, and what to write instead."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


class NotYaml(DefinitionError):
    """A source has parts that YAML does not say; `refusals` has each of them with its place."""

    def __init__(self, refusals: list[Refusal]) -> None:
        first = refusals[0]
        more = f" ({len(refusals) - 1} more)" if len(refusals) > 1 else ""
        super().__init__(
            f"{first.message}{more}", where=f"{first.file}:{first.line}:{first.column}"
        )
        self.refusals = refusals


class Refused(Exception):
    """A part cannot be converted; without a message it follows from one that was told already."""

    def __init__(self, node: ast.AST, message: str | None) -> None:
        super().__init__(message)
        self.node = node
        self.message = message


@dataclass(slots=True)
class Refusals:
    """Collects what cannot be converted, so that all of it is told at once."""

    module: Module
    found: list[Refusal] = field(default_factory=list[Refusal])

    @contextmanager
    def collected(self) -> Generator[None]:
        """What is refused within is noted, and what follows is looked at all the same."""
        try:
            yield
        except Refused as refused:
            if refused.message is not None:
                self.add(refused.node, refused.message)
        except RecursionError:
            self.found.append(
                Refusal(self.module.path, 1, 1, "it is nested too deep; write it in steps")
            )

    def add(self, node: ast.AST, message: str) -> None:
        """Note one."""
        place = place_of(node, self.module)
        self.found.append(Refusal(place.file, place.line, place.column, message))
