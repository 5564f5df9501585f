"""A small two-way integration for tests: contacts of a CRM are customers of a till."""

CRM = '''
"""The CRM: it sends its contacts."""

from typing import Any

from halflap import Component, Connection, Reads, Request, Writes, pointer


class Crm(Connection):
    """An account of the CRM."""


component = Component("crm", connection=Crm)
FIELDS = ("name",)


@component.action(writes=Writes("contact", fields=FIELDS))
async def create_contact(crm: Crm, name: str) -> Any:
    """Create a contact."""
    return {"id": f"c_{name}", "name": name}


@component.trigger(key=pointer("/id"), reads=Reads("contact", fields=FIELDS))
async def contact_changed(request: Request) -> Any:
    """A contact was made or changed."""
    return request.json()
'''

TILL = '''
"""The till: it sends its customers."""

from typing import Any

from halflap import Component, Connection, Reads, Request, Writes, pointer


class Till(Connection):
    """An account of the till."""


component = Component("till", connection=Till)
FIELDS = ("name",)


@component.action(writes=Writes("customer", fields=FIELDS))
async def create_customer(till: Till, name: str) -> Any:
    """Create a customer."""
    return {"id": f"t_{name}", "name": name}


@component.action(writes=Writes("customer", fields=FIELDS))
async def update_customer(till: Till, id: str, name: str) -> Any:
    """Update a customer."""
    return {"id": id, "name": name}


@component.trigger(key=pointer("/id"), reads=Reads("customer", fields=FIELDS))
async def customer_changed(request: Request) -> Any:
    """A customer was made or changed."""
    return request.json()
'''

PEOPLE = '''
"""People: contacts of the CRM are customers of the till."""

from typing import Any

import crm
import till
from halflap import Config, Context, Integration


class Settings(Config):
    """The settings that a customer fills in to activate the integration."""

    crm: crm.Crm
    till: till.Till


integration = Integration("people", config=Settings)
people = integration.pairs("people", crm="contact", till="customer")
others = integration.pairs("others", till="customer", crm="lead")


@integration.flow(trigger=crm.contact_changed, pairs=people)
async def to_till(ctx: Context[Settings], contact: Any) -> None:
    """From the CRM to the till."""
    other = await ctx.paired(people, crm=contact["id"])
    if contact["name"] == "sleepy":
        await ctx.sleep(3_600)
    if other is None:
        await till.create_customer(ctx.config.till, contact["name"])
    else:
        await till.update_customer(ctx.config.till, other, contact["name"])


@integration.flow(trigger=till.customer_changed, pairs=people)
async def to_crm(ctx: Context[Settings], customer: Any) -> None:
    """From the till to the CRM."""
    other = await ctx.paired(people, till=customer["id"])
    if other is None:
        await crm.create_contact(ctx.config.crm, customer["name"])
'''

FILES = {"crm.py": CRM, "till.py": TILL, "people.py": PEOPLE}
