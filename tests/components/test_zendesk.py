"""Zendesk against the sandbox, which zenpy finds as it expects Zendesk to be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
import requests
from aiohttp import web
from pydantic import SecretStr
from zenpy import Zenpy
from zenpy.lib.api_objects import Comment, Ticket
from zenpy.lib.exception import APIException

from halflap import Endpoint, RateLimited, Request, Unauthorized, UpstreamError, ZendeskSignature
from halflap.components import zendesk
from halflap.sdk import codec
from halflap.sdk.connection import Link
from halflap.sdk.request import Headers
from halflap.testing.listeners import check_listener
from halflap.testing.quality import check_webhook
from halflap_sandbox import zendesk as sandbox
from halflap_sandbox.zendesk import EMAIL
from tests.loopback import LoopbackSandbox, on_loopback, sandbox_on_loopback
from tests.polling import DEADLINE, until


class Accounts(LoopbackSandbox):
    """The sandbox on loopback."""

    async def account(self, name: str) -> zendesk.Zendesk:
        """Add an account; a connection to it."""
        made = await self.post("/accounts", {"name": name})
        return self.connection(name, made["token"])

    def connection(self, name: str, token: str) -> zendesk.Zendesk:
        found = zendesk.Zendesk(
            subdomain=name,
            email=EMAIL.format(name=name),
            api_token=SecretStr(token),
            host=self.url,
        )
        found._link = Link("zendesk", None, self.egress)
        return found


@asynccontextmanager
async def accounts(**settings: Any) -> AsyncIterator[Accounts]:
    settings = {"delivery_timeout": DEADLINE, **settings}
    async with sandbox_on_loopback(sandbox.create_app(sandbox.Settings(**settings))) as parts:
        yield Accounts(*parts)


@pytest.fixture
async def app() -> AsyncIterator[Accounts]:
    async with accounts(waits=(0.05,) * 20) as found:
        yield found


class ToSandbox(requests.adapters.HTTPAdapter):
    """Sends what is for zendesk.com to the sandbox."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    def send(self, request: requests.PreparedRequest, *args: Any, **more: Any) -> Any:
        asked = str(request.url)
        request.url = asked.replace("https://initech.zendesk.com", self.url)
        answer = super().send(request, *args, **more)
        answer.url = request.url = asked
        return answer


async def test_zenpy_opens_changes_finds_and_exports(app: Accounts) -> None:
    await app.account("initech")

    def use() -> None:
        with requests.Session() as session:
            session.mount("https://", ToSandbox(app.url))
            session.mount("http://", ToSandbox(app.url))
            email = EMAIL.format(name="initech")
            client = Zenpy(subdomain="initech", email=email, token="token-initech", session=session)
            assert client.users.me().role == "admin"
            for number in range(3):
                ticket = Ticket(subject=f"Fire {number}", description="Smoke", priority="high")
                made = client.tickets.create(ticket).ticket
            assert client.tickets(id=made.id).subject == "Fire 2"
            made.comment = Comment(body="More smoke", public=False)
            made.status = "solved"
            client.tickets.update(made)
            texts = [each.body for each in client.tickets.comments(ticket=made.id)]
            assert texts == ["Smoke", "More smoke"]
            assert [each.id for each in client.search(type="ticket", status="solved")] == [made.id]
            found = list(client.tickets.incremental(start_time=1, paginate_by_time=False))
            assert len(found) == 3
            with pytest.raises(APIException):
                client.tickets(id=1)

    await asyncio.to_thread(use)


