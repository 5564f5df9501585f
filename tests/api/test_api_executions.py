"""Executions through the API: shown exactly and without secrets, cancelled, replayed, dismissed."""

from dataclasses import replace
from typing import Any
from unittest.mock import ANY

from halflap import fifo, latest_wins
from halflap.model import Event, FlowKey, LogLine, Order, Outcome, Record, Start, new_id

LARGE = 300 * 1024


async def test_an_execution_is_shown_with_every_digit_and_no_secret(
    world: Any, instance: Any
) -> None:
    body = b'{"id": "o1", "amount": 12345678901234567890.10}'
    id = await world.send(instance, body, authorization="Bearer the-senders", cookie="c=1")

    shown = await world.ended(id)

    raw = (await world.api("GET", f"/api/executions/{id}")).body
    assert (shown["state"], shown["key"], shown["customer_name"]) == ("succeeded", "o1", "Initech")
    assert shown["instance_name"] == "orders"
    assert raw.count(b'"amount":12345678901234567890.10') >= 3
    assert (shown["event"]["body"], shown["event"]["encoding"]) == (body.decode(), "utf-8")
    headers = dict(map(tuple, shown["event"]["headers"]))
    assert (headers["authorization"], headers["cookie"]) == ("•••", "•••")
    steps = {each["name"]: each for each in shown["steps"]}
    assert steps["shop.issue_key"]["result"] == "•••"
    assert steps["shop.create_order"]["inputs"]["secret"] == "•••"
    for secret in (b"the-senders", b"a-key-nobody-may-see", b"halflap-sealed", b"$secret"):
        assert secret not in raw
    assert shown["took_ms"] >= 0
    assert shown["waited_ms"] >= 0
    logs = await world.api("GET", f"/api/executions/{id}/logs")
    assert b'"amount":12345678901234567890.10' in logs.body
    assert logs.json["items"][0]["message"] == "creating"
    after = await world.api.get(f"/api/executions/{id}/logs", after=logs.json["items"][0]["id"])
    assert after == {"items": [], "next": None}


async def test_steps_come_in_pages_with_the_beginnings_of_their_values(
    world: Any, instance: Any
) -> None:
    body = b'{"id": "%s", "amount": 12345678901234567890.10}' % (b"o" * 300)
    id = await world.send(instance, body)
    whole = await world.ended(id)

    pages = [await world.api("GET", f"/api/executions/{id}/steps", limit=2)]
    while (next := pages[-1].json["next"]) is not None:
        query = {"limit": 2, "after": next}
        pages.append(await world.api("GET", f"/api/executions/{id}/steps", **query))

    found = [each for page in pages for each in page.json["items"]]
    assert [each["path"] for each in found] == [each["path"] for each in whole["steps"]]
    same = whole["steps"][0].keys() - {"inputs", "result"}
    assert [{n: e[n] for n in same} for e in found] == [
        {n: e[n] for n in same} for e in whole["steps"]
    ]
    steps = {each["name"]: each for each in found}
    assert steps["shop.issue_key"]["result"] == {"text": '"•••"', "size": ANY, "cut": False}
    inputs = steps["shop.create_order"]["inputs"]
    assert (len(inputs["text"]), inputs["cut"], inputs["size"] > 300) == (200, True, True)
    assert steps["shop.find_order"]["result"] is None
    assert [each["seq"] for each in found] == sorted(each["seq"] for each in found)
    for page in pages:
        for secret in (b"a-key-nobody-may-see", b"halflap-sealed", b"$secret"):
            assert secret not in page.body

    without = await world.api.items(f"/api/executions/{id}/steps", values="none")
    assert {(each["inputs"], each["result"]) for each in without} == {(None, None)}
    assert (await world.api("GET", f"/api/executions/{id}/steps", limit=0)).status == 422


