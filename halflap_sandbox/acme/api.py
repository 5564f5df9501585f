"""The app's API, `/v1`: plain functions from a call to an answer, none of which ever waits.

Since none waits, what a call has read is still true when it writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar, cast

from starlette.requests import Request

from halflap_sandbox.acme.inputs import (
    AccountChange,
    ContactChange,
    Input,
    NewAccount,
    NewActivity,
    NewContact,
    NewOpportunity,
    NewWebhook,
    OpportunityChange,
    StockMove,
)
from halflap_sandbox.acme.model import (
    Account,
    Activity,
    Contact,
    EventName,
    Json,
    Opportunity,
    Record,
    Stock,
    Table,
    Webhook,
    Workspace,
    new_id,
)
from halflap_sandbox.acme.webhooks import Deliverer
from halflap_sandbox.answer import Answer, Refused, Shape, answer, invalid, not_found, parse

PAGE, LONGEST_PAGE = 50, 500
R = TypeVar("R", bound=Record)
C = TypeVar("C", Contact, Opportunity)


@dataclass(frozen=True, slots=True)
class Call:
    """One request to `/v1`, with the workspace that its API key opens."""

    request: Request
    workspace: Workspace
    body: bytes
    now: str
    deliverer: Deliverer

    def read(self, shape: type[Shape]) -> Shape:
        """Read the body."""
        return parse(self.request, self.body, shape)

    @property
    def id(self) -> str:
        """The id in the path."""
        return self.request.path_params["id"]

    def made(self, kind: type[R], shape: type[Input], **more: str) -> R:
        """Make a record of the body."""
        given: dict[str, Any] = dict(self.read(shape))
        self.check_account(given)
        id = new_id(kind.__name__[:3].lower())
        return kind(id=id, created_at=self.now, **given, **more)

    def check_account(self, given: Mapping[str, Any]) -> None:
        """Refuse an account that is not there."""
        id = given.get("account_id")
        if id is not None and self.workspace.accounts.get(id) is None:
            raise invalid({"account_id": f"there is no account {id!r}"})

    def publish(self, event: EventName, record: Json) -> None:
        """Tell the webhooks."""
        self.deliverer.publish(self.workspace, event, record)


Handler = Callable[[Call], Answer]


def me(call: Call) -> Answer:
    """Tell whose API key this is."""
    return answer({"workspace": call.workspace.id, "name": call.workspace.name})


def listed(call: Call, table: Table[R]) -> Answer:
    """List a table, a page at a time; the Link header leads to the next."""
    query = call.request.query_params
    page = _whole("page", query.get("page", "1"), 10**9)
    per_page = _whole("per_page", query.get("per_page", str(PAGE)), LONGEST_PAGE)
    start = (page - 1) * per_page
    if (ids := query.get("ids")) is not None:
        named = dict.fromkeys(ids.split(","))
        if len(named) > LONGEST_PAGE:
            raise invalid({"ids": f"are at most {LONGEST_PAGE}"})
        rows = (table.get(each) for each in named)
        return answer([each.json() for each in rows if each is not None])
    found = table.page(start, per_page + 1, query.get("external_id"))
    headers: dict[str, str] = {}
    if len(found) > per_page:
        url = call.request.url.include_query_params(page=page + 1, per_page=per_page)
        headers["Link"] = f'<{url}>; rel="next"'
    return answer([each.json() for each in found[:per_page]], headers=headers)


def _whole(name: str, value: str, highest: int) -> int:
    if not (value.isascii() and value.isdigit() and len(value) < 12 and 1 <= int(value) <= highest):
        raise invalid({name: f"is a whole number from 1 to {highest}"})
    return int(value)


def _keep(call: Call, gone: Record) -> None:
    """Change nothing else as a record is deleted."""


@dataclass(frozen=True)
class Resource(Generic[R]):
    """The five routes of one `kind` of record, made of `new`, changed by `change`.

    `removed` runs after a deletion.
    """

    kind: type[R]
    created: EventName
    updated: EventName
    table: Callable[[Workspace], Table[R]]
    new: type[Input]
    change: type[Input]
    removed: Callable[[Call, R], None] = _keep

    @property
    def name(self) -> str:
        """The name of its kind, in lower case."""
        return self.kind.__name__.lower()

    def list(self, call: Call) -> Answer:
        """List the records."""
        return listed(call, self.table(call.workspace))

    def create(self, call: Call) -> Answer:
        """Create a record."""
        made = call.made(self.kind, self.new, updated_at=call.now)
        self.table(call.workspace).put(made)
        call.publish(self.created, made.json())
        return answer(made.json(), 201)

    def read(self, call: Call) -> Answer:
        """Show a record."""
        return answer(self._known(call).json())

    def update(self, call: Call) -> Answer:
        """Change a record."""
        known, given = self._known(call), call.read(self.change).given()
        call.check_account(given)
        changed = replace(known, **given, updated_at=call.now)
        self.table(call.workspace).put(changed)
        call.publish(self.updated, changed.json())
        return answer(changed.json())

    def delete(self, call: Call) -> Answer:
        """Delete a record."""
        known = self._known(call)
        self.table(call.workspace).remove(known)
        self.removed(call, known)
        return Answer(204)

    def _known(self, call: Call) -> R:
        found = self.table(call.workspace).get(call.id)
        if found is None:
            raise not_found(self.name, call.id)
        return found


def _free_of_account(call: Call, gone: Account) -> None:
    _free(call, contacts, gone)
    _free(call, opportunities, gone)


def _free(call: Call, kind: Resource[C], gone: Account) -> None:
    table = kind.table(call.workspace)
    for each in [each for each in table if each.account_id == gone.id]:
        freed = replace(each, account_id=None, updated_at=call.now)
        table.put(freed)
        call.publish(kind.updated, freed.json())


accounts = Resource(
    kind=Account,
    created="account.created",
    updated="account.updated",
    table=lambda of: of.accounts,
    new=NewAccount,
    change=AccountChange,
    removed=_free_of_account,
)
contacts = Resource(
    kind=Contact,
    created="contact.changed",
    updated="contact.changed",
    table=lambda of: of.contacts,
    new=NewContact,
    change=ContactChange,
)
opportunities = Resource(
    kind=Opportunity,
    created="opportunity.created",
    updated="opportunity.updated",
    table=lambda of: of.opportunities,
    new=NewOpportunity,
    change=OpportunityChange,
)


def list_activities(call: Call) -> Answer:
    """List the activities."""
    return listed(call, call.workspace.activities)


def create_activity(call: Call) -> Answer:
    """Record an activity."""
    made = call.made(Activity, NewActivity)
    call.workspace.activities.put(made)
    call.publish("activity.created", made.json())
    return answer(made.json(), 201)


def list_stock(call: Call) -> Answer:
    """List every item and how many there are."""
    return answer([each.json() for each in call.workspace.stock.values()])


def read_stock(call: Call) -> Answer:
    """Tell how many of an item there are."""
    return answer(_stock(call).json())


def add_stock(call: Call) -> Answer:
    """Add some of an item; one that is not known yet is created."""
    item = _item(call)
    if not item or len(item) > 255:
        raise invalid({"item": "has 1 to 255 characters"})
    known = call.workspace.stock.get(item)
    return _put_stock(call, item, (known.quantity if known else 0) + call.read(StockMove).quantity)


def remove_stock(call: Call) -> Answer:
    """Remove some of an item, where there are enough."""
    known, wanted = _stock(call), call.read(StockMove).quantity
    if wanted > known.quantity:
        message = f"There are {known.quantity} of {known.item!r}, not {wanted}."
        raise Refused(409, "not_enough_stock", message)
    return _put_stock(call, known.item, known.quantity - wanted)


def _item(call: Call) -> str:
    return cast(str, call.request.path_params["item"])


def _stock(call: Call) -> Stock:
    found = call.workspace.stock.get(_item(call))
    if found is None:
        raise not_found("item", _item(call))
    return found


def _put_stock(call: Call, item: str, quantity: int) -> Answer:
    stock = Stock(item=item, quantity=quantity, updated_at=call.now)
    call.workspace.stock[item] = stock
    call.publish("stock.changed", stock.json())
    return answer(stock.json())


def list_webhooks(call: Call) -> Answer:
    """List the webhooks, without their secrets."""
    return answer([each.json() for each in call.workspace.webhooks.values()])


def create_webhook(call: Call) -> Answer:
    """Register a webhook; the same event and URL again make a second one."""
    new = call.read(NewWebhook)
    made = Webhook(
        id=new_id("whk"), event=new.event, url=new.url, secret=new.secret, created_at=call.now
    )
    call.workspace.webhooks[made.id] = made
    return answer(made.json(), 201)


def read_webhook(call: Call) -> Answer:
    """Show a webhook, without its secret."""
    return answer(_webhook(call).json())


def delete_webhook(call: Call) -> Answer:
    """Delete a webhook; what was still to be delivered to it is not."""
    gone = _webhook(call)
    del call.workspace.webhooks[gone.id]
    call.deliverer.remove(gone)
    return Answer(204)


def _webhook(call: Call) -> Webhook:
    found = call.workspace.webhooks.get(call.id)
    if found is None:
        raise not_found("webhook", call.id)
    return found


ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/me", me),
    ("GET", "/accounts", accounts.list),
    ("POST", "/accounts", accounts.create),
    ("GET", "/accounts/{id}", accounts.read),
    ("PATCH", "/accounts/{id}", accounts.update),
    ("DELETE", "/accounts/{id}", accounts.delete),
    ("GET", "/contacts", contacts.list),
    ("POST", "/contacts", contacts.create),
    ("GET", "/contacts/{id}", contacts.read),
    ("PATCH", "/contacts/{id}", contacts.update),
    ("DELETE", "/contacts/{id}", contacts.delete),
    ("GET", "/opportunities", opportunities.list),
    ("POST", "/opportunities", opportunities.create),
    ("GET", "/opportunities/{id}", opportunities.read),
    ("PATCH", "/opportunities/{id}", opportunities.update),
    ("DELETE", "/opportunities/{id}", opportunities.delete),
    ("GET", "/stock", list_stock),
    ("POST", "/stock/{item:path}/add", add_stock),
    ("POST", "/stock/{item:path}/remove", remove_stock),
    ("GET", "/stock/{item:path}", read_stock),
    ("GET", "/activities", list_activities),
    ("POST", "/activities", create_activity),
    ("GET", "/webhooks", list_webhooks),
    ("POST", "/webhooks", create_webhook),
    ("GET", "/webhooks/{id}", read_webhook),
    ("DELETE", "/webhooks/{id}", delete_webhook),
)
