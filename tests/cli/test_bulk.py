"""Times and filters of bulk commands."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from halflap.cli.bulk import time_of
from halflap.errors import ConfigError
from tests.cases import for_each


@for_each(
    ("text", "ago"),
    [
        ("2m30s", timedelta(seconds=150)),
        ("1h 30m", timedelta(minutes=90)),
        ("7d", timedelta(days=7)),
        ("5 min", timedelta(minutes=5)),
    ],
)
def test_how_long_ago_a_time_is_is_read_as_every_duration(text: str, ago: timedelta) -> None:
    found = datetime.now(UTC) - datetime.fromisoformat(time_of(text))
    assert abs(found - ago) < timedelta(seconds=30)


def test_a_time_is_one_and_what_is_neither_is_refused() -> None:
    assert time_of("2026-01-31T14:00:00Z") == "2026-01-31T14:00:00+00:00"
    with pytest.raises(ConfigError, match="2h, 2m30s or 7d"):
        time_of("soon")
