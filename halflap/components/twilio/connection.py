"""The connection to a Twilio account, and the component."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import urljoin

from pydantic import Field, SecretStr
from pydantic.json_schema import SkipJsonSchema

from halflap import Component, Connection, Response


class Twilio(Connection):
    """A Twilio account."""

    base_url: SkipJsonSchema[str] = "https://api.twilio.com/2010-04-01"
    lookups_url: SkipJsonSchema[str] = "https://lookups.twilio.com"
    account_sid: str = Field(pattern=r"^AC[0-9a-fA-F]{32}$")
    """The account's SID: AC…"""
    auth_token: SecretStr
    """The account's auth token, by which Twilio signs, too."""

    def headers(self) -> dict[str, str]:
        both = f"{self.account_sid}:{self.auth_token.get_secret_value()}"
        return {"Authorization": "Basic " + base64.b64encode(both.encode()).decode()}

    async def test(self) -> None:
        await self.get(f"/Accounts/{self.account_sid}.json")

    async def numbers(self, **params: str) -> list[dict[str, Any]]:
        """Return the account's phone numbers."""
        path, params = self.numbers_path(".json"), {"PageSize": "1000", **params}

        def following(page: Response) -> str | None:
            address = page.json().get("next_page_uri")
            return address and urljoin(page.url, address)

        found = self.pages(path, params=params, items="incoming_phone_numbers", next=following)
        return [each async for each in found]

    def numbers_path(self, ending: str) -> str:
        """The path of the account's phone numbers, or of one."""
        return f"/Accounts/{self.account_sid}/IncomingPhoneNumbers{ending}"


component = Component("twilio", title="Twilio", connection=Twilio)
