"""Requests and effects by idempotency key: the proof that nothing was done twice."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

from halflap_sandbox.answer import Answer, Refused


@dataclass(slots=True)
class Effect:
    """One change that was asked for, once or several times with the same key."""

    key: str | None
    method: str
    path: str
    times: int = 0
    applied: int = 0
    body: bytes = b""
    answer: Answer | None = None

    def json(self) -> dict[str, Any]:
        """Give the effect as the sandbox lists it."""
        return {
            "key": self.key,
            "method": self.method,
            "path": self.path,
            "times": self.times,
            "applied": self.applied,
        }


class Effects:
    """The last effects of a workspace, each with the answer that its key gets again.

    Only an applied change is remembered: what was refused may be tried again with its key.
    """

    def __init__(self, *, kept: int, replays: bool) -> None:
        self.replays = replays
        self._kept = kept
        self._effects: OrderedDict[str | int, Effect] = OrderedDict()
        self._unkeyed = count()

    def json(self, key: str | None = None) -> list[dict[str, Any]]:
        """List the effects in the order in which they were first asked for, or only one key's."""
        if key is not None:
            return [each.json() for each in [self._effects.get(key)] if each]
        return [each.json() for each in self._effects.values()]

    def asked(self, key: str | None, method: str, path: str) -> Effect:
        """Count a request for a change."""
        name: str | int = next(self._unkeyed) if key is None else key
        effect = self._effects.get(name)
        if effect is None:
            effect = self._effects[name] = Effect(key, method, path)
            if len(self._effects) > self._kept:
                self._effects.popitem(last=False)
        effect.times += 1
        return effect

    def apply(
        self, effect: Effect, method: str, path: str, body: bytes, change: Callable[[], Answer]
    ) -> Answer:
        """Make the change and remember its answer, or give the answer that its key already got."""
        if self.replays and effect.answer is not None:
            if (effect.method, effect.path, effect.body) != (method, path, body):
                raise Refused(
                    422,
                    "idempotency_key_reused",
                    "This Idempotency-Key was used for another request; take a new key.",
                    fields={"Idempotency-Key": "was used with another method, path or body"},
                )
            return effect.answer.replayed()
        answer = change()
        effect.applied += 1
        if self.replays and effect.key is not None:
            effect.method, effect.path, effect.body = method, path, body
            effect.answer = answer
        return answer
