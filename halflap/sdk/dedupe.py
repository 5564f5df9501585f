"""The identity of a delivery, by which the second of two is known as a duplicate."""

from __future__ import annotations

from hashlib import blake2b

from halflap.model import CONTENTS, Dedupe
from halflap.sdk.declared import identity
from halflap.sdk.request import Headers, Request, copied
from halflap.sdk.signature import Signature
from halflap.sdk.trigger import Declaration


def is_covered(declared: Declaration, request: Request) -> bool:
    """Return whether the signature covers what the delivery's identity is read of."""
    assert isinstance(declared.verify, Signature)
    layout = declared.verify
    named = {
        each.lower() for each in (layout.id_header, layout.timestamp_header, layout.token_header)
    }
    headers = [(n, v) for n, v in request.headers.raw if n.lower() in named | {"content-type"}]
    view = copied(
        request, headers=Headers(headers), query=request.query if "url" in layout.template else ""
    )
    return identity(declared.dedupe, view) == identity(declared.dedupe, request)


def digest_of(request: Request) -> str:
    """Return a digest of the body."""
    if request.payload is not None:
        return request.payload.blob.digest.hex()
    return digest_of_body(request.body)


def digest_of_body(body: bytes) -> str:
    """Return a digest of an event's body."""
    return blake2b(body, digest_size=16).hexdigest()


def dedupe_of(declared: Declaration, part: Request, whole: Request) -> Dedupe | None:
    """Return the delivery's identity; a part without one is known by its place in the whole.

    Where the signature does not cover that identity, whoever has one genuine request could send it
    again under the identity of another, and so have that one dropped: the body is then part of it.
    A signed form that can be cut anew is known by all that is signed instead.
    """
    if declared.dedupe is None:
        return None
    key = identity(declared.dedupe, part)
    if key is None:
        return None
    if part is not whole and key == identity(declared.dedupe, whole):
        key = f"{key}#{part.part}"
    if isinstance(declared.verify, Signature) and (digest := declared.verify.digest(whole)):
        key = digest if part is whole else f"{digest}#{part.part}"
    elif isinstance(declared.verify, Signature) and not is_covered(declared, whole):
        key = f"{key}#{digest_of(part)}"
    contents = whole.headers.get(CONTENTS, "") if declared.app_events is not None else ""
    return Dedupe(key, int(declared.dedupe_for.total_seconds() * 1e6), contents)
