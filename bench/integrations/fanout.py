"""W3: an event with 20 items comes in, one POST goes out for each."""

from halflap import Config, Context, Integration, Model, http, webhook


class Settings(Config):
    destination: http.Http


class Line(Model):
    sku: str
    quantity: int


class Order(Model):
    id: str
    event: str
    items: list[Line]


integration = Integration("bench-fanout", config=Settings, title="W3: one POST an item")


@integration.flow(trigger=webhook.request())
async def orders(ctx: Context[Settings], order: Order) -> None:
    """Book every line of an order."""
    for number, line in enumerate(order.items):
        booking = {"id": f"{order.id}/{number}", "sku": line.sku, "quantity": line.quantity}
        await http.post(ctx.config.destination, "/bookings", json=booking)
