"""Make an author's request ready to be sent: its headers, its query, and a body for every hop."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from io import BytesIO
from typing import Any, cast
from urllib.parse import urlencode
from uuid import UUID

from multidict import CIMultiDict
from pydantic import Secret, SecretBytes, SecretStr

from halflap.errors import DefinitionError, InputsRefused
from halflap.sdk import codec
from halflap.sdk.pacing import in_pieces
from halflap.sdk.payload import Payload
from halflap.sdk.request import HEADER_NAME
from halflap.sdk.schema import UNSET, File

_METHOD = re.compile(r"[A-Z]{1,20}\Z")
_HEADER_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]*\Z")
# They frame the message or name its host: another value there would speak past the guards.
_OURS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "upgrade", "trailer", "te"}
    | {"proxy-authorization", "proxy-connection", "keep-alive", "expect"}
)
# All that another origin is told after a redirect; any other header may hold a credential.
_HARMLESS = frozenset({"accept", "accept-language", "content-type", "user-agent"})
# aiohttp wants to stream what is larger, so that one write does not hold up the loop.
_LARGE = 2**20


class Outgoing:
    """One request before it is sent, and after each redirect that it follows."""

    __slots__ = ("_body", "_files", "_form", "_payload", "headers", "method", "query")

    def __init__(
        self,
        method: str,
        params: Mapping[str, Any] | None,
        headers: Mapping[str, str] | None,
        json: bytes | None = None,
        form: Mapping[str, Any] | None = None,
        body: bytes | Payload | None = None,
        files: Mapping[str, File] | None = None,
    ) -> None:
        self.method = _checked_method(method)
        if (json is not None) + (body is not None) + (form is not None or files is not None) > 1:
            raise DefinitionError(
                "Of json, body, and form or files, give one; they are all the body"
            )
        self.query = None if params is None else pairs(params, "params")
        self.headers = _checked(headers or {})
        self._form = None if form is None else pairs(form, "form")
        self._files = files
        self._payload: Payload | None = None
        self._body = json
        if isinstance(body, Payload):
            self._payload = body
        elif body is not None:
            self._body = body
        if json is not None:
            self.headers.setdefault("Content-Type", "application/json")
        elif self._form is not None and files is None:
            self._body = urlencode(self._form).encode()
            self.headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
        elif self._payload is not None:
            self.headers.setdefault("Content-Type", self._payload.content_type)
            self.headers["Content-Length"] = str(self._payload.size)
        elif files is not None and "Content-Type" in self.headers:
            del self.headers["Content-Type"]  # it carries the boundary, which is not known yet

    @property
    def is_plain(self) -> bool:
        """True if it has no body, or one that is whole and not large."""
        is_whole = self._files is None and self._payload is None
        return is_whole and (self._body is None or len(self._body) <= _LARGE)

    @property
    def body(self) -> bytes | None:
        """The body of a plain one; None where there is none."""
        return self._body

    def data(self) -> Any:
        """The body, once more for every hop; None where there is none."""
        from aiohttp import BytesPayload, FormData

        if self._files is not None:
            parts = FormData(default_to_multipart=True)
            for name, value in self._form or ():
                parts.add_field(name, value)
            for name, file in self._files.items():
                parts.add_field(
                    name, BytesIO(file.data), filename=file.name, content_type=file.content_type
                )
            return parts
        if self._payload is not None:
            return self._payload.stream()
        if self._body is None:
            return None
        if len(self._body) > _LARGE:
            return BytesIO(self._body)
        return BytesPayload(self._body)

    def redirected(self, status: int, *, same_origin: bool) -> None:
        """Become what a redirect of this status asks for next."""
        to_get = status == 303 and self.method != "HEAD"
        if to_get or (status in (301, 302) and self.method == "POST"):
            self.method = "GET"
            self._body = self._form = self._files = self._payload = None
            self.headers.popall("Content-Type", None)
            self.headers.popall("Content-Length", None)
        if not same_origin:
            self.headers = CIMultiDict(
                (name, value) for name, value in self.headers.items() if name.lower() in _HARMLESS
            )


async def encoded(json: Any) -> bytes | None:
    """Return a request's `json` as it is sent, a large value written piece by piece; None for `...`."""
    try:
        return None if json is ... else await in_pieces(json, codec.encode)
    except codec.NotJson as error:
        raise DefinitionError(f"{error} (in the json of this request)") from None


def pairs(values: Mapping[str, Any], where: str) -> list[tuple[str, str]]:
    """Names and texts of a query or form: lists repeat, None and `UNSET` are left out."""
    found: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, list | tuple | set | frozenset):
            many = cast(Iterable[Any], value)
            found.extend((name, text_of(each, f"{where}.{name}")) for each in many)
        elif value is not None and value is not UNSET:
            found.append((name, text_of(value, f"{where}.{name}")))
    return found


def text_of(value: Any, where: str) -> str:
    """Return a value as the text that is sent; `DefinitionError` where it has none."""
    if isinstance(value, Enum) and value is not UNSET:
        value = value.value
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() | float() | Decimal() | UUID():
            return str(value)
        case datetime() | date() | time():
            return value.isoformat()
        case SecretStr() | SecretBytes() | Secret():
            raise DefinitionError(
                "a secret is not sent by itself; pass its get_secret_value()", where=where
            )
        case _:
            raise DefinitionError(
                f"a {type(value).__name__} cannot be sent here; pass text or a number", where=where
            )


@lru_cache(maxsize=64)
def _checked_method(method: str) -> str:
    if not _METHOD.match(method.upper()) or method.upper() in ("CONNECT", "TRACE"):
        raise DefinitionError(f"{method!r} is not a method that can be sent; use GET or POST")
    return method.upper()


@lru_cache(maxsize=1024)
def name_problem(name: str) -> str | None:
    """Return why no request can have a header of this name; None where one can."""
    if not HEADER_NAME.match(name):
        return f"{name!r} is not the name of a header"
    return f"{name} is written by Halflap; leave it out" if name.lower() in _OURS else None


def _checked(headers: Mapping[str, str]) -> CIMultiDict[str]:
    checked: CIMultiDict[str] = CIMultiDict()
    for name, value in headers.items():
        if value is UNSET:
            continue
        if (problem := name_problem(name)) is not None:
            raise DefinitionError(problem, where="headers")
        text = value if type(value) is str else text_of(value, f"headers.{name}")
        if not _HEADER_VALUE.match(text):
            raise InputsRefused(
                f"the value of the header {name} has line breaks or control characters; strip them"
            )
        checked.add(name, text)
    return checked
