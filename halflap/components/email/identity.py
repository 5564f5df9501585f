"""The identity of a mail, by which it is known when it comes again."""

from __future__ import annotations

import hashlib


def identity_of(mail: bytes) -> str | None:
    """Return a mail's id, and a digest of what stands behind its headers; None where it has neither.

    Servers on the way add headers; what was sent stays. Somebody else's mail of the same id is another.
    """
    head, _, body = mail.partition(b"\r\n\r\n")
    digest = hashlib.sha256(body).hexdigest()[:32]
    for line in head.split(b"\r\n"):
        if line[:11].lower() == b"message-id:":
            return f"{line[11:].strip().decode('ascii', 'replace')[:200]}#{digest}"
    return f"#{digest}" if body else None
