"""Recorded fixtures: a real execution as JSON, without its secrets, to be run again as a test."""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode

from halflap.engine.clock import ManualClock
from halflap.errors import DefinitionError, StepFailed
from halflap.model import Micros, Record, to_datetime, to_micros
from halflap.sdk import codec, running
from halflap.sdk.action import Action
from halflap.sdk.integration import Flow, Integration
from halflap.sdk.pairs import Pairs
from halflap.sdk.record import encode_inputs
from halflap.sdk.request import Headers, Request
from halflap.testing.result import Done, Result, Step
from halflap.testing.stub import Stubs, with_function

CHILD = re.compile(r"^exe_\w+ \w+: ")
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Fixture:
    """A recorded execution: what came, what each step and each flow that it called was given and
    gave, which signals it heard, how it ended.
    """

    integration: str
    flow: str
    event: Mapping[str, Any]
    config: dict[str, Any] = field(default_factory=dict[str, Any])
    state: dict[str, Any] = field(default_factory=dict[str, Any])
    shared: dict[str, dict[str, Any]] = field(default_factory=dict[str, Any])
    paired: Sequence[Mapping[str, str]] = ()
    records: dict[str, Any] = field(default_factory=dict[str, Any])
    steps: Sequence[Mapping[str, Any]] = ()
    signals: Sequence[Mapping[str, Any]] = ()
    children: Sequence[Mapping[str, Any]] = ()
    outcome: Mapping[str, Any] = field(default_factory=dict[str, Any])
    root: str | None = None
    now: Micros | None = None

    def request(self) -> Request:
        """The event as the request that it was."""
        event = self.event
        encoded: str | None = event.get("body_base64")
        body = event.get("body", "").encode() if encoded is None else base64.b64decode(encoded)
        return Request(
            method=event.get("method", "POST"),
            path=event.get("path", ""),
            query=event.get("query", ""),
            headers=Headers((name, value) for name, value in event.get("headers", [])),
            body=body,
            url=event.get("url", ""),
            received_at=to_datetime(self.now or 0),
        )

    def sent(self) -> list[tuple[str, bytes, Micros]]:
        """The signals that were heard: name, payload, and when."""
        return [
            (each["name"], codec.encode(each["payload"]), _micros(each.get("at")) or 0)
            for each in self.signals
        ]

    def pairs_of(self, integration: Integration[Any]) -> dict[Pairs, list[dict[str, str]]]:
        """The pairs that the execution looked up, as the integration has them."""
        found: dict[Pairs, list[dict[str, str]]] = {}
        for each in self.paired:
            pairs = integration.paired.get(each["pairs"])
            if pairs is None or each["side"] not in pairs.sides:
                raise DefinitionError(
                    f"the fixture has pairs {each['pairs']!r} with a side {each['side']!r}, and "
                    f"{integration.name} has none such; record it again: halflap test record last"
                )
            ids = {each["side"]: each["id"], pairs.other(each["side"]): each["other"]}
            found.setdefault(pairs, []).append(ids)
        return found


