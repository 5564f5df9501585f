"""The sandbox Salesforce: its orgs, what people do in them, and what is in them."""

from __future__ import annotations

from typing import Any

import aiohttp

from halflap.errors import HalflapError
from halflap.sdk import codec

DATA = "/services/data/v63.0"


class Salesforce:
    """The sandbox Salesforce, in this process: it outlives the server."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self._http = http
        self._tokens: dict[str, str] = {}

    async def orgs(self) -> list[Any]:
        """The orgs that there are."""
        return await self._call("GET", "/sandbox/orgs")

    async def org(self, name: str) -> dict[str, Any]:
        """A new org, with a user and a connected app."""
        return await self._call("POST", "/sandbox/orgs", json={"name": name})

    async def edit(self, org: Any, object: str, id: str | None = None, **values: Any) -> str:
        """Create a record, or change one, as a person does; returns its id."""
        edit = {"action": "update" if id else "create", "object": object, "values": values}
        body = {**edit, "id": id} if id else edit
        return (await self._call("POST", f"/sandbox/orgs/{org['id']}/records", json=body))["Id"]

    async def record(self, org: Any, object: str, id: str) -> Any:
        """A record, as Salesforce's API gives it."""
        return await self._get(org, f"{DATA}/sobjects/{object}/{id}")

    async def query(self, org: Any, soql: str) -> list[Any]:
        """The records of a query, as Salesforce's API gives them."""
        return (await self._get(org, f"{DATA}/query", q=soql))["records"]

    async def look(self, org: Any, what: str) -> Any:
        """Look behind its counter: `effects`, `deliveries` or `pending`."""
        return await self._call("GET", f"/sandbox/{what}", params={"org": org["id"]})

    async def automation(self, org: Any) -> tuple[int, int]:
        """Return the number of outbound messages of an org, and of flows."""
        shown = (await self.look(org, "overview"))["shown"]
        return shown["counts"]["messages"], shown["counts"]["flows"]

    async def _get(self, org: Any, path: str, **params: str) -> Any:
        if org["id"] not in self._tokens:
            form = {name: org[name] for name in ("client_id", "client_secret")}
            form["grant_type"] = "client_credentials"
            token = await self._call("POST", "/services/oauth2/token", data=form)
            self._tokens[org["id"]] = token["access_token"]
        headers = {"Authorization": f"Bearer {self._tokens[org['id']]}"}
        return await self._call("GET", path, headers=headers, params=params)

    async def _call(self, method: str, path: str, **more: Any) -> Any:
        async with self._http.request(method, self.url + path, **more) as answer:
            body = await answer.read()
            if answer.status >= 400:
                raise HalflapError(f"Salesforce: {method} {path}: {answer.status} {body[:200]!r}")
            return codec.decode(body) if body else None
