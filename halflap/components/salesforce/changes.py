"""The trigger of changed records, by the best way that an org allows.

Whichever way tells of a change, the event is the record as it is then, written as an outbound message
writes it; an event that says the same of the same second is a duplicate. So what several ways tell,
and what is read again after an outage, starts a flow once.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from hashlib import blake2b
from typing import Annotated, Any, Literal

from pydantic import Field

from halflap import (
    Batch,
    Declaration,
    Endpoint,
    Listening,
    Message,
    PolledPage,
    Polling,
    PollSpec,
    Request,
    Response,
    Subscription,
    Unauthorized,
    UpstreamError,
    encode_json,
    polled,
)
from halflap.components.salesforce.connection import Salesforce, component
from halflap.components.salesforce.description import Object
from halflap.components.salesforce.outbound import (
    delete_by_rule,
    delete_outbound_message,
    ensure_by_rule,
    ensure_outbound_message,
    ids_by_name,
    usual_fields,
)
from halflap.components.salesforce.quoting import soql
from halflap.components.salesforce.records import next_page
from halflap.components.salesforce.trigger import DECLARED, as_sent, event_of

By = Literal["best", "outbound_message", "polling"]
NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
MOST_DIGITS = 28
LATE = timedelta(minutes=10)
"""The time behind the cursor that is read again: a transaction takes so long at most, and its records
show their stamp only once it is committed."""
EVERY = PollSpec(overlap=LATE)
STAMP = "SystemModstamp"
MESSAGE, RULE, POLLED = "outbound_message", "workflow_rule", "polling"


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


def dedupe(request: Request) -> str | None:
    """The identity of the state that an event tells."""
    record = request.json().get("sObject")
    return None if record is None else version_of(record)


@component.trigger(title="Record changed")
async def record_changed(
    request: Request,
    object: Object,
    fields: list[str] | None = None,
    deletes: bool = False,
    by: By = "best",
    interval: Annotated[int, Field(ge=5, le=86_400)] = 60,
    start: Literal["now", "earliest"] = "now",
) -> Any:
    """A record was created or changed, in the best way that the org allows.

    The event is the record, as of `outbound_message`: values are text. `fields`: those to read;
    without, the ones that the typed record reads, or all that a person may change. With `deletes`,
    deleted records are told too, and the event says `IsDeleted`.
    By an outbound message, where Salesforce lets the connection's user make one, and by asking every
    `interval` seconds for what was stamped since (`SystemModstamp`), which finds what no message told;
    less often while nothing comes, up to five minutes. With `start="earliest"`, all records are read
    first.
    """
    event = event_of(request, object, fields)
    return event if not isinstance(event, dict) or not deletes else {"IsDeleted": "false", **event}


@record_changed.declare
def _(
    object: str,
    fields: list[str] | None,
    deletes: bool,
    by: By,
    interval: int,
    start: str,
) -> Declaration:
    if by == POLLED:
        plain = Declaration(methods=(), subscribes=False)
        return replace(plain, dedupe=dedupe, key=DECLARED.key, reads=DECLARED.reads)
    return replace(DECLARED, dedupe=dedupe)


@record_changed.subscribe
async def _(
    sf: Salesforce, endpoint: Endpoint, object: str, fields: list[str] | None, by: By
) -> Subscription:
    sent = sorted({STAMP, *(fields if fields is not None else await usual_fields(sf, object))})
    because = ""
    try:
        made = await ensure_outbound_message(sf, object, endpoint.url, sent)
        return Subscription(f"{MESSAGE} {made.id}")
    except UpstreamError as error:
        if not is_final(error):
            raise
        because = str(error)
    try:
        return Subscription(f"{RULE} {await ensure_by_rule(sf, object, endpoint.url, sent)}")
    except UpstreamError as error:
        if by != "best" or not is_final(error):
            raise
    return Subscription(POLLED, data={"because": because[:500]})


def is_final(error: UpstreamError) -> bool:
    """Return whether the org will not allow it the next time either."""
    return not error.retryable and not isinstance(error, Unauthorized)


@record_changed.unsubscribe
async def _(sf: Salesforce, subscription: Subscription) -> None:
    way, _, id = subscription.id.partition(" ")
    if way == MESSAGE:
        await delete_outbound_message(sf, id)
    elif way == RULE:
        await delete_by_rule(sf, id)


@record_changed.exists
async def _(sf: Salesforce, subscription: Subscription) -> bool:
    _, _, id = subscription.id.partition(" ")
    ids = (await ids_by_name(sf)).values() if id else ()
    return not id or any(each[:15] == id[:15] for each in ids)


@record_changed.listen(tuning=["fields", "deletes", "by", "interval"])
async def _(
    sf: Salesforce,
    listening: Listening,
    object: str,
    fields: list[str] | None,
    deletes: bool,
    interval: int,
) -> AsyncGenerator[Batch]:
    named = fields if fields is not None else await usual_fields(sf, object)
    rows = ChangedRecords(sf, object, sorted({"Id", STAMP, *named}), deletes)
    async for batch in polled(listening, EVERY.within(interval), Poll(rows)):
        yield batch


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

    async def page(self, since: datetime | None) -> list[Message]:
        """Read the next page; the first one since a time, or of all."""
        if self.following is not None:
            response = await self.sf.request("GET", self.following)
        else:
            asked = [*self.fields, *(["IsDeleted"] if self.deletes else [])]
            ask = f"SELECT {', '.join(['{:name}'] * len(asked))} FROM {{:name}}"  # noqa: S608
            ask = soql(ask, *asked, self.object)
            ask += "" if since is None else soql(f" WHERE {STAMP} >= {{}}", since)
            path = self.sf.data("queryAll" if self.deletes else "query")
            response = await self.sf.request(
                "GET", path, params={"q": f"{ask} ORDER BY {STAMP}, Id"}
            )
        self.following = next_page(response)
        self.behind = behind(response)
        return [self.message(each) for each in response.json()["records"]]

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
