"""Tests that stand in a YAML document: each is run as a Python test would be, and reports its place."""

from __future__ import annotations

import importlib
import sys
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

from pydantic import SecretStr

from halflap import lowcode
from halflap.errors import DefinitionError, UpstreamError
from halflap.lowcode import Components, SourceText
from halflap.lowcode.document import (
    ONE_CALL,
    AfterPart,
    BodyPart,
    Document,
    TestPart,
)
from halflap.lowcode.source import mapping_of, value_at
from halflap.sdk import codec
from halflap.sdk.component import Component
from halflap.sdk.context import CustomerInfo, InstanceInfo
from halflap.sdk.integration import Integration
from halflap.sdk.request import Request
from halflap.testing.coverage import Coverage
from halflap.testing.result import Called, Result, members_of, unlike
from halflap.testing.runner import Run, make_request
from halflap.testing.stub import in_turn


class Differs(AssertionError):
    """An outcome other than the test expects; the message names the place and the difference."""


@dataclass(frozen=True, slots=True)
class DocumentWithTests:
    """A document with its integration, the components that it names, and what was run of it."""

    source: SourceText
    document: Document
    integration: Integration[Any]
    components: Components
    coverage: Coverage
    folder: Path = Path()
    """Where the files of its tests are."""


def open_document(
    path: Path,
    name: str | None = None,
    *,
    content: bytes | None = None,
    components: Components | None = None,
) -> DocumentWithTests:
    """Open a document for its tests; components beside it (`acme.py`) are its own.

    content: its text, where that is not what the file holds. components: those that it has instead.
    """
    text = path.read_bytes() if content is None else content
    source = lowcode.read(text, name or path.name)
    components = components or Components(beside(path.parent))
    document, coverage = lowcode.document_of(source), Coverage()
    integration = lowcode.build(source, components, coverage)
    return DocumentWithTests(source, document, integration, components, coverage, path.parent)


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


async def run_test(opened: DocumentWithTests, at: int) -> Result:
    """Run a test of a document, and compare; `Differs` says what is otherwise."""
    result = await play(opened, at)
    compare(opened.source, at, opened.document.tests[at], result)
    return result


async def play(opened: DocumentWithTests, at: int) -> Result:
    """Run a test of a document, whatever comes of it."""
    test = opened.document.tests[at]
    where = opened.source.at(("tests", at))
    flow = opened.integration.flows.get(test.flow)
    if flow is None:
        has = ", ".join(opened.integration.flows)
        raise Differs(f"{where}: there is no flow {test.flow!r}; there are: {has}")
    for name in test.paired:
        if name not in opened.integration.paired:
            raise Differs(f"{where}: there are no pairs {name!r}")
    opened.coverage.tests += 1
    given = opened.integration.paired
    return await Run()(
        flow,
        _event(opened, at),
        headers=test.headers,
        config=test.config,
        state=test.state,
        shared=test.shared.model_dump(),
        customer=None if test.customer is None else CustomerInfo(**test.customer.model_dump()),
        instance=None if test.instance is None else InstanceInfo(**test.instance.model_dump()),
        now=test.now,
        urls=test.urls,
        secrets=test.secrets,
        stubs={_stubbed(opened, at, name): answer_of(each) for name, each in test.stubs.items()},
        paired={given[name]: each for name, each in test.paired.items()},
        current=test.current,
        signals={name: answer_of(each) for name, each in test.signals.items()},
        integration=opened.integration,
    )


def _event(opened: DocumentWithTests, at: int) -> Any:
    """Return the request's parts: the event alone where nothing else is given."""
    test = opened.document.tests[at]
    if not test.model_fields_set & {"body", "method", "path", "query"}:
        return test.event
    return request_of(opened, at)


def request_of(opened: DocumentWithTests, at: int) -> Request:
    """The request that a test sends."""
    test = opened.document.tests[at]
    body, headers = test.event, test.headers
    if test.body is not None:
        body, kind = _body(opened, at, test.body)
        if not any(name.lower() == "content-type" for name in headers):
            headers = {"Content-Type": kind, **headers}
    return make_request(
        body,
        headers=headers,
        method=test.method,
        path=test.path,
        query=test.query if isinstance(test.query, str) else urlencode(test.query),
        received_at=test.now,
    )


def _body(opened: DocumentWithTests, at: int, body: BodyPart) -> tuple[bytes, str]:
    """A body's bytes, and of which kind they are."""
    if body.file is None:
        return b64decode(body.base64 or ""), body.content_type
    where = opened.source.at(("tests", at, "body", "file"))
    folder = opened.folder.resolve()
    file = (folder / body.file).resolve()
    if not file.is_relative_to(folder):
        raise Differs(f"{where}: {body.file} is not in the document's folder; copy it there")
    try:
        return file.read_bytes(), body.content_type
    except OSError as error:
        raise Differs(f"{where}: {body.file} cannot be read: {error.strerror}") from None


def _stubbed(opened: DocumentWithTests, at: int, name: str) -> Any:
    """The action, or the flow, that a stub stands for."""
    if name in opened.integration.flows:
        return opened.integration.flows[name]
    try:
        return opened.components.action(name)
    except DefinitionError as error:
        where = opened.source.at(("tests", at, "stubs", name))
        raise Differs(f"{where}: {error.message}") from None


def answer_of(stub: Any) -> Any:
    """A stub's answer: a value, answers in turn, or an error of the app."""
    if isinstance(stub, dict):
        given = cast("dict[str, Any]", stub)
        if "$sequence" in given:
            return in_turn(*map(answer_of, given["$sequence"]))
        if "$error" in given:
            return UpstreamError(str(given["$error"]), status=given.get("status"))
    return cast(Any, stub)


