"""A front before a Kafka broker that has neither TLS nor SASL: it ends both, and passes on what follows.

It speaks SASL's two requests itself (PLAIN, SCRAM by RFC 5802, OAUTHBEARER by RFC 7628), and lets nobody
ask the broker anything but its versions before that. It runs in a thread of its own.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import socket
import ssl
import struct
import threading
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.polling import DEADLINE

VERSIONS, HANDSHAKE, AUTHENTICATE = 18, 17, 36
ROUNDS = 4_096
Answer = Callable[[bytes], bytes]
"""Answers a token of the client; raises `PermissionError` where it is refused."""


class Front:
    """A port at which clients have to sign in."""

    def __init__(self, tls: ssl.SSLContext | None, sasl: bool = True) -> None:
        self.tls, self.sasl = tls, sasl
        self.user, self.password, self.token = "ada", "secret-pw-1", ""
        self.backend = 0
        self.signed_in: list[str] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.loop = asyncio.new_event_loop()
        self.open = set[asyncio.StreamWriter]()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [writer]
        self.open.add(writer)
        try:
            if self.tls is not None:  # here, so that one whose handshake is under way is known, too
                await writer.start_tls(self.tls)
            behind, to = await asyncio.open_connection("127.0.0.1", self.backend)
            ends.append(to)
            self.open.add(to)
            if self.sasl and not await self.sign_in(reader, writer, behind, to):
                return
            await asyncio.wait(
                [
                    asyncio.ensure_future(copy(reader, to)),
                    asyncio.ensure_future(copy(behind, writer)),
                ],
                return_when=asyncio.FIRST_COMPLETED,
            )
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            for each in ends:  # not waited for: over TLS, the other side may never close its end
                each.close()

    async def sign_in(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        behind: asyncio.StreamReader,
        to: asyncio.StreamWriter,
    ) -> bool:
        """Return True once a client has signed in; False where it is refused."""
        answers: Iterator[Answer] | None = None
        while True:
            frame = await read_frame(reader)
            key, version, correlation, length = struct.unpack(">hhih", frame[:10])
            body = frame[10 + max(length, 0) :]
            head = struct.pack(">i", correlation)
            if key == VERSIONS:
                write_frame(to, frame)
                write_frame(writer, await read_frame(behind))
            elif key == HANDSHAKE:
                mechanism = body[2:].decode()
                answers = self.answers(mechanism)
                name = mechanism.encode()
                known = struct.pack(">ih", 1, len(name)) + name
                write_frame(writer, head + struct.pack(">h", 0) + known)
            elif key == AUTHENTICATE and answers is not None:
                token = body[2:-1] if version > 1 else body[4:]  # short ones: one byte of length
                try:
                    answer, error = next(answers)(token), 0
                except (PermissionError, ValueError):
                    answer, error = b"refused", 58
                if version > 1:
                    text = b"\x08refused" if error else b"\x00"
                    body = struct.pack(">h", error) + text + bytes([len(answer) + 1]) + answer
                    write_frame(writer, head + b"\0" + body + struct.pack(">q", 0) + b"\0")
                else:
                    text = struct.pack(">h", 7) + b"refused" if error else struct.pack(">h", -1)
                    body = struct.pack(">h", error) + text + struct.pack(">i", len(answer)) + answer
                    write_frame(writer, head + body + (struct.pack(">q", 0) if version else b""))
                await writer.drain()
                if error:
                    return False
                if answers.__length_hint__() == 0:  # type: ignore[attr-defined]
                    self.signed_in.append(mechanism)
                    return True
            else:
                return False

    def answers(self, mechanism: str) -> Iterator[Answer]:
        match mechanism:
            case "PLAIN":
                return iter([self.plain])
            case "OAUTHBEARER":
                return iter([self.bearer])
            case _:
                scram = Scram(mechanism, self.user, self.password)
                return iter([scram.first, scram.final])

    def plain(self, token: bytes) -> bytes:
        if token != f"\0{self.user}\0{self.password}".encode():
            raise PermissionError
        return b""

    def bearer(self, token: bytes) -> bytes:
        if f"auth=Bearer {self.token}\x01".encode() not in token:
            raise PermissionError
        return b""


class Scram:
    """The server's side of SCRAM."""

    def __init__(self, mechanism: str, user: str, password: str) -> None:
        self.name = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}[mechanism]
        self.user, self.password = user, password
        self.salt, self.nonce = os.urandom(16), b64encode(os.urandom(12)).decode()
        self.begun = ""

    def first(self, token: bytes) -> bytes:
        bare = token.decode().split(",", 2)[2]
        fields = dict(each.split("=", 1) for each in bare.split(","))
        if fields["n"] != self.user:
            raise PermissionError
        self.nonce = fields["r"] + self.nonce
        told = f"r={self.nonce},s={b64encode(self.salt).decode()},i={ROUNDS}"
        self.begun = f"{bare},{told}"
        return told.encode()

    def final(self, token: bytes) -> bytes:
        bare, _, proof = token.decode().rpartition(",p=")
        salted = hashlib.pbkdf2_hmac(self.name, self.password.encode(), self.salt, ROUNDS)
        said = f"{self.begun},{bare}".encode()
        key = hmac.digest(salted, b"Client Key", self.name)
        signature = hmac.digest(hashlib.new(self.name, key).digest(), said, self.name)
        given = b64decode(proof)
        if bytes(a ^ b for a, b in zip(key, signature, strict=True)) != given:
            raise PermissionError
        server = hmac.digest(hmac.digest(salted, b"Server Key", self.name), said, self.name)
        return b"v=" + b64encode(server)


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    size = struct.unpack(">i", await reader.readexactly(4))[0]
    return await reader.readexactly(size)


def write_frame(writer: asyncio.StreamWriter, frame: bytes) -> None:
    writer.write(struct.pack(">i", len(frame)) + frame)


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()


@contextmanager
def front(tls: ssl.SSLContext | None, *, sasl: bool = True) -> Iterator[Front]:
    """A front that runs; its `backend` is to be set."""
    made = Front(tls, sasl)
    thread = threading.Thread(target=made.loop.run_forever, daemon=True)
    thread.start()
    starting = asyncio.start_server(made.serve, sock=made.listener)
    server = asyncio.run_coroutine_threadsafe(starting, made.loop).result(DEADLINE)
    try:
        yield made
    finally:

        async def end() -> None:
            server.close()
            for each in made.open:  # gracefully, TLS would wait for the other side
                each.transport.abort()
            serving = asyncio.all_tasks(made.loop) - {asyncio.current_task()}
            for each in serving:
                each.cancel()
            await asyncio.gather(*serving, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), made.loop).result(DEADLINE)
        made.loop.call_soon_threadsafe(made.loop.stop)
        thread.join(DEADLINE)
        made.loop.close()
