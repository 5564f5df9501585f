"""A connection: how to reach one account of an app."""

from __future__ import annotations

import re
import socket
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast
from urllib.parse import urljoin, urlsplit

from pydantic import BaseModel, ConfigDict, PrivateAttr, field_validator

from halflap.errors import (
    STATUSES_IN_DOUBT,
    DefinitionError,
    InputsRefused,
    Unauthorized,
    UpstreamError,
)
from halflap.model import new_id
from halflap.sdk import running
from halflap.sdk.egress import Download, Egress, Limits, Response, WebSocket
from halflap.sdk.gate import Gate
from halflap.sdk.payload import Payload
from halflap.sdk.response import METHODS_WITH_EFFECT, REPEATABLE_METHODS
from halflap.sdk.schema import File, tell_unasked
from halflap.sdk.urlpath import fill_path, join_path

if TYPE_CHECKING:
    from halflap.sdk.app_endpoint import AppEndpoint

egress: ContextVar[Egress | None] = ContextVar("halflap.egress", default=None)
_default_egress: Egress | None = None
ENDLESS = Limits(total=0.0, response_bytes=1 << 62)
"""The limits of a stream: no time in all, and no size."""


@dataclass(slots=True)
class Link:
    """The link of a connection to its stored account: its name in the config, its refresh, its
    gate.
    """

    name: str
    id: str | None = None
    egress: Egress | None = None
    refresh: Callable[[Connection], Awaitable[Connection]] | None = None
    gate: Gate | None = None


