"""Requests and answers of a sandbox: JSON in, JSON out, every digit kept; and its refusals."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response

Shape = TypeVar("Shape", bound=BaseModel)
Account = TypeVar("Account")


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, a body of JSON and perhaps some headers."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    def replayed(self) -> Answer:
        """Give the same answer again, marked as a repetition."""
        return replace(self, headers={**self.headers, "Idempotency-Replayed": "true"})

    def response(self) -> Response:
        """Give the answer as it goes out."""
        media_type = "application/json" if self.body else None
        return Response(self.body, self.status, dict(self.headers), media_type)


class Refused(Exception):
    """The sandbox says no: with a status, a code for programs, and a message for people."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        fields: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        error: dict[str, Any] = {"code": code, "message": message}
        if fields:
            error["fields"] = dict(fields)
        self.answer = Answer(status, dump({"error": error}), dict(headers or {}))


def not_found(what: str, id: str) -> Refused:
    """Say that there is no such thing."""
    return Refused(404, "not_found", f"There is no {what} {id!r}.")


def account_of(app: str, name: str, **values: Any) -> dict[str, Any]:
    """Return an account of a sandbox, with the values of a connection to it."""
    return {"app": app, "account": name, "values": values}


def first(accounts: Iterable[Account]) -> Account:
    """Return the first account; refuse where there is none."""
    for each in accounts:
        return each
    raise not_found("account", "")


def invalid(fields: Mapping[str, str]) -> Refused:
    """Say which fields are wrong, and how."""
    names = ", ".join(fields)
    return Refused(422, "invalid", f"These fields are wrong: {names}.", fields=fields)


def dump(value: object) -> bytes:
    """Write JSON."""
    return json.dumps(value, separators=(",", ":")).encode()


def answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """Answer with a value as JSON."""
    return Answer(status, dump(value), headers or {})


def parse(request: Request, body: bytes, shape: type[Shape]) -> Shape:
    """Read a request's JSON as `shape`, or refuse with the names of the wrong fields.

    A body has to call itself JSON: a page of another origin cannot send that unasked.
    """
    if not body:
        body = b"{}"
    elif "json" not in request.headers.get("content-type", ""):
        raise Refused(415, "not_json", "Send the body as Content-Type: application/json.")
    try:
        value = json.loads(body, parse_float=Decimal, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Refused(400, "bad_json", f"The body is not JSON: {error}") from error
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        raise invalid(
            {".".join(map(str, each["loc"])) or "body": each["msg"] for each in error.errors()}
        ) from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")
