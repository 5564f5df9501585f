"""Salesforce ⇄ Acme: accounts and opportunities go to Acme, amounts come back."""

from decimal import Decimal
from typing import Annotated

import acme
from pydantic import Field

from halflap import Config, Context, Deployment, Ignore, Integration, instance, salesforce


class Settings(Config):
    """The settings that a customer fills in to activate the integration."""

    salesforce: salesforce.Salesforce
    acme: acme.Acme
    discount: Annotated[Decimal, Field(title="Discount (%)", ge=0, le=100)] = Decimal(0)


integration = Integration(
    "salesforce-acme",
    config=Settings,
    title="Salesforce ⇄ Acme",
    description="Accounts and opportunities go to Acme; amounts come back.",
)
accounts = integration.pairs("accounts", salesforce="Account", acme="account")
opportunities = integration.pairs("opportunities", salesforce="Opportunity", acme="opportunity")


@integration.flow(trigger=instance.deploy)
async def deploy(ctx: Context[Settings], _: Deployment) -> None:
    """Point both apps at this instance's flows."""
    sf = ctx.config.salesforce
    user = await salesforce.get_current_user.titled("Get Current User")(sf)
    ensure_message = salesforce.ensure_outbound_message
    await ensure_message.titled("Set Up Opportunity Outbound Message")(
        sf, "Opportunity", ctx.url(opportunity), ["Name", "StageName"], user.username
    )
    await ensure_message.titled("Set Up Account Outbound Message")(
        sf, "Account", ctx.url(account), ["Name"], user.username
    )
    await acme.ensure_webhook.titled("Create an Opportunity Webhook")(
        ctx.config.acme,
        "opportunity.updated",
        ctx.url(opportunity_amount),
        ctx.secret(opportunity_amount),
    )


@integration.flow(trigger=salesforce.outbound_message, pairs=accounts, title="Salesforce account")
async def account(ctx: Context[Settings], changed: salesforce.Account) -> None:
    """A Salesforce account, created or updated in Acme."""
    known = await ctx.paired(accounts, salesforce=changed.id)
    if known is None:  # New Account?
        create = acme.create_account.titled("Create an Account")
        await create(ctx.config.acme, external_id=changed.id, name=changed.name)
    else:
        update = acme.update_account.titled("Update an Account")
        await update(ctx.config.acme, known, name=changed.name)


@integration.flow(
    trigger=salesforce.outbound_message, pairs=opportunities, title="Salesforce opportunity"
)
async def opportunity(ctx: Context[Settings], changed: salesforce.Opportunity) -> None:
    """A Salesforce opportunity, created or updated in Acme."""
    known = await ctx.paired(opportunities, salesforce=changed.id)
    if known is None:  # New Opportunity?
        create = acme.create_opportunity.titled("Create an Opportunity")
        await create(ctx.config.acme, changed.id, changed.name, changed.stage)
    else:
        update = acme.update_opportunity.titled("Update an Opportunity")
        await update(ctx.config.acme, known, changed.name, changed.stage)


@integration.flow(
    trigger=acme.opportunity_updated, pairs=opportunities, title="Acme opportunity update"
)
async def opportunity_amount(ctx: Context[Settings], changed: acme.Opportunity) -> Ignore | None:
    """An Acme opportunity's seats and price, as its amount in Salesforce."""
    known = await ctx.paired(opportunities, acme=changed.id)
    if known is None:
        return Ignore(f"the opportunity {changed.id} did not come from Salesforce")
    amount = round(changed.seats * changed.price * (1 - ctx.config.discount / 100), 2)
    update = salesforce.update_record.titled("Update the Amount")
    await update(ctx.config.salesforce, "Opportunity", known, {"Amount": amount})
    return None


@integration.flow(trigger=instance.teardown, title="Tear down")
async def teardown(ctx: Context[Settings], _: Deployment) -> None:
    """Take down the webhooks that deploy put up, and no others."""
    for message in await salesforce.list_outbound_messages(ctx.config.salesforce):
        if message.url in ctx.urls:
            await salesforce.delete_outbound_message(ctx.config.salesforce, message.id)
    for webhook in await acme.list_webhooks(ctx.config.acme):
        if webhook.url in ctx.urls:
            await acme.delete_webhook(ctx.config.acme, webhook.id)
