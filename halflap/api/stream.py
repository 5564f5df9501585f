"""One stream of what happens, as Server-Sent Events."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Annotated, Any, get_args

from fastapi import Header, HTTPException, Query, Request, Response

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
    Following,
    KeepAlive,
    MovedObject,
    Notice,
    Which,
)
from halflap.api.principal import HiddenPayloads
from halflap.api.recorded import public_reason
from halflap.api.view import View
from halflap.errors import ConfigError
from halflap.model import Change, Progress
from halflap.sdk import codec
from halflap.store.catalogue import Moving

router = router_of("/api", "executions", 403, 404, 409, 429)
stream = {
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


class EventStream(Response):
    """Server-Sent Events of what is followed, for as long as the client stays.

    It ends with its last byte: nothing of it is left to do once the connection is closed.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        following: Following,
        which: Which,
        admitted: Admitted | None,
        after: str | None,
        hidden: HiddenPayloads,
        principal: str,
    ) -> None:
        super().__init__(headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._following = following
        self._which = which
        self._admitted = admitted
        self._after = after
        self._hidden = hidden
        self._principal = principal

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        gone = asyncio.ensure_future(self._over(receive))
        following = self._following
        following.streams[self._principal] += 1
        try:
            await send(start)
            async with aclosing(following.notices(self._which, gone, self._after)) as notices:
                async for each in notices:
                    body = event_of(each, self._hidden)
                    await send({"type": "http.response.body", "body": body, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()
            following.streams[self._principal] -= 1
            following.streams += Counter()  # forgets whose are none

    async def _over(self, receive: Any) -> None:
        """Return once the client has gone, or may not come in any more."""
        gone = asyncio.ensure_future(left(receive))
        try:
            while self._admitted is not None and not gone.done():
                await asyncio.wait([gone], timeout=LOOK_SECONDS)
                if not await self._admitted():
                    return
            await gone
        finally:
            gone.cancel()


@router.get("/stream", response_class=Response, responses={**stream})
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
    principal, following = operations.principal, operations.following
    if principal.kind != "root" and following.streams[principal.id] >= MOST_STREAMS:
        raise HTTPException(429)
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
    admitted = request.scope.get(ADMITTED)
    hidden = await operations.hidden_payloads()
    mark = last_event_id or after
    return EventStream(following, which, admitted, mark, hidden, principal.id)


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


def event_of(heard: Notice | KeepAlive, hidden: HiddenPayloads) -> bytes:
    """Return what is heard as an event of the stream."""
    match heard:
        case KeepAlive.HEARTBEAT:
            return b": following\n\n"
        case KeepAlive():
            return f"event: {heard.value}\ndata: {{}}\n\n".encode()
        case Notice(about=about):
            name, view = view_of(about, heard.topic, hidden)
            data = codec.encode(view.model_dump()).decode()
            return f"id: {heard.mark}\nevent: {name}\ndata: {data}\n\n".encode()


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
            return topic, LogNotice.of(line, about.flow, about)
        case Progress(steps=steps):
            some = [StepNotice(seq=seq, path=path, status=status) for seq, path, status in steps]
            return STEPS.removesuffix(":"), StepsNotice(execution=about.execution, steps=some)
        case DraftNotice():
            return DRAFTS.removesuffix(":"), DraftNoticeView.of(about)
        case MovedObject():
            return topic, MovedView.of(about)
