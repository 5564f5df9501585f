"""The outgoing client against destinations that answer well, badly, or never."""

import asyncio
import gzip
import ssl
import time
import traceback
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from uuid import UUID

import pytest
import trustme
from aiohttp import web
from pydantic import BaseModel, Field, SecretStr

from halflap import Connection
from halflap.errors import (
    DefinitionError,
    EgressRefused,
    HalflapError,
    InputsRefused,
    RateLimited,
    Unauthorized,
    UpstreamError,
)
from halflap.sdk import codec
from halflap.sdk.connection import Link
from halflap.sdk.egress import Egress, Limits, Policy, Response
from halflap.sdk.schema import UNSET, File
from tests.cases import for_each
from tests.loopback import on_loopback
from tests.polling import DEADLINE

NOW = datetime(2026, 7, 1, 12, 0, 0, tzinfo=UTC)
BOUNDED = Limits(connect=DEADLINE, total=DEADLINE, response_bytes=100_000)
SHORT = replace(BOUNDED, total=0.4)
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


@dataclass
class Seen:
    """One request as the server read it."""

    head: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def line(self) -> str:
        return self.head.partition("\r\n")[0].removesuffix(" HTTP/1.1")


@dataclass
class Destination:
    """A raw server: `answer` is what it writes, or what it does with the stream."""

    port: int = 0
    connections: int = 0
    seen: list[Seen] = field(default_factory=list)
    answer: bytes | Callable[[Seen, asyncio.StreamWriter], Awaitable[None]] = OK

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                headers = {
                    name.lower(): value.strip()
                    for name, _, value in (line.partition(":") for line in head.split("\r\n")[1:])
                }
                if headers.get("transfer-encoding") == "chunked":
                    body = b""
                    while size := int(await reader.readline(), 16):
                        body += (await reader.readexactly(size + 2))[:-2]
                    await reader.readline()
                else:
                    body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.seen.append(Seen(head, body, headers))
                if isinstance(self.answer, bytes):
                    writer.write(self.answer)
                    await writer.drain()
                else:
                    await self.answer(self.seen[-1], writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def listening(
    host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Destination]:
    destination = Destination()
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(destination.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, host, 0, ssl=tls)
    destination.port = server.sockets[0].getsockname()[1]
    try:
        yield destination
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def server() -> AsyncIterator[Destination]:
    async with listening() as destination:
        yield destination


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    client = Egress(Policy(allow=("127.0.0.1",)), clock=lambda: NOW)
    yield client
    await client.close()


def answer(status: int, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


async def failure(call: Awaitable[object]) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        await call
    return caught.value


# What is sent


class Color(Enum):
    RED = "red"


class Contact(BaseModel):
    full_name: str = Field(alias="fullName")
    born: datetime


async def test_json_is_written_exactly(server: Destination, egress: Egress) -> None:
    await egress.request(
        "post",
        server.url,
        json={
            "amount": Decimal("1234567890123456789.10"),
            "id": 2**80,
            "uuid": UUID(int=1),
            "at": NOW,
            "color": Color.RED,
            "left alone": UNSET,
            "contact": Contact(fullName="Ada", born=NOW),
        },
    )

    assert server.seen[0].line == "POST /"
    assert server.seen[0].headers["content-type"] == "application/json"
    assert server.seen[0].body == (
        b'{"amount":1234567890123456789.10,"id":1208925819614629174706176,'
        b'"uuid":"00000000-0000-0000-0000-000000000001","at":"2026-07-01T12:00:00Z",'
        b'"color":"red","contact":{"fullName":"Ada","born":"2026-07-01T12:00:00Z"}}'
    )


async def test_json_null_is_a_body_and_no_json_is_none(server: Destination, egress: Egress) -> None:
    await egress.request("POST", server.url, json=None)
    await egress.request("POST", server.url)

    assert [each.body for each in server.seen] == [b"null", b""]


@for_each(
    "what",
    [
        {"json": {"key": SecretStr("hunter2")}},
        {"params": {"key": SecretStr("hunter2")}},
        {"form": {"key": SecretStr("hunter2")}},
        {"headers": {"X-Key": SecretStr("hunter2")}},
        {"headers": {"X-Key": "hunter2\r\nX-Other: 1"}},
        {"headers": {"Host": "hunter2"}},
        {"headers": {"Content-Length": "7"}},
        {"headers": {"Transfer-Encoding": "chunked"}},
        {"headers": {"X Key": "hunter2"}},
        {"json": {"n": float("nan")}},
        {"json": {}, "body": b""},
        {"form": {}, "body": b""},
    ],
)
async def test_what_cannot_be_sent_as_it_is_meant_is_refused_before_it_is_sent(
    what: dict[str, object], server: Destination, egress: Egress
) -> None:
    with pytest.raises((DefinitionError, InputsRefused)) as refused:
        await egress.request("POST", server.url, **what)  # type: ignore[arg-type]

    assert "hunter2" not in refused.value.message
    assert server.connections == 0


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "GET /x HTTP/1.1\r\nA: b", ""])
async def test_methods_that_tunnel_or_split_are_refused(method: str, egress: Egress) -> None:
    with pytest.raises(DefinitionError):
        await egress.request(method, "http://127.0.0.1:1024/")


