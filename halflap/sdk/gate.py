"""The gate between a connection and its app: whether it may be called now, and what its answers
say.

Outside of the platform there is none. There, `enter` lets a request through, has it wait for a
moment, or raises instead of calling: then the step leaves memory, and is done again later.
"""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, Protocol

from halflap.errors import DefinitionError, InputsRefused, RateLimited, Unauthorized, UpstreamError

if TYPE_CHECKING:
    from halflap.sdk.response import Response


class Blocked(RateLimited):
    """The app was not called: it asked to be left alone for a while, or a limit was reached."""

    def __init__(self, message: str, *, retry_after: timedelta, waiting_for: str) -> None:
        super().__init__(message, retry_after=retry_after, status=None)
        self.waiting_for = waiting_for


class Away(UpstreamError):
    """The app is away: its circuit is open. What needs it waits, and spends no tries."""

    def __init__(self, message: str, *, waiting_for: str) -> None:
        super().__init__(message, retryable=True, in_doubt=False)
        self.waiting_for = waiting_for


class Parked(Unauthorized):
    """The connection's credentials are refused; what needs it waits until it is mended."""

    def __init__(self, message: str, *, waiting_for: str) -> None:
        super().__init__(message)
        self.waiting_for = waiting_for


Judgement = Literal["park", "again", "fail"]
"""The judgement of a step whose credentials were refused."""


class Gate(Protocol):
    """The platform's side of a connection. `waits_for` says which, for what waits to be mended."""

    @property
    def waits_for(self) -> str: ...

    def enter(self) -> Awaitable[None]:
        """Wait for leave to call; raise `Blocked`, `Away` or `Parked` where it is not given now."""
        ...

    def leave(self) -> None:
        """The call is over."""
        ...

    def heard(self, response: Response) -> None:
        """Learn from an answer's status and headers."""
        ...

    def failed(self, error: UpstreamError | DefinitionError | InputsRefused) -> None:
        """Learn from a request without a whole answer, or that could not be sent."""
        ...

    def away(self, error: UpstreamError) -> Away | None:
        """Return what a step's failure means while the app is away; None where it is not."""
        ...

    def quota(self, used: int, allowed: int, resets_in: timedelta | None) -> None:
        """Note how much of a quota is used; where all of it is, nobody calls until it is reset."""
        ...

    async def limited(self, error: RateLimited) -> Blocked:
        """The app asked to be called later: let nobody call until then."""
        ...

    async def refused(self) -> Judgement:
        """The app refused the credentials: park what needs them, where its own test fails too."""
        ...
