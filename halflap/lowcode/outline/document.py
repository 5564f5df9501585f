"""The outline of a YAML integration, of the document that was read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from halflap.lowcode import kinds as doc
from halflap.lowcode.code import Code, CodeError, components_of
from halflap.lowcode.document import PreprocessPart, RoutePart
from halflap.lowcode.kinds.code import code_place
from halflap.lowcode.outline import nodes
from halflap.lowcode.outline.calls import Meanings
from halflap.lowcode.outline.known import titled
from halflap.lowcode.outline.nodes import Case, Catch, FlowOutline, Node, Outline, Place
from halflap.lowcode.shape import document_of
from halflap.lowcode.source import Path, Source, read
from halflap.sdk import codec


def outline_document(content: str | bytes, file: str, meanings: Meanings) -> Outline:
    """The outline of a document's text; `meanings` knows the project's own components."""
    return _Document(read(content, file), meanings).outline()


class _Document:
    def __init__(self, source: Source, meanings: Meanings) -> None:
        self._source = source
        self._document = document_of(source)
        self._meanings = meanings
        self._ends = _ends(source)

    def outline(self) -> Outline:
        document = self._document
        flows = [
            FlowOutline(
                name=name,
                title=each.title or titled(name),
                description=each.description,
                trigger=each.trigger,
                place=self._at(("flows", name), key=True),
                steps=self.steps(each.steps, ("flows", name, "steps")),
            )
            for name, each in document.flows.items()
        ]
        return Outline(
            name=document.name,
            title=document.title or document.name.replace("-", " ").capitalize(),
            description=document.description,
            language="yaml",
            file=self._source.file,
            flows=[*flows, *(self._routing(*each) for each in document.preprocess.items())],
        )

    def _routing(self, name: str, part: PreprocessPart) -> FlowOutline:
        path: Path = ("preprocess", name)
        return FlowOutline(
            name=name,
            title=part.title or titled(name),
            description=part.description,
            trigger=part.trigger,
            preprocess=True,
            shared=part.shared,
            place=self._at(path, key=True),
            steps=[self._route(e, (*path, "routes", at)) for at, e in enumerate(part.routes)],
        )

    def _route(self, part: RoutePart, path: Path) -> Node:
        place, condition = self._at(path), None if part.when is None else said(part.when)
        if part.flow is None:
            stop = nodes.StopNode(place=place, how="ignore", text=said(part.ignore))
            if condition is None:
                return stop
            return nodes.IfNode(place=place, condition=condition, then=[stop])
        whose = {"customer": part.customer, "instance": part.instance} | {
            f"config.{name}": each for name, each in part.config.items()
        }
        named = [f"{name} {said(each)}" for name, each in whose.items() if each is not None]
        return nodes.RouteNode(
            place=place, flow=part.flow, condition=condition, whose=" ".join(named) or None
        )

    def steps(self, steps: Iterable[doc.Step], path: Path) -> list[Node]:
        """The nodes of a list of steps that stands at `path`."""
        return [
            _MADE[type(each)](self, each, (*path, at), self._at((*path, at)))
            for at, each in enumerate(steps)
        ]

    def _at(self, path: Path, *, key: bool = False) -> Place:
        start = self._source.key(path) if key else self._source.place(path)
        return Place(
            file=self._source.file,
            line=start.line,
            column=start.column,
            end_line=max(start.line, self._ends.get(path, 0)),
        )

    # By kind ----------------------------------------------------------------------------------

    def action(self, step: doc.ActionStep, path: Path, place: Place) -> Node:
        """`action`."""
        return nodes.ActionNode(
            place=place,
            title=step.title or self._title(step.action),
            id=step.id,
            action=step.action,
            retry=None if step.retry is None else self._raw((*path, "retry")),
            ignores=step.on_failure == "ignore",
        )

    def _title(self, action: str) -> str:
        owner, _, short = action.partition(".")
        found = self._meanings.named(owner, short)
        return titled(short) if found is None else found.title

    def _raw(self, path: Path) -> str:
        """A value as the document writes it."""
        value = self._source.data
        for each in path:
            value = value[each]
        return said(value)

    def branch(self, step: doc.IfStep, path: Path, place: Place) -> Node:
        """`if`."""
        return nodes.IfNode(
            place=place,
            title=step.title,
            condition=said(step.condition),
            then=self.steps(step.then, (*path, "then")),
            otherwise=self.steps(step.otherwise, (*path, "else")),
        )

    def switch(self, step: doc.SwitchStep, path: Path, place: Place) -> Node:
        """`switch`."""
        cases = [
            Case(
                place=self._at((*path, "cases", value), key=True),
                value=said(value),
                steps=self.steps(steps, (*path, "cases", value)),
            )
            for value, steps in step.cases.items()
        ]
        return nodes.SwitchNode(
            place=place,
            title=step.title,
            value=said(step.switch),
            cases=cases,
            default=self.steps(step.default or (), (*path, "default")),
        )

    def loop(self, step: doc.ForStep, path: Path, place: Place) -> Node:
        """`for`."""
        return nodes.ForNode(
            place=place,
            title=step.title,
            id=step.id,
            item=step.item,
            items=said(step.items),
            where=None if step.where is None else said(step.where),
            parallel=step.parallel is not None,
            limit=None if step.parallel is None else str(step.parallel),
            goes_on=step.on_failure == "continue",
            steps=self.steps(step.do, (*path, "do")),
        )

    def attempt(self, step: doc.TryStep, path: Path, place: Place) -> Node:
        """`try`."""
        caught = Catch(
            place=self._at((*path, "catch"), key=True),
            error=step.error,
            steps=self.steps(step.catch, (*path, "catch")),
        )
        return nodes.TryNode(
            place=place,
            title=step.title,
            steps=self.steps(step.attempt, (*path, "try")),
            catches=[caught],
        )

    def assign(self, step: doc.SetStep, _: Path, place: Place) -> Node:
        """`set`."""
        return nodes.SetNode(place=place, title=step.title, names=list(step.set))

    def code(self, step: doc.CodeStep, path: Path, place: Place) -> Node:
        """`code`."""
        at = code_place(self._source, (*path, "code"))
        try:
            code = Code.parse(
                step.code, step.inputs.keys(), components_of(step.code, step.inputs), at
            )
        except CodeError:
            uses: list[Node] = []  # lint says what is wrong with it
        else:
            uses = [
                nodes.ActionNode(
                    place=Place(
                        file=self._source.file,
                        line=each.line,
                        column=each.column,
                        end_line=each.line,
                    ),
                    title=self._title(each.name),
                    action=each.name,
                )
                for each in code.uses
            ]
        return nodes.CodeNode(
            place=place,
            title=step.title or "Code",
            id=step.id,
            name="code",
            steps=uses,
            ignores=step.on_failure == "ignore",
        )

    def call(self, step: doc.CallStep, _: Path, place: Place) -> Node:
        """`call`."""
        return nodes.CallNode(
            place=place,
            title=step.title,
            id=step.id,
            flow=step.call,
            waits=step.wait,
            ignores=step.on_failure == "ignore",
        )

    def sleep(self, step: doc.SleepStep, _: Path, place: Place) -> Node:
        """`sleep`."""
        return nodes.SleepNode(place=place, title=step.title, time=said(step.sleep))

    def wait(self, step: doc.WaitStep, path: Path, place: Place) -> Node:
        """`wait`."""
        timeout = None if step.timeout is None else self._raw((*path, "timeout"))
        return nodes.WaitNode(
            place=place, title=step.title, id=step.id, signal=step.wait, timeout=timeout
        )

    def links(self, step: doc.LinksStep, _: Path, place: Place) -> Node:
        """`links`."""
        return nodes.LinksNode(
            place=place, title=step.title, id=step.id, signal=step.links, choices=step.choices
        )

    def state(self, step: doc.StateStep, _: Path, place: Place) -> Node:
        """`state`."""
        return nodes.StateNode(
            place=place,
            title=step.title,
            id=step.id,
            verb=step.state,
            key=said(step.key),
            scope=step.scope,
        )

    def paired(self, step: doc.PairedStep, _: Path, place: Place) -> Node:
        """`paired`."""
        return nodes.PairsNode(
            place=place, title=step.title, id=step.id, verb="paired", pairs=step.paired
        )

    def pair(self, step: doc.PairStep, _: Path, place: Place) -> Node:
        """`pair`."""
        return nodes.PairsNode(place=place, title=step.title, verb="pair", pairs=step.pair)

    def unpair(self, step: doc.UnpairStep, _: Path, place: Place) -> Node:
        """`unpair`."""
        return nodes.PairsNode(place=place, title=step.title, verb="unpair", pairs=step.unpair)

    def log(self, step: doc.LogStep, _: Path, place: Place) -> Node:
        """`log`."""
        return nodes.LogNode(place=place, title=step.title, level=step.level, text=said(step.log))

    def leave(self, step: doc.BreakStep, _: Path, place: Place) -> Node:
        """`break`."""
        return nodes.LeaveNode(kind="break", place=place, title=step.title)

    def stop(self, step: doc.StopStep, path: Path, place: Place) -> Node:
        """`stop`."""
        given = None if isinstance(step.stop, bool) else step.stop
        how: nodes.Ending = "end"
        text: str | None = None
        if given is not None and given.ignore is not None:
            how, text = "ignore", said(given.ignore)
        elif given is not None and given.reply is not None:
            how, text = "reply", self._raw((*path, "stop", "reply"))
        elif given is not None and given.answer is not None:
            how, text = "answer", said(given.answer)
        return nodes.StopNode(place=place, title=step.title, how=how, text=text)

    def throw(self, step: doc.ThrowStep, _: Path, place: Place) -> Node:
        """`throw`."""
        return nodes.ThrowNode(place=place, title=step.title, text=said(step.throw))


_MADE: Mapping[type[doc.Step], Callable[[_Document, Any, Path, Place], Node]] = {
    doc.ActionStep: _Document.action,
    doc.IfStep: _Document.branch,
    doc.SwitchStep: _Document.switch,
    doc.ForStep: _Document.loop,
    doc.TryStep: _Document.attempt,
    doc.SetStep: _Document.assign,
    doc.CodeStep: _Document.code,
    doc.CallStep: _Document.call,
    doc.SleepStep: _Document.sleep,
    doc.WaitStep: _Document.wait,
    doc.LinksStep: _Document.links,
    doc.StateStep: _Document.state,
    doc.PairedStep: _Document.paired,
    doc.PairStep: _Document.pair,
    doc.UnpairStep: _Document.unpair,
    doc.LogStep: _Document.log,
    doc.BreakStep: _Document.leave,
    doc.StopStep: _Document.stop,
    doc.ThrowStep: _Document.throw,
}


def said(value: Any) -> str:
    """A value of a document as text: a text as it is, all else as JSON."""
    return value if isinstance(value, str) else codec.encode(value).decode()


def _ends(source: Source) -> dict[Path, int]:
    """By path, the last line of a value."""
    ends: dict[Path, int] = {}
    for path, place in source.values.items():
        line = source.ends.get(path, place.line)
        for length in range(len(path), 0, -1):
            if ends.get(path[:length], 0) >= line:
                break
            ends[path[:length]] = line
    return ends