async def test_a_query_is_added_to_the_one_of_the_url(server: Destination, egress: Egress) -> None:
    params = {"q": "a b&c", "ids": [1, 2], "all": True, "none": None, "left": UNSET, "é": "ü"}
    response = await egress.request("GET", f"{server.url}/x?v=1", params=params)

    assert server.seen[0].line == "GET /x?v=1&q=a+b%26c&ids=1&ids=2&all=true&%C3%A9=%C3%BC"
    assert response.url.startswith(f"{server.url}/x?v=1&q=")


async def test_a_form_and_files_are_sent_as_forms_are(server: Destination, egress: Egress) -> None:
    await egress.request("POST", server.url, form={"a": "1 2", "b": ["x", "y"]})
    await egress.request(
        "POST", server.url, form={"a": "1"}, files={"f": File(b"\x00bytes", "r.bin", "a/b")}
    )

    plain, parts = server.seen
    assert plain.body == b"a=1+2&b=x&b=y"
    assert plain.headers["content-type"] == "application/x-www-form-urlencoded"
    assert parts.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert b'name="a"' in parts.body
    assert b'name="f"; filename="r.bin"' in parts.body
    assert b"Content-Type: a/b" in parts.body
    assert b"\x00bytes" in parts.body


async def test_a_large_body_arrives_whole(server: Destination, egress: Egress) -> None:
    body = bytes(range(256)) * 20_000
    await egress.request("PUT", server.url, body=body, headers={"Content-Type": "a/b"})

    assert server.seen[0].body == body
    assert server.seen[0].headers["content-type"] == "a/b"


async def test_connections_are_kept_and_cookies_are_not(
    server: Destination, egress: Egress
) -> None:
    server.answer = answer(200, "Set-Cookie: session=1; Path=/")
    for _ in range(5):
        await egress.request("POST", server.url, json={})

    assert server.connections == 1
    assert all("cookie" not in each.headers for each in server.seen)


async def test_a_kept_connection_that_the_app_has_closed_is_made_anew_for_what_may_be_repeated(
    server: Destination, egress: Egress
) -> None:
    async def answer_once(seen: Seen, writer: asyncio.StreamWriter) -> None:
        if len(server.seen) % 2 == 0:
            raise ConnectionError  # it was closed as our request was on its way
        writer.write(OK)

    server.answer = answer_once
    for method in ("GET", "PUT", "DELETE"):
        server.seen.clear()
        assert (await egress.request(method, server.url)).status == 200
        assert (await egress.request(method, server.url)).status == 200
        assert [each.line for each in server.seen] == [f"{method} /"] * 3
    server.seen.clear()
    await egress.close()
    assert (await egress.request("POST", server.url)).status == 200
    error = await failure(egress.request("POST", server.url))
    assert "may have been carried out" in error.message
    assert len(server.seen) == 2  # an effect is never repeated behind its flow's back


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK, True),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
            True,
        ),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n"), False),
        (OK.replace(b"1.1", b"1.0"), False),
    ],
    ids=["hints", "chunks", "no body", "close", "1.0"],
)
async def test_an_answer_ends_where_it_says_and_its_connection_is_kept_if_it_may_be(
    raw: bytes, kept: bool, server: Destination, egress: Egress
) -> None:
    server.answer = raw
    for _ in range(3):
        response = await egress.request("POST", server.url, json={})
        assert response.body in (b"{}", b"")
        assert "Link" not in response.headers
    assert server.connections == (1 if kept else 3)


