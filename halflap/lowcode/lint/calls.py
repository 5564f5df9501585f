"""Actions and triggers as a document calls them: their names, inputs, connections and secrets."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Literal, cast

from pydantic import ValidationError

from halflap.errors import DefinitionError
from halflap.lowcode.call import connection_of
from halflap.lowcode.code import Code, CodeError, Use, components_of
from halflap.lowcode.fixes import (
    Mend,
    above,
    closest,
    instead_of,
    member,
    quoted_value,
    replaced,
    rewritten,
)
from halflap.lowcode.kinds.code import CodeStepModel, code_place
from halflap.lowcode.lint import rules
from halflap.lowcode.lint.declared import DeclaredEvents
from halflap.lowcode.lint.expressions import Reads, leaves
from halflap.lowcode.lint.fitting import Misfit
from halflap.lowcode.lint.literal import reads_like
from halflap.lowcode.lint.rules import Findings, suggest
from halflap.lowcode.lint.scope import Names, Schema, choices_of, forms_of, types_of
from halflap.lowcode.lint.shapes import SAMPLES, CallShape, InputShape, Lineage, Shapes
from halflap.lowcode.lint.templates import misfits
from halflap.lowcode.lint.words import words
from halflap.lowcode.source import Path, mapping_of
from halflap.lowcode.template import is_expression, unquoted
from halflap.sdk.conformity import first_fault, unmet
from halflap.sdk.duration import duration
from halflap.sdk.fit import wrong_part
from halflap.sdk.lint import unsigned_id
from halflap.sdk.request import header
from halflap.sdk.signature import Signature, Unsigned

Kind = Literal["action", "trigger"]

_UNITS = {"hours": 3_600, "minutes": 60, "seconds": 1}
"""The units of an interval, with their seconds."""
SURE = frozenset(("email", "ipv4", "ipv6", "uri", "uuid"))
"""The formats of which no input takes a text of another form; one of a time may take many."""


def _count(value: Any, size: int) -> int | None:
    """Return a duration as a number of units, where it is a whole one."""
    try:
        seconds = int(duration(value).total_seconds()) if isinstance(value, str) else 0
    except ValueError:
        return None
    return seconds // size if seconds > 0 and seconds % size == 0 else None


@dataclass(frozen=True, slots=True)
class Connected:
    """A connection of the config: of which component, and its type where that is known."""

    component: str
    type: Lineage | None = None

    def fits(self, wanted: Lineage | None, component: str) -> bool:
        """Return whether it is one that an action of a component can use."""
        if self.type is None or wanted is None:
            return self.component == component
        return wanted[0] in self.type


class Calls:
    """Looks up what a document calls, once by name, and checks what it is given."""

    def __init__(
        self, shapes: Shapes, findings: Findings, connections: Mapping[str, Connected]
    ) -> None:
        self._shapes = shapes
        self.findings = findings
        self._connections = connections

    @property
    def declared(self) -> DeclaredEvents | None:
        """The event types of the team's product, where they are known."""
        return self._shapes.declared

    def look(self, kind: Kind, name: str) -> tuple[CallShape | None, str | None]:
        """The action or trigger of a name, where it is known; or why there is none."""
        owner, dot, short = name.partition(".")
        component = self._shapes.component(owner)
        if component is None:
            return None, self._meant_by(kind, name) or (
                f"there is no component {owner!r}; {suggest(owner, self._shapes.names())}"
            )
        known = component.actions if kind == "action" else component.triggers
        if not dot:
            has = " or ".join(f"{owner}.{each}" for each in islice(known, 3)) or f"{owner}.{kind}"
            return None, f"{name!r} names no {kind}; write {has}"
        if kind == "trigger" and short not in known and short in component.actions:
            return None, (
                f"{name} is an action, which a step calls; a flow begins with a trigger, such as "
                "webhook.request or schedule.cron"
            )
        if short in known or component.open:
            return known.get(short), None
        return None, f"{owner} has no {kind} {short!r}; {suggest(short, known, 'it has')}"

    def _meant_by(self, kind: Kind, name: str) -> str | None:
        """Say which name is meant that is written otherwise, or without its component."""
        dotted = re.sub(r"\s*[/: ]\s*", ".", name)
        if dotted != name and self.look(kind, dotted)[1] is None:
            return f"a component and its {kind} are joined by a dot: write {dotted}"
        if name.isidentifier():
            for owner in self._shapes.names():
                component = self._shapes.component(owner)
                if component is None:
                    continue
                if name in (component.actions if kind == "action" else component.triggers):
                    return f"the {kind} is written with its component: write {owner}.{name}"
        return None

    def find(self, kind: Kind, name: str, path: Path, *, key: bool = False) -> CallShape | None:
        """The action or trigger of a name; what there is none of becomes a finding."""
        owner = name.partition(".")[0]
        absent = self._shapes.component(owner) is None
        if absent and self._meant_by(kind, name) is None:
            self.findings.add_absent(owner, self._shapes.names(), path, key=key)
            return None
        found, said = self.look(kind, name)
        if said is not None:
            written = None if key else re.search(r": write (\S+)$", said)
            mend = self.meant(kind, name)
            if written is not None:
                mend = rewritten(self.findings.source, path, written[1])
            self.findings.add(rules.NO_SUCH, path, said, key=key, mend=mend)
        return found

    def meant(self, kind: Kind, name: str) -> Mend:
        """Mends a name that there is not: the component's, or the other one."""
        owner, _, short = name.partition(".")
        component = self._shapes.component(owner)
        if component is None:
            return instead_of(owner, self._shapes.names())
        return instead_of(short, component.actions if kind == "action" else component.triggers)

    def inputs(
        self,
        name: str,
        shape: CallShape,
        given: Mapping[str, Any],
        path: Path,
        at: Path,
        names: Collection[str] = (),
    ) -> None:
        """Check what is given by name: `path` is where it stands, `at` who calls.

        names: those in scope, of which a text may be one whose `=` is forgotten.
        """
        if shape.inputs is None:
            return
        known = {each.name: each for each in shape.inputs}
        for each in given:
            if each not in known:
                there = suggest(each, known, "its inputs")
                said = f"{name} has no input {each!r}; {there}"
                meant = closest(each, known)
                mend = instead_of(each, known) if meant not in given else None
                if _UNITS.keys() <= known.keys() and each not in ("timezone", "zone", "time_zone"):
                    said, mend = self._interval(name, each, given, (*path, each))
                self.findings.add(rules.INPUTS, (*path, each), said, key=True, mend=mend)
        for each in known.values():
            if each.name in given:
                self._literal(name, each, given[each.name], (*path, each.name), names)
            elif each.required:
                self.findings.add(rules.INPUTS, at, f"{name} needs the input {each.name!r}")
        if shape.alternatives is not None:
            sent = [each for each in given if given[each] is not None]
            sure = [each for each in sent if not is_expression(given[each])]  # others may be null
            fault = unmet(shape.alternatives, sent)
            if fault is not None and fault == unmet(shape.alternatives, sure):
                self.findings.add(rules.INPUTS, at, f"{name} {fault}")

    def _interval(
        self, name: str, key: str, given: Mapping[str, Any], path: Path
    ) -> tuple[str, Mend | None]:
        """Return what is written of an interval in another unit, or as a duration: `days: 1`."""
        value, unit = given[key], key.removesuffix("s").lower()
        said = f"{name} has no input {key!r}; its inputs are hours, minutes, seconds"
        if unit in ("month", "year"):
            shown = "0 0 1 * *" if unit == "month" else "0 0 1 1 *"
            return f"{said}; write `trigger: schedule.cron`, `with: {{expression: {shown}}}`", None
        number = isinstance(value, int) and not isinstance(value, bool)
        if number and unit in ("interval", "every", "period", "frequency", "rate"):
            return f"{said}: say which, as in `minutes: {value}`", None
        try:
            seconds = int(duration(f"{value} {unit}" if number else value).total_seconds())
        except ValueError:
            return said, None
        meant = next(each for each, size in _UNITS.items() if seconds % size == 0)
        new = f"{meant}: {seconds // _UNITS[meant]}"
        if meant in given or seconds < 1:
            return said, None
        said += f"; write {new}"
        if unit == "week":
            said += ", or `trigger: schedule.cron` for a day of the week: `0 6 * * 1`"
        return said, member(self.findings.source, path, lambda _: new)

    def _literal(
        self, name: str, input: InputShape, value: Any, path: Path, names: Collection[str]
    ) -> None:
        if not _is_literal(value):
            return
        if input.secret and isinstance(value, str) and value:
            said = f"{name}: the input {input.name} is a secret in plain text; read it from secrets"
            self.findings.add(rules.PLAIN_SECRET, path, said)
            return
        if input.type is None:  # `fitting` goes by its schema, which leaves null out
            if value is None and input.accepts and "null" not in input.accepts:
                takes = words(input.schema()) or "something else"
                text = f"{name}: the input {input.name} is {takes}, and this gives null"
                self.findings.add(rules.UNFIT, path, text)
            format = (input.schema() or {}).get("format")
            wrong = first_fault(_plain(value), {"format": format}) if format in SURE else None
            if wrong is not None:
                text = f"{name}: the input {input.name} does not fit: {wrong}"
                self.findings.add(rules.UNFIT, path, text)
            return
        value = _plain(value)
        try:
            input.type.adapter.validate_python(value)
        except ValidationError as error:
            inner, message = wrong_part(error, value)
            shown = ".".join(map(str, (input.name, *inner)))
            mend = quoted_value if "; quote it" in message else self._chosen(error, value, path)
            if input.name in _UNITS and (count := _count(value, _UNITS[input.name])) is not None:
                message += f"; write {count}"
                mend = rewritten(self.findings.source, path, str(count), raw=True)
            if isinstance(value, str) and value in names:
                message += f"; for the value, write ={value}"
                mend = self.findings.expression(path, value)
            text = f"{name}: the input {shown} does not fit: {message}"
            self.findings.add(rules.UNFIT, (*path, *inner), text, mend=mend)
        except (ValueError, TypeError) as error:  # a validator of the component's own
            self.findings.add(
                rules.UNFIT, path, f"{name}: the input {input.name} does not fit: {error}"
            )

    def _chosen(self, error: ValidationError, value: Any, path: Path) -> Mend | None:
        """Return what mends a value that is none of a few."""
        for each in error.errors(include_url=False, include_input=False):
            if each["type"] in ("literal_error", "enum") and isinstance(value, str):
                known = re.findall(r"'([^']*)'", str(each.get("ctx", {}).get("expected")))
                meant = closest(value, known)
                return None if meant is None else rewritten(self.findings.source, path, meant)
        return None

    def fitting(
        self, name: str, input: InputShape, value: Any, path: Path, reads: Reads, names: Names
    ) -> None:
        """Check that what an input is given can fit it, where `inputs` has not."""
        wanted = input.schema()
        if wanted is None or (input.type is not None and _is_literal(value)):
            return
        for wrong in misfits(value, path, wanted, reads, names):
            found = wrong.misfit
            if wrong.path == path and self._takes(input, found):
                continue
            inside = [*map(str, wrong.path[len(path) :]), *map(str, found.path)]
            message = f"{name}: {_misfitting('.'.join([input.name, *inside]), found)}"
            mend = quoted_value if wrong.at is None and message.endswith(_QUOTE) else None
            if wrong.at is None and message.endswith("; use $string()") and wrong.path == path:
                mend = self.findings.expression(path, f"$string({str(value)[1:]})")
            self.findings.add(rules.UNFIT, wrong.path, message, at=wrong.at, mend=mend)

    def _takes(self, input: InputShape, found: Misfit) -> bool:
        """Return whether an input takes such a value all the same: its type may say more than its
        schema.
        """
        if found.path or found.lacks or found.bound:
            return False
        return any(map(input.takes, samples(found.given)))

    def connection(self, name: str, shape: CallShape, given: str | None, path: Path) -> None:
        """Check the connection that an action uses."""
        wanted = shape.connection
        place = (*path, "connection")
        if given is not None and given not in self._connections:
            owned = [key for key, each in self._connections.items() if each.component == given]
            if owned:
                said = f"a connection is named as the config names it; did you mean {owned[0]}?"
                mend = rewritten(self.findings.source, place, owned[0])
                self.findings.add(rules.CONNECTION, place, said, mend=mend)
                return
            there = suggest(given, self._connections, "its connections")
            said = f"the config has no connection {given!r}; {there}"
            self.findings.add(
                rules.CONNECTION, place, said, mend=instead_of(given, self._connections)
            )
            return
        owner, known = name.partition(".")[0], self._connections.items()
        if wanted is None and given is None:
            return  # whether the action takes one is not known
        fitting = None if wanted is False else [n for n, one in known if one.fits(wanted, owner)]
        if said := connection_of(name, given, fitting)[1]:
            mend = self._connected(owner) if given is None and not fitting else None
            at = path if given is None else place
            self.findings.add(rules.CONNECTION, at, said, mend=mend)

    def _connected(self, owner: str) -> Mend | None:
        """Add a connection of a component to the config: beside another one, or with the first page."""
        source = self.findings.source
        pages = mapping_of(source.data.get("config"))
        if any(owner in mapping_of(page) for page in pages.values()):
            return None
        written = f"{owner}: {{connection: {owner}}}"
        if first := mapping_of(pages.get("Connect")):
            return above(source, ("config", "Connect", next(iter(first))), written)
        if "Connect" in pages:
            place = source.place(("config", "Connect"))
            return replaced("{}", f"{{{written}}}", place.line, place.column)
        for page, fields in pages.items():
            for name, field in mapping_of(fields).items():
                if "connection" in mapping_of(field):
                    return above(source, ("config", page, name), written)
        if pages:
            return above(source, ("config", next(iter(pages))), f"Connect:\n  {written}")
        if "config" in source.data:
            return None
        return above(source, ("flows",), f"config:\n  Connect:\n    {written}")

    def code(self, step: CodeStepModel, path: Path) -> None:
        """Check a code step: its Python, and the actions that it calls."""
        components = components_of(step.code, step.inputs)
        place = code_place(self.findings.source, (*path, "code"))
        try:
            code = Code.parse(step.code, step.inputs.keys(), components, place)
        except CodeError as error:
            for each in error.problems:
                self.findings.add_at(rules.CODE, each.line, each.column, each.message)
            return
        if step.id is not None and not re.search(r"\b(return|raise)\b", step.code):
            said = f"this code returns nothing, so {step.id!r} is always null; end it by `return …`"
            self.findings.add(rules.CODE, (*path, "code"), said)
        for name in sorted(step.inputs.keys() - code.names):
            said = f"the code does not read its input {name!r}; remove it"
            self.findings.add(rules.UNUSED, (*path, "with", name), said, key=True)
        for use in code.uses:
            self._use(use, path)

    def _use(self, use: Use, path: Path) -> None:
        name, add = use.name, partial(self.findings.add_at, line=use.line, column=use.column)
        shape, said = self.look("action", name)
        if said is not None:
            add(rules.NO_SUCH, message=said, mend=self.meant("action", name))
        if shape is not None:
            self.connection(name, shape, None, path)
        if shape is None or shape.inputs is None:
            return
        inputs = [each.name for each in shape.inputs]
        for each in use.keywords:
            if each not in inputs:
                message = f"{name} has no input {each!r}; {suggest(each, inputs, 'its inputs')}"
                add(rules.INPUTS, message=message, mend=instead_of(each, inputs))
        given = {*use.keywords, *inputs[: use.positional]}
        lacking = [each.name for each in shape.inputs if each.required and each.name not in given]
        if lacking and not use.spread:
            add(rules.INPUTS, message=f"{name} needs the input {lacking[0]!r}")

    def reached(self, name: str, shape: CallShape, path: Path) -> None:
        """Check that the config has the connection by which a trigger calls its app."""
        owner, known = name.partition(".")[0], self._connections.items()
        fitting = [each for each, one in known if one.fits(shape.connection or None, owner)]
        if not fitting:
            said = connection_of(name, None, fitting)[1]
            self.findings.add(
                rules.CONNECTION, (*path, "trigger"), said, mend=self._connected(owner)
            )

    def verified(self, name: str, shape: CallShape, given: Mapping[str, Any], path: Path) -> None:
        """Check that a trigger verifies who sends its events."""
        if shape.trigger is None:
            return
        try:
            declared = shape.trigger.declaration(shape.trigger.bind(given))
        except (DefinitionError, ValueError, TypeError) as error:
            text = error.message if isinstance(error, DefinitionError) else str(error)
            named = [each for each, value in given.items() if repr(value) in text]
            place = (*path, "with", *named[:1])
            if named and (read := reads_like(str(given[named[0]]), ("config",))):
                text = f"{given[named[0]]!r} is a text, and no value; write ={read}"
            meant = re.search(r"(?:; write|did you mean) (.+?)\??$", text)
            mend = rewritten(self.findings.source, place, meant[1]) if meant and named else None
            self.findings.add(rules.UNFIT, place, text, mend=mend)
            return
        if declared.subscribes and "subscribe" in shape.trigger.hooks:
            self.reached(name, shape, path)
        has_no_url = declared.ticks or declared.lifecycle or declared.app_events is not None
        if has_no_url or not declared.methods:
            return
        signed = declared.verify.id_header if isinstance(declared.verify, Signature) else ""
        if (
            signed
            and isinstance(declared.dedupe, header)
            and declared.dedupe.name.lower() != signed
        ):
            said = unsigned_id(signed, declared.dedupe.name)
            self.findings.add(rules.UNSIGNED_ID, (*path, "with", "dedupe"), said)
        elif signed and declared.dedupe is None:
            said = (
                "the signature covers the delivery's id, and deliveries that come again start the "
            )
            said += f"flow again; write `dedupe: header:{signed}`"
            self.findings.add(rules.NO_DEDUPE, (*path, "trigger"), said)
        signs = any(each.name == "signature" for each in shape.inputs or ())
        if declared.verify is None or (isinstance(declared.verify, Unsigned) and signs):
            said = f"{name} verifies nothing, so whoever learns its URL can forge events"
            hint = "; give it `with: {signature: …}`" if signs else ""
            self.findings.add(rules.UNVERIFIED, (*path, "trigger"), said + hint)


