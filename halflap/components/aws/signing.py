"""Signature Version 4: the signature under which Amazon's APIs take a request."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, urlsplit

ALGORITHM = "AWS4-HMAC-SHA256"
_UNRESERVED = "-._~"


@dataclass(frozen=True, slots=True)
class AwsKeys:
    """The keys of an account, and the service and region that a signature is good for."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    service: str
    region: str
    session_token: str | None = field(default=None, repr=False)


def sign(
    keys: AwsKeys, method: str, url: str, headers: Mapping[str, str], body: bytes, now: datetime
) -> dict[str, str]:
    """Return the headers to add to a request: its date, the session's token and the signature.

    `headers` are those that are signed beside the host's; what is added later is not.
    """
    parts = urlsplit(url)
    at = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    added = {"X-Amz-Date": at}
    if keys.session_token is not None:
        added["X-Amz-Security-Token"] = keys.session_token
    signed = {"host": parts.netloc.rpartition("@")[2], **headers, **added}
    canonical = {name.lower(): " ".join(value.split()) for name, value in signed.items()}
    names = ";".join(sorted(canonical))
    query = sorted(
        (quote(name, _UNRESERVED), quote(value, _UNRESERVED))
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
    )
    request = "\n".join(
        [
            method,
            quote(parts.path or "/", "/" + _UNRESERVED),
            "&".join(f"{name}={value}" for name, value in query),
            *(f"{name}:{canonical[name]}" for name in sorted(canonical)),
            "",
            names,
            hashlib.sha256(body).hexdigest(),
        ]
    )
    scope = f"{at[:8]}/{keys.region}/{keys.service}/aws4_request"
    key = b"AWS4" + keys.secret_access_key.encode()
    for each in scope.split("/"):
        key = hmac.digest(key, each.encode(), "sha256")
    digest = hashlib.sha256(request.encode()).hexdigest()
    signature = hmac.digest(key, f"{ALGORITHM}\n{at}\n{scope}\n{digest}".encode(), "sha256").hex()
    credential = f"Credential={keys.access_key_id}/{scope}"
    added["Authorization"] = (
        f"{ALGORITHM} {credential}, SignedHeaders={names}, Signature={signature}"
    )
    return added