async def test_an_answer_without_a_length_ends_with_its_connection(
    server: Destination, egress: Egress
) -> None:
    server.answer = with_close(b"HTTP/1.1 200 OK\r\n\r\nall of it")
    for _ in range(2):
        assert (await egress.request("GET", server.url)).body == b"all of it"
    assert server.connections == 2


async def test_what_was_not_asked_for_is_nobodys_answer(
    server: Destination, egress: Egress
) -> None:
    """A second answer behind the first would be taken for that of the next request."""
    server.answer = OK + OK.replace(b"{}", b"[]")
    for _ in range(3):
        assert (await egress.request("POST", server.url, json={})).body == b"{}"
    assert server.connections == 3


async def test_a_request_that_is_cancelled_takes_its_connection_with_it(
    server: Destination, egress: Egress
) -> None:
    arrived = asyncio.Event()

    async def keep_waiting(seen: Seen, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await silence(seen, writer)

    server.answer = keep_waiting
    asking = asyncio.ensure_future(egress.request("POST", server.url, json={}))
    async with asyncio.timeout(DEADLINE):
        await arrived.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    server.answer = OK
    assert (await egress.request("POST", server.url, json={})).status == 200
    assert server.connections == 2


async def test_proxies_of_the_environment_are_not_asked(
    server: Destination, egress: Egress, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with listening() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        await egress.request("GET", server.url)

        assert (len(server.seen), proxy.connections) == (1, 0)


# What comes back


async def test_an_answer_is_read_exactly(server: Destination, egress: Egress) -> None:
    server.answer = answer(200, "X-Id: 7", body=b'{"n":1.10,"i":123456789012345678901}')
    response = await egress.request("GET", server.url)

    assert response.json() == {"n": Decimal("1.10"), "i": 123456789012345678901}
    assert str(response.json()["n"]) == "1.10"
    assert response.headers["x-id"] == "7"
    assert response.received_at == NOW
    response.raise_for_status()


async def test_text_has_the_charset_that_the_app_names(server: Destination, egress: Egress) -> None:
    server.answer = answer(200, 'Content-Type: text/plain; charset="latin-1"', body=b"caf\xe9")
    assert (await egress.request("GET", server.url)).text == "café"
    server.answer = answer(200, "Content-Type: text/plain; charset=none-such", body=b"caf\xe9")
    assert (await egress.request("GET", server.url)).text == "caf\ufffd"
    server.answer = answer(200, "Content-Type: text/plain; charset=cp1252", body=b"\x81caf\xe9")
    assert (await egress.request("GET", server.url)).text == "\ufffdcafé"


@pytest.mark.parametrize(
    ("charset", "body"),
    [("punycode", b"a" * 10**6 + b"-" + b"a" * 10**6), ("cp1258", b"\x90" * 10**7)],
)
async def test_no_charset_that_an_app_names_takes_for_ever(
    server: Destination, egress: Egress, charset: str, body: bytes
) -> None:
    server.answer = answer(200, f"Content-Type: text/plain; charset={charset}", body=body)
    response = await egress.request("GET", server.url)
    began = time.thread_time()
    assert len(response.text) == len(body)
    assert time.thread_time() - began < 1  # in their own codecs: hours, and five seconds


@pytest.mark.parametrize("kind", ["text/plain", "application/json", "application/octet-stream"])
@pytest.mark.parametrize(
    "body", [b" " * 300 + b'{"a": 1.10}', b"[" + b"1," * 100_000 + b"1]", b"9" * 100_000, b"%PDF-"]
)
async def test_a_large_answer_is_not_decoded_where_the_loop_runs(
    server: Destination, egress: Egress, monkeypatch: pytest.MonkeyPatch, kind: str, body: bytes
) -> None:
    """Whatever the app calls it; the longest text that is decoded here is a piece."""
    server.answer = answer(200, f"Content-Type: {kind}", body=body + b" " * 100_000)
    lengths: list[int] = []
    decode_all = codec.decode

    def decode(raw: bytes, *, bounded: bool = False) -> object:
        lengths.append(len(raw))
        return decode_all(raw, bounded=bounded)

    monkeypatch.setattr(codec, "decode", decode)
    response = await egress.request("GET", server.url)
    if body[:1] in b" [":
        assert response.json() == decode_all(body)
    else:
        with pytest.raises(UpstreamError, match="not JSON"):
            response.json()
    assert max(lengths, default=0) <= 1
    codec.decode(b" " * 70_000 + b"1")
    assert max(lengths) > 70_000  # the control


async def test_a_body_that_is_not_json_is_told_with_its_beginning(
    server: Destination, egress: Egress
) -> None:
    server.answer = answer(200, body=b"<html>Down for maintenance" + b"x" * 5_000)
    response = await egress.request("GET", f"{server.url}/list?token=hunter2")
    with pytest.raises(UpstreamError) as caught:
        response.json()

    assert f"GET {server.url}/list answered 200" in caught.value.message
    assert "Down for maintenance" in caught.value.message
    assert "hunter2" not in caught.value.message
    assert len(caught.value.body) == 2_000


USED_UP = "X-RateLimit-Remaining: 0", "X-RateLimit-Reset: 30"
RETRY = "Retry-After: 30"


@for_each(
    ("status", "headers", "kind", "retryable"),
    [
        (400, (), UpstreamError, False),
        (401, (), Unauthorized, False),
        (403, (RETRY,), RateLimited, True),  # GitHub's limits
        (403, USED_UP, RateLimited, True),
        (403, (), UpstreamError, False),
        (404, (), UpstreamError, False),
        (408, (), UpstreamError, True),
        (409, (), UpstreamError, False),
        (410, (), UpstreamError, False),
        (422, (), UpstreamError, False),
        (425, (), UpstreamError, True),
        (429, (), RateLimited, True),
        (500, (), UpstreamError, True),
        (502, (), UpstreamError, True),
        (503, (), UpstreamError, True),
        (503, (RETRY,), RateLimited, True),
        (504, (RETRY,), UpstreamError, True),
        (599, (), UpstreamError, True),
    ],
)
async def test_a_status_becomes_the_error_that_it_means(
    status: int,
    headers: tuple[str, ...],
    kind: type[UpstreamError],
    retryable: bool,
    server: Destination,
    egress: Egress,
) -> None:
    server.answer = answer(status, *headers, body=b"why" + b"x" * 5_000)
    response = await egress.request("POST", f"{server.url}/a?k=hunter2")
    with pytest.raises(UpstreamError) as caught:
        response.raise_for_status()

    error = caught.value
    assert type(error) is kind
    assert (error.status, error.retryable) == (status, retryable)
    assert error.body.startswith("why")
    assert len(error.body) == 2_000
    assert f"POST {server.url}/a answered {status}" in error.message
    assert "hunter2" not in error.message


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"error": "not \'b\'"}', """ answered 409: {"error": "not 'b'"}"""),
        (b"<h1>\n  Gone\n</h1>\x1b[2J", " answered 409: <h1> Gone </h1>\ufffd[2J"),
        (b"x" * 300, f" answered 409: {'x' * 200}…"),
        (b" \n", " answered 409"),
    ],
)
async def test_what_the_app_said_is_told_in_one_line_as_it_said_it(
    body: bytes, told: str, server: Destination, egress: Egress
) -> None:
    server.answer = answer(409, body=body)
    response = await egress.request("POST", f"{server.url}/a")
    with pytest.raises(UpstreamError) as caught:
        response.raise_for_status()

    assert caught.value.message.endswith(told)


