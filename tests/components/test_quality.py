"""Each built-in component says what it is proven by, and passes the suite that every component passes."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, ClassVar
from uuid import uuid4

import pytest
from pydantic import BaseModel, SecretStr

import halflap.components
from halflap import (
    ApiKey,
    Component,
    Connection,
    Endpoint,
    Request,
    Subscription,
    Unsigned,
)
from halflap.components import (
    github,
    http,
    hubspot,
    jira,
    salesforce,
    sendgrid,
    shopify,
    slack,
    sns,
    sqs,
    stripe,
    twilio,
    webhook,
    zendesk,
)
from halflap.testing.quality import (
    Quality,
    check_component,
    check_said,
    check_webhook,
    load_quality,
)

ROOT = Path(__file__).parents[2]
SAID = load_quality(ROOT / "halflap/components/quality.yaml")
COMPONENTS: dict[str, Component] = {
    each.name: found
    for each in iter_modules(halflap.components.__path__)
    if (found := getattr(import_module(f"halflap.components.{each.name}"), "component", None))
}
KEY = ApiKey(key=SecretStr("secret-key-0123"))
AWS: dict[str, Any] = {
    "access_key_id": "AKIAEXAMPLE01234",
    "secret_access_key": SecretStr("secret-access-0123"),
}


CONNECTIONS: dict[str, Callable[[], Connection]] = {
    "github": lambda: github.GitHub(auth=KEY, repository="octo/hello"),
    "http": lambda: http.Http(base_url="https://app.example"),
    "hubspot": lambda: hubspot.HubSpot(auth=KEY),
    "slack": lambda: slack.Slack(auth=KEY),
    "sns": lambda: sns.Sns(**AWS),
    "sqs": lambda: sqs.Sqs(**AWS),
    "stripe": lambda: stripe.Stripe(auth=KEY),
    "twilio": lambda: twilio.Twilio(
        account_sid="AC" + "0" * 32, auth_token=SecretStr("secret-auth-0123")
    ),
    "zendesk": lambda: zendesk.Zendesk(
        subdomain="acme", email="ada@example.org", api_token=SecretStr("secret-api-0123")
    ),
    "jira": lambda: jira.Jira(
        base_url="https://acme.atlassian.net",
        email="ada@example.org",
        api_token=SecretStr("secret-api-0123"),
    ),
    "salesforce": lambda: salesforce.Salesforce.model_validate(
        {
            "auth": {
                "kind": "session_id",
                "session_id": "secret-session-0123",
                "instance_url": "https://acme.my.salesforce.com",
            }
        }
    ),
    "sendgrid": lambda: sendgrid.SendGrid(api_key=SecretStr("secret-api-0123")),
    "shopify": lambda: shopify.Shopify(
        shop="acme.myshopify.com",
        access_token=SecretStr("secret-access-0123"),
        client_secret=SecretStr("secret-client-0123"),
    ),
    "webhook": lambda: webhook.Receiver(
        address="https://app.example/hooks", secret=SecretStr("whsec_c2VjcmV0LXNlY3JldC0wMTIz")
    ),
}


def said(name: str) -> Quality:
    return Quality.model_validate(SAID[name])


def test_each_component_says_what_it_is_proven_by() -> None:
    assert {*SAID} == {*COMPONENTS}
    found = [each for name, one in COMPONENTS.items() for each in check_said(one, said(name))]
    assert found == []


def test_what_is_named_as_proof_is_a_test() -> None:
    for name in SAID:
        quality = said(name)
        for proof in quality.apart.values():
            path, _, test = proof.partition("::")
            assert f"def {test}(" in (ROOT / path).read_text("utf-8"), f"{name}: {proof}"


@pytest.mark.parametrize("name", [*CONNECTIONS])
async def test_it_passes_the_suite(name: str) -> None:
    await check_component(COMPONENTS[name], said(name), CONNECTIONS[name]())


def test_each_component_that_speaks_http_is_checked() -> None:
    speaking = {name for name, one in COMPONENTS.items() if one.connection}
    others = {name for name in speaking if said(name).speaks != "http"}
    assert (speaking - {*CONNECTIONS}, others) == (others, {"email", "imap", "kafka"})


# A component that breaks everything -----------------------------------------------------------


class Careless(Connection):
    base_url: str = "https://app.example"
    idempotency_header: ClassVar[str | None] = "X-Key"
    password: SecretStr

    def headers(self) -> dict[str, str]:
        return {"X-Password": self.password.get_secret_value(), "X-Key": str(uuid4())}


careless = Component("careless", connection=Careless)


@careless.action
async def list_all(app: Careless) -> str:
    """Swallow what the app says."""
    answer = await app.request("POST", "/all", check=False)
    logging.getLogger("careless").warning("asked with %s", app.password.get_secret_value())
    return answer.text


@careless.action
async def tell(app: Careless) -> None:
    """Tell the password."""
    answer = await app.request("GET", "/", check=False)
    raise ValueError(f"{answer.status}: {app.password.get_secret_value()}")


@careless.action
async def nothing(app: Careless, items: list[str]) -> None:
    """Call nothing."""


async def test_a_component_that_breaks_it_is_told_where() -> None:
    connection = Careless(password=SecretStr("hunter2hunter2"))
    with pytest.raises(AssertionError) as found:
        await check_component(careless, {"webhooks": {"gone": {"path": "/hooks"}}}, connection)
    lines = str(found.value).splitlines()
    for expected in (
        "careless: `keys` says nothing",
        "careless: `proven` says nothing",
        "careless.list_all: `pages` does not say how it is answered",
        "careless: there is no gone",
        "careless: `keys` is not X-Key, which its connection names",
        "careless.list_all: a log holds a secret",
        "careless.tell: refused credentials is ValueError (401: hunter2hunter2), and not Unauthorized",
        "careless.list_all: a limit is NoneType (None), and not RateLimited",
        "careless.list_all: X-Key is not the same on each try, and on none else",
        "careless.nothing: it called nothing; name its inputs in quality.yaml",
    ):
        assert expected in lines, expected


class Hooks:
    """An app's webhooks, and a trigger that makes a new one each time."""

    def __init__(self) -> None:
        self.ids = {"stranger"}

    def there(self) -> set[str]:
        return self.ids


