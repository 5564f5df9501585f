"""Paths that hold data: one encoded segment a value, and no way out of a connection's base path."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from yarl import URL

from halflap import UNSET, DefinitionError, EgressRefused, Unauthorized, http
from halflap.sdk.connection import Link
from halflap.sdk.egress import Egress, Policy
from halflap.sdk.urlpath import climbs, encode_segment, fill_path, join_path
from halflap.testing import Fake, Run
from tests.cases import for_each
from tests.lowcode.documents import built

BASE = "https://api.example/v1"

CLIMBING = [
    "../_calls",
    "/../_calls",
    "..",
    "customers/..",
    "customers/../../_calls",
    "./_calls",
    "customers/./7",
    "%2e%2e/_calls",
    "/%2E%2e/_calls",
    ".%2e/_calls",
    "%2e./_calls",
    "customers/%2e%2e/%2e%2e/_calls",
    "%252e%252e/_calls",
    "%25252e%25252e/_calls",
    "..%2f_calls",
    "..%252f_calls",
    "..\\_calls",
    "..%5c_calls",
    "customers\\..\\..\\_calls",
    "..;/_calls",
    "..;a=b/_calls",
    "%2e%2e;/_calls",
    "..%3b/_calls",
    "..%20/_calls",
    "../_calls?x=1",
    "../_calls#x",
    "https://api.example/v1/../_calls",
    "https://api.example/v1/%2e%2e/_calls",
    "https://api.example/v1\\..\\_calls",
]

STAYING = [
    "customers/7",
    "/customers/7",
    "//customers",
    ".well-known/x",
    "a..b/...",
    "files/.hidden",
    "x%2Fy",
    "a%20b",
    "50%",
    "search?q=../..",
    "x#../..",
    "x?next=https://other.example/..",
    "https://api.example/v1",
    "https://api.example/v1?x=1",
    "https://api.example/v1/customers/7",
]


@dataclass
class Destination:
    """A server that records the target of each request."""

    port: int = 0
    tasks: list[asyncio.Task[Any] | None] = field(default_factory=list[Any])
    targets: list[str] = field(default_factory=list[str])

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tasks.append(asyncio.current_task())
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.targets.append(head.split(b" ")[1].decode())
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()
            await writer.wait_closed()


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Destination, Egress]]:
    destination = Destination()
    server = await asyncio.start_server(destination, "127.0.0.1", 0)
    egress = Egress(Policy(allow=("127.0.0.1",)))
    async with server:
        destination.port = server.sockets[0].getsockname()[1]
        yield destination, egress
        await egress.close()
        await asyncio.gather(*filter(None, destination.tasks))


def connection(destination: Destination, egress: Egress) -> http.Http:
    made = http.Http(base_url=f"http://127.0.0.1:{destination.port}/v1", token=SecretStr("t"))
    made._link = Link("api", egress=egress)
    return made


@for_each("path", CLIMBING)
async def test_a_path_that_climbs_is_refused_before_anything_is_sent(path: str) -> None:
    async with serving() as (destination, egress):
        path = path.replace("https://api.example", f"http://127.0.0.1:{destination.port}")
        api = connection(destination, egress)
        for call in (http.get, http.delete, http.put, http.patch, http.post, http.pages):
            with pytest.raises(EgressRefused, match=r"segment \. or \.\."):
                await call(api, path)
        with pytest.raises(EgressRefused):
            await http.request(api, "GET", path, fail=False)
        with pytest.raises(EgressRefused):
            await api.file(path)
        assert destination.targets == []


async def test_without_the_refusal_it_would_reach_what_is_outside() -> None:
    """The control: the same URL, sent without a connection, leaves the base path."""
    async with serving() as (destination, egress):
        await egress.request("GET", f"http://127.0.0.1:{destination.port}/v1/../_calls")
        await egress.request("GET", f"http://127.0.0.1:{destination.port}/v1/%2e%2e/_calls")
        assert destination.targets == ["/_calls", "/_calls"]


@for_each("path", STAYING)
def test_an_ordinary_path_is_joined_to_the_base(path: str) -> None:
    url = URL(join_path(BASE, path))
    assert (url.host, url.path.startswith("/v1")) == ("api.example", True)


@pytest.mark.parametrize(
    "url", ["https://api.example/v2", "https://api.example/v10/x", "https://api.example/"]
)
def test_a_url_of_the_same_host_outside_of_the_base_is_refused(url: str) -> None:
    with pytest.raises(EgressRefused, match="not below the base_url"):
        join_path(BASE, url)
    assert join_path("https://api.example", url) == url


@pytest.mark.parametrize("url", ["https://evil.example/v1", "http://api.example/v1", "x://y/v1"])
def test_a_url_of_another_origin_is_refused(url: str) -> None:
    with pytest.raises(Unauthorized, match="not the app"):
        join_path(BASE, url)


async def test_a_value_becomes_one_segment(fake: Fake) -> None:
    fake.on("GET", "/customers/{id}", {})
    api = fake.connection(http.Http)
    await http.get(api, "/customers/{id}", values={"id": "a/b?c#d %2e"})
    await api.get("/customers/{id}", values={"id": 7})
    await api.file("/customers/{id}", values={"id": "ü"})
    assert [each.path for each in fake.requests] == [
        "/customers/a%2Fb%3Fc%23d%20%252e",
        "/customers/7",
        "/customers/%C3%BC",
    ]


@for_each("value", ["", ".", "..", None, UNSET, "\ud800"])
async def test_a_value_that_is_no_segment_is_refused(value: Any) -> None:
    async with serving() as (destination, egress):
        with pytest.raises(EgressRefused, match="id"):
            await connection(destination, egress).delete("/customers/{id}", values={"id": value})
        assert destination.targets == []


@for_each("value", ["../x", "%2e%2e", "..%2f..", "a/../../b", "..\\", "..;"])
async def test_a_value_in_which_a_server_might_read_a_way_out_is_refused(value: str) -> None:
    async with serving() as (destination, egress):
        with pytest.raises(EgressRefused):
            await connection(destination, egress).get("/customers/{id}", values={"id": value})
        assert destination.targets == []


def test_places_and_values_match() -> None:
    with pytest.raises(EgressRefused, match="value id is empty"):
        fill_path("/customers/{id}", {})
    with pytest.raises(DefinitionError, match=r"no place \{name\}"):
        fill_path("/customers/{id}", {"id": 1, "name": "x"})
    with pytest.raises(DefinitionError, match="cannot be sent"):
        fill_path("/customers/{id}", {"id": {}})
    assert fill_path("/{a}/x/{b}-{a}", {"a": 1, "b": True}) == "/1/x/true-1"


@given(st.text(max_size=20))
def test_no_value_leaves_its_segment(value: str) -> None:
    try:
        segment = encode_segment(value)
    except EgressRefused:
        return
    assert "/" not in segment
    assert unquote(segment) == value


@given(st.lists(st.sampled_from([".", "%2e", "%252E", "/", "%2f", "\\", "a", ";", "%"])))
def test_no_path_that_is_let_through_climbs(parts: list[str]) -> None:
    path = "".join(parts)
    if climbs(path):
        return
    for _ in range(4):
        below = path.replace("\\", "/").split("/")
        assert not {each.split(";")[0] for each in below} & {".", ".."}
        path = unquote(path)


DOCUMENT = """\
name: tried
config:
  Connect:
    api: {connection: http}
