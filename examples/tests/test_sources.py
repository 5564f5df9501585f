"""`python -m tests.sources` sends each source its messages; here is what a flow makes of one."""

import acme
import sources

from halflap.testing import Run

NAMES = {
    "queue": "https://sqs.example/1/orders",
    "topic": "arn:aws:sns:us-east-1:123456789012:orders",
}
LOGGED = acme.Activity(id="a1", kind="any", title="any")


async def test_what_comes_is_an_activity_under_its_text(run: Run):
    for flow in (sources.hook, sources.standard, sources.poll, sources.waiting):
        stubs = {acme.log_activity: LOGGED}
        result = await run(flow, {"text": "hi"}, config=NAMES, stubs=stubs)
        assert result.steps == [acme.log_activity.call(kind=flow.name, title="hi")]
