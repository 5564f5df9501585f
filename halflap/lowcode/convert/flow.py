"""Writes the steps of a flow as statements of Python, each by its kind (`lowcode/kinds`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from halflap.lowcode import kinds as doc
from halflap.lowcode.convert.context import WrittenModule
from halflap.lowcode.convert.terms import CLOSED, JSON, Kind, Term, kind_of
from halflap.lowcode.convert.values import PythonScope, names_read, scope_of
from halflap.lowcode.kinds.walk import blocks, every, names_given, templates
from halflap.lowcode.python import indented, text
from halflap.lowcode.scoping import Scoping, scoping_of
from halflap.lowcode.source import Path


@dataclass(frozen=True, slots=True)
class WrittenFlow:
    """The flow that is written.

    answers: it returns something, in some case. read: the names that an expression reads. codes: by
    the path of a code step, what it is called in the module. functions: their definitions, which
    stand before the flow.
    """

    module: WrittenModule
    scoping: Scoping
    answers: bool
    read: set[str] = field(default_factory=set[str])
    codes: dict[Path, str] = field(default_factory=dict[Path, str])
    functions: list[str] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True)
class PythonSpot:
    """The place of a step in a flow, and the names in scope there."""

    flow: WrittenFlow
    scope: PythonScope

    @property
    def module(self) -> WrittenModule:
        """The module that is written."""
        return self.flow.module

    def use(self, name: str) -> str:
        """Import a name of the public API."""
        return self.scope.use(name)

    def free(self, name: str) -> str:
        """Return a name like this one that is not in use here."""
        return self.module.names.free(name, self.scope.taken)

    def target(self, name: str | None) -> str | None:
        """Return the variable of a name that a step gives; None where nothing reads it."""
        return self.scope.names[name].text if name in self.flow.read and name else None

    def assigned(self, name: str | None, value: str) -> list[str]:
        """Return a statement with this value, which a name stands for afterwards."""
        target = self.target(name)
        if target is not None:
            return [f"{target} = {value}"]
        return [value] if "(" in value else []

    def attempted(self, id: str | None, called: str, what: str, on_failure: str) -> list[str]:
        """Return a call; one whose failure is logged and passed by where the step ignores it."""
        made = self.assigned(id, called)
        if on_failure != "ignore":
            return made
        target = self.target(id)
        caught = [self.warned(f"{what} failed, and is ignored: ")]
        caught += [] if target is None else [f"{target} = None"]
        head = f"except {self.use('FAILURES')} as failure:"
        return ["try:", *indented(made), head, *indented(caught)]

    def warned(self, message: str) -> str:
        """Return the log line of a failure that a flow passes by."""
        shown = text(message.replace("{", "{{").replace("}", "}}"))
        return f"ctx.log.warning(f{shown[:-1]}{{failure}}{shown[0]})"

    def failures(self) -> str:
        """Return what is caught of a step that fails for good."""
        return f"(*{self.use('FAILURES')}, {self.use('ExpressionError')})"

    def block(
        self, steps: Iterable[doc.StepModel], *path: str | int, empty: bool = True
    ) -> list[str]:
        """Return a list of steps as a block of Python."""
        return indented(self.statements(steps, *path, empty=empty))

    def statements(
        self, steps: Iterable[doc.StepModel], *path: str | int, empty: bool = True
    ) -> list[str]:
        """Return the statements of a list of steps; after one that ends the flow, nothing is reached."""
        made: list[str] = []
        for at, each in enumerate(steps):
            here = replace(self, scope=self.scope.at(*path, at))
            made += here.remarks(each) + each.python(here)
            if each.ends:
                break
        if empty and not any(line and not line.startswith("#") for line in made):
            made.append("pass")
        return made

    def remarks(self, step: doc.StepModel) -> list[str]:
        """Return a step's comments, its note and, where its Python has no place for it, its title."""
        found = [] if step.note is None else step.note.strip().splitlines()
        if step.title and not isinstance(step, doc.ActionStep | doc.CodeStepModel | doc.ThrowStep):
            found.append(" ".join(step.title.split()))
        comments = self.module.comments(*self.scope.path)
        return comments + [f"# {each}".rstrip() for each in found]

    def frame(
        self,
        steps: Sequence[doc.StepModel],
        own: Iterable[str],
        copied: Iterable[str] = (),
        items: Mapping[str, Kind] | None = None,
        early: Iterable[object] = (),
    ) -> tuple[PythonSpot, list[str]]:
        """Return this place within a frame, and the statements with which the frame begins.

        A frame is the flow's own steps, or those of a loop for each item (`halflap.lowcode.scoping`);
        each of its names has a variable. copied: names of outside that it has copies of. items: names
        that have a value at first. early: templates that are read before the steps.
        """
        sure = first_given(self.module, steps, early)
        kinds = {**result_kinds(self.module, steps, sure), **(items or {})}
        found, taken = dict(self.scope.names), set(self.scope.taken)
        for name in (*(items or ()), *copied, *own):
            made = self.module.names.free(name, taken)
            taken.add(made)
            found[name] = Term(made, kinds.get(name, JSON))
        scope = replace(self.scope, names=found, taken=frozenset(taken))
        spot = replace(self, scope=scope)
        begins = beginnings(spot, (each for each in own if each not in sure))
        return spot, copies(self, spot, copied) + begins

    def before(self, outer: PythonSpot) -> PythonScope:
        """Return the scope of an item of a loop before its steps: its names are null, or of outside."""
        scoping, names = self.flow.scoping, dict(self.scope.names)
        for each in scoping.own[outer.scope.path]:
            names[each] = Term("None", JSON, literal=True)
        for each in scoping.copied[outer.scope.path]:
            names[each] = outer.scope.names[each]
        return replace(self.scope, names=names)


