"""Requests that may be sent twice: with the same `Idempotency-Key`, it is done once."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from halflap.api import problem
from halflap.api.auditing import REPLAYED
from halflap.api.principal import PRINCIPAL, Principal
from halflap.errors import ConfigError
from halflap.store.catalogue.answers import RepeatedRequest, StoredAnswers

HEADER = "Idempotency-Key"
LONGEST_KEY = 255
KEPT = ("content-type", "etag")
PARAMETER: dict[str, Any] = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "Of your choosing: the same request with it again within a day is not done again.",
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY},
}


async def answer_once(
    request: Request, answers: StoredAnswers, body: bytes, run: Callable[[], Awaitable[Response]]
) -> Response:
    """Run a request whose key has no answer yet; else return the answer that it had.

    One that was refused may be sent again. One that ended otherwise may have been done, and with that
    key it is not done again.
    """
    asked = repeated(request, body)
    if (stored := await answers.begin(asked)) is not None:
        request.scope[REPLAYED] = True
        return unpacked(stored)
    status = 500
    try:
        answer = await run()
        status = answer.status_code
    except Exception as error:
        status = problem.status_of(error)
        raise
    finally:
        if 400 <= status < 500 or status == 502:
            await answers.forget(asked)
    if status < 400:
        await answers.keep(asked, packed(answer))
    return answer


def repeated(request: Request, body: bytes) -> RepeatedRequest:
    """Return a request by its principal and key, with the digest of what it asks for."""
    key = request.headers[HEADER]
    if not (1 <= len(key) <= LONGEST_KEY and key.isascii() and key.isprintable()):
        raise ConfigError(
            f"an {HEADER} has 1 to {LONGEST_KEY} printable ASCII characters",
            fields={HEADER: "is none"},
        )
    principal: Principal = request.scope[PRINCIPAL]
    scope = request.scope
    digest = hashlib.sha256()
    for each in (scope["method"].encode(), scope["path"].encode(), scope["query_string"], body):
        digest.update(len(each).to_bytes(8) + each)
    return RepeatedRequest(f"{principal.kind}:{principal.id}", key, digest.hexdigest())


def packed(answer: Response) -> str:
    """Return an answer as it is kept."""
    return json.dumps(
        {
            "status": answer.status_code,
            "headers": {each: answer.headers[each] for each in KEPT if each in answer.headers},
            "body": base64.b64encode(bytes(answer.body)).decode(),
        }
    )


def unpacked(kept: str) -> Response:
    """Return the answer that was kept, marked as one that was given before."""
    found = json.loads(kept)
    headers = {**found["headers"], REPLAYED: "true"}
    return Response(base64.b64decode(found["body"]), found["status"], headers)
