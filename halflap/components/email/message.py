"""Read a mail that anybody may have sent: bounded in depth and parts, and nothing in it is a path."""

from __future__ import annotations

import codecs
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from email import message_from_bytes
from email.header import decode_header
from email.message import Message
from email.policy import Compat32, Policy
from email.utils import getaddresses, parsedate_to_datetime
from typing import TYPE_CHECKING, Any, cast

from halflap import File, InvalidEvent, Model

MOST_HEADERS = 256 * 1024
"""The most bytes of the headers of a mail, those of its parts and of the mails within it too."""
MOST_DEPTH = 20
MOST_PARTS = 200
MOST_PARSED = 2_000
"""The most parts that are parsed, those of the mails within the mail too."""
MOST_BOUNDARIES = 100
LONGEST_HEADER = 8_192
LONGEST_NAME = 200
CHARSETS = (
    "ascii",
    "big5",
    "cp",
    "euc",
    "gb",
    "hz",
    "iso",
    "koi8",
    "latin",
    "mac",
    "shift",
    "utf-",
)
"""The beginnings of the names of charsets that are read: of the others, some are slow, some are none."""

if TYPE_CHECKING:
    Part = Message[str, str]


class MailAddress(Model):
    """An address of a mail, and the name that stands with it: whatever its sender wrote."""

    address: str
    name: str = ""


class Mail(Model):
    """A mail as it came. All of it, its sender too, is what somebody wrote, and proves nothing."""

    message_id: str = ""
    sender: MailAddress | None = None
    to: list[MailAddress] = []
    cc: list[MailAddress] = []
    reply_to: list[MailAddress] = []
    subject: str = ""
    date: datetime | None = None
    text: str = ""
    """Its first plain text; empty where it has none."""

    html: str = ""
    """Its first HTML: not made safe to be shown."""

    attachments: list[File] = []
    headers: dict[str, list[str]] = {}
    """Its headers by their names in lower case, decoded."""

    envelope_from: str = ""
    """The address that the sending server named, to which failures are reported."""

    envelope_to: str = ""
    """The address that it was delivered to."""


def read_mail(raw: bytes) -> Mail:
    """Read a mail; `InvalidEvent` where it goes beyond what is read, or is none."""
    return parse_bounded(raw, mail_of)


def read_posted(content_type: str, body: bytes) -> Mail:
    """Read a mail that a service received and posts as a form, as SendGrid's Inbound Parse does.

    The form has the whole mail as `email`, or its parts, each text in the charset that `charsets` names.
    """
    head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1", "replace")
    return parse_bounded(head + body, mail_of_form)


def mail_of_form(form: Part) -> Mail:
    """Return the mail in a form, which is read as a mail is, as its fields need not be UTF-8."""
    fields: dict[str, bytes] = {}
    files: list[File] = []
    for part in leaves(form):
        field = str(part.get_param("name", "", "content-disposition"))
        if name := file_name(part):
            files.append(File(content_of(part), name, part.get_content_type()))
        else:
            fields.setdefault(field, content_of(part))
    if "email" in fields:
        mail = read_mail(fields["email"])
    elif "headers" in fields:
        charsets = values_of(fields.get("charsets"))
        mail = read_mail(fields["headers"].strip() + b"\r\n\r\n")
        for name in ("subject", "text", "html"):
            if name in fields:
                found = in_charset(fields[name], str(charsets.get(name) or "utf-8"))
                setattr(mail, name, found.replace("\r\n", "\n"))
        mail.attachments = files
    else:
        raise InvalidEvent("The form has no mail: neither a field email nor a field headers.")
    envelope = values_of(fields.get("envelope"))
    named = envelope.get("to")
    to = cast("list[Any]", named) if isinstance(named, list) else []
    mail.envelope_from = str(envelope.get("from") or "")
    mail.envelope_to = str(to[0]) if to else ""
    return mail


