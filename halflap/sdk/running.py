"""The current execution: the seam between a call in an author's code and the engine that records
it.

Two context variables say where a call happens. In a flow, `recorder` is set and an action is a
step. Inside an action, `step` says which step's requests are being made, and a nested action is a
plain call. Elsewhere both are None and an action is a plain function.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping, Sequence
from contextvars import ContextVar, Token
from datetime import datetime
from functools import wraps
from hashlib import blake2b
from types import CodeType, CoroutineType
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar, cast
from uuid import UUID

from halflap.errors import DefinitionError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from halflap.sdk.component import Action
    from halflap.sdk.connection import Connection, Link
    from halflap.sdk.deadline import Deadline
    from halflap.sdk.gate import Gate
    from halflap.sdk.pairs import Pairs


T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Coroutine[Any, Any, Any]])


class CallLog:
    """The calls that a flow made: a coroutine that is dropped would be a step that never happens."""

    def __init__(self) -> None:
        self._made: list[tuple[Any, str, CodeType, int]] = []
        self._most = 64

    def add(self, coroutine: Coroutine[Any, Any, T], name: str) -> Coroutine[Any, Any, T]:
        """Note a call whose caller's caller is the author's code, and return its coroutine."""
        if len(self._made) > self._most:  # forget those that have begun
            self._made = [each for each in self._made if is_unawaited(each[0])]
            self._most = 64 + 2 * len(self._made)
        frame = sys._getframe(2)
        self._made.append((coroutine, name, frame.f_code, frame.f_lasti))
        return coroutine

    def check(self) -> None:
        """Raise `DefinitionError` where a call was never awaited."""
        missed = [each for each in self._made if is_unawaited(each[0])]
        for each in missed:
            each[0].close()
        if missed:
            _, name, code, at = missed[0]
            line = next(line for begin, end, line in code.co_lines() if begin <= at < end)
            more = f" (and {len(missed) - 1} more calls)" if len(missed) > 1 else ""
            raise DefinitionError(
                f"{name} was called and never awaited{more}, so it did not happen; write "
                f"`await {name}(…)`",
                where=f"{code.co_filename}:{line}",
            )


def is_unawaited(made: CoroutineType[Any, Any, Any]) -> bool:
    """Return True for a coroutine that was made and has not begun."""
    return made.cr_frame is not None and not (made.cr_suspended or made.cr_running)


def noted(name: str) -> Callable[[F], F]:
    """Decorate a verb of the context, so that a call of it which is never awaited fails the flow."""

    def decorate(verb: F) -> F:
        @wraps(verb)
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            return self._recorder.calls.add(verb(self, *args, **kwargs), name)

        return cast(F, call)

    return decorate


class Waiting(Protocol):
    """The verbs of a `Recorder` that start other flows, and that wait."""

    async def sleep(self, seconds: float) -> None: ...

    async def start(self, flow: str, event: bytes, *, bound: bool) -> str: ...

    async def call_flow(self, flow: str, event: bytes, adapter: TypeAdapter[Any] | None) -> Any: ...

    async def result(self, flow: str, child: str, adapter: TypeAdapter[Any] | None) -> Any: ...

    async def continue_with(self, event: bytes) -> NoReturn: ...

    async def wait_for(
        self,
        name: str,
        timeout: float | None,
        adapter: TypeAdapter[Any] | None,
        choices: Sequence[str],
    ) -> Any:
        """`choices` are those of the links that were made for it."""
        ...

    def question(self, name: str) -> str:
        """The name of the next wait for a signal of that name here: one answer to it counts."""
        ...


class Recorder(Protocol):
    """Records what a flow does; the engine's executor is one."""

    @property
    def calls(self) -> CallLog: ...

    @property
    def waits(self) -> Waiting: ...

    async def call(self, action: Action[..., Any], arguments: Mapping[str, Any]) -> Any:
        """Run the action as a step, or answer from the journal."""
        ...

    def known(
        self, action: Action[..., Any], arguments: Mapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """Return what the scope of this call knows by an action with these arguments, to be added to."""
        ...

    async def gather(
        self,
        items: list[Any],
        keys: list[str],
        do: Callable[[Any], Awaitable[Any]],
        limit: int,
    ) -> list[Any]: ...

    def now(self) -> datetime: ...

    def uuid(self) -> UUID: ...

    async def read_state(self, scope: str, key: str) -> Any: ...

    async def write_state(self, scope: str, key: str, value: Any, expect: Any) -> bool: ...

    async def read_pair(self, pairs: Pairs, side: str, id: str) -> str | None: ...

    async def write_pair(self, pairs: Pairs, ids: Mapping[str, str], *, remove: bool) -> bool: ...

    def log(self, level: str, message: str, fields: Mapping[str, Any]) -> None: ...


class RunningStep:
    """The step whose requests are being made: its path, and how many it has made.

    through: the gate of the connection that its last request went through. effects: how many of its
    requests with an effect may have been carried out.
    once: its last request must not be sent twice. keyed: it had a key that the app honours. in_doubt: it
    was sent, and may have been carried out.
    sent: hears of the headers of each request, for what may not be recorded.
    variant: what tells this try's requests from another's, where they do not say the same.
    limit: the action's time-out, which a wait for the connection's turn does not use up.
    patience: seconds that a request may take, where that is longer than the connection's limits.
    """

    requests: int = 0
    variant: str = ""
    link: Callable[[Connection], Link | None] | None = None
    through: Gate | None = None
    effects: int = 0
    once: bool = False
    keyed: bool = False
    in_doubt: bool = False
    limit: Deadline | None = None
    patience: float = 0.0
    _before: Token[RunningStep | None]

    def __init__(
        self,
        path: str,
        root: str,
        *,
        log: Callable[[str, str, Mapping[str, Any]], None] | None = None,
        sent: Callable[[Mapping[str, str]], None] | None = None,
    ) -> None:
        self.path, self.root, self.log, self.sent = path, root, log, sent

    def __enter__(self) -> None:
        """Make what is called from now on this step's: its requests are, and no call is a step."""
        self._before = step.set(self)

    def __exit__(self, *_: object) -> None:
        """Make what is called from now on the flow's again."""
        step.reset(self._before)

    async def enter(self, gate: Gate) -> None:
        """Wait for the leave of a connection to call, while the time-out stands still."""
        self.through = gate
        limit = self.limit
        if limit is None or limit.is_paused:
            return await gate.enter()
        limit.pause()
        try:
            await gate.enter()
        finally:
            limit.resume()

    def next_key(self) -> str:
        """The idempotency key of the step's next request: the same on every try that says the same."""
        self.requests += 1
        return self.key_of(self.requests)

    def key_of(self, number: int) -> str:
        """The idempotency key of a request by its number."""
        return idempotency_key(self.root, self.path + self.variant, number)


def idempotency_key(root: str, path: str, number: int) -> str:
    """The key of request `number` of the step at `path`, in the lineage of execution `root`."""
    digest = blake2b(f"{path}\0{number}".encode(), digest_size=12).hexdigest()
    return f"{root}-{digest}"


recorder: ContextVar[Recorder | None] = ContextVar("halflap.recorder", default=None)
step: ContextVar[RunningStep | None] = ContextVar("halflap.step", default=None)


def recording() -> Recorder | None:
    """Return what records a call that is made now; None where it is a plain call."""
    return None if step.get() is not None else recorder.get()


class Suspended(BaseException):
    """Unwinds a flow that has to wait; not an `Exception`, so that no author catches it."""
