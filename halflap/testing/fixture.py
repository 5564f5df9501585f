"""Recorded fixtures: a real execution as JSON, without its secrets, to be run again as a test."""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode

from halflap.engine.clock import ManualClock
from halflap.errors import DefinitionError, StepFailed
from halflap.model import Micros, to_datetime, to_micros
from halflap.sdk import codec, running
from halflap.sdk.action import Action
from halflap.sdk.integration import Integration
from halflap.sdk.pairs import Pairs
from halflap.sdk.record import encode_inputs
from halflap.sdk.request import Headers, Request
from halflap.testing.result import Done, Result, Step
from halflap.testing.stub import Stubs

HIDDEN = "•••"
SECRET = re.compile(
    r"secret|token|passw|pwd|authorization|api[-_]?key|apikey|access[-_]?key|private[-_]?key"
    r"|credential|cookie|session[-_]?id|(^|[-_])signature|^x-.*-signature",
    re.IGNORECASE,
)
EMAIL = re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)+")
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Fixture:
    """A recorded execution: what came, what each step was given and gave, how it ended."""

    integration: str
    flow: str
    event: Mapping[str, Any]
    config: dict[str, Any] = field(default_factory=dict[str, Any])
    state: dict[str, Any] = field(default_factory=dict[str, Any])
    paired: tuple[Mapping[str, str], ...] = ()
    records: dict[str, Any] = field(default_factory=dict[str, Any])
    steps: tuple[Mapping[str, Any], ...] = ()
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
        held = codec.decode(where.read_bytes())
        return Fixture(
            integration=held["integration"],
            flow=held["flow"],
            event=held["event"],
            config=held.get("config", {}),
            state=held.get("state", {}),
            paired=tuple(held.get("paired", ())),
            records=held.get("records", {}),
            steps=tuple(held.get("steps", ())),
            outcome=held.get("outcome", {}),
            root=held.get("root"),
            now=_micros(held.get("accepted_at")),
        )
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


def make_fixture(
    detail: Mapping[str, Any],
    *,
    config: Mapping[str, Any] | None = None,
    emails: bool = True,
) -> dict[str, Any]:
    """An execution, as the API shows it, as the JSON of a fixture; secrets become `•••`.

    `config` is the instance's plain config. `emails=False` takes e-mail addresses out, too. Raises
    `DefinitionError` where the API cut what the fixture needs.
    """
    event = detail.get("event")
    if not event or event.get("note"):
        raise DefinitionError(
            f"the event of {detail.get('id')} is gone or was cut; record another execution"
        )
    secrets: set[str] = set()
    steps: list[dict[str, Any]] = []
    state: dict[str, Any] = {}
    touched: set[str] = set()
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
    made: dict[str, Any] = {
        "integration": detail["integration"],
        "flow": detail["flow"],
        "root": detail.get("root"),
        "accepted_at": detail.get("accepted_at"),
        "event": _event(event, secrets),
        "config": dict(config or {}),
        "state": state,
        "paired": paired,
        "records": records,
        "steps": steps,
        "outcome": {
            "state": detail["state"],
            "reason": detail.get("reason") or "",
            "result": detail.get("result"),
        },
    }
    safe = redacted(made, emails=emails, found=secrets)
    return without(safe, secrets)


def without(value: Any, secrets: Collection[str]) -> Any:
    """JSON without these secrets, wherever else in it an app or a flow has repeated them."""
    text = codec.encode(value).decode()
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= 6:
            text = text.replace(codec.encode(secret).decode()[1:-1], HIDDEN)
    return codec.decode(text)


def redacted(value: Any, *, emails: bool = True, found: set[str] | None = None) -> Any:
    """JSON with what is named like a secret as `•••`; `found` gathers what was hidden."""
    found = set() if found is None else found
    match value:
        case dict():
            held = cast(dict[str, Any], value)
            if set(held) == {"$secret"}:
                return HIDDEN
            found |= {each for name, each in held.items() if is_secret(name, each)}
            return {
                name: HIDDEN
                if is_secret(name, each)
                else redacted(each, emails=emails, found=found)
                for name, each in held.items()
            }
        case list() | tuple():
            items = list(cast(list[Any], value))
            if len(items) == 2 and isinstance(items[0], str) and is_secret(items[0], items[1]):
                found.add(items[1])
                return [items[0], HIDDEN]
            return [redacted(each, emails=emails, found=found) for each in items]
        case str() if not emails:
            return EMAIL.sub("someone@example.com", value)
        case _:
            return value


