"""The project of the listeners' fault runs: a log that is read by position, and a queue."""

import json
from collections.abc import AsyncGenerator, Sequence
from datetime import timedelta
from typing import Any

from halflap import (
    Batch,
    Component,
    Config,
    Context,
    CursorExpired,
    Integration,
    Listening,
    Message,
    Request,
    UpstreamError,
    http,
)

component = Component("feed", title="Feed", connection=http.Http)


@component.trigger(methods=())
async def record(request: Request, shards: list[str]) -> int:
    """A number of a log."""
    return request.json()


@record.listen(patience=timedelta(seconds=2), start="earliest")
async def _(
    connection: http.Http, listening: Listening, shards: list[str]
) -> AsyncGenerator[Batch]:
    at = int(listening.cursor or 0)
    while True:
        await listening.credit(1_000)
        where = {"after": at, "limit": 7}
        try:
            page = await connection.get(f"/log/{listening.shard}", params=where)
        except UpstreamError as error:
            if error.status != 410:
                raise
            if listening.cursor is None:  # read on at the earliest that there is
                at = json.loads(error.body)["first"]
                continue
            raise CursorExpired("the log was cut") from error
        if page["next"] == at:
            await listening.rest(0.05)
            continue
        at = page["next"]
        messages = [Message(str(each).encode()) for each in page["numbers"]]
        yield Batch(messages, cursor=str(at))


@record.shards
async def _(connection: http.Http, shards: list[str]) -> Sequence[str]:
    return shards


@component.trigger(methods=())
async def delivery(request: Request) -> int:
    """A number of a queue."""
    return request.json()


@delivery.listen(patience=timedelta(seconds=2))
async def _(connection: http.Http, listening: Listening) -> AsyncGenerator[Batch]:
    while True:
        found = await connection.post("/receive")
        if not found:
            await listening.rest(0.05)
            continue

        async def acknowledge(found: list[Any] = found) -> None:
            await connection.post("/acknowledge", json=[each["number"] for each in found])

        messages = [Message(str(each["number"]).encode(), id=each["id"]) for each in found]
        yield Batch(messages, ack=acknowledge)


class Settings(Config):
    source: http.Http


integration = Integration("reader", config=Settings, title="Listeners' fault runs")


@integration.flow(trigger=record(shards=["a", "b", "c"]))
async def log(ctx: Context[Settings], event: int) -> int:
    """Return the number."""
    return event


@integration.flow(trigger=delivery())
async def queue(ctx: Context[Settings], event: int) -> int:
    """Return the number."""
    return event
