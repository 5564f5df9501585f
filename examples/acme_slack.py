"""Acme → Slack: each change of an opportunity in its last stage is told in a channel; one way."""

from typing import Annotated

import acme
from pydantic import Field

from halflap import Config, Context, Ignore, Integration, slack


class Settings(Config):
    """The settings that a customer fills in to activate the integration."""

    acme: acme.Acme
    slack: slack.Slack
    channel: Annotated[str, Field(title="Channel")] = "general"
    stage: Annotated[str, Field(title="Stage that is told")] = "Closed Won"


integration = Integration("acme-slack", config=Settings, title="Acme → Slack")


@integration.flow(trigger=acme.opportunity_updated)
async def told(ctx: Context[Settings], changed: acme.Opportunity) -> Ignore | None:
    """An opportunity in the stage that is told, in the channel."""
    if changed.stage != ctx.config.stage:  # In that stage?
        return Ignore(f"it is in {changed.stage}")
    text = f"{changed.name} is won: {changed.seats * changed.price}"
    await slack.post_message(ctx.config.slack, ctx.config.channel, text)
    return None
