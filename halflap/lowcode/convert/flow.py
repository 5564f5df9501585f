"""A place in a flow that is written in Python: its names, and the values and steps that stand there.

Values are constants, templates, and what a step asks for; each step is written by its kind
(`lowcode/kinds`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from types import NoneType, UnionType
from typing import Any, Union, cast, get_args, get_origin

from pydantic import SecretStr, ValidationError

from halflap.errors import ExpressionError
from halflap.lowcode import kinds as doc
from halflap.lowcode.asked import as_text
from halflap.lowcode.convert.context import WrittenModule
from halflap.lowcode.convert.terms import (
    CLOSED,
    INTEGER,
    JSON,
    TEXT,
    Kind,
    Term,
    kind_of,
    literal,
    term_of,
)
from halflap.lowcode.expressions import Expression
from halflap.lowcode.kinds.walk import blocks, every, names_given, templates
from halflap.lowcode.python import call, display, indented, text
from halflap.lowcode.scoping import Scoping, scoping_of
from halflap.lowcode.source import Path, held
from halflap.lowcode.template import expression_at, is_expression, unquoted
from halflap.sdk.duration import duration
from halflap.sdk.fit import fit_input
from halflap.sdk.schema import InputField

_UNITS = {"days": 86400, "hours": 3600, "minutes": 60, "seconds": 1}
_SCALARS = ("text", "integer", "boolean")


@dataclass(frozen=True, slots=True)
class WrittenFlow:
    """The flow that is written.

    answers: it returns something, in some case. read: the names that an expression reads. codes: by
    the path of a code step, what it is called in the module. functions: their definitions, which
    stand before the flow.
    """

    scoping: Scoping = field(default_factory=Scoping)
    answers: bool = False
    read: set[str] = field(default_factory=set[str])
    codes: dict[Path, str] = field(default_factory=dict[Path, str])
    functions: list[str] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True)
class PythonScope:
    """A place of the document, and the names in scope there, each with its Python and its kind.

    taken: the names of Python that are in use around this place, in scope or not.
    """

    module: WrittenModule
    names: Mapping[str, Term] = field(default_factory=dict[str, Term])
    path: Path = ()
    taken: frozenset[str] = frozenset()
    flow: WrittenFlow = field(default_factory=WrittenFlow)

    def at(self, *path: str | int) -> PythonScope:
        """Return the scope of a part of what stands here."""
        return replace(self, path=(*self.path, *path))

    def use(self, name: str) -> str:
        """Import a name of the public API; return what it is called in the module."""
        return self.module.names.use(name)

    # Templates --------------------------------------------------------------------------------

    def evaluated(self, value: str, method: str = "") -> str:
        """Return a call of `expr`, which evaluates an expression as the document does."""
        expression = self._expression(value)
        names = dict.fromkeys(each.path[0] for each in expression.names())
        named = [(name, self.names[name].text) for name in names if name in self.names]
        shown = expression.text
        if "\n" in shown and not re.search(r"[\"'`/]", shown):
            shown = " ".join(shown.split())
        return call(self.use("expr") + (f".{method}" if method else ""), [text(shown)], named)

    def _expression(self, value: str) -> Expression:
        return expression_at(value, self.module.source, self.path).expression

    def term(self, given: Any) -> Term | None:
        """Return a constant or an expression in plain Python; None where only `expr` does the same."""
        if is_expression(given):
            return term_of(self._expression(given).tree, self)
        return literal(unquoted(given), self)

    def value(self, given: Any, *path: str | int, maybe: bool = False) -> str:
        """Return a template as JSON.

        An expression that finds nothing is None; with `maybe` it is `UNSET`, which leaves its member
        out.
        """
        here = self.at(*path)
        if isinstance(given, dict):
            members = cast("dict[Any, Any]", given).items()
            return display((text(name), here.value(v, name, maybe=True)) for name, v in members)
        if isinstance(given, list):
            items = enumerate(cast("list[Any]", given))
            return f"[{', '.join(here.value(each, at) for at, each in items)}]"
        found = here.term(given)
        if found is None or (maybe and found.kind.missing):
            return here.evaluated(given, "maybe" if maybe else "")
        if found.literal or found.kind.base in (*_SCALARS, "json", "secret"):
            return found.text
        return here.evaluated(given, "maybe" if maybe else "")

    def _asked(self, given: Any, path: Path, method: str, *bases: str) -> str:
        """Return a template that has to be of some sort: as it is where it surely is, else by `expr`."""
        here = self.at(*path)
        found = here.term(given)
        if found is not None and found.surely(*bases):
            return found.text
        if is_expression(given):
            return here.evaluated(given, method)
        return call(f"{self.use('expr')}.{method}", ['"value"'], [("value", here.value(given))])

    def truth(self, given: Any, *path: str | int) -> str:
        """Return a condition."""
        return self._asked(given, path, "truth", "boolean")

    def text(self, given: Any, *path: str | int) -> str:
        """Return a text, or a number as one."""
        if not is_expression(given):
            try:
                return text(as_text(unquoted(given), ""))
            except ExpressionError:
                pass  # the step fails when it runs
        return self._asked(given, path, "text", "text")

    def items(self, given: Any, *path: str | int, typed: bool) -> tuple[str, Kind]:
        """Return a list, and the kind of its items: JSON, unless they may be `typed`."""
        if isinstance(given, list):
            return self.value(given, *path), JSON
        found = self.at(*path).term(given)
        if typed and found is not None and found.surely("list"):
            return found.text, found.kind.of
        return self._asked(given, path, "items"), JSON

    def scalar(self, given: Any, *path: str | int) -> str:
        """Return the value that cases are told by."""
        return self._asked(given, path, "scalar", *_SCALARS)

    def status(self, given: Any, *path: str | int) -> str:
        """Return the status of an HTTP answer."""
        if type(given) is int and 200 <= given <= 599:
            return str(given)
        return self._asked(given, path, "status")

    def time(self, given: Any, *path: str | int) -> str:
        """Return how long something takes."""
        if is_expression(given):
            return self._asked(given, path, "duration")
        return self.constant(duration(given))

    def argument(self, wanted: InputField, given: Any, *path: str | int) -> tuple[str, bool]:
        """Return what an input is given, and whether that is of the input's type as it is."""
        here = self.at(*path)
        found = None if isinstance(given, dict | list) else here.term(given)
        if found is None or not _fits(wanted, found):
            return here.value(given, maybe=is_expression(given) and not wanted.required), False
        return found.text, True

    def constant(self, given: Any) -> str:
        """Return a value of Python, written out."""
        match given:
            case timedelta():
                unit = next((name for name, each in _UNITS.items() if _is_whole(given, each)), "")
                if not unit:
                    micros = given // timedelta(microseconds=1)
                    return f"{self.use('timedelta')}(microseconds={micros})"
                return (
                    f"{self.use('timedelta')}({unit}={int(given.total_seconds()) // _UNITS[unit]})"
                )
            case datetime():
                return f"{self.use('datetime')}.fromisoformat({text(given.isoformat())})"
            case date():
                return f"{self.use('date')}({given.year}, {given.month}, {given.day})"
            case list():
                return f"[{', '.join(map(self.constant, cast('list[Any]', given)))}]"
            case tuple():
                items = [self.constant(each) for each in cast("tuple[Any, ...]", given)]
                return f"({', '.join(items)}{',' if len(items) == 1 else ''})"
            case dict():
                members = cast("dict[Any, Any]", given).items()
                return display((self.constant(k), self.constant(v)) for k, v in members)
            case _:
                found = literal(given, self)
                return repr(given) if found is None else found.text

    # Steps ------------------------------------------------------------------------------------

    def free(self, name: str) -> str:
        """Return a name like this one that is not in use here."""
        return self.module.names.free(name, self.taken)

    def target(self, name: str | None) -> str | None:
        """Return the variable of a name that a step gives; None where nothing reads it."""
        return self.names[name].text if name in self.flow.read and name else None

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
            here = self.at(*path, at)
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
        comments = self.module.comments(*self.path)
        return comments + [f"# {each}".rstrip() for each in found]

    def frame(
        self,
        steps: Sequence[doc.StepModel],
        own: Iterable[str],
        copied: Iterable[str] = (),
        items: Mapping[str, Kind] | None = None,
        early: Iterable[object] = (),
    ) -> tuple[PythonScope, list[str]]:
        """Return this place within a frame, and the statements with which the frame begins.

        A frame is the flow's own steps, or those of a loop for each item (`halflap.lowcode.scoping`);
        each of its names has a variable. copied: names of outside that it has copies of. items: names
        that have a value at first. early: templates that are read before the steps.
        """
        sure = first_given(self.module, steps, early)
        kinds = {**result_kinds(self.module, steps, sure), **(items or {})}
        found, taken = dict(self.names), set(self.taken)
        for name in (*(items or ()), *copied, *own):
            made = self.module.names.free(name, taken)
            taken.add(made)
            found[name] = Term(made, kinds.get(name, JSON))
        inner = replace(self, names=found, taken=frozenset(taken))
        begins = beginnings(inner, (each for each in own if each not in sure))
        return inner, copies(self, inner, copied) + begins

    def before(self, outer: PythonScope) -> PythonScope:
        """Return the scope of an item of a loop before its steps: its names are null, or of outside."""
        scoping, names = self.flow.scoping, dict(self.names)
        for each in scoping.own[outer.path]:
            names[each] = Term("None", JSON, literal=True)
        for each in scoping.copied[outer.path]:
            names[each] = outer.names[each]
        return replace(self, names=names)


