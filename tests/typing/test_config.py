"""The types of a config's fields where a trigger and a filter take them."""

from __future__ import annotations

from typing import Any, assert_type

import pytest

from halflap import Config, Context, DefinitionError, Integration, Request, schedule, webhook


class Hours(Config):
    every: int
    zone: str = "UTC"


assert_type(Hours(every=1).zone, str)
integration = Integration("hours", config=Hours)


@integration.flow(trigger=schedule.every(minutes=Hours.every, tz=Hours.zone))
async def often(ctx: Context[Hours], tick: schedule.Tick) -> None: ...


@integration.flow(
    trigger=webhook.request(), filter=lambda request, config: config.zone == request.method
)
async def filtered(ctx: Context[Hours], event: Any) -> None: ...


@integration.flow(trigger=webhook.request(), filter=lambda request: request.method == "POST")
async def plain(ctx: Context[Hours], event: Any) -> None: ...


def of_zone(request: Request, config: Hours) -> bool:
    return assert_type(config.zone, str) == "UTC"


@integration.flow(trigger=webhook.request(), filter=of_zone)
async def named(ctx: Context[Hours], event: Any) -> None: ...


def test_a_field_of_another_type_and_one_that_is_not_there_are_told_before_anything_runs() -> None:
    with pytest.raises(DefinitionError):
        schedule.every(minutes=Hours.zone)  # pyright: ignore[reportArgumentType]
    with pytest.raises(AttributeError):
        print(Hours.nothing)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType]