async def test_an_execution_of_thousands_of_steps_has_a_short_overview(
    world: Any, instance: Any
) -> None:
    count = 5_001
    key = FlowKey(instance["customer"], instance["id"], "orders", "incoming", "v", 1)
    event = Event("POST", "", "", (("x-a", "1"),), b"x" * LARGE, world.host.clock())
    id, journal = new_id("exe"), world.host.store.journal
    [begun] = await journal.accept([Start(id, key, event, id)], claim=1, lease=60_000_000)
    records = [
        Record(n, f"add#{n}", "action", "add", "Add", "succeeded", 1, 2, b'{"a":1}', b"[" * 500)
        for n in range(count)
    ]
    lines = [LogLine(n, "info", f"line {n}") for n in range(1_500)]
    done = Outcome("succeeded", result=b'"' + b"x" * 1_000 + b'"')
    await journal.end(begun.claim.lease, records, lines, done)

    overview = await world.api("GET", f"/api/executions/{id}/overview")

    assert len(overview.body) < 4_000
    shown = overview.json
    assert (shown["state"], shown["step_count"]) == ("succeeded", count)
    assert (shown["result"]["size"], shown["result"]["cut"]) == (1_002, True)
    assert (shown["event"]["size"], shown["event"]["headers"]) == (LARGE, [["x-a", "1"]])
    assert "body" not in shown["event"]
    page = await world.api("GET", f"/api/executions/{id}/steps", after=4_000, limit=200)
    assert [each["path"] for each in page.json["items"]] == [f"add#{4_001 + n}" for n in range(200)]
    assert len(page.body) < 200 * 700
    logs = await world.api.get(f"/api/executions/{id}/logs")
    assert len(logs["items"]) == 1_000
    rest = await world.api.get(f"/api/executions/{id}/logs", after=logs["next"])
    assert [each["message"] for each in rest["items"]] == [f"line {n}" for n in range(1_000, 1_500)]
    assert rest["next"] is None


async def test_from_the_failed_step_what_succeeded_is_copied_and_a_page_of_steps_says_so(
    world: Any, instance: Any
) -> None:
    world.shop.broken = True
    failed = await world.ended(await world.send(instance, {"id": "o1", "amount": 1}))
    world.shop.broken = False
    whole = await world.replayed(failed["id"])

    was, now = ({each["name"]: each for each in shown["steps"]} for shown in (failed, whole))
    assert (whole["state"], whole["replay_of"], whole["root"]) == (
        *("succeeded", failed["id"]),
        failed["root"],
    )
    copied = now["shop.find_order"]
    assert (copied["copied_from"], copied["ended_at"]) == (
        failed["id"],
        was["shop.find_order"]["ended_at"],
    )
    assert now["shop.create_order"]["copied_from"] is None
    assert len(world.shop.orders) == 1
    for shown in (failed, whole):
        page = await world.api.items(f"/api/executions/{shown['id']}/steps")
        expected = (await world.api.get(f"/api/executions/{shown['id']}"))["steps"]
        names = expected[0].keys() - {"inputs", "result"}
        assert [{name: each[name] for name in names} for each in page] == [
            {name: each[name] for name in names} for each in expected
        ]


async def test_executions_are_found_by_what_they_are_and_failed_of(either: Any) -> None:
    await either.publish()
    instance = await either.instance()
    either.shop.broken = True
    failed = await either.send(instance, {"id": "o1", "amount": 1})
    await either.ended(failed)
    either.shop.broken = False
    replay = await either.replay(failed)
    await either.ended(replay)
    other = await either.send(instance, {"id": "o2", "amount": 1})
    await either.ended(other)
    asleep = await either.send(instance, {}, "waiting")

    async def ids(**query: Any) -> list[str]:
        page = await either.api.get("/api/executions", total=True, **query)
        assert page["total"] == len(page["items"])
        return [each["id"] for each in page["items"] if not each["flow"].startswith("$")]

    shown = await either.ended(failed)
    assert (
        await ids(component="shop") == await ids(failure_kind=shown["failure"]["kind"]) == [failed]
    )
    assert await ids(component="http") == await ids(failure_kind="Timeout") == []
    assert await ids(q="o1") == [replay, failed]
    assert await ids(q=failed) == await ids(lineage=replay, state="failed") == [failed]
    assert await ids(lineage=failed) == [replay, failed]
    assert await ids(replay_of=failed) == [replay]
    assert await ids(trigger="webhook.request") == [asleep, other, replay, failed]
    assert await ids(trigger="webhook", flow="waiting") == [asleep]
    assert await ids(trigger="shop.order_changed") == await ids(trigger="none") == []
    assert await ids(trigger="webhook", integration="none") == []
    assert await ids(min_ms=3_600_000) == []
    assert await ids(min_ms=0, q="o2") == [other]
    causes = await either.api.get("/api/executions/causes", component="shop", dismissed=True)
    assert [each["example"] for each in causes] == [failed]
    none = await either.api.get("/api/executions/causes", component="http", dismissed=True)
    assert none == []
    for query in ({}, {"trigger": "none"}, {"customer": "Initech"}, {"trigger": "webhook"}):
        assert await either.api.get("/api/executions/causes", **query) == []
    where = {"component": "shop", "failure_kind": shown["failure"]["kind"], "state": "failed"}
    plan = await either.api("POST", "/api/bulks", {"where": where, "dry_run": True})
    assert (plan.status, plan.json["total"]) == (200, 0)  # it is replayed already


