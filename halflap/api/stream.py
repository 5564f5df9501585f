"""One stream of what happens, as Server-Sent Events."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing, suppress
from typing import Annotated, Any, TypeVar, get_args

from fastapi import Header, HTTPException, Query, Request, Response
from starlette.requests import ClientDisconnect

from halflap.api.asking import Ops, Whose, for_customers, needs, router_of
from halflap.api.door import ADMITTED
from halflap.api.draft_view import DraftNoticeView
from halflap.api.execution_view import ChangeView, LogNotice, MovedView, StepNotice, StepsNotice
from halflap.api.executions import states, version_of, whose
from halflap.api.operations import Operations
from halflap.api.operations.following import (
    DRAFTS,
    EXECUTIONS,
    LOGS,
    STEPS,
    DraftNotice,
    KeepAlive,
    MovedObject,
    Notice,
    Which,
)
from halflap.api.principal import HiddenPayloads
from halflap.api.recorded import public_reason
from halflap.api.view import View
from halflap.errors import ConfigError, StoreError
from halflap.model import Change, Progress
from halflap.sdk import codec
from halflap.store.catalogue import Moving

router = router_of("/api", "executions", 429)
stream: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-Sent Events: `event` is the topic, `data` a ChangeView (executions), a "
        "StepsNotice (steps), a LogNotice (logs), a DraftNoticeView (drafts) or a MovedView (instances, "
        "connections, bulks).",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}
TOPICS = (EXECUTIONS, LOGS, *get_args(Moving))
MOST_TOPICS = 50
MOST_STREAMS = 50
"""The most streams that a person, a key or a customer's token has open at one time in a process."""
LOOK_SECONDS = 15.0
"""Seconds between checks that a follower may still follow."""

Admitted = Callable[[], Awaitable[bool]]
Tell = Callable[[str], Awaitable[None]]
"""Gets an event, or a comment, as it is written."""
Telling = Callable[[Tell], Coroutine[Any, Any, None]]
"""Tells events until it ends."""
Done = TypeVar("Done")


