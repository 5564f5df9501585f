"""The connection to any HTTP API, and the types of what is sent to it."""

from __future__ import annotations

import base64
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import SecretStr, StrictBool, WithJsonSchema

from halflap import Component, Connection


class Http(Connection):
    """An API: its address, and how it knows us."""

    base_url: str
    """Where the API is: https://api.example.com/v1"""

    token: SecretStr | None = None
    """Sent as `Authorization: Bearer …`."""

    username: str | None = None
    password: SecretStr | None = None
    """Sent with the username as HTTP basic authentication."""

    header: str | None = None
    """The name of a header that carries a key."""

    key: SecretStr | None = None
    """The key that the header carries."""

    idempotency_key_header: str | None = None
    """The header by which the API knows a repeated request, where it does: `Idempotency-Key`.
    Without one, a POST or PATCH that may have been carried out is not sent again."""

    probe: str | None = None
    """A path that answers 2xx where the connection works; asked before the connection is saved.
    Without one, the connection is not tested."""

    def headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token.get_secret_value()}"
        elif self.username is not None:
            password = self.password.get_secret_value() if self.password else ""
            both = base64.b64encode(f"{self.username}:{password}".encode()).decode()
            headers["Authorization"] = f"Basic {both}"
        if self.header is not None and self.key is not None:
            headers[self.header] = self.key.get_secret_value()
        return headers

    def honoured_header(self) -> str | None:
        return self.idempotency_key_header

    async def test(self) -> None:
        if self.probe is None:
            raise NotImplementedError
        await self.get(self.probe)


Values = dict[str, str | int]
"""Data for the places of a path: `/customers/{id}` takes `{"id": …}`, as one encoded segment."""

Params = dict[str, str | StrictBool | Annotated[Decimal, WithJsonSchema({"type": "number"})]]
"""Parameters of the query; a number or a boolean is sent as JSON writes it: `10`, `true`."""

Path = Annotated[str, WithJsonSchema({"type": "string", "format": "url-path"})]
"""A path below the `base_url`; data goes into places of it: `/customers/{id}`."""

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]

component = Component("http", title="HTTP", connection=Http)
