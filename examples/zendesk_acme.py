"""Zendesk → Acme: every ticket, those that are there and those that change, as activities; one way."""

import acme

from halflap import Config, Context, Integration, zendesk


class Settings(Config):
    """The settings that a customer fills in to activate the integration."""

    zendesk: zendesk.Zendesk
    acme: acme.Acme


integration = Integration("zendesk-acme", config=Settings, title="Zendesk → Acme")


@integration.flow(trigger=zendesk.changed_ticket(start="earliest"))
async def ticket(ctx: Context[Settings], changed: zendesk.Ticket) -> None:
    """A ticket as it is now, as an activity under the id of its state."""
    await acme.log_activity(
        ctx.config.acme,
        kind=f"ticket {changed.status}",
        title=f"#{changed.id} {changed.subject}",
        body=changed.description,
        external_id=f"{changed.id}/{changed.status}",
    )
