"""Makes a test in a YAML document of an execution: what came, what was answered, what happened."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args
from urllib.parse import parse_qsl, urlencode

from pydantic import SecretStr

from halflap.errors import DefinitionError
from halflap.lowcode import Draft
from halflap.lowcode.document import CustomerPart, Method, TestPart
from halflap.sdk import codec
from halflap.sdk.declared import FILTERED
from halflap.sdk.integration import Integration
from halflap.testing.document import (
    DocumentWithTests,
    open_document,
    play,
    run_test,
    same_pairs,
)
from halflap.testing.fixture import HIDDEN, make_fixture, state_key
from halflap.testing.result import CALLS, Result, told

UNTOLD = re.compile(
    r"accept(-.*)?|connection|content-length|date|expect|forwarded|host|keep-alive|te|trace.*|trailer"
    r"|transfer-encoding|halflap-.*|upgrade|user-agent|via|x-forwarded-.*|x-real-ip|x-request-id",
    re.IGNORECASE,
)
"""Headers that say how a request travelled, and nothing of what it is about."""

METHODS = tuple(each for each in get_args(Method) if each != "POST")

Opens = Callable[[bytes], DocumentWithTests]
"""Opens a document's text for its tests."""

DIFFERS = "it does not go the same way in a test"


@dataclass(frozen=True, slots=True)
class RecordedTest:
    """A test that was made: the document with it, and what of it cannot be told, as it differs."""

    content: bytes
    line: int
    name: str
    left_out: tuple[str, ...]


async def record_test(
    path: Path,
    detail: Mapping[str, Any],
    *,
    config: Mapping[str, Any] | None = None,
    customer: Mapping[str, Any] | None = None,
    name: str | None = None,
    replace: bool = False,
) -> RecordedTest:
    """Make a test of an execution for the document of a file (see `make_test`)."""
    return await make_test(
        Draft.read(path.read_bytes(), path.name),
        lambda content: open_document(path, content=content),
        detail,
        config=config,
        customer=customer,
        name=name,
        replace=replace,
    )


async def make_test(
    draft: Draft,
    opens: Opens,
    detail: Mapping[str, Any],
    *,
    config: Mapping[str, Any] | None = None,
    customer: Mapping[str, Any] | None = None,
    name: str | None = None,
    replace: bool = False,
) -> RecordedTest:
    """Add a test of an execution, as the API shows it, to its document; it is run, and has to pass.

    `config` and `customer` are those of its instance. Secrets become `•••`. What differs each time,
    such as URLs, is left out, and so is what makes no difference: the time, and for whom it ran.
    Raises `DefinitionError` where the test cannot say what happened, or where a test of that name is
    there already.
    """
    if detail.get("continued_by"):
        raise DefinitionError(
            f"{detail['id']} was continued by {detail['continued_by']}, and a test runs the whole chain; "
            "record the last one of it (halflap executions show names each next one), or write this test "
            "by hand"
        )
    name = name or f"{detail['flow']}, as in {detail['id']}"
    at = _place(draft, name, replace=replace)
    integration = opens(draft.to_bytes()).integration
    recorded = {"calls": _calls(detail), "kept": _kept(detail)}
    fixture = make_fixture(detail, config=config, beside=recorded)
    tried = _Attempt(opens, draft, at, fixture)
    now = re.sub(r"\.0+Z$", "Z", detail["accepted_at"])
    around = {"now": now, **_whose(detail, customer)}
    test = {"name": name, **_given(fixture, detail, integration), **around}
    expected, left_out = await tried.expected(test)
    for each in around:
        less = {key: value for key, value in test.items() if key != each}
        found = await tried.maybe(less)
        if found is not None and len(found[1]) <= len(left_out):
            test, (expected, left_out) = less, found
    _write(draft, at, _in_order({**test, **expected}))
    await run_test(opens(draft.to_bytes()), at)
    line = draft.source.place(("tests", at)).line
    return RecordedTest(draft.to_bytes(), line, name, tuple(dict.fromkeys(left_out)))