_QUOTE = "; quote it"


def _misfitting(input: str, found: Misfit) -> str:
    """Return what does not fit, in words."""
    gives = words(found.given) or "something else"
    if found.lacks:
        return f"the input {input} needs the field {found.lacks!r}, and this gives {gives}"
    if found.bound:
        return f"the input {input} does not fit: {found.bound}"
    takes = words(found.wanted) or "something else"
    given, wanted = types_of(found.given) or frozenset(), types_of(found.wanted) or frozenset()
    hint = ""
    if wanted <= {"string", "null"} and given <= {"number", "integer", "boolean"}:
        hint = _QUOTE if found.written else "; use $string()"
    elif "array" in given and "array" not in wanted:
        hint = "; take one of it, [0], or what the list is made into"
    return f"the input {input} is {takes}, and this gives {gives}{hint}"


def samples(schema: Schema) -> Iterator[Any]:
    """Values of a type, where any will do to see whether it is taken."""
    for form in forms_of(schema):
        yield from choices_of(form) or SAMPLES.get(form.get("type", ""), [])


def takes_secret(shape: CallShape | None, name: str) -> bool:
    """Return whether an input may be given a secret; yes where its type is not known."""
    if shape is None or shape.inputs is None:
        return True
    found = next((each for each in shape.inputs if each.name == name), None)
    return found is None or found.secret


def _is_literal(value: Any) -> bool:
    return not any(is_expression(each) for each, _ in leaves(value))


def _plain(value: Any) -> Any:
    """A literal as it is handed on: `==text` is the text `=text`."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list):
        return [_plain(each) for each in cast("list[Any]", value)]
    return unquoted(value)
