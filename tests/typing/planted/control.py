"""Nothing is wrong here: what is reported elsewhere is the planted mistake."""

import acme

from halflap import Config, Context, Integration


class Settings(Config):
    acme: acme.Acme
    discount: int = 0


integration = Integration("planted", config=Settings)


@integration.flow(trigger=acme.opportunity_updated)
async def changed(ctx: Context[Settings], opportunity: acme.Opportunity) -> int:
    known = await acme.find_account(ctx.config.acme, external_id=opportunity.id)
    if known is not None:
        await acme.update_account(ctx.config.acme, known.id, name="Initech")
    return ctx.config.discount
