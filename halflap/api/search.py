"""Searching payloads: executions whose event, steps or logs contain a text, newest first."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from fastapi import Query, Request
from fastapi.responses import StreamingResponse

from halflap.api.asking import Ops, for_customers, needs, router_of
from halflap.api.auditing import audit_look
from halflap.api.execution_view import SearchEnd, SearchHit, SearchProgress
from halflap.api.executions import Narrowed, searchable, states
from halflap.api.operations import Operations
from halflap.api.payload import without_secrets
from halflap.api.principal import OBJECTS
from halflap.api.recorded import summaries
from halflap.api.view import rfc3339
from halflap.sdk import codec
from halflap.sdk.link import mask_links
from halflap.store.protocol import MOST_EXAMINED, Filter

router = router_of("/api", "executions")

SEARCH_SECONDS = 30.0
"""Seconds after which a search ends, and says by what it goes on."""
PAGE = 200
SearchLine = SearchHit | SearchProgress | SearchEnd
AROUND = 80
"""Characters of an excerpt on each side of what was found."""


class JsonLines(StreamingResponse):
    """An answer of lines, each of which is JSON."""

    media_type = "application/x-ndjson"


@router.get(
    "/search",
    response_class=JsonLines,
    response_model=SearchLine,
    response_description="Lines of JSON: each find, now and then how far it looked, and its end.",
)
@for_customers
@needs("payloads")
async def search_payloads(
    request: Request,
    operations: Ops,
    which: Narrowed,
    q: Annotated[str, Query(min_length=3, max_length=500, description="A text, to the letter.")],
    state: Annotated[str, Query(description="One state, or several by commas.")] = "",
    before: Annotated[str | None, Query(description="The `next` of the search before.")] = None,
) -> JsonLines:
    """Search the bodies of events, the values of steps, and log lines; newest first, as they are found.

    It ends with the request. Values of more than 1 MiB, and those that are stored apart, are left out.
    """
    which = replace(which, states=states(state), payload=needles(q))
    which = await searchable(operations, which)
    request.scope[OBJECTS] = {"customer": which.customer, "instance": which.instance}
    return JsonLines(_noted(request, operations, which, search(operations, which, before)))


async def _noted(
    request: Request, operations: Operations, which: Filter, found: AsyncIterator[SearchLine]
) -> AsyncGenerator[bytes]:
    """Yield the lines of a search; before the first find of a customer, an entry for it is on disk."""
    noted = {which.customer}
    async for each in found:
        if isinstance(each, SearchHit) and each.execution.customer not in noted:
            noted.add(each.execution.customer)
            log, customer = operations.catalogue.audit, each.execution.customer
            await audit_look(log, request.scope, customer=customer)
        yield line(each)


def needles(text: str) -> tuple[bytes, ...]:
    """Return a text in each form in which JSON may have it."""
    forms = (text, *(json.dumps(text, ensure_ascii=each)[1:-1] for each in (False, True)))
    return tuple(dict.fromkeys(each.encode("utf-8", "backslashreplace") for each in forms))


async def search(
    operations: Operations, which: Filter, before: str | None
) -> AsyncGenerator[SearchLine]:
    """Yield lines of what is found, page by page, until there is enough or the time is over."""
    end, count = time.monotonic() + SEARCH_SECONDS, 0
    # A page ends where so many rows were examined, not at what matches: that may be in what is hidden.
    page = replace(which, limit=MOST_EXAMINED)
    while True:
        async with operations.searching:
            found, before = await operations.executions.list(page, before, examine=PAGE)
        for each in found:
            place = await locate(operations, each.id, which.payload)
            if place is not None:
                [summary] = await summaries(operations, [each])
                yield SearchHit.of(place, execution=summary)
                count += 1
            if count == which.limit:
                yield SearchEnd(found=count, next=each.id)
                return
        if before is None or time.monotonic() > end:
            yield SearchEnd(found=count, next=before)
            return
        # It is sent, too, so that a client that has gone is noticed.
        reached = rfc3339(int(before.partition(".")[0]))
        yield SearchProgress(reached=reached, next=before)


@dataclass(frozen=True, slots=True)
class FoundText:
    """Where an execution has a text: in which part, of which step, and what stands around it."""

    part: Literal["event", "inputs", "result", "log"]
    step: str | None
    title: str | None
    excerpt: str
    text: str


async def locate(
    operations: Operations, execution: str, texts: Sequence[bytes]
) -> FoundText | None:
    """Return where an execution has one of some texts; None where that is in what is not shown."""
    viewing, mask = operations.executions.viewing, "secrets" not in operations.principal.rights
    event = await viewing.event(execution)
    if event is not None and (around := excerpt_of(event.event.body, texts, mask=mask)):
        return FoundText("event", None, None, *around)
    after: int | None = None
    while steps := await viewing.step_page(execution, after, PAGE):
        for step in steps:
            if around := excerpt_of(step.inputs, texts, mask=mask):
                return FoundText("inputs", step.path, step.title or None, *around)
            if around := excerpt_of(step.result, texts, mask=mask):
                return FoundText("result", step.path, step.title or None, *around)
        after = steps[-1].seq
    number = 0
    while lines := await viewing.logs(execution, number, PAGE):
        for _, each in lines:
            for data in (each.message.encode(), each.fields):
                if around := excerpt_of(data, texts, mask=mask):
                    return FoundText("log", each.step or None, None, *around)
        number = lines[-1][0]
    return None


def excerpt_of(
    data: bytes | None, texts: Sequence[bytes], *, mask: bool = True
) -> tuple[str, str] | None:
    """Return what stands around the first of some texts, and that text.

    Secrets are hidden, and with `mask` the tokens of links that approve.
    """
    shown = without_secrets(data or b"")
    shown = mask_links(shown) if mask else shown
    for each in texts:
        at = shown.find(each)
        if at >= 0:
            begin, end = max(at - AROUND, 0), at + len(each) + AROUND
            return shown[begin:end].decode(errors="ignore"), each.decode(errors="ignore")
    return None


def line(view: SearchLine) -> bytes:
    """Return a view as a line of the answer."""
    return codec.encode(view.model_dump(by_alias=True)) + b"\n"
