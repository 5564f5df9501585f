"""Call the API from commands: over HTTP where a server runs, else in this process.

A running server leaves its address in `server.json` beside its store. Where none answers, the store
is opened here, its lock taken, and the same API is called without any port.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlencode

import aiohttp
from pydantic import TypeAdapter, ValidationError
from yarl import URL

import halflap
from halflap.cli.errors import from_problem
from halflap.errors import ConfigError, HalflapError, NotFound, StoreLocked
from halflap.problem import MEDIA_TYPE
from halflap.sdk import codec
from halflap.server.address import ServerAddress
from halflap.server.settings import Settings

if TYPE_CHECKING:
    from halflap.api.view import ListPage
    from halflap.cli.offline import Offline

T = TypeVar("T")
PageT = TypeVar("PageT", bound="ListPage[Any]")

ANSWERS_WITHIN = 10.0
"""The time a server may take to say that it is there; it loads its API for the first who asks."""
LOCKED_FOR = 5.0
"""Seconds that a store may be locked by another command, before that is an error."""
LARGEST_PAGE = 1_000
"""The most that one page of a list may have."""
SILENCE = 60.0
"""Seconds that a server may be silent, beyond the time that it was told to wait."""


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """An answer: an HTTP status, its content type, the body."""

    status: int
    kind: str
    body: bytes


class Client:
    """The API of one server, wherever it is.

    `async with Client.connect(settings) as api: await api.list(CustomerView, "customers")`: what is read,
    and the parts of its path. What the API refuses is raised as the error that it was.
    """

    def __init__(self, line: HttpLine | Offline) -> None:
        """Use `connect`."""
        self._line = line

    @property
    def where(self) -> str:
        """The server in words: its address, or the directory of the store that is open here."""
        return self._line.where

    @property
    def runs(self) -> bool:
        """True if a server runs there: it takes webhooks and goes on when the command has ended."""
        return self._line.runs

    @classmethod
    @asynccontextmanager
    async def connect(cls, settings: Settings, *, make: bool = False) -> AsyncGenerator[Client]:
        """Reach the server that the settings mean; `make` allows to make a store where there is none."""
        if settings.server:
            url, token = remote(settings)
            line = HttpLine.opened(url, token)
            try:
                await line.check()
                with explaining(line):
                    yield cls(line)
            finally:
                await line.close()
            return
        line: HttpLine | Offline | None = await local(settings)
        if not (line or make or settings.store or has_store(settings.dir)):
            from halflap.store.store import refuse_moved

            refuse_moved(settings.dir)
            raise NotFound(
                f"no server runs here, and {settings.dir.absolute()} has no store. Start one with "
                "`halflap dev` (in a project) or `halflap serve`; or say where it is with --dir or "
                "--server"
            )
        line = line or await opened(settings)
        try:
            with explaining(line):
                yield cls(line)
        finally:
            await line.close()

    async def get(self, kind: type[T], *parts: str, **query: Any) -> T:
        """GET what the API says that it is; `HalflapError` where the answer is another thing."""
        return read(kind, await self.request("GET", path(*parts), **query))

    async def list(self, kind: type[T], *parts: str, after: Any = None, **query: Any) -> list[T]:
        """GET a list whole, page by page; or what of it comes after a place."""
        found: list[T] = []
        while True:
            place = {"limit": LARGEST_PAGE, "after": after}
            page = await self.get(dict[str, Any], *parts, **query, **place)
            found += [read(kind, each) for each in page["items"]]
            if (after := page["next"]) is None:
                return found

    async def pages(
        self, kind: type[PageT], *parts: str, limit: int, most: int, place: str, **query: Any
    ) -> AsyncIterator[PageT]:
        """Yield the pages of a list, each of `most` items, until there are as many as the limit.

        place: what the query calls the beginning of the next page.
        """
        begins: Any = None
        while limit > 0:
            many = {place: begins, "limit": min(limit, most)}
            yield (page := await self.get(kind, *parts, **query, **many))
            limit, begins = limit - len(page.items), page.next
            if begins is None:
                return

    async def post(
        self, kind: type[T], *parts: str, json: Any = ..., data: bytes = b"", **query: Any
    ) -> T:
        """POST JSON, or bytes."""
        sent = await self.request("POST", path(*parts), json, data=data, **query)
        return read(kind, sent)

    async def put(self, kind: type[T], *parts: str, json: Any) -> T:
        """PUT JSON."""
        return read(kind, await self.request("PUT", path(*parts), json))

    async def patch(self, kind: type[T], *parts: str, json: Any) -> T:
        """PATCH with JSON."""
        return read(kind, await self.request("PATCH", path(*parts), json))

    async def delete(self, *parts: str, **query: Any) -> Any:
        """DELETE."""
        return await self.request("DELETE", path(*parts), **query)

    async def request(
        self, method: str, path: str, json: Any = ..., *, data: bytes = b"", **query: Any
    ) -> Any:
        """Send any request, and return its JSON; what is None in the query is left out."""
        answer = await self._call(method, path, json, data, query)
        return codec.decode(answer.body) if answer.body else None

    async def bytes(self, *parts: str, **query: Any) -> bytes:
        """GET, as the bytes that came."""
        return (await self._call("GET", path(*parts), ..., b"", query)).body

    async def stream(self, *parts: str, **query: Any) -> AsyncIterator[Any]:
        """Yield the events of a stream, each as JSON, until the server ends it.

        The first thing is None: from then on nothing is missed. A stream that fell behind raises
        `HalflapError`.
        """
        async with aclosing(self._line.follow(path(*parts), encoded(query))) as lines:
            started = False
            async for line in lines:
                if line.startswith(b":") and not started:
                    started = True
                    yield None
                elif line.startswith(b"event: dropped"):
                    raise HalflapError("more happened than this terminal could follow; start again")
                elif line.startswith(b"data: ") and line != b"data: {}":
                    yield codec.decode(line.removeprefix(b"data: "))

    async def _call(
        self, method: str, path: str, json: Any, data: bytes, query: Mapping[str, Any]
    ) -> ApiAnswer:
        kind = "application/octet-stream"
        if json is not ...:
            data, kind = codec.encode(json), "application/json"
        patience = SILENCE + float(query.get("wait") or 0)
        answer = await self._line.call(method, path, encoded(query), data, kind, patience)
        if answer.status >= 400:
            raise from_problem(answer.status, problem_of(answer), self.where)
        return answer


@contextlib.contextmanager
def explaining(line: HttpLine | Offline) -> Generator[None]:
    """Name both versions in an error that may come of a server of another version than the command.

    What it answers can break a command anywhere: by a field that is not there, or a kind that
    it does not know.
    """
    try:
        yield
    except HalflapError as error:
        if line.version != halflap.__version__:
            error.add_note(mismatch(line))
        raise
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        if line.version == halflap.__version__:
            raise
        raise HalflapError(f"{mismatch(line)} ({type(error).__name__}: {error})") from error


def mismatch(line: HttpLine | Offline) -> str:
    """Return the versions of the server and of the command, and what to do where these two differ."""
    return (
        f"the server at {line.where} is Halflap {line.version}, this command {halflap.__version__}: "
        f"use the command of its version (pip install 'halflap=={line.version}'), or upgrade the "
        "server if it is the older one"
    )


class ServerAway(HalflapError):
    """The server cannot be reached."""


class HttpLine:
    """The API of a server that runs, over HTTP."""

    runs = True

    def __init__(self, url: str, token: str, session: aiohttp.ClientSession) -> None:
        self.where = url
        self.version = halflap.__version__
        self._token = token
        self._session = session

    @classmethod
    def opened(cls, url: str, token: str) -> HttpLine:
        """A line to a server."""
        return cls(url.rstrip("/"), token, aiohttp.ClientSession())

    async def close(self) -> None:
        """Hang up."""
        await self._session.close()

    async def health(self, challenge: str = "") -> Mapping[str, Any]:
        """Return the server's account of itself; needs no token."""
        query = encoded({"challenge": challenge or None})
        answer = await self.call("GET", "/api/health", query, b"", "", ANSWERS_WITHIN)
        found: Any = codec.decode(answer.body)
        if answer.status != 200 or not isinstance(found, dict) or "version" not in found:
            raise codec.NotJson("no health of Halflap")
        self.version = str(found["version"])  # pyright: ignore[reportUnknownArgumentType]
        return found  # pyright: ignore[reportUnknownVariableType]

    async def check(self) -> None:
        """Make sure that it is Halflap which answers there."""
        try:
            await self.health()
        except codec.NotJson:
            raise HalflapError(
                f"{self.where} answers, but is no Halflap server; mend --server or HALFLAP_SERVER"
            ) from None

    async def call(
        self, method: str, path: str, query: str, body: bytes, kind: str, patience: float
    ) -> ApiAnswer:
        """Send one request."""
        headers = {**self._headers(path), **({"Content-Type": kind} if body else {})}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=patience)
        try:
            async with self._session.request(
                method,
                self._url(path, query),
                headers=headers,
                data=body or None,
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                return ApiAnswer(response.status, response.content_type, await response.read())
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreachable(error) from error

    async def follow(self, path: str, query: str) -> AsyncGenerator[bytes]:
        """The lines of an event stream."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=SILENCE)
        try:
            async with self._session.get(
                self._url(path, query), headers=self._headers(path), timeout=timeout
            ) as response:
                if response.status != 200:
                    kind = response.content_type
                    answer = ApiAnswer(response.status, kind, await response.read())
                    raise from_problem(answer.status, problem_of(answer), self.where)
                async for line in response.content:
                    yield line.rstrip(b"\n")
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreachable(error) from error

    def _url(self, path: str, query: str) -> URL:
        return URL(f"{self.where}{path}{'?' if query else ''}{query}", encoded=True)

    def _headers(self, path: str) -> dict[str, str]:
        return {} if path == "/api/health" else {"Authorization": f"Bearer {self._token}"}

    def _unreachable(self, error: Exception) -> ServerAway:
        said = "it did not answer in time" if isinstance(error, TimeoutError) else str(error)
        return ServerAway(
            f"the server at {self.where} cannot be reached: {said or type(error).__name__}. "
            "Is it running, and the address right?"
        )


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def read(kind: type[T], answer: Any) -> T:
    """Return an answer as what the API says that it is."""
    try:
        return _adapter(kind).validate_python(answer)
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        raise HalflapError(
            f"the server's answer is not what this command expects ({place}: "
            f"{error.errors()[0]['msg']}); use the command of the server's version, see: "
            "halflap doctor"
        ) from error


def path(*parts: str) -> str:
    """A path of the API; a name may have any character: `path("instances", name)`."""
    return "/api/" + "/".join(quote(each, safe="") for each in parts)


def encoded(query: Mapping[str, Any]) -> str:
    """A query without what is None; `from_` is `from`, and booleans are 1 and 0."""
    given = {name.rstrip("_"): value for name, value in query.items() if value is not None}
    return urlencode(
        {name: int(value) if isinstance(value, bool) else value for name, value in given.items()}
    )


def problem_of(answer: ApiAnswer) -> Mapping[str, Any]:
    """The problem that came back; of anything else, what little it says."""
    if answer.kind == MEDIA_TYPE:
        found: Any = codec.decode(answer.body)
        if isinstance(found, dict):
            return found  # pyright: ignore[reportUnknownVariableType]
    said = answer.body[:200].decode(errors="replace").strip()
    return {"detail": f"it answered {answer.status}, not as Halflap does: {said}"}


def remote(settings: Settings) -> tuple[str, str]:
    """The address and the token of the server that `--server` or HALFLAP_SERVER names."""
    named, token = settings.server, settings.token
    if "://" not in named:
        known = settings.remotes.get(named)
        if known is None or not known.url:
            variable = f"HALFLAP_SERVER_{named.upper().replace('-', '_')}"
            raise ConfigError(
                f"{named!r} is no URL, and no server has that name; set {variable} to its URL"
            )
        named, token = known.url, known.token or token
    if not named.startswith(("https://", "http://")):
        raise ConfigError(f"{named!r} is no http(s) URL; give the server's address with --server")
    if not token:
        raise ConfigError(
            f"a token is needed for {named}: set HALFLAP_TOKEN to the text of the file `token` in "
            "that server's directory, or give --token"
        )
    return named, token


async def local(settings: Settings) -> HttpLine | None:
    """A line to the server that has this directory's store open; None where none answers.

    After a kill -9 its address is left; whoever has its port by now is not given the token.
    """
    address = ServerAddress.read(settings.dir)
    if address is None or not lives(address.pid) or not same_place(address.store, settings):
        return None
    line = HttpLine.opened(address.url, settings.token or read_token(settings.dir))
    challenge = secrets.token_hex(16)
    with contextlib.suppress(HalflapError, codec.NotJson):
        health = await line.health(challenge)
        if health.get("proof") == address.prove(challenge):
            return line
    await line.close()
    return None


def same_place(path: str, settings: Settings) -> bool:
    """Return whether a server's store is the one of the settings."""
    if settings.store:
        from halflap.store.postgres.explain import where

        return path == where(settings.store)
    return Path(path).resolve() == settings.dir.resolve()


def lives(pid: int) -> bool:
    """Return whether there is a process of this id."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


async def opened(settings: Settings) -> HttpLine | Offline:
    """The store of this directory, opened here; or the server that has taken it meanwhile."""
    # It takes most of a second to load what a server is made of: only where it is needed.
    from halflap.cli.offline import Offline

    end = asyncio.get_running_loop().time() + LOCKED_FOR
    while True:
        try:
            return await Offline.open(settings)
        except StoreLocked as error:
            # Another command has it for a moment, or a server that is not listening yet.
            if (line := await local(settings)) is not None:
                return line
            if asyncio.get_running_loop().time() > end:
                raise StoreLocked(
                    f"{error.message} It does not answer at the address in server.json."
                ) from error
            await asyncio.sleep(0.1)


def has_store(directory: Path) -> bool:
    """Return whether a store lies in a directory."""
    return (directory / "halflap.db").exists()


def read_token(directory: Path) -> str:
    """The token of the server in a directory."""
    try:
        return (directory / "token").read_text().strip()
    except OSError:
        return ""
