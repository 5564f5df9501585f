"""The quality of components, as they say it themselves, and the conformance suite that all of them pass.

    await check_component(acme.component, load_quality(Path("quality.yaml")))

Each action that speaks HTTP is called against a server that refuses its credentials, limits it, answers
nothing and repeats what it was sent; its errors have to say what the platform acts by, and no secret.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, SecretStr
from ruamel.yaml import YAML
from structlog.testing import capture_logs

from halflap.errors import HalflapError, RateLimited, Unauthorized, UpstreamError
from halflap.sdk.action import Action
from halflap.sdk.component import Component
from halflap.sdk.connection import Connection, Link
from halflap.sdk.redact import Redactor
from halflap.sdk.response import METHODS_WITH_EFFECT
from halflap.sdk.running import RunningStep
from halflap.sdk.secret import secrets_of
from halflap.sdk.specification import MOST, SpecifiedAction
from halflap.sdk.trigger import BoundTrigger, Endpoint, Subscription, Trigger
from halflap.testing.app_server import (
    MOST_ASKED,
    FaultyServer,
    HookApi,
    HookServer,
    ListPages,
    ServedPages,
    ServerFault,
    ToServer,
    faulty_server,
    numbers_in,
)
from halflap.testing.sample import sample, sample_connection

WAIT = timedelta(seconds=17)
"""The wait that a limit asks for."""
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
    pages: by action, how its app answers lists. webhooks: by trigger that makes its webhook, the API by
    which it does.
    proven: the strangers that have proven it. missing: what is not there.
    inputs: by action, those with which it calls the app, where made-up ones would not. apart: by action
    or trigger that the suite cannot play the app for, the test of it. unsigned: by trigger, why it
    verifies nothing.
    """

    model_config = ConfigDict(extra="forbid")

    speaks: str = "http"
    refused: AppRefusal | None = AppRefusal()
    keys: str = ""
    pages: dict[str, ListPages] = {}
    webhooks: dict[str, HookApi] = {}
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
        and not isinstance(each, SpecifiedAction)  # whose pages are declared
    }
    makes = {each.short_name for each in component.triggers.values() if "subscribe" in each.hooks}
    if component.actions and component.connection is not None and quality.speaks:
        found += [f"{name}: `keys` says nothing"] * (not quality.keys)
        found += [f"{name}: `proven` says nothing"] * (not quality.proven)
    if quality.speaks == "http":
        found += [
            f"{name}.{each}: `pages` does not say how it is answered"
            for each in sorted(lists - {*quality.pages, *quality.apart})
        ]
    found += [
        f"{name}.{each}: `webhooks` does not say how one is made"
        for each in sorted(makes - {*quality.webhooks, *quality.apart})
    ]
    unknown = {*quality.pages, *quality.inputs} - {*component.actions}
    unknown |= {*quality.webhooks, *quality.unsigned} - {*component.triggers}
    unknown |= {*quality.apart} - {*component.actions} - {*component.triggers}
    found += [f"{name}: there is no {each}" for each in sorted(unknown)]
    header = component.connection.idempotency_header if component.connection else None
    if header is not None and quality.keys != header:
        found.append(f"{name}: `keys` is not {header}, which its connection names")
    return found


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
                self.judge(action.name, what, await self.call(action))
            await self.same_key_again(action)
            await self.check_pages(action)
        for name, api in self.quality.webhooks.items():
            if (trigger := self.component.triggers.get(name)) is not None:
                await self.check_hooks(name, trigger, api, faults)
        for secret in self.secrets:
            if secret in repr(self.connection) or secret in str(self.connection):
                self.say("the connection shows a secret as text")

    async def call(self, action: Action[..., Any], root: str = "check") -> BaseException | None:
        """Call an action, and return its error; say where it leaks a secret."""
        return (
            await self.watch(action.name, lambda: action.invoke(**self.arguments(action)), root)
        )[1]

    async def watch(
        self, name: str, call: Callable[[], Awaitable[Any]], root: str = "check"
    ) -> tuple[Any, BaseException | None]:
        """Call the app, as a step, and return the result or the error; say where it leaks a secret."""
        redactor = Redactor(secrets_of(self.connection))
        running, logged, entries = RunningStep(name, root), LogLines(), list[Any]()
        running.sent = redactor.add_sent
        result: Any = None
        error: BaseException | None = None
        self.server.asked.clear()
        logging.getLogger().addHandler(logged)
        try:
            with running, capture_logs() as entries:
                result = await call()
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
                self.say(f"{name}: {place} holds a secret")
        return result, error

    def arguments(self, action: Action[..., Any]) -> dict[str, Any]:
        """Return inputs with which an action can be called: those of quality.yaml, and made-up ones."""
        given = dict(self.quality.inputs.get(action.short_name, {}))
        shape = action.shape
        needed: list[str] = shape.alternatives["of"][0] if shape.alternatives else []
        for each in shape.inputs:
            if (each.required or each.name in needed) and each.name not in given:
                given[each.name] = sample(each.annotation, each.name)
            elif each.name in given:
                given[each.name] = each.adapter.validate_python(given[each.name])
        assert shape.connection is not None
        return {shape.connection: self.connection, **given}

    def judge(self, name: str, what: str, error: BaseException | None) -> None:
        """Say where an action, or a webhook's making, does not fail as it should."""
        if not self.server.asked:
            if what == "no answer" and isinstance(error, UpstreamError):
                return  # it gave up before the server, under load, had read the request
            why = f" ({error!r})" if error is not None else ""
            self.say(f"{name}: it called nothing{why}; name its inputs in quality.yaml")
            return
        wanted: type[HalflapError] = UpstreamError
        wait: timedelta | None = None
        if what == "refused credentials":
            wanted = Unauthorized
        elif what == "a limit":
            wanted, wait = RateLimited, WAIT
        told = f"{name}: {what} is {type(error).__name__}"
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

    async def check_pages(self, action: Action[..., Any]) -> None:
        """Check that a list is read to its end, that a page that repeats ends it, and one that fails."""
        pages = self.quality.pages.get(action.short_name)
        if pages is None and isinstance(action, SpecifiedAction) and action.declared.pages:
            pages = ListPages.of(action.declared.pages)
        if pages is None:
            return
        arguments, takes_most = self.arguments(action), MOST in action.signature.parameters
        served = ServedPages(pages, self.server)

        async def read(most: int = len(pages.numbers), **how: Any) -> tuple[Any, Any]:
            served.begin(**how)
            self.server.play = served.answer
            given = arguments | ({MOST: most} if takes_most else {})
            try:
                return await self.watch(action.name, lambda: action.invoke(**given))
            finally:
                self.server.play = None

        result, error = await read()
        found = numbers_in(result)
        if error is not None or found != pages.numbers:
            why = error or f"{len(found)} of {len(pages.numbers)} items, or not in their order"
            self.say(f"{action.name}: its pages are not read to their end: {why}")
            return
        if served.strays:
            self.say(
                f"{action.name}: a page is asked for by something else than the one before said"
            )
        if takes_most and numbers_in((await read(1))[0]) != pages.numbers[:1]:
            self.say(
                f"{action.name}: with `most` at 1 it returns something else than the first item"
            )
        if pages.is_one:
            return
        await read(10_000, repeats=True)
        if served.count >= MOST_ASKED:
            self.say(f"{action.name}: a page that comes again is read without end")
        result, error = await read(fails=2)
        if not isinstance(error, UpstreamError):
            self.say(
                f"{action.name}: a page that fails is {type(error).__name__}, and not an error"
            )

    async def check_hooks(
        self,
        name: str,
        trigger: Trigger[..., Any],
        api: HookApi,
        faults: Mapping[str, ServerFault],
    ) -> None:
        """Check that a trigger makes its webhook once, and fails as an action does."""
        bound, known = trigger(**api.inputs), HookServer(api, self.server)
        changed = trigger(**api.changed) if api.changed is not None else None
        endpoint = Endpoint(CHECKED_URL, CHECKED_SECRET, "checked")
        for what, fault in faults.items():
            self.server.fault = fault
            call = await self.watch(
                trigger.name, lambda: bound.subscribe(self.connection, endpoint)
            )
            self.judge(trigger.name, what, call[1])
        self.server.play = known.answer
        try:
            for newer in (None, changed):
                known.told.clear()
                check = check_webhook(bound, self.connection, lambda: known.hooks, changed=newer)
                await check
                assert newer is None or len(known.told) > 1, (
                    "with other inputs (`changed`) the app is told the same as before; change the webhook"
                )
        except (AssertionError, HalflapError, KeyError) as error:
            said = str(error).partition("\nassert ")[0]  # pytest adds what it compared
            self.say(f"{trigger.name}: {said}")
        finally:
            self.server.play = None

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
    if found:
        raise AssertionError("\n".join(found))


