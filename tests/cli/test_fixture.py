from typing import Any

import pytest

from halflap.cli.fixture import make_fixture
from halflap.errors import ConfigError


def step(kind: str = "action", **more: Any) -> dict[str, Any]:
    made = {"kind": kind, "name": "acme.add", "status": "succeeded", "inputs": {}, "result": None}
    return made | {"failure": None} | more


def execution(**more: Any) -> dict[str, Any]:
    event = {
        "method": "POST",
        "path": "",
        "query": "",
        "headers": [["content-type", "application/json"], ["x-id", "1"]],
        "body": '{"id": 1.50}',
        "encoding": "utf-8",
        "note": None,
    }
    made = {
        "id": "exe_1",
        "integration": "warehouse",
        "flow": "stock",
        "state": "succeeded",
        "reason": "",
        "event": event | more.pop("event", {}),
        "steps": [],
        "failure": None,
        "result": None,
    }
    return made | more


def test_a_fixture_holds_event_config_steps_and_outcome():
    found = make_fixture(
        execution(
            steps=[
                step("trigger", name="webhook.request"),
                step(inputs={"item": "bolt", "$connection": "acme"}, result={"quantity": 5}),
                step("state", name="state"),
                step(status="retrying"),
            ],
            result="done",
        ),
        {"greeting": "Hi"},
    )
    assert found == {
        "integration": "warehouse",
        "flow": "stock",
        "event": {
            "method": "POST",
            "path": "",
            "query": "",
            "headers": [["content-type", "application/json"], ["x-id", "1"]],
            "body": '{"id": 1.50}',
        },
        "config": {"greeting": "Hi"},
        "steps": [{"action": "acme.add", "inputs": {"item": "bolt"}, "result": {"quantity": 5}}],
        "outcome": {"state": "succeeded", "result": "done"},
    }


def test_a_failure_is_kept_with_its_kind():
    failure = {"kind": "UpstreamError", "message": "503", "status": 503, "where": "", "trace": ""}
    found = make_fixture(
        execution(state="failed", steps=[step(status="failed", failure=failure)], failure=failure),
        {},
    )
    error = {"kind": "UpstreamError", "message": "503"}
    assert found["steps"][0]["error"] == error | {"status": 503}
    assert found["outcome"] == {"state": "failed", "error": error}


@pytest.mark.parametrize(
    "header",
    ["X-Hub-Signature-256", "webhook-signature", "X-Api-Key", "Authorization", "X-Auth-Token"],
)
def test_credentials_and_signatures_in_headers_are_redacted(header):
    found = make_fixture(execution(event={"headers": [[header, "s3cret"], ["x-id", "1"]]}), {})
    assert found["event"]["headers"] == [[header, "•••"], ["x-id", "1"]]


@pytest.mark.parametrize("name", ["password", "apiKey", "api_key", "accessToken", "client_secret"])
def test_secrets_in_bodies_queries_inputs_results_and_config_are_redacted(name):
    held = {"deep": [{name: "s3cret", "item": "bolt"}]}
    found = make_fixture(
        execution(
            event={"body": f'{{"deep": [{{"{name}": "s3cret"}}]}}', "query": f"a=1&{name}=s3cret"},
            steps=[step(inputs=held, result=held)],
            result=held,
        ),
        held,
    )
    assert "s3cret" not in str(found)
    assert str(found).count("•••") == 5
    assert found["event"]["query"].startswith("a=1&")


def test_a_form_is_redacted_as_a_form():
    event = {
        "headers": [["Content-Type", "application/x-www-form-urlencoded"]],
        "body": "token=s3cret&text=hello+there",
    }
    found = make_fixture(execution(event=event), {})
    assert found["event"]["body"] == "token=%E2%80%A2%E2%80%A2%E2%80%A2&text=hello+there"


def test_what_is_no_secret_stays_as_it_is():
    body = '{"quantity":  1.10, "total_tokens": 3, "tokenizer": "x", "keyboard": "y"}'
    assert make_fixture(execution(event={"body": body}), {})["event"]["body"] == body


def test_bytes_are_kept_as_base64():
    found = make_fixture(execution(event={"body": "/w==", "encoding": "base64"}), {})
    assert found["event"]["body_base64"] == "/w=="
    assert "body" not in found["event"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"state": "running"}, "wait until it has ended"),
        ({"event": {"note": "cut: …"}}, "too large"),
        ({"steps": [step(result={"$cut": {}})]}, "too large"),
    ],
)
def test_what_cannot_be_recorded_whole_is_refused(more, said):
    with pytest.raises(ConfigError, match=said):
        make_fixture(execution(**more), {})