def flow_body(
    module: WrittenModule, name: str, event: Term, steps: Sequence[doc.StepModel], *, answers: bool
) -> tuple[WrittenFlow, list[str]]:
    """Return a flow and the body of its function."""
    path: Path = ("flows", name, "steps")
    flow = WrittenFlow(module, scoping_of(steps, path, module.source), answers)
    for place, each in every(steps, path):
        flow.read.update(names_in(module, each))
        if isinstance(each, doc.CodeStepModel):
            flow.codes[place] = module.names.own(each.python_name(name))
    spot = PythonSpot(flow, scope_of(module, event, *path))
    spot, begins = spot.frame(steps, flow.scoping.names)
    made = indented(begins) + spot.block(steps)
    if answers and not any(each.ends for each in steps):
        made.append("    return None")
    return flow, made


def beginnings(spot: PythonSpot, names: Iterable[str]) -> list[str]:
    """Return the assignments of None to the names of a frame that may be read before they are given.

    A document's names are null until a step gives them something; a variable of Python does not exist
    before.
    """
    return [f"{target} = None" for each in names if (target := spot.target(each)) is not None]


def copies(spot: PythonSpot, inner: PythonSpot, names: Iterable[str]) -> list[str]:
    """Return the assignments of an item's own copies of variables around the loop."""
    pairs = ((inner.target(each), spot.target(each)) for each in names)
    return [f"{own} = {outer}" for own, outer in pairs if own is not None]


def first_given(
    module: WrittenModule, steps: Iterable[doc.StepModel], early: Iterable[object] = ()
) -> dict[str, doc.StepModel]:
    """Return the names that a step of a list itself gives before anything reads them, and a `catch`'s."""
    read, found = {name for each in early for name in names_read(each, module)}, dict[str, Any]()
    errors, others = dict[str, Any](), set[str]()
    for step in steps:
        for _, each in every([step]):
            read |= names_in(module, each)
        for each in in_frame([step]):
            for _, name, gives in names_given(each):
                if gives.what == "error":
                    errors[name] = each
                elif gives.what != "item":
                    others.add(name)
                    if each is step and name not in read:
                        found[name] = each
    return found | {name: each for name, each in errors.items() if name not in others}


def names_in(module: WrittenModule, step: doc.StepModel) -> set[str]:
    """Return the names that the expressions of a step read, without those of the steps in it."""
    return {name for _, each, _ in templates(step) for name in names_read(each, module)}


def in_frame(steps: Iterable[doc.StepModel]) -> Iterator[doc.StepModel]:
    """Yield steps and those in them that give names to the same frame."""
    for step in steps:
        yield step
        for _, inner, role in blocks(step):
            if not role.each:
                yield from in_frame(inner)


def result_kinds(
    module: WrittenModule, steps: Iterable[doc.StepModel], sure: Mapping[str, doc.StepModel]
) -> dict[str, Kind]:
    """Return the kinds of the names of a frame that actions give; all others hold JSON."""
    found: dict[str, Kind] = {}
    for each in in_frame(steps):
        if isinstance(each, doc.ActionStep) and each.id is not None:
            kind = kind_of(module.components.action(each.action).shape.output)
            known = sure.get(each.id) is each and each.on_failure == "fail"
            found[each.id] = kind if known and kind.base == "model" else CLOSED
    return found
