"""Finds what people name: by its id, or by a name where that names just one."""

from __future__ import annotations

from halflap.errors import ConfigError, Conflict, NotFound
from halflap.model import Customer, Instance, StoredConnection, Version
from halflap.store.catalogue import Catalogue
from halflap.store.catalogue.instances import InstanceFilter

SHORTEST_HASH = 8


async def customer(catalogue: Catalogue, named: str | None, external_id: str | None) -> Customer:
    """A customer by its id or name, or by its id in the team's own product; raises `NotFound`.

    `ConfigError` where neither is said, or both.
    """
    if (named is None) == (external_id is None):
        raise ConfigError(
            "say which customer: by `customer` (its id or name) or by `external_id`",
            fields={"customer": "give this, or `external_id`"},
        )
    if named is not None:
        return await catalogue.customers.get(named)
    assert external_id is not None
    found = await catalogue.customers.by_external_id(external_id)
    if found is None:
        raise NotFound(
            f"no customer has the external id {external_id!r}; see: halflap customers list"
        )
    return found


async def instance(catalogue: Catalogue, named: str, customer: str | None = None) -> Instance:
    """An instance by its id, or its name: of one customer, else of whichever has it alone.

    Raises `NotFound`, and `Conflict` where several customers have one of that name.
    """
    owner = await catalogue.customers.get(customer) if customer is not None else None
    if named.startswith("ins_"):
        found = await catalogue.instances.get(named)
        if owner is None or found.customer == owner.id:
            return found
    fitting = await catalogue.instances.list(InstanceFilter(owner and owner.id, name=named))
    if len(fitting) == 1:
        return fitting[0]
    whose = f" of customer {owner.name!r}" if owner else ""
    if not fitting:
        raise NotFound(
            f"no instance{whose} has the id or the name {named!r}; see: halflap instances list"
        )
    names = await catalogue.customers.names(each.customer for each in fitting)
    candidates = ", ".join(f"{names[each.customer]}/{each.name} ({each.id})" for each in fitting)
    raise Conflict(
        f"{len(fitting)} instances are named {named!r}: {candidates}; say which customer's",
        key=named,
    )


async def connection(
    catalogue: Catalogue, named: str, customer: str | None = None
) -> StoredConnection:
    """A connection by its id, or its name: a customer's own before the team's; else the only one."""
    owner = await catalogue.customers.get(customer) if customer is not None else None
    if named.startswith("con_"):
        found = await catalogue.connections.get(named)
        if owner is None or found.customer in (None, owner.id):
            return found
    if owner is not None:
        for whose in (owner.id, None):
            found = await catalogue.connections.by_name(whose, named)
            if found is not None:
                return found
    fitting = () if owner is not None else await catalogue.connections.named(named)
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        reach = f" that customer {owner.name!r} may use" if owner else ""
        raise NotFound(
            f"no connection{reach} has the id or the name {named!r}; see: halflap connections list"
        )
    names = await catalogue.customers.names(
        each.customer for each in fitting if each.customer is not None
    )
    candidates = ", ".join(
        f"{names[each.customer] if each.customer else 'the team'}/{each.name} ({each.id})"
        for each in fitting
    )
    raise Conflict(
        f"{len(fitting)} connections are named {named!r}: {candidates}; say which customer's",
        key=named,
    )


async def version(catalogue: Catalogue, integration: str, named: str) -> Version:
    """A version of an integration by number, hash (8 digits of it will do) or target."""
    among = await catalogue.versions.list(integration)
    if not among:
        raise NotFound(
            f"no version of {integration!r} is published; see: halflap deploy, and "
            "halflap integrations list for what there is"
        )
    targets = await catalogue.versions.targets(integration)
    if named in targets:
        return targets[named]
    if named.isascii() and named.isdigit() and len(named) < SHORTEST_HASH:
        fitting = [each for each in among if each.number == int(named)]
    else:
        long = len(named) >= SHORTEST_HASH
        fitting = [each for each in among if long and each.hash.startswith(named.lower())]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        listed = ", ".join(f"{each.number} ({each.hash[:16]})" for each in fitting)
        raise Conflict(f"several versions begin with {named!r}: {listed}; name one", key=named)
    raise NotFound(
        f"{integration} has no version {named!r}; it has 1 to {among[0].number}"
        + (f", and the targets {', '.join(targets)}" if targets else "")
    )
