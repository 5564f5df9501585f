"""Recordings through the API: all that an execution recorded, page by page, and no secret."""

import base64
from typing import Any


async def test_recordings_come_in_pages_with_events_and_steps_but_no_secret(
    world: Any, instance: Any
) -> None:
    body = b'{"id": "o1", "amount": 12345678901234567890.10}'
    first = await world.send(instance, body, authorization="Bearer the-senders")
    await world.ended(first)
    await world.send(instance, {}, flow="waiting")  # has not ended
    second = await world.send(instance, {"id": "o2", "amount": 2})
    await world.ended(second)

    path = "/api/recordings"
    page = await world.api.get(path, integration="orders", limit=1)
    rest = await world.api("GET", path, integration="orders", limit=1, before=page["next"])
    other = await world.api.get(path, integration="others")

    [newest], [oldest] = page["items"], rest.json["items"]
    assert [newest["execution"], oldest["execution"]] == [second, first]
    assert other == {"items": [], "next": None, "removed": 0}
    assert base64.b64decode(oldest["event"]["body"]) == body
    assert oldest["config"] == {"label": "x"}
    assert oldest["customer"]["name"] == "Initech"
    steps = {each["name"]: each for each in oldest["steps"]}
    assert b"12345678901234567890.10" in base64.b64decode(steps["shop.create_order"]["inputs"])
    raw = rest.body + b"".join(
        base64.b64decode(each[part])
        for each in oldest["steps"]
        for part in ("inputs", "result")
        if each[part]
    )
    for secret in (b"the-senders", b"good-key", b"a-key-nobody-may-see", b"halflap-sealed"):
        assert secret not in raw
    assert base64.b64decode(steps["shop.issue_key"]["result"]).decode() == '{"$secret":"•••"}'
    deployments = {each["flow"] for each in (newest, oldest)}
    assert deployments == {"incoming"}
