"""IMAP: against Debian's dovecot, and against servers that keep no promise."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trustme

from halflap import (
    DefinitionError,
    EgressRefused,
    InvalidEvent,
    Unauthorized,
    UpstreamError,
    email,
    imap,
)
from halflap.components.email import sending
from halflap.components.imap import folder, session
from halflap.components.imap.connection import GoogleMail
from halflap.components.imap.folder import FolderCursor
from halflap.components.imap.session import from_utf7, set_of, to_utf7
from halflap.sdk.connection import Link
from halflap.sdk.egress import Egress, Policy
from halflap.sdk.request import Headers, Request
from halflap.testing.listeners import AcceptedLog, ListenerRun, check_listener
from tests.cases import for_each
from tests.dovecot import PASSWORD, Dovecot, dovecot
from tests.mails import CORPUS
from tests.polling import DEADLINE, until


@pytest.fixture(scope="module")
def server() -> Iterator[Dovecot]:
    with dovecot() as made:
        yield made


@pytest.fixture(scope="module")
def server_that_cannot_idle() -> Iterator[Dovecot]:
    with dovecot(idles=False) as made:
        yield made


def box(port: int, user: str = "ada", **more: Any) -> imap.Imap:
    """A connection to a mailbox on this machine."""
    given: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": port,
        "security": "none",
        "username": user,
        "auth": {"kind": "password", "password": PASSWORD},
        **more,
    }
    made = imap.Imap.model_validate(given)
    made._link = Link("box", egress=Egress(Policy(allow=("127.0.0.1", "localhost"))))
    return made


def mail_of(body: bytes, number: int = 0) -> bytes:
    return b"Subject: n\r\nMessage-ID: <%d@test>\r\n\r\n" % number + body + b"\r\n"


class Folder:
    """A folder of dovecot's, which a stranger fills."""

    def __init__(self, server: Dovecot, user: str) -> None:
        self.server, self.user = server, user

    async def put(self, bodies: Sequence[bytes]) -> None:
        mails = [mail_of(each) for each in bodies]
        await asyncio.to_thread(self.server.append, self.user, mails)


def body_of(mail: bytes) -> bytes:
    return mail.partition(b"\r\n\r\n")[2].strip()


async def test_it_loses_and_doubles_nothing(server: Dovecot) -> None:
    source = Folder(server, "suite")
    log = await check_listener(
        imap.message(), box(server.port, "suite"), source, unwrap=body_of, within=DEADLINE
    )
    assert len(log.bodies) > 20


async def test_it_looks_where_the_server_cannot_idle(server_that_cannot_idle: Dovecot) -> None:
    server = server_that_cannot_idle
    source = Folder(server, "polled")
    async with imap.ImapSession(box(server.port, "polled")) as opened:
        assert "IDLE" not in opened.capabilities
    await check_listener(
        imap.message(interval=5),
        box(server.port, "polled"),
        source,
        unwrap=body_of,
        within=DEADLINE,
    )


@contextmanager
def reading(made: imap.Imap, log: AcceptedLog, **inputs: Any) -> Iterator[ListenerRun]:
    """A listener that reads on."""
    run = ListenerRun(imap.message(**inputs), made, log)
    task = asyncio.create_task(run.go_on())
    try:
        yield run
    finally:
        task.cancel()


async def read(made: imap.Imap, log: AcceptedLog, count: int, **inputs: Any) -> None:
    """Read until so many mails are accepted and marked, then end."""
    run = ListenerRun(imap.message(**inputs), made, log)
    idle = run.listening.idle
    async with run.reading() as task:
        await until(lambda: task.done() or (len(log.bodies) >= count and idle.is_set()))


async def test_a_mail_is_there_as_soon_as_it_comes(server: Dovecot) -> None:
    log = AcceptedLog()
    with reading(box(server.port, "idle"), log) as run:
        await run.listening.idle.wait()
        for number in range(3):  # each within `DEADLINE`, a tenth of the time that IDLE lasts
            await Folder(server, "idle").put([b"%d" % number])
            await until(lambda number=number: len(log.bodies) == number + 1)


