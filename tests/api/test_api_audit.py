"""The audit log: who changed or looked at what, before it was answered; and it only grows."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from aiohttp import web

from halflap.errors import StoreError
from halflap.model import A_DAY, new_id
from halflap.store.catalogue.audit import COLUMNS, AuditLog
from halflap.store.rules.sign_in import FREE
from tests.api.conftest import Browser, document_of, signed_in

SECRET = "whsec-nobody-may-see-this"


async def entries(world: Any, **query: Any) -> list[dict[str, Any]]:
    answer = await world.api("GET", "/api/audit", limit=500, **query)
    assert answer.status == 200, answer.body
    return answer.json["items"]


async def test_every_change_is_in_the_log_with_who_and_what(world: Any) -> None:
    customer = await world.customer("Initech")
    browser = await signed_in(world, "developer")
    limits = {"concurrency": 7, "rate": None}
    changed = await browser("PUT", "/api/customers/Initech/limits", limits)
    assert changed.status == 200
    newest, *_ = await entries(world)
    assert (newest["kind"], newest["actor"], newest["label"], newest["address"]) == (
        "user",
        browser.user,
        "developer@example.com",
        "127.0.0.1",
    )
    assert (newest["operation"], newest["status"]) == ("limit_customer", 200)
    assert (newest["customer"], newest["objects"]) == (customer, {"customer": customer})
    assert newest["changes"] == limits
    signed, added, *_ = (await entries(world))[1:]
    assert (signed["operation"], signed["kind"], signed["actor"]) == (
        "sign_in",
        "user",
        browser.user,
    )
    assert (added["operation"], added["label"]) == ("add_user", "HALFLAP_TOKEN")
    assert added["objects"] == {"made": browser.user}
    assert added["changes"] == {"email": "developer@example.com", "role": "developer"}


async def test_what_only_looks_is_not_in_the_log_unless_it_shows_payloads_or_secrets(
    either: Any,
) -> None:
    await either.publish()
    instance = await either.instance()
    execution = await either.send(instance, {"id": "o-1", "amount": 5})
    await either.ended(execution)
    browser = await signed_in(either, "developer")
    key = await either.key("read", "payloads")
    before = len(await entries(either))
    looks = {
        f"/api/executions/{execution}": "get_execution",
        f"/api/executions/{execution}/logs": "get_logs",
        f"/api/executions/{execution}/body": "get_event_body",
        f"/api/executions/{execution}/result": "get_result",
        f"/api/instances/{instance['id']}/secrets": "get_endpoint_secrets",
    }
    plain = ("/api/executions", "/api/customers", f"/api/instances/{instance['id']}", "/api/me")
    for path in (*looks, *plain):
        assert (await browser("GET", path)).status == 200
        await either.api("GET", path)  # the team's token: a program of the team's own
    found = [each["operation"] for each in await entries(either)]
    assert found[: len(looks)] == [*looks.values()][::-1]
    assert len(found) == before + len(looks)
    [newest] = await entries(either, operation="get_result")
    assert newest["objects"] == {"execution": execution, "customer": instance["customer"]}
    assert (await either.api("GET", f"/api/executions/{execution}/body", token=key)).status == 200
    assert (await entries(either))[0]["label"] == "k"
    # Of a text that was looked for the length is kept, as it is a value that somebody knows.
    query = {"q": "o-1-of-ada", "customer": "Initech"}
    assert (await either.api("GET", "/api/search", token=key, **query)).status == 200
    assert (await either.api("GET", "/api/events/last", token=key)).status == 200
    last, search = (await entries(either))[:2]
    assert (search["customer"], search["changes"]["q"]) == (instance["customer"], "10 characters")
    assert last["objects"] == {"execution": execution, "customer": instance["customer"]}
    # Lists of choices and lint change nothing, though they are no GET.
    paths = document_of(either)["paths"]
    for path in ("/api/lint", "/api/sources", "/api/session/oidc"):
        assert paths[path]["post"]["x-audited"] == "no"


async def test_what_is_refused_is_in_the_log(world: Any) -> None:
    browser = await signed_in(world, "viewer")
    await browser("POST", "/api/customers", {"name": "x"})
    await browser(
        "POST", "/api/customers", {"name": "x"}, headers={"origin": "https://evil.example"}
    )
    await Browser(world.api).sign_in(email="viewer@example.com", password="wrong guess")
    await Browser(world.api).sign_in(email="a-password-in-the-wrong-field", password="x")
    found = await entries(world)  # those of one millisecond come in any order
    [refused] = [each for each in found if each["operation"] == "add_customer"]
    [forged] = [each for each in found if each["operation"] == "/api/customers"]
    failed = [each for each in found if (each["operation"], each["status"]) == ("sign_in", 401)]
    unknown, known = sorted(failed, key=lambda each: len(each["objects"]))
    assert (refused["operation"], refused["status"], refused["actor"]) == (
        "add_customer",
        403,
        browser.user,
    )
    assert (forged["operation"], forged["status"]) == ("/api/customers", 403)
    assert (known["operation"], known["status"], known["kind"]) == ("sign_in", 401, "unknown")
    assert known["objects"] == {"user": browser.user}
    assert (unknown["objects"], unknown["actor"], unknown["label"]) == ({}, "", "")
    assert "wrong-field" not in str(unknown)


@pytest.mark.usefixtures("cheap")
@pytest.mark.parametrize(
    "way",
    [{"link": "guess"}, {"code": "c", "state": "s"}, {"email": "a@example.com", "password": "x"}],
)
async def test_who_guesses_from_one_address_fills_no_log(world: Any, way: dict[str, str]) -> None:
    attempts, at = world.host.operations.people.catalogue.attempts, world.host.clock()
    attempts._clock = lambda: at
    answers = [await Browser(world.api).sign_in(**way) for _ in range(2 * FREE["address"])]
    statuses = [each.status for each in answers]
    most = FREE["account" if "email" in way else "address"]
    assert statuses == [401] * most + [429] * (len(answers) - most)
    assert len(await entries(world, operation="sign_in")) == most
    link = (await world.api("POST", "/api/links", {})).json["link"]
    assert (await Browser(world.api).sign_in(link=link)).status == 200  # from there, too


async def test_no_secret_and_no_payload_is_in_the_log(world: Any) -> None:
    await world.publish()
    customer = await world.customer("Mine")
    await world.connection(customer)
    instance = await world.add(customer, name="orders", config={"label": SECRET})
    configured, connected, *_ = await entries(world, customer="Mine")
    assert configured["changes"]["config"] == ["label"]
    assert configured["objects"] == {"made": instance["id"]}
    assert connected["changes"]["values"] == ["api_key", "base_url"]
    app = {"client_id": "us", "client_secret": SECRET, "origins": [world.shop.url]}
    assert (await world.api("PUT", "/api/oauth-apps/http", app)).status in (200, 409, 422)
    active = await world.activate(instance["id"])
    execution = await world.send(active, {"id": SECRET, "amount": 5})
    await world.ended(execution)
    edited = {"event": {"body": SECRET, "headers": {"x-y": SECRET}}, "from": "start"}
    await world.replay(execution, edited)
    waiting = await world.send(active, {}, "waiting")
    await world.state(waiting, "waiting")
    await world.api("POST", f"/api/executions/{waiting}/signals/go", {"said": SECRET})
    await world.api("POST", "/api/users", {"email": "a@b.c"})
    await (await signed_in(world, "viewer"))(
        "POST", "/api/me/password", {"password": f"{SECRET} and more"}
    )
    # The record of an execution is read from the execution, as lists of executions show it.
    text = str([{**each, "names": {}} for each in await entries(world)])
    for operation in ("replay_execution", "send_signal", "set_password"):
        assert operation in text
    for each in (SECRET, "good-key", "halflap_link_", "whsec_"):
        assert each not in text


async def test_the_log_is_read_by_actor_object_and_pages(either: Any) -> None:
    customer = await either.customer("Mine")
    for n in range(5):
        await either.api("PUT", f"/api/customers/{customer}/limits", {"concurrency": n})
    assert len(await entries(either, on=customer, operation="limit_customer")) == 5
    assert len(await entries(either, on=customer[:-1])) == 0
    assert len(await entries(either, on="%")) == 0
    assert len(await entries(either, actor="HALFLAP_TOKEN")) == 6
    assert await entries(either, actor="nobody") == []
    pages: list[str] = []
    before: dict[str, str] = {}
    while True:
        page = await either.api.get("/api/audit", limit=2, **before)
        pages += [each["id"] for each in page["items"]]
        if page["next"] is None:
            break
        before = {"before": page["next"]}
    assert pages == [each["id"] for each in await entries(either)]


async def test_entries_name_what_they_are_about(world: Any) -> None:
    await world.publish()
    instance = await world.instance()
    execution = await world.send(instance, {"id": "o-1", "amount": 5})
    await world.ended(execution)
    browser = await signed_in(world, "support")
    await browser("GET", f"/api/executions/{execution}")
    await world.api("POST", f"/api/instances/{instance['id']}/pause", {})
    [paused] = await entries(world, operation="pause_instance")
    [look] = await entries(world, operation="get_execution")
    customer = instance["customer"]
    owner = (await world.api.get(f"/api/customers/{customer}"))["name"]
    assert paused["names"] == {instance["id"]: instance["name"], customer: owner}
    assert look["names"] == {
        execution: "incoming o-1",
        customer: owner,
        browser.user: "support@example.com",
    }
    published = (await entries(world, operation="publish_version"))[-1]
    assert published["names"] == {published["objects"]["made"]: "orders, version 1"}
    # What is gone keeps its id.
    await world.api("DELETE", f"/api/users/{browser.user}")
    [look] = await entries(world, operation="get_execution")
    assert browser.user not in look["names"]
    assert (look["actor"], look["label"]) == (browser.user, "support@example.com")
    found = await world.api.items("/api/audit/operations")
    titles = {each["operation"]: (each["title"], each["text"]) for each in found}
    assert titles["begin_bulk"][0] == "begin bulk"
    assert titles["get_execution"][0] == "look at execution"
    assert titles["pause_instance"][1].startswith("Let an instance, or one flow of it, stand still")
    assert {each["operation"] for each in await entries(world)} <= {*titles}
    assert "list_executions" not in titles


async def refused(_: web.Request) -> web.Response:
    return web.Response(status=422)


async def test_what_is_about_several_customers_is_found_under_each(either: Any) -> None:
    await either.publish()
    names, customers = ("Acme", "Globex", "Initech"), dict[str, str]()
    either.shop.order_answer = refused
    for name in names:
        customers[name] = await either.customer(name)
        instance = await either.instance(customers[name])
        if name != "Initech":
            await either.ended(await either.send(instance, {"id": name, "amount": 5}))
    begun = await either.bulk({"do": "dismiss", "where": {"state": "failed"}})
    assert begun["done"] == 2
    await either.publish(either.bundle(label="2"), target="")
    await either.upgraded({"version": "2", "customer": "Globex"})
    found = {
        name: [
            each["operation"]
            for each in await entries(either, customer=name)
            if each["operation"] in ("begin_bulk", "upgrade_instances")
        ]
        for name in names
    }
    assert found == {
        "Acme": ["begin_bulk"],
        "Globex": ["upgrade_instances", "begin_bulk"],
        "Initech": [],
    }
    [bulk] = await entries(either, operation="begin_bulk", customer="Acme")
    assert bulk["customers"] == sorted([customers["Acme"], customers["Globex"]])
    assert bulk["customer_count"] == 2
    assert bulk["names"][customers["Globex"]] == "Globex"
    assert await entries(either, on=begun["id"], customer="Acme") == [bulk]
    assert await entries(either, on=begun["id"], customer="Initech") == []
    # What is done with the bulk afterwards is about the same customers; an entry is listed once.
    await either.api("POST", f"/api/bulks/{begun['id']}/cancel")
    both = await entries(either, customer="Acme", on=begun["id"])
    assert {each["operation"] for each in both} == {"cancel_bulk", "begin_bulk"}
    # A look at the logs of all is one at those whose lines were shown.
    browser = await signed_in(either, "support")
    assert (await browser("GET", "/api/logs")).status == 200
    [look] = await entries(either, operation="list_logs")
    assert look["customer_count"] == len(look["customers"])


async def test_a_search_over_all_is_in_the_log_of_each_customer_that_it_found(world: Any) -> None:
    await world.publish()
    for name, id in (("Acme", "sought-1"), ("Globex", "other")):
        instance = await world.instance(await world.customer(name))
        await world.ended(await world.send(instance, {"id": id, "amount": 5}))
    browser = await signed_in(world, "support")
    assert "sought-1" in str((await browser("GET", "/api/search", q="sought-1")).body)
    assert len(await entries(world, operation="search_payloads", customer="Acme")) == 1
    assert await entries(world, operation="search_payloads", customer="Globex") == []


def test_entries_of_one_moment_are_in_the_order_in_which_they_were_made() -> None:
    now = [
        1_700_000_000_000_000 + each for each in (0, 0, 0, 1, 7, 7, 999, 999, 1_000) for _ in "ab"
    ]
    log = AuditLog(cast(Any, None), iter(now).__next__)
    said: dict[str, Any] = dict.fromkeys(("kind", "actor", "label", "address", "operation"), "a")
    said |= {"customer": None, "objects": {}, "status": 0, "changes": {}}
    made = [log.entry(**said).id for _ in now]
    assert made == sorted(made)
    assert len({*made}) == len(made)


async def test_the_log_is_read_by_time(either: Any) -> None:
    for n in range(3):
        await either.customer(f"C{n}")
    newest, middle, oldest = [each["at"] for each in await entries(either)]
    assert [each["at"] for each in await entries(either, since=middle)] == [newest, middle]
    assert [each["at"] for each in await entries(either, until=middle)] == [oldest]
    assert [each["at"] for each in await entries(either, since=middle, until=newest)] == [middle]
    answer = await either.api("GET", "/api/audit", since="yesterday")
    assert (answer.status, [*answer.json["fields"]]) == (422, ["since"])


async def test_an_answer_never_precedes_its_entry(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(log: AuditLog, entry: Any) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(AuditLog, "add", refuse)
        answer = await world.api("POST", "/api/customers", {"name": "Unaudited"})
        assert (answer.status, answer.kind) == (503, "StoreError")
        assert (await world.api("GET", "/api/customers")).status == 200
    assert (await world.api("POST", "/api/customers", {"name": "Audited"})).status == 201


async def test_a_change_has_one_entry_whose_answer_completes_it_and_a_refusal_has_none(
    either: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[list[str]] = []
    add = AuditLog.add

    async def look(log: AuditLog, entry: Any) -> None:
        written.append([each.operation for each in await log.list() if each.status == 0])
        await add(log, entry)

    monkeypatch.setattr(AuditLog, "add", look)
    customer = await either.customer("Mine")
    assert written == [["add_customer"]]  # it was there before the answer
    [entry] = await entries(either)
    assert (entry["status"], entry["objects"]) == (201, {"made": customer})
    assert await entries(either, on=customer) == [entry]
    assert (await either.api("POST", "/api/customers", {"name": "Mine"})).status == 422
    assert (await either.api("DELETE", "/api/customers/nobody")).status == 404
    stale = {"if-match": '"another"'}
    path = f"/api/customers/{customer}/limits"
    assert (await either.api("PUT", path, {"rate": 1}, headers=stale)).status == 412
    assert await entries(either) == [entry]
    # In a customer's scope, whose transactions may not write to the log.
    token = await either.token(customer)
    await either.publish(target="offered")
    written.clear()
    await either.connection(customer, token=token)
    assert written == [["make_connection"]]
    [newest, *_] = await entries(either)
    assert (newest["status"], newest["kind"], newest["customer"]) == (201, "customer", customer)


async def test_the_entries_of_an_object_are_found_among_many(either: Any) -> None:
    audit, many = either.host.store.catalogue.audit, 12_000
    at, rows, about = either.host.store.clock(), [], []
    for n in range(many):
        id = new_id("aud", now=at - many + n)
        object = "cus_sought" if n % 1_200 == 0 else f"cus_{n % 1_000}"
        rows.append((id, at, "root", "root", "", "", "old", None, "{}", 200, "{}", at + A_DAY))
        about.append((object, id))

    def fill(connection: Any) -> None:
        values = ", ".join("?" * 12)
        connection.executemany(f"INSERT INTO audit ({COLUMNS}, kept_until) VALUES ({values})", rows)
        connection.executemany("INSERT INTO audit_objects VALUES (?, ?)", about)

    database = either.host.store.database
    await database.write(fill)
    is_file = not either.host.settings.store
    await database.write(lambda c: c.execute("ANALYZE").rowcount)
    asked: list[Any] = []
    read = audit._writer.rows

    async def rows_of(sql: str, values: Any = ()) -> Any:
        asked.append((sql, values))
        return await read(sql, values)

    audit._writer.rows = rows_of
    try:
        for more in ({}, {"operation": "old"}, {"before": rows[-1][0]}):
            found = await audit.list(on="cus_sought", limit=5, **more)
            assert [each.id for each in found] == [
                about[n][1] for n in range(10_800, 4_800, -1_200)
            ]
    finally:
        del audit._writer.rows
    explain = "EXPLAIN QUERY PLAN" if is_file else "EXPLAIN"
    for sql, values in asked:

        def look(connection: Any, sql: str = f"{explain} {sql}", values: Any = values) -> str:
            return str(connection.execute(sql, values).fetchall())

        plan = await database.read(look)
        assert ("audit_objects USING PRIMARY KEY" if is_file else "audit_objects_pkey") in plan
        assert "SCAN audit" not in plan
        assert "Seq Scan" not in plan


async def test_an_entry_is_neither_changed_nor_deleted_before_its_time(either: Any) -> None:
    await either.customer("Mine")
    audit = either.host.store.catalogue.audit
    forbidden = [
        "UPDATE audit SET actor = 'another'",
        "UPDATE audit SET status = 201, actor = 'another'",
        "DELETE FROM audit",
        f"DELETE FROM audit WHERE kept_until > {A_DAY}",
    ]
    if either.host.settings.store:
        with psycopg.connect(either.host.settings.store, autocommit=True) as connection:
            for sql in (*forbidden, "TRUNCATE audit"):
                with pytest.raises(psycopg.Error, match="append-only"):
                    connection.execute(sql.encode())
    else:
        path = Path(either.host.settings.dir) / "halflap.db"
        with sqlite3.connect(path, timeout=10) as connection:
            copied = (
                "SELECT id, at, 0, kind, actor, 'NOBODY', address, operation, customer, objects,"
            )
            for sql in (
                *forbidden,
                f"REPLACE INTO audit {copied} status, changes FROM audit",
                f"INSERT OR IGNORE INTO audit {copied} status, changes FROM audit",
                f"INSERT INTO audit {copied} status, changes FROM audit WHERE true"
                " ON CONFLICT (id) DO UPDATE SET kept_until = 0",
            ):
                with pytest.raises(sqlite3.DatabaseError, match="append-only"):
                    connection.execute(sql)
    assert len(await entries(either)) == 1
    assert not await audit.prune(100)
    # What was kept for long enough goes.
    earlier = AuditLog(audit._writer, lambda: either.host.store.clock() - 400 * A_DAY)
    await earlier.add(earlier.entry(**OLD))
    assert len(await entries(either)) == 2
    assert not await audit.prune(100)
    assert [each["operation"] for each in await entries(either)] == ["add_customer"]


OLD: dict[str, Any] = {
    "kind": "root",
    "actor": "root",
    "label": "",
    "address": "",
    "operation": "old",
    "customer": None,
    "objects": {},
    "status": 200,
    "changes": {},
}
