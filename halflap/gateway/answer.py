"""Answers: static, computed, or the flow's result; refusals as problem+json (RFC 9457)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

from halflap.model import Failure, Outcome, Started
from halflap.problem import MEDIA_TYPE, encode_problem
from halflap.sdk import codec
from halflap.sdk.declared import pick
from halflap.sdk.request import Request
from halflap.sdk.trigger import Answer as Declared
from halflap.sdk.trigger import FlowResult, Reply

Answer = tuple[int, Mapping[bytes, bytes], bytes]
"""A status, headers as ASGI has them, and a body."""

A_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+").fullmatch
OF_A_VALUE = bytes(each if each > 31 and each != 127 else 32 for each in range(256))
"""A table of bytes, by which control characters become spaces."""

# What an app or a flow answers is never a page of ours.
OUR_COOKIE = re.compile(rb"\s*(?:__Host-)?halflap_", re.I)
GUARDED = {b"content-security-policy": b"sandbox", b"x-content-type-options": b"nosniff"}
JSON = b"application/json"


def answer_for(
    declared: Declared,
    request: Request | None,
    started: Sequence[Started],
    *,
    execution: str = "",
    outcome: Outcome | None = None,
) -> Answer:
    """The answer that a trigger declares, to a request that was accepted."""
    match declared:
        case FlowResult():
            return result_of(execution, outcome)
        case Reply():
            return with_executions(encode_reply(declared), started)
        case _:
            assert request is not None
            # The event is kept by now, so an answer that cannot be made is still a yes.
            answer = pick(lambda request: encode_reply(declared(request)), request)
            return with_executions(answer or encode_reply(Reply()), started)


def result_of(execution: str, outcome: Outcome | None) -> Answer:
    """The flow's result; 202 where it is not there in time."""
    named = {b"halflap-execution": execution.encode()}
    match outcome:
        case None:
            status, headers, body = encode_reply(Reply(202, {"execution": execution}))
        case Outcome(state="succeeded", result=None):
            status, headers, body = encode_reply(Reply(204))
        case Outcome(state="succeeded", result=bytes() as result):
            status, headers, body = encode_result(result)
        case Outcome(state="failed", failure=Failure(kind="InvalidEvent")):
            detail = f"the request is not what the flow reads; see the execution {execution}"
            status, headers, body = problem(422, detail=detail)
        case Outcome(state="failed"):
            status, headers, body = problem(500, detail=f"the execution {execution} failed")
        case Outcome(state=state):
            status, headers, body = encode_reply(Reply(200, {"outcome": state}))
    return status, {**headers, **named}, body


def encode_result(result: bytes) -> Answer:
    """A flow's encoded result as an answer: a `Reply` as it says, anything else as JSON."""
    shown = codec.decode(result)["$reply"] if result.startswith(b'{"$reply"') else None
    if not isinstance(shown, dict) or shown.keys() != {"status", "headers", "body", "kind"}:
        return 200, {b"content-type": JSON, **GUARDED}, result
    shown = cast(dict[str, Any], shown)
    body: Any = shown["body"]
    if shown["kind"] == "bytes":
        body = body.encode("latin-1")
    return encode_reply(Reply(shown["status"], body, shown["headers"]))


def encode_reply(reply: Reply) -> Answer:
    """A `Reply` as status, headers and bytes."""
    headers: dict[bytes, bytes] = {}
    if reply.headers:
        headers = encode_headers(reply.headers)
        # Nor does it touch the session of who looks at it in a browser.
        headers.pop(b"clear-site-data", None)
        if OUR_COOKIE.match(headers.get(b"set-cookie", b"")):
            del headers[b"set-cookie"]
    match reply.body:
        case bytes() as body:
            pass
        case str() as text:
            body = text.encode()
            headers.setdefault(b"content-type", b"text/plain; charset=utf-8")
        case value:
            body = codec.encode(value)
            headers.setdefault(b"content-type", JSON)
    return reply.status, {**headers, **GUARDED}, body


def encode_headers(headers: Mapping[str, str]) -> dict[bytes, bytes]:
    """Headers as ASGI has them, of names in any case; those without a valid name are left out."""
    # What a flow answers may hold what a sender wrote: no line of it becomes a header of ours.
    return {
        encoded_name: value.encode("latin-1", "replace").translate(OF_A_VALUE)
        for name, value in headers.items()
        if (encoded_name := encode_name(name))
    }


@lru_cache(maxsize=1024)
def encode_name(name: str) -> bytes:
    """Return a header's name as ASGI has it; empty where it is none."""
    return name.lower().encode() if A_NAME(name) else b""


def with_executions(answer: Answer, started: Sequence[Started]) -> Answer:
    """The answer with a header that names the executions, so that a sender's support can ask."""
    status, headers, body = answer
    if not started:
        return answer
    ids = ",".join([each.duplicate_of or each.execution for each in started[:100]])
    return status, {**headers, b"halflap-execution": ids.encode()}, body


def nothing_here() -> Answer:
    """The one answer to unknown, closed and wrong-method endpoints alike."""
    return problem(404)


def problem(status: int, *, detail: str = "", retry_after: int | None = None) -> Answer:
    """A refusal; its reason stays with us."""
    headers = {b"content-type": MEDIA_TYPE.encode(), **GUARDED}
    if retry_after is not None:
        headers[b"retry-after"] = b"%d" % retry_after
    return status, headers, encode_problem(status, detail=detail)