async def test_the_last_execution_and_event_are_those_of_an_event_not_of_a_deployment(
    world: Any, instance: Any
) -> None:
    nothing = await world.api("GET", "/api/events/last")
    assert (nothing.status, nothing.kind) == (404, "NotFound")
    id = await world.send(instance, {"id": "o1", "amount": 1})
    await world.ended(id)
    await world.api("POST", "/api/instances/orders/redeploy", wait=30)

    last = await world.api.get("/api/executions/last")
    event = await world.api.get("/api/events/last", instance="orders", flow="incoming")

    assert (last["id"], event["execution"]) == (id, id)
    assert event["body"] == '{"id":"o1","amount":1}'


async def test_a_body_that_is_not_text_is_base64_and_comes_back_whole(
    world: Any, instance: Any
) -> None:
    id = await world.send(instance, b"\xff\x00\xfe", flow="waiting")
    event = (await world.api.get(f"/api/executions/{id}"))["event"]
    assert (event["body"], event["encoding"], event["size"]) == ("/wD+", "base64", 3)

    large = await world.send(instance, b"<script>" + b"x" * LARGE, flow="waiting")
    event = (await world.api.get(f"/api/executions/{large}"))["event"]
    assert (len(event["body"]), event["size"]) == (256 * 1024, LARGE + 8)
    assert "of 307,208 bytes" in event["note"]
    whole = await world.api("GET", f"/api/executions/{large}/body")
    assert whole.body == b"<script>" + b"x" * LARGE
    assert whole.headers["content-type"] == "application/octet-stream"


async def test_executions_are_listed_in_pages_and_by_what_matters(
    world: Any, instance: Any
) -> None:
    other = await world.instance(await world.customer("Globex"))
    sent = [await world.send(instance, {"id": f"o{n}", "amount": n}) for n in range(3)]
    await world.send(other, {"id": "o1", "amount": 1})
    for each in sent:
        await world.ended(each)

    page = await world.api.get("/api/executions", customer="Initech", flow="incoming", limit=2)
    rest = await world.api.get(
        "/api/executions",
        customer="Initech",
        flow="incoming",
        limit=2,
        before=page["next"],
    )

    assert [each["id"] for each in page["items"]] == sent[:0:-1]
    assert ([each["id"] for each in rest["items"]], rest["next"]) == (sent[:1], None)
    keyed = await world.api.items("/api/executions", key="o1", customer="Initech")
    assert [each["id"] for each in keyed] == [sent[1]]
    failed = await world.api.get("/api/executions", state="failed,cancelled")
    assert failed == {"items": [], "next": None, "total": None}
    wrong = await world.api("GET", "/api/executions", state="done")
    assert (wrong.status, set(wrong.json["fields"])) == (422, {"state"})


async def test_a_failed_execution_is_a_dead_letter_with_its_lines_until_it_is_dismissed(
    world: Any, instance: Any
) -> None:
    world.shop.broken = True
    id = await world.send(instance, {"id": "o1", "amount": 1})
    failed = await world.ended(id)
    assert (failed["state"], failed["failure"]["status"]) == ("failed", 422)
    [step] = [each for each in failed["steps"] if each["failure"]]
    assert step["failure"]["where"].startswith("shop.py:")
    assert failed["failure"]["where"].startswith("orders.py:")
    assert "bundles" not in failed["failure"]["trace"] + step["failure"]["trace"]

    letters = await world.api.items("/api/executions", dead_letters="true")
    assert [each["id"] for each in letters] == [id]
    assert (await world.api("POST", f"/api/executions/{id}/dismiss")).status == 204
    assert await world.api.items("/api/executions", dead_letters="true") == []
    shown = await world.api.get(f"/api/executions/{id}")
    assert (failed["dismissed"], shown["dismissed"], shown["replays"]) == (False, True, [])