async def expect_run(
    draft: Draft, opens: Opens, test: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Return a test with the calls, the answer and the state that it expects, and what is left out.

    It has how a run ended, and what was answered in it. Raises `DefinitionError` where it goes
    another way than that run: it ends otherwise, or does not call what was called.
    """
    at = len(draft.source.data.get("tests") or ())
    opened, result = await _tried(draft, opens, at, test)
    if result.unused:
        raise _differs(f"{result.unused[0]} is no longer called", result)
    wanted = opened.document.tests[at]
    fixture = {
        "calls": [[each.name, _open_inputs(each.given)] for each in result.calls],
        "kept": {"flow": result.stored, **result.shared},
        "outcome": {
            "state": wanted.outcome,
            "reason": wanted.reason or "",
            "result": wanted.answer,
        },
    }
    left_out: list[str] = []
    less = {name: each for name, each in test.items() if name not in ("answer", "reason")}
    made = {**less, **_expected(fixture, result, wanted.paired, left_out)}
    return _in_order(made), left_out


def _open_inputs(given: Any) -> Any:
    """Return the inputs of a call that are no secrets."""
    if not isinstance(given, dict):
        return given
    members = cast("dict[str, Any]", given).items()
    return {name: each for name, each in members if not isinstance(each, SecretStr)}


@dataclass(frozen=True, slots=True)
class _Attempt:
    """Runs a test that is being made, as it would stand in its document."""

    opens: Opens
    draft: Draft
    at: int
    fixture: Mapping[str, Any]

    async def expected(self, test: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Return the test's expectations, and what is left out of them."""
        opened, result = await _tried(self.draft, self.opens, self.at, test)
        if result.reason == FILTERED:
            raise DefinitionError(
                "the flow's filter reads what was not kept, or is a secret; write this test by hand"
            )
        left_out: list[str] = []
        paired = opened.document.tests[self.at].paired
        return _expected(self.fixture, result, paired, left_out), left_out

    async def maybe(self, test: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]] | None:
        """The same, where the test goes the same way."""
        try:
            return await self.expected(test)
        except DefinitionError:
            return None


async def _tried(
    draft: Draft, opens: Opens, at: int, test: Mapping[str, Any]
) -> tuple[DocumentWithTests, Result]:
    """Run a test as it would stand in a document; what it cannot do at all differs."""
    tried = draft.copy()
    _write(tried, at, _in_order(test))
    opened = opens(tried.to_bytes())
    try:
        return opened, await play(opened, at)
    except DefinitionError as error:
        raise DefinitionError(f"{DIFFERS}: {error.message}") from error


def _in_order(test: Mapping[str, Any]) -> dict[str, Any]:
    """A test's keys, as people write them."""
    return {name: test[name] for name in TestPart.model_fields if name in test}


def _place(draft: Draft, name: str, *, replace: bool) -> int:
    """Return the number of the document's test that it becomes."""
    tests: list[Any] = draft.source.data.get("tests") or []
    for at, each in enumerate(tests):
        if each.get("name") == name:
            if replace:
                return at
            raise DefinitionError(
                f"there is a test {name!r} already; give another --name, or replace it by --force",
                where=draft.source.where(("tests", at)),
            )
    return len(tests)


def _write(draft: Draft, at: int, test: Mapping[str, Any]) -> None:
    if at < len(draft.source.data.get("tests") or ()):
        draft.set(("tests", at), test)
    else:
        draft.add_test(test)


# What came ------------------------------------------------------------------------------------