@pytest.mark.parametrize("status", [200, 201, 204, 304])
async def test_a_status_that_is_fine_raises_nothing(
    status: int, server: Destination, egress: Egress
) -> None:
    server.answer = answer(status)
    (await egress.request("GET", server.url)).raise_for_status()


@for_each(
    ("value", "seconds"),
    [
        ("120", 120),
        ("0", 0),
        ("86400", 3600),
        ("9" * 400, 3600),
        ("Wed, 01 Jul 2026 12:05:00 GMT", 300),
        ("Wed, 01 Jul 2026 11:00:00 GMT", 0),
        ("Thu, 01 Jul 2027 12:00:00 GMT", 3600),
        ("soon", None),
        ("-5", None),
        ("", None),
        ("Wed, 99 Jul 2026 12:05:00 GMT", None),
    ],
)
async def test_retry_after_is_read_in_both_forms_and_capped(
    value: str, seconds: int | None, server: Destination, egress: Egress
) -> None:
    server.answer = answer(429, f"Retry-After: {value}")
    response = await egress.request("GET", server.url)
    with pytest.raises(RateLimited) as caught:
        response.raise_for_status()

    expected = None if seconds is None else timedelta(seconds=seconds)
    assert caught.value.retry_after == expected


# Redirects


async def test_a_redirect_is_told_and_not_followed_by_default(egress: Egress) -> None:
    async with listening() as target, listening() as source:
        source.answer = answer(302, f"Location: {target.url}/in?code=hunter2")
        response = await egress.request("GET", source.url)
        with pytest.raises(UpstreamError, match="redirects are off") as caught:
            response.raise_for_status()

        assert f"{target.url}/in" in caught.value.message
        assert "hunter2" not in caught.value.message
        assert target.connections == 0


