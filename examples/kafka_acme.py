"""Kafka → Acme → Kafka: each customer of a topic is an account, whose id another topic is told."""

from typing import Annotated

import acme
from pydantic import Field

from halflap import Config, Context, Ignore, Integration, Model, fifo, kafka


class Settings(Config):
    """The settings that a customer fills in to activate the integration."""

    kafka: kafka.Kafka
    acme: acme.Acme
    customers: Annotated[str, Field(title="Topic of customers")] = "customers"
    accounts: Annotated[str, Field(title="Topic that is told of accounts")] = "accounts"


class Customer(Model):
    """A customer, as the topic has one under its id."""

    name: str


integration = Integration("kafka-acme", config=Settings, title="Kafka → Acme")


@integration.flow(
    trigger=kafka.records(topic=Settings.customers, start="earliest"), order=fifo(by_key=True)
)
async def customer(ctx: Context[Settings], event: kafka.Record) -> Ignore | None:
    """A customer as an account; those of one key one after another."""
    if event.value is None or event.key is None:  # Deleted?
        return Ignore("it was deleted")
    name = Customer.model_validate(event.value).name
    account = await acme.find_account(ctx.config.acme, event.key)
    if account is None:  # New?
        account = await acme.create_account(ctx.config.acme, event.key, name)
    else:
        account = await acme.update_account(ctx.config.acme, account.id, name)
    stored = {"customer": event.key, "account": account.id}
    await kafka.publish(ctx.config.kafka, ctx.config.accounts, stored, key=event.key)
    return None
