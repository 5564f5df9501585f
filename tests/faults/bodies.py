"""The tables of hostile bodies, and how each may end."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Case:
    """A body, and how it may end: `says` in its result, `kind` of its failure, or a refusal."""

    name: str
    flow: str
    body: bytes
    says: tuple[str, ...] = ()
    kind: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict[str, str])


INVALID = "InvalidEvent"
PATH = {"files": {"x": {"filepath": "/etc/passwd", "path": "/etc/passwd"}}}
BOUNDARY = {"content-type": "multipart/form-data; boundary=b"}
TWO = {"content-encoding": "gzip, deflate"}
GZIP = {"content-encoding": "gzip"}
SMALL = gzip.compress(b"x" * 9_999)
FRACTION = "0.1000000000000000055511151231257827"
ATTACHED = b'Subject: hi\r\nContent-Disposition: attachment; filename="../../etc/passwd"\r\n\r\nx'
FORM = {"content-type": "application/x-www-form-urlencoded"}


def xml(name: str, body: bytes, **expected: str) -> Case:
    """A body of the XML table."""
    said = {"kind": INVALID} | expected
    says = (said["says"],) if "says" in said else ()
    kind = "" if says else said["kind"]
    return Case(name, "documents", body, says, kind, headers={"content-type": "text/xml"})


def part(name: str, content: bytes, filename: str = "") -> bytes:
    """A part of a multipart form."""
    named = f'; filename="{filename}"' if filename else ""
    head = f'--b\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'
    return head.encode() + content + b"\r\n"


def nested_mail(levels: int) -> bytes:
    """A mail of multiparts within multiparts."""
    head = b"".join(
        b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (n, n)
        for n in range(levels)
    )
    return b"Subject: deep\r\n" + head + b"Content-Type: text/plain\r\n\r\nhi\r\n"


def bomb(size: int) -> bytes:
    """A gzip body that unpacks to `size` bytes."""
    made = io.BytesIO()
    with gzip.GzipFile(fileobj=made, mode="wb", compresslevel=9) as file:
        for _ in range(size >> 20):
            file.write(bytes(1 << 20))
    return made.getvalue()


def laughs() -> bytes:
    """Ten entities, each ten of the one before."""
    entities = b'<!ENTITY a0 "ha">' + b"".join(
        b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 11)
    )
    return b"<!DOCTYPE x [" + entities + b"]><x>&a10;</x>"


ENCODED = b"files[x][filepath]=/etc/passwd&a=1"
AS_FIELD = part("files", json.dumps(PATH).encode()) + b"--b--\r\n"
AS_FILE = part("x", b"mine", "/etc/passwd") + b"--b--\r\n"
FIELDS = b"&".join(b"a%d=" % n for n in range(2_000))

JSON = [
    Case("100,000 levels of arrays", "anything", b"[" * 100_000 + b"]" * 100_000, kind=INVALID),
    Case("100,000 levels of objects", "anything", b'{"a":' * 100_000, kind=INVALID),
    Case("an id beyond 2^53", "anything", b'{"id": 9007199254740993}', ("9007199254740993",)),
    Case(
        "an id beyond 2^64",
        "anything",
        b'{"id": 1180591620717411303424}',
        ("1180591620717411303424",),
    ),
    Case("an integer of 5,000 digits", "anything", b"9" * 5_000, kind=INVALID),
    Case("NaN", "anything", b'{"n": NaN}', kind=INVALID),
    Case("Infinity", "anything", b"[Infinity]", kind=INVALID),
    Case("an exact fraction", "anything", b'{"n": %s}' % FRACTION.encode(), (FRACTION,)),
    Case("a lone surrogate", "anything", b'{"s": "\\ud800"}', kind=INVALID),
    Case("UTF-16", "anything", '{"a": 1}'.encode("utf-16"), kind=INVALID),
    Case("not UTF-8", "anything", b'{"a": "\xff\xfe"}', kind=INVALID),
    Case("a NUL in a string", "anything", b'{"a": "x\\u0000y"}', ("x", "y")),
    Case("no JSON at all", "anything", b"<html>", kind=INVALID),
    Case("cut off", "anything", b'{"a": [1, 2', kind=INVALID),
    Case("a million numbers", "anything", b"[" + b"1," * 1_000_000 + b"1]", ("[1,1",)),
    Case("a string of 5 MB", "anything", b'"' + b"x" * 5_000_000 + b'"', ("xxx",)),
    Case("another shape than the flow's", "numbered", b'{"n": "many"}', kind=INVALID),
    Case("a path to a file, as JSON", "anything", json.dumps(PATH).encode(), ("/etc/passwd",)),
]
XML = [
    xml("a document", b"<order><line/><line/></order>", says='"children":2'),
    xml("a billion laughs", laughs()),
    xml(
        "an entity that is a file",
        b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>',
    ),
    xml("a document type elsewhere", b'<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd"><x/>'),
    xml("200,000 levels", b"<a>" * 200_000 + b"</a>" * 200_000),
    xml("300,000 elements", b"<a>" + b"<b/>" * 300_000 + b"</a>"),
    xml("no XML at all", b'{"a": 1}'),
    xml("cut off", b"<a><b>"),
    xml("nothing", b""),
]
MAIL = [
    Case(
        "a file named as a path",
        "mails",
        b"Subject: hello\r\n" + ATTACHED + b"\r\n\r\nx",
        ("../../etc/passwd",),
    ),
    Case("3,000 multiparts in each other", "mails", nested_mail(3_000), kind=INVALID),
    Case("bytes that are no mail", "mails", bytes(range(256)) * 100, ("subject",)),
]
PACKED = [
    Case("gzip within its limit", "archives", SMALL, ("9999",), headers=GZIP),
    Case("gzip that is cut off", "archives", SMALL[:-9], status=400, headers=GZIP),
    Case("no gzip at all", "archives", b"plain", status=400, headers=GZIP),
    Case("another encoding", "archives", b"plain", status=415, headers={"content-encoding": "br"}),
    Case(
        "two encodings",
        "archives",
        zlib.compress(b"x"),
        status=415,
        headers=TWO,
    ),
    Case("gzip where none is taken", "anything", gzip.compress(b"{}"), status=415, headers=GZIP),
]
FORMS = [
    Case(
        "a path to a file, urlencoded",
        "anything",
        b"files[x][filepath]=/etc/passwd&a=1",
        ("/etc/passwd", '"a":"1"'),
        headers=FORM,
    ),
    Case(
        "a path to a file, as a field",
        "anything",
        part("files", json.dumps(PATH).encode()) + b"--b--\r\n",
        ("/etc/passwd",),
        headers=BOUNDARY,
    ),
    Case(
        "a file named as a path",
        "uploads",
        part("x", b"mine", "/etc/passwd") + b"--b--\r\n",
        ('["/etc/passwd","mine"]',),
        headers=BOUNDARY,
    ),
    Case(
        "2,000 parts",
        "uploads",
        part("x", b"") * 2_000 + b"--b--\r\n",
        kind=INVALID,
        headers=BOUNDARY,
    ),
    Case(
        "2,000 fields",
        "anything",
        FIELDS,
        kind=INVALID,
        headers=FORM,
    ),
    Case(
        "no boundary",
        "uploads",
        b"--b",
        kind=INVALID,
        headers={"content-type": "multipart/form-data"},
    ),
    Case("a form that is cut off", "uploads", part("x", b"y"), kind=INVALID, headers=BOUNDARY),
]


def cases() -> list[Case]:
    """All bodies; the bomb among them takes a second to make, too long for an import."""
    large = bomb(200 << 20)
    packed = Case("204 KB that unpack to 200 MB", "archives", large, status=413, headers=GZIP)
    return [*JSON, *XML, *MAIL, packed, *PACKED, *FORMS]


def head(*lines: str) -> Callable[[str], bytes]:
    """A request as bytes, from its header lines."""
    return lambda path: "\r\n".join([f"POST {path} HTTP/1.1", *lines, "", ""]).encode()


HOST = "Host: localhost"
WIRE: list[tuple[str, Callable[[str], bytes]]] = [
    ("two lengths", head(HOST, "Content-Length: 2", "Content-Length: 3")),
    ("a length and chunks", head(HOST, "Content-Length: 2", "Transfer-Encoding: chunked")),
    ("an encoding nobody knows", head(HOST, "Transfer-Encoding: xchunked")),
    ("no host", head("Content-Length: 0")),
    ("two hosts", head(HOST, "Host: other", "Content-Length: 0")),
    ("bare line feeds", lambda path: f"POST {path} HTTP/1.1\nHost: x\n\n".encode()),
    ("a header of 100 KB", head(HOST, "X: " + "x" * 100_000)),
    ("2,000 headers", head(HOST, *(f"X-{n}: 1" for n in range(2_000)))),
    ("a body of 20 MB", head(HOST, "Content-Length: 20000000")),
    ("a negative length", head(HOST, "Content-Length: -1")),
    ("no HTTP at all", lambda _: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40)),
]
