"""Mailboxes by IMAP: a flow for each mail that comes into a folder.

The client is our own (`session`), on a socket that the egress policy has judged: the libraries dial by
themselves, take any line and literal that a server announces, and hold a thread for each that idles.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import datetime, timedelta
from typing import Annotated, Literal

import anyio.to_thread
from pydantic import Field

from halflap import (
    Batch,
    Choice,
    Component,
    DefinitionError,
    InvalidEvent,
    Listening,
    Request,
    Source,
)
from halflap.components.email.message import Mail, read_mail
from halflap.components.imap.connection import Imap, ImapPassword
from halflap.components.imap.folder import TOO_LARGE, FolderReader, Then
from halflap.components.imap.session import ImapSession

__all__ = ["FolderMail", "Imap", "ImapPassword", "component", "list_folders", "message"]

component = Component(
    "imap",
    title="Mailbox (IMAP)",
    description="Run a flow for each mail that comes into a folder of a mailbox.",
    connection=Imap,
)


class FolderMail(Mail):
    """A mail of a folder, and where it is there."""

    folder: str = ""
    uid: int = 0
    """Its number in the folder."""

    received_at: datetime | None = None
    """When the server got it."""


@component.action
async def list_folders(box: Imap) -> list[Choice]:
    """List the folders of the mailbox."""
    async with ImapSession(box) as session:
        return [Choice(value=name, label=name) for name in await session.folders()]


@component.trigger(methods=(), title="Mail in a folder", dedupe_for=timedelta(days=15))
async def message(
    request: Request,
    folder: Annotated[
        str, Source(list_folders), Field(min_length=1, max_length=500, description="The folder.")
    ] = "INBOX",
    then: Annotated[
        Literal["keep", "seen", "move", "delete"],
        Field(description="What becomes of a mail in the folder, once it is accepted."),
    ] = "keep",
    move_to: Annotated[
        str | None, Field(description="The folder that it is moved to, with `then: move`.")
    ] = None,
    start: Annotated[
        Literal["now", "earliest"],
        Field(description="Where a first look begins: `earliest` takes what is there already."),
    ] = "now",
    interval: Annotated[
        int,
        Field(
            ge=5,
            le=86_400,
            description="Seconds between two looks, where the server cannot say that a mail came.",
        ),
    ] = 60,
    most_bytes: Annotated[
        int,
        Field(
            ge=10_000,
            le=64_000_000,
            description="The most bytes of a mail; of a larger one, the headers are an event that fails.",
        ),
    ] = 20_000_000,
) -> FolderMail:
    """A mail came into a folder of a mailbox.

    The server says so at once, where it can (IDLE). A mail that comes again, with the same `Message-ID`
    and content, is the same event.
    """
    if size := request.headers.get(TOO_LARGE):
        raise InvalidEvent(
            f"The mail has {int(size):,} bytes, more than the {most_bytes:,} that are read; it is still "
            "in the folder."
        )
    mail = await anyio.to_thread.run_sync(read_mail, request.body)
    at = request.headers.get("imap-received-at")
    return FolderMail(
        **dict(mail),
        folder=request.headers.get("imap-folder") or folder,
        uid=int(request.headers.get("imap-uid") or 0),
        received_at=None if at is None else datetime.fromisoformat(at),
    )


@message.listen(
    tuning=("then", "move_to", "interval", "most_bytes"), patience=timedelta(minutes=15)
)
async def _(
    box: Imap,
    listening: Listening,
    folder: str,
    then: Then,
    move_to: str | None,
    interval: int,
    most_bytes: int,
) -> AsyncGenerator[Batch]:
    if (then == "move") != (move_to is not None):
        raise DefinitionError("imap.message: `then: move` and `move_to` belong together")
    async with ImapSession(box) as session:
        if move_to is not None:  # before a mail is accepted that could not be moved
            await session.require(move_to)
        reader = FolderReader(session, listening, folder, then, move_to, interval, most_bytes)
        async for batch in reader.batches():
            yield batch