def _given(
    fixture: Mapping[str, Any], detail: Mapping[str, Any], integration: Integration[Any]
) -> dict[str, Any]:
    """Return the test's preconditions: all that a test has before its expectations."""
    parts: dict[str, Any] = {
        **_request(fixture["event"]),
        "config": {n: each for n, each in fixture["config"].items() if each is not None},
        "state": fixture["state"],
        "shared": fixture["shared"],
        "paired": _paired(fixture["paired"], integration),
        "current": fixture["records"],
        "signals": _in_turn((each["name"], [_answer(each, "payload")]) for each in _heard(fixture)),
        "stubs": _in_turn(_answers(fixture, detail, integration)),
    }
    given = {name: each for name, each in parts.items() if each or name == "event"}
    return {"flow": fixture["flow"], **given}


def _whose(
    detail: Mapping[str, Any], customer: Mapping[str, Any] | None
) -> dict[str, dict[str, Any]]:
    """For whom it ran."""
    told = {"id": detail["customer"], "name": detail["customer_name"], **(customer or {})}
    who = {"id": detail["instance"], "name": detail["instance_name"]}
    return {
        "customer": {name: told[name] for name in CustomerPart.model_fields if told.get(name)},
        "instance": {name: each for name, each in who.items() if each},
    }


def _request(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the test's request: its body, and the other parts that mean something."""
    headers = {
        name: value
        for name, value in event["headers"]
        if UNTOLD.fullmatch(name) is None and HIDDEN not in value
    }
    made: dict[str, Any] = {"path": event["path"], "query": _query(event["query"])}
    if event["method"] in METHODS:
        made["method"] = event["method"]
    if "body_base64" in event:
        return {**made, "headers": headers, "body": {"base64": event["body_base64"]}}
    body: str = event["body"]
    for name in [name for name in headers if name.lower() == "content-type"]:
        if "json" in headers[name]:
            del headers[name]
    made["headers"] = headers
    try:
        whole = codec.decode(body)
    except ValueError:
        return {**made, "event": body} if body else made
    return {**made, "event": body if isinstance(whole, str) or whole is None else whole}


def _query(query: str) -> str | dict[str, str]:
    """A query by its parameters, where that says all of it."""
    params = dict(parse_qsl(query, keep_blank_values=True))
    return params if urlencode(params) == query else query


def _paired(
    found: Iterable[Mapping[str, str]], integration: Integration[Any]
) -> dict[str, list[dict[str, str]]]:
    made: dict[str, list[dict[str, str]]] = {}
    for each in found:
        pairs = integration.paired[each["pairs"]]
        ids = {each["side"]: each["id"], pairs.other(each["side"]): each["other"]}
        many = made.setdefault(each["pairs"], [])
        if ids not in many:
            many.append(ids)
    return made


def _heard(fixture: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    return (each for each in fixture["signals"] if "payload" in each)


def _answers(
    fixture: Mapping[str, Any], detail: Mapping[str, Any], integration: Integration[Any]
) -> Iterator[tuple[str, list[Any]]]:
    """Yield each action's and each called flow's answers, a failure once for every try."""
    steps = [each for each in detail["steps"] if each["kind"] in ("action", "step")]
    for each, was in zip(fixture["steps"], steps, strict=True):
        if "." in each["action"]:  # what has no component runs in tests too
            yield each["action"], [_answer(each)] * (was["tries"] if "error" in each else 1)
    flow = integration.flows.get(fixture["flow"])
    routes = flow is not None and flow.preprocess is not None  # what it starts is not run in tests
    for each in () if routes else fixture["children"]:
        yield each["flow"], [_answer(each)]


def _answer(given: Mapping[str, Any], name: str = "result") -> Any:
    failed = given.get("error")
    if failed is None:
        return given.get(name)
    status = failed.get("status")
    return {"$error": failed["message"], **({} if status is None else {"status": status})}


def _in_turn(answers: Iterable[tuple[str, list[Any]]]) -> dict[str, Any]:
    """By name, its answer; where it answered otherwise each time, its answers in turn."""
    made: dict[str, list[Any]] = {}
    for name, each in answers:
        made.setdefault(name, []).extend(each)
    return {
        name: many[0] if all(each == many[0] for each in many) else {"$sequence": many}
        for name, many in made.items()
    }


# What happened --------------------------------------------------------------------------------


def _calls(detail: Mapping[str, Any]) -> list[list[Any]]:
    """The calls of actions and flows, as they were recorded."""
    return [
        [each["name"], told(each["path"], each["inputs"])]
        for each in detail["steps"]
        if each["kind"] in CALLS
    ]


def _kept(detail: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the writes to the state, by scope and key: the last value of each."""
    made: dict[str, dict[str, Any]] = {}
    for each in detail["steps"]:
        if (
            each["kind"] == "state"
            and each["title"].startswith("Write ")
            and each["result"] is True
        ):
            scope, key = state_key(each)
            made.setdefault(scope, {})[key] = each["inputs"]
    return made


def _expected(
    fixture: Mapping[str, Any],
    result: Result,
    paired: Mapping[str, list[dict[str, str]]],
    left_out: list[str],
) -> dict[str, Any]:
    """Return the test's expectations: what was recorded, as far as it is the same in a test."""
    was: Sequence[Any] = fixture["calls"]
    now = [(each.name, each.given) for each in result.calls]
    for number, (before, after) in enumerate(zip(was, now, strict=False), start=1):
        if before[0] != after[0]:
            raise _differs(f"call {number} was {before[0]}, and is {after[0]}", result)
    if len(was) != len(now):
        name = (was if len(was) > len(now) else now)[min(len(was), len(now))][0]
        verb = "is no longer called" if len(was) > len(now) else "is called too"
        raise _differs(f"{name} {verb}", result)
    wanted = fixture["outcome"]
    if result.state != wanted["state"]:
        raise _differs(f"it was {wanted['state']}, and is {result.state}", result)
    made: dict[str, Any] = {
        "expect": [
            {before[0]: _same(before[0], before[1], after[1], left_out)}
            for before, after in zip(was, now, strict=True)
        ]
    }
    if wanted["state"] != "succeeded":
        made["outcome"] = wanted["state"]
        reason: str = wanted["reason"]
        told = next((e for e in (reason, reason.partition(" (")[0]) if e in result.reason), "")
        made |= {"reason": told} if told else {}
    if wanted["result"] is not None:
        if wanted["result"] == result.result:
            made["answer"] = wanted["result"]
        else:
            left_out.append("the answer")
    if after := _after(fixture["kept"], result, paired, left_out):
        made["after"] = after
    return made


def _after(
    kept: Mapping[str, Mapping[str, Any]],
    result: Result,
    paired: Mapping[str, list[dict[str, str]]],
    left_out: list[str],
) -> dict[str, Any]:
    """Return the writes to the state, as far as they are the same in a test, and the pairs."""
    same: dict[str, dict[str, Any]] = {}
    for scope, values in kept.items():
        held = result.stored if scope == "flow" else result.shared[scope]
        for key, value in values.items():
            if held.get(key) == value:
                same.setdefault(scope, {})[key] = value
            else:
                left_out.append(f"{key} of the state")
    made: dict[str, Any] = {}
    if "flow" in same:
        made["state"] = same.pop("flow")
    if same:
        made["shared"] = same
    changed = {
        name: ids
        for name, ids in result.paired.items()
        if not same_pairs(ids, paired.get(name, []))
    }
    return {**made, "paired": changed} if changed else made


def _same(name: str, before: Any, after: Any, left_out: list[str]) -> dict[str, Any]:
    """The inputs that are the same in a test."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        return {}
    was, now = cast("dict[str, Any]", before), cast("dict[str, Any]", after)
    names = [each for each in was if each != "$connection"]
    left_out += [f"{each} of {name}" for each in names if was[each] != now.get(each)]
    return {each: was[each] for each in names if each in now and was[each] == now[each]}


def _differs(said: str, result: Result) -> DefinitionError:
    why = f" ({result.reason})" if result.reason else ""
    return DefinitionError(f"{DIFFERS}: {said}{why}")
