"""A result that may be None is used as if it were there."""

import acme

from halflap import Config, Context, Integration, webhook


class Settings(Config):
    acme: acme.Acme


integration = Integration("planted", config=Settings)


@integration.flow(trigger=webhook.request())
async def rename(ctx: Context[Settings], event: dict[str, str]) -> None:
    known = await acme.find_account(ctx.config.acme, external_id="001")
    await acme.update_account(ctx.config.acme, known.id, name="Initech")  # pyright: ignore[reportOptionalMemberAccess]
