"""A fake app: it answers what a test registered, so that real actions run with no network."""

from __future__ import annotations

import re
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast
from urllib.parse import parse_qsl

from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from halflap.errors import DefinitionError
from halflap.sdk import codec
from halflap.sdk.connection import Connection, Link
from halflap.sdk.egress import Download, Egress, Limits, Response
from halflap.sdk.outgoing import Outgoing, encoded, pairs
from halflap.sdk.payload import Payload
from halflap.sdk.response import failure
from halflap.sdk.schema import File
from halflap.sdk.trigger import Reply
from halflap.testing.sample import sample_connection

ConnectionT = TypeVar("ConnectionT", bound=Connection)
UNSAID: Any = ...


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that an action sent; `path` is below the connection's `base_url`."""

    method: str
    path: str
    url: str
    params: dict[str, str]
    headers: CIMultiDictProxy[str] = field(repr=False)
    body: bytes = b""
    files: Mapping[str, File] = field(default_factory=dict[str, File])

    @property
    def json(self) -> Any:
        """The body as JSON, with exact numbers; None where there is no body."""
        return codec.decode(self.body) if self.body else None

    @property
    def form(self) -> dict[str, str]:
        """The body as a urlencoded form, the first value of each field."""
        return dict(reversed(parse_qsl(self.body.decode(), keep_blank_values=True)))

    @property
    def idempotency_key(self) -> str | None:
        """The key that is the same on every try of the step; None outside a step."""
        return self.headers.get("Idempotency-Key")


class FakeRoute:
    """The fake's answer to one kind of request; `then` is its next answer."""

    def __init__(self, method: str, path: str, params: Mapping[str, Any] | None) -> None:
        self.method = method
        self.path = path
        self.params = dict(pairs(params or {}, "params"))
        self.requests: list[Sent] = []
        self._answers: list[Any] = []
        parts = re.split(r"\{[^{}/]*\}", path)
        self._pattern = re.compile("[^/?]+".join(map(re.escape, parts)))
        self.rank = (len(self.params), -len(parts))

    def then(
        self,
        answers: Any = UNSAID,
        *,
        status: int | None = None,
        json: Any = UNSAID,
        headers: Mapping[str, str] | None = None,
        error: Exception | None = None,
    ) -> FakeRoute:
        """Answer this the next time; the last answer is given ever after."""
        if error is not None:
            self._answers.append(error)
            return self
        body = json if json is not UNSAID else answers
        if isinstance(body, Reply | Exception) or callable(body):
            self._answers.append(body)
        else:
            if body is UNSAID:
                answer = Reply(status or 204, b"", headers or {})
            else:
                answer = json_reply(body, status or 200, headers)
            self._answers.append(answer)
        return self

    def takes(self, sent: Sent) -> bool:
        """Return whether the request is of this route's kind."""
        return (
            self.method == sent.method
            and any(self._pattern.fullmatch(each) for each in addresses(sent))
            and all(sent.params.get(name) == value for name, value in self.params.items())
        )

    def answer(self, sent: Sent) -> Reply | Exception:
        """The answer to a request."""
        self.requests.append(sent)
        found = self._answers[0] if len(self._answers) == 1 else self._answers.pop(0)
        if callable(found):
            found = found(sent)
        if isinstance(found, Reply | Exception):
            return found
        return json_reply(found)

    def __repr__(self) -> str:
        query = "&".join(f"{name}={value}" for name, value in self.params.items())
        return f"{self.method} {self.path}{'?' if query else ''}{query}"


