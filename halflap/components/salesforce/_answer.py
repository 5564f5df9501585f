"""Read Salesforce's answers: its errors as Halflap's, and the use of the daily API limit."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from halflap import RateLimited, Response, Unauthorized, UpstreamError

T = TypeVar("T")
log = logging.getLogger("halflap.components.salesforce")

WARN_AT = 0.9
MOST_TOLD = 600
GONE = frozenset({"NOT_FOUND", "ENTITY_IS_DELETED"})
TRANSIENT = frozenset(
    {"UNABLE_TO_LOCK_ROW", "SERVER_UNAVAILABLE", "QUERY_TIMEOUT", "UNKNOWN_EXCEPTION"}
)
"""Codes of errors that pass, whatever the HTTP status that they come with."""


@dataclass(frozen=True, slots=True)
class ApiUsage:
    """The number of the org's daily API requests that are used."""

    used: int
    allowed: int

    @property
    def share(self) -> float:
        """The used part of them, from 0 to 1."""
        return self.used / self.allowed if self.allowed else 0.0


def observed(response: Response, before: ApiUsage | None) -> ApiUsage | None:
    """Return what `Sforce-Limit-Info` says; log a warning once it passes nine tenths."""
    found = re.search(r"api-usage=(\d+)/(\d+)", response.headers.get("Sforce-Limit-Info", ""))
    if found is None:
        return None
    usage = ApiUsage(int(found[1]), int(found[2]))
    if usage.share > WARN_AT and (before is None or before.share <= WARN_AT):
        log.warning(
            "%d of the %d API requests that this Salesforce org may make in a day are used",
            usage.used,
            usage.allowed,
        )
    return usage


def is_bad_token(response: Response) -> bool:
    """Return whether an answer refuses the session as the identity services do: by a 403 of their
    own.
    """
    return response.status == 403 and response.body.strip() == b"Bad_OAuth_Token"


def raise_for_status(response: Response) -> None:
    """Raise what a refusal means."""
    if response.status >= 300:
        raise refusal(response)


def refusal(response: Response) -> UpstreamError:
    """The error that a refusal means, with Salesforce's code, words and fields."""
    said = listed(response)
    status = response.status
    if status == 300:
        return UpstreamError(
            "several Salesforce records have this external id, so none was written; make the field "
            "unique at Salesforce, or write by record id",
            status=status,
            retryable=False,
            body=response.text[:2_000],
        )
    if is_bad_token(response):
        return Unauthorized("Salesforce refused the session (Bad_OAuth_Token); connect again")
    if not said:
        try:
            response.raise_for_status()
        except UpstreamError as error:
            return error
        return UpstreamError(f"Salesforce answered {status}, a redirect", status=status)
    codes = {str(each.get("errorCode", "")) for each in said}
    told = worded(said)
    body = response.text[:2_000]
    if status == 401 or "INVALID_SESSION_ID" in codes:
        return Unauthorized(
            f"Salesforce refused the credentials ({told}); connect again", body=body
        )
    if "REQUEST_LIMIT_EXCEEDED" in codes:
        return RateLimited(
            f"the Salesforce org has used up its API requests ({told}); they come back within 24 hours",
            status=status,
            body=body,
        )
    where = response.url.partition("?")[0].partition("/services/")[2]
    return UpstreamError(
        f"Salesforce refused {response.method} {where} ({status}): {told}",
        status=status,
        retryable=True if codes & TRANSIENT else None,
        body=body,
    )


def listed(response: Response) -> Sequence[Mapping[str, Any]]:
    """The errors of an answer: an array of codes, messages and fields."""
    try:
        whole: Any = response.json()
    except UpstreamError:
        return ()
    found: list[Any] = cast("list[Any]", whole) if isinstance(whole, list) else [whole]
    return [
        cast("dict[str, Any]", each)
        for each in found
        if isinstance(each, dict) and "errorCode" in each
    ]


def worded(said: Sequence[Mapping[str, Any]]) -> str:
    """Errors in one line: `REQUIRED_FIELD_MISSING: Required fields are missing: [Name] (Name)`."""
    lines: list[str] = []
    for each in said:
        fields = ", ".join(map(str, each.get("fields") or ()))
        lines.append(
            f"{each['errorCode']}: {each.get('message', '')}{f' ({fields})' if fields else ''}"
        )
    return " ".join("; ".join(lines).split())[:MOST_TOLD]


async def unless_gone(answer: Awaitable[T]) -> T | None:
    """Return an answer; None where the record that it is about is not, or no longer, there."""
    try:
        return await answer
    except UpstreamError as error:
        codes = re.findall(r'"errorCode"\s*:\s*"([A-Z_]+)"', error.body)
        if error.status == 404 and GONE & {*codes}:
            return None
        raise
