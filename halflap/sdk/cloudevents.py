"""CloudEvents 1.0: an event's attributes and data, and how they are written in messages.

An event is carried in one of three modes: *binary* (attributes in headers, the data is the body),
*structured* (one JSON document), and *batch* (an array of such documents). Reading and writing are
pure, and serve HTTP (headers `ce-id`, percent-encoded) and Kafka (headers `ce_id`, in UTF-8) alike.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, Self, cast
from urllib.parse import quote, unquote_to_bytes

from pydantic import AwareDatetime, Field, ValidationError, field_validator, model_validator

from halflap.errors import InvalidEvent
from halflap.sdk import codec
from halflap.sdk.schema import Json, Model
from halflap.sdk.trigger import first_line

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
ATTRIBUTES = ("id", "source", "type", "subject", "time", "dataschema")
"""The attributes that stand in headers of their own; `datacontenttype` is the content type."""

Prefix = Literal["ce-", "ce_"]

_NAME = re.compile(r"[a-z0-9]+")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_TEXT = re.compile(r"(text/[^;]+|[^;]+[+/]xml)\s*(;\s*charset=\"?utf-?8\"?\s*)?\Z", re.IGNORECASE)
_PLAIN = "".join(map(chr, range(0x21, 0x7F))).replace('"', "").replace("%", "")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.IGNORECASE)
_NOT_IN_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_RESERVED = frozenset({*ATTRIBUTES, "specversion", "datacontenttype", "data", "data_base64"})


class CloudEvent(Model):
    """An event as CloudEvents 1.0 describes it.

    `id` and `source` together identify it: two events with both the same are one. `data` is a value
    of JSON, or text where `datacontenttype` says so; data of any other kind is in `data_base64`.
    `extensions` are its further attributes, as `traceparent` or `partitionkey`.
    """

    id: str = Field(min_length=1)
    source: str = Field(min_length=1)
    type: str = Field(min_length=1)
    subject: str | None = None
    time: AwareDatetime | None = None
    datacontenttype: str | None = None
    dataschema: str | None = None
    data: Json = None
    data_base64: str | None = None
    extensions: dict[str, str | int | bool] = Field(default_factory=dict)

    @field_validator("time", mode="before")
    @classmethod
    def _read_time(cls, value: Any) -> Any:
        if isinstance(value, datetime) or value is None:
            return value
        if not isinstance(value, str) or not _TIME.fullmatch(value):
            raise ValueError("is not a time of RFC 3339, as 2026-01-02T03:04:05Z")
        return value

    @model_validator(mode="after")
    def _check(self) -> Self:
        wrong = [each for each in self.extensions if not _NAME.fullmatch(each) or each in _RESERVED]
        if wrong:
            raise ValueError(
                f"{wrong[0]!r} is no name of an extension: lower-case letters and digits, and none of "
                "the attributes of CloudEvents"
            )
        for name, value in self._attributes().items():
            if _NOT_IN_TEXT.search(value):
                raise ValueError(f"{name} has control characters")
        if self.data_base64 is not None:
            if self.data is not None:
                raise ValueError("data and data_base64 cannot both be given")
            _decode_base64(self.data_base64)
        return self

    @classmethod
    def read(
        cls, headers: Mapping[str, str], body: bytes, *, prefix: Prefix = "ce-"
    ) -> list[CloudEvent]:
        """Return the events of a message in any mode; header names in lower case.

        Raises `InvalidEvent` where it carries none, or one that is malformed: an attribute is missing,
        say, or the data are not what their content type says.
        """
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind in (STRUCTURED, BATCH):
            found = _read_json(body)
            if kind == BATCH and isinstance(found, list):
                return [_from_document(each) for each in cast("list[Any]", found)]
            return [_from_document(found)]
        if kind.startswith("application/cloudevents"):
            raise InvalidEvent(f"Of the formats of CloudEvents JSON is read alone, and not {kind}.")
        if f"{prefix}specversion" not in headers:
            raise InvalidEvent(
                f"This is no CloudEvent: it has neither a header {prefix}specversion nor the content "
                f"type {STRUCTURED}."
            )
        return [_from_headers(headers, body, prefix)]

    def binary(self, *, prefix: Prefix = "ce-") -> tuple[dict[str, str], bytes]:
        """Return the headers and the body of a message in binary mode."""
        encode = _encode_header if prefix == "ce-" else str
        headers = {f"{prefix}{name}": encode(each) for name, each in self._attributes().items()}
        body = self.content
        kind = self.datacontenttype or ("application/json" if body else None)
        return headers if kind is None else {**headers, "content-type": kind}, body

    def structured(self) -> tuple[dict[str, str], bytes]:
        """Return the headers and the body of a message in structured mode: a JSON document."""
        document: dict[str, Any] = {**self._attributes(), **self.extensions}
        for name in ("datacontenttype", "data", "data_base64"):
            if (value := getattr(self, name)) is not None:
                document[name] = value
        return {"content-type": STRUCTURED}, codec.encode(document)

    @property
    def identity(self) -> str:
        """The source and the id, so that no two events can be confused: what to dedupe by."""
        return f"{len(self.source)}:{self.source}{self.id}"

    @property
    def content(self) -> bytes:
        """The data as bytes: JSON, text, or what `data_base64` holds; empty where there is none."""
        if self.data_base64 is not None:
            return _decode_base64(self.data_base64)
        if self.data is None:
            return b""
        if not _is_json(self.datacontenttype) and isinstance(self.data, str):
            return self.data.encode()
        return codec.encode(self.data)

    def _attributes(self) -> dict[str, str]:
        """The attributes that are set, as text; without the data and its content type."""
        named = {name: getattr(self, name) for name in ATTRIBUTES}
        return {
            name: _written(value)
            for name, value in {"specversion": "1.0", **named, **self.extensions}.items()
            if value is not None
        }


def _is_json(content_type: str | None) -> bool:
    """Return whether data of this content type is JSON; without one, it is."""
    kind = (content_type or "application/json").partition(";")[0].strip().lower()
    return kind.endswith(("/json", "+json"))


def _from_headers(headers: Mapping[str, str], body: bytes, prefix: Prefix) -> CloudEvent:
    """The event of a message in binary mode."""
    fields: dict[str, Any] = {
        name.removeprefix(prefix): _decode_header(value) if prefix == "ce-" else value
        for name, value in headers.items()
        if name.startswith(prefix)
    }
    if wrong := fields.keys() & {"data", "data_base64", "datacontenttype"}:
        raise InvalidEvent(f"{prefix}{min(wrong)} is no header of a CloudEvent.")
    kind = headers.get("content-type")
    if kind is not None:
        fields["datacontenttype"] = kind
    if body:
        fields |= {"data": _read_json(body)} if _is_json(kind) else _data_of(body, kind)
    return _event(fields)


def _from_document(document: Any) -> CloudEvent:
    if not isinstance(document, dict):
        raise InvalidEvent("An event of CloudEvents is a JSON object.")
    fields = cast("dict[str, Any]", document)
    # An attribute that is null counts as one that is not there; data may be null.
    return _event({name: each for name, each in fields.items() if each is not None})


def _event(fields: Mapping[str, Any]) -> CloudEvent:
    version = fields.get("specversion")
    if version != "1.0":
        raise InvalidEvent(f"specversion is {version!r}; CloudEvents 1.0 is read alone.")
    extensions = {name: each for name, each in fields.items() if name not in _RESERVED}
    known = {name: each for name, each in fields.items() if name in _RESERVED}
    try:
        return CloudEvent.model_validate({**known, "extensions": extensions})
    except ValidationError as error:
        raise InvalidEvent(f"This is no CloudEvent: {first_line(error)}.") from error


def _data_of(body: bytes, kind: str | None) -> dict[str, str]:
    """Return data that are not JSON: text by its type, and in UTF-8; else base64."""
    if _TEXT.match(kind or ""):
        try:
            return {"data": body.decode()}
        except UnicodeDecodeError:
            pass
    return {"data_base64": b64encode(body).decode()}


def _read_json(body: bytes) -> Any:
    try:
        return codec.decode(body, bounded=True)
    except codec.NotJson as error:
        raise InvalidEvent(f"The body is not JSON: {error}.") from error


def _written(value: Any) -> str:
    """An attribute's value in its canonical form, as text."""
    match value:
        case bool():
            return "true" if value else "false"
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case _:
            return str(value)


def _encode_header(value: str) -> str:
    return quote(value, safe=_PLAIN, encoding="utf-8", errors="strict")


def _decode_header(value: str) -> str:
    quoted = _QUOTED.fullmatch(value)
    if quoted is not None:
        value = re.sub(r"\\(.)", r"\1", quoted[1], flags=re.DOTALL)
    try:
        return unquote_to_bytes(value.encode("latin-1", "replace")).decode()
    except UnicodeDecodeError as error:
        raise InvalidEvent(
            "A header of the CloudEvent is not UTF-8 in percent-encoding."
        ) from error


def _decode_base64(text: str) -> bytes:
    return b64decode(text, validate=True)
