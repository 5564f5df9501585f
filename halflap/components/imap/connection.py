"""Connections to a mailbox: its server, and how it is signed in to."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic.json_schema import SkipJsonSchema

from halflap import Connection, OAuth2Code
from halflap.components.imap.session import ImapSession


class ImapPassword(BaseModel):
    """The password of the mailbox, or one that its provider made for apps."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    kind: Literal["password"] = "password"
    password: SecretStr


class GoogleMail(OAuth2Code):
    """Sign in at Google in a browser."""

    kind: Literal["google"] = "google"  # type: ignore[assignment]
    authorize_url: SkipJsonSchema[str] = "https://accounts.google.com/o/oauth2/v2/auth"
    token_url: SkipJsonSchema[str] = "https://oauth2.googleapis.com/token"  # noqa: S105
    scopes: tuple[str, ...] = ("https://mail.google.com/",)
    extra: ClassVar[dict[str, str]] = {"access_type": "offline", "prompt": "consent"}


class MicrosoftMail(OAuth2Code):
    """Sign in at Microsoft in a browser."""

    kind: Literal["microsoft"] = "microsoft"  # type: ignore[assignment]
    authorize_url: SkipJsonSchema[str] = (
        "https://login.microsoftonline.com/common/oauth2/v2.0/authorize"
    )
    token_url: SkipJsonSchema[str] = "https://login.microsoftonline.com/common/oauth2/v2.0/token"  # noqa: S105
    scopes: tuple[str, ...] = (
        "https://outlook.office.com/IMAP.AccessAsUser.All",
        "offline_access",
    )


class Imap(Connection):
    """A mailbox at a mail server that speaks IMAP."""

    host: str = Field(pattern=r"^[A-Za-z0-9.-]+$")
    """The mail server: imap.example.com"""

    port: int = Field(993, ge=1, le=65_535)
    security: Literal["tls", "starttls", "none"] = "tls"
    """The encryption of the connection: from the start (port 993), after a greeting (143), or none."""

    username: str
    """The user, mostly the address of the mailbox."""

    auth: ImapPassword | GoogleMail | MicrosoftMail

    async def test(self) -> None:
        async with ImapSession(self):
            pass
