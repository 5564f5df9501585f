"""Shared endpoints, and the index by which their events find an instance: on every store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from halflap.errors import ConfigError, NotFound, StoreError
from halflap.model import Customer, Instance
from halflap.store.catalogue import Catalogue
from halflap.store.catalogue.addresses import BY_FIELD
from halflap.store.catalogue.shared import OVERLAP
from halflap.store.sqlite import SqliteDatabase
from halflap.store.store import Store
from halflap.store.vault import Vault
from tests.cluster import emptied_url

SHOP = "shop"


class Clock:
    now = 1_000

    def __call__(self) -> int:
        self.now += 1
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["file", "postgresql"])
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, clock: Clock
) -> AsyncIterator[Store]:
    if request.param == "file":
        store = await Store.open(tmp_path / "store", clock=clock)
    else:
        vault = Vault({"k1": bytes(32)}, "k1")
        store = await Store.open(emptied_url(), clock=clock, vault=vault)
    yield store
    await store.close()


@pytest.fixture
async def catalogue(store: Store) -> Catalogue:
    for number in (1, 2, 3):
        await store.catalogue.versions.publish(SHOP, f"hash-{number}", b"bundle", "")
    return store.catalogue


async def customer_with(
    catalogue: Catalogue, name: str, config: dict[str, object], links: dict[str, str] | None = None
) -> tuple[Customer, Instance]:
    customer = await catalogue.customers.add(name, f"ext-{name}")
    instance = await catalogue.instances.add(customer.id, SHOP, SHOP, "hash-1")
    await catalogue.instances.set_revision(instance.id, config, links or {})
    return customer, await catalogue.instances.get(instance.id)


async def found(catalogue: Catalogue, field: str | None, value: str) -> list[str]:
    return [each.id for each in await catalogue.instances.addressed(SHOP, field, value)]


# The endpoint ---------------------------------------------------------------------------------


async def test_an_endpoint_is_made_once_and_keeps_url_and_secret(catalogue: Catalogue) -> None:
    made = await catalogue.shared.ensure(SHOP, ["receive"])
    secrets = await catalogue.shared.secrets(made["receive"].id)
    again = await catalogue.shared.ensure(SHOP, ["receive", "other"])
    assert again["receive"] == made["receive"]
    assert await catalogue.shared.secrets(made["receive"].id) == secrets
    assert again["receive"].id.startswith("hs_")
    assert await catalogue.shared.find(again["other"].id) == again["other"]
    assert await catalogue.shared.find("hs_unknown") is None
    assert await catalogue.shared.of_integration("another") == {}


async def test_a_replaced_secret_is_good_for_a_day(catalogue: Catalogue, clock: Clock) -> None:
    endpoint = (await catalogue.shared.ensure(SHOP, ["receive"]))["receive"].id
    [first] = await catalogue.shared.secrets(endpoint)
    second = await catalogue.shared.set_secret(endpoint)
    assert await catalogue.shared.secrets(endpoint) == (second, first)
    assert second != first
    clock.now += OVERLAP
    assert await catalogue.shared.secrets(endpoint) == (second,)
    assert await catalogue.shared.set_secret(endpoint, "the-app's-own") == "the-app's-own"
    with pytest.raises(NotFound):
        await catalogue.shared.set_secret("hs_unknown")


async def test_no_secret_is_kept_in_the_open_or_opens_elsewhere(
    store: Store, catalogue: Catalogue
) -> None:
    endpoints = await catalogue.shared.ensure(SHOP, ["one", "two"])
    [secret] = await catalogue.shared.secrets(endpoints["one"].id)
    rows = await store.database.read(
        lambda c: c.execute("SELECT id, secret FROM shared_endpoints").fetchall()
    )
    sealed = {row[0]: bytes(row[1]) for row in rows}
    assert all(secret.encode() not in each for each in sealed.values())
    one, two = endpoints["one"].id, endpoints["two"].id
    await store.database.write(
        lambda c: (
            c.execute(
                "UPDATE shared_endpoints SET secret = ? WHERE id = ?", (sealed[one], two)
            ).rowcount
        )
    )
    with pytest.raises(StoreError):
        await catalogue.shared.secrets(two)


async def test_the_picked_version_goes_before_productions_before_the_newest(
    catalogue: Catalogue,
) -> None:
    async def runs() -> str:
        endpoint = (await catalogue.shared.of_integration(SHOP))["receive"]
        version = await catalogue.shared.version(endpoint)
        assert version is not None
        return version.hash

    endpoint = (await catalogue.shared.ensure(SHOP, ["receive"]))["receive"]
    assert await runs() == "hash-3"
    await catalogue.versions.move_target(SHOP, "dev", "hash-1", expect=None)
    assert await runs() == "hash-3"
    await catalogue.versions.move_target(SHOP, "production", "hash-2", expect=None)
    assert await runs() == "hash-2"
    await catalogue.shared.pick(endpoint.id, "hash-1")
    assert await runs() == "hash-1"
    await catalogue.shared.pick(endpoint.id, None)
    assert await runs() == "hash-2"
    await catalogue.versions.publish("another", "hash-4", b"bundle", "")
    with pytest.raises(ConfigError):
        await catalogue.shared.pick(endpoint.id, "hash-4")
    with pytest.raises(NotFound):
        await catalogue.shared.pick(endpoint.id, "hash-5")


# The index ------------------------------------------------------------------------------------


async def test_an_instance_is_found_by_its_customers_own_id(catalogue: Catalogue) -> None:
    _, ada = await customer_with(catalogue, "ada", {})
    await customer_with(catalogue, "bob", {})
    assert await found(catalogue, None, "ext-ada") == [ada.id]
    assert await found(catalogue, None, "ext-nobody") == []
    assert await catalogue.instances.addressed("another", None, "ext-ada") == []


async def test_an_instance_is_found_by_its_present_config(catalogue: Catalogue) -> None:
    config: dict[str, object] = {"team": "T1", "number": 7, "place": {"code": "de"}, "on": True}
    _, ada = await customer_with(catalogue, "ada", config)
    assert await found(catalogue, "team", "T1") == [ada.id]
    assert await found(catalogue, "number", "7") == [ada.id]
    assert await found(catalogue, "place.code", "de") == [ada.id]
    assert await found(catalogue, "team", "t1") == []
    await catalogue.instances.set_revision(ada.id, {"team": "T2"}, {})
    assert await found(catalogue, "team", "T1") == []
    assert await found(catalogue, "team", "T2") == [ada.id]
    await catalogue.instances.remove(ada.id)
    assert await found(catalogue, "team", "T2") == []


async def test_an_instance_is_found_by_the_fields_of_its_connections(
    catalogue: Catalogue,
) -> None:
    ada = await catalogue.customers.add("Ada", "ext")
    fields: dict[str, object] = {"auth": {"organization_id": ""}}
    secrets = {"auth.token": "00Dtoken"}
    made = await catalogue.connections.save(ada.id, "salesforce", "sf", fields, secrets)
    instance = await catalogue.instances.add(ada.id, SHOP, SHOP, "hash-1")
    await catalogue.instances.set_revision(instance.id, {}, {"sf": made.id})
    field = "sf.auth.organization_id"
    assert await found(catalogue, field, "00D1") == []
    known: dict[str, object] = {"auth": {"organization_id": "00D1"}}
    await catalogue.connections.refresh(made.id, made.generation, secrets, known)
    assert await found(catalogue, field, "00D1") == [instance.id]
    assert await found(catalogue, "sf", made.id) == [instance.id]
    another: dict[str, object] = {"auth": {"organization_id": "00D2"}}
    await catalogue.connections.save(ada.id, "salesforce", "sf", another, secrets, id=made.id)
    assert await found(catalogue, field, "00D1") == []
    assert await found(catalogue, field, "00D2") == [instance.id]
    assert await found(catalogue, "sf.auth.token", "00Dtoken") == []  # never a secret
    await catalogue.instances.set_revision(instance.id, {}, {})
    assert await found(catalogue, field, "00D2") == []


async def test_a_config_cannot_pass_for_a_connection(catalogue: Catalogue) -> None:
    ada = await catalogue.customers.add("Ada", "ext")
    made = await catalogue.connections.save(ada.id, "slack", "slack", {"team": "T1"}, {})
    instance = await catalogue.instances.add(ada.id, SHOP, SHOP, "hash-1")
    config: dict[str, object] = {"slack": {"team": "T2"}}
    await catalogue.instances.set_revision(instance.id, config, {"slack": made.id})
    assert await found(catalogue, "slack.team", "T1") == [instance.id]
    assert await found(catalogue, "slack.team", "T2") == []


async def test_an_address_is_looked_up_in_an_index(store: Store, catalogue: Catalogue) -> None:
    await customer_with(catalogue, "ada", {"team": "T1"})
    explain = "EXPLAIN QUERY PLAN" if isinstance(store.database, SqliteDatabase) else "EXPLAIN"

    def plan(connection: Any) -> list[Any]:
        if explain == "EXPLAIN":
            connection.execute(
                "SET enable_seqscan = off"
            )  # which is cheaper for a table of one row
        found = connection.execute(f"{explain} {BY_FIELD}", ("T1", SHOP, "team")).fetchall()
        if explain == "EXPLAIN":
            connection.execute("RESET enable_seqscan")
        return found

    rows = await store.database.read(plan)
    told = " ".join(str(row) for row in rows).lower()
    assert "using primary key" in told or "using addresses_pkey" in told
