"""Two-way through the API: pairs are shown and forgotten, echoes are found, who waits says for whom."""

import re
from typing import Any

import pytest

from halflap.engine import echo
from halflap.model import StateWrite
from halflap.sdk import codec
from tests.paired import FILES


@pytest.fixture
async def people(world: Any) -> Any:
    """An active instance that pairs contacts with customers."""
    await world.publish(world.packed("people:integration", FILES))
    return await activated(world, await world.customer())


async def activated(world: Any, customer: str) -> Any:
    for field in ("crm", "till"):
        draft = {"customer": customer, "integration": "people", "field": field, "name": field}
        await world.api("POST", "/api/connections", {**draft, "test": False})
    links = {field: field for field in ("crm", "till")}
    return await world.activate((await world.add(customer, "people", connections=links))["id"])


async def told(world: Any, people: Any, id: str, name: str) -> dict[str, Any]:
    """The execution of an event of the CRM, or of the till, once it has ended."""
    flow = "to_till" if id.startswith("c_") else "to_crm"
    return await world.ended(await world.send(people, {"id": id, "name": name}, flow))


async def test_a_pair_is_listed_and_found_by_the_id_of_either_side(world: Any, people: Any) -> None:
    await told(world, people, "c_1", "Ada")
    await told(world, people, "t_9", "Bob")
    path = f"/api/instances/{people['id']}/pairs"
    ada = {"pairs": "people", "ids": {"crm": "c_1", "till": "t_Ada"}}
    bob = {"pairs": "people", "ids": {"crm": "c_Bob", "till": "t_9"}}

    everything = await world.api.get(path)
    assert everything == {"items": [ada, bob], "next": None}
    for query, pairs in (
        ({"pairs": "people"}, [ada, bob]),
        ({"pairs": "others"}, []),
        ({"id": "c_1"}, [ada]),
        ({"id": "t_9", "pairs": "people"}, [bob]),
        ({"id": "t_9", "side": "till"}, [bob]),
        ({"id": "t_9", "side": "crm"}, []),
        ({"id": "t_9", "pairs": "others"}, []),
        ({"id": "nobody"}, []),
    ):
        assert await world.api.items(path, **query) == pairs, query
    unknown = await world.api("GET", path, pairs="contacts")
    assert (unknown.status, unknown.json["detail"].split(": ")[1]) == (404, "people, others")
    wrong = await world.api("GET", path, id="c_1", side="shop")
    assert (wrong.status, set(wrong.json["fields"])) == (422, {"side"})


async def test_pairs_come_in_pages_through_all_their_names(world: Any, people: Any) -> None:
    writes = []
    for name, kind in (("people", "contact"), ("others", "lead")):
        for number in range(7):
            ids = {"crm": f"c_{number}", "till": f"t_{number}"}
            scope, row = f"pairs:{people['id']}:{name}", codec.encode(ids)
            writes += [
                StateWrite(scope, f"crm/{kind}/c_{number}", row),
                StateWrite(scope, f"till/customer/t_{number}", row),
            ]
    await world.host.store.journal.write_state(writes)
    path = f"/api/instances/{people['id']}/pairs"
    whole = await world.api.get(path)
    wanted = [("people", f"c_{n}") for n in range(7)] + [("others", f"c_{n}") for n in range(7)]
    assert [(each["pairs"], each["ids"]["crm"]) for each in whole["items"]] == wanted
    for limit in (1, 3, 7, 13, 14):
        found: list[Any] = []
        query: dict[str, Any] = {}
        while True:
            page = await world.api.get(path, limit=limit, **query)
            assert len(page["items"]) == min(limit, 14 - len(found))
            found += page["items"]
            if page["next"] is None:
                break
            query = {"after": page["next"]}
        assert found == whole["items"]
    some = await world.api.get(path, pairs="others", limit=4)
    rest = await world.api.get(path, pairs="others", limit=4, after=some["next"])
    assert some["items"] + rest["items"] == whole["items"][7:]
    for after in ("c_3", "[", '["none", "x"]', some["next"]):
        refused = await world.api("GET", path, pairs="people", after=after)
        assert (refused.status, set(refused.json["fields"])) == (422, {"after"})