HOOKS = Hooks()


@careless.trigger(verify=Unsigned("a test"))
async def happened(request: Request) -> str:
    """Something happened."""
    return request.text


@happened.subscribe
async def _(app: Careless, endpoint: Endpoint) -> Subscription:
    HOOKS.ids = {*HOOKS.ids, id := uuid4().hex}
    return Subscription(id)


@happened.unsubscribe
async def _(app: Careless, subscription: Subscription) -> None:
    HOOKS.ids.clear()


async def test_a_webhook_that_is_made_twice_is_told() -> None:
    connection = Careless(password=SecretStr("hunter2hunter2"))
    with pytest.raises(AssertionError, match="not the same webhook"):
        await check_webhook(happened(), connection, HOOKS.there)


# Lists and webhooks that go wrong ---------------------------------------------------------------


class Lists(Connection):
    base_url: str = "https://app.example"
    password: SecretStr = SecretStr("hunter2hunter2")

    def headers(self) -> dict[str, str]:
        return {"X-Password": self.password.get_secret_value()}


lists = Component("lists", connection=Lists)


@lists.action
async def list_first(app: Lists) -> list[Any]:
    """Read the first page alone."""
    return (await app.get("/items"))["items"]


async def every(app: Lists, most: int, check: bool) -> list[Any]:
    found, token = list[Any](), ""
    while True:
        page = await app.request("GET", "/items", params={"after": token}, check=check)
        if page.status != 200:
            break
        found += page.json()["items"]
        token = page.json().get("next")
        if token is None:
            break
    return found


@lists.action
async def list_endless(app: Lists, most: int = 100) -> list[Any]:
    """Read a page that comes again without end, and more than is asked for."""
    return await every(app, most, check=True)


@lists.action
async def list_swallowed(app: Lists) -> list[Any]:
    """Take a page that fails for the end."""
    return await every(app, 0, check=False)


@lists.action
async def list_raw(app: Lists) -> list[Any]:
    """Ask for the next page by a token that is not encoded."""
    found: list[Any] = []
    path: str | None = "/items"
    while path is not None:
        page = await app.get(path)
        found += page["items"]
        path = f"/items?after={page['next'].replace('&', '.')}" if "next" in page else None
    return found


