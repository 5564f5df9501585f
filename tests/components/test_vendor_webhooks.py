"""A trigger makes its webhook at the app: once, whatever crashed, and leaves those of others alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import SecretStr

from halflap import (
    BoundTrigger,
    Connection,
    DefinitionError,
    Endpoint,
    Reply,
    Subscription,
    Unauthorized,
    UpstreamError,
)
from halflap.components import jira, sendgrid, shopify, slack, sns, stripe, twilio, zendesk
from halflap.testing import Fake
from halflap.testing.fake import Sent
from halflap.testing.quality import check_webhook

URL = "https://halflap.example/hooks/1"
ENDPOINT = Endpoint(URL, SecretStr("whsec_c2VjcmV0"), "happened")
ELSEWHERE = "https://others.example/hook"


@dataclass
class App:
    """An app's webhooks, by id, as its API has them; `url` says where each one's address stands."""

    url: str
    hooks: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    made: int = 0

    def add(self, hook: dict[str, Any], id: str = "") -> str:
        self.made += 1
        id = id or f"h{self.made}"
        self.hooks[id] = hook
        return id

    @property
    def ours(self) -> list[str]:
        return [id for id, each in self.hooks.items() if each[self.url] == URL]

    def id_in(self, sent: Sent) -> str:
        return sent.path.split("?")[0].removesuffix("/signing_secret").rpartition("/")[2]


def serve_rest(
    fake: Fake,
    app: App,
    path: str,
    *,
    listed: Callable[[list[dict[str, Any]]], Any],
    shown: Callable[[str, dict[str, Any]], Any],
    read: Callable[[Sent], dict[str, Any]],
    change: str,
    all_of: str = "",
) -> None:
    """Serve the usual verbs below a path."""

    def at(then: Callable[[str, Sent], Any]) -> Callable[[Sent], Any]:
        def answer(sent: Sent) -> Any:
            id = app.id_in(sent)
            return then(id, sent) if id in app.hooks else Reply(404, {"error": "gone"})

        return answer

    def create(sent: Sent) -> Any:
        id = app.add(read(sent))
        return shown(id, app.hooks[id] | {"new": True})

    def update(id: str, sent: Sent) -> Any:
        app.hooks[id] |= read(sent)
        return shown(id, app.hooks[id])

    def remove(id: str, sent: Sent) -> Any:
        del app.hooks[id]
        return {}

    fake.get(
        path + all_of, answers=lambda sent: listed([shown(i, e) for i, e in app.hooks.items()])
    )
    fake.post(path, answers=create)
    fake.get(path + "/{id}", answers=at(lambda key, sent: shown(key, app.hooks[key])))
    fake.on(change, path + "/{id}", answers=at(update))
    fake.delete(path + "/{id}", answers=at(remove))


def stripe_app(fake: Fake) -> App:
    app = App("url")
    serve_rest(
        fake,
        app,
        stripe.HOOKS,
        listed=lambda every: {"data": every},
        shown=lambda key, hook: {
            "id": key,
            "url": hook["url"],
            "status": "enabled",
            **({"secret": f"whsec_{key}"} if "new" in hook else {}),
        },
        read=lambda sent: dict(sent.form),
        change="POST",
    )
    return app


def zendesk_app(fake: Fake) -> App:
    app = App("endpoint")

    def shown(id: str, hook: dict[str, Any]) -> dict[str, Any]:
        return {"webhook": {**hook, "id": id}}

    serve_rest(
        fake,
        app,
        zendesk.HOOKS,
        listed=lambda every: {
            "webhooks": [each["webhook"] for each in every],
            "meta": {"has_more": False},
        },
        shown=shown,
        read=lambda sent: sent.json["webhook"],
        change="PATCH",
    )
    fake.get(
        zendesk.HOOKS + "/{id}/signing_secret",
        answers=lambda sent: {"signing_secret": {"secret": f"s-{app.id_in(sent)}"}},
    )
    return app


def sendgrid_app(fake: Fake) -> App:
    app = App("url")
    serve_rest(
        fake,
        app,
        sendgrid.HOOKS,
        listed=lambda every: {"webhooks": every},
        shown=lambda key, hook: {**hook, "id": key},
        read=lambda sent: sent.json,
        change="PATCH",
        all_of="/all",
    )
    fake.patch(
        sendgrid.HOOKS + "/signed/{id}",
        answers=lambda sent: {"id": app.id_in(sent), "public_key": f"s-{app.id_in(sent)}"},
    )
    return app


def jira_app(fake: Fake) -> App:
    app = App("url")
    serve_rest(
        fake,
        app,
        jira.HOOKS,
        listed=lambda every: every,
        shown=lambda key, hook: {**hook, "self": f"https://acme.atlassian.net{jira.HOOKS}/{key}"},
        read=lambda sent: sent.json,
        change="PUT",
    )
    return app


def shopify_app(fake: Fake) -> App:
    app = App("uri")

    def answer(sent: Sent) -> Any:
        query, given = sent.json["query"], sent.json["variables"]
        if "webhookSubscriptionCreate" in query:
            app.add({"topic": given["topic"], "uri": given["uri"]})
            made: Any = {"webhookSubscriptionCreate": {"userErrors": []}}
        elif "webhookSubscriptionDelete" in query:
            del app.hooks[given["id"]]
            made = {"webhookSubscriptionDelete": {"userErrors": []}}
        else:  # in pages of two
            every = [{"id": id, **each} for id, each in app.hooks.items()]
            begin = int(given["after"] or 0)
            more = {"hasNextPage": len(every) > begin + 2, "endCursor": str(begin + 2)}
            page = {"nodes": every[begin : begin + 2], "pageInfo": more}
            made = {"webhookSubscriptions": page}
        return {"data": made}

    fake.post("/graphql.json", answers=answer)
    return app


def twilio_app(fake: Fake) -> App:
    app = App("sms_url")
    app.add({"phone_number": "+15005550006", "sms_url": ""}, "PN1")

    def change(sent: Sent) -> Any:
        app.hooks[sent.path.rpartition("/")[2].removesuffix(".json")]["sms_url"] = sent.form[
            "SmsUrl"
        ]
        return {}

    def listed(sent: Sent) -> Any:
        number = sent.params.get("PhoneNumber")
        found = [{"sid": id, **each} for id, each in app.hooks.items()]
        return {
            "incoming_phone_numbers": [
                each for each in found if number is None or each["phone_number"] == number
            ]
        }

    base = "/Accounts/AC00000000000000000000000000000001/IncomingPhoneNumbers"
    fake.get(base + ".json", answers=listed)
    fake.get(
        base + "/{sid}.json",
        answers=lambda sent: app.hooks[sent.path.rpartition("/")[2].removesuffix(".json")],
    )
    fake.post(base + "/{sid}.json", answers=change)
    return app


@dataclass(frozen=True)
class Case:
    serve: Callable[[Fake], App]
    connection: type[Connection]
    trigger: BoundTrigger[Any]
    changed: BoundTrigger[Any]
    """The same with other inputs, as of a newer version."""
    stranger: dict[str, Any]
    secret: str | None
    """The beginning of the secret, where the app chooses that."""
    fields: dict[str, Any] = field(default_factory=dict[str, Any])
    hooks: int = 1


CASES = {
    "stripe": Case(
        stripe_app,
        stripe.Stripe,
        stripe.event(["invoice.paid"]),
        stripe.event(["invoice.paid", "charge.failed"]),
        {"url": ELSEWHERE},
        "whsec_",
    ),
    "shopify": Case(
        shopify_app,
        shopify.Shopify,
        shopify.event(["orders/create", "orders/paid"]),
        shopify.event(["orders/paid", "refunds/create"]),
        {"topic": "ORDERS_CREATE", "uri": ELSEWHERE},
        None,
        {"shop": "acme.myshopify.com"},
        hooks=2,
    ),
    "zendesk": Case(
        zendesk_app,
        zendesk.Zendesk,
        zendesk.event(["ticket.created"]),
        zendesk.event(["user.created"]),
        {"endpoint": ELSEWHERE, "subscriptions": ["zen:event-type:ticket.created"]},
        "s-",
        {"subdomain": "acme"},
    ),
    "sendgrid": Case(
        sendgrid_app,
        sendgrid.SendGrid,
        sendgrid.event(["bounce"]),
        sendgrid.event(["open"]),
        {"url": ELSEWHERE},
        "s-",
    ),
    "jira": Case(
        jira_app,
        jira.Jira,
        jira.event(["jira:issue_created"]),
        jira.event(["comment_created"], jql="project = ACME"),
        {"url": ELSEWHERE},
        None,
        {"base_url": "https://acme.atlassian.net"},
    ),
}


def connect(fake: Fake, case: Case) -> Connection:
    return fake.connection(case.connection, **case.fields)


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


async def test_a_webhook_is_made_once_kept_and_removed(fake: Fake, case: Case):
    app, connection = case.serve(fake), connect(fake, case)
    app.add(case.stranger, "stranger")
    made = await check_webhook(case.trigger, connection, lambda: app.hooks, url=URL)
    signs = None if made.secret is None else made.secret.get_secret_value()
    assert (signs or "").startswith(case.secret or "")
    assert (signs is None) == (case.secret is None)
    await check_webhook(case.trigger, connection, lambda: app.hooks, changed=case.changed, url=URL)


async def test_a_newer_version_that_wants_something_else_gets_that_alone(fake: Fake, case: Case):
    app, connection = case.serve(fake), connect(fake, case)
    app.add(case.stranger, "stranger")
    former = await case.trigger.subscribe(connection, ENDPOINT)
    made = await case.changed.subscribe(connection, ENDPOINT, former)
    if made.id != former.id:  # as the engine does
        await case.trigger.unsubscribe(connection, former)
    assert len(app.ours) == case.hooks
    assert "stranger" in app.hooks
    wanted = next(iter(case.changed.inputs.values()))
    shown = str([app.hooks[id] for id in app.ours]).lower().replace("_", "/")
    for each in wanted:
        if case.connection is not sendgrid.SendGrid:
            assert each.lower().replace("_", "/") in shown
    if case.connection is sendgrid.SendGrid:
        [hook] = [app.hooks[id] for id in app.ours]
        assert (hook["open"], hook["bounce"]) == (True, False)


async def test_a_refused_key_is_said_to_be_one(fake: Fake, case: Case):
    for method in ("GET", "POST"):
        fake.on(method, "/{a}", status=401)
        for depth in range(2, 8):
            fake.on(method, "/" + "/".join(["{a}"] * depth), status=401)
    connection = connect(fake, case)
    with pytest.raises(Unauthorized):
        await connection.test()
    with pytest.raises(Unauthorized):
        await case.trigger.subscribe(connection, ENDPOINT)


async def test_a_number_of_twilio_is_taken_only_where_it_is_free(fake: Fake):
    app = twilio_app(fake)
    sid = "AC00000000000000000000000000000001"
    connection = fake.connection(twilio.Twilio, account_sid=sid)
    trigger = twilio.message("+15005550006")
    assert await twilio.list_numbers(connection) == [("+15005550006", "")]
    made = await trigger.subscribe(connection, ENDPOINT)
    assert await trigger.subscribe(connection, ENDPOINT, made) == made
    assert (made.id, app.ours) == ("PN1", ["PN1"])
    assert await trigger.exists(connection, made)
    await trigger.unsubscribe(connection, made)
    assert app.hooks["PN1"]["sms_url"] == ""
    app.hooks["PN1"]["sms_url"] = ELSEWHERE
    with pytest.raises(DefinitionError, match="elsewhere"):
        await trigger.subscribe(connection, ENDPOINT)
    await trigger.unsubscribe(connection, made)  # not ours any more
    assert app.hooks["PN1"]["sms_url"] == ELSEWHERE
    with pytest.raises(DefinitionError, match="no number"):
        await twilio.message("+15005550009").subscribe(connection, ENDPOINT)


async def test_stripe_tells_a_secret_once_so_an_unknown_one_is_replaced(fake: Fake):
    app = stripe_app(fake)
    connection = fake.connection(stripe.Stripe)
    left = app.add({"url": URL})
    made = await stripe.event(["*"]).subscribe(connection, ENDPOINT, Subscription(left))
    assert made.id != left
    assert made.secret is not None
    assert app.ours == [made.id]


async def test_an_error_that_shopify_answers_with_200_is_one(fake: Fake):
    connection = fake.connection(shopify.Shopify, shop="acme.myshopify.com")
    refused = {"data": {"webhookSubscriptionCreate": {"userErrors": [{"message": "is taken"}]}}}
    fake.post("/graphql.json", answers=refused).then({"errors": [{"message": "no such field"}]})
    for why in ("is taken", "no such field"):
        with pytest.raises(UpstreamError, match=why):
            await connection.graphql(shopify.CREATE, topic="ORDERS_CREATE", uri=URL)


async def test_a_list_whose_pages_have_no_end_is_read_to_a_limit(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
):
    number = itertools.count(1)

    def topics(sent: Sent) -> Reply:
        n = next(number)
        topic = f"<Topics><member><TopicArn>t{n}</TopicArn></member></Topics>"
        page = f"<ListTopicsResult>{topic}<NextToken>{n}</NextToken></ListTopicsResult>"
        return Reply(200, f"<ListTopicsResponse>{page}</ListTopicsResponse>".encode())

    def channels(sent: Sent) -> Any:
        n = str(next(number))
        found = [{"id": n, "name": n}]
        return {"ok": True, "channels": found, "response_metadata": {"next_cursor": n}}

    def hooks(sent: Sent) -> Any:
        n = str(next(number))
        node = {"topic": n, "id": n, "uri": URL}
        page = {"nodes": [node], "pageInfo": {"hasNextPage": True, "endCursor": n}}
        return {"data": {"webhookSubscriptions": page}}

    fake.post("/", answers=topics)
    fake.get("/conversations.list", answers=channels)
    fake.post("/graphql.json", answers=hooks)
    for kind in (sns.Sns, slack.Slack, shopify.Shopify):
        monkeypatch.setattr(kind, "most_pages", 3)
    aws = fake.connection(sns.Sns, region="us-east-1", endpoint_url=None)
    assert len(await sns.list_topics(aws)) == 3
    assert len(await slack.list_channels(fake.connection(slack.Slack))) == 3
    shop = fake.connection(shopify.Shopify, shop="acme.myshopify.com")
    assert len(await shopify.subscriptions(shop, URL)) == 3
