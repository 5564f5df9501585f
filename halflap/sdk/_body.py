"""The bodies of requests, read without trusting them: XML, forms, compressed bytes.

Everything here is bounded: in depth, in number and in bytes.
"""

from __future__ import annotations

import codecs
import dataclasses
import zlib
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import parse_qsl

from lxml import etree as _untyped  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType]
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, MultipartState, parse_options_header

from halflap.errors import InvalidEvent, Rejected
from halflap.sdk.schema import File

etree = cast(Any, _untyped)

MAX_XML_DEPTH = 64
MAX_XML_ELEMENTS = 100_000
MAX_FIELDS = 1_000
MAX_PARTS = 200
MAX_PART_HEADERS = 20
MAX_PART_HEADER = 8_192
MAX_MEMBERS = 100

_CHARSETS = frozenset(
    [
        "ascii",
        *("utf-8", "utf-16", "utf-16-le", "utf-16-be"),
        *(f"iso8859-{part}" for part in (*range(1, 12), *range(13, 17))),
        *(f"cp{page}" for page in range(1250, 1259)),
        *("koi8-r", "koi8-u"),
        *("shift_jis", "cp932", "euc_jp", "iso2022_jp"),
        *("gb2312", "gbk", "gb18030", "big5", "euc_kr"),
    ]
)
"""Charsets that mail and web apps send; Python knows others that are slow or no charsets at all."""


@dataclass(frozen=True, slots=True)
class UploadedFile(File):
    """A file of a multipart form. `name` is what the sender calls it: never use it as a path."""

    form_field: str = ""


@dataclass(slots=True)
class FormBody:
    """A form: its text fields, and its files."""

    fields: dict[str, list[str]] = dataclasses.field(default_factory=dict[str, list[str]])
    files: list[UploadedFile] = dataclasses.field(default_factory=list[UploadedFile])


def text(body: bytes, content_type: str) -> str:
    """The body as text, in the charset that its content type names, else UTF-8."""
    charset = parameters(content_type).get("charset", "") or "utf-8"
    known = usual_charset(charset)
    if not known:
        raise InvalidEvent(f"The body's charset is {charset!r}, which is not read.")
    try:
        return body.decode("utf-8-sig" if known == "utf-8" else known)
    except UnicodeDecodeError as error:
        raise InvalidEvent(
            f"The body is not {known}: {error.reason} (byte {error.start})."
        ) from error


def usual_charset(name: str) -> str:
    """Return Python's name of a charset, if it is a usual one, else an empty text."""
    with suppress(LookupError, ValueError):
        known = codecs.lookup(name).name
        return known if known in _CHARSETS else ""
    return ""


def parameters(content_type: str) -> dict[str, str]:
    """The parameters of a content type, such as its charset; none where it is malformed."""
    try:
        _, options = parse_options_header(content_type)
    except ValueError:
        return {}
    return {
        key.decode("latin-1").lower(): value.decode("latin-1") for key, value in options.items()
    }


_SAFE: dict[str, Any] = {
    "resolve_entities": False,
    "no_network": True,
    "load_dtd": False,
    "huge_tree": False,
    "remove_comments": True,
    "remove_pis": True,
}


def xml(body: bytes) -> Any:
    """The root element of an XML body: no document type, no entities, nothing fetched."""
    parser: Any = etree.XMLPullParser(events=("start", "end"), **_SAFE)
    nodes = depth = 0
    root: Any = None
    try:
        for start in range(0, len(body), 4096):
            parser.feed(body[start : start + 4096])
            for event, element in parser.read_events():
                if event == "end":
                    depth -= 1
                    continue
                if root is None:
                    root = element
                    if element.getroottree().docinfo.doctype:
                        raise InvalidEvent(
                            "The body is XML with a document type, which is not read."
                        )
                depth += 1
                nodes += 1 + len(element.attrib)
                if depth > MAX_XML_DEPTH:
                    raise InvalidEvent(_xml_problem(element, f"deeper than {MAX_XML_DEPTH} levels"))
                if nodes > MAX_XML_ELEMENTS:
                    more = f"more than {MAX_XML_ELEMENTS} elements and attributes"
                    raise InvalidEvent(_xml_problem(element, more))
        return parser.close()
    except (etree.XMLSyntaxError, ValueError, LookupError) as error:
        raise InvalidEvent(f"The body is not XML: {error}.") from error


def parse_xml(body: bytes) -> Any:
    """Return the root of an XML body whose bounds were checked by `xml` in another process.

    For a thread: the parser frees the interpreter's lock.
    """
    return etree.fromstring(body, etree.XMLParser(**_SAFE))


def _xml_problem(element: Any, problem: str) -> str:
    return f"The body is XML of {problem} (line {element.sourceline})."


def urlencoded(text: str, where: str) -> list[tuple[str, str]]:
    """The pairs of a urlencoded form or query, in order."""
    try:
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except UnicodeDecodeError as error:
        raise InvalidEvent(f"The {where} has escapes that are not UTF-8.") from error
    except ValueError as error:
        raise InvalidEvent(f"The {where} has more than {MAX_FIELDS} fields.") from error


