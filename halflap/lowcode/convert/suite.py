"""Writes the tests of a document as a module of pytest, with the fixtures of Halflap's plugin."""

from __future__ import annotations

import re
import unicodedata
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from halflap.errors import DefinitionError
from halflap.lowcode.builder import build
from halflap.lowcode.convert.context import WrittenModule
from halflap.lowcode.convert.names import ImportedNames
from halflap.lowcode.convert.values import PythonScope
from halflap.lowcode.document import BodyPart, TestPart
from halflap.lowcode.python import call, display, indented, laid_out, text
from halflap.lowcode.registry import Components
from halflap.lowcode.shape import document_of
from halflap.lowcode.source import SourceText, mapping_of

LONGEST_NAME = 60
LOCAL = ("run", "result", "each")
REQUEST = {"body", "method", "path", "query"}


def to_pytest(source: SourceText, components: Components, module: str, *, folder: str = ".") -> str:
    """The tests of a document, for the module that it was written as: one function a test.

    folder: where the document is, seen from the folder of the tests, for the files that they send.
    """
    document = document_of(source)
    integration = build(source, components)
    converted = WrittenModule(source, document, integration, components)
    names = list(_names(document.tests))
    made = WrittenModule(source, document, integration, components)
    made.names = ImportedNames((*names, *LOCAL))
    writer = _TestWriter(converted, PythonScope(made), module, folder)
    parts = [writer.lines(name, at) for at, name in enumerate(names)]
    body = "\n\n\n".join("\n".join(laid_out(each)) for each in parts)
    imports = "\n".join(made.names.lines(body))
    return f'"""Tests of {document.title or document.name}."""\n\n{imports}\n\n{body}\n'


def _names(tests: Iterable[TestPart]) -> Iterator[str]:
    """A function's name for each test."""
    taken: set[str] = set()
    for each in tests:
        words = _words(each.name)
        if len(words) > LONGEST_NAME:
            words = words[:LONGEST_NAME].rpartition("_")[0]
        name, number = f"test_{words}", 2
        while name in taken:
            name, number = f"test_{words}_{number}", number + 1
        taken.add(name)
        yield name


def _words(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "_", plain.replace("'", "")).strip("_")


