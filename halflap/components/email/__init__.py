"""Email: a flow for each mail to its address.

The mail server hands a mail to the gateway as a request of the method `MAIL`; `message` reads it, in the
worker.
"""

from __future__ import annotations

import hashlib

import anyio.to_thread

from halflap import Component, Request, Unsigned
from halflap.components.email.message import Mail, MailAddress, read_mail, read_posted

__all__ = ["Mail", "MailAddress", "component", "read_mail", "read_posted", "received"]

component = Component(
    "email", title="Email", description="Run a flow for each mail to its address."
)


def delivery(request: Request) -> str | None:
    """Return the identity of a mail: its id, and a digest of what stands behind its headers.

    Servers on the way add headers; what was sent stays. Somebody else's mail of the same id is another.
    """
    head, _, body = request.body.partition(b"\r\n\r\n")
    digest = hashlib.sha256(body).hexdigest()[:32]
    for line in head.split(b"\r\n"):
        if line[:11].lower() == b"message-id:":
            return f"{line[11:].strip().decode('ascii', 'replace')[:200]}#{digest}"
    return f"#{digest}" if body else None


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