def flow_body(
    module: WrittenModule, name: str, event: Term, steps: Sequence[doc.StepModel], *, answers: bool
) -> tuple[WrittenFlow, list[str]]:
    """Return a flow and the body of its function."""
    path: Path = ("flows", name, "steps")
    flow = WrittenFlow(scoping_of(steps, path, module.source), answers)
    for place, each in every(steps, path):
        flow.read.update(names_in(module, each))
        if isinstance(each, doc.CodeStepModel):
            flow.codes[place] = module.names.own(each.python_name(name))
    scope = replace(scope_of(module, event, *path), flow=flow)
    scope, begins = scope.frame(steps, flow.scoping.names)
    made = indented(begins) + scope.block(steps)
    if answers and not any(each.ends for each in steps):
        made.append("    return None")
    return flow, made


def beginnings(scope: PythonScope, names: Iterable[str]) -> list[str]:
    """Return the assignments of None to the names of a frame that may be read before they are given.

    A document's names are null until a step gives them something; a variable of Python does not exist
    before.
    """
    return [f"{target} = None" for each in names if (target := scope.target(each)) is not None]


def copies(scope: PythonScope, inner: PythonScope, names: Iterable[str]) -> list[str]:
    """Return the assignments of an item's own copies of variables around the loop."""
    pairs = ((inner.target(each), scope.target(each)) for each in names)
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