class EventStream(Response):
    """Server-Sent Events that a function tells, until it ends, or the client may follow no more.

    It ends with its last byte: nothing of it is left to do once the connection is closed. A function
    whose client does not read raises `ClientDisconnect`.
    """

    media_type = "text/event-stream"

    def __init__(self, run: Telling, admitted: Admitted | None) -> None:
        super().__init__(headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._run = run
        self._admitted = admitted

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def tell(event: str) -> None:
            body = f"{event}\n\n".encode()
            await send({"type": "http.response.body", "body": body, "more_body": True})

        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        with suppress(ClientDisconnect):  # without its last byte: the connection is closed
            await unless_gone(receive, self._run(tell), admitted=self._admitted)
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def unless_gone(
    receive: Any,
    work: Coroutine[Any, Any, Done],
    patience: float = 0,
    admitted: Admitted | None = None,
) -> Done | None:
    """Do the work, until so many seconds after the client has left: then it is cancelled.

    So it is where the client is `admitted` no longer, which is asked every `LOOK_SECONDS`. Nothing is
    returned then.
    """
    looks = None if admitted is None else LOOK_SECONDS

    async def watch() -> None:
        gone = asyncio.ensure_future(left(receive))
        try:
            while not gone.done():
                await asyncio.wait([gone], timeout=looks)
                with suppress(StoreError):  # it is away: the next look asks again
                    if admitted is not None and not gone.done() and not await admitted():
                        break
        finally:
            gone.cancel()
        await asyncio.sleep(patience)

    working = asyncio.create_task(work)
    watching = asyncio.create_task(watch())
    watching.add_done_callback(lambda _: working.cancel())
    try:
        return await working
    except asyncio.CancelledError:
        if watching.done() and not watching.cancelled():
            watching.result()
            return None  # nothing is read of it any more
        raise
    finally:
        watching.cancel()


def check_streams(operations: Operations) -> None:
    """Refuse a stream to a principal that has too many open."""
    principal, streams = operations.principal, operations.following.streams
    if principal.kind != "root" and streams[principal.id] >= MOST_STREAMS:
        raise HTTPException(429)


@router.get("/stream", response_class=Response, responses=stream)
@for_customers
@needs("read")
async def stream_events(
    request: Request,
    operations: Ops,
    topics: Annotated[
        str,
        Query(
            max_length=5_000,
            description="By commas: `executions`, `steps:<execution>` (with that one's changes), `logs`, "
            "`instances`, `connections`, `bulks`, `drafts:<draft>`.",
        ),
    ],
    customer: Whose = None,
    instance: str | None = None,
    integration: str | None = None,
    flow: str | None = None,
    version: str | None = None,
    state: Annotated[str, Query(description="Executions that come into one of these, only.")] = "",
    key: Annotated[str | None, Query(description="The record's id.")] = None,
    after: Annotated[str | None, Query(description="As `Last-Event-ID`, which wins.")] = None,
    last_event_id: Annotated[str | None, Header()] = None,
) -> EventStream:
    """Everything of some topics from now on, or since an event (`Last-Event-ID`).

    Comments are heartbeats. `event: reload` says that what happened since that event is not known;
    `event: dropped` ends a slow reader. Both mean: load anew.
    """
    check_streams(operations)
    owner, within = await whose(operations, customer, instance)
    which = Which(
        await topics_of(operations, topics),
        owner,
        within,
        integration,
        flow,
        await version_of(operations, integration, version),
        key,
        states(state),
    )
    hidden = await operations.hidden_payloads()
    admitted: Admitted | None = request.scope.get(ADMITTED)

    async def sees_the_same() -> bool:
        assert admitted is not None
        return await admitted() and await operations.hidden_payloads() == hidden

    async def run(tell: Tell) -> None:
        following = operations.following
        with following.counted(operations.principal.id):
            async with aclosing(following.notices(which, last_event_id or after)) as notices:
                async for each in notices:
                    await tell(event_of(each, hidden))

    return EventStream(run, None if admitted is None else sees_the_same)


async def topics_of(operations: Operations, text: str) -> frozenset[str]:
    """Topics by commas; raise where one is none, or is not for whoever asks."""
    named = {each.strip() for each in text.split(",") if each.strip()}
    if not named or len(named) > MOST_TOPICS:
        raise ConfigError(
            f"name 1 to {MOST_TOPICS} topics", fields={"topics": "has too few or many"}
        )
    found = set[str]()
    for each in named:
        if each.startswith(STEPS):
            found.add(STEPS + (await operations.executions.find(each.removeprefix(STEPS))).id)
        elif each.startswith(DRAFTS) and operations.customer is None:
            found.add(
                DRAFTS + (await operations.catalogue.drafts.head(each.removeprefix(DRAFTS))).id
            )
        elif each not in TOPICS:
            topics = ", ".join((*TOPICS, "steps:<execution>", "drafts:<draft>"))
            raise ConfigError(
                f"there is no topic {each!r}; there are: {topics}",
                fields={"topics": "names one that there is not"},
            )
        elif each == "bulks" and operations.customer is not None:
            raise HTTPException(403, "Bulks are the team's; your token acts for one customer.")
        else:
            found.add(each)
    return frozenset(found)


async def left(receive: Any) -> None:
    """Return once the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def event_of(heard: Notice | KeepAlive, hidden: HiddenPayloads) -> str:
    """Return what is heard as an event of the stream."""
    match heard:
        case KeepAlive.HEARTBEAT:
            return ": following"
        case KeepAlive():
            return f"event: {heard.value}\ndata: {{}}"
        case Notice(about=about):
            name, view = view_of(about, heard.topic, hidden)
            data = codec.encode(view.model_dump()).decode()
            return f"id: {heard.mark}\nevent: {name}\ndata: {data}"


def view_of(
    about: Change | Progress | MovedObject | DraftNotice, topic: str, hidden: HiddenPayloads
) -> tuple[str, View]:
    """Return the name and the view of what a notice is about."""
    match about:
        case Change(outcome=outcome):
            reason = "" if outcome is None else outcome.reason
            if outcome is not None and about.start.flow.customer in hidden:
                reason = public_reason(outcome)
            return topic, ChangeView.of(about, about.start.flow, about.start, reason=reason)
        case Progress(lines=(line,)):
            notice = LogNotice.of(line, about.flow, about)
            return topic, notice.without_payload() if notice.customer in hidden else notice
        case Progress(steps=steps):
            some = [StepNotice(seq=seq, path=path, status=status) for seq, path, status in steps]
            return STEPS.removesuffix(":"), StepsNotice(execution=about.execution, steps=some)
        case DraftNotice():
            return DRAFTS.removesuffix(":"), DraftNoticeView.of(about)
        case MovedObject():
            return topic, MovedView.of(about)
