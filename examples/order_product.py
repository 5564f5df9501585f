"""A product that takes orders: it declares its events, and writes each in the transaction of its order.

`publisher.declare()` as it starts, and a relay beside it (`OutboxRelay(outbox, engine, publisher).run`,
or `halflap outbox run`), are all that it owes Halflap.
"""

from decimal import Decimal

from pydantic import BaseModel
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from halflap.export import EventTypes
from halflap.export.outbox import Outbox

events = EventTypes()


class Line(BaseModel):
    """A line of an order."""

    item: str
    quantity: int


EXAMPLE = {
    "id": "o-7",
    "customer": "Ada",
    "total": "22.10",
    "lines": [{"item": "saw", "quantity": 2}],
}


@events.event("order.created", subject="id", title="Order created", example=EXAMPLE)
class OrderCreated(BaseModel):
    """A shop took an order."""

    id: str
    customer: str
    total: Decimal
    lines: list[Line]


@events.event("order.cancelled", subject="id", title="Order cancelled", example={"id": "o-7"})
class OrderCancelled(BaseModel):
    """A shop took an order back."""

    id: str


class Base(DeclarativeBase):
    """The product's tables, and the outbox beside them."""


class StoredOrder(Base):
    """An order of a shop."""

    __tablename__ = "orders"

    id: Mapped[str] = mapped_column(primary_key=True)
    shop: Mapped[str]
    cancelled: Mapped[bool] = mapped_column(default=False)


outbox = Outbox(events, Base.metadata)


def take_order(session: Session, shop: str, order: OrderCreated) -> None:
    """Store an order of a shop, and its event, or neither."""
    session.add(StoredOrder(id=order.id, shop=shop))
    session.flush()
    session.execute(outbox.insert(shop, order, key=f"created-{order.id}"))


def cancel_order(session: Session, shop: str, id: str) -> None:
    """Cancel an order of a shop, and tell of it."""
    session.get_one(StoredOrder, id).cancelled = True
    session.execute(outbox.insert(shop, OrderCancelled(id=id), key=f"cancelled-{id}"))
