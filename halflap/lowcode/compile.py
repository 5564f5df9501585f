"""Compiles the steps of a document, once per version, into what `interpret` runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from halflap.errors import DefinitionError
from halflap.lowcode import interpret as do
from halflap.lowcode import steps as doc
from halflap.lowcode.call import Call, Callee, Filled, retry_of
from halflap.lowcode.code import Code, Use, components_of
from halflap.lowcode.code import Place as CodePlace
from halflap.lowcode.coding import Coded, DoCode, code
from halflap.lowcode.decimals import decimals_of
from halflap.lowcode.interpret import Asked, Do, Steps
from halflap.lowcode.observer import Observer
from halflap.lowcode.registry import Components
from halflap.lowcode.scoping import Scoping
from halflap.lowcode.source import Path, Place, Source
from halflap.lowcode.template import template
from halflap.sdk.action import Action
from halflap.sdk.connection import Connection
from halflap.sdk.pairs import Pairs


class Compiler:
    """Compiles the steps of one flow.

    `used` collects the names that its expressions read. `observer` watches them run; without one,
    nothing does.
    """

    def __init__(
        self,
        source: Source,
        components: Components,
        connections: Mapping[str, type[Connection]],
        pairs: Mapping[str, Pairs],
        flows: Iterable[str],
        scoping: Scoping,
        observer: Observer | None = None,
    ) -> None:
        self._source = source
        self._components = components
        self._connections = connections
        self._pairs = pairs
        self._flows = frozenset(flows)
        self._scoping = scoping
        self._observer = observer
        self.used: set[str] = set()
        self._parallel = 0
        self._loops = 0

    def steps(self, steps: Iterable[doc.Step], path: Path) -> Steps:
        """Compile a list of steps that stands at `path`."""
        made = tuple(
            _COMPILED[type(each)](self, each, (*path, at)) for at, each in enumerate(steps)
        )
        return made if self._observer is None else self._observer.steps(path, made)

    # What steps are made of -------------------------------------------------------------------

    def _asked(self, value: Any, path: Path, *key: str | int, what: str | None = None) -> Asked:
        place = (*path, *key)
        fill = template(value, self._source, place, self.used)
        return Asked(fill, self._source.at(place), what or f"`{key[-1] if key else 'value'}`")

    def _maybe(self, value: Any, path: Path, *key: str | int) -> Asked | None:
        return None if value is None else self._asked(value, path, *key)

    def _named(
        self, given: Mapping[str, Any], path: Path, *key: str
    ) -> tuple[tuple[str, Asked], ...]:
        return tuple((name, self._asked(each, path, *key, name)) for name, each in given.items())

    def _refused(self, message: str, path: Path) -> DefinitionError:
        return DefinitionError(message, where=self._source.at(path))

    # By kind ----------------------------------------------------------------------------------

    def action(self, step: doc.ActionStep, path: Path) -> Do:
        """`action`."""
        try:
            action = self._components.action(step.action)
        except DefinitionError as error:
            raise self._refused(error.message, (*path, "action")) from error
        retry = retry_of(step.retry, action.retry)
        made = action.untyped() if step.title is None else action.untyped().titled(step.title)
        made = made if retry is None else made.retried(retry)
        call = Call(
            made,
            tuple(self._inputs(action, step.inputs, path)),
            self._connection(action, step.connection, path),
            made.title,
            self._source.at(path),
            decimals_of(action.shape.output),
        )
        return do.DoAction(call, step.id, step.on_failure == "ignore")

    def _inputs(
        self, action: Action[..., Any], given: Mapping[str, Any], path: Path
    ) -> Iterable[Filled]:
        known = {each.name: each for each in action.shape.inputs}
        for name in given:
            if name not in known:
                has = ", ".join(known) or "none"
                raise self._refused(
                    f"{action.name} has no input {name!r}; its inputs: {has}", (*path, "with", name)
                )
        for name, each in known.items():
            place = (*path, "with", name)
            if name in given:
                fill = template(given[name], self._source, place, self.used)
                yield Filled(each, fill, self._source.at(place))
            elif each.required:
                raise self._refused(f"{action.name} needs the input {name!r}", path)

    def _connection(self, action: Action[..., Any], name: str | None, path: Path) -> str | None:
        wanted = action.shape.connection_type
        if wanted is None:
            if name is not None:
                raise self._refused(
                    f"{action.name} takes no connection; leave it out", (*path, "connection")
                )
            return None
        fitting = [each for each, kind in self._connections.items() if issubclass(kind, wanted)]
        if name is None and len(fitting) == 1:
            return fitting[0]
        if name is not None and name in fitting:
            return name
        if not fitting:
            raise self._refused(
                f"{action.name} needs a connection of {action.component}, and the config has none: "
                f"add `{action.component}: {{connection: {action.component}}}` to it",
                path,
            )
        raise self._refused(
            f"{action.name} needs one of the config's connections: `connection:` is one of "
            f"{', '.join(fitting)}",
            (*path, "connection"),
        )

    def branch(self, step: doc.IfStep, path: Path) -> Do:
        """`if`."""
        return do.DoIf(
            self._asked(step.condition, path, "if"),
            self.steps(step.then, (*path, "then")),
            self.steps(step.otherwise, (*path, "else")),
        )

    def switch(self, step: doc.SwitchStep, path: Path) -> Do:
        """`switch`."""
        cases = {
            do.case_of(value): self.steps(steps, (*path, "cases", value))
            for value, steps in step.cases.items()
        }
        default = self.steps(step.default or (), (*path, "default"))
        return do.DoSwitch(self._asked(step.switch, path, "switch"), cases, default)

    def loop(self, step: doc.ForStep, path: Path) -> Do:
        """`for`."""
        items = self._asked(step.items, path, "in")
        self._loops += 1
        self._parallel += step.parallel is not None
        body = self.steps(step.do, (*path, "do"))
        where, key = self._maybe(step.where, path, "where"), self._maybe(step.key, path, "key")
        if where is not None and self._observer is not None:
            where = self._observer.condition((*path, "where"), where)
        collect = self._maybe(step.collect, path, "collect")
        self._parallel -= step.parallel is not None
        self._loops -= 1
        return do.DoFor(
            step.item,
            items,
            where,
            body,
            self._scoping.own[path],
            step.parallel,
            key,
            step.on_failure == "continue",
            collect,
            step.id,
            step.title or f"for {step.item}",
        )

    def attempt(self, step: doc.TryStep, path: Path) -> Do:
        """`try`."""
        return do.DoTry(
            self.steps(step.attempt, (*path, "try")),
            self.steps(step.catch, (*path, "catch")),
            step.error,
        )

    def assign(self, step: doc.SetStep, path: Path) -> Do:
        """`set`."""
        outward = self._scoping.outward
        return do.DoSet(
            tuple(
                (name, each, outward[*path, "set", name])
                for name, each in self._named(step.set, path, "set")
            )
        )

    def code(self, step: doc.CodeStep, path: Path) -> Do:
        """`code`."""
        inputs = self._named(step.inputs, path, "with")
        place, before = self._source.place((*path, "code")), 0
        if (*path, "code") in self._source.blocks:
            place = Place(place.line + 1, 1)
            line = self._source.line_from(place.line - 1)
            before = len(line) - len(line.lstrip())
        read = Code.parse(
            step.code,
            step.inputs.keys(),
            components_of(step.code, step.inputs),
            CodePlace(self._source.file, place.line, before or place.column - 1),
        )
        recorded = code if step.title is None else code.titled(step.title)
        calls = {each.name: self._callee(each, path) for each in read.uses}
        coded = Coded(read, calls, recorded)
        return DoCode(coded, inputs, step.id, step.on_failure == "ignore")

    def _callee(self, use: Use, path: Path) -> Callee:
        """An action that code calls."""
        try:
            action = self._components.action(use.name)
        except DefinitionError as error:
            where = f"{self._source.file}:{use.line}:{use.column}"
            raise DefinitionError(error.message, where=where) from error
        return Callee(action.untyped(), self._connection(action, None, path))

    def call(self, step: doc.CallStep, path: Path) -> Do:
        """`call`."""
        if step.call not in self._flows:
            raise self._refused(
                f"there is no flow {step.call!r} here; there are: {', '.join(sorted(self._flows))}",
                (*path, "call"),
            )
        event = self._asked(step.event, path, "event")
        return do.DoCall(step.call, event, step.wait, step.on_failure == "ignore", step.id)

    def sleep(self, step: doc.SleepStep, path: Path) -> Do:
        """`sleep`."""
        return do.DoSleep(self._asked(step.sleep, path, "sleep"))

    def wait(self, step: doc.WaitStep, path: Path) -> Do:
        """`wait`."""
        return do.DoWait(step.wait, step.timeout, step.on_timeout == "continue", step.id)

    def links(self, step: doc.LinksStep, path: Path) -> Do:
        """`links`."""
        text = self._asked(step.text, path, "text")
        return do.DoLinks(step.links, tuple(step.choices), text, step.within, step.id)

    def state(self, step: doc.StateStep, path: Path) -> Do:
        """`state`."""
        compares = "expect" in step.model_fields_set
        return do.DoState(
            step.state,
            step.scope,
            self._asked(step.key, path, "key"),
            self._asked(step.value, path, "value"),
            self._asked(step.default, path, "default"),
            self._asked(step.expect, path, "expect") if compares else None,
            step.id,
        )

    def pairing(self, step: doc.PairedStep | doc.PairStep | doc.UnpairStep, path: Path) -> Do:
        """`paired`, `pair` and `unpair`."""
        verb = str(doc.kind_of(step))
        name: str = getattr(step, verb)
        if name not in self._pairs:
            has = ", ".join(self._pairs) or "none"
            raise self._refused(f"there are no pairs {name!r}; there are: {has}", (*path, verb))
        id = step.id if isinstance(step, doc.PairedStep) else None
        return do.DoPairs(verb, self._pairs[name], self._named(step.ids, path, "with"), id)

    def log(self, step: doc.LogStep, path: Path) -> Do:
        """`log`."""
        fields = self._named(step.fields, path, "fields")
        return do.DoLog(self._asked(step.log, path, "log"), step.level, fields)

    def leave(self, step: doc.BreakStep, path: Path) -> Do:
        """`break`."""
        if not self._loops:
            raise self._refused("`break` leaves a loop, and there is none around it", path)
        if self._parallel:
            raise self._refused(
                "`break` cannot stop items that run side by side; leave out `parallel`", path
            )
        return do.DoBreak()

    def stop(self, step: doc.StopStep, path: Path) -> Do:
        """`stop`."""
        if self._parallel:
            raise self._refused(
                "`stop` cannot end the flow while other items run beside this one; leave out "
                "`parallel`, or stop after the loop",
                path,
            )
        if isinstance(step.stop, bool):
            return do.DoStop(None, None, None)
        given, place = step.stop, (*path, "stop")
        if len(given.model_fields_set) > 1:
            raise self._refused("`stop` takes one of `answer`, `reply` and `ignore`", place)
        reply = given.reply
        return do.DoStop(
            self._maybe(given.answer, place, "answer"),
            self._maybe(given.ignore, place, "ignore"),
            None
            if reply is None
            else (
                self._asked(reply.status, place, "reply", "status"),
                self._asked(reply.body, place, "reply", "body") if reply.has_body else None,
                self._named(reply.headers, place, "reply", "headers"),
            ),
        )

    def throw(self, step: doc.ThrowStep, path: Path) -> Do:
        """`throw`."""
        return do.DoThrow(self._asked(step.throw, path, "throw"), step.title or "throw")


_COMPILED: dict[type[doc.Step], Callable[[Compiler, Any, Path], Do]] = {
    doc.ActionStep: Compiler.action,
    doc.IfStep: Compiler.branch,
    doc.SwitchStep: Compiler.switch,
    doc.ForStep: Compiler.loop,
    doc.TryStep: Compiler.attempt,
    doc.SetStep: Compiler.assign,
    doc.CodeStep: Compiler.code,
    doc.CallStep: Compiler.call,
    doc.SleepStep: Compiler.sleep,
    doc.WaitStep: Compiler.wait,
    doc.LinksStep: Compiler.links,
    doc.StateStep: Compiler.state,
    doc.PairedStep: Compiler.pairing,
    doc.PairStep: Compiler.pairing,
    doc.UnpairStep: Compiler.pairing,
    doc.LogStep: Compiler.log,
    doc.BreakStep: Compiler.leave,
    doc.StopStep: Compiler.stop,
    doc.ThrowStep: Compiler.throw,
}
