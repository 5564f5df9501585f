"""Mails as people, programs and attackers write them."""

from __future__ import annotations

import email.message
from collections.abc import Callable
from datetime import UTC, datetime
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from typing import Any

import pytest

from halflap import InvalidEvent, Request, sendgrid
from halflap.components.email import delivery
from halflap.components.email.message import MOST_DEPTH, MOST_PARTS, Mail, read_mail
from halflap.sdk.request import Headers
from halflap.testing import Receive
from tests.cases import for_each

HEAD = b'From: Ada <ada@test>\r\nTo: b@test, "B, C" <c@test>\r\nSubject: Hi\r\nMessage-ID: <1@test>\r\n'


def mail(head: bytes, body: bytes = b"text\r\n") -> Mail:
    return read_mail(HEAD + head + b"\r\n" + body)


def multipart(*parts: bytes, boundary: bytes = b"b", kind: bytes = b"mixed") -> Mail:
    inner = b"".join(b"--" + boundary + b"\r\n" + each + b"\r\n" for each in parts)
    head = b"Content-Type: multipart/" + kind + b'; boundary="' + boundary + b'"\r\n'
    return mail(head, inner + b"--" + boundary + b"--\r\n")


def test_a_plain_mail_is_read() -> None:
    found = mail(b"Date: Thu, 1 Jan 2026 13:00:00 +0100\r\nReply-To: r@test\r\n", b"Hi,\r\nyou\r\n")
    assert (found.subject, found.message_id, found.text) == ("Hi", "1@test", "Hi,\nyou\n")
    assert found.sender is not None
    assert (found.sender.name, found.sender.address) == ("Ada", "ada@test")
    assert [(each.name, each.address) for each in found.to] == [("", "b@test"), ("B, C", "c@test")]
    assert found.date == datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert found.headers["reply-to"] == ["r@test"]


def test_what_pythons_own_composer_writes_is_read() -> None:
    made = email.message.EmailMessage()
    made["From"], made["Subject"] = "Zoë <zoe@test>", "Grüße 🚚"
    made.set_content("Schöne Grüße\n")
    made.add_alternative("<p>Schöne Grüße</p>", subtype="html")
    made.add_attachment(
        b"\x00\x01", maintype="application", subtype="pdf", filename="Rechnung ü.pdf"
    )
    found = read_mail(bytes(made))
    assert (found.subject, found.text) == ("Grüße 🚚", "Schöne Grüße\n")
    assert found.html.strip() == "<p>Schöne Grüße</p>"
    assert found.sender is not None
    assert found.sender.name == "Zoë"
    assert [(each.name, each.content_type, each.data) for each in found.attachments] == [
        ("Rechnung ü.pdf", "application/pdf", b"\x00\x01")
    ]


@for_each(
    ("head", "body", "text"),
    [
        (b"Content-Type: text/plain; charset=iso-8859-1\r\n", b"Gr\xfc\xdfe", "Grüße"),
        (b"Content-Type: text/plain; charset=shift_jis\r\n", "日本".encode("shift_jis"), "日本"),
        (b"Content-Type: text/plain; charset=utf-7\r\n", b"+2D3eTQ-", "\U0001f64d"),
        (b"Content-Type: text/plain; charset=nonsense\r\n", "Grüße".encode(), "Grüße"),
        (b"Content-Type: text/plain; charset=rot13\r\n", b"abc", "abc"),
        (b"Content-Type: text/plain; charset=idna\r\n", b"abc", "abc"),
        (b"Content-Type: text/plain; charset=utf-8\r\n", b"a\xff\x00b", "a�b"),
        (b"Content-Transfer-Encoding: base64\r\n", b"YWJj!!!", "abc"),
        (b"Content-Transfer-Encoding: quoted-printable\r\n", b"a=3Db=\r\nc", "a=bc"),
        (b"Content-Transfer-Encoding: nonsense\r\n", b"abc", "abc"),
        (b"Content-Type: ;;;=\r\n", b"abc", "abc"),
        (b"", b"", ""),
    ],
)
def test_odd_texts_are_read_as_well_as_can_be(head: bytes, body: bytes, text: str) -> None:
    assert mail(head, body).text == text


@for_each(
    ("given", "name"),
    [
        (b'"../../etc/passwd"', "passwd"),
        (b'"C:\\\\Windows\\\\win.ini"', "win.ini"),
        (b'"..\\\\..\\\\x"', "x"),
        (b'"a\x00b\x1b[31m.txt"', "ab[31m.txt"),
        (b'".."', "file"),
        (b'"/"', "file"),
        (b'"' + b"a" * 5_000 + b'.txt"', "a" * 196 + ".txt"),
        (b'"=?utf-8?q?Gr=C3=BC=C3=9Fe=2Etxt?="', "Grüße.txt"),
        (b'"=?utf-8?q?=2E=2E=2Fx?="', "x"),
    ],
)
def test_the_name_of_an_attachment_is_never_a_path(given: bytes, name: str) -> None:
    head = b"Content-Type: text/plain\r\nContent-Disposition: attachment; filename=" + given
    (found,) = multipart(head + b"\r\n\r\nx").attachments
    assert (found.name, found.data) == (name, b"x")


