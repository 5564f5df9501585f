from decimal import Decimal

import acme
import acme_export

from halflap import http
from halflap.testing import Fake, Run

OPPORTUNITY = acme.Opportunity(
    id="o1", external_id="006", name="Initech", stage="Proposal", seats=10, price=Decimal("22.10")
)


async def test_an_opportunity_is_sent_on_with_its_amount(run: Run):
    result = await run(acme_export.opportunity, OPPORTUNITY, stubs={http.post: None})
    expected = {
        "id": "006",
        "name": "Initech",
        "stage": "Proposal",
        "amount": Decimal("221.00"),
        "price": Decimal("22.10"),
    }
    assert result.steps == [http.post.call(path="/opportunities", json=expected)]


async def test_prices_keep_every_digit_on_the_wire(run: Run, fake: Fake):
    fake.post("/opportunities")
    await run(acme_export.opportunity, OPPORTUNITY, fake=fake)
    assert b'"amount":221.00,"price":22.10' in fake.requests[0].body


async def test_what_acme_sends_is_what_goes_out(run: Run, fake: Fake):
    fake.post("/stock", status=503).then(status=201)
    event = {"type": "stock.changed", "data": {"item": "saw", "quantity": 3}}
    result = await run(acme_export.stock, event, fake=fake)
    assert (result.state, result.attempts) == ("succeeded", 2)
    first, again = fake.requests
    assert first.json == again.json == {"item": "saw", "quantity": 3}
    assert first.idempotency_key == again.idempotency_key
