"""Coverage of a YAML document by its tests: its steps and its branches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from halflap.lowcode import SourceText
from halflap.lowcode.kinds import kind_of
from halflap.lowcode.observer import Runs, Tracer
from halflap.lowcode.source import Path, value_at


class Coverage(Tracer):
    """Counts how often each step and branch of a document runs: hand it to `lowcode.build`."""

    def __init__(self) -> None:
        super().__init__()
        self.tests = 0
        """The number of tests that were run."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A step or a branch: where it stands, how often it ran, and what is said where it never did."""

    path: Path
    kind: str
    line: int
    runs: int
    missed: str

    def within(self, other: Unit) -> bool:
        """Return whether it is a part of another one, or a step that comes after it."""
        above, at = other.path, len(other.path)
        if self.path[:at] == above:
            return True
        comes_after = self.path[: at - 1] == above[:-1] and len(self.path) >= at
        return other.kind == "step" and comes_after and self._at(at) > other._at(at)

    def _at(self, depth: int) -> int:
        place = self.path[depth - 1]
        return place if isinstance(place, int) else -1


@dataclass(frozen=True, slots=True)
class Covered:
    """The coverage of one document, in its order."""

    file: str
    has: int
    """The number of tests that it has."""
    tests: int
    """The number of them that were run."""
    units: tuple[Unit, ...]

    @property
    def ran(self) -> int:
        """The number of its steps and branches that ran."""
        return sum(each.runs > 0 for each in self.units)

    @property
    def percent(self) -> int:
        """The part of it that ran, in per cent; 100 only where all of it did."""
        return self.ran * 100 // max(1, len(self.units))

    @property
    def missed(self) -> Sequence[Unit]:
        """The parts that never ran; of a branch that never did, the branch alone."""
        found: list[Unit] = []
        for each in self.units:
            if each.runs == 0 and not any(each.within(other) for other in found):
                found.append(each)
        return found

    def __add__(self, other: Covered) -> Covered:
        """The same document as two processes ran it."""
        units = zip(self.units, other.units, strict=True)
        added = tuple(replace(one, runs=one.runs + two.runs) for one, two in units)
        return Covered(self.file, self.has, self.tests + other.tests, added)

    def to_json(self) -> dict[str, Any]:
        """As JSON: by path, how often each step and branch ran."""
        return {
            "tests": self.tests,
            "ran": self.ran,
            "of": len(self.units),
            "percent": self.percent,
            "missed": [f"{self.file}:{each.line}: {each.missed}" for each in self.missed],
            "units": [
                {"path": list(each.path), "kind": each.kind, "line": each.line, "runs": each.runs}
                for each in self.units
            ],
        }


def covered(source: SourceText, coverage: Coverage) -> Covered:
    """Return the coverage of a document so far."""
    units = sorted(_units(source, coverage.runs), key=lambda each: _place(source, each.path))
    has = len(source.data.get("tests") or ())
    return Covered(source.file, has, coverage.tests, tuple(units))


def _units(source: SourceText, runs: Runs) -> Iterator[Unit]:
    for path, count in runs.items():
        if path[-1] == "try":  # it runs where its step does
            continue
        kind, missed = _kind(path), _missed(source, path)
        yield Unit(path, kind, source.key(path).line, count, missed)


def _kind(path: Path) -> str:
    last = path[-1]
    if path[0] == "preprocess":
        return "route"
    if len(path) == 3:
        return "flow"
    if path[-2] == "cases":
        return "case"
    return "step" if isinstance(last, int) else str(last)


def _missed(source: SourceText, path: Path) -> str:
    written = path[-1] in value_at(source.data, path[:-1]) or isinstance(path[-1], int)
    match _kind(path):
        case "step":
            return f"{_shown(value_at(source.data, path))} never ran"
        case "flow":
            return f"the flow {path[1]} never ran"
        case "route":
            return "the route was never taken"
        case "case":
            return f"the case {path[-1]} never ran"
        case "do":
            return "the loop's body never ran"
        case "where":
            return "`where` never left an item out"
        case "else" if not written:
            return "the condition was never false"
        case "default" if not written:
            return "no value came that has no case"
        case kind:
            return f"`{kind}` never ran"


def _shown(step: Mapping[str, Any]) -> str:
    """A step as people know it."""
    kind = kind_of(step) or ""
    value = step.get("title") or (f"{kind}: {step[kind]}" if kind in ("action", "call") else kind)
    return f"`{value}`"


def _place(source: SourceText, path: Path) -> tuple[Any, ...]:
    """Where it stands, in the document's order; what is not written comes last in its step."""
    data = source.data
    place: list[int] = []
    for each in path:
        if isinstance(data, dict):
            keys = [*cast("dict[Any, Any]", data)]
            place.append(keys.index(each) if each in keys else len(keys))
            data = cast("dict[Any, Any]", data).get(each)
        else:
            place.append(cast(int, each))
            data = cast("list[Any]", data)[cast(int, each)]
    return tuple(place)