flows:
  main:
    trigger: webhook.request
    steps:
      - action: http.get
        with: %s
"""


@for_each(
    ("inputs", "event"),
    [
        ("{path: =event.path}", {"path": "../_calls"}),
        ("{path: =event.path}", {"path": "/customers/%2e%2e/%2e%2e/_calls"}),
        ("{path: =event.path}", {"path": "https://api.test/other"}),
        ("{path: \"='/customers/' & $encodeUrlComponent(event.id)\"}", {"id": ".."}),
        ('{path: "/customers/{id}", values: {id: =event.id}}', {"id": ".."}),
        ('{path: "/customers/{id}", values: {id: =event.id}}', {"id": ""}),
        ('{path: "/customers/{id}", values: {id: =event.id}}', {}),
    ],
)
async def test_a_document_cannot_climb(
    run: Run, fake: Fake, inputs: str, event: dict[str, Any]
) -> None:
    fake.get("{any}", answers={})
    integration = built(DOCUMENT % inputs)
    config = {"api": fake.connection(http.Http, base_url="https://api.test/v1")}
    result = await run(
        integration.flows["main"], event, integration=integration, fake=fake, config=config
    )
    with pytest.raises(AssertionError, match=r"segment \. or \.\.|value id |base_url"):
        result.raise_for_failure()
    assert fake.requests == []


async def test_a_document_gives_data_as_one_segment(run: Run, fake: Fake) -> None:
    fake.get("/customers/{id}", answers={})
    integration = built(DOCUMENT % '{path: "/customers/{id}", values: {id: =event.id}}')
    flow = integration.flows["main"]
    result = await run(flow, {"id": "7/8"}, integration=integration, fake=fake)
    result.raise_for_failure()
    assert [each.path for each in fake.requests] == ["/customers/7%2F8"]