def values_of(field: bytes | None) -> dict[str, Any]:
    """Return the JSON object in a field; nothing where it is none."""
    try:
        found: Any = json.loads(field or b"{}")
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


class BoundedPolicy(Compat32):
    """A policy of one parse, which ends in `InvalidEvent` where there is too much to parse.

    The parser reads the parameters of `Content-Type` and its like in a time that is the square of their
    length, of each part as it meets it: so they are measured before.
    """

    parsed: Counter[str]

    def __init__(self) -> None:
        super().__init__(message_factory=self.count_part)
        object.__setattr__(self, "parsed", Counter())  # a policy lets nothing else be set

    def header_source_parse(self, sourcelines: Sequence[str]) -> tuple[str, str]:
        length = sum(map(len, sourcelines))
        self.parsed["headers"] += length
        if self.parsed["headers"] > MOST_HEADERS:
            raise InvalidEvent(f"The mail's headers have more than {MOST_HEADERS:,} bytes.")
        name, value = super().header_source_parse([*sourcelines])
        if length > LONGEST_HEADER and name.lower().startswith("content-"):
            raise InvalidEvent(f"The header {name[:40]} has more than {LONGEST_HEADER:,} bytes.")
        return name, value

    def count_part(self, policy: Policy[Part]) -> Part:
        """Return a new part; `InvalidEvent` where there are too many."""
        self.parsed["parts"] += 1
        if self.parsed["parts"] > MOST_PARSED:
            raise InvalidEvent(f"The mail has more than {MOST_PARSED:,} parts.")
        return Message(policy)


def parse_bounded(raw: bytes, read: Callable[[Part], Mail]) -> Mail:
    """Parse a message and read it; `InvalidEvent` where it is nested too deeply, or has no headers."""
    if raw.lower().count(b"boundary") > MOST_BOUNDARIES:
        raise InvalidEvent(f"The mail has more than {MOST_BOUNDARIES} boundaries.")
    try:
        parsed: Part = message_from_bytes(raw, policy=BoundedPolicy())
        if not parsed.keys():
            raise InvalidEvent("This is no mail: it has no headers.")
        return read(parsed)
    except RecursionError as error:
        raise InvalidEvent("The mail is nested too deeply.") from error


def mail_of(parsed: Part) -> Mail:
    """Return the mail that a parsed message is."""
    headers: dict[str, list[str]] = {}
    for name, value in parsed.items():
        headers.setdefault(name.lower(), []).append(decode_words(str(value)))
    mail = Mail(
        message_id=first(headers, "message-id").strip("<> "),
        subject=first(headers, "subject"),
        sender=next(iter(addresses(parsed, "from")), None),
        to=addresses(parsed, "to"),
        cc=addresses(parsed, "cc"),
        reply_to=addresses(parsed, "reply-to"),
        date=date_of(first(headers, "date")),
        headers=headers,
    )
    texts: dict[str, str] = {}
    for part in leaves(parsed):
        kind, name = part.get_content_type(), file_name(part)
        shown = part.get_content_disposition() != "attachment" and not name
        if shown and kind in ("text/plain", "text/html") and kind not in texts:
            texts[kind] = text_of(part)
        else:
            mail.attachments.append(File(content_of(part), name or "file", kind))
    mail.text, mail.html = texts.get("text/plain", ""), texts.get("text/html", "")
    return mail


def leaves(part: Part, depth: int = 0, count: list[int] | None = None) -> Iterator[Part]:
    """Iterate over the parts that hold something; a mail within the mail is one."""
    count = [0] if count is None else count
    count[0] += 1
    if depth > MOST_DEPTH or count[0] > MOST_PARTS:
        raise InvalidEvent(f"The mail has more than {MOST_PARTS} parts, or {MOST_DEPTH} levels.")
    inner: Any = part.get_payload()
    if part.get_content_maintype() == "multipart" and isinstance(inner, list):
        for each in cast("list[Part]", inner):
            yield from leaves(each, depth + 1, count)
    else:
        yield part


