"""Log lines over all executions, and schedules, with the filters and pages of lists."""

from __future__ import annotations

from typing import Any

LOGGING = """\
name: orders
config:
  Settings:
    label: {type: text}
    shop: {connection: shop}
flows:
  incoming:
    trigger: webhook.request # halflap: ignore[HF114]
    steps:
      - log: ="order " & event.id & " came"
        level: warning
      - log: a second line
  nightly:
    trigger: schedule.cron
    with: {expression: "0 3 * * *", tz: Europe/Paris}
    steps:
      - log: good night
"""


async def test_lines_of_all_executions_are_listed_by_text_level_and_place(either: Any) -> None:
    await either.publish(either.packed("orders.yaml", {"orders.yaml": LOGGING}))
    instance = await either.instance()
    sent = [await either.send(instance, {"id": f"o{at}"}) for at in range(3)]
    for each in sent:
        await either.ended(each)

    async def listed(**query: Any) -> list[tuple[str, str]]:
        found = await either.api.items("/api/logs", **query)
        return [(each["execution"], each["message"]) for each in found]

    whole = [
        (id, text)
        for at, id in reversed([*enumerate(sent)])
        for text in ("a second line", f"order o{at} came")
    ]
    assert await listed() == whole
    assert await listed(q="ORDER o1") == [(sent[1], "order o1 came")]
    assert await listed(level="warning", customer="Initech") == whole[1::2]
    assert await listed(flow="nightly") == await listed(q="nothing has this") == []
    first = await either.api.get("/api/logs", limit=1)
    assert [each["message"] for each in first["items"]] == ["a second line", "order o2 came"]
    assert await listed(limit=1, before=first["next"]) == whole[2:4]
    assert (await either.api("GET", "/api/logs", level="loud")).status == 422


async def test_schedules_say_when_they_fired_and_when_they_will(either: Any) -> None:
    await either.publish(either.packed("orders.yaml", {"orders.yaml": LOGGING}))
    instance = await either.instance()
    instances = either.host.store.catalogue.instances
    await instances.note_tick(instance["id"], "nightly", 1_000_000)

    async def listed(**query: Any) -> list[Any]:
        return await either.api.items("/api/schedules", **query)

    [found] = await listed()
    assert (found["flow"], found["customer_name"]) == ("nightly", "Initech")
    assert found["last_at"] == "1970-01-01T00:00:01.000000Z"
    assert found["next_at"][14:16] == "00"
    assert found["problem"] == ""
    assert await listed(customer="Initech", integration="orders") == [found]
    assert await listed(integration="others") == await listed(after=found["id"]) == []
    page = await either.api.get("/api/schedules", limit=1)
    assert page["next"] == found["id"]
    await either.api("POST", f"/api/instances/{instance['id']}/disable", wait=30)
    assert await listed() == []
