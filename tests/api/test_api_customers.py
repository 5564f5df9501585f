"""Customers through the API."""

from typing import Any


async def test_a_customer_is_added_found_by_id_or_name_and_removed(world: Any) -> None:
    added = await world.api("POST", "/api/customers", {"name": " Initech ", "external_id": "42"})

    assert added.status == 201
    assert (added.json["name"], added.json["external_id"]) == ("Initech", "42")
    for named in (added.json["id"], "Initech"):
        found = (await world.api("GET", f"/api/customers/{named}")).json
        assert {**found, **added.json} == found
    assert (await world.api("GET", "/api/customers")).json["items"] == [added.json]
    removed = await world.api("DELETE", "/api/customers/Initech")
    assert (removed.status, removed.body) == (204, b"")
    assert (await world.api("GET", "/api/customers")).json["items"] == []


async def test_a_name_or_an_external_id_that_is_taken_is_named(world: Any) -> None:
    await world.api("POST", "/api/customers", {"name": "Initech", "external_id": "42"})

    name = await world.api("POST", "/api/customers", {"name": "Initech"})
    external = await world.api("POST", "/api/customers", {"name": "Globex", "external_id": "42"})

    assert (name.status, name.json["fields"]) == (422, {"name": "is taken"})
    assert (external.status, external.json["fields"]) == (422, {"external_id": "is taken"})


async def test_a_customer_with_instances_stays(world: Any) -> None:
    await world.publish()
    await world.instance(await world.customer())

    refused = await world.api("DELETE", "/api/customers/Initech")

    assert (refused.status, "1 instance (orders)" in refused.json["detail"]) == (422, True)


async def test_a_customer_is_limited_and_shown_with_what_it_has(world: Any) -> None:
    await world.api("POST", "/api/customers", {"name": "Initech"})

    limits = {"concurrency": 5, "rate": 2.5, "backlog": 0}
    limited = await world.api("PUT", "/api/customers/Initech/limits", limits)

    assert limited.status == 200
    assert limited.json["limits"] == {**limits, "burst": None}
    assert limited.json["default_limits"]["backlog"] == 100_000
    assert (limited.json["running"], limited.json["queued"]) == (0, 0)
    assert (await world.api("GET", "/api/customers/Initech")).json == limited.json
    refused = await world.api("PUT", "/api/customers/Initech/limits", {"rate": -1})
    assert (refused.status, list(refused.json["fields"])) == (422, ["rate"])
    freed = await world.api("PUT", "/api/customers/Initech/limits", {})
    assert set(freed.json["limits"].values()) == {None}
