"""A request is read without trusting it: a right value, or InvalidEvent, whatever was sent."""

from __future__ import annotations

import contextlib
import copy
import gzip
import resource
import zlib
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from halflap.errors import DefinitionError, InvalidEvent, Rejected
from halflap.sdk.request import (
    Headers,
    Request,
    constant,
    decompress,
    header,
    pointer,
    query,
)
from tests.cases import for_each

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=xyz"
THEFT = b'{"files":{"x":{"filepath":"/etc/passwd","name":"x"}}}'


def short(value: Any) -> str:
    """A test id of a value that may be very long."""
    return "int" if isinstance(value, int) else ascii(value)[:24]


def make(body: bytes = b"", content_type: str = "", *more: tuple[str, str], q: str = "") -> Request:
    headers = [("Content-Type", content_type)] if content_type else []
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Request(
        "POST", "", q, Headers([*headers, *more]), body, "https://h.example/hooks/1", now
    )


def part(name: str, data: bytes, extra: str = "", headers: str = "") -> bytes:
    head = f'--xyz\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n{headers}\r\n'
    return head.encode() + data + b"\r\n"


def test_headers_are_found_in_any_case_and_keep_their_order_and_duplicates() -> None:
    headers = Headers([("X-A", "1"), ("x-b", "2"), ("x-a", "3")])
    assert headers["x-A"] == headers.get("X-a") == "1"
    assert "X-B" in headers
    assert headers.getall("X-A") == ["1", "3"]
    assert headers.getall("none") == []
    assert headers.raw == (("X-A", "1"), ("x-b", "2"), ("x-a", "3"))
    assert dict(headers) == {"x-a": "1", "x-b": "2"}
    assert len(headers) == 2


def test_a_request_shows_no_secret_in_its_repr() -> None:
    request = make(b"hunter2", "", ("Authorization", "hunter2"), q="token=hunter2")
    assert "hunter2" not in repr(request)
    assert hash(request) == hash(
        make(b"hunter2", "", ("Authorization", "hunter2"), q="token=hunter2")
    )


def test_a_request_is_recorded_and_read_back_exactly() -> None:
    adapter = TypeAdapter(Request)
    for body in (b"text \xc3\xa9", b"\xff\x00", b""):
        request = make(body, FORM, ("X", "1"), ("x", "2"), q="a=1")
        assert adapter.validate_python(adapter.dump_python(request)) == request
        assert adapter.validate_json(adapter.dump_json(request)).headers.raw == request.headers.raw


@pytest.mark.parametrize("body", [b"null", b"0", b'""', b"[]"])
def test_a_body_is_read_once_whatever_it_holds(body: bytes) -> None:
    """One of 10 MB of spaces and `null`, too, which five readers would have the loop read five times."""
    request = make(body)
    found = request.json()
    request.body = b"another"
    assert request.json() is found


def test_json_is_exact() -> None:
    request = make(b'{"id": 9007199254740993, "amount": 1.10}')
    assert request.json() == {"id": 9007199254740993, "amount": Decimal("1.10")}
    assert request.json() is request.json()
    latin = make('{"a":"é"}'.encode("latin-1"), "application/json; charset=ISO-8859-1")
    assert latin.json() == {"a": "é"}


@for_each(
    "body",
    [
        b"",
        b"{",
        b"NaN",
        b"[" * 200000,
        b'{"a":' * 200000,
        b'"\xff"',
        rb'"\ud800"',
        b"9" * 5000,
        b"1e99999999999999999999",
        b"{}{}",
        b"\x00",
        b"<a/>",
        "{}".encode("utf-16"),
    ],
)
def test_a_body_that_is_not_json_is_an_invalid_event(body: bytes) -> None:
    with pytest.raises(InvalidEvent, match=r"The body is not JSON: .*(byte|digits|levels|1e)"):
        make(body).json()


def test_xml_is_read_with_its_namespaces() -> None:
    root = make(
        b'<e:E xmlns:e="urn:e"><e:a t="1">x &amp; <![CDATA[y]]></e:a><!-- c --></e:E>'
    ).xml()
    assert root.tag == "{urn:e}E"
    assert [(a.text, a.get("t")) for a in root] == [("x & y", "1")]
    assert root.nsmap == {"e": "urn:e"}
    utf16 = make('<?xml version="1.0" encoding="utf-16"?><l>é</l>'.encode("utf-16"))
    assert utf16.xml().text == "é"


