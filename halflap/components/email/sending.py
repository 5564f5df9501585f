"""Send a mail by a mail server: by the standard library's client, over a connection that we have made."""

from __future__ import annotations

import re
import smtplib
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from functools import partial
from typing import Annotated, Any, Literal

import anyio.to_thread
from pydantic import Field, SecretStr

from halflap import Connection, DefinitionError, File, Model, Unauthorized, UpstreamError

PORTS = frozenset({25, 465, 587})
SECONDS = 30.0
ADDRESS = r"^[^\s<>@,;:\"()\[\]\\\x00-\x1f\x7f-\U0010ffff]{1,64}@[A-Za-z0-9.-]{1,255}$"
Address = Annotated[str, Field(pattern=ADDRESS)]
TYPE = re.compile(r"([\w.+-]+)/([\w.+-]+)")
MAY_BE_SENT = "the server did not say what became of the mail, so it may have been sent"


class Mailbox(Connection):
    """A mail server through which mail is sent, and the address that it is sent from."""

    host: str = Field(pattern=r"^[A-Za-z0-9.-]+$")
    """The mail server: smtp.example.com"""

    port: int = Field(587, ge=1, le=65_535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    """The encryption of the connection: after a greeting (port 587), from the start (465), or none."""

    sender: Address
    """The address that mails are sent from."""

    username: str | None = None
    password: SecretStr | None = None

    async def test(self) -> None:
        await self.submit(None, ())

    async def submit(self, content: bytes | None, to: Sequence[str]) -> dict[str, str]:
        """Sign in and send a mail; return the addresses that were refused. Without content, sign in."""
        made = await self.dial(self.host, self.port, PORTS)
        return await anyio.to_thread.run_sync(partial(self._talk, made, content, to))

    def _talk(
        self, made: socket.socket, content: bytes | None, to: Sequence[str]
    ) -> dict[str, str]:
        under_way, peer = False, None
        try:
            peer = Submission(made, self)
            if self.username is not None and self.password is not None:
                peer.login(self.username, self.password.get_secret_value())
            if content is None:
                return {}
            peer.ehlo_or_helo_if_needed()
            require(peer.mail(self.sender))
            answers = {each: peer.rcpt(each) for each in to}
            refused = {each: said for each, said in answers.items() if said[0] >= 400}
            if len(refused) == len(answers):
                require(min(refused.values()))
            under_way = True
            require(peer.data(content))
            with suppress(OSError, smtplib.SMTPException):
                peer.quit()
            return {each: words(said) for each, said in refused.items()}
        except smtplib.SMTPAuthenticationError as error:
            raise Unauthorized(f"{self.host} refused the user or the password") from error
        except smtplib.SMTPResponseException as error:
            said = words((error.smtp_code, error.smtp_error))
            again = 400 <= error.smtp_code < 500
            raise UpstreamError(
                f"{self.host} refused the mail: {said}", retryable=again, in_doubt=False
            ) from error
        except (OSError, smtplib.SMTPException) as error:
            if under_way:
                raise UpstreamError(f"{self.host}: {MAY_BE_SENT}", retryable=False) from error
            raise UpstreamError(
                f"{self.host}: the connection failed: {error}", in_doubt=False
            ) from error
        finally:
            if peer is not None:
                peer.close()
            made.close()


class Submission(smtplib.SMTP):
    """A session of the standard library over a socket that is connected already."""

    def __init__(self, made: socket.socket, box: Mailbox) -> None:
        self._made, self._box = made, box
        super().__init__(box.host, box.port, box.sender.rpartition("@")[2], timeout=SECONDS)
        if box.security == "starttls":
            self.starttls(context=trust())

    def _get_socket(self, host: str, port: int, timeout: float) -> Any:
        self._made.settimeout(SECONDS)
        if self._box.security != "tls":
            return self._made
        return trust().wrap_socket(self._made, server_hostname=host)


class SentMail(Model):
    """A mail that the server has taken."""

    message_id: str
    refused: dict[str, str] = {}
    """The recipients that the server refused, and why; the others get the mail."""


def trust() -> ssl.SSLContext:
    """Return what is trusted: the system's authorities."""
    return ssl.create_default_context()


def require(said: tuple[int, bytes]) -> None:
    """Raise what the server answered, unless it took it."""
    if said[0] >= 400:
        raise smtplib.SMTPResponseException(*said)


def words(said: tuple[int, bytes | str]) -> str:
    """Return an answer of a server in one line."""
    text = said[1].decode("utf-8", "replace") if isinstance(said[1], bytes) else said[1]
    return f"{said[0]} {' '.join(text.split())[:300]}"


def one_line(text: str) -> str:
    """Return a header's text without what would begin another header."""
    return re.sub(r"[\x00-\x1f\x7f]+", " ", text).strip()


def written(
    box: Mailbox,
    message_id: str,
    to: Sequence[str],
    cc: Sequence[str],
    reply_to: str | None,
    subject: str,
    text: str,
    html: str | None,
    attachments: Sequence[File],
) -> bytes:
    """Return a mail as it is sent."""
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"] = box.sender, ", ".join(to)
    if cc:
        mail["Cc"] = ", ".join(cc)
    if reply_to is not None:
        mail["Reply-To"] = reply_to
    mail["Subject"], mail["Date"], mail["Message-ID"] = one_line(subject), formatdate(), message_id
    mail.set_content(text)
    if html is not None:
        mail.add_alternative(html, subtype="html")
    for each in attachments:
        kind = TYPE.fullmatch(each.content_type) or ["", "application", "octet-stream"]
        if kind[1] in ("multipart", "message"):
            raise DefinitionError(f"an attachment cannot be of the type {each.content_type}")
        mail.add_attachment(
            each.data, maintype=kind[1], subtype=kind[2], filename=one_line(each.name)
        )
    return mail.as_bytes()
