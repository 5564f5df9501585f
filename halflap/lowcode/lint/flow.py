"""Walks the steps of a flow, in the order in which they run, with the names in scope."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from itertools import takewhile
from typing import Any

from halflap.errors import ExpressionError
from halflap.lowcode import kinds as doc
from halflap.lowcode.asked import as_status
from halflap.lowcode.config import ONLY_A_FIELD, field_read
from halflap.lowcode.document import Document, FlowPart, OrderPart, Triggered
from halflap.lowcode.fixes import Mend, closest, instead_of, replaced, rewritten
from halflap.lowcode.kinds.action import AnswersPart
from halflap.lowcode.kinds.step import ResultStepModel
from halflap.lowcode.kinds.walk import blocks, every, referred, templates
from halflap.lowcode.lint import rules
from halflap.lowcode.lint.calls import Calls, takes_secret
from halflap.lowcode.lint.conditions import NONE, Fields, Holds
from halflap.lowcode.lint.examples import (
    AS_SENT,
    TYPES,
    Examples,
    Results,
    answer_of_links,
    is_open,
    or_null,
    unknown_types,
)
from halflap.lowcode.lint.expressions import Reads
from halflap.lowcode.lint.fitting import misfit
from halflap.lowcode.lint.infer import not_chosen
from halflap.lowcode.lint.literal import reads_like
from halflap.lowcode.lint.paths import FORMAT, check_path
from halflap.lowcode.lint.reader import (
    Notes,
    Taken,
    TemplateReader,
    names_given,
    texts,
    times_set,
)
from halflap.lowcode.lint.rules import Findings, suggest
from halflap.lowcode.lint.scope import (
    NULL,
    TEXT,
    Names,
    Schema,
    ScopedName,
    covers,
    either,
    items_of,
    listed,
    missing,
    nullable,
    types_of,
)
from halflap.lowcode.lint.shapes import CallShape
from halflap.lowcode.lint.state import BRANCH, FlowState
from halflap.lowcode.lint.templates import check_many, type_of
from halflap.lowcode.lint.words import words
from halflap.lowcode.scoping import Layered, scoping_of
from halflap.lowcode.source import Path, value_at
from halflap.lowcode.template import is_expression
from halflap.sdk.budget import spend
from halflap.sdk.duration import duration, meant_by, written
from halflap.sdk.order import options_of

ATTEMPT_TIMEOUT = timedelta(minutes=15)
"""The time-out of an attempt of a flow that declares none."""
REQUEST = Layered({name: ScopedName() for name in ("event", "headers", "query")})
IGNORED = "its step may fail, and that is ignored"
TRIED = "its step is in a `try`, which may fail before it"
ERROR: Schema = {
    "type": "object",
    "properties": {
        "message": TEXT,
        "kind": TEXT,
        "step": either(TEXT, NULL),
        "status": either({"type": "integer"}, NULL),
    },
}


def check_trigger(
    flow: Triggered,
    path: Path,
    calls: Calls,
    reader: TemplateReader,
    examples: Examples,
    common: Layered[ScopedName],
) -> Schema | None:
    """Check what starts a flow, and its filter; gives the schema of its events."""
    config = {"config": common["config"]}
    trigger = calls.find("trigger", flow.trigger, (*path, "trigger"))
    own, declared = None if trigger is None else trigger.output, calls.declared
    if declared is not None:
        own = declared.event(flow.trigger, flow.inputs, own)
    event = examples.event(str(path[1]), flow, own)
    request = REQUEST.inner(config)
    if flow.trigger == AS_SENT:
        request["event"] = ScopedName(schema=event)
    reader.template(flow.filter, (*path, "filter"), FlowState(request))
    check_types(flow, path, reader.findings)
    references = {each: field_read(value) for each, value in flow.inputs.items()}
    before = len(reader.findings.found)
    for each, field in references.items():
        place = (*path, "with", each)
        if field is not None:
            reader.template(flow.inputs[each], place, FlowState(Layered(config)))
        if field == "":
            reader.findings.add(rules.UNFIT, place, ONLY_A_FIELD)
    if trigger is None:
        return event
    calls.inputs(flow.trigger, trigger, flow.inputs, (*path, "with"), path)
    if trigger.trigger is not None and trigger.trigger.needs_connection:
        calls.reached(flow.trigger, trigger, path)
    if declared is not None:
        declared.check(flow.trigger, flow.inputs, path, reader.findings)
    if len(reader.findings.found) == before and not any(references.values()):
        calls.verified(flow.trigger, trigger, flow.inputs, path)
    if len(reader.findings.found) == before and flow.trigger == AS_SENT:
        check_ids(flow, path, reader.findings, event)
    return event


def check_ids(flow: Triggered, path: Path, findings: Findings, event: Schema | None) -> None:
    """Check that the events have the fields where the delivery's and the record's id stand."""
    for each, then in (("dedupe", "a duplicate"), ("key", "known by its record")):
        kind, _, at = str(flow.inputs.get(each)).partition(":/")
        names = [name.replace("~1", "/").replace("~0", "~") for name in at.split("/")]
        fields = (*takewhile(lambda name: not name.isdecimal(), names),)
        lacking = missing(event, fields)
        if kind != "body" or lacking is None or not lacking[1]:
            continue
        name, has, _ = lacking
        said = (
            f"by its schema, sample or tests, the event has no {name!r}, so that none is {then}; "
        )
        meant, place = closest(name, has), (*path, "with", each)
        new = "/".join(meant if meant and other == name else other for other in at.split("/"))
        mend = rewritten(findings.source, place, f"body:/{new}") if meant else None
        findings.add(rules.UNSEEN, place, said + suggest(name, has, "it has"), mend=mend)


def check_types(part: Triggered | AnswersPart, path: Path, findings: Findings) -> None:
    """Check the schema by which a document declares a type."""
    for inside in unknown_types(part.declared or {}):
        message = f"JSON has no such type; there are: {', '.join(TYPES)}"
        findings.add(rules.UNFIT, (*path, "schema", *inside), message)
    if part.declared is not None and part.sample is not None:
        message = "a `schema` says all that a `sample` says; leave out the sample"
        findings.add(rules.UNUSED, (*path, "sample"), message, key=True)


def waits_of(flow: FlowPart, path: Path = ()) -> dict[str, list[Path]]:
    """Return the places of a flow's steps that wait, by the name of the signal."""
    found: dict[str, list[Path]] = {}
    for place, step in every(flow.steps, path):
        if isinstance(step, doc.WaitStep):
            found.setdefault(step.wait, []).append(place)
    return found


