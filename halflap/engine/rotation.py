"""Customers in rotation on the event loop, so that no flood of one stands before another's events."""

from __future__ import annotations

import asyncio
from collections import deque


class CustomerRotation:
    """Lets what is to begin go on, a few in each pass of the event loop, customer by customer.

    A pass runs all that is ready as it begins, so each step of an execution waits for the steps of as
    many others as have begun together.
    """

    def __init__(self, each_pass: int) -> None:
        self._each_pass = self._left = each_pass
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._is_turning = False

    def turn(self, customer: str) -> asyncio.Future[None] | None:
        """Take a customer's turn: return what is to be awaited before it; None where it is now."""
        loop = asyncio.get_running_loop()
        if not self._is_turning:
            self._is_turning = True
            loop.call_soon(self._next_pass)
        if self._left and not self._waiting:
            self._left -= 1
            return None
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiting.setdefault(customer, deque()).append(waiter)
        return waiter

    def _next_pass(self) -> None:
        had, self._left = self._left, self._each_pass
        while self._waiting and self._left:
            customer = next(iter(self._waiting))
            waiting = self._waiting.pop(customer)
            waiter = waiting.popleft()
            if not waiter.done():  # else whoever waited was cancelled
                waiter.set_result(None)
                self._left -= 1
            if waiting:
                self._waiting[customer] = waiting  # behind the others
        self._is_turning = min(had, self._left) < self._each_pass
        if self._is_turning:
            asyncio.get_running_loop().call_soon(self._next_pass)
