"""HubSpot ⇄ Acme: contacts, made and edited at either app."""

from typing import Any

import acme

from halflap import Config, Context, Ignore, Integration, hubspot


class Settings(Config):
    """The settings that a customer fills in to activate the integration."""

    hubspot: hubspot.HubSpot
    acme: acme.Acme


integration = Integration(
    "hubspot-acme",
    config=Settings,
    title="HubSpot ⇄ Acme",
    description="Contacts, made and edited at either app.",
)
contacts = integration.pairs("contacts", hubspot="contacts", acme="contact", master="hubspot")
FIELDS = ["firstname", "lastname", "email"]


@integration.flow(
    trigger=hubspot.changed_record("contacts", FIELDS, interval=10, start="earliest"),
    pairs=contacts,
    title="HubSpot contact",
)
async def contact(ctx: Context[Settings], changed: hubspot.ChangedRecord) -> Ignore | None:
    """A HubSpot contact, created or updated in Acme; asked for, as a token has no webhooks."""
    found = changed.properties
    name = f"{found['firstname'] or ''} {found['lastname'] or ''}".strip()
    if not name:  # Nameless?
        return Ignore("it has no name yet")
    known = await ctx.paired(contacts, hubspot=changed.id)
    if known is None:  # New Contact?
        create = acme.create_contact.titled("Create a Contact")
        await create(ctx.config.acme, changed.id, name, found["email"])
    else:
        update = acme.update_contact.titled("Update a Contact")
        await update(ctx.config.acme, known, name, found["email"])
    return None


@integration.flow(trigger=acme.contact_changed, pairs=contacts, title="Acme contact")
async def acme_contact(ctx: Context[Settings], changed: acme.Contact) -> None:
    """An Acme contact, created or updated in HubSpot, which finds one that it has by its email."""
    first, _, last = changed.name.partition(" ")
    properties: dict[str, Any] = {
        "firstname": first,
        "lastname": last or None,
        "email": changed.email,
    }
    crm = ctx.config.hubspot
    known = await ctx.paired(contacts, acme=changed.id)
    if known is not None:  # Known Contact?
        update = hubspot.update_record.titled("Update a Contact")
        await update(crm, "contacts", known, properties)
    elif changed.email:  # With an Email?
        upsert = hubspot.upsert_record.titled("Create or Find a Contact")
        await upsert(crm, "contacts", "email", changed.email, properties)
    else:
        create = hubspot.create_record.titled("Create a Contact")
        await create(crm, "contacts", properties)
