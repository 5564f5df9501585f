"""Slack → Acme: what people write to the app, as activities; by Socket Mode, without a public URL."""

import acme

from halflap import Config, Context, Integration, slack


class Settings(Config):
    """The settings that a customer fills in to activate the integration."""

    slack: slack.Slack
    acme: acme.Acme


integration = Integration("slack-acme", config=Settings, title="Slack → Acme")


@integration.flow(trigger=slack.socket(events=["message"], interactions=False))
async def message(ctx: Context[Settings], event: slack.Event | slack.Interaction) -> None:
    """A message, as an activity under its id."""
    assert isinstance(event, slack.Event)
    await acme.log_activity(
        ctx.config.acme, kind="message", title=event.text or "–", external_id=event.id
    )
