"""A field is read that the config does not have."""

from halflap import Config, Context, Integration, webhook


class Settings(Config):
    discount: int = 0


integration = Integration("planted", config=Settings)


@integration.flow(trigger=webhook.request())
async def price(ctx: Context[Settings], event: dict[str, str]) -> int:
    return 100 - ctx.config.discont  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]
