"""An app that the conformance suite puts on loopback: with faults, lists in pages, and webhooks.

All that it knows of an app is what its component declares in `quality.yaml` (`ListPages`, `HookApi`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode, urlsplit
from xml.sax.saxutils import escape

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from halflap.sdk.egress import Egress, Policy, Response
from halflap.sdk.specification import Paging

HURRY_SECONDS = 0.1


# A server with faults -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ServerFault:
    """An answer: with a status, or none at all (0). Without a body it repeats what was sent."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: Any = None


@dataclass(slots=True)
class ServedRequest:
    """A request that the server got."""

    method: str
    path: str
    headers: dict[str, str]
    body: str

    @property
    def values(self) -> list[Any]:
        """The values of its query and its body, as they were meant."""
        found: list[Any] = [value for _, value in parse_qsl(urlsplit(self.path).query)]
        return [*found, *_leaves(self.given())]

    def given(self) -> Any:
        """Return its body, of JSON or of a form."""
        if "json" in self.headers.get("content-type", ""):
            with contextlib.suppress(ValueError):
                return json.loads(self.body)
        return dict(parse_qsl(self.body))


@dataclass(slots=True)
class FaultyServer:
    """A server on loopback that answers every request alike (`fault`), or as `play` has it."""

    port: int = 0
    fault: ServerFault = ServerFault(200)
    play: Callable[[ServedRequest], ServerFault] | None = None
    origin: str = ""
    """The scheme and the host that the last request was meant for."""
    asked: list[ServedRequest] = field(default_factory=list[ServedRequest])

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, and close the connection."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = (await request.content.read()).decode("utf-8", "replace")  # however large it is
        asked = ServedRequest(request.method, request.raw_path, headers, body)
        self.asked.append(asked)
        fault = self.fault if self.play is None else self.play(asked)
        if not fault.status:
            await asyncio.Event().wait()  # until the client gives up
        line = f"{request.method} {request.raw_path} HTTP/1.1"
        told = fault.body if fault.body is not None else {"sent": [line, headers]}
        content = told if isinstance(told, str) else json.dumps(told)
        kind = "text/xml" if isinstance(told, str) else "application/json"
        sent = {"Content-Type": kind, **fault.headers, "Connection": "close"}
        return web.Response(status=fault.status, headers=sent, body=content.encode())