@pytest.mark.parametrize(
    ("status", "method", "then", "body"),
    [
        (301, "POST", "GET", b""),
        (302, "POST", "GET", b""),
        (302, "PUT", "PUT", b'{"a":1}'),
        (303, "POST", "GET", b""),
        (303, "PUT", "GET", b""),
        (307, "POST", "POST", b'{"a":1}'),
        (308, "POST", "POST", b'{"a":1}'),
    ],
)
async def test_a_redirect_is_followed_as_its_status_says(
    status: int, method: str, then: str, body: bytes, server: Destination, egress: Egress
) -> None:
    async def redirect(seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(OK if "/b" in seen.line else answer(status, "Location: /b?x=1"))

    server.answer = redirect
    headers = {"Authorization": "hunter2", "X-Api-Key": "hunter2"}
    response = await egress.request(
        method,
        f"{server.url}/a?y=1",
        json={"a": 1},
        params={"z": 1},
        headers=headers,
        limits=Limits(redirects=1),
    )

    first, second = server.seen
    assert first.line == f"{method} /a?y=1&z=1"
    assert (second.line, second.body) == (f"{then} /b?x=1", body)
    assert second.headers["authorization"] == second.headers["x-api-key"] == "hunter2"
    assert ("content-type" in second.headers) is bool(body)
    assert response.url == f"{server.url}/b?x=1"


async def test_credentials_do_not_follow_to_another_origin(
    server: Destination, egress: Egress
) -> None:
    async with listening() as other:
        server.answer = answer(307, f"Location: {other.url}/b")
        await egress.request(
            "POST",
            server.url,
            json={"a": 1},
            headers={
                "Authorization": "hunter2",
                "Cookie": "hunter2",
                "X-Api-Key": "hunter2",
                "Accept": "text/plain",
            },
            limits=Limits(redirects=3),
        )

        assert "hunter2" in server.seen[0].head
        assert "hunter2" not in other.seen[0].head
        assert other.seen[0].headers["accept"] == "text/plain"


async def test_redirects_end(server: Destination, egress: Egress) -> None:
    server.answer = answer(302, "Location: /again?k=hunter2")
    error = await failure(egress.request("GET", server.url, limits=Limits(redirects=3)))

    assert "3 that are followed" in error.message
    assert "hunter2" not in error.message
    assert not error.retryable
    assert len(server.seen) == 4


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:169.254.169.254]/",
        "http://user:hunter2@127.0.0.1/",
        "//127.0.0.2/",
        "file:///etc/passwd",
        "http://127.1/",
        "http://127.0.0.1\\@169.254.169.254/",
        "http://[",
    ],
)
async def test_a_redirect_is_judged_like_any_other_address(
    target: str, server: Destination, egress: Egress
) -> None:
    server.answer = answer(302, f"Location: {target}")
    error = await failure(egress.request("GET", server.url, limits=Limits(redirects=3)))

    assert isinstance(error, EgressRefused)
    assert error.in_doubt  # the app that redirects may have done it
    assert "hunter2" not in error.message
    assert len(server.seen) == 1


# Guarded addresses


