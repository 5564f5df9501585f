"""Email: a flow for each mail to its address.

The mail server hands a mail to the gateway as a request of the method `MAIL`; `message` reads it, in the
worker.
"""

from __future__ import annotations

from functools import partial

import anyio.to_thread

from halflap import Component, DefinitionError, File, Request, Unsigned
from halflap.components.email.message import Mail, MailAddress, identity_of, read_mail, read_posted
from halflap.components.email.sending import Address, Mailbox, SentMail, written

__all__ = [
    "Mail",
    "MailAddress",
    "Mailbox",
    "SentMail",
    "component",
    "read_mail",
    "read_posted",
    "received",
    "send",
]

component = Component(
    "email",
    title="Email",
    description="Send mail, and run a flow for each mail to its address.",
    connection=Mailbox,
)


@component.action
async def send(
    box: Mailbox,
    to: list[Address],
    subject: str,
    text: str,
    html: str | None = None,
    cc: list[Address] | None = None,
    bcc: list[Address] | None = None,
    reply_to: Address | None = None,
    attachments: list[File] | None = None,
) -> SentMail:
    """Send a mail.

    Its `Message-ID` is the same on every try. Where the server did not say what became of the mail, it is
    not sent again.
    """
    everybody = list(dict.fromkeys([*to, *(cc or ()), *(bcc or ())]))
    if not everybody:
        raise DefinitionError("email.send: name somebody to send the mail to")
    id = f"<{box.upcoming_key()}@{box.sender.rpartition('@')[2]}>"
    content = await anyio.to_thread.run_sync(
        partial(written, box, id, to, cc or (), reply_to, subject, text, html, attachments or ())
    )
    return SentMail(message_id=id, refused=await box.submit(content, everybody))


def delivery(request: Request) -> str | None:
    """Return the identity of a mail."""
    return identity_of(request.body)


@component.trigger(
    title="Mail received",
    verify=Unsigned("a mail proves nothing of its sender; the flow's address is secret"),
    dedupe=delivery,
    methods=("MAIL",),
)
async def received(request: Request) -> Mail:
    """A mail came to the flow's address.

    The address is the last part of the flow's URL, at the server's mail domain. What it says of
    its sender proves nothing: take it from whoever knows the address.
    """
    mail = await anyio.to_thread.run_sync(read_mail, request.body)
    mail.envelope_from = request.params.get("from", "")
    mail.envelope_to = request.params.get("to", "")
    return mail
