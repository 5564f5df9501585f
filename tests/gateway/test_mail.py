"""The mail server as strangers meet it: mail is taken, refused or held off, and nothing confuses it."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
import trustme
import uvloop

from halflap.errors import ConfigError, StoreError
from halflap.gateway.mail import READ_AHEAD, MailLimits, MailServer, read_data
from halflap.model import ENDED, Execution
from halflap.sdk import codec
from halflap.server.host import Host, mail_server
from halflap.server.settings import Settings
from halflap.store.protocol import Filter
from tests.cases import for_each
from tests.polling import DEADLINE
from tests.world import host_on, publish

PROJECT = """
from halflap import Config, Context, Integration, email, webhook


class Options(Config):
    pass


integration = Integration("inbox", config=Options)


@integration.flow(trigger=email.received)
async def inbox(ctx: Context[Options], mail: email.Mail) -> list[str]:
    assert mail.sender is not None
    files = [f"{each.name}:{len(each.data)}" for each in mail.attachments]
    return [mail.sender.address, mail.subject, mail.text.strip(), mail.envelope_from, *files]


@integration.flow(trigger=email.received)
async def second(ctx: Context[Options], mail: email.Mail) -> None:
    pass


@integration.flow(trigger=webhook.request(signature=None))
async def hook(ctx: Context[Options], event: dict[str, str]) -> None:
    pass
"""
DOMAIN = "in.example"
PLAIN = "From: Ada <ada@test>\r\nSubject: Hello\r\nMessage-ID: <1@test>\r\n\r\nHi\r\n"


class Inbox:
    """A host with a mail server, and an instance whose flow takes mail."""

    def __init__(self, host: Host, server: MailServer, port: int, urls: dict[str, str]) -> None:
        self.host, self.server, self.port, self.urls = host, server, port, urls

    def address(self, flow: str = "inbox") -> str:
        return f"{self.urls[flow].rpartition('/')[2]}@{DOMAIN}"

    async def peer(self, talk: Callable[[smtplib.SMTP], Any]) -> Any:
        """Talk to the server as Python's own client."""

        def go() -> Any:
            with smtplib.SMTP("127.0.0.1", self.port, timeout=DEADLINE) as peer:
                return talk(peer)

        return await asyncio.to_thread(go)

    async def send(self, body: str | bytes, *to: str) -> int:
        """Send a mail; the code that it was answered."""
        try:
            wanted = [*(to or [self.address()])]
            await self.peer(lambda peer: peer.sendmail("bounce@test", wanted, body))
        except smtplib.SMTPRecipientsRefused as error:
            return max(code for code, _ in error.recipients.values())
        except smtplib.SMTPResponseException as error:
            return error.smtp_code
        return 250

    async def ended(self, number: int, flow: str = "inbox") -> list[Execution]:
        async with asyncio.timeout(DEADLINE):
            while True:
                found = await self.host.store.journal.executions(Filter(flow=flow))
                if len(found) >= number and all(each.state in ENDED for each in found):
                    return found
                await asyncio.sleep(0.02)


@asynccontextmanager
async def inbox_on(
    folder: Path, tls: ssl.SSLContext | None = None, **limits: Any
) -> AsyncIterator[Inbox]:
    project = folder / "project"
    project.mkdir()
    (project / "inbox.py").write_text(PROJECT)
    async with host_on(folder / "store") as (host, _):
        version = await publish(host, project, "inbox:integration")
        catalogue = host.store.catalogue
        customer = await catalogue.customers.add("Initech")
        instance = await catalogue.instances.add(customer.id, "inbox", "inbox", version.hash)
        await host.deployer.activate(instance.id)
        assert (await host.deployer.settled(instance.id)).error is None
        given = MailLimits(**{"size": 100_000, **limits})
        server = MailServer(host.gateway, host.routes.find, DOMAIN, given, tls)
        port = await server.start("127.0.0.1", 0)
        try:
            yield Inbox(host, server, port, dict(await host.resolver.urls(instance.id)))
        finally:
            await server.stop(1)


async def test_a_mail_starts_its_flow_once(tmp_path: Path) -> None:
    async with inbox_on(tmp_path) as inbox:
        attached = (
            "From: ada@test\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMessage-ID: <2@test>\r\n"
            'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
            "--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHi\r\n"
            '--b\r\nContent-Type: text/csv\r\nContent-Disposition: attachment; filename="../../a.csv"'
            "\r\n\r\n1,2\r\n--b--\r\n"
        )
        assert [await inbox.send(each) for each in (PLAIN, PLAIN, attached)] == [250] * 3
        relayed = f"Received: by relay.test; now\r\n{PLAIN}"
        assert await inbox.send(relayed) == 250
        results = [codec.decode(each.result or b"") for each in await inbox.ended(2)]
        assert sorted(results) == [
            ["ada@test", "Grüße", "Hi", "bounce@test", "a.csv:3"],
            ["ada@test", "Hello", "Hi", "bounce@test"],
        ]
        assert inbox.server.answers == {"250": 4}


