"""Verifies a request whose body is read in chunks and never held: as much as its layout allows."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from halflap.errors import Rejected
from halflap.sdk._verifier import Signature
from halflap.sdk.request import Request, copied
from halflap.sdk.signature import BasicAuth, BearerToken, Unsigned, Verifier

LATER = b"\x00the body\x00"


class Proof:
    """Grows with the body, and says at its end whether the request is genuine.

    `states` are HMACs over what stands before the body in the layout's template, `tail` what stands
    behind it; with None, the head has proved the request already.
    """

    def __init__(
        self,
        header: str = "",
        digests: Sequence[bytes] = (),
        states: Sequence[Any] | None = None,
        tail: bytes = b"",
    ) -> None:
        self._header = header
        self._digests = digests
        self._states = states
        self._tail = tail

    def update(self, chunk: bytes) -> None:
        """Take the next piece of the body."""
        for each in self._states or ():
            each.update(chunk)

    def check(self) -> None:
        """Return if one of the secrets made the request; raise `Rejected` otherwise."""
        matches = self._states is None
        for state in self._states or ():
            state.update(self._tail)
            for digest in self._digests:
                matches |= hmac.compare_digest(state.digest(), digest)
        if not matches:
            raise Rejected(
                f"The signature in {self._header} matches none of the endpoint's secrets: "
                "another secret is set at the sender, or the request was changed."
            )


def begin(verifier: Verifier | None, head: Request, secrets: Sequence[str], now: datetime) -> Proof:
    """Begin to verify a request of which there is the head only.

    What the head alone tells is checked at once, before anything of the body is kept. Raises
    `Rejected` (413) where the layout needs the whole body at once: one that signs a form or in the
    body, public keys, and verifiers of your own.
    """
    match verifier:
        case None:
            return Proof()
        case BearerToken() | BasicAuth() | Unsigned():
            verifier.verify(head, secrets, now)
            return Proof()
        case Signature() if type(verifier) is Signature and _can_stream(verifier):
            return _signature(verifier, head, secrets, now)
        case _:
            raise Rejected(
                "the signature's layout needs the whole body at once, and this one is too large "
                "to be held in memory",
                status=413,
            )


def _can_stream(layout: Signature) -> bool:
    holes = re.findall(r"\{(\w+)\}", layout.template)
    in_body = layout.header.startswith("/") or layout.token_header.startswith("/")
    return holes.count("body") == 1 and "form" not in holes and not in_body


def _signature(layout: Signature, head: Request, secrets: Sequence[str], now: datetime) -> Proof:
    before, _, after = layout.around(copied(head, LATER), now).partition(LATER)
    keys, digests = layout.claims(head, secrets)
    algorithm = getattr(hashlib, layout.algorithm)
    states = [hmac.new(key, before, algorithm) for key in keys]
    return Proof(layout.header, digests, states, after)
