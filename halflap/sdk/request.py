"""The request that an author's trigger sees: the bytes as they came, read only when asked."""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import field
from datetime import datetime
from typing import Any, Protocol, TypeVar, cast, overload

from pydantic_core import core_schema

from halflap.errors import DefinitionError, InvalidEvent
from halflap.model import Event, a_dict, frozen, to_datetime
from halflap.sdk import _body, codec
from halflap.sdk._body import UploadedFile, decompress
from halflap.sdk._json import cut_array, pick
from halflap.sdk.compatibility import refuse
from halflap.sdk.payload import Payload

__all__ = ["Headers", "LargeRequest", "Picker", "Request", "UploadedFile", "constant", "decompress"]
__all__ += ["header", "pointer", "query"]

T = TypeVar("T")


class Headers(Mapping[str, str]):
    """The headers of a request: names in any case, in the order and as often as they were sent.

    `headers["name"]` is the first value of that name; `getall` has every one.
    """

    __slots__ = ("_first", "raw")

    raw: tuple[tuple[str, str], ...]
    """Every header as it came: (name, value)."""

    def __init__(self, raw: Iterable[tuple[str, str]] = ()) -> None:
        self.raw = raw = tuple(raw)
        self._first = first = dict(raw)
        names = "".join(first)
        if len(first) < len(raw) or names != names.lower():
            self._first = {name.lower(): value for name, value in raw}
            # Else the last value of a name would stand.
            self._first.update((name.lower(), value) for name, value in reversed(raw))

    def getall(self, name: str) -> list[str]:
        """Every value of a header, in order; empty where it was not sent."""
        wanted = name.lower()
        return [value for each, value in self.raw if each.lower() == wanted]

    def __getitem__(self, name: str) -> str:
        return self._first[name.lower()]

    @overload
    def get(self, name: str, /) -> str | None: ...
    @overload
    def get(self, name: str, /, default: str | T) -> str | T: ...
    def get(self, name: str, /, default: Any = None) -> Any:
        """The first value of a header, or the default: asked some times of every request."""
        return self._first.get(name.lower(), default)

    def __iter__(self) -> Iterator[str]:
        return iter(self._first)

    def __len__(self) -> int:
        return len(self._first)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._by_name() == other._by_name()

    def __hash__(self) -> int:
        return hash(tuple(self._by_name()))

    def _by_name(self) -> list[tuple[str, str]]:
        pairs = [(name.lower(), value) for name, value in self.raw]
        return sorted(pairs, key=lambda pair: pair[0])

    def __repr__(self) -> str:
        # Values may be secrets, and a repr ends in logs.
        return f"<Headers {', '.join(self._first)}>"


