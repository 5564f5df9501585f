import acme
import kafka_acme

from halflap import kafka
from halflap.testing import Run

AT = {"kafka-topic": "customers", "kafka-key": "c1"}
STORED = kafka.Published(topic="accounts", partition=0, offset=0)


async def test_a_new_customer_is_an_account_and_the_other_topic_is_told(run: Run):
    made = acme.Account(id="a1", external_id="c1", name="Initech")
    stubs = {acme.find_account: None, acme.create_account: made, kafka.publish: STORED}
    result = await run(kafka_acme.customer, {"name": "Initech"}, headers=AT, stubs=stubs)
    assert result.steps[-1] == kafka.publish.call(
        topic="accounts", value={"customer": "c1", "account": "a1"}, key="c1"
    )
    assert [each.action for each in result.steps] == [
        "acme.find_account",
        "acme.create_account",
        "kafka.publish",
    ]


async def test_a_tombstone_is_ignored(run: Run):
    result = await run(kafka_acme.customer, b"", headers={**AT, "kafka-tombstone": "true"})
    assert (result.state, result.steps) == ("ignored", [])
