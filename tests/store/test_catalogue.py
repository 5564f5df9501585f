import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from halflap.errors import ConfigError, Conflict, NotFound, StoreError
from halflap.model import (
    Customer,
    Event,
    FlowKey,
    Instance,
    Rejection,
    Start,
    StoredConnection,
    StoredDraft,
    new_id,
)
from halflap.store.catalogue import Catalogue
from halflap.store.catalogue.answers import RepeatedRequest
from halflap.store.catalogue.instances import InstanceFilter
from halflap.store.catalogue.notes import RejectionFilter
from halflap.store.job import JobTransaction
from halflap.store.protocol import Pinning
from halflap.store.store import Store
from halflap.store.vault import Vault
from tests.cluster import emptied_url, kept_sessions


class Clock:
    now = 1_000

    def __call__(self) -> int:
        self.now += 1
        return self.now


@pytest.fixture(params=["memory", "postgresql"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    with kept_sessions():
        if request.param == "postgresql":
            vault = Vault({"k1": bytes(32)}, "k1")
            store = await Store.open(emptied_url(), clock=Clock(), vault=vault)
        elif request.param == "file":
            store = await Store.open(tmp_path / "store", clock=Clock())
        else:
            store = await Store.memory(clock=Clock())
        yield store
        await store.close()


ON_EVERY_STORE = pytest.mark.parametrize("store", ["file", "memory", "postgresql"], indirect=True)
"""For what threads could do otherwise, and what is read from the file."""


@pytest.fixture
def catalogue(store: Store) -> Catalogue:
    return store.catalogue


@pytest.fixture
async def ada(catalogue: Catalogue) -> Customer:
    return await catalogue.customers.add("Ada Ltd", "ext-1")


@pytest.fixture
async def shop(catalogue: Catalogue, ada: Customer) -> Instance:
    await catalogue.versions.publish("shop", "hash-1", b"bundle one", "first")
    return await catalogue.instances.add(ada.id, "shop", "Ada's shop", "hash-1")


async def connect(
    catalogue: Catalogue, customer: str | None, name: str = "Acme", **changes: Any
) -> StoredConnection:
    fields, secrets = {"base_url": "https://acme.example"}, {"api_key": "s3cret"}
    return await catalogue.connections.save(
        customer,
        "acme",
        name,
        changes.pop("fields", fields),
        changes.pop("secrets", secrets),
        **changes,
    )


def everything(connection: JobTransaction) -> str:
    """All rows of all tables."""
    if isinstance(connection, sqlite3.Connection):
        return "\n".join(connection.iterdump())
    found = connection.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
    )
    tables = [row[0] for row in found]
    return "\n".join(
        row[0] for table in tables for row in connection.execute(f"SELECT t::text FROM {table} t")
    )


# -- master keys ------------------------------------------------------------------------------


async def test_after_rewrapping_the_former_master_key_may_go(
    store: Store, ada: Customer, shop: Instance
):
    writer, clock = store.catalogue._writer, store.clock
    keys = {"new": bytes(32), "old": b"1" * 32}
    old, both, new = (
        Catalogue(writer, Vault({name: keys[name] for name in names}, names[0]), clock)
        for names in (["old"], ["new", "old"], ["new"])
    )

    async def told(catalogue: Catalogue) -> list[Any]:
        (own,) = (await catalogue.endpoints.of_instance(shop.id)).values()
        (shared,) = (await catalogue.shared.of_integration("shop")).values()
        return [
            await catalogue.connections.open_secrets(connection.id),
            await catalogue.endpoints.secrets(own.id),
            await catalogue.shared.secrets(shared.id),
            await catalogue.subscriptions.list(shop.id),
            await catalogue.oauth_apps.get("acme"),
            await catalogue.oauth_apps.signers("acme"),
            await catalogue.pins.list("dra_1"),
            await catalogue.answers.begin(asked),
        ]

    under_old = "(?i:01036f6c64)|AQNvbG"  # in hex, and in base64
    connection = await connect(old, ada.id)
    (own,) = (await old.endpoints.ensure(shop.id, ["orders"])).values()
    await old.endpoints.rotate(own.id)
    (shared,) = (await old.shared.ensure("shop", ["events"])).values()
    await old.shared.set_secret(shared.id)
    for secret in ("before", "now"):
        await old.subscriptions.put(shop.id, "orders", "42", secret, {}, "hash-1")
        await old.oauth_apps.put("acme", "id", "s3cret", "https://a", [], secret)
    await old.drafts.add(
        StoredDraft("dra_1", "shop", None, None, "s.yaml", 1, "", (1,), 1, 1, "Ada")
    )
    await old.pins.put("dra_1", 1, "digest", "pinned", "Ada")
    asked = RepeatedRequest("ada", "key", "digest")
    assert await old.answers.begin(asked) is None
    await old.answers.keep(asked, "a made key")
    before = await told(old)
    assert len(re.findall(under_old, await store.database.read(everything))) == 12
    assert await both.envelopes.rewrap() == 12
    assert await both.envelopes.rewrap() == 0
    assert await told(new) == before
    left = await store.database.read(everything)
    assert not re.search(under_old, left)
    with pytest.raises(StoreError, match="sealed with master key 'new'"):
        await old.connections.open_secrets(connection.id)


# -- customers --------------------------------------------------------------------------------


async def test_a_customer_is_found_by_its_id_its_name_and_its_external_id(
    catalogue: Catalogue, ada: Customer
):
    assert ada.id.startswith("cus_")
    assert await catalogue.customers.get(ada.id) == ada
    assert await catalogue.customers.get("Ada Ltd") == ada
    assert await catalogue.customers.by_external_id("ext-1") == ada
    assert await catalogue.customers.by_external_id("ext-2") is None
    with pytest.raises(NotFound, match="ada ltd"):
        await catalogue.customers.get("ada ltd")


async def test_an_id_goes_before_a_name(catalogue: Catalogue, ada: Customer):
    await catalogue.customers.add(ada.id)
    assert await catalogue.customers.get(ada.id) == ada


async def test_a_taken_name_and_a_taken_external_id_are_told_apart(
    catalogue: Catalogue, ada: Customer
):
    with pytest.raises(ConfigError, match="named 'Ada Ltd'") as caught:
        await catalogue.customers.add("Ada Ltd", "ext-2")
    assert caught.value.fields == {"name": "is taken"}
    with pytest.raises(ConfigError, match="external id 'ext-1'") as caught:
        await catalogue.customers.add("Bob", "ext-1")
    assert caught.value.fields == {"external_id": "is taken"}
    await catalogue.customers.add("Bob")
    await catalogue.customers.add("Cid")
    assert [each.name for each in await catalogue.customers.list()] == ["Ada Ltd", "Bob", "Cid"]


@ON_EVERY_STORE
async def test_of_many_who_take_a_name_at_once_one_gets_it(catalogue: Catalogue):
    results = await asyncio.gather(
        *(catalogue.customers.add("Ada") for _ in range(10)), return_exceptions=True
    )
    assert sum(isinstance(each, Customer) for each in results) == 1
    assert sum(isinstance(each, ConfigError) for each in results) == 9


async def test_a_customer_is_not_removed_while_something_is_left(
    catalogue: Catalogue, ada: Customer, shop: Instance
):
    made = await connect(catalogue, ada.id)
    with pytest.raises(ConfigError, match=r"1 instance \(Ada's shop\)"):
        await catalogue.customers.remove(ada.id)
    await catalogue.instances.remove(shop.id)
    with pytest.raises(ConfigError, match=r"1 connection \(Acme\)"):
        await catalogue.customers.remove(ada.id)
    await catalogue.connections.remove(made.id)
    await catalogue.customers.remove(ada.id)
    assert await catalogue.customers.list() == []
    with pytest.raises(NotFound, match=ada.id):
        await catalogue.customers.remove(ada.id)


# -- versions and targets ---------------------------------------------------------------------


async def test_versions_count_up_within_their_integration(catalogue: Catalogue):
    first = await catalogue.versions.publish("shop", "a", b"\x00\xff", "first")
    second = await catalogue.versions.publish("shop", "b", b"2", "")
    other = await catalogue.versions.publish("crm", "c", b"3", "")
    assert [each.number for each in (first, second, other)] == [1, 2, 1]
    assert await catalogue.versions.get("a") == first
    assert await catalogue.versions.bundle("a") == b"\x00\xff"
    assert await catalogue.versions.latest("shop") == second
    assert await catalogue.versions.latest("none") is None
    assert await catalogue.versions.list("shop") == [second, first]
    assert await catalogue.versions.integrations() == ["crm", "shop"]


async def test_the_same_bundle_is_the_same_version(catalogue: Catalogue):
    first = await catalogue.versions.publish("shop", "a", b"1", "first")
    assert await catalogue.versions.publish("shop", "a", b"1", "again") == first
    assert await catalogue.versions.list("shop") == [first]
    with pytest.raises(ConfigError, match="'shop', not of 'crm'"):
        await catalogue.versions.publish("crm", "a", b"1", "")


async def test_a_version_that_is_not_there_is_missing(catalogue: Catalogue):
    with pytest.raises(NotFound, match="halflap deploy"):
        await catalogue.versions.get("x")
    with pytest.raises(NotFound, match="'x'"):
        await catalogue.versions.bundle("x")


async def test_a_target_moves_only_from_where_it_is_expected(catalogue: Catalogue):
    versions = catalogue.versions
    first = await versions.publish("shop", "a", b"1", "")
    second = await versions.publish("shop", "b", b"2", "")
    await versions.publish("crm", "c", b"3", "")
    assert await versions.target("shop", "production") is None
    assert not await versions.move_target("shop", "production", "a", expect="b")
    assert await versions.move_target("shop", "production", "a", expect=None)
    assert not await versions.move_target("shop", "production", "b", expect=None)
    assert await versions.target("shop", "production") == first
    assert await versions.move_target("shop", "production", "b", expect="a")
    assert await versions.move_target("shop", "dev", "a", expect=None)
    assert await versions.targets("shop") == {"dev": first, "production": second}
    with pytest.raises(NotFound, match="'x'"):
        await versions.move_target("shop", "dev", "x", expect="a")
    with pytest.raises(ConfigError, match="'crm', not of 'shop'"):
        await versions.move_target("shop", "dev", "c", expect="a")


# -- connections ------------------------------------------------------------------------------


@ON_EVERY_STORE
async def test_a_connections_secrets_are_sealed_and_can_be_opened(store: Store, ada: Customer):
    catalogue = store.catalogue
    made = await connect(
        catalogue,
        ada.id,
        fields={"n": 10**30, "x": [1.5]},
        secrets={"auth.key": "s3cret", "b": "ü"},
    )
    assert made.secret_names == ("auth.key", "b")
    assert (made.generation, made.status) == (1, "untested")
    assert await catalogue.connections.get(made.id) == made
    assert made.fields["n"] == 10**30
    assert await catalogue.connections.by_name(ada.id, "Acme") == made
    assert await catalogue.connections.by_name(None, "Acme") is None
    assert await catalogue.connections.open_secrets(made.id) == {"auth.key": "s3cret", "b": "ü"}
    assert "s3cret" not in await store.database.read(everything)
    assert "s3cret" not in repr(made)


async def test_a_sealed_secret_opens_in_its_own_place_only(store: Store, ada: Customer):
    catalogue = store.catalogue
    one = await connect(catalogue, ada.id, "one")
    two = await connect(catalogue, ada.id, "two")
    await store.database.write(
        lambda c: (
            c.execute(
                "UPDATE connections SET secrets = (SELECT secrets FROM connections WHERE id = ?)"
                " WHERE id = ?",
                (one.id, two.id),
            ).rowcount
        )
    )
    assert await catalogue.connections.open_secrets(one.id) == {"api_key": "s3cret"}
    with pytest.raises(StoreError, match="api_key"):
        await catalogue.connections.open_secrets(two.id)
    mended = await connect(catalogue, ada.id, "two", id=two.id)
    assert mended.generation == 2
    assert await catalogue.connections.open_secrets(two.id) == {"api_key": "s3cret"}


async def test_the_generation_grows_where_a_secret_changed(catalogue: Catalogue, ada: Customer):
    cases: list[tuple[dict[str, str], int]] = [
        ({"a": "1", "b": "2"}, 1),
        ({"a": "1", "b": "3"}, 2),
        ({"a": "1"}, 2),
        ({"a": "1", "b": "2", "c": ""}, 2),
        ({}, 2),
    ]
    for number, (secrets, generation) in enumerate(cases):
        before = {"a": "1", "b": "2"}
        made = await connect(catalogue, ada.id, f"{number}", secrets=before, status="working")
        name, fields = f"Renamed {number}", {"new": True}
        saved = await connect(catalogue, ada.id, name, id=made.id, fields=fields, secrets=secrets)
        assert (saved.generation, saved.name, saved.fields) == (generation, name, fields), secrets
        assert (saved.status, saved.created_at) == ("untested", made.created_at)
        assert await catalogue.connections.get(made.id) == saved


async def test_a_save_refuses_what_changed_in_between(catalogue: Catalogue, ada: Customer):
    made = await connect(catalogue, ada.id)
    await connect(catalogue, ada.id, id=made.id, secrets={"api_key": "2"}, expect_generation=1)
    with pytest.raises(Conflict, match="generation 2") as caught:
        await connect(catalogue, ada.id, id=made.id, secrets={"api_key": "3"}, expect_generation=1)
    assert caught.value.key == made.id
    assert await catalogue.connections.open_secrets(made.id) == {"api_key": "2"}


async def test_a_connection_keeps_its_customer_and_its_component(
    catalogue: Catalogue, ada: Customer
):
    made = await connect(catalogue, ada.id)
    bob = await catalogue.customers.add("Bob")
    for customer in (bob.id, None):
        with pytest.raises(ConfigError, match="'Acme' is customer"):
            await connect(catalogue, customer, id=made.id)
    with pytest.raises(ConfigError, match="to acme"):
        await catalogue.connections.save(ada.id, "crm", "Acme", {}, {}, id=made.id)
    with pytest.raises(NotFound, match="con_no"):
        await connect(catalogue, ada.id, id="con_no")
    with pytest.raises(NotFound, match="cus_no"):
        await connect(catalogue, "cus_no")


async def test_a_connections_name_is_its_own_within_a_customer(catalogue: Catalogue, ada: Customer):
    bob = await catalogue.customers.add("Bob")
    made = [await connect(catalogue, each) for each in (ada.id, bob.id, None)]
    for each in (ada.id, None):
        with pytest.raises(ConfigError, match="'Acme' is there already") as caught:
            await connect(catalogue, each)
        assert caught.value.fields == {"name": "is taken"}
    other = await connect(catalogue, ada.id, "B")
    with pytest.raises(ConfigError, match="is there already"):
        await connect(catalogue, ada.id, "Acme", id=other.id)
    assert await catalogue.connections.list(ada.id) == [made[0], other]
    assert await catalogue.connections.list(None) == [made[2]]


@ON_EVERY_STORE
async def test_a_refresh_is_kept_once_per_generation(catalogue: Catalogue, ada: Customer):
    made = await connect(catalogue, ada.id, status="unauthorized")
    results = await asyncio.gather(
        *(
            catalogue.connections.refresh(made.id, 1, {"token": str(n)}, {"expires": n})
            for n in range(5)
        )
    )
    (kept,) = [each for each in results if each is not None]
    assert (kept.generation, kept.status, kept.secret_names) == (2, "working", ("token",))
    assert await catalogue.connections.get(made.id) == kept
    opened = await catalogue.connections.open_secrets(made.id)
    assert opened == {"token": str(kept.fields["expires"])}


@ON_EVERY_STORE
async def test_one_task_at_a_time_refreshes_a_connection(catalogue: Catalogue, ada: Customer):
    made, other = await connect(catalogue, ada.id), await connect(catalogue, ada.id, "other")
    entered, leave = asyncio.Event(), asyncio.Event()
    order: list[str] = []

    async def first() -> None:
        async with catalogue.connections.refreshing(made.id):
            order.append("first in")
            entered.set()
            await leave.wait()
            order.append("first out")

    async def second() -> None:
        async with catalogue.connections.refreshing(made.id):
            order.append("second in")

    tasks = [asyncio.create_task(first())]
    await entered.wait()
    tasks.append(asyncio.create_task(second()))
    async with catalogue.connections.refreshing(other.id):
        order.append("other")
    leave.set()
    await asyncio.gather(*tasks)
    assert order == ["first in", "other", "first out", "second in"]


async def test_a_connection_is_not_removed_while_an_instance_may_use_it(
    catalogue: Catalogue, ada: Customer, shop: Instance
):
    old, new = await connect(catalogue, ada.id, "old"), await connect(catalogue, ada.id, "new")
    await catalogue.instances.set_revision(shop.id, {}, {"acme": old.id})
    await catalogue.instances.set_revision(shop.id, {}, {"acme": new.id})
    with pytest.raises(ConfigError, match=r"'old' is used by instance .Ada's shop. \(revision 1"):
        await catalogue.connections.remove(old.id)
    with pytest.raises(ConfigError, match="revision 2"):
        await catalogue.connections.remove(new.id)
    await catalogue.instances.move(shop.id, ["configured"], "disabled")
    await catalogue.connections.remove(old.id)
    with pytest.raises(NotFound, match=old.id):
        await catalogue.connections.get(old.id)
    with pytest.raises(NotFound, match=old.id):
        await catalogue.connections.open_secrets(old.id)


async def test_a_connections_status_is_noted(catalogue: Catalogue, ada: Customer):
    made = await connect(catalogue, ada.id)
    await catalogue.connections.set_status(made.id, "unauthorized")
    assert (await catalogue.connections.get(made.id)).status == "unauthorized"
    with pytest.raises(NotFound, match="con_no"):
        await catalogue.connections.set_status("con_no", "working")


# -- instances --------------------------------------------------------------------------------


async def test_an_instance_is_added_configured_and_empty(
    catalogue: Catalogue, ada: Customer, shop: Instance
):
    assert (shop.state, shop.revision, shop.error, shop.deployment) == ("configured", 0, None, None)
    assert await catalogue.instances.get(shop.id) == shop
    assert await catalogue.instances.by_name(ada.id, "Ada's shop") == shop
    assert await catalogue.instances.by_name(ada.id, "other") is None
    assert await catalogue.instances.revision(shop.id, 0) == ({}, {})


async def test_an_instance_needs_a_customer_a_version_and_a_free_name(
    catalogue: Catalogue, ada: Customer, shop: Instance
):
    add = catalogue.instances.add
    await catalogue.versions.publish("crm", "hash-crm", b"", "")
    with pytest.raises(NotFound, match="cus_no"):
        await add("cus_no", "shop", "x", "hash-1")
    with pytest.raises(NotFound, match="hash-no"):
        await add(ada.id, "shop", "x", "hash-no")
    with pytest.raises(ConfigError, match="'crm', not of 'shop'"):
        await add(ada.id, "shop", "x", "hash-crm")
    with pytest.raises(ConfigError, match='"Ada\'s shop" already') as caught:
        await add(ada.id, "shop", "Ada's shop", "hash-1")
    assert caught.value.fields == {"name": "is taken"}


async def test_instances_are_listed_by_customer_and_by_integration(
    catalogue: Catalogue, ada: Customer, shop: Instance
):
    bob = await catalogue.customers.add("Bob")
    await catalogue.versions.publish("crm", "hash-crm", b"", "")
    crm = await catalogue.instances.add(ada.id, "crm", "crm", "hash-crm")
    bobs = await catalogue.instances.add(bob.id, "shop", "shop", "hash-1")
    listed = catalogue.instances.list

    async def ids(**by: Any) -> set[str]:
        return {each.id for each in await listed(InstanceFilter(**by))}

    assert await ids() == {shop.id, crm.id, bobs.id}
    assert await ids(ids=(crm.id,)) == {crm.id}
    assert await ids(ids=()) == await ids(holders=()) == set()
    assert await ids(holders=(bob.id, crm.id)) == {crm.id, bobs.id}
    assert await ids(customer=ada.id) == {shop.id, crm.id}
    assert await ids(integration="shop") == {shop.id, bobs.id}
    assert await ids(customer=bob.id, integration="crm") == set()


async def test_every_change_of_a_config_is_a_revision_of_its_own(
    catalogue: Catalogue, ada: Customer, shop: Instance
):
    made, team = await connect(catalogue, ada.id), await connect(catalogue, None, "team's")
    instances = catalogue.instances
    one = {"b": 10**25, "a": [1, {"x": None}]}
    assert await instances.set_revision(shop.id, one, {"acme": made.id}) == 1
    assert await instances.set_revision(shop.id, one, {"acme": made.id}) == 1
    assert await instances.set_revision(shop.id, one, {"acme": team.id}) == 2
    assert await instances.set_revision(shop.id, {}, {}) == 3
    assert await instances.set_revision(shop.id, one, {"acme": made.id}) == 4
    assert await instances.revision(shop.id, 1) == (one, {"acme": made.id})
    assert await instances.revision(shop.id, 2) == (one, {"acme": team.id})
    assert (await instances.get(shop.id)).revision == 4
    with pytest.raises(NotFound, match="no revision 9"):
        await instances.revision(shop.id, 9)
    with pytest.raises(NotFound, match="ins_no"):
        await instances.revision("ins_no", 0)


async def test_a_config_cannot_name_another_customers_connection(
    catalogue: Catalogue, ada: Customer, shop: Instance
):
    bob = await catalogue.customers.add("Bob")
    bobs = await connect(catalogue, bob.id)
    with pytest.raises(ConfigError, match="another customer") as caught:
        await catalogue.instances.set_revision(shop.id, {}, {"acme": bobs.id, "crm": "con_no"})
    assert set(caught.value.fields) == {"acme", "crm"}
    assert (await catalogue.instances.get(shop.id)).revision == 0


async def test_an_instance_moves_only_from_a_state_that_it_is_in(
    catalogue: Catalogue, shop: Instance
):
    move = catalogue.instances.move
    await catalogue.versions.publish("shop", "hash-2", b"", "")
    moved = await move(
        shop.id, ("configured", "disabled"), "activating", version="hash-2", deployment="exe_1"
    )
    assert moved is not None
    assert (moved.state, moved.version, moved.deployment) == ("activating", "hash-2", "exe_1")
    assert moved.changed_at > shop.changed_at
    assert await catalogue.instances.get(shop.id) == moved
    assert await move(shop.id, ("configured",), "activating", error="x") is None
    assert await catalogue.instances.get(shop.id) == moved
    failed = await move(shop.id, ("activating",), "failed", error="the app said no")
    assert failed is not None
    assert (failed.error, failed.version, failed.deployment) == (
        "the app said no",
        "hash-2",
        "exe_1",
    )
    again = await move(shop.id, ("failed",), "activating")
    assert again is not None
    assert again.error is None
    assert await catalogue.instances.deployment(shop.id) == "exe_1"


async def test_an_instance_moves_to_versions_of_its_integration_only(
    catalogue: Catalogue, shop: Instance
):
    await catalogue.versions.publish("crm", "hash-crm", b"", "")
    with pytest.raises(ConfigError, match="'crm', not of 'shop'"):
        await catalogue.instances.move(shop.id, ("configured",), "active", version="hash-crm")
    with pytest.raises(NotFound, match="hash-no"):
        await catalogue.instances.move(shop.id, ("configured",), "active", version="hash-no")
    with pytest.raises(NotFound, match="ins_no"):
        await catalogue.instances.move("ins_no", ("configured",), "active")
    assert (await catalogue.instances.get(shop.id)).state == "configured"


async def test_a_removed_instance_leaves_nothing_in_the_catalogue(
    store: Store, ada: Customer, shop: Instance
):
    catalogue = store.catalogue
    endpoints = await catalogue.endpoints.ensure(shop.id, ["orders"])
    await catalogue.instances.set_revision(shop.id, {"a": 1}, {})
    await catalogue.subscriptions.put(shop.id, "orders", "42", "whsec", {}, "hash-1")
    await catalogue.instances.note_tick(shop.id, "orders", 5)
    catalogue.rejections.note(Rejection(endpoints["orders"].id, 1, "unsigned", 401))
    catalogue.counters.count(shop.id, "orders", "filtered")
    await catalogue.settled()
    for state in ("activating", "active", "upgrading", "disabling", "failed"):
        now = (await catalogue.instances.get(shop.id)).state
        await catalogue.instances.move(shop.id, (now,), state)
        with pytest.raises(ConfigError, match=f"is {state}; disable it first"):
            await catalogue.instances.remove(shop.id)
    await catalogue.instances.move(shop.id, ("failed",), "disabled")
    await catalogue.instances.remove(shop.id)
    with pytest.raises(NotFound, match=shop.id):
        await catalogue.instances.get(shop.id)
    dump = await store.database.read(everything)
    assert shop.id not in dump
    assert endpoints["orders"].id not in dump
    assert await catalogue.customers.get(ada.id) == ada


async def test_the_last_tick_never_goes_back(catalogue: Catalogue, shop: Instance):
    before = catalogue.changed
    assert await catalogue.instances.last_tick(shop.id, "nightly") is None
    for at in (5, 9, 7):
        await catalogue.instances.note_tick(shop.id, "nightly", at)
    assert await catalogue.instances.last_tick(shop.id, "nightly") == 9
    assert await catalogue.instances.last_tick(shop.id, "hourly") is None
    assert catalogue.changed == before


async def test_no_tick_of_a_disabled_instance_is_noted(catalogue: Catalogue, shop: Instance):
    await catalogue.instances.move(shop.id, ["configured"], "disabled")
    await catalogue.instances.note_tick(shop.id, "nightly", 5)
    assert await catalogue.instances.last_tick(shop.id, "nightly") is None


# -- endpoints and subscriptions --------------------------------------------------------------


async def test_endpoints_are_made_once_and_kept(catalogue: Catalogue, shop: Instance):
    first = await catalogue.endpoints.ensure(shop.id, ["orders", "returns"])
    secret = await catalogue.endpoints.secret(first["orders"].id)
    await catalogue.endpoints.open_all(shop.id)
    second = await catalogue.endpoints.ensure(shop.id, ["orders", "stock"])
    assert set(second) == {"orders", "returns", "stock"}
    assert second["orders"].id == first["orders"].id
    assert [second[flow].open for flow in ("orders", "returns", "stock")] == [True, True, False]
    assert await catalogue.endpoints.of_instance(shop.id) == second
    assert await catalogue.endpoints.find(first["orders"].id) == second["orders"]
    assert await catalogue.endpoints.secret(first["orders"].id) == secret
    await catalogue.endpoints.close_all(shop.id)
    closed = await catalogue.endpoints.of_instance(shop.id)
    assert {each.open for each in closed.values()} == {False}


async def test_an_endpoint_cannot_be_guessed_and_has_a_secret_of_its_own(
    store: Store, shop: Instance
):
    endpoints = store.catalogue.endpoints
    flows = [f"flow-{n}" for n in range(50)]
    made = await endpoints.ensure(shop.id, flows)
    ids = {each.id for each in made.values()}
    assert len(ids) == 50
    assert all(re.fullmatch(r"hk_[0-9a-hjkmnp-tv-z]{26}", each) for each in ids)
    secrets = {await endpoints.secret(each) for each in ids}
    assert len(secrets) == 50
    assert all(re.fullmatch(r"whsec_[A-Za-z0-9+/]{32,}=*", each) for each in secrets)
    dump = await store.database.read(everything)
    assert not any(each in dump for each in secrets)


async def test_an_endpoint_that_is_not_there_is_missing(catalogue: Catalogue):
    assert await catalogue.endpoints.find("hk_no") is None
    with pytest.raises(NotFound, match="no such endpoint"):
        await catalogue.endpoints.secret("hk_no")
    for call in (catalogue.endpoints.open_all, catalogue.endpoints.close_all):
        with pytest.raises(NotFound, match="ins_no"):
            await call("ins_no")
    with pytest.raises(NotFound, match="ins_no"):
        await catalogue.endpoints.ensure("ins_no", [])


async def test_a_subscription_is_kept_until_it_is_forgotten(store: Store, shop: Instance):
    subscriptions = store.catalogue.subscriptions
    assert await subscriptions.get(shop.id, "orders") is None
    await subscriptions.put(shop.id, "orders", "41", None, {}, "hash-1")
    await subscriptions.put(shop.id, "orders", "42", "s3cret", {"n": 10**20}, "hash-2")
    await subscriptions.put(shop.id, "returns", "43", None, {}, "hash-1")
    made = await subscriptions.get(shop.id, "orders")
    assert made is not None
    assert (made.remote_id, made.secret, made.data) == ("42", "s3cret", {"n": 10**20})
    assert made.version == "hash-2"
    assert "s3cret" not in repr(made)
    assert "s3cret" not in await store.database.read(everything)
    assert [each.flow for each in await subscriptions.list(shop.id)] == ["orders", "returns"]
    await subscriptions.remove(shop.id, "orders")
    await subscriptions.remove(shop.id, "orders")
    assert [each.secret for each in await subscriptions.list(shop.id)] == [None]
    with pytest.raises(NotFound, match="ins_no"):
        await subscriptions.put("ins_no", "orders", "1", None, {}, "hash-1")


# -- rejections and counters ------------------------------------------------------------------


async def test_an_endpoint_keeps_its_last_hundred_rejections(catalogue: Catalogue, shop: Instance):
    made = await catalogue.endpoints.ensure(shop.id, ["orders", "returns"])
    one, other = made["orders"].id, made["returns"].id

    def rejection(number: int, endpoint: str) -> Rejection:
        return Rejection(endpoint, number, f"no {number}", 401, (("x-a", "\udcff"), ("x", "ü")))

    for number in range(250):
        catalogue.rejections.note(rejection(number, one))
        if number % 70 == 0:
            await catalogue.settled()
    for each in (other, "hk_that_is_gone"):
        catalogue.rejections.note(rejection(7, each))
    await catalogue.settled()

    async def listed(endpoint: str) -> list[Rejection]:
        found = await catalogue.rejections.list(RejectionFilter(endpoint))
        return [each.rejection for each in found]

    found = await listed(one)
    assert [each.at for each in found] == list(range(249, 149, -1))
    assert found[0].headers == (("x-a", "\\udcff"), ("x", "ü"))
    assert [each.reason for each in await listed(other)] == ["no 7"]
    assert await listed("hk_that_is_gone") == []


@ON_EVERY_STORE
async def test_a_flood_of_notes_shares_few_writes(store: Store):
    before = store.database.stats.jobs
    for _ in range(10_000):
        store.catalogue.counters.count("ins_1", "orders", "filtered")
        store.catalogue.rejections.note(Rejection("hk_a", 1, "no", 401))
    await store.catalogue.settled()
    assert store.database.stats.jobs - before <= 4


async def test_notes_wait_for_nobody_and_hurt_nobody_once_the_store_is_closed():
    store = await Store.memory()
    await store.close()
    store.catalogue.counters.count("ins_1", "orders", "filtered")
    store.catalogue.rejections.note(Rejection("hk_a", 1, "no", 401))
    await store.catalogue.settled()


# -- what caches go by ------------------------------------------------------------------------


async def test_a_change_is_counted(catalogue: Catalogue, ada: Customer, shop: Instance):
    c, id = catalogue, shop.id
    changes: list[Callable[[], Awaitable[object]]] = [
        lambda: c.versions.publish("shop", "h", b"", ""),
        lambda: c.versions.move_target("shop", "dev", "hash-1", expect=None),
        lambda: c.instances.move(id, ("configured",), "active"),
        lambda: c.instances.set_revision(id, {"a": 1}, {}),
        lambda: c.endpoints.ensure(id, ["orders"]),
        lambda: c.endpoints.open_all(id),
        lambda: c.subscriptions.put(id, "f", "1", None, {}, "v"),
        lambda: c.subscriptions.remove(id, "f"),
        lambda: connect(c, ada.id),
        lambda: c.instances.move(id, ("active",), "disabled"),
        lambda: c.instances.remove(id),
    ]
    for number, change in enumerate(changes):
        before = catalogue.changed
        await change()
        assert catalogue.changed > before, number


async def test_reading_and_noting_change_nothing(
    catalogue: Catalogue, ada: Customer, shop: Instance
):
    before = catalogue.changed
    await catalogue.customers.get(ada.id)
    await catalogue.instances.list()
    catalogue.counters.count(shop.id, "orders", "filtered")
    await catalogue.settled()
    assert catalogue.changed == before


@ON_EVERY_STORE
async def test_a_change_is_counted_though_its_caller_gave_up(
    catalogue: Catalogue, ada: Customer, shop: Instance
):
    before = catalogue.changed
    task = asyncio.create_task(catalogue.instances.move(shop.id, ("configured",), "activating"))
    await asyncio.sleep(0)  # it has posted its write
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await catalogue.versions.move_target("shop", "dev", "hash-1", expect=None)) is True
    assert (await catalogue.instances.get(shop.id)).state == "activating"
    assert catalogue.changed == before + 2


async def test_what_an_instance_holds_is_let_go_by_its_present_move_alone(
    store: Store, shop: Instance
) -> None:
    journal, moves = store.journal, ("configured", "activating", "active")
    key = FlowKey(shop.customer, shop.id, "shop", "orders", "hash-1", 0)

    async def comes() -> str:
        id = new_id("exe")
        start = Start(id, key, Event("POST", "", "", (), b"{}", 1), id)
        await journal.accept([start], claim=0, lease=1)
        return id

    async def lets_go(deployment: str) -> list[str]:
        pinning = Pinning(shop.pin, ("orders",), deployment)
        await journal.release_instance(shop.id, pinning)
        return [each.start.execution for each in await journal.claim(9, 1)]

    for deployment in ("exe_1", "exe_2"):
        await store.catalogue.instances.move(shop.id, moves, "activating", deployment=deployment)
    first = await comes()
    assert await lets_go("exe_1") == []
    second = await comes()
    assert set(await lets_go("exe_2")) == {first, second}
