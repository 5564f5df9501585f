"""Runs the code of steps in worker processes, which hold the sandbox."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from halflap.lowcode.code.conversation import (
    Answer,
    CodeCall,
    CodeDone,
    Conversation,
    Do,
    Json,
    Print,
    Together,
)
from halflap.lowcode.code.places import Places
from halflap.lowcode.code.pool import Pool
from halflap.lowcode.code.source import Code
from halflap.lowcode.code.worker.limits import CodeLimits
from halflap.sdk.context import SETTLED, Settled

WORKERS = min(max(2 * (os.cpu_count() or 1), 4), 32)
"""Twice the processors, as one customer has a half at most; each takes 17 MB of its own."""


def nothing(text: str, line: int) -> None:
    """Where nobody reads what is printed."""


class CodeRunner:
    """Runs code steps, on one event loop.

    It has `workers` of a pool at most, which other event loops use too. A worker has one run at a
    time, and is replaced after a crash and after a limit. One whose action takes long is given to
    another run meanwhile, so a slow app holds up nobody else.
    """

    def __init__(self, pool: Pool, workers: int = WORKERS) -> None:
        self._pool, self._places = pool, Places(workers)

    async def run(
        self,
        code: Code,
        inputs: Mapping[str, Json],
        call: Do,
        *,
        together: Together | None = None,
        print: Print = nothing,
        limits: CodeLimits = CodeLimits(),
        owner: str = "",
    ) -> Json:
        """Run the code on these inputs, and return what it returns.

        `call` runs an action that the code awaits; what it raises for good (`SETTLED`) is a
        `RuntimeError` in the code, which may catch it, and otherwise is raised here as it was.
        Anything else it raises ends the run at once. `together` runs those of an
        `asyncio.gather`; without it, `call` runs one after another. Their results are given to the
        code when all are there, so its path depends on them only, and not on which was first.
        `owner` is whose code it is: each has its turn, and half of the workers at most. Raises
        `CodeFailed`; `WorkerLost` where one worker after another ended under it.
        """
        missing = code.inputs - set(inputs)
        if missing:
            raise KeyError(f"no value for {', '.join(sorted(missing))}")
        given = {name: inputs[name] for name in code.names}
        conversation = Conversation(self._pool, code, given, limits, print)
        async with self._places.one(owner, conversation.leave) as place:
            try:
                said = await conversation.go_on()
                while not isinstance(said, CodeDone):
                    with self._places.lent(place):
                        answers = await _answers(said, call, together)
                    conversation.answer(answers)
                    await self._places.take(place)
                    said = await conversation.go_on()
                return said.result
            finally:
                conversation.leave()


async def _answers(
    calls: Sequence[CodeCall], call: Do, together: Together | None
) -> Sequence[Answer]:
    if len(calls) > 1 and together is not None:
        return await together(calls)
    settled: list[Settled[Json]] = []
    for each in calls:
        try:
            settled.append(Settled(await call(each)))
        except SETTLED as error:
            settled.append(Settled(None, error))
    return settled
