"""Customers through the API."""

from typing import Any


async def test_a_customer_is_added_found_by_id_or_name_and_removed(world: Any) -> None:
    added = await world.api("POST", "/api/customers", {"name": " Initech ", "external_id": "42"})

    assert added.status == 201
    assert (added.json["name"], added.json["external_id"]) == ("Initech", "42")
    for named in (added.json["id"], "Initech"):
        found = await world.api.get(f"/api/customers/{named}")
        assert {**found, **added.json} == found
    assert await world.api.items("/api/customers") == [added.json]
    for draft, field in (
        ({"name": "Initech"}, "name"),
        ({"name": "Globex", "external_id": "42"}, "external_id"),
    ):
        taken = await world.api("POST", "/api/customers", draft)
        assert (taken.status, taken.json["fields"]) == (422, {field: "is taken"})
    removed = await world.api("DELETE", "/api/customers/Initech")
    assert (removed.status, removed.body) == (204, b"")
    assert await world.api.items("/api/customers") == []


async def test_a_customer_gets_another_name_and_another_external_id(world: Any) -> None:
    draft = {"name": "Initech", "external_id": "42"}
    added = (await world.api("POST", "/api/customers", draft)).json
    await world.api("POST", "/api/customers", {"name": "Globex", "external_id": "43"})
    path = f"/api/customers/{added['id']}"
    tag = (await world.api("GET", path)).headers["etag"]

    renamed = await world.api("PATCH", path, {"name": "Initrode"}, headers={"If-Match": tag})
    moved = await world.api("PATCH", path, {"external_id": "44", "name": None})
    stale = await world.api("PATCH", path, {"name": "Late"}, headers={"If-Match": tag})

    assert (renamed.status, renamed.json["name"], renamed.json["external_id"]) == (
        200,
        "Initrode",
        "42",
    )
    assert (moved.status, moved.json["name"], moved.json["external_id"]) == (200, "Initrode", "44")
    assert stale.status == 412
    for named, status in (("Initech", 404), ("Initrode", 200), ("external:44", 200)):
        assert (await world.api("GET", f"/api/customers/{named}")).status == status
    for change in ({"name": "Globex"}, {"external_id": "43"}, {"external_id": "cus_1"}):
        refused = await world.api("PATCH", path, change)
        assert (refused.status, list(refused.json["fields"])) == (422, list(change))
    cleared = await world.api("PATCH", path, {"external_id": None})
    assert (cleared.status, cleared.json["external_id"]) == (200, None)


async def test_what_a_path_cannot_have_is_in_no_external_id(world: Any) -> None:
    for id in ("org/7", "org\\7", "7\n"):
        refused = await world.api("POST", "/api/customers", {"name": "A", "external_id": id})
        said = {"external_id": "has a slash, a backslash or a control character"}
        assert (refused.status, refused.json["fields"]) == (422, said)
    added = await world.api("POST", "/api/customers", {"name": "A", "external_id": "ü ?#%2F"})
    found = await world.api.get("/api/customers/external:ü ?#%2F")
    assert found["id"] == added.json["id"]


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
    assert await world.api.get("/api/customers/Initech") == limited.json
    refused = await world.api("PUT", "/api/customers/Initech/limits", {"rate": -1})
    assert (refused.status, list(refused.json["fields"])) == (422, ["rate"])
    freed = await world.api("PUT", "/api/customers/Initech/limits", {})
    assert set(freed.json["limits"].values()) == {None}