async def test_idle_is_renewed(server: Dovecot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "IDLE_SECONDS", 0.2)
    log = AcceptedLog()
    with reading(box(server.port, "renewed"), log) as run:
        await run.listening.idle.wait()
        await asyncio.sleep(1.0)
        await Folder(server, "renewed").put([b"x"])
        await until(lambda: len(log.bodies) == 1)


@pytest.mark.parametrize(
    ("inputs", "left"),
    [
        ({"then": "seen"}, [r"\Seen", r"\Seen"]),
        ({"then": "move", "move_to": "Done"}, []),
        ({"then": "delete"}, []),
        ({}, ["", ""]),
    ],
)
async def test_mails_are_marked_once_they_are_accepted(
    inputs: dict[str, Any], left: list[str], server: Dovecot
) -> None:
    user = f"marks-{inputs.get('then', 'keep')}"
    made, log = box(server.port, user), AcceptedLog()
    with server.signed_in(user) as there:
        there.create("Done")
    server.append(user, [mail_of(b"1", 1)])
    server.append(user, [mail_of(b"2", 2)])
    run = ListenerRun(imap.message(start="earliest", **inputs), made, log)
    while not log.bodies:
        await run.step("accepted")  # and before they are marked, the process dies
    await run.end()
    assert len(server.flags(user)) == 2
    await read(made, log, 2, start="earliest", **inputs)

    def flags() -> list[str]:
        found = [re.search(r"FLAGS \((.*?)\)", each) for each in server.flags(user)]
        return [each[1].replace(r"\Recent", "").strip() for each in found if each]

    await until(lambda: flags() == left, what=flags)
    if inputs.get("then") == "move":
        assert len(server.flags(user, "Done")) == 2
    assert len(log.bodies) == 2
    for wrong in ({"then": "move"}, {"move_to": "Done"}):
        with pytest.raises(DefinitionError, match="belong together"):
            await read(made, AcceptedLog(), 1, **wrong)


async def test_a_folder_to_move_to_that_is_not_there_is_said_before_a_mail_is_accepted(
    server: Dovecot,
) -> None:
    made, log = box(server.port, "nowhere"), AcceptedLog()
    server.append("nowhere", [mail_of(b"1", 1)])
    inputs = {"start": "earliest", "then": "move", "move_to": "Nöwhere"}
    with pytest.raises(DefinitionError, match="cannot be moved to Nöwhere: make that folder"):
        await read(made, log, 1, **inputs)
    assert (log.bodies, log.cursors) == ([], {})
    with server.signed_in("nowhere") as there:
        there.create("N&APY-where")
    await read(made, log, 1, **inputs)
    assert server.flags("nowhere", "N&APY-where") or log.bodies


async def test_mails_that_are_numbered_anew_are_a_gap_that_is_filled(server: Dovecot) -> None:
    source, made, log = Folder(server, "anew"), box(server.port, "anew"), AcceptedLog()
    await source.put([b"1", b"2", b"3"])
    await read(made, log, 3, start="earliest")
    before = FolderCursor.read(log.cursors[""] or "").validity
    server.renumber("anew")
    await asyncio.sleep(1.1)  # dovecot's numbers are seconds
    await source.put([b"4"])
    await read(made, log, 4, start="earliest")
    assert sorted(map(body_of, log.bodies)) == [b"1", b"2", b"3", b"4"]
    assert FolderCursor.read(log.cursors[""] or "").validity != before
    assert len(log.gaps) == 1
    assert "numbered the mails of INBOX anew" in log.gaps[0]
    # The control: by the cursor alone, a folder with other numbers has nothing new.
    log.cursors[""] = FolderCursor(
        FolderCursor.read(log.cursors[""] or "").validity, 99, 99, "2026-01-01"
    ).write()
    await source.put([b"5"])
    await read(made, log, 4, start="earliest")
    assert len(log.bodies) == 4


