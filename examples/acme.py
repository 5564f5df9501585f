"""Acme: accounts, contacts, opportunities, stock, activities, and a webhook for what changes."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, SecretStr

from halflap import (
    UNSET,
    Component,
    Connection,
    Endpoint,
    Model,
    Reads,
    Records,
    Request,
    StandardWebhooks,
    Subscription,
    Unset,
    UpstreamError,
    Writes,
    header,
    pointer,
)

ModelT = TypeVar("ModelT", bound=Model)


class Acme(Connection):
    """An API key, from Acme's Settings → API keys."""

    idempotency_header = "Idempotency-Key"

    base_url: str = "https://api.acme.example/v1"
    api_key: SecretStr

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.api_key.get_secret_value()}"}

    async def test(self) -> None:
        await self.get("/me")

    async def record(self, model: type[ModelT], path: str, id: str) -> ModelT | None:
        """Get a record; None where it is gone."""
        try:
            return model.model_validate(await self.get(path + "/{id}", values={"id": id}))
        except UpstreamError as error:
            if error.status == 404:
                return None
            raise

    async def current(self, kind: str, id: str, fields: Sequence[str]) -> dict[str, Any] | None:
        if kind not in KINDS:
            raise NotImplementedError
        path, model = KINDS[kind]
        record = await self.record(model, path, id)
        return record.model_dump() if record else None


class Account(Model):
    id: str
    external_id: str | None = None
    name: str


class Contact(Model):
    id: str
    external_id: str | None = None
    name: str
    email: str | None = None
    account_id: str | None = None


class Opportunity(Model):
    id: str
    external_id: str | None = None
    name: str
    stage: str
    seats: int
    price: Decimal


class Stock(Model):
    item: str
    quantity: int


class Activity(Model):
    id: str
    kind: str
    title: str
    body: str | None = None
    external_id: str | None = None


class Webhook(Model):
    id: str
    event: str
    url: str


EventName = Literal[
    "account.created",
    "account.updated",
    "contact.changed",
    "opportunity.created",
    "opportunity.updated",
    "stock.changed",
    "activity.created",
]

KINDS: dict[str, tuple[str, type[Model]]] = {
    "account": ("/accounts", Account),
    "contact": ("/contacts", Contact),
    "opportunity": ("/opportunities", Opportunity),
}
"""Acme's name of a record → where it is, and what it looks like."""


def given(**fields: Any) -> dict[str, Any]:
    """The fields that were not left alone."""
    return {name: value for name, value in fields.items() if value is not UNSET}


component = Component("acme", title="Acme", connection=Acme)


@component.action
async def get_account(acme: Acme, id: str) -> Account | None:
    """Get an account; None where it is gone."""
    return await acme.record(Account, "/accounts", id)


@component.action(batch=100)
async def get_accounts(acme: Acme, ids: list[str]) -> Records[Account]:
    """Get many accounts by their ids."""
    found = await acme.get("/accounts", params={"ids": ",".join(ids)})
    return Records.of(ids, {each["id"]: Account.model_validate(each) for each in found})


@component.action
async def find_account(acme: Acme, external_id: str) -> Account | None:
    """Find the account that stands for another system's record."""
    found = await acme.get("/accounts", params={"external_id": external_id})
    return Account.model_validate(found[0]) if found else None


@component.action(writes=Writes("account", fields=("external_id", "name")))
async def create_account(
    acme: Acme,
    external_id: str,
    name: Annotated[str, Field(title="Account name", max_length=120)],
) -> Account:
    """Create an account."""
    body = {"external_id": external_id, "name": name}
    return Account.model_validate(await acme.post("/accounts", json=body))


@component.action(writes=Writes("account", fields=("name",)))
async def update_account(acme: Acme, id: str, name: str) -> Account:
    """Change an account's name."""
    made = await acme.patch("/accounts/{id}", values={"id": id}, json={"name": name})
    return Account.model_validate(made)


