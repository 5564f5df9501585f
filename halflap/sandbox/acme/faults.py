"""Faults on request: what an app does on a bad day, from a seed, so that a test can repeat it."""

from __future__ import annotations

import math
import random
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from halflap.sandbox.acme.call import Refused

Rate = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0, le=3600)]


class Faults(BaseModel):
    """The faults of one workspace, or of all that have none of their own."""

    model_config = ConfigDict(extra="forbid")

    workspace: str | None = None
    latency_ms: Annotated[float, Field(ge=0, le=600_000)] = 0
    latency_jitter_ms: Annotated[float, Field(ge=0, le=600_000)] = 0
    error_rate: Rate = 0
    status: Annotated[int, Field(ge=400, le=599)] = 503
    fail_next: Count = 0
    lose_answer_rate: Rate = 0
    lose_answer_next: Count = 0
    rate_limit_per_s: Annotated[float, Field(ge=0)] = 0
    hang_s: Seconds = 0
    duplicate_rate: Rate = 0
    reorder: bool | Rate = False
    drop_webhook_rate: Rate = 0
    seed: int = 0


HELD_BACK = 0.3
"""The longest time, in seconds, that a reordered webhook is held back."""


class FaultPlan:
    """Decides, fault by fault, whether it happens now.

    Each kind of fault draws from a stream of its own: how often one is asked never changes another.
    """

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._fail_next = faults.fail_next
        self._lose_answer_next = faults.lose_answer_next
        self._streams: dict[str, random.Random] = {}
        self._tokens = max(1.0, faults.rate_limit_per_s)
        self._filled_at: float | None = None

    def json(self) -> dict[str, Any]:
        """Give the faults that are on, with what is left of the counted ones."""
        left = {"fail_next": self._fail_next, "lose_answer_next": self._lose_answer_next}
        return self._faults.model_dump(exclude={"workspace"}) | left

    @property
    def active(self) -> bool:
        """Whether anything is still to happen."""
        quiet = {"status", "seed"}
        return any(value for name, value in self.json().items() if name not in quiet)

    @property
    def hang(self) -> float:
        """How many seconds a request is held before its connection is cut, 0 for not at all."""
        return self._faults.hang_s

    def latency(self) -> float:
        """Say how many seconds this request takes longer."""
        jitter = self._faults.latency_jitter_ms
        extra = self._stream("latency").uniform(0, jitter) if jitter else 0
        return (self._faults.latency_ms + extra) / 1000

    def limit(self, now: float) -> None:
        """Refuse the request with 429 where there were too many."""
        rate = self._faults.rate_limit_per_s
        if not rate:
            return
        capacity = max(1.0, rate)
        if self._filled_at is not None:
            filled = self._tokens + max(0.0, now - self._filled_at) * rate
            self._tokens = min(capacity, filled)
        self._filled_at = now
        if self._tokens < 1:
            wait = str(max(1, math.ceil((1 - self._tokens) / rate)))
            message = f"Too many requests: at most {rate:g} a second. Try again in {wait} s."
            raise Refused(429, "rate_limited", message, headers={"Retry-After": wait})
        self._tokens -= 1

    def fail(self) -> None:
        """Refuse the request before anything is done, where its turn to fail has come."""
        if self._fail_next:
            self._fail_next -= 1
        elif not self._happens("error", self._faults.error_rate):
            return
        raise Refused(self._faults.status, "injected", "Acme has a bad day (an injected fault).")

    def loses_answer(self) -> bool:
        """Say whether this effect's answer gets lost."""
        if self._lose_answer_next:
            self._lose_answer_next -= 1
            return True
        return self._happens("lose_answer", self._faults.lose_answer_rate)

    def drops_webhook(self) -> bool:
        """Say whether this webhook is never sent."""
        return self._happens("drop", self._faults.drop_webhook_rate)

    def doubles_webhook(self) -> bool:
        """Say whether this webhook is sent twice."""
        return self._happens("duplicate", self._faults.duplicate_rate)

    def holds_webhook_back(self) -> float:
        """Say for how many seconds this webhook lets others pass."""
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
    """The faults that are on: one plan for all, and one for each workspace that has its own."""

    def __init__(self) -> None:
        self._everywhere = FaultPlan(Faults())
        self._workspaces: dict[str, FaultPlan] = {}

    def of(self, workspace: str) -> FaultPlan:
        """Find the plan that holds for a workspace."""
        return self._workspaces.get(workspace, self._everywhere)

    def set(self, faults: Faults) -> None:
        """Put these faults in the place of the former ones of the same workspace, or of all."""
        if faults.workspace is None:
            self._everywhere = FaultPlan(faults)
        else:
            self._workspaces[faults.workspace] = FaultPlan(faults)

    def clear(self, workspace: str | None = None) -> None:
        """Turn a workspace's own faults off, or all there are."""
        if workspace is None:
            self._everywhere = FaultPlan(Faults())
            self._workspaces.clear()
        else:
            self._workspaces.pop(workspace, None)

    def json(self) -> dict[str, Any]:
        """Give the active faults: `all`, and `workspaces` by id."""
        plans = {of: plan.json() for of, plan in self._workspaces.items() if plan.active}
        everywhere = self._everywhere.json() if self._everywhere.active else None
        return {"all": everywhere, "workspaces": plans}
