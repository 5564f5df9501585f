"""The built-in flow that delivers: its schedule, and when a receiver is disabled."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from halflap import UpstreamError, webhook
from halflap.components.webhook import receivers
from halflap.testing import Run

EVENT = {
    "id": "evt_1",
    "type": "order.created",
    "version": 1,
    "timestamp": "2026-11-30T12:00:00Z",
    "data": {"id": "o-1"},
}
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
SENT = webhook.Sent(id="evt_1", status=200)


def refused(status: int) -> UpstreamError:
    return UpstreamError(f"it answered {status}", status=status)


async def deliver(run: Run, *answers: Any, health: Any = None) -> Any:
    """Deliver an event to a receiver that answers so, the last of it again and again."""
    left = list(answers)

    def send(**_: Any) -> Any:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    shared = {} if health is None else {"instance": {"health": health}}
    return await run(receivers.deliver, EVENT, stubs={webhook.send: send}, now=NOW, shared=shared)


def tries(result: Any) -> list[timedelta]:
    """The times between the tries of a delivery."""
    sent = [each.started_at for each in result.records if each.kind == "action"]
    return [timedelta(microseconds=after - before) for before, after in pairwise(sent)]


async def test_what_is_taken_is_sent_once(run: Run) -> None:
    result = await deliver(run, SENT)
    assert (result.state, result.ran(webhook.send)) == ("succeeded", 1)
    assert result.shared["instance"] == {}
    assert result.steps[0] == webhook.send.call(
        type="order.created", data={"id": "o-1"}, at=NOW, id="evt_1"
    )


async def test_what_is_not_taken_is_sent_ten_times_in_three_days(run: Run) -> None:
    result = await deliver(run, refused(400))
    assert (result.state, result.ran(webhook.send)) == ("failed", 10)
    waits = tries(result)
    for waited, wait in zip(waits, receivers.WAITS[1:], strict=True):
        assert wait <= waited <= wait * 1.11, (waited, wait)
    assert timedelta(hours=75) < sum(waits, timedelta()) < timedelta(hours=84)
    assert result.shared["instance"]["health"] == {"failing": NOW.isoformat()}
    assert "400" in result.reason


async def test_a_try_that_is_taken_ends_the_failure(run: Run) -> None:
    result = await deliver(run, refused(500), refused(404), SENT)
    assert (result.state, result.ran(webhook.send)) == ("succeeded", 3)
    assert result.shared["instance"]["health"] == {}


async def test_a_receiver_that_is_gone_is_disabled_at_once(run: Run) -> None:
    result = await deliver(run, refused(410))
    assert (result.state, result.ran(webhook.send)) == ("failed", 1)
    assert result.shared["instance"]["health"] == {
        "failing": NOW.isoformat(),
        "disabled": NOW.isoformat(),
        "reason": "it answered that it is gone (410)",
    }


async def test_a_receiver_that_takes_nothing_for_five_days_is_disabled(run: Run) -> None:
    since = (NOW - timedelta(days=4)).isoformat()
    result = await deliver(run, refused(503), health={"failing": since})
    health = result.shared["instance"]["health"]
    assert health["failing"] == since
    assert health["reason"] == "it has taken nothing since 2026-11-26T12:00 UTC"
    assert datetime.fromisoformat(health["disabled"]) - NOW > timedelta(days=1)
    assert (result.state, "is disabled" in result.reason) == ("cancelled", True)


async def test_one_that_takes_something_within_five_days_is_not(run: Run) -> None:
    since = (NOW - timedelta(days=4)).isoformat()
    result = await deliver(run, *[refused(503)] * 4, SENT, health={"failing": since})
    assert (result.state, result.shared["instance"]["health"]) == ("succeeded", {})


async def test_a_disabled_receiver_is_sent_nothing(run: Run) -> None:
    health = {"disabled": NOW.isoformat(), "reason": "by hand"}
    result = await deliver(run, SENT, health=health)
    assert (result.state, result.ran(webhook.send)) == ("cancelled", 0)
    assert result.reason == "the receiver is disabled: by hand"
    assert result.shared["instance"]["health"] == health


async def test_waits_are_alike_on_every_attempt_and_differ_between_events() -> None:
    shares = {receivers.share_of(f"evt_{number}:1") for number in range(100)}
    assert len(shares) == 100
    assert all(0 <= each < 1 for each in shares)
    assert receivers.share_of("evt_1:1") == receivers.share_of("evt_1:1")
