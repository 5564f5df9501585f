"""Mail that is sent: to a server of another project, over a connection that is guarded."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trustme
from aiosmtpd.smtp import SMTP, AuthResult

from halflap import (
    Config,
    Context,
    EgressRefused,
    File,
    Integration,
    Unauthorized,
    UpstreamError,
    email,
    webhook,
)
from halflap.components.email import sending
from halflap.sdk.connection import Link
from halflap.sdk.egress import Egress, Policy
from halflap.testing import Run

NAME = "localhost"


class Office:
    """A mail server of another project, which does as it is told."""

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], bytes]] = []
        self.answer = "250 OK"
        self.refuses: dict[str, str] = {}
        self.breaks = False
        self.port = 0

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, to: str, options: Any
    ) -> str:
        if to in self.refuses:
            return self.refuses[to]
        envelope.rcpt_tos.append(to)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.mails.append((envelope.rcpt_tos, envelope.content))
        if self.breaks:
            server.transport.abort()
        return self.answer


@asynccontextmanager
async def office(
    kind: str = "none", login: bool = False
) -> AsyncIterator[tuple[Office, ssl.SSLContext]]:
    ca = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    ca.issue_cert(NAME).configure_cert(server)
    ca.configure_trust(client)
    made = Office()
    sessions: list[SMTP] = []

    def check(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        good = (data.login, data.password) == (b"ada", b"secret")
        return AuthResult(success=good, handled=good)

    def connected() -> SMTP:
        session = SMTP(
            made,
            hostname=NAME,
            tls_context=server if kind == "starttls" else None,
            require_starttls=kind == "starttls",
            authenticator=check if login else None,
            auth_require_tls=False,
        )
        sessions.append(session)
        return session

    loop = asyncio.get_running_loop()
    listener = await loop.create_server(
        connected, "127.0.0.1", 0, ssl=server if kind == "tls" else None
    )
    made.port = listener.sockets[0].getsockname()[1]
    try:
        yield made, client
    finally:
        listener.close()
        for each in sessions:
            if each.transport is not None:
                each.transport.abort()


def box(made: Office, kind: str = "none", *allow: str, **more: Any) -> email.Mailbox:
    given = {"host": NAME, "port": made.port, "security": kind, "sender": "us@test.example", **more}
    box = email.Mailbox.model_validate(given)
    egress = Egress(Policy(allow=allow or ("127.0.0.1", "::1")))
    box._link = Link("box", egress=egress)
    return box


@pytest.mark.parametrize("kind", ["none", "starttls", "tls"])
async def test_a_mail_is_sent_signed_in_and_encrypted(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with office(kind, login=True) as (made, client):
        monkeypatch.setattr(sending, "trust", lambda: client)
        ours = box(made, kind, username="ada", password="secret")
        await ours.test()
        sent = await email.send(
            ours,
            ["a@test.example", "a@test.example"],
            "Grüße\r\nBcc: evil@test.example",
            ".\nSchön 🚚\n.",
            html="<b>Schön</b>",
            bcc=["hidden@test.example"],
            attachments=[File(b"\x00\xff", "ü\r\nX: y.bin", "application/x-a")],
        )
        ((to, content),) = made.mails
        assert to == ["a@test.example", "hidden@test.example"]
        assert b"hidden@" not in content
        read = email.read_mail(content)
        assert f"<{read.message_id}>" == sent.message_id
        assert read.subject == "Grüße Bcc: evil@test.example"
        assert read.text.strip() == ".\nSchön 🚚\n."
        assert (read.html.strip(), read.attachments[0].data) == ("<b>Schön</b>", b"\x00\xff")
        assert not {"bcc", "x"} & read.headers.keys()
        wrong = box(made, kind, username="ada", password="wrong")
        with pytest.raises(Unauthorized):
            await wrong.test()


async def test_a_certificate_that_is_not_trusted_sends_nothing() -> None:
    async with office("tls") as (made, _):
        with pytest.raises(UpstreamError, match="CERTIFICATE"):
            await email.send(box(made, "tls"), ["a@test.example"], "s", "t")
        assert made.mails == []


@pytest.mark.parametrize(
    ("answer", "breaks", "retryable", "in_doubt"),
    [
        ("451 later", False, True, False),
        ("554 no", False, False, False),
        ("250 OK", True, False, True),
    ],
)
async def test_what_became_of_a_mail_decides_whether_it_is_sent_again(
    answer: str, breaks: bool, retryable: bool, in_doubt: bool
) -> None:
    async with office() as (made, _):
        made.answer, made.breaks = answer, breaks
        with pytest.raises(UpstreamError) as caught:
            await email.send(box(made), ["a@test.example"], "s", "t")
        assert (caught.value.retryable, caught.value.in_doubt) == (retryable, in_doubt)


async def test_refused_recipients_are_named_and_the_others_get_it() -> None:
    async with office() as (made, _):
        made.refuses = {"a@test.example": "550 gone"}
        sent = await email.send(box(made), ["a@test.example", "b@test.example"], "s", "t")
        assert sent.refused == {"a@test.example": "550 gone"}
        with pytest.raises(UpstreamError, match="550 gone"):
            await email.send(box(made), ["a@test.example"], "s", "t")


async def test_a_server_that_may_not_be_called_is_not_connected_to() -> None:
    async with office() as (made, _):
        closed = box(made, "none", "10.0.0.1")
        with pytest.raises(EgressRefused):
            await email.send(closed, ["a@test.example"], "s", "t")
        for port in (22, 3_306 - 3_280):
            with pytest.raises(EgressRefused):
                await email.send(box(made, port=port), ["a@test.example"], "s", "t")
        assert made.mails == []
    with pytest.raises(UpstreamError, match="cannot be reached") as caught:
        await email.send(box(made), ["a@test.example"], "s", "t")
    assert (caught.value.retryable, caught.value.in_doubt) == (True, False)


class Settings(Config):
    box: email.Mailbox


integration = Integration("mails", config=Settings)


@integration.flow(trigger=webhook.request(signature=None))
async def mails(ctx: Context[Settings], event: dict[str, str]) -> str:
    return (await email.send(ctx.config.box, [event["to"]], "s", "t")).message_id


async def test_an_address_that_is_none_is_refused_before_anything_is_sent(run: Run) -> None:
    for to in ("a", "a@b@c", "a@b\r\nRCPT TO:<c@d>", "<a@b>", "a b@c", "ü@b"):
        result = await run(mails, {"to": to}, stubs={email.send: {"message_id": "<1>"}})
        assert result.state == "failed", to
    good = await run(mails, {"to": "a@b.example"}, stubs={email.send: {"message_id": "<1>"}})
    assert good.result == "<1>"
