"""An app's answer, or why there is none: what each status and each failure means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import anyio.to_thread
from multidict import CIMultiDictProxy
from yarl import URL

from halflap.errors import EgressRefused, RateLimited, Unauthorized, UpstreamError
from halflap.model import a_dict, frozen
from halflap.sdk import codec
from halflap.sdk._body import usual_charset
from halflap.sdk._json import salvage
from halflap.sdk.compatibility import refuse
from halflap.sdk.decoding import INLINE, JSON_STARTS, decode_json
from halflap.sdk.redact import clean

MOST_WAIT = timedelta(hours=1)
"""The longest that an app's `Retry-After` is obeyed for."""

METHODS_WITH_EFFECT = frozenset({"POST", "PUT", "PATCH", "DELETE"})
REPEATABLE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""Methods that do the same however often they are sent (RFC 9110, 9.2.2)."""
REDIRECTS = frozenset({301, 302, 303, 307, 308})
TOLERATED = 1024 * 1024
"""The most bytes of which those are replaced that a charset lacks: in most, each takes a call."""
KEPT = 2_000  # characters of an error's body
TOLD = 200  # characters of it in the error's message


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one request, and of calls to an app through a connection.

    connect, total: seconds to connect, and in all. response_bytes: of the body after decompression.
    rate: requests a second; burst: how many of them at once after a rest (as many as in a second,
    where it is not given). concurrency: how many are under way at once. The last three hold for one
    connection over all workers; None, or 0, sets no limit.
    """

    connect: float = 5.0
    total: float = 30.0
    response_bytes: int = 20 * 1024 * 1024
    redirects: int = 0
    rate: float | None = None
    burst: int | None = None
    concurrency: int | None = None

    def __post_init__(self) -> None:
        for name in ("rate", "burst", "concurrency"):
            given = getattr(self, name)
            if given is not None and given < 0:
                refuse(ValueError(f"Limits({name}={given}) is less than nothing; None is no limit"))


@frozen
class Response:
    """An app's whole answer, whatever its status. `url` is the one that answered.

    `whole` is False where an app did what a request with an effect asks (a status of 2xx came) and
    then its answer broke off: nothing may be read of its body.
    """

    status: int
    headers: CIMultiDictProxy[str] = field(repr=False)
    body: bytes = field(repr=False)
    url: str = field(repr=False)
    method: str = "GET"
    received_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    whole: bool = True
    _read: dict[str, Any] = field(default_factory=a_dict, init=False, repr=False, compare=False)

    def json(self) -> Any:
        """The body as JSON, with exact numbers; `UpstreamError` where it is none."""
        if not self.whole:
            raise self._unreadable("broke off; the app did what it was asked")
        try:
            if "json" not in self._read:
                self._read["json"] = codec.decode(self.body, bounded=True)
            found = self._read["json"]
            if isinstance(found, codec.NotJson):
                raise found
            return found
        except codec.NotJson as error:
            reason = f"is not JSON ({error}): {one_line(self._beginning) or 'it is empty'}"
            failure = self._unreadable(reason)
        raise failure

    async def salvaged(self, items: str) -> Any:
        """The body as JSON, where in the list at the JSON pointer `items` bad items are bytes.

        From then on `json()` returns this as well.
        """
        try:
            return self.json()
        except UpstreamError:
            if not self.whole:
                raise
        with suppress(codec.NotJson):  # the first error says what is wrong
            self._read["json"] = await anyio.to_thread.run_sync(salvage, self.body, items)
        return self.json()

    def _unreadable(self, reason: str) -> UpstreamError:
        return UpstreamError(
            f"{self.method} {shown(self.url)} answered {self.status} with a body that {reason}",
            status=self.status,
            body=self._beginning,
        )

    @property
    def text(self) -> str:
        """The body as text, in the charset that it names, if it is a usual one, else UTF-8."""
        return self._text(self.body)

    def _text(self, data: bytes) -> str:
        _, _, charset = self.headers.get("Content-Type", "").lower().partition("charset=")
        known = usual_charset(charset.partition(";")[0].strip(" \"'") or "utf-8")
        if known:
            with suppress(UnicodeDecodeError):
                return data.decode(known)
            if len(data) <= TOLERATED:
                return data.decode(known, "replace")
        return data.decode("utf-8", "replace")

    @property
    def _beginning(self) -> str:
        # No charset has more than 4 bytes a character, but for a few that switch between sets.
        return clean(self._text(self.body[: 8 * KEPT])[: 2 * KEPT])[:KEPT]

    def with_query(self, **parameters: str) -> str:
        """Return its address with other values of some parameters: that of a list's next page."""
        return str(URL(self.url).update_query(parameters))

    def raise_for_status(self) -> None:
        """Raise what a status of 400 and up, or a redirect that was not followed, means."""
        if self.status < 400 and self.status not in REDIRECTS:
            return
        raise self.refusal()

    def refusal(self) -> UpstreamError:
        """The error that this answer means."""

        status, body = self.status, self._beginning
        what = f"{self.method} {shown(self.url)} answered {status}"
        if status in REDIRECTS:
            to = location(URL(self.url), self.headers)
            return UpstreamError(
                f"{what}, a redirect to {shown(to) if to else 'nowhere'}, and redirects are off; "
                "call that address, or set Limits(redirects=…)",
                status=status,
                retryable=False,
                body=body,
            )
        if status == 401:
            return Unauthorized(f"{what}: the credentials were refused; reconnect", body=body)
        rest = asked_to_rest(self)
        if status == 403 and rest is None:
            return UpstreamError(
                f"{what}: these credentials may not do this; grant them more at the app",
                status=status,
                retryable=False,
                body=body,
            )
        told = retry_after(self.headers.get("Retry-After"), self.received_at)
        if status in (403, 429) or (status == 503 and told is not None):
            wait = told if told is not None else rest and rest.wait
            later = f"in {wait.total_seconds():.0f} s" if wait is not None else "later"
            return RateLimited(
                f"{what}: it asks us to slow down; it is called again {later}",
                retry_after=wait,
                status=status,
                body=body,
            )
        said = f": {line}" if (line := one_line(body)) else ""
        return UpstreamError(f"{what}{said}", status=status, body=body)