@lists.trigger(verify=Unsigned("a test"))
async def noted(request: Request) -> str:
    """Something was noted."""
    return request.text


@noted.subscribe
async def _(app: Lists, endpoint: Endpoint) -> Subscription:
    for each in (await app.get("/hooks"))["items"]:  # others' as well
        await app.delete("/hooks/{id}", values={"id": each["id"]})
    return Subscription((await app.post("/hooks", json={"url": endpoint.url}))["id"])


@noted.unsubscribe
async def _(app: Lists, subscription: Subscription) -> None:
    await app.delete("/hooks/{id}", values={"id": subscription.id})


@lists.trigger(verify=Unsigned("a test"))
async def first_noted(request: Request) -> str:
    """Something was noted; the webhooks are looked for on the first page alone."""
    return request.text


@first_noted.subscribe
async def _(app: Lists, endpoint: Endpoint) -> Subscription:
    for each in (await app.get("/hooks"))["items"]:
        if each["url"] == endpoint.url:
            return Subscription(each["id"])
    return Subscription((await app.post("/hooks", json={"url": endpoint.url}))["id"])


@first_noted.unsubscribe
async def _(app: Lists, subscription: Subscription) -> None:
    await app.delete("/hooks/{id}", values={"id": subscription.id})


@lists.trigger(verify=Unsigned("a test"))
async def kept_noted(request: Request, *, events: list[str]) -> str:
    """Something was noted; a webhook that is there is kept with its old events."""
    return request.text


@kept_noted.subscribe
async def _(app: Lists, endpoint: Endpoint, events: list[str]) -> Subscription:
    async for each in every_hook(app):
        if each["url"] == endpoint.url:
            return Subscription(each["id"])
    sent = {"url": endpoint.url, "events": events}
    return Subscription((await app.post("/hooks", json=sent))["id"])


@kept_noted.unsubscribe
async def _(app: Lists, subscription: Subscription) -> None:
    await app.delete("/hooks/{id}", values={"id": subscription.id})


async def every_hook(app: Lists) -> AsyncIterator[Any]:
    params: dict[str, str] | None = {}
    while params is not None:
        page = await app.get("/hooks", params=params)
        for each in page["items"]:
            yield each
        params = {"after": page["next"]} if "next" in page else None


PAGE = {"items": "{items}", "next": "{next}"}


class Named(BaseModel):
    id: str


named = Component("named", connection=Lists)


@named.action
async def list_named(app: Lists) -> list[Named]:
    """Read items whose ids are texts."""
    return [Named.model_validate(each) for each in (await app.get("/items"))["items"]]


async def test_the_number_of_an_item_is_a_text_where_the_app_has_one() -> None:
    pages = {"list_named": {"page": {"items": "{items}"}, "item": {"id": "{text}"}}}
    await check_component(named, {"keys": "none", "proven": ["nothing"], "pages": pages}, Lists())


async def test_lists_and_webhooks_that_go_wrong_are_told() -> None:
    names = ("list_first", "list_endless", "list_swallowed", "list_raw")
    hooks = {"path": "/hooks", "page": PAGE}
    kept = hooks | {"inputs": {"events": ["made"]}, "changed": {"events": ["gone"]}}
    told = {
        "keys": "none",
        "proven": ["nothing"],
        "pages": {name: {"page": PAGE} for name in names},
        "webhooks": {"noted": hooks, "first_noted": hooks, "kept_noted": kept},
    }
    with pytest.raises(AssertionError) as found:
        await check_component(lists, told, Lists())
    lines = str(found.value).splitlines()
    assert "Use -v" not in str(found.value)
    for expected in (
        "lists.list_first: its pages are not read to their end: 2 of 6 items, or not in their order",
        "lists.list_endless: a page that comes again is read without end",
        "lists.list_endless: with `most` at 1 it returns something else than the first item",
        "lists.list_swallowed: a page that fails is NoneType, and not an error",
        "lists.list_raw: a page is asked for by something else than the one before said",
        "lists.noted: others' webhooks were removed",
        "lists.first_noted: made again, it is not the same webhook; look for one of the same URL first, "
        "on every page of the app's list",
        "lists.kept_noted: with other inputs (`changed`) the app is told the same as before; "
        "change the webhook",
    ):
        assert expected in lines, (expected, lines)