@frozen
class Request:
    """One HTTP request to an endpoint, exactly as it was received.

    `path` is what follows the endpoint's own address (`""` or `/a/b`), `query` is raw, `url` is the
    public URL that the sender called, `received_at` is in UTC. `part` numbers the events of a
    request that was split.
    """

    method: str
    path: str
    query: str = field(repr=False)
    headers: Headers
    body: bytes = field(repr=False)
    url: str = field(repr=False)
    received_at: datetime
    part: int = 0
    _read: dict[str, Any] = field(default_factory=a_dict, init=False, repr=False, compare=False)

    @property
    def payload(self) -> Payload | None:
        """The body, where it is too large to be held in memory (`body` raises then); else None."""
        return None

    @property
    def size(self) -> int:
        """The number of bytes of the body."""
        return len(self.body)

    async def stream(self) -> AsyncIterator[bytes]:
        """The body in chunks, however large it is."""
        if self.body:
            yield self.body

    @property
    def params(self) -> dict[str, str]:
        """The query's parameters, the first value of each."""
        pairs = _body.urlencoded(self.query, "query")
        return dict(reversed(pairs))

    @property
    def content_type(self) -> str:
        """The content type without its parameters, in lower case; empty where none was sent."""
        return self._full_content_type.partition(";")[0].strip().lower()

    @property
    def text(self) -> str:
        """The body as text, in the charset that the sender names, else UTF-8."""
        return _body.text(self.body, self._full_content_type)

    def json(self) -> Any:
        """The body as JSON, with exact numbers; `InvalidEvent` where it is none.

        More than 256 levels, 1,048,576 values or 250,000 arrays and objects are refused.
        """
        return self._once("json", self._json)

    def elements(self) -> list[Any]:
        """The elements of the JSON array that is the body; any other body is the only one.

        Where the whole cannot be read, each is the bytes that stand for it: as what a trigger splits
        a request into, one that is hostile or too deep fails by itself, and spoils none of the others.
        """
        try:
            body = self.json()
        except InvalidEvent:
            cut = cut_array(json_text(self))
            if cut is None:
                raise
            return cut
        return cast("list[Any]", body) if isinstance(body, list) else [body]

    def _json(self) -> Any:
        try:
            return codec.decode(json_text(self), bounded=True)
        except codec.NotJson as error:
            raise InvalidEvent(f"The body is not JSON: {error}.") from error

    def xml(self) -> Any:
        """The root of the body's XML, as an `lxml` element; `InvalidEvent` where it is none.

        Document types, entities, more than 64 levels or 100,000 elements are refused, and nothing
        is fetched.
        """
        return self._once("xml", lambda: _body.xml(self.body))

    def _once(self, kind: str, read: Callable[[], T]) -> T:
        found: Any = self._read.get(kind, ...)
        if found is ...:
            found = self._read[kind] = read()
        if isinstance(found, InvalidEvent):
            raise InvalidEvent(found.message)
        return found

    def form(self) -> dict[str, list[str]]:
        """The text fields of a urlencoded or multipart form; `InvalidEvent` where it is none."""
        return self._form().fields

    def files(self) -> list[UploadedFile]:
        """The files of a multipart form, in order. Their names are data, and never paths."""
        return self._form().files

    def _form(self) -> _body.FormBody:
        return self._once("form", lambda: _body.form(self.body, self._full_content_type))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            lambda value: value if isinstance(value, Request) else _from_record(value),
            serialization=core_schema.plain_serializer_function_ser_schema(as_record),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        return {"type": "object", "format": "request"}

    @property
    def _full_content_type(self) -> str:
        return self.headers.get("content-type", "")


class LargeRequest(Request):
    """A request whose body is not in memory: `stream()` it, or hand `payload` on."""

    __slots__ = ("_payload",)
    _payload: Payload

    def __init__(self, payload: Payload, **head: Any) -> None:
        """`head` is all that a `Request` has beside its body."""
        given: dict[str, Any] = {"part": 0, **head, "_read": {}, "_payload": payload}
        for name, each in given.items():
            setattr(self, name, each)

    @property
    def payload(self) -> Payload:
        """The body."""
        return self._payload

    @property
    def size(self) -> int:
        """The number of bytes of the body."""
        return self.payload.size

    @property
    def body(self) -> bytes:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Raises: this body does not fit into memory."""
        raise InvalidEvent(
            f"The body has {self.size:,} bytes, too many to be held in memory; take "
            "`webhook.raw`, and read `request.stream()` or send `request.payload` on."
        )

    async def stream(self) -> AsyncIterator[bytes]:
        """The body in chunks."""
        async for chunk in self.payload.stream():
            yield chunk


def copied(request: Request, body: bytes | Payload | None = None, **changes: Any) -> Request:
    """Return a request with another head or body; a body that stays is read once for both."""
    names = ("method", "path", "query", "headers", "url", "received_at", "part")
    head = {name: getattr(request, name) for name in names} | changes
    payload = request.payload if body is None else body
    if isinstance(payload, Payload):
        return LargeRequest(payload, **head)
    copy = Request(body=request.body if body is None else payload or b"", **head)
    if body is None:
        copy._read.update(request._read)
    return copy


def as_request(event: Event, headers: Headers | None = None) -> Request:
    """Return a kept event as the request that it was; `headers` are its own in clear."""
    headers = Headers(event.headers) if headers is None else headers
    head: dict[str, Any] = {
        "method": event.method,
        "path": event.path,
        "query": event.query,
        "headers": headers,
        "url": event.url,
        "received_at": to_datetime(event.received_at),
        "part": event.part,
    }
    if event.large is None:
        return Request(body=event.body, **head)
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return LargeRequest(Payload(event.large, kind or "application/octet-stream"), **head)


def json_text(request: Request) -> bytes:
    """Return the body in UTF-8, in which JSON is read."""
    kind = request.headers.get("content-type", "")
    charset = _body.parameters(kind).get("charset", "utf-8").lower() if ";" in kind else "utf-8"
    return request.body if charset in ("utf-8", "utf8", "us-ascii") else request.text.encode()


def readings(request: Request) -> dict[str, Any]:
    """Return what the body was read as so far, by kind (`json`, `form`, `xml`); errors are values."""
    return request._read


def as_record(request: Request) -> dict[str, Any]:
    """A request as a flow in YAML sees it and a journal keeps it; the body as text if it is one."""
    if request.payload is not None:
        body: dict[str, Any] = {"body": None, "payload": request.payload.recorded()}
    else:
        try:
            body = {"body": request.body.decode()}
        except UnicodeDecodeError:
            body = {"body_base64": base64.b64encode(request.body).decode()}
    return {
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "headers": dict(request.headers),
        "raw_headers": [list(pair) for pair in request.headers.raw],
        **body,
        "url": request.url,
        "received_at": request.received_at.isoformat(),
        "part": request.part,
    }


def _from_record(value: Any) -> Request:
    try:
        text: str | None = value.get("body")
        head: dict[str, Any] = {
            "method": value["method"],
            "path": value["path"],
            "query": value["query"],
            "headers": Headers((name, each) for name, each in value["raw_headers"]),
            "url": value["url"],
            "received_at": datetime.fromisoformat(value["received_at"]),
            "part": value["part"],
        }
        if "payload" in value:
            return LargeRequest(Payload.of(value["payload"]), **head)
        body = base64.b64decode(value["body_base64"]) if text is None else text.encode()
        return Request(body=body, **head)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError("expected a Request") from error


class Picker(Protocol):
    """Where a value stands in a request: a delivery's id, a record's id."""

    def __call__(self, request: Request) -> str | None:
        """The value, None where the request has none."""
        ...


HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_PARAMETER = re.compile(r"\S(?:.*\S)?\Z", re.DOTALL)
_POINTER = re.compile(r"(?!/\Z)(?:/(?:(?!\s)(?:[^/~]|~[01])+(?<!\s))?)*\Z")


def _check_form(name: str, form: re.Pattern[str], what: str, meant: str, example: str) -> None:
    """Refuse a name by which nothing is ever found; spaces around it are a slip of its writer's."""
    if not form.match(name):
        hint = f"; write {meant}" if meant and form.match(meant) else f", such as {example}"
        refuse(DefinitionError(f"{name!r} is not {what}{hint}"))