async def predecoded(response: Response) -> Response:
    """Return the answer, a large body decoded without stopping the event loop, whatever its type.

    What cannot be decoded is raised by `json()`.
    """
    if len(response.body) > INLINE:
        start = response.body[:256].lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
        is_json = start == b"" or start in JSON_STARTS
        try:
            response._read["json"] = await decode_json(response.body if is_json else start)
        except codec.NotJson as error:
            response._read["json"] = error
    return response


def one_line(text: str) -> str:
    """Return the beginning of a text in one printable line: it is read by people, in tables and
    logs.
    """
    words = " ".join(text[: 4 * TOLD].split())
    begun = words if len(words) <= TOLD else f"{words[:TOLD]}…"
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in begun)


def shown(url: URL | str) -> str:
    """A URL as it may be told: scheme, host and path, without what may be secret."""
    try:
        url = URL(url)
        port = "" if url.is_default_port() or not url.explicit_port else f":{url.explicit_port}"
        host = url.raw_host or ""
        return f"{url.scheme}://{f'[{host}]' if ':' in host else host}{port}{url.raw_path}"
    except ValueError:
        return "an address that cannot be read"


def retry_after(value: str | None, now: datetime) -> timedelta | None:
    """Return the time that a `Retry-After` (seconds or an HTTP date) requests, at most `MOST_WAIT`."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(timedelta(seconds=int(value[:9])), MOST_WAIT)
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, TypeError):
        return None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return min(max(at - now, timedelta(0)), MOST_WAIT)


def location(base: URL, headers: Mapping[str, str]) -> str | None:
    """Where an answer redirects to, as an absolute URL; None where it does not say."""
    target = headers.get("Location")
    if not target:
        return None
    try:
        return str(base.join(URL(target)))
    except ValueError:
        raise EgressRefused(f"{shown(base)} redirects to what is not a URL") from None


def failure(method: str, url: URL, limits: Limits, error: BaseException) -> UpstreamError:
    """Return the error for a request without a whole answer, in doubt where it was sent."""
    broken = broken_by(limits, error)
    message = f"{method} {shown(url)}: {broken}"
    return UpstreamError(message, retryable=not isinstance(broken, Untrusted), in_doubt=broken.sent)


def status_of_done(method: str, broken: Broken) -> int | None:
    """Return the 2xx by which the app said that it did what was asked, before its answer broke off.

    None where the request has no effect, or no such status came.
    """
    done = method in METHODS_WITH_EFFECT and broken.status is not None and broken.status < 300
    return broken.status if done else None


def too_large(method: str, url: URL, status: int, limits: Limits) -> UpstreamError:
    """The error that says that an answer is larger than its limit."""
    return UpstreamError(
        f"{method} {shown(url)} answered with more than {limits.response_bytes:,} bytes; ask for "
        "less, or raise Limits(response_bytes=…)",
        status=status,
        retryable=False,
    )


NO_NAME = "its name does not resolve; check the host, or the DNS"
NO_TLS = "TLS failed (the server speaks none, or none that is safe); nothing was sent"
NO_HTTP = "the answer is not HTTP, or its headers are too large"
BROKEN_OFF = "the answer broke off or is malformed; it may have been carried out"
BROKEN = "the connection broke before the answer; it may have been carried out"


class Broken(Exception):
    """No whole answer came. The message quotes neither the URL nor a header.

    `sent` is False where the request surely did not reach the app; `status` is that of an answer
    which broke off.
    """

    def __init__(
        self, message: str = NO_HTTP, *, sent: bool = True, status: int | None = None
    ) -> None:
        super().__init__(message)
        self.sent = sent
        self.status = status


def late(limits: Limits) -> str:
    """That the time is over."""
    return f"no whole answer within {limits.total:g} s; it may have been carried out"


def unreached(limits: Limits) -> str:
    """That nobody was there in time."""
    return f"no connection within {limits.connect:g} s; nothing was sent"


class Untrusted(Broken):
    """The app's certificate is not trusted, which another try does not change."""

    def __init__(self, error: Exception) -> None:
        reason = getattr(error, "verify_message", "") or "it does not match"
        super().__init__(
            f"its TLS certificate is not trusted ({reason}); nothing was sent. Check the address, have "
            "the certificate renewed, or name a file with its CA in SSL_CERT_FILE; then replay",
            sent=False,
        )