async def test_a_guarded_listener_is_never_connected_to() -> None:
    async with listening() as canary:
        hosts = [
            "127.0.0.1",
            "127.1",
            "0x7f.1",
            "2130706433",
            "017700000001",
            "①②⑦.⓪.⓪.①",
            "127.0.0.1.",
            "localhost",
            "localhost.",
            "0",
            "0.0.0.0",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "user@127.0.0.1",
            "example.com\\@127.0.0.1",
            "app.example",
        ]

        async def to_loopback(host: str, port: int) -> list[str]:
            return ["127.0.0.1"]

        egress = Egress(resolver=to_loopback)
        for host in hosts:
            for call in (
                egress.request("GET", f"http://{host}:{canary.port}/"),
                egress.stream("GET", f"http://{host}:{canary.port}/").__aenter__(),
            ):
                refused = await failure(call)
                assert isinstance(refused, EgressRefused), host
                assert not refused.in_doubt
        await egress.close()
        assert canary.connections == 0

        allowed = Egress(Policy(allow=("127.0.0.1",)), resolver=to_loopback)
        await allowed.request("GET", f"http://127.0.0.1:{canary.port}/")
        await allowed.request("GET", f"http://app.example:{canary.port}/")
        await allowed.close()
        assert canary.connections == 2


async def test_a_name_that_is_rebound_is_called_where_it_was_judged() -> None:
    """127.0.0.2 stands for the public address that is shown first; 127.0.0.1 is the target."""
    async with listening("127.0.0.2") as public, listening() as canary:
        answers = iter([["127.0.0.2"], ["127.0.0.1"], ["127.0.0.1", "127.0.0.2"]])
        asked: list[str] = []

        async def rebinding(host: str, port: int) -> list[str]:
            asked.append(host)
            return next(answers)

        policy = Policy(allow=("127.0.0.2",))
        first = Egress(policy, resolver=rebinding)
        await first.request("GET", f"http://app.example:{public.port}/")
        assert (public.connections, asked) == (1, ["app.example"])
        await first.close()

        for _ in range(2):
            later = Egress(policy, resolver=rebinding)
            error = await failure(later.request("GET", f"http://app.example:{canary.port}/"))
            assert isinstance(error, EgressRefused)
            await later.close()
        assert (len(asked), canary.connections) == (3, 0)


@pytest.fixture
def certificates() -> tuple[ssl.SSLContext, ssl.SSLContext, list[str]]:
    """A server's TLS for app.example, a client's that trusts it, and the names asked for."""
    authority, trusting = trustme.CA(), ssl.create_default_context()
    authority.configure_trust(trusting)
    names: list[str] = []
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("app.example").configure_cert(serving)
    serving.sni_callback = lambda _socket, name, _context: names.append(name)  # type: ignore[assignment]
    return serving, trusting, names