async def test_only_open_addresses_of_flows_that_take_mail_are_somebody(tmp_path: Path) -> None:
    async with inbox_on(tmp_path) as inbox:
        local = inbox.address().partition("@")[0]
        for each in (
            inbox.address("hook"),
            f"{local}@else.example",
            f"hk_00000000000000000000000000@{DOMAIN}",
            f"postmaster@{DOMAIN}",
            f"../{local}@{DOMAIN}",
            local,
        ):
            assert await inbox.send(PLAIN, each) == 550, each
        assert await inbox.send(PLAIN, inbox.address().upper()) == 250
        async with aiohttp.ClientSession() as http:
            for method in ("POST", "MAIL"):  # a mail's address takes no request
                async with http.request(method, inbox.urls["inbox"], data=PLAIN) as answer:
                    assert answer.status in (400, 404, 405, 501)
        assert len(await inbox.ended(1)) == 1


async def test_a_mail_that_is_too_large_is_refused_for_good(tmp_path: Path) -> None:
    async with inbox_on(tmp_path, size=10_000) as inbox:
        assert await inbox.send(PLAIN + "x" * 70 + "\r\n" * 10_000) == 552
        assert (await inbox.peer(lambda peer: (peer.ehlo(), peer.esmtp_features)[1]))[
            "size"
        ] == "10000"
        declared = lambda peer: (peer.ehlo(), peer.mail("a@test", ["SIZE=10001"]))[1][0]  # noqa: E731
        assert await inbox.peer(declared) == 552
        assert await inbox.send(PLAIN) == 250


