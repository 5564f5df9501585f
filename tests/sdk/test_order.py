"""The declarations of a flow about the order of its executions."""

from typing import Any, get_args

import pytest

import halflap
from halflap import (
    Component,
    Config,
    Connection,
    Context,
    DefinitionError,
    FlowOrder,
    Integration,
    Json,
    Reads,
    Request,
    fifo,
    instance,
    latest_wins,
    parallel,
    pointer,
    schedule,
    singleton,
    webhook,
)
from halflap.lowcode.builder import order_of
from halflap.model import Order
from halflap.sdk.order import UnsizedRule, rule_name
from tests.cases import for_each


class Here(Connection):
    """One app."""


class There(Connection):
    """The other."""


class Settings(Config):
    here: Here
    there: There


component, _ = Component("here", connection=Here), Component("there", connection=There)


@component.trigger(key=pointer("/id"), reads=Reads("thing"))
async def changed(request: Request) -> Json:
    """A thing changed."""
    return request.json()


def define(order: Any, trigger: Any = None, **more: Any) -> Any:
    integration = Integration("orders", config=Settings)
    if "pairs" in more:
        more["pairs"] = integration.pairs("things", here="thing", there="thing")

    @integration.flow(trigger=trigger or changed, order=order, **more)
    async def things(ctx: Context[Settings], thing: Any) -> None:
        pass

    return integration.flows["things"]


SCOPE = "order:ins_1:things"


@for_each(
    ("declared", "order"),
    [
        (parallel(3), Order(SCOPE, "", 3, while_waiting="go_on")),
        (fifo(), Order(SCOPE, "")),
        (fifo(by_key=True), Order(SCOPE, "")),
        (fifo(after_failure="block"), Order(SCOPE, "", after_failure="block")),
        (fifo(while_waiting="go_on"), Order(SCOPE, "", while_waiting="go_on")),
        (singleton(), Order(SCOPE, "", when_busy="end")),
        (latest_wins(), Order(SCOPE, "", when_busy="replace")),
    ],
)
def test_a_rule_is_an_order_of_the_flow_in_its_instance(declared: FlowOrder, order: Order) -> None:
    assert define(declared).order.of("ins_1", "things") == order


@for_each(
    ("declared", "said"),
    [
        (parallel(3), "parallel(3)"),
        (fifo(), "fifo()"),
        (fifo(by_key=True, after_failure="block"), 'fifo(by_key=True, after_failure="block")'),
        (fifo(while_waiting="go_on"), 'fifo(while_waiting="go_on")'),
        (latest_wins(by_key=repr), "latest_wins(by_key=repr)"),
    ],
)
def test_an_order_reads_as_it_was_written(declared: FlowOrder, said: str) -> None:
    assert str(declared) == said


def test_each_rule_is_declared_and_shown_by_one_name() -> None:
    for rule in get_args(UnsizedRule):
        declared = order_of(rule)
        assert declared == getattr(halflap, rule)()
        assert declared is not None
        assert rule_name(declared.of("ins_1", "things")) == rule
    assert rule_name(parallel(3).of("ins_1", "things")) == "parallel(3)"
    assert rule_name(Order("pairs:ins_1", "")) == "pairs"


def test_without_an_order_a_flow_has_none() -> None:
    assert define(None).order is None


@for_each("n", [0, -1, True, 1.5, "2"])
def test_parallel_takes_a_number(n: Any) -> None:
    with pytest.raises(DefinitionError, match="a number from 1"):
        parallel(n)


@pytest.mark.parametrize("rule", [fifo, singleton, latest_wins])
def test_a_key_is_the_triggers_or_a_function(rule: Any) -> None:
    with pytest.raises(DefinitionError, match=r'by_key=pointer\("/id"\)'):
        rule(by_key="/id")


def test_what_follows_a_failure_and_a_wait_is_one_of_two() -> None:
    wrong: Any = "stop"
    with pytest.raises(DefinitionError, match='after_failure is "go_on" or "block"'):
        fifo(after_failure=wrong)
    with pytest.raises(DefinitionError, match='while_waiting is "block" or "go_on"'):
        fifo(while_waiting=wrong)


def test_by_key_needs_a_trigger_that_has_one() -> None:
    with pytest.raises(DefinitionError, match="declare key= on it") as error:
        define(fifo(by_key=True), webhook.raw())
    assert "things" in str(error.value)
    define(fifo(by_key=pointer("/id")), webhook.raw())
    define(fifo(by_key=True), webhook.raw(key="body:/id"))


def test_a_tick_has_no_key() -> None:
    define(singleton(), schedule.every(minutes=1))
    with pytest.raises(DefinitionError, match="a tick has no key"):
        define(singleton(by_key=pointer("/id")), schedule.every(minutes=1))


def test_pairs_have_their_own_order() -> None:
    with pytest.raises(DefinitionError, match="leave out order="):
        define(fifo(), pairs=True)


def test_a_deploy_flow_has_its_own_order() -> None:
    with pytest.raises(DefinitionError, match="one at a time already"):
        define(fifo(), instance.deploy)


@pytest.mark.parametrize("order", ["fifo", fifo, 3])
def test_an_order_is_made_by_its_functions(order: Any) -> None:
    with pytest.raises(DefinitionError, match=r"give parallel\(n\), fifo\(\)"):
        define(order)
