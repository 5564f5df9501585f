"""Schedules: cron, intervals, time zones, and the two nights when clocks jump."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from halflap import DefinitionError, schedule
from halflap.sdk.trigger import BoundTrigger
from tests.cases import for_each


def ticks(trigger: BoundTrigger[schedule.Tick], after: str, count: int) -> list[str]:
    """The next ticks after a time, in UTC."""
    following = trigger.declaration.ticks
    assert following is not None
    time: datetime | None = datetime.fromisoformat(after).replace(tzinfo=UTC)
    found: list[str] = []
    for _ in range(count):
        assert time is not None
        time = following(time)
        assert time is not None
        assert time.utcoffset() is not None
        found.append(time.astimezone(UTC).strftime("%m-%d %H:%M"))
    return found


def test_a_cron_expression_ticks_in_its_time_zone() -> None:
    trigger = schedule.cron(expression="30 6 * * 1-5", tz="Europe/Paris")
    assert ticks(trigger, "2026-01-02T00:00", 3) == ["01-02 05:30", "01-05 05:30", "01-06 05:30"]
    assert ticks(trigger, "2026-07-03T00:00", 2) == ["07-03 04:30", "07-06 04:30"]


def test_a_time_that_the_spring_jump_skips_fires_at_the_jump() -> None:
    trigger = schedule.cron(expression="30 2 * * *", tz="Europe/Paris")
    assert ticks(trigger, "2026-03-28T00:00", 3) == ["03-28 01:30", "03-29 01:00", "03-30 00:30"]


def test_a_time_that_the_autumn_jump_repeats_fires_once() -> None:
    trigger = schedule.cron(expression="30 2 * * *", tz="Europe/Paris")
    assert ticks(trigger, "2026-10-24T12:00", 2) == ["10-25 00:30", "10-26 01:30"]


def test_every_hour_stays_every_hour_through_both_jumps() -> None:
    trigger = schedule.cron(expression="0 * * * *", tz="Europe/Paris")
    spring = ["03-29 00:00", "03-29 01:00", "03-29 02:00", "03-29 03:00"]
    assert ticks(trigger, "2026-03-28T23:00", 4) == spring
    autumn = ["10-25 00:00", "10-25 01:00", "10-25 02:00", "10-25 03:00"]
    assert ticks(trigger, "2026-10-24T23:00", 4) == autumn


def test_an_interval_does_not_depend_on_when_the_server_started() -> None:
    trigger = schedule.every(minutes=15)
    assert ticks(trigger, "2026-01-01T10:07", 2) == ["01-01 10:15", "01-01 10:30"]
    assert ticks(trigger, "2026-01-01T10:14", 1) == ["01-01 10:15"]
    assert ticks(trigger, "2026-01-01T10:15", 1) == ["01-01 10:30"]


@for_each(
    ("bind", "message"),
    [
        (lambda: schedule.cron(expression="every day"), "no cron expression"),
        (lambda: schedule.cron(expression="0 0 * * *", tz="Mars/Olympus"), "no time zone"),
        (lambda: schedule.every(), "at least one second"),
        (lambda: schedule.every(minutes=-5), "at least one second"),
        (lambda: schedule.cron(), "needs the input 'expression'"),
    ],
)
def test_a_wrong_schedule_says_what_to_write(bind: object, message: str) -> None:
    assert callable(bind)
    with pytest.raises(DefinitionError, match=message):
        bind()
