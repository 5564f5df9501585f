"""References to a config's fields: read of its class, taken by triggers in the place of values."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from halflap import Component, Config, Context, DefinitionError, Integration, Request, schedule
from halflap.sdk.reference import FieldReference, accepts
from tests.cases import for_each


class Hours(Config):
    every: Annotated[int, Field(ge=1, le=60)]
    cron: str = "0 6 * * *"
    zone: str = "Europe/Paris"
    misfire: Literal["once", "all"] = "once"
    maybe: str | None = None


class MoreHours(Hours):
    zone: str = "America/New_York"
    extra: bool = False


class Others(Config):
    every: int


def test_a_field_of_a_configs_class_is_a_reference() -> None:
    assert Hours.every == FieldReference(Hours, "every")
    assert (str(Hours.zone), repr(Hours.zone)) == ("Hours.zone", "config.zone")
    assert MoreHours(every=1).zone == "America/New_York"
    assert MoreHours.model_json_schema()["required"] == ["every"]
    with pytest.raises(AttributeError, match="nothing"):
        getattr(Hours, "nothing")  # noqa: B009


def test_a_trigger_has_the_values_of_each_config() -> None:
    bound = schedule.cron(Hours.cron, tz=Hours.zone, misfire=Hours.misfire)
    assert bound.declaration.ticks is not None  # by the defaults
    found = bound.resolved(Hours(every=1, cron="5 5 * * *", misfire="all"))
    assert (found.inputs["expression"], found.inputs["tz"]) == ("5 5 * * *", "Europe/Paris")
    assert found.declaration.misfire == "all"
    assert schedule.every(minutes=Hours.every).declaration.ticks is None
    assert schedule.every(minutes=5).resolved(Hours(every=1)).inputs["minutes"] == 5


@for_each(
    ("bind", "message"),
    [
        (lambda: schedule.every(minutes=Hours.cron), "minutes takes int, and Hours.cron is str"),
        (
            lambda: schedule.cron(Hours.maybe),
            r"expression takes str, and Hours.maybe is str \| None",
        ),
        (
            lambda: schedule.cron("5 5 * * *", misfire=Hours.zone),
            "Hours.zone is str; give the field",
        ),
        (
            lambda: schedule.cron("5 5 * * *", tz=MoreHours.extra),
            "tz takes str, and MoreHours.extra",
        ),
    ],
)
def test_a_field_of_another_type_is_refused_where_it_is_written(bind: Any, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        bind()


def test_a_default_that_the_trigger_refuses_is_refused_where_it_is_written() -> None:
    class Broken(Config):
        zone: str = "Europe/Pariss"

    with pytest.raises(DefinitionError, match="no time zone 'Europe/Pariss'"):
        schedule.cron("5 5 * * *", tz=Broken.zone)


@for_each(
    ("wanted", "given", "fits"),
    [
        (int, int, True),
        (int, bool, False),
        (float, int, True),
        (Decimal, int, True),
        (int, Decimal, False),
        (str | None, str, True),
        (str, str | None, False),
        (list[str], list[str], True),
        (list[str], list[int], False),
        (Literal["a", "b"], Literal["a"], True),
        (Literal["a", "b"], Literal["c"], False),
        (str, Literal["a"], True),
        (int, Literal["a"], False),
        (Any, list[int], True),
        (Annotated[int, Field(ge=3)], Annotated[int, Field(le=3)], True),
        (dict[str, str], dict[str, str], True),
    ],
)
def test_types_fit_where_every_value_does(wanted: Any, given: Any, fits: bool) -> None:
    assert accepts(wanted, given) is fits


component = Component("references")


@component.trigger()
async def changed(request: Request, object: str) -> Any:
    """Something changed."""
    return request.json()


def test_a_flow_takes_fields_of_its_own_config_only() -> None:
    integration = Integration("hours", config=Hours)

    async def flow(ctx: Context[Hours], event: Any) -> None:
        return None

    with pytest.raises(DefinitionError, match="which is no field of the config"):
        integration.flow(trigger=schedule.every(minutes=Others.every))(flow)
    with pytest.raises(DefinitionError, match="is shared by all customers"):
        integration.preprocess(trigger=changed(object=Hours.cron), shared=True)(flow)  # type: ignore[arg-type]
    assert integration.flows == {}


def test_a_filter_may_take_the_config() -> None:
    integration = Integration("hours", config=MoreHours)

    @integration.flow(
        trigger=changed(object=Hours.cron),
        filter=lambda request, config: request.json()["zone"] == config.zone,
    )
    async def flow(ctx: Context[MoreHours], event: Any) -> None:
        return None

    found = flow.resolved(MoreHours(every=1, zone="here"))
    assert found.filter is not None
    assert found.trigger.inputs == {"object": "0 6 * * *"}
    from halflap.testing import make_request

    assert found.filter(make_request({"zone": "here"}))
    assert not found.filter(make_request({"zone": "there"}))
    assert flow.resolved(None) is flow