@for_each("name", CORPUS)
async def test_a_mail_is_the_event_that_it_is_by_smtp(name: str, server: Dovecot) -> None:
    raw, user, log = CORPUS[name], f"corpus-{abs(hash(name))}", AcceptedLog()
    server.append(user, [raw])
    trigger = imap.message(start="earliest")
    run = ListenerRun(trigger, box(server.port, user), log)
    messages: list[Any] = []
    while not messages:
        batch = await run.step()
        assert batch is not None
        messages += batch.messages
    await run.end()
    [message] = messages
    assert message.content == raw
    by_imap = await outcome(trigger, message.content, message.headers)
    by_smtp = await outcome(email.received(), raw, ())
    if isinstance(by_smtp, str):
        assert by_imap == by_smtp
    else:
        assert isinstance(by_imap, imap.FolderMail)
        assert (by_imap.folder, by_imap.uid) == ("INBOX", 1)
        assert by_imap.received_at is not None
        assert abs(by_imap.received_at - datetime.now(UTC)) < timedelta(minutes=5)
        assert email.Mail(**{n: getattr(by_imap, n) for n in email.Mail.model_fields}) == by_smtp


async def outcome(trigger: Any, raw: bytes, headers: Any) -> Any:
    """Return the event that a trigger makes of a mail, or why there is none."""
    now = datetime.now(UTC)
    try:
        return await trigger.parse(Request("MAIL", "", "", Headers(headers), raw, "", now))
    except InvalidEvent as error:
        return error.message


async def test_a_mail_that_is_too_large_fails_and_holds_up_no_other(server: Dovecot) -> None:
    user, log = "large", AcceptedLog()
    server.append(user, [mail_of(b"x" * 200_000, 1), mail_of(b"small", 2)])
    trigger = imap.message(start="earliest", most_bytes=100_000)
    run = ListenerRun(trigger, box(server.port, user), log)
    messages: list[Any] = []
    while len(messages) < 2:
        batch = await run.step()
        assert batch is not None
        messages += batch.messages
    await run.end()
    large, small = messages
    assert large.content.startswith(b"Subject: n")
    assert len(large.content) < 1_000
    assert "200,0" in await outcome(trigger, large.content, large.headers)
    assert (await outcome(trigger, small.content, small.headers)).text.strip() == "small"


