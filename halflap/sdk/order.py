"""The order of a flow's executions: how many run at once, and who waits for whom.

`@integration.flow(trigger=…, order=fifo(by_key=True))`. Without one, all of them may run at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from typing import Any, Literal, get_args

from halflap.errors import DefinitionError
from halflap.model import FLOW_ORDERS, Order, WhenBusy
from halflap.sdk.request import Request
from halflap.sdk.trigger import Declaration, Pick

AfterFailure = Literal["go_on", "block"]
WhileWaiting = Literal["block", "go_on"]
UnsizedRule = Literal["fifo", "singleton", "latest_wins"]
"""A rule that needs no number: in a document, its name is enough."""
Rule = Literal["parallel", UnsizedRule]

_WHEN_BUSY: dict[Rule, WhenBusy] = {
    "parallel": "wait",
    "fifo": "wait",
    "singleton": "end",
    "latest_wins": "replace",
}


@dataclass(frozen=True, slots=True)
class FlowOrder:
    """An order of a flow's executions; `parallel`, `fifo` and the others make one."""

    rule: Rule
    width: int = 1
    by_key: bool | Pick = False
    after_failure: AfterFailure = "go_on"
    while_waiting: WhileWaiting = "block"

    def of(self, instance: str, flow: str, key: str = "") -> Order:
        """The order of an execution of a flow of an instance."""
        return Order(
            f"{FLOW_ORDERS}{instance}:{flow}",
            key,
            self.width,
            _WHEN_BUSY[self.rule],
            self.after_failure,
            self.while_waiting,
        )

    def check(self, flow: str, trigger: str, declared: Declaration, where: str | None) -> None:
        """Raise where a flow with this trigger cannot have this order."""
        if declared.lifecycle is not None:
            raise DefinitionError(
                f"the flow {flow} runs when its instance is activated or disabled, which happens one "
                "at a time already; leave out order=",
                where=where,
            )
        if self.by_key is True and declared.key is None:
            raise DefinitionError(
                f"the flow {flow} has {self.rule}(by_key=True), and its trigger {trigger} does not say "
                "where the record's id stands: declare key= on it, or give by_key a function of the "
                'request, such as by_key=pointer("/id")',
                where=where,
            )
        if self.by_key and declared.ticks is not None:
            raise DefinitionError(
                f"the flow {flow} is started by the clock, and a tick has no key; leave out by_key=",
                where=where,
            )

    def __str__(self) -> str:
        given: list[str] = []
        if self.rule == "parallel":
            given.append(str(self.width))
        if self.by_key is True:
            given.append("by_key=True")
        elif self.by_key:
            given.append(f"by_key={getattr(self.by_key, '__name__', self.by_key)}")
        if self.after_failure != "go_on":
            given.append(f'after_failure="{self.after_failure}"')
        if self.rule == "fifo" and self.while_waiting != "block":
            given.append(f'while_waiting="{self.while_waiting}"')
        return f"{self.rule}({', '.join(given)})"


def rule_name(order: Order) -> str:
    """Return an order's rule, by the name that an author gives it."""
    if not order.scope.startswith(FLOW_ORDERS):
        return "pairs"
    if order.width > 1:
        return f"parallel({order.width})"
    return next(each for each in get_args(UnsizedRule) if _WHEN_BUSY[each] == order.when_busy)


def options_of(rule: Rule) -> frozenset[str]:
    """Return the options that a rule takes, by their names in a document."""
    return frozenset(("width",) if rule == "parallel" else signature(globals()[rule]).parameters)


def parallel(n: int, /) -> FlowOrder:
    """At most `n` executions of the flow run at once in an instance, over all workers.

    The others wait, and begin as they were accepted. One that waits itself (for its time, a signal,
    its next try) does not count meanwhile.
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise DefinitionError(f"parallel(n): how many run at once is a number from 1, not {n!r}")
    return FlowOrder("parallel", n, while_waiting="go_on")


def fifo(
    *,
    by_key: bool | Callable[[Request], str | None] = False,
    after_failure: AfterFailure = "go_on",
    while_waiting: WhileWaiting = "block",
) -> FlowOrder:
    """Executions of the flow run one after another, as they were accepted: first in, first out.

    by_key: those of one record only; others run beside them. True: by the trigger's `key`; or a pure
    function of the request. An event that has no key waits for none.
    after_failure: `go_on` lets the next one run; `block` stands still until the dead letter is
    dismissed, or a replay of it, which has its place, does not fail.
    while_waiting: one that sleeps, waits for a signal or for its next try keeps the others waiting
    (`block`), or is passed by them until it is due (`go_on`).
    """
    _check_key("fifo", by_key)
    _check_choice("after_failure", after_failure, AfterFailure)
    _check_choice("while_waiting", while_waiting, WhileWaiting)
    return FlowOrder("fifo", 1, by_key, after_failure, while_waiting)


def singleton(*, by_key: bool | Callable[[Request], str | None] = False) -> FlowOrder:
    """While one execution of the flow has not ended, a new one ends at once, as ignored.

    While that one waits for its connection, the latest is kept.
    by_key: one for each record (see `fifo`).
    """
    _check_key("singleton", by_key)
    return FlowOrder("singleton", 1, by_key)


def latest_wins(*, by_key: bool | Callable[[Request], str | None] = False) -> FlowOrder:
    """One execution of the flow runs, and one waits at most: the latest.

    A newer event takes the place of the one that has not begun, which ends as cancelled. One that
    has begun is never replaced. by_key: one for each record (see `fifo`).
    """
    _check_key("latest_wins", by_key)
    return FlowOrder("latest_wins", 1, by_key)


def _check_key(rule: Rule, by_key: Any) -> None:
    if not isinstance(by_key, bool) and not callable(by_key):
        raise DefinitionError(
            f"{rule}(by_key=…) takes True, or a function of the request, not {by_key!r}; "
            'for a field of the body: by_key=pointer("/id")'
        )


def _check_choice(name: str, value: Any, choices: Any) -> None:
    if value not in get_args(choices):
        named = " or ".join(f'"{each}"' for each in get_args(choices))
        raise DefinitionError(f"{name} is {named}, not {value!r}")
