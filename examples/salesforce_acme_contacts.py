"""Version 2 of Salesforce ⇄ Acme: contacts too, edited at either app."""

import acme
from salesforce_acme import Settings, integration

from halflap import Context, salesforce

contacts = integration.pairs("contacts", salesforce="Contact", acme="contact", master="salesforce")


@integration.flow(
    trigger=salesforce.outbound_message("Contact", ["FirstName", "LastName", "Email"]),
    pairs=contacts,
    title="Salesforce contact",
)
async def contact(ctx: Context[Settings], changed: salesforce.Contact) -> None:
    """A Salesforce contact, created or updated in Acme."""
    name = f"{changed.first_name or ''} {changed.last_name}".strip()
    known = await ctx.paired(contacts, salesforce=changed.id)
    if known is None:  # New Contact?
        create = acme.create_contact.titled("Create a Contact")
        await create(ctx.config.acme, changed.id, name, changed.email)
    else:
        update = acme.update_contact.titled("Update a Contact")
        await update(ctx.config.acme, known, name, changed.email)


@integration.flow(trigger=acme.contact_changed, pairs=contacts, title="Acme contact")
async def acme_contact(ctx: Context[Settings], changed: acme.Contact) -> None:
    """An Acme contact, created or updated in Salesforce."""
    first, _, last = changed.name.rpartition(" ")
    fields = {"FirstName": first or None, "LastName": last, "Email": changed.email}
    known = await ctx.paired(contacts, acme=changed.id)
    sf = ctx.config.salesforce
    if known is None:  # New Contact?
        create = salesforce.upsert_record.titled("Create a Contact")
        await create(sf, "Contact", "External_Id__c", changed.id, fields)
    else:
        update = salesforce.update_record.titled("Update a Contact")
        await update(sf, "Contact", known, fields)
