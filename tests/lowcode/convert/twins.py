"""A document and the Python that it is converted to, as two integrations that have to do the same."""

from __future__ import annotations

import ast
import itertools
import json
import re
import sys
import types
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from halflap import lowcode
from halflap.lowcode import Components
from halflap.lowcode.convert import to_python
from halflap.model import MISSING
from halflap.sdk import codec
from halflap.sdk.integration import Integration
from halflap.testing import Result, Run
from halflap.testing.coverage import Coverage
from halflap.testing.document import DocumentWithTests
from tests.lowcode.documents import own

_numbers = itertools.count()


def opened(text: str | bytes, file: str = "tried.yaml") -> DocumentWithTests:
    """A document, with the examples' components."""
    source, components = lowcode.read(text, file), Components(own)
    document = lowcode.document_of(source)
    return DocumentWithTests(
        source, document, lowcode.build(source, components), components, Coverage()
    )


def python_of(text: str | bytes, file: str = "tried.yaml") -> str:
    """The Python of a document."""
    return to_python(lowcode.read(text, file), Components(own))


def imported(python: str) -> Integration[Any]:
    """The integration of a module, imported as any other; the module is forgotten again."""
    return vars(loaded(python))[variable_of(python)]


async def both(text: str, event: Any = None, flow: str = "main", **given: Any) -> list[Result]:
    """Run a flow of a document, and then of its Python."""
    ran: list[Result] = []
    for each in (opened(text).integration, imported(python_of(text))):
        ran.append(await Run()(each.flows[flow], event or {}, integration=each, **given))
    return ran


def loaded(python: str) -> types.ModuleType:
    """A module, which is forgotten again."""
    name = f"converted_{next(_numbers)}"
    made = types.ModuleType(name)
    sys.modules[name] = made
    try:
        exec(compile(python, f"{name}.py", "exec", dont_inherit=True), made.__dict__)
    finally:
        del sys.modules[name]
    return made


def variable_of(python: str) -> str:
    """The variable that holds a module's integration."""
    return next(
        each.targets[0].id
        for each in ast.parse(python).body
        if isinstance(each, ast.Assign)
        and isinstance(each.targets[0], ast.Name)
        and isinstance(each.value, ast.Call)
        and getattr(each.value.func, "id", "").startswith("Integration")
    )


def seen(result: Result) -> dict[str, Any]:
    """Return what can be seen of an execution, outside and in the console; ids of others are alike."""
    failure = result.error
    found = {
        "state": result.state,
        "failure": None if failure is None else (failure.kind, said(failure.message)),
        "reason": said(result.reason),
        "answer": result.result,
        "stored": dict(result.stored),
        "paired": {name: ids for name, ids in result.paired.items() if ids},
        "records": [
            (
                each.kind,
                each.name,
                each.path,
                each.title,
                each.status,
                each.tries,
                None if each.inputs is None else codec.decode(each.inputs),
                None if each.result is None else _plain(each.result),
            )
            for each in result.records
        ],
        "logs": [(each.level, said(each.message), _fields(each.fields)) for each in result.logs],
    }
    text = _PLACE.sub("", ID.sub("exe", codec.encode(found).decode()))
    text = _IN_TEXT.sub(lambda each: f"{each[1]}{said(each[3])}", text)
    return json.loads(text, parse_float=Decimal, object_hook=_error)


def _error(found: dict[str, Any]) -> dict[str, Any]:
    """A value; one that is an error, as a collected item that failed, without its message's place."""
    if {"message", "kind"} <= found.keys() and isinstance(found["message"], str):
        found["message"] = said(found["message"])
    return found


def said(message: str) -> str:
    """A message without the place in the document, and what is named by it."""
    if (at_step := _AT_STEP.fullmatch(message)) is not None:
        passed_by, told, why = at_step.groups("")
        message = passed_by + told + (f" {why})" if why else "")
    return _ASKED.sub("", _LINES.sub("", _PLACE.sub("", message)))


def _fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A log line's fields; of what code prints that is a line, of the document or the source."""
    return {} if fields.keys() == {"line"} else dict(fields)


ID = re.compile(r"exe_[0-9a-z]+", re.IGNORECASE)
_PLACE = re.compile(r"(\w+\.(yaml|py)|<code>):\d+(:\d+)?: ")
_AT_STEP = re.compile(
    r"(.* (?:an item failed|failed, and is ignored): )?"
    r"[^:]+: (.*?)(?: (\(.*); | \()\w+\.yaml:\d+(?::\d+)?\)",
    re.DOTALL,
)
"""A message of a step of a document: its title and field before it, its place behind it; within the
log line of what has passed the failure by.
"""
_IN_TEXT = re.compile(r'((\\+")message\2:\2)(.*?)(?<!\\)(?=\2,\2kind\2:)', re.DOTALL)
"""The message of an error that became part of a text, as by `$string(results)`."""
_LINES = re.compile(r"(?<=in line )\d+|(?<=in lines )[\d, ]+")
_ASKED = re.compile(
    r".*(?= is (null|true|false|the (?:text|number) .*|an? \w+.*), and has to be )", re.DOTALL
)


def _plain(data: bytes) -> Any:
    return "missing" if data == MISSING else codec.decode(data)
