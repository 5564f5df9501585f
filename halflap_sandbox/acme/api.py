"""The app's API, `/v1`: plain functions from a call to an answer, none of which ever waits.

Since none waits, what a call has read is still true when it writes.
"""

from __future__ import annotations

from collections.abc import Callable
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

    def publish(self, event: EventName, record: Json) -> None:
        """Tell the webhooks."""
        self.deliverer.publish(self.workspace, event, record)


Handler = Callable[[Call], Answer]
R = TypeVar("R", bound=Record)
C = TypeVar("C", Contact, Opportunity)


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


@dataclass(frozen=True)
class Resource(Generic[R]):
    """The five routes of one kind of record.

    `make` builds a new record, `changed` gives a known one with the fields that a PATCH has, and
    `removed` runs after a deletion.
    """

    what: str
    created: EventName
    updated: EventName
    table: Callable[[Workspace], Table[R]]
    make: Callable[[Call], R]
    changed: Callable[[Call, R], R]
    removed: Callable[[Call, R], None]

    def list(self, call: Call) -> Answer:
        """List the records."""
        return listed(call, self.table(call.workspace))

    def create(self, call: Call) -> Answer:
        """Create a record."""
        made = self.make(call)
        self.table(call.workspace).put(made)
        call.publish(self.created, made.json())
        return answer(made.json(), 201)

    def read(self, call: Call) -> Answer:
        """Show a record."""
        return answer(self._known(call).json())

    def update(self, call: Call) -> Answer:
        """Change a record."""
        changed = self.changed(call, self._known(call))
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
            raise not_found(self.what, call.id)
        return found


def _new_account(call: Call) -> Account:
    new = call.read(NewAccount)
    return Account(
        id=new_id("acc"),
        external_id=new.external_id,
        name=new.name,
        created_at=call.now,
        updated_at=call.now,
    )


def _changed_account(call: Call, known: Account) -> Account:
    return replace(known, **_fields(call, AccountChange))


def _free_of_account(call: Call, gone: Account) -> None:
    _free(call, contacts, gone)
    _free(call, opportunities, gone)


def _free(call: Call, kind: Resource[C], gone: Account) -> None:
    table = kind.table(call.workspace)
    for each in [each for each in table if each.account_id == gone.id]:
        freed = replace(each, account_id=None, updated_at=call.now)
        table.put(freed)
        call.publish(kind.updated, freed.json())


def _new_contact(call: Call) -> Contact:
    new = call.read(NewContact)
    _check_account(call, new.account_id)
    return Contact(
        id=new_id("con"),
        external_id=new.external_id,
        name=new.name,
        email=new.email,
        account_id=new.account_id,
        created_at=call.now,
        updated_at=call.now,
    )


def _changed_contact(call: Call, known: Contact) -> Contact:
    fields = _fields(call, ContactChange)
    _check_account(call, fields.get("account_id"))
    return replace(known, **fields)


def _new_opportunity(call: Call) -> Opportunity:
    new = call.read(NewOpportunity)
    _check_account(call, new.account_id)
    return Opportunity(
        id=new_id("opp"),
        external_id=new.external_id,
        name=new.name,
        stage=new.stage,
        seats=new.seats,
        price=new.price,
        account_id=new.account_id,
        created_at=call.now,
        updated_at=call.now,
    )


def _changed_opportunity(call: Call, known: Opportunity) -> Opportunity:
    fields = _fields(call, OpportunityChange)
    _check_account(call, fields.get("account_id"))
    return replace(known, **fields)


def _fields(call: Call, shape: type[Input]) -> dict[str, Any]:
    return {**call.read(shape).given(), "updated_at": call.now}


def _check_account(call: Call, id: str | None) -> None:
    if id is not None and call.workspace.accounts.get(id) is None:
        raise invalid({"account_id": f"there is no account {id!r}"})


accounts = Resource(
    what="account",
    created="account.created",
    updated="account.updated",
    table=lambda of: of.accounts,
    make=_new_account,
    changed=_changed_account,
    removed=_free_of_account,
)
contacts = Resource(
    what="contact",
    created="contact.changed",
    updated="contact.changed",
    table=lambda of: of.contacts,
    make=_new_contact,
    changed=_changed_contact,
    removed=lambda call, gone: None,
)
opportunities = Resource(
    what="opportunity",
    created="opportunity.created",
    updated="opportunity.updated",
    table=lambda of: of.opportunities,
    make=_new_opportunity,
    changed=_changed_opportunity,
    removed=lambda call, gone: None,
)


def list_activities(call: Call) -> Answer:
    """List the activities."""
    return listed(call, call.workspace.activities)


def create_activity(call: Call) -> Answer:
    """Record an activity."""
    new = call.read(NewActivity)
    made = Activity(
        id=new_id("act"),
        external_id=new.external_id,
        kind=new.kind,
        title=new.title,
        body=new.body,
        created_at=call.now,
    )
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
