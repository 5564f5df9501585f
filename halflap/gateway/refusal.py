"""Why the edge turns a request away, and the problem+json (RFC 9457) that it answers with."""

from __future__ import annotations

from dataclasses import dataclass, replace

from halflap.problem import MEDIA_TYPE, encode_problem, title_of


@dataclass(frozen=True, slots=True)
class RequestRefusal:
    """One reason to turn a request away before the app sees it.

    `code` names it in the answer and in `EdgeCounters.refused`; `headers` are whole header lines.
    """

    code: str
    status: int
    detail: str
    headers: bytes = b""

    def because(self, detail: str) -> RequestRefusal:
        """The same refusal with a detail that fits this one request."""
        return replace(self, detail=detail)

    def body(self) -> bytes:
        """The problem document."""
        return encode_problem(self.status, detail=self.detail, code=self.code)

    def response(self) -> bytes:
        """The whole HTTP/1.1 answer, which says that the connection closes."""
        body = self.body()
        lines = b"".join(b"%s: %s\r\n" % line for line in problem_headers(body))
        return b"HTTP/1.1 %d %s\r\n%s%sconnection: close\r\n\r\n%s" % (
            self.status,
            title_of(self.status).encode(),
            lines,
            self.headers,
            body,
        )


def problem_headers(body: bytes) -> list[tuple[bytes, bytes]]:
    """Return the headers of a problem document."""
    return [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", b"%d" % len(body))]


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

MALFORMED = RequestRefusal("malformed", 400, "The request is not valid HTTP/1.1.")
VERSION = RequestRefusal(
    "version", 400, "Only HTTP/1.1 and HTTP/1.0 are spoken here; send one of them."
)
TARGET = RequestRefusal("target", 400, "The request target is not a valid path or absolute URL.")
REQUEST_LINE = RequestRefusal(
    "request_line", 400, "The request line is longer than 8 KB; shorten the URL."
)
HOST = RequestRefusal("host", 400, "The request needs exactly one valid Host header.")
TRANSFER_ENCODING = RequestRefusal(
    "transfer_encoding",
    400,
    "Transfer-Encoding must be exactly `chunked`, on HTTP/1.1; or send Content-Length.",
)
WEBSOCKET = RequestRefusal(
    "websocket", 400, "There is no WebSocket here; send an ordinary HTTP request."
)
METHOD = RequestRefusal(
    "method",
    405,
    f"The method is not one of {', '.join(METHODS)}.",
    b"allow: " + ", ".join(METHODS).encode() + b"\r\n",
)
HEADER_TIMEOUT = RequestRefusal(
    "header_timeout", 408, "The headers did not arrive in time; send again."
)
BODY_TIMEOUT = RequestRefusal("body_timeout", 408, "The body arrived too slowly; send again.")
BODY_SIZE = RequestRefusal(
    "body_size",
    413,
    "The body is larger than this server accepts; HALFLAP_BODY_BYTES sets how large it may be.",
)
BODY_FRAMING = RequestRefusal(
    "body_framing", 413, "The body is nearly all chunk framing; send it plainly."
)
ADDRESS_CONNECTIONS = RequestRefusal(
    "address_connections",
    429,
    "Too many connections from this address; close some, or reuse them.",
    b"retry-after: 1\r\n",
)
ADDRESS_REQUESTS = RequestRefusal(
    "address_requests",
    429,
    "Too many requests from this address are under way; wait for answers.",
    b"retry-after: 1\r\n",
)
PIPELINED = RequestRefusal(
    "pipelined",
    429,
    "Too many requests were sent ahead on this connection; wait for answers.",
    b"retry-after: 1\r\n",
)
HEADER_SIZE = RequestRefusal(
    "header_size", 431, "The request's headers are too large; send fewer bytes."
)
HEADER_FIELDS = RequestRefusal(
    "header_fields", 431, "The request has too many headers; send fewer."
)
CONNECTIONS = RequestRefusal(
    "connections", 503, "The server has too many connections; try again.", b"retry-after: 1\r\n"
)
APP_FAILED = RequestRefusal(
    "internal", 500, "The server failed to answer; the request may be sent again."
)