def content_of(part: Part) -> bytes:
    """The bytes of a part, its encoding undone; those of a mail within the mail as it is written."""
    inner: Any = part.get_payload()
    if isinstance(inner, list):
        try:
            return b"\n".join(each.as_bytes() for each in cast("list[Part]", inner))
        except (LookupError, ValueError, TypeError):
            return b""
    try:
        found: Any = part.get_payload(decode=True)
    except (LookupError, ValueError):
        found = None
    if isinstance(found, bytes):
        return found
    return str(inner or "").encode("utf-8", "surrogateescape")


def text_of(part: Part) -> str:
    """The text of a part; what cannot be read in its charset is replaced."""
    return in_charset(content_of(part), str(part.get_param("charset") or "utf-8")).replace(
        "\r\n", "\n"
    )


def in_charset(data: bytes, charset: str) -> str:
    """Return bytes as text in a charset that is read, else as UTF-8; without what no text holds."""
    try:
        name = codecs.lookup(charset.strip("'\" ")[:40]).name
        known = name if name.replace("_", "-").startswith(CHARSETS) else "utf-8"
        found = data.decode(known, "replace")
    except (LookupError, ValueError):
        found = data.decode("utf-8", "replace")
    return found.replace("\0", "")


def decode_words(value: str) -> str:
    """Return a header's value with its encoded words decoded, in one line."""
    plain = re.sub(r"[\r\n]+[ \t]*", " ", value)[:LONGEST_HEADER]
    plain = plain.encode("utf-8", "surrogateescape").decode("utf-8", "replace").replace("\0", "")
    if "=?" not in plain:
        return plain.strip()
    try:
        found = decode_header(plain)
    except (ValueError, LookupError):  # HeaderParseError is one
        return plain.strip()
    pieces = [
        each if isinstance(each, str) else in_charset(each, charset or "latin-1")
        for each, charset in cast("list[tuple[str | bytes, str | None]]", found)
    ]
    return re.sub(r"[\r\n]+", " ", "".join(pieces)).strip()


def addresses(parsed: Part, name: str) -> list[MailAddress]:
    """Return the addresses of a header, as many as can be read."""
    values = [
        re.sub(r"[\r\n]+[ \t]*", " ", str(each))[:LONGEST_HEADER]
        for each in parsed.get_all(name, [])
    ]
    try:
        found = getaddresses(values[:10])
    except (RecursionError, ValueError, IndexError):
        return []
    return [
        MailAddress(address=decode_words(address), name=decode_words(shown))
        for shown, address in found
        if address
    ]


def file_name(part: Part) -> str:
    """Return what the sender calls a part: one name, never a path; empty where it has none."""
    try:
        given = part.get_filename() or ""
    except (LookupError, ValueError, TypeError):
        return "file"
    name = re.split(r"[/\\]", decode_words(given))[-1]
    name = "".join(each for each in name if each.isprintable()).strip(" .")
    return name[-LONGEST_NAME:] or ("file" if given else "")


def date_of(value: str) -> datetime | None:
    """Return a date header in UTC; None where it is none."""
    try:
        found = parsedate_to_datetime(value)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def first(headers: dict[str, list[str]], name: str) -> str:
    """Return the first value of a header; empty where there is none."""
    return next(iter(headers.get(name, ())), "")


def identity_of(mail: bytes) -> str | None:
    """Return a mail's id, and a digest of what stands behind its headers; None where it has neither.

    Servers on the way add headers; what was sent stays. Somebody else's mail of the same id is another.
    """
    head, _, body = mail.partition(b"\r\n\r\n")
    digest = hashlib.sha256(body).hexdigest()[:32]
    for line in head.split(b"\r\n"):
        if line[:11].lower() == b"message-id:":
            return f"{line[11:].strip().decode('ascii', 'replace')[:200]}#{digest}"
    return f"#{digest}" if body else None
