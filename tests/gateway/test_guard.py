from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from halflap.errors import HalflapError
from halflap.gateway.guard import EdgeLimits
from halflap.gateway.server import Server, run_loop
from tests.cases import for_each
from tests.polling import DEADLINE, until

H = b"Host: hooks.test\r\n"
POST = b"POST /hooks/1 HTTP/1.1\r\n" + H
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


def get(line: bytes = b"GET /hooks/1 HTTP/1.1", headers: bytes = H) -> bytes:
    return line + b"\r\n" + headers + b"\r\n"


def fields(number: int, value: bytes = b"v") -> bytes:
    return b"".join(b"x-%d: %s\r\n" % (index, value) for index in range(number))


REFUSED: dict[str, tuple[int, bytes]] = {
    "no Host": (400, get(headers=b"")),
    "two Hosts": (400, get(headers=H + H)),
    "two Hosts on HTTP/1.0": (400, get(b"GET / HTTP/1.0", H + H)),
    "Host with a path": (400, get(headers=b"Host: a/b\r\n")),
    "Host with a space": (400, get(headers=b"Host: a b\r\n")),
    "Host list": (400, get(headers=b'Host: "a"\r\n')),
    "HTTP/0.9 without version": (400, b"GET /\r\n\r\n"),
    "HTTP/0.9": (400, get(b"GET / HTTP/0.9")),
    "HTTP/1.2": (400, get(b"GET / HTTP/1.2")),
    "HTTP/2.0": (400, get(b"GET / HTTP/2.0")),
    "HTTP/2 preface": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "TLS hello": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40)),
    "garbage": (400, b"hello there\r\n\r\n"),
    "lower-case method": (400, get(b"get / HTTP/1.1")),
    "unknown method": (400, get(b"BREW / HTTP/1.1")),
    "lower-case version": (400, get(b"GET / http/1.1")),
    "space after version": (400, get(b"GET / HTTP/1.1 ")),
    "space in target": (400, get(b"GET /a b HTTP/1.1")),
    "relative target": (400, get(b"GET hooks HTTP/1.1")),
    "asterisk with GET": (400, get(b"GET * HTTP/1.1")),
    "fragment in target": (400, get(b"GET /a#b HTTP/1.1")),
    "control char in target": (400, get(b"GET /\x01 HTTP/1.1")),
    "NUL in target": (400, get(b"GET /\x00 HTTP/1.1")),
    "raw byte in target": (400, get(b"GET /\xff HTTP/1.1")),
    "impossible port": (400, get(b"GET http://a:99999/ HTTP/1.1")),
    "9 KB target": (400, get(b"GET /" + b"a" * 9000 + b" HTTP/1.1")),
    "bare LF after request line": (400, b"GET / HTTP/1.1\n" + H + b"\r\n"),
    "bare LF after a header": (400, b"GET / HTTP/1.1\r\nHost: a\nx: y\r\n\r\n"),
    "bare LF ends the head": (400, b"GET / HTTP/1.1\r\nHost: a\r\n\n"),
    "bare LF everywhere": (400, b"GET / HTTP/1.1\nHost: a\n\n"),
    "bare CR in a value": (400, get(headers=H + b"a: b\rc\r\n")),
    "obs-fold": (400, get(headers=H + b"a: b\r\n c\r\n")),
    "obs-fold with a tab": (400, get(headers=H + b"a: b\r\n\tc\r\n")),
    "leading space on the first header": (400, get(headers=b" Host: a\r\n")),
    "space before colon": (400, get(headers=b"Host : a\r\n")),
    "space in a name": (400, get(headers=H + b"a b: c\r\n")),
    "empty name": (400, get(headers=H + b": c\r\n")),
    "no colon": (400, get(headers=H + b"abc\r\n")),
    "high byte in a name": (400, get(headers=H + b"a\xe9: c\r\n")),
    "NUL in a value": (400, get(headers=H + b"a: b\x00c\r\n")),
    "NUL in a name": (400, get(headers=H + b"a\x00: c\r\n")),
    "control char in a value": (400, get(headers=H + b"a: b\x01c\r\n")),
    "escape in a value": (400, get(headers=H + b"a: b\x1b[2J\r\n")),
    "DEL in a value": (400, get(headers=H + b"a: b\x7fc\r\n")),
    "form feed in a value": (400, get(headers=H + b"a: b\x0cc\r\n")),
    "CL and TE": (
        400,
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    "TE and CL": (
        400,
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    ),
    "two equal CLs": (400, POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
    "two unequal CLs": (400, POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
    "CL list": (400, POST + b"Content-Length: 5, 5\r\n\r\nhello"),
    "CL +5": (400, POST + b"Content-Length: +5\r\n\r\nhello"),
    "CL -5": (400, POST + b"Content-Length: -5\r\n\r\nhello"),
    "CL 0x5": (400, POST + b"Content-Length: 0x5\r\n\r\nhello"),
    "CL 5 5": (400, POST + b"Content-Length: 5 5\r\n\r\nhello"),
    "CL empty": (400, POST + b"Content-Length:\r\n\r\n"),
    "CL overflow": (400, POST + b"Content-Length: 99999999999999999999999\r\n\r\n"),
    "TE xchunked": (400, POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    "TE gzip, chunked": (400, POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    "TE chunked, identity": (400, POST + b"Transfer-Encoding: chunked, identity\r\n\r\n"),
    "TE identity": (400, POST + b"Transfer-Encoding: identity\r\n\r\n"),
    "TE empty": (400, POST + b"Transfer-Encoding:\r\n\r\n0\r\n\r\n"),
    "TE quoted": (400, POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n'),
    "TE twice": (
        400,
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    "TE on HTTP/1.0": (
        400,
        b"POST / HTTP/1.0\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    "chunk size 0x5": (400, CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n"),
    "chunk size -5": (400, CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n"),
    "chunk size with a space": (400, CHUNKED + b"5 \r\nhello\r\n0\r\n\r\n"),
    "chunk size overflow": (400, CHUNKED + b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
    "chunk with bare LF": (400, CHUNKED + b"5\nhello\r\n0\r\n\r\n"),
    "chunk longer than its size": (400, CHUNKED + b"5\r\nhello!\r\n0\r\n\r\n"),
    "NUL in a trailer": (400, CHUNKED + b"5\r\nhello\r\n0\r\na: \x00\r\n\r\n"),
    "WebSocket": (
        400,
        get(headers=H + b"Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"),
    ),
    "TRACE": (405, get(b"TRACE / HTTP/1.1")),
    "CONNECT": (405, get(b"CONNECT a:1 HTTP/1.1")),
    "PROPFIND": (405, get(b"PROPFIND / HTTP/1.1")),
    "101 fields": (431, get(headers=H + fields(100))),
    "1,000 fields": (431, get(headers=H + fields(1000))),
    "20 KB header": (431, get(headers=H + b"a: " + b"b" * 20_000 + b"\r\n")),
    "20 KB header without an end": (431, b"GET / HTTP/1.1\r\n" + H + b"a: " + b"b" * 20_000),
    "1 MB header": (431, get(headers=H + b"a: " + b"b" * 1_000_000 + b"\r\n")),
    "20 KB of empty lines": (431, b"\r\n" * 10_000),
    "CL one over": (413, POST + b"Content-Length: 6291457\r\n\r\n"),
    "CL one over, awaiting 100": (
        413,
        POST + b"Expect: 100-continue\r\nContent-Length: 6291457\r\n\r\n",
    ),
    "100 KB of chunk extension": (413, CHUNKED + b"5;" + b"a" * 600_000),
    "1,000 trailers": (431, CHUNKED + b"0\r\n" + fields(1000) + b"\r\n"),
}
# What the app is given: the method, the path, and the body.
ACCEPTED: dict[str, tuple[tuple[str, str, bytes], bytes]] = {
    "plain": (("GET", "/hooks/1", b""), get()),
    "with a body": (("POST", "/hooks/1", b"hello"), POST + b"Content-Length: 5\r\n\r\nhello"),
    "empty body": (("POST", "/hooks/1", b""), POST + b"Content-Length: 0\r\n\r\n"),
    "HEAD-less PUT": (("PUT", "/a", b""), get(b"PUT /a HTTP/1.1")),
    "DELETE with a body": (
        ("DELETE", "/a", b"x"),
        b"DELETE /a HTTP/1.1\r\n" + H + b"Content-Length: 1\r\n\r\nx",
    ),
    "absolute form": (("GET", "/b", b""), get(b"GET http://hooks.test:80/b?c=d HTTP/1.1")),
    "absolute form without a path": (("GET", "/", b""), get(b"GET http://hooks.test HTTP/1.1")),
    "OPTIONS *": (("OPTIONS", "*", b""), get(b"OPTIONS * HTTP/1.1")),
    "percent-encoded": (("GET", "/a b/é%", b""), get(b"GET /a%20b/%C3%A9%25?q=%20 HTTP/1.1")),
    "bad percent": (("GET", "/%zz", b""), get(b"GET /%zz HTTP/1.1")),
    "two slashes": (("GET", "//a/b", b""), get(b"GET //a/b HTTP/1.1")),
    "8,000 bytes of target": (
        ("GET", "/" + "a" * 7999, b""),
        get(b"GET /" + b"a" * 7999 + b" HTTP/1.1"),
    ),
    "empty values": (("GET", "/hooks/1", b""), get(headers=H + b"a:\r\nb: \r\nc:\t\r\n")),
    "no space after colon": (("GET", "/hooks/1", b""), get(headers=b"Host:hooks.test\r\n")),
    "empty Host": (("GET", "/hooks/1", b""), get(headers=b"Host:\r\n")),
    "IPv6 Host": (("GET", "/hooks/1", b""), get(headers=b"Host: [::1]:80\r\n")),
    "Latin-1 in a value": (("GET", "/hooks/1", b""), get(headers=H + b"a: caf\xe9\tx\r\n")),
    "100 fields": (("GET", "/hooks/1", b""), get(headers=H + fields(99))),
    "15 KB of header": (("GET", "/hooks/1", b""), get(headers=H + fields(10, b"v" * 1500))),
    "HTTP/1.0 without Host": (("GET", "/", b""), b"GET / HTTP/1.0\r\n\r\n"),
    "empty line first": (("GET", "/hooks/1", b""), b"\r\n" + get()),
    "chunked": (
        ("POST", "/hooks/1", b"hello, you"),
        CHUNKED + b"5\r\nhello\r\n5\r\n, you\r\n0\r\n\r\n",
    ),
    "Chunked": (
        ("POST", "/hooks/1", b"hello"),
        POST + b"transfer-encoding: Chunked\r\n\r\n05\r\nhello\r\n0\r\n\r\n",
    ),
    "chunk extensions and trailers": (
        ("POST", "/hooks/1", b"hello"),
        CHUNKED + b'5;a=b;c="d e"\r\nhello\r\n0;z\r\nHost: evil\r\nx-sum: 1\r\n\r\n',
    ),
    "one-byte chunks": (
        ("POST", "/hooks/1", b"a" * 5000),
        CHUNKED + b"1\r\na\r\n" * 5000 + b"0\r\n\r\n",
    ),
    "h2c offered, as Java does": (
        ("POST", "/hooks/1", b"hello"),
        POST
        + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n"
        + b"Content-Length: 5\r\n\r\nhello",
    ),
    "h2c offered, chunked": (
        ("POST", "/hooks/1", b"hello"),
        POST
        + b"Connection: Upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n"
        + b"\r\n5\r\nhello\r\n0\r\n\r\n",
    ),
}


@dataclass
class App:
    """Reads the whole body and answers; keeps what it saw."""

    seen: list[tuple[str, str, bytes]] = field(default_factory=list)
    headers: list[list[tuple[bytes, bytes]]] = field(default_factory=list)
    called: int = 0
    disconnects: int = 0
    gate: asyncio.Event | None = None
    answer: bytes = b"ok"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.called += 1
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.disconnects += 1
                return
            body += message["body"]
            if not message["more_body"]:
                break
        self.seen.append((scope["method"], scope["path"], body))
        self.headers.append(scope["headers"])
        if self.gate is not None:
            await self.gate.wait()
        await respond(send, 200, self.answer)


async def respond(send: Any, status: int, body: bytes) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def serving(
    app: Callable[..., Awaitable[None]], limits: EdgeLimits | None = None
) -> AsyncIterator[Server]:
    server = Server(sweep_seconds=0.05)
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.ensure_future(server.serve(app, "127.0.0.1", 0, limits, ready=ready.set_result))
    try:
        assert await ready == server.port
        yield server
    finally:
        await server.stop(0)
        await asyncio.wait_for(task, DEADLINE)


@dataclass
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, *pieces: bytes) -> None:
        with suppress(ConnectionError):  # refused: it may have stopped listening
            for piece in pieces:
                self.writer.write(piece)
                await self.writer.drain()
                await asyncio.sleep(0)

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        async with asyncio.timeout(DEADLINE):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head[1:-2])
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return int(head[0].split()[1]), headers, body

    async def closed(self) -> bool:
        async with asyncio.timeout(DEADLINE):
            with suppress(ConnectionError):
                assert await self.reader.read() == b""
        return True

    async def ask(self, *pieces: bytes) -> int:
        await self.send(*pieces)
        return (await self.answer())[0]


@asynccontextmanager
async def connected(server: Server) -> AsyncIterator[Client]:
    assert server.port is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def splits(raw: bytes, seed: str) -> Iterable[tuple[str, list[bytes]]]:
    yield "whole", [raw]
    step = max(1, len(raw) // 100)
    yield "piecemeal", [raw[at : at + step] for at in range(0, len(raw), step)]
    cut = random.Random(seed).randrange(1, len(raw))
    yield f"cut at {cut}", [raw[:cut], raw[cut:]]


def test_a_request_that_may_mean_two_things_is_refused_however_it_is_split() -> None:
    async def one(name: str) -> None:
        status, raw = REFUSED[name]
        app = App()
        async with serving(app) as server:
            for how, pieces in splits(raw, name):
                async with connected(server) as client:
                    await client.send(*pieces)
                    got, headers, body = await client.answer()
                    assert got == status, (name, how, body)
                    assert headers["connection"] == "close", name
                    assert headers["content-type"] == "application/problem+json", name
                    problem = json.loads(body)
                    assert problem["status"] == status
                    assert problem["type"]
                    assert problem["title"]
                    assert problem["detail"].endswith("."), problem
                    assert server.counters.refused.pop(problem["code"]) == 1, name
                    assert server.counters.refused == {}, name
                    assert await client.closed(), name
            assert app.seen == [], name

    async def main() -> None:
        async with asyncio.TaskGroup() as group:  # each waits until its connections are closed
            for name in REFUSED:
                group.create_task(one(name))

    run_loop(main())


def test_an_uncommon_but_valid_request_is_accepted_however_it_is_split() -> None:
    async def main() -> None:
        app = App()
        async with serving(app) as server:
            for name, (expected, raw) in ACCEPTED.items():
                for how, pieces in splits(raw, name):
                    async with connected(server) as client:
                        assert await client.ask(*pieces) == 200, (name, how)
                    assert app.seen.pop() == expected, (name, how)
                    assert all(value != b"evil" for _, value in app.headers.pop()), name
            assert server.counters.refused == {}

    run_loop(main())


async def test_keep_alive_serves_one_request_after_another() -> None:
    app = App()
    async with serving(app) as server, connected(server) as client:
        for number in range(5):
            body = b"x" * number
            assert await client.ask(POST + b"Content-Length: %d\r\n\r\n%s" % (number, body)) == 200
        assert [body for _, _, body in app.seen] == [b"x" * number for number in range(5)]
        assert server.counters.connections == 1


async def test_pipelined_requests_are_answered_in_order() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await respond(send, 200, scope["path"].encode())

    async with serving(app) as server, connected(server) as client:
        await client.send(b"".join(get(b"GET /%d HTTP/1.1" % number) for number in range(50)))
        for number in range(50):
            assert (await client.answer())[2] == b"/%d" % number


async def test_a_refusal_waits_for_the_answers_before_it() -> None:
    app = App(gate=asyncio.Event())
    async with serving(app) as server, connected(server) as client:
        await client.send(get() + get(headers=b""))
        await until(lambda: app.called)
        assert server.counters.refused == {"host": 1}
        assert app.gate is not None
        app.gate.set()
        assert (await client.answer())[0] == 200
        assert (await client.answer())[0] == 400
        assert await client.closed()


async def test_a_request_whose_body_is_refused_while_it_queues_never_runs() -> None:
    app = App(gate=asyncio.Event())
    async with serving(app) as server, connected(server) as client:
        await client.send(get() + CHUNKED + b"5\r\nhello, you\r\n")
        await until(lambda: server.counters.refused == {"malformed": 1})
        assert app.gate is not None
        app.gate.set()
        assert [(await client.answer())[0] for _ in range(2)] == [200, 400]
        assert await client.closed()
        assert (app.called, app.disconnects) == (1, 0)


@for_each("seed", range(5))
def test_requests_sent_in_a_row_mean_the_same_wherever_the_stream_is_cut(seed: int) -> None:
    dice = random.Random(seed)
    lasting = [
        case for name, case in ACCEPTED.items() if "HTTP/1.0" not in name and "h2c" not in name
    ]
    cases = dice.choices(lasting, k=40)
    stream = b"".join(raw for _, raw in cases)
    cuts = sorted(dice.sample(range(1, len(stream)), 200))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]

    async def main() -> None:
        app = App()
        async with serving(app) as server, connected(server) as client:
            sending = asyncio.ensure_future(client.send(*pieces))
            for _ in cases:
                assert (await client.answer())[0] == 200
            await sending
        assert app.seen == [expected for expected, _ in cases]

    run_loop(main())


async def test_too_many_requests_sent_ahead_are_refused_behind_those_that_fit() -> None:
    async with (
        serving(App(), EdgeLimits(pipelined=3)) as server,
        connected(server) as client,
    ):
        await client.send(get() * 10)
        assert [(await client.answer())[0] for _ in range(5)] == [200] * 4 + [429]
        assert await client.closed()


async def test_a_body_of_20_mb_is_refused_without_the_app_being_called() -> None:
    app = App()
    async with serving(app) as server, connected(server) as client:
        sending = asyncio.ensure_future(
            client.send(POST + b"Content-Length: 20000000\r\n\r\n", *[bytes(100_000)] * 200)
        )
        assert (await client.answer())[0] == 413
        await sending
        assert app.called == 0


async def test_a_chunked_body_over_the_cap_never_reaches_the_app_as_complete() -> None:
    app = App()
    chunk = b"186a0\r\n" + bytes(100_000) + b"\r\n"
    async with serving(app, EdgeLimits(body_bytes=250_000)) as server:
        async with connected(server) as client:
            assert await client.ask(CHUNKED, chunk, chunk, b"0\r\n\r\n") == 200
        async with connected(server) as client:
            assert await client.ask(CHUNKED, chunk, chunk, chunk, b"0\r\n\r\n") == 413
            assert await client.closed()
        await until(lambda: app.disconnects == 1)
        assert [len(body) for _, _, body in app.seen] == [200_000]


@for_each("head", [POST + b"Content-Length: 10\r\n\r\nhello", CHUNKED + b"5\r\nhello\r\n"])
async def test_a_truncated_body_is_a_disconnect_and_never_complete(head: bytes) -> None:
    app = App()
    async with serving(app) as server:
        async with connected(server) as client:
            await client.send(head)
            await until(lambda: app.called)
        await until(lambda: app.disconnects == 1)
        assert app.seen == []
        assert server.counters.cut_off == 1


async def test_a_client_that_leaves_tells_the_running_request_not_only_the_newest() -> None:
    left: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        left.append(scope["path"])

    async with serving(app) as server:
        async with connected(server) as client:
            await client.send(get(b"GET /1 HTTP/1.1") + get(b"GET /2 HTTP/1.1"))
            await until(lambda: server.counters.requests == 2)
        await until(lambda: left == ["/1"])


async def test_a_body_is_invited_with_100_continue() -> None:
    app = App()
    async with serving(app) as server, connected(server) as client:
        await client.send(POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        assert (await client.answer())[0] == 100
        assert await client.ask(b"hello") == 200
        assert app.seen == [("POST", "/hooks/1", b"hello")]
        assert await client.ask(get()) == 200


async def test_an_answer_in_place_of_100_closes_for_it_is_unknown_whether_a_body_follows() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await respond(send, 404, b"")

    async with serving(app) as server, connected(server) as client:
        await client.send(POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        status, headers, _ = await client.answer()
        assert (status, headers["connection"]) == (404, "close")
        assert await client.closed()


async def test_200_clients_that_dawdle_over_headers_are_cut_and_delay_nobody() -> None:
    async with serving(App(), EdgeLimits(header_seconds=0.5)) as server:
        slow = [connected(server) for _ in range(200)]
        clients = list[Client]()
        for one in slow:
            clients.append(await one.__aenter__())
            await clients[-1].send(b"GET / HTTP/1.1\r\nHo")  # one that sends nothing is just closed
        async with connected(server) as good:
            assert await good.ask(get()) == 200
        for client in clients:
            assert (await client.answer())[0] == 408
        assert server.counters.refused == {"header_timeout": 200}
        for one in slow:
            await one.__aexit__(None, None, None)


async def test_a_client_that_says_nothing_is_closed_without_a_word() -> None:
    async with serving(App(), EdgeLimits(header_seconds=0.1)) as server:
        async with connected(server) as client:
            assert await client.closed()
        assert server.counters.refused == {}


async def test_a_body_that_misses_its_deadline_is_refused() -> None:
    app = App()
    async with (
        serving(app, EdgeLimits(body_seconds=0.2)) as server,
        connected(server) as client,
    ):
        assert await client.ask(POST + b"Content-Length: 10\r\n\r\nhello") == 408
        assert await client.closed()
        assert (app.seen, app.disconnects) == ([], 1)


async def test_a_body_below_the_least_rate_is_refused_long_before_its_deadline() -> None:
    async with (
        serving(App(), EdgeLimits(body_rate=1_000_000, body_rate_after=0.1)) as server,
        connected(server) as client,
    ):
        assert await client.ask(POST + b"Content-Length: 100000\r\n\r\nhello") == 408
        assert server.counters.refused == {"body_timeout": 1}


async def test_a_client_is_not_blamed_for_a_body_that_the_app_does_not_read() -> None:
    gate = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await gate.wait()
        size = 0
        while True:
            message = await receive()
            size += len(message["body"])
            if not message["more_body"]:
                break
        await respond(send, 200, b"%d" % size)

    limits = EdgeLimits(body_seconds=1.0, header_seconds=1.0)
    async with serving(app, limits) as server, connected(server) as client:
        sending = asyncio.ensure_future(
            client.send(POST + b"Content-Length: 4000000\r\n\r\n", *[bytes(100_000)] * 40)
        )
        async with connected(server) as witness:
            assert await witness.closed()  # a deadline passes meanwhile
        async with connected(server) as witness:
            assert await witness.ask(POST + b"Content-Length: 1\r\n\r\n") == 408
        gate.set()
        assert (await client.answer())[2] == b"4000000"
        await sending


async def test_an_idle_connection_is_closed_after_a_while() -> None:
    async with (
        serving(App(), EdgeLimits(idle_seconds=0.2)) as server,
        connected(server) as client,
    ):
        assert await client.ask(get()) == 200
        assert await client.closed()


async def test_a_client_that_never_reads_its_response_is_dropped_and_blocks_nobody() -> None:
    big = App(answer=bytes(50_000_000))
    async with serving(big, EdgeLimits(idle_seconds=0.5)) as server, connected(server) as slow:
        await slow.send(get())
        await until(lambda: big.called == 1)
        slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
        async with connected(server) as other:
            assert await other.ask(get(headers=b"")) == 400
        await until(lambda: server._edge is not None and not server._edge.connections)


async def test_connections_beyond_the_limits_are_turned_away() -> None:
    limits = EdgeLimits(connections=3, connections_per_address=2)
    async with serving(App(), limits) as server:
        async with connected(server) as one, connected(server) as two:
            assert await one.ask(get()) == 200
            assert await two.ask(get()) == 200
            async with connected(server) as three:
                status, headers, _ = await three.answer()
                assert (status, headers["retry-after"]) == (429, "1")
                assert await three.closed()
            assert await one.ask(get()) == 200
        await until(lambda: server._edge is not None and not server._edge.connections)
        async with connected(server) as again:
            assert await again.ask(get()) == 200


async def test_a_trusted_proxy_is_not_counted_by_address_but_within_the_whole() -> None:
    app = App()
    limits = EdgeLimits(connections=2, connections_per_address=1, trusted_proxies=("127.0.0.0/8",))
    async with (
        serving(app, limits) as server,
        connected(server) as one,
        connected(server) as two,
        connected(server) as three,
    ):
        status, headers, _ = await three.answer()
        assert (status, headers["retry-after"]) == (503, "1")
        assert await one.ask(get()) == 200
        assert await two.ask(get()) == 200


@for_each(("trusted", "expected"), [((), "127.0.0.1"), (("127.0.0.1",), "192.0.2.7")])
async def test_only_a_trusted_proxy_says_whom_it_speaks_for(
    trusted: tuple[str, ...], expected: str
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await respond(send, 200, scope["client"][0].encode())

    async with (
        serving(app, EdgeLimits(trusted_proxies=trusted)) as server,
        connected(server) as client,
    ):
        await client.send(get(headers=H + b"X-Forwarded-For: 192.0.2.7\r\n"))
        assert (await client.answer())[2] == expected.encode()


@for_each(
    ("headers", "client", "scheme"),
    [
        (b"X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n", "192.0.2.7", "https"),
        # A sender writes what it likes before what its proxy adds.
        (b"X-Forwarded-For: 10.0.0.1, 192.0.2.7\r\n", "192.0.2.7", "http"),
        (b"X-Forwarded-For: 127.0.0.1, 192.0.2.7\r\n", "192.0.2.7", "http"),
        (b"X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-For: 192.0.2.7\r\n", "192.0.2.7", "http"),
        # A second proxy that is trusted too.
        (b"X-Forwarded-For: 192.0.2.7, 127.0.0.9\r\n", "192.0.2.7", "http"),
        (b"X-Forwarded-For: [2001:db8::1]:443\r\n", "2001:db8::1", "http"),
        (b"X-Forwarded-Proto: javascript\r\n", "127.0.0.1", "http"),
        (b"Forwarded: for=192.0.2.7\r\nX-Real-IP: 192.0.2.7\r\n", "127.0.0.1", "http"),
    ],
)
async def test_what_a_sender_writes_before_its_proxy_changes_nothing(
    headers: bytes, client: str, scheme: str
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await respond(send, 200, f"{scope['client'][0]} {scope['scheme']}".encode())

    async with (
        serving(app, EdgeLimits(trusted_proxies=("127.0.0.0/8",))) as server,
        connected(server) as proxy,
    ):
        await proxy.send(get(headers=H + headers))
        assert (await proxy.answer())[2].decode() == f"{client} {scheme}"


async def test_requests_under_way_are_bounded_for_each_sender_behind_a_proxy() -> None:
    release = asyncio.Event()
    under_way = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal under_way
        under_way += 1
        await release.wait()
        await respond(send, 200, b"")

    limits = EdgeLimits(connections_per_address=1, trusted_proxies=("127.0.0.0/8",))
    mine = get(headers=H + b"X-Forwarded-For: 2001:db8::1\r\n")
    # The same network, behind an address that the sender made up.
    spoofed = get(headers=H + b"X-Forwarded-For: 192.0.2.1, 2001:db8::2\r\n")
    others = get(headers=H + b"X-Forwarded-For: 2001:db8:1::1\r\n")
    async with (
        serving(app, limits) as server,
        connected(server) as one,
        connected(server) as two,
        connected(server) as three,
    ):
        await one.send(mine)
        await until(lambda: under_way == 1)
        await two.send(spoofed)
        status, headers, body = await two.answer()
        assert (status, headers["retry-after"]) == (429, "1")
        assert b'"address_requests"' in body
        assert server.counters.refused == {"address_requests": 1}
        await three.send(others)
        await until(lambda: under_way == 2)
        release.set()
        assert (await one.answer())[0] == (await three.answer())[0] == 200
        assert await two.ask(spoofed) == 200


async def test_stopping_finishes_what_runs_closes_what_idles_and_refuses_what_is_new() -> None:
    app = App()
    async with serving(app) as server, connected(server) as idle, connected(server) as busy:
        assert await idle.ask(get()) == 200
        app.gate = asyncio.Event()
        await busy.send(POST + b"Content-Length: 5\r\n\r\nhello")
        await until(lambda: app.called == 2)
        stopping = asyncio.ensure_future(server.stop(10))
        assert await idle.closed()
        assert server.port is not None
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", server.port)
        assert not stopping.done()
        app.gate.set()
        status, headers, body = await busy.answer()
        assert (status, headers["connection"], body) == (200, "close", b"ok")
        await asyncio.wait_for(stopping, DEADLINE)


@pytest.mark.filterwarnings("default")
async def test_stopping_without_grace_cancels_what_runs(caplog: pytest.LogCaptureFixture) -> None:
    app = App(gate=asyncio.Event())
    async with serving(app) as server, connected(server) as client:
        await client.send(get())
        await until(lambda: app.called)
        await asyncio.wait_for(server.stop(0), DEADLINE)
        status, headers, body = await client.answer()
        assert (status, headers["content-type"]) == (500, "application/problem+json")
        assert json.loads(body)["status"] == 500
    assert [each.name for each in caplog.records if each.exc_info] == []


async def test_a_port_in_use_is_an_error_that_says_so() -> None:
    async with serving(App()) as server:
        assert server.port is not None
        why = rf"^Cannot listen on 127.0.0.1:{server.port}: Address already in use\. Stop"
        with pytest.raises(HalflapError, match=why):
            await Server().serve(App(), "127.0.0.1", server.port)


async def test_a_cancelled_server_leaves_nothing_behind() -> None:
    server = Server()
    ready = asyncio.Event()
    task = asyncio.ensure_future(
        server.serve(App(), "127.0.0.1", 0, ready=lambda port: ready.set())
    )
    await ready.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert server.port is not None
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", server.port)
