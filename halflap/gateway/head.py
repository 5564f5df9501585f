"""Judges the head of a request where httptools lets too much through."""

from __future__ import annotations

import re
from typing import NoReturn

import httptools

from halflap.gateway import refusal
from halflap.gateway.edge import EdgeLimits
from halflap.gateway.refusal import RequestRefusal

REQUEST_LINE_BYTES = 8 * 1024

_JUDGED = frozenset({b"host", b"content-length", b"transfer-encoding", b"expect"})
_HOST = re.compile(rb"(?:[\w.~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?").fullmatch


class RefusedHead(httptools.HttpParserError):
    """Raised inside a callback of the parser, to make it stop; `refusal` says why."""

    def __init__(self, refused: RequestRefusal) -> None:
        super().__init__(refused.code)
        self.refusal = refused


def judge_size(headers: list[tuple[bytes, bytes]], limits: EdgeLimits, line_bytes: int) -> None:
    """Refuse a head that is too large, line ends and all; raises Refused."""
    size = line_bytes + 4 + sum(len(name) + len(value) + 4 for name, value in headers)
    if size > limits.header_bytes:
        raise RefusedHead(refusal.HEADER_SIZE)


def judge_headers(
    headers: list[tuple[bytes, bytes]], limits: EdgeLimits, version: str, line_bytes: int
) -> bool:
    """Say whether the client awaits a 100 Continue; raises Refused.

    httptools has already refused a Content-Length that is doubled, not a number, or beside a
    Transfer-Encoding. `line_bytes` is the length of the request line.
    """
    if line_bytes > REQUEST_LINE_BYTES:
        raise RefusedHead(refusal.REQUEST_LINE)
    if len(headers) > limits.header_fields:
        raise RefusedHead(refusal.HEADER_FIELDS)
    hosts = 0
    expects = False
    for name, value in headers:
        if name not in _JUDGED:
            continue
        if name == b"host":
            hosts += 1
            if not _HOST(value):
                raise RefusedHead(refusal.HOST)
        elif name == b"content-length":
            if int(value) > limits.body_bytes:
                raise RefusedHead(refusal.BODY_SIZE)
        elif name == b"transfer-encoding":
            if value.lower() != b"chunked" or version != "1.1":
                raise RefusedHead(refusal.TRANSFER_ENCODING)
        else:
            expects = value.lower() == b"100-continue" and version == "1.1"
    if hosts > 1 or (not hosts and version == "1.1"):
        raise RefusedHead(refusal.HOST)
    return expects


def read_target(url: bytes, method: str) -> tuple[bytes, bytes]:
    """The raw path and the query of a request target in any of its forms; raises Refused."""
    if b"#" in url:
        _refuse_target()
    if url.startswith(b"/"):
        path, _, query = url.partition(b"?")
        return path, query
    if url == b"*":
        return (url, b"") if method == "OPTIONS" else _refuse_target()
    try:
        parsed = httptools.parse_url(url)
    except httptools.HttpParserInvalidURLError:
        _refuse_target()
    return parsed.path or b"/", parsed.query or b""


def _refuse_target() -> NoReturn:
    raise RefusedHead(refusal.TARGET)
