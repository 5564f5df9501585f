"""The quality of components, as they say it themselves, and the conformance suite that all of them pass.

    await check_component(acme.component, load_quality(Path("quality.yaml")))

Each action that speaks HTTP is called against a server that refuses its credentials, limits it, answers
nothing and repeats what it was sent; its errors have to say what the platform acts by, and no secret.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, SecretStr
from ruamel.yaml import YAML
from structlog.testing import capture_logs

from halflap.errors import HalflapError, RateLimited, Unauthorized, UpstreamError
from halflap.sdk.action import Action
from halflap.sdk.component import Component
from halflap.sdk.connection import Connection, Link
from halflap.sdk.egress import Egress, Policy, Response
from halflap.sdk.redact import Redactor
from halflap.sdk.response import METHODS_WITH_EFFECT
from halflap.sdk.running import RunningStep
from halflap.sdk.secret import secrets_of
from halflap.sdk.specification import SpecifiedAction
from halflap.sdk.trigger import BoundTrigger, Endpoint, Subscription
from halflap.testing.sample import sample, sample_connection

WAIT = timedelta(seconds=17)
"""The wait that a limit asks for."""
HURRY_SECONDS = 0.1
LEAST_SECRET = 6
"""The characters of a value that is looked for; a shorter one may stand anywhere."""


class AppRefusal(BaseModel):
    """An app's refusal of credentials: its status, and the body where that says so."""

    model_config = ConfigDict(extra="forbid")

    status: int = 401
    body: Any = None


class Quality(BaseModel):
    """The statements of a component about itself, in its `quality.yaml`.

    speaks: http, or what else its actions speak, for which this suite knows no server; nothing where it
    calls no app. refused: how the app refuses credentials; null where it asks for none.
    keys: the header by which the app knows a repeated request; else what is done about doubts.
    pages: by action, the test that lists are read to their end. webhooks: by trigger, the test that
    one is made once, kept and removed, and others' left alone.
    proven: the strangers that have proven it. missing: what is not there.
    inputs: by action, those with which it calls the app, where made-up ones would not. apart: by action
    that the suite cannot call, the test of it. unsigned: by trigger, why it verifies nothing.
    """

    model_config = ConfigDict(extra="forbid")

    speaks: str = "http"
    refused: AppRefusal | None = AppRefusal()
    keys: str = ""
    pages: dict[str, str] = {}
    webhooks: dict[str, str] = {}
    proven: list[str] = []
    missing: list[str] = []
    inputs: dict[str, dict[str, Any]] = {}
    apart: dict[str, str] = {}
    unsigned: dict[str, str] = {}


def load_quality(path: Path) -> dict[str, Any]:
    """Return what a `quality.yaml` says."""
    text: Any = YAML(typ="safe")
    return text.load(path.read_text("utf-8")) or {}


# What stands there ----------------------------------------------------------------------------


def check_said(component: Component, quality: Quality) -> list[str]:
    """Return what a component does not say of itself, or says of what it has not."""
    name, found = component.name, list[str]()
    lists = {
        each.short_name
        for each in component.actions.values()
        if each.short_name.startswith(("list_", "search"))
        and not isinstance(each, SpecifiedAction)  # whose paging is declared, and one for all
    }
    makes = {each.short_name for each in component.triggers.values() if each.subscriber is not None}
    if component.actions and component.connection is not None and quality.speaks:
        found += [f"{name}: `keys` says nothing"] * (not quality.keys)
        found += [f"{name}: `proven` says nothing"] * (not quality.proven)
    if quality.speaks == "http":
        found += [
            f"{name}.{each}: `pages` names no test of it" for each in lists - {*quality.pages}
        ]
    found += [
        f"{name}.{each}: `webhooks` names no test of it" for each in makes - {*quality.webhooks}
    ]
    unknown = {*quality.pages, *quality.inputs, *quality.apart} - {*component.actions}
    unknown |= {*quality.webhooks, *quality.unsigned} - {*component.triggers}
    found += [f"{name}: there is no {each}" for each in sorted(unknown)]
    header = component.connection.idempotency_header if component.connection else None
    if header is not None and quality.keys != header:
        found.append(f"{name}: `keys` is not {header}, which its connection names")
    return found


# A server with faults -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ServerFault:
    """The answer to every request: with a status, or none at all (0)."""

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


