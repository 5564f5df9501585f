"""An integration: what its flows are called; and what a trigger returns of its webhook."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from halflap import (
    Component,
    Config,
    Context,
    DefinitionError,
    Integration,
    Json,
    Limits,
    Request,
    Retry,
    Route,
    Subscription,
    Unsigned,
    webhook,
)
from halflap.testing import Receive, Run
from tests.cases import for_each


async def test_a_flow_is_called_as_its_function_or_as_is_said(run: Run) -> None:
    integration = Integration("named")

    @integration.flow(name="class", trigger=webhook.request)
    async def class_(ctx: Context[Config], event: Json) -> Json:
        return event

    @integration.flow(trigger=webhook.request)
    async def asks(ctx: Context[Config], event: Json) -> Json:
        return [await ctx.call(class_, 1), await ctx.call("class", 2), ctx.url(class_)]

    @integration.preprocess(name="if", trigger=webhook.request)
    async def if_(ctx: Context[Config], event: Json) -> Route:
        return Route(class_, 3)

    assert {name: each.title for name, each in integration.flows.items()} == {
        "class": "Class",
        "asks": "Asks",
        "if": "If",
    }
    result = await run(asks, {}, integration=integration)
    assert result.result == [1, 2, "https://halflap.example/hooks/class"]


@for_each("name", ["", "a-b", "a b", "größe", "1a", "x" * 121])
def test_a_flow_has_a_name_that_a_document_could_give_it(name: str) -> None:
    with pytest.raises(DefinitionError, match="a flow's name is letters, digits and _"):

        @Integration("named").flow(name=name, trigger=webhook.request)
        async def flow(ctx: Context[Config], event: Json) -> None: ...


OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"keep": ["id"]}, "has keep=: 'id' is not a JSON pointer to a field; write /id"),
    ({"keep": "/id"}, "has keep=: '/' is not a JSON pointer"),
    ({"timeout": 30}, "has timeout=30; give a timedelta"),
    ({"timeout": timedelta(0)}, "longer than nothing"),
    ({"max_age": timedelta(-1)}, "has max_age="),
    ({"filter": True}, "filter=, which takes no request"),
    ({"filter": lambda: True}, "filter=, which takes no request"),
    ({"filter": lambda request, config, more: True}, "filter=, which takes no request"),
]


@for_each("options,said", OPTIONS)
def test_an_option_that_no_event_would_survive_is_refused(
    options: dict[str, Any], said: str
) -> None:
    with pytest.raises(DefinitionError, match=said):

        @Integration("optional").flow(trigger=webhook.request, **options)
        async def flow(ctx: Context[Config], event: Json) -> None: ...


@for_each(
    "declared,said",
    [
        ({"dedupe": "/id"}, "dedupe= is a pure function .* and not '/id'"),
        ({"key": "/id"}, "key= is a pure function"),
        ({"answer": {"ok": True}}, "answer= is a pure function"),
        ({"methods": "POST"}, "methods= are several"),
    ],
)
def test_what_a_gateway_could_not_call_is_refused(declared: dict[str, Any], said: str) -> None:
    async def told(request: Request) -> Json:
        """Something was told."""
        return request.json()

    async def later(request: Request) -> str:
        return "1"

    for given in (declared, {"dedupe": later}):
        with pytest.raises(DefinitionError, match=said if given is declared else "and not <func"):
            Component("telling").trigger(**given)(told)


async def test_an_empty_object_is_no_deliverys_id(receive: Receive) -> None:
    async def told(request: Request) -> Json:
        """Something was told."""
        return request.json()

    def id_of(request: Request) -> Any:
        return request.json()["ids"]

    trigger = Component("emptied").trigger(verify=Unsigned("a test"), dedupe=id_of, key=id_of)(told)
    for ids, delivery in (({}, None), ([], None), ("", None), (0, "\x000"), ([1], "\x00[1]")):
        received = await receive(trigger, {"ids": ids})
        assert received.deliveries == [delivery]
        assert (received.keys == [None]) is (delivery is None)


def test_no_tries_and_negative_limits_are_refused() -> None:
    for wrong in ({"attempts": 0}, {"first": timedelta(-1)}):
        with pytest.raises(ValueError, match="one try at least"):
            Retry(**cast("dict[str, Any]", wrong))
    assert Limits(rate=0, burst=0, concurrency=0).rate == 0  # no limit, as of a connection's own
    for wrong in ({"rate": -1.0}, {"burst": -1}, {"concurrency": -1}):
        with pytest.raises(ValueError, match="None is no limit"):
            Limits(**cast("dict[str, Any]", wrong))


def test_a_subscription_that_cannot_be_kept_is_refused_where_it_is_made() -> None:
    given: Any = "whsec_of-an-apps-answer"
    with pytest.raises(DefinitionError, match=r"write SecretStr\(…\)"):
        Subscription("1", given)
    given = 7  # the webhook is there already: its id is kept, as the text that is read again
    assert Subscription(given) == Subscription("7")
    given = None
    with pytest.raises(DefinitionError, match=r"a text, and not None: write str\(…\)"):
        Subscription(given)
    with pytest.raises(DefinitionError, match="has a time zone"):
        Subscription("1", expires_at=datetime(2026, 1, 1))
