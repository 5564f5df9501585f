"""A real execution as a fixture: its event, config, steps and outcome, with its secrets redacted."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode

from halflap.errors import ConfigError
from halflap.sdk import codec

REDACTED = "•••"
SECRET = re.compile(
    r"(?i)(^|[_.-])(authori[sz]ation|cookie|secret|token|passw(or)?d|api_?key|signature|credential"
    r"|private_?key|session|otp|pin|cvv|iban)s?($|[_.-])|(api-?key|access-?token)$"
)
KEPT_HEADERS = frozenset({"content-type", "accept", "user-agent"})


def make_fixture(execution: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """A fixture of an execution, as the API shows it, and of its instance's config.

    It holds `integration`, `flow`, `event` (method, path, query, headers, body or body_base64),
    `config`, `steps` (action, inputs, result or error) and `outcome`. What is named as a secret, in
    headers, query and JSON, is `•••`. `ConfigError` where something was too large to be shown whole.
    """
    state = execution["state"]
    if state not in ("succeeded", "failed", "cancelled", "ignored"):
        raise ConfigError(f"{execution['id']} is {state}; wait until it has ended, then record it")
    return {
        "integration": execution["integration"],
        "flow": execution["flow"],
        "event": event_of(execution),
        "config": redacted(whole(config)),
        "steps": [each for step in execution["steps"] if (each := step_of(step)) is not None],
        "outcome": outcome_of(execution),
    }


def event_of(execution: Mapping[str, Any]) -> dict[str, Any]:
    """The event of a fixture."""
    event = execution["event"]
    if event is None:
        raise ConfigError(f"the event of {execution['id']} is no longer kept; record another one")
    if event.get("note"):
        raise ConfigError(f"the event's body is too large for a fixture ({event['note']})")
    kept: dict[str, Any] = {
        "method": event["method"],
        "path": event["path"],
        "query": form(event["query"]),
        "headers": headers(event["headers"]),
    }
    if event.get("encoding") == "base64":
        return kept | {"body_base64": event["body"]}
    return kept | {"body": body(event["body"], kept["headers"])}


def headers(pairs: Sequence[Sequence[str]]) -> list[list[str]]:
    """Headers with credentials and signatures redacted."""
    return [
        [name, REDACTED if name.lower() not in KEPT_HEADERS and is_secret(name) else value]
        for name, value in pairs
    ]


def body(text: str, pairs: list[list[str]]) -> str:
    """A body with its secrets redacted: JSON and forms by name, anything else as it is."""
    kinds = [value for name, value in pairs if name.lower() == "content-type"]
    if kinds and "x-www-form-urlencoded" in kinds[0]:
        return form(text)
    try:
        value = codec.decode(text.encode())
    except codec.NotJson:
        return text
    cleaned = redacted(value)
    return text if cleaned == value else codec.encode(cleaned).decode()


def form(text: str) -> str:
    """A query or a form with its secrets redacted; unchanged where it has none."""
    pairs = parse_qsl(text, keep_blank_values=True)
    if not any(is_secret(name) for name, _ in pairs):
        return text
    return urlencode([(name, REDACTED if is_secret(name) else value) for name, value in pairs])


def step_of(step: Mapping[str, Any]) -> dict[str, Any] | None:
    """A step of a fixture; None for what a test does not stub: triggers, state, sleeps, retries."""
    if step["kind"] not in ("action", "step") or step["status"] not in ("succeeded", "failed"):
        return None
    inputs: Any = whole(step["inputs"]) or {}
    made = {
        "action": step["name"],
        "inputs": redacted({name: each for name, each in inputs.items() if name != "$connection"}),
    }
    failure = step.get("failure")
    if step["status"] == "failed" and failure is not None:
        error = {"kind": failure["kind"], "message": failure["message"]}
        return made | {
            "error": error | ({"status": failure["status"]} if failure["status"] else {})
        }
    return made | {"result": redacted(whole(step["result"]))}


def outcome_of(execution: Mapping[str, Any]) -> dict[str, Any]:
    """How the execution ended."""
    outcome: dict[str, Any] = {"state": execution["state"]}
    if execution.get("reason"):
        outcome["reason"] = execution["reason"]
    failure = execution.get("failure")
    if failure is not None:
        outcome["error"] = {"kind": failure["kind"], "message": failure["message"]}
    elif execution["state"] == "succeeded":
        outcome["result"] = redacted(whole(execution.get("result")))
    return outcome


def whole(value: Any) -> Any:
    """A value, if it was shown whole."""
    if isinstance(value, Mapping) and ("$cut" in value or "$bytes" in value):
        raise ConfigError(
            "a step's inputs or result are too large for a fixture; record another one"
        )
    return cast(Any, value)


def redacted(value: Any) -> Any:
    """JSON with every text under a secret's name as `•••`."""
    if isinstance(value, Mapping):
        held = cast(Mapping[str, Any], value)
        return {
            name: REDACTED if isinstance(each, str) and is_secret(name) else redacted(each)
            for name, each in held.items()
        }
    if isinstance(value, list):
        return [redacted(each) for each in cast(list[Any], value)]
    return value


def is_secret(name: str) -> bool:
    """Whether a header, a parameter or a field of this name holds a secret."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return SECRET.search(parted) is not None
