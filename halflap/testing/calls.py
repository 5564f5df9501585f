"""Calls of an execution: its actions, the flows that it called or started, the routes that it took."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic import SecretStr

from halflap.model import Record
from halflap.sdk import codec
from halflap.sdk.action import Action
from halflap.sdk.integration import Flow
from halflap.sdk.routing import Route
from halflap.sdk.schema import UNSET

CALLS = ("action", "call", "start")


@dataclass(frozen=True, slots=True)
class Called:
    """A call as it was recorded: the action's or the flow's name, and what it was given, as JSON.

    Equals a `called(…)` that names it, with inputs that are the same.
    """

    name: str
    given: Any

    def __repr__(self) -> str:
        members = members_of(self).items()
        shown = [f"{name}={each!r}" for name, each in members]
        if not shown and self.given:
            shown = [repr(self.given)]
        return f"{self.name}({', '.join(shown)})"


class called:  # noqa: N801 (reads as a word in an assertion)
    """An expected call, to compare with `result.calls`: `called(acme.add_stock, item="anvil")`.

    Of an action the inputs, of a flow the members of its event; what is left out may be anything, at any
    depth, but a list is whole. Of a route, `event`, and whose it is:
    `called(posted, config={"team": "T1"})`.
    """

    def __init__(
        self, target: Action[..., Any] | Flow[Any, Any, Any] | str, /, **given: Any
    ) -> None:
        self.name = target if isinstance(target, str) else target.name
        self.given: Mapping[str, Any] = given

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Called):
            return NotImplemented
        return self.name == other.name and unlike(members_of(other), self.given) is None

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return repr(Called(self.name, dict(self.given)))


def members_of(call: Called) -> dict[str, Any]:
    """Return the inputs of a call, by name."""
    held: Any = call.given
    return cast("dict[str, Any]", held) if isinstance(held, dict) else {}


def unlike(held: Any, expected: Any) -> tuple[str | int, ...] | None:
    """Return where a recorded value is another than the expected one; None where it is the same.

    The members of an object that are not expected may be anything. An expected value may be a model,
    and a secret's its text.
    """
    if isinstance(held, SecretStr):
        return None if expected in (held, held.get_secret_value()) else ()
    if held == expected:
        return None
    wanted: Any = expected
    if not isinstance(expected, Mapping | list):
        wanted = codec.decode(codec.encode(expected))
    if isinstance(held, dict) and isinstance(wanted, Mapping):
        members = cast("dict[str, Any]", held)
        others = cast("Mapping[str, Any]", wanted).items()
        return _first((name, members.get(name, _NOTHING), each) for name, each in others)
    if isinstance(held, list) and isinstance(wanted, list):
        items, others = cast("list[Any]", held), cast("list[Any]", wanted)
        if len(items) == len(others):
            return _first((at, items[at], each) for at, each in enumerate(others))
    return None if held == wanted else ()


_NOTHING = object()


def _first(parts: Iterable[tuple[str | int, Any, Any]]) -> tuple[str | int, ...] | None:
    """Return where the first part is another than the expected one: its key, and where in it."""
    found = ((key, () if held is _NOTHING else unlike(held, each)) for key, held, each in parts)
    return next(((key, *inner) for key, inner in found if inner is not None), None)


def calls_in(
    records: Sequence[Record], given: Mapping[str, Sequence[tuple[str, Any]]]
) -> list[Called]:
    """The calls among an execution's records, in order; `given` are the inputs of its steps, by path."""
    return [
        Called(each.name, _whole(each, dict(given.get(each.path, ()))))
        for each in records
        if each.kind in CALLS and not each.name.startswith("result(")
    ]


def _whole(record: Record, given: Mapping[str, Any]) -> Any:
    """Return the inputs of a call, with the secrets that no record holds."""
    inputs = told(record.path, codec.decode(record.inputs or b"null"))
    secrets = {name: each for name, each in given.items() if isinstance(each, SecretStr)}
    return {**inputs, **secrets} if secrets else inputs


def told(path: str, inputs: Any) -> Any:
    """Return the inputs of a call; of a route, its owner and its flow, as the document writes it."""
    if "route(" not in path:
        return inputs
    route = Route.of(inputs)
    whose = {"customer": route.customer, "config": route.config, "instance": route.instance}
    event = {} if route.event is UNSET else {"event": route.event}
    return {**{name: each for name, each in whose.items() if each}, **event}
