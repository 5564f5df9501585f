"""A product with a database: it takes orders, and dies between two lines of its own.

`python -m tests.export.shop DATABASE outbox|publish URL KEY COUNT FOLDER`: takes orders until there are
so many of each customer, each numbered after the one before. At each place that it dies at, noted in the
folder, it dies once.
"""

from __future__ import annotations

import os
import signal
import sys
from decimal import Decimal
from pathlib import Path

from pydantic import BaseModel
from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine, func, insert, select
from sqlalchemy.orm import Session

from halflap.export import EventTypes, Publisher
from halflap.export.outbox import Outbox

events = EventTypes()
CUSTOMERS = ("t-ada", "t-bob", "t-eve")


@events.event("order.created", subject="id")
class OrderCreated(BaseModel):
    """An order was placed."""

    id: str
    total: Decimal


metadata = MetaData()
orders = Table(
    "orders",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("customer", String(20), nullable=False),
    Column("number", Integer, nullable=False),
)
outbox = Outbox(events, metadata)


DIES_AT = (1,)
"""The numbers of orders at which it dies."""


def die_once(place: Path, number: int) -> None:
    """End at once, as by kill -9, unless it died here before."""
    if number in DIES_AT and not place.exists():
        place.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def main(database: str, how: str, url: str, key: str, count: int, deaths: Path) -> None:
    engine = create_engine(database, connect_args={"timeout": 30} if "sqlite" in database else {})
    publisher = Publisher(url, key, events)
    number = select(func.count()).select_from(orders)
    for customer in CUSTOMERS:
        while True:
            with Session(engine) as session, session.begin():
                done = session.execute(number.where(orders.c.customer == customer)).scalar_one()
                if done == count:
                    break
                order = OrderCreated(id=f"{customer}-{done}", total=Decimal(done))
                session.execute(insert(orders).values(customer=customer, number=done))
                if how == "outbox":
                    session.execute(outbox.insert(customer, order))
                die_once(deaths / f"{order.id}-written", done)
            die_once(deaths / f"{order.id}-committed", done)
            if how == "publish":
                publisher.publish(customer, order, key=order.id)


if __name__ == "__main__":
    main(*sys.argv[1:5], int(sys.argv[5]), Path(sys.argv[6]))
