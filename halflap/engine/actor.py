"""An actor: a mailbox, and a task that works it off one message after another.

The task lives only while there is mail, so an actor costs nothing at rest and needs no closing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any


class Actor:
    """Keeps what is its own, and changes it only in answer to messages."""

    def __init__(self) -> None:
        self._mail: deque[tuple[Any, asyncio.Future[Any] | None]] = deque()
        self._task: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether there is mail, or some of it is being handled."""
        return self._task is not None

    async def receive(self, message: Any) -> Any:
        """Handle one message; what it returns or raises goes to whoever asked."""
        raise NotImplementedError

    def tell(self, message: Any) -> None:
        """Put a message into the mailbox."""
        self._post(message, None)

    async def ask(self, message: Any) -> Any:
        """Put a message into the mailbox, and wait for the answer."""
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._post(message, reply)
        return await reply

    def _post(self, message: Any, reply: asyncio.Future[Any] | None) -> None:
        self._mail.append((message, reply))
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        while self._mail:
            message, reply = self._mail.popleft()
            try:
                answer = await self.receive(message)
            except Exception as error:
                if reply is None:
                    self._task = None
                    raise
                if not reply.done():
                    reply.set_exception(error)
            else:
                if reply is not None and not reply.done():
                    reply.set_result(answer)
        self._task = None
