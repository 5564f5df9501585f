"""`code`: Python in the sandbox, as a recorded step; what it awaits are steps of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from halflap.errors import CodeFailed
from halflap.lowcode.call import Callee
from halflap.lowcode.code import Code, CodeCall, CodeRunner, Pool
from halflap.sdk import running
from halflap.sdk.action import Action, step
from halflap.sdk.context import Context, Settled
from halflap.sdk.schema import Json

_does: ContextVar[Callable[[Mapping[str, Json]], Awaitable[Json]]] = ContextVar("halflap.code")
_pool = Pool()
_runners: WeakKeyDictionary[asyncio.AbstractEventLoop, CodeRunner] = WeakKeyDictionary()


@step(pure=True)
async def code(inputs: dict[str, Json]) -> Json:
    """Run the code of a step."""
    return await _does.get()(inputs)


def runner() -> CodeRunner:
    """This event loop's runner of code; the workers are the process's."""
    loop = asyncio.get_running_loop()
    found = _runners.get(loop)
    if found is None:
        found = _runners[loop] = CodeRunner(_pool)
    return found


def close_runner() -> None:
    """End the processes that ran code."""
    _pool.close()


@dataclass(frozen=True, slots=True)
class Coded:
    """Code with the actions that it calls, ready to be run in a flow.

    Code that calls nothing is one recorded step. Where it calls actions, these are the steps, and
    one more holds its result: on a replay it runs again, and is answered from the journal.
    """

    code: Code
    calls: Mapping[str, Callee]
    recorded: Action[[dict[str, Json]], Json]

    async def run(self, ctx: Context[Any], inputs: dict[str, Json]) -> Json:
        """Run it on these inputs; what it returns."""
        return await (self._calling if self.calls else self._alone)(ctx, inputs)

    async def _alone(self, ctx: Context[Any], inputs: dict[str, Json]) -> Json:
        """Run code that calls nothing, within its step."""

        async def do(given: Mapping[str, Json]) -> Json:
            return await runner().run(
                self.code, given, refuse, print=logged_by_step, owner=ctx.customer.id
            )

        return await self._recorded(do, inputs)

    async def _calling(self, ctx: Context[Any], inputs: dict[str, Json]) -> Json:
        """Run code beside the steps that it calls, then record its result."""

        async def call(asked: CodeCall) -> Json:
            callee = self.calls[asked.name]
            return await callee.action(**callee.arguments(ctx.config, asked.args, asked.kwargs))

        async def together(asked: Sequence[CodeCall]) -> Sequence[Settled[Json]]:
            return await ctx.gather(asked, call, key=lambda each: each.index, settle=True)

        def printed(text: str, line: int) -> None:
            ctx.log.info(text, line=line)

        result = await runner().run(
            self.code, inputs, call, together=together, print=printed, owner=ctx.customer.id
        )

        async def given(_: Mapping[str, Json]) -> Json:
            return result

        return await self._recorded(given, inputs)

    async def _recorded(
        self, do: Callable[[Mapping[str, Json]], Awaitable[Json]], inputs: dict[str, Json]
    ) -> Json:
        before = _does.set(do)
        try:
            return await self.recorded(inputs)
        finally:
            _does.reset(before)


async def refuse(asked: CodeCall) -> Json:
    """Where code calls nothing: it was read, and names no action."""
    raise CodeFailed(f"this code may not call {asked.name}")


def logged_by_step(text: str, line: int) -> None:
    """Log the code's prints as lines of its step."""
    doing = running.step.get()
    if doing is not None and doing.log is not None:
        doing.log("info", text, {"line": line})
