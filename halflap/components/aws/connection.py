"""Connections to an AWS account: its keys, its region, and requests by its Query or its JSON protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, cast
from urllib.parse import urlencode

from lxml import etree as _untyped  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType]
from pydantic import Field, SecretStr

from halflap import (
    Connection,
    RateLimited,
    Response,
    Unauthorized,
    UpstreamError,
    encode_json,
)
from halflap.components.aws.signing import AwsKeys, sign

etree = cast(Any, _untyped)

FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
JSON = {"Content-Type": "application/x-amz-json-1.0"}
BAD_KEYS = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidClientTokenId",
        "InvalidSecurity",
        "MissingAuthenticationToken",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
THROTTLED = frozenset(
    {
        "KmsThrottled",
        "RequestLimitExceeded",
        "RequestThrottled",
        "Throttled",
        "Throttling",
        "ThrottlingException",
    }
)
MOST_TOLD = 600


class Aws(Connection):
    """An AWS account, by the access key of one of its users or roles."""

    service: ClassVar[str] = ""
    api_version: ClassVar[str] = ""
    """The version of a service that has the Query protocol."""
    target: ClassVar[str] = ""
    """The name of a service that has the JSON protocol."""

    region: str = Field("us-east-1", pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]$")
    """The region whose API is called: eu-central-1."""

    access_key_id: str = Field(pattern=r"^[A-Za-z0-9]{4,128}$")
    secret_access_key: SecretStr

    session_token: SecretStr | None = None
    """The token of temporary credentials, which end with it."""

    endpoint_url: str | None = Field(None, pattern=r"^https?://[^/?#]+/?$")
    """Where the API is, if it is not the region's public address: a VPC endpoint, an emulator."""

    @property
    def base_url(self) -> str:
        """The address of the region's API."""
        if self.endpoint_url is not None:
            return self.endpoint_url.rstrip("/")
        domain = "amazonaws.com.cn" if self.region.startswith("cn-") else "amazonaws.com"
        return f"https://{self.service}.{self.region}.{domain}"

    @property
    def keys(self) -> AwsKeys:
        """The keys that requests are signed with."""
        token = self.session_token
        return AwsKeys(
            access_key_id=self.access_key_id,
            secret_access_key=self.secret_access_key.get_secret_value(),
            service=self.service,
            region=self.region,
            session_token=None if token is None else token.get_secret_value(),
        )

    async def call(self, action: str, values: Mapping[str, str | None]) -> Any:
        """Call an action of the Query protocol; the root of its result, or what AWS refused."""
        given = {name: value for name, value in values.items() if value is not None}
        body = urlencode({"Action": action, "Version": self.api_version, **given}).encode()
        response = await self._send(FORM, body)
        root = read(response)
        if response.status >= 300:
            error = None if root is None else root.find("{*}Error")
            raise refusal(response, text(error, "Code"), text(error, "Message"), action)
        found = None if root is None else root.find(f"{{*}}{action}Result")
        return root if found is None else found

    async def call_json(self, action: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Call an action of the JSON protocol, of the API's `target`; its answer."""
        given = {name: value for name, value in values.items() if value is not None}
        headers = {**JSON, "X-Amz-Target": f"{self.target}.{action}"}
        response = await self._send(headers, encode_json(given))
        if response.status < 300 and not response.body:
            return {}
        try:
            found: Any = response.json()
        except UpstreamError:
            if response.status < 300:
                raise
            found = None
        told = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
        if response.status < 300:
            return told
        code = response.headers.get("x-amzn-query-error", "").partition(";")[0]
        code = code or str(told.get("__type", "")).rpartition("#")[2]
        words = str(told.get("message") or told.get("Message") or "")
        raise refusal(response, code, words, action)

    async def _send(self, headers: Mapping[str, str], body: bytes) -> Response:
        """Send a signed request, and return the answer whatever its status."""
        signed = sign(self.keys, "POST", f"{self.base_url}/", headers, body, datetime.now(UTC))
        own = {**headers, **signed}
        return await self.request("POST", "/", headers=own, body=body, check=False)

    async def listed(
        self, action: str, items: str, values: Mapping[str, str | None] | None = None
    ) -> AsyncIterator[Any]:
        """Iterate over a list that comes in pages, named by `NextToken`."""
        token, seen = None, set[str]()
        for _ in range(self.most_pages):
            result = await self.call(action, {**(values or {}), "NextToken": token})
            for each in result.iterfind(f"{{*}}{items}/{{*}}member"):
                yield each
            token = text(result, "NextToken") or None
            if token is None or token in seen:
                return
            seen.add(token)


def read(response: Response) -> Any:
    """The root of an answer's XML; None where it is none, or is refused: it is not to be trusted."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
    )
    try:
        root = etree.fromstring(response.body, parser)
    except (etree.XMLSyntaxError, ValueError):
        return None
    return None if root.getroottree().docinfo.doctype else root


def text(element: Any, name: str) -> str:
    """The text of an element right below one; empty where there is none."""
    return "" if element is None else str(element.findtext(f"{{*}}{name}") or "").strip()


def values_of(answer: Mapping[str, Any], name: str) -> list[Any]:
    """The list of an answer of the JSON protocol; empty where it has none."""
    found = answer.get(name)
    return cast("list[Any]", found) if isinstance(found, list) else []


def refusal(response: Response, code: str, words: str, action: str) -> UpstreamError:
    """The error that a refusal means, with AWS's code and words."""
    if not code:
        return response.refusal()
    told, body = f"{code}: {words[:MOST_TOLD]}", response.text[:2_000]
    if code in BAD_KEYS:
        return Unauthorized(f"AWS refused the keys ({told}); connect again", body=body)
    if code in THROTTLED or response.status == 429:
        return RateLimited(f"AWS asks to slow down ({told})", body=body)
    return UpstreamError(
        f"AWS refused {action} ({response.status}): {told}", status=response.status, body=body
    )