async def test_tls_and_host_keep_the_name_of_a_pinned_address(
    certificates: tuple[ssl.SSLContext, ssl.SSLContext, list[str]],
) -> None:
    serving, trusting, names = certificates

    async def to_loopback(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    async with listening(tls=serving) as server:
        policy = Policy(allow=("127.0.0.1",))
        egress = Egress(policy, resolver=to_loopback, tls=trusting)
        await egress.request("GET", f"https://app.example:{server.port}/")
        assert names == ["app.example"]
        assert server.seen[0].headers["host"] == f"app.example:{server.port}"

        wrong_name = await failure(egress.request("GET", f"https://other.example:{server.port}/"))
        assert "certificate is not trusted" in wrong_name.message
        await egress.close()

        unknown = Egress(policy, resolver=to_loopback)
        error = await failure(unknown.request("GET", f"https://app.example:{server.port}/?k=v"))
        assert "certificate is not trusted" in error.message
        assert "SSL_CERT_FILE" in error.message
        assert not error.retryable  # another try would find the same certificate

        class Crm(Connection):
            base_url: str

        crm = Crm(base_url=f"https://app.example:{server.port}")
        crm._link = Link("billing", egress=unknown)
        error = await failure(crm.request("POST", "/orders", json={}))
        assert error.message.startswith("the connection billing: POST https://app.example")
        assert (error.retryable, error.in_doubt) == (False, False)
        await unknown.close()
        assert len(server.seen) == 1


# Hostile destinations


async def drip(seen: Seen, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


async def drip_headers(seen: Seen, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


async def silence(seen: Seen, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def reset(seen: Seen, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    await writer.drain()
    writer.transport.abort()


async def hang_up(seen: Seen, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def truncated(seen: Seen, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    raise ConnectionError


async def endless(seen: Seen, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
        await writer.drain()


async def informed_without_end(seen: Seen, writer: asyncio.StreamWriter) -> None:
    while not writer.is_closing():
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.001)


def with_close(raw: bytes) -> Callable[[Seen, asyncio.StreamWriter], Awaitable[None]]:
    async def write(seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        raise ConnectionError

    return write


BOMB = gzip.compress(bytes(50_000_000), 9)
GZIP = "Content-Encoding: gzip"
HOSTILE = {
    "a byte at a time": (drip, "no whole answer within 0.4 s", True),
    "a header a byte at a time": (drip_headers, "no whole answer within 0.4 s", True),
    "silence": (silence, "no whole answer within 0.4 s", True),
    "endless hints": (informed_without_end, "no whole answer within 0.4 s", True),
    "a reset in the body": (reset, "broke", True),
    "a hang-up": (hang_up, "the connection broke before the answer", True),
    "a truncated body": (truncated, "the answer broke off", True),
    "an endless body": (endless, "more than 100,000 bytes", False),
    "a huge promise": (answer(200).replace(b": 0", b": 99999999999"), "more than 100,000", False),
    "a gzip bomb": (answer(200, GZIP, body=BOMB), "more than 100,000 bytes", False),
    "broken gzip": (answer(200, GZIP, body=b"not gzip"), "malformed", True),
    "huge headers": (
        with_close(answer(200, "X: " + "x" * 1_000_000)),
        "headers are too large",
        True,
    ),
    "many headers": (with_close(answer(200, *["X: y"] * 5_000)), "headers are too large", True),
    "no HTTP": (with_close(b"SSH-2.0-OpenSSH_9.6\r\n" * 10), "not HTTP", True),
    "wrong chunks": (
        with_close(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        "malformed",
        True,
    ),
}


DONE = ("a reset in the body", "a truncated body", "broken gzip", "wrong chunks")
"""After these a status of 2xx had come: a request with an effect was carried out."""


@for_each("streamed", [False, True], ids=["request", "stream"])
@for_each("hostile", HOSTILE)
async def test_a_hostile_destination_ends_in_an_error_that_says_how(
    hostile: str, streamed: bool, server: Destination, egress: Egress
) -> None:
    server.answer, what, retryable = HOSTILE[hostile]
    url = f"{server.url}/path?key=hunter2"

    method = "GET" if hostile in DONE else "POST"
    limits = SHORT if "within" in what else BOUNDED

    async def download() -> None:
        async with egress.stream(method, url, limits=limits) as chunks:
            async for _ in chunks:
                pass

    error = await failure(download() if streamed else egress.request(method, url, limits=limits))

    assert type(error) is UpstreamError
    assert any(each in error.message for each in (what, "not HTTP" if streamed else what))
    assert f"{method} {server.url}/path" in error.message
    assert error.retryable is retryable
    assert "hunter2" not in "".join(traceback.format_exception(error)).replace(
        'url = f"{server.url}/path?key=hunter2"', ""
    )
    assert error.__context__ is None
    server.answer = OK
    assert (await egress.request("GET", server.url)).status == 200


@pytest.mark.parametrize("hostile", DONE)
async def test_what_an_answer_of_2xx_says_is_done_also_where_its_body_breaks_off(
    hostile: str, server: Destination, egress: Egress
) -> None:
    server.answer, _, _ = HOSTILE[hostile]
    done = await egress.request("POST", server.url, json={}, limits=BOUNDED)
    assert (done.status, done.whole, done.body) == (200, False, b"")
    with pytest.raises(UpstreamError, match="broke off; the app did what it was asked") as error:
        done.json()
    assert not error.value.retryable


async def test_a_bomb_is_refused_before_it_is_in_memory(
    server: Destination, egress: Egress
) -> None:
    server.answer = answer(200, GZIP, body=BOMB)
    await egress.request("GET", server.url, limits=Limits(response_bytes=60_000_000))
    tracemalloc.start()
    try:
        await failure(egress.request("GET", server.url, limits=BOUNDED))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 5_000_000


async def test_what_cannot_be_reached_is_told_apart(egress: Egress) -> None:
    async with listening() as gone:
        pass
    refused = await failure(egress.request("GET", gone.url))
    assert "no connection" in refused.message
    assert refused.retryable

    async def unknown(host: str, port: int) -> list[str]:
        raise OSError("no such host")

    async def hanging(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    for resolver, connect, what in (
        (unknown, DEADLINE, "does not resolve"),
        (hanging, 0.05, "no connection within 0.05 s"),
    ):
        client = Egress(resolver=resolver, limits=Limits(connect=connect))
        error = await failure(client.request("GET", "http://app.example/?k=hunter2"))
        assert what in error.message
        assert (error.retryable, error.__context__) == (True, None)
        await client.close()


async def test_a_slow_host_does_not_hold_up_another(server: Destination, egress: Egress) -> None:
    server.answer = silence
    slow = [asyncio.ensure_future(egress.request("GET", server.url)) for _ in range(120)]
    async with listening() as other:
        assert (await egress.request("GET", other.url)).status == 200
    for each in slow:
        each.cancel()
    ended = await asyncio.gather(*slow, return_exceptions=True)
    assert all(isinstance(each, asyncio.CancelledError) for each in ended)


# Streams


async def test_a_download_comes_in_chunks_and_keeps_its_connection(
    server: Destination, egress: Egress
) -> None:
    server.answer = answer(200, "X-Id: 7", body=b"x" * 1_000_000)
    for _ in range(2):
        async with egress.stream("GET", f"{server.url}/f") as download:
            assert (download.status, download.headers["x-id"]) == (200, "7")
            assert sum([len(chunk) async for chunk in download]) == 1_000_000

    assert server.connections == 1


async def test_a_download_that_is_left_early_is_cut(server: Destination, egress: Egress) -> None:
    server.answer = endless
    async with egress.stream("GET", server.url) as download:
        async for chunk in download:
            assert chunk
            break

    server.answer = OK
    await egress.request("GET", server.url)
    assert server.connections == 2


@pytest.mark.parametrize(
    ("status", "kind"), [(404, UpstreamError), (401, Unauthorized), (302, UpstreamError)]
)
async def test_a_download_that_is_refused_raises_what_a_request_would(
    status: int, kind: type[HalflapError], server: Destination, egress: Egress
) -> None:
    server.answer = answer(status, "Location: /x", body=b"why")
    with pytest.raises(kind, match=str(status)) as caught:
        async with egress.stream("GET", server.url):
            pass
    assert isinstance(caught.value, UpstreamError)
    assert caught.value.body == "why"


def test_a_response_keeps_its_content_out_of_its_repr() -> None:
    from multidict import CIMultiDict, CIMultiDictProxy

    headers = CIMultiDictProxy(CIMultiDict({"Set-Cookie": "hunter2"}))
    response = Response(200, headers, b"hunter2", "http://a/?k=hunter2")
    assert "hunter2" not in repr(response)


# ---- WebSockets


async def test_a_websocket_is_guarded_as_a_request_is_and_sends_no_credentials():
    seen: list[str] = []

    async def echo(request: web.Request) -> web.WebSocketResponse:
        seen.append(request.headers.get("Authorization", ""))
        answer = web.WebSocketResponse()
        await answer.prepare(request)
        async for message in answer:
            if message.data == "end":
                await answer.close()
            else:
                await answer.send_str(f"{message.data}!")
        return answer

    class Account(Connection):
        base_url: str = "https://app.example"

        def headers(self) -> dict[str, str]:
            return {"Authorization": "Bearer secret"}

    app = web.Application()
    app.router.add_get("/link", echo)
    account = Account()
    async with on_loopback(app) as url:
        there = f"{url.replace('http', 'ws')}/link?ticket=secret"
        egress = Egress(Policy(allow=("127.0.0.1",)))
        account._link = Link("app", None, egress)
        opened = await account.websocket(there)
        await opened.send("hi")
        assert await opened.receive() == b"hi!"
        await opened.send("end")
        assert await opened.receive() is None
        with pytest.raises(UpstreamError, match="closed"):
            await opened.send("again")
        await opened.close()
        assert seen == [""]
        with pytest.raises(UpstreamError) as refused:
            await account.websocket(f"{url}/no?ticket=secret")
        assert "secret" not in str(refused.value)
        await egress.close()
        account._link.egress = Egress()
        for each in (there, "wss://10.0.0.1/link", "file://x/y", "no url"):
            with pytest.raises(EgressRefused):
                await account.websocket(each)
        await account._link.egress.close()