def _is_above(one: Path, other: Path) -> bool:
    """Return whether a step, or what holds it, stands above another in the same list."""
    first, second = next((a, b) for a, b in zip(one, other, strict=False) if a != b)
    return isinstance(first, int) and isinstance(second, int) and first < second


def always_called(flow: FlowPart) -> Iterator[str]:
    """Yield the flows that a flow calls on each way through it."""
    for step in flow.steps:
        if isinstance(step, doc.CallStep):
            yield step.call
        elif step.ends or any(each.ends for _, each in every([step])):
            return


def always_continues(steps: Sequence[doc.StepModel], path: Path = ()) -> Path | None:
    """Return the place of a `continue_with` to which each way through steps leads, and no answer."""
    for at, step in enumerate(steps):
        place = (*path, at)
        if isinstance(step, doc.ContinueStep):
            return place
        if isinstance(step, doc.IfStep | doc.SwitchStep):
            ways = [always_continues(each, (*place, *inner)) for inner, each, _ in blocks(step)]
            if ways and all(ways):
                return ways[0]
        inside = [each for _, each in every([step])]
        if any(each.ends and not isinstance(each, doc.ContinueStep) for each in inside):
            return None
        if any(isinstance(each, doc.WaitStep) for each in inside):
            return None
    return None