def test_parts_are_sorted_out() -> None:
    html = b"Content-Type: text/html\r\n\r\n<b>first</b>"
    second = b"Content-Type: text/html\r\n\r\n<b>second</b>"
    image = b"Content-Type: image/png\r\nContent-ID: <i>\r\n\r\nPNG"
    forwarded = b"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ninner text"
    found = multipart(b"\r\nplain", html, second, image, forwarded)
    assert (found.text, found.html) == ("plain", "<b>first</b>")
    kinds = [(each.content_type, each.data) for each in found.attachments]
    assert kinds[:2] == [("text/html", b"<b>second</b>"), ("image/png", b"PNG")]
    assert kinds[2][0] == "message/rfc822"
    assert b"inner text" in kinds[2][1]


PARTED = b"A: b\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
SLOW = b'Content-Type: text/plain; a="' + b";" * 9_000
"""The email package reads its parameters in a time that is the square of its length."""


def nested(levels: int) -> bytes:
    made: Any = MIMEText("deep")
    for number in range(levels):
        outer = MIMEMultipart("mixed", f"b{number}")
        outer.attach(made)
        made = outer
    return bytes(made)


@for_each(
    "raw",
    [
        lambda: b"",
        lambda: b"no headers at all",
        lambda: b"\r\n\r\nbody",
        lambda: b"X: " + b"a" * 300_000 + b"\r\n\r\n",
        lambda: nested(MOST_DEPTH + 2),
        lambda: b"Content-Type: multipart/mixed; boundary=x\r\n" * 3_000 + b"\r\n--x\r\n" * 3_000,
        lambda: (
            b"A: b\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
            + b"--x\r\n\r\na\r\n" * (MOST_PARTS + 1)
            + b"--x--"
        ),
        lambda: b"A: b\r\n" + SLOW + b"\r\n\r\n",
        lambda: PARTED + b"--x\r\n" + SLOW + b"\r\n\r\na\r\n--x--",
        lambda: PARTED + b"--x\r\n" + SLOW.replace(b"Type", b"Disposition") + b"\r\n\r\na\r\n--x--",
        lambda: PARTED + b"--x\r\nContent-Type: message/rfc822\r\n\r\n" + SLOW + b"\r\n\r\na",
        lambda: PARTED + (b"--x\r\nX: " + b"a" * 3_000 + b"\r\n\r\na\r\n") * 100,
        lambda: b"Content-Type: message/delivery-status\r\n\r\n" + b"\r\n" * 5_000,
    ],
)
def test_what_goes_too_far_is_no_event(raw: Callable[[], bytes]) -> None:
    with pytest.raises(InvalidEvent):
        read_mail(raw())


@for_each(
    "head",
    [
        b"To: " + b"(" * 5_000 + b"\r\n",
        b"Cc: " + b"<" * 5_000 + b"\r\n",
        b"Subject: " + b"=?utf-8?q?a?=" * 2_000 + b"\r\n",
        b"Subject: =?utf-8?b?!!!?= =?idna?q?x?= =?x?y?z?=\r\n",
        b"Date: 99999999999999999999\r\n",
        b"Date: Thu, 32 Foo 2026 99:99:99 +9999\r\n",
        b"Content-Type: text/plain; name*0*=utf-8''%FF; name*2=x\r\n",
        b"X-Odd: a\r\n b\r\n\tc\r\n",
        b"Content-Type: message/rfc822\r\n",
        b"Content-Type: message/delivery-status\r\n",
        b'Content-Type: multipart/mixed; boundary=""\r\n',
        b"Content-Type: multipart/mixed\r\n",
        b"\xff\xfe: \xff\r\n",
    ],
)
def test_odd_headers_never_break_the_reading(head: bytes) -> None:
    found = mail(head)
    assert found.message_id == "1@test"
    assert not any("\n" in value for each in found.headers.values() for value in each)


def request(raw: bytes) -> Request:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return Request("MAIL", "", "", Headers(()), raw, "", at)


def test_a_long_list_of_recipients_is_read() -> None:
    many = b",\r\n ".join(b"person%d@long.example.com" % n for n in range(1_000))
    found = mail(b"Cc: " + many + b"\r\n")
    assert found.cc[0].address == "person0@long.example.com"
    assert len(found.cc) > 250