def load_fixture(path: Path | str) -> Fixture:
    """Read a fixture that `halflap test record` wrote; what is not one is a `DefinitionError`."""
    where = Path(path)
    try:
        return fixture_of(codec.decode(where.read_bytes()))
    except FileNotFoundError:
        raise DefinitionError(
            "there is no such fixture; record one: halflap test record last", where=str(path)
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DefinitionError(
            f"this is no fixture ({type(error).__name__}: {error}); record it again: "
            "halflap test record last",
            where=str(path),
        ) from error


def fixture_of(made: Mapping[str, Any]) -> Fixture:
    """Return a fixture of the JSON that `make_fixture` makes."""
    names = {each.name for each in fields(Fixture)}
    parts = {name: value for name, value in made.items() if name in names}
    return Fixture(**parts, now=_micros(made.get("accepted_at")))


def make_fixture(
    detail: Mapping[str, Any],
    *,
    config: Mapping[str, Any] | None = None,
    beside: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """An execution, as the API shows it, as the JSON of a fixture; secrets become `•••`.

    `config` is the instance's plain config. What is `beside` it is redacted with it. Raises
    `DefinitionError` where the API cut what it needs.
    """
    event = detail.get("event")
    if not event or event.get("note"):
        raise DefinitionError(
            f"the event of {detail.get('id')} is gone or was cut; record another execution"
        )
    secrets: set[str] = set()
    steps: list[dict[str, Any]] = []
    signals: list[dict[str, Any]] = []
    children: list[dict[str, Any]] = []
    state: dict[str, dict[str, Any]] = {}
    touched: set[tuple[str, str]] = set()
    paired: list[dict[str, Any]] = []
    records: dict[str, Any] = {}
    for each in detail.get("steps", ()):
        if each["kind"] == "state":
            _note_state(each, state, touched)
        elif each["kind"] == "pair" and isinstance(each.get("result"), str):
            paired.append(_pair(each))
        elif each["kind"] == "check" and isinstance(each.get("result"), dict):
            if current := each["result"].get("current"):
                records[each["inputs"]["record"]] = current
        elif each["kind"] in ("action", "step"):
            steps.append(_step(each))
        elif each["kind"] == "signal" and each["status"] == "succeeded":
            signals.append({"name": each["name"], **_answer(each, "payload")})
        elif each["kind"] in ("start", "call"):
            _note_child(each, children)
    made: dict[str, Any] = {
        "integration": detail["integration"],
        "flow": detail["flow"],
        "root": detail.get("root"),
        "accepted_at": detail.get("accepted_at"),
        "event": _event(event, secrets),
        "config": dict(config or {}),
        "state": state.pop("flow", {}),
        "shared": state,
        "paired": paired,
        "records": records,
        "steps": steps,
        "signals": signals,
        "children": children,
        "outcome": {
            "state": detail["state"],
            "reason": detail.get("reason") or "",
            "result": detail.get("result"),
        },
        **(beside or {}),
    }
    safe = redacted(made, found=secrets)
    return without(safe, secrets)


class Recorded(Stubs):
    """Answers each step as it was answered when it was recorded."""

    def __init__(self, fixture: Fixture, clock: ManualClock) -> None:
        super().__init__({}, {}, networked=False)
        self._left = list(fixture.steps)
        self._children = list(fixture.children)
        self._clock = clock

    async def perform(self, action: Action[..., Any], arguments: Mapping[str, Any]) -> Any:
        """Answer a step from the recording."""
        step = running.step.get()
        path = (step.root, step.path) if step is not None else ("", action.name)
        self.done.setdefault(path, []).append(Done(action, dict(arguments), ""))
        inputs = shown(codec.decode(encode_inputs(action, arguments)))
        same = [each for each in self._left if each["action"] == action.name]
        fitting = [each for each in same if each.get("inputs", {}) == inputs] or same
        if not fitting:
            error = DefinitionError(
                f"the flow called {action.name} more often than when it was recorded; if that is "
                "meant, record the fixture again"
            )
            self.mistakes.append(error)
            raise error
        found = fitting[0]
        self._left.remove(found)
        return self._answered(found)

    def flow(self, flow: Flow[Any, Any, Any]) -> Flow[Any, Any, Any]:
        """Return a stand-in for a flow that is called: it ends as it did when it was recorded."""

        async def answer(ctx: Any, event: Any) -> Any:
            given = redacted(codec.decode(codec.encode(event)))
            same = [each for each in self._children if each["flow"] == flow.name]
            fitting = [each for each in same if each.get("event") == given] or same
            if not fitting:  # `compare` says so
                return None
            self._children.remove(fitting[0])
            return self._answered(fitting[0])

        return with_function(flow, answer)

    def _answered(self, found: Mapping[str, Any]) -> Any:
        """A recorded answer, once the time has come at which it was given."""
        ended = _micros(found.get("at"))
        if ended is not None and ended > self._clock():
            self._clock.advance((ended - self._clock()) / 1e6)
        return answered(found)


def answered(recorded: Mapping[str, Any]) -> Any:
    """Return a recorded result, or raise the recorded error."""
    failed = recorded.get("error")
    if failed is not None:
        status = failed.get("status")
        raise StepFailed(failed.get("message", ""), error=failed.get("kind", ""), status=status)
    return recorded.get("result")


def compare(fixture: Fixture, result: Result) -> None:
    """Assert that an execution went as its fixture says."""
    was = [(each["action"], each.get("inputs", {})) for each in fixture.steps]
    now = [(each.action, recorded_inputs(each)) for each in result.steps]
    for number, (before, after) in enumerate(zip(was, now, strict=False), start=1):
        assert after == before, f"step {number} was {_call(before)} and is {_call(after)}"
    missing, extra = was[len(now) :], now[len(was) :]
    assert not missing, f"the flow no longer calls {', '.join(map(_call, missing))}"
    assert not extra, f"the flow now calls {', '.join(map(_call, extra))} too"
    heard = [each.name for each in result.records if each.kind == "signal" and each.result]
    for each in fixture.signals:
        assert each["name"] in heard, f"it no longer waits for the signal {each['name']}"
        heard.remove(each["name"])
    called = [(each["flow"], each.get("event")) for each in fixture.children]
    calls = called_in(result.records)
    for before, after in ((called, calls), (calls, called)):
        left = list(after)
        for each in before:
            verb = "no longer" if before is called else "now"
            assert each in left, f"it {verb} calls the flow {each[0]} with {each[1]!r}"
            left.remove(each)
    wanted = fixture.outcome
    assert result.state == wanted.get("state", result.state), (
        f"it was {wanted['state']} and is {result.state}: {result.reason}"
    )
    if "result" in wanted:
        returned = redacted(result.result)
        assert returned == wanted["result"], f"it returned {wanted['result']!r}, now {returned!r}"


def called_in(records: Sequence[Record]) -> list[tuple[str, Any]]:
    """The flows that an execution called or started, each with its event."""
    return [
        (each.name, redacted(codec.decode(each.inputs)))
        for each in records
        if each.kind in ("start", "call") and each.inputs is not None
    ]


def recorded_inputs(step: Step) -> dict[str, Any]:
    """A step's inputs as a fixture has them."""
    if step.definition is None:
        return redacted(dict(step.inputs))
    return shown(codec.decode(encode_inputs(step.definition, dict(step.inputs))))


def shown(inputs: dict[str, Any]) -> dict[str, Any]:
    """Recorded inputs without the connection and without secrets."""
    return redacted({name: each for name, each in inputs.items() if name != "$connection"})


def _step(step: Mapping[str, Any]) -> dict[str, Any]:
    given: dict[str, Any] = _whole(step, "inputs") or {}
    inputs = {name: each for name, each in given.items() if name != "$connection"}
    return {"action": step["name"], "inputs": inputs, **_answer(step)}


def _answer(step: Mapping[str, Any], name: str = "result") -> dict[str, Any]:
    """Return the outcome of a step, and its time."""
    ended, failure = step.get("ended_at"), step.get("failure")
    if step["status"] == "failed" and failure is not None:
        told = {each: failure.get(each) for each in ("kind", "message", "status")}
        return {"at": ended, "error": told}
    return {"at": ended, name: _whole(step, "result")}


def _whole(step: Mapping[str, Any], what: str) -> Any:
    """A step's inputs or result, where the API showed all of it."""
    if isinstance(step.get(what), dict) and {"$cut", "$bytes"} & set(step[what]):
        raise DefinitionError(
            f"the {what} of {step['path']} are too large for a fixture; record another execution"
        )
    return step.get(what)


def _note_child(step: Mapping[str, Any], children: list[dict[str, Any]]) -> None:
    """A flow that was called, or started; what is waited for later belongs to the first one left."""
    made = {"flow": step["name"], "event": _whole(step, "inputs")}
    if step["kind"] == "start":
        children.append(made)
        return
    answer = _answer(step)
    if "error" in answer:  # it begins with the id of the execution, which is another one each time
        answer["error"]["message"] = CHILD.sub("", answer["error"]["message"] or "")
    if not step["path"].rpartition("/")[2].startswith("result("):
        children.append({**made, **answer})
        return
    for each in children:
        if each["flow"] == step["name"] and "at" not in each:
            each.update(answer)
            return


def _note_state(
    step: Mapping[str, Any], state: dict[str, dict[str, Any]], touched: set[tuple[str, str]]
) -> None:
    """Note a flow's read of the state, by scope and key, unless it had written it itself."""
    scope, key = state_key(step)
    missing = step.get("result") is None or (
        isinstance(step["result"], dict) and "$bytes" in step["result"]
    )
    if (scope, key) not in touched and step["title"].startswith("Read ") and not missing:
        state.setdefault(scope, {})[key] = step["result"]
    touched.add((scope, key))


def state_key(step: Mapping[str, Any]) -> tuple[str, str]:
    """The scope and the key of a step that reads or writes state."""
    shared = re.match(r"state\.(instance|integration)\.", step["name"])
    key: str = step["title"].partition(" ")[2]
    if shared is None:
        return "flow", key
    return shared[1], key.removeprefix(f"the {shared[1]}'s ")


def _pair(step: Mapping[str, Any]) -> dict[str, Any]:
    given = dict(step["inputs"])
    name = given.pop("pairs")
    ((side, id),) = ((side, id) for side, id in given.items() if id is not None)
    return {"pairs": name, "side": side, "id": id, "other": step["result"]}


def _event(event: Mapping[str, Any], secrets: set[str]) -> dict[str, Any]:
    headers = [[name, value] for name, value in event.get("headers", ())]
    made = {name: event.get(name, "") for name in ("method", "path", "query", "url")}
    made["query"] = _form(made["query"], secrets)
    # The endpoint's id in its URL is what lets anybody send to it.
    made["url"] = re.sub("/hooks/[^/]+", "/hooks/test", made["url"].partition("?")[0])
    if event.get("encoding") == "base64":
        return {**made, "headers": headers, "body_base64": event["body"]}
    body: str = event["body"]
    kind = {name.lower(): value for name, value in headers}.get("content-type", "")
    if kind.startswith(FORM):
        return {**made, "headers": headers, "body": _form(body, secrets)}
    try:
        whole = codec.decode(body)
    except ValueError:
        return {**made, "headers": headers, "body": body}
    safe = redacted(whole, found=secrets)
    return {
        **made,
        "headers": headers,
        "body": body if safe == whole else codec.encode(safe).decode(),
    }


def _form(text: str, secrets: set[str]) -> str:
    fields = parse_qsl(text, keep_blank_values=True)
    hidden = {value for name, value in fields if is_secret(name, value)}
    if not hidden:
        return text
    secrets |= hidden
    return urlencode([(n, HIDDEN if is_secret(n, v) else v) for n, v in fields])


def _call(step: tuple[str, Any]) -> str:
    return f"{step[0]}({', '.join(f'{name}={value!r}' for name, value in step[1].items())})"


def _micros(at: str | None) -> Micros | None:
    return None if at is None else to_micros(datetime.fromisoformat(at))


# Secrets in recordings: what is named like one, wherever it is repeated -----------------------

HIDDEN = "•••"
SECRET = re.compile(
    r"secret|token|passw|pwd|authorization|api[-_]?key|apikey|access[-_]?key|private[-_]?key"
    r"|credential|cookie|session[-_]?id|(^|[-_])signature|^x-.*-signature",
    re.IGNORECASE,
)


def without(value: Any, secrets: Collection[str]) -> Any:
    """JSON without these secrets, wherever else in it an app or a flow has repeated them."""
    text = codec.encode(value).decode()
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= 6:
            text = text.replace(codec.encode(secret).decode()[1:-1], HIDDEN)
    return codec.decode(text)


def redacted(value: Any, *, found: set[str] | None = None) -> Any:
    """JSON with what is named like a secret as `•••`; `found` gathers what was hidden."""
    found = set() if found is None else found
    match value:
        case dict():
            held = cast(dict[str, Any], value)
            if set(held) == {"$secret"}:
                return HIDDEN
            found |= {each for name, each in held.items() if is_secret(name, each)}
            return {
                name: HIDDEN if is_secret(name, each) else redacted(each, found=found)
                for name, each in held.items()
            }
        case list() | tuple():
            items = list(cast(list[Any], value))
            if len(items) == 2 and isinstance(items[0], str) and is_secret(items[0], items[1]):
                found.add(items[1])
                return [items[0], HIDDEN]
            return [redacted(each, found=found) for each in items]
        case _:
            return value


def is_secret(name: str, value: Any) -> bool:
    """Return whether a field is named like a secret, and holds what could be one."""
    return isinstance(value, str) and bool(value) and SECRET.search(name) is not None