async def test_tickets_people_and_organizations_go_their_way(app: Accounts) -> None:
    initech = await app.account("initech")
    await initech.test()
    made = await zendesk.create_ticket(
        initech, "Fire", "Smoke", "ada@x.example", "Ada", priority="high", external_id="x-1"
    )
    ada = await zendesk.find_user(initech, "ADA@x.example")
    assert ada is not None
    assert made.requester_id == ada.id
    changed = await zendesk.update_ticket(initech, made.id, status="open", tags=["hot"])
    assert (changed.status, changed.tags, changed.priority) == ("open", ["hot"], "high")
    await zendesk.add_comment(initech, made.id, "On it", public=False, status="pending")
    comments = await zendesk.list_comments(initech, made.id)
    assert [(each.body, each.public) for each in comments] == [("Smoke", True), ("On it", False)]
    assert await zendesk.list_comments(initech, made.id, most=1) == comments[:1]
    assert await zendesk.get_ticket(initech, 1) is None
    some = await zendesk.get_tickets(initech, [str(made.id), "1", "no"])
    assert (list(some.found), some.missing) == ([str(made.id)], ["1", "no"])
    for _ in range(2):  # known by its external id
        acme = await zendesk.upsert_organization(initech, "Acme", "o-1", ["acme.example"])
        bob = await zendesk.upsert_user(initech, "Bob", "bob@x.example", "u-1", acme.id)
    assert await zendesk.list_organizations(initech) == [(str(acme.id), "Acme")]
    assert await zendesk.get_organization(initech, acme.id) == acme
    assert (await zendesk.get_users(initech, [str(bob.id)])).found == {str(bob.id): bob}
    assert await zendesk.get_user(initech, bob.id) == bob
    found = await zendesk.search(initech, "type:ticket status:pending", most=10)
    assert [(each.id, each.result_type) for each in found] == [(made.id, "ticket")]
    for number in range(120):
        await zendesk.create_ticket(initech, f"Many {number}", "x")
    assert len(await zendesk.search(initech, "type:ticket many", most=110)) == 110


async def test_errors_say_what_to_do(app: Accounts) -> None:
    initech = await app.account("initech")
    with pytest.raises(Unauthorized):
        await app.connection("initech", "no").test()
    made = await zendesk.create_ticket(initech, "Fire", "Smoke")
    await zendesk.update_ticket(initech, made.id, status="closed")
    with pytest.raises(UpstreamError, match="closed prevents") as closed:
        await zendesk.add_comment(initech, made.id, "Too late")
    assert closed.value.status == 422
    await app.post("/faults", {"rate_limit_per_s": 0.001})
    await initech.test()
    with pytest.raises(RateLimited) as limited:
        await initech.test()
    assert limited.value.retry_after is not None
    assert limited.value.retry_after > timedelta(seconds=10)


class Writer:
    """People who open tickets."""

    def __init__(self, app: Accounts) -> None:
        self.app = app

    async def put(self, bodies: Any) -> None:
        for each in bodies:
            body = {"subject": each.decode(), "comment": {"body": "x"}}
            await self.app.post("/accounts/initech/tickets", body)


async def test_the_export_is_followed_without_a_gap(app: Accounts) -> None:
    initech = await app.account("initech")
    log = await check_listener(
        zendesk.changed_ticket(),
        initech,
        Writer(app),
        unwrap=lambda body: codec.decode(body)["subject"].encode(),
        within=DEADLINE,
    )
    assert len(log.bodies) > 20


async def test_a_webhook_is_made_signed_and_removed(app: Accounts) -> None:
    initech, heard = await app.account("initech"), list[Request]()

    async def take(request: web.Request) -> web.Response:
        headers = Headers(list(request.headers.items()))
        at = datetime.now().astimezone()
        heard.append(Request("POST", "", "", headers, await request.read(), "", at))
        return web.Response(status=200 if len(heard) > 1 else 503)

    receiver = web.Application()
    receiver.router.add_post("/hook", take)
    trigger = zendesk.event(["ticket.created", "ticket.status_changed"])
    async with on_loopback(receiver) as url:
        endpoint = Endpoint(f"{url}/hook", SecretStr("unused"), "tickets")
        made = await trigger.subscribe(initech, endpoint)
        assert (await trigger.subscribe(initech, endpoint, made)).id == made.id
        other = await trigger.subscribe(initech, Endpoint(f"{url}/x", SecretStr(""), "other"))
        ticket = await zendesk.create_ticket(initech, "Fire", "Smoke")

        async def arrived() -> bool:
            return len(heard) == 2  # the first try failed

        await until(arrived)
        assert made.secret is not None
        for each in heard:
            ZendeskSignature().verify(each, [made.secret.get_secret_value()], each.received_at)
        event = await trigger.parse(heard[1])
        assert isinstance(event, zendesk.Event)
        assert (event.type, event.detail["id"]) == ("ticket.created", str(ticket.id))
        await trigger.unsubscribe(initech, made)
        assert not await trigger.exists(initech, made)
        assert await trigger.exists(initech, other)

        async def there() -> set[str]:
            return {each["id"] for each in (await initech.get(zendesk.HOOKS))["webhooks"]}

        changed = zendesk.event(["user.created"])
        await check_webhook(trigger, initech, there, changed=changed)