async def test_an_execution_names_its_replays_newest_first(world: Any, instance: Any) -> None:
    keyed = await world.send(instance, {"id": "o1", "amount": 1})
    await world.ended(keyed)
    unkeyed = await world.send(instance, {}, flow="waiting")
    await world.api("POST", f"/api/executions/{unkeyed}/cancel")
    await world.ended(unkeyed)

    for id in (keyed, unkeyed):
        made: list[Any] = []
        for _ in range(2):
            draft = {"again": True}
            made.append(await world.api("POST", f"/api/executions/{id}/replay", draft))
            await world.api("POST", f"/api/executions/{made[-1].json['execution']}/cancel")
            await world.ended(made[-1].json["execution"])
        shown = await world.api.get(f"/api/executions/{id}")
        assert shown["replays"] == [each.json["execution"] for each in reversed(made)]
        assert not shown["dismissed"]
        newest = await world.api.get(f"/api/executions/{shown['replays'][0]}")
        assert newest["replays"] == []


async def recorded(world: Any, instance: Any) -> tuple[str, Any, Any]:
    """An execution that has ended: its id, its record and its event, to start others like it."""
    id, journal = await world.send(instance, {"id": "o1", "amount": 1}), world.host.store.journal
    await world.ended(id)
    return id, await journal.execution(id), await journal.event(id)


async def test_a_replay_takes_its_place_in_the_order_of_what_it_replays(
    world: Any, instance: Any
) -> None:
    id, found, event = await recorded(world, instance)
    start = Start(new_id("exe"), found.flow, event, id, order=Order("pairs", "1"))
    await world.host.engine.start([start])
    await world.ended(start.execution)

    for of, order in ((id, None), (start.execution, Order("pairs", "1"))):
        again = await world.replayed(of)
        assert (await world.host.store.journal.execution(again["id"])).order == order


async def test_what_is_neither_dismissed_nor_replayed_says_why(world: Any, instance: Any) -> None:
    id = await world.send(instance, {"id": "o1", "amount": 1})
    await world.ended(id)
    path = f"/api/instances/{instance['id']}"

    async def refused(verb: str, execution: str = id, status: int = 409, **draft: Any) -> str:
        answer = await world.api("POST", f"/api/executions/{execution}/{verb}", draft)
        assert answer.status == status, answer.body
        return answer.json["detail"]

    assert "only one that failed" in await refused("dismiss")
    assert "failed" in await refused("replay", **{"from": "failed"})
    assert "is a deployment" in await refused("replay", instance["deployment"])
    await world.disable(instance["id"])
    assert "activate it, then replay" in await refused("replay")
    assert (await world.api("DELETE", path)).status == 204
    assert "was removed" in await refused("replay", status=404)
    shown = await world.api.get(f"/api/executions/{id}")
    assert (shown["state"], shown["instance_name"]) == ("succeeded", None)
    listed = await world.api.items("/api/executions", instance=instance["id"], flow="incoming")
    assert [each["id"] for each in listed] == [id]


async def test_an_order_that_a_failure_blocks_says_so_and_goes_on(
    world: Any, instance: Any
) -> None:
    id, found, event = await recorded(world, instance)
    order = fifo(by_key=True, after_failure="block").of(instance["id"], "incoming", "o1")
    bad = replace(event, body=b'{"id": "o1"}')
    starts = [
        Start(new_id("exe"), found.flow, each, id, order=order) for each in (bad, event, event)
    ]
    failed, behind, last = [each.execution for each in starts]
    await world.host.engine.start(starts)
    assert (await world.ended(failed))["state"] == "failed"

    waiting = await world.api.get(f"/api/executions/{behind}")
    assert waiting["order"] == {"rule": "fifo", "key": "o1"}
    assert (waiting["state"], waiting["waits_for"]) == ("queued", failed)
    assert "once it is replayed or dismissed" in waiting["waits_because"]
    await world.api("POST", f"/api/executions/{failed}/dismiss")
    shown = await world.ended(last)
    assert (shown["state"], shown["waits_for"], shown["waits_because"]) == ("succeeded", None, "")


async def test_what_a_newer_event_replaced_is_found_by_its_reason(
    world: Any, instance: Any
) -> None:
    _, found, event = await recorded(world, instance)
    order = latest_wins().of(instance["id"], "waiting")
    flow = replace(found.flow, flow="waiting")
    ids = [new_id("exe") for _ in range(3)]
    for each in ids:
        await world.host.engine.start([Start(each, flow, event, each, order=order)])

    page = await world.api.get("/api/executions", reason="superseded")
    assert [each["id"] for each in page["items"]] == [ids[1]]
    assert page["items"][0]["reason"] == f"superseded by {ids[2]}"
    shown = await world.api.get(f"/api/executions/{ids[2]}")
    assert (shown["order"]["rule"], shown["waits_for"]) == ("latest_wins", ids[0])
    assert shown["waits_because"] == "it came first"
