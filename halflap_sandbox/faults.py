"""Faults on request: what an app does on a bad day, from a seed, so that a test can repeat it."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, create_model

Rate = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Places = Annotated[list[Count], Field(max_length=1000)]
"""Numbers of requests, counted from 0 since the faults were turned on."""
Seconds = Annotated[float, Field(ge=0, le=3600)]


class Injected(Exception):
    """A request fails before anything is done: an injected fault."""

    def __init__(self, status: int) -> None:
        super().__init__("A bad day (an injected fault).")
        self.status = status


class Exceeded(Exception):
    """A request is one too many: an injected rate limit. `retry_after` is in whole seconds."""

    def __init__(self, rate: float, retry_after: int) -> None:
        most = f"at most {rate:g} a second"
        super().__init__(f"Too many requests: {most}. Try again in {retry_after} s.")
        self.retry_after = retry_after


class Faults(BaseModel):
    """The faults of one customer's part of an app, or of all parts that have none of their own.

    An app has a word of its own for its part, and for the rate of the messages that are never sent.
    """

    model_config = ConfigDict(extra="forbid")

    part: str | None = None
    drop_rate: Rate = 0
    latency_ms: Annotated[float, Field(ge=0, le=600_000)] = 0
    latency_jitter_ms: Annotated[float, Field(ge=0, le=600_000)] = 0
    error_rate: Rate = 0
    status: Annotated[int, Field(ge=400, le=599)] = 503
    fail_next: Count = 0
    fail_at: Places = []
    lose_answer_rate: Rate = 0
    lose_answer_next: Count = 0
    lose_answer_at: Places = []
    rate_limit_per_s: Annotated[float, Field(ge=0)] = 0
    hang_s: Seconds = 0
    duplicate_rate: Rate = 0
    reorder: bool | Rate = False
    seed: int = 0


HELD_BACK = 0.3
"""The longest time, in seconds, that a reordered message is held back."""


class Turn:
    """Tells the requests whose place is named from the others."""

    def __init__(self, places: Sequence[int]) -> None:
        self._places = sorted(set(places))
        self._asked = 0

    @property
    def left(self) -> list[int]:
        """The places that are still to come, counted from now."""
        return [each - self._asked for each in self._places if each >= self._asked]

    def comes(self) -> bool:
        """Count a request, and say whether it is one of those."""
        self._asked += 1
        return self._asked - 1 in self._places


class FaultPlan:
    """Decides, fault by fault, whether it happens now.

    Each kind of fault draws from a stream of its own: how often one is asked never changes another.
    """

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._fail_next = faults.fail_next
        self._fail_at = Turn(faults.fail_at)
        self._lose_answer_next = faults.lose_answer_next
        self._lose_answer_at = Turn(faults.lose_answer_at)
        self._streams: dict[str, random.Random] = {}
        self._tokens = max(1.0, faults.rate_limit_per_s)
        self._filled_at: float | None = None

    def json(self) -> dict[str, Any]:
        """Give the faults that are on, with what is left of the counted ones.

        Of the places, those that are still to come, counted from now.
        """
        left = {
            "fail_next": self._fail_next,
            "fail_at": self._fail_at.left,
            "lose_answer_next": self._lose_answer_next,
            "lose_answer_at": self._lose_answer_at.left,
        }
        return self._faults.model_dump(by_alias=True, exclude={"part"}) | left

    @property
    def active(self) -> bool:
        """True if anything is still to happen."""
        quiet = {"status", "seed"}
        return any(value for name, value in self.json().items() if name not in quiet)

    @property
    def hang(self) -> float:
        """Seconds that a request is held before its connection is cut, 0 for not at all."""
        return self._faults.hang_s

    def latency(self) -> float:
        """Say how many seconds this request takes longer."""
        jitter = self._faults.latency_jitter_ms
        extra = self._stream("latency").uniform(0, jitter) if jitter else 0
        return (self._faults.latency_ms + extra) / 1000

    def limit(self, now: float) -> None:
        """Raise Exceeded where there were too many requests."""
        rate = self._faults.rate_limit_per_s
        if not rate:
            return
        capacity = max(1.0, rate)
        if self._filled_at is not None:
            filled = self._tokens + max(0.0, now - self._filled_at) * rate
            self._tokens = min(capacity, filled)
        self._filled_at = now
        if self._tokens < 1:
            raise Exceeded(rate, max(1, math.ceil((1 - self._tokens) / rate)))
        self._tokens -= 1

    def fail(self) -> None:
        """Raise Injected where it is the request's turn to fail."""
        if self._fail_at.comes():
            raise Injected(self._faults.status)
        if self._fail_next:
            self._fail_next -= 1
        elif not self._happens("error", self._faults.error_rate):
            return
        raise Injected(self._faults.status)

    def loses_answer(self) -> bool:
        """Say whether this effect's answer gets lost."""
        if self._lose_answer_at.comes():
            return True
        if self._lose_answer_next:
            self._lose_answer_next -= 1
            return True
        return self._happens("lose_answer", self._faults.lose_answer_rate)

    def drops(self) -> bool:
        """Say whether this message is never sent."""
        return self._happens("drop", self._faults.drop_rate)

    def doubles(self) -> bool:
        """Say whether this message is sent twice."""
        return self._happens("duplicate", self._faults.duplicate_rate)

    def holds_back(self) -> float:
        """Say for how many seconds this message lets others pass."""
        if not self._happens("reorder", float(self._faults.reorder)):
            return 0
        return self._stream("reorder").uniform(0, HELD_BACK)

    def _happens(self, kind: str, rate: float) -> bool:
        return rate > 0 and self._stream(kind).random() < rate

    def _stream(self, kind: str) -> random.Random:
        if kind not in self._streams:
            # A seed of its own for each kind; nothing here is a secret.
            self._streams[kind] = random.Random(f"{self._faults.seed}/{kind}")  # noqa: S311
        return self._streams[kind]


class FaultBoard:
    """The faults that are on: one plan for all parts, and one for each part that has its own.

    `part` and `dropped` are the app's words: `workspace`, `drop_webhook_rate`.
    """

    def __init__(self, part: str, dropped: str = "drop_webhook_rate") -> None:
        self.shape: type[Faults] = create_model(
            "AppFaults",
            __base__=Faults,
            part=(str | None, Field(None, alias=part)),
            drop_rate=(Rate, Field(0, alias=dropped)),
        )
        self._parts_as = f"{part}s"
        self._everywhere = FaultPlan(Faults())
        self._parts: dict[str, FaultPlan] = {}

    def of(self, part: str) -> FaultPlan:
        """Find the plan that holds for a part."""
        return self._parts.get(part, self._everywhere)

    def set(self, faults: Faults) -> None:
        """Put these faults in the place of the former ones of the same part, or of all."""
        if faults.part is None:
            self._everywhere = FaultPlan(faults)
        else:
            self._parts[faults.part] = FaultPlan(faults)

    def clear(self, part: str | None = None) -> None:
        """Turn a part's own faults off, or all there are."""
        if part is None:
            self._everywhere = FaultPlan(Faults())
            self._parts.clear()
        else:
            self._parts.pop(part, None)

    def json(self) -> dict[str, Any]:
        """Give the active faults: `all`, and those of the parts (such as `workspaces`) by id."""
        plans = {of: plan.json() for of, plan in self._parts.items() if plan.active}
        everywhere = self._everywhere.json() if self._everywhere.active else None
        return {"all": everywhere, self._parts_as: plans}