def test_xml_is_read_up_to_its_limits() -> None:
    assert len(make(b"<a>" + b"<b/>" * 99_999 + b"</a>").xml()) == 99_999
    copy.deepcopy(make(b"<a>" * 64 + b"</a>" * 64).xml())


LAUGHS = b'<!DOCTYPE l [<!ENTITY l0 "lol">' + b"".join(
    b'<!ENTITY l%d "%s">' % (i, b"&l%d;" % (i - 1) * 10) for i in range(1, 10)
)


@for_each(
    ("body", "why"),
    [
        (b"", "not XML"),
        (b"<a", "not XML"),
        (b"<a></b>", "not XML"),
        (b"<a/>x", "not XML"),
        (b"<a/><b/>", "not XML"),
        (b"\x00", "not XML"),
        (b"<a>\xff</a>", "not XML"),
        (b"{}", "not XML"),
        (b'<?xml version="1.0" encoding="bogus"?><a/>', "not XML"),
        (b"<l>&undefined;</l>", "not XML"),
        (LAUGHS + b"]><l>&l9;</l>", "not XML|document type"),
        (LAUGHS + b']><l a="&l9;"/>', "not XML|document type"),
        (b'<!DOCTYPE l [<!ENTITY a "' + b"a" * 50_000 + b'">]><l>' + b"&a;" * 9999, "XML"),
        (b'<!DOCTYPE l [<!ENTITY x SYSTEM "file:///etc/passwd">]><l>&x;</l>', "document type"),
        (b'<!DOCTYPE l SYSTEM "http://127.0.0.1:9/x.dtd"><l/>', "document type"),
        ('<?xml version="1.0" encoding="utf-16"?><!DOCTYPE l><l/>'.encode("utf-16"), "type"),
        (b"<a>" * 65 + b"</a>" * 65, "64 levels"),
        (b"<a>" * 200_000 + b"</a>" * 200_000, "64 levels|not XML"),
        (b"<a>" + b"<b/>" * 1_000_000 + b"</a>", "more than 100000"),
        (b"<a " + b"".join(b'a%d="" ' % i for i in range(200_000)) + b"/>", "more than 100000"),
    ],
    ids=short,
)
def test_hostile_xml_is_an_invalid_event(body: bytes, why: str) -> None:
    with pytest.raises(InvalidEvent, match=why):
        make(body, "text/xml").xml()


def test_xml_fetches_no_file() -> None:
    body = b'<a xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="/etc/passwd"/></a>'
    assert "root:" not in "".join(make(body).xml().itertext())


def test_a_urlencoded_form_keeps_every_value() -> None:
    request = make(b"a=1&a=2&b=%C3%A9+x&empty=&payload=%7B%7D", FORM)
    assert request.form() == {"a": ["1", "2"], "b": ["é x"], "empty": [""], "payload": ["{}"]}
    assert request.files() == []


def test_a_multipart_form_has_fields_and_files_whose_names_are_data() -> None:
    body = (
        part("a", "é".encode())
        + part("a", b"2")
        + part(
            "f", b"\x00\xff\r\n--xy", '; filename="../../etc/passwd"', "Content-Type: image/png\r\n"
        )
        + b"--xyz--\r\n"
    )
    request = make(body, MULTIPART)
    assert request.form() == {"a": ["é", "2"]}
    [file] = request.files()
    assert (file.form_field, file.name, file.content_type) == ("f", "../../etc/passwd", "image/png")
    assert file.data == b"\x00\xff\r\n--xy"


