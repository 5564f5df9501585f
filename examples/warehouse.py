"""Warehouse → Acme: a warehouse app reports movements, Acme's stock follows."""

from typing import Literal

import acme
from pydantic import Field

from halflap import Config, Context, Ignore, Integration, Model, webhook


class Settings(Config):
    """The settings that a customer fills in to activate the integration."""

    acme: acme.Acme


class Update(Model):
    item: str
    action: Literal["add", "remove"]
    quantity: int = Field(gt=0)


class Message(Model):
    event: str
    updates: list[Update] = []


integration = Integration("warehouse", config=Settings, title="Warehouse → Acme")


@integration.flow(trigger=webhook.request(dedupe="header:x-delivery-id"))  # halflap: ignore[HF014]
async def stock(ctx: Context[Settings], message: Message) -> Ignore | None:
    """A movement in the warehouse, booked in Acme."""
    if message.event != "WAREHOUSE_UPDATE":  # Known event?
        return Ignore(f"no stock in a {message.event}")
    for update in message.updates:
        if update.action == "add":  # Add or remove?
            await acme.add_stock(ctx.config.acme, update.item, update.quantity)
        else:
            await acme.remove_stock(ctx.config.acme, update.item, update.quantity)
    return None
