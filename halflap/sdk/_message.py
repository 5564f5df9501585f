"""Verification of HTTP Message Signatures (RFC 9421), with the digest of the body (RFC 9530).

The sender names what it has signed, so the verifier says what has to be among it. What stands in
`Signature-Input` is read in its canonical form alone: nothing is accepted that has two readings.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from halflap.errors import DefinitionError, Rejected
from halflap.sdk._verifier import Signature, check_age, decoded_base64, only_value
from halflap.sdk.request import Headers, Request

DIGESTS = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}
DERIVED = ("@method", "@target-uri", "@authority", "@scheme", "@request-target", "@path", "@query")

_KEY = r"[a-z*][a-z0-9_.*-]*"
_STRING = r'"(?:[ !#-\[\]-~]|\\["\\])*"'
_ITEM = rf"(?:{_STRING}|-?[0-9]{{1,15}}|\?[01]|:[A-Za-z0-9+/=]*:|[A-Za-z*][A-Za-z0-9:/!#$%&'*+.^_`|~-]*)"
_MEMBER = re.compile(
    rf"({_KEY})=((\((?:{_STRING}(?: {_STRING})*)?\))((?:;{_KEY}(?:={_ITEM})?)*))(?:, ?|\Z)"
)
_PARAMETER = re.compile(rf";({_KEY})(?:=({_ITEM}))?")
_BYTES = re.compile(rf"({_KEY})=:([A-Za-z0-9+/=]*):(?:, ?|\Z)")
_NAMED = re.compile(r"([\w.-]+):(?!//)(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class MessageSignature(Signature):
    """HTTP Message Signatures (RFC 9421): what the sender says that it signed.

    `covered` is what has to be among it; `content-digest` is compared with the body. `created` has to
    be within `tolerance` seconds, and a `nonce` there, by which to dedupe (`nonce_of`). A secret is
    `whsec_…` (hmac-sha256), or a public key in base64 or PEM, whose kind is the only algorithm that it
    is used with (ed25519, ecdsa-p256-sha256). `name:…` before it binds it to that `keyid`. Where a
    request has several signatures, `label` says which one counts.
    """

    header: str = field(default="Signature", init=False)
    id_header: str = field(default="Signature-Input", init=False)
    covered: tuple[str, ...] = ("@method", "@target-uri", "content-digest")
    label: str = ""
    nonce: bool = True

    def __post_init__(self) -> None:
        wrong = [each for each in self.covered if each[:1] == "@" and each not in DERIVED]
        wrong += [each for each in self.covered if each != each.lower()]
        if wrong:
            raise DefinitionError(
                f"{wrong[0]!r} cannot be covered; write a header's name in lower case"
            )
        if not self.covered or self.tolerance <= 0:
            raise DefinitionError(
                "say what has to be covered, and a tolerance of more than 0 seconds"
            )

    def verify(self, request: Request, secrets: Sequence[str], now: datetime) -> None:
        """Return if one of the keys made the signature; raise `Rejected` otherwise."""
        keys = [each for each in map(_key_of, secrets) if each is not None]
        if not keys:
            raise Rejected(
                f"The endpoint has no usable key ({len(secrets)} are set); set whsec_…, or the sender's "
                "public key in base64 or PEM."
            )
        signed = self._input(request)
        self._check(signed, now)
        claimed = _claimed(request, signed.label)
        base = _base(request, signed)
        if "content-digest" in signed.components:
            _check_digest(request)
        usable = [each for each in keys if each.fits(signed.parameters)]
        matches = False
        for each in usable:
            matches |= each.made(claimed, base)
        if not matches:
            raise Rejected(
                f"The signature {signed.label} matches none of the endpoint's {len(secrets)} keys "
                f"({len(usable)} are for its keyid and alg): another key is set at the sender, or the "
                "request was changed."
            )

    def nonce_of(self, request: Request) -> str | None:
        """Pick the nonce, by which a request that comes again is known."""
        value = self._input(request).parameters.get("nonce")
        return value if isinstance(value, str) else None

    def sign(
        self,
        body: bytes,
        secret: str,
        now: datetime,
        *,
        id: str = "",
        method: str = "POST",
        url: str = "",
        content_type: str = "",
    ) -> dict[str, str]:
        """The headers that a sender adds; `id` is the nonce, the secret `whsec_…` or a private key."""
        name, key = _named(secret)
        keyid = f';keyid="{name}"' if name else ""
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        headers = {"Content-Digest": f"sha-256=:{digest}:"}
        components = " ".join(f'"{each}"' for each in self.covered)
        nonce = f';nonce="{id}"' if self.nonce else ""
        raw = f"({components});created={int(now.timestamp())}{keyid}{nonce}"
        given = [*headers.items(), *([("content-type", content_type)] if content_type else [])]
        request = Request(method, "", urlsplit(url).query, Headers(given), body, url, now)
        base = _base(request, _Input("sig", raw, self.covered, {}))
        made = _made_by(key, base)
        text = base64.b64encode(made).decode()
        return {**headers, "Signature-Input": f"sig={raw}", "Signature": f"sig=:{text}:"}

    def _input(self, request: Request) -> _Input:
        """The member of the signature that counts; `Rejected` where that is not one."""
        value = _joined(request, "signature-input")
        found: dict[str, _Input] = {}
        at = 0
        while at < len(value):
            member = _MEMBER.match(value, at)
            if member is None or member[1] in found or len(found) == 8:
                raise Rejected(
                    "Signature-Input is not in its canonical form, or has too many members."
                )
            components = tuple(each[1:-1] for each in re.findall(_STRING, member[3]))
            parameters = _parameters(member[4])
            found[member[1]] = _Input(member[1], member[2], components, parameters)
            at = member.end()
        if self.label:
            if self.label not in found:
                raise Rejected(f"Signature-Input has no member {self.label}.")
            return found[self.label]
        if len(found) != 1:
            raise Rejected(f"The request has {len(found)} signatures, not one.")
        return next(iter(found.values()))

    def _check(self, signed: _Input, now: datetime) -> None:
        missing = [each for each in self.covered if each not in signed.components]
        if missing:
            raise Rejected(f"The signature does not cover {', '.join(missing)}.")
        created, expires = (signed.parameters.get(each) for each in ("created", "expires"))
        if not isinstance(created, int):
            raise Rejected("The signature does not say when it was created.")
        check_age(created, now, self.tolerance)
        if expires is not None and (not isinstance(expires, int) or expires < now.timestamp()):
            raise Rejected("The signature has expired.")
        nonce = signed.parameters.get("nonce")
        if self.nonce and not (isinstance(nonce, str) and nonce):
            raise Rejected(
                "The signature has no nonce, so a request that comes again is not known."
            )


@dataclass(frozen=True, slots=True)
class _Input:
    """A member of `Signature-Input`: as it was written, and what it says."""

    label: str
    raw: str
    components: tuple[str, ...]
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Key:
    """A key of the endpoint, with the one algorithm that it is for."""

    keyid: str
    algorithm: str
    key: Any

    def fits(self, parameters: Mapping[str, Any]) -> bool:
        """Return whether the signature may be of this key, as far as it says."""
        if self.keyid and parameters.get("keyid") != self.keyid:
            return False
        return parameters.get("alg", self.algorithm) == self.algorithm

    def made(self, claimed: bytes, base: bytes) -> bool:
        """Return whether this key made the signature."""
        try:
            match self.key:
                case bytes():
                    return hmac.compare_digest(hmac.digest(self.key, base, "sha256"), claimed)
                case Ed25519PublicKey():
                    self.key.verify(claimed, base)
                case _:
                    if len(claimed) != 64:
                        return False
                    halves = (int.from_bytes(each) for each in (claimed[:32], claimed[32:]))
                    signature = utils.encode_dss_signature(*halves)
                    self.key.verify(signature, base, ec.ECDSA(hashes.SHA256()))
        except (InvalidSignature, ValueError):
            return False
        return True


def _named(secret: str) -> tuple[str, str]:
    """The `keyid` that a secret is bound to, and the key; empty for any."""
    found = None if secret.startswith("-----") else _NAMED.fullmatch(secret)
    return (found[1], found[2]) if found else ("", secret)


def _key_of(secret: str) -> _Key | None:
    """The key that a secret is; None where it is none."""
    keyid, text = _named(secret)
    if text.startswith("whsec_"):
        shared = decoded_base64(text.removeprefix("whsec_"))
        return _Key(keyid, "hmac-sha256", shared) if shared else None
    der = decoded_base64(re.sub(r"-----(BEGIN|END) PUBLIC KEY-----|\s", "", text))
    try:
        key = None if der is None else serialization.load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm):
        return None
    if isinstance(key, Ed25519PublicKey):
        return _Key(keyid, "ed25519", key)
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return _Key(keyid, "ecdsa-p256-sha256", key)
    return None


def _made_by(secret: str, base: bytes) -> bytes:
    if secret.startswith("whsec_"):
        return hmac.digest(decoded_base64(secret.removeprefix("whsec_")) or b"", base, "sha256")
    try:
        key = serialization.load_pem_private_key(secret.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Rejected("The key is neither whsec_… nor a private key in PEM.") from error
    if isinstance(key, Ed25519PrivateKey):
        return key.sign(base)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Rejected("The private key is neither of Ed25519 nor of the curve P-256.")
    halves = utils.decode_dss_signature(key.sign(base, ec.ECDSA(hashes.SHA256())))
    return b"".join(each.to_bytes(32) for each in halves)


def _claimed(request: Request, label: str) -> bytes:
    found = _members(_joined(request, "signature"), "Signature")
    if label not in found:
        raise Rejected(f"Signature has no member {label!r}.")
    return found[label]


def _base(request: Request, signed: _Input) -> bytes:
    """The bytes that were signed: each component with its value, then what was said of them."""
    if len(set(signed.components)) < len(signed.components):
        raise Rejected("The signature covers a component twice.")
    lines = [f'"{each}": {_component(request, each)}' for each in signed.components]
    return "\n".join([*lines, f'"@signature-params": {signed.raw}']).encode(
        "utf-8", "surrogatepass"
    )


def _component(request: Request, name: str) -> str:
    if not name.startswith("@"):
        return _joined(request, name)
    parts = urlsplit(request.url)
    match name:
        case "@method":
            return request.method
        case "@target-uri":
            return request.url
        case "@authority":
            return parts.netloc.lower()
        case "@scheme":
            return parts.scheme.lower()
        case "@request-target":
            return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        case "@path":
            return parts.path or "/"
        case "@query":
            return f"?{parts.query}"
        case _:
            raise Rejected(f"The signature covers {name[:40]!r}, which is not known here.")


def _joined(request: Request, name: str) -> str:
    """The values of a header, as they are signed: joined, without the spaces around each."""
    values = [each.strip(" \t") for each in request.headers.getall(name)]
    if not values:
        raise Rejected(f"The request has no header {name[:40]!r}.")
    return ", ".join(values)


def _check_digest(request: Request) -> None:
    found = _members(only_value(request, "content-digest", "digest"), "Content-Digest")
    known = {name: digest for name, digest in found.items() if name in DIGESTS}
    if not known:
        raise Rejected("Content-Digest has neither sha-256 nor sha-512.")
    for name, digest in known.items():
        if not hmac.compare_digest(DIGESTS[name](request.body).digest(), digest):
            raise Rejected(f"The body is not what Content-Digest says ({name}).")


def _members(value: str, header: str) -> dict[str, bytes]:
    """A dictionary of byte sequences."""
    found: dict[str, bytes] = {}
    at = 0
    while at < len(value):
        member = _BYTES.match(value, at)
        data = None if member is None else decoded_base64(member[2])
        if member is None or data is None or member[1] in found or len(found) == 8:
            raise Rejected(f"{header} is not in its canonical form, or has too many members.")
        found[member[1]] = data
        at = member.end()
    return found


def _parameters(text: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in _PARAMETER.findall(text):
        if name in found:
            raise Rejected(f"Signature-Input says {name!r} twice.")
        if value.startswith('"'):
            found[name] = re.sub(r"\\(.)", r"\1", value[1:-1])
        elif re.fullmatch(r"-?[0-9]+", value):
            found[name] = int(value)
        else:
            found[name] = None  # of no use here
    return found
