"""The flows of `bench.experiments.step_stalls`: large events and answers as inputs, results, events."""

from datetime import timedelta
from typing import Any

from halflap import Config, Context, Integration, http, webhook

MINUTE = timedelta(minutes=1)


class Settings(Config):
    app: http.Http


integration = Integration("bench-stalling", config=Settings, title="What large steps cost")


@integration.flow(trigger=webhook.request(answer="result", within=MINUTE))
async def fetch(ctx: Context[Settings], event: dict[str, Any]) -> int:
    """Record what an app answers."""
    answer = await http.request(ctx.config.app, "GET", event["path"])
    return len(answer.body)


@integration.flow(trigger=webhook.request(answer="result", within=MINUTE))
async def get(ctx: Context[Settings], event: dict[str, Any]) -> int:
    """Record the JSON that an app answers."""
    return len(await http.get(ctx.config.app, event["path"]))


@integration.flow(trigger=webhook.request(answer="result", within=MINUTE))
async def post(ctx: Context[Settings], event: dict[str, Any]) -> int:
    """Send the event to an app."""
    await http.post(ctx.config.app, "/post", json=event)
    return len(event)


@integration.flow(trigger=webhook.request(answer="result", within=MINUTE))
async def reflect(ctx: Context[Settings], event: dict[str, Any]) -> Any:
    """Answer with the event."""
    return event["a"]
