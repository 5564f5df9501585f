"""Acme → any HTTP API: what changes in Acme is sent on, one way."""

import acme

from halflap import Config, Context, Integration, http


class Settings(Config):
    """The settings that a customer fills in to activate the integration."""

    acme: acme.Acme
    destination: http.Http


integration = Integration("acme-export", config=Settings, title="Acme → any HTTP API")


@integration.flow(trigger=acme.opportunity_updated)
async def opportunity(ctx: Context[Settings], changed: acme.Opportunity) -> None:
    """An opportunity as it is now, its price exact."""
    await http.post(
        ctx.config.destination,
        "/opportunities",
        json={
            "id": changed.external_id or changed.id,
            "name": changed.name,
            "stage": changed.stage,
            "amount": changed.seats * changed.price,
            "price": changed.price,
        },
    )


@integration.flow(trigger=acme.stock_changed)
async def stock(ctx: Context[Settings], changed: acme.Stock) -> None:
    """The stock of an item as it is now."""
    await http.post(ctx.config.destination, "/stock", json=changed.model_dump())