@pytest.mark.parametrize("kind", ["tls", "starttls"])
async def test_certificates_are_verified(
    kind: str, server: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = server.tls if kind == "tls" else server.port
    made = box(port, host="localhost", security=kind)
    with pytest.raises(UpstreamError, match="certificate"):
        await made.test()
    context = sending.trust()
    server.authority.configure_trust(context)
    monkeypatch.setattr(sending, "trust", lambda: context)
    await made.test()
    names = [each.value for each in await imap.list_folders(made)]
    assert "INBOX" in names


async def test_who_may_not_is_told(server: Dovecot) -> None:
    with pytest.raises(Unauthorized, match="refused the user or the password"):
        await box(server.port, auth={"kind": "password", "password": "wrong"}).test()
    with pytest.raises(UpstreamError, match="refused EXAMINE"):
        await read(box(server.port), AcceptedLog(), 1, folder="Nowhere")
    private = box(server.port)
    private._link = Link("box", egress=Egress(Policy()))
    with pytest.raises(EgressRefused):
        await private.test()


# Servers that keep no promise -----------------------------------------------------------------

Answers = Callable[[str, str], Sequence[bytes] | None]
"""The answer of a server to a tag and a command; None: nothing at all."""


@asynccontextmanager
async def scripted(answers: Answers, greeting: bytes = b"* OK hello\r\n") -> AsyncIterator[int]:
    """A server that says what it is told to."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(greeting)
            while line := await reader.readline():
                tag, _, text = line.decode().strip().partition(" ")
                said = answers(tag, text)
                if said is None:
                    await asyncio.sleep(3_600)
                for each in said or ():
                    writer.write(each)
                    await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    running = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield running.sockets[0].getsockname()[1]
    finally:
        running.close()


def honest(tag: str, text: str) -> list[bytes]:
    """A server with a mailbox of one mail, as far as it needs."""
    done = b"%s OK done\r\n" % tag.encode()
    word = text.upper()
    if word == "CAPABILITY":
        return [b"* CAPABILITY IMAP4rev1 IDLE SASL-IR AUTH=PLAIN\r\n", done]
    if word.startswith(("SELECT", "EXAMINE")):
        return [b"* 1 EXISTS\r\n* OK [UIDVALIDITY 7] ok\r\n", done]
    if word.startswith("UID SEARCH"):
        return [b"* SEARCH 5\r\n", done]
    if "RFC822.SIZE" in word:
        return [
            b'* 1 FETCH (UID 5 RFC822.SIZE 3 INTERNALDATE " 1-Jan-2026 00:00:00 +0000")\r\n',
            done,
        ]
    if "BODY" in word:
        return [b"* 1 FETCH (UID 5 BODY[] {3}\r\nA:b)\r\n", done]
    return [done]


async def test_the_scripted_server_is_read_where_it_is_honest() -> None:
    async with scripted(honest) as port:
        log = AcceptedLog()
        run = ListenerRun(imap.message(start="earliest"), box(port), log)
        while not log.bodies:
            await run.step()
        await run.end()
        assert log.bodies == [b"A:b"]


def instead(command: str, *said: bytes) -> Answers:
    """An honest server, but for one command."""

    def answers(tag: str, text: str) -> Sequence[bytes]:
        return said if text.upper().startswith(command) else honest(tag, text)

    return answers


def hangs(tag: str, text: str) -> Sequence[bytes] | None:
    return None if text.startswith("UID SEARCH") else honest(tag, text)


HOSTILE: dict[str, tuple[Answers, str]] = {
    "a line that never ends": (instead("UID SEARCH", *[b"x" * 65_536] * 12), "line of more than"),
    "lines that never end": (
        instead("UID SEARCH", *[b"* OK x\r\n" * 3_000] * 10),
        "more than is read",
    ),
    "a huge literal": (instead("UID FETCH", b"* 1 FETCH (UID 5 BODY[] {999999999}\r\n"), "at once"),
    "a literal where none belongs": (
        instead("UID SEARCH", b"* SEARCH {5}\r\nabcde\r\n"),
        "at once",
    ),
    "literals without end": (
        instead("UID FETCH", b"* 1 FETCH (UID 5 X ", *[b"{0}\r\n"] * 200),
        "at once",
    ),
    "literals that are too much together": (
        instead("UID FETCH", b"* 1 FETCH (UID 5 X ", *[b"{60000}\r\n" + b"x" * 60_000] * 3),
        "at once",
    ),
    "a mail that is larger than was said": (
        instead("UID FETCH 5 (UID BODY", b"* 1 FETCH (UID 5 BODY[] {1000000}\r\n"),
        "at once",
    ),
    "no answer": (hangs, "does not answer"),
    "goodbye": (instead("UID SEARCH", b"* BYE\r\n"), "ended the session"),
    "no numbers": (instead("EXAMINE", b"h4 OK done\r\n"), "no UIDVALIDITY"),
    "a refusal": (instead("EXAMINE", b"h4 NO [ALERT] \x1b[31m go\r\n"), "refused EXAMINE"),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_server_is_an_error_in_time_and_memory(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, told = HOSTILE[name]
    if answers is hangs:
        monkeypatch.setattr(session, "SECONDS", 1.0)
    async with scripted(answers) as port:
        run = ListenerRun(imap.message(start="earliest"), box(port), AcceptedLog())
        with pytest.raises(UpstreamError, match=told):
            async with asyncio.timeout(DEADLINE):
                await run.go_on()
        await run.end()


async def test_what_is_sent_before_tls_begins_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    theirs, ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), sending.trust()
    authority.issue_cert("localhost").configure_cert(theirs)
    authority.configure_trust(ours)
    monkeypatch.setattr(sending, "trust", lambda: ours)
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* OK hello\r\n")
        await reader.readline()
        forged = (b"h%d OK [UIDVALIDITY 666] forged\r\n" % each for each in range(2, 6))
        writer.write(b"h1 OK begin\r\n" + b"".join(forged))
        await writer.drain()
        await writer.start_tls(theirs)
        heard.append(await reader.readline())
        writer.close()  # without an answer

    running = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = running.sockets[0].getsockname()[1]
    with pytest.raises(UpstreamError, match="ended the connection"):
        await box(port, host="localhost", security="starttls").test()
    running.close()
    assert heard == [b"h2 CAPABILITY\r\n"]


async def test_a_server_that_always_says_there_is_something_is_asked_calmly() -> None:
    asked, idling = list[str](), list[str]()

    def answers(tag: str, text: str) -> Sequence[bytes]:
        asked.append(text)
        if text == "IDLE":
            idling.append(tag)
            return [b"+ idling\r\n", b"* 1 EXISTS\r\n"]
        return honest(idling[-1] if tag == "DONE" else tag, text)

    async with scripted(answers) as port:
        with reading(box(port), AcceptedLog(), start="earliest"):
            await asyncio.sleep(1.0)
    assert len(asked) < 300  # without a pause: thousands


@for_each(
    "wrong",
    [
        b"* 1 FETCH (UID 9 RFC822.SIZE 3)\r\n",
        b"* 1 FETCH (UID 99999999999999 RFC822.SIZE 3)\r\n",
        b"* 1 FETCH (RFC822.SIZE 3)\r\n",
        b"* 1 FETCH )UID 5(\r\n",
        b"",
    ],
)
async def test_wrong_numbers_are_passed_by_and_end(wrong: bytes) -> None:
    """A mail that is never given is one that is gone; the cursor goes past it."""

    def answers(tag: str, text: str) -> Sequence[bytes]:
        done = b"%s OK done\r\n" % tag.encode()
        return [wrong, done] if "RFC822.SIZE" in text.upper() else honest(tag, text)

    async with scripted(answers) as port:
        log = AcceptedLog()
        with reading(box(port), log, start="earliest") as run:
            async with asyncio.timeout(DEADLINE):
                await run.listening.idle.wait()
            assert log.bodies == []
            assert FolderCursor.read(log.cursors[""] or "").uid == 5


async def test_what_does_not_greet_is_no_server() -> None:
    async with scripted(honest, b"HTTP/1.1 200 OK\r\n") as port:
        with pytest.raises(UpstreamError, match="does not greet as IMAP does"):
            await box(port).test()


async def test_a_token_is_given_as_xoauth2_wants_it() -> None:
    seen: list[str] = []

    def answers(tag: str, text: str) -> Sequence[bytes]:
        if not text.startswith("AUTHENTICATE"):
            return (
                honest(tag, text)
                if tag.startswith("h")
                else [b"h2 NO [AUTHENTICATIONFAILED] no\r\n"]
            )
        seen.append(text)
        return [b"h2 OK in\r\n"] if len(seen) == 1 else [b"+ eyJzdGF0dXMiOiI0MDAifQ==\r\n"]

    auth = GoogleMail(access_token="ya29.token")  # type: ignore[arg-type]
    async with scripted(answers) as port:
        made = box(port, "ada@test", auth=auth)
        await made.test()
        assert seen == ["AUTHENTICATE XOAUTH2 dXNlcj1hZGFAdGVzdAFhdXRoPUJlYXJlciB5YTI5LnRva2VuAQE="]
        with pytest.raises(Unauthorized):
            await made.test()


def test_names_and_sets_are_written_as_imap_has_them() -> None:
    assert to_utf7("Entwürfe & mehr") == "Entw&APw-rfe &- mehr"
    for each in ("INBOX", "Entwürfe & mehr", "日本/語", "🚚", "&"):
        assert from_utf7(to_utf7(each)) == each
    assert set_of([3, 1, 2, 9, 5, 6]) == "1:3,5:6,9"
