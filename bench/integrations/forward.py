"""W2: an event comes in, a branch on its kind, fields are mapped, one POST goes out."""

from halflap import Config, Context, Integration, Model, http, step, webhook


class Settings(Config):
    destination: http.Http


class Order(Model):
    id: str
    event: str
    customer: dict[str, str]
    total: int
    note: str


integration = Integration("bench-forward", config=Settings, title="W2: branch, map, one POST")


@step(pure=True)
async def to_booking(id: str, customer: str, total: int) -> dict[str, str | int]:
    return {"id": id, "who": customer, "cents": total * 100}


@integration.flow(trigger=webhook.request())
async def orders(ctx: Context[Settings], order: Order) -> None:
    """Book an order, or take its booking back."""
    match order.event:
        case "order.created":
            path = "/bookings"
        case "order.cancelled":
            path = "/cancellations"
        case _:
            return
    booking = await to_booking(order.id, order.customer["name"], order.total)
    await http.post(ctx.config.destination, path, json=booking)
