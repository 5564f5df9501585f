"""The JWT of the bearer flow: signed by the connected app's key, for one user, for a few minutes."""

from __future__ import annotations

import base64
import json
from typing import cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509 import load_pem_x509_certificate

from halflap_sandbox.salesforce.model import Json

LONGEST, LEEWAY = 300, 30
LOGIN_HOSTS = ("https://login.salesforce.com", "https://test.salesforce.com")


class Invalid(Exception):
    """The assertion is refused; the message is Salesforce's."""


def unchecked(assertion: str) -> Json:
    """Read what an assertion claims, without belief."""
    return _part(assertion.split(".")[1]) if assertion.count(".") == 2 else {}


def check(assertion: str, *, certificate: str | None, instance_url: str, now: float) -> Json:
    """Read what an assertion claims; raises Invalid where it is not to be believed."""
    claims = unchecked(assertion)
    head, _, signature = assertion.rpartition(".")
    if not claims or _part(head.split(".")[0]).get("alg") != "RS256" or certificate is None:
        raise Invalid("invalid assertion")
    key = load_pem_x509_certificate(certificate.encode()).public_key()
    if not isinstance(key, RSAPublicKey):
        raise Invalid("invalid assertion")
    try:
        key.verify(_bytes(signature), head.encode(), PKCS1v15(), SHA256())
    except InvalidSignature:
        raise Invalid("invalid assertion") from None
    audience, ends = claims.get("aud"), claims.get("exp")
    audiences = cast("list[object]", audience if isinstance(audience, list) else [audience])
    if not any(str(each).rstrip("/") in (instance_url, *LOGIN_HOSTS) for each in audiences):
        raise Invalid("audience is invalid")
    if isinstance(ends, bool) or not isinstance(ends, int | float):
        raise Invalid("invalid assertion")
    if ends <= now - LEEWAY or ends > now + LONGEST + LEEWAY:
        raise Invalid("expired authorization code" if ends <= now else "invalid assertion")
    return claims


def _part(text: str) -> Json:
    try:
        value = json.loads(_bytes(text))
    except (ValueError, RecursionError):
        return {}
    return cast(Json, value) if isinstance(value, dict) else {}


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return b""