async def test_a_forgotten_pair_is_made_anew_by_the_next_event(world: Any, people: Any) -> None:
    await told(world, people, "c_1", "Ada")
    path = f"/api/instances/{people['id']}/pairs"

    gone = await world.api("DELETE", f"{path}/people", id="t_Ada")

    assert (gone.status, gone.json["ids"]) == (200, {"crm": "c_1", "till": "t_Ada"})
    assert await world.api.items(path) == []
    scope = f"pairs:{people['id']}:people"
    assert await world.host.store.journal.list_state(scope) == {}
    again = await world.api("DELETE", f"{path}/people", id="t_Ada")
    assert (again.status, again.kind) == (404, "NotFound")
    await told(world, people, "c_1", "Ada Lovelace")
    [pair] = await world.api.items(path)
    assert pair["ids"] == {"crm": "c_1", "till": "t_Ada Lovelace"}


async def test_an_id_of_both_sides_is_forgotten_on_the_side_that_is_named(
    world: Any, people: Any
) -> None:
    await told(world, people, "c_x", "same")
    await told(world, people, "t_x", "other")
    scope = f"pairs:{people['id']}:people"
    rows = [{"crm": "1", "till": "2"}, {"crm": "2", "till": "1"}]
    writes = [
        StateWrite(scope, f"{place}/{kind}/{ids[place]}", codec.encode(ids))
        for ids in rows
        for place, kind in (("crm", "contact"), ("till", "customer"))
    ]
    await world.host.store.journal.write_state(writes)
    path = f"/api/instances/{people['id']}/pairs/people"

    unclear = await world.api("DELETE", path, id="1")
    gone = await world.api("DELETE", path, id="1", side="till")

    assert (unclear.status, "crm, till" in unclear.json["detail"]) == (409, True)
    assert gone.json["ids"] == rows[1]
    found = await world.api.items(f"/api/instances/{people['id']}/pairs", id="1")
    assert [each["ids"] for each in found] == [rows[0]]


async def test_an_echo_is_shown_with_the_execution_that_wrote_it_and_listed_by_its_reason(
    world: Any, people: Any
) -> None:
    made = await told(world, people, "c_1", "Ada")
    echo = await told(world, people, "t_Ada", "Ada")

    assert (echo["state"], echo["reason"]) == (
        "ignored",
        f"echo: till.customer t_Ada is as {made['id']} left it",
    )
    [check] = [each for each in echo["steps"] if each["kind"] == "check"]
    assert (check["result"]["how"], check["result"]["writer"]) == ("echo", made["id"])
    for query, ids in (({"reason": "echo"}, [echo["id"]]), ({"reason": "super"}, [])):
        page = await world.api.get("/api/executions", state="ignored", **query)
        assert [each["id"] for each in page["items"]] == ids


NOW = """
    async def current(self, kind: str, id: str, fields: Any) -> Any:
        if id == "c_2":
            raise NotImplementedError
        return {"name": "There-now"}
"""


async def test_the_values_of_compared_records_are_hidden_with_payloads(world: Any) -> None:
    files = {
        name: re.sub(r'(    """An account of .*\n)', rf"\1{NOW}", text)
        for name, text in FILES.items()
    }
    await world.publish(world.packed("people:integration", files))
    people = await activated(world, await world.customer())
    key = await world.key("read")
    client: Any = type(world.api)
    async with client(world.api.app, key).stream("/api/stream", topics="logs") as heard:
        assert await heard.event() == ": following"
        await told(world, people, "c_1", "Ada")
        late = await told(world, people, "c_1", "Too-late")
        await told(world, people, "c_2", "Bob")
        over = await told(world, people, "c_2", "Bobby")
        notice = await heard.data()
    seen = await world.api.items("/api/executions", state="ignored")
    assert seen[0]["reason"] == late["reason"]
    assert late["reason"] == (
        "superseded: crm.contact c_1 has changed since: "
        'it has name "There-now", no longer name "Too-late"'
    )
    line = 'till.customer t_Bob was edited meanwhile: name "There-now" is overruled'
    for path, public, whole in (
        ("/api/executions", "superseded: crm.contact c_1 has changed since", late["reason"]),
        (f"/api/executions/{late['id']}", "contact c_1 has changed since", late["reason"]),
        ("/api/logs", "till.customer t_Bob was edited meanwhile", line),
        (f"/api/executions/{over['id']}/logs", "t_Bob was edited meanwhile", line),
    ):
        for token in (None, key):
            answer = await world.api("GET", path, **({} if token is None else {"token": token}))
            shown = answer.body.decode().replace('\\"', '"')
            assert public in shown, path
            assert (whole in shown) is (token is None), path
            assert ("There-now" in shown or "Too-late" in shown) is (token is None), path
    assert notice["message"] == "till.customer t_Bob was edited meanwhile"
    # What is hidden is not found by a search in it either.
    for token, q, count in ((None, "THERE-now", 1), (key, "there-now", 0), (key, "t_Bob was", 1)):
        found = await world.api.items(
            "/api/logs", q=q, **({} if token is None else {"token": token})
        )
        assert len(found) == count, q