# Webhooks -------------------------------------------------------------------------------------

CHECKED_URL = "https://halflap.example/hooks/ep_check"
CHECKED_SECRET = SecretStr("whsec_Y2hlY2stY2hlY2s=")
LOOK = "look for one of the same URL first, on every page of the app's list"
Ids = Callable[[], Awaitable[Collection[str]] | Collection[str]]


async def check_webhook(
    trigger: BoundTrigger[Any],
    connection: Any,
    hooks: Ids,
    *,
    changed: BoundTrigger[Any] | None = None,
    url: str = CHECKED_URL,
) -> Subscription:
    """Check that a trigger makes its webhook once, keeps it, removes it, and leaves others alone.

    `hooks` returns the ids of all webhooks at the app; put a stranger's there first. `changed` is the
    trigger with other inputs, as of a newer version. Returns the last subscription, which is gone.
    """

    async def there() -> set[str]:
        found = hooks()
        return set(await found if isinstance(found, Awaitable) else found)

    endpoint = Endpoint(url, CHECKED_SECRET, "checked")
    others = await there()
    assert others, "put a stranger's webhook at the app first, which has to be left alone"
    made = await trigger.subscribe(connection, endpoint)
    ours = await there() - others
    assert ours, "no webhook was made"
    assert others <= await there(), "others' webhooks were removed"
    again = await trigger.subscribe(connection, endpoint, made)
    assert await there() - others == ours, f"made again, it is not the same webhook; {LOOK}"
    assert (again.id, again.secret) == (made.id, made.secret), "made again, it says another one"
    lost = await trigger.subscribe(connection, endpoint)  # a crash, before it was recorded
    assert len(await there() - others) == len(ours), f"after a crash there is one more; {LOOK}"
    former = lost
    if changed is not None:
        newer = await changed.subscribe(connection, endpoint, lost)
        if newer.id != lost.id:  # as the engine does
            await trigger.unsubscribe(connection, lost)
        assert await there() - others, "with other inputs there is none"
        former, trigger = newer, changed
    if "exists" in trigger.trigger.hooks:
        assert await trigger.exists(connection, former), "it is said to be gone"
    for _ in range(2):
        try:
            await trigger.unsubscribe(connection, former)
        except UpstreamError as error:
            if error.status not in (404, 410):
                raise AssertionError(f"removed again, it fails: {error}") from error
    if "exists" in trigger.trigger.hooks:
        assert not await trigger.exists(connection, former), "it is said to be there still"
    assert await there() == others, "others' webhooks were changed, or ours are left"
    return former