class Connection(BaseModel):
    """A connection to one account of an app. Subclass it with the fields that its customer fills
    in.

    Secret fields are `SecretStr`: write-only, sealed at rest, never logged. Override `headers` to sign
    requests and `test` to check the account before it is saved. Several ways in stand under one type
    as a field `auth: OAuth2Code | ApiKey`, told apart by a `kind`. A field `base_url` is where the
    app's paths begin.
    """

    model_config = ConfigDict(
        extra="forbid", use_attribute_docstrings=True, json_schema_extra=tell_unasked
    )

    limits: ClassVar[Limits] = Limits()
    idempotency_header: ClassVar[str | None] = None
    """The header by which the app knows a repeated request, where it does: `Idempotency-Key`.

    Without one, a POST or PATCH that may have been carried out is not sent again.
    """
    most_pages: ClassVar[int] = 1_000
    """The number of pages of a list that are read at most: an app could name a next one for ever."""
    app_endpoint: ClassVar[AppEndpoint | None] = None
    """The way in which the app sends the events of all accounts to one URL, where it does so."""
    _component: ClassVar[str] = ""

    _link: Link | None = PrivateAttr(default=None)
    _sealed: dict[str, str] = PrivateAttr(default_factory=dict)
    """The secrets that it was put together of, by dotted path, whatever the types of its fields say."""

    @field_validator("base_url", check_fields=False)
    @classmethod
    def _base_url_is_a_base(cls, base_url: Any) -> Any:
        if isinstance(base_url, str) and re.search(r"[?#]", base_url):
            raise ValueError(
                "has a query or a fragment, behind which no path can be joined; leave out what follows "
                "the ? or #, and send parameters with each request (`params`)"
            )
        return base_url

    def headers(self) -> dict[str, str]:
        """Headers of every request."""
        auth = self._auth()
        headers: Callable[[], dict[str, str]] | None = getattr(auth, "headers", None)
        return headers() if headers is not None else {}

    async def test(self) -> None:
        """Check that the account can be reached; raise what is wrong. Called before it is saved.

        Raises `NotImplementedError` where there is nothing to check it by: then the connection is
        shown as not tested.
        """
        raise NotImplementedError

    async def current(self, kind: str, id: str, fields: Sequence[str]) -> Mapping[str, Any] | None:
        """A record as it is at the app now, by the app's names; None where it is gone.

        Override it, so that flows with `pairs=` see what is true now and not what an event that
        came late says, and so that the master's newer values are seen before they are overwritten.
        More fields than were asked for are fine; one that is left out counts as empty. Raises
        `NotImplementedError` where the app cannot be asked: then events are taken as they come.
        """
        raise NotImplementedError

    async def request(
        self,
        method: str,
        path: str,
        *,
        values: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = ...,
        form: Mapping[str, str] | None = None,
        body: bytes | Payload | None = None,
        files: Mapping[str, File] | None = None,
        check: bool = True,
        adds: bool = False,
    ) -> Response:
        """Send a request to the app and return the whole response.

        `path` is joined to `base_url`; an absolute URL must be below it, so that credentials stay
        at home. Data goes into a path by `values`, each as one encoded segment:
        `request("GET", "/customers/{id}", values={"id": id})`. Requests with an effect carry an
        `Idempotency-Key` that is the same on every try of the step. A `Payload` is sent as it is
        read, and never held. `adds` says that a PUT or DELETE does more each time, as a POST does: one
        that may have been carried out is not sent again.
        Raises `EgressRefused` where the path leads out of `base_url`, and `UpstreamError`,
        `RateLimited` or `Unauthorized`, unless `check` is False. Credentials that were refused are
        refreshed once, where the connection can.
        """
        if values is not None:
            path = fill_path(path, values)
        link = self._linked()
        method = method.upper()
        current = running.step.get()
        key = current.next_key() if current and method in METHODS_WITH_EFFECT else ""
        honours_keys = self.honoured_header() is not None
        safe = (method in REPEATABLE_METHODS and not adds) or honours_keys
        gate = None if link is None else link.gate
        if current is not None:
            current.once, current.keyed = not safe, honours_keys and key != ""
        if gate is not None:
            await (gate.enter() if current is None else current.enter(gate))
        try:
            response = await self._request(
                method,
                path,
                key,
                safe,
                link,
                current,
                headers,
                {"params": params, "json": json, "form": form, "body": body, "files": files},
            )
        except (DefinitionError, InputsRefused, UpstreamError) as error:
            if gate is not None:
                gate.failed(error)
            if link is not None and type(error) is UpstreamError and not error.retryable:
                error.args = (f"the connection {link.name}: {error.message}",)
            raise
        finally:
            if gate is not None:
                gate.leave()
        if current is not None and response.status not in STATUSES_IN_DOUBT:
            current.in_doubt = False
            if key and response.status >= 400:
                current.effects -= 1
        if gate is not None:
            gate.heard(response)
        if check:
            response.raise_for_status()
        return response

    def upcoming_key(self) -> str:
        """Return the idempotency key of the step's next request with an effect.

        For an app that wants it elsewhere than in a header. It is the same on every try of the step;
        outside a step, it is a new one each time.
        """
        current = running.step.get()
        return new_id("msg") if current is None else current.key_of(current.requests + 1)

    def honoured_header(self) -> str | None:
        """Return the header by which the app knows a repeated request; None where it has none."""
        return self.idempotency_header

    async def _request(
        self,
        method: str,
        path: str,
        key: str,
        safe: bool,
        link: Link | None,
        current: running.RunningStep | None,
        headers: Mapping[str, str] | None,
        arguments: dict[str, Any],
    ) -> Response:
        connection = self
        if link is not None and link.refresh is not None and self._is_stale():
            connection = await link.refresh(self)
            through(connection)
        own = {**connection.headers(), **(headers or {})}
        name = self.honoured_header() or "Idempotency-Key"
        if key and name.lower() not in map(str.lower, own):
            own[name] = key
        client = connection._client()
        noted(own, current)
        limits = self.limits
        if current is not None and current.patience > limits.total:
            limits = replace(limits, total=current.patience)
        arguments["limits"] = limits
        url = connection.url(path)
        if current is not None:
            current.effects += key != ""
            current.in_doubt |= not safe
        try:
            response = await client.request(method, url, headers=own, **arguments)
            if response.status == 401 and link is not None and link.refresh is not None:
                fresh = await link.refresh(connection)
                through(fresh)
                own.update(fresh.headers())
                noted(own, current)
                response = await client.request(method, fresh.url(path), headers=own, **arguments)
        except (DefinitionError, InputsRefused, UpstreamError) as error:
            if current is not None and not (isinstance(error, UpstreamError) and error.in_doubt):
                current.in_doubt = False
                current.effects -= bool(key)
            raise
        return response

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        values: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[Download]:
        """Send a request and read the chunks of its answer as they come, for as long as they come.

        For streams and long polls of listeners; the wait has no end but the listener's patience. A
        status of 400 and up is raised, as `request` does.
        """
        if values is not None:
            path = fill_path(path, values)
        link, current = self._linked(), running.step.get()
        gate = None if link is None else link.gate
        if gate is not None:
            await (gate.enter() if current is None else current.enter(gate))
        async with AsyncExitStack() as opened:
            try:
                answer = await opened.enter_async_context(
                    self._stream(method, path, params, headers)
                )
            except Unauthorized:
                if link is None or link.refresh is None:
                    raise
                fresh = await link.refresh(self)
                through(fresh)
                stream = fresh._stream(method, path, params, headers)
                answer = await opened.enter_async_context(stream)
            except UpstreamError as error:
                if gate is not None:
                    gate.failed(error)
                raise
            finally:
                if gate is not None:
                    gate.leave()
            yield answer

    def _stream(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None,
        headers: Mapping[str, str] | None,
    ) -> AbstractAsyncContextManager[Download]:
        own = {**self.headers(), **(headers or {})}
        noted(own, running.step.get())
        return self._client().stream(
            method, self.url(path), params=params, headers=own, limits=ENDLESS
        )

    async def websocket(self, url: str) -> WebSocket:
        """Open a WebSocket at a URL that the app gave, which need not be below `base_url`.

        It is guarded as requests are, and none of the connection's credentials are sent.
        """
        return await self._client().websocket(url)

    async def addresses(self, url: str) -> list[str]:
        """Return the addresses of a URL's host that may be called (see `Egress.addresses`)."""
        return await self._client().addresses(url)

    async def dial(self, host: str, port: int, ports: frozenset[int]) -> socket.socket:
        """Connect by TCP, for a protocol that is not HTTP; guarded as requests (see `Egress.dial`)."""
        return await self._client().dial(host, port, ports)

    async def refreshed(self) -> Self:
        """The same connection with new credentials, got once for all workers.

        For an app that does not say by a 401 that it refuses the old ones; after a 401, `request`
        does this by itself. `Unauthorized` where the connection cannot.
        """
        link = self._link
        if link is None or link.refresh is None:
            raise Unauthorized(
                f"{type(self).__name__}: the credentials were refused, and there is nothing to "
                "refresh them with; connect again"
            )
        fresh = await link.refresh(self)
        through(fresh)
        return cast(Self, fresh)

    def report_quota(self, used: int, allowed: int, *, resets_in: timedelta | None = None) -> None:
        """Tell the platform how much of an app's quota is used, as an answer said.

        It is shown with the connection. Where all is used, nobody calls the app through this
        connection until it is reset (in `resets_in`; in five minutes, where that is not known).
        The usual headers (`RateLimit`, `X-RateLimit-…`, `Retry-After`) are read without this.
        """
        if self._link is not None and self._link.gate is not None:
            self._link.gate.quota(used, allowed, resets_in)

    async def get(self, path: str, *, params: Mapping[str, Any] | None = None, **more: Any) -> Any:
        """GET, as the parsed body."""
        return parsed(await self.request("GET", path, params=params, **more))

    async def find(self, path: str, **more: Any) -> Any:
        """GET, as the parsed body; None where the app has nothing there (404, 410)."""
        response = await self.request("GET", path, check=False, **more)
        if response.status in (404, 410):
            return None
        response.raise_for_status()
        return parsed(response)

    async def post(self, path: str, *, json: Any = ..., **more: Any) -> Any:
        """POST, as the parsed body."""
        return self._result(await self.request("POST", path, json=json, **more))

    async def put(self, path: str, *, json: Any = ..., **more: Any) -> Any:
        """PUT, as the parsed body."""
        return self._result(await self.request("PUT", path, json=json, **more))

    async def patch(self, path: str, *, json: Any = ..., **more: Any) -> Any:
        """PATCH, as the parsed body."""
        return self._result(await self.request("PATCH", path, json=json, **more))

    async def delete(self, path: str, **more: Any) -> Any:
        """DELETE, as the parsed body."""
        return self._result(await self.request("DELETE", path, **more))

    def _result(self, response: Response) -> Any:
        """Return the parsed body of a request with an effect; None where it cannot be read.

        The app has done what it was asked, so the step must not fail for its answer alone. An action
        that needs the body fails as its result does not have the declared type.
        """
        try:
            return parsed(response)
        except UpstreamError as error:
            current = running.step.get()
            if current is None or response.status >= 300:
                raise
            if current.log is not None:
                message = f"the app did what it was asked, but its answer cannot be read: {error}"
                current.log("warning", message, {})
            return None

    async def pages(
        self,
        path: str,
        *,
        values: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        items: str | Callable[[Any], Any] | None = None,
        next: Callable[[Response], str | None] | None = None,
        read: Callable[[Response], Awaitable[Any]] | None = None,
        most: int = most_pages,
    ) -> AsyncIterator[Any]:
        """Iterate over the items of a list that comes in pages.

        The next page is the `Link` header's `rel="next"`, or what `next(response)` returns. `items`
        names the field that holds the list, or gives it, where the body is not the list itself; `read`
        decodes a body (see `Response.salvaged`). At most
        `most` pages are read; a page that repeats an earlier address ends the iteration.
        """
        seen: set[str] = set()
        address: str | None = path if values is None else fill_path(path, values)
        while address is not None and address not in seen and len(seen) < most:
            seen.add(address)
            response = await self.request("GET", address, params=params, headers=headers)
            params = None
            body: Any = []
            if response.body:
                body = response.json() if read is None else await read(response)
            found: list[Any] = (
                items(body) if callable(items) else body.get(items) if items else body
            )
            for item in found or []:
                yield item
            address = next(response) if next is not None else linked_next(response)

    async def file(
        self,
        path: str,
        *,
        values: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> File:
        """Download a file."""
        response = await self.request("GET", path, values=values, params=params)
        disposition = response.headers.get("content-disposition", "")
        name = disposition.partition('filename="')[2].partition('"')[0] or urlsplit(path).path
        return File(
            data=response.body,
            name=name.replace("\\", "/").rsplit("/", 1)[-1] or "file",
            content_type=response.headers.get("content-type", "application/octet-stream"),
        )

    def url(self, path: str) -> str:
        """Return the absolute URL of a path below `base_url`; refuse one that leads elsewhere."""
        return join_path(getattr(self, "base_url", ""), path)

    def _auth(self) -> Any:
        return self.__dict__.get("auth")  # Pydantic is slow to say that there is none

    def _is_stale(self) -> bool:
        stale: Callable[[], bool] | None = getattr(self._auth(), "is_stale", None)
        return stale is not None and stale()

    def _linked(self) -> Link | None:
        private = self.__pydantic_private__  # and what is private, it looks for in four places
        return None if private is None else private["_link"]

    def _client(self) -> Egress:
        link = self._linked()
        return (link and link.egress) or egress.get() or default_egress()


def through(connection: Connection) -> None:
    """The running step's requests go through this connection now."""
    step, link = running.step.get(), connection._link
    if step is not None and link is not None and link.gate is not None:
        step.through = link.gate


def noted(headers: Mapping[str, str], step: running.RunningStep | None) -> None:
    """Tell the running step what its request carries: none of it is recorded."""
    if step is not None and step.sent is not None:
        step.sent(headers)


def default_egress() -> Egress:
    """The client of calls outside a worker: a script's, a notebook's."""
    global _default_egress
    if _default_egress is None:
        _default_egress = Egress()
    return _default_egress


def parsed(response: Response) -> Any:
    """The body as JSON, or as text where it says that it is something else; None where empty."""
    if not response.body:
        return None
    kind = response.headers.get("content-type", "application/json").partition(";")[0].strip()
    if kind.endswith("json") or kind in ("", "text/javascript"):
        return response.json()
    return response.text


def linked_next(response: Response) -> str | None:
    """The `rel="next"` address of a response's `Link` header."""
    for link in response.headers.get("link", "").split(","):
        address, _, parameters = link.partition(";")
        if 'rel="next"' in parameters or "rel=next" in parameters:
            return urljoin(response.url, address.strip().strip("<>"))
    return None
