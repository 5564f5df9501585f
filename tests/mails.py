"""Mails as programs and attackers write them, for whatever reads mail: by SMTP and by IMAP."""

from __future__ import annotations

HEAD = b"From: Ada <ada@test>\r\nTo: b@test\r\nSubject: Hi\r\nMessage-ID: <1@test>\r\n"


def parted(*parts: bytes, boundary: bytes = b"b") -> bytes:
    """A mail of parts."""
    inner = b"".join(b"--" + boundary + b"\r\n" + each + b"\r\n" for each in parts)
    head = b'Content-Type: multipart/mixed; boundary="' + boundary + b'"\r\n\r\n'
    return HEAD + head + inner + b"--" + boundary + b"--\r\n"


def attached(name: bytes) -> bytes:
    """A part with a file of a name."""
    head = b"Content-Type: text/plain\r\nContent-Disposition: attachment; filename="
    return head + name + b"\r\n\r\nx"


CORPUS: dict[str, bytes] = {
    "plain": HEAD + b"\r\nHi\r\n",
    "no body": HEAD + b"\r\n",
    "no headers": b"\r\nonly text\r\n",
    "latin-1": HEAD
    + b"Content-Type: text/plain; charset=iso-8859-1\r\n\r\n"
    + "Grüße\r\n".encode("latin-1"),
    "raw utf-8 in headers": b"Subject: "
    + "Grüße 🚚".encode()
    + b"\r\nMessage-ID: <2@test>\r\n\r\nx\r\n",
    "invalid bytes": HEAD + b"Content-Type: text/plain; charset=utf-8\r\n\r\na\xff\xfeb\r\n",
    "nonsense charset": HEAD + b"Content-Type: text/plain; charset=rot13\r\n\r\nabc\r\n",
    "broken base64": HEAD + b"Content-Transfer-Encoding: base64\r\n\r\nYWJj!!!\r\n",
    "a path as a name": parted(b"\r\ntext", attached(b'"../../etc/passwd"')),
    "escapes in a name": parted(attached(b'"a\x1b[31m.txt"')),
    "a file in bytes": parted(b"Content-Type: application/pdf; name=x.pdf\r\n\r\n\x80\x81\xff"),
    "a boundary that never ends": HEAD
    + b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nhi\r\n",
    "a mail within": parted(b"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ninner"),
    "like IMAP's own words": HEAD + b'\r\n)\r\nh1 OK done\r\n* BYE {100}\r\n" \\ "\r\n',
    "like SMTP's own words": HEAD + b"\r\n..\r\nRCPT TO:<x>\r\n",
    "a long line": HEAD + b"\r\n" + b"x" * 300_000 + b"\r\n",
    "many parts": parted(*[b"\r\nx"] * 300),
    "deep": HEAD
    + b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(60)
    )
    + b"\r\nx\r\n",
}
"""By name; all of them end their lines as mails do."""
