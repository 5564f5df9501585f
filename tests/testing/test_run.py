"""`run`: an author's flow on the real executor, with stubs for what it calls."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import Field, SecretStr

from halflap import (
    Cancel,
    Component,
    Config,
    Connection,
    Context,
    DefinitionError,
    Deployment,
    Ignore,
    Integration,
    Model,
    RateLimited,
    Request,
    RetryLater,
    Route,
    UpstreamError,
    http,
    instance,
    schedule,
    step,
    webhook,
)
from halflap.testing import Fake, Run, in_turn, make_request


class Shop(Connection):
    base_url: str
    key: SecretStr
    region: int


class Order(Model):
    id: str
    total: Decimal = Decimal(0)


class Settings(Config):
    shop: Shop
    api: http.Http
    discount: Decimal = Decimal(0)
    currency: str = Field(default="EUR", min_length=3)


shop = Component("shop", connection=Shop)
integration = Integration("orders", config=Settings)
drawn: list[int] = []


@integration.flow(trigger=webhook.request())
async def called(ctx: Context[Settings], order: Order) -> Order | None:
    """Another flow calls this one."""
    return await find(ctx.config.shop, order.id)


@integration.flow(trigger=webhook.request())
async def calling(ctx: Context[Settings], event: Any) -> Any:
    """Call another flow twice."""
    first = await ctx.call(called, Order(id="a"))
    second = await ctx.call(called, Order(id="b"))
    return [first and first.id, second and second.id]


@integration.flow(trigger=webhook.request())
async def asked(ctx: Context[Settings], event: Any) -> Any:
    """Wait for three signals."""
    first = await ctx.wait_for("paid", timeout=timedelta(days=1))
    second = await ctx.wait_for("approved", timeout=timedelta(days=1))
    return [first, second, await ctx.wait_for("paid")]


@shop.action
async def find(shop: Shop, id: str, deep: bool = False) -> Order | None:
    """Find an order."""
    found = await shop.get("/orders", params={"id": id})
    return Order.model_validate(found[0]) if found else None


@shop.action
async def book(shop: Shop, id: str, total: Decimal, note: str | None = None) -> Order:
    """Book an order."""
    return Order.model_validate(await shop.post("/orders", json={"id": id, "total": total}))


@shop.action
async def recent(shop: Shop) -> list[Order]:
    """List the orders."""
    return [Order.model_validate(each) for each in await shop.get("/orders")]


@shop.action(pure=True)
async def doubled(amount: Decimal) -> Decimal:
    """Double an amount."""
    return amount * 2


@step
async def draw() -> int:
    """Draw a number."""
    drawn.append(len(drawn))
    return len(drawn)


@shop.trigger()
async def placed(request: Request) -> Order | Ignore:
    """An order was placed."""
    if request.headers.get("x-kind") == "ping":
        return Ignore("a ping")
    return Order.model_validate(request.json()["order"])


@integration.flow(trigger=placed)
async def sync(ctx: Context[Settings], order: Order) -> str:
    """Book an order, once."""
    known = await find(ctx.config.shop, id=order.id)
    if known is None:
        known = await book(ctx.config.shop, order.id, total=order.total)
    return known.id


@integration.flow(trigger=schedule.cron(expression="0 3 * * *", tz="Europe/Paris"))
async def nightly(ctx: Context[Settings], tick: schedule.Tick) -> dict[str, Any]:
    """Count the nights."""
    nights = await ctx.state.update("nights", lambda count: count + 1, 0)
    await ctx.sleep(timedelta(days=2))
    orders = await recent(ctx.config.shop)
    ctx.log.info("counted", nights=nights)
    return {"local": tick.local.isoformat(), "orders": len(orders), "nights": nights}


@integration.flow(trigger=instance.deploy)
async def deploy(ctx: Context[Settings], deployment: Deployment) -> list[str]:
    """Tell where the hooks are."""
    secret = ctx.secret(sync).get_secret_value()
    return [ctx.url(sync), deployment.reason, ctx.customer.name, secret, *sorted(ctx.urls)]


@integration.flow(trigger=webhook.request())
async def anything(ctx: Context[Settings], event: dict[str, Any]) -> Any:
    """Do what the event says."""
    match event["do"]:
        case "cancel":
            raise Cancel("no need")
        case "later":
            if ctx.attempt < 4:
                raise RetryLater(timedelta(hours=1))
            return ctx.attempt
        case "draw":
            return [await draw(), await doubled(Decimal("1.5"))]
        case "gather":
            return await ctx.gather(event["ids"], lambda each: find(ctx.config.shop, id=each))
        case "post":
            return await http.post(ctx.config.api, "/things", json=event)
        case "catch":
            try:
                await find(ctx.config.shop, id="1")
            except Exception:
                return "caught"
        case _:
            return ctx.config.discount


ORDER = {"order": {"id": "o1", "total": 12.50}}


async def test_steps_are_compared_with_calls_in_order(run: Run) -> None:
    result = await run(sync, ORDER, stubs={find: None, book: Order(id="o1")})
    assert result.steps == [find.call(id="o1"), book.call(id="o1", total=Decimal("12.5"))]
    assert result.steps != [find.call(id="o1"), book.call(id="o1", total=Decimal("12.51"))]
    assert result.steps != [find.call(id="o1")]
    assert (result.state, result.result, result.attempts) == ("succeeded", "o1", 1)
    assert result.answers == [None, {"id": "o1", "total": 0}]


async def test_a_default_that_is_left_out_equals_one_that_is_given(run: Run) -> None:
    result = await run(sync, ORDER, stubs={find: {"id": "o1"}})
    assert result.steps == [find.call(id="o1", deep=False)]
    assert result.steps != [find.call(id="o1", deep=True)]


@pytest.mark.parametrize("event", [b'{"order": {"id": "o1"}}', '{"order": {"id": "o1"}}'])
async def test_bytes_and_text_go_through_the_triggers_own_body(run: Run, event: Any) -> None:
    assert (await run(sync, event, stubs={find: Order(id="x")})).steps == [find.call(id="o1")]


async def test_a_typed_event_passes_the_trigger_by(run: Run) -> None:
    assert (await run(sync, Order(id="o2"), stubs={find: Order(id="x")})).result == "x"


async def test_headers_and_a_whole_request_reach_the_trigger(run: Run) -> None:
    ping = await run(sync, ORDER, headers={"X-Kind": "ping"})
    assert (ping.state, ping.reason) == ("ignored", "a ping")
    request = make_request(ORDER, headers={"X-Kind": "ping"})
    assert (await run(sync, request)).state == "ignored"


class Verdict(Model):
    approved: bool


@Integration("verdicts", config=Settings).flow(trigger=webhook.request())
async def asks(ctx: Context[Settings], event: Any) -> Any:
    """Ask by a link whose answer is none that it waits for."""
    ctx.signal_url("verdict", "yes")
    return await ctx.wait_for("verdict", type=Verdict)


async def test_a_link_whose_answer_would_not_do_fails_before_anybody_is_asked(run: Run) -> None:
    result = await run(asks, {}, signals={"verdict": {"approved": True}})
    assert result.error is not None
    assert (result.error.kind, result.steps) == ("DefinitionError", [])
    assert "does not take what a link sends, {'choice': 'yes'}: approved: " in result.error.message


async def test_a_misshapen_event_fails_and_raises_only_when_asked(run: Run) -> None:
    result = await run(sync, {"order": {}})
    assert result.error is not None
    assert (result.state, result.error.kind, result.steps) == ("failed", "InvalidEvent", [])
    with pytest.raises(AssertionError, match=r"failed: .*id: is missing"):
        result.raise_for_failure()


async def test_retries_take_no_time_and_keep_the_step_before(run: Run) -> None:
    result = await run(
        sync,
        ORDER,
        stubs={find: None, book: Order(id="o1")},
        fail={book: [UpstreamError(status=503), RateLimited(retry_after=timedelta(hours=1))]},
    )
    assert (result.state, result.attempts) == ("succeeded", 3)
    assert (result.ran(find), result.ran(book), result.ran("shop.book")) == (1, 3, 3)


async def test_an_action_that_fails_for_good_fails_the_execution(run: Run) -> None:
    result = await run(sync, ORDER, stubs={find: UpstreamError("gone", status=410)})
    assert result.error is not None
    assert (result.error.kind, result.error.status) == ("UpstreamError", 410)
    assert result.steps[0].failure is not None


async def test_retries_are_spent_as_declared(run: Run) -> None:
    result = await run(sync, ORDER, stubs={find: UpstreamError(status=500)})
    assert (result.state, result.ran(find)) == ("failed", 10)


async def test_an_action_without_a_stub_names_what_to_stub(run: Run) -> None:
    with pytest.raises(DefinitionError, match=r"no network in tests: stub shop\.find"):
        await run(sync, ORDER)


async def test_a_flow_cannot_swallow_a_mistake_of_the_test(run: Run) -> None:
    with pytest.raises(DefinitionError, match=r"stub shop\.find"):
        await run(anything, {"do": "catch"})


async def test_a_list_is_one_answer_per_call_unless_the_action_returns_it(run: Run) -> None:
    result = await run(
        anything, {"do": "gather", "ids": ["a", "b"]}, stubs={find: [None, {"id": "b"}]}
    )
    assert result.answers == [None, {"id": "b", "total": 0}]
    orders = await run(nightly, stubs={recent: [Order(id="a"), Order(id="b")]})
    assert orders.result["orders"] == 2
    orders = await run(nightly, stubs={recent: in_turn([])})
    assert orders.result["orders"] == 0


async def test_a_stub_that_runs_out_says_so(run: Run) -> None:
    with pytest.raises(DefinitionError, match=r"stub of shop\.find has 1 answers.*call 2"):
        await run(anything, {"do": "gather", "ids": ["a", "b"]}, stubs={find: in_turn(None)})


async def test_a_stub_that_the_action_could_not_return_says_so(run: Run) -> None:
    with pytest.raises(DefinitionError, match=r"stub of shop\.find is not what it returns"):
        await run(sync, ORDER, stubs={find: {"total": 3}})


async def test_a_stub_may_be_a_function_of_the_inputs(run: Run) -> None:
    async def slow(id: str) -> Order:
        return Order(id=id.upper())

    assert (await run(sync, ORDER, stubs={"shop.find": slow})).result == "O1"


async def test_signals_are_sent_and_time_passes_where_none_is(run: Run) -> None:
    result = await run(asked, {}, signals={"paid": in_turn(1, 2), "approved": Decimal("1.10")})
    assert result.result == [1, Decimal("1.10"), 2]
    result = await run(asked, {}, signals={"paid": 1})
    assert result.error is not None
    assert (result.error.kind, result.attempts) == ("TimedOut", 2)
    result = await run(asked, {}, signals={"approved": None, "paid": 1})
    assert result.state == "waiting"  # the second one has no time
    with pytest.raises(AssertionError, match="nothing wakes it"):
        result.raise_for_failure()


async def test_a_flow_that_is_called_runs_unless_it_is_stubbed(run: Run) -> None:
    for stub, result in (
        (in_turn(Order(id="x"), Order(id="y")), ["x", "y"]),
        (lambda order: Order(id=order.id * 2), ["aa", "bb"]),
    ):
        assert (await run(calling, {}, stubs={called: stub})).result == result
    result = await run(calling, {}, stubs={find: Order(id="A")})
    assert (result.result, result.ran(find)) == (["A", "A"], 2)
    assert result.steps == []  # they are its children's
    failed = await run(calling, {}, stubs={called: UpstreamError("gone", status=410)})
    assert failed.error is not None
    assert (failed.error.kind, failed.error.status) == ("UpstreamError", 410)


async def test_own_steps_and_pure_actions_run_unless_stubbed(run: Run) -> None:
    before = len(drawn)
    result = await run(anything, {"do": "draw"})
    assert (len(drawn) - before, result.result) == (1, [before + 1, 3])
    result = await run(anything, {"do": "draw"}, stubs={draw: 42})
    assert (result.result, result.steps[0]) == ([42, 3], draw.call())
    assert len(drawn) - before == 1


async def test_actions_run_for_real_against_a_fake(run: Run, fake: Fake) -> None:
    fake.get("/orders", answers=[])
    fake.post("/orders", status=503).then({"id": "o1", "total": 12.50})
    result = await run(sync, ORDER, fake=fake)
    assert (result.result, result.attempts) == ("o1", 2)
    keys = [each.idempotency_key for each in fake.requests]
    assert keys == [None, result.steps[1].key, result.steps[1].key]
    assert result.steps[1].key != result.steps[0].key


async def test_a_request_that_nobody_registered_fails_the_test(run: Run, fake: Fake) -> None:
    fake.get("/other", answers=[])
    with pytest.raises(DefinitionError, match=r"GET /orders\?id=1; registered: GET /other"):
        await run(anything, {"do": "catch"}, fake=fake)


async def test_stubs_win_over_the_fake(run: Run, fake: Fake) -> None:
    result = await run(sync, ORDER, stubs={find: Order(id="stubbed")}, fake=fake)
    assert (result.result, fake.requests) == ("stubbed", [])


async def test_a_schedules_tick_is_made_up_at_the_tests_time(run: Run) -> None:
    now = datetime(2026, 7, 1, 1, tzinfo=UTC)
    result = await run(nightly, stubs={recent: []}, now=now)
    assert result.result["local"] == "2026-07-01T03:00:00+02:00"


async def test_state_is_given_and_taken_from_run_to_run(run: Run) -> None:
    first = await run(nightly, stubs={recent: []}, state={"nights": 6, "other": [1]})
    assert first.stored == {"nights": 7, "other": [1]}
    again = await run(nightly, stubs={recent: []}, state=first.stored)
    assert again.result["nights"] == 8
    assert [(each.level, each.message, each.fields) for each in again.logs] == [
        ("info", "counted", {"nights": 8})
    ]


async def test_urls_secrets_and_the_customer_are_there(run: Run) -> None:
    result = await run(deploy, customer="Ada", urls={"sync": "https://ada.example/1"})
    url, reason, customer, secret, *urls = result.result
    assert (url, reason, customer) == ("https://ada.example/1", "activate", "Ada")
    assert secret.startswith("whsec_")
    assert urls == [
        "https://ada.example/1",
        "https://halflap.example/hooks/anything",
        "https://halflap.example/hooks/asked",
        "https://halflap.example/hooks/called",
        "https://halflap.example/hooks/calling",
    ]


async def test_config_is_filled_with_made_up_connections(run: Run) -> None:
    assert (await run(anything, {"do": ""}, config={"discount": "2.50"})).result == Decimal("2.5")
    with pytest.raises(Exception, match="currency"):
        await run(anything, {"do": ""}, config={"currency": "€"})


async def test_a_whole_config_is_taken_as_it_is(run: Run, fake: Fake) -> None:
    config = Settings(
        shop=fake.connection(Shop),
        api=http.Http(base_url="https://api.example/v2"),
        discount=Decimal(3),
    )
    fake.post("https://api.example/v2/things", answers={"ok": True})
    result = await run(anything, {"do": "post"}, config=config, fake=fake)
    assert result.result == {"ok": True}
    assert fake.requests[0].path == "/things"


async def test_a_call_that_was_never_awaited_fails(run: Run) -> None:
    local = Integration("local", config=Settings)

    @local.flow(trigger=webhook.request())
    async def hasty(ctx: Context[Settings], event: Any) -> str:
        recent(ctx.config.shop)  # pyright: ignore[reportUnusedCoroutine]
        return "done"

    result = await run(hasty, {}, stubs={recent: []}, integration=local)
    assert (result.state, result.steps) == ("failed", [])
    with pytest.raises(
        AssertionError, match=r"test_run\.py:\d+: shop\.recent was called and never"
    ):
        result.raise_for_failure()


@pytest.mark.parametrize(
    ("lifecycle", "verb", "reason"),
    [
        ("deploy", "start", None),
        ("deploy", "call", "a deploy or teardown flow cannot wait for sibling"),
        ("teardown", "start", "a teardown flow can start no other"),
        ("teardown", "call", "a deploy or teardown flow cannot wait for sibling"),
    ],
)
async def test_a_life_cycle_flow_may_do_no_more_than_in_production(
    run: Run, lifecycle: str, verb: str, reason: str | None
) -> None:
    local = Integration("local", config=Config)

    @local.flow(trigger=webhook.request())
    async def sibling(ctx: Context[Config], event: Any) -> None:
        """It is started by nobody."""

    @local.flow(trigger=getattr(instance, lifecycle))
    async def starting(ctx: Context[Config], deployment: Deployment) -> str:
        await getattr(ctx, verb)(sibling, {})
        return "started"

    result = await run(starting, integration=local)
    if reason is None:
        assert (result.state, result.result) == ("succeeded", "started")
    else:
        assert (result.state, result.result) == ("failed", None)
        assert reason in result.reason


async def test_a_pre_process_flow_may_do_no_more_than_in_production(run: Run) -> None:
    local = Integration("local", config=Config)
    asks: dict[str, Callable[[Context[Config]], Any]] = {
        "url": lambda ctx: ctx.url("handing"),
        "secret": lambda ctx: ctx.secret("handing"),
        "route": lambda ctx: Route(readying, instance="ins_1"),
    }

    @local.flow(trigger=instance.deploy)
    async def readying(ctx: Context[Config], deployment: Deployment) -> None:
        """It takes no events."""

    @local.preprocess(trigger=webhook.request(), shared=True)
    async def handing(ctx: Context[Config], event: dict[str, Any]) -> Any:
        return asks[event["ask"]](ctx)

    for ask, reason in (
        ("url", "the flow handing has no URL"),
        ("secret", "the secret of handing is an instance's, and a shared flow has none"),
        ("route", "readying takes no routed events"),
    ):
        result = await run(handing, {"ask": ask}, integration=local)
        assert result.state == "failed"
        assert reason in result.reason


async def test_cancelled_and_late_flows_end_as_they_would(run: Run) -> None:
    cancelled = await run(anything, {"do": "cancel"})
    assert (cancelled.state, cancelled.reason) == ("cancelled", "no need")
    with pytest.raises(AssertionError, match="cancelled: no need"):
        cancelled.raise_for_failure()
    assert (await run(anything, {"do": "later"})).result == 4


async def test_a_flow_of_a_local_integration_needs_no_module(run: Run) -> None:
    local = Integration("local", config=Settings)

    @local.flow(trigger=webhook.request())
    async def copied(ctx: Context[Settings], event: dict[str, Any]) -> list[str]:
        return [ctx.config.shop.key.get_secret_value(), ctx.url("copied")]

    secret, url = (await run(copied, {})).result
    assert (secret, url) == ("secret-key", "https://halflap.example/hooks/copied")
    with pytest.raises(AssertionError, match="failed"):
        (await run(copied, {}, integration=Integration("bare"))).raise_for_failure()


async def test_a_filter_that_raises_fails_the_run_without_a_step(run: Run) -> None:
    integration = Integration("filtering", config=Config)

    @integration.flow(trigger=webhook.request(), filter=lambda request: request.json()["open"])
    async def flow(ctx: Context[Config], event: Any) -> str:
        return "ran"

    result = await run(flow, {})
    assert (result.state, result.records) == ("failed", [])
    assert result.reason == "the filter of flow raised KeyError: 'open'"
    assert (await run(flow, {"open": True})).result == "ran"
    assert (await run(flow, {"open": False})).state == "ignored"


class Listens(Config):
    at: str


async def test_a_config_that_a_trigger_cannot_have_is_told(run: Run):
    local = Integration("listens", config=Listens)

    @local.flow(trigger=schedule.cron(Listens.at))
    async def ticks(ctx: Context[Listens], tick: schedule.Tick) -> None:
        """Tick."""

    at = datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(DefinitionError, match="cron"):
        await run(ticks, schedule.Tick(at=at, local=at), config={"at": "never"})