@asynccontextmanager
async def faulty_server() -> AsyncGenerator[FaultyServer]:
    """Run the server."""
    found = FaultyServer()
    serving = web.Server(found.serve, handler_cancellation=True)
    server = await asyncio.get_running_loop().create_server(serving, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        await serving.shutdown(0)


class ToServer(Egress):
    """Sends every request to the server, wherever it is for."""

    def __init__(self, server: FaultyServer) -> None:
        super().__init__(Policy(allow=("127.0.0.1",)))
        self._server = server

    async def request(self, method: str, url: str, **more: Any) -> Response:
        """Send a request; the answer says that it comes from where the request was for."""
        server, parts = self._server, urlsplit(url)
        hangs = server.play is None and not server.fault.status
        if (limits := more.get("limits")) is not None and hangs:
            more["limits"] = replace(limits, total=HURRY_SECONDS)
        server.origin = f"{parts.scheme}://{parts.netloc}"
        query = f"?{parts.query}" if parts.query else ""
        there = f"http://127.0.0.1:{server.port}{parts.path or '/'}{query}"
        return replace(await super().request(method, there, **more), url=url)


# Templates ------------------------------------------------------------------------------------

GONE = object()
HOLE = re.compile(r"\{(\w+)\}")


def filled(template: Any, values: Mapping[str, Any]) -> Any:
    """Return a template with what stands for `{name}`; a field whose value is `GONE` is left out."""
    if isinstance(template, dict):
        fields = cast("dict[str, Any]", template)
        made = {name: filled(each, values) for name, each in fields.items()}
        return {name: each for name, each in made.items() if each is not GONE}
    if isinstance(template, list):
        return [filled(each, values) for each in cast("list[Any]", template)]
    if not isinstance(template, str):
        return template
    if (whole := HOLE.fullmatch(template)) and whole[1] in values:
        return values[whole[1]]

    def shown(hole: re.Match[str]) -> str:
        value = values.get(hole[1], hole[0])
        if value is GONE:
            return ""
        return (
            "".join(map(str, cast("list[Any]", value))) if isinstance(value, list) else str(value)
        )

    return HOLE.sub(shown, template)


def put_at(body: dict[str, Any], path: str, value: Any) -> None:
    """Put a value at a dotted path."""
    *above, last = path.split(".")
    for name in above:
        body = body.setdefault(name, {})
    body[last] = value


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        value = list(cast("dict[str, Any]", value).values())
    if isinstance(value, list):
        return [leaf for each in cast("list[Any]", value) for leaf in _leaves(each)]
    return [value]


# Lists in pages -------------------------------------------------------------------------------

TOKEN = "p{}+/=&"  # noqa: S105
"""A token that has to be encoded to arrive as it was."""
FIRST_NUMBER = 7_100_001
"""The number of the first item; a result is searched for such numbers."""
NUMBER = re.compile(r"71000\d\d")
PAGES = 3
MOST_ASKED = 20
"""The requests after which a list is said to be read without end."""


class ListPages(BaseModel):
    """The pages in which an app answers a list. `page` is one page, as JSON or as text.

    In it, `{items}` stands for the items, `{next}` for the token by which the next page is asked for,
    `{url}` for its address, `{more}` for whether there is one, `{total}` for the number of all items.
    link: the header Link has the address. counted: a page is asked for by its number, or by the items
    before it. item: an item, in which `{n}` stands for a number of its own, and `{text}` for that as a
    text. size: the items of a page.
    """

    model_config = ConfigDict(extra="forbid")

    page: Any = "{items}"
    item: Any = {"id": "{n}"}
    link: bool = False
    counted: bool = False
    size: int = 2

    @classmethod
    def of(cls, paging: Paging) -> ListPages:
        """Return the pages that a specification declares."""
        body, item = dict[str, Any](), dict[str, Any]()
        if paging.items:
            put_at(body, paging.items, "{items}")
        for name, path in paging.fields.items():
            if path:
                put_at(*((item, path, "{n}") if name == "n" else (body, path, f"{{{name}}}")))
        return cls(
            page=body or "{items}",
            item=item or {"id": "{n}"},
            link=paging.fields.get("url") == "",
            counted=not {"next", "url", "n"} & {*paging.fields},
        )

    @property
    def is_one(self) -> bool:
        """True where all items are in one answer."""
        holes = {*HOLE.findall(json.dumps(self.page))}
        return not (self.link or self.counted or holes & {"next", "url", "more"})

    @property
    def numbers(self) -> list[int]:
        """The numbers of all items."""
        count = self.size * (1 if self.is_one else PAGES)
        return [FIRST_NUMBER + each for each in range(count)]

    def answer(self, number: int, request: ServedRequest, origin: str) -> ServerFault:
        """Return page `number`, from 0."""
        mine = self.numbers[number * self.size : (number + 1) * self.size]
        is_last = self.is_one or number >= PAGES - 1
        items = [filled(self.item, {"n": each, "text": str(each)}) for each in mine]
        return self.shown(items, None if is_last else number + 1, request, origin)

    def shown(
        self, items: list[Any], following: int | None, request: ServedRequest, origin: str
    ) -> ServerFault:
        """Return a page of these items, after which page `following` comes."""
        token = TOKEN.format(following)
        url = f"{origin}{urlsplit(request.path).path}?{urlencode({'page_token': token})}"
        if self.page != "{items}" and isinstance(self.page, str):  # which is XML
            token = escape(token)
        values: dict[str, Any] = {
            "items": items,
            "next": GONE if following is None else token,
            "url": GONE if following is None else url,
            "more": following is not None,
            "total": len(self.numbers),
        }
        linked = self.link and following is not None
        headers = {"Link": f'<{url}>; rel="next"'} if linked else {}
        return ServerFault(200, headers, filled(self.page, values))

    def has_token(self) -> bool:
        """Return whether a page names the next one."""
        return self.link or bool({*HOLE.findall(json.dumps(self.page))} & {"next", "url"})


class ServedPages:
    """A list that is served page after page: as it should, or the first page again, or with a failure."""

    def __init__(self, pages: ListPages, server: FaultyServer) -> None:
        self.pages, self.server = pages, server
        self.strays = False
        """A request did not name the page that the answer before it did."""
        self.begin()

    def begin(self, repeats: bool = False, fails: int = 0) -> None:
        """Begin anew: with a first page that comes again, or with an answer that fails, by its number."""
        self.repeats, self.fails, self.count = repeats, fails, 0

    def answer(self, request: ServedRequest) -> ServerFault:
        """Answer a request with the next page; with a refusal where there are too many."""
        self.count += 1
        number = self.count - 1
        if self.count == self.fails or self.count > MOST_ASKED:
            return ServerFault(503)
        if number and self.pages.has_token() and not self.repeats:
            self.strays |= TOKEN.format(number) not in request.values
        return self.pages.answer(0 if self.repeats else number, request, self.server.origin)


def numbers_in(result: Any) -> list[int]:
    """Return the numbers of the items that a result has, in its order."""
    found = list[int]()
    for each in cast("list[Any]", result) if isinstance(result, list) else [result]:
        found += map(int, dict.fromkeys(NUMBER.findall(repr(each))))
    return found


# Webhooks -------------------------------------------------------------------------------------

ELSEWHERE = "https://others.example/hook"
ID = re.compile(r"\{id\}")


class HookApi(BaseModel):
    """The webhooks of an app, as its API has them: made and listed at `path`, the rest below it.

    inputs, changed: those of the trigger, and those of a newer version of a flow. address, id: the
    fields of a webhook's URL and id. hook: how one is sent and shown, `{hook}` being its fields; shows:
    what the app adds to them, made: what it adds to a new one alone. page, link: how they are listed,
    as of `ListPages`, below `listed` if not at `path`. also: the answers at other paths, as `/{id}/key`.
    """

    model_config = ConfigDict(extra="forbid")

    path: str
    inputs: dict[str, Any] = {}
    changed: dict[str, Any] | None = None
    address: str = "url"
    id: str = "id"
    hook: Any = "{hook}"
    shows: dict[str, Any] = {}
    made: dict[str, Any] = {}
    page: Any = "{items}"
    link: bool = False
    listed: str = ""
    also: dict[str, Any] = {}


class HookServer:
    """An app's webhooks, one of which is a stranger's."""

    def __init__(self, api: HookApi, server: FaultyServer) -> None:
        self.api, self.server, self.made = api, server, 0
        self.hooks: dict[str, dict[str, Any]] = {}
        self.told = set[str]()
        """The fields that webhooks were made with, or changed to."""
        theirs: dict[str, Any] = {}
        put_at(theirs, api.address, ELSEWHERE)
        self._add(theirs)

    def _add(self, fields: dict[str, Any]) -> str:
        self.made += 1
        id = f"{41_000 + self.made}"
        self.hooks[id] = fields
        self.told.add(repr(fields))
        return id

    def fields(self, id: str) -> dict[str, Any]:
        """Return the fields of a webhook, with what the app adds."""
        fields: dict[str, Any] = {}
        put_at(fields, self.api.id, id)
        return fields | self.hooks[id] | filled(self.api.shows, {"id": id})

    def shown(self, id: str, **more: Any) -> Any:
        """Return a webhook as the app shows it alone."""
        return filled(self.api.hook, {"hook": self.fields(id) | more})

    def answer(self, request: ServedRequest) -> ServerFault:
        """Answer a request, as an app with a REST API does."""
        api, path = self.api, urlsplit(request.path).path
        _, found, rest = path.partition(api.path)
        if not found:
            return ServerFault(404, {}, {"error": f"there is no {path}"})
        if rest == api.listed and request.method == "GET":
            return self._listed(request)
        if not rest and request.method == "POST":
            id = self._add(self._sent(request))
            return ServerFault(201, {}, self.shown(id, **filled(api.made, {"id": id})))
        for other, answer in api.also.items():
            if one := re.fullmatch(ID.sub(r"(\\d+)", other), rest):
                known = one[1] in self.hooks
                return ServerFault(200, {}, filled(answer, {"id": one[1]})) if known else GONE_HOOK
        id = rest.removeprefix("/")
        if id not in self.hooks:
            return GONE_HOOK
        if request.method == "DELETE":
            del self.hooks[id]
            return ServerFault(200, {}, {})
        if request.method in ("POST", "PUT", "PATCH"):
            self.hooks[id] |= self._sent(request)
            self.told.add(repr(self.hooks[id]))
        return ServerFault(200, {}, self.shown(id))

    def _sent(self, request: ServedRequest) -> dict[str, Any]:
        body: Any = request.given()
        if self.api.hook != "{hook}":
            [name] = cast("dict[str, Any]", self.api.hook)
            body = body[name]
        return body

    def _listed(self, request: ServedRequest) -> ServerFault:
        """List one webhook on a page where there are pages: the stranger's is on the first one."""
        pages = ListPages(page=self.api.page, link=self.api.link, size=1)
        ids = [*self.hooks]
        asked = [each for each in range(1, len(ids)) if TOKEN.format(each) in request.values]
        number = asked[0] if asked else 0
        mine = ids if pages.is_one else ids[number : number + 1]
        is_last = pages.is_one or number >= len(ids) - 1
        items = [self.fields(each) for each in mine]
        return pages.shown(items, None if is_last else number + 1, request, self.server.origin)


GONE_HOOK = ServerFault(404, {}, {"error": "there is no such webhook"})