def broken_by(limits: Limits, error: BaseException) -> Broken:
    """Return an error of the HTTP library as one of ours."""
    if isinstance(error, Broken):
        return error
    import aiohttp  # it is loaded: it raised the error

    match error:
        case aiohttp.ClientConnectorCertificateError():
            return Untrusted(error.certificate_error)
        case aiohttp.ClientConnectorSSLError():
            return Broken(NO_TLS, sent=False)
        case aiohttp.ClientConnectorDNSError():
            return Broken(NO_NAME, sent=False)
        case aiohttp.ConnectionTimeoutError():
            return Broken(unreached(limits), sent=False)
        case aiohttp.ClientConnectorError():
            message = f"no connection ({error.os_error.strerror}); nothing was sent"
            return Broken(message, sent=False)
        case TimeoutError():
            return Broken(late(limits))
        case aiohttp.ClientPayloadError():
            return Broken(BROKEN_OFF)
        case aiohttp.ClientResponseError():
            return Broken(NO_HTTP)
        case aiohttp.ClientConnectionError() | ConnectionError():
            return Broken(BROKEN)
        case _:
            return Broken(f"the request failed ({type(error).__name__})")


# Limits that an app tells: for how long it is not to be called --------------------------------

DELTA_AT_MOST = 1_000_000_000
"""A reset above this is a time (seconds since 1970), and above a thousand times this in milliseconds."""
COUNTS = tuple(
    (f"{prefix}-Remaining", f"{prefix}-Reset")
    for prefix in ("RateLimit", "X-RateLimit", "X-Rate-Limit")
)
"""The headers of what is left of a limit, and of when it is reset."""
LIMITS = frozenset({"Retry-After", "RateLimit", *dict(COUNTS)})
"""The headers of which an answer has one where it has a limit."""
PARTS = re.compile(r"\b(r|remaining|t|reset)\s*=\s*(\d{1,15})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Rest:
    """The app is not to be called for a while; None, where it does not say for how long."""

    wait: timedelta | None


def asked_to_rest(response: Response) -> Rest | None:
    """Return the rest that an answer requests: by 429, by 403 or 503 with `Retry-After`, or by a limit
    that is used up.

    Reads `RateLimit` (of the IETF's draft, old and new), `RateLimit-Remaining` and `-Reset`, and
    `X-RateLimit-…`, whose reset is a number of seconds or a time. An hour at the most is believed.
    """
    headers = response.headers
    if headers.keys().isdisjoint(LIMITS):
        return Rest(None) if response.status == 429 else None
    told = retry_after(headers.get("Retry-After"), response.received_at)
    if response.status == 429 or (response.status in (403, 503) and told is not None):
        return Rest(told if told is not None else _reset(headers, response.received_at))
    wait = _reset(headers, response.received_at)
    return None if wait is None else Rest(wait)


def _reset(headers: CIMultiDictProxy[str], now: datetime) -> timedelta | None:
    """When a limit that is used up is reset; None where none is, or none is told."""
    if (told := headers.get("RateLimit")) is not None:
        found = {name.lower(): value for name, value in PARTS.findall(told)}
        remaining = found.get("r", found.get("remaining"))
        reset = found.get("t", found.get("reset"))
        if remaining is not None:
            return _span(reset, now) if int(remaining) == 0 else None
    for name, reset_name in COUNTS:
        if (remaining := headers.get(name)) is not None:
            used_up = remaining.strip().partition(".")[0] == "0"
            return _span(headers.get(reset_name), now) if used_up else None
    return None


def _span(reset: str | None, now: datetime) -> timedelta | None:
    text = (reset or "").strip().partition(".")[0]
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        return None
    value = int(text)
    if value > DELTA_AT_MOST * 1_000:
        value //= 1_000
    seconds = value - now.timestamp() if value > DELTA_AT_MOST else value
    return min(max(timedelta(seconds=seconds), timedelta(0)), MOST_WAIT)
