"""Salesforce → Acme: every account, those that change and those that are there already."""

import acme

from halflap import Config, Context, Deployment, Integration, Model, instance, salesforce

PAGE_SIZE = 100


class Settings(Config):
    """The settings that a customer fills in to activate the integration."""

    salesforce: salesforce.Salesforce
    acme: acme.Acme


class Page(Model):
    """Where a page begins: behind the last record of the one before it."""

    after: str = "000000000000000"


integration = Integration("account-import", config=Settings, title="Accounts to Acme")
accounts = integration.pairs("accounts", salesforce="Account", acme="account")


@integration.flow(
    trigger=salesforce.outbound_message(object="Account", fields=["Name"]), pairs=accounts
)
async def account(ctx: Context[Settings], changed: salesforce.Account) -> None:
    """A Salesforce account, created or updated in Acme: a live change, or an imported record."""
    known = await ctx.paired(accounts, salesforce=changed.id)
    if known is None:
        await acme.create_account(ctx.config.acme, external_id=changed.id, name=changed.name)
    else:
        await acme.update_account(ctx.config.acme, known, name=changed.name)


@integration.flow(trigger=instance.deploy)
async def deploy(ctx: Context[Settings], deployment: Deployment) -> None:
    """Start the import once the live flow is subscribed; not again at an upgrade."""
    if deployment.reason == "activate":
        await ctx.start(import_accounts, Page())


@integration.flow(trigger=instance.routed)
async def import_accounts(ctx: Context[Settings], page: Page) -> None:
    """Import a page of accounts, then continue with the next."""
    found = await salesforce.query(
        ctx.config.salesforce,
        "SELECT Id, Name FROM Account WHERE Id > {after} ORDER BY Id LIMIT {size}",
        {"after": page.after, "size": PAGE_SIZE},
    )
    await ctx.gather(found, lambda record: ctx.start(account, record, detached=True))
    if len(found) == PAGE_SIZE:
        await ctx.continue_with(Page(after=found[-1].id or ""))
