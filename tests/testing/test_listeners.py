"""The conformance suite of listeners names what is wrong with a listener, whatever that is."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial
from typing import Any

import pytest

from halflap import Batch, Component, Connection, Listening, Message, Request
from halflap.testing.listeners import REST_SECONDS, check_listener
from tests.cases import for_each
from tests.polling import DEADLINE


class Account(Connection):
    """An account."""


class Kept:
    """A source that keeps all that is put."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def put(self, bodies: Sequence[bytes]) -> None:
        self.bodies += bodies


Reads = Callable[[Kept, Listening], AsyncGenerator[Batch]]


def listener(source: Kept, reads: Reads) -> Any:
    """A trigger that reads a source in some way."""
    component = Component("kept", title="Kept", connection=Account)

    @component.trigger(methods=())
    async def body(request: Request) -> str:
        """A body."""
        return request.text

    @body.listen(start="earliest")
    async def _(connection: Account, listening: Listening) -> AsyncGenerator[Batch]:
        async for each in reads(source, listening):
            yield each

    return body()


async def good(source: Kept, listening: Listening) -> AsyncGenerator[Batch]:
    at = int(listening.cursor or 0)
    while True:
        await listening.credit(100)
        found = source.bodies[at : at + 3]
        at += len(found)
        if found:
            yield Batch([Message(each) for each in found], cursor=str(at))
        else:
            await listening.rest(1)


async def stands_still(source: Kept, listening: Listening) -> AsyncGenerator[Batch]:
    while True:
        if source.bodies:
            yield Batch([Message(each) for each in source.bodies], cursor="0")
        else:
            await listening.rest(1)


async def goes_round(source: Kept, listening: Listening) -> AsyncGenerator[Batch]:
    while True:
        if source.bodies:
            yield Batch([Message(each, id=each.decode()) for each in source.bodies])
        else:
            await listening.rest(1)


async def never_rests(source: Kept, listening: Listening) -> AsyncGenerator[Batch]:
    for number in itertools.count():
        yield Batch(cursor=str(number))


async def skips(source: Kept, listening: Listening) -> AsyncGenerator[Batch]:
    at = int(listening.cursor or 0)
    while True:
        if found := source.bodies[at + 1 : at + 3]:
            at += len(found) + 1
            yield Batch([Message(each) for each in found], cursor=str(at))
        else:
            await listening.rest(1)


async def wraps(source: Kept, listening: Listening) -> AsyncGenerator[Batch]:
    async for batch in good(source, listening):
        yield Batch([Message(b"<" + m.content + b">") for m in batch.messages], batch.cursor)


async def test_a_good_listener_passes() -> None:
    source = Kept()
    await check_listener(listener(source, good), Account(), source)
    source = Kept()
    wrapped = listener(source, wraps)
    await check_listener(wrapped, Account(), source, unwrap=lambda body: body[1:-1])


async def test_the_acknowledgement_of_what_is_accepted_last_is_waited_for() -> None:
    async def acknowledges_late(source: Kept, listening: Listening) -> AsyncGenerator[Batch]:
        async def acknowledge(bodies: list[bytes]) -> None:
            await asyncio.sleep(10 * REST_SECONDS)
            acknowledged.update(bodies)

        async for batch in good(source, listening):
            bodies = [each.content for each in batch.messages]
            yield Batch(batch.messages, batch.cursor, partial(acknowledge, bodies))

    source, acknowledged = Kept(), set[bytes]()
    await check_listener(listener(source, acknowledges_late), Account(), source)
    assert source.bodies[-1] in acknowledged


@for_each(
    ("reads", "within", "told"),
    [
        (stands_still, DEADLINE, "the cursor does not advance: a batch of 3"),
        (goes_round, DEADLINE, "the cursor does not advance: 101 batches in a row had nothing new"),
        (never_rests, 0.7, "it never rested, though there was nothing to read"),
        (skips, 2.0, "messages were lost"),  # which it is given as long to read
        (wraps, DEADLINE, "came, and was not put: .* unwrap="),
    ],
)
async def test_what_is_wrong_is_named(reads: Reads, within: float, told: str) -> None:
    source = Kept()
    with pytest.raises(AssertionError, match=told):
        await check_listener(listener(source, reads), Account(), source, within=within)
