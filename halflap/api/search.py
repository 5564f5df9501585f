"""Searching payloads: executions whose event or steps contain a text, newest first, as they are found."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Annotated

from fastapi import Query, Response
from fastapi.responses import StreamingResponse

from halflap.api.asking import Ops, for_customers, needs, router_of
from halflap.api.execution_view import SearchEnd, SearchHit
from halflap.api.executions import Narrowed, states
from halflap.api.operations import Operations
from halflap.api.payload import without_secrets
from halflap.api.recorded import summaries
from halflap.model import Execution
from halflap.sdk import codec
from halflap.store.protocol import Filter

router = router_of("/api", "executions", 404, 409)

SEARCH_SECONDS = 30.0
"""Seconds after which a search ends, and says by what it goes on."""
PAGE = 200
AROUND = 80
"""Characters of an excerpt on each side of what was found."""


@router.get(
    "/search",
    response_class=Response,
    responses={
        200: {
            "description": "Lines of JSON: a SearchHit each, and a SearchEnd as the last.",
            "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
        }
    },
)
@for_customers
@needs("payloads")
async def search_payloads(
    operations: Ops,
    which: Narrowed,
    q: Annotated[str, Query(min_length=3, max_length=500, description="A text, to the letter.")],
    state: Annotated[str, Query(description="One state, or several by commas.")] = "",
    before: Annotated[str | None, Query(description="The `next` of the search before.")] = None,
) -> StreamingResponse:
    """Search the bodies of events and the values of steps, newest first, as they are found.

    It ends with the request. Values of more than 1 MiB, and those that are stored apart, are left out.
    """
    which = replace(which, states=states(state), payload=needles(q))
    found = search(operations, which, before)
    return StreamingResponse(found, media_type="application/x-ndjson")


def needles(text: str) -> tuple[bytes, ...]:
    """Return a text in each form in which JSON may have it."""
    forms = (text, *(json.dumps(text, ensure_ascii=each)[1:-1] for each in (False, True)))
    return tuple(dict.fromkeys(each.encode("utf-8", "backslashreplace") for each in forms))


async def search(
    operations: Operations, which: Filter, before: str | None
) -> AsyncGenerator[bytes]:
    """Yield lines of what is found, page by page, until there is enough or the time is over."""
    end, count = time.monotonic() + SEARCH_SECONDS, 0
    page = replace(which, limit=min(which.limit, PAGE))
    hidden = await operations.hidden_payloads()
    while True:
        async with operations.searching:
            found, before = await operations.executions.list(page, before, examine=PAGE)
        for each in found:
            if each.flow.customer in hidden:
                continue
            hit = await locate(operations, each, which.payload)
            if hit is not None:
                yield line(hit)
                count += 1
        if before is None or count >= which.limit or time.monotonic() > end:
            yield line(SearchEnd(found=count, next=before))
            return
        yield b"\n"  # so that a client that has gone is noticed


async def locate(
    operations: Operations, execution: Execution, texts: Sequence[bytes]
) -> SearchHit | None:
    """Return where an execution has one of some texts; None where that is in a secret."""
    viewing = operations.executions.viewing
    event = await viewing.event(execution.id)
    if event is not None and (excerpt := excerpt_of(event.event.body, texts)) is not None:
        return await hit_of(operations, execution, "event", None, excerpt)
    after: int | None = None
    while steps := await viewing.step_page(execution.id, after, PAGE):
        for step in steps:
            for part, data in (("inputs", step.inputs), ("result", step.result)):
                if data and (excerpt := excerpt_of(data, texts)) is not None:
                    return await hit_of(operations, execution, part, step.path, excerpt)
        after = steps[-1].seq
    return None


async def hit_of(
    operations: Operations, execution: Execution, part: str, step: str | None, excerpt: str
) -> SearchHit:
    """Return what is told of a find."""
    [summary] = await summaries(operations, [execution])
    return SearchHit(execution=summary, part=part, step=step, excerpt=excerpt)


def excerpt_of(data: bytes, texts: Sequence[bytes]) -> str | None:
    """Return what stands around the first of some texts, secrets hidden; None where there is none."""
    shown = without_secrets(data)
    for each in texts:
        at = shown.find(each)
        if at >= 0:
            begin, end = max(at - AROUND, 0), at + len(each) + AROUND
            return shown[begin:end].decode(errors="ignore")
    return None


def line(view: SearchHit | SearchEnd) -> bytes:
    """Return a view as a line of the answer."""
    return codec.encode(view.model_dump(by_alias=True)) + b"\n"