def warnings_of(source: SourceText, at: int, result: Result) -> list[str]:
    """Return what a test leaves unproved, though it passed: stubs that were never called."""
    return [
        f"{source.at(('tests', at, 'stubs', name))}: the stub of {name} was never called"
        for name in result.unused
    ]


def compare(source: SourceText, at: int, test: TestPart, result: Result) -> None:
    """Compare what happened with what a test expects."""
    path = ("tests", at)
    if test.expect is not None:
        _compare_calls(source, at, test.expect, result)
    if result.state != test.outcome or (test.reason or "") not in result.reason:
        wanted = test.outcome + (f", because of {test.reason!r}" if test.reason else "")
        came = result.state + (f": {result.reason}" if result.reason else "")
        raise Differs(f"{source.at((*path, 'outcome'))}: it has to end as {wanted}, and is {came}")
    answers = answered(test.answer, result.result)
    if "answer" in test.model_fields_set and answers != test.answer:
        raise Differs(
            f"{source.at((*path, 'answer'))}: it has to answer {shown(test.answer)}, and "
            f"answers {shown(answers)}"
        )
    _compare_kept(source, at, test.after, result)
    for place, each in enumerate(test.logs):
        if not any(each in line.message for line in result.logs):
            lines = shown([line.message for line in result.logs])
            where = source.at((*path, "logs", place))
            raise Differs(f"{where}: {shown(each)} has to be logged, and only {lines} was")


def answered(expected: Any, result: Any) -> Any:
    """Return the result to compare: of a reply, the parts that are expected."""
    parts, reply = members_in(expected, "$reply"), members_in(result, "$reply")
    if not parts or not reply:
        return result
    return {"$reply": {name: each for name, each in reply.items() if name in parts}}


def members_in(value: Any, key: str) -> Mapping[str, Any]:
    """Return the object that a value holds under a key; an empty one where it holds none."""
    return mapping_of(mapping_of(value).get(key))


def _compare_kept(source: SourceText, at: int, after: AfterPart, result: Result) -> None:
    held = {("state",): result.stored}
    held |= {("shared", scope): values for scope, values in result.shared.items()}
    wanted = {("state",): after.state}
    wanted |= {("shared", scope): values for scope, values in after.shared.model_dump().items()}
    for path, values in wanted.items():
        for key, value in values.items():
            if held[path].get(key) != value:
                where = source.at(("tests", at, "after", *path, key))
                raise Differs(f"{where}: {_unlike(key, value, held[path], key in held[path])}")
    for name, pairs in after.paired.items():
        where = source.at(("tests", at, "after", "paired", name))
        if name not in result.paired:
            raise Differs(f"{where}: there are no pairs {name!r}")
        found = result.paired[name]
        if not same_pairs(pairs, found):
            raise Differs(f"{where}: paired have to be {shown(pairs)}, and are {shown(found)}")


def same_pairs(one: Sequence[Mapping[str, str]], other: Sequence[Mapping[str, str]]) -> bool:
    """Return whether the same records are paired, in either order."""
    return sorted(map(_sides, one)) == sorted(map(_sides, other))


def _sides(ids: Mapping[str, str]) -> list[tuple[str, str]]:
    return sorted(ids.items())


def _unlike(key: str, value: Any, held: Mapping[str, Any], there: bool) -> str:
    return f"{key} has to be {shown(value)}, and is {shown(held[key]) if there else 'nothing'}"


def _compare_calls(
    source: SourceText, at: int, expected: list[dict[str, dict[str, Any] | None]], result: Result
) -> None:
    happened = result.calls
    for place, each in enumerate(expected):
        where = source.at(("tests", at, "expect", place))
        if len(each) != 1:
            raise Differs(f"{where}: {ONE_CALL}")
        ((name, inputs),) = each.items()
        if place >= len(happened):
            raise Differs(f"{where}: {name} has to be called, and was not{_why(result)}")
        came = happened[place]
        if came.name != name:
            raise Differs(
                f"{where}: call {place + 1} has to be {name}, and is {came.name} with "
                f"{shown(_inputs(came))}"
            )
        held = members_of(came)
        if (inner := unlike(held, inputs or {})) is not None:
            where = source.at(("tests", at, "expect", place, name, *inner))
            holder, last = value_at(held, inner[:-1]), inner[-1]
            there = isinstance(last, int) or last in holder
            found = shown(holder[last]) if there else "nothing"
            wanted = f"{'.'.join(map(str, inner))} has to be {shown(value_at(inputs, inner))}"
            raise Differs(f"{where}: {name}: {wanted}, and is {found}")
    if len(happened) > len(expected):
        came = happened[len(expected)]
        where = source.at(("tests", at, "expect"))
        raise Differs(f"{where}: {came.name} was called too, with {shown(_inputs(came))}")


def _inputs(call: Called) -> Any:
    """Return the inputs of a call, as far as a person gave them."""
    members = members_of(call)
    told = {name: each for name, each in members.items() if name != "$connection"}
    return told if members else call.given


def _why(result: Result) -> str:
    return f" (it is {result.state}: {result.reason})" if result.reason else ""


def shown(value: Any) -> str:
    """A value as a document says it."""
    if isinstance(value, Mapping):
        members = cast("Mapping[str, Any]", value).items()
        return "{" + ", ".join(f"{name}: {shown(each)}" for name, each in members) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(shown, cast("list[Any]", value))) + "]"
    if isinstance(value, SecretStr):
        return shown(value.get_secret_value())
    return codec.encode(value).decode()