@for_each(
    ("body", "content_type", "why"),
    [
        (b"{}", "application/json", "no form"),
        (b"a=1", "", "no form"),
        (b"a=\xff", FORM, "not UTF-8"),
        (b"a=%ff", FORM, "not UTF-8"),
        (b"a&" * 1001, FORM, "more than 1000"),
        (b"", MULTIPART, "cut off"),
        (b"x", MULTIPART, "malformed"),
        (part("a", b"1"), MULTIPART, "cut off"),
        (b"--xyz\r\n", "multipart/form-data", "no boundary"),
        (b"--xyz\r\n", "multipart/form-data; boundary=" + "b" * 5000, "malformed"),
        (part("a", b"1") * 201 + b"--xyz--", MULTIPART, "more than 200 parts"),
        (part("a", b"1", "", "X: " + "y" * 9000 + "\r\n") + b"--xyz--", MULTIPART, "malformed"),
        (part("a", b"1", "", "X: y\r\n" * 500) + b"--xyz--", MULTIPART, "malformed"),
        (b"--xyz\r\n\r\nx\r\n--xyz--", MULTIPART, "no name"),
        (part("a", b"\xff") + b"--xyz--", MULTIPART, "'a'.*not utf-8"),
        (
            part("a", b"", "", "Content-Type: multipart/mixed; boundary=q\r\n") + b"--xyz--",
            MULTIPART,
            "itself multipart",
        ),
        (
            part("a", b"", "", "Content-Transfer-Encoding: base64\r\n") + b"--xyz--",
            MULTIPART,
            "encoded",
        ),
        (
            part("a", b"", "", "Content-Type: text/plain; charset=zlib\r\n") + b"--xyz--",
            MULTIPART,
            "charset",
        ),
    ],
    ids=short,
)
def test_a_hostile_form_is_an_invalid_event(body: bytes, content_type: str, why: str) -> None:
    with pytest.raises(InvalidEvent, match=why):
        make(body, content_type).form()


def test_three_thousand_nested_multiparts_are_refused() -> None:
    nested = b"".join(
        b"--b%d\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n" % (i, i + 1)
        for i in range(3000)
    )
    with pytest.raises(InvalidEvent):
        make(nested, "multipart/form-data; boundary=b0").files()


@for_each("content_type", ["application/json", FORM, MULTIPART, "", "text/plain"])
def test_a_body_that_names_files_never_makes_one(content_type: str) -> None:
    bodies = [THEFT, b"files[x][filepath]=/etc/passwd&files=%2Fetc%2Fpasswd"]
    bodies.append(part("files", THEFT) + part("x.filepath", b"/etc/passwd") + b"--xyz--")
    for body in bodies:
        with contextlib.suppress(InvalidEvent):
            assert make(body, content_type).files() == []


def test_text_is_read_in_the_senders_charset() -> None:
    assert make("é".encode()).text == "é"
    assert make(b"\xef\xbb\xbfx", "text/plain").text == "x"
    assert make("é".encode("latin-1"), 'text/plain; Charset="ISO-8859-1"').text == "é"
    for charset in ("unicode_escape", "idna", "zlib", "punycode", "no-such", "\0", "é", "utf-7"):
        with pytest.raises(InvalidEvent, match="charset"):
            _ = make(b"x", f"text/plain; charset={charset}").text
    with pytest.raises(InvalidEvent, match="byte 1"):
        _ = make(b"x\xff").text


def test_content_type_and_query_are_read_apart() -> None:
    request = make(b"", "Text/HTML ; charset=utf-8", q="a=1&a=2&b=%20&c")
    assert request.content_type == "text/html"
    assert make().content_type == ""
    assert request.params == {"a": "1", "b": " ", "c": ""}
    with pytest.raises(InvalidEvent, match="query"):
        _ = make(q="a=%ff").params


PICKED = b"""{"data": {"id": 12345678901234567890123, "a/b": "s", "m~n": 1.10, "": "e", "t": true,
    "null": null, "list": [{"id": "first"}], "none": "", "o": {}}, "0": "zero"}"""


@for_each(
    ("path", "value"),
    [
        ("/data/id", "12345678901234567890123"),
        ("/data/a~1b", "s"),
        ("/data/m~0n", "1.10"),
        ("/data/", "e"),
        ("/data/t", "true"),
        ("/data/list/0/id", "first"),
        ("/0", "zero"),
        ("/data/null", None),
        ("/data/none", None),
        ("/data/o", None),
        ("/data/list", None),
        ("/data/list/1", None),
        ("/data/list/-", None),
        ("/data/list/-1/id", None),
        ("/data/list/00/id", None),
        ("/data/list/99999999999999999999", None),
        ("/data/id/x", None),
        ("/nothing/here", None),
        ("", None),
    ],
    ids=short,
)
def test_a_pointer_picks_scalars_as_text(path: str, value: str | None) -> None:
    assert pointer(path)(make(PICKED)) == value


