"""Orders → Acme: what a shop sells in the product leaves the shop's stock at Acme."""

from decimal import Decimal

import acme

from halflap import Config, Context, Integration, Model, app, fifo


class Settings(Config):
    """The settings that a shop fills in to activate the integration."""

    acme: acme.Acme


class Line(Model):
    """A line of an order."""

    item: str
    quantity: int


class Order(Model):
    """An order, as the product publishes it."""

    id: str
    customer: str
    total: Decimal
    lines: list[Line]


integration = Integration("order-acme", config=Settings, title="Orders → Acme")


@integration.flow(trigger=app.event("order.created"), order=fifo(by_key=True))
async def order_created(ctx: Context[Settings], event: app.AppEvent[Order]) -> None:
    """Take each line from the stock, and say so."""
    for line in event.data.lines:
        await acme.remove_stock(ctx.config.acme, line.item, line.quantity)
    await acme.log_activity(
        ctx.config.acme,
        "order",
        f"{event.data.customer} ordered for {event.data.total}",
        external_id=event.data.id,
    )
