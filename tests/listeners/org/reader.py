"""The project of the fault runs of Salesforce: a record or an event tells a number."""

from typing import Any

from halflap import Config, Context, Integration, salesforce


class Settings(Config):
    org: salesforce.Salesforce


integration = Integration("reader", config=Settings, title="Fault runs of an org")
CHANGED = salesforce.record_changed(
    object="Contact", fields=["Description"], interval=5, start="earliest"
)


@integration.flow(trigger=CHANGED)
async def contact(ctx: Context[Settings], record: salesforce.Record) -> int:
    """Return the number."""
    return int(record["Description"])


@integration.flow(trigger=salesforce.event(topic="/event/Order_Shipped__e", start="earliest"))
async def shipped(ctx: Context[Settings], event: dict[str, Any]) -> int:
    """Return the number."""
    return int(event["Number__c"])
