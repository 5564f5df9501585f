"""The one verifier of signatures, driven by a layout.

A layout says where the signature and the time stand, what is signed and how; `verify` accepts a
request only if one of the secrets made one of its signatures, and rejects everything it does not
understand. `sign` uses the same table in the other direction.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from halflap.errors import DefinitionError, InvalidEvent, Rejected
from halflap.sdk.request import Headers, Request, pointer

MAX_SIGNATURES = 32
"""The most signatures of one request that are compared; a sender that rotates sends two."""

_ALGORITHMS = {"sha1": 20, "sha256": 32, "sha512": 64}
_ECDSA = "ecdsa-p256"
_FORM = "application/x-www-form-urlencoded"
_HOLES = ("id", "timestamp", "body", "method", "url", "plain_url", "form", "token")
_PLAIN_IN_URL = re.compile(r"%(3A|2F|3F|40|21|24|27|28|29|2A|2C|3B)", re.IGNORECASE)
_ID = re.compile(r"[!-\-/-~]{1,256}", re.ASCII)  # visible ASCII without the dot that separates it


@dataclass(frozen=True, slots=True)
class Signature:
    """An app's signature of its requests: with a shared secret (HMAC), or with a private key.

    `header` carries the signature; a place that begins with `/` is a pointer into the JSON body.
    `template` is what is signed, of `{body}`, `{timestamp}`, `{id}`, `{method}`, `{url}`, `{form}`
    (sorted names and values), `{plain_url}` (with its harmless escapes undone) and `{token}`.
    `prefix` stands before each signature, `separator` between several. `timestamp_key` names a
    field of the signature header itself (`t` in `t=1,v1=…`). `tolerance` is in seconds, both ways.
    `ed25519_prefix` allows public-key signatures, verified with secrets that begin with `whpk_`.
    With the algorithm `ecdsa-p256` (SHA-256, signatures in DER) the secrets are public keys, in
    base64 or PEM.
    """

    header: str
    _: KW_ONLY
    template: str = "{body}"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = ""
    separator: str = ""
    algorithm: Literal["sha1", "sha256", "sha512", "ecdsa-p256"] = "sha256"
    secret_encoding: Literal["raw", "base64", "whsec"] = "raw"  # noqa: S105
    timestamp_header: str = ""
    timestamp_key: str = ""
    timestamp_unit: Literal["s", "ms", "iso"] = "s"
    tolerance: int = 300
    id_header: str = ""
    token_header: str = ""
    body_hash_param: str = ""
    ed25519_prefix: str = ""

    def __post_init__(self) -> None:
        timed = bool(self.timestamp_header or self.timestamp_key)
        holes = set(re.findall(r"\{(\w*)\}", self.template))
        problem = ""
        if not self.header:
            problem = "name the header that carries the signature"
        elif holes - set(_HOLES) or re.search(r"[{}]", re.sub(r"\{\w+\}", "", self.template)):
            problem = f"the template {self.template!r} may hold {{{'}, {'.join(_HOLES)}}}"
        elif not holes & {"body", "form", "token"}:
            problem = f"the template {self.template!r} signs nothing that is sent"
        elif ("timestamp" in holes) != timed:
            problem = "a timestamp needs both its header (or key) and a place in the template"
        elif ("id" in holes) != bool(self.id_header):
            problem = "an id needs both its header and a place in the template"
        elif ("token" in holes) != bool(self.token_header):
            problem = "a token needs both its place in the request and one in the template"
        elif self.timestamp_key and not self.separator:
            problem = "a timestamp in the signature header needs the separator of its fields"
        elif self.algorithm not in (*_ALGORITHMS, _ECDSA) or self.encoding not in ("hex", "base64"):
            problem = "use sha1, sha256, sha512 or ecdsa-p256, in hex or base64"
        elif self.secret_encoding not in ("raw", "base64", "whsec"):
            problem = "a secret is raw, base64 or whsec"
        elif self.timestamp_unit not in ("s", "ms", "iso") or self.tolerance <= 0:
            problem = "a timestamp is in s, ms or iso, and its tolerance more than 0 seconds"
        if problem:
            raise DefinitionError(problem, where=type(self).__name__)

    @property
    def secret_headers(self) -> frozenset[str]:
        """The headers that carry the secret itself, by name in lower case: they are kept sealed."""
        return frozenset()

    def verify(self, request: Request, secrets: Sequence[str], now: datetime) -> None:
        """Return if any of the secrets made one of the request's signatures.

        Raises `Rejected` with the reason, for support and not for the sender, in any other case.
        """
        keys, public_keys = self._keys(secrets)
        fields = self._fields(only_value(request, self.header, "signature"))
        digests, signatures = self._claimed(fields)
        signed = self._signed(request, self._checked_timestamp(request, fields, now))
        matches = False
        for key in keys:
            expected = hmac.digest(key, signed, self.algorithm)
            for digest in digests:
                matches |= hmac.compare_digest(expected, digest)
        is_made_by = _ecdsa_matches if self.algorithm == _ECDSA else _ed25519_matches
        for public_key in public_keys:
            for claimed in signatures:
                matches |= is_made_by(public_key, claimed, signed)
        if not matches:
            raise Rejected(
                f"The signature in {self.header} matches none of the endpoint's {len(secrets)} "
                "secrets: another secret is set at the sender, or the request was changed."
            )

    def digest(self, request: Request) -> str | None:
        """Return a digest of what is signed, where the same signed bytes may be read as several forms.

        Names and values are joined without separators, so that whoever has a signed form can cut it
        anew, and the signature still matches. None for every other request.
        """
        if "{form}" not in self.template or request.content_type != _FORM:
            return None
        return hashlib.sha256(self._signed(request, "")).hexdigest()[:32]

    def claims(self, request: Request, secrets: Sequence[str]) -> tuple[list[bytes], list[bytes]]:
        """The HMAC keys that may have signed, and the digests that the request claims.

        Raises `Rejected` where there is none of either, as with public keys alone.
        """
        keys, _ = self._keys(secrets)
        digests, _ = self._claimed(self._fields(only_value(request, self.header, "signature")))
        if not keys or not digests:
            raise Rejected(
                "A public key's signature needs the whole body at once, and this one is too large "
                "to be held in memory; use a shared secret.",
                status=413,
            )
        return keys, digests

    def around(self, request: Request, now: datetime) -> bytes:
        """The bytes that the sender signed, of a request whose time is checked."""
        fields = self._fields(only_value(request, self.header, "signature"))
        return self._signed(request, self._checked_timestamp(request, fields, now))

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
        """The headers that a sender with this secret adds to a request.

        `id` is the message's (the same on every retry); `method`, `url` and `content_type` matter
        where the layout signs them. `whsk_` secrets make public-key signatures; of `ecdsa-p256` the
        secret is a private key in PEM.
        """
        if self.header.startswith("/"):
            raise DefinitionError("this layout signs inside the body; sign it there")
        headers = [("content-type", content_type)] if content_type else []
        timestamp = ""
        if self.timestamp_header or self.timestamp_key:
            timestamp = self._written(now)
        if self.timestamp_header:
            headers.append((self.timestamp_header, timestamp))
        if self.id_header:
            headers.append((self.id_header, id))
        request = Request(method, "", urlsplit(url).query, Headers(headers), body, url, now)
        signed = self._signed(request, timestamp)
        if self.ed25519_prefix and secret.startswith("whsk_"):
            seed = decoded_base64(secret.removeprefix("whsk_"))
            if seed is None or len(seed) not in (32, 64):
                raise Rejected("The private key is not whsk_ and 32 bytes in base64.")
            made = Ed25519PrivateKey.from_private_bytes(seed[:32]).sign(signed)
            item = self.ed25519_prefix + base64.b64encode(made).decode()
        else:
            digest = self._digest(secret, signed)
            text = digest.hex() if self.encoding == "hex" else base64.b64encode(digest).decode()
            item = self.prefix + text
        if self.timestamp_key:
            item = f"{self.timestamp_key}={timestamp}{self.separator}{item}"
        return {**dict(headers[bool(content_type) :]), self.header: item}

    def _digest(self, secret: str, signed: bytes) -> bytes:
        if self.algorithm == _ECDSA:
            try:
                private = serialization.load_pem_private_key(secret.encode(), None)
            except (ValueError, TypeError, UnsupportedAlgorithm) as error:
                raise Rejected("The private key is not in PEM.") from error
            if not isinstance(private, ec.EllipticCurvePrivateKey):
                raise Rejected("The private key is none of the curve P-256.")
            return private.sign(signed, ec.ECDSA(hashes.SHA256()))
        keys, _ = self._keys([secret])
        if not keys:
            raise Rejected("A public key cannot sign; use its whsk_ private key.")
        return hmac.digest(keys[0], signed, self.algorithm)

    def _keys(self, secrets: Sequence[str]) -> tuple[list[bytes], list[bytes]]:
        """The HMAC keys and the public keys; what is unusable opens nothing."""
        keys: list[bytes] = []
        public_keys: list[bytes] = []
        for secret in secrets:
            if not secret.strip():
                continue
            if self.algorithm == _ECDSA:
                if (public := _p256_key(secret)) is not None:
                    public_keys.append(public)
                continue
            if self.ed25519_prefix and secret.startswith(("whpk_", "whsk_")):
                # Never an HMAC key: everybody may know a public key.
                public = decoded_base64(secret[5:]) if secret.startswith("whpk_") else None
                if public is not None and len(public) == 32:
                    public_keys.append(public)
                continue
            key: bytes | None = secret.encode("utf-8", "surrogatepass")
            if self.secret_encoding != "raw":  # noqa: S105
                key = decoded_base64(secret.removeprefix("whsec_"))
            if key:
                keys.append(key)
        if not keys and not public_keys:
            raise Rejected(
                f"The endpoint has no usable signing secret ({len(secrets)} are set); "
                "set the one that the sender uses."
            )
        return keys, public_keys

    def _fields(self, value: str) -> list[str]:
        if not self.separator:
            return [value]
        fields = [part.strip() for part in value.split(self.separator) if part.strip()]
        if len(fields) > MAX_SIGNATURES:
            raise Rejected(f"{self.header} holds more than {MAX_SIGNATURES} fields.")
        return fields

    def _claimed(self, fields: list[str]) -> tuple[list[bytes], list[bytes]]:
        """The signatures that the request claims: HMAC digests, and those of private keys."""
        digests: list[bytes] = []
        signatures: list[bytes] = []
        for item in fields:
            if self.ed25519_prefix and item.startswith(self.ed25519_prefix):
                claimed = decoded_base64(item.removeprefix(self.ed25519_prefix))
                if claimed is not None and len(claimed) == 64:
                    signatures.append(claimed)
            elif item.startswith(self.prefix):
                text = item.removeprefix(self.prefix)
                digest = _hex(text) if self.encoding == "hex" else decoded_base64(text)
                if digest is None:
                    continue
                if self.algorithm == _ECDSA:
                    signatures.append(digest)
                elif len(digest) == _ALGORITHMS[self.algorithm]:
                    digests.append(digest)
        if not digests and not signatures:
            raise Rejected(
                f"{self.header} holds no signature of the form "
                f"{self.prefix}<{self.algorithm} in {self.encoding}>."
            )
        return digests, signatures

    def _checked_timestamp(self, request: Request, fields: list[str], now: datetime) -> str:
        if self.timestamp_key:
            key = self.timestamp_key + "="
            found = [item.removeprefix(key) for item in fields if item.startswith(key)]
            if len(found) != 1:
                raise Rejected(f"{self.header} holds {len(found)} fields {key}, not one.")
            text = found[0]
        elif self.timestamp_header:
            text = only_value(request, self.timestamp_header, "timestamp")
        else:
            return ""
        sent = self._seconds(text)
        if sent is None:
            raise Rejected(f"The timestamp {text[:40]!r} is not a time in {self.timestamp_unit}.")
        check_age(sent, now, self.tolerance)
        return text

    def _seconds(self, text: str) -> float | None:
        if self.timestamp_unit == "iso":
            pattern = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,15}(Z|[+-][0-9]{2}:[0-9]{2})"
            try:
                return (
                    datetime.fromisoformat(text).timestamp()
                    if re.fullmatch(pattern, text)
                    else None
                )
            except (ValueError, OverflowError):
                return None
        if not re.fullmatch(r"[1-9][0-9]{0,14}", text):
            return None
        return int(text) / (1000 if self.timestamp_unit == "ms" else 1)

    def _written(self, now: datetime) -> str:
        match self.timestamp_unit:
            case "s":
                return str(int(now.timestamp()))
            case "ms":
                return str(int(now.timestamp() * 1000))
            case "iso":
                return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def _signed(self, request: Request, timestamp: str) -> bytes:
        """The bytes that the sender signed."""
        parts: list[bytes] = []
        for part in re.split(r"(\{\w+\})", self.template):
            match part:
                case "{body}":
                    parts.append(request.body)
                case "{timestamp}":
                    parts.append(timestamp.encode())
                case "{id}":
                    parts.append(_message_id(request, self.id_header).encode())
                case "{token}":
                    parts.append(only_value(request, self.token_header, "token").encode())
                case "{method}":
                    parts.append(_bytes(request.method))
                case "{url}":
                    parts.append(_bytes(request.url))
                case "{plain_url}":
                    parts.append(_bytes(_PLAIN_IN_URL.sub(_unescaped, request.url)))
                case "{form}":
                    parts.append(_bytes(self._form(request)))
                case _:
                    parts.append(part.encode())
        return b"".join(parts)

    def _form(self, request: Request) -> str:
        """The form's names and values, sorted; or nothing, where the URL vouches for the body."""
        if request.content_type == _FORM:
            try:
                form = request.form()
            except InvalidEvent as error:
                raise Rejected(f"The signed form cannot be read: {error}") from error
            return "".join(n + v for n in sorted(form) for v in sorted(set(form[n])))
        if request.body:
            query = parse_qsl(urlsplit(request.url).query) if self.body_hash_param else []
            claimed = [value for name, value in query if name == self.body_hash_param]
            actual = hashlib.sha256(request.body).digest()
            found = _hex(claimed[0]) if len(claimed) == 1 else None
            if found is None or not hmac.compare_digest(found, actual):
                raise Rejected("The body is no form, and the signed URL does not hold its hash.")
        return ""