@component.action
async def get_contact(acme: Acme, id: str) -> Contact | None:
    """Get a contact; None where it is gone."""
    return await acme.record(Contact, "/contacts", id)


@component.action
async def find_contact(acme: Acme, external_id: str) -> Contact | None:
    """Find the contact that stands for another system's record."""
    found = await acme.get("/contacts", params={"external_id": external_id})
    return Contact.model_validate(found[0]) if found else None


@component.action(writes=Writes("contact", fields=("external_id", "name", "email", "account_id")))
async def create_contact(
    acme: Acme,
    external_id: str,
    name: str,
    email: str | None = None,
    account_id: str | None = None,
) -> Contact:
    """Create a contact."""
    body = {"external_id": external_id, "name": name, "email": email, "account_id": account_id}
    return Contact.model_validate(await acme.post("/contacts", json=body))


@component.action(writes=Writes("contact", fields=("name", "email", "account_id")))
async def update_contact(
    acme: Acme,
    id: str,
    name: str | Unset = UNSET,
    email: str | Unset | None = UNSET,
    account_id: str | Unset | None = UNSET,
) -> Contact:
    """Change a contact; what is left alone stays as it is."""
    body = given(name=name, email=email, account_id=account_id)
    made = await acme.patch("/contacts/{id}", values={"id": id}, json=body)
    return Contact.model_validate(made)


@component.action
async def get_opportunity(acme: Acme, id: str) -> Opportunity | None:
    """Get an opportunity; None where it is gone."""
    return await acme.record(Opportunity, "/opportunities", id)


@component.action
async def find_opportunity(acme: Acme, external_id: str) -> Opportunity | None:
    """Find the opportunity that stands for another system's record."""
    found = await acme.get("/opportunities", params={"external_id": external_id})
    return Opportunity.model_validate(found[0]) if found else None


@component.action(writes=Writes("opportunity", fields=("external_id", "name", "stage")))
async def create_opportunity(acme: Acme, external_id: str, name: str, stage: str) -> Opportunity:
    """Create an opportunity."""
    body = {"external_id": external_id, "name": name, "stage": stage}
    return Opportunity.model_validate(await acme.post("/opportunities", json=body))


@component.action(writes=Writes("opportunity", fields=("name", "stage", "seats", "price")))
async def update_opportunity(
    acme: Acme,
    id: str,
    name: str | Unset = UNSET,
    stage: str | Unset = UNSET,
    seats: int | Unset = UNSET,
    price: Decimal | Unset = UNSET,
) -> Opportunity:
    """Change an opportunity; what is left alone stays as it is."""
    body = given(name=name, stage=stage, seats=seats, price=price)
    made = await acme.patch("/opportunities/{id}", values={"id": id}, json=body)
    return Opportunity.model_validate(made)


@component.action
async def add_stock(acme: Acme, item: str, quantity: Annotated[int, Field(gt=0)]) -> Stock:
    """Add a quantity of an item to the stock."""
    body = {"quantity": quantity}
    return Stock.model_validate(
        await acme.post("/stock/{item}/add", values={"item": item}, json=body)
    )


@component.action
async def remove_stock(acme: Acme, item: str, quantity: Annotated[int, Field(gt=0)]) -> Stock:
    """Remove a quantity of an item from the stock."""
    return Stock.model_validate(
        await acme.post("/stock/{item}/remove", values={"item": item}, json={"quantity": quantity})
    )


@component.action
async def list_stock(acme: Acme) -> list[Stock]:
    """List what is in stock."""
    return [Stock.model_validate(each) async for each in acme.pages("/stock")]


@component.action
async def log_activity(
    acme: Acme, kind: str, title: str, body: str | None = None, external_id: str | None = None
) -> Activity:
    """Log an activity, with the id that it has in the system it comes from."""
    given = {"kind": kind, "title": title, "body": body, "external_id": external_id}
    return Activity.model_validate(await acme.post("/activities", json=given))