def test_pickers_pick_nothing_where_there_is_nothing() -> None:
    request = make(b"<no json>", "", ("Webhook-Id", "m1"), ("Empty", ""), q="id=7&e=")
    assert header("webhook-id")(request) == "m1"
    assert header("empty")(request) is header("absent")(request) is None
    assert query("id")(request) == "7"
    assert query("e")(request) is query("x")(request) is query("x")(make(q="x=%ff")) is None
    assert pointer("/id")(request) is None
    assert constant("all")(request) == "all"


def test_a_malformed_pointer_is_the_authors_mistake() -> None:
    for path in ("data/id", "$.data", "/a~2", "/", "/id ", "/ id"):
        with pytest.raises(DefinitionError, match="not a JSON pointer"):
            pointer(path)
    with pytest.raises(DefinitionError, match=r"write /data/id$"):
        pointer(" /data/id ")


def test_a_name_that_no_request_has_is_the_authors_mistake() -> None:
    for name in ("", " X-Id", "X Id", "X-Id:", "X-Id,X-B"):
        with pytest.raises(DefinitionError, match="not the name of a header"):
            header(name)
    for name in ("", " ", " id", "id "):
        with pytest.raises(DefinitionError, match="not the name of a parameter"):
            query(name)
    assert query("order id")(make(q="order+id=7")) == "7"


@given(st.binary(max_size=200), st.sampled_from([FORM, MULTIPART, "text/xml", "\ud800;é=\xff"]))
def test_any_body_is_a_value_or_an_invalid_event(body: bytes, content_type: str) -> None:
    request = make(body, content_type)
    readers: list[Any] = [request.json, request.xml, request.form, request.files]
    for read in [*readers, lambda: request.text]:
        with contextlib.suppress(InvalidEvent):
            read()
    assert pointer("/a")(request) is None or body.startswith(b"{")


@given(st.binary(max_size=2000))
def test_what_was_compressed_comes_back(data: bytes) -> None:
    raw = zlib.compressobj(wbits=-15)
    assert decompress(gzip.compress(data, mtime=0), "gzip", 2000) == data
    assert (
        decompress(gzip.compress(data, mtime=0) + gzip.compress(data, mtime=0), "X-GZIP", 4000)
        == data * 2
    )
    assert decompress(zlib.compress(data), "deflate", 2000) == data
    assert decompress(raw.compress(data) + raw.flush(), "deflate", 2000) == data
    assert decompress(data, "", 2000) == decompress(data, "identity", 2000) == data


def test_a_decompression_bomb_stops_at_the_cap() -> None:
    packer = zlib.compressobj(wbits=31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(200)) + packer.flush()
    assert len(bomb) < 300_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(Rejected, match="larger than") as caught:
        decompress(bomb, "gzip", 6_000_000)
    assert caught.value.status == 413
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB
    assert len(decompress(gzip.compress(bytes(1000), mtime=0), "gzip", 1000)) == 1000


@for_each(
    ("body", "encoding", "status"),
    [
        (bytes(11), "", 413),
        (gzip.compress(bytes(11), mtime=0), "gzip", 413),
        (zlib.compress(bytes(11)), "deflate", 413),
        (gzip.compress(b"x", mtime=0), "br", 415),
        (gzip.compress(b"x", mtime=0), "gzip, gzip", 415),
        (b"", "gzip", 400),
        (b"plain", "gzip", 400),
        (b"\xff\xff", "deflate", 400),
        (gzip.compress(b"x", mtime=0)[:-3], "gzip", 400),
        (gzip.compress(b"x", mtime=0)[:-8] + bytes(8), "gzip", 400),
        (gzip.compress(b"x", mtime=0) + b"tail", "gzip", 400),
        (zlib.compress(b"x") + b"tail", "deflate", 400),
        (gzip.compress(b"", mtime=0) * 200, "gzip", 400),
    ],
    ids=short,
)
def test_what_cannot_be_decompressed_is_rejected(body: bytes, encoding: str, status: int) -> None:
    with pytest.raises(Rejected) as caught:
        decompress(body, encoding, 10)
    assert caught.value.status == status
