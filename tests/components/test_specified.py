"""The components that are declared from their vendors' documents: whole, typed, and small."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from halflap import Config, Context, Integration, UpstreamError, stripe, webhook
from halflap.cli.openapi.stubs import stub_of
from halflap.sdk import registry
from halflap.sdk.specification import SpecifiedAction
from halflap.testing import Fake, Run

SPECIFIED = ("jira", "stripe", "twilio")
LICENCES = {"MIT", "Apache-2.0"}


def folder_of(name: str) -> Path:
    return Path(import_module(f"halflap.components.{name}").__file__ or "").parent


def actions_of(name: str) -> list[SpecifiedAction]:
    found = registry.component(name).actions.values()
    return [each for each in found if isinstance(each, SpecifiedAction)]


@pytest.mark.parametrize("name", SPECIFIED)
def test_every_operation_is_an_action_with_a_form_a_description_and_an_answer(name: str) -> None:
    for action in actions_of(name):
        form = action.shape.json_schema()
        shown = [field for field in form["properties"].values() if "x-more" not in field]
        assert len(shown) <= 8 + len(form.get("required", ())), action.name
        assert action.title[0].isupper(), action.name
        assert action.description.endswith((".", "…", "?")), action.description
        assert "<" not in action.description, action.description
        assert (action.operation.answer is None) == (action.answer is None), action.name


@pytest.mark.parametrize("name", SPECIFIED)
def test_its_documents_say_where_they_are_from_and_hold_nothing_more_than_is_used(
    name: str,
) -> None:
    by_document: dict[Path, set[str]] = {}
    for specification in {each.specification for each in actions_of(name)}:
        found = by_document.setdefault(specification.path, set())
        found |= {specification.document.places[each.id][0] for each in specification.declared}
    assert sorted(by_document) == sorted(folder_of(name).glob("*.json"))
    for path, used in by_document.items():
        data: dict[str, Any] = json.loads(path.read_bytes())
        assert data["x-origin"].keys() >= {"url", "version", "date", "licence", "copyright"}
        assert data["x-origin"]["licence"] in LICENCES
        assert set(data["paths"]) == used


@pytest.mark.parametrize("name", SPECIFIED)
def test_what_is_written_beside_the_document_is_short(name: str) -> None:
    by_hand = ("triggers.py", "issues.py", "dynamic.py")
    written = [each for each in folder_of(name).glob("*.py") if each.name not in by_hand]
    assert sum(len(each.read_text().splitlines()) for each in written) < 200
    assert "LICENSE" in {each.name for each in folder_of(name).iterdir()}


@pytest.mark.parametrize("name", SPECIFIED)
def test_its_stub_is_what_halflap_types_writes(name: str) -> None:
    path, text = stub_of(f"halflap.components.{name}.actions")
    assert path.read_text("utf-8") == text, "run: halflap types halflap.components.…"


# In a flow ------------------------------------------------------------------------------------


class Settings(Config):
    stripe: stripe.Stripe


billing = Integration("billing", config=Settings)


@billing.flow(trigger=webhook.request(signature=None))
async def bill(ctx: Context[Settings], event: Any) -> list[str]:
    customer = await stripe.create_customer(
        ctx.config.stripe, email="ada@example.com", address={"city": "Graz"}, metadata={"id": "7"}
    )
    await stripe.add_invoice_item(
        ctx.config.stripe, customer=customer["id"], amount=500, currency="eur"
    )
    found = await stripe.list_invoices(ctx.config.stripe, customer=customer["id"], most=3)
    return [each["id"] for each in found]


async def test_a_flow_sends_stripes_forms_with_its_keys_and_pages(run: Run, fake: Fake) -> None:
    fake.post("/v1/customers", answers={"id": "cus_1", "object": "customer"})
    fake.post("/v1/invoiceitems", answers={"id": "ii_1"})
    pages = fake.get(
        "/v1/invoices", answers={"data": [{"id": "in_1"}, {"id": "in_2"}], "has_more": True}
    )
    pages.then({"data": [{"id": "in_3"}, {"id": "in_4"}], "has_more": True})
    result = await run(bill, {}, fake=fake)
    assert result.result == ["in_1", "in_2", "in_3"]
    first, second, *lists = fake.requests
    assert dict(parse_qsl(first.body.decode())) == {
        "email": "ada@example.com",
        "address[city]": "Graz",
        "metadata[id]": "7",
    }
    assert first.headers["Stripe-Version"] == "2022-11-15"
    assert first.idempotency_key
    assert first.idempotency_key != second.idempotency_key
    assert [each.params for each in lists] == [
        {"customer": "cus_1", "limit": "3"},
        {"customer": "cus_1", "limit": "3", "starting_after": "in_2"},
    ]
    noted = [line for line in result.logs if "is not what the document says" in line.message]
    assert noted


async def test_a_refused_card_is_an_error_that_says_so(fake: Fake) -> None:
    connection = fake.connection(stripe.Stripe)
    error = {"error": {"type": "card_error", "code": "card_declined"}}
    fake.post("/v1/payment_intents", answers=error, status=402)
    with pytest.raises(UpstreamError, match="card_declined"):
        await stripe.create_payment_intent(connection, amount=500, currency="eur")