@frozen
class header:  # noqa: N801
    """Picks a header: `header("webhook-id")`; None where it is absent or empty."""

    name: str

    def __post_init__(self) -> None:
        meant = re.sub(r"\s+", "-", self.name.strip())
        _check_form(self.name, HEADER_NAME, "the name of a header", meant, "X-Id")

    def __call__(self, request: Request) -> str | None:
        """The header's value."""
        return request.headers.get(self.name) or None


@frozen
class query:  # noqa: N801
    """Picks a parameter of the URL's query: `query("id")`; None where it is absent or empty."""

    name: str

    def __post_init__(self) -> None:
        _check_form(self.name, _PARAMETER, "the name of a parameter", self.name.strip(), "id")

    def __call__(self, request: Request) -> str | None:
        """The parameter's first value."""
        try:
            return request.params.get(self.name) or None
        except InvalidEvent:
            return None


@frozen
class constant:  # noqa: N801
    """Picks always the same value, so that all events share it."""

    value: str

    def __call__(self, request: Request) -> str | None:
        """The value."""
        return self.value


def as_text(found: Any) -> str:
    """Return what a picker or a declared function found, as text: numbers as they were sent."""
    return str(found).lower() if isinstance(found, bool) else str(found)


@frozen
class pointer:  # noqa: N801
    """Picks from the JSON body by RFC 6901: `pointer("/data/id")`, with `~1` for `/`, `~0` for `~`.

    Numbers as they were sent, booleans as `true` and `false`; None where the body is no JSON, or
    what stands there is absent, empty, null, an object or an array.
    """

    path: str

    def __post_init__(self) -> None:
        names = self.path.strip().lstrip("$").split("/" if "/" in self.path else ".")
        meant = "".join(f"/{each.strip()}" for each in names if each.strip())
        _check_form(self.path, _POINTER, "a JSON pointer to a field", meant, "/data/id")

    def __call__(self, request: Request) -> str | None:
        """The value, as text."""
        found = self.value(request)
        return None if found is None else as_text(found)

    def value(self, request: Request) -> Any:
        """The value, as what it is in JSON."""
        picked = request._read.get("picked", {})
        if self.path in picked:
            return picked[self.path]
        try:
            return pick(request.json(), self.path)
        except InvalidEvent:
            return None
