"""A flow takes the event of another trigger."""

import acme

from halflap import Config, Context, Integration


class Settings(Config):
    acme: acme.Acme


integration = Integration("planted", config=Settings)


@integration.flow(trigger=acme.opportunity_updated)  # pyright: ignore[reportArgumentType]
async def changed(ctx: Context[Settings], stock: acme.Stock) -> None:
    ctx.log.info("changed", item=stock.item)
