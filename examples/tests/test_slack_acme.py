import acme
import slack_acme

from halflap.testing import Run

LOGGED = acme.Activity(id="a1", kind="message", title="hi")


async def test_a_message_is_an_activity_under_its_id(run: Run):
    told = {"type": "message", "channel": "C1", "user": "U1", "text": "hi", "ts": "17.1"}
    event = {"type": "event_callback", "team_id": "T1", "event_id": "Ev1", "event": told}
    result = await run(slack_acme.message, event, stubs={acme.log_activity: LOGGED})
    assert result.steps == [acme.log_activity.call(kind="message", title="hi", external_id="Ev1")]


async def test_what_a_bot_writes_is_none(run: Run):
    told = {"type": "message", "channel": "C1", "bot_id": "B1", "text": "hi", "ts": "17.1"}
    event = {"type": "event_callback", "team_id": "T1", "event_id": "Ev1", "event": told}
    assert (await run(slack_acme.message, event)).state == "ignored"
