"""Shopify: events of a shop, by webhooks that the trigger subscribes to."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar

from pydantic import Field, SecretStr, WithJsonSchema

from halflap import (
    Component,
    Connection,
    Endpoint,
    Json,
    Model,
    Request,
    ShopifySignature,
    Subscription,
    UpstreamError,
    header,
    pointer,
)

TOPICS = (
    "app/uninstalled",
    "carts/create",
    "carts/update",
    "checkouts/create",
    "checkouts/update",
    "collections/create",
    "collections/delete",
    "collections/update",
    "customers/create",
    "customers/delete",
    "customers/update",
    "draft_orders/create",
    "draft_orders/update",
    "fulfillments/create",
    "fulfillments/update",
    "inventory_items/update",
    "inventory_levels/update",
    "orders/cancelled",
    "orders/create",
    "orders/delete",
    "orders/fulfilled",
    "orders/paid",
    "orders/updated",
    "products/create",
    "products/delete",
    "products/update",
    "refunds/create",
)
"""The topics that are offered; Shopify has more, which may be written as well."""

WANTED = Field(min_length=1, description="What to be told of, as orders/create.")
Topic = Annotated[str, WithJsonSchema({"type": "string", "enum": list(TOPICS)})]

LIST = """query($after: String) { webhookSubscriptions(first: 100, after: $after) {
  nodes { id topic uri } pageInfo { hasNextPage endCursor } } }"""
CREATE = """mutation($topic: WebhookSubscriptionTopic!, $uri: String!) {
  webhookSubscriptionCreate(topic: $topic, webhookSubscription: {uri: $uri, format: JSON}) {
    webhookSubscription { id } userErrors { message } } }"""
DELETE = """mutation($id: ID!) { webhookSubscriptionDelete(id: $id) {
  deletedWebhookSubscriptionId userErrors { message } } }"""


class Shopify(Connection):
    """An app that is installed in a shop."""

    version: ClassVar[str] = "2026-01"

    shop: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*\.myshopify\.com$")
    """The shop's own address: acme.myshopify.com"""
    access_token: SecretStr
    """The app's Admin API access token in this shop."""
    client_secret: SecretStr
    """The app's client secret (API secret key), by which Shopify signs."""

    @property
    def base_url(self) -> str:
        """The Admin API of the shop."""
        return f"https://{self.shop}/admin/api/{self.version}"

    def headers(self) -> dict[str, str]:
        return {"X-Shopify-Access-Token": self.access_token.get_secret_value()}

    async def test(self) -> None:
        await self.graphql("{ shop { name } }")

    async def graphql(self, query: str, **variables: Any) -> dict[str, Any]:
        """Return the data of a query; `UpstreamError` for what Shopify answers with errors."""
        answer = await self.post("/graphql.json", json={"query": query, "variables": variables})
        problems: list[Any] = list(answer.get("errors") or ())
        results: dict[str, Any] = answer.get("data") or {}
        for result in results.values():
            found: dict[str, Any] = result or {}
            problems += found.get("userErrors") or []
        if problems:
            raise UpstreamError(f"Shopify: {problems[0]['message']}", status=200)
        return results


class Event(Model):
    """An event: of the topic `orders/create`, say, with the order as `payload`."""

    id: str
    topic: str
    shop: str
    triggered_at: datetime | None = None
    api_version: str = ""
    payload: Json


component = Component("shopify", title="Shopify", connection=Shopify)


@component.trigger(
    verify=ShopifySignature(),
    secret="connection.client_secret",  # noqa: S106
    dedupe=header("x-shopify-webhook-id"),
    key=pointer("/id"),
)
async def event(
    request: Request,
    topics: Annotated[list[Topic], WANTED],
) -> Event:
    """Something happened in a Shopify shop.

    Shopify signs the body alone: the topic stands in a header beside it.
    """
    told = request.headers
    return Event(
        id=told.get("x-shopify-webhook-id", ""),
        topic=told.get("x-shopify-topic", ""),
        shop=told.get("x-shopify-shop-domain", ""),
        triggered_at=told.get("x-shopify-triggered-at") or None,  # pyright: ignore[reportArgumentType]
        api_version=told.get("x-shopify-api-version", ""),
        payload=request.json(),
    )


async def subscriptions(shopify: Shopify, url: str) -> dict[str, str]:
    """Return the app's subscriptions that call a URL: the id of each by its topic."""
    found: dict[str, str] = {}
    after: str | None = None
    for _ in range(shopify.most_pages):
        page = (await shopify.graphql(LIST, after=after))["webhookSubscriptions"]
        found |= {each["topic"]: each["id"] for each in page["nodes"] if each["uri"] == url}
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = page["pageInfo"]["endCursor"]
    return found


@event.subscribe
async def _(shopify: Shopify, endpoint: Endpoint, topics: list[str]) -> Subscription:
    wanted = [each.upper().replace("/", "_") for each in topics]
    found = await subscriptions(shopify, endpoint.url)
    for topic, id in found.items():
        if topic not in wanted:
            await shopify.graphql(DELETE, id=id)
    for topic in wanted:
        if topic not in found:
            await shopify.graphql(CREATE, topic=topic, uri=endpoint.url)
    # One for each topic, all of this URL: together they are the flow's.
    return Subscription(id=endpoint.url, data={"topics": wanted})


@event.unsubscribe
async def _(shopify: Shopify, subscription: Subscription) -> None:
    for id in (await subscriptions(shopify, subscription.id)).values():
        await shopify.graphql(DELETE, id=id)


@event.exists
async def _(shopify: Shopify, subscription: Subscription) -> bool:
    found = await subscriptions(shopify, subscription.id)
    return all(each in found for each in subscription.data["topics"])
