"""A scope: steps in order, the flow itself or one branch of `ctx.gather`.

A step is known by its scope, its name and its occurrence there: `gather[42]/acme.create#2`.
"""

from __future__ import annotations

import asyncio
from collections import ChainMap, deque
from collections.abc import Callable, MutableMapping
from contextvars import ContextVar
from typing import Any
from weakref import ref

from halflap.errors import DefinitionError
from halflap.model import EARLIER, LogLine, Micros
from halflap.sdk.declared import bounded
from halflap.sdk.running import Suspended

LONGEST_KEY = 200


class StepScope:
    """Steps in order, in one asyncio task.

    `ahead` are the paths that its journal has, in order, and that the flow has not come to;
    `position` is how many it has come by. `now` is the time of its last durable record. `lines` wait
    for the next record. `fresh` says that it has gone beyond what a replay copied from another
    execution. `spare` are the effects among these copies that it has not come to: they are not made
    twice.
    """

    def __init__(
        self,
        path: str,
        now: Micros,
        ahead: deque[str],
        parent: StepScope | None = None,
        task: Callable[[], asyncio.Task[Any] | None] = lambda: None,
    ) -> None:
        self.path = path
        self.now = now
        self.ahead = ahead
        self.parent = parent
        self.task = task
        """Weak: the task's context has the scope, and nothing is left to the garbage collector."""
        self.spare: set[str] = set()
        self.position = self.uuids = 0
        self.occurrences: dict[str, int] = {}
        self.unwinding = self.fresh = False
        self.lines: list[LogLine] = []
        self._known: dict[bytes, MutableMapping[str, Any]] = {}

    def enter(self) -> None:
        """Take the current task as the one whose steps are in this scope."""
        task = asyncio.current_task()
        assert task is not None
        self.task = ref(task)
        current.set(self)

    def next_path(self, name: str) -> str:
        """The path of the next step of that name."""
        count = self.occurrences[name] = self.occurrences.get(name, 0) + 1
        return f"{self.path}{name}#{count}" if count > 1 else f"{self.path}{name}"

    def known(self, key: bytes) -> MutableMapping[str, Any]:
        """Return what was asked for under a key, here and before this branch began.

        The scope around a branch stands still while the branch runs, so it is the same on every attempt.
        """
        if key not in self._known:
            around = () if self.parent is None else (self.parent.known(key),)
            self._known[key] = ChainMap({}, *around)
        return self._known[key]

    @property
    def replaying(self) -> bool:
        """True if an earlier attempt has been here: what is logged now was logged then."""
        if any(not each.startswith(EARLIER) for each in self.ahead):
            return True
        return self.parent is not None and self.parent.replaying


current: ContextVar[StepScope | None] = ContextVar("halflap.scope", default=None)


def current_scope() -> StepScope:
    """The scope of the step that is called now."""
    scope = current.get()
    task = None if scope is None else scope.task()
    # Asked of its loop: without one, the current loop is looked for, which asks the system for more.
    if scope is None or task is None or task is not asyncio.current_task(task.get_loop()):
        raise DefinitionError(
            "a step was called from a task of its own; fan out by ctx.gather, which keeps each "
            "branch's steps apart (asyncio.gather, create_task and wait_for make tasks)"
        )
    if scope.unwinding:
        raise Suspended
    return scope


def escaped(key: str) -> str:
    """A key as it may stand in a path; a long one is cut, and told apart by a digest."""
    for each in "%/[]#":
        key = key.replace(each, f"%{ord(each):02X}")
    return bounded(key, LONGEST_KEY)
