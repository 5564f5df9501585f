"""Mail under kill -9 and on a full disk: a mail that was answered 250 is never lost."""

from __future__ import annotations

import asyncio
import random
import smtplib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tests.conftest import Note
from tests.faults import checker
from tests.faults.conftest import needs
from tests.faults.disk import can_mount, small_disk
from tests.faults.process import ServerProcess, server_on
from tests.faults.senders import History
from tests.faults.sink import Sink
from tests.faults.verdict import SEED, all_ended, lost
from tests.loopback import free_port
from tests.polling import DEADLINE, until

SENDERS = 8
KILLS = 2
EACH = 40


def send_mail(port: int, address: str, number: int, padding: int) -> int:
    """Send one mail; the code that it was answered."""
    body = f"Subject: {number}\r\nMessage-ID: <{number}@test>\r\n\r\n" + "x" * 70 + "\r\n"
    body += ("y" * 70 + "\r\n") * (padding // 72)
    try:
        with smtplib.SMTP("127.0.0.1", port, timeout=DEADLINE) as peer:
            peer.sendmail("a@test", [address], body)
    except smtplib.SMTPResponseException as error:
        return error.smtp_code
    return 250


class Mailer:
    """Senders of mail, with the history of what they were answered."""

    def __init__(self, server: ServerProcess, port: int) -> None:
        self.history = History()
        self._server, self._port = server, port

    async def send_one(self, padding: int = 0) -> None:
        number = next(self.history._numbers)
        self.history.unknown.add(number)
        local = self._server.urls["mailed"].rpartition("/")[2]
        wanted = (self._port, f"{local}@in.example", number, padding)
        try:
            code = await asyncio.to_thread(send_mail, *wanted)
        except (OSError, smtplib.SMTPException):
            return
        self.history.unknown.discard(number)
        if code == 250:
            self.history.acknowledged.add(number)
        else:
            self.history.refused[number] = code

    @asynccontextmanager
    async def sending(self) -> AsyncGenerator[None]:
        """Send from several connections as long as the block lasts."""

        async def sender() -> None:
            while True:
                await self.send_one()
                await asyncio.sleep(0.005)

        tasks = [asyncio.create_task(sender()) for _ in range(SENDERS)]
        try:
            yield
        finally:
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def killed(
    directory: Path, sink: Sink, *flags: str, kills: int = KILLS, each: int = EACH
) -> tuple[History, ServerProcess]:
    port, chance = free_port(), random.Random(SEED)
    flags = ("--mail-port", str(port), *flags)
    async with server_on(directory, sink.url, *flags) as server:
        mailer = Mailer(server, port)
        async with mailer.sending():
            while server.kills < kills:
                enough = len(mailer.history.acknowledged) + each
                await until(lambda: len(mailer.history.acknowledged) >= enough)  # noqa: B023
                await asyncio.sleep(chance.uniform(0, 0.2))
                await server.kill()
                await server.start()
        await all_ended(server)
    return mailer.history, server


async def test_mail_that_was_answered_250_survives_kill_9(
    tmp_path: Path, sink: Sink, note: Note
) -> None:
    history, server = await killed(tmp_path / "store", sink)
    assert len(history.acknowledged) >= KILLS * EACH
    assert checker.outcomes(server.directory).keys() == {"succeeded: "}
    assert lost(history, sink) == 0
    assert sink.keys_changed == 0
    note("mail, kill -9", faults=server.kills, acknowledged=len(history.acknowledged), lost=0)


async def test_a_control_that_answers_250_before_the_commit_loses(
    tmp_path: Path, sink: Sink
) -> None:
    history, _ = await killed(tmp_path / "store", sink, "--ack-early", kills=6, each=8)
    assert lost(history, sink) > 0


async def test_a_full_disk_keeps_the_mail_with_its_sender(
    tmp_path: Path, sink: Sink, note: Note
) -> None:
    needs(can_mount(tmp_path / "trial"), "a small disk of its own takes root, and to be let mount")
    port = free_port()
    with small_disk(tmp_path / "disk", 96) as disk:
        ballast, store = disk / "ballast", disk / "store"
        flags = ("--room", "2", "--mail-port", str(port))
        async with server_on(store, sink.url, *flags, log=tmp_path / "server.log") as server:
            mailer, history = Mailer(server, port), History()
            history = mailer.history
            ballast.write_bytes(bytes(80 << 20))
            async with asyncio.timeout(DEADLINE):
                while len(history.refused) < 10:
                    await mailer.send_one(200_000)
            assert set(history.refused.values()) == {451}
            ballast.unlink()
            before = len(history.acknowledged)
            async with asyncio.timeout(DEADLINE):
                while len(history.acknowledged) < before + 10:
                    await mailer.send_one(1_000)
            await until(lambda: lost(history, sink) == 0)
            assert checker.problems(store) == []
            note("mail, full disk", faults=len(history.refused), lost=0)
            with suppress(ProcessLookupError):
                await server.stop()