async def test_a_store_that_fails_leaves_the_mail_with_its_sender(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with inbox_on(tmp_path) as inbox:

        async def fails(starts: Any) -> Any:
            raise StoreError("the disk is full")

        with monkeypatch.context() as broken:
            broken.setattr(inbox.host.engine, "start", fails)
            assert await inbox.send(PLAIN) == 451
        assert await inbox.send(PLAIN) == 250
        assert len(await inbox.ended(1)) == 1


async def test_a_transaction_has_one_recipient(tmp_path: Path) -> None:
    # One reply for two of which one refuses the mail would lose it or double it.
    async with inbox_on(tmp_path) as inbox:
        first, other = inbox.address(), inbox.address("second")
        nobody = f"nobody@{DOMAIN}"
        wanted = [first, first.upper(), other, nobody]
        refused = await inbox.peer(lambda peer: peer.sendmail("a@test", wanted, PLAIN))
        assert {each: code for each, (code, _) in refused.items()} == {other: 452, nobody: 550}
        assert len(await inbox.ended(1)) == 1
        assert await inbox.send(PLAIN, other) == 250  # as its sender does then
        assert await inbox.send(PLAIN, first) == 250
        assert inbox.server.answers == {"250": 3}
        assert len(await inbox.ended(1, "second")) == 1
        assert len(await inbox.ended(1)) == 1


async def handed_on(
    talk: Callable[[smtplib.SMTP], Any], tls: ssl.SSLContext | None = None
) -> list[bytes]:
    """Talk to a server of this loop that takes all mail; what it handed on."""
    got: list[bytes] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        got.append((await receive())["body"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def find(endpoint: str) -> Any:
        return SimpleNamespace(declaration=SimpleNamespace(methods=("MAIL",)))

    mails = MailServer(app, find, DOMAIN, MailLimits(size=1_000_000), tls)
    port = await mails.start("127.0.0.1", 0)

    def go() -> None:
        with smtplib.SMTP("127.0.0.1", port, timeout=DEADLINE) as peer:
            talk(peer)

    await asyncio.to_thread(go)
    await mails.stop(1)
    return got


@for_each("run", [asyncio.run, uvloop.run])
def test_starttls_is_offered(run: Callable[..., Any]) -> None:
    ca = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    ca.issue_cert(DOMAIN).configure_cert(server)
    ca.configure_trust(client)

    def talk(peer: smtplib.SMTP) -> None:
        peer._host = DOMAIN  # the name that is verified
        peer.starttls(context=client)
        peer.sendmail("a@test", [f"x@{DOMAIN}"], PLAIN)

    assert run(handed_on(talk, server)) == [PLAIN.encode()]


async def test_a_mail_of_empty_lines_takes_no_more_memory_than_another() -> None:
    empty = PLAIN.encode() + b"\r\n" * 400_000
    tracemalloc.start()
    try:
        got = await handed_on(lambda peer: peer.sendmail("a@test", [f"x@{DOMAIN}"], empty))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert got == [empty]
    assert peak < 12 * len(empty)


@pytest.mark.parametrize("cut", [1, 7, 65_536])
@for_each(
    ("sent", "data"),
    [
        (b".\r\n", b""),
        (b"a\r\n.\r\n", b"a\r\n"),
        (b"..\r\n...a\r\n.\r\n", b".\r\n..a\r\n"),
        (b".a\r\n.\r\n", b"a\r\n"),
        (b"\r\n\r\n.\r\n", b"\r\n\r\n"),
        (b"a.\r\n.\r\n", b"a.\r\n"),
        *[(b"a" + end + b"b\r\n.\r\n", b"a" + end + b"b\r\n") for end in (b"\n.\n", b"\n.\r\n")],
        *[
            (b"a" * n + b"\r\n.\r\n", b"a" * n + b"\r\n")
            for n in range(READ_AHEAD - 8, READ_AHEAD + 4)
        ],
        (b"a\r\n" * 19_999 + b".\r\n", b"a\r\n" * 19_999),
        (b"a\r\n" * 20_001 + b".\r\n", None),
        (b"a" * 100_000 + b"\r\n.\r\n", None),
    ],
)
async def test_data_ends_where_it_does(sent: bytes, data: bytes | None, cut: int) -> None:
    reader = asyncio.StreamReader(READ_AHEAD)
    reading = asyncio.create_task(read_data(reader, 60_000))
    stream = sent + b"QUIT\r\n"
    size = cut if len(stream) < 1_000 else cut + 998
    for start in range(0, len(stream), size):
        reader.feed_data(stream[start : start + size])
        await asyncio.sleep(0)
    assert await reading == data
    assert await reader.readline() == b"QUIT\r\n"


async def raw(port: int, sent: bytes, *, then: float) -> bytes:
    """Send bytes as they are; what came back until nothing did."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    got = b""
    try:
        async with asyncio.timeout(DEADLINE):
            while True:
                try:
                    async with asyncio.timeout(then):
                        piece = await reader.read(65_536)
                except TimeoutError:
                    return got
                if not piece:
                    return got
                got += piece
    except ConnectionError:
        return got
    finally:
        writer.close()


async def test_hostile_peers_get_no_mail_in_and_stop_nobody(tmp_path: Path) -> None:
    async with inbox_on(tmp_path, seconds=0.5, connections_per_address=8) as inbox:
        to = f"MAIL FROM:<a@test>\r\nRCPT TO:<{inbox.address()}>\r\nDATA\r\n".encode()
        hello = b"HELO x\r\n"
        # One mail, though half of it looks like the end and another one's beginning.
        smuggled = (
            hello + to + b"Subject: 1\r\n\r\na\n.\nMAIL FROM:<b@test>\nRCPT TO:<c@test>\nDATA\n"
        )
        ends = b"Subject: 2\n\nb\r\n.\r\nQUIT\r\n"
        got = await raw(inbox.port, smuggled + ends, then=DEADLINE)
        assert got.count(b"250 2.0.0") == 1
        for each in (
            to,  # before a HELO
            hello + b"DATA\r\n",
            hello + b"X" * 100_000 + b"\r\n",
            hello + b"MAIL FROM:<" + b"a" * 5_000 + b"@test>\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            bytes(range(256)) * 20,
            hello + b"VRFY root\r\nEXPN all\r\nHELP\r\n" * 60,
            hello + to + b"Subject: cut off",
        ):
            assert b"250 2.0.0" not in await raw(inbox.port, each, then=1.0)
        # Slow ones are ended.
        held = [await asyncio.open_connection("127.0.0.1", inbox.port) for _ in range(8)]
        async with asyncio.timeout(DEADLINE):
            for reader, _ in held:
                while await reader.read(1_000):
                    pass
        for _, each in held:
            each.close()
        assert await inbox.send(PLAIN) == 250
        assert len(await inbox.ended(2)) == 2


async def test_more_than_some_of_one_address_are_turned_away(tmp_path: Path) -> None:
    async with inbox_on(tmp_path, connections_per_address=8) as inbox:
        held = [await asyncio.open_connection("127.0.0.1", inbox.port) for _ in range(8)]
        refused, writer = await asyncio.open_connection("127.0.0.1", inbox.port)
        greeting = await refused.readline()
        assert greeting.startswith(b"421 4.7.0")
        for _, each in [*held, (refused, writer)]:
            each.close()


def test_settings_that_cannot_serve_mail_say_so() -> None:
    none: Any = None
    with pytest.raises(ConfigError, match="HALFLAP_MAIL_DOMAIN"):
        mail_server(Settings(mail_port=25), none, none)
    wrong = Settings(mail_port=25, mail_domain=DOMAIN, mail_certificate="/nowhere.pem")
    with pytest.raises(ConfigError, match="HALFLAP_MAIL_CERTIFICATE"):
        mail_server(wrong, none, none)
