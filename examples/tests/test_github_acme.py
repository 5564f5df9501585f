import json
from pathlib import Path
from typing import Any

import acme
import github_acme
import pytest

from halflap.testing import Receive, Run

# Every payload that GitHub gives as an example; `make setup` installs them.
EXAMPLES = Path(__file__).parents[2] / "node_modules/@octokit/webhooks-examples/api.github.com"
PAYLOADS: list[tuple[str, dict[str, Any]]] = [
    (each["name"], example)
    for each in json.loads((EXAMPLES / "index.json").read_bytes())
    for example in each["examples"]
]
LOGGED = acme.Activity(id="act_1", kind="any", title="any")


def headers(name: str, delivery: str = "d-1") -> dict[str, str]:
    return {"X-GitHub-Event": name, "X-GitHub-Delivery": delivery}


@pytest.mark.parametrize(
    ("name", "title"),
    [
        (
            "issues",
            "Issues edited #1 “Spelling error in the README file” "
            "in Codertocat/Hello-World by Codertocat",
        ),
        ("push", "Push “refs/tags/simple-tag” in Codertocat/Hello-World by Codertocat"),
        ("star", "Star created in Codertocat/Hello-World by Codertocat"),
        ("security_advisory", "Security advisory published"),
    ],
)
async def test_an_event_becomes_a_sentence(run: Run, name: str, title: str):
    payload = next(payload for event, payload in PAYLOADS if event == name)
    result = await run(
        github_acme.activity, payload, headers=headers(name), stubs={acme.log_activity: LOGGED}
    )
    assert result.steps == [acme.log_activity.call(kind=name, title=title, external_id="d-1")]


async def test_every_payload_becomes_one_activity_and_none_when_it_comes_again(
    run: Run, receive: Receive
):
    activities: list[str] = []

    def log(kind: str, title: str, external_id: str) -> acme.Activity:
        activities.append(external_id)
        return LOGGED

    sent = [each for each in PAYLOADS if each[0] != "ping"]
    for number, (name, payload) in enumerate(sent):
        for _ in range(2):
            received = await receive(
                github_acme.activity, payload, headers=headers(name, f"d-{number}")
            )
            for request in received.started:
                result = await run(github_acme.activity, request, stubs={acme.log_activity: log})
                result.raise_for_failure()
    assert activities == [f"d-{number}" for number in range(len(sent))]
    assert len(sent) > 300
