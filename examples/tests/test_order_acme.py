import json
from decimal import Decimal

import acme
import order_acme
import order_product
from order_product import Line, OrderCreated
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session

from halflap.testing import Run

ORDER = OrderCreated(
    id="o-7", customer="Ada", total=Decimal("22.10"), lines=[Line(item="saw", quantity=2)]
)


def test_an_order_and_its_event_are_stored_together():
    engine = create_engine("sqlite://")
    order_product.Base.metadata.create_all(engine)
    with Session(engine) as session, session.begin():
        order_product.take_order(session, "shop-1", ORDER)
        order_product.cancel_order(session, "shop-1", "o-7")
    with engine.connect() as connection:
        table = order_product.outbox.table
        rows = connection.execute(select(table).order_by(table.c.id)).mappings().all()
    assert [(each["customer"], each["type"], each["key"], each["subject"]) for each in rows] == [
        ("shop-1", "order.created", "created-o-7", "o-7"),
        ("shop-1", "order.cancelled", "cancelled-o-7", "o-7"),
    ]
    engine.dispose()


async def test_the_stock_follows_what_the_product_publishes(run: Run):
    event = order_product.events.of(ORDER)
    published = {
        "id": "evt_1",
        "type": event.type,
        "version": event.version,
        "timestamp": "2026-11-30T12:00:00Z",
        "subject": event.subject,
        "data": json.loads(event.data),
    }
    stubs = {
        acme.remove_stock: acme.Stock(item="saw", quantity=1),
        acme.log_activity: acme.Activity(id="a1", kind="order", title="Ada"),
    }
    result = await run(order_acme.order_created, published, stubs=stubs)
    assert result.steps == [
        acme.remove_stock.call(item="saw", quantity=2),
        acme.log_activity.call(kind="order", title="Ada ordered for 22.10", external_id="o-7"),
    ]