def is_secret(name: str, value: Any) -> bool:
    """Whether a field is named like a secret, and holds what could be one."""
    return isinstance(value, str) and bool(value) and SECRET.search(name) is not None


class Recorded(Stubs):
    """Answers each step as it was answered when it was recorded."""

    def __init__(self, fixture: Fixture, clock: ManualClock) -> None:
        super().__init__({}, {}, networked=False)
        self._left = list(fixture.steps)
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
        ended = _micros(found.get("at"))
        if ended is not None and ended > self._clock():
            self._clock.advance((ended - self._clock()) / 1e6)
        failed = found.get("error")
        if failed is not None:
            raise StepFailed(
                failed.get("message", ""),
                error=failed.get("kind", ""),
                status=failed.get("status"),
            )
        return found.get("result")


def replayed(fixture: Fixture, clock: ManualClock) -> Stubs:
    """What answers a fixture's steps."""
    return Recorded(fixture, clock)


def compare(fixture: Fixture, result: Result) -> None:
    """Assert that an execution went as its fixture says."""
    was = [(each["action"], each.get("inputs", {})) for each in fixture.steps]
    now = [(each.action, recorded_inputs(each)) for each in result.steps]
    for number, (before, after) in enumerate(zip(was, now, strict=False), start=1):
        assert after == before, f"step {number} was {_call(before)} and is {_call(after)}"
    missing, extra = was[len(now) :], now[len(was) :]
    assert not missing, f"the flow no longer calls {', '.join(map(_call, missing))}"
    assert not extra, f"the flow now calls {', '.join(map(_call, extra))} too"
    wanted = fixture.outcome
    assert result.state == wanted.get("state", result.state), (
        f"it was {wanted['state']} and is {result.state}: {result.reason}"
    )
    if "result" in wanted:
        returned = redacted(result.result)
        assert returned == wanted["result"], f"it returned {wanted['result']!r}, now {returned!r}"


def recorded_inputs(step: Step) -> dict[str, Any]:
    """A step's inputs as a fixture has them."""
    if step.definition is None:
        return redacted(dict(step.inputs))
    return shown(codec.decode(encode_inputs(step.definition, dict(step.inputs))))


def shown(inputs: dict[str, Any]) -> dict[str, Any]:
    """Recorded inputs without the connection and without secrets."""
    return redacted({name: each for name, each in inputs.items() if name != "$connection"})


def _step(step: Mapping[str, Any]) -> dict[str, Any]:
    for what in ("inputs", "result"):
        if isinstance(step.get(what), dict) and {"$cut", "$bytes"} & set(step[what]):
            raise DefinitionError(
                f"the {what} of {step['path']} are too large for a fixture; record another execution"
            )
    given: dict[str, Any] = step.get("inputs") or {}
    made: dict[str, Any] = {
        "action": step["name"],
        "inputs": {name: each for name, each in given.items() if name != "$connection"},
        "at": step.get("ended_at"),
    }
    failure = step.get("failure")
    if step["status"] == "failed" and failure is not None:
        return {
            **made,
            "error": {name: failure.get(name) for name in ("kind", "message", "status")},
        }
    return {**made, "result": step.get("result")}


def _note_state(step: Mapping[str, Any], state: dict[str, Any], touched: set[str]) -> None:
    key = step["title"].partition(" ")[2]
    missing = step.get("result") is None or (
        isinstance(step["result"], dict) and "$bytes" in step["result"]
    )
    if key not in touched and step["title"].startswith("Read ") and not missing:
        state[key] = step["result"]
    touched.add(key)


def _pair(step: Mapping[str, Any]) -> dict[str, Any]:
    given = dict(step["inputs"])
    name = given.pop("pairs")
    ((side, id),) = given.items()
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
