"""An event that the app does not have is subscribed to."""

import acme

from halflap import Config, Context, Deployment, Integration, instance


class Settings(Config):
    acme: acme.Acme


integration = Integration("planted", config=Settings)


@integration.flow(trigger=instance.deploy)
async def deploy(ctx: Context[Settings], _: Deployment) -> None:
    await acme.ensure_webhook(
        ctx.config.acme,
        "opportunity.deleted",  # pyright: ignore[reportArgumentType]
        ctx.url("changed"),
        ctx.secret("changed"),
    )