@component.action
async def create_webhook(acme: Acme, event: EventName, url: str, secret: SecretStr) -> Webhook:
    """Have Acme call a URL when something changes."""
    body = {"event": event, "url": url, "secret": secret.get_secret_value()}
    return Webhook.model_validate(await acme.post("/webhooks", json=body))


@component.action
async def list_webhooks(acme: Acme) -> list[Webhook]:
    """List the URLs that Acme calls."""
    return [Webhook.model_validate(each) for each in await acme.get("/webhooks")]


@component.action
async def ensure_webhook(acme: Acme, event: EventName, url: str, secret: SecretStr) -> Webhook:
    """Have Acme call a URL when something changes; asked twice, it still calls once."""
    for webhook in await list_webhooks(acme):
        if (webhook.event, webhook.url) == (event, url):
            return webhook
    return await create_webhook(acme, event, url, secret)


@component.action
async def delete_webhook(acme: Acme, id: str) -> None:
    """Stop Acme from calling a URL; one that is gone already is fine."""
    try:
        await acme.delete("/webhooks/{id}", values={"id": id})
    except UpstreamError as error:
        if error.status != 404:  # an answer may have been lost, and this be the second try
            raise


@component.trigger(
    verify=StandardWebhooks(),
    dedupe=header("webhook-id"),
    key=pointer("/data/id"),
    reads=Reads("contact", fields=("name", "email")),
)
async def contact_changed(request: Request) -> Contact:
    """A contact was created or changed in Acme."""
    return Contact.model_validate(request.json()["data"])


@contact_changed.subscribe
async def _(acme: Acme, endpoint: Endpoint) -> Subscription:
    webhook = await ensure_webhook(acme, "contact.changed", endpoint.url, endpoint.secret)
    return Subscription(id=webhook.id)


@contact_changed.unsubscribe
async def _(acme: Acme, subscription: Subscription) -> None:
    await delete_webhook(acme, subscription.id)


@contact_changed.exists
async def _(acme: Acme, subscription: Subscription) -> bool:
    return any(each.id == subscription.id for each in await list_webhooks(acme))


@component.trigger(
    verify=StandardWebhooks(),
    dedupe=header("webhook-id"),
    key=pointer("/data/id"),
    reads=Reads("opportunity", fields=("name", "stage", "seats", "price")),
)
async def opportunity_updated(request: Request) -> Opportunity:
    """An opportunity changed in Acme."""
    return Opportunity.model_validate(request.json()["data"])


@opportunity_updated.subscribe
async def _(acme: Acme, endpoint: Endpoint) -> Subscription:
    webhook = await ensure_webhook(acme, "opportunity.updated", endpoint.url, endpoint.secret)
    return Subscription(id=webhook.id)


@opportunity_updated.unsubscribe
async def _(acme: Acme, subscription: Subscription) -> None:
    await delete_webhook(acme, subscription.id)


@opportunity_updated.exists
async def _(acme: Acme, subscription: Subscription) -> bool:
    return any(each.id == subscription.id for each in await list_webhooks(acme))


@component.trigger(
    verify=StandardWebhooks(),
    dedupe=header("webhook-id"),
    key=pointer("/data/item"),
)
async def stock_changed(request: Request) -> Stock:
    """The stock of an item changed in Acme."""
    return Stock.model_validate(request.json()["data"])


@stock_changed.subscribe
async def _(acme: Acme, endpoint: Endpoint) -> Subscription:
    webhook = await ensure_webhook(acme, "stock.changed", endpoint.url, endpoint.secret)
    return Subscription(id=webhook.id)


@stock_changed.unsubscribe
async def _(acme: Acme, subscription: Subscription) -> None:
    await delete_webhook(acme, subscription.id)


@stock_changed.exists
async def _(acme: Acme, subscription: Subscription) -> bool:
    return any(each.id == subscription.id for each in await list_webhooks(acme))
