"""The flow of `bench.experiments.hostile_bodies`: an id in the body, and the event read whole."""

from typing import Any

from halflap import Config, Context, Integration, pointer, webhook

integration = Integration("bench-hostile", config=Config, title="An event that is read whole")


@integration.flow(trigger=webhook.request(dedupe=pointer("/id"), key=pointer("/id")))
async def orders(ctx: Context[Config], event: dict[str, Any]) -> int:
    """Count the fields of an event."""
    return len(event)