def test_a_mail_is_known_by_its_id_and_what_was_written() -> None:
    first = delivery(request(HEAD + b"\r\ntext"))
    assert first is not None
    assert first.startswith("<1@test>#")
    assert delivery(request(b"Received: from relay\r\n" + HEAD + b"\r\ntext")) == first
    assert delivery(request(HEAD + b"\r\nother")) != first
    assert delivery(request(b"A: b\r\n\r\ntext")) == delivery(request(b"C: d\r\n\r\ntext"))
    assert delivery(request(b"")) is None


async def test_a_test_gives_a_flow_a_mail(receive: Receive) -> None:
    from halflap import email as component

    received = await receive(
        component.received, HEAD + b"\r\ntext", method="MAIL", query="to=x%40y"
    )
    (event,) = await received.events()
    assert (event.subject, event.envelope_to, event.text) == ("Hi", "x@y", "text")


def form(*fields: tuple[str, bytes], boundary: bytes = b"xYzZY") -> bytes:
    made = b""
    for name, value in fields:
        made += b"--" + boundary + b'\r\nContent-Disposition: form-data; name="' + name.encode()
        made += b'"' + (b"" if name.startswith("attachment") else b"\r\n\r\n") + value + b"\r\n"
    return made + b"--" + boundary + b"--\r\n"


PARSED = (
    ("headers", HEAD + b"Date: Thu, 1 Jan 2026 12:00:00 +0000\n"),
    ("subject", "Grüße".encode("iso-8859-1")),
    ("text", b"Sch\xf6n\r\n"),
    ("html", "<b>Schön</b>".encode()),
    ("charsets", b'{"subject": "iso-8859-1", "text": "iso-8859-1", "html": "UTF-8"}'),
    ("envelope", b'{"to": ["in@customer.test"], "from": "bounce@test"}'),
    (
        "attachment1",
        b'; filename="../a.bin"\r\nContent-Type: application/x-a\r\n\r\n\x00\xff\r\n\n\x01',
    ),
)


@pytest.mark.parametrize("raw", [False, True])
async def test_a_mail_that_sendgrid_posts_is_read(receive: Receive, raw: bool) -> None:
    whole = (("email", HEAD + b"\r\nSch\xc3\xb6n\n"), PARSED[5])
    body = form(*(whole if raw else PARSED))
    headers = {"Content-Type": "multipart/form-data; boundary=xYzZY"}
    received = await receive(sendgrid.inbound, body, headers=headers)
    assert received.status == 200
    (found,) = await received.events()
    assert (found.message_id, found.text) == ("1@test", "Schön\n")
    assert (found.envelope_from, found.envelope_to) == ("bounce@test", "in@customer.test")
    assert found.sender.address == "ada@test"
    if not raw:
        assert (found.subject, found.html) == ("Grüße", "<b>Schön</b>")
        assert found.date == datetime(2026, 1, 1, 12, tzinfo=UTC)
        (file,) = found.attachments
        assert (file.name, file.content_type) == ("a.bin", "application/x-a")
        assert file.data == b"\x00\xff\r\n\n\x01"
    again = form(*(whole if raw else PARSED), boundary=b"another")
    other = {"Content-Type": "multipart/form-data; boundary=another"}
    assert (await receive(sendgrid.inbound, again, headers=other)).duplicates == 1


@for_each(
    ("kind", "body"),
    [
        ("multipart/form-data; boundary=xYzZY", form(("subject", b"no mail"))),
        ("multipart/form-data; boundary=xYzZY", form(("email", b"no headers"))),
        ("multipart/form-data", form(*PARSED)),
        ("application/json", b'{"email": {"filepath": "/etc/passwd"}}'),
        ("application/x-www-form-urlencoded", b"email=From%3A+a"),
        ("multipart/form-data; boundary=xYzZY", form(*PARSED)[:40]),
        ("multipart/form-data; boundary=xYzZY", form(*[("email", b"A: b\r\n\r\n")] * 201)),
        ("multipart/form-data; boundary=xYzZY", form(("email", b"A: b\r\n" + SLOW + b"\r\n\r\n"))),
        (
            "multipart/form-data; boundary=xYzZY",
            form(*PARSED, ("attachment1", SLOW[24:] + b"\r\n\r\na")),
        ),
    ],
)
async def test_what_is_no_mail_of_sendgrid_is_kept_and_fails(
    receive: Receive, kind: str, body: bytes
) -> None:
    received = await receive(sendgrid.inbound, body, headers={"Content-Type": kind})
    assert (received.status, len(received.started)) == (200, 1)
    with pytest.raises(InvalidEvent):
        await received.events()