@dataclass(slots=True)
class FaultyServer:
    """A server on loopback that answers every request alike, and tells back what it was sent."""

    port: int = 0
    fault: ServerFault = ServerFault(200)
    asked: list[ServedRequest] = field(default_factory=list[ServedRequest])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, and close the connection."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            try:
                await self._answer(reader, writer)
            finally:
                writer.close()
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *rest = head.strip().split("\r\n")
        headers = {n.lower(): v.strip() for n, _, v in (each.partition(":") for each in rest)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        method, path, _ = line.split(" ")
        self.asked.append(ServedRequest(method, path, headers, body.decode("utf-8", "replace")))
        fault = self.fault
        if not fault.status:
            await reader.read()  # until the client gives up
            return
        told = fault.body if fault.body is not None else {"sent": [line, headers]}
        content = told.encode() if isinstance(told, str) else json.dumps(told).encode()
        kind = "text/xml" if isinstance(told, str) else "application/json"
        sent = {"Content-Type": kind, **fault.headers, "Content-Length": len(content)}
        lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        opening = f"HTTP/1.1 {fault.status} X\r\n{lines}Connection: close\r\n\r\n"
        writer.write(opening.encode() + content)
        await writer.drain()


@asynccontextmanager
async def faulty_server() -> AsyncGenerator[FaultyServer]:
    """Run the server."""
    found, serving = FaultyServer(), set[asyncio.Task[None]]()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.ensure_future(found.serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        await asyncio.gather(*serving, return_exceptions=True)


class ToServer(Egress):
    """Sends every request to the server, wherever it is for."""

    def __init__(self, server: FaultyServer) -> None:
        super().__init__(Policy(allow=("127.0.0.1",)))
        self._server = server

    async def request(self, method: str, url: str, **more: Any) -> Response:
        """Send a request."""
        if (limits := more.get("limits")) is not None and not self._server.fault.status:
            more["limits"] = replace(limits, total=HURRY_SECONDS)
        parts = urlsplit(url)
        query = f"?{parts.query}" if parts.query else ""
        there = f"http://127.0.0.1:{self._server.port}{parts.path or '/'}{query}"
        return await super().request(method, there, **more)


# The suite ------------------------------------------------------------------------------------


class Suite:
    """The checks of one component's actions."""

    def __init__(
        self, component: Component, connection: Connection, quality: Quality, server: FaultyServer
    ) -> None:
        self.component = component
        self.quality = quality
        self.server = server
        self.egress = ToServer(server)
        self.connection = connection.model_copy()
        self.connection._link = Link(component.name, None, self.egress)
        self.secrets = [each for each in secrets_of(connection) if len(each) >= LEAST_SECRET]
        self.found: list[str] = []

    async def run(self) -> None:
        """Check each action by each fault."""
        refused = self.quality.refused
        faults = {
            "a limit": ServerFault(429, {"Retry-After": f"{WAIT.total_seconds():.0f}"}),
            "no answer": ServerFault(0),
            "an answer that repeats what was sent": ServerFault(422),
        }
        if refused is not None:
            faults["refused credentials"] = ServerFault(refused.status, {}, refused.body)
        for action in self.component.actions.values():
            if action.shape.connection is None or action.short_name in self.quality.apart:
                continue
            for what, fault in faults.items():
                self.server.fault = fault
                self.judge(action, what, await self.call(action))
            await self.same_key_again(action)
        for secret in self.secrets:
            if secret in repr(self.connection) or secret in str(self.connection):
                self.say("the connection shows a secret as text")

    async def call(self, action: Action[..., Any], root: str = "check") -> BaseException | None:
        """Call an action, and return its error; say where it leaks a secret."""
        redactor = Redactor(secrets_of(self.connection))
        running, logged, entries = RunningStep(action.name, root), LogLines(), list[Any]()
        running.sent = redactor.add_sent
        error: BaseException | None = None
        self.server.asked.clear()
        logging.getLogger().addHandler(logged)
        try:
            with running, capture_logs() as entries:
                await action.invoke(**self.arguments(action))
        except Exception as raised:
            error = raised
        finally:
            logging.getLogger().removeHandler(logged)
        body = getattr(error, "body", "")
        places = {
            "its error": redactor.text(f"{error}\n{body}"),
            "a log": "\n".join([*logged.lines, *map(str, entries)]),
        }
        for place, text in places.items():
            if any(each in text for each in self.secrets):
                self.say(f"{action.name}: {place} holds a secret")
        return error

    def arguments(self, action: Action[..., Any]) -> dict[str, Any]:
        """Return inputs with which an action can be called: those of quality.yaml, and made-up ones."""
        given = dict(self.quality.inputs.get(action.short_name, {}))
        shape = action.shape
        for each in shape.inputs:
            if each.required and each.name not in given:
                given[each.name] = sample(each.annotation, each.name)
            elif each.name in given:
                given[each.name] = each.adapter.validate_python(given[each.name])
        assert shape.connection is not None
        return {shape.connection: self.connection, **given}

    def judge(self, action: Action[..., Any], what: str, error: BaseException | None) -> None:
        """Say where an action does not fail as it should."""
        if not self.server.asked:
            if what == "no answer" and isinstance(error, UpstreamError):
                return  # it gave up before the server, under load, had read the request
            why = f" ({error!r})" if error is not None else ""
            self.say(f"{action.name}: it called nothing{why}; name its inputs in quality.yaml")
            return
        wanted: type[HalflapError] = UpstreamError
        wait: timedelta | None = None
        if what == "refused credentials":
            wanted = Unauthorized
        elif what == "a limit":
            wanted, wait = RateLimited, WAIT
        told = f"{action.name}: {what} is {type(error).__name__}"
        if not isinstance(error, wanted):
            self.say(f"{told} ({error}), and not {wanted.__name__}")
        elif wait is not None and getattr(error, "retry_after", None) != wait:
            self.say(f"{told}, whose retry_after is not {wait}")
        elif what == "no answer" and not error.retryable:
            self.say(f"{told}, which is not tried again")

    async def same_key_again(self, action: Action[..., Any]) -> None:
        """Check that a repeated request has the key of the first one, where the app knows keys."""
        header = self.connection.honoured_header()
        if header is None:
            return
        self.server.fault = ServerFault(503)
        keys: list[list[str | None]] = []
        for root in ("check", "check", "another"):
            await self.call(action, root)
            effects = [each for each in self.server.asked if each.method in METHODS_WITH_EFFECT]
            keys.append([each.headers.get(header.lower()) for each in effects])
        if None in keys[0] or keys[0] != keys[1] or (keys[0] and keys[0] == keys[2]):
            self.say(f"{action.name}: {header} is not the same on each try, and on none else")

    def say(self, what: str) -> None:
        """Note what is wrong."""
        if what not in self.found:
            self.found.append(what)


class LogLines(logging.Handler):
    """Gathers what is logged."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Gather a line."""
        self.lines.append(record.getMessage())


async def check_component(
    component: Component,
    quality: Quality | Mapping[str, Any],
    connection: Connection | None = None,
) -> None:
    """Check a component against what it says of itself; an `AssertionError` lists what it breaks.

    `connection` is one with made-up secrets, of six characters and more, where none can be made up of its
    type alone. Nothing is sent but to a server on this machine.
    """
    said = quality if isinstance(quality, Quality) else Quality.model_validate(dict(quality))
    found = check_said(component, said)
    kind = component.connection
    if kind is not None and said.speaks == "http":
        async with faulty_server() as server:
            suite = Suite(component, connection or sample_connection(kind, {}), said, server)
            try:
                await suite.run()
            finally:
                await suite.egress.close()
        found += suite.found
    assert not found, "\n".join(found)


# Webhooks -------------------------------------------------------------------------------------

Ids = Callable[[], Awaitable[Collection[str]] | Collection[str]]


async def check_webhook(
    trigger: BoundTrigger[Any],
    connection: Any,
    hooks: Ids,
    *,
    changed: BoundTrigger[Any] | None = None,
    url: str = "https://halflap.example/hooks/ep_check",
) -> Subscription:
    """Check that a trigger makes its webhook once, keeps it, removes it, and leaves others alone.

    `hooks` returns the ids of all webhooks at the app; put a stranger's there first. `changed` is the
    trigger with other inputs, as of a newer version. Returns the last subscription, which is gone.
    """

    async def there() -> set[str]:
        found = hooks()
        return set(await found if isinstance(found, Awaitable) else found)

    endpoint = Endpoint(url, SecretStr("whsec_Y2hlY2stY2hlY2s="), "checked")
    others = await there()
    assert others, "put a stranger's webhook at the app first, which has to be left alone"
    made = await trigger.subscribe(connection, endpoint)
    ours = await there() - others
    assert ours, "no webhook was made"
    again = await trigger.subscribe(connection, endpoint, made)
    assert await there() - others == ours, "made again, it is not the same webhook"
    assert (again.id, again.secret) == (made.id, made.secret), "made again, it says another one"
    lost = await trigger.subscribe(connection, endpoint)  # a crash, before it was recorded
    assert len(await there() - others) == len(ours), "after a crash there is one more"
    former = lost
    if changed is not None:
        newer = await changed.subscribe(connection, endpoint, lost)
        if newer.id != lost.id:  # as the engine does
            await trigger.unsubscribe(connection, lost)
        assert await there() - others, "with other inputs there is none"
        former, trigger = newer, changed
    if trigger.trigger.checker is not None:
        assert await trigger.exists(connection, former), "it is said to be gone"
    for _ in range(2):
        try:
            await trigger.unsubscribe(connection, former)
        except UpstreamError as error:
            if error.status not in (404, 410):
                raise AssertionError(f"removed again, it fails: {error}") from error
    if trigger.trigger.checker is not None:
        assert not await trigger.exists(connection, former), "it is said to be there still"
    assert await there() == others, "others' webhooks were changed, or ours are left"
    return former
