from decimal import Decimal

import acme
import acme_slack

from halflap import slack
from halflap.testing import Fake, Run

WON = acme.Opportunity(
    id="o1", name="Initech", stage="Closed Won", seats=10, price=Decimal("22.10")
)


async def test_an_opportunity_that_is_won_is_told(run: Run):
    posted = slack.Message(channel="C1", ts="17.1")
    result = await run(acme_slack.told, WON, stubs={slack.post_message: posted})
    text = "Initech is won: 221.00"
    assert result.steps == [slack.post_message.call(channel="general", text=text)]


async def test_others_are_not(run: Run):
    result = await run(acme_slack.told, WON.model_copy(update={"stage": "Proposal"}))
    assert (result.state, result.steps) == ("ignored", [])


async def test_a_message_that_may_have_been_posted_is_not_posted_again(run: Run, fake: Fake):
    fake.post("/chat.postMessage", answers={"ok": False, "error": "internal_error"})
    result = await run(acme_slack.told, WON, fake=fake)
    assert (result.state, len(fake.requests)) == ("failed", 1)
