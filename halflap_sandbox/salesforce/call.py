"""A request as the routes see it, and what they answer: JSON in, JSON out, every digit kept."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NoReturn, cast

from starlette.requests import Request
from starlette.responses import Response

from halflap_sandbox.salesforce.model import Json, Org, Session, User, World
from halflap_sandbox.salesforce.settings import Settings

if TYPE_CHECKING:
    from halflap_sandbox.salesforce.records import Transaction


class Refused(Exception):
    """Salesforce says no: with a status, a code for programs, a message, perhaps the fields.

    REST answers with `response()`; SOAP and bulk use `code` and `message` in their own forms.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        fields: Sequence[str] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.fields = None if fields is None else tuple(fields)
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """Give the refusal as REST does: an array of one error."""
        error: Json = {"message": self.message, "errorCode": self.code}
        if self.fields is not None:
            error["fields"] = list(self.fields)
        return answer([error], self.status, self.headers)


def unauthorized() -> Refused:
    """Say that the session is none."""
    headers = {"WWW-Authenticate": "Token"}
    message = "Session expired or invalid"
    return Refused(401, "INVALID_SESSION_ID", message, headers=headers)


def not_found(message: str = "The requested resource does not exist") -> Refused:
    """Say that there is no such thing."""
    return Refused(404, "NOT_FOUND", message)


@dataclass(frozen=True, slots=True)
class Call:
    """One request: its body, the data, and the session that it opened, if any.

    `saving` is the transaction that it is part of, where it is one of several requests in one.
    """

    request: Request
    body: bytes
    world: World
    settings: Settings
    session: Session | None = None
    saving: Transaction | None = None

    @property
    def org(self) -> Org:
        """The org of the session; refused where there is none."""
        if self.session is None:
            raise unauthorized()
        return self.session.org

    @property
    def user(self) -> User:
        """The user of the session; refused where there is none."""
        if self.session is None:
            raise unauthorized()
        return self.session.user

    @property
    def path(self) -> dict[str, str]:
        """The parameters of the path."""
        return self.request.path_params

    @property
    def base(self) -> str:
        """The path of the REST API in the version that the request asks for."""
        return f"/services/data/v{self.path['version']}"

    @property
    def instance_url(self) -> str:
        """The address that the request came to, without a slash at its end."""
        return f"{self.request.url.scheme}://{self.request.url.netloc}"

    def json(self) -> Any:
        """Read the body as JSON."""
        return parse(self.body)

    def json_object(self) -> Json:
        """Read the body as a JSON object."""
        value = self.json()
        if not isinstance(value, dict):
            raise Refused(400, "JSON_PARSER_ERROR", "The body is not a JSON object.")
        return cast(Json, value)


Handler = Callable[[Call], Awaitable[Response]]
Route = tuple[str, str, Handler]
"""A method, a path as Starlette writes it, and what answers there."""


def parse(text: bytes | str) -> Any:
    """Read JSON; numbers with a fraction come as `Decimal`."""
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Refused(400, "JSON_PARSER_ERROR", f"The body is not JSON: {error}") from error


def dump(value: object) -> str:
    """Write JSON; a `Decimal` is written with every digit, as a number with a fraction."""
    match value:
        case Decimal():
            return number(value)
        case Mapping():
            pairs = cast("Mapping[str, object]", value).items()
            return "{" + ",".join(f"{json.dumps(str(k))}:{dump(v)}" for k, v in pairs) + "}"
        case list() | tuple():
            return "[" + ",".join(map(dump, cast("Sequence[object]", value))) + "]"
        case _:
            return json.dumps(value)


def number(value: Decimal) -> str:
    """Write a number as Salesforce writes a double: no exponent, no zeros too many, one digit kept."""
    text = format(value, "f")
    if "." not in text:
        return text + ".0"
    text = text.rstrip("0")
    return text + "0" if text.endswith(".") else text


def answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with a value as JSON."""
    media_type = "application/json;charset=UTF-8"
    return Response(dump(value), status, dict(headers or {}), media_type)


def done(status: int = 204) -> Response:
    """Answer that it is done, without a body."""
    return Response(None, status)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")