def endless(flows: Mapping[str, FlowPart]) -> frozenset[str]:
    """Return the flows whose calls, on each way through them, never come to an end."""
    called = {name: {*always_called(flow)} & flows.keys() for name, flow in flows.items()}
    callers: dict[str, list[str]] = {}
    for name, others in called.items():
        for each in others:
            callers.setdefault(each, []).append(name)
    ending = [name for name, others in called.items() if not others]
    for name in ending:
        for each in callers.get(name, ()):
            called[each].discard(name)
            if not called[each]:
                ending.append(each)
    return frozenset(flows.keys() - {*ending})


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop that steps stand in, and the variables of outside of which its items have copies."""

    parallel: bool
    copied: tuple[str, ...]


def _taken(schema: Schema | None) -> Taken:
    """Return what an input of a schema takes."""
    if schema is None:
        return "value"
    return "json" if is_open(schema) else "text" if misfit(TEXT, schema) is None else "value"


class FlowLint:
    """Checks one flow. `read` collects the places of the names that are read, `config` its fields."""

    def __init__(
        self,
        document: Document,
        name: str,
        calls: Calls,
        config: set[str],
        results: Results,
        common: Layered[ScopedName],
        notes: Notes | None = None,
    ) -> None:
        self.answers: list[Schema | None] = []
        self._results = results
        self._common = common
        self._document = document
        self._name = name
        self._flow: FlowPart = document.flows[name]
        self._calls = calls
        self._findings = findings = calls.findings
        steps: Path = ("flows", name, "steps")
        given = names_given(self._flow.steps, steps)
        self._scoping = scoping_of(self._flow.steps, steps, findings.source)
        self._reader = TemplateReader(findings, config, given, notes)
        self._watch = self._reader.watch
        self._notes = notes
        self._sets = times_set(self._flow.steps)
        self._given: dict[Path, tuple[str, str]] = {}
        self._loops: list[Loop] = []

    def check(self) -> None:
        """Check the flow's trigger, its filter and its steps."""
        flow, path = self._flow, ("flows", self._name)
        examples = self._results.examples
        event = check_trigger(flow, path, self._calls, self._reader, examples, self._common)
        if flow.pairs is not None:
            self._known("are no pairs", flow.pairs, self._document.pairs, (*path, "pairs"))
        if isinstance(order := flow.order, OrderPart):
            for each in order.model_fields_set - options_of(order.rule) - {"rule"}:
                said = f"`{order.rule}` takes no `{each}`; leave it out"
                self._findings.add(rules.UNUSED, (*path, "order", each), said, key=True)
        for each in self._scoping.clashes:
            self._findings.add(rules.TAKEN, each.path, each.said, key=each.key)
        read = self._watch.fields(flow.filter)  # it has let the event pass, whatever it asks for
        state = FlowState(self._common.inner({"event": ScopedName(schema=event)}))
        state = state.where(Holds(asked=read, read=read), true=True)
        if place := always_continues(flow.steps, (*path, "steps")):
            said = (
                f"each {self._name} comes to this, so it never ends; continue under an `if` that no "
                "longer holds once all is done, or begin a flow by schedule.every"
            )
            self._findings.add(rules.ENDLESS, (*place, "continue_with"), said, key=True)
        if not self.steps(flow.steps, (*path, "steps"), state).ends:
            self.answers.append(NULL)
        unread = [each for each in self._reader.unread if each[0] not in self._reader.read]
        for given, report in unread:  # else it is a word that happens to be a name, too
            report()
            self._reader.read.add(given)
        for place, (name, what) in self._given.items():
            if place not in self._reader.read:
                said = f"nothing reads {what} {name!r}; remove it"
                if name == "name" and what == "the variable":
                    said += self._paired(place)
                self._findings.add(rules.UNUSED, place, said, key=what == "the variable")

    def _paired(self, path: Path) -> str:
        """Return how `{name: total, value: =x}` is written; nothing of other variables."""
        step: Any = value_at(self._findings.source.data, path[:-1])
        if not isinstance(step.get("name"), str) or "value" not in step:
            return ""
        return f", or write the variable's name as the key: {step['name']}: {step['value']}"

    # Steps ------------------------------------------------------------------------------------

    def steps(self, steps: Sequence[doc.StepModel], path: Path, state: FlowState) -> FlowState:
        """Check a list of steps, and go on in `state`, which is given back."""
        told = False
        for at, step in enumerate(steps):
            place = (*path, at)
            spend()
            self._note(place, state)
            if state.ends and not told:
                said = f"this never runs: {state.ends} above it; remove one of the two"
                self._findings.add(rules.UNREACHABLE, place, said)
                told = True
            if misplaced := step.misplaced([each.parallel for each in self._loops]):
                self._findings.add(rules.MISPLACED, place, misplaced)
            self._referred(step, place)
            check = _CHECKS.get(type(step))
            if check is None:
                self.plain(step, place, state)
            else:
                state.ends = check(self, step, place, state) or state.ends
            state.ends = f"`{step.kind}` {step.ends}" if step.ends else state.ends
        self._note((*path, len(steps)), state)
        return state

    def _note(self, path: Path, state: FlowState) -> None:
        if self._notes is not None:
            self._notes.note(path, state.names)

    def plain(self, step: doc.StepModel, path: Path, state: FlowState) -> dict[Path, Schema | None]:
        """Check what a step asks, by the roles of its fields; gives what each gives, by its place."""
        found: dict[Path, Schema | None] = {}
        for inner, value, asks in templates(step):
            place = (*path, *inner)
            takes = "json" if asks.json and asks.sort == "value" else asks.sort
            reads = self._reader.template(value, place, state, takes=takes)
            if asks.sort == "text":
                self._watch.text(str(inner[-1]), reads, state)
            if asks.recorded:
                self._watch.recorded(reads)
            if asks.json:
                check_many(value, place, reads, self._findings)
            given = found[inner] = type_of(value, place, reads)
            if asks.sort in ("time", "status") and reads and given is not None and "const" in given:
                self._constant(asks.sort, given["const"], place)
            if asks.sort == "text":
                self._typed_as("a text", value, place, given)
                if value is None:
                    said = f"`{inner[-1]}` has no text; one that begins with & or * is quoted"
                    self._findings.add(rules.SHAPE, place, said)
        return found

    def _result(
        self,
        step: ResultStepModel,
        path: Path,
        state: FlowState,
        schema: Schema | None = None,
        absent: str = "",
        *,
        declared: bool = False,
    ) -> None:
        if step.id is not None:
            place = (*path, "id")
            absent = absent if schema is None or nullable(schema) else ""
            state.give(step.id, ScopedName(place, schema, absent=absent, declared=declared))
            self._given[place] = (step.id, "the id")

    def action(self, step: doc.ActionStep, path: Path, state: FlowState) -> None:
        """`action`."""
        shape = self._calls.find("action", step.action, (*path, "action"))
        if shape is not None:
            self._calls.inputs(step.action, shape, step.inputs, (*path, "with"), path, state.names)
            self._calls.connection(step.action, shape, step.connection, path)
        self._inputs(step.action, shape, step.inputs, (*path, "with"), state)
        longest = self._flow.timeout or ATTEMPT_TIMEOUT
        if step.timeout is not None and step.timeout >= longest:
            message = (
                f"an attempt of the flow ends after {written(longest)}, so a time-out of "
                f"{written(step.timeout)} is never reached; write a shorter one, or give the flow a "
                "longer `timeout`"
            )
            self._findings.add(rules.MISPLACED, (*path, "timeout"), message)
        if step.answers is not None:
            check_types(step.answers, (*path, "answers"), self._findings)
        given = self._results.examples.answer(step, shape.output if shape else None)
        absent = f"{step.action} may give null"
        if step.on_failure == "ignore":
            given, absent = or_null(given), IGNORED
        elif given is None:
            absent = ""
        self._result(step, path, state, given, absent, declared=True)

    def _inputs(
        self,
        called: str,
        shape: CallShape | None,
        given: Mapping[str, Any],
        path: Path,
        state: FlowState,
    ) -> None:
        known = {each.name: each for each in (shape.inputs if shape else None) or ()}
        for name, value in given.items():
            place = (*path, name)
            takes = _taken(known[name].schema() if name in known else None)
            secrets = takes_secret(shape, name)
            reads = self._reader.template(value, place, state, secrets=secrets, takes=takes)
            self._watch.recorded(reads)
            if name in known:
                wanted = known[name].schema()
                if wanted is not None and wanted.get("format") == FORMAT:
                    check_path(value, given.get("values"), place, reads, self._findings)
                self._calls.fitting(called, known[name], value, place, reads, state.names)
                if wanted is not None:
                    check_many(value, place, reads, self._findings, wanted)
                self._watch.input(called, known[name], value, place, reads, state)

    def branch(self, step: doc.IfStep, path: Path, state: FlowState) -> str:
        """`if`."""
        reads = self._truth(step.condition, (*path, "if"), state)
        self._watch.recorded(reads, step.then, step.otherwise)
        told = self._watch.condition(step.condition)
        ways = [
            self.steps(steps, (*path, key), state.where(told, true=true))
            for key, steps, true in (("then", step.then, True), ("else", step.otherwise, False))
        ]
        return self._join(state, ways, told.read)

    def switch(self, step: doc.SwitchStep, path: Path, state: FlowState) -> str:
        """`switch`."""
        reads = self._reader.template(step.switch, (*path, "switch"), state)
        given = type_of(step.switch, (*path, "switch"), reads)
        self._watch.recorded(reads, *step.cases.values(), step.default or ())
        told = self._watch.chosen(step.switch)
        ways: list[FlowState] = []
        for value, steps in step.cases.items():
            if value == "":
                said = "a case without a value is that of an empty text; what is null goes to `default`"
                self._findings.add(rules.SHAPE, (*path, "cases", value), said, key=True)
            if (wrong := not_chosen(given, value)) is not None:
                mend = replaced(str(value), wrong[1])
                place = (*path, "cases", value)
                self._findings.add(rules.NO_CHOICE, place, wrong[0], key=True, mend=mend)
            way = state.where(told, true=True)
            ways.append(self.steps(steps, (*path, "cases", value), way))
        other = state.where(told, true=False)
        if step.default is not None:
            ways.append(self.steps(step.default, (*path, "default"), other))
        elif given is None or not covers(given, step.cases):
            ways.append(other)
        ends = self._join(state, ways, told.read)
        return "" if step.default is None else ends

    def _join(
        self, state: FlowState, ways: Sequence[FlowState], under: Fields, why: str = BRANCH
    ) -> str:
        """Go on after branches."""
        for place in state.join(ways, under, why):
            self._given.pop(place, None)  # reading its name reads either
        return "every branch ends" if all(each.ends for each in ways) else ""

    def loop(self, step: doc.ForStep, path: Path, state: FlowState) -> None:
        """`for`."""
        items = self._typed(step.items, (*path, "in"), state, recorded=True)
        field = self._watch.field(step.items)
        source = None if field is None else state.names.get(field[0], ScopedName())
        item = ScopedName(
            (*path, "for"),
            items_of(items),
            declared=source is not None and source.declared,
        )
        state.forget(times_set(step.do))
        body = state.inner({step.item: item})
        where = self._truth(step.where, (*path, "where"), body)
        self._watch.recorded(where, step.do)
        self._watch.recorded(self._reader.template(step.key, (*path, "key"), body))
        told = self._watch.condition(step.where)
        self._loops.append(Loop(step.side_by_side, self._scoping.copied[path]))
        body = self.steps(step.do, (*path, "do"), body.where(told, true=True))
        self._loops.pop()
        each = self._typed(step.collect, (*path, "collect"), body, json=True, nested=True)
        if not step.side_by_side:
            state.leave(body, self._watch.fields(step.items) | told.read)
        if each is not None and step.on_failure == "continue":
            each = either(each, {"type": "object", "properties": {"error": ERROR}})
        self._result(step, path, state, None if step.collect is None else listed(each))

    def _typed(
        self,
        value: Any,
        path: Path,
        state: FlowState,
        *,
        recorded: bool = False,
        json: bool = False,
        nested: bool = False,
    ) -> Schema | None:
        """Check a template; gives what it gives, where that is known.

        json: it goes into JSON that others read; nested: what stands in its members does.
        """
        reads = self._reader.template(value, path, state)
        if recorded:
            self._watch.recorded(reads)
        if json:
            check_many(value, path, reads, self._findings, nested=nested)
        return type_of(value, path, reads)

    def _constant(self, sort: str, given: Any, path: Path) -> None:
        """Check a duration, or a status, that an expression gives each time."""
        try:
            duration(given) if sort == "time" else as_status(given, f"`{path[-1]}`")
        except (ValueError, ExpressionError) as error:
            meant = meant_by(given) if sort == "time" else None
            mend = rewritten(self._findings.source, path, meant) if meant else None
            self._findings.add(rules.UNFIT, path, str(error), mend=mend)

    def _typed_as(self, wanted: str, value: Any, path: Path, given: Schema | None) -> None:
        """Find a value that is never a text, or never true or false, where it has to be."""
        known = None if value is None else types_of(given)
        takes = {"string", "number", "integer"} if wanted == "a text" else {"boolean"}
        if not known or known <= {"null"} or known & takes:
            return
        said = f"`{path[-1]}` has to be {wanted}, and this is {words(given)}; "
        text, meant = str(value)[1:] if is_expression(value) else "", ""
        if wanted == "a text":
            said += "write $string(…)" if text else "write a text"
            meant = f"$string({text})" if text else ""
        elif known <= {"number", "integer", "null"}:
            said += "compare it: > 0"
            meant = f"{text} > 0"
        else:
            said += "ask $exists(…)" if "array" in known else "compare it: != null"
        mend = self._findings.expression(path, meant or None)
        self._findings.add(rules.UNFIT, path, said, mend=mend)

    def _truth(self, value: Any, path: Path, state: FlowState) -> Reads:
        """Check a condition."""
        reads = self._reader.template(value, path, state)
        if is_expression(value):
            self._typed_as("true or false", value, path, type_of(value, path, reads))
        return reads

    def attempt(self, step: doc.TryStep, path: Path, state: FlowState) -> str:
        """`try`."""
        start = state.inner()
        tried = self.steps(step.attempt, (*path, "try"), replace(start.inner(), tried=True))
        start.forget(times_set(step.attempt))
        start.join([tried.inner(), start.inner()], NONE, TRIED)
        error = {step.error: ScopedName(schema=ERROR)}
        caught = self.steps(step.catch, (*path, "catch"), start.inner(error))
        caught.names.own.pop(step.error, None)
        return self._join(state, [tried, caught], NONE, TRIED)

    def assign(self, step: doc.SetStep, path: Path, state: FlowState) -> None:
        """`set`."""
        for name, value in step.set.items():
            place = (*path, "set", name)
            once = self._sets[name] == 1  # else nothing is known of it where it is read
            given = self._typed(value, place, state, json=True, nested=once)
            there = state.names.get(name)
            self._watch.assigned(name, value, place, given if once else None, state)
            if there is None or there.path is None:
                self._given[place] = (name, "the variable")
            if self._loops and name in self._loops[-1].copied:
                said = (
                    f"each item sets its own {name!r}, and after the loop it is what it was before; "
                    "gather values by `collect`"
                )
                self._findings.add(rules.LOST, place, said, key=True)

    def code(self, step: doc.CodeStepModel, path: Path, state: FlowState) -> None:
        """`code`."""
        self.plain(step, path, state)
        self._calls.code(step, path)
        self._result(step, path, state, absent=IGNORED if step.on_failure == "ignore" else "")

    def call(self, step: doc.CallStep, path: Path, state: FlowState) -> None:
        """`call`."""
        if len(path) == 4 and step.call in self._results.endless:
            said = (
                f"each {self._name} calls {step.call}, whose calls go round in a circle, so this "
            )
            said += "never ends; put the call under an `if`"
            self._findings.add(rules.ENDLESS, (*path, "call"), said)
        self.plain(step, path, state)
        given = None if step.id is None else self._results.call(step)
        absent = "" if given is None else f"the flow {step.call} may end without an answer"
        absent = IGNORED if step.on_failure == "ignore" else absent
        self._result(step, path, state, given, absent)

    def wait(self, step: doc.WaitStep, path: Path, state: FlowState) -> None:
        """`wait`."""
        self.plain(step, path, state)
        self._signal(step.wait, (*path, "wait"), state.names)
        choices = self._choices.get(step.wait)
        absent = "nobody may answer in time" if step.on_timeout == "continue" else ""
        given = answer_of_links(choices) if choices else None
        self._result(step, path, state, or_null(given) if absent else given, absent)

    @cached_property
    def _waits(self) -> dict[str, list[Path]]:
        """The places of the steps that wait, by the signal's name."""
        return waits_of(self._flow, ("flows", self._name, "steps"))

    def _signal(self, name: str, path: Path, names: Names) -> None:
        """Check that a signal's name is meant as one."""
        source, said = self._findings.source, ""
        mend: Mend | None = None
        with suppress(ValueError):
            duration(name)
            said = (
                f"this waits for a signal that is called {name!r}; for a time, write sleep: {name}"
            )
            key = source.key(path)
            mend = replaced("wait", "sleep", key.line, key.column)
        if not said and (name.startswith("=") or reads_like(name, names) or "{" in name):
            said = "the name of a signal is a fixed text; what it carries is the step's result"
        if said:
            self._findings.add(rules.READS_LIKE_EXPRESSION, path, said, mend=mend)

    @cached_property
    def _choices(self) -> dict[str, list[str]]:
        """The choices of the flow's links, by what waits for them."""
        found: dict[str, dict[str, None]] = {}
        for _, each in every(self._flow.steps):
            if isinstance(each, doc.LinksStep):
                found.setdefault(each.links, {}).update(dict.fromkeys(each.choices))
        return {name: list(choices) for name, choices in found.items()}

    def links(self, step: doc.LinksStep, path: Path, state: FlowState) -> None:
        """`links`."""
        self.plain(step, path, state)
        waited = self._waits.get(step.links)
        place, mend = (*path, "links"), None
        said = f"no step waits for {step.links!r}; write `wait: {step.links}`, where it is needed"
        if waited is None and self._waits:
            said += f"; {suggest(step.links, self._waits, 'the flow waits for')}"
            mend = instead_of(step.links, self._waits)
        elif (
            waited is not None and not self._loops and all(_is_above(each, path) for each in waited)
        ):
            line = self._findings.source.place(waited[-1]).line
            said = f"nothing waits for {step.links!r} after this: move it above the `wait` in line {line}"
        elif waited is not None:
            said = ""
        if said:
            self._findings.add(rules.NO_SIGNAL, place, said, mend=mend)
        self._result(step, path, state, texts(*step.choices))

    def state(self, step: doc.StateStep, path: Path, state: FlowState) -> None:
        """`state`."""
        found = self.plain(step, path, state)
        given = {"get": None, "put": found.get(("value",), NULL), "delete": NULL}[step.state]
        self._result(step, path, state, given)

    def paired(self, step: doc.PairedStep, path: Path, state: FlowState) -> None:
        """`paired`."""
        self.plain(step, path, state)
        self._result(step, path, state, either(TEXT, NULL), "it may be paired with none")

    def _referred(self, part: doc.StepModel, path: Path) -> None:
        """Check the flows and pairs that a step names."""
        for place, name in referred(part, "flow"):
            self._known("is no flow", name, self._document.flows, (*path, *place))
        for place, name in referred(part, "pairs"):
            self._known("are no pairs", name, self._document.pairs, (*path, *place))

    def _known(self, there: str, name: str, known: Collection[str], path: Path) -> None:
        if name not in known:
            self._findings.add_unknown(rules.NO_SUCH, f"there {there}", name, known, path)

    def stop(self, step: doc.StopStep, path: Path, state: FlowState) -> None:
        """`stop`."""
        if isinstance(step.stop, bool):
            self.answers.append(NULL)
        else:
            place = (*path, "stop")
            if len(step.stop.model_fields_set) > 1:
                said = "`stop` takes one of `answer`, `reply` and `ignore`"
                self._findings.add(rules.MISPLACED, place, said)
            if step.stop.reply is not None and not self._is_answered():
                said = (
                    f"the sender never gets this reply: {self._flow.trigger} has answered before; give "
                    "the trigger `answer: result`"
                )
                self._findings.add(rules.NO_ANSWER, (*place, "reply"), said, key=True)
            answer = self.plain(step, path, state).get(("stop", "answer"), NULL)
            given = NULL if step.stop.ignore is not None else answer
            self.answers.append(given if step.stop.reply is None else None)

    def _is_answered(self) -> bool:
        """Return whether the sender may get what the flow returns; no of a trigger that could say so."""
        shape, _ = self._calls.look("trigger", self._flow.trigger)
        known = {each.name for each in (shape.inputs if shape else None) or ()}
        return "answer" not in known or self._flow.inputs.get("answer", "accepted") != "accepted"

    def go_on(self, step: doc.ContinueStep, path: Path, state: FlowState) -> None:
        """`continue_with`."""
        if self._flow.trigger in ("instance.deploy", "instance.teardown"):
            message = (
                "`continue_with` is not for deploy and teardown flows, which run once; `call` another "
                "flow with `wait: false`, and continue there"
            )
            self._findings.add(rules.MISPLACED, path, message)
        self.plain(step, path, state)


_CHECKS: dict[type[doc.StepModel], Callable[[FlowLint, Any, Path, FlowState], str | None]] = {
    doc.ActionStep: FlowLint.action,
    doc.IfStep: FlowLint.branch,
    doc.SwitchStep: FlowLint.switch,
    doc.ForStep: FlowLint.loop,
    doc.TryStep: FlowLint.attempt,
    doc.SetStep: FlowLint.assign,
    doc.CodeStepModel: FlowLint.code,
    doc.CallStep: FlowLint.call,
    doc.WaitStep: FlowLint.wait,
    doc.LinksStep: FlowLint.links,
    doc.StateStep: FlowLint.state,
    doc.PairedStep: FlowLint.paired,
    doc.StopStep: FlowLint.stop,
    doc.ContinueStep: FlowLint.go_on,
}