async def test_a_lookup_names_the_side_that_it_asks_for(world: Any, people: Any) -> None:
    first = await told(world, people, "c_1", "Ada")
    second = await told(world, people, "c_1", "Eve")

    for execution, result in ((first, None), (second, "t_Ada")):
        [step] = [each for each in execution["steps"] if each["kind"] == "pair"]
        assert step["inputs"] == {"pairs": "people", "crm": "c_1", "till": None}
        assert step["result"] == result


async def test_one_that_waits_for_another_of_its_record_names_it(world: Any, people: Any) -> None:
    first = await world.send(people, {"id": "c_1", "name": "sleepy"}, "to_till")
    second = await world.send(people, {"id": "c_1", "name": "Ada"}, "to_till")
    other = await told(world, people, "c_2", "Bob")

    found = await world.api.get(f"/api/executions/{second}")
    assert (found["state"], found["waits_for"]) == ("queued", first)
    assert (await world.api.get(f"/api/executions/{first}"))["waits_for"] is None
    assert other["waits_for"] is None
    await world.api("POST", f"/api/executions/{first}/cancel")
    assert (await world.ended(second))["waits_for"] is None


async def test_what_is_removed_leaves_nothing_in_the_state(world: Any, people: Any) -> None:
    other = await activated(world, await world.customer("Globex"))
    for each in (people, other):
        await told(world, each, "c_1", "Ada")
    journal = world.host.store.journal
    mine = [
        StateWrite(f"instance:{people['id']}", "cursor", b"1"),
        StateWrite(f"flow:{people['id']}:to_till", "cursor", b"1"),
        StateWrite(f"making:{people['customer']}:till/customer", "exe_1/x", b"{}"),
    ]
    await journal.write_state(mine)

    async def scopes() -> set[str]:
        rows = await journal._rows("SELECT DISTINCT scope FROM state", ())
        return {row[0] for row in rows}

    before = await scopes()
    path = f"/api/instances/{people['id']}"
    refused = await world.api("DELETE", path)
    assert refused.status == 422
    assert await scopes() == before
    await world.api("POST", f"{path}/disable", wait=30)
    assert (await world.api("DELETE", path)).status == 204
    after = await scopes()
    assert after == {each for each in before if people["id"] not in each}
    assert any(people["customer"] in each for each in after)
    assert {f"records:{other['id']}", f"pairs:{other['id']}:people"} <= after
    refused = await world.api("DELETE", f"/api/customers/{other['customer']}")
    assert refused.status == 422
    for each in ("crm", "till"):
        found = await world.api.items("/api/connections", customer=people["customer"])
        [id] = [one["id"] for one in found if one["name"] == each]
        assert (await world.api("DELETE", f"/api/connections/{id}")).status == 204
    removed = await world.api("DELETE", f"/api/customers/{people['customer']}")
    assert removed.status == 204, removed.body
    assert await scopes() == {each for each in after if people["customer"] not in each}


async def test_an_app_cannot_make_the_knowledge_of_a_record_grow_without_end(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(echo, "MOST_FIELDS", 20)
    monkeypatch.setattr(echo, "MOST_BYTES", 20_000)
    crm = FILES["crm.py"].replace('Reads("contact", fields=FIELDS)', 'Reads("contact")')
    assert crm != FILES["crm.py"]
    await world.publish(world.packed("people:integration", {**FILES, "crm.py": crm}))
    people = await activated(world, await world.customer())
    sizes: list[int] = []
    for number in range(12):
        others = {f"field_{number}_{each}": ["x" * 20_000] for each in range(40)}
        event = {"id": "c_1", "name": f"Ada {number}", **others}
        ended = await world.ended(await world.send(people, event, "to_till"))
        assert ended["state"] == "succeeded"
        state = await world.host.store.journal.list_state(f"records:{people['id']}")
        sizes.append(len(state["crm/contact/c_1"]))

    assert max(sizes) < 30_000
    assert sizes != sorted(sizes)  # the control: some of it was forgotten
    known = await told(world, people, "c_1", "Ada 11")
    assert (known["state"], known["reason"][:9]) == ("ignored", "unchanged")