def scope_of(module: WrittenModule, event: Term, *path: str | int) -> PythonScope:
    """Return the scope of a flow, with the names that every flow has."""
    flows = {each: module.names.flow(each) for each in module.flows if module.has_url(each)}
    urls = {name: Term(f"ctx.url({each})", TEXT) for name, each in flows.items()}
    secrets = {name: Term(f"ctx.secret({each})", Kind("secret")) for name, each in flows.items()}
    customer = {name: Term(f"ctx.customer.{name}", TEXT) for name in ("id", "name")}
    customer["external_id"] = Term("ctx.customer.external_id", replace(TEXT, null=True))
    instance = {name: Term(f"ctx.instance.{name}", TEXT) for name in ("id", "name")}
    execution = {"id": Term("ctx.execution", TEXT), "attempt": Term("ctx.attempt", INTEGER)}
    config = {
        name: Term(f"ctx.config.{name}", kind_of(each.annotation))
        for name, each in module.config.model_fields.items()
        if name not in module.connections
    }
    names = {
        "config": Term("ctx.config", Kind("record", of=config)),
        "urls": Term("ctx.flow_urls", Kind("record", of=urls)),
        "secrets": Term(_written_out(secrets), Kind("record", of=secrets)),
        "customer": Term("ctx.customer", Kind("record", of=customer)),
        "instance": Term("ctx.instance", Kind("record", of=instance)),
        "execution": Term(_written_out(execution), Kind("record", of=execution)),
        "event": event,
    }
    return PythonScope(module, names, path)


def _written_out(members: Mapping[str, Term]) -> str:
    return display((text(name), each.text) for name, each in members.items())


def _is_whole(given: timedelta, unit: int) -> bool:
    return not given % timedelta(seconds=unit) and (bool(given) or unit == 1)


def _fits(wanted: InputField, found: Term) -> bool:
    """Return whether every value of a term fits an input, and is the same in it."""
    union = get_origin(wanted.annotation) in (Union, UnionType)
    options = get_args(wanted.annotation) if union else (wanted.annotation,)
    if found.literal:
        try:
            fit_input(wanted, found.value)
        except ValidationError:
            return False
        kind = cast(object, type(found.value))
        return Any in options or any((get_origin(each) or each) is kind for each in options)
    if found.kind.missing or (found.kind.null and NoneType not in options and Any not in options):
        return False
    plain = {"text": str, "integer": int, "boolean": bool, "decimal": Decimal, "secret": SecretStr}
    base = found.kind.base
    return plain.get(base) in options or (base in _SCALARS and Any in options)


def names_read(value: Any, module: WrittenModule) -> set[str]:
    """Return the names that the expressions of a template read."""
    return {
        name.path[0]
        for each, _ in held(value)
        if is_expression(each)
        for name in expression_at(each, module.source, ()).expression.names()
    }
