"""Acme's stock → any HTTP API: every night, what has run low since the last report."""

from typing import Annotated

import acme
from pydantic import Field

from halflap import Config, Context, Ignore, Integration, http, schedule


class Settings(Config):
    """The settings that a customer fills in to activate the integration."""

    acme: acme.Acme
    destination: http.Http
    low: Annotated[int, Field(title="Report what is at or below", ge=0)] = 10


integration = Integration("stock-report", config=Settings, title="Stock report")


@integration.flow(trigger=schedule.cron("0 3 * * *", tz="Europe/Paris"))
async def report(ctx: Context[Settings], tick: schedule.Tick) -> Ignore | None:
    """Tell of each item once, until there is enough of it again."""
    stock = await acme.list_stock(ctx.config.acme)
    low = [each for each in stock if each.quantity <= ctx.config.low]
    told: list[str] = await ctx.state.get("told", default=[])
    news = [each.model_dump() for each in low if each.item not in told]
    if news:  # Anything new?
        message = {"date": tick.local.date().isoformat(), "low": news}
        await http.post(ctx.config.destination, "/low-stock", json=message)
    await ctx.state.put("told", [each.item for each in low])
    return None if news else Ignore("nothing has run low since the last report")
