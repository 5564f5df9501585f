"""The lease on messages that were received: prolonged while they wait, deleted once they are accepted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from halflap import UpstreamError
from halflap.components.aws.connection import values_of

if TYPE_CHECKING:
    from halflap.components.sqs import Sqs

AT_ONCE = 10
"""The most messages of a request."""
TRIES = 3
RETRY_SECONDS = 0.3
LONGEST_PROLONGED = 43_200
"""Seconds for which SQS leaves a message invisible at most, from when it was received."""


class MessageLease:
    """Received messages of a queue, which SQS shows to no other reader for as long as it is entered.

    What is not deleted as it ends is shown again at once.
    """

    def __init__(
        self, aws: Sqs, queue: str, visibility: int, received: Sequence[Mapping[str, Any]]
    ) -> None:
        self._aws = aws
        self._queue = queue
        self._visibility = visibility
        self._left = {str(n): str(each["ReceiptHandle"]) for n, each in enumerate(received)}
        self._prolonging: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._prolonging = asyncio.create_task(self._prolong(), name="sqs prolongs")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end_prolonging()
        if self._left:
            with contextlib.suppress(UpstreamError):  # they come again by themselves then
                await self._change("ChangeMessageVisibilityBatch", {"VisibilityTimeout": 0})

    async def delete(self) -> None:
        """Delete them, as they are accepted; `UpstreamError` where some could not be."""
        await self._end_prolonging()
        failed: dict[str, Mapping[str, Any]] = {}
        for attempt in range(TRIES):
            if attempt:
                await asyncio.sleep(RETRY_SECONDS * 2 ** (attempt - 1))
            failed = await self._change("DeleteMessageBatch", {})
            self._left = {name: each for name, each in self._left.items() if name in failed}
            if all(each.get("SenderFault") for each in failed.values()):
                break
        if failed:
            first = next(iter(failed.values()))
            raise UpstreamError(
                f"SQS did not delete {len(failed)} messages that are accepted ({first.get('Code')}: "
                f"{str(first.get('Message', ''))[:300]}); they come again, and are known then"
            )

    async def _prolong(self) -> None:
        """Keep them invisible to others while they wait for room."""
        prolonged = 0.0
        while prolonged < LONGEST_PROLONGED:
            await asyncio.sleep(self._visibility / 2)
            prolonged += self._visibility / 2
            with contextlib.suppress(UpstreamError):  # tried again, in time
                longest = min(self._visibility, int(LONGEST_PROLONGED - prolonged))
                await self._change("ChangeMessageVisibilityBatch", {"VisibilityTimeout": longest})

    async def _end_prolonging(self) -> None:
        task, self._prolonging = self._prolonging, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _change(self, action: str, what: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
        """Do something to all that are left; what failed, by name."""
        names = list(self._left)
        parts = [names[at : at + AT_ONCE] for at in range(0, len(names), AT_ONCE)]
        answers = await asyncio.gather(
            *(
                self._aws.call_json(
                    action,
                    {
                        "QueueUrl": self._queue,
                        "Entries": [
                            {"Id": name, "ReceiptHandle": self._left[name], **what} for name in part
                        ],
                    },
                )
                for part in parts
            )
        )
        return {each["Id"]: each for answer in answers for each in values_of(answer, "Failed")}
