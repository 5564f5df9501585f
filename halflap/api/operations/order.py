"""Describe an order in words: which execution waits for which."""

from __future__ import annotations

from halflap.model import FLOW_ORDERS, Execution, Order


def because(execution: Execution, ahead: Execution | None) -> str:
    """Why an execution waits for one that has its turn in their order."""
    order = execution.order
    if ahead is not None and ahead.state == "failed":
        return "it came first, and failed: the next goes on once it is replayed or dismissed"
    if order is not None and order.width > 1:
        return f"at most {order.width} of the flow run at once"
    if order is None or not order.scope.startswith(FLOW_ORDERS):
        return "the same record; it came first"
    return f"the same key, {order.key}; it came first" if order.key else "it came first"


def rule(order: Order) -> str:
    """An order's rule, by the name that an author gives it."""
    if not order.scope.startswith(FLOW_ORDERS):
        return "pairs"
    if order.when_busy != "wait":
        return "singleton" if order.when_busy == "end" else "latest_wins"
    return f"parallel({order.width})" if order.width > 1 else "fifo"
