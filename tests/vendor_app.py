"""A sandbox that is made of a vendor's document, on loopback, and a connection to it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

import halflap.components
from halflap import Connection
from halflap.sdk.connection import Link
from halflap.sdk.egress import Egress
from halflap_sandbox import specified
from tests.loopback import sandbox_on_loopback

Kind = TypeVar("Kind", bound=Connection)


@dataclass(frozen=True, slots=True)
class VendorApp:
    """The sandbox on loopback."""

    url: str
    http: aiohttp.ClientSession
    egress: Egress

    def connection(self, kind: type[Kind], **fields: Any) -> Kind:
        made = kind.model_validate(fields)
        made._link = Link(name="it", egress=self.egress)
        return made

    async def faults(self, **faults: Any) -> None:
        async with self.http.post(f"{self.url}/sandbox/faults", json=faults) as response:
            assert response.status == 200, await response.text()

    async def requests(self) -> list[dict[str, Any]]:
        async with self.http.get(f"{self.url}/sandbox/requests") as response:
            return await response.json()


def documents_of(name: str) -> list[dict[str, Any]]:
    folder = Path(halflap.components.__file__).parent / name
    return [json.loads(each.read_bytes()) for each in sorted(folder.glob("*.json"))]


@asynccontextmanager
async def vendor_app(dialect: specified.Dialect) -> AsyncIterator[VendorApp]:
    app = specified.create_app(dialect, documents_of(dialect.name))
    async with sandbox_on_loopback(app) as (url, http, egress):
        yield VendorApp(url, http, egress)