def only_value(request: Request, place: str, what: str) -> str:
    """The one value at a place; visible ASCII only."""
    if place.startswith("/"):
        value = pointer(place)(request)
        values = [] if value is None else [value]
    else:
        values = request.headers.getall(place)
    if len(values) > 1:
        raise Rejected(f"The request has {len(values)} {what} headers {place}, not one.")
    value = values[0].strip(" \t") if values else ""
    if not value:
        raise Rejected(f"The request has no {what}: {place} is missing or empty.")
    if not (value.isascii() and value.isprintable()):
        raise Rejected(f"The {what} in {place} has characters that are not ASCII.")
    return value


def _message_id(request: Request, place: str) -> str:
    value = only_value(request, place, "message id")
    if not _ID.fullmatch(value):
        raise Rejected(f"The message id in {place} has a dot or a space, or is too long.")
    return value


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _unescaped(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 16))


def _hex(text: str) -> bytes | None:
    return bytes.fromhex(text) if re.fullmatch(r"([0-9A-Fa-f]{2})+", text) else None


def check_age(sent: float, now: datetime, tolerance: int) -> None:
    """Refuse a request of another time than now, give or take `tolerance` seconds."""
    age = now.timestamp() - sent
    if abs(age) > tolerance:
        when = f"{age:.0f} s old" if age > 0 else f"{-age:.0f} s in the future"
        raise Rejected(f"The request is {when}; at most {tolerance} s are allowed.")


def decoded_base64(text: str) -> bytes | None:
    """The bytes, None where the text is not strictly base64: one text for each value."""
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return decoded if base64.b64encode(decoded).decode() == text else None


def _ed25519_matches(public_key: bytes, claimed: bytes, signed: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(claimed, signed)
    except (InvalidSignature, ValueError):
        return False
    return True


def _p256_key(text: str) -> bytes | None:
    """The public key as DER, of base64 or PEM; None where it is none of the curve P-256."""
    body = re.sub(r"-----(BEGIN|END) PUBLIC KEY-----|\s", "", text)
    der = decoded_base64(body)
    try:
        key = None if der is None else serialization.load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm):
        return None
    is_p256 = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
    return der if is_p256 else None


def _ecdsa_matches(public_key: bytes, claimed: bytes, signed: bytes) -> bool:
    key = serialization.load_der_public_key(public_key)
    assert isinstance(key, ec.EllipticCurvePublicKey)
    try:
        key.verify(claimed, signed, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True
