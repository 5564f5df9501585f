import acme
import zendesk_acme

from halflap import zendesk
from halflap.testing import Fake, Run

LOGGED = acme.Activity(id="a1", kind="any", title="any")


async def test_a_ticket_is_an_activity_once_for_each_of_its_states(run: Run):
    ticket = zendesk.Ticket(id=35, subject="Fire", description="Smoke", status="open")
    for status in ("open", "solved"):
        changed = ticket.model_copy(update={"status": status})
        result = await run(zendesk_acme.ticket, changed, stubs={acme.log_activity: LOGGED})
        assert result.steps == [
            acme.log_activity.call(
                kind=f"ticket {status}",
                title="#35 Fire",
                body="Smoke",
                external_id=f"35/{status}",
            )
        ]


async def test_what_zendesk_exports_is_what_acme_gets(run: Run, fake: Fake):
    fake.post("/activities", status=503).then(LOGGED.model_dump(), status=201)
    event = {"id": 35, "subject": "Fire", "description": None, "status": "new", "url": "https://…"}
    result = await run(zendesk_acme.ticket, event, fake=fake)
    assert (result.state, result.attempts) == ("succeeded", 2)
    first, again = fake.requests
    assert first.json == again.json
    assert first.json["external_id"] == "35/new"
    assert first.idempotency_key == again.idempotency_key


def test_tickets_that_are_there_are_imported_first():
    assert zendesk_acme.ticket.trigger.start() == "earliest"
