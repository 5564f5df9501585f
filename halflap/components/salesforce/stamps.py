"""Records by their stamps: which of an object were saved from a time on, and how a state is known."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from hashlib import blake2b
from typing import Any
from urllib.parse import quote_plus

from halflap import DefinitionError, Message, PolledPage, Polling, Response, encode_json
from halflap.components.salesforce.connection import Salesforce
from halflap.components.salesforce.quoting import soql
from halflap.components.salesforce.records import next_page
from halflap.components.salesforce.trigger import as_sent

STAMP = "SystemModstamp"
NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
MOST_DIGITS = 28
LATE = timedelta(minutes=10)
"""The time behind the cursor that is read again: a transaction takes so long at most, and its records
show their stamp only once it is committed."""
MOST_IDS = 200
MOST_QUERY = 14_000
"""The most characters of a query as it stands in a URL, of which Salesforce takes 16,384."""
ID_CHARACTERS = 30
"""The most characters of an id in it: quoted, escaped, with a comma."""


def version_of(record: Mapping[str, Any]) -> str:
    """The identity of a record's state: its id, its stamp and a digest of its fields.

    A stamp has whole seconds: of two states in one, the fields tell. Numbers are compared as such.
    """
    told = sorted(
        (name, comparable(each)) for name, each in record.items() if each not in (None, "")
    )
    digest = blake2b(encode_json(told), digest_size=8).hexdigest()
    return f"{str(record['Id'])[:15]}@{record.get(STAMP)}@{digest}"


def comparable(value: Any) -> Any:
    """A value as it is compared: 1.0E7 of a message is the 10000000 of a query."""
    if not isinstance(value, str) or len(value) > MOST_DIGITS or not NUMBER.fullmatch(value):
        return value
    try:
        return str(Decimal(value).normalize())
    except ArithmeticError:
        return value


@dataclass
class ChangedRecords:
    """The records of an object that were stamped from a time on, page by page, oldest first."""

    sf: Salesforce
    object: str
    fields: Sequence[str]
    deletes: bool
    following: str | None = None
    """The address of the next page."""
    behind: timedelta = timedelta(0)
    """The time that the org's clock is behind ours."""

    @property
    def selection(self) -> str:
        """The beginning of a query for them."""
        asked = [*self.fields, *(["IsDeleted"] if self.deletes else [])]
        template = f"SELECT {', '.join(['{:name}'] * len(asked))} FROM {{:name}}"  # noqa: S608
        return soql(template, *asked, self.object)

    async def asked(self, query: str) -> Response:
        """Ask for rows; deleted ones too, where they are told."""
        if len(quote_plus(query)) > MOST_QUERY:
            raise DefinitionError(
                f"the fields of {self.object} are too many for a query of Salesforce: name those to read "
                "(`fields`)"
            )
        path = self.sf.data("queryAll" if self.deletes else "query")
        return await self.sf.request("GET", path, params={"q": query})

    async def page(self, since: datetime | None) -> list[Message]:
        """Read the next page; the first one since a time, or of all."""
        if self.following is not None:
            response = await self.sf.request("GET", self.following)
        else:
            where = "" if since is None else soql(f" WHERE {STAMP} >= {{}}", since)
            response = await self.asked(f"{self.selection}{where} ORDER BY {STAMP}, Id")
        self.following = next_page(response)
        self.behind = behind(response)
        return [self.message(each) for each in response.json()["records"]]

    async def current(self, changes: Mapping[str, datetime]) -> list[Message]:
        """Read records as they are now, by their ids; of each, the time of its change.

        One that is gone for good is told without its fields, where deletions are.
        """
        ids = [*changes]
        rows: dict[str, Mapping[str, Any]] = {}
        room = (MOST_QUERY - len(quote_plus(self.selection))) // ID_CHARACTERS - 1
        most = max(1, min(MOST_IDS, room))
        for at in range(0, len(ids), most):
            where = soql(" WHERE Id IN {}", ids[at : at + most])
            response = await self.asked(f"{self.selection}{where}")
            while True:
                rows |= {str(each["Id"])[:15]: each for each in response.json()["records"]}
                if (following := next_page(response)) is None:
                    break
                response = await self.sf.request("GET", following)
        gone = {each: {"Id": each, "IsDeleted": True} for each in ids if self.deletes}
        found = ((each, rows.get(each[:15]) or gone.get(each)) for each in ids)
        return [
            self.message({STAMP: changes[each].isoformat(), **row}) for each, row in found if row
        ]

    def message(self, row: Mapping[str, Any]) -> Message:
        """A row, as the message of a changed record."""
        named = [*self.fields, *(["IsDeleted"] if row.get("IsDeleted") else [])]
        record = as_sent(self.object, row, named)
        stamp, id = datetime.fromisoformat(str(row[STAMP])), version_of(record)
        return Message({"Id": id, "sObject": record}, id=id, key=str(row["Id"]), at=stamp)


def behind(response: Response) -> timedelta:
    """Return the time that the clock of whoever answered is behind ours."""
    try:
        told = parsedate_to_datetime(response.headers.get("Date", ""))
    except ValueError:
        return timedelta(0)
    return datetime.now(UTC) - told


@dataclass
class Poll:
    """One look after the other for changed records."""

    rows: ChangedRecords
    began: datetime | None = None
    held: list[Message] = field(default_factory=list[Message])
    """Messages of a page that were not handed out with those from before the beginning."""

    async def __call__(self, polling: Polling) -> PolledPage:
        """Return the next page. What was stamped before the beginning starts nothing."""
        found, self.held = self.held, []
        if not found:
            if self.rows.following is None and polling.cursor is None and polling.since is not None:
                self.began = polling.since + LATE
            found = await self.rows.page(polling.since)
        more = self.rows.following is not None
        if polling.cursor is None and self.began is not None:
            # A second more, as the org tells its time in whole ones.
            beginning = self.began - self.rows.behind - timedelta(seconds=1)
            old = [each for each in found if each.at is not None and each.at < beginning]
            self.held = found[len(old) :]
            if old or not found:
                more = more or bool(self.held)
                return PolledPage(old, None if more else self.began, more, skip=True)
            self.held = []
        newest = polling.newest(each.at.isoformat() for each in found if each.at is not None)
        return PolledPage(found, cursor=newest, more=more)
