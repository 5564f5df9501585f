"""One step that takes CPU time: what more processes are there for."""

import time

from halflap import Config, Context, Integration, Model, step, webhook

integration = Integration("bench-burn", config=Config, title="20 ms of CPU a flow")


class Burn(Model):
    ms: float


@step
async def burn(ms: float) -> int:
    """Keep a core busy for so long, by this thread's own time."""
    rounds, end = 0, time.thread_time() + ms / 1e3
    while time.thread_time() < end:
        rounds += sum(range(200)) > 0
    return rounds


@integration.flow(trigger=webhook.request())
async def orders(ctx: Context[Config], event: Burn) -> int:
    """Take CPU time."""
    return await burn(event.ms)
