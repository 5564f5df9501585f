"""The vault: secrets are stored as envelopes that open only in the place they were sealed for.

Each secret has a data key of its own; the data key is wrapped by a master key, which has a name
(its key id) and never enters the store. Both layers are AES-256-GCM, and both are bound to the
secret's place, so a row that is copied to another customer, connection or field does not open.
Changing the master key wraps the data keys anew; the secrets themselves are not touched.

An envelope, version 1:

    0x01 | length of key id (1) | key id | nonce (12) | wrapped data key (32 + 16)
         | nonce (12) | ciphertext | tag (16)

The place is authenticated as `v1|customer|connection|field`, for the wrapped key with `|key id`.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from halflap.errors import StoreError
from halflap.store.once import write_once

VERSION = 1
KEY_SIZE = 32
_NONCE = 12
_TAG = 16
_KEY_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_FORM = "write key ids and 32-byte keys in base64, the current one first: k2:base64,k1:base64"


class Vault:
    """Seals secrets, and opens them again in the place they were sealed for."""

    def __init__(self, keys: Mapping[str, bytes], current: str) -> None:
        """Take master keys by their key ids; new envelopes are sealed with `current`."""
        for key_id, key in keys.items():
            if not _KEY_ID.fullmatch(key_id):
                raise StoreError(
                    f"{key_id!r} cannot name a master key; use up to 64 letters, digits, _ . and -."
                )
            if len(key) != KEY_SIZE:
                raise StoreError(
                    f"master key {key_id!r} has {len(key)} bytes, not {KEY_SIZE}; "
                    "make one with: head -c 32 /dev/urandom | base64"
                )
        if current not in keys:
            raise StoreError(f"the current master key {current!r} is not among {_names(keys)}.")
        self._masters = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._signing = {key_id: _signing_key(key) for key_id, key in keys.items()}
        self._current = current

    @classmethod
    def from_text(cls, text: str, *, where: str = "HALFLAP_KEYS") -> Vault:
        """A vault from `k2:base64,k1:base64` (commas or lines); the first key is the current one.

        `where` names the text's origin in errors, which never repeat the text itself.
        """
        keys: dict[str, bytes] = {}
        lines = (line.strip() for line in text.replace(",", "\n").splitlines())
        for number, line in enumerate((x for x in lines if x and not x.startswith("#")), start=1):
            key_id, colon, encoded = line.partition(":")
            try:
                key = base64.b64decode(encoded.strip(), validate=True)
            except (binascii.Error, ValueError):
                raise StoreError(f"{where}: key {number} is not base64; {_FORM}.") from None
            if not colon:
                raise StoreError(f"{where}: key {number} has no key id; {_FORM}.")
            if key_id.strip() in keys:
                raise StoreError(f"{where}: key id {key_id.strip()!r} is there twice; {_FORM}.")
            keys[key_id.strip()] = key
        if not keys:
            raise StoreError(f"{where}: no master key is there; {_FORM}.")
        try:
            return cls(keys, next(iter(keys)))
        except StoreError as error:
            raise StoreError(f"{where}: {error.message}") from None

    @classmethod
    def from_file(cls, path: Path) -> Vault:
        """A vault from a key file, which is created with a new key, for its owner only, if missing.

        The file has one `key id:base64` a line, the current key first. Keep a copy of it apart
        from the store's backups: without it no secret can be read.
        """
        try:
            if not path.exists():
                _create(path)
            mode = path.stat().st_mode & 0o777
            if mode & 0o077:
                raise StoreError(
                    f"{path}: others than its owner may use the key file (mode {mode:04o}); "
                    f"run: chmod 600 {path}"
                )
            text = path.read_text("ascii")
        except OSError as error:
            raise StoreError(
                f"{path}: the key file cannot be used ({error.strerror}); "
                "name a file that this user can read, in a directory that exists."
            ) from error
        except UnicodeDecodeError:
            raise StoreError(f"{path}: this is not a key file; {_FORM}.") from None
        return cls.from_text(text, where=str(path))

    @property
    def current(self) -> str:
        """The key id that new envelopes are sealed with."""
        return self._current

    @property
    def names(self) -> tuple[str, ...]:
        """The key ids of all master keys."""
        return tuple(self._masters)

    def seal(self, plaintext: str, aad: tuple[str, ...]) -> bytes:
        """Put a secret into an envelope for one place: `(customer, connection, field)`."""
        key = secrets.token_bytes(KEY_SIZE)
        nonce = secrets.token_bytes(_NONCE)
        sealed = AESGCM(key).encrypt(nonce, plaintext.encode(), _place(aad))
        return _head(self._current) + self._wrap(key, aad) + nonce + sealed

    def open(self, envelope: bytes, aad: tuple[str, ...]) -> str:
        """Read the secret of an envelope in the place it was sealed for.

        Raises `StoreError` where the place, the key or a single bit is another.
        """
        parts = _take_apart(envelope, aad)
        key = self._unwrap(parts, aad)
        try:
            plaintext = AESGCM(key).decrypt(parts.nonce, parts.sealed, _place(aad))
        except InvalidTag:
            raise _damaged(aad, parts.key_id) from None
        return plaintext.decode()

    def sign(self, data: bytes) -> str:
        """A signature of data, by a key that derives from the current master key: `k1.<base64url>`."""
        return f"{self._current}.{_signed(self._signing[self._current], data)}"

    def verify(self, data: bytes, signature: str) -> bool:
        """Return whether `sign` made the signature, with any of the master keys; in constant time."""
        key_id, _, signed = signature.rpartition(".")
        key = self._signing.get(key_id)
        expected = _signed(key or b"", data)
        return hmac.compare_digest(expected.encode(), signed.encode()) and key is not None

    def rewrap(self, envelope: bytes, aad: tuple[str, ...]) -> bytes:
        """The same secret under the current master key; the envelope itself if it already is.

        Once every envelope is rewrapped the old master key can be removed.
        """
        parts = _take_apart(envelope, aad)
        if parts.key_id == self._current:
            return envelope
        key = self._unwrap(parts, aad)
        return _head(self._current) + self._wrap(key, aad) + parts.nonce + parts.sealed

    def _wrap(self, key: bytes, aad: tuple[str, ...]) -> bytes:
        nonce = secrets.token_bytes(_NONCE)
        return nonce + self._masters[self._current].encrypt(
            nonce, key, _place((*aad, self._current))
        )

    def _unwrap(self, parts: _Parts, aad: tuple[str, ...]) -> bytes:
        master = self._masters.get(parts.key_id)
        if master is None:
            raise StoreError(
                f"the secret {_spell(aad)} was sealed with master key {parts.key_id!r}, which is "
                f"not among {_names(self._masters)}; put that key back, or enter the secret again."
            )
        try:
            return master.decrypt(
                parts.wrapped[:_NONCE], parts.wrapped[_NONCE:], _place((*aad, parts.key_id))
            )
        except InvalidTag:
            raise _damaged(aad, parts.key_id) from None

    def __repr__(self) -> str:
        return f"<Vault {_names(self._masters)}, current {self._current!r}>"


def key_id(envelope: bytes) -> str:
    """The key id that an envelope names, to find those a rotation has still to rewrap."""
    return _take_apart(envelope, ()).key_id


@dataclass(frozen=True, slots=True)
class _Parts:
    key_id: str
    wrapped: bytes
    nonce: bytes
    sealed: bytes


def _signing_key(master: bytes) -> bytes:
    return hmac.digest(master, b"halflap signs links, version 1", "sha256")


def _signed(key: bytes, data: bytes) -> str:
    digest = hmac.digest(key, data, "sha256")
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _head(key_id: str) -> bytes:
    return bytes((VERSION, len(key_id))) + key_id.encode("ascii")


def _take_apart(envelope: bytes, aad: tuple[str, ...]) -> _Parts:
    if len(envelope) < 2 or envelope[0] != VERSION:
        raise StoreError(
            f"the secret {_spell(aad)} is not an envelope of version {VERSION}; restore its row "
            "from a backup, install the Halflap that wrote it, or enter the secret again."
        )
    wrapped_at = 2 + envelope[1]
    nonce_at = wrapped_at + _NONCE + KEY_SIZE + _TAG
    sealed_at = nonce_at + _NONCE
    key_id = envelope[2:wrapped_at].decode("ascii", "replace")
    if len(envelope) < sealed_at + _TAG or not _KEY_ID.fullmatch(key_id):
        raise _damaged(aad, key_id)
    return _Parts(
        key_id,
        envelope[wrapped_at:nonce_at],
        envelope[nonce_at:sealed_at],
        envelope[sealed_at:],
    )


def _place(aad: tuple[str, ...]) -> bytes:
    # Escaped, because ("a|b", "c") is another place than ("a", "b|c").
    parts = (part.replace("%", "%25").replace("|", "%7C") for part in aad)
    return "|".join(("v1", *parts)).encode()


def _damaged(aad: tuple[str, ...], key_id: str) -> StoreError:
    return StoreError(
        f"the secret {_spell(aad)} does not open with master key {key_id!r}: it was changed, "
        "moved from another place, or sealed with another key of that name; restore its row or "
        "its key from a backup, or enter the secret again."
    )


def _spell(aad: tuple[str, ...]) -> str:
    return " / ".join(aad) or "in the envelope"


def _names(keys: Mapping[str, object]) -> str:
    return ", ".join(repr(key_id) for key_id in keys)


def _create(path: Path) -> None:
    key = base64.b64encode(secrets.token_bytes(KEY_SIZE)).decode()
    write_once(path, f"k{secrets.token_hex(4)}:{key}\n")