class Fake:
    """The apps that a test's actions call: register answers, run, look at `requests`.

    A path is below the connection's `base_url`, or a whole URL; `{name}` stands for any part of it
    (`/stock/{item}/add`). Of several routes that take a request the one with the most `params`
    answers, then the newest. `answers` is JSON (or a model), a `Reply`, or a function of the `Sent`
    request that returns one of these; `status`, `headers` and `error` make it fail as an app would.
    """

    def __init__(self) -> None:
        self.requests: list[Sent] = []
        self.mistakes: list[DefinitionError] = []
        self._routes: list[FakeRoute] = []

    def on(self, method: str, path: str, answers: Any = UNSAID, **more: Any) -> FakeRoute:
        """Register what is answered to a method and path (see `Route.then` for the rest)."""
        route = FakeRoute(method.upper(), path, more.pop("params", None)).then(answers, **more)
        self._routes.append(route)
        return route

    def get(self, path: str, answers: Any = UNSAID, **more: Any) -> FakeRoute:
        """Register the answer to a GET."""
        return self.on("GET", path, answers, **more)

    def post(self, path: str, answers: Any = UNSAID, **more: Any) -> FakeRoute:
        """Register the answer to a POST."""
        return self.on("POST", path, answers, **more)

    def put(self, path: str, answers: Any = UNSAID, **more: Any) -> FakeRoute:
        """Register the answer to a PUT."""
        return self.on("PUT", path, answers, **more)

    def patch(self, path: str, answers: Any = UNSAID, **more: Any) -> FakeRoute:
        """Register the answer to a PATCH."""
        return self.on("PATCH", path, answers, **more)

    def delete(self, path: str, answers: Any = UNSAID, **more: Any) -> FakeRoute:
        """Register the answer to a DELETE."""
        return self.on("DELETE", path, answers, **more)

    def connection(self, kind: type[ConnectionT], **fields: Any) -> ConnectionT:
        """A real connection of a component, whose requests come here; fields left out are made up."""
        return self.link(sample_connection(kind, fields), kind.__name__.lower())

    def link(self, connection: ConnectionT, name: str) -> ConnectionT:
        """The same connection, with its requests coming here."""
        linked = connection.model_copy()
        linked._link = Link(
            name, egress=FakeEgress(self, getattr(connection, "base_url", "") or "")
        )
        return linked

    def respond(self, sent: Sent) -> Reply | Exception:
        """The answer to a request; one that nobody registered is a mistake of the test."""
        self.requests.append(sent)
        fitting = [
            (route.rank, number) for number, route in enumerate(self._routes) if route.takes(sent)
        ]
        if fitting:
            return self._routes[max(fitting)[1]].answer(sent)
        known = ", ".join(map(repr, self._routes)) or "nothing"
        query = "&".join(f"{name}={value}" for name, value in sent.params.items())
        error = DefinitionError(
            f"the fake does not expect {sent.method} {sent.path}{'?' if query else ''}{query}; "
            f"registered: {known}; add fake.{sent.method.lower()}({sent.path!r}, answers=…)"
        )
        self.mistakes.append(error)
        return error


class FakeEgress(Egress):
    """The egress of a connection in a test: what is sent through it reaches a `Fake`."""

    def __init__(self, fake: Fake, base: str = "") -> None:
        self._fake = fake
        self._base = base.rstrip("/")

    async def dial(self, host: str, port: int, ports: frozenset[int]) -> socket.socket:
        raise DefinitionError(f"a fake answers HTTP, and not {host}:{port}; stub the action")

    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = ...,
        form: Mapping[str, Any] | None = None,
        body: bytes | Payload | None = None,
        files: Mapping[str, File] | None = None,
        limits: Limits | None = None,
    ) -> Response:
        """Hand a request to the fake; redirects are not followed."""
        if isinstance(body, Payload):
            headers = {"Content-Type": body.content_type, **(headers or {})}
            body = await body.read()
        outgoing = Outgoing(method, params, headers, await encoded(json), form, body, files)
        target = URL(url).extend_query(outgoing.query or [])
        sent = self._sent(outgoing, target, files or {})
        reply = self._fake.respond(sent)
        if isinstance(reply, OSError | TimeoutError):
            raise failure(sent.method, target, limits or Limits(), reply)
        if isinstance(reply, Exception):
            raise reply
        return response_of(reply, sent)

    @asynccontextmanager
    async def stream(self, method: str, url: str, **more: Any) -> AsyncGenerator[Download]:
        """Hand a request to the fake; its answer comes as one chunk."""
        response = await self.request(method, url, **more)
        response.raise_for_status()
        yield cast(Download, Chunk(response))

    async def close(self) -> None:
        """There is nothing to close."""

    def _sent(self, outgoing: Outgoing, url: URL, files: Mapping[str, File]) -> Sent:
        whole = str(url.with_query(None))
        below = whole.removeprefix(self._base) if self._base else url.path
        return Sent(
            method=outgoing.method,
            path=below or "/",
            url=str(url),
            params={name: url.query[name] for name in url.query},
            headers=CIMultiDictProxy(outgoing.headers),
            body=outgoing._body or b"",
            files=files,
        )


class Chunk:
    """An answer that is read as a stream."""

    def __init__(self, response: Response) -> None:
        self.status, self.headers, self.url = response.status, response.headers, response.url
        self._body = response.body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The whole body at once."""
        yield self._body


def addresses(sent: Sent) -> tuple[str, ...]:
    """The ways in which a route may name where a request went."""
    whole = URL(sent.url).with_query(None)
    return sent.path, whole.path, str(whole)


def response_of(reply: Reply, sent: Sent) -> Response:
    """A `Reply` as the response that an action sees."""
    headers = CIMultiDict(reply.headers)
    match reply.body:
        case bytes() as body:
            pass
        case str() as text:
            body = text.encode()
            headers.setdefault("Content-Type", "text/plain; charset=utf-8")
        case value:
            body = codec.encode(value)
            headers.setdefault("Content-Type", "application/json")
    return Response(reply.status, CIMultiDictProxy(headers), body, sent.url, sent.method)


def json_reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """A value as a JSON answer; bytes as they are."""
    if isinstance(value, bytes):
        return Reply(status, value, headers or {})
    return Reply(
        status, codec.encode(value), {"Content-Type": "application/json", **(headers or {})}
    )
