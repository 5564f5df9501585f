"""An action is given another app's connection."""

import acme

from halflap import Config, Context, Integration, http, webhook


class Settings(Config):
    acme: acme.Acme
    api: http.Http


integration = Integration("planted", config=Settings)


@integration.flow(trigger=webhook.request())
async def look(ctx: Context[Settings], event: dict[str, str]) -> None:
    await http.get(ctx.config.api, "/")
    await acme.find_account(ctx.config.api, external_id="001")  # pyright: ignore[reportArgumentType]
