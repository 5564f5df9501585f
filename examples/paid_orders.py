"""A checkout at Stripe was paid: a task in Jira for its delivery, and a message to the buyer by Twilio.

All three components are declared from their vendors' OpenAPI documents.
"""

from halflap import Config, Context, Integration, jira, stripe, twilio


class Settings(Config):
    stripe: stripe.Stripe
    twilio: twilio.Twilio
    jira: jira.Jira
    project: str = "ACME"
    """The key of the Jira project."""
    sender: str = "+15005550001"
    """The number that messages come from."""


integration = Integration("paid-orders", config=Settings)


@integration.flow(trigger=stripe.event(events=["checkout.session.completed"]))
async def paid(ctx: Context[Settings], event: stripe.Event) -> str:
    """A checkout was paid."""
    config, session = ctx.config, event.data.object
    buyer = await stripe.get_customer(config.stripe, session["customer"])
    name = buyer.get("name") if buyer else None
    task = await jira.create_issue(
        config.jira,
        config.project,
        "Task",
        f"Deliver to {name or 'a buyer'}",
        fields={"customfield_10000": session["id"]},
    )
    if buyer and (phone := buyer.get("phone")):
        await twilio.send_message(
            config.twilio, to=phone, sender=config.sender, body=f"Thank you! {task.key}"
        )
    return task.key
