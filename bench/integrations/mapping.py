"""W1: an event comes in, one mapping, the end."""

from halflap import Config, Context, Integration, Model, step, webhook

integration = Integration("bench-mapping", config=Config, title="W1: one mapping")


class Order(Model):
    id: str
    event: str
    customer: dict[str, str]
    total: int
    note: str


@step(pure=True)
async def to_booking(id: str, customer: str, total: int) -> dict[str, str | int]:
    return {"id": id, "who": customer, "cents": total * 100}


@integration.flow(trigger=webhook.request())
async def orders(ctx: Context[Config], order: Order) -> None:
    """Map an order."""
    await to_booking(order.id, order.customer["name"], order.total)
