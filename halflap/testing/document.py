"""Tests that stand in a YAML document: each is run as a Python test would be, and reports its place."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from halflap import lowcode
from halflap.errors import DefinitionError, UpstreamError
from halflap.lowcode import Components, Source
from halflap.lowcode.document import Document, TestPart
from halflap.sdk import codec
from halflap.sdk.component import Component
from halflap.sdk.integration import Integration
from halflap.sdk.routing import Route
from halflap.sdk.schema import UNSET
from halflap.testing.coverage import Coverage
from halflap.testing.result import Result
from halflap.testing.runner import Run
from halflap.testing.stub import in_turn

CALLS = ("action", "call", "start")


class Differs(AssertionError):
    """What happened is not what the test expects; the message says where and how."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A document with its integration, the components that it names, and what was run of it."""

    source: Source
    document: Document
    integration: Integration[Any]
    components: Components
    coverage: Coverage


def open_document(path: Path, name: str | None = None, *, content: bytes | None = None) -> Opened:
    """Open a document for its tests; components beside it (`acme.py`) are its own.

    content: its text, where that is not what the file holds.
    """
    text = path.read_bytes() if content is None else content
    source = lowcode.read(text, name or path.name)
    components = Components(beside(path.parent))
    document, coverage = lowcode.document_of(source), Coverage()
    integration = lowcode.build(source, components, coverage)
    return Opened(source, document, integration, components, coverage)


def beside(folder: Path) -> Callable[[str], Component | None]:
    """Finds the component that a module of a folder defines, as the project's own."""

    def find(name: str) -> Component | None:
        if not (folder / f"{name}.py").is_file() and not (folder / name / "__init__.py").is_file():
            return None
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
        found: Any = getattr(importlib.import_module(name), "component", None)
        return found if isinstance(found, Component) else None

    return find


async def run_test(opened: Opened, at: int) -> Result:
    """Run a test of a document, and compare; `Differs` says what is otherwise."""
    result = await play(opened, at)
    compare(opened.source, at, opened.document.tests[at], result)
    return result


async def play(opened: Opened, at: int) -> Result:
    """Run a test of a document, whatever comes of it."""
    test = opened.document.tests[at]
    where = opened.source.where(("tests", at))
    flow = opened.integration.flows.get(test.flow)
    if flow is None:
        has = ", ".join(opened.integration.flows)
        raise Differs(f"{where}: there is no flow {test.flow!r}; there are: {has}")
    for name in test.paired:
        if name not in opened.integration.paired:
            raise Differs(f"{where}: there are no pairs {name!r}")
    opened.coverage.tests += 1
    return await Run()(
        flow,
        test.event,
        headers=test.headers,
        config=test.config,
        state=test.state,
        stubs={_stubbed(opened, at, name): _answer(each) for name, each in test.stubs.items()},
        paired={opened.integration.paired[name]: each for name, each in test.paired.items()},
        current=test.current,
        signals={name: _answer(each) for name, each in test.signals.items()},
        integration=opened.integration,
    )


def _stubbed(opened: Opened, at: int, name: str) -> Any:
    """The action, or the flow, that a stub stands for."""
    if name in opened.integration.flows:
        return opened.integration.flows[name]
    try:
        return opened.components.action(name)
    except DefinitionError as error:
        where = opened.source.where(("tests", at, "stubs", name))
        raise Differs(f"{where}: {error.message}") from None


def _answer(stub: Any) -> Any:
    """A stub's answer: a value, answers in turn, or an error of the app."""
    if isinstance(stub, dict):
        given = cast("dict[str, Any]", stub)
        if "$sequence" in given:
            return in_turn(*map(_answer, given["$sequence"]))
        if "$error" in given:
            return UpstreamError(str(given["$error"]), status=given.get("status"))
    return cast(Any, stub)


def compare(source: Source, at: int, test: TestPart, result: Result) -> None:
    """Compare what happened with what a test expects."""
    path = ("tests", at)
    if test.expect is not None:
        _compare_calls(source, at, test.expect, result)
    if result.state != test.outcome or (test.reason or "") not in result.reason:
        wanted = test.outcome + (f", because of {test.reason!r}" if test.reason else "")
        came = result.state + (f": {result.reason}" if result.reason else "")
        raise Differs(
            f"{source.where((*path, 'outcome'))}: it has to end as {wanted}, and is {came}"
        )
    if "answer" in test.model_fields_set and result.result != test.answer:
        raise Differs(
            f"{source.where((*path, 'answer'))}: it has to answer {shown(test.answer)}, and "
            f"answers {shown(result.result)}"
        )


def calls_in(result: Result) -> list[tuple[str, Any]]:
    """The actions and flows that were called, in order, each with what it was given."""
    return [
        (each.name, given(each.path, codec.decode(each.inputs or b"null")))
        for each in result.records
        if each.kind in CALLS
    ]


def given(path: str, inputs: Any) -> Any:
    """What a call was given; of a route, whose event it is and which, as the document writes it."""
    if "route(" not in path:
        return inputs
    route = Route.of(inputs)
    told = {"customer": route.customer, "config": route.config, "instance": route.instance}
    event = {} if route.event is UNSET else {"event": route.event}
    return {**{name: each for name, each in told.items() if each}, **event}


def _compare_calls(
    source: Source, at: int, expected: list[dict[str, dict[str, Any] | None]], result: Result
) -> None:
    happened = calls_in(result)
    for place, each in enumerate(expected):
        where = source.where(("tests", at, "expect", place))
        ((name, inputs),) = each.items()
        if place >= len(happened):
            raise Differs(f"{where}: {name} has to be called, and was not{_why(result)}")
        came, given = happened[place]
        if came != name:
            raise Differs(
                f"{where}: call {place + 1} has to be {name}, and is {came} with {shown(given)}"
            )
        held = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
        for key, value in (inputs or {}).items():
            if key not in held or held[key] != value:
                got = shown(held[key]) if key in held else "nothing"
                raise Differs(f"{where}: {name}: {key} has to be {shown(value)}, and is {got}")
    if len(happened) > len(expected):
        name, given = happened[len(expected)]
        where = source.where(("tests", at, "expect"))
        raise Differs(f"{where}: {name} was called too, with {shown(given)}")


def _why(result: Result) -> str:
    return f" (it is {result.state}: {result.reason})" if result.reason else ""


def shown(value: Any) -> str:
    """A value as a document says it."""
    if isinstance(value, Mapping):
        members = cast("Mapping[str, Any]", value).items()
        return "{" + ", ".join(f"{name}: {shown(each)}" for name, each in members) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(shown, cast("list[Any]", value))) + "]"
    return codec.encode(value).decode()
