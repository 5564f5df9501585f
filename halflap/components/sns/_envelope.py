"""The envelope of SNS: what a request of a topic looks like, and the proof that SNS signed it."""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64decode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256

from halflap import InvalidEvent, Rejected, Request
from halflap.components.aws.connection import Aws

OLDEST, NEWEST = timedelta(minutes=70), timedelta(minutes=5)
"""SNS tries for an hour, and its message has the time at which it was published."""

SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": (
        *("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    ),
}
SIGNED["UnsubscribeConfirmation"] = SIGNED["SubscriptionConfirmation"]
HASHES = {"1": SHA1, "2": SHA256}
PEM_PATH = re.compile(r"(/[A-Za-z0-9_-]+)+\.pem")
LARGEST_PEM = 64 * 1024
MOST_CERTIFICATES = 32

_certificates: dict[str, x509.Certificate] = {}


@dataclass(frozen=True, slots=True)
class SnsEnvelope:
    """Takes what may be of one topic: whole, fresh, and naming it; `require_genuine` proves the rest.

    A raw message has no envelope, and is taken where the trigger asked for raw ones.
    """

    topic: str
    raw: bool = False

    def verify(self, request: Request, secrets: Sequence[str], now: datetime) -> None:
        """Return where the request may be the topic's; raise `Rejected` otherwise."""
        if is_raw(request):
            self._check_raw(request)
            return
        told = fields_of(request)
        self._check_topic(told["TopicArn"])
        try:
            sent = datetime.fromisoformat(told["Timestamp"])
        except ValueError as error:
            raise Rejected("The message's Timestamp is no time.", status=400) from error
        if sent.tzinfo is None or not now - OLDEST <= sent <= now + NEWEST:
            raise Rejected(
                f"The message is of {told['Timestamp']}, which is too long ago, or to come."
            )

    def sign(self, body: bytes, secret: str, now: datetime, **context: Any) -> dict[str, str]:
        """Nothing: the signature is in the body."""
        return {}

    def _check_raw(self, request: Request) -> None:
        if not self.raw:
            raise Rejected("The message is a raw one, unsigned, and the trigger takes signed ones.")
        self._check_topic(request.headers.get("x-amz-sns-topic-arn") or "")
        if not request.headers.get("x-amz-sns-message-id"):
            raise Rejected("The message has no id: x-amz-sns-message-id is missing.", status=400)

    def _check_topic(self, topic: str) -> None:
        if topic != self.topic:
            raise Rejected(
                f"The message is of the topic {topic[:300]!r}, and not of the trigger's."
            )


def is_raw(request: Request) -> bool:
    """Return whether a request says of itself that it is a message without an envelope."""
    return (request.headers.get("x-amz-sns-rawdelivery") or "").lower() == "true"


def fields_of(request: Request) -> dict[str, Any]:
    """Return the fields of an envelope, all of them that are signed being text; or raise `Rejected`."""
    try:
        told: Any = request.json()
    except InvalidEvent as error:
        raise Rejected(f"This is no message of Amazon SNS. {error}", status=400) from error
    fields = cast("dict[str, Any]", told) if isinstance(told, dict) else {}
    kind = fields.get("Type")
    names = SIGNED.get(kind) if isinstance(kind, str) else None
    if names is None:
        raise Rejected("This is no message of Amazon SNS: its Type is unknown.", status=400)
    if fields.get("Subject") is None:
        fields.pop("Subject", None)
    wanted = {*names, "Signature", "SignatureVersion", "SigningCertURL"} - {"Subject"}
    for name in sorted(wanted | ({"Subject"} & fields.keys())):
        if not isinstance(fields.get(name), str):
            raise Rejected(f"The message of Amazon SNS has no text as its {name}.", status=400)
    return fields


def canonical(fields: Mapping[str, Any]) -> bytes:
    """Return the bytes that SNS signs of a message."""
    names = [each for each in SIGNED[fields["Type"]] if each in fields]
    return "".join(f"{name}\n{fields[name]}\n" for name in names).encode("utf-8", "surrogatepass")


def delivery(request: Request) -> str | None:
    """Return the id of a message: the same for each try to deliver it.

    A digest of all that is signed, and of the proof itself, is part of it, so that a forged message
    does not stand in the way of the genuine one whose id or text it has. `MessageAttributes` are
    signed by nobody.
    """
    if is_raw(request):
        return request.headers.get("x-amz-sns-message-id")
    fields = fields_of(request)
    proof = [fields["SignatureVersion"], fields["SigningCertURL"], fields["Signature"]]
    with suppress(ValueError):  # the same bytes may be written in several ways
        proof[2] = b64decode(proof[2], validate=True).hex()
    digest = hashlib.sha256(json.dumps([*proof, canonical(fields).hex()]).encode())
    return f"{fields['MessageId']}#{digest.hexdigest()[:32]}"


async def require_genuine(aws: Aws, fields: Mapping[str, Any], at: datetime) -> None:
    """Return where SNS signed a message; raise `Rejected` otherwise.

    The certificate comes from the very API that the connection calls, and from nowhere else that a
    message may name.
    """
    version = fields["SignatureVersion"]
    if version not in HASHES:
        raise Rejected(f"The message has a signature of the unknown version {version[:20]!r}.")
    try:
        signature = b64decode(fields["Signature"], validate=True)
    except ValueError as error:
        raise Rejected("The message's Signature is not base64.") from error
    key = (await certificate(aws, fields["SigningCertURL"], at)).public_key()
    if not isinstance(key, RSAPublicKey):
        raise Rejected("The certificate of the message's signature has no RSA key.")
    try:
        key.verify(signature, canonical(fields), PKCS1v15(), HASHES[version]())
    except InvalidSignature as error:
        raise Rejected(
            "The message's signature is not that of Amazon SNS: it was changed, or somebody else sent it."
        ) from error


async def certificate(aws: Aws, url: str, at: datetime) -> x509.Certificate:
    """Return the certificate at an address of the connection's own API, valid at a time."""
    base = aws.base_url
    if not (url.startswith(f"{base}/") and PEM_PATH.fullmatch(url.removeprefix(base))):
        raise Rejected(
            f"The message names a certificate at {url[:300]!r}, which is none of {base}."
        )
    found = _certificates.get(url)
    if found is None:
        answer = await aws.request("GET", url)
        try:
            found = x509.load_pem_x509_certificate(answer.body[:LARGEST_PEM])
        except ValueError as error:
            raise Rejected(f"There is no certificate at {url[:300]}.") from error
        while len(_certificates) >= MOST_CERTIFICATES:
            del _certificates[next(iter(_certificates))]
        _certificates[url] = found
    if not found.not_valid_before_utc <= at.astimezone(UTC) <= found.not_valid_after_utc:
        raise Rejected("The certificate of the message's signature was not valid when it arrived.")
    return found