class _TestWriter:
    """Writes tests of the module `called`."""

    def __init__(
        self, converted: WrittenModule, scope: PythonScope, called: str, folder: str
    ) -> None:
        self._converted = converted
        self._module = scope.module
        self._called = called
        self._folder = folder
        self._use = scope.use
        self._value = scope.constant

    def lines(self, name: str, at: int) -> list[str]:
        """The function of a test, line by line."""
        test = self._module.document.tests[at]
        comments = self._module.comments("tests", at)
        if len(_words(test.name)) > LONGEST_NAME:
            comments.append(f"# {test.name}")
        try:
            args = [self._flow(test.flow), *self._event(test)]
            ran = call("await run", args, self._options(test))
            body = [f"result = {ran}", *self._expected(test)]
        except DefinitionError as error:
            where = self._module.source.at(("tests", at))
            raise DefinitionError(error.message, where=where) from None
        head = f"async def {name}(run: {self._use('Run')}) -> None:"
        return [*comments, head, *indented(body)]

    # What came --------------------------------------------------------------------------------

    def _event(self, test: TestPart) -> list[str]:
        if not test.model_fields_set & REQUEST:
            return [] if test.event is None else [self._value(test.event)]
        query = test.query if isinstance(test.query, str) else urlencode(test.query)
        parts = {"path": test.path, "query": query, "received_at": self._now(test)}
        named = [*self._headers(test), *self._given(parts)]
        if test.method != "POST":
            named.append(("method", text(test.method)))
        if test.body is not None:
            body = [self._body(test.body)]
        else:
            body = [] if test.event is None else [self._value(test.event)]
        return [call(self._use("make_request"), body, named)]

    def _given(self, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield what is given by name, where there is anything."""
        return ((name, self._value(each)) for name, each in values.items() if each)

    def _now(self, test: TestPart) -> datetime | None:
        return None if test.now is None else test.now.astimezone(UTC)

    def _headers(self, test: TestPart) -> Iterator[tuple[str, str]]:
        headers, body = test.headers, test.body
        if body is not None and not any(each.lower() == "content-type" for each in headers):
            headers = {"Content-Type": body.content_type, **headers}
        if headers:
            yield "headers", self._value(headers)

    def _body(self, body: BodyPart) -> str:
        if body.file is None:
            shown = repr(b64decode(body.base64 or ""))
            return f'b"{shown[2:-1]}"' if '"' not in shown else shown
        file = body.file if self._folder == "." else f"{self._folder}/{body.file}"
        return f"{self._use('Path')}(__file__).parent.joinpath({text(file)}).read_bytes()"

    def _options(self, test: TestPart) -> Iterator[tuple[str, str]]:
        if not test.model_fields_set & REQUEST:
            yield from self._headers(test)
        shared = {name: each for name, each in test.shared.model_dump().items() if each}
        yield from self._given({"config": test.config, "state": test.state, "shared": shared})
        if test.paired:
            pairs = ((self._pairs(name), self._value(each)) for name, each in test.paired.items())
            yield "paired", display(pairs)
        for name, part in (("customer", test.customer), ("instance", test.instance)):
            if part is not None:
                parts = (text(each) for each in part.model_dump().values() if each is not None)
                yield name, call(self._use(f"{name.capitalize()}Info"), parts)
        others = {"current": test.current, "now": self._now(test)}
        yield from self._given({**others, "urls": test.urls, "secrets": test.secrets})
        if test.signals:
            sent = ((text(name), self._answer(each)) for name, each in test.signals.items())
            yield "signals", display(sent)
        if test.stubs:
            stubs = ((self._target(name), self._answer(each)) for name, each in test.stubs.items())
            yield "stubs", display(stubs)

    def _answer(self, stub: Any) -> str:
        """A stub's answer, as its document writes it."""
        given = mapping_of(stub)
        if "$sequence" in given:
            return call(self._use("in_turn"), map(self._answer, given["$sequence"]))
        if "$error" in given:
            status = given.get("status")
            named = [] if status is None else [("status", self._value(status))]
            return call(self._use("UpstreamError"), [text(str(given["$error"]))], named)
        return self._value(stub)

    # What has to happen -----------------------------------------------------------------------

    def _expected(self, test: TestPart) -> Iterator[str]:
        yield f"assert result.state == {text(test.outcome)}, result.reason"
        if test.reason:
            yield f"assert {text(test.reason)} in result.reason"
        if test.expect is not None:
            calls = (self._call(*each) for one in test.expect for each in one.items())
            yield f"assert result.calls == [{', '.join(calls)}]"
        if reply := mapping_of(mapping_of(test.answer).get("$reply")):
            for name, each in reply.items():
                yield self._equal(f'result.result["$reply"][{text(name)}]', each)
        elif "answer" in test.model_fields_set:
            yield self._equal("result.result", test.answer)
        after = test.after
        for key, value in after.state.items():
            yield self._equal(f"result.stored.get({text(key)})", value)
        for scope, values in after.shared.model_dump().items():
            for key, value in values.items():
                yield self._equal(f"result.shared[{text(scope)}].get({text(key)})", value)
        for name, pairs in after.paired.items():
            sides = list(self._module.document.pairs[name].sides)
            ordered = sorted(pairs, key=lambda ids: [ids[each] for each in sides])
            yield self._equal(f"result.paired[{text(name)}]", ordered)
        for each in test.logs:
            yield f"assert any({text(each)} in each.message for each in result.logs)"

    def _call(self, name: str, inputs: Mapping[str, Any] | None) -> str:
        named = ((key, self._value(each)) for key, each in (inputs or {}).items())
        return call(self._use("called"), [self._target(name)], named)

    def _equal(self, shown: str, value: Any) -> str:
        sign = "is" if value is None or isinstance(value, bool) else "=="
        return f"assert {shown} {sign} {self._value(value)}"

    # Names ------------------------------------------------------------------------------------

    def _flow(self, name: str) -> str:
        if name not in self._module.flows:
            raise DefinitionError(f"there is no flow {name!r}")
        return self._member(self._converted.names.flow(name))

    def _pairs(self, name: str) -> str:
        if name not in self._converted.pairs:
            raise DefinitionError(f"there are no pairs {name!r}")
        return self._member(self._converted.pairs[name])

    def _member(self, name: str) -> str:
        return f"{self._module.names.module(self._called)}.{name}"

    def _target(self, name: str) -> str:
        """An action or a flow that is called."""
        if name in self._module.flows:
            return self._flow(name)
        return self._module.member(self._module.components.action(name))
