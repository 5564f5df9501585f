"""GitHub's real payloads, signed, once and again."""

from __future__ import annotations

import gzip
import time
import uuid
from collections import Counter
from datetime import UTC, datetime
from importlib.resources import files
from statistics import median
from typing import Any

from halflap.cli.demo.checks import Checks, eventually
from halflap.cli.demo.customer import Customer
from halflap.cli.demo.stage import Stage
from halflap.sdk import codec
from halflap.sdk.signature import GitHubSignature


async def github_day(scene: Stage, checks: Checks, initech: Customer, globex: Customer) -> None:
    """GitHub's real payloads, signed, once and again."""
    events = payloads()
    checks.act(f"GitHub sends its {len(events)} real payloads")
    hook = next(h for h in scene.github.hooks.values() if h["repo"] == "initech")
    url = hook["config"]["url"]
    first = events[0]
    async with scene.http.post(
        url, data=codec.encode(first["payload"]), headers={"X-GitHub-Event": first["event"]}
    ) as answer:
        checks.check(answer.status == 401, "an unsigned request is refused", answer.status)
    deliveries = [str(uuid.uuid4()) for _ in events]
    took: list[float] = []
    statuses: Counter[int] = Counter()
    for _ in range(2):
        for event, delivery in zip(events, deliveries, strict=True):
            began = time.perf_counter()
            statuses[await send_github(scene, hook, event, delivery)] += 1
            took.append((time.perf_counter() - began) * 1000)
    checks.check(
        statuses == {200: 2 * len(events)},
        "every request is accepted, sent twice each",
        f"median {median(took):.1f} ms to the 2xx",
    )
    wanted = len([each for each in events if each["event"] != "ping"])

    async def arrived() -> bool:
        return len(await scene.acme.everything("/v1/activities", initech.key)) >= wanted

    await eventually(arrived)
    activities = await scene.acme.everything("/v1/activities", initech.key)
    ids = Counter(each["external_id"] for each in activities)
    checks.check(
        len(ids) == wanted, "every event is an activity in Acme", f"{len(ids)} of {wanted}"
    )
    checks.check(
        max(ids.values()) == 1, "sent twice, none is doubled", f"{len(activities)} activities"
    )
    others = await scene.acme.everything("/v1/activities", globex.key)
    checks.check(others == [], f"nothing of it reached {globex.name}")


async def send_github(scene: Stage, hook: dict[str, Any], event: Any, delivery: str) -> int:
    """Send one payload as GitHub does."""
    body = codec.encode(event["payload"])
    headers = {
        "Content-Type": "application/json",
        "X-GitHub-Event": event["event"],
        "X-GitHub-Delivery": delivery,
        **GitHubSignature().sign(body, hook["config"]["secret"], datetime.now(UTC)),
    }
    async with scene.http.post(hook["config"]["url"], data=body, headers=headers) as answer:
        return answer.status


def payloads() -> list[dict[str, Any]]:
    """GitHub's own example payloads (see NOTICE)."""
    packed = files("halflap.cli.demo").joinpath("github_events.json.gz").read_bytes()
    return codec.decode(gzip.decompress(packed))