def form(body: bytes, content_type: str) -> FormBody:
    """A urlencoded or multipart form; its content type alone decides which."""
    kind = content_type.partition(";")[0].strip().lower()
    read = FormBody()
    if kind == "application/x-www-form-urlencoded":
        try:
            pairs = urlencoded(body.decode(), "form")
        except UnicodeDecodeError as error:
            raise InvalidEvent(f"The form is not UTF-8 (byte {error.start}).") from error
        for name, value in pairs:
            read.fields.setdefault(name, []).append(value)
        return read
    if kind == "multipart/form-data":
        boundary = parameters(content_type).get("boundary", "")
        if not boundary:
            raise InvalidEvent("The multipart form's content type names no boundary.")
        _read_multipart(body, boundary.encode("latin-1"), read)
        return read
    raise InvalidEvent(
        f"The body is no form: its content type is {kind or 'missing'!r}; read it as json or text."
    )


def _read_multipart(body: bytes, boundary: bytes, into: FormBody) -> None:
    headers: dict[str, str] = {}
    name, value, data = bytearray(), bytearray(), bytearray()
    parts = 0

    def part_begins() -> None:
        nonlocal parts
        parts += 1
        if parts > MAX_PARTS:
            raise InvalidEvent(f"The form has more than {MAX_PARTS} parts.")
        headers.clear()
        data.clear()

    def header_ends() -> None:
        headers[name.decode("latin-1").lower()] = value.decode("latin-1")
        name.clear()
        value.clear()

    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": part_begins,
                "on_header_field": lambda chunk, start, end: name.extend(chunk[start:end]),
                "on_header_value": lambda chunk, start, end: value.extend(chunk[start:end]),
                "on_header_end": header_ends,
                "on_part_data": lambda chunk, start, end: data.extend(chunk[start:end]),
                "on_part_end": lambda: _keep_part(headers, bytes(data), parts, into),
            },
            max_header_count=MAX_PART_HEADERS,
            max_header_size=MAX_PART_HEADER,
        )
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise InvalidEvent(f"The multipart form is malformed: {error} (part {parts}).") from error
    if parser.state != MultipartState.END:
        raise InvalidEvent(f"The multipart form is cut off (part {parts}).")


def _keep_part(headers: dict[str, str], data: bytes, number: int, into: FormBody) -> None:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind.startswith("multipart/"):
        raise InvalidEvent(f"Part {number} of the form is itself multipart, which is not read.")
    encoding = headers.get("content-transfer-encoding", "binary").strip().lower()
    if encoding not in ("binary", "7bit", "8bit"):
        raise InvalidEvent(f"Part {number} of the form is encoded as {encoding!r}: not read.")
    disposition = parameters(headers.get("content-disposition", ""))
    if "name" not in disposition:
        raise InvalidEvent(f"Part {number} of the form has no name.")
    field_name = _utf8_or_latin1(disposition["name"])
    if "filename" in disposition:
        file_name = _utf8_or_latin1(disposition["filename"])
        into.files.append(
            UploadedFile(data, file_name, kind or "application/octet-stream", field_name)
        )
        return
    try:
        content = text(data, headers.get("content-type", ""))
    except InvalidEvent as error:
        raise InvalidEvent(f"Field {field_name!r} of the form: {error}") from error
    into.fields.setdefault(field_name, []).append(content)


def _utf8_or_latin1(latin1: str) -> str:
    try:
        return latin1.encode("latin-1").decode()
    except UnicodeDecodeError:
        return latin1


def decompress(body: bytes, encoding: str, cap: int) -> bytes:
    """Undo a Content-Encoding (gzip, deflate or identity), never making more than `cap` bytes.

    Raises `Rejected`: 413 where the body is larger than the cap, 415 for another encoding, 400
    where it is corrupt or cut off.
    """
    match encoding.strip().lower():
        case "" | "identity":
            if len(body) > cap:
                raise Rejected(_TOO_LARGE.format(cap), status=413)
            return body
        case "gzip" | "x-gzip":
            return _inflate(body, 31, cap)
        case "deflate":
            # Named for zlib's format; some senders leave its two header bytes out.
            zlib_header = len(body) > 1 and body[0] & 15 == 8 and (body[0] << 8 | body[1]) % 31 == 0
            return _inflate(body, 15 if zlib_header else -15, cap)
        case _:
            raise Rejected("The body's Content-Encoding is not gzip or deflate.", status=415)


_TOO_LARGE = "The body is larger than {} bytes."


def _inflate(body: bytes, window: int, cap: int) -> bytes:
    made = bytearray()
    rest = body
    for _ in range(MAX_MEMBERS):
        stream = zlib.decompressobj(window)
        try:
            while not stream.eof and len(made) <= cap:
                piece = stream.decompress(rest, min(cap + 1 - len(made), 1 << 20))
                rest = stream.unconsumed_tail
                if not piece and not rest:
                    break
                made += piece
        except zlib.error as error:
            raise Rejected(f"The body is not what its Content-Encoding says: {error}.", status=400)
        if len(made) > cap:
            raise Rejected(_TOO_LARGE.format(cap), status=413)
        if not stream.eof:
            raise Rejected("The compressed body is cut off.", status=400)
        rest = stream.unused_data
        if not rest:
            return bytes(made)
        if window != 31:
            break
    raise Rejected("The compressed body is followed by other bytes.", status=400)
